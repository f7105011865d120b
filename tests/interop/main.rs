//! The driver against a stock OpenSSH server on a loopback port: what it agrees on, how it
//! authenticates, changes keys, moves files and ends when the network fails.
//!
//! Not the connector and not the program, whose tests begin where these end; and not what only a
//! scripted peer can do wrong. `pure_rust.rs` runs the same with the other provider. Needs `sshd`, `sftp-server` and `ssh-keygen`.

mod algorithms;
mod auth;
mod blocking;
mod common;
mod faults;
mod files;
mod rekey;
mod speed;

use sansftp_crypto::default_provider as provider;
