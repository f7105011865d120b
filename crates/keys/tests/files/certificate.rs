//! Certificates: those that ssh-keygen makes, and those that it would not.

use crate::common::Keys;
use bytes::BytesMut;
use sansftp_crypto::{OsRandom, default_provider, generate_ed25519};
use sansftp_keys::authorized_keys::Feature;
use sansftp_keys::certificate::{
    Certificate, CertificateError, CertificateKind, CriticalOption, Demand,
};
use sansftp_keys::read_public;
use sansftp_proto::crypto::{PublicKey, SigningKey, write_signature};
use sansftp_proto::wire::Field;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2023-11-14T22:13:20Z
const NOW: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Whether the certificate is good for logging in as `name` from `from`.
fn check(
    certificate: &Certificate,
    name: &str,
    from: Option<&str>,
    now: u64,
) -> Result<(), CertificateError> {
    certificate.check(&Demand {
        kind: CertificateKind::User,
        names: &[name.as_bytes()],
        now: at(now),
        from: from.map(|it| it.parse::<IpAddr>().unwrap()),
        algorithms: &default_provider().signatures,
    })
}

// ---- made by ssh-keygen

fn made(keys: &Keys, subject: &str, authority: &str, arguments: &str) -> Certificate {
    let public = format!("{subject}.pub");
    let mut all = vec!["-q", "-s", authority, "-I", "an identity"];
    all.extend(arguments.split_whitespace());
    all.push(&public);
    keys.run("ssh-keygen", &all);
    let line = keys.bytes(&format!("{subject}-cert.pub"));
    Certificate::parse(&read_public(&line).unwrap().key).unwrap()
}

#[test]
fn every_type_of_key_is_certified_by_every_type_of_authority() {
    let keys = Keys::new();
    let types = [
        ("ed25519", "-t ed25519"),
        ("p256", "-t ecdsa -b 256"),
        ("p384", "-t ecdsa -b 384"),
        ("rsa", "-t rsa -b 2048"),
    ];
    for (name, arguments) in types {
        keys.ssh_keygen(name, "", arguments);
        keys.ssh_keygen(&format!("ca-{name}"), "", arguments);
    }
    keys.ssh_keygen("p521", "", "-t ecdsa -b 521");
    for (subject, _) in types.into_iter().chain([("p521", "")]) {
        for (authority, _) in types {
            let certificate = made(&keys, subject, &format!("ca-{authority}"), "-n me -z 7");
            assert_eq!(
                check(&certificate, "me", None, NOW),
                Ok(()),
                "{subject} {authority}"
            );
            assert_eq!(*certificate.key(), keys.public(subject));
            assert_eq!(
                *certificate.authority(),
                keys.public(&format!("ca-{authority}"))
            );
            assert_eq!(certificate.serial(), 7);
            assert_eq!(certificate.key_id(), b"an identity");
            assert!(certificate.allows(Feature::Pty));
            assert!(certificate.command().is_none());
        }
    }
}

#[test]
fn an_authority_that_signs_with_sha_1_vouches_for_nothing() {
    let keys = Keys::new();
    keys.ssh_keygen("user", "", "-t ed25519");
    keys.ssh_keygen("ca", "", "-t rsa -b 2048");
    let certificate = made(&keys, "user", "ca", "-n me -t ssh-rsa");
    assert_eq!(
        check(&certificate, "me", None, NOW),
        Err(CertificateError::Algorithm)
    );
    let certificate = made(&keys, "user", "ca", "-n me -t rsa-sha2-256");
    assert_eq!(check(&certificate, "me", None, NOW), Ok(()));
}

#[test]
fn what_ssh_keygen_writes_into_a_certificate_is_obeyed() {
    use CertificateError::{Address, Early, Expired, Kind, Name, Option};
    let keys = Keys::new();
    keys.ssh_keygen("user", "", "-t ed25519");
    keys.ssh_keygen("ca", "", "-t ed25519");
    let here = Some("192.0.2.7");
    for (arguments, from, expected) in [
        ("-n me", here, Ok(())),
        ("-n you,me", None, Ok(())),
        ("-n you", here, Err(Name)),
        ("-n Me", here, Err(Name)),
        ("-n *", here, Err(Name)),
        ("", here, Err(Name)),
        ("-h -n me", here, Err(Kind)),
        ("-n me -V 20231114221320Z:20231114221321Z", here, Ok(())),
        ("-n me -V 20231114221321Z:20231114221421Z", here, Err(Early)),
        (
            "-n me -V 20231114221220Z:20231114221320Z",
            here,
            Err(Expired),
        ),
        ("-n me -O source-address=192.0.2.0/24", here, Ok(())),
        ("-n me -O source-address=192.0.2.0/24", None, Err(Address)),
        (
            "-n me -O source-address=10.0.0.0/8,192.0.2.8",
            here,
            Err(Address),
        ),
        (
            "-n me -O source-address=10.0.0.0/8,192.0.2.7/32",
            Some("::ffff:192.0.2.7"),
            Ok(()),
        ),
        ("-n me -O verify-required", here, Err(Option)),
        ("-n me -O critical:new@example.com=x", here, Err(Option)),
        ("-n me -O extension:new@example.com=x", here, Ok(())),
        ("-n me -O no-touch-required", here, Ok(())),
        ("-n me -O force-command=ls", here, Ok(())),
    ] {
        let certificate = made(&keys, "user", "ca", arguments);
        assert_eq!(
            check(&certificate, "me", from, NOW),
            expected,
            "{arguments} {from:?}"
        );
    }
    let certificate = made(
        &keys,
        "user",
        "ca",
        "-n me -O clear -O force-command=ls -O permit-pty",
    );
    assert_eq!(certificate.command(), Some(&b"ls"[..]));
    assert!(certificate.allows(Feature::Pty));
    assert!(!certificate.allows(Feature::PortForwarding));
}

