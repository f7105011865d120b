//! Sessions with a real server, written down once and played back without one: the server's bytes go into a client that
//! draws the same randomness, and every byte that this client says must be the one that it said then. Not a test of the
//! server, and not of sockets: the client of a recording is driven here, one read at a time.
//!
//! A recording is text: settings, then `<` and what the server sent in one read, `>` and what the client answered, both in
//! hexadecimal, and `.` before each thing that happened.

use bytes::{Bytes, BytesMut};
use sansftp_crypto::{SeededRandom, rustcrypto};
use sansftp_proto::auth::client::{Credential, Event as ClientAuth};
use sansftp_proto::connection::{ChannelEvent, ChannelId, ToServer, WriteError};
use sansftp_proto::crypto::Secret;
use sansftp_proto::role::Client;
use sansftp_proto::session::{ClientEvent, Common, Config, Connection, Trust};
use sansftp_proto::sftp::{self, Attrs, Data, Handle, OpenFlags, Pending, kind, messages};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

/// The file that a recorded session writes, reads and removes; relative to the user's home.
const NAME: &[u8] = b"recorded \xff";
/// How long it is, in bytes: more than one packet of it, and little enough to check in.
const LENGTH: usize = 5000;

/// What a session is recorded with. Every list has one name, so that new algorithms do not change what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The randomness that the client draws.
    pub seed: u8,
    /// The key exchange method.
    pub kex: String,
    /// The host-key algorithm.
    pub host_key: String,
    /// The cipher.
    pub cipher: String,
    /// The MAC beside it.
    pub mac: String,
    /// Who logs in; an account of the fixture, which is long gone.
    pub user: String,
    /// With which password.
    pub password: String,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    settings: Settings,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Server(Vec<u8>),
    Client(Vec<u8>),
    Happened(String),
}

impl Recording {
    /// Speaks with the server at the other end of `stream`, to the end, and writes everything down.
    ///
    /// # Panics
    /// When the session does not go as it should, or the stream fails.
    pub fn record(settings: Settings, mut stream: impl Read + Write) -> Self {
        let mut script = Script::start(&settings);
        let mut lines = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let said = script.turn(&mut lines);
            stream.write_all(&said).expect("the server reads");
            if script.is_over() {
                return Self { settings, lines };
            }
            let len = stream.read(&mut buffer).expect("the server answers");
            assert!(len > 0, "the server hung up: {lines:?}");
            lines.push(Line::Server(buffer[..len].to_vec()));
            script.hear(&buffer[..len]);
        }
    }

    /// Plays the server's part to a new client.
    ///
    /// # Errors
    /// The first thing that the client says or that happens to it otherwise than it was written down.
    pub fn replay(&self) -> Result<(), String> {
        let mut script = Script::start(&self.settings);
        let mut lines = Vec::new();
        script.turn(&mut lines);
        for line in &self.lines {
            if let Line::Server(bytes) = line {
                lines.push(line.clone());
                script.hear(bytes);
                script.turn(&mut lines);
            }
        }
        if !script.is_over() {
            return Err(format!(
                "the session does not come to its end: {:?}",
                script.connection.error()
            ));
        }
        let differs =
            (0..lines.len().max(self.lines.len())).find(|&at| lines.get(at) != self.lines.get(at));
        match differs {
            None => Ok(()),
            Some(at) => Err(format!(
                "line {at} is {:?}, and was {:?}",
                lines.get(at),
                self.lines.get(at)
            )),
        }
    }

    /// How much was said, in bytes: by the server, and by the client.
    pub fn sizes(&self) -> (usize, usize) {
        let mut sizes = (0, 0);
        for line in &self.lines {
            match line {
                Line::Server(bytes) => sizes.0 += bytes.len(),
                Line::Client(bytes) => sizes.1 += bytes.len(),
                Line::Happened(_) => {}
            }
        }
        sizes
    }

    /// The text of it.
    pub fn to_text(&self) -> String {
        let Settings {
            seed,
            kex,
            host_key,
            cipher,
            mac,
            user,
            password,
        } = &self.settings;
        let mut text = format!(
            "seed {seed}\nkex {kex}\nhost-key {host_key}\ncipher {cipher}\nmac {mac}\nuser {user}\npassword {password}\n"
        );
        for line in &self.lines {
            let (mark, bytes) = match line {
                Line::Server(bytes) => ('<', bytes.as_slice()),
                Line::Client(bytes) => ('>', bytes.as_slice()),
                Line::Happened(what) => {
                    writeln!(text, ". {what}").expect("a string takes it");
                    continue;
                }
            };
            let mut rows = bytes.chunks(60).peekable();
            while let Some(row) = rows.next() {
                let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
                // A row that goes on says so: one read is told from two.
                let end = if rows.peek().is_some() { "\\" } else { "" };
                writeln!(text, "{mark} {hex}{end}").expect("a string takes it");
            }
        }
        text
    }

    /// Reads the text of one.
    ///
    /// # Panics
    /// When it is none.
    pub fn parse(text: &str) -> Self {
        let mut rows = text.lines();
        let mut setting = |name: &str| {
            let row = rows.next().and_then(|row| row.strip_prefix(name));
            row.and_then(|row| row.strip_prefix(' '))
                .unwrap_or_else(|| panic!("the setting {name} is missing"))
                .to_owned()
        };
        let settings = Settings {
            seed: setting("seed").parse().expect("a seed is a number"),
            kex: setting("kex"),
            host_key: setting("host-key"),
            cipher: setting("cipher"),
            mac: setting("mac"),
            user: setting("user"),
            password: setting("password"),
        };
        let mut lines = Vec::new();
        let mut bytes = Vec::new();
        for row in rows {
            if let Some(what) = row.strip_prefix(". ") {
                lines.push(Line::Happened(what.to_owned()));
                continue;
            }
            let (mark, hex) = row.split_at(2);
            let goes_on = hex.strip_suffix('\\');
            bytes.extend(unhex(goes_on.unwrap_or(hex)));
            if goes_on.is_none() {
                let bytes = std::mem::take(&mut bytes);
                lines.push(match mark {
                    "< " => Line::Server(bytes),
                    "> " => Line::Client(bytes),
                    other => panic!("a line of a recording begins with {other:?}"),
                });
            }
        }
        Self { settings, lines }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("a recording is ASCII");
        u8::from_str_radix(pair, 16).expect("a recording is hexadecimal")
    };
    pairs.map(byte).collect()
}

