//! The rows of a connection.

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sansftp_connector::connection::{ByteSize, Connection, HostKeyPolicy, UploadChannels};
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, Operation};
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Class, Connector, Destination};
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::{ClientKey, HostKey, PASSPHRASE, Sshd};

use super::fixture::{World, bad, good, in_time, noise, openssh, said, taken, text};
use super::served::Served;
use super::slow::{SYNC, SlowDisk};

/// The key of the server without its name.
fn bare_key(world: &World) -> String {
    let line = world.sshd.known_hosts_line();
    let (_, key) = line.split_once(' ').unwrap();
    key.to_owned()
}

/// A line that names this server with a key that it does not have.
fn wrong_line(world: &World) -> String {
    let other = world.sshd.key(ClientKey::Ed25519).with_extension("pub");
    let other = fs::read_to_string(other).unwrap();
    format!("[127.0.0.1]:{} {}", world.sshd.port(), other.trim())
}

#[tokio::test]
async fn host_and_port() {
    assert_eq!(Connection::default().port, 22);
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let builder = Sshd::builder();
    let world = World::with(match has_ipv6 {
        true => builder.config("ListenAddress ::1").start(),
        false => builder.start(),
    });
    let key = bare_key(&world);
    let at = |host: &str| world.connection(&format!("host = '{host}'\nknown-host = '{key}'"));
    for host in ["127.0.0.1", "localhost"] {
        world.login(at(host)).await.unwrap();
    }
    if has_ipv6 {
        world.login(at("::1")).await.unwrap();
    }
    for nonsense in ["host = ' '", "port = 0"] {
        let (class, words) = world.login(world.connection(nonsense)).await.unwrap_err();
        assert_eq!(class, Class::Configuration, "{words}");
    }
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let closed = world.connection(&format!("port = {port}"));
    let (class, words) = world.login(closed).await.unwrap_err();
    assert_eq!(class, Class::Unreachable, "{words}");
    let (class, _) = world.login(at("no-such-name.invalid")).await.unwrap_err();
    assert_eq!(class, Class::Unreachable);
}

#[tokio::test]
async fn user() {
    let world = World::start();
    world.login(world.connection("")).await.unwrap();
    let mut nobody = world.connection("");
    nobody.user = Some("nobody-of-that-name".to_owned());
    let (class, _) = world.login(nobody).await.unwrap_err();
    assert_eq!(class, Class::Authentication);
    world.logged("nobody-of-that-name", 1).await;
    // Without a user it is the local login name.
    world.configure("", "");
    let text = fs::read_to_string(world.path("sansftp.toml")).unwrap();
    let line = text.lines().find(|it| it.starts_with("user ")).unwrap();
    world.write("sansftp.toml", text.replace(line, ""));
    let as_user = |name: &str| {
        let mut program = world.program();
        program.args(["list", "c"]).env("USER", name);
        program.output().unwrap().status.code()
    };
    assert_eq!(as_user(world.sshd.user()), Some(0));
    assert_eq!(as_user("somebody-else"), Some(5));
    world.logged("somebody-else", 1).await;
}

#[tokio::test]
async fn password() {
    let world = World::start();
    if !world.sshd.has_own_account() {
        return;
    }
    let right = world.sshd.password().to_owned();
    let file = world.write("password", format!("{right}\n"));
    let with = |password: &str| {
        let mut connection = world.connection(&format!("password = {password}"));
        connection.private_key = None;
        connection
    };
    for password in [
        format!("'{right}'"),
        format!("{{ file = '{}' }}", file.display()),
        format!("{{ command = ['echo', '{right}'] }}"),
    ] {
        world.login(with(&password)).await.unwrap();
    }
    world.configure("", "");
    let text = fs::read_to_string(world.path("sansftp.toml")).unwrap();
    let key = text
        .lines()
        .find(|it| it.starts_with("private-key"))
        .unwrap();
    world.write(
        "sansftp.toml",
        text.replace(key, "password = { env = 'SECRET' }"),
    );
    let mut program = world.program();
    let output = program.args(["list", "c"]).env("SECRET", &right).output();
    assert!(output.unwrap().status.success());
    assert_eq!(world.logged("Failed password", 0).await, 0);
    let (class, words) = world.login(with("'wrong'")).await.unwrap_err();
    assert_eq!(class, Class::Authentication);
    assert!(
        words.contains("password") && !words.contains("wrong'"),
        "{words}"
    );
    assert_eq!(world.logged("Failed password", 1).await, 1, "offered once");
    let missing = with("{ file = '/nowhere/secret' }");
    let (class, words) = world.login(missing).await.unwrap_err();
    assert_eq!(class, Class::Configuration);
    assert!(words.contains("/nowhere/secret"), "{words}");
}