// ---- made by hand

/// A certificate to be, field by field.
#[derive(Clone)]
struct Draft {
    kind: u32,
    principals: Vec<u8>,
    valid: (u64, u64),
    critical: Vec<u8>,
    extensions: Vec<u8>,
    authority: Option<Vec<u8>>,
}

impl Draft {
    fn new() -> Self {
        Self {
            kind: 1,
            principals: strings(&[b"me"]),
            valid: (0, u64::MAX),
            critical: Vec::new(),
            extensions: Vec::new(),
            authority: None,
        }
    }

    fn unsigned(&self, authority: &dyn SigningKey) -> BytesMut {
        let mut blob = BytesMut::new();
        "ssh-ed25519-cert-v01@openssh.com".write(&mut blob);
        "nonce".write(&mut blob);
        [7u8; 32].as_slice().write(&mut blob);
        9u64.write(&mut blob);
        self.kind.write(&mut blob);
        "id".write(&mut blob);
        self.principals.as_slice().write(&mut blob);
        self.valid.0.write(&mut blob);
        self.valid.1.write(&mut blob);
        self.critical.as_slice().write(&mut blob);
        self.extensions.as_slice().write(&mut blob);
        "".write(&mut blob);
        let own = authority.public_key().as_bytes();
        self.authority.as_deref().unwrap_or(own).write(&mut blob);
        blob
    }

    fn signed(&self, authority: &dyn SigningKey) -> PublicKey {
        let mut blob = self.unsigned(authority);
        let signature = authority.sign("ssh-ed25519", &blob, &OsRandom).unwrap();
        let signature = write_signature("ssh-ed25519", &signature);
        signature.as_ref().write(&mut blob);
        PublicKey::new(blob).unwrap()
    }
}

fn strings(list: &[&[u8]]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for it in list {
        it.write(&mut out);
    }
    out.to_vec()
}

fn authority() -> Arc<dyn SigningKey> {
    let key = generate_ed25519(&OsRandom).unwrap();
    default_provider().keys.load(&key).unwrap()
}

#[test]
fn a_comma_in_a_name_is_a_byte_of_the_name() {
    let authority = authority();
    let draft = Draft {
        principals: strings(&[b"me,you", b"\xff"]),
        ..Draft::new()
    };
    let certificate = Certificate::parse(&draft.signed(&*authority)).unwrap();
    for (name, expected) in [("me,you", Ok(())), ("me", Err(CertificateError::Name))] {
        assert_eq!(check(&certificate, name, None, NOW), expected, "{name}");
    }
    assert_eq!(certificate.principals().count(), 2);
}

#[test]
fn validity_begins_with_its_first_second_and_ends_before_its_last() {
    use CertificateError::{Early, Expired};
    let authority = authority();
    for (valid, now, expected) in [
        ((NOW, NOW + 1), NOW, Ok(())),
        ((NOW, NOW + 1), NOW + 1, Err(Expired)),
        ((NOW, NOW + 1), NOW - 1, Err(Early)),
        ((NOW, NOW), NOW, Err(Expired)),
        ((NOW + 1, NOW - 1), NOW, Err(Expired)),
        ((0, u64::MAX), 0, Ok(())),
        ((u64::MAX, u64::MAX), NOW, Err(Early)),
    ] {
        let draft = Draft {
            valid,
            ..Draft::new()
        };
        let certificate = Certificate::parse(&draft.signed(&*authority)).unwrap();
        assert_eq!(
            check(&certificate, "me", None, now),
            expected,
            "{valid:?} {now}"
        );
    }
    let certificate = Certificate::parse(&Draft::new().signed(&*authority)).unwrap();
    let before_1970 = certificate.check(&Demand {
        kind: CertificateKind::User,
        names: &[b"me"],
        now: UNIX_EPOCH - Duration::from_secs(1),
        from: None,
        algorithms: &default_provider().signatures,
    });
    assert_eq!(before_1970, Err(Early));
}

