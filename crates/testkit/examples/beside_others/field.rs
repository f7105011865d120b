//! One server with one set of ciphers, at its distance, and the places of the files. Everything lies in memory, so that no
//! disk is measured.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sansftp_testkit::seeds::Rng;
use sansftp_testkit::sshd::{ClientKey, HostKey, Sftp, Sshd};

use crate::far::Far;
use crate::{Failure, MEMORY};

/// What stands between the clients and the files of one row.
#[derive(Debug)]
pub(crate) struct Field {
    sshd: Sshd,
    far: Option<Far>,
    /// The first is what a client asks for that can be told.
    pub(crate) cipher: &'static str,
    /// The clients' side.
    pub(crate) local: tempfile::TempDir,
}

impl Field {
    /// A server that takes these ciphers alone, and this key exchange, `round_trip` away.
    pub(crate) fn new(
        ciphers: &[&'static str],
        kex: &str,
        round_trip: Duration,
    ) -> Result<Self, Failure> {
        let cipher = *ciphers.first().ok_or("a row has a cipher")?;
        let sshd = Sshd::builder()
            .sftp(Sftp::Internal)
            .host_keys(&[HostKey::Ed25519])
            .data_in(MEMORY)
            .config(format!("Ciphers {}", ciphers.join(",")))
            .config("MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-256")
            .config(format!("KexAlgorithms {kex}"))
            .start();
        for name in ["out", "in", "empty"] {
            sshd.mkdir(name);
        }
        let far = if round_trip.is_zero() {
            None
        } else {
            Some(Far::start(sshd.addr(), round_trip)?)
        };
        let local = tempfile::tempdir_in(MEMORY)?;
        fs::create_dir(local.path().join("got"))?;
        let field = Self {
            sshd,
            far,
            cipher,
            local,
        };
        let line = field.sshd.known_hosts_line();
        let line = line.replace(
            &format!(":{} ", field.sshd.port()),
            &format!(":{} ", field.port()),
        );
        fs::write(field.known_hosts(), line + "\n")?;
        Ok(field)
    }

    /// Where the clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.far
            .as_ref()
            .map_or_else(|| self.sshd.port(), Far::port)
    }

    pub(crate) fn user(&self) -> &str {
        self.sshd.user()
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.sshd.key(ClientKey::Ed25519)
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.local.path().join("known_hosts")
    }

    /// The base64 of the server's key.
    pub(crate) fn host_key(&self) -> String {
        let line = self.sshd.known_hosts_line();
        line.split(' ').nth(2).unwrap_or_default().trim().to_owned()
    }

    /// What is got, and what is put: on the server, readable by all.
    pub(crate) fn sources(&self) -> PathBuf {
        self.sshd.home().join("out")
    }

    /// Where the server gets it.
    pub(crate) fn put_into(&self) -> PathBuf {
        self.sshd.home().join("in")
    }

    /// Where the client gets it.
    pub(crate) fn get_into(&self) -> PathBuf {
        self.local.path().join("got")
    }

    pub(crate) fn empty(&self) -> PathBuf {
        self.sshd.home().join("empty")
    }

    /// Empties what the last transfer has filled.
    pub(crate) fn clear(&self) -> io::Result<()> {
        fs::remove_dir_all(self.get_into())?;
        fs::create_dir(self.get_into())?;
        for entry in fs::read_dir(self.put_into())? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

/// Content that no compression and no hole makes cheaper, the same at each run.
pub(crate) fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    Rng::new(1).write_to(&mut file, size)?;
    readable(&file.into_inner()?)
}

/// A file that is one hole: it takes no room, and its reader nothing to find.
pub(crate) fn hole(path: &Path, size: u64) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_len(size)?;
    readable(&file)
}

/// `count` files of `size` bytes, each with contents of its own.
pub(crate) fn many(dir: &Path, count: usize, size: u64) -> io::Result<()> {
    let mut random = Rng::new(2);
    for number in 0..count {
        let mut file = File::create(dir.join(format!("f{number:05}")))?;
        random.write_to(&mut file, size)?;
        file.flush()?;
        readable(&file)?;
    }
    Ok(())
}

fn readable(file: &File) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// Whether `to` holds the files of `from`, and no others.
pub(crate) fn same_files(from: &Path, to: &Path) -> io::Result<bool> {
    let names = |dir: &Path| -> io::Result<Vec<_>> {
        let mut names = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    };
    let expected = names(from)?;
    if names(to)? != expected {
        return Ok(false);
    }
    for name in expected {
        if !same(&from.join(&name), &to.join(&name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let size = usize::try_from(one.metadata()?.len()).unwrap_or(usize::MAX);
    let block = size.clamp(1, 1 << 20);
    let (mut left, mut right) = (vec![0; block], vec![0; block]);
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
