//! known_hosts: files, entries pasted into a setting, and lines that cannot be read.

use super::common::Keys;
use proptest::prelude::*;
use sansftp_keys::known_hosts::{
    Expected, Host, KnownHosts, Pins, Verdict, known_hosts_line, known_hosts_line_hashed,
};
use sansftp_keys::{sha256_fingerprint, write_public};
use sansftp_proto::crypto::PublicKey;
use std::time::{Duration, Instant};

fn host(name: &str) -> Host {
    Host::new(name, 22).unwrap()
}

/// A key of 32 equal bytes, which has the form of an Ed25519 key.
fn key(byte: u8) -> PublicKey {
    PublicKey::new([b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[byte; 32]].concat()).unwrap()
}

/// An RSA key with a small modulus.
fn rsa(byte: u8) -> PublicKey {
    PublicKey::new(
        [
            b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\0\x01".as_slice(),
            &[byte],
        ]
        .concat(),
    )
    .unwrap()
}

fn text(byte: u8) -> String {
    write_public(&key(byte), "")
}

fn file(lines: &[&str]) -> KnownHosts {
    KnownHosts::parse(lines.join("\n").as_bytes())
}

fn expected(line: usize, key: &PublicKey) -> Expected {
    let kind = Some(key.kind().to_owned());
    Expected {
        line,
        kind,
        fingerprint: sha256_fingerprint(key),
    }
}

#[test]
fn any_line_with_the_host_and_the_key_accepts() {
    let known = file(&[
        "# a comment",
        "",
        &format!("other {}", text(1)),
        &format!("a,host,10.0.0.1 {} comment", text(1)),
        &format!("  HOST\t{}", text(2)),
    ]);
    assert!(known.warnings().is_empty());
    assert_eq!(
        known.check(&host("Host"), &key(1)),
        Verdict::Known { line: 4 }
    );
    assert_eq!(
        known.check(&host("host"), &key(2)),
        Verdict::Known { line: 5 }
    );
    assert_eq!(
        known.check(&host("10.0.0.1"), &key(1)),
        Verdict::Known { line: 4 }
    );
    assert_eq!(
        known.check(&host("elsewhere"), &key(1)),
        Verdict::Unknown { authority: None }
    );
    let both = vec![expected(4, &key(1)), expected(5, &key(2))];
    assert_eq!(
        known.check(&host("host"), &key(3)),
        Verdict::Changed { expected: both }
    );
}

#[test]
fn a_key_of_another_type_is_a_changed_key() {
    let known = file(&[&format!("host {}", text(1))]);
    let verdict = known.check(&host("host"), &rsa(5));
    assert_eq!(
        verdict,
        Verdict::Changed {
            expected: vec![expected(1, &key(1))]
        }
    );
}

#[test]
fn a_revoked_key_is_refused_wherever_the_line_stands_and_whatever_blank_follows() {
    for blank in [" ", "\t", "\t \t", "\u{b}", "\u{c}"] {
        let known = file(&[
            &format!("host {}", text(1)),
            &format!("@revoked{blank}* {}", text(1)),
        ]);
        assert!(known.warnings().is_empty());
        assert_eq!(
            known.check(&host("host"), &key(1)),
            Verdict::Revoked { line: 2 }
        );
        assert!(known.algorithms_for(&host("host")).is_empty());
    }
}

#[test]
fn a_key_revoked_for_a_host_is_revoked_on_its_every_port() {
    let known = file(&[
        &format!("[host]:23 {}", text(1)),
        &format!("@revoked host {}", text(1)),
    ]);
    let other = Host::new("host", 23).unwrap();
    assert_eq!(known.check(&other, &key(1)), Verdict::Revoked { line: 2 });
}

#[test]
fn an_authority_says_nothing_about_a_plain_key() {
    let known = file(&[&format!("@cert-authority *.example {}", text(1))]);
    let verdict = known.check(&host("a.example"), &key(1));
    assert_eq!(verdict, Verdict::Unknown { authority: Some(1) });
    assert!(known.algorithms_for(&host("a.example")).is_empty());
}

