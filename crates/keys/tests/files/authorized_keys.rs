//! authorized_keys: options, lines that are not used, and the look-up of a key.

use proptest::prelude::*;
use sansftp_keys::authorized_keys::{AuthorizedKeys, AuthorizedOption, Feature};
use sansftp_keys::write_public;
use sansftp_proto::crypto::PublicKey;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

fn key(byte: u8) -> PublicKey {
    PublicKey::new([b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[byte; 32]].concat()).unwrap()
}

fn line(options: &str) -> String {
    format!("{options} {}", write_public(&key(1), "me@here"))
}

fn now() -> SystemTime {
    // 2023-11-14T22:13:20Z
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn admits(options: &str, from: &str) -> bool {
    let keys = AuthorizedKeys::parse(line(options).as_bytes());
    keys.find(&key(1), from.parse().ok(), now()).is_some()
}

fn warning(options: &str) -> Option<String> {
    AuthorizedKeys::parse(line(options).as_bytes())
        .warnings()
        .first()
        .map(ToString::to_string)
}

#[test]
fn a_key_is_found_among_comments_and_broken_lines() {
    let file = format!(
        "# mine\n\nssh-ed25519 ????\n{}\r\n  {}\n",
        write_public(&key(2), ""),
        line("")
    );
    let keys = AuthorizedKeys::parse(file.as_bytes());
    let from: Option<IpAddr> = "::1".parse().ok();
    let found = keys.find(&key(1), from, now()).unwrap();
    assert_eq!((found.line, found.comment.as_str()), (5, "me@here"));
    assert!(found.options.is_empty());
    assert!(keys.find(&key(3), from, now()).is_none());
    assert_eq!(keys.entries().len(), 2);
    assert_eq!(keys.warnings().len(), 1);
    assert_eq!(keys.warnings()[0].line, 3);
}

#[test]
fn options_are_read_with_their_quotes() {
    let options = "restrict,PTY,command=\"echo \\\"a, b\\\" # c\",no-user-rc,environment=\"A=b\"";
    let keys = AuthorizedKeys::parse(line(options).as_bytes());
    let entry = &keys.entries()[0];
    assert_eq!(entry.command(), Some(&b"echo \"a, b\" # c"[..]));
    assert!(entry.allows(Feature::Pty));
    assert!(!entry.allows(Feature::UserRc) && !entry.allows(Feature::PortForwarding));
    assert_eq!(
        entry.options[4],
        AuthorizedOption::Environment(b"A=b".to_vec())
    );
    assert!(AuthorizedKeys::parse(line("").as_bytes()).entries()[0].allows(Feature::UserRc));
}

#[test]
fn a_line_with_an_option_that_is_not_understood_is_not_used() {
    for options in [
        "verify-required",
        "no-such-option",
        "from=",
        "from=\"\"",
        "from=\"10.0.0.0/33\"",
        "from=\"10.0.0.1/8\"",
        "from",
        "command",
        "restrict=\"yes\"",
        "command=\"unfinished",
        "command=unquoted",
        "restrict,",
        ",restrict",
        "restrict,,pty",
        "expiry-time=\"soon\"",
        "expiry-time=\"20240101\"",
        "expiry-time=\"20241301Z\"",
        "expiry-time=\"2024010Z\"",
        "expiry-time=\"2099010108xxZ\"",
        "expiry-time=\"209901010800xxZ\"",
        "command=\"a\",command=\"b\"",
        "no-restrict",
        "ssh-rsa",
    ] {
        assert!(!admits(options, "10.0.0.1"), "{options}");
        assert!(
            warning(options).unwrap().ends_with("it is not used"),
            "{options}"
        );
    }
    assert!(warning("expiry-time=\"20240101\"").unwrap().contains("UTC"));
}

#[test]
fn addresses_are_matched_by_pattern_and_by_block() {
    for (list, address, admitted) in [
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "11.1.2.3", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.0.0.0/8,!10.1.2.3", "10.1.2.3", false),
        ("*,!::ffff:10.1.2.3", "10.1.2.3", false),
        ("*,!::ffff:10.0.0.0/104", "10.1.2.3", false),
        ("::ffff:10.0.0.0/104", "11.1.2.3", false),
        ("::ffff:0:0/96", "11.1.2.3", true),
        ("!10.1.0.0/16,10.*", "10.1.2.3", false),
        ("!10.1.0.0/16,10.*", "10.2.2.3", true),
        ("192.168.?.1", "192.168.7.1", true),
        ("192.168.?.1", "192.168.17.1", false),
        ("2001:DB8:0::/48", "2001:db8::5", true),
        ("2001:db8:0:0::1", "2001:db8::1", true),
        ("::/0", "10.1.2.3", false),
        ("0.0.0.0/0", "10.1.2.3", true),
        ("host.example", "10.1.2.3", false),
        ("!10.1.2.3", "10.1.2.4", false),
    ] {
        let options = format!("from=\"{list}\"");
        assert_eq!(admits(&options, address), admitted, "{list} {address}");
        assert_eq!(warning(&options), None);
    }
    assert!(
        !admits("from=\"10.0.0.0/8\",from=\"10.2.0.0/16\"", "10.1.2.3"),
        "both must let it in"
    );
}

#[test]
fn a_key_is_admitted_until_its_end_and_not_at_it() {
    for (time, admitted) in [
        ("20231114221320Z", false),
        ("20231114221321Z", true),
        ("202311142213Z", false),
        ("202311142214z", true),
        ("20231114Z", false),
        ("20231115Z", true),
    ] {
        assert_eq!(
            admits(&format!("expiry-time=\"{time}\""), "::1"),
            admitted,
            "{time}"
        );
    }
}

#[test]
fn an_authority_is_no_user() {
    assert!(!admits("cert-authority", "::1"));
    assert!(!admits("cert-authority,principals=\"me\"", "::1"));
    assert_eq!(warning("cert-authority,principals=\"me\""), None);
}

#[test]
fn a_second_line_may_let_in_whom_the_first_does_not() {
    let file = [line("from=\"10.0.0.1\""), line("")].join("\n");
    let keys = AuthorizedKeys::parse(file.as_bytes());
    assert_eq!(
        keys.find(&key(1), "10.0.0.2".parse().ok(), now())
            .unwrap()
            .line,
        2
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_file(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = AuthorizedKeys::parse(&bytes);
        prop_assert!(keys.find(&key(1), "::1".parse().ok(), now()).is_none());
    }

    #[test]
    fn any_options_are_read_or_refused(options in "[a-z=\",\\\\0-9./: -]{0,60}") {
        let file = line(&options);
        let keys = AuthorizedKeys::parse(file.as_bytes());
        prop_assert!(keys.entries().len() + keys.warnings().len() <= 1);
    }
}
