//! The tests of `main.rs` with the provider in pure Rust, in place of ring. Not the measurements.

mod algorithms;
mod auth;
mod blocking;
mod common;
mod faults;
mod files;
mod rekey;

use sansftp_crypto::{OsRandom, rustcrypto};
use sansftp_proto::crypto::CryptoProvider;
use std::sync::Arc;

fn provider() -> CryptoProvider {
    rustcrypto::provider(Arc::new(OsRandom))
}
