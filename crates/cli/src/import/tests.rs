//! That what comes out is a configuration of ours, with what the component says and nothing else.

use std::path::Path;

use sansftp_connector::connection::{Connection, PrivateKey, SecretRef};
use sansftp_connector::document::Properties;
use sansftp_connector::operation::{Get, GetAction, IfExists, Operation, Send};

use super::import;
use crate::config::Config;

const PASSWORD: &[u8] = include_bytes!("samples/connection-password.xml");
const KEY_AND_PROXY: &[u8] = include_bytes!("samples/connection-key-proxy.xml");
const GET: &[u8] = include_bytes!("samples/operation-get.xml");
const GET_DELETE: &[u8] = include_bytes!("samples/operation-get-delete.xml");
const GET_MOVE: &[u8] = include_bytes!("samples/operation-get-move.xml");
const APPEND: &[u8] = include_bytes!("samples/operation-send-append.xml");
const ERROR: &[u8] = include_bytes!("samples/operation-send-error.xml");
const OVERWRITE: &[u8] = include_bytes!("samples/operation-send-overwrite.xml");
const RENAME: &[u8] = include_bytes!("samples/operation-send-rename.xml");

const ALL: [&[u8]; 9] = [
    PASSWORD,
    KEY_AND_PROXY,
    GET,
    GET_DELETE,
    GET_MOVE,
    APPEND,
    ERROR,
    OVERWRITE,
    RENAME,
];

/// The configuration, its text, and the remarks.
fn imported(documents: &[&[u8]]) -> (Config, String, String) {
    let documents: Vec<(String, Vec<u8>)> = documents
        .iter()
        .enumerate()
        .map(|(number, document)| (format!("{number}.xml"), document.to_vec()))
        .collect();
    let (text, remarks) = import(&documents).unwrap_or_else(|errors| panic!("{errors:?}"));
    let config = Config::parse(Path::new("s.toml"), text.as_bytes());
    let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
    (config, text, remarks)
}

fn refusal(document: &[u8]) -> String {
    let errors = import(&[("c.xml".to_owned(), document.to_vec())]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].hint().is_some() && errors[0].message().starts_with("c.xml: "));
    errors[0].message().to_owned()
}

fn settings(inner: &str) -> Vec<u8> {
    format!(
        "<Component name='C' type='connector-settings' subType='sftp'><object>{inner}</object></Component>"
    )
    .into_bytes()
}

fn operation(inner: &str) -> Vec<u8> {
    settings(&format!(
        "<Operation><Configuration>{inner}</Configuration></Operation>"
    ))
}

fn connection<'a>(config: &'a Config, name: &str) -> &'a Connection {
    &config.connection(name).unwrap().value
}

fn the_operation<'a>(config: &'a Config, name: &str) -> &'a Operation {
    &config.operation(name).unwrap().value
}

#[test]
fn a_connection_with_a_password_becomes_one_with_a_reference() {
    let (config, text, remarks) = imported(&[PASSWORD]);
    let expected = Connection {
        host: "sftp.partner.example".to_owned(),
        port: 2222,
        user: Some("edi-user".to_owned()),
        password: Some(SecretRef::Env("PARTNER_SFTP_PASSWORD".to_owned())),
        ..Connection::default()
    };
    assert_eq!(connection(&config, "partner-sftp"), &expected);
    assert!(!text.contains("0a1b2c3d") && !remarks.contains("0a1b2c3d"));
    assert!(text.contains("\n# known-host = "), "{text}");
    assert!(remarks.contains("sansftp trust"), "{remarks}");
    assert!(!text.contains("proxy"), "{text}");
}

#[test]
fn a_connection_with_a_key_and_a_proxy_keeps_both() {
    let (config, text, remarks) = imported(&[KEY_AND_PROXY]);
    let bank = connection(&config, "bank-sftp-key-proxy");
    assert_eq!((bank.host.as_str(), bank.port), ("bank.example", 22));
    let key = PrivateKey::Path("/opt/keys/bank.ppk".into());
    assert_eq!(bank.private_key, Some(key));
    assert_eq!((&bank.password, &bank.passphrase), (&None, &None));
    assert!(bank.known_host[0].starts_with("bank.example ssh-ed25519 AAAA"));
    assert!(
        text.contains(
            "proxy = { type = \"socks5\", host = \"proxy.corp.example\", port = 1080, user = \"px\" }"
        ),
        "{text}"
    );
    assert!(text.contains("1024 bits") && remarks.contains("1024 bits"));
}

