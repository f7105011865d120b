//! A model of flow control: two ends, any order of writing, reading and delivering, and a witness
//! who counts. Nothing is lost, made up or reordered; no window is overdrawn; credit comes only from
//! reading.

use super::messages::{Data, Eof, OpenConfirmation, WindowAdjust};
use super::*;
use crate::auth::Authenticated;
use crate::limits::Limits;
use crate::packet::{Payload, Sorted};
use crate::role::{Client, Role, Server};
use crate::wire::{Message, Reader};
use bytes::BytesMut;
use proptest::prelude::*;
use std::collections::VecDeque;

const CHANNELS: usize = 3;

/// One move in a run. Numbers of channels are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Move {
    Write(Way, usize, usize),
    Read(Way, usize),
    Deliver(Way, usize),
    Finish(Way, usize),
    Window(Way, usize, u32),
}

/// A direction of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// What the witness knows of one channel in one direction.
#[derive(Debug, Default)]
struct Flow {
    written: u64,
    sent: u64,
    read: u64,
    finished: bool,
    /// What the receiver has announced and adjusted.
    granted: u64,
    /// The largest window that the receiver ever aimed at.
    target: u64,
    max_packet: usize,
}

/// The byte at a place of a stream: what arrives shows where it belongs.
const fn byte_at(place: u64) -> u8 {
    (place % 251) as u8
}

fn handle<R: Role>(mux: &mut Mux<R>, message: &[u8]) -> VecDeque<EventOf<R>> {
    let payload = Payload::new(BytesMut::from(message)).expect("messages are not empty");
    let Sorted::Connection(payload) = payload.sort() else {
        panic!("not of this layer")
    };
    let mut events = VecDeque::new();
    mux.handle(payload, &mut events)
        .expect("our own two ends understand each other");
    events
}

fn poll<R: Role>(mux: &mut Mux<R>) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    mux.poll_message(&mut out).then(|| out.to_vec())
}

fn body<'a, M: Message<'a>>(message: &'a [u8]) -> M {
    let mut reader = Reader::new(&message[1..]);
    let read = M::read_body(&mut reader).expect("we write what can be read");
    reader.finish().expect("and no more");
    read
}

struct World {
    client: Mux<Client>,
    server: Mux<Server>,
    ids: Vec<(ChannelId, ChannelId)>,
    /// Per channel: to the server, to the client.
    flows: Vec<[Flow; 2]>,
}

