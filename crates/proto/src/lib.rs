//! SSH and SFTP version 3 as machines without input or output: both roles, no socket, no clock, no
//! thread, no runtime.
//!
//! ```text
//!  inbound   bytes ─▶ packet::Decoder ─▶ Payload<R> ─sort()▶ Sorted<R> ─▶ Connection::dispatch
//!                     (opens in place)                        (phase × layer: the only judge)
//!              ┌───────────────────────┬──────────────────────────────┐
//!              ▼ Transport             ▼ Auth                         ▼ Connection
//!         Transport<R>            client::Auth, server::Auth     Mux<R> ─▶ channel queue
//!         ident, kex, rekey       needs a SessionId              needs Authenticated
//!              │                       │                              │ read() gives credit back
//!              ▼                       ▼                              ▼
//!         R::Event ◀────────────── poll_event() ─────────────▶ sftp::Client | sftp::Server
//!
//!  outbound  requests ─▶ sftp ─▶ Mux queues (plaintext) ─▶ [pulled] packet::Encoder ─▶ bytes
//! ```
//!
//! A run is five moves, repeated until none of them does anything:
//!
//! 1. bytes from the socket into [`Connection::handle_input`](session::Connection::handle_input);
//! 2. [`poll_event`](session::Connection::poll_event) until it is empty, each question answered;
//! 3. [`transmit`](session::Connection::transmit) to the socket, as much as it takes;
//! 4. [`poll_timeout`](session::Connection::poll_timeout) says when
//!    [`handle_timeout`](session::Connection::handle_timeout) is due;
//! 5. channel data through [`Mux`](connection::Mux), file data through [`sftp`].
//!
//! Specifications: RFC 4250 to 4254, 4256, 4344, 5647, 5656, 6668, 8268, 8308, 8332, 8709, 8731,
//! draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file for its extensions.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        clippy::exhaustive_enums,
        clippy::exhaustive_structs
    )
)]

pub mod auth;
#[cfg(sansftp_bugs)]
#[doc(hidden)]
pub mod bugs;
pub mod config;
pub mod connection;
pub mod crypto;
pub mod error;
pub mod limits;
mod misuse;
pub mod packet;
pub mod role;
pub mod session;
pub mod sftp;
mod timer;
pub mod transport;
pub mod wire;
