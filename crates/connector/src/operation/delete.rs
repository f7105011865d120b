//! The options of Delete.
//!
//! Not the deleting: that is in `run::delete`.

use serde::{Deserialize, Serialize};

/// Deletes files by name: each document's `filename`, in the remote directory itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Delete {
    /// Where the files are; the connection's directory when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_directory: Option<String>,
    /// Whether a file that is not there counts as deleted.
    pub missing_ok: bool,
    /// Whether directories are deleted too: empty ones only.
    pub directories: bool,
    /// Whether the documents after a failed one are left alone.
    pub stop_on_error: bool,
}