#[test]
fn ports_and_addresses_have_their_own_names() {
    let known = file(&[
        &format!("[host]:2222 {}", text(1)),
        &format!("::1 {}", text(2)),
        &format!("[fe80::1%eth0]:2222 {}", text(3)),
    ]);
    let at = |name, port, byte| known.check(&Host::new(name, port).unwrap(), &key(byte));
    assert_eq!(at("host", 2222, 1), Verdict::Known { line: 1 });
    assert_eq!(at("host", 22, 1), Verdict::Unknown { authority: None });
    assert_eq!(at("host", 2223, 1), Verdict::Unknown { authority: None });
    assert_eq!(at("::1", 22, 2), Verdict::Known { line: 2 });
    assert_eq!(at("[::1]", 22, 2), Verdict::Known { line: 2 });
    assert_eq!(at("fe80::1%eth0", 2222, 3), Verdict::Known { line: 3 });
}

#[test]
fn wildcards_match_and_negation_excludes() {
    let known = file(&[&format!("*.example,!bad.example,h?st {}", text(1))]);
    let is_known = |name| matches!(known.check(&host(name), &key(1)), Verdict::Known { .. });
    assert!(is_known("a.example") && is_known("host") && is_known("hxst"));
    assert!(!is_known("bad.example") && !is_known("hst") && !is_known("example"));
}

#[test]
fn a_line_that_cannot_be_read_refuses_whom_it_could_concern() {
    let good = text(1);
    let base64 = good.split(' ').nth(1).unwrap();
    for (line, concerns_host, concerns_other) in [
        ("host ssh-ed25519 ????".to_owned(), true, false),
        ("host ssh-ed25519".to_owned(), true, false),
        ("host".to_owned(), true, false),
        (format!("host {base64}"), true, false),
        (format!("h*t ssh-rsa {base64}"), true, false),
        (format!("h*t,!host ssh-rsa {base64}"), false, false),
        (format!("@revoke host {good}"), true, false),
        (format!("@Revoked host {good}"), true, false),
        ("@revoked host ssh-ed25519 AAAA".to_owned(), true, false),
        (format!("@revoked {good}"), true, true),
        ("@revoked".to_owned(), true, true),
        (format!("@revoked @cert-authority host {good}"), true, false),
        (format!("@revoked\u{0}host {good}"), true, true),
        (format!("|1|AAAA|BBBB {good}"), true, true),
        (format!("|2|x|y {good}"), true, true),
        (format!("|1|x {good}"), true, true),
        (format!("ho\u{1}st {good}"), true, true),
        (format!("a, host {good}"), true, false),
        (
            format!("a ssh-ed25519 AAAA@revoked host {good}"),
            true,
            false,
        ),
        (good.clone(), true, true),
        ("host 1024 35 12345678901234567890".to_owned(), false, false),
    ] {
        let known = file(&[&format!("host {good}"), &format!("other {good}"), &line]);
        assert_eq!(known.warnings().len(), 1, "{line}");
        assert_eq!(known.warnings()[0].line, 3);
        for (name, concerned) in [("host", concerns_host), ("other", concerns_other)] {
            let verdict = known.check(&host(name), &key(1));
            let refused = matches!(&verdict, Verdict::Unreadable(it) if it.line == 3);
            assert_eq!(refused, concerned, "{name}: {line}: {verdict:?}");
            assert_eq!(known.concerns(&host(name)).is_some(), concerned);
            assert_eq!(
                matches!(verdict, Verdict::Known { .. }),
                !concerned,
                "{line}"
            );
        }
    }
    let warning = file(&["host ssh-ed25519 ????"]).warnings()[0].to_string();
    assert_eq!(warning, "line 1: the key is not base64");
}

#[test]
fn known_types_are_told_once_and_in_order() {
    let known = file(&[
        &format!("host {}", write_public(&rsa(5), "")),
        &format!("host {}", text(1)),
        &format!("host {}", text(2)),
        &format!("@cert-authority host {}", text(3)),
        &format!("@revoked host {}", write_public(&rsa(5), "")),
        &format!(
            "host {}",
            write_public(&rsa(7), "").replace("ssh-rsa", "rsa-sha2-512")
        ),
    ]);
    assert!(known.warnings().is_empty());
    assert_eq!(
        known.algorithms_for(&host("host")),
        ["ssh-ed25519", "ssh-rsa"]
    );
}

