//! What opening a channel is about (RFC 4254 §5.1): kinds of channels, offers, reasons of refusal.

use super::channel::ChannelId;
use crate::wire::{Field, Malformed, Reader};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// What a channel is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelKind {
    /// `session`: a program on the server (RFC 4254 §6.1).
    Session,
    /// `direct-tcpip`: a connection onward from the server (RFC 4254 §7.2).
    DirectTcpip {
        /// Where to: a name or an address.
        host: Bytes,
        /// The port there.
        port: u16,
        /// The address of whoever asks, as the client says.
        originator: Bytes,
        /// The port of whoever asks, as the client says.
        originator_port: u16,
    },
}

impl ChannelKind {
    /// The type's name on the wire.
    pub(super) const fn name(&self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::DirectTcpip { .. } => b"direct-tcpip",
        }
    }

    /// Reads what follows the maximum packet size; `None` for a type that is not known.
    pub(super) fn parse(name: &[u8], body: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let kind = match name {
            b"session" => Self::Session,
            b"direct-tcpip" => Self::DirectTcpip {
                host: Bytes::copy_from_slice(body.read()?),
                port: port(body)?,
                originator: Bytes::copy_from_slice(body.read()?),
                originator_port: port(body)?,
            },
            _ => return Ok(None),
        };
        Ok(Some(kind))
    }

    /// Writes what follows the maximum packet size.
    pub(super) fn write_body(&self, out: &mut BytesMut) {
        match self {
            Self::Session => {}
            Self::DirectTcpip {
                host,
                port,
                originator,
                originator_port,
            } => {
                host.as_ref().write(out);
                u32::from(*port).write(out);
                originator.as_ref().write(out);
                u32::from(*originator_port).write(out);
            }
        }
    }
}

fn port(body: &mut Reader<'_>) -> Result<u16, Malformed> {
    u16::try_from(body.read::<u32>()?).map_err(|_| Malformed("port above 65535"))
}

/// A channel that the peer wants to open, waiting for a decision. Linear: it is accepted or refused
/// once, and counts as a channel until then.
#[derive(Debug)]
#[must_use = "an offer that is dropped stays undecided"]
pub struct Offer {
    /// What the channel would be for.
    pub kind: ChannelKind,
    pub(super) id: ChannelId,
}

/// Why a channel was not opened (RFC 4254 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailureReason {
    /// SSH_OPEN_ADMINISTRATIVELY_PROHIBITED
    AdministrativelyProhibited,
    /// SSH_OPEN_CONNECT_FAILED
    ConnectFailed,
    /// SSH_OPEN_UNKNOWN_CHANNEL_TYPE
    UnknownChannelType,
    /// SSH_OPEN_RESOURCE_SHORTAGE
    ResourceShortage,
    /// A reason that RFC 4254 does not name.
    Other(u32),
}

impl OpenFailureReason {
    /// The code on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::AdministrativelyProhibited => 1,
            Self::ConnectFailed => 2,
            Self::UnknownChannelType => 3,
            Self::ResourceShortage => 4,
            Self::Other(code) => code,
        }
    }
}

impl From<u32> for OpenFailureReason {
    fn from(code: u32) -> Self {
        match code {
            1 => Self::AdministrativelyProhibited,
            2 => Self::ConnectFailed,
            3 => Self::UnknownChannelType,
            4 => Self::ResourceShortage,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for OpenFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdministrativelyProhibited => "administratively prohibited",
            Self::ConnectFailed => "connect failed",
            Self::UnknownChannelType => "unknown channel type",
            Self::ResourceShortage => "resource shortage",
            Self::Other(code) => return write!(f, "reason {code}"),
        })
    }
}
