//! SSH key files, `known_hosts` and `authorized_keys` as pure functions over bytes.
//!
//! What it is not: it opens no file, reads no clock, draws no randomness and signs nothing. Whoever
//! calls it brings the bytes, the time and the salt; whoever signs takes the
//! [`PrivateKey`](sansftp_proto::crypto::PrivateKey) that comes out.
//!
//! | module | reads | source |
//! |---|---|---|
//! | [`private`] | `openssh-key-v1`, PKCS#1, PKCS#8, SEC 1, PPK | OpenSSH PROTOCOL.key; RFC 8017 A.1.2; RFC 5958; RFC 5915 |
//! | [`public`] | public keys as one line or as a file, fingerprints | sshd(8) AUTHORIZED_KEYS; RFC 4253 §6.6; RFC 4716 |
//! | [`known_hosts`] | the file, and entries pasted into a setting | sshd(8) SSH_KNOWN_HOSTS |
//! | [`authorized_keys`] | the file and its options | sshd(8) AUTHORIZED_KEYS |
//! | [`certificate`] | what an authority says of a key, and whether it holds | OpenSSH PROTOCOL.certkeys |
//! | [`ssh_config`](fn@ssh_config) | what a user's file says of a host | ssh_config(5) |
//!
//! Every parser takes `&[u8]` and returns a value or a typed error, whatever the bytes. Nothing is
//! allocated by a length that the input declares: lengths only ever cut slices of what is there.

pub mod authorized_keys;
pub mod certificate;
mod certified;
mod der;
mod error;
pub mod known_hosts;
mod pattern;
mod pem;
pub mod private;
pub mod public;
mod rfc4716;
mod ssh_config;
mod text;

pub use certified::CertifiedKey;
pub use error::{KeyError, KeyFormat};
pub use known_hosts::{Host, KnownHosts, Verdict};
pub use private::{KeyFile, read_private_key, write_openssh};
pub use public::{PublicLine, read_public, sha256_fingerprint, write_public};
pub use ssh_config::{HostSettings, SshConfigError, ssh_config};