#[tokio::test]
async fn private_key() {
    let world = World::start();
    let with = |key: &str| world.connection(&format!("private-key = {key}"));
    for key in ClientKey::PLAIN {
        let path = world.sshd.key(key);
        world
            .login(with(&format!("'{}'", path.display())))
            .await
            .unwrap();
    }
    let path = world.sshd.key(ClientKey::Ed25519);
    let path = path.display();
    world
        .login(with(&format!("{{ file = '{path}' }}")))
        .await
        .unwrap();
    let pasted = fs::read_to_string(world.sshd.key(ClientKey::Ed25519)).unwrap();
    world
        .login(with(&format!("'{}'", pasted.replace('\n', " "))))
        .await
        .unwrap();
    let nonsense = world.write("nonsense", "this is no key");
    let (class, words) = world
        .login(with(&format!("'{}'", nonsense.display())))
        .await
        .unwrap_err();
    assert_eq!(class, Class::Configuration);
    assert!(words.contains("nonsense"), "{words}");
    let stranger = world.sshd.key(ClientKey::Stranger);
    let stranger = with(&format!("'{}'", stranger.display()));
    let (class, words) = world.login(stranger).await.unwrap_err();
    assert_eq!(class, Class::Authentication, "{words}");
    assert!(words.contains("publickey"), "{words}");
    assert_eq!(world.logged("Failed publickey", 1).await, 1, "offered once");
}

/// A key that the server takes, under the passphrase, as other programs than ssh-keygen write it.
fn converted(world: &World) -> [PathBuf; 4] {
    let key = world.sshd.key(ClientKey::RsaPem);
    let phrase = world.write("phrase", PASSPHRASE);
    let out = |name: &str| phrase.with_file_name(name);
    let putty = |name: &str, version: &str| {
        let mut puttygen = Command::new("puttygen");
        puttygen
            .arg(&key)
            .args(["-O", "private", "-o"])
            .arg(out(name));
        puttygen.arg("--new-passphrase").arg(&phrase);
        puttygen.args(["--ppk-param", version]);
        puttygen
    };
    let openssl = |words: &str, name: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(words.split_whitespace()).arg("-in").arg(&key);
        openssl.arg("-passout").arg(format!("pass:{PASSPHRASE}"));
        openssl.arg("-out").arg(out(name));
        openssl
    };
    [
        ("two.ppk", putty("two.ppk", "version=2")),
        ("three.ppk", putty("three.ppk", "version=3")),
        ("pbes2", openssl("pkcs8 -topk8", "pbes2")),
        ("dek", openssl("rsa -traditional -aes256", "dek")),
    ]
    .map(|(name, mut command)| {
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{command:?}: {ran:?}");
        out(name)
    })
}

#[tokio::test]
async fn passphrase() {
    let world = World::start();
    for key in ClientKey::ENCRYPTED {
        let path = world.sshd.key(key);
        let with =
            |more: &str| world.connection(&format!("private-key = '{}'\n{more}", path.display()));
        let right = with(&format!("passphrase = '{PASSPHRASE}'"));
        world.login(right).await.unwrap();
        for unfit in ["", "passphrase = 'no'"] {
            let (class, words) = world.login(with(unfit)).await.unwrap_err();
            assert_eq!(class, Class::Configuration, "{words}");
            assert!(words.contains("passphrase"), "{words}");
        }
    }
    for key in converted(&world) {
        let path = key.display();
        let key = format!("private-key = '{path}'\npassphrase = '{PASSPHRASE}'");
        let entered = world.login(world.connection(&key)).await;
        entered.unwrap_or_else(|(_, words)| panic!("{path}: {words}"));
    }
    let mut alone = world.connection("passphrase = 'x'");
    alone.private_key = None;
    let (class, _) = world.login(alone).await.unwrap_err();
    assert_eq!(class, Class::Configuration);
    assert_eq!(world.logged("Failed", 0).await, 0, "nothing was offered");
}

