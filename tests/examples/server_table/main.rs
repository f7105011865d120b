//! The table of servers and algorithms in `docs/interop.md`: each server that is here, each algorithm that it offers and we
//! have, forced one at a time, with both providers. `cargo xtask interop` runs it.
//!
//! Names come from our providers and from the servers; none is written down here. Not a test: what has to work with every
//! change is in `tests/interop`.

mod force;
mod offer;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use force::{Category, Place};
use offer::Offer;
use sansftp_proto::crypto::CERTIFICATE;
use sansftp_testkit::inetd::{Inetd, Program};
use sansftp_testkit::serve::Serve;
use sansftp_testkit::sshd::{ClientKey, Sftp, Sshd};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("server_table: name the file that is to be written");
        return ExitCode::from(2);
    };
    match table().await {
        Ok(text) => match std::fs::write(&path, text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("server_table: {path}: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("server_table: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn Error>;

/// A server that runs, until it is dropped.
enum Running {
    OpenSsh(Sshd),
    Ours(Serve),
    Other(Inetd),
}

impl Running {
    fn place(&self) -> Place {
        match self {
            Self::OpenSsh(it) => Place {
                port: it.port(),
                user: it.user().to_owned(),
                key: it.key(ClientKey::Ed25519),
                home: it.home().to_owned(),
            },
            Self::Ours(it) => Place {
                port: it.port(),
                user: it.user().to_owned(),
                key: it.key(ClientKey::Ed25519),
                home: it.home().to_owned(),
            },
            Self::Other(it) => Place {
                port: it.port(),
                user: it.user().to_owned(),
                key: it.key().to_owned(),
                home: it.home(),
            },
        }
    }
}

/// A column.
struct Column {
    name: String,
    offer: Offer,
    /// For each algorithm of ours that it offers: its category, its name, and what came of it.
    tried: Vec<(Category, String, Result<(), String>)>,
}

async fn table() -> Result<String, Failure> {
    let mut columns = Vec::new();
    let mut missing = Vec::new();
    let keys = tempfile::tempdir()?;
    columns.push(column("OpenSSH", Running::OpenSsh(openssh(keys.path())?)).await?);
    columns.push(column("sansftp serve", Running::Ours(ours(keys.path())?)).await?);
    for program in Program::ALL {
        match program.missing() {
            Some(why) => missing.push((program.name(), why)),
            None => {
                let running = Running::Other(program.start()?);
                columns.push(column(program.name(), running).await?);
            }
        }
    }
    Ok(show(&columns, &missing))
}

/// The types of keys that the fixtures do not have, and those that there are certificates for.
const KEYS: [(&str, &[&str]); 6] = [
    ("ed25519", &["-t", "ed25519"]),
    ("p256", &["-t", "ecdsa", "-b", "256"]),
    ("p384", &["-t", "ecdsa", "-b", "384"]),
    ("p521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa", &["-t", "rsa"]),
    ("dsa", &["-t", "dsa"]),
];

/// Makes keys and certificates for them, each once; the files, of the key and of its certificate.
fn certified(keys: &Path) -> Result<Vec<(PathBuf, Option<PathBuf>)>, Failure> {
    let keygen = |arguments: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command.current_dir(keys).arg("-q").args(arguments).output()
    };
    if !keys.join("ca").exists() {
        keygen(&["-t", "ed25519", "-N", "", "-f", "ca"])?;
        for (name, kind) in KEYS {
            keygen(&[&["-N", "", "-f", name], kind].concat())?;
            let public = format!("{name}.pub");
            keygen(&["-s", "ca", "-h", "-I", name, "-n", "127.0.0.1", &public])?;
        }
    }
    // Newer ones make no DSA keys, and have no use for them.
    let made = KEYS.iter().map(|(name, _)| (keys.join(name), *name));
    let made = made.filter(|(file, _)| file.exists());
    Ok(made
        .map(|(file, name)| {
            // Ours knows no certificates of DSA keys.
            let certificate = keys.join(format!("{name}-cert.pub"));
            let certificate = Some(certificate).filter(|_| name != "dsa");
            (file, certificate)
        })
        .collect())
}

/// Stock sshd with all that it has switched on, whatever it is worth.
fn openssh(keys: &Path) -> Result<Sshd, Failure> {
    let mut builder = Sshd::builder().sftp(Sftp::Internal).host_keys(&[]);
    for (key, certificate) in certified(keys)? {
        builder = builder.config(format!("HostKey {}", key.display()));
        if let Some(certificate) = certificate {
            builder = builder.config(format!("HostCertificate {}", certificate.display()));
        }
    }
    for (line, query) in [
        ("KexAlgorithms", "kex"),
        ("HostKeyAlgorithms", "HostKeyAlgorithms"),
        ("Ciphers", "cipher"),
        ("MACs", "mac"),
    ] {
        let output = Command::new("ssh").args(["-Q", query]).output()?;
        let names = String::from_utf8(output.stdout)?;
        let names: Vec<_> = names.lines().collect();
        builder = builder.config(format!("{line} {}", names.join(",")));
    }
    Ok(builder.start())
}

/// Ours with all that it has.
fn ours(keys: &Path) -> Result<Serve, Failure> {
    let mut builder = Serve::builder().arg("--compression");
    for (key, certificate) in certified(keys)? {
        builder = builder.arg("--host-key").arg(key);
        if let Some(certificate) = certificate {
            builder = builder.arg("--host-certificate").arg(certificate);
        }
    }
    let list = |name: &str, category: Category| {
        let names = category.ours();
        // Those of certificates follow from there being certificates.
        let names = names.into_iter().filter(|it| !it.contains(CERTIFICATE));
        format!("{name}={}", names.collect::<Vec<_>>().join(":"))
    };
    let lists = [
        "modern".to_owned(),
        list("kex", Category::Kex),
        list("host-key", Category::HostKey),
        list("cipher", Category::Cipher),
        list("mac", Category::Mac),
    ];
    Ok(builder.arg("--algorithms").arg(lists.join(",")).start())
}

async fn column(name: &str, running: Running) -> Result<Column, Failure> {
    let place = running.place();
    let offer = offer::of(place.port).map_err(|error| format!("{name}: {error}"))?;
    let mut tried = Vec::new();
    for category in Category::ALL {
        if category == Category::Mac && !force::has_use_for_mac(&offer.cipher) {
            continue;
        }
        let offered = names_of(&offer, category);
        for algorithm in category.ours() {
            if !offered.contains(&algorithm) {
                continue;
            }
            let outcome = force::works(&place, category, &algorithm).await;
            let word = outcome.as_ref().err().map_or("ok", String::as_str);
            eprintln!("{name}: {algorithm}: {word}");
            tried.push((category, algorithm, outcome));
        }
    }
    let name = name.to_owned();
    Ok(Column { name, offer, tried })
}

fn names_of(offer: &Offer, category: Category) -> &[String] {
    match category {
        Category::Kex => &offer.kex,
        Category::HostKey => &offer.host_key,
        Category::Cipher => &offer.cipher,
        Category::Mac => &offer.mac,
        Category::Compression => &offer.compression,
    }
}

const INTRODUCTION: &str = "\
# Servers and algorithms

Written by `cargo xtask interop`, which starts each server that it finds on the machine, forces each algorithm that both ends have, one at a
time, with both providers of cryptography, logs in, sends a file, fetches it and compares the bytes. Do not edit it by hand.

`ok`: just that algorithm was agreed on and the file came through. Empty: the server does not offer it, has no key for it, or no cipher
beside it. A number: see below the tables. OpenSSH and ours are started with all that they have switched on, also what they do not offer by themselves. What our client
offers by itself is another question, which the profiles of `algorithms` answer: [connections.md](connections.md).

";

fn show(columns: &[Column], missing: &[(&str, String)]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut reasons: Vec<String> = Vec::new();
    text.push_str("| server | calls itself |\n|---|---|\n");
    for column in columns {
        let _ = writeln!(text, "| {} | `{}` |", column.name, column.offer.software);
    }
    for (name, why) in missing {
        let _ = writeln!(text, "| {name} | not tried: {why} |");
    }
    for category in Category::ALL {
        let _ = write!(text, "\n## {}\n\n| |", category.title());
        for column in columns {
            let _ = write!(text, " {} |", column.name);
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(columns.len()));
        for algorithm in category.ours() {
            let _ = write!(text, "| {algorithm} |");
            for column in columns {
                let tried = column
                    .tried
                    .iter()
                    .find(|(of, name, _)| (*of, name) == (category, &algorithm));
                let cell = match tried {
                    None => String::new(),
                    Some((.., Ok(()))) => "ok".to_owned(),
                    Some((.., Err(why))) => {
                        reasons.push(format!("{}, {algorithm}: {why}", column.name));
                        reasons.len().to_string()
                    }
                };
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
    }
    if !reasons.is_empty() {
        text.push_str("\n## What did not work\n\n");
        for (number, reason) in (1..).zip(&reasons) {
            let _ = writeln!(text, "{number}. {reason}");
        }
    }
    text.push_str("\n## What they offer and we do not have\n\n");
    for column in columns {
        let _ = writeln!(text, "- {}: {}", column.name, unknown(&column.offer));
    }
    text
}

fn unknown(offer: &Offer) -> String {
    let mut names = Vec::new();
    for category in Category::ALL {
        let ours = category.ours();
        let theirs = names_of(offer, category).iter();
        names.extend(
            theirs
                .filter(|it| !ours.contains(it) && *it != "none")
                .map(|it| format!("`{it}`")),
        );
    }
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}
