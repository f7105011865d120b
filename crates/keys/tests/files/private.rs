//! Private key files as ssh-keygen and openssl make them, whole, damaged, and pasted.

use super::common::{Keys, TYPES, armour, content, pasted};
use proptest::prelude::*;
use sansftp_keys::{KeyError, KeyFormat, read_private_key, write_openssh};
use sansftp_proto::crypto::{PrivateKey, Secret};

const CIPHERS: [&str; 10] = [
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "3des-cbc",
];

#[test]
fn every_type_is_read_from_an_openssh_file() {
    let keys = Keys::new();
    for (name, arguments) in TYPES {
        keys.ssh_keygen(name, "", arguments);
        let read = read_private_key(&keys.bytes(name), None).unwrap();
        assert_eq!(read.key.public_key(), keys.public(name), "{name}");
        assert_eq!(read.comment, "made for a test");
        assert_eq!(read.format, KeyFormat::OpenSsh);
    }
}

#[test]
fn every_cipher_is_opened_by_the_passphrase_and_by_no_other() {
    let keys = Keys::new();
    for (index, cipher) in CIPHERS.iter().enumerate() {
        for (name, arguments) in [TYPES[0], TYPES[4]] {
            let name = format!("{name}-{index}");
            keys.ssh_keygen(
                &name,
                "open sesame",
                &format!("{arguments} -a 1 -Z {cipher}"),
            );
            let file = keys.bytes(&name);
            let with = |passphrase: &str| read_private_key(&file, Some(&passphrase.into()));
            assert_eq!(
                with("open sesame").unwrap().key.public_key(),
                keys.public(&name)
            );
            let missing = KeyError::PassphraseMissing(KeyFormat::OpenSsh);
            assert_eq!(
                read_private_key(&file, None).unwrap_err(),
                missing,
                "{cipher}"
            );
            assert_eq!(with("").unwrap_err(), missing, "{cipher}");
            let wrong = KeyError::PassphraseWrong(KeyFormat::OpenSsh);
            assert_eq!(with("open sesame ").unwrap_err(), wrong, "{cipher}");
        }
    }
}

#[test]
fn the_default_number_of_rounds_is_done_and_an_absurd_one_is_refused() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "x", "-t ed25519");
    let passphrase = Secret::from("x");
    assert!(read_private_key(&keys.bytes("key"), Some(&passphrase)).is_ok());

    // The options of bcrypt are a string of 24 bytes: a salt of 16, and the rounds.
    let mut blob = content(&keys.bytes("key"));
    let salt = blob
        .windows(8)
        .position(|it| it == b"\0\0\0\x18\0\0\0\x10")
        .unwrap();
    let rounds = salt + 8 + 16;
    blob[rounds..rounds + 4].fill(0xff);
    let error = read_private_key(&armour(OPENSSH, &blob), Some(&passphrase)).unwrap_err();
    assert_eq!(
        error,
        KeyError::TooMuchWork(KeyFormat::OpenSsh, "over 1024 rounds of bcrypt")
    );
    blob[rounds..rounds + 4].fill(0);
    let error = read_private_key(&armour(OPENSSH, &blob), Some(&passphrase)).unwrap_err();
    assert!(
        matches!(error, KeyError::Malformed(KeyFormat::OpenSsh, _)),
        "{error}"
    );
}

#[test]
fn pem_files_of_ssh_keygen_are_read() {
    let keys = Keys::new();
    for (name, arguments) in &TYPES[1..] {
        for (armour, format) in [
            (
                "PEM",
                if *name == "rsa" {
                    KeyFormat::Pkcs1
                } else {
                    KeyFormat::Sec1
                },
            ),
            ("PKCS8", KeyFormat::Pkcs8),
        ] {
            let name = format!("{name}-{armour}");
            keys.ssh_keygen(&name, "", &format!("{arguments} -m {armour}"));
            let read = read_private_key(&keys.bytes(&name), None).unwrap();
            assert_eq!(read.key.public_key(), keys.public(&name), "{name}");
            assert_eq!(read.format, format, "{name}");
        }
    }
}

#[test]
fn an_rsa_key_of_unusual_size_is_read_and_one_with_another_prime_is_not() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t rsa -b 2056");
    let key = read_private_key(&keys.bytes("key"), None).unwrap().key;
    assert_eq!(key.public_key(), keys.public("key"));
    let PrivateKey::Rsa {
        n,
        e,
        d,
        mut p,
        q,
        iqmp,
    } = key
    else {
        panic!("another type")
    };
    *p.expose_mut().last_mut().unwrap() ^= 2;
    let text = write_openssh(
        &PrivateKey::Rsa {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        },
        "",
        1,
    );
    let error = read_private_key(text.as_bytes(), None).unwrap_err();
    assert_eq!(error, KeyError::Halves(KeyFormat::OpenSsh));
}