#[tokio::test]
async fn known_host() {
    let world = World::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let line = world.sshd.known_hosts_line();
    let key = bare_key(&world);
    let base64 = key.split(' ').nth(1).unwrap();
    let hashed = world.write("hashed", &line);
    openssh("ssh-keygen", &["-q", "-H", "-f", hashed.to_str().unwrap()]);
    let hashed = fs::read_to_string(hashed).unwrap();
    let public = world.write("public", &key);
    let told = openssh("ssh-keygen", &["-l", "-f", public.to_str().unwrap()]).stdout;
    let told = String::from_utf8(told).unwrap();
    let fingerprint = told.split(' ').nth(1).unwrap();
    assert!(fingerprint.starts_with("SHA256:"));
    let wrong = wrong_line(&world);
    let one = |entry: &str| world.connection(&format!("known-host = '{}'", entry.trim()));
    for entry in [
        &line,
        &format!("{line} a comment"),
        &hashed,
        &key,
        base64,
        fingerprint,
    ] {
        world
            .login(one(entry))
            .await
            .unwrap_or_else(|error| panic!("{entry}: {error:?}"));
    }
    let both = world.connection(&format!("known-host = ['{wrong}', '{line}']"));
    world.login(both).await.unwrap();
    let (class, words) = world.login(one(&wrong)).await.unwrap_err();
    assert_eq!(class, Class::HostKey);
    assert!(
        words.contains(fingerprint) && words.contains("ssh-ed25519"),
        "{words}"
    );
    // What is given is all that is trusted, whatever the file says.
    let file = world.sshd.known_hosts_file();
    let keys = format!(
        "known-host = '{wrong}'\nknown-hosts-file = '{}'",
        file.display()
    );
    let (class, _) = world.login(world.connection(&keys)).await.unwrap_err();
    assert_eq!(class, Class::HostKey);
    let revoked = world.write("revoked", format!("@revoked * {key}\n"));
    let keys = format!("known-hosts-file = '{}'", revoked.display());
    let (class, words) = world.login(world.connection(&keys)).await.unwrap_err();
    assert_eq!(class, Class::HostKey);
    assert!(words.contains("revoked"), "{words}");
}

