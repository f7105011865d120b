//! The parsers against files that ssh-keygen and openssl write, and against everything else.

mod authorized_keys;
mod certificate;
mod common;
mod dsa;
mod host_certificate;
mod known_hosts;
mod private;
mod protected;
mod public;
