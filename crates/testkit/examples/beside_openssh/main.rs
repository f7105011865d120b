//! `sansftp` beside OpenSSH's `sftp`: one large file both ways, in turns, against one `sshd` and with one cipher, measured
//! by wall time and by the processor time of each client with everything it starts. `cargo xtask bench` runs it.
//!
//! With `--serve` it is the servers that are compared ([`servers`]).
//!
//! Not a profile, and no word on small files or long round trips. Both clients are held to curve25519-sha256, because the
//! post-quantum exchange that `sftp` prefers costs it time that has nothing to do with the transfer.

mod measure;
mod servers;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use measure::Cost;
use sansftp_testkit::seeds::Rng;
use sansftp_testkit::sshd::{ClientKey, Sftp, Sshd};

const CIPHERS: [&str; 2] = ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

/// Where the files lie: memory, so that no disk is measured.
const MEMORY: &str = "/dev/shm";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((first, command)) if first == measure::CHILD => {
            measure::child(command).map_err(Into::into)
        }
        _ => bench(&words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beside_openssh: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn Error>;

/// What was asked for on the command line.
struct Wanted {
    program: PathBuf,
    rounds: usize,
    size: u64,
    ciphers: Vec<String>,
    what: What,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Clients,
    Servers,
}

impl Wanted {
    fn new(words: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self {
            program: PathBuf::new(),
            rounds: 3,
            size: 1 << 30,
            ciphers: Vec::new(),
            what: What::Clients,
        };
        let mut words = words.iter();
        while let Some(option) = words.next() {
            if option == "--serve" {
                wanted.what = What::Servers;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--program" => wanted.program = value.into(),
                "--rounds" => wanted.rounds = value.parse::<std::num::NonZeroUsize>()?.get(),
                "--size" => wanted.size = size(value)?,
                "--cipher" => wanted.ciphers.push(value.clone()),
                _ => return Err(format!("there is no option {option}").into()),
            }
        }
        if wanted.program.as_os_str().is_empty() {
            return Err("--program names the sansftp to be measured".into());
        }
        if wanted.ciphers.is_empty() {
            wanted.ciphers = CIPHERS.map(str::to_owned).to_vec();
        }
        Ok(wanted)
    }
}

/// `1GiB`, `16MiB`, `64KiB` or plain bytes.
fn size(text: &str) -> Result<u64, Failure> {
    let units = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("", 1),
    ];
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.unwrap_or((text, &1));
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text} is no size such as 1GiB"))?;
    number
        .checked_mul(*factor)
        .ok_or_else(|| format!("{text} is too large").into())
}

fn bench(words: &[String]) -> Result<(), Failure> {
    let wanted = Wanted::new(words)?;
    enough_memory(wanted.size)?;
    if wanted.what == What::Servers {
        return servers::bench(&wanted);
    }
    println!(
        "{} MiB each way, {} rounds, medians; ratios are medians of the rounds' own ratios, below 1 is better than sftp\n",
        wanted.size >> 20,
        wanted.rounds
    );
    println!(
        "| cipher | | sftp wall s | sansftp wall s | ratio | sftp CPU s | sansftp CPU s | ratio | sftp MiB | sansftp MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for cipher in &wanted.ciphers {
        let field = Field::new(&wanted, cipher)?;
        for direction in [Direction::Get, Direction::Put] {
            println!("{}", field.compare(direction, wanted.rounds)?);
            io::stdout().flush()?;
        }
    }
    Ok(())
}

