//! Precedence, and what is refused before a server is asked.

use std::fs;

use clap::Parser;
use sansftp_connector::Class;
use sansftp_connector::connection::{HostKeyPolicy, Jump, ProxyType, Secret};
use sansftp_connector::operation::{Get, GetAction, IfExists};
use tempfile::TempDir;

use super::*;
use crate::args::{Cli, Command};

const CONFIG: &str = "\
[connections.partner]
host = 'h.example'
user = 'edi'
password = 'configured'
private-key = 'k'
passphrase = 'p'
known-host = 'SHA256:abc'
remote-directory = 'base'

[connections.nowhere]
user = 'edi'

[operations.fetch]
action = 'get-and-move'
remote-directory = 'out'
move-to-directory = 'done'
force-move = true

[operations.put]
action = 'send'
if-exists = 'append'
";

struct Place {
    directory: TempDir,
    environment: Environment,
}

/// An environment of its own, with the configuration in `./sansftp.toml`.
fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("sansftp.toml");
    fs::write(&here, CONFIG).unwrap();
    let environment = Environment {
        here,
        home: Some("/users/me".into()),
        ..Environment::default()
    };
    Place {
        directory,
        environment,
    }
}

impl Place {
    fn plan(&self, words: &[&str]) -> Result<Step> {
        let into = self.directory.path().to_str().unwrap();
        let mut line = vec!["sansftp"];
        line.extend(words);
        if words[0] == "get" && !words.contains(&"--into") {
            line.extend(["--into", into]);
        }
        match Cli::parse_from(line).command {
            Command::Get(args) => get(&args, &self.environment),
            Command::Send(args) => send(&args, &self.environment),
            Command::List(args) => list(&args, &self.environment),
            Command::Test(args) => test(&args, &self.environment),
            _ => panic!("no step"),
        }
    }

    fn get(&self, words: &[&str]) -> (Connection, Get, Properties) {
        let step = self.plan(words).unwrap();
        let Operation::Get(get) = step.operation else {
            panic!("not a get");
        };
        let properties = step.documents[0].properties.clone();
        (step.connection, get, properties)
    }

    fn refusal(&self, words: &[&str]) -> String {
        let error = self.plan(words).unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
        assert!(error.hint().is_some(), "no remedy: {error}");
        error.message().to_owned()
    }
}

#[test]
fn a_target_by_itself_needs_no_configuration() {
    let mut place = place();
    place.environment.here = "/nonexistent/sansftp.toml".into();
    let (connection, get, properties) = place.get(&["get", "sftp://u@h:2222/~/out"]);
    assert_eq!(connection.host, "h");
    assert_eq!(
        (connection.port, connection.user.as_deref()),
        (2222, Some("u"))
    );
    assert_eq!(properties.text("remote-directory"), Some("out"));
    assert_eq!(get, Get::default());
    let refused = place.refusal(&["get", "partner"]);
    assert!(refused.contains("no configuration file"), "{refused}");
}

#[test]
fn flags_win_over_the_configuration_and_the_target_over_both() {
    let place = place();
    let (connection, get, properties) = place.get(&["get", "partner", "--operation", "fetch"]);
    assert_eq!(connection.remote_directory.as_deref(), Some("base"));
    assert_eq!(get.remote_directory.as_deref(), Some("out"));
    assert_eq!(get.action, GetAction::GetAndMove);
    assert!(properties.is_empty());
    let words = [
        "get",
        "partner:x",
        "--operation",
        "fetch",
        "--force-move=false",
    ];
    let (_, get, properties) = place.get(&words);
    assert!(!get.force_move);
    assert_eq!(properties.text("remote-directory"), Some("x"));
    let words = [
        "get",
        "partner",
        "--host",
        "other",
        "--user",
        "me",
        "--host-key-policy",
        "accept-new",
        "--known-host",
        "SHA256:def",
        "--retries",
        "0",
    ];
    let (connection, _, _) = place.get(&words);
    assert_eq!(connection.host, "other");
    assert_eq!(connection.user.as_deref(), Some("me"));
    assert_eq!(connection.host_key_policy, HostKeyPolicy::AcceptNew);
    assert_eq!(connection.known_host, ["SHA256:def"]);
    assert_eq!(connection.retries, 0);
}

