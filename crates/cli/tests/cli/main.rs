//! The built program against a real sshd: exit codes, words, contents, and that nothing is left
//! behind.
//!
//! Not the rules of operations in every combination: those are the connector's tests.

mod get;
mod input;
mod names;
mod output;
mod refused;
mod send;
mod signals;
mod support;
mod trust;
