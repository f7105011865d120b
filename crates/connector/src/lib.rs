//! A file connector: reusable connections and operations over documents.
//!
//! A [`Connection`](connection::Connection) says where and who, an
//! [`Operation`](operation::Operation) what to do there; both are plain data. A
//! [`Document`](document::Document) is a body and its properties, an
//! [`Outcome`](outcome::Outcome) what became of one.
//!
//! Nothing but [`sftp`] knows SSH: everything goes through the traits of [`remote`], of which
//! [`mem`] is an implementation for tests.

pub mod connection;
pub mod document;
pub mod error;
mod filter;
pub mod journal;
mod keys;
pub mod local;
pub mod mem;
mod names;
pub mod operation;
pub mod outcome;
mod path;
pub mod process;
pub mod progress;
pub mod remote;
mod retry;
mod run;
mod secret;
pub mod sftp;
mod units;

pub use error::{Class, Error, Result};
pub use filter::{DotRule, NameFilter};
pub use keys::keys_of;
pub use names::{is_base_name, is_ours};
pub use path::printable;
pub use run::{Cancel, Connector, Destination, Outcomes};
pub use units::parse_duration;
