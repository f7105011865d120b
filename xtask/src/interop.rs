//! `cargo xtask interop`: writes `docs/interop.md` anew, by the program `server_table`, which is an example of sansftp-tests,
//! because it needs the driver and the fixtures, on which xtask does not depend. Nothing but OpenSSH is installed for it: a
//! server that is not here is named in the table.

use crate::run::{cargo, root, succeed};
use crate::{Failure, install};

pub(crate) fn run() -> Result<(), Failure> {
    install::openssh()?;
    let mut command = cargo(&[
        "run",
        "-p",
        "sansftp-tests",
        "--example",
        "server_table",
        "--",
    ]);
    succeed(command.arg(root().join("docs/interop.md")))
}