#[test]
fn a_file_hashed_by_ssh_keygen_is_read() {
    let keys = Keys::new();
    let lines = [
        format!("host {}\n", text(1)),
        format!("[host]:2222 {}\n", text(2)),
        format!("a,10.0.0.1 {}\n", text(3)),
        format!("@revoked host {}\n", text(4)),
    ];
    keys.write("known", lines.concat());
    keys.run("ssh-keygen", &["-q", "-H", "-f", "known"]);
    let hashed = keys.bytes("known");
    assert!(hashed.starts_with(b"|1|") && !hashed.windows(8).any(|it| it == b"10.0.0.1"));
    let known = KnownHosts::parse(&hashed);
    assert!(known.warnings().is_empty(), "{:?}", known.warnings());
    let at = |name, port, byte| known.check(&Host::new(name, port).unwrap(), &key(byte));
    assert!(matches!(at("Host", 22, 1), Verdict::Known { .. }));
    assert!(matches!(at("host", 2222, 2), Verdict::Known { .. }));
    assert!(matches!(at("a", 22, 3), Verdict::Known { .. }));
    assert!(matches!(at("10.0.0.1", 22, 3), Verdict::Known { .. }));
    assert!(matches!(at("host", 22, 4), Verdict::Revoked { .. }));
    assert!(matches!(at("host", 22, 2), Verdict::Changed { .. }));
    assert!(matches!(at("b", 22, 1), Verdict::Unknown { .. }));
}

#[test]
fn a_line_written_is_found_by_ssh_keygen() {
    let keys = Keys::new();
    let (plain, hidden) = (Host::new("plain", 2222).unwrap(), host("hidden"));
    let lines = [
        known_hosts_line(&plain, &key(1)),
        known_hosts_line_hashed(&hidden, &key(2), [9; 20]),
    ];
    keys.write("known", lines.join("\n") + "\n");
    for (name, line) in [("[plain]:2222", 1), ("hidden", 2)] {
        let found = keys.run("ssh-keygen", &["-F", name, "-f", "known"]);
        let found = String::from_utf8(found).unwrap();
        assert!(found.contains(&format!("found: line {line}")), "{found}");
    }
}

#[test]
fn no_name_can_make_a_line_say_something_else() {
    for bad in [
        "", "a b", "a,b", "*", "a\n", "!a", "|1|a", "@revoked", "#a", "a]", "bücher", "[]",
    ] {
        assert!(Host::new(bad, 22).is_err(), "{bad:?}");
    }
    assert!(Host::new(&"a".repeat(400), 22).is_err());
}

