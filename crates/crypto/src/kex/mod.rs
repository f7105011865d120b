//! Key exchange in pure Rust, for both providers: ring's shares cannot be made from injected
//! randomness, and it has no finite fields. Only the hash is a provider's own.

mod curve25519;
mod finite_field;
mod group_exchange;
mod hybrid;
mod methods;
mod nist;

pub(crate) use curve25519::Curve25519;
pub(crate) use finite_field::{FiniteField, GROUP14, GROUP16, GROUP18};
pub(crate) use group_exchange::ServerChooses;
pub(crate) use hybrid::{Hybrid, MlKem768, Sntrup761};
pub(crate) use methods::methods;
pub(crate) use nist::Ecdh;

#[cfg(feature = "legacy")]
pub(crate) use finite_field::GROUP1;
#[cfg(all(test, feature = "ring", feature = "rustcrypto", feature = "legacy"))]
pub(crate) use finite_field::PRIME1;
#[cfg(all(test, feature = "ring", feature = "rustcrypto"))]
pub(crate) use finite_field::{PRIME14, PRIME16, PRIME18};