#[test]
fn each_action_of_get_keeps_what_it_has() {
    let (config, text, remarks) = imported(&[GET, GET_DELETE, GET_MOVE]);
    let get = |get: Get| Operation::Get(get);
    let set = |text: &str| Some(text.to_owned());
    let plain = get(Get {
        remote_directory: set("in"),
        file_filter: set("*"),
        ..Get::default()
    });
    assert_eq!(the_operation(&config, "get"), &plain);
    let deleting = get(Get {
        action: GetAction::GetAndDelete,
        file_filter: set("report[1]*.txt"),
        ..Get::default()
    });
    assert_eq!(the_operation(&config, "get-and-delete"), &deleting);
    let moving = get(Get {
        action: GetAction::GetAndMove,
        remote_directory: set("/outbox"),
        file_filter: set("ord*.csv"),
        max_files: 25,
        move_to_directory: set("/done"),
        force_move: true,
        ..Get::default()
    });
    assert_eq!(the_operation(&config, "get-orders"), &moving);
    assert!(text.contains("archiving into '/var/archive'"), "{text}");
    assert!(
        remarks.contains("get: archiving into '/var/archive'"),
        "{remarks}"
    );
    assert!(remarks.contains("get-and-delete, get-orders: a file is deleted or moved once"));
    assert!(remarks.contains("begin with a dot"), "{remarks}");
}

#[test]
fn each_action_of_send_keeps_what_it_has() {
    let (config, _, remarks) = imported(&[APPEND, ERROR, OVERWRITE, RENAME]);
    let send = |if_exists, move_to: Option<&str>| {
        Operation::Send(Send {
            if_exists,
            remote_directory: Some("/incoming".to_owned()),
            move_to_directory: move_to.map(str::to_owned),
            ..Send::default()
        })
    };
    for (name, expected) in [
        ("send-append", send(IfExists::Append, None)),
        ("send-error", send(IfExists::Error, None)),
        ("send-overwrite", send(IfExists::Overwrite, None)),
        ("send-rename", send(IfExists::Rename, Some("/ready"))),
    ] {
        assert_eq!(the_operation(&config, name), &expected);
        expected.validate(&Properties::default()).unwrap();
    }
    assert!(
        remarks.contains("send-rename: the first free of output.txt"),
        "{remarks}"
    );
}

#[test]
fn missing_attributes_have_the_defaults_of_the_original() {
    let (config, _, _) = imported(&[&operation("<SFTPSendAction/>")]);
    assert_eq!(
        the_operation(&config, "c"),
        &Operation::Send(Send::default())
    );
    let (config, _, _) = imported(&[&operation("<SFTPGetAction/>")]);
    assert_eq!(the_operation(&config, "c"), &Operation::Get(Get::default()));
    let (config, _, remarks) = imported(&[&settings("<SFTPSettings/>")]);
    assert_eq!(connection(&config, "c"), &Connection::default());
    assert!(
        remarks.contains("c: the component has no host"),
        "{remarks}"
    );
}

#[test]
fn several_components_share_one_file_and_no_name() {
    let (config, text, _) = imported(&[&ALL[..], &ALL[..]].concat());
    for name in ["partner-sftp", "partner-sftp-2", "bank-sftp-key-proxy-2"] {
        config.connection(name).unwrap();
    }
    for name in ["get", "get-2", "get-orders-2", "send-rename-2"] {
        config.operation(name).unwrap();
    }
    assert!(text.contains("{ env = \"PARTNER_SFTP_2_PASSWORD\" }"));
    let nameless = operation("<SFTPGetAction/>");
    let nameless = String::from_utf8(nameless)
        .unwrap()
        .replace("name='C'", "name=' # '");
    let (config, _, _) = imported(&[nameless.as_bytes()]);
    config.operation("operation").unwrap();
}

#[test]
fn the_known_host_entry_is_an_element_or_an_attribute() {
    let options = "<SSHOptions knownHostEntry='h ssh-ed25519 AAAA'/>";
    let (config, _, _) = imported(&[&settings(&format!(
        "<SFTPSettings host='h'>{options}</SFTPSettings>"
    ))]);
    assert_eq!(connection(&config, "c").known_host, ["h ssh-ed25519 AAAA"]);
    let options =
        "<SSHOptions knownHostEntry='a'><knownHostEntry>a\nb</knownHostEntry></SSHOptions>";
    let (config, _, _) = imported(&[&settings(&format!(
        "<SFTPSettings host='h'>{options}</SFTPSettings>"
    ))]);
    assert_eq!(connection(&config, "c").known_host, ["a", "b"]);
}