#[test]
fn an_ed25519_key_of_openssl_is_read() {
    let keys = Keys::new();
    keys.openssl("genpkey -algorithm ed25519 -out key");
    let read = read_private_key(&keys.bytes("key"), None).unwrap();
    let PrivateKey::Ed25519 { public, .. } = read.key else {
        panic!("another type")
    };
    let expected = keys.openssl("pkey -in key -pubout -outform DER");
    assert_eq!(public, expected[expected.len() - 32..]);
}

#[test]
fn a_public_half_that_lacks_is_derived_and_a_compressed_one_is_understood() {
    let keys = Keys::new();
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        keys.openssl(&format!("ecparam -name {curve} -genkey -out whole"));
        assert!(
            keys.bytes("whole").starts_with(b"-----BEGIN EC PARAMETERS"),
            "it is skipped"
        );
        let whole = read_private_key(&keys.bytes("whole"), None)
            .unwrap()
            .key
            .public_key();
        keys.openssl("ec -in whole -no_public -out bare");
        keys.openssl("pkcs8 -topk8 -nocrypt -in bare -out bare8");
        keys.openssl("ec -in whole -conv_form compressed -out compressed");
        for name in ["bare", "bare8", "compressed"] {
            let read = read_private_key(&keys.bytes(name), None).unwrap();
            assert_eq!(read.key.public_key(), whole, "{curve} {name}");
        }
    }
}

#[test]
fn what_is_written_is_read_by_ssh_keygen_and_by_us() {
    let keys = Keys::new();
    for (name, arguments) in TYPES {
        keys.ssh_keygen(name, "", arguments);
        let key = read_private_key(&keys.bytes(name), None).unwrap().key;
        let text = write_openssh(&key, "anew", 0x0102_0304);
        let again = read_private_key(text.as_bytes(), None).unwrap();
        assert_eq!(again.key.public_key(), keys.public(name));
        assert_eq!(again.comment, "anew");
        assert_eq!(
            *write_openssh(&again.key, "anew", 0x0102_0304),
            *text,
            "{name}: every number"
        );

        keys.write("written", text.as_bytes());
        let public = keys.run("ssh-keygen", &["-y", "-f", "written"]);
        assert_eq!(
            sansftp_keys::read_public(&public).unwrap().key,
            keys.public(name),
            "{name}"
        );
    }
}

#[test]
fn a_pasted_key_is_repaired() {
    let keys = Keys::new();
    keys.ssh_keygen("openssh", "", "-t ed25519");
    keys.ssh_keygen("pkcs1", "", "-t rsa -b 2048 -m PEM");
    for name in ["openssh", "pkcs1"] {
        let good = String::from_utf8(keys.bytes(name)).unwrap();
        let mut ways = pasted(good.as_bytes());
        // What only PEM survives.
        ways.extend([
            ("nothing", good.replace('\n', "")),
            ("indented", good.replace('\n', "\n    ")),
            ("blanks and line breaks", good.replace('\n', " \t\r\n ")),
            ("no padding", good.replace('=', "")),
            ("explained behind", format!("{good}that was it")),
        ]);
        for (how, text) in ways {
            let read = read_private_key(text.as_bytes(), None);
            let read = read.unwrap_or_else(|error| panic!("{how}: {error}"));
            assert_eq!(read.key.public_key(), keys.public(name), "{how}");
        }
    }
}

