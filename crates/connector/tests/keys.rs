//! Every key of a connection and of each operation, with a value that is not its default, through
//! TOML and JSON and back. A key that is added fails here until it is written down.
//!
//! Not what a key does: that is in the tests of each row.

use std::collections::BTreeSet;
use std::fmt::Debug;

use sansftp_connector::connection::Connection;
use sansftp_connector::keys_of;
use sansftp_connector::operation::{Delete, Get, List, Operation, Send};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONNECTION: &str = r#"
host = "sftp.partner.example"
port = 2222
user = "edi"
password = { env = "PASSWORD" }
private-key = "~/keys/partner.ppk"
passphrase = { command = ["pass", "show", "partner"] }
certificate = "~/keys/partner-cert.pub"
agent = true
known-host = ["sftp.partner.example ssh-ed25519 AAAA", "SHA256:abc"]
known-hosts-file = "known_hosts"
host-key-policy = "accept-new"
algorithms = "modern,cipher=aes256-ctr:aes128-ctr"
jump = ["me@gate.example:2222"]
bind = "10.0.0.7"
ssh-config = true
remote-directory = "in"
connect-timeout = "31s"
request-timeout = "45s"
durable-timeout = "11m"
operation-timeout = "2h"
keepalive = "20s"
max-sessions = 3
retries = 5
retry-delay = "2s to 10s"
memory = "32MiB"
upload-channels = 4
rekey-limit = "1GiB"
compression = true
update-host-keys = true
transcript = "transcript.jsonl"
proxy = { type = "http", host = "proxy.example", port = 3128, user = "me", password = { env = "PROXY" } }
"#;

const GET: &str = r#"
remote-directory = "out"
file-filter = "ord*.csv;!*.tmp"
filter = "size > 0 and not name = \"a\""
max-files = 25
sort = "-modified"
hidden = true
recursive = true
max-depth = 3
stable-for = "10s"
min-age = "5m"
done-file = "{name}.done"
move-to-directory = "out/done"
force-move = true
move-collision = "error"
create-directories = true
after = "eager"
after-failure = "warn"
checksum = true
local-if-exists = "rename"
resume = false
journal = "journal.sqlite"
journal-keep = "2160h"
symlinks = "follow"
"#;

const SEND: &str = r#"
if-exists = "overwrite"
remote-directory = "in"
move-to-directory = "ready"
force-move = true
move-collision = "error"
staging-directory = "tmp"
temporary-name = "{name}.{uuid}.tmp"
in-place = true
allow-truncate = true
resume = false
journal = "journal.sqlite"
journal-keep = "2160h"
stop-on-error = true
create-directories = true
name-template = "{base}-{date}.{extension}"
time-zone = "Europe/Zurich"
permissions = "0640"
preserve-modified = true
fsync = false
verify = "hash"
checksum = true
symlinks = "follow"
"#;

const LIST: &str = r#"
remote-directory = "out"
file-filter = "*.csv"
filter = "not is-directory = false or age >= 1h30m"
max-files = 3
sort = "size"
hidden = true
recursive = true
max-depth = 7
symlinks = "follow"
"#;

const DELETE: &str = r#"
remote-directory = "out"
missing-ok = true
directories = true
stop-on-error = true
"#;

#[test]
fn every_key_of_a_connection_survives_being_written_and_read() {
    let connection: Connection = survives(CONNECTION);
    connection.validate().unwrap();
}

#[test]
fn every_key_of_get_survives_being_written_and_read() {
    survives::<Get>(GET);
}

#[test]
fn every_key_of_send_survives_being_written_and_read() {
    survives::<Send>(SEND);
}

#[test]
fn every_key_of_list_survives_being_written_and_read() {
    survives::<List>(LIST);
}

#[test]
fn every_key_of_delete_survives_being_written_and_read() {
    survives::<Delete>(DELETE);
}

#[test]
fn every_action_survives_being_written_and_read() {
    for (action, keys) in [
        ("get", GET),
        ("get-and-delete", GET),
        ("get-and-move", GET),
        ("send", SEND),
        ("list", LIST),
        ("delete", DELETE),
    ] {
        let text = format!("action = \"{action}\"\n{keys}");
        let operation: Operation = toml::from_str(&text).unwrap();
        assert_eq!(again(&operation), operation);
        assert_eq!(serde_json::to_value(&operation).unwrap()["action"], action);
    }
}

#[test]
fn each_form_of_a_secret_survives_but_the_secret_itself() {
    for key in [
        "'path'",
        "{ env = 'KEY' }",
        "{ file = 'key' }",
        "{ command = ['pass', 'key'] }",
    ] {
        let connection: Connection =
            toml::from_str(&format!("host = 'h'\nprivate-key = {key}")).unwrap();
        assert_eq!(again(&connection), connection, "{key}");
    }
    let open: Connection = toml::from_str("host = 'h'\npassword = 'hunter2'").unwrap();
    assert!(!serde_json::to_string(&open).unwrap().contains("hunter2"));
    assert!(!toml::to_string(&open).unwrap().contains("hunter2"));
}

/// Reads the text as `T`; all its keys are there, none has its default, and none is lost.
#[track_caller]
fn survives<T>(text: &str) -> T
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Default,
{
    let written: toml::Table = toml::from_str(text).unwrap();
    let here: BTreeSet<&str> = written.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = keys_of::<T>().iter().copied().collect();
    assert_eq!(here, known, "each key stands in this test once");
    let default = toml::Table::try_from(T::default()).unwrap();
    for (key, value) in &written {
        assert_ne!(Some(value), default.get(key), "{key} has its default here");
    }
    let value: T = toml::from_str(text).unwrap();
    let back = toml::Table::try_from(&value).unwrap();
    assert_eq!(back, written, "each key is written as it was read");
    assert_eq!(again(&value), value);
    value
}

/// Through TOML, and what came of it through JSON.
#[track_caller]
fn again<T: Serialize + DeserializeOwned + Debug>(value: &T) -> T {
    let text = toml::to_string(value).unwrap();
    let back: T = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let json = serde_json::to_string(&back).unwrap();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}\n{json}"))
}
