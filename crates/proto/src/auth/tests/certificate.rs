//! Users' certificates at a server (OpenSSH PROTOCOL.certkeys): which key signs, under which name, and
//! what is handed to the judge.

use super::*;
use crate::auth::server::{Offered, Verdict};
use crate::crypto::split_certificate;

const ALL: &str = "publickey,password,keyboard-interactive";

/// A certificate of the key whose fields these are, as far as the core looks at it.
fn certificate(kind: &str, fields: &[&str]) -> PublicKey {
    let mut blob = Raw(Vec::new()).string(kind).string("nonce");
    for field in fields {
        blob = blob.string(field);
    }
    PublicKey::new(blob.string("the rest").0).unwrap()
}

fn ed25519_certificate() -> PublicKey {
    certificate("ssh-ed25519-cert-v01@openssh.com", &["a"])
}

/// A request that offers `offered` under `algorithm`, signed by `signer` as `named` inside.
fn signed_by(offered: &PublicKey, algorithm: &str, signer: &PublicKey, named: &str) -> Raw {
    let request = Raw::request("alice", "publickey")
        .byte(1)
        .string(algorithm)
        .string(offered.as_bytes());
    let mut data = Raw(Vec::new()).string(SESSION);
    data.0.extend(&request.0);
    let signature = Raw(Vec::new())
        .string(named)
        .string(checksum(named, signer, &data.0));
    request.string(signature.0)
}

#[test]
fn the_key_inside_signs_and_the_certificate_is_judged() {
    let rsa = Raw(Vec::new()).string("ssh-rsa").string("e").string("n");
    for (certificate, algorithm, signer, named) in [
        (
            ed25519_certificate(),
            "ssh-ed25519-cert-v01@openssh.com",
            public_key("ssh-ed25519", "a"),
            "ssh-ed25519",
        ),
        (
            certificate("ssh-rsa-cert-v01@openssh.com", &["e", "n"]),
            "rsa-sha2-512-cert-v01@openssh.com",
            PublicKey::new(rsa.0).unwrap(),
            "rsa-sha2-512",
        ),
    ] {
        let mut server = server();
        server.hears(&probe(algorithm, &certificate)).unwrap();
        let attempt = server.attempt();
        assert!(
            matches!(&attempt.method, Offered::PublicKeyProbe { key, algorithm: it }
                if *key == certificate && it == algorithm)
        );
        server.judges(attempt, Verdict::Acceptable).unwrap();
        server.expect(&pk_ok(algorithm, &certificate));
        server
            .hears(&signed_by(&certificate, algorithm, &signer, named))
            .unwrap();
        let attempt = server.attempt();
        assert!(
            matches!(&attempt.method, Offered::PublicKey { key, algorithm: it }
                if *key == certificate && it == algorithm)
        );
    }
}

#[test]
fn a_certificate_that_is_not_what_its_algorithm_says_is_refused_unasked() {
    let ours = ed25519_certificate();
    let key = public_key("ssh-ed25519", "a");
    let rsa = certificate("ssh-rsa-cert-v01@openssh.com", &["e", "n"]);
    let of = |kind: &str, rest: &[u8]| {
        PublicKey::new([Raw(Vec::new()).string(kind).0, rest.to_vec()].concat()).unwrap()
    };
    let name = "ssh-ed25519-cert-v01@openssh.com";
    for message in [
        // The certificate as a plain key, and a plain key as a certificate.
        probe("ssh-ed25519", &ours),
        probe(name, &key),
        // Of another type, or signed by what nobody verifies.
        probe("rsa-sha2-512-cert-v01@openssh.com", &ours),
        probe(name, &rsa),
        probe("ssh-rsa-cert-v01@openssh.com", &rsa),
        probe("ssh-dss-cert-v01@openssh.com", &rsa),
        // Cut off, or a certificate in a certificate's clothes.
        probe(name, &of(name, b"")),
        probe(name, &of(name, b"\0\0\0\x05nonce\0\0\0\x02a")),
        probe(name, &of(name, b"\xff\xff\xff\xff")),
        probe(
            "ssh-ed25519-cert-v01@openssh.com-cert-v01@openssh.com",
            &ours,
        ),
        // Another key's signature, the certificate's own as if it were a key, and one under the
        // certificate's name.
        signed_by(&ours, name, &public_key("ssh-ed25519", "b"), "ssh-ed25519"),
        signed_by(&ours, name, &ours, "ssh-ed25519"),
        signed_by(&ours, name, &key, name),
    ] {
        let mut server = server();
        server.hears(&message).unwrap();
        assert!(server.events.is_empty());
        server.expect(&failure(ALL, 0));
    }
}

#[test]
fn a_certificate_is_taken_where_its_signatures_are() {
    for (algorithm, certificate, asked) in [
        (
            "rsa-sha2-512-cert-v01@openssh.com",
            certificate("ssh-rsa-cert-v01@openssh.com", &["e", "n"]),
            1,
        ),
        (
            "rsa-sha2-256-cert-v01@openssh.com",
            certificate("ssh-rsa-cert-v01@openssh.com", &["e", "n"]),
            0,
        ),
        ("ssh-ed25519-cert-v01@openssh.com", ed25519_certificate(), 0),
    ] {
        let mut config = server_config();
        config.local.user_algorithms = vec!["rsa-sha2-512".into()];
        let mut server = server_with(config);
        server.hears(&probe(algorithm, &certificate)).unwrap();
        assert_eq!(server.events.len(), asked, "{algorithm}");
    }
}

#[test]
fn the_front_of_a_certificate_ends_where_its_serial_begins() {
    let certificate = ed25519_certificate();
    let split = split_certificate(&certificate).unwrap();
    assert_eq!(split.nonce, b"nonce");
    assert_eq!(split.key, public_key("ssh-ed25519", "a"));
    assert_eq!(split.rest.remaining(), b"\0\0\0\x08the rest");
}