/// Two copies of the file are alive at any time; a third is room for everyone else.
fn enough_memory(size: u64) -> Result<(), Failure> {
    let free = rustix::fs::statvfs(MEMORY)?;
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    if free / 3 < size {
        return Err(format!(
            "{MEMORY} has {} MiB free, and three times the size is needed: use --size",
            free >> 20
        )
        .into());
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Get,
    Put,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Sftp,
    Sansftp,
}

/// One server with one cipher, and the files.
struct Field {
    sshd: Sshd,
    cipher: String,
    program: PathBuf,
    /// On the server, readable by all: what is got, and what is put.
    source: PathBuf,
    /// The client's side.
    local: tempfile::TempDir,
}

impl Field {
    fn new(wanted: &Wanted, cipher: &str) -> Result<Self, Failure> {
        let sshd = Sshd::builder()
            .sftp(Sftp::Internal)
            .data_in(MEMORY)
            .config(format!("Ciphers {cipher}"))
            .config("KexAlgorithms curve25519-sha256")
            .start();
        sshd.mkdir("out");
        sshd.mkdir("in");
        let source = sshd.home().join("out/big");
        fill(&source, wanted.size)?;
        Ok(Self {
            sshd,
            cipher: cipher.to_owned(),
            program: fs::canonicalize(&wanted.program)
                .map_err(|error| format!("{}: {error}", wanted.program.display()))?,
            source,
            local: tempfile::tempdir_in(MEMORY)?,
        })
    }

    /// One line of the table.
    fn compare(&self, direction: Direction, rounds: usize) -> Result<String, Failure> {
        // Not counted: the first one pays for memory that the others find ready.
        self.run(Client::Sftp, direction)?;
        let mut pairs = Vec::new();
        for round in 0..rounds {
            // Each goes first in every other round.
            let pair = if round % 2 == 0 {
                let sftp = self.run(Client::Sftp, direction)?;
                (sftp, self.run(Client::Sansftp, direction)?)
            } else {
                let sansftp = self.run(Client::Sansftp, direction)?;
                (self.run(Client::Sftp, direction)?, sansftp)
            };
            pairs.push(pair);
        }
        let of = |value: &dyn Fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(value).collect());
        let name = match direction {
            Direction::Get => "get",
            Direction::Put => "put",
        };
        Ok(format!(
            "| {} | {name} | {:.2} | {:.2} | **{:.2}** | {:.2} | {:.2} | **{:.2}** | {:.0} | {:.0} |",
            self.cipher,
            of(&|(sftp, _)| sftp.wall),
            of(&|(_, sansftp)| sansftp.wall),
            of(&|(sftp, sansftp)| sansftp.wall / sftp.wall),
            of(&|(sftp, _)| sftp.cpu),
            of(&|(_, sansftp)| sansftp.cpu),
            of(&|(sftp, sansftp)| sansftp.cpu / sftp.cpu),
            of(&|(sftp, _)| sftp.memory_mib),
            of(&|(_, sansftp)| sansftp.memory_mib),
        ))
    }

    /// One transfer. Its result is compared, and removed, outside the time.
    fn run(&self, client: Client, direction: Direction) -> Result<Cost, Failure> {
        let target = match direction {
            Direction::Get => self.local.path().join("big"),
            Direction::Put => self.sshd.home().join("in/big"),
        };
        let command = match client {
            Client::Sftp => self.sftp(direction, &target)?,
            Client::Sansftp => self.sansftp(direction, &target),
        };
        let cost = measure::measure(command)
            .map_err(|error| format!("{client:?} {direction:?} with {}: {error}", self.cipher))?;
        if !same(&self.source, &target)? {
            return Err(format!(
                "{client:?} {direction:?} with {}: the contents differ",
                self.cipher
            )
            .into());
        }
        fs::remove_file(target)?;
        Ok(cost)
    }

    fn sftp(&self, direction: Direction, target: &Path) -> io::Result<Command> {
        let (source, target) = (self.source.display(), target.display());
        let batch = self.local.path().join("batch");
        fs::write(
            &batch,
            match direction {
                Direction::Get => format!("get {source} {target}\n"),
                Direction::Put => format!("put {source} {target}\n"),
            },
        )?;
        let mut command = Command::new("sftp");
        command
            .args([
                "-q",
                "-F",
                "/dev/null",
                "-o",
                "GlobalKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
            ])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.sshd.known_hosts_file().display()
            ))
            .args(["-o", "PreferredAuthentications=publickey", "-i"])
            .arg(self.sshd.key(ClientKey::Ed25519))
            .arg("-b")
            .arg(batch)
            .arg("-P")
            .arg(self.sshd.port().to_string())
            .arg(format!("{}@127.0.0.1", self.sshd.user()));
        Ok(command)
    }

    fn sansftp(&self, direction: Direction, target: &Path) -> Command {
        let url = |dir: &Path| {
            let (user, port) = (self.sshd.user(), self.sshd.port());
            format!("sftp://{user}@127.0.0.1:{port}{}", dir.display())
        };
        let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        let mut command = Command::new(&self.program);
        match direction {
            Direction::Get => command
                .args(["get", &url(&parent(&self.source)), "--file-filter", "big"])
                .arg("--into")
                .arg(parent(target))
                .args(["--local-if-exists", "overwrite"]),
            Direction::Put => command
                .args(["send", &url(&parent(target))])
                .arg(&self.source)
                .args(["--if-exists", "overwrite"]),
        };
        command
            .arg("--quiet")
            .arg("--identity")
            .arg(self.sshd.key(ClientKey::Ed25519))
            .arg("--known-hosts-file")
            .arg(self.sshd.known_hosts_file());
        command
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values[middle];
    }
    values[middle - 1].midpoint(values[middle])
}

/// Content that no compression and no hole makes cheaper, the same at each run.
fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    Rng::new(1).write_to(&mut file, size)?;
    file.into_inner()?
        .set_permissions(fs::Permissions::from_mode(0o644))
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}