#[test]
fn what_is_not_read_is_named_with_a_remedy() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t rsa -b 2048");
    keys.ssh_keygen("pem", "secret", "-t rsa -b 2048 -m PEM");
    keys.openssl("genpkey -algorithm x25519 -out x25519");
    keys.openssl("ecparam -name secp256k1 -genkey -noout -out k1");
    keys.openssl("pkey -in pem -passin pass:secret -outform DER -out binary");
    keys.openssl("pkey -in pem -passin pass:secret -pubout -out pubout");
    keys.openssl("req -x509 -new -key pem -passin pass:secret -subj /CN=x -out certificate");
    keys.run(
        "ssh-keygen",
        &["-q", "-s", "key", "-I", "id", "-n", "me", "key.pub"],
    );
    let key = String::from_utf8(keys.bytes("key")).unwrap();
    let utf16: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let known_hosts = [b"host ".as_slice(), &keys.bytes("key.pub")].concat();
    let several = key.repeat(2);
    for (file, words) in [
        (keys.bytes("pem"), "DEK-Info; passphrase is wrong"),
        (
            keys.openssl(
                "pkcs8 -topk8 -in pem -passin pass:secret -passout pass:secret -v1 PBE-SHA1-3DES",
            ),
            "older than PBES2; openssl pkey",
        ),
        (keys.bytes("x25519"), "X25519"),
        (keys.bytes("k1"), "P-256, P-384 and P-521"),
        (keys.bytes("binary"), "DER; -inform DER"),
        (keys.bytes("pubout"), "a public key, where; .pub"),
        (keys.bytes("key.pub"), "a public key, where; .pub"),
        (known_hosts, "a public key, where; .pub"),
        (keys.bytes("certificate"), "a certificate; private key"),
        (keys.bytes("key-cert.pub"), "a certificate; private key"),
        (
            b"PuTTY-User-Key-File-3: ssh-ed25519\r\n".to_vec(),
            "PuTTY; puttygen",
        ),
        (
            b"PuTTY-User-Key-File-4: ssh-ed25519\r\n".to_vec(),
            "PuTTY; later than 3; puttygen",
        ),
        (
            b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----".to_vec(),
            "SSH.COM; ssh-keygen -i",
        ),
        (b"---- BEGIN SSH2 PUBLIC KEY ----".to_vec(), "a public key"),
        (armour("DSA PRIVATE KEY", b""), "DSA; ssh-keygen"),
        (b"{\"kty\":\"OKP\"}".to_vec(), "JSON"),
        (utf16.clone(), "UTF-16"),
        ([b"\xff\xfe".as_slice(), &utf16].concat(), "UTF-16"),
        (several.into_bytes(), "not the only one"),
        (
            key.as_bytes()[..key.len() - 10].to_vec(),
            "incomplete; BEGIN",
        ),
        (vec![b' '; 100], "empty"),
        (b"hello".to_vec(), "not a key"),
        (vec![b'A'; (1 << 20) + 1], "1 MiB"),
    ] {
        let error = read_private_key(&file, Some(&"wrong".into())).unwrap_err();
        let text = error.to_string();
        for word in words.split("; ") {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(
            !text.contains('\n') && text.contains(error.remedy()),
            "{text}"
        );
    }
}

#[test]
fn a_security_key_is_named_before_a_passphrase_is_asked_for() {
    // The public half alone decides, so the rest need not be of such a key.
    let mut blob = b"openssh-key-v1\0".to_vec();
    let string = |blob: &mut Vec<u8>, bytes: &[u8]| {
        blob.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        blob.extend(bytes);
    };
    for field in ["aes256-ctr", "bcrypt", "\0\0\0\x01x\0\0\0\x10"] {
        string(&mut blob, field.as_bytes());
    }
    blob.extend([0, 0, 0, 1]);
    string(&mut blob, b"\0\0\0\x1ask-ssh-ed25519@openssh.com");
    string(&mut blob, &[0; 64]);
    let text = read_private_key(&armour(OPENSSH, &blob), None)
        .unwrap_err()
        .to_string();
    assert!(text.contains("FIDO"), "{text}");
}

const OPENSSH: &str = "OPENSSH PRIVATE KEY";

#[test]
fn a_public_half_of_another_key_is_refused() {
    let keys = Keys::new();
    for (name, arguments) in [
        ("a", "-t ed25519"),
        ("b", "-t ecdsa -b 256"),
        ("c", "-t ecdsa -b 384"),
        ("d", "-t ecdsa -b 521"),
    ] {
        keys.ssh_keygen(name, "", arguments);
        let public = keys.public(name);
        let point = &public.as_bytes()[public.as_bytes().len() - 32..];
        let good = content(&keys.bytes(name));
        let places: Vec<usize> = (0..good.len() - 32)
            .filter(|&it| &good[it..it + 32] == point)
            .collect();
        assert!(places.len() >= 2, "outside, and inside once or twice");
        // Each alone, and all together: then no two of them differ, and only deriving helps.
        let all = places.clone();
        for places in places.into_iter().map(|it| vec![it]).chain([all]) {
            let mut bad = good.clone();
            for place in places {
                bad[place] ^= 1;
            }
            let error = read_private_key(&armour(OPENSSH, &bad), None).unwrap_err();
            assert_eq!(error, KeyError::Halves(KeyFormat::OpenSsh), "{name}");
        }
    }
}

