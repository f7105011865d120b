//! `demo`: everything at work once, between this program's own server and its own connector, over
//! TCP with strict host keys, in a folder that is removed at the end.
//!
//! Not a pretence: each step is the command line that is shown, read and carried out as if it had
//! been typed. Nothing outside the folder is read or written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use sansftp_connector::{Class, Error, Result};
use tempfile::TempDir;

use super::serve::{Running, made_password};
use super::{Ended, carry_out};
use crate::args::{Cli, Command};
use crate::output::{Output, Rows};
use crate::plan::{self, Environment, Serve};
use crate::signals::Signals;

/// The files that are sent, and how long they are. The last one is long enough for a bar to be seen.
const FILES: [(&str, usize); 3] = [
    ("orders.csv", 2_400),
    ("invoice.pdf", 180_000),
    ("photos.tar", 48 << 20),
];

/// Shows everything.
pub(super) async fn run(
    output: &mut Output,
    signals: &mut Signals,
) -> std::result::Result<(), Ended> {
    output.show_tracked();
    let folder = Folder::make()?;
    let shown = show(&folder, output, signals).await;
    let removed = folder.remove();
    shown?;
    removed?;
    output.narrate("The server has stopped and the folder is removed: nothing is left behind.");
    Ok(())
}

async fn show(
    folder: &Folder,
    output: &mut Output,
    signals: &mut Signals,
) -> std::result::Result<(), Ended> {
    let environment = Environment::within(folder.path());
    for (name, size) in FILES {
        fs::write(name, content(name, size)).map_err(local)?;
    }
    for directory in ["server", "inbox"] {
        fs::create_dir(directory).map_err(local)?;
    }
    let password = made_password(&sansftp_server::default_provider())?;
    write_secret("password", &password)?;
    output.narrate(&format!(
        "Everything happens in {}, which is removed at the end.",
        folder.path().display()
    ));

    let server = start(output, &environment).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(server.run_until(stopped));
    let steps = Steps {
        output,
        signals,
        environment: &environment,
    };
    let shown = steps.take().await;
    // Whatever came of it: the server ends before its files go.
    drop(stop);
    // A server that fell would have failed a step.
    let _ = serving.await;
    shown
}

/// Starts the server by its own command line, and writes the configuration that leads to it.
async fn start(output: &mut Output, environment: &Environment) -> Result<Running> {
    let words = "serve server --listen 127.0.0.1:0 --user demo --password-file password";
    output.command("A server, for one directory and one user:", words);
    let Command::Serve(args) = parsed(words)? else {
        return Err(unexpected("serve is not serve"));
    };
    let Serve::Listen(address, site) = plan::serve(&args, environment)? else {
        return Err(unexpected("serve does not listen"));
    };
    let server = Running::start(address, &site, |_| {}).await?;
    let configuration = format!(
        "[connections.demo]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"demo\"\n\
         password = {{ file = \"password\" }}\nknown-host = \"{}\"\n",
        server.address().port(),
        server.key_line(),
    );
    fs::write("sansftp.toml", &configuration).map_err(local)?;
    output.narrate(&format!(
        "It listens on {}. Where it is, and the one host key that is trusted, stands in sansftp.toml:",
        server.address()
    ));
    output.quote(&configuration);
    Ok(server)
}

/// The steps, one command line each.
struct Steps<'a> {
    output: &'a mut Output,
    signals: &'a mut Signals,
    environment: &'a Environment,
}

impl Steps<'_> {
    async fn take(mut self) -> std::result::Result<(), Ended> {
        self.step(
            "Files are sent: written under a temporary name, synchronised, compared in size, renamed.",
            "send demo:in orders.csv invoice.pdf photos.tar --create-directories --checksum",
        )
        .await?;
        for (name, size) in FILES {
            self.equal(&Path::new("server/in").join(name), name, size)?;
        }
        self.step(
            "The same name again: nothing is overwritten by accident, the file gets a free name.",
            "send demo:in orders.csv",
        )
        .await?;
        self.equal(Path::new("server/in/orders1.csv"), FILES[0].0, FILES[0].1)?;
        self.step("What is there now:", "list demo:in --sort name")
            .await?;
        self.step(
            "Files are fetched, and stay where they are.",
            "get demo:in --into inbox --file-filter '*.csv;*.pdf' --checksum",
        )
        .await?;
        self.equal(Path::new("inbox/orders.csv"), FILES[0].0, FILES[0].1)?;
        self.equal(Path::new("inbox/orders1.csv"), FILES[0].0, FILES[0].1)?;
        self.equal(Path::new("inbox/invoice.pdf"), FILES[1].0, FILES[1].1)?;
        self.step(
            "A file is fetched, and moved at the server only once it is delivered and on disk.",
            "get demo:in --into inbox --file-filter '*.tar' --action get-and-move --move-to-directory done --create-directories --checksum",
        )
        .await?;
        self.equal(Path::new("inbox/photos.tar"), FILES[2].0, FILES[2].1)?;
        self.equal(Path::new("server/done/photos.tar"), FILES[2].0, FILES[2].1)?;
        if Path::new("server/in/photos.tar").exists() {
            return Err(unexpected("the moved file is still where it was").into());
        }
        self.output.narrate(
            "Every file has been compared with its original, byte by byte: all are equal.",
        );
        Ok(())
    }

    /// Carries out one command line. Without success there is no next one.
    async fn step(&mut self, why: &str, words: &str) -> std::result::Result<(), Ended> {
        self.output.command(why, words);
        let command = parsed(words)?;
        let rows = Rows::of(&command);
        carry_out(&command, rows, self.environment, self.output, self.signals).await?;
        if self.output.has_failed() {
            return Err(unexpected("a step of the demonstration failed").into());
        }
        Ok(())
    }

    fn equal(&self, path: &Path, name: &str, size: usize) -> Result<()> {
        if fs::read(path).map_err(local)? == content(name, size) {
            return Ok(());
        }
        let path = path.display();
        Err(unexpected(&format!("{path} is not equal to its original")))
    }
}

fn parsed(words: &str) -> Result<Command> {
    // As a shell would: the words here are apart by single blanks, and quoted whole or not at all.
    let words = words.split(' ').map(|word| word.trim_matches('\''));
    let cli = Cli::try_parse_from(["sansftp"].into_iter().chain(words))
        .map_err(|error| unexpected(&error.to_string()))?;
    Ok(cli.command)
}

/// Bytes that look like nothing, and like no other file's: a multiplicative generator begun with the
/// name.
fn content(name: &str, size: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn write_secret(path: &str, secret: &str) -> Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| writeln!(file, "{secret}"))
        .map_err(local)
}

/// The folder, which is the current directory while it is there, so that command lines are short.
struct Folder {
    temporary: TempDir,
    before: Option<PathBuf>,
}

impl Folder {
    fn make() -> Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("sansftp-demo-")
            .tempdir()
            .map_err(local)?;
        let before = std::env::current_dir().ok();
        std::env::set_current_dir(temporary.path()).map_err(local)?;
        Ok(Self { temporary, before })
    }

    fn path(&self) -> &Path {
        self.temporary.path()
    }

    fn remove(self) -> Result<()> {
        if let Some(before) = &self.before {
            // A directory that is gone meanwhile is no place to return to.
            let _ = std::env::set_current_dir(before);
        }
        self.temporary.close().map_err(local)
    }
}

fn local(error: io::Error) -> Error {
    Error::local_io("the demonstration's folder", error)
}

fn unexpected(what: &str) -> Error {
    Error::new(Class::Failure, what)
}