/// The client of a recording, and how far it is.
#[derive(Debug)]
struct Script {
    connection: Connection<Client>,
    input: BytesMut,
    now: Instant,
    settings: Settings,
    channel: Option<ChannelId>,
    sftp: sftp::Client,
    step: Step,
}

/// What is awaited.
#[derive(Debug)]
enum Step {
    Login,
    Ready,
    Created(Pending<kind::Handle>),
    Written(Handle, Pending<kind::Status>),
    Read(Handle, Pending<kind::Data>),
    Closed(Pending<kind::Status>),
    Removed(Pending<kind::Status>),
    Over,
}

impl Script {
    fn start(settings: &Settings) -> Self {
        let random = Arc::new(SeededRandom::new([settings.seed; 32]));
        let mut config = Config::client(rustcrypto::provider(random));
        config.algorithms.kex = vec![settings.kex.clone()];
        config.algorithms.host_key = vec![settings.host_key.clone()];
        config.algorithms.cipher = vec![settings.cipher.clone()];
        config.algorithms.mac = vec![settings.mac.clone()];
        config.software = "recorded".to_owned();
        config.limits.window = 1 << 20;
        config.limits.max_packet = 1 << 15;
        let now = Instant::now();
        Self {
            connection: Connection::client(Arc::new(config), now)
                .expect("the pure-Rust provider has what is recorded"),
            input: BytesMut::new(),
            now,
            settings: settings.clone(),
            channel: None,
            sftp: sftp::Client::default(),
            step: Step::Login,
        }
    }

    const fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Everything that can be done with what has come; returns what is to be said.
    fn turn(&mut self, lines: &mut Vec<Line>) -> Vec<u8> {
        let mut said = Vec::new();
        loop {
            let before = self.input.len();
            // The end is an event, and that it came too early is seen by the test.
            let _ = self.connection.handle_input(self.now, &mut self.input);
            let mut moved = self.input.len() != before;
            while let Some(event) = self.connection.poll_event() {
                lines.push(Line::Happened(self.on_event(event)));
                moved = true;
            }
            moved |= self.pump(lines);
            let out = self.connection.transmit(self.now, usize::MAX);
            moved |= !out.is_empty();
            said.extend_from_slice(out);
            out.clear();
            if !moved {
                break;
            }
        }
        if !said.is_empty() {
            lines.push(Line::Client(said.clone()));
        }
        said
    }

    fn on_event(&mut self, event: ClientEvent) -> String {
        match event {
            ClientEvent::HostKey(key) => {
                let what = format!("host key {}", key.algorithm());
                let _ = self.connection.judge(key, Trust::Trusted);
                what
            }
            ClientEvent::Auth(ClientAuth::AuthRequired { turn, methods, .. }) => {
                let (user, password) =
                    (self.settings.user.clone(), self.settings.password.as_str());
                let credential = if methods.is_empty() {
                    Credential::None { user }
                } else {
                    Credential::Password {
                        user,
                        password: Secret::from(password),
                    }
                };
                let _ = self.connection.authenticate(turn, credential);
                format!(
                    "turn, methods: {}",
                    if methods.is_empty() {
                        "unknown".into()
                    } else {
                        methods.join(",")
                    }
                )
            }
            ClientEvent::Authenticated => {
                let mux = self
                    .connection
                    .mux()
                    .expect("channels follow authentication");
                self.channel = mux.open_session().ok();
                "authenticated".into()
            }
            ClientEvent::Channel(ChannelEvent::Opened(id)) => {
                let subsystem = ToServer::Subsystem(Bytes::from_static(b"sftp"));
                let mux = self.connection.mux().expect("a channel is open");
                mux.request(id, &subsystem).expect("a channel is open");
                "channel".into()
            }
            ClientEvent::Channel(ChannelEvent::Answered { ok, .. }) => {
                self.step = Step::Ready;
                format!("subsystem {ok}")
            }
            ClientEvent::Channel(ChannelEvent::Readable(_)) => "readable".into(),
            ClientEvent::Common(Common::Closed(error)) => format!("closed: {error}"),
            other => format!("{:?}", std::mem::discriminant(&other)).replace(char::is_numeric, "n"),
        }
    }

