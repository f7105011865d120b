//! The bodies of the fuzz targets: plain functions of bytes. libFuzzer calls each from five lines, and `cargo test` calls
//! each with many seeded inputs. A body panics when an oracle is broken, and never otherwise.
//!
//! What holds whatever comes in: no panic; an error is terminal and the same for all who ask again; nothing is told after
//! the end; a peer can make us neither contradict nor misuse ourselves ([`Error::Unreachable`], [`Error::ApiMisuse`]);
//! no more data comes out than went in; the same input gives the same output, and in the same way in pieces.

mod bytes;
mod files;
mod keys;
mod mux;
mod script;
mod wire;
mod zlib;

pub use self::bytes::{Reached, client_bytes, decoder, ident, negotiate, reached, server_bytes};
pub use files::{sftp_client, sftp_server, transfer};
pub use keys::{keys, known_hosts, ssh_config};
pub use mux::mux_model;
pub use script::{Depth, script, script_depth};
pub use wire::wire;
pub use zlib::zlib;

use sansftp_proto::error::Error;

/// A fuzz target by name.
pub type Body = (&'static str, fn(&[u8]));

/// All of them.
pub const BODIES: [Body; 15] = [
    ("wire", wire),
    ("ident", ident),
    ("decoder", decoder),
    ("negotiate", negotiate),
    ("client_bytes", client_bytes),
    ("server_bytes", server_bytes),
    ("script", script),
    ("mux_model", mux_model),
    ("sftp_client", sftp_client),
    ("sftp_server", sftp_server),
    ("transfer", transfer),
    ("keys", keys),
    ("known_hosts", known_hosts),
    ("ssh_config", ssh_config),
    ("zlib", zlib),
];

/// An error that only a bug of ours can bring about.
fn assert_not_ours(error: Option<&Error>) {
    assert!(
        !matches!(error, Some(Error::Unreachable(_) | Error::ApiMisuse(_))),
        "{error:?}"
    );
}
