//! Files: private and public keys, known_hosts, authorized_keys, pasted host keys and a user's `ssh_config`. Any bytes are
//! read or refused.

use crate::seeds::Choices;
use sansftp_keys::authorized_keys::AuthorizedKeys;
use sansftp_keys::certificate::{Certificate, is_certificate};
use sansftp_keys::known_hosts::Pins;
use sansftp_keys::{
    Host, KnownHosts, read_private_key, read_public, ssh_config as settings, write_openssh,
    write_public,
};
use sansftp_proto::crypto::{PublicKey, Secret};

/// Private and public keys, and certificates. What reads, written and read again, is the same key.
pub fn keys(data: &[u8]) {
    for passphrase in [None, Some(Secret::from("p"))] {
        if let Ok(file) = read_private_key(data, passphrase.as_ref()) {
            let written = write_openssh(&file.key, "comment", 7);
            let again =
                read_private_key(written.as_bytes(), None).expect("what we write can be read");
            assert_eq!(again.key.public_key(), file.key.public_key());
        }
    }
    if let Ok(line) = read_public(data) {
        let written = write_public(&line.key, "comment");
        let again = read_public(written.as_bytes()).expect("what we write can be read");
        assert_eq!(again.key, line.key);
    }
    let authorized = AuthorizedKeys::parse(data);
    let lines = lines(data);
    assert!(authorized.entries().len() + authorized.warnings().len() <= lines);
    if let Ok(blob) = PublicKey::new(data.to_vec())
        && let Ok(certificate) = Certificate::parse(&blob)
    {
        assert!(is_certificate(&blob));
        assert!(!is_certificate(certificate.key()));
    }
}

/// Lines about hosts. Each line says one thing or is reported, and a key that was found is found again.
pub fn known_hosts(data: &[u8]) {
    let mut choices = Choices::new(data);
    let names = ["example.com", "192.0.2.1", "[::1]", "xn--a"];
    let port = [22, 2222][choices.below(2)];
    let Ok(host) = Host::new(names[choices.below(names.len())], port) else {
        return;
    };
    let text = choices.rest();
    let known = KnownHosts::parse(text);
    let lines = lines(text);
    assert!(known.warnings().len() <= lines);
    if let Some(line) = known.concerns(&host) {
        assert!(line.concerns(&host));
    }
    let algorithms = known.algorithms_for(&host).len();
    assert!(algorithms <= 8 * lines);
    if let Ok(line) = read_public(text) {
        assert_eq!(
            known.check(&host, &line.key),
            KnownHosts::parse(text).check(&host, &line.key)
        );
    }
    if let Ok(pins) = Pins::parse([text]) {
        pins.algorithms_for(&host);
    }
}

/// A user's `ssh_config`. The first value of a keyword wins, a block that says nothing changes nothing, and a line that is
/// told stands in the file.
pub fn ssh_config(data: &[u8]) {
    let mut choices = Choices::new(data);
    let hosts = ["partner", "192.0.2.1", "a.example.com", ""];
    let host = hosts[choices.below(hosts.len())];
    let text = match choices.byte() & 1 {
        0 => choices.rest().to_vec(),
        _ => configured(&mut choices),
    };
    let found = settings(&text, host);
    let ended = [&text, b"\nHost *\n".as_slice()].concat();
    assert_eq!(settings(&ended, host), found);
    let begun = [b"Port 9\n".as_slice(), &text].concat();
    if let Ok(settings) = settings(&begun, host) {
        assert_eq!(settings.port, Some(9));
    }
    let numbers = 1..=lines(&text);
    match found {
        Ok(found) => assert!(found.skipped.iter().all(|line| numbers.contains(line))),
        Err(error) => assert!(numbers.contains(&error.line)),
    }
}

/// Words of the format, with anything between them: what random bytes would hardly come to.
fn configured(choices: &mut Choices<'_>) -> Vec<u8> {
    let words: [&[u8]; 24] = [
        b"Host",
        b"Match",
        b"all",
        b"Include",
        b"HostName",
        b"Port",
        b"User",
        b"IdentityFile",
        b"ProxyJump",
        b"ProxyCommand",
        b"UserKnownHostsFile",
        b"HostKeyAlias",
        b"*",
        b"!partner",
        b"par?ner",
        b"none",
        b"22",
        b"%h.example",
        b"\"a b\"",
        b"#",
        b" ",
        b"=",
        b"\n",
        b"\r\n",
    ];
    let mut text = Vec::new();
    while !choices.is_empty() {
        match choices.below(words.len() + 8) {
            word if word < words.len() => text.extend(words[word]),
            byte if byte % 2 == 0 => text.push(choices.byte()),
            _ => text.push(b" \n"[choices.below(2)]),
        }
    }
    text
}

/// How many lines there are at most, whatever ends them.
fn lines(text: &[u8]) -> usize {
    text.split(|byte| b"\r\n".contains(byte)).count()
}
