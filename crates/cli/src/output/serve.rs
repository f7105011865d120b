//! What a server tells: where it is and how to reach it, and then a line for each thing that happens.
//!
//! People read on standard error, programs read JSON on standard output. A thread of its own writes:
//! whoever does not read the log holds no session up. Names from clients are escaped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use indicatif::BinaryBytes;
use sansftp_connector::document::Properties;
use sansftp_connector::printable;
use sansftp_server::service::{Event, What};
use sansftp_server::sftp::ClosedBy;
use sansftp_server::users::Proof;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::Form;
use crate::args::OutputArgs;

/// Lines that wait to be written. When there are more, new ones are counted instead.
const WAITING: usize = 4096;
/// How long the end of the program waits for a reader of the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the events of a server go. Clones are the same log.
#[derive(Clone, Debug)]
pub(crate) struct ServeLog {
    form: Form,
    detail: super::Detail,
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Text(String),
    /// Everything before this has been written.
    Flush(SyncSender<()>),
}

/// What clients need to know.
#[derive(Debug)]
pub(crate) struct Listening<'a> {
    /// What is served, as it is to be shown.
    pub(crate) directory: &'a str,
    /// Whether files can be changed.
    pub(crate) writable: bool,
    /// Where it listens.
    pub(crate) address: std::net::SocketAddr,
    /// The name or address that clients on this machine use.
    pub(crate) host: &'a str,
    /// Type, base64 and fingerprint of each host key.
    pub(crate) keys: &'a [HostKeyShown],
    /// Certificates for them.
    pub(crate) certificates: &'a [HostCertificateShown],
    /// The one user, if there is one.
    pub(crate) user: Option<&'a str>,
    /// The password made for this run.
    pub(crate) password: Option<&'a str>,
}

/// A host key for people and programs.
#[derive(Debug)]
pub(crate) struct HostKeyShown {
    /// Type and base64.
    pub(crate) key: String,
    /// `SHA256:…`
    pub(crate) fingerprint: String,
    /// The line of a known_hosts file.
    pub(crate) known_hosts: String,
}

/// A certificate of a host key for people and programs.
#[derive(Debug)]
pub(crate) struct HostCertificateShown {
    /// What the authority calls it, as it is to be shown.
    pub(crate) id: String,
    /// The hosts that it is for, as they are to be shown.
    pub(crate) names: Vec<String>,
    /// The fingerprint of the authority's key.
    pub(crate) authority: String,
    /// When it ends, if it does.
    pub(crate) expires: Option<SystemTime>,
    /// The line of a known_hosts file that makes clients trust the authority.
    pub(crate) known_hosts: Option<String>,
}

impl HostCertificateShown {
    fn expires(&self) -> Option<String> {
        let end = jiff::Timestamp::try_from(self.expires?).ok()?;
        Some(end.to_string())
    }
}

