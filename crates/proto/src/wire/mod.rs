//! SSH data types (RFC 4251 §5) and the table macro that turns a message of an RFC into a struct.
//!
//! Reading is done by nom parsers over borrowed bytes; nothing here allocates, and nothing here
//! knows what a message means.

#![cfg_attr(
    not(test),
    expect(
        clippy::exhaustive_enums,
        clippy::exhaustive_structs,
        reason = "the data types of RFC 4251 are complete"
    )
)]

mod mpint;
mod names;
mod reader;
mod table;

pub use mpint::{MpInt, Unsigned};
pub use names::NameList;
pub use reader::{Field, Malformed, Parsed, Reader, Rest, Text};
pub use table::{Auth, Connection, Layer, Message, SentBy, Sftp, Transport, in_range};

#[cfg(test)]
mod tests;
