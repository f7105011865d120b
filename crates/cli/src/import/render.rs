//! Components as tables of our configuration, and what is to be said about them.
//!
//! Not their reading. A key whose value the component does not have is not invented: it is left out,
//! or proposed in a comment.

use super::component::{
    Archiving, Component, GetAction, GetKind, Given, Kind, Proxy, ProxyKind, SendAction, SendKind,
    Settings,
};
use super::remarks::{Remarks, Topic};
use super::toml::{Table, comment, list, text};

/// Components become tables with names that are theirs alone.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    connections: Vec<String>,
    operations: Vec<String>,
    tables: String,
    remarks: Remarks,
}

impl Renderer {
    /// Adds a component that was read from `file`.
    pub(super) fn add(&mut self, file: &str, component: &Component) {
        let is_connection = matches!(component.kind, Kind::Settings(_));
        let (kind, taken) = match is_connection {
            true => ("connection", &mut self.connections),
            false => ("operation", &mut self.operations),
        };
        let name = unique(&component.name, kind, taken);
        taken.push(name.clone());
        let mut table = Table::new(&format!("{kind}s"), &name);
        let mut subject = Subject {
            name,
            table: &mut table,
            remarks: &mut self.remarks,
        };
        match &component.kind {
            Kind::Settings(settings) => subject.settings(settings),
            Kind::Get(action, archiving) => {
                subject.get(action);
                subject.archiving(archiving);
            }
            Kind::Send(action, archiving) => {
                subject.send(action);
                subject.archiving(archiving);
            }
        }
        if component.deleted {
            subject.say(Topic::Differs, "the component is deleted at the platform");
        }
        for path in &component.unknown {
            subject.say(Topic::Lost, path);
        }
        self.tables.push('\n');
        self.tables.push_str(&origin(file, component));
        self.tables.push_str(&table.into_text());
    }

    /// The configuration, and what is to be said about it.
    pub(super) fn finish(self) -> (String, Remarks) {
        let mut text = comment(
            "Made by sansftp import. Look through the comments: they say what is to be filled in and \
             what differs.",
        );
        let connection = self.connections.first();
        let example = connection.zip(self.operations.first());
        if let Some((connection, operation)) = example {
            let send = self
                .tables
                .contains(&format!("[operations.{operation}]\naction = \"send\""));
            let (command, rest) = if send {
                ("send", "FILE...")
            } else {
                ("get", "--into DIR")
            };
            text.push_str(&comment(&format!(
                "To use it: sansftp {command} {connection} {rest} --operation {operation}"
            )));
        } else if let Some(connection) = connection {
            text.push_str(&comment(&format!("To try it: sansftp test {connection}")));
        }
        text.push_str(&self.tables);
        (text, self.remarks)
    }
}

/// A table in the making, and where remarks on it go.
struct Subject<'a> {
    name: String,
    table: &'a mut Table,
    remarks: &'a mut Remarks,
}

