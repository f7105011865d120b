//! Replies as they are read and written (draft-ietf-secsh-filexfer-02 §7): the one place where a reply
//! is held against its request, at both ends.

use super::attrs::Attrs;
use super::extensions::{FileHashes, Limits, OwnerNames, StatVfs};
use super::kind::{self, Expected, Kind};
use super::messages::{AttrsReply, DataReply, ExtendedReply, HandleReply, NameReply, StatusReply};
use super::rope::{Data, Output, TooLong};
use super::status::{Status, StatusCode};
use super::values::{Entry, Handle};
use crate::error::{Error, PeerMisbehaved};
use crate::wire::{Malformed, Message, Reader, Rest, Text};
use bytes::{Bytes, BytesMut};
use std::cmp::Ordering;

/// A reply that was held against what it answers.
#[derive(Debug)]
pub struct Body(pub(super) Held);

#[derive(Debug)]
pub(super) enum Held {
    Done,
    Handle(Handle),
    Data(Data),
    Names(Vec<Entry>),
    Path(Bytes),
    Attrs(Attrs),
    Limits(Limits),
    StatVfs(StatVfs),
    OwnerNames(OwnerNames),
    FileHashes(FileHashes),
}

impl Body {
    /// The handle that a reply nobody waits for opened.
    pub(super) fn into_handle(self) -> Option<Handle> {
        kind::Handle::take(self)
    }

    /// Bytes that this keeps in memory, about.
    pub(super) fn weight(&self) -> usize {
        match &self.0 {
            Held::Data(data) => data.len(),
            Held::Names(entries) => entries
                .iter()
                .map(|it| size_of::<Entry>() + it.filename.len() + it.longname.len())
                .sum(),
            Held::FileHashes(hashes) => hashes.hashes.len(),
            _ => 0,
        }
    }
}