#[test]
fn secrets_become_references_where_there_is_something_to_open() {
    let with = |options: &str| {
        let auth = "<AuthSettings user='u' password='00ff'/>";
        settings(&format!(
            "<SFTPSettings host='h'>{auth}<SSHOptions {options}/></SFTPSettings>"
        ))
    };
    let (config, text, _) = imported(&[&with(
        "sshkeyauth='true' sshkeypath='k' sshkeypassword='77'",
    )]);
    let reference = |name: &str| Some(SecretRef::Env(name.to_owned()));
    assert_eq!(
        connection(&config, "c").passphrase,
        reference("C_PASSPHRASE")
    );
    assert_eq!(connection(&config, "c").password, None);
    assert!(
        text.contains("\n# password = { env = \"C_PASSWORD\" }"),
        "{text}"
    );
    let (config, _, _) = imported(&[&with(
        "sshkeyauth='false' sshkeypath='k' sshkeypassword='77'",
    )]);
    assert_eq!(connection(&config, "c").private_key, None);
    assert_eq!(connection(&config, "c").passphrase, None);
    assert_eq!(connection(&config, "c").password, reference("C_PASSWORD"));
    let (config, text, _) = imported(&[&with("sshkeyauth='true' sshkeypassword='77'")]);
    assert_eq!(connection(&config, "c").passphrase, None);
    assert!(text.contains("\n# private-key = "), "{text}");
    connection(&config, "c").validate().unwrap();
}

#[test]
fn each_type_of_proxy_has_its_own_of_ours() {
    let with = |proxy: &str| {
        let proxy = format!("<ProxySettings proxyEnabled='true' {proxy}/>");
        imported(&[&settings(&format!(
            "<SFTPSettings host='h'>{proxy}</SFTPSettings>"
        ))])
    };
    let at = "host='p' port='8080' user='u' password='00'";
    for (kind, ours) in [
        (
            "HTTP",
            "proxy = { type = \"http\", host = \"p\", port = 8080, user = \"u\", password = { env = \"C_PROXY_PASSWORD\" } }",
        ),
        (
            "SOCKS4",
            "proxy = { type = \"socks4\", host = \"p\", port = 8080, user = \"u\" }",
        ),
        (
            "SOCKS5",
            "proxy = { type = \"socks5\", host = \"p\", port = 8080, user = \"u\", password = { env = \"C_PROXY_PASSWORD\" } }",
        ),
        ("ATOM", "proxy = { type = \"runtime\" }"),
    ] {
        let (_, text, _) = with(&format!("type='{kind}' {at}"));
        assert!(text.contains(&format!("\n{ours}\n")), "{text}");
    }
    let (_, text, _) = with("");
    assert!(
        text.contains("\nproxy = { type = \"runtime\" }\n"),
        "{text}"
    );
    let (config, _, remarks) = with("type='SOCKS5' host='p' password='00'");
    connection(&config, "c").validate().unwrap();
    assert!(remarks.contains("a password and no user"), "{remarks}");
    let (_, text, remarks) = with("type='CARRIER-PIGEON' host='p'");
    assert!(!text.contains("\nproxy"), "{text}");
    assert!(remarks.contains("CARRIER-PIGEON"), "{remarks}");
}

#[test]
fn what_nobody_knows_is_named_with_its_path_and_without_its_value() {
    let document = settings(
        "<SFTPSettings host='h' colour='mauve'><Extra><Deep/></Extra><SSHOptions cipher='mauve'/></SFTPSettings>",
    );
    let (_, text, remarks) = imported(&[&document]);
    for path in [
        "/Component/object/SFTPSettings/@colour",
        "/Component/object/SFTPSettings/Extra",
        "/Component/object/SFTPSettings/SSHOptions/@cipher",
    ] {
        assert!(remarks.contains(&format!("c: {path}\n")), "{remarks}");
    }
    assert!(!text.contains("mauve") && !remarks.contains("mauve"));
    let (_, _, remarks) = imported(&[&operation(
        "<SFTPGetAction maxFileCount='-1' moveToForceOverride='1'/>",
    )]);
    assert!(
        remarks.contains("SFTPGetAction/@maxFileCount (no number"),
        "{remarks}"
    );
    assert!(
        remarks.contains("@moveToForceOverride (neither true nor false"),
        "{remarks}"
    );
    for sample in ALL {
        let (_, _, remarks) = imported(&[sample]);
        assert!(!remarks.contains("/Component/"), "{remarks}");
    }
}

