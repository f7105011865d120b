//! `cargo xtask conformance`: looks at a live server or client, or at all that are here, by the program `wire_rules`, which is an
//! example of sansftp-tests, because it needs providers and fixtures, on which xtask does not depend. Nothing but OpenSSH is
//! installed for it: a server that is not here is named in the document.

use std::ffi::OsString;

use crate::run::{cargo, root, succeed};
use crate::{Failure, install};

/// Without words all servers and clients that are here, for the document; else what the words say, which the example knows.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let mut command = cargo(&[
        "run",
        "-p",
        "sansftp-tests",
        "--example",
        "wire_rules",
        "--",
    ]);
    if words.is_empty() {
        install::openssh()?;
        command
            .arg("--into")
            .arg(root().join("docs/conformance.md"));
    } else {
        command.args(words);
    }
    succeed(&mut command)
}