#[test]
fn another_action_leaves_what_only_the_configured_one_needed() {
    let place = place();
    let words = ["get", "partner", "--operation", "fetch", "--action", "get"];
    let (_, get, _) = place.get(&words);
    assert_eq!(get.action, GetAction::Get);
    assert_eq!((get.move_to_directory, get.force_move), (None, false));
}

#[test]
fn a_password_comes_from_the_flag_then_the_environment_then_the_configuration() {
    let mut place = place();
    let password = |place: &Place, flags: &[&str]| {
        let words = [&["get", "partner"], flags].concat();
        place.get(&words).0.password.unwrap()
    };
    let configured = SecretRef::Literal(Secret::new("configured"));
    assert_eq!(password(&place, &[]), configured);
    place.environment.password = true;
    let variable = SecretRef::Env("SANSFTP_PASSWORD".to_owned());
    assert_eq!(password(&place, &[]), variable);
    let file = SecretRef::File("/users/me/f".into());
    assert_eq!(password(&place, &["--password-file", "~/f"]), file);
}

#[test]
fn another_key_does_not_take_the_passphrase_of_the_configured_one() {
    let place = place();
    let (connection, _, _) = place.get(&["get", "partner", "-i", "other"]);
    assert_eq!(
        connection.private_key,
        Some(PrivateKey::Path("other".into()))
    );
    assert_eq!(connection.passphrase, None);
}

#[test]
fn names_and_directories_that_are_not_utf_8_are_carried_as_bytes() {
    let place = place();
    let raw = |bytes: &'static [u8]| OsStr::from_bytes(bytes).to_owned();
    let mut line: Vec<OsString> = ["sansftp", "send", "sftp://h", "f", "--as"]
        .map(OsString::from)
        .into();
    line.extend([raw(b"n\xff"), "--move-to-directory".into(), raw(b"d\xfe")]);
    let Command::Send(args) = Cli::parse_from(line).command else {
        panic!("not a send");
    };
    let step = send(&args, &place.environment).unwrap();
    let properties = &step.documents[0].properties;
    assert_eq!(properties.get("filename").unwrap(), &b"n\xff"[..]);
    assert_eq!(properties.get("move-to-directory").unwrap(), &b"d\xfe"[..]);
}

#[test]
fn each_file_is_a_document() {
    let step = place()
        .plan(&["send", "partner:in", "a", "b", "--operation", "put"])
        .unwrap();
    assert_eq!(step.documents.len(), 2);
    let Operation::Send(send) = step.operation else {
        panic!("not a send");
    };
    assert_eq!(send.if_exists, IfExists::Append);
    assert_eq!(
        step.documents[1].properties.text("remote-directory"),
        Some("in")
    );
}

#[test]
fn what_is_said_twice_or_cannot_go_together_is_refused_with_its_remedy() {
    let place = place();
    for (words, told) in [
        (
            &["list", "partner:x", "--remote-directory", "y"][..],
            "--remote-directory",
        ),
        (&["list", "sftp://h:22", "--port", "23"], "--port"),
        (&["list", "sftp://u@h", "--user", "v"], "--user"),
        (&["list", "sftp://h", "--host", "g"], "--host"),
        (
            &["list", "partner", "--operation", "put"],
            "is a send, not a list",
        ),
        (
            &["list", "partner", "--operation", "puts"],
            "no operation 'puts'",
        ),
        (&["list", "partnr"], "no connection 'partnr'"),
        (
            &["list", "nowhere"],
            "sansftp.toml:10: the connection has no host",
        ),
        (
            &["list", "sftp://h", "--passphrase-file", "p"],
            "passphrase",
        ),
        (
            &["list", "sftp://h", "--config", "/nonexistent"],
            "/nonexistent",
        ),
        (
            &["get", "sftp://h", "--action", "get-and-move"],
            "move-to-directory",
        ),
        (
            &["get", "sftp://h", "--into", "/nonexistent"],
            "/nonexistent",
        ),
        (&["get", "sftp://h", "--force-move"], "force-move"),
        (&["send", "sftp://h", "a", "b", "--as", "c"], "--as"),
        (&["send", "sftp://h", "a", "--as", " "], "--as"),
        (
            &[
                "send",
                "sftp://h",
                "a",
                "--in-place",
                "--if-exists",
                "overwrite",
            ],
            "in-place",
        ),
    ] {
        let refused = place.refusal(words);
        assert!(refused.contains(told), "{words:?}: {refused}");
    }
}

