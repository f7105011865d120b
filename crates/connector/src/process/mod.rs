//! Processes: steps in order, each taking what comes out of the one before.
//!
//! ```text
//!   documents ─▶ step 1 ─▶ a few ─▶ step 2 ─▶ a few ─▶ … ─▶ last step
//!                  │                  │                         │
//!                  └────── outcomes, each with its step ────────┘
//! ```
//! All steps work at the same time; a body goes from the server that it is read from into the one
//! that it is written to, and is held by neither. What a step takes counts as delivered when the
//! last step is through with it: only then does an earlier one delete or move its file.
//!
//! Not the steps themselves: those are in `run`.

mod parameters;
mod pipeline;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::parameters::{Parameters, Template};
pub use self::pipeline::{Pipeline, Running, Stage, StepOutcome};

/// Steps in order, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Process {
    /// What is done, one after the other with each document.
    pub steps: Vec<ProcessStep>,
}

/// An operation with a connection, both by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProcessStep {
    /// Where and who.
    pub connection: String,
    /// What is done there.
    pub operation: String,
    /// Keys of the operation that each document's properties give: see [`Parameters`].
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// So many sessions at most; 1 when unset.
    #[serde(default = "one")]
    pub jobs: NonZeroUsize,
    /// The local directory that a Get delivers into, which must be the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<PathBuf>,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}