#[tokio::test]
async fn known_hosts_file() {
    let world = World::start();
    let with = |file: &str| {
        let mut connection = world.connection(&format!("known-hosts-file = '{file}'"));
        connection.known_host.clear();
        connection
    };
    let file = world.sshd.known_hosts_file();
    world.login(with(file.to_str().unwrap())).await.unwrap();
    let empty = world.write("empty", "");
    let (class, words) = world
        .login(with(empty.to_str().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(class, Class::HostKey);
    assert!(
        words.contains("SHA256:"),
        "it shows what was offered: {words}"
    );
    world.configure("", "");
    let text = fs::read_to_string(world.path("sansftp.toml")).unwrap();
    let line = text
        .lines()
        .find(|it| it.starts_with("known-host "))
        .unwrap();
    world.write("sansftp.toml", text.replace(line, ""));
    let list = || world.program().args(["list", "c"]).output().unwrap();
    assert_eq!(list().status.code(), Some(4), "not known at home");
    world.write(".ssh/known_hosts", fs::read(file).unwrap());
    assert!(list().status.success(), "the default is ~/.ssh/known_hosts");
}

#[tokio::test]
async fn host_key_policy() {
    assert_eq!(Connection::default().host_key_policy, HostKeyPolicy::Strict);
    let world = World::start();
    let file = world.path("hosts");
    let with = |policy: &str| {
        let keys = format!(
            "host-key-policy = '{policy}'\nknown-hosts-file = '{}'",
            file.display()
        );
        let mut connection = world.connection(&keys);
        connection.known_host.clear();
        connection
    };
    let class = |result: Result<(), (Class, String)>| result.map_err(|(class, _)| class);
    let refused = Err(Class::HostKey);
    assert_eq!(class(world.login(with("strict")).await), refused);
    assert!(!file.exists());
    world.login(with("accept-any")).await.unwrap();
    assert!(!file.exists(), "accept-any records nothing");
    world.login(with("accept-new")).await.unwrap();
    let recorded = fs::read_to_string(&file).unwrap();
    assert!(recorded.contains(&format!("[127.0.0.1]:{}", world.sshd.port())));
    world.login(with("strict")).await.unwrap();
    fs::write(&file, wrong_line(&world)).unwrap();
    assert_eq!(
        class(world.login(with("accept-new")).await),
        refused,
        "changed"
    );
    world.login(with("accept-any")).await.unwrap();
}

/// CVE-2025-26465: an error on the way to a judgement is no consent.
#[tokio::test]
async fn a_host_key_that_cannot_be_compared_or_recorded_is_not_trusted() {
    let world = World::start();
    let directory = world.path("inbox");
    for (file, classes) in [
        (directory.to_str().unwrap(), [Class::Configuration; 2]),
        ("/dev/null/hosts", [Class::Configuration; 2]),
        // It is not there, and cannot be made.
        ("/proc/none/hosts", [Class::HostKey, Class::LocalIo]),
    ] {
        for (policy, class) in ["strict", "accept-new"].into_iter().zip(classes) {
            let keys = format!("host-key-policy = '{policy}'\nknown-hosts-file = '{file}'");
            let mut connection = world.connection(&keys);
            connection.known_host.clear();
            let login = world.login(connection).await;
            assert_eq!(
                login.map_err(|(class, _)| class),
                Err(class),
                "{file} {policy}"
            );
        }
    }
}

#[tokio::test]
async fn algorithms() {
    assert_eq!(Connection::default().algorithms, "modern".parse().unwrap());
    let world = World::with(Sshd::builder().config("Ciphers aes256-ctr").start());
    let with = |lists: &str| world.connection(&format!("algorithms = '{lists}'"));
    for lists in ["modern", "modern,cipher=aes128-ctr:aes256-ctr"] {
        world.login(with(lists)).await.unwrap();
    }
    let (class, words) = world.login(with("cipher=aes128-ctr")).await.unwrap_err();
    assert_eq!(class, Class::NoCommonAlgorithm);
    for offer in ["aes128-ctr", "aes256-ctr"] {
        assert!(words.contains(offer), "{words}");
    }
    let (class, words) = world.login(with("cipher=rot13")).await.unwrap_err();
    assert_eq!(class, Class::Configuration);
    assert!(words.contains("rot13"), "{words}");
}

/// Debian 12's sshd as nobody should set it up, and as some servers that have to be reached are.
#[tokio::test]
async fn algorithms_of_servers_that_know_nothing_better() {
    let old = Sshd::builder()
        .host_keys(&[HostKey::Dsa])
        .config("KexAlgorithms diffie-hellman-group1-sha1")
        .config("HostKeyAlgorithms ssh-dss")
        .config("Ciphers 3des-cbc")
        .start();
    let world = World::with(old);
    let with = |setting: &str| world.connection(&format!("algorithms = '{setting}'"));
    for profile in ["modern", "compatible"] {
        let (class, words) = world.login(with(profile)).await.unwrap_err();
        assert_eq!(class, Class::NoCommonAlgorithm);
        for told in [
            "no kex algorithm in common",
            "no host-key algorithm in common",
            "no cipher algorithm in common",
            "the server offers 3des-cbc",
            "set algorithms = \"legacy-1024\"",
            "weak: diffie-hellman-group1-sha1",
        ] {
            assert!(words.contains(told), "{profile}: {words}");
        }
    }
    let exact = "modern,kex=diffie-hellman-group1-sha1,host-key=ssh-dss,cipher=3des-cbc";
    for setting in ["legacy-1024", "jsch-0.1.53", exact] {
        world.login(with(setting)).await.unwrap();
    }
}

#[tokio::test]
async fn remote_directory() {
    let world = World::holding(&[
        ("home", "1"),
        ("a/of-a", "2"),
        ("b/of-b", "3"),
        ("c/of-c", "4"),
    ]);
    assert_eq!(taken(&world.get("").await), ["home ok"]);
    let connection = || world.connection("remote-directory = ' a '");
    assert_eq!(taken(&world.get_as(connection(), "").await), ["of-a ok"]);
    let operation = "remote-directory = 'b'";
    let blank = "remote-directory = '  '";
    assert_eq!(
        taken(&world.get_as(connection(), operation).await),
        ["of-b ok"]
    );
    assert_eq!(
        taken(
            &world
                .get_as(
                    connection(),
                    &format!("local-if-exists = 'overwrite'\n{blank}")
                )
                .await
        ),
        ["of-a ok"]
    );
    let document = Document::empty().with("remote-directory", "c");
    let operation = format!("action = 'get'\n{operation}");
    let outcomes = world.run_as(connection(), &operation, vec![document]).await;
    assert_eq!(taken(&outcomes), ["of-c ok"]);
    bad(
        world.get("remote-directory = 'nowhere'").await,
        Class::NotFound,
    );
}

#[tokio::test]
async fn connect_timeout() {
    assert_eq!(
        Connection::default().connect_timeout,
        Duration::from_secs(30)
    );
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let world = World::start();
    let connection = world.connection(&format!("port = {port}\nconnect-timeout = '300ms'"));
    let (class, words) = world.login(connection).await.unwrap_err();
    assert_eq!(class, Class::Timeout, "{words}");
    let (class, _) = world
        .login(world.connection("connect-timeout = '0s'"))
        .await
        .unwrap_err();
    assert_eq!(class, Class::Configuration);
}

/// Gets a file of 2 MiB through a proxy that falls silent after 400 kB.
async fn stalled(keys: &str) -> (Class, String) {
    let world = World::start();
    world.sshd.write("big", noise(2 << 20));
    let plan = Plan::one(Direction::ToClient, 400_000, Fault::Stall);
    let proxy = FaultProxy::start(world.sshd.addr(), plan);
    let key = bare_key(&world);
    let port = proxy.port();
    let connection = world.connection(&format!("port = {port}\nknown-host = '{key}'\n{keys}"));
    let outcomes = world.get_as(connection, "").await;
    let error = outcomes[0].error.as_ref().expect("it cannot succeed");
    assert!(world.inbox().is_empty(), "no half of a file");
    (error.class(), error.to_string())
}

#[tokio::test]
async fn request_timeout() {
    assert_eq!(
        Connection::default().request_timeout,
        Duration::from_secs(60)
    );
    let (class, words) = stalled("request-timeout = '1s'\nkeepalive = '0s'").await;
    assert_eq!(class, Class::Timeout, "{words}");
}

#[tokio::test]
async fn durable_timeout() {
    assert_eq!(
        Connection::default().durable_timeout,
        Duration::from_secs(600)
    );
    let served = Served::start(Arc::new(SlowDisk::default())).await;
    let world = World::start();
    let key = "host-key-policy = 'accept-any'\npassword = 'edi'\nuser = 'edi'";
    let send = async |keys: &str| {
        let keys = format!("port = {}\n{key}\n{keys}", served.port);
        let mut connection = world.connection(&keys);
        connection.known_host.clear();
        connection.private_key = None;
        // The first goes alone; of the others one waits behind what the other has forced to disk.
        let documents = ["a", "b", "c"].map(|name| Document::bytes("x").with("filename", name));
        world
            .run_as(connection, "action = 'send'", documents.into())
            .await
    };
    // To force a file to disk may take longer than any other request.
    let patient = send("request-timeout = '1s'\ndurable-timeout = '1m'").await;
    assert_eq!(patient.len(), 3);
    for outcome in patient {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    }
    let hasty = send("durable-timeout = '300ms'\nretries = 0").await;
    bad(vec![hasty.into_iter().next().unwrap()], Class::Timeout);
    assert!(SYNC > Duration::from_secs(1));
}

#[tokio::test]
async fn operation_timeout() {
    assert_eq!(Connection::default().operation_timeout, None);
    let (class, words) = stalled("operation-timeout = '2s'\nkeepalive = '0s'").await;
    assert_eq!(class, Class::Timeout, "{words}");
    assert!(words.contains("operation-timeout"), "{words}");
}

#[tokio::test]
async fn keepalive() {
    assert_eq!(Connection::default().keepalive, Duration::from_secs(30));
    let (class, words) = stalled("keepalive = '200ms'\nrequest-timeout = '10m'").await;
    assert!(
        matches!(class, Class::Timeout | Class::Disconnected),
        "given up long before the request is: {words}"
    );
}

#[tokio::test]
async fn retries() {
    let default = Connection::default();
    assert_eq!(
        (default.retries, default.retry_delay.to_string()),
        (3, "1s to 1m".to_owned())
    );
    let world = World::start();
    let hangs_up = Plan::one(Direction::ToServer, 0, Fault::Reset);
    for retries in [0, 2] {
        let proxy = FaultProxy::start(world.sshd.addr(), hangs_up.clone());
        let connection = world.connection(&format!("port = {}\nretries = {retries}", proxy.port()));
        let (class, words) = world.login(connection).await.unwrap_err();
        assert!(
            matches!(class, Class::Disconnected | Class::Unreachable),
            "{words}"
        );
        assert_eq!(proxy.connections(), 1 + retries);
    }
    let first = hangs_up.only(0);
    let proxy = FaultProxy::start(world.sshd.addr(), first);
    let key = bare_key(&world);
    let connection = format!("port = {}\nretries = 1\nknown-host = '{key}'", proxy.port());
    world.login(world.connection(&connection)).await.unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn memory() {
    assert_eq!(Connection::default().memory, ByteSize(64 << 20));
    let world = World::start();
    for number in 0..8000 {
        fs::write(world.sshd.home().join(format!("{number:0200}")), "").unwrap();
    }
    world.sshd.write("a-big-one", noise(8 << 20));
    let small = || world.connection("memory = '1MiB'");
    let one = world.get_as(small(), "file-filter = 'a-*'").await;
    assert_eq!(
        taken(&one),
        ["a-big-one ok"],
        "a file may be bigger than the budget"
    );
    let all = world.get_as(small(), "file-filter = '0*'").await;
    let words = bad(all, Class::Configuration);
    assert!(
        words.contains("max-files") || words.contains("sort"),
        "{words}"
    );
    let some = world
        .get_as(small(), "file-filter = '0*'\nmax-files = 2")
        .await;
    assert_eq!(taken(&some).len(), 2);
    let (class, _) = world
        .login(world.connection("memory = '1KiB'"))
        .await
        .unwrap_err();
    assert_eq!(class, Class::Configuration);
}

#[tokio::test]
async fn max_sessions() {
    assert_eq!(Connection::default().max_sessions.get(), 8);
    let files: Vec<(String, &str)> = (0..12).map(|it| (format!("f{it:02}"), "x")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0.as_str(), it.1)).collect();
    let world = World::holding(&files);
    let connection = world.connection("max-sessions = 2");
    let connector = Connector::new(SftpConnect::prepare(&connection, None).unwrap(), connection)
        .with_destination(Destination::Directory(world.path("inbox")))
        .with_jobs(NonZeroUsize::new(6).unwrap());
    let get = Operation::Get(Get::default());
    let outcomes = connector.run(get, stream::iter([Document::empty()]));
    let outcomes: Vec<Outcome> = in_time(outcomes.collect()).await;
    assert_eq!(taken(&outcomes).len(), 12, "more wait, they do not fail");
    assert!(
        said(&outcomes).iter().all(|it| it.ends_with(" ok")),
        "{outcomes:?}"
    );
    assert_eq!(world.inbox().len(), 12);
    let logins = world.logged("Accepted publickey", 1).await;
    assert!(logins <= 2, "{logins} sessions");
    assert!(toml::from_str::<Connection>("host = 'h'\nmax-sessions = 0").is_err());
}

#[tokio::test]
async fn transcript() {
    assert_eq!(Connection::default().transcript, None);
    let world = World::holding(&[("a", "content that is not told")]);
    let path = world.path("transcript");
    let connection = || world.connection(&format!("transcript = '{}'", path.display()));
    good(world.get_as(connection(), "").await);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let whole = format!("{lines:?}");
    for word in ["list", "read", "/a"] {
        assert!(whole.contains(word), "no {word}: {text}");
    }
    assert!(!whole.contains("not told"), "{text}");
    good(
        world
            .get_as(connection(), "local-if-exists = 'overwrite'")
            .await,
    );
    let more = fs::read_to_string(&path).unwrap();
    assert!(
        more.starts_with(&text) && more.len() > text.len(),
        "written on at its end"
    );
}

#[tokio::test]
async fn rekey_limit() {
    assert_eq!(Connection::default().rekey_limit, None);
    let world = World::start();
    let content = noise(4 << 20);
    world.sshd.write("big", &content);
    let connection = world.connection("rekey-limit = '1MiB'");
    let outcome = good(world.get_as(connection, "checksum = true").await);
    assert_eq!(text(&outcome, "size"), content.len().to_string());
    assert_eq!(fs::read(world.path("inbox/big")).unwrap(), content);
}

#[tokio::test]
async fn upload_channels() {
    assert_eq!(
        Connection::default().upload_channels,
        UploadChannels::default()
    );
    // The server lets fewer in than are asked for: it is done with those, and nobody hears of it.
    for (max_sessions, channels) in [("1", "8"), ("2", "8"), ("10", "3"), ("10", "'auto'")] {
        let sshd = Sshd::builder().config(format!("MaxSessions {max_sessions}"));
        let world = World::with(sshd.start());
        let connection = world.connection(&format!("upload-channels = {channels}"));
        let source = world.write("big.bin", noise(20 << 20));
        let send = "action = 'send'\nchecksum = true\nverify = 'hash'";
        let documents = vec![Document::file(&source)];
        let outcomes = world.run_as(connection, send, documents).await;
        assert_eq!(said(&outcomes), ["big.bin ok"], "{outcomes:?}");
        let there = fs::read(world.sshd.home().join("big.bin")).unwrap();
        assert!(there == fs::read(&source).unwrap(), "{channels}");
        assert_eq!(world.remote().len(), 1, "nothing else is left");
        let asked = channels.parse().unwrap_or(8);
        let most = asked.min(max_sessions.parse().unwrap());
        let opened = world.logged("Starting session: subsystem 'sftp'", 1).await;
        assert!(opened <= most, "{opened} channels of {most}");
    }
    for bad in ["0", "9", "-1", "'many'"] {
        let keys = format!("host = 'h'\nupload-channels = {bad}");
        let error = toml::from_str::<Connection>(&keys).unwrap_err().to_string();
        assert!(error.contains("neither auto nor 1 to 8"), "{error}");
    }
}

#[tokio::test]
async fn compression() {
    assert!(!Connection::default().compression);
    // A stock server offers it to whoever asks.
    let world = World::start();
    let content = "a line that comes again\n".repeat(100_000);
    world.sshd.write("long", &content);
    for compression in [false, true] {
        let (proxy, mut connection) = world.through(Plan::none());
        connection.compression = compression;
        good(world.get_as(connection, "").await);
        let received = fs::read_to_string(world.path("inbox/long")).unwrap();
        assert_eq!(received, content);
        let carried = proxy.passed(Direction::ToClient);
        assert_eq!(carried < 200_000, compression, "{carried}");
        fs::remove_file(world.path("inbox/long")).unwrap();
    }
    world.configure("compression = true", "");
    let output = world.program().args(["test", "c"]).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    let told = words.lines().find(|it| it.contains("compression"));
    assert!(
        told.is_some_and(|it| it.contains("zlib@openssh.com")),
        "{words}"
    );
}

#[tokio::test]
async fn update_host_keys() {
    assert!(!Connection::default().update_host_keys);
    let keys = [HostKey::Ed25519, HostKey::EcdsaP256, HostKey::Rsa];
    let world = World::with(Sshd::builder().host_keys(&keys).start());
    let [own, ecdsa, rsa] = keys.map(|it| world.sshd.known_hosts_line_of(it));
    let revoked = format!("@revoked * {}", ecdsa.split_once(' ').unwrap().1);
    let login = |file: &Path, update: bool| {
        let mut connection = world.connection("");
        connection.known_host.clear();
        connection.known_hosts_file = Some(file.to_owned());
        connection.update_host_keys = update;
        world.login(connection)
    };
    let file = world.write("known_hosts", &own);
    login(&file, false).await.unwrap();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        own,
        "nobody asked for it"
    );
    for _ in 0..2 {
        login(&file, true).await.unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let mut lines: Vec<_> = text.lines().skip(1).map(key_of).collect();
        lines.sort_unstable();
        assert_eq!(text.lines().next(), Some(own.as_str()));
        assert_eq!(lines, [key_of(&ecdsa), key_of(&rsa)], "each once");
    }
    // What the file revokes is not learned.
    let file = world.write("with_revoked", format!("{revoked}\n{own}\n"));
    login(&file, true).await.unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().skip(2).map(key_of).collect();
    assert_eq!(lines, [key_of(&rsa)]);
    // Whoever is known by `known-host` alone, or not checked, teaches nothing.
    let file = world.write("untouched", "");
    let mut pinned = world.connection("");
    pinned.known_hosts_file = Some(file.clone());
    pinned.update_host_keys = true;
    world.login(pinned.clone()).await.unwrap();
    pinned.known_host.clear();
    pinned.host_key_policy = HostKeyPolicy::AcceptAny;
    world.login(pinned).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

/// Type and key of a line of known_hosts, whatever its comment.
fn key_of(line: &str) -> String {
    let words: Vec<_> = line.split(' ').skip(1).take(2).collect();
    words.join(" ")
}