impl ServeLog {
    /// As the flags want it.
    pub(crate) fn new(args: &OutputArgs) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let form = if args.json { Form::Json } else { Form::Human };
        let told = Arc::clone(&lost);
        std::thread::spawn(move || write_all(&waiting, form, &told));
        Self {
            form,
            detail: super::Detail::of(args),
            lines,
            lost,
        }
    }

    /// That it listens, and how to get there.
    pub(crate) fn listening(&self, listening: &Listening<'_>) {
        match self.form {
            Form::Json => self.put(json_listening(listening)),
            // This is the command's result, and not its log.
            Form::Human if self.detail == super::Detail::Quiet => {}
            Form::Human => {
                let text = human_listening(listening);
                let mut stdout = io::stdout().lock();
                // Whoever does not want to read it still gets a server.
                let _ = stdout
                    .write_all(text.as_bytes())
                    .and_then(|()| stdout.flush());
            }
        }
    }

    /// Something happened.
    pub(crate) fn event(&self, event: &Event) {
        let line = match self.form {
            Form::Json => Some(json_event(event)),
            Form::Human => human_event(event, self.detail),
        };
        if let Some(line) = line {
            self.put(line);
        }
    }

    /// Something about the server as a whole.
    pub(crate) fn say(&self, event: &'static str, words: &str) {
        match self.form {
            Form::Json => {
                let mut line = Fields::default();
                line.put("event", json!(event));
                line.put("time", json!(now_utc()));
                line.put("message", json!(words));
                self.put(line.text());
            }
            Form::Human if self.detail == super::Detail::Quiet => {}
            Form::Human => self.put(format!("{}  {words}", now_local())),
        }
    }

    /// Waits until everything is written, or nobody reads it.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            // Who has not read it by then does not.
            let _ = written.recv_timeout(PATIENCE);
        }
    }

    fn put(&self, line: String) {
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(lines: &Receiver<Line>, form: Form, lost: &AtomicU64) {
    let write = |text: &str| -> io::Result<()> {
        match form {
            Form::Json => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()
            }
            Form::Human => io::stderr().lock().write_all(text.as_bytes()),
        }
    };
    for line in lines {
        match line {
            Line::Text(mut text) => {
                text.push('\n');
                match lost.swap(0, Ordering::Relaxed) {
                    0 => {}
                    lost => text.push_str(&lost_lines(form, lost)),
                }
                // A log that nobody takes is no reason to stop serving.
                let _ = write(&text);
            }
            Line::Flush(done) => drop(done),
        }
    }
}

fn lost_lines(form: Form, lost: u64) -> String {
    match form {
        Form::Json => {
            let mut line = Fields::default();
            line.put("event", json!("log-lost"));
            line.put("time", json!(now_utc()));
            line.put("lines", json!(lost));
            line.text() + "\n"
        }
        Form::Human => format!(
            "{}  {lost} lines of this log are lost: it was not read\n",
            now_local()
        ),
    }
}

fn now_utc() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn now_local() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn human_listening(listening: &Listening<'_>) -> String {
    let Listening {
        directory,
        writable,
        address,
        host,
        keys,
        certificates,
        user,
        password,
    } = listening;
    let port = address.port();
    let how = if *writable { "" } else { ", read-only" };
    let mut text = format!("serving {directory}{how} on {address}\n\n");
    let mut row = |what: &str, value: &str| text.push_str(&format!("{what:<12} {value}\n"));
    for key in *keys {
        row("host key", &key.fingerprint);
    }
    for it in *certificates {
        let names = it.names.join(", ");
        let end = it
            .expires()
            .map_or_else(String::new, |end| format!(", until {end}"));
        let (id, authority) = (&it.id, &it.authority);
        row(
            "certificate",
            &format!("{id} for {names}{end}, authority {authority}"),
        );
    }
    for key in *keys {
        row("known_hosts", &key.known_hosts);
    }
    for line in certificates.iter().filter_map(|it| it.known_hosts.as_ref()) {
        row("known_hosts", line);
    }
    if let Some(user) = user {
        row("user", user);
    }
    if let Some(password) = password {
        row("password", &format!("{password} (made for this run)"));
    }
    let Some(key) = keys.first() else {
        return text;
    };
    let at = user.map_or_else(|| "USER".to_owned(), ToOwned::to_owned);
    let (sftp_to, url_host) = match host.contains(':') {
        true => (format!("{at}@[{host}]"), format!("[{host}]")),
        false => (format!("{at}@{host}"), (*host).to_owned()),
    };
    text.push_str(&format!(
        "\nsftp -P {port} -o StrictHostKeyChecking=yes -o UserKnownHostsFile=none \
         -o 'KnownHostsCommand=/bin/echo %H {key}' {sftp_to}\n\
         sansftp get sftp://{at}@{url_host}:{port}/ --known-host '{key}' --into .\n\n",
        key = key.key,
        sftp_to = quoted(&sftp_to),
        at = percent(&at),
    ));
    text
}

/// For a shell, where that needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_:[]+".contains(c);
    if word.chars().all(plain) && !word.contains('[') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A user's name in a URL.