impl World {
    fn new(client: &Limits, server: &Limits) -> Self {
        let mut world = Self {
            client: Mux::new(Authenticated::forged("ann"), client, Default::default()),
            server: Mux::new(Authenticated::forged("ann"), server, Default::default()),
            ids: Vec::new(),
            flows: Vec::new(),
        };
        for _ in 0..CHANNELS {
            let ours = world.client.open_session().expect("there is room");
            let open = poll(&mut world.client).expect("OPEN");
            let Some(ChannelEvent::Offered(offer)) = handle(&mut world.server, &open).pop_front()
            else {
                panic!("no offer");
            };
            let theirs = world.server.accept(offer).expect("it was just offered");
            let confirmation = poll(&mut world.server).expect("OPEN_CONFIRMATION");
            assert_eq!(
                body::<OpenConfirmation<'_>>(&confirmation).window,
                server.window
            );
            handle(&mut world.client, &confirmation);
            world.ids.push((ours, theirs));
            world.flows.push([server, client].map(|receiver| Flow {
                granted: receiver.window.into(),
                target: receiver.window.into(),
                max_packet: receiver.max_packet as usize,
                ..Flow::default()
            }));
        }
        world
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Write(way, at, length) => self.write(way, at % CHANNELS, length),
            Move::Read(way, at) => {
                self.read(way, at % CHANNELS);
            }
            Move::Deliver(way, count) => {
                for _ in 0..count {
                    self.deliver(way);
                }
            }
            Move::Finish(way, at) => {
                let (ours, theirs) = self.ids[at % CHANNELS];
                match way {
                    Way::ToServer => self.client.finish(ours),
                    Way::ToClient => self.server.finish(theirs),
                }
                self.flows[at % CHANNELS][way as usize].finished = true;
            }
            Move::Window(way, at, bytes) => {
                let (ours, theirs) = self.ids[at % CHANNELS];
                match way {
                    Way::ToServer => self.server.set_window(theirs, bytes),
                    Way::ToClient => self.client.set_window(ours, bytes),
                }
                let flow = &mut self.flows[at % CHANNELS][way as usize];
                flow.target = flow.target.max(bytes.into());
            }
        }
    }

    fn write(&mut self, way: Way, at: usize, length: usize) {
        let flow = &mut self.flows[at][way as usize];
        let data: Bytes = (0..length as u64)
            .map(|it| byte_at(flow.written + it))
            .collect();
        let (ours, theirs) = self.ids[at];
        let (room, result) = match way {
            Way::ToServer => (
                self.client.room(ours),
                self.client.write(ours, data.clone()),
            ),
            Way::ToClient => (
                self.server.room(theirs),
                self.server.write(theirs, data.clone()),
            ),
        };
        match result {
            Ok(()) => {
                assert!(room > 0 && !flow.finished);
                flow.written += length as u64;
            }
            Err(WriteError::Blocked(back)) => assert_eq!((room, back), (0, data)),
            Err(WriteError::Closed) => assert!(flow.finished),
        }
    }

    /// Reads a piece, and says whether there was one.
    fn read(&mut self, way: Way, at: usize) -> bool {
        let (ours, theirs) = self.ids[at];
        let piece = match way {
            Way::ToServer => self.server.read(theirs),
            Way::ToClient => self.client.read(ours),
        };
        let Some(piece) = piece else { return false };
        let flow = &mut self.flows[at][way as usize];
        assert!(!piece.is_empty());
        for &byte in &piece {
            assert_eq!(byte, byte_at(flow.read), "at byte {}", flow.read);
            flow.read += 1;
        }
        assert!(flow.read <= flow.sent, "read before it was sent");
        true
    }

    /// Carries one message over, and says whether there was one.
    fn deliver(&mut self, way: Way) -> bool {
        let message = match way {
            Way::ToServer => poll(&mut self.client),
            Way::ToClient => poll(&mut self.server),
        };
        let Some(message) = message else { return false };
        self.witness(way, &message);
        match way {
            Way::ToServer => drop(handle(&mut self.server, &message)),
            Way::ToClient => drop(handle(&mut self.client, &message)),
        }
        true
    }

    /// Sees a message on its way.
    fn witness(&mut self, way: Way, message: &[u8]) {
        let channel = |recipient: u32| {
            self.ids
                .iter()
                .position(|&(ours, theirs)| match way {
                    Way::ToServer => theirs.number == recipient,
                    Way::ToClient => ours.number == recipient,
                })
                .expect("nobody else is spoken to")
        };
        match message[0] {
            Data::NUMBER => {
                let Data { recipient, data } = body(message);
                let flow = &mut self.flows[channel(recipient)][way as usize];
                assert!(!data.is_empty() && data.len() <= flow.max_packet);
                flow.sent += data.len() as u64;
                assert!(
                    flow.sent <= flow.granted,
                    "the window is overdrawn: {flow:?}"
                );
                assert!(flow.sent <= flow.written);
            }
            WindowAdjust::NUMBER => {
                // It is about the other direction.
                let WindowAdjust { recipient, bytes } = body(message);
                let flow = &mut self.flows[channel(recipient)][1 - way as usize];
                flow.granted += u64::from(bytes);
                assert!(
                    flow.granted <= flow.target + flow.read,
                    "credit for nothing: {flow:?}"
                );
            }
            96 => {
                let flow = &self.flows[channel(body::<Eof>(message).recipient)];
                let flow = &flow[way as usize];
                assert!(
                    flow.finished && flow.sent == flow.written,
                    "EOF before the end"
                );
            }
            other => panic!("message {other} was not called for"),
        }
    }

    /// Everything that was written is read in the end.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for way in [Way::ToServer, Way::ToClient] {
                while self.deliver(way) {
                    moved = true;
                }
                for at in 0..CHANNELS {
                    while self.read(way, at) {
                        moved = true;
                    }
                }
            }
            if !moved {
                break;
            }
        }
        for (at, flows) in self.flows.iter().enumerate() {
            let (ours, theirs) = self.ids[at];
            for (flow, at_eof) in flows
                .iter()
                .zip([self.server.at_eof(theirs), self.client.at_eof(ours)])
            {
                assert_eq!((flow.read, flow.sent), (flow.written, flow.written));
                assert_eq!(at_eof, flow.finished);
            }
        }
    }
}

fn moves() -> impl Strategy<Value = Move> {
    let way = prop_oneof![Just(Way::ToServer), Just(Way::ToClient)];
    (way, 0..CHANNELS, any::<u8>(), 0u32..20_000).prop_map(|(way, at, what, amount)| {
        match what {
            0..=89 => Move::Write(way, at, amount as usize % if what < 60 { 6000 } else { 8 }),
            90..=149 => Move::Read(way, at),
            150..=244 => Move::Deliver(way, amount as usize % 8),
            245..=247 => Move::Finish(way, at),
            // A window of 0 is a wish to read no more; the run is to end with all read.
            248.. => Move::Window(way, at, amount + 1),
        }
    })
}

fn some_limits() -> impl Strategy<Value = Limits> {
    (1u32..10_000, 1u32..3000, 1usize..8000).prop_map(|(window, max_packet, send_queue)| Limits {
        window,
        max_packet,
        send_queue,
        ..Limits::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mux_model(
        client in some_limits(),
        server in some_limits(),
        run in prop::collection::vec(moves(), 0..300),
    ) {
        let mut world = World::new(&client, &server);
        for step in run {
            world.make(step);
        }
        world.settle();
    }
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let limits = Limits {
        window: 64 * 1024,
        send_queue: 64 * 1024,
        ..Limits::default()
    };
    let mut world = World::new(&limits, &limits);
    for _ in 0..1000 {
        world.write(Way::ToServer, 0, 1000);
        while world.deliver(Way::ToServer) || world.deliver(Way::ToClient) {}
    }
    let flow = &world.flows[0][0];
    assert_eq!(flow.sent, 64 * 1024, "a window is on its way");
    assert!(
        flow.written <= 2 * 64 * 1024 + 1000,
        "and no more than a queue and a write behind it"
    );
    world.settle();
}