/// Reads the reply `number` and holds it against what was expected.
///
/// # Errors
/// [`PeerMisbehaved`] when it is of another kind or more than was asked for,
/// [`Error::InvalidMessage`] when it is malformed.
pub(super) fn read_reply(
    expected: Expected,
    number: u8,
    mut body: Data,
) -> Result<Result<Body, Status>, Error> {
    if number == DataReply::NUMBER {
        let Expected::Data { most } = expected else {
            return Err(PeerMisbehaved::WrongReplyKind.into());
        };
        return read_data(most, &mut body).map(|data| Ok(Body(Held::Data(data))));
    }
    // A server must not send the codes that only clients make up (§7).
    const MADE_UP: [StatusCode; 2] = [StatusCode::NO_CONNECTION, StatusCode::CONNECTION_LOST];
    let body = body.copied();
    if number == StatusReply::NUMBER {
        let status: StatusReply<'_> = read(&body)?;
        let code = StatusCode(status.code);
        return match (code, expected) {
            (StatusCode::OK, Expected::Status) => Ok(Ok(Body(Held::Done))),
            (StatusCode::OK, _) => Err(PeerMisbehaved::WrongReplyKind.into()),
            (code, _) => Ok(Err(Status {
                code: if MADE_UP.contains(&code) {
                    StatusCode::FAILURE
                } else {
                    code
                },
                message: body.slice_ref(status.message.0),
            })),
        };
    }
    let held = match (number, expected) {
        (HandleReply::NUMBER, Expected::Handle) => {
            let handle = body.slice_ref(read::<HandleReply<'_>>(&body)?.handle);
            Held::Handle(Handle::new(handle).ok_or(PeerMisbehaved::HandleTooLong)?)
        }
        (NameReply::NUMBER, Expected::Names) => Held::Names(read_names(&body)?),
        // "it ... will return a SSH_FXP_NAME packet containing only one name" (§6.11)
        (NameReply::NUMBER, Expected::Path) => match <[Entry; 1]>::try_from(read_names(&body)?) {
            Ok([entry]) => Held::Path(entry.filename),
            Err(_) => return Err(PeerMisbehaved::WrongNameCount.into()),
        },
        (AttrsReply::NUMBER, Expected::Attrs) => Held::Attrs(read::<AttrsReply>(&body)?.attrs),
        (ExtendedReply::NUMBER, Expected::Limits) => Held::Limits(read(&body)?),
        (ExtendedReply::NUMBER, Expected::StatVfs) => Held::StatVfs(read(&body)?),
        (ExtendedReply::NUMBER, Expected::OwnerNames { users, groups }) => {
            let names = OwnerNames::read(&body).map_err(invalid::<ExtendedReply<'_>>)?;
            if names.users.len() != users || names.groups.len() != groups {
                return Err(PeerMisbehaved::WrongNameCount.into());
            }
            Held::OwnerNames(names)
        }
        (ExtendedReply::NUMBER, Expected::FileHashes) => {
            let hashes = FileHashes::read(&body).map_err(invalid::<ExtendedReply<'_>>)?;
            Held::FileHashes(hashes)
        }
        (101..=105 | 201, _) => return Err(PeerMisbehaved::WrongReplyKind.into()),
        _ => return Err(PeerMisbehaved::UnexpectedSftpMessage { number }.into()),
    };
    Ok(Ok(Body(held)))
}

/// Writes the reply to a request of which `expected` says how much it asked for. More data than that
/// is cut off: the client would end the session.
pub(super) fn write_reply(
    output: &mut Output,
    id: u32,
    expected: Expected,
    body: Body,
) -> Result<(), TooLong> {
    match (body.0, expected) {
        (Held::Done, _) => write_status(output, id, StatusCode::OK, b"success"),
        (Held::Handle(handle), _) => output.message(
            Some(id),
            &HandleReply {
                handle: handle.as_bytes(),
            },
        ),
        (Held::Data(mut data), Expected::Data { most }) => {
            output.data(id, data.split_to(most as usize))
        }
        (Held::Data(data), _) => output.data(id, data),
        (Held::Names(entries), _) => write_names(output, id, &entries),
        (Held::Path(path), _) => {
            let longname = path.clone();
            write_names(
                output,
                id,
                &[Entry {
                    filename: path,
                    longname,
                    attrs: Attrs::default(),
                }],
            )
        }
        (Held::Attrs(attrs), _) => output.message(Some(id), &AttrsReply { attrs }),
        (Held::Limits(limits), _) => output.message(Some(id), &limits),
        (Held::StatVfs(statvfs), _) => output.message(Some(id), &statvfs),
        (Held::OwnerNames(mut names), expected) => {
            // The reply has as many names as the question, unknown ones empty (PROTOCOL §4.12).
            if let Expected::OwnerNames { users, groups } = expected {
                names.users.resize(users, Bytes::new());
                names.groups.resize(groups, Bytes::new());
            }
            let mut data = BytesMut::new();
            names.write(&mut data);
            output.message(Some(id), &ExtendedReply { data: Rest(&data) })
        }
        (Held::FileHashes(hashes), _) => {
            let mut data = BytesMut::new();
            hashes.write(&mut data);
            output.message(Some(id), &ExtendedReply { data: Rest(&data) })
        }
    }
}

/// Writes SSH_FXP_STATUS (§7).
pub(super) fn write_status(
    output: &mut Output,
    id: u32,
    code: StatusCode,
    message: &[u8],
) -> Result<(), TooLong> {
    let (message, language) = (Text(message), Text(b"en"));
    output.message(
        Some(id),
        &StatusReply {
            code: code.0,
            message,
            language,
        },
    )
}

/// Reads a whole message.
pub(super) fn read<'a, M: Message<'a>>(body: &'a [u8]) -> Result<M, Error> {
    read_fields(body).map_err(invalid::<M>)
}

/// Reads a whole message, for whoever answers a malformed one.
pub(super) fn read_fields<'a, M: Message<'a>>(body: &'a [u8]) -> Result<M, Malformed> {
    let mut reader = Reader::new(body);
    let message = M::read_body(&mut reader)?;
    reader.finish().map(|()| message)
}

pub(super) const fn invalid<'a, M: Message<'a>>(cause: Malformed) -> Error {
    Error::InvalidMessage {
        number: M::NUMBER,
        name: M::NAME,
        cause,
    }
}

fn read_data(most: u32, body: &mut Data) -> Result<Data, Error> {
    let length = body
        .take_u32()
        .ok_or(invalid::<DataReply<'_>>(Malformed("truncated")))?;
    if length > most {
        return Err(PeerMisbehaved::ReplyTooLong.into());
    }
    match body.len().cmp(&(length as usize)) {
        Ordering::Less => Err(invalid::<DataReply<'_>>(Malformed("truncated"))),
        Ordering::Greater => Err(invalid::<DataReply<'_>>(Malformed("trailing bytes"))),
        Ordering::Equal => Ok(std::mem::take(body)),
    }
}

fn read_names(body: &Bytes) -> Result<Vec<Entry>, Error> {
    Entry::read_all(body).map_err(invalid::<NameReply<'_>>)
}

fn write_names(output: &mut Output, id: u32, entries: &[Entry]) -> Result<(), TooLong> {
    let count = u32::try_from(entries.len()).map_err(|_| TooLong)?;
    let mut names = BytesMut::new();
    Entry::write_all(entries, &mut names);
    output.message(
        Some(id),
        &NameReply {
            count,
            names: Rest(&names),
        },
    )
}