#[test]
fn the_first_configuration_that_is_named_or_found_is_read() {
    let mut place = place();
    let directory = place.directory.path().to_owned();
    let write = |path: PathBuf, host: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[connections.partner]\nhost = '{host}'\n")).unwrap();
        path
    };
    let home = write(directory.join("xdg/sansftp/config.toml"), "of-the-home");
    let variable = write(directory.join("variable.toml"), "of-the-variable");
    let flag = write(directory.join("flag.toml"), "of-the-flag");
    let host = |place: &Place, flags: &[&str]| {
        let words = [&["get", "partner"], flags].concat();
        place.get(&words).0.host
    };
    place.environment.config_home = Some(directory.join("xdg"));
    assert_eq!(host(&place, &[]), "h.example");
    place.environment.here = directory.join("absent.toml");
    assert_eq!(host(&place, &[]), "of-the-home");
    assert!(home.exists());
    place.environment.config = Some(variable);
    assert_eq!(host(&place, &[]), "of-the-variable");
    assert_eq!(
        host(&place, &["--config", flag.to_str().unwrap()]),
        "of-the-flag"
    );
}

#[test]
fn the_proxy_is_named_by_a_url_or_by_its_parts_and_its_password_never() {
    let place = place();
    let connection = |flags: &[&str]| {
        let words = [&["get", "partner"], flags].concat();
        place.get(&words).0
    };
    let proxy = connection(&["--proxy", "socks5://me@p:1081"])
        .proxy
        .unwrap();
    assert_eq!((proxy.kind, proxy.port), (ProxyType::Socks5, Some(1081)));
    let flags = [
        "--proxy-type",
        "http",
        "--proxy-host",
        "p",
        "--proxy-port",
        "3128",
    ];
    let proxy = connection(&flags).proxy.unwrap();
    assert_eq!(
        (proxy.kind, proxy.host.as_deref()),
        (ProxyType::Http, Some("p"))
    );
    let user = ["--proxy-user", "me", "--proxy-password-file", "~/f"];
    let proxy = connection(&[&flags[..], &user].concat()).proxy.unwrap();
    assert_eq!(proxy.password, Some(SecretRef::File("/users/me/f".into())));
    let runtime = connection(&["--proxy", "runtime"]).proxy.unwrap();
    assert_eq!(runtime.kind, ProxyType::Runtime);
    let refused = place.refusal(&["get", "partner", "--proxy", "http://me:secret@p:1"]);
    assert!(refused.contains("--proxy holds a password"), "{refused}");
    assert!(!refused.contains("secret@"), "{refused}");
    let refused = place.refusal(&["get", "partner", "--proxy-host", "p"]);
    assert!(refused.contains("type is not known"), "{refused}");
}

#[test]
fn a_jump_is_a_configured_connection_or_a_host() {
    let place = place();
    let words = [
        "get",
        "sftp://h",
        "--jump",
        "partner,me@gate:23",
        "--bind",
        "127.0.0.1",
    ];
    let (connection, _, _) = place.get(&words);
    let Jump::Connection(partner) = &connection.jump[0] else {
        panic!("{:?}", connection.jump);
    };
    let (configured, _, _) = place.get(&["get", "partner"]);
    assert_eq!(**partner, configured);
    assert_eq!(connection.jump[1], Jump::Host("me@gate:23".to_owned()));
    assert_eq!(connection.bind, Some("127.0.0.1".parse().unwrap()));
}

impl Place {
    fn process(&self, config: &str) -> Result<Process> {
        fs::write(&self.environment.here, config).unwrap();
        match Cli::parse_from(["sansftp", "run", "p"]).command {
            Command::Run(args) => run(&args, &self.environment),
            _ => panic!("not a run"),
        }
    }
}

const TWO_STEPS: &str = "\
[operations.look]
action = 'list'

[operations.put]
action = 'send'

[processes.p]
steps = [ { connection = 'a', operation = 'look' }, { connection = 'b', operation = 'put' } ]
";

