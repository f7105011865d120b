//! Files: private and public keys, known_hosts, authorized_keys and pasted host keys. Any bytes are read or refused.

use crate::seeds::Choices;
use sansftp_keys::authorized_keys::AuthorizedKeys;
use sansftp_keys::certificate::{Certificate, is_certificate};
use sansftp_keys::known_hosts::Pins;
use sansftp_keys::{Host, KnownHosts, read_private_key, read_public, write_openssh, write_public};
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

/// How many lines there are at most, whatever ends them.
fn lines(text: &[u8]) -> usize {
    text.split(|byte| b"\r\n".contains(byte)).count()
}
