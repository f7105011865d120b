//! Damaged key files of every format in little memory: each cut off everywhere, each with an absurd number
//! in each place where a number could be, is an error or the same key, and never room for what it announces.
//!
//! One test, alone in its process, whose address space it bounds. What each format's flaws are called is
//! tested with the parsers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, setrlimit};
use sansftp_keys::{read_private_key, read_public};
use sansftp_proto::crypto::{PublicKey, Secret};

/// What may be asked for beside what is in use when it begins: the passphrases of these files take 8 KiB,
/// and a length that is believed would take gigabytes.
const ROOM: u64 = 64 << 20;

const ABSURD: [[u8; 4]; 4] = [
    [0xff; 4],
    [0x7f, 0xff, 0xff, 0xff],
    // A length of ASN.1 in four bytes.
    [0x84, 0xff, 0xff, 0xff],
    [0; 4],
];

/// A key file, and what opens it.
struct Made {
    name: String,
    text: Vec<u8>,
    phrase: Option<Secret>,
    public: PublicKey,
}

fn run(directory: &Path, command: &str) -> Vec<u8> {
    let mut words = command
        .split(' ')
        .map(|it| if it == "EMPTY" { "" } else { it });
    let program = words.next().expect("a command has a program");
    let output = Command::new(program)
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    output.stdout
}

/// A file of each format and cipher. Those whose passphrase costs much are read without it: then all but
/// what is sealed is looked at.
fn make(directory: &Path) -> Vec<Made> {
    let mut all = Vec::new();
    let mut add = |name: &str, text: Vec<u8>, phrase: Option<&str>| {
        let public = read_public(&fs::read(directory.join("key.pub")).unwrap()).unwrap();
        all.push(Made {
            name: name.to_owned(),
            text,
            phrase: phrase.map(Secret::from),
            public: public.key,
        });
    };
    fs::write(directory.join("phrase"), "sesame").unwrap();
    fs::write(directory.join("none"), "").unwrap();
    for kind in ["-t ecdsa -b 384", "-t ed25519", "-t rsa -b 2048"] {
        // What is left is the key that is made last.
        for name in ["key", "key.pub"] {
            let _ = fs::remove_file(directory.join(name));
        }
        run(directory, &format!("ssh-keygen -q -N EMPTY -f key {kind}"));
        let plain = fs::read(directory.join("key")).unwrap();
        add(kind, plain, None);
        for (version, phrase, file) in [
            ("version=2", None, "none"),
            ("version=3", None, "none"),
            ("version=2", Some("sesame"), "phrase"),
            ("version=3,memory=64,passes=1", None, "phrase"),
        ] {
            let arguments = format!("--new-passphrase {file} --ppk-param {version}");
            run(
                directory,
                &format!("puttygen key -O private -o ppk {arguments}"),
            );
            let text = fs::read(directory.join("ppk")).unwrap();
            add(&format!("{kind} PuTTY {version} {file}"), text, phrase);
        }
        if kind == "-t ed25519" {
            for cipher in [
                "aes128-ctr",
                "aes256-cbc",
                "3des-cbc",
                "aes256-gcm@openssh.com",
                "chacha20-poly1305@openssh.com",
            ] {
                fs::copy(directory.join("key"), directory.join("sealed")).unwrap();
                run(
                    directory,
                    &format!("ssh-keygen -q -p -P EMPTY -N sesame -a 1 -Z {cipher} -f sealed"),
                );
                let text = fs::read(directory.join("sealed")).unwrap();
                add(cipher, text, None);
            }
            continue;
        }
        for (format, phrase) in [("PEM", ""), ("PEM", "sesame"), ("PKCS8", "")] {
            fs::copy(directory.join("key"), directory.join("other")).unwrap();
            let new = if phrase.is_empty() { "EMPTY" } else { phrase };
            run(
                directory,
                &format!("ssh-keygen -q -p -P EMPTY -N {new} -m {format} -f other"),
            );
            let text = fs::read(directory.join("other")).unwrap();
            add(&format!("{kind} {format} {phrase}"), text, Some("sesame"));
        }
        for how in ["-iter 1", "-scrypt -scrypt_N 2 -scrypt_r 1 -scrypt_p 1"] {
            let text = run(
                directory,
                &format!("openssl pkcs8 -topk8 -in other {how} -passout pass:sesame"),
            );
            add(&format!("{kind} {how}"), text, Some("sesame"));
        }
    }
    all
}