fn percent(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn json_listening(listening: &Listening<'_>) -> String {
    let keys: Vec<Value> = listening
        .keys
        .iter()
        .map(|key| {
            json!({"key": key.key, "fingerprint": key.fingerprint, "known-hosts": key.known_hosts})
        })
        .collect();
    let certificates: Vec<Value> = listening
        .certificates
        .iter()
        .map(|it| {
            json!({
                "id": it.id,
                "names": it.names,
                "authority": it.authority,
                "expires": it.expires(),
                "known-hosts": it.known_hosts,
            })
        })
        .collect();
    let mut line = Fields::default();
    line.put("event", json!("listening"));
    line.put("time", json!(now_utc()));
    line.put("address", json!(listening.address));
    line.put("port", json!(listening.address.port()));
    line.put("directory", json!(listening.directory));
    line.put("read-only", json!(!listening.writable));
    line.put("user", json!(listening.user));
    line.put("host-keys", json!(keys));
    line.put("host-certificates", json!(certificates));
    line.text()
}

fn human_event(event: &Event, detail: super::Detail) -> Option<String> {
    use super::Detail::{Normal, Verbose};
    let (least, words) = match &event.what {
        What::Connected => (Verbose, "connected".to_owned()),
        What::Denied {
            user,
            method,
            fingerprint,
        } => {
            let mut words = format!("{method} of {} denied", shown(user.as_bytes()));
            words.extend(fingerprint.iter().map(|it| format!(", key {it}")));
            // Clients offer one key after the other: that the first is not the right one is no news.
            let least = if *method == "publickey" {
                Verbose
            } else {
                Normal
            };
            (least, words)
        }
        What::Refused { reason } => (Normal, format!("not let in: {}", shown(reason.as_bytes()))),
        What::Authenticated { proofs, client } => {
            let proofs: Vec<_> = proofs.iter().map(human_proof).collect();
            let proofs = proofs.join(" and ");
            (
                Normal,
                format!("authenticated by {proofs}, client {}", shown(client)),
            )
        }
        What::Declined { request } => (Normal, format!("{request} refused: only SFTP is served")),
        What::SftpStarted => (Verbose, "SFTP session started".to_owned()),
        What::Transferred {
            path,
            read,
            written,
            time,
            by,
            failure,
        } => {
            let mut words = Vec::new();
            if *read > 0 || *written == 0 {
                words.push(format!("{} read", BinaryBytes(*read)));
            }
            if *written > 0 {
                words.push(format!("{} written", BinaryBytes(*written)));
            }
            let seconds = time.as_secs_f64();
            let mut words = format!("{}: {} in {seconds:.1} s", shown(path), words.join(", "));
            if *by == ClosedBy::End {
                words.push_str("; cut off");
            }
            words.extend(
                failure
                    .iter()
                    .map(|it| format!("; {}", shown(it.as_bytes()))),
            );
            (Normal, words)
        }
        What::NotOpened { path, failure } => (
            Verbose,
            format!("open {}: {}", shown(path), shown(failure.as_bytes())),
        ),
        What::Changed {
            request,
            path,
            to,
            failure,
        } => {
            let mut words = format!("{request} {}", shown(path));
            words.extend(to.iter().map(|to| format!(" -> {}", shown(to))));
            words.extend(
                failure
                    .iter()
                    .map(|it| format!(": {}", shown(it.as_bytes()))),
            );
            // To set times and modes is part of a transfer.
            let part = *request == "fsetstat" && failure.is_none();
            (if part { Verbose } else { Normal }, words)
        }
        What::SftpEnded {
            error: Some(error), ..
        } => (
            Normal,
            format!("SFTP session ended: {}", shown(error.as_bytes())),
        ),
        What::SftpEnded { .. } => (Verbose, "SFTP session ended".to_owned()),
        What::Disconnected { reason, time } => (
            Normal,
            format!(
                "disconnected after {:.1} s: {}",
                time.as_secs_f64(),
                shown(reason.as_bytes())
            ),
        ),
        _ => return None,
    };
    if detail < least {
        return None;
    }
    let mut line = format!("{}  #{}", now_local(), event.connection);
    match (&event.user, &event.peer) {
        (Some(user), _) => line.push_str(&format!(" {}", shown(user.as_bytes()))),
        (None, Some(peer)) => line.push_str(&format!(" {peer}")),
        (None, None) => {}
    }
    line.push_str(&format!("  {words}"));
    Some(line)
}

fn human_proof(proof: &Proof) -> String {
    let mut words = proof.method.name().to_owned();
    if !proof.fingerprint.is_empty() {
        words.push_str(&format!(" {}", proof.fingerprint));
    }
    if !proof.label.is_empty() {
        words.push_str(&format!(" ({})", shown(proof.label.as_bytes())));
    }
    words
}

fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    printable(bytes)
}