#[test]
fn a_move_that_the_action_does_not_make_is_not_configured() {
    let moving = "moveToDirectory='d' moveToForceOverride='true'";
    let (config, text, remarks) = imported(&[&operation(&format!("<SFTPGetAction {moving}/>"))]);
    assert_eq!(the_operation(&config, "c"), &Operation::Get(Get::default()));
    assert!(
        text.contains("move-to") && remarks.contains("Not taken over"),
        "{remarks}"
    );
    let (config, _, remarks) =
        imported(&[&operation("<SFTPSendAction moveToForceOverride='true'/>")]);
    the_operation(&config, "c")
        .validate(&Properties::default())
        .unwrap();
    assert!(remarks.contains("without a move-to directory"), "{remarks}");
}

#[test]
fn a_filter_takes_what_it_took_there() {
    use sansftp_connector::{DotRule, NameFilter};
    for (pattern, name) in [
        ("a;b*", "a;bc"),
        ("!a", "!a"),
        ("regex:.*", "regex:.x"),
        ("[a]?{b}", "[a]x{b}"),
        ("a\\*", "a\\bc"),
    ] {
        let (config, _, _) = imported(&[&operation(&format!(
            "<SFTPGetAction fileToMove='{pattern}'/>"
        ))]);
        let Operation::Get(get) = the_operation(&config, "c") else {
            panic!("not a get");
        };
        let filter = NameFilter::parse(get.file_filter.as_ref().unwrap().as_bytes()).unwrap();
        assert!(
            filter.takes(name.as_bytes(), DotRule::Explicit),
            "{pattern}"
        );
        for other in ["a", "b", "bc", "anything"] {
            assert!(
                !filter.takes(other.as_bytes(), DotRule::Explicit),
                "{pattern}"
            );
        }
    }
}

#[test]
fn what_is_no_component_of_sftp_is_refused_in_clear_words() {
    assert!(refusal(b"[connections.a]").contains("not the XML of a component"));
    assert!(refusal(b"\x89PNG\r\n").contains("not the XML of a component"));
    assert!(refusal(b"<html/>").contains("outermost element is html"));
    let process = b"<Component type='process' name='P'><object><process/></object></Component>";
    assert!(refusal(process).contains("another kind of component (type 'process'"));
    let other =
        b"<Component type='connector-action' subType='http'><object><Operation><Configuration>\
        <HttpGetAction/></Configuration></Operation></object></Component>";
    assert!(refusal(other).contains("subType 'http'"));
    let steal = operation("<SFTPGetAction sftpaction='actionsteal'/>");
    assert!(refusal(&steal).contains("'actionsteal'"));
    let errors = import(&[
        ("a".to_owned(), b"<a/>".to_vec()),
        ("b".to_owned(), Vec::new()),
    ]);
    assert_eq!(errors.unwrap_err().len(), 2, "each file is told of");
}

#[test]
fn no_bytes_bring_it_down_and_whatever_comes_out_can_be_read() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let pieces: [&[u8]; 12] = [
        b"<",
        b">",
        b"\"",
        b"'",
        b"\n",
        b"&#10;",
        b"&#x1b;",
        b"\\",
        b"]",
        b"\xc3\xa9",
        b"\xff",
        b"\x7f",
    ];
    let mut imported = 0;
    for round in 0..4000 {
        let mut document = ALL[round % ALL.len()].to_vec();
        for _ in 0..=draw(4) {
            let at = draw(document.len());
            match draw(4) {
                0 => document[at] = u8::try_from(draw(256)).unwrap(),
                1 => document.truncate(at + 1),
                2 => {
                    let end = (at + draw(40)).min(document.len());
                    document.drain(at..end);
                    if document.is_empty() {
                        document.push(b'<');
                    }
                }
                _ => {
                    let piece = pieces[draw(pieces.len())];
                    document.splice(at..at, piece.iter().copied());
                }
            }
        }
        let Ok((text, _)) = import(&[("a\nb".to_owned(), document)]) else {
            continue;
        };
        imported += 1;
        let read = Config::parse(Path::new("s.toml"), text.as_bytes());
        read.unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    assert!(
        imported > 400,
        "only {imported} of the changed ones were components"
    );
}
