//! `serve --stdio`: SFTP alone on standard input and output, in the place of OpenSSH's sftp-server.
//!
//! Not the protocol. Its log has sftp-server's levels and goes where that one's goes: to standard
//! error, or to the system log (RFC 3164 §4.1, as the socket /dev/log takes it).

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use sansftp_connector::{Error, Result, printable};
use sansftp_server::local::LocalFs;
use sansftp_server::service;
use sansftp_server::sftp::{ClosedBy, Event, FileSystem, Observe, Options, Requests};

use super::Ended;
use crate::plan::{Access, LogLevel, LogTo, Stdio, StdioLog};
use crate::signals::Signals;

/// Serves until the input ends.
pub(super) async fn run(stdio: Stdio, signals: &mut Signals) -> std::result::Result<(), Ended> {
    if let Some(mask) = stdio.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    }
    let files = files(&stdio)?;
    let mut options = Options::default();
    options.handles = stdio.handles;
    options.memory = stdio.memory;
    options.allowed = allowed(&stdio)?;
    let streams = service::Stdio::open()
        .map_err(|error| Error::local_io("standard input and output", error))?;
    let log = Arc::new(Log::open(stdio.log));
    options.observe = Some(Arc::clone(&log) as Arc<dyn Observe>);
    log.write(LogLevel::Info, "session opened");
    tokio::select! {
        end = service::serve_sftp(streams, files, options) => match end.error {
            None => Ok(()),
            Some(error) => {
                log.write(LogLevel::Error, &error.to_string());
                // Told in the log; whoever is at the other end of standard output knows SFTP only.
                Err(Ended::Signal(crate::exit::Code::Failed))
            }
        },
        code = signals.next() => Err(Ended::Signal(code)),
    }
}

/// Prints the names of all requests.
pub(super) fn requests() -> Result<()> {
    let names: String = Requests::all()
        .names()
        .map(|name| format!("{name}\n"))
        .collect();
    let written = io::stdout().write_all(names.as_bytes());
    written.map_err(|error| Error::local_io("standard output", error))
}

fn files(stdio: &Stdio) -> Result<Arc<dyn FileSystem>> {
    let unusable =
        |error: sansftp_server::local::LocalError| Error::configuration(error.to_string());
    let mut files = match &stdio.directory {
        Some(directory) => LocalFs::new(directory).map_err(unusable)?,
        None => LocalFs::whole().map_err(unusable)?,
    };
    if let Some(start) = &stdio.start {
        files = files
            .start_directory(start.as_os_str().as_bytes())
            .map_err(unusable)?;
    }
    if stdio.access == Access::ReadOnly {
        files = files.read_only();
    }
    Ok(Arc::new(files))
}

fn allowed(stdio: &Stdio) -> Result<Requests> {
    let parse = |list: &str| {
        Requests::parse(list).map_err(|error| {
            Error::configuration(error.to_string())
                .with_hint("sansftp serve --stdio -Q requests lists them")
        })
    };
    let allowed = stdio.allowed.as_deref().map(parse).transpose()?;
    let denied = stdio.denied.as_deref().map(parse).transpose()?;
    let allowed = allowed.unwrap_or_else(Requests::all);
    Ok(allowed.without(denied.unwrap_or_else(Requests::none)))
}

/// Where lines go, and which.
#[derive(Debug)]
struct Log {
    level: LogLevel,
    to: Sink,
}

#[derive(Debug)]
enum Sink {
    StandardError,
    System {
        socket: UnixDatagram,
        facility: u8,
    },
    /// There is no system log here.
    Nowhere,
}

impl Log {
    fn open(log: StdioLog) -> Self {
        let to = match log.to {
            LogTo::StandardError => Sink::StandardError,
            LogTo::System(facility) => {
                system_log().map_or(Sink::Nowhere, |socket| Sink::System { socket, facility })
            }
        };
        Self {
            level: log.level,
            to,
        }
    }