#[test]
fn a_thousand_stars_on_a_thousand_lines_take_no_time() {
    let line = format!("{}b {}\n", "*a".repeat(1000), text(1));
    let known = KnownHosts::parse(line.repeat(1000).as_bytes());
    let name = host(&"a".repeat(300));
    let start = Instant::now();
    assert_eq!(
        known.check(&name, &key(1)),
        Verdict::Unknown { authority: None }
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_pin_is_taken_in_every_form_that_people_paste() {
    let (text, fingerprint) = (text(1), sha256_fingerprint(&key(1)));
    let base64 = text.split(' ').nth(1).unwrap();
    let hashed = known_hosts_line_hashed(&host("host"), &key(1), [3; 20]);
    let elsewhere = Verdict::Unknown { authority: None };
    let changed = Verdict::Changed {
        expected: vec![expected(1, &key(1))],
    };
    for (entry, applies_elsewhere) in [
        (format!("host {text} a comment"), false),
        (format!("host,other {text}"), false),
        (format!("host {base64}"), false),
        (format!("host {base64} comment"), false),
        (hashed, false),
        (text.clone(), true),
        (base64.to_owned(), true),
        (format!("  {base64}\n"), true),
        (format!("h*,!x ssh-ed25519 {base64}"), false),
    ] {
        let pins = Pins::parse([&entry]).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_eq!(
            pins.check(&host("host"), &key(1)),
            Verdict::Known { line: 1 },
            "{entry}"
        );
        assert_eq!(pins.check(&host("host"), &key(2)), changed, "{entry}");
        let there = pins.check(&host("elsewhere"), &key(1));
        let expected = if applies_elsewhere {
            &Verdict::Known { line: 1 }
        } else {
            &elsewhere
        };
        assert_eq!(there, *expected, "{entry}");
        assert_eq!(pins.algorithms_for(&host("host")), ["ssh-ed25519"]);
    }
    for (entry, kind) in [
        (fingerprint.clone(), None),
        (format!("{fingerprint}="), None),
        (format!("host {fingerprint}"), None),
        (format!("ssh-ed25519 {fingerprint}"), Some("ssh-ed25519")),
    ] {
        let pins = Pins::parse([&entry]).unwrap();
        assert_eq!(
            pins.check(&host("host"), &key(1)),
            Verdict::Known { line: 1 },
            "{entry}"
        );
        let Verdict::Changed { expected } = pins.check(&host("host"), &key(2)) else {
            panic!("{entry}");
        };
        assert_eq!(expected[0].fingerprint, fingerprint);
        assert_eq!(expected[0].kind.as_deref(), kind);
    }
    let port = Pins::parse([format!("[host]:2222 {text}")]).unwrap();
    let at = |number| port.check(&Host::new("host", number).unwrap(), &key(1));
    assert_eq!((at(2222), at(22)), (Verdict::Known { line: 1 }, elsewhere));
}

#[test]
fn a_pinned_revocation_goes_before_everything() {
    let text = text(1);
    let pins = Pins::parse([text.clone(), format!("@revoked\thost {text}")]).unwrap();
    assert_eq!(
        pins.check(&host("host"), &key(1)),
        Verdict::Revoked { line: 2 }
    );
    let port = Host::new("host", 2222).unwrap();
    assert_eq!(pins.check(&port, &key(1)), Verdict::Revoked { line: 2 });
    let authority = Pins::parse([format!("@cert-authority * {text}")]).unwrap();
    let verdict = authority.check(&host("host"), &key(1));
    assert_eq!(verdict, Verdict::Unknown { authority: Some(1) });
}

#[test]
fn a_pin_that_cannot_be_read_says_what_is_wrong_and_what_to_write() {
    let good = text(1);
    let base64 = good.split(' ').nth(1).unwrap();
    for (entry, words) in [
        (String::new(), "empty"),
        (" \n".to_owned(), "empty"),
        ("host".to_owned(), "no key"),
        ("host ssh-ed25519".to_owned(), "no key"),
        ("ssh-ed25519".to_owned(), "no key"),
        ("host foo".to_owned(), "neither a key nor the type"),
        ("@revoked".to_owned(), "nothing after the marker"),
        (format!("@foo {good}"), "unknown marker"),
        (format!("host ssh-rsa {base64}"), "another type"),
        (format!("host ssh-ed25519 {}", &base64[..40]), "key"),
        ("ssh-ed25519 not-base64".to_owned(), "base64"),
        ("SHA256:short".to_owned(), "43 characters"),
        (
            "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48".to_owned(),
            "MD5",
        ),
        (
            "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48".to_owned(),
            "MD5",
        ),
        (format!("{good}\n{good}"), "several lines"),
        (format!("|1|AAAA|BBBB {good}"), "20 bytes"),
    ] {
        let error = Pins::parse([good.clone(), entry.clone()]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words), "{entry:?}: {text}");
        assert!(
            text.contains("entry 2") && text.contains("ssh-keyscan"),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_file_and_a_pin_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let known = KnownHosts::parse(&bytes);
        let _ = known.check(&host("host"), &key(1));
        let _ = Pins::parse([&bytes]);
    }

    #[test]
    fn any_fields_are_a_file_and_a_pin_or_an_error(line in "(@revoked |@cert-authority |@x |)(host|\\|1\\||\\*)?[ ,!|1=A-C]{0,6} (ssh-ed25519|ssh-rsa)? ?(AAAA[A-Za-z0-9+/=]{0,80})?") {
        let known = KnownHosts::parse(line.as_bytes());
        let accepted = matches!(known.check(&host("host"), &key(1)), Verdict::Known { .. });
        prop_assert!(!accepted);
        let _ = Pins::parse([&line]);
    }

    #[test]
    fn a_hashed_line_matches_exactly_whom_the_plain_one_matches(
        written in "[ab.]{1,3}", port in 21u16..24, asked in "[abAB.]{1,3}", asked_port in 21u16..24,
        salt in any::<[u8; 20]>(),
    ) {
        let (written, asked) = (Host::new(&written, port).unwrap(), Host::new(&asked, asked_port).unwrap());
        let plain = KnownHosts::parse(known_hosts_line(&written, &key(1)).as_bytes());
        let hashed = known_hosts_line_hashed(&written, &key(1), salt);
        let hashed = KnownHosts::parse(hashed.as_bytes());
        prop_assert!(hashed.warnings().is_empty());
        for key in [key(1), key(2)] {
            prop_assert_eq!(plain.check(&asked, &key), hashed.check(&asked, &key));
        }
        let known = matches!(plain.check(&asked, &key(1)), Verdict::Known { .. });
        prop_assert_eq!(known, written == asked);
    }
}