#[test]
fn a_step_goes_through_the_configured_jump_hosts() {
    let gate = "[connections.gate]\nhost = 'gate.example'\nuser = 'me'\n";
    let ends = "[connections.a]\nhost = 'a'\njump = ['gate']\n[connections.b]\nhost = 'b'\n";
    let process = place()
        .process(&format!("{gate}{ends}{TWO_STEPS}"))
        .unwrap();
    let [Jump::Connection(through)] = &process.steps[0].connection.jump[..] else {
        panic!("{:?}", process.steps[0].connection.jump);
    };
    assert_eq!(through.host, "gate.example");
}

#[test]
fn a_process_shows_the_password_of_the_environment_to_one_account_at_most() {
    let mut place = place();
    place.environment.password = true;
    let variable = Some(SecretRef::Env(PASSWORD_VARIABLE.to_owned()));
    let with_key = "[connections.a]\nhost = 'a'\nprivate-key = 'k'\n";
    let bare = "[connections.b]\nhost = 'b'\nuser = 'u'\n";
    let process = place
        .process(&format!("{with_key}{bare}{TWO_STEPS}"))
        .unwrap();
    let passwords = process.steps.iter().map(|step| &step.connection.password);
    assert_eq!(passwords.collect::<Vec<_>>(), [&None, &variable]);

    let other = "[connections.a]\nhost = 'a'\n";
    let error = place
        .process(&format!("{other}{bare}{TWO_STEPS}"))
        .unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.message().contains("u@b:22"), "{error}");

    let same = "[connections.a]\nhost = 'b'\nuser = 'u'\n";
    let process = place.process(&format!("{same}{bare}{TWO_STEPS}")).unwrap();
    assert!(
        process
            .steps
            .iter()
            .all(|step| step.connection.password == variable)
    );
}

#[test]
fn a_tilde_at_the_front_of_a_path_is_the_home_in_each_key_and_flag() {
    let place = place();
    let text = r#"
[connections.gate]
host = "gate"
password = { file = "~/password" }

[connections.there]
host = "there"
jump = ["gate"]
private-key = "~/key"
certificate = "~/certificate"
known-hosts-file = "~/known"
transcript = "~/transcript"

[operations.fetch]
action = "get"
journal = "~/journal"

[operations.put]
action = "send"
journal = "~/journal"

[processes.through]
steps = [ { connection = "there", operation = "fetch" }, { connection = "there", operation = "put" } ]
"#;
    fs::write(place.directory.path().join("sansftp.toml"), text).unwrap();
    let home = |name: &str| PathBuf::from("/users/me").join(name);
    let journal = |operation: &Operation| match operation {
        Operation::Get(get) => get.journal.clone(),
        Operation::Send(send) => send.journal.clone(),
        _ => None,
    };
    let check = |connection: &Connection| {
        let key = connection.private_key.clone();
        assert_eq!(key, Some(PrivateKey::Path(home("key"))));
        assert_eq!(connection.certificate, Some(home("certificate")));
        assert_eq!(connection.known_hosts_file, Some(home("known")));
        assert_eq!(connection.transcript, Some(home("transcript")));
        let Jump::Connection(gate) = &connection.jump[0] else {
            panic!("{:?}", connection.jump);
        };
        assert_eq!(gate.password, Some(SecretRef::File(home("password"))));
    };
    let fetched = place.plan(&["get", "there", "--operation", "fetch"]);
    let fetched = fetched.unwrap();
    check(&fetched.connection);
    assert_eq!(journal(&fetched.operation), Some(home("journal")));
    let sent = place.plan(&["send", "there", "file", "--journal=~/other"]);
    assert_eq!(journal(&sent.unwrap().operation), Some(home("other")));
    let Command::Run(args) = Cli::parse_from(["sansftp", "run", "through"]).command else {
        panic!("no process");
    };
    let process = run(&args, &place.environment).unwrap();
    assert_eq!(process.steps.len(), 2);
    for step in &process.steps {
        check(&step.connection);
        assert_eq!(journal(&step.operation), Some(home("journal")));
    }
    let nowhere = place.refusal(&["get", "there", "--into", "~/nowhere"]);
    assert!(nowhere.contains("/users/me/nowhere"), "{nowhere}");
}
