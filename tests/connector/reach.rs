//! The rows of a connection that say how the server is reached, and with what of OpenSSH's.

use std::fs;
use std::process::{Child, Command, Stdio};

use sansftp_connector::Class;
use sansftp_connector::connection::{Connection, Proxy as Settings};
use sansftp_testkit::sshd::{ClientKey, Sshd};

use super::fixture::{World, openssh, until};
use super::proxies::{Proxy, Speaks};

/// Takes keys out of the configuration.
fn without(world: &World, keys: &[&str]) {
    let path = world.path("sansftp.toml");
    let text = fs::read_to_string(&path).unwrap();
    let left = text.lines().filter(|line| {
        let key = line.split(' ').next().unwrap_or_default();
        !keys.contains(&key)
    });
    fs::write(path, left.collect::<Vec<_>>().join("\n")).unwrap();
}

/// Lists with the program: its exit code, and what it complained of.
fn list(world: &World, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut program = world.program();
    program
        .args(["list", "c"])
        .envs(environment.iter().copied());
    let output = program.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), words)
}

#[tokio::test]
async fn proxy_type() {
    assert_eq!(Connection::default().proxy, None);
    let world = World::start();
    for (kind, speaks, asks) in [
        ("http", Speaks::Http, "CONNECT 127.0.0.1:"),
        ("socks4", Speaks::Socks4, "[127, 0, 0, 1]"),
        ("socks5", Speaks::Socks5, "kind 1"),
    ] {
        let proxy = Proxy::start(speaks);
        let port = proxy.port;
        let keys = format!("proxy = {{ type = '{kind}', host = '127.0.0.1', port = {port} }}");
        world.login(world.connection(&keys)).await.unwrap();
        let asked = proxy.asked().join("\n");
        assert!(asked.contains(asks), "{asked}");
    }
    let proxy = Proxy::start(Speaks::Socks4);
    let line = world.sshd.known_hosts_line();
    let (_, key) = line.split_once(' ').unwrap();
    let keys = format!(
        "host = 'a-name.invalid'\nknown-host = '{key}'\n\
         proxy = {{ type = 'socks4', host = '127.0.0.1', port = {} }}",
        proxy.port
    );
    world.login(world.connection(&keys)).await.unwrap();
    let asked = proxy.asked().join("\n");
    assert!(asked.contains("a-name.invalid"), "4a for names: {asked}");
    assert!(toml::from_str::<Settings>("type = 'pigeon'").is_err());
}

#[tokio::test]
async fn proxy_of_the_surroundings() {
    let world = World::start();
    let proxy = Proxy::start(Speaks::Socks5);
    world.configure("proxy = { type = 'runtime' }", "");
    let url = format!("socks5://127.0.0.1:{}", proxy.port);
    assert_eq!(list(&world, &[]), (Some(0), String::new()), "none is set");
    let spared = [("ALL_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1")];
    assert_eq!(list(&world, &spared), (Some(0), String::new()));
    assert_eq!(proxy.asked(), [""; 0]);
    assert_eq!(list(&world, &spared[..1]), (Some(0), String::new()));
    assert!(!proxy.asked().is_empty());
}

#[tokio::test]
async fn proxy_host_port_user_and_password() {
    let world = World::start();
    let with = |kind: &str, port: u16| {
        let keys = format!(
            "proxy = {{ type = '{kind}', host = 'http://127.0.0.1', port = {port}, user = 'px', password = 'secret' }}"
        );
        world.connection(&keys)
    };
    let http = Proxy::start(Speaks::Http);
    world.login(with("http", http.port)).await.unwrap();
    let asked = http.asked().join("\n");
    assert!(asked.contains("Basic cHg6c2VjcmV0"), "{asked}");
    let socks = Proxy::start(Speaks::Socks5);
    world.login(with("socks5", socks.port)).await.unwrap();
    assert!(socks.asked().contains(&"px:secret".to_owned()));
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let (class, words) = world.login(with("http", port)).await.unwrap_err();
    assert_eq!(class, Class::Proxy, "{words}");
    assert!(!words.contains("secret"), "{words}");
    let hostless = world.connection("proxy = { type = 'socks5' }");
    let (class, _) = world.login(hostless).await.unwrap_err();
    assert_eq!(class, Class::Configuration);
}

