//! What ssh-audit says of the server, compared with the list in `docs/ssh-audit.md` exactly: no fail, and no warning that
//! is not there with its reason. From its text, because its JSON has no verdicts in the version that Debian 12 has.

use sansftp_testkit::serve::Serve;
use std::collections::BTreeSet;
use std::process::Command;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ssh-audit.md");

/// `enc aes128-cbc: using weak cipher mode`, of every line at these levels.
fn remarks(report: &str, level: &str) -> BTreeSet<String> {
    let mark = format!("[{level}] ");
    let mut subject = String::new();
    let mut found = BTreeSet::new();
    for line in report.lines() {
        if let Some((category, rest)) = line
            .strip_prefix('(')
            .and_then(|line| line.split_once(") "))
        {
            let name = rest.split_whitespace().next().unwrap_or_default();
            subject = format!("{category} {name}");
        }
        if let Some((_, words)) = line.split_once(&mark) {
            found.insert(format!("{subject}: {}", words.trim()));
        }
    }
    found
}

/// The rows of the table for this profile at this level, as [`remarks`] writes them; each has a reason.
fn listed(profile: &str, level: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(LIST).expect("the list is checked in");
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", who, how, subject, words, reason, ""] = cells[..] else {
            continue;
        };
        if who.trim_matches('`') == profile && how == level {
            assert!(reason.len() > 20, "no reason: {line}");
            rows.insert(format!("{}: {words}", subject.trim_matches('`')));
        }
    }
    rows
}

fn audit(profile: &str) {
    let serve = Serve::builder().arg("--algorithms").arg(profile).start();
    let output = Command::new("ssh-audit")
        .args(["-n", "-p", &serve.port().to_string(), "127.0.0.1"])
        .output()
        .expect("ssh-audit is installed");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains("(kex) curve25519-sha256"),
        "no report: {report}\n{}",
        serve.log()
    );
    for level in ["fail", "warn"] {
        assert_eq!(remarks(&report, level), listed(profile, level), "{report}");
    }
    // Known vulnerabilities, and what it says of a server that is known by name.
    for mark in ["(cve)", "(sec)"] {
        assert!(!report.contains(mark), "{report}");
    }
}

#[test]
fn ssh_audit_says_of_the_default_profile_what_the_list_says() {
    assert_eq!(listed("server-modern", "fail"), BTreeSet::new());
    audit("server-modern");
}

/// The profile for older clients: what ssh-audit fails in it stands in the list as well, with the reason.
#[test]
fn ssh_audit_says_of_the_modern_profile_what_the_list_says() {
    audit("modern");
}

#[test]
fn a_report_is_read_with_its_continued_lines() {
    let report =
        "(kex) a-kex   -- [warn] one\n              `- [fail] two\n(enc) b -- [info] three\n";
    assert_eq!(
        remarks(report, "warn"),
        ["kex a-kex: one".to_owned()].into()
    );
    assert_eq!(
        remarks(report, "fail"),
        ["kex a-kex: two".to_owned()].into()
    );
}
