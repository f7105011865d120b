//! Certificates of hosts by the lines of `known_hosts` and by pins.

use crate::common::Keys;
use sansftp_crypto::default_provider;
use sansftp_keys::certificate::{Certificate, CertificateError};
use sansftp_keys::known_hosts::{Part, Pins, Terms, Void, Vouched};
use sansftp_keys::{Host, KnownHosts, read_public, sha256_fingerprint, write_public};
use std::time::{Duration, UNIX_EPOCH};

struct Scene(Keys);

impl Scene {
    fn new() -> Self {
        let keys = Keys::new();
        keys.ssh_keygen("host", "", "-t ed25519");
        keys.ssh_keygen("ca", "", "-t ed25519");
        Self(keys)
    }

    fn certificate(&self, arguments: &str) -> Certificate {
        let mut all = vec!["-q", "-s", "ca", "-I", "a host"];
        all.extend(arguments.split_whitespace());
        all.push("host.pub");
        self.0.run("ssh-keygen", &all);
        let line = self.0.bytes("host-cert.pub");
        Certificate::parse(&read_public(&line).unwrap().key).unwrap()
    }

    /// Lines in which `{ca}`, `{host}` and `{certificate}` stand for keys.
    fn lines(&self, lines: &str) -> String {
        let certificate = read_public(&self.0.bytes("host-cert.pub")).unwrap().key;
        lines
            .replace("{ca}", &write_public(&self.0.public("ca"), ""))
            .replace("{host}", &write_public(&self.0.public("host"), ""))
            .replace("{certificate}", &write_public(&certificate, ""))
    }
}

/// 2023-11-14T22:13:20Z
const NOW: u64 = 1_700_000_000;

fn judged(known: &KnownHosts, host: &Host, certificate: &Certificate) -> Vouched {
    let provider = default_provider();
    let terms = Terms {
        now: UNIX_EPOCH + Duration::from_secs(NOW),
        algorithms: &provider.signatures,
    };
    known.check_certificate(host, certificate, &terms)
}

#[test]
fn an_authority_vouches_for_the_hosts_that_its_lines_and_its_certificates_name() {
    let scene = Scene::new();
    let yes = |line| Vouched::Yes { line };
    let name = Vouched::No(Void::Certificate(CertificateError::Name));
    let nobody = Vouched::No(Void::Authority);
    for (arguments, lines, expected) in [
        ("-n h.example", "@cert-authority h.example {ca}", yes(1)),
        ("-n h.example", "\n@cert-authority *.example {ca}", yes(2)),
        (
            "-n h.example",
            "@cert-authority [h.example]:2222 {ca}",
            yes(1),
        ),
        ("-n *.example", "@cert-authority * {ca}", yes(1)),
        ("-n a,H.Example", "@cert-authority * {ca}", yes(1)),
        (
            "-n [h.example]:2222",
            "@cert-authority * {ca}",
            name.clone(),
        ),
        ("-n example", "@cert-authority * {ca}", name.clone()),
        ("", "@cert-authority * {ca}", name),
        ("-n h.example", "@cert-authority other {ca}", nobody.clone()),
        (
            "-n h.example",
            "@cert-authority *,![h.example]:2222 {ca}",
            nobody.clone(),
        ),
        ("-n h.example", "@cert-authority *,!h.example {ca}", yes(1)),
        ("-n h.example", "h.example {ca}", nobody.clone()),
        ("-n h.example", "@cert-authority * {host}", nobody),
    ] {
        let certificate = scene.certificate(&format!("-h {arguments}"));
        let known = KnownHosts::parse(scene.lines(lines).as_bytes());
        let host = Host::new("H.example", 2222).unwrap();
        assert_eq!(
            judged(&known, &host, &certificate),
            expected,
            "{arguments} {lines}"
        );
    }
}

#[test]
fn what_does_not_hold_counts_for_nothing() {
    use CertificateError::{Early, Expired, Kind, Option};
    let scene = Scene::new();
    for (arguments, error) in [
        ("-n h", Kind),
        ("-h -n h -V 20231114221321Z:20231114221421Z", Early),
        ("-h -n h -V 20231114221220Z:20231114221320Z", Expired),
        ("-h -n h -O critical:new@example.com=x", Option),
        ("-h -n h -O critical:verify-required", Option),
    ] {
        let certificate = scene.certificate(arguments);
        let known = KnownHosts::parse(scene.lines("@cert-authority * {ca}").as_bytes());
        let host = Host::new("h", 22).unwrap();
        let void = Void::Certificate(error);
        assert_eq!(
            judged(&known, &host, &certificate),
            Vouched::No(void),
            "{arguments}"
        );
    }
}

#[test]
fn each_part_can_be_revoked_and_an_unreadable_line_stands_in_the_way() {
    let scene = Scene::new();
    let certificate = scene.certificate("-h -n h");
    let host = Host::new("h", 2222).unwrap();
    for (line, part) in [
        ("@revoked * {ca}", Part::Authority),
        ("@revoked h {host}", Part::Key),
        ("@revoked [h]:2222 {certificate}", Part::Certificate),
    ] {
        let lines = scene.lines(&["@cert-authority * {ca}\n", line].concat());
        let known = KnownHosts::parse(lines.as_bytes());
        let revoked = Vouched::Revoked { line: 2, part };
        assert_eq!(judged(&known, &host, &certificate), revoked, "{line}");
    }
    let known = scene.lines("@cert-authority * {ca}\n@revoked h ssh-ed25519 AAAA\n");
    let known = KnownHosts::parse(known.as_bytes());
    assert!(matches!(
        judged(&known, &host, &certificate),
        Vouched::Unreadable(_)
    ));
}

#[test]
fn an_authority_is_pinned_by_its_key_or_its_fingerprint() {
    let scene = Scene::new();
    let certificate = scene.certificate("-h -n h");
    let provider = default_provider();
    let terms = Terms {
        now: UNIX_EPOCH + Duration::from_secs(NOW),
        algorithms: &provider.signatures,
    };
    let host = Host::new("h", 2222).unwrap();
    let fingerprint = sha256_fingerprint(&scene.0.public("ca"));
    let own = format!("@cert-authority {fingerprint}");
    for (pin, expected) in [
        (
            scene.lines("@cert-authority h {ca}"),
            Vouched::Yes { line: 1 },
        ),
        (own, Vouched::Yes { line: 1 }),
        // A pinned key is a host's own, and no authority.
        (fingerprint, Vouched::No(Void::Authority)),
        (
            scene.lines("@cert-authority g {ca}"),
            Vouched::No(Void::Authority),
        ),
    ] {
        let pins = Pins::parse([&pin]).unwrap();
        assert_eq!(
            pins.check_certificate(&host, &certificate, &terms),
            expected,
            "{pin}"
        );
        assert_eq!(
            pins.has_authority(&host),
            expected == Vouched::Yes { line: 1 },
            "{pin}"
        );
    }
}