#[test]
fn what_no_authority_would_sign_is_no_certificate() {
    let authority = authority();
    let certificate = Draft::new().signed(&*authority);
    let pair = |name: &[u8], data: &[u8]| strings(&[name, data]);
    let command = pair(b"force-command", &strings(&[b"ls"]));
    let good = Draft::new();
    for (what, draft) in [
        (
            "neither for users nor hosts",
            Draft {
                kind: 0,
                ..good.clone()
            },
        ),
        (
            "nor anything else",
            Draft {
                kind: 3,
                ..good.clone()
            },
        ),
        (
            "an empty name",
            Draft {
                principals: strings(&[b""]),
                ..good.clone()
            },
        ),
        (
            "257 names",
            Draft {
                principals: strings(&[&b"a"[..]; 257]),
                ..good.clone()
            },
        ),
        (
            "half a name",
            Draft {
                principals: vec![0, 0, 0, 9, b'a'],
                ..good.clone()
            },
        ),
        (
            "a chain",
            Draft {
                authority: Some(certificate.as_bytes().to_vec()),
                ..good.clone()
            },
        ),
        (
            "no authority",
            Draft {
                authority: Some(Vec::new()),
                ..good.clone()
            },
        ),
        (
            "a command twice",
            Draft {
                critical: [command.clone(), command].concat(),
                ..good.clone()
            },
        ),
        (
            "a command with more",
            Draft {
                critical: pair(b"force-command", b"\0\0\0\0x"),
                ..good.clone()
            },
        ),
        (
            "a command with less",
            Draft {
                critical: pair(b"force-command", b""),
                ..good.clone()
            },
        ),
        (
            "no block of addresses",
            Draft {
                critical: pair(b"source-address", &strings(&[b"10.0.0.1/8"])),
                ..good.clone()
            },
        ),
        (
            "a pattern of addresses",
            Draft {
                critical: pair(b"source-address", &strings(&[b"*"])),
                ..good.clone()
            },
        ),
        (
            "no address",
            Draft {
                critical: pair(b"source-address", &strings(&[b""])),
                ..good.clone()
            },
        ),
        (
            "an extension twice",
            Draft {
                extensions: [pair(b"permit-pty", b""), pair(b"permit-pty", b"")].concat(),
                ..good.clone()
            },
        ),
    ] {
        assert!(
            Certificate::parse(&draft.signed(&*authority)).is_err(),
            "{what}"
        );
    }
    let two = [
        pair(b"force-command", &strings(&[b"ls"])),
        pair(b"source-address", &strings(&[b"10.0.0.0/8,::1"])),
    ];
    let draft = Draft {
        critical: two.concat(),
        ..good
    };
    let certificate = Certificate::parse(&draft.signed(&*authority)).unwrap();
    assert!(matches!(
        certificate.critical_options(),
        [
            CriticalOption::ForceCommand(_),
            CriticalOption::SourceAddress(_)
        ]
    ));
}

#[test]
fn a_byte_that_is_changed_breaks_the_form_or_the_signature() {
    let authority = authority();
    let blob = Draft::new().signed(&*authority).as_bytes().to_vec();
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        let parsed = PublicKey::new(changed).and_then(|it| Certificate::parse(&it));
        if let Ok(certificate) = parsed {
            assert!(check(&certificate, "me", None, NOW).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_certificate_cut_anywhere_or_with_any_length_made_huge_is_refused() {
    let authority = authority();
    let draft = Draft {
        critical: strings(&[b"force-command", &strings(&[b"ls"])]),
        extensions: strings(&[b"permit-pty", b""]),
        ..Draft::new()
    };
    let blob = draft.signed(&*authority).as_bytes().to_vec();
    for end in 0..blob.len() {
        let parsed = PublicKey::new(blob[..end].to_vec()).and_then(|it| Certificate::parse(&it));
        assert!(parsed.is_err(), "cut at {end}");
    }
    let longer = [blob.as_slice(), b"\0"].concat();
    assert!(Certificate::parse(&PublicKey::new(longer).unwrap()).is_err());
    // Every place, whether a length stands there or not.
    for at in 0..blob.len() - 4 {
        for huge in [u32::MAX, 0x7fff_ffff, 0x0001_0000] {
            let mut changed = blob.clone();
            changed[at..at + 4].copy_from_slice(&huge.to_be_bytes());
            let parsed = PublicKey::new(changed.clone()).and_then(|it| Certificate::parse(&it));
            let good = parsed.is_ok_and(|it| check(&it, "me", None, NOW).is_ok());
            assert!(!good || changed == blob, "{huge:#x} at {at}");
        }
    }
}

#[test]
fn an_authority_whose_key_is_of_another_type_than_its_signature_vouches_for_nothing() {
    let (ours, keys) = (authority(), Keys::new());
    keys.ssh_keygen("rsa", "", "-t rsa -b 2048");
    let draft = Draft {
        authority: Some(keys.public("rsa").as_bytes().to_vec()),
        ..Draft::new()
    };
    let certificate = Certificate::parse(&draft.signed(&*ours)).unwrap();
    assert_eq!(
        check(&certificate, "me", None, NOW),
        Err(CertificateError::Algorithm)
    );
    // The key of somebody else.
    let other = authority();
    let draft = Draft {
        authority: Some(other.public_key().as_bytes().to_vec()),
        ..Draft::new()
    };
    let certificate = Certificate::parse(&draft.signed(&*ours)).unwrap();
    assert_eq!(
        check(&certificate, "me", None, NOW),
        Err(CertificateError::Signature)
    );
}
