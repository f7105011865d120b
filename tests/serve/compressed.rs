//! Compression with OpenSSH's client, through key exchanges.

use crate::clients::openssh::options;
use crate::files::{fill, hash};
use crate::host::Host;
use sansftp_testkit::serve::Serve;
use std::process::{Command, Output};

/// A file there and back, with keys that change every mebibyte.
fn there_and_back(host: &Host) -> Output {
    let here = tempfile::tempdir().unwrap();
    let (source, back) = (here.path().join("source"), here.path().join("back"));
    fill(&source, 5, 3 << 20);
    let batch = here.path().join("batch");
    let (from, to) = (source.display(), back.display());
    std::fs::write(&batch, format!("put {from} sent\nget sent {to}\n")).unwrap();
    let output = Command::new("sftp")
        .args(["-C", "-o", "LogLevel=DEBUG1", "-o", "RekeyLimit=1M"])
        .args(options(host))
        .arg("-b")
        .arg(&batch)
        .args(["-P", &host.port().to_string(), &host.account()])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert_eq!(hash(&back), hash(&source));
    assert_eq!(hash(&host.home().join("sent")), hash(&source));
    output
}

/// How often this was agreed on, in each direction and at each exchange.
fn agreed(output: &Output, method: &str) -> usize {
    let words = String::from_utf8_lossy(&output.stderr);
    words.matches(&format!("compression: {method}")).count()
}

#[test]
fn a_client_that_asks_gets_it_where_the_server_was_told_so() {
    let host = Host::Serve(Serve::builder().arg("--compression").start());
    let output = there_and_back(&host);
    assert!(agreed(&output, "zlib@openssh.com") >= 6, "{output:?}");
    assert_eq!(agreed(&output, "none"), 0);
}

#[test]
fn and_else_none() {
    let output = there_and_back(&Host::serve());
    assert!(agreed(&output, "none") >= 6, "{output:?}");
    assert_eq!(agreed(&output, "zlib@openssh.com"), 0);
}
