//! Both halves by scripts: what each must do, with the section that says so.

mod client;
mod pair;
mod server;

use super::*;
use crate::wire::{Field, Message};
use bytes::{BufMut, Bytes, BytesMut};

/// A message as it goes over the wire, of fields that need not be right.
fn raw(number: u8, id: Option<u32>, fields: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32((1 + id.map_or(0, |_| 4) + fields.len()) as u32);
    out.put_u8(number);
    if let Some(id) = id {
        out.put_u32(id);
    }
    out.put_slice(fields);
    out.freeze()
}

/// A message of the table as it goes over the wire.
fn framed<'a, M: Message<'a>>(id: u32, message: &M) -> Bytes {
    let mut fields = BytesMut::new();
    message.write_body(&mut fields);
    raw(M::NUMBER, Some(id), &fields)
}

fn version(version: u32, extensions: Extensions) -> Bytes {
    let mut fields = BytesMut::new();
    version.write(&mut fields);
    extensions.write(&mut fields);
    raw(2, None, &fields)
}

fn status(id: u32, code: StatusCode) -> Bytes {
    let mut fields = BytesMut::new();
    code.0.write(&mut fields);
    fields.put_slice(b"\0\0\0\x04text\0\0\0\x02en");
    raw(101, Some(id), &fields)
}

fn handle_reply(id: u32, handle: &[u8]) -> Bytes {
    framed(id, &messages::HandleReply { handle })
}

fn data_reply(id: u32, data: &[u8]) -> Bytes {
    framed(id, &messages::DataReply { data })
}

fn name_reply(id: u32, names: &[&[u8]]) -> Bytes {
    let mut fields = BytesMut::new();
    fields.put_u32(names.len() as u32);
    for name in names {
        name.write(&mut fields);
        b"".as_slice().write(&mut fields);
        Attrs::default().write(&mut fields);
    }
    raw(104, Some(id), &fields)
}

/// Everything that is to be sent, in one piece.
fn sent(mut poll: impl FnMut() -> Option<Bytes>) -> Bytes {
    std::iter::from_fn(&mut poll).flatten().collect()
}

/// The messages in a stream, without their lengths.
fn messages_in(mut stream: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let length = u32::from_be_bytes(stream.split_to(4)[..].try_into().unwrap());
        messages.push(stream.split_to(length as usize));
    }
    messages
}

/// Type and id of each message in a stream.
fn heads(stream: Bytes) -> Vec<(u8, u32)> {
    messages_in(stream)
        .iter()
        .map(|it| (it[0], u32::from_be_bytes(it[1..5].try_into().unwrap())))
        .collect()
}