    fn write(&self, level: LogLevel, words: &str) {
        if level > self.level {
            return;
        }
        // A log that cannot be written to is no reason to stop serving, and there is nobody to tell.
        let _ = match &self.to {
            Sink::StandardError => io::stderr()
                .lock()
                .write_all(format!("{words}\r\n").as_bytes()),
            Sink::System { socket, facility } => {
                let time = jiff::Zoned::now().strftime("%b %e %H:%M:%S");
                let priority = facility * 8 + severity(level);
                let process = std::process::id();
                let line = format!("<{priority}>{time} sansftp[{process}]: {words}");
                socket.send(line.as_bytes()).map(drop)
            }
            Sink::Nowhere => Ok(()),
        };
    }
}

fn system_log() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/dev/log")?;
    // A system log that is stuck does not hold the client up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// RFC 5424 §6.2.1, as OpenSSH maps its levels.
fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Quiet | LogLevel::Fatal => 2,
        LogLevel::Error => 3,
        LogLevel::Info | LogLevel::Verbose => 6,
        LogLevel::Debug => 7,
    }
}

impl Observe for Log {
    fn observe(&self, event: &Event<'_>) {
        let path = |path: &[u8]| format!("\"{}\"", printable(path));
        let failed =
            |outcome: &std::result::Result<(), &sansftp_server::sftp::Status>| match outcome {
                Ok(()) => String::new(),
                Err(status) => format!(": {}", printable(status.to_string().as_bytes())),
            };
        let (level, words) = match event {
            Event::Opened {
                path: name,
                flags,
                mode,
                outcome,
            } => {
                let mode = mode
                    .map(|mode| format!(" mode 0{mode:o}"))
                    .unwrap_or_default();
                let words = format!("open {} flags {}{mode}", path(name), shown_flags(*flags));
                (LogLevel::Info, words + &failed(outcome))
            }
            Event::OpenedDirectory {
                path: name,
                outcome,
            } => (
                LogLevel::Info,
                format!("opendir {}{}", path(name), failed(outcome)),
            ),
            Event::Closed {
                path: name,
                read,
                written,
                by,
                outcome,
                ..
            } => {
                // As sftp-server has it.
                let word = match by {
                    ClosedBy::Client => "close",
                    ClosedBy::End => "forced close",
                };
                let words = format!("{word} {} bytes read {read} written {written}", path(name));
                (LogLevel::Info, words + &failed(outcome))
            }
            Event::ClosedDirectory { path: name } => {
                (LogLevel::Info, format!("closedir {}", path(name)))
            }
            Event::Performed {
                request,
                path: name,
                second,
                outcome,
                ..
            } => {
                let second = second
                    .map(|second| format!(" {}", path(second)))
                    .unwrap_or_default();
                let words = format!("{request} {}{second}{}", path(name), failed(outcome));
                let looking = ["stat", "lstat", "fstat", "realpath", "readlink"].contains(request);
                (
                    if looking {
                        LogLevel::Verbose
                    } else {
                        LogLevel::Info
                    },
                    words,
                )
            }
            Event::Denied { request } => (
                LogLevel::Info,
                format!("refused {request}: it is not allowed"),
            ),
            Event::Ended(_) => (LogLevel::Info, "session closed".to_owned()),
            _ => return,
        };
        self.write(level, &words);
    }
}

/// As sftp-server names them.
fn shown_flags(flags: sansftp_server::sftp::OpenFlags) -> String {
    use sansftp_server::sftp::OpenFlags;
    let names = [
        (OpenFlags::READ, "READ"),
        (OpenFlags::WRITE, "WRITE"),
        (OpenFlags::APPEND, "APPEND"),
        (OpenFlags::CREATE, "CREATE"),
        (OpenFlags::TRUNCATE, "TRUNCATE"),
        (OpenFlags::CREATE_NEW, "EXCL"),
    ];
    let set: Vec<&str> = names
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, name)| *name)
        .collect();
    set.join(",")
}
