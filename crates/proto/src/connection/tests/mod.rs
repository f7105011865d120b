//! Scripts against one end, message by message, and between the two ends. The peer of a script
//! numbers its channels from 1000, so that no number fits by chance.

mod data;
mod opening;
mod requests;

use super::channel::Channels;
use super::messages::*;
use super::*;
use crate::auth::Authenticated;
use crate::error::{Error, PeerMisbehaved};
use crate::limits::{self, Limits};
use crate::packet::{Payload, Sorted};
use crate::role::{Client, Role, Server};
use crate::wire::{Field, Message, Rest, Text};
use bytes::BytesMut;
use std::collections::VecDeque;

/// The scripted peer's number of its first channel.
const THEIRS: u32 = 1000;
const WINDOW: u32 = 4096;
const MAX_PACKET: u32 = 1024;

/// One end and a script that plays the other.
struct End<R: Role> {
    mux: Mux<R>,
}

impl<R: Role> End<R> {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            window: WINDOW,
            max_packet: MAX_PACKET,
            send_queue: 8192,
            ..Limits::default()
        };
        change(&mut limits);
        Self {
            mux: Mux::new(Authenticated::forged("ann"), &limits, Default::default()),
        }
    }

    fn gets_bytes(&mut self, bytes: &[u8]) -> Result<Vec<EventOf<R>>, Error> {
        let payload = Payload::new(BytesMut::from(bytes)).expect("scripts say something");
        let Sorted::Connection(payload) = payload.sort() else {
            panic!("not of this layer")
        };
        let mut events = VecDeque::new();
        self.mux.handle(payload, &mut events)?;
        Ok(events.into())
    }

    /// The peer sends a message; what is the application told?
    fn gets<'m, M: Message<'m>>(&mut self, message: &M) -> Result<Vec<EventOf<R>>, Error> {
        self.gets_bytes(&wire(message))
    }

    fn gets_quietly<'m, M: Message<'m>>(&mut self, message: &M) {
        let events = self.gets(message).unwrap();
        assert!(events.is_empty(), "{events:?}");
    }

    fn fails<'m, M: Message<'m>>(&mut self, message: &M, how: PeerMisbehaved) {
        assert_eq!(self.gets(message).unwrap_err(), Error::from(how));
    }

    /// Everything that waits to be sent.
    fn says(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| {
            let mut out = BytesMut::new();
            self.mux.poll_message(&mut out).then(|| out.to_vec())
        })
        .collect()
    }
}

impl End<Server> {
    /// A session channel that the scripted client has opened, under its next number.
    fn session(&mut self, window: u32, max_packet: u32) -> ChannelId {
        let sender = THEIRS + u32::try_from(self.mux.channels.count()).unwrap();
        let open = Open {
            kind: b"session",
            sender,
            window,
            max_packet,
            rest: Rest(&[]),
        };
        let mut events = self.gets(&open).unwrap();
        let Some(ChannelEvent::Offered(offer)) = events.pop() else {
            panic!("{events:?}")
        };
        let id = self.mux.accept(offer).unwrap();
        let (recipient, rest) = (sender, Rest(&[][..]));
        let expected = OpenConfirmation {
            recipient,
            sender: id.number,
            window: WINDOW,
            max_packet: MAX_PACKET,
            rest,
        };
        assert_eq!(self.says(), [wire(&expected)]);
        id
    }

    fn asks(
        &mut self,
        name: &[u8],
        body: &[u8],
        want_reply: bool,
    ) -> Option<(ToServer, Option<Answer>)> {
        let request = Request {
            recipient: 0,
            name,
            want_reply,
            rest: Rest(body),
        };
        let mut events = self.gets(&request).unwrap();
        assert!(events.len() <= 1, "{events:?}");
        events.pop().map(|event| match event {
            ChannelEvent::Request {
                request, answer, ..
            } => (request, answer),
            other => panic!("{other:?}"),
        })
    }
}

impl End<Client> {
    fn session(&mut self, window: u32, max_packet: u32) -> ChannelId {
        let id = self.mux.open_session().unwrap();
        self.says();
        let sender = THEIRS + id.number;
        let rest = Rest(&[][..]);
        let events = self
            .gets(&OpenConfirmation {
                recipient: id.number,
                sender,
                window,
                max_packet,
                rest,
            })
            .unwrap();
        assert!(
            matches!(events[..], [ChannelEvent::Opened(opened)] if opened == id),
            "{events:?}"
        );
        id
    }
}

fn wire<'m, M: Message<'m>>(message: &M) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.write(&mut out);
    out.to_vec()
}

fn data(recipient: u32, data: &[u8]) -> Data<'_> {
    Data { recipient, data }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    bytes.write(&mut out);
    out.to_vec()
}

fn success() -> Vec<u8> {
    wire(&Success { recipient: THEIRS })
}