impl Subject<'_> {
    fn say(&mut self, topic: Topic, words: &str) {
        self.remarks.add(topic, &self.name, words);
    }

    /// Says it in the list and beside the key.
    fn remark(&mut self, topic: Topic, words: &str) {
        self.table.comment(words);
        self.say(topic, words);
    }

    fn settings(&mut self, settings: &Settings) {
        if settings.host.is_empty() {
            self.remark(Topic::FillIn, "the component has no host");
        }
        self.table.key("host", &text(&settings.host));
        if let Some(port) = settings.port {
            self.table.key("port", &port.to_string());
        }
        if settings.user.is_empty() {
            self.remark(
                Topic::FillIn,
                "the component has no user; without one it is your login name here",
            );
        }
        self.table.set("user", &settings.user);
        self.credentials(settings);
        self.trust(settings);
        if settings.short_groups {
            self.remark(
                Topic::Differs,
                "the component keeps Diffie-Hellman to groups of 1024 bits, which are not offered here; \
                 nearly every server has better ones, and `sansftp test` shows whether this one has",
            );
        }
        match settings.proxy.enabled {
            Given::Yes => self.proxy(&settings.proxy),
            Given::No if settings.proxy.host.is_empty() => {}
            Given::No => {
                let host = &settings.proxy.host;
                self.table.comment(&format!(
                    "the component names the proxy {host}, but does not use it"
                ));
            }
        }
        self.say(
            Topic::Differs,
            "a lost connection is tried again three times, and waits have ends: 30 s for a session, \
             60 s without progress (retries, connect-timeout, request-timeout)",
        );
    }

    fn credentials(&mut self, settings: &Settings) {
        let with_key = settings.key == Given::Yes;
        if with_key {
            if settings.key_path.is_empty() {
                self.remark(
                    Topic::FillIn,
                    "a private key is to be used, but the component names no file",
                );
                self.table.proposal("private-key", &text("path of the key"));
            } else {
                self.say(
                    Topic::FillIn,
                    "private-key is a path on the machine that the platform ran on",
                );
                self.table.set("private-key", &settings.key_path);
            }
            let passphrase = self.secret("PASSPHRASE");
            if settings.key_password == Given::Yes {
                self.encrypted("the key's passphrase");
                if settings.key_path.is_empty() {
                    self.table.proposal("passphrase", &passphrase);
                } else {
                    self.table.key("passphrase", &passphrase);
                }
            }
        } else if !settings.key_path.is_empty() {
            let path = &settings.key_path;
            self.table.comment(&format!(
                "the component names the key {path}, but does not use it"
            ));
        }
        if settings.password == Given::No {
            return;
        }
        let password = self.secret("PASSWORD");
        if with_key {
            self.remark(
                Topic::FillIn,
                "the component has a password beside the key; set it for a server that asks for both",
            );
            self.table.proposal("password", &password);
        } else {
            self.encrypted("the password");
            self.table.key("password", &password);
        }
    }

    fn encrypted(&mut self, what: &str) {
        self.remark(
            Topic::FillIn,
            &format!(
                "{what} is encrypted by the platform and cannot be read: set the environment variable, \
                 or write {{ file = \"path\" }} or {{ command = [\"program\"] }}"
            ),
        );
    }

    /// A reference to a secret that is to be provided.
    fn secret(&self, what: &str) -> String {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        // A variable's name does not begin with a digit.
        let name = match name.starts_with(|it: char| it.is_ascii_digit()) {
            true => format!("SFTP_{name}"),
            false => name,
        };
        format!("{{ env = {} }}", text(&format!("{name}_{what}")))
    }

    fn trust(&mut self, settings: &Settings) {
        if settings.known_hosts.is_empty() {
            self.remark(
                Topic::FillIn,
                "the component has no known host entry, and the original then checks nothing; here \
                 a host key that is not known is refused: record it with `sansftp trust`, or set \
                 known-host",
            );
            let proposal = text("HOST ssh-ed25519 AAAA...");
            self.table.proposal("known-host", &proposal);
        } else {
            self.table.key("known-host", &list(&settings.known_hosts));
        }
        self.say(
            Topic::Differs,
            "host keys are always checked (host-key-policy is strict), and @revoked lines of \
             ~/.ssh/known_hosts apply too",
        );
    }

    fn proxy(&mut self, proxy: &Proxy) {
        let kind = match &proxy.kind {
            ProxyKind::Atom => "runtime",
            ProxyKind::Http => "http",
            ProxyKind::Socks4 => "socks4",
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Other(kind) => {
                return self.remark(
                    Topic::Lost,
                    &format!(
                        "the proxy is of the type '{kind}', which is none of HTTP, SOCKS4, SOCKS5 and \
                         ATOM: no proxy is set"
                    ),
                );
            }
        };
        let mut keys = vec![format!("type = {}", text(kind))];
        if proxy.kind == ProxyKind::Atom {
            self.remark(
                Topic::Differs,
                "the proxy is that of the surroundings: HTTPS_PROXY, ALL_PROXY and NO_PROXY are read \
                 where the original asks its runtime",
            );
        } else {
            let host = bare_host(&proxy.host);
            if host.is_empty() {
                return self.remark(
                    Topic::FillIn,
                    "a proxy is to be used, but the component names no host for it",
                );
            }
            keys.push(format!("host = {}", text(host)));
            if proxy.port.is_none() && proxy.kind == ProxyKind::Http {
                self.remark(
                    Topic::FillIn,
                    "the component names no port for its HTTP proxy",
                );
            }
            keys.extend(proxy.port.map(|port| format!("port = {port}")));
            if !proxy.user.is_empty() {
                keys.push(format!("user = {}", text(&proxy.user)));
            }
            let has_password = proxy.password == Given::Yes && proxy.kind != ProxyKind::Socks4;
            if has_password && proxy.user.is_empty() {
                self.remark(
                    Topic::Lost,
                    "the proxy has a password and no user: without one no password is sent",
                );
            } else if has_password {
                self.encrypted("the proxy's password");
                keys.push(format!("password = {}", self.secret("PROXY_PASSWORD")));
            }
        }
        self.table
            .key("proxy", &format!("{{ {} }}", keys.join(", ")));
    }

    fn get(&mut self, get: &GetAction) {
        let (action, takes_away) = match get.action {
            GetKind::Get => ("get", false),
            GetKind::Delete => ("get-and-delete", true),
            GetKind::Move => ("get-and-move", true),
        };
        self.table.key("action", &text(action));
        self.table.set("remote-directory", &get.remote_directory);
        let filter = filter(&get.file_filter);
        if filter != get.file_filter {
            self.remark(
                Topic::Differs,
                "the file filter is written with \\ before what is special here and is not there",
            );
        }
        self.table.set("file-filter", &filter);
        if get.max_files > 0 {
            self.table.key("max-files", &get.max_files.to_string());
        }
        self.moving(
            get.action == GetKind::Move,
            &get.move_to_directory,
            get.force_move,
        );
        self.say(
            Topic::Differs,
            "names that begin with a dot are taken only by a filter that does (or with hidden = true), \
             symbolic links are skipped (symlinks = \"follow\" reads them), and files of the form of our \
             own temporary ones are never taken",
        );
        self.say(
            Topic::Differs,
            "files are taken in the order of their names (sort = \"none\": as the server lists them); a \
             local file of the name is never replaced unasked (local-if-exists)",
        );
        if takes_away {
            self.remark(
                Topic::Differs,
                "a file is deleted or moved once it is durably delivered (after = \"ack\"), not as soon \
                 as it is read as the original does (after = \"eager\")",
            );
        }
    }

    fn send(&mut self, send: &SendAction) {
        let (if_exists, differs) = match send.action {
            SendKind::Rename => (
                "rename",
                "the first free of output.txt, output1.txt, output2.txt is claimed atomically: the \
                 number stands before the last extension, and two senders at once never overwrite \
                 each other",
            ),
            SendKind::Append => (
                "append",
                "what is appended goes on after a lost connection where it stopped, and never twice",
            ),
            SendKind::Error => (
                "error",
                "a document whose name is taken fails, the others are still sent (stop-on-error = \
                 true ends at the first)",
            ),
            SendKind::Overwrite => (
                "overwrite",
                "the old file stands until the new one is complete, and a target that is a symbolic \
                 link is refused (symlinks = \"follow\" replaces what it leads to)",
            ),
        };
        self.table.key("action", &text("send"));
        self.table.key("if-exists", &text(if_exists));
        self.table.set("remote-directory", &send.remote_directory);
        self.moving(true, &send.move_to_directory, send.force_move);
        self.say(Topic::Differs, differs);
        if send.action != SendKind::Append {
            self.say(
                Topic::Differs,
                "files are written under a temporary name, looked at, and renamed when complete \
                 (in-place = true writes under the final name)",
            );
        }
    }

    /// The move-to directory and force move, where the action has a use for them.
    fn moving(&mut self, has_use: bool, directory: &str, force: bool) {
        if !has_use {
            if !directory.is_empty() || force {
                self.remark(
                    Topic::Lost,
                    "the component sets a move-to directory or force move, which its action does not use",
                );
            }
            return;
        }
        if !directory.is_empty() {
            self.table.set("move-to-directory", directory);
            if force {
                self.table.key("force-move", "true");
            }
            return;
        }
        if force {
            self.remark(
                Topic::FillIn,
                "force move is set without a move-to directory; set both where a document brings the \
                 directory along",
            );
            self.table.proposal("force-move", "true");
        }
    }

    fn archiving(&mut self, archiving: &Archiving) {
        if archiving.enabled == Given::No {
            if !archiving.directory.is_empty() {
                self.table.comment(&format!(
                    "the component names the archive {}, but does not use it",
                    archiving.directory
                ));
            }
            return;
        }
        self.remark(
            Topic::Lost,
            &format!(
                "archiving into '{}': no copy of what passes is kept here",
                archiving.directory
            ),
        );
    }
}

