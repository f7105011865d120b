//! Keys made by the programs that people make keys with, at the time of the test.

use base64ct::{Base64, Encoding};
use sansftp_keys::read_public;
use sansftp_proto::crypto::PublicKey;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory for one test's keys.
pub(crate) struct Keys(tempfile::TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    /// Makes `name` and `name.pub`; the arguments come as one text.
    pub(crate) fn ssh_keygen(&self, name: &str, passphrase: &str, arguments: &str) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-C", "made for a test", "-N", passphrase, "-f", name]);
        run(self.0.path(), command.args(arguments.split_whitespace()));
    }

    pub(crate) fn openssl(&self, arguments: &str) -> Vec<u8> {
        run(
            self.0.path(),
            Command::new("openssl").args(arguments.split_whitespace()),
        )
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        run(self.0.path(), Command::new(program).args(arguments))
    }

    /// What `name.pub` says.
    pub(crate) fn public(&self, name: &str) -> PublicKey {
        read_public(&self.bytes(&format!("{name}.pub")))
            .unwrap()
            .key
    }
}

fn run(directory: &Path, command: &mut Command) -> Vec<u8> {
    let command = command.current_dir(directory).stdin(Stdio::null());
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Takes the armour off.
pub(crate) fn content(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let body: String = text.lines().filter(|it| !it.starts_with('-')).collect();
    Base64::decode_vec(&body).unwrap()
}

/// Puts armour on.
pub(crate) fn armour(label: &str, content: &[u8]) -> Vec<u8> {
    let base64 = Base64::encode_string(content);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").into_bytes()
}

/// A name for each type of key, and what tells ssh-keygen to make one.
pub(crate) const TYPES: [(&str, &str); 5] = [
    ("ed25519", "-t ed25519"),
    ("p256", "-t ecdsa -b 256"),
    ("p384", "-t ecdsa -b 384"),
    ("p521", "-t ecdsa -b 521"),
    ("rsa", "-t rsa -b 2048"),
];

/// A text file as people paste it: how, and what becomes of it.
pub(crate) fn pasted(file: &[u8]) -> Vec<(&'static str, String)> {
    let good = std::str::from_utf8(file).unwrap().replace("\r\n", "\n");
    vec![
        ("spaces", good.replace('\n', " ")),
        ("tabs", good.replace('\n', "\t")),
        ("backslash n", good.replace('\n', "\\n")),
        ("backslash r n", good.replace('\n', "\\r\\n")),
        ("CR LF", good.replace('\n', "\r\n")),
        ("CR", good.replace('\n', "\r")),
        ("blanks around", format!("\u{feff} \n\t{good} \n\n ")),
        ("quoted", format!("\"{}\"", good.replace('\n', "\\n"))),
        ("explained", format!("the key:\n{good}")),
        ("no last line end", good.trim_end().to_owned()),
    ]
}