fn failure() -> Vec<u8> {
    wire(&Failure { recipient: THEIRS })
}

fn adjust(bytes: u32) -> Vec<u8> {
    wire(&WindowAdjust {
        recipient: THEIRS,
        bytes,
    })
}

// ---- global requests (RFC 4254 §4)

#[test]
fn unknown_global_requests_fail_when_a_reply_is_wanted_and_never_end_the_connection() {
    let mut client = End::<Client>::new();
    let rest = Rest(b"whatever");
    for name in [
        &b"keepalive@openssh.com"[..],
        b"hostkeys-00@openssh.com",
        b"no-more-sessions@openssh.com",
        b"\xff",
    ] {
        client.gets_quietly(&GlobalRequest {
            name,
            want_reply: true,
            rest,
        });
        assert_eq!(client.says(), [wire(&RequestFailure {})]);
        client.gets_quietly(&GlobalRequest {
            name,
            want_reply: false,
            rest,
        });
        assert!(client.says().is_empty());
    }
    let mut server = End::<Server>::new();
    server.gets_quietly(&GlobalRequest {
        name: b"tcpip-forward",
        want_reply: true,
        rest,
    });
    assert_eq!(server.says(), [wire(&RequestFailure {})]);
}

#[test]
fn host_keys_are_announced_once_and_not_without_end() {
    let mut client = End::<Client>::new();
    let mut rest = BytesMut::new();
    // Neither a key nor, being empty, anything else.
    b"".as_slice().write(&mut rest);
    for number in 0..1000u32 {
        let mut blob = BytesMut::new();
        "ssh-ed25519".write(&mut blob);
        number.to_be_bytes().as_slice().write(&mut blob);
        // Each twice.
        blob.as_ref().write(&mut rest);
        blob.as_ref().write(&mut rest);
    }
    let announcement = GlobalRequest {
        name: b"hostkeys-00@openssh.com",
        want_reply: false,
        rest: Rest(&rest),
    };
    client.gets_quietly(&GlobalRequest {
        rest: Rest(&rest[..rest.len() - 1]),
        ..announcement
    });
    assert!(client.mux.announced_host_keys().is_empty());
    client.gets_quietly(&announcement);
    let keys = client.mux.announced_host_keys().to_vec();
    assert_eq!(keys.len(), limits::HOST_KEYS);
    let last = keys.last().unwrap().as_bytes();
    assert!(last.ends_with(&[limits::HOST_KEYS as u8 - 1]), "{last:?}");
    client.gets_quietly(&GlobalRequest {
        rest: Rest(&rest[58..]),
        ..announcement
    });
    assert_eq!(client.mux.announced_host_keys(), keys);
    let mut server = End::<Server>::new();
    server.gets_quietly(&announcement);
}

#[test]
fn global_replies_belong_to_requests_in_order_and_those_to_keepalives_to_nobody() {
    let mut client = End::<Client>::new();
    client.mux.global_request(b"first", b"x").unwrap();
    client.mux.keepalive();
    client.mux.keepalive();
    client.mux.global_request(b"second", b"").unwrap();
    assert_eq!(client.says().len(), 3, "one keepalive at a time");
    let events = client
        .gets(&RequestSuccess {
            rest: Rest(b"port"),
        })
        .unwrap();
    let [ChannelEvent::GlobalAnswered { ok: true, data }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(data, "port");
    client.gets_quietly(&RequestSuccess {
        rest: Rest(b"ignored"),
    });
    let events = client.gets(&RequestFailure {}).unwrap();
    assert!(
        matches!(
            &events[..],
            [ChannelEvent::GlobalAnswered { ok: false, .. }]
        ),
        "{events:?}"
    );
    client.mux.keepalive();
    assert_eq!(client.says().len(), 1);
    client.gets_quietly(&RequestFailure {});
    client.fails(&RequestFailure {}, PeerMisbehaved::UnsolicitedReply);
    End::<Server>::new().fails(
        &RequestSuccess { rest: Rest(&[]) },
        PeerMisbehaved::UnsolicitedReply,
    );
}

#[test]
fn only_so_many_global_requests_wait() {
    let mut client = End::<Client>::new();
    for _ in 0..limits::AWAITED_REPLIES {
        client.mux.global_request(b"x", b"").unwrap();
    }
    assert_eq!(
        client.mux.global_request(b"x", b""),
        Err(RequestError::TooMany)
    );
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_not_read() {
    let mut server = End::<Server>::new();
    let request = GlobalRequest {
        name: b"?",
        want_reply: true,
        rest: Rest(&[]),
    };
    for _ in 0..limits::CONTROL_QUEUE {
        assert!(server.mux.wants_input());
        server.gets_quietly(&request);
    }
    assert!(!server.mux.wants_input());
    assert!(server.mux.poll_message(&mut BytesMut::new()));
    assert!(server.mux.wants_input());
}