#[test]
fn several_keys_check_numbers_and_padding_are_looked_at() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ed25519");
    let good = content(&keys.bytes("key"));
    let changed = |at: usize, to: u8| {
        let mut bad = good.clone();
        assert_ne!(bad[at], to);
        bad[at] = to;
        read_private_key(&armour(OPENSSH, &bad), None).unwrap_err()
    };
    // The number of keys stands after the magic, two times "none", and an empty string.
    let number = 15 + 8 + 8 + 4 + 3;
    assert_eq!(
        changed(number, 2),
        KeyError::SeveralKeys(KeyFormat::OpenSsh)
    );
    assert!(changed(number, 0).to_string().contains("no key"));
    // The public half is a string of 51 bytes, the check numbers begin the next.
    let check = number + 1 + 4 + 51 + 4;
    assert!(
        changed(check, !good[check])
            .to_string()
            .contains("check numbers")
    );
    let last = good.len() - 1;
    assert!(changed(last, 0).to_string().contains("padding"));
}

/// Whatever is done to a file, it is an error or still the same key.
fn same_or_error(file: &[u8], passphrase: Option<&Secret>, key: &PrivateKey) {
    if let Ok(read) = read_private_key(file, passphrase) {
        assert_eq!(read.key.public_key(), key.public_key());
    }
}

#[test]
fn a_file_cut_off_anywhere_or_with_absurd_lengths_is_an_error() {
    let keys = Keys::new();
    for (name, arguments, label) in [
        ("ed25519", "-t ed25519", OPENSSH),
        ("p256", "-t ecdsa -b 256", OPENSSH),
        ("rsa", "-t rsa -b 2048", OPENSSH),
        ("pkcs1", "-t rsa -b 2048 -m PEM", "RSA PRIVATE KEY"),
        ("sec1", "-t ecdsa -b 521 -m PEM", "EC PRIVATE KEY"),
        ("pkcs8", "-t ecdsa -b 384 -m PKCS8", "PRIVATE KEY"),
        ("rsa8", "-t rsa -b 2048 -m PKCS8", "PRIVATE KEY"),
    ] {
        keys.ssh_keygen(name, "", arguments);
        let file = keys.bytes(name);
        let key = read_private_key(&file, None).unwrap().key;
        let good = content(&file);
        for len in 0..good.len() {
            let read = read_private_key(&armour(label, &good[..len]), None);
            assert!(read.is_err(), "{name} cut to {len}");
        }
        for at in 0..good.len() - 4 {
            for length in [
                [0xff; 4],
                [0x7f, 0xff, 0xff, 0xff],
                [0x84, 0xff, 0xff, 0xff],
                [0; 4],
            ] {
                let mut bad = good.clone();
                bad[at..at + 4].copy_from_slice(&length);
                same_or_error(&armour(label, &bad), None, &key);
            }
        }
        let text = file.trim_ascii_end();
        for len in 0..text.len() {
            assert!(
                read_private_key(&text[..len], None).is_err(),
                "{name}: text cut to {len}"
            );
        }
    }
}

#[test]
fn an_encrypted_file_cut_off_or_flipped_is_an_error() {
    let keys = Keys::new();
    let passphrase = Secret::from("x");
    for (name, cipher) in [
        ("ctr", "aes256-ctr"),
        ("gcm", CIPHERS[7]),
        ("chacha", CIPHERS[8]),
    ] {
        keys.ssh_keygen(name, "x", &format!("-t ed25519 -a 1 -Z {cipher}"));
        let good = content(&keys.bytes(name));
        let key = read_private_key(&keys.bytes(name), Some(&passphrase))
            .unwrap()
            .key;
        for at in 0..good.len() {
            let cut = read_private_key(&armour(OPENSSH, &good[..at]), Some(&passphrase));
            assert!(cut.is_err(), "{cipher} cut to {at}");
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            same_or_error(&armour(OPENSSH, &bad), Some(&passphrase), &key);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_key_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_private_key(&bytes, None);
        for label in [OPENSSH, "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"] {
            prop_assert!(read_private_key(&armour(label, &bytes), None).is_err());
        }
        let magic = [b"openssh-key-v1\0".as_slice(), &bytes].concat();
        prop_assert!(read_private_key(&armour(OPENSSH, &magic), None).is_err());
    }

    #[test]
    fn a_key_is_read_as_it_was_written(seed in any::<[u8; 32]>(), comment in "[ -~]{0,40}") {
        let pkcs8 = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), &seed];
        let key = read_private_key(&armour("PRIVATE KEY", &pkcs8.concat()), None).unwrap().key;
        let read = read_private_key(write_openssh(&key, &comment, 7).as_bytes(), None).unwrap();
        prop_assert_eq!(read.comment, comment.trim());
        let PrivateKey::Ed25519 { seed: read, .. } = read.key else { panic!("another type") };
        prop_assert_eq!(read.expose(), seed);
    }
}