    /// Between channel and SFTP, and from one request to the next.
    fn pump(&mut self, lines: &mut Vec<Line>) -> bool {
        let mut moved = false;
        if let (Some(id), Some(mux)) = (self.channel, self.connection.mux()) {
            while let Some(data) = mux.read(id) {
                self.sftp.handle_data(data).expect("the server speaks SFTP");
                moved = true;
            }
        }
        if let Some(what) = self.advance() {
            lines.push(Line::Happened(what));
            moved = true;
        }
        if matches!(self.step, Step::Login) {
            return moved;
        }
        if let (Some(id), Some(mux)) = (self.channel, self.connection.mux()) {
            while let Some(bytes) = self.sftp.poll_transmit() {
                match mux.write(id, bytes) {
                    Ok(()) | Err(WriteError::Closed) => moved = true,
                    Err(error) => panic!("a few kilobytes do not fit: {error}"),
                }
            }
        }
        moved
    }

    /// The next request, if the last has been answered.
    fn advance(&mut self) -> Option<String> {
        let sftp = &mut self.sftp;
        let sent = "there is room for one request";
        let content = || Bytes::from((0..LENGTH).map(|at| (at % 241) as u8).collect::<Vec<_>>());
        let step = std::mem::replace(&mut self.step, Step::Over);
        let (next, what) = match step {
            Step::Ready if sftp.is_ready() => {
                let pflags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
                let open = messages::Open {
                    filename: NAME,
                    pflags,
                    attrs: Attrs::default(),
                };
                (
                    Step::Created(sftp.send(&open).expect(sent)),
                    format!("sftp {:?}", sftp.version()),
                )
            }
            Step::Created(pending) => match claim(sftp, pending) {
                Err(pending) => (Step::Created(pending), String::new()),
                Ok(handle) => {
                    let write = sftp.write(&handle, 0, &Data::from(content())).expect(sent);
                    (Step::Written(handle, write), "created".into())
                }
            },
            Step::Written(handle, pending) => match claim(sftp, pending) {
                Err(pending) => (Step::Written(handle, pending), String::new()),
                Ok(()) => {
                    let len = u32::try_from(LENGTH).expect("a short file");
                    let read = messages::Read {
                        handle: handle.as_bytes(),
                        offset: 0,
                        len,
                    };
                    let pending = sftp.send(&read).expect(sent);
                    self.connection.rekey().expect("nothing is wrong");
                    (
                        Step::Read(handle, pending),
                        "written; keys are changed".into(),
                    )
                }
            },
            Step::Read(handle, pending) => match claim(sftp, pending) {
                Err(pending) => (Step::Read(handle, pending), String::new()),
                Ok(data) => {
                    assert!(
                        data == Data::from(content()),
                        "what was written is what is read"
                    );
                    let close = messages::Close {
                        handle: handle.as_bytes(),
                    };
                    (
                        Step::Closed(sftp.send(&close).expect(sent)),
                        format!("read {} bytes", data.len()),
                    )
                }
            },
            Step::Closed(pending) => match claim(sftp, pending) {
                Err(pending) => (Step::Closed(pending), String::new()),
                Ok(()) => {
                    let remove = messages::Remove { filename: NAME };
                    (
                        Step::Removed(sftp.send(&remove).expect(sent)),
                        "closed".into(),
                    )
                }
            },
            Step::Removed(pending) => match claim(sftp, pending) {
                Err(pending) => (Step::Removed(pending), String::new()),
                Ok(()) => {
                    let exchanges = self.connection.exchanges();
                    self.connection.disconnect();
                    (Step::Over, format!("removed; {exchanges} key exchanges"))
                }
            },
            other => (other, String::new()),
        };
        self.step = next;
        (!what.is_empty()).then_some(what)
    }
}

/// The answer, or the request back while there is none.
fn claim<K: kind::Kind>(
    sftp: &mut sftp::Client,
    pending: Pending<K>,
) -> Result<K::Value, Pending<K>> {
    let Some(done) = sftp.poll_completion() else {
        return Err(pending);
    };
    let answer = pending.claim(done).expect("one request at a time");
    Ok(answer.unwrap_or_else(|status| panic!("the server refused: {status}")))
}