/// The text of the armour, and of what is in it, where there is armour.
fn content(text: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(text).unwrap();
    let label = text.strip_prefix("-----BEGIN ")?.split("-----").next()?;
    if text.contains("DEK-Info") {
        return None;
    }
    let body: String = text.lines().filter(|it| !it.starts_with('-')).collect();
    Some((label.to_owned(), base64(&body)))
}

/// RFC 4648 §4, well-formed.
fn base64(text: &str) -> Vec<u8> {
    let value = |it: u8| ALPHABET.iter().position(|known| *known == it);
    let bits = text
        .bytes()
        .filter_map(value)
        .flat_map(|six| (0..6).rev().map(move |at| six >> at & 1));
    let bits: Vec<usize> = bits.collect();
    let byte = |bits: &[usize; 8]| bits.iter().fold(0, |byte: u8, bit| byte << 1 | *bit as u8);
    bits.as_chunks::<8>().0.iter().map(byte).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn armoured(label: &str, content: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for three in content.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        let six = (0..=three.len()).map(|at| bits >> (18 - 6 * at) & 63);
        text.extend(six.map(|it| ALPHABET[it as usize]));
    }
    text.extend(format!("\n-----END {label}-----\n").bytes());
    text
}

impl Made {
    /// An error, or the same key.
    fn read(&self, text: &[u8], what: &str) {
        if let Ok(read) = read_private_key(text, self.phrase.as_ref()) {
            assert_eq!(read.key.public_key(), self.public, "{}, {what}", self.name);
        }
        // Whatever it is, it is no public key.
        assert!(read_public(text).is_err(), "{}, {what}", self.name);
    }
}

/// Each way to damage it.
fn damage(made: &Made) {
    made.read(&made.text, "whole");
    let text = made.text.trim_ascii_end();
    for len in 0..text.len() {
        let cut = read_private_key(&text[..len], made.phrase.as_ref());
        assert!(cut.is_err(), "{}: cut to {len}", made.name);
    }
    // A number in words, as PuTTY's are.
    let digits = |at: &usize| text[*at].is_ascii_digit() && text[at - 1] == b' ';
    for at in (1..text.len()).filter(digits) {
        let mut bad = text.to_vec();
        bad.splice(at..=at, *b"4294967295");
        made.read(&bad, "a large number");
    }
    let Some((label, content)) = content(&made.text) else {
        return;
    };
    assert!(armoured(&label, &content).len() > 100, "{}", made.name);
    for len in 0..content.len() {
        let cut = read_private_key(&armoured(&label, &content[..len]), made.phrase.as_ref());
        assert!(cut.is_err(), "{}: content cut to {len}", made.name);
    }
    for at in 0..content.len() - 4 {
        for absurd in ABSURD {
            let mut bad = content.clone();
            bad[at..at + 4].copy_from_slice(&absurd);
            made.read(&armoured(&label, &bad), "an absurd length");
        }
    }
}

#[test]
fn no_damage_to_a_key_file_is_more_than_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let all = make(directory.path());
    assert!(all.len() > 25);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let used = status.lines().find_map(|it| it.strip_prefix("VmSize:"));
    let used = used.and_then(|it| it.trim().strip_suffix(" kB")).unwrap();
    let used = used.trim().parse::<u64>().unwrap() * 1024;
    setrlimit(Resource::RLIMIT_AS, used + ROOM, used + ROOM).unwrap();
    assert!(
        Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(),
        "a gigabyte is too much"
    );
    for made in &all {
        damage(made);
    }
}
