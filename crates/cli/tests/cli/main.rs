//! The built program against a real sshd, and as a server for OpenSSH's clients: exit codes, words,
//! contents, and that nothing is left behind.
//!
//! Not the rules of operations in every combination: those are the connector's tests.

mod demo;
mod get;
mod import;
mod inetd;
mod input;
mod journal;
mod listen;
mod names;
mod output;
mod process;
mod reach;
mod refused;
mod secrets;
mod select;
mod send;
mod serve;
mod served;
mod signals;
mod stdio;
mod support;
mod transcripts;
mod trust;
