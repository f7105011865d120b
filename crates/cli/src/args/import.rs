//! `sansftp import` as it is typed.

use std::path::PathBuf;

use clap::Args;

/// `sansftp import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Components as the platform exports them, one a file: connections and operations of SFTP.
    #[arg(required = true, value_name = "FILE.xml")]
    pub(crate) files: Vec<PathBuf>,
    /// Write the configuration into this new file, readable by you alone, instead of printing it. A
    /// file that is there is never replaced.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) into: Option<PathBuf>,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  sansftp import connection.xml operation.xml --into sansftp.toml
  sansftp import exported/*.xml > sansftp.toml

What has to be filled in, what differs in behaviour and what could not be taken over is listed on
standard error and stands beside the keys as comments. Encrypted passwords are not decrypted: each
becomes a reference to an environment variable. Where one file cannot be imported, nothing is
written.";