fn json_event(event: &Event) -> String {
    let mut fields = Fields::default();
    let mut names = Properties::default();
    let mut put = |name: &'static str, value: Value| fields.put(name, value);
    let name = match &event.what {
        What::Connected => "connected",
        What::Denied {
            user,
            method,
            fingerprint,
        } => {
            put("user", json!(user));
            put("method", json!(method));
            put("fingerprint", json!(fingerprint));
            "denied"
        }
        What::Refused { reason } => {
            put("reason", json!(reason));
            "refused"
        }
        What::Authenticated { proofs, client } => {
            put("proofs", proofs.iter().map(json_proof).collect());
            put("client", json!(printable(client)));
            "authenticated"
        }
        What::Declined { request } => {
            put("request", json!(request));
            "declined"
        }
        What::SftpStarted => "sftp-started",
        What::Transferred {
            path,
            read,
            written,
            time,
            by,
            failure,
        } => {
            names.set("path", path.clone());
            put("bytes-read", json!(read));
            put("bytes-written", json!(written));
            put("seconds", json!(seconds(*time)));
            put("cut-off", json!(*by == ClosedBy::End));
            put("failure", json!(failure));
            "transferred"
        }
        What::NotOpened { path, failure } => {
            names.set("path", path.clone());
            put("failure", json!(failure));
            "not-opened"
        }
        What::Changed {
            request,
            path,
            to,
            failure,
        } => {
            put("request", json!(request));
            names.set("path", path.clone());
            if let Some(to) = to {
                names.set("to", to.clone());
            }
            put("failure", json!(failure));
            "changed"
        }
        What::SftpEnded {
            read,
            written,
            error,
        } => {
            put("bytes-read", json!(read));
            put("bytes-written", json!(written));
            put("error", json!(error));
            "sftp-ended"
        }
        What::Disconnected { reason, time } => {
            put("reason", json!(reason));
            put("seconds", json!(seconds(*time)));
            "disconnected"
        }
        _ => "other",
    };
    let mut line = Fields::default();
    line.put("event", json!(name));
    line.put("time", json!(now_utc()));
    line.put("connection", json!(event.connection));
    line.put("peer", json!(event.peer));
    line.put("user", json!(event.user));
    line.0.append(&mut fields.0);
    if let Ok(Value::Object(names)) = serde_json::to_value(&names) {
        line.0.extend(names);
    }
    line.text()
}

fn json_proof(proof: &Proof) -> Value {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut fields = Fields::default();
    fields.put("method", json!(proof.method.name()));
    fields.put("fingerprint", json!(given(&proof.fingerprint)));
    fields.put("label", json!(given(&proof.label)));
    fields.0.into_iter().collect()
}