#[tokio::test]
async fn jump() {
    let world = World::start();
    let (first, second) = (Sshd::start(), Sshd::start());
    let known = [&world.sshd, &first, &second]
        .map(|it| it.known_hosts())
        .concat();
    let known = world.write("known", known);
    let through = |sshd: &Sshd| format!("'{}@127.0.0.1:{}'", sshd.user(), sshd.port());
    let (one, two) = (through(&first), through(&second));
    let with = |jump: &str| {
        let known = known.display();
        world.connection(&format!("jump = {jump}\nknown-hosts-file = '{known}'"))
    };
    world.login(with(&one)).await.unwrap();
    world.login(with(&format!("[{one}, {two}]"))).await.unwrap();
    until(|| first.log().matches("Accepted publickey").count() == 2).await;
    until(|| second.log().matches("Accepted publickey").count() == 1).await;
    let unknown = world.connection(&format!("jump = {one}\nknown-hosts-file = '/dev/null'"));
    let (class, _) = world.login(unknown).await.unwrap_err();
    assert_eq!(class, Class::HostKey, "each is judged");
    assert!(toml::from_str::<Connection>("host = 'h'\njump = '@'").is_err());
}

#[tokio::test]
async fn bind() {
    let world = World::start();
    world
        .login(world.connection("bind = '127.0.0.2'"))
        .await
        .unwrap();
    world.logged("from 127.0.0.2 port", 1).await;
    assert!(toml::from_str::<Connection>("host = 'h'\nbind = 'eth0'").is_err());
    let elsewhere = world.connection("bind = '192.0.2.77'");
    world.login(elsewhere).await.unwrap_err();
}

#[tokio::test]
async fn ssh_config() {
    assert!(!Connection::default().ssh_config);
    let world = World::start();
    let known = world.sshd.known_hosts_file();
    let key = world.sshd.key(ClientKey::Ed25519);
    let config = format!(
        "Host partner\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        world.sshd.port(),
        world.sshd.user(),
        key.display(),
        known.display(),
    );
    world.write(".ssh/config", config);
    let own = [
        "host",
        "port",
        "user",
        "private-key",
        "known-host",
        "known-hosts-file",
        "ssh-config",
    ];
    for (asked, code) in [("true", Some(0)), ("false", Some(3))] {
        world.configure("", "");
        without(&world, &own);
        let text = fs::read_to_string(world.path("sansftp.toml")).unwrap();
        let head = format!("[connections.c]\nhost = 'partner'\nssh-config = {asked}");
        world.write("sansftp.toml", text.replace("[connections.c]", &head));
        let (ended, words) = list(&world, &[("USER", "somebody")]);
        assert_eq!(ended, code, "{words}");
    }
}

#[tokio::test]
async fn certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    openssh(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &path("ca")],
    );
    let trusted = format!("TrustedUserCAKeys {}", path("ca.pub"));
    let world = World::with(Sshd::builder().config(trusted).start());
    let key = world.sshd.key(ClientKey::Stranger);
    fs::copy(key.with_extension("pub"), path("key.pub")).unwrap();
    let user = world.sshd.user();
    openssh(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            &path("ca"),
            "-I",
            "test",
            "-n",
            user,
            &path("key.pub"),
        ],
    );
    let with = |more: &str| {
        let key = key.display();
        world.connection(&format!("private-key = '{key}'\n{more}"))
    };
    let (class, _) = world.login(with("")).await.unwrap_err();
    assert_eq!(class, Class::Authentication, "the key alone opens nothing");
    let certified = with(&format!("certificate = '{}'", path("key-cert.pub")));
    world.login(certified).await.unwrap();
    let missing = with(&format!("certificate = '{}'", path("none")));
    let (class, _) = world.login(missing).await.unwrap_err();
    assert_eq!(class, Class::Configuration);
}

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn agent() {
    assert!(!Connection::default().agent);
    let world = World::start();
    let socket = world.path("agent");
    let child = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn();
    let _agent = Agent(child.unwrap());
    until(|| socket.exists()).await;
    let added = Command::new("ssh-add")
        .arg(world.sshd.key(ClientKey::Ed25519))
        .env("SSH_AUTH_SOCK", &socket)
        .stderr(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    let at = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
    world.configure("agent = true", "");
    without(&world, &["private-key"]);
    assert_eq!(list(&world, &at), (Some(0), String::new()));
    let (code, words) = list(&world, &[]);
    assert_ne!(code, Some(0), "{words}");
    assert!(words.contains("SSH_AUTH_SOCK"), "{words}");
    world.configure("agent = false", "");
    without(&world, &["private-key"]);
    let (code, words) = list(&world, &at);
    assert_eq!(
        code,
        Some(5),
        "the agent is not asked unless it is to be: {words}"
    );
}