/// Where a table comes from, as comments above it.
fn origin(file: &str, component: &Component) -> String {
    let mut words = if component.name.is_empty() {
        format!("A component without a name, of {file}")
    } else {
        format!("\"{}\", of {file}", component.name)
    };
    if !component.folder.is_empty() {
        words.push_str(&format!(", folder {}", component.folder));
    }
    let mut text = comment(&words);
    if !component.description.is_empty() {
        text.push_str(&comment(&component.description));
    }
    text
}

/// A key for a component's name: lower case, letters, digits, single dashes, not taken yet.
fn unique(name: &str, kind: &str, taken: &[String]) -> String {
    let mut key = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            key.push(character.to_ascii_lowercase());
        } else if !key.is_empty() && !key.ends_with('-') {
            key.push('-');
        }
    }
    let key = match key.trim_end_matches('-') {
        "" => kind,
        key => key,
    };
    if !taken.iter().any(|it| it == key) {
        return key.to_owned();
    }
    (2_u64..)
        .map(|number| format!("{key}-{number}"))
        .find(|candidate| !taken.contains(candidate))
        .expect("there are more numbers than components")
}

/// A pattern of the original, in which only `*` and `?` are special, as one of ours.
fn filter(pattern: &str) -> String {
    let escaped = pattern.replace('\\', "\\\\").replace(';', "\\;");
    if escaped.starts_with('!') {
        return format!("\\{escaped}");
    }
    // These six would begin a regular expression, and no escape hides them.
    match escaped.strip_prefix("regex:") {
        Some(rest) => format!("?egex:{rest}"),
        None => escaped,
    }
}

/// A host without the scheme before it and the slash after it.
fn bare_host(host: &str) -> &str {
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    host.trim_end_matches('/')
}