/// The fields of a JSON object in the order in which they are put.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Adds a field, unless there is nothing in it.
    fn put(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            self.0.push((name.to_owned(), value));
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("text, numbers and lists of them can be written as JSON")
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sansftp_proto::auth::Method;

    fn event_of(what: What) -> Event {
        Event::new(7, what)
    }

    fn listening(host: &str, user: Option<&str>) -> String {
        let keys = [HostKeyShown {
            key: "ssh-ed25519 AAAA".to_owned(),
            fingerprint: "SHA256:abc".to_owned(),
            known_hosts: format!("[{host}]:2022 ssh-ed25519 AAAA"),
        }];
        human_listening(&Listening {
            directory: "files",
            writable: false,
            address: "127.0.0.1:2022".parse().unwrap(),
            host,
            keys: &keys,
            certificates: &[],
            user,
            password: None,
        })
    }

    #[test]
    fn the_commands_name_the_server_as_each_client_wants_it() {
        let told = listening("::1", Some("edi"));
        assert!(told.contains(" 'edi@[::1]'\n"), "{told}");
        assert!(told.contains(" sftp://edi@[::1]:2022/ "), "{told}");
        let told = listening("h.example", Some("a b'c"));
        assert!(told.contains(r" 'a b'\''c@h.example'"), "{told}");
        assert!(
            told.contains(" sftp://a%20b%27c@h.example:2022/ "),
            "{told}"
        );
        let told = listening("h.example", None);
        assert!(told.contains(" USER@h.example\n"), "{told}");
        assert!(
            told.starts_with("serving files, read-only on 127.0.0.1:2022\n"),
            "{told}"
        );
    }

    #[test]
    fn an_event_begins_with_what_it_is_and_keeps_names_that_are_no_text() {
        let mut event = event_of(What::Changed {
            request: "rename",
            path: Bytes::from_static(b"/a\xff"),
            to: Some(Bytes::from_static(b"/b")),
            failure: None,
        });
        event.user = Some("edi".to_owned());
        let told: Value = serde_json::from_str(&json_event(&event)).unwrap();
        assert!(json_event(&event).starts_with(r#"{"event":"changed","time":""#));
        assert_eq!(told["path-base64"], "L2H/");
        assert_eq!((&told["to"], &told["user"]), (&json!("/b"), &json!("edi")));
        assert_eq!(told.get("failure"), None);
        let shown = human_event(&event, super::super::Detail::Normal).unwrap();
        assert!(shown.ends_with("#7 edi  rename /a\\xff -> /b"), "{shown}");
    }

    #[test]
    fn people_are_told_what_was_proved_and_what_was_cut_off() {
        let normal = super::super::Detail::Normal;
        let mut key = Proof::new(Method::PublicKey);
        key.fingerprint = "SHA256:abc".to_owned();
        key.label = "edi\x1b".to_owned();
        let proofs = vec![key, Proof::new(Method::Password)];
        let client = Bytes::from_static(b"x");
        let event = event_of(What::Authenticated { proofs, client });
        let told = human_event(&event, normal).unwrap();
        let words = "by publickey SHA256:abc (edi\\u{1b}) and password, client x";
        assert!(told.ends_with(words), "{told}");
        let told = |by| {
            let event = event_of(What::Transferred {
                path: Bytes::from_static(b"/a"),
                read: 0,
                written: 2048,
                time: Duration::from_secs(3),
                by,
                failure: None,
            });
            human_event(&event, normal).unwrap()
        };
        let whole = told(ClosedBy::Client);
        assert!(whole.ends_with("/a: 2.00 KiB written in 3.0 s"), "{whole}");
        assert!(told(ClosedBy::End).ends_with("in 3.0 s; cut off"));
    }

    #[test]
    fn people_are_told_of_transfers_and_not_of_each_attempt_with_a_key() {
        let denied = |method| {
            event_of(What::Denied {
                user: "edi\x1b".to_owned(),
                method,
                fingerprint: None,
            })
        };
        let normal = super::super::Detail::Normal;
        assert!(human_event(&denied("publickey"), normal).is_none());
        let told = human_event(&denied("password"), normal).unwrap();
        assert!(told.ends_with("password of edi\\u{1b} denied"), "{told}");
        assert!(human_event(&denied("password"), super::super::Detail::Quiet).is_none());
    }
}
