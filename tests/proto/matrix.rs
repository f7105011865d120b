//! Which message may arrive when: each of 256 numbers, to each role, in each phase, through real packets, compared with
//! `matrix.snap.txt` exactly. Every permission and every refusal there carries the section that says so ([`law`]); one
//! that carries none fails the test.
//!
//! After a change that is meant, `UPDATE_SNAPSHOTS=1 cargo test -p sansftp-tests --test proto matrix` writes the file
//! anew; the difference is what to review.

mod law;

use bytes::BytesMut;
use law::{LAW, Standing};
use sansftp_proto::connection::ToServer;
use sansftp_proto::error::{Error, PeerMisbehaved};
use sansftp_proto::role::{Client, Role, Server, Side};
use sansftp_proto::wire::{Message, NameList, Rest, Text};
use sansftp_testkit::null;
use sansftp_testkit::peer::messages as say;
use sansftp_testkit::peer::{Peer, Proposal};
use std::collections::BTreeSet;
use std::fmt::Write;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/matrix.snap.txt");

/// Where a connection stands when the message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Identified; the peer's KEXINIT is awaited.
    Handshake,
    /// The peer's share is awaited.
    Exchange,
    /// The same, where both asked for strict key exchange.
    StrictExchange,
    /// A client has asked for a group and awaits it; a server awaits what it is asked for.
    Group,
    /// The group is known, the peer's share awaited.
    GroupShare,
    /// The peer's NEWKEYS is awaited.
    NewKeys,
    /// The service has been requested; a client waits for SERVICE_ACCEPT, a server for SERVICE_REQUEST.
    ServiceRequest,
    /// A client has asked with `none`; a server waits for the next request.
    Authentication,
    /// A channel is open; another opening, a channel request and a global request of ours are unanswered.
    Session,
    /// The same, with our KEXINIT out and the peer's not in.
    Offered,
    /// The same, with both KEXINITs exchanged.
    ReExchange,
}

const PHASES: [Phase; 11] = [
    Phase::Handshake,
    Phase::Exchange,
    Phase::StrictExchange,
    Phase::Group,
    Phase::GroupShare,
    Phase::NewKeys,
    Phase::ServiceRequest,
    Phase::Authentication,
    Phase::Session,
    Phase::Offered,
    Phase::ReExchange,
];

/// The phases behind authentication.
const LATE: [Phase; 3] = [Phase::Session, Phase::Offered, Phase::ReExchange];

#[test]
fn every_message_in_every_phase_is_let_in_or_refused_as_the_snapshot_says() {
    let mut table = String::from(
        "# phase, end, numbers, what becomes of it, and the section that says so. Written by the test; see matrix.rs.\n",
    );
    let mut used = BTreeSet::new();
    for phase in PHASES {
        rows(phase, Side::Client, client_in, &mut table, &mut used);
        rows(phase, Side::Server, server_in, &mut table, &mut used);
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &table).expect("the snapshot can be written");
    }
    let snapshot = std::fs::read_to_string(SNAPSHOT).expect("the snapshot is checked in");
    for (now, before) in table.lines().zip(snapshot.lines()) {
        assert_eq!(
            now, before,
            "the legality matrix differs from matrix.snap.txt"
        );
    }
    assert_eq!(table.lines().count(), snapshot.lines().count());
    let unused: Vec<_> = (0..LAW.len())
        .filter(|at| !used.contains(at))
        .map(|at| &LAW[at])
        .collect();
    assert!(
        unused.is_empty(),
        "laws that nothing is judged by: {unused:#?}"
    );
}

/// Appends one end's rows in one phase, equal neighbours folded.
fn rows<R: Role>(
    phase: Phase,
    side: Side,
    make: fn(Phase) -> (Peer<R>, Bodies),
    table: &mut String,
    used: &mut BTreeSet<usize>,
) {
    let mut run: Option<(u8, u8, String)> = None;
    let mut flush = |run: Option<(u8, u8, String)>| {
        if let Some((from, to, rest)) = run {
            let numbers = if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            };
            let (phase, side) = (format!("{phase:?}"), format!("{side:?}"));
            writeln!(table, "{phase:<15} {side:<7} {numbers:<8} {rest}")
                .expect("a string takes it");
        }
    };
    for number in 0..=255u8 {
        let (mut peer, bodies) = make(phase);
        let verdict = judge(&mut peer, number, &bodies);
        let standing = if verdict.starts_with("refused") {
            Standing::Refused
        } else {
            Standing::Permitted
        };
        let law = LAW
            .iter()
            .position(|law| law.covers(phase, side, number, standing));
        let at = law.unwrap_or_else(|| {
            panic!("{phase:?} {side:?} {number}: {verdict}, and no section says so")
        });
        used.insert(at);
        let rest = format!("{verdict:<64} {}", LAW[at].section);
        run = match run {
            Some((from, to, same)) if same == rest && to + 1 == number => {
                Some((from, number, rest))
            }
            other => {
                flush(other);
                Some((number, number, rest))
            }
        };
    }
    flush(run);
}

/// What becomes of the message.
fn judge<R: Role>(peer: &mut Peer<R>, number: u8, bodies: &Bodies) -> String {
    while peer.hears().is_some() {}
    assert_eq!(
        peer.end.error(),
        None,
        "it stands where it should before the message comes"
    );
    peer.sends_payload(&bodies.body(number));
    match peer.end.error().cloned() {
        None => match peer.hears().map(|said| said.number()) {
            Some(3) => "answered with UNIMPLEMENTED".into(),
            Some(answer) => format!("taken, answered with {answer}"),
            None => "taken".into(),
        },
        Some(Error::Disconnected { .. }) => "ends the connection".into(),
        Some(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage { phase, .. })) => {
            format!("refused: unexpected during {phase}")
        }
        Some(Error::PeerMisbehaved(how)) => format!("refused: {how:?}"),
        Some(error @ (Error::InvalidMessage { .. } | Error::AuthenticationFailed)) => {
            panic!("{number}: {error}: the body is meant to be good")
        }
        Some(error) => panic!("{number}: {error}"),
    }
}

fn proposal(phase: Phase, side: Side) -> Proposal {
    match phase {
        Phase::StrictExchange => Proposal::default().strict(side),
        Phase::Group | Phase::GroupShare => Proposal {
            kex: vec![null::KEX_GROUP],
            ..Proposal::default()
        },
        _ => Proposal::default(),
    }
}

/// A client in this phase. The channels are those of the client.
fn client_in(phase: Phase) -> (Peer<Client>, Bodies) {
    let mut peer = Peer::of_null_client();
    let mut bodies = Bodies::default();
    if !LATE.contains(&phase) {
        peer.greets();
    }
    match phase {
        Phase::Handshake => {}
        Phase::Exchange | Phase::StrictExchange => {
            peer.offers(&proposal(phase, Side::Server));
            peer.hears_offer();
            let start = peer.expects::<say::KexStart<'_>>();
            (bodies.reply, _) = peer.replies_to(&start);
        }
        Phase::Group => {
            peer.offers(&proposal(phase, Side::Server));
            peer.hears_offer();
            let prime = &null::GROUP_PRIME;
            bodies.reply = Bodies::of(&say::Group { p: prime, g: &[2] });
        }
        Phase::GroupShare => {
            peer.offers(&proposal(phase, Side::Server));
            peer.hears_offer();
            let start = peer.names_group();
            (bodies.reply, _) = peer.replies_to(&start);
        }
        Phase::NewKeys => {
            peer.agrees_on_keys(&Proposal::default());
        }
        Phase::ServiceRequest => {
            peer.exchanges_keys(&Proposal::default());
            peer.awaits::<say::ServiceRequest<'_>>();
        }
        Phase::Authentication => {
            peer.exchanges_keys(&Proposal::default());
            peer.is_asked_to_authenticate();
        }
        Phase::Session | Phase::Offered | Phase::ReExchange => {
            peer.handshakes(&Proposal::default());
            let (id, channel) = peer.opens_channel(1000);
            let mux = peer.end.mux().expect("authentication is done");
            mux.request(id, &ToServer::Shell)
                .expect("the channel is open");
            mux.global_request(b"x", b"")
                .expect("there is room for a request");
            mux.open_session().expect("there is room for a channel");
            let opening = peer.awaits::<say::Open<'_>>();
            bodies.channel = channel;
            bodies.opening = opening.read::<say::Open<'_>>().sender;
        }
    }
    later(&mut peer, phase);
    if phase == Phase::ReExchange {
        let start = peer.expects::<say::KexStart<'_>>();
        (bodies.reply, _) = peer.replies_to(&start);
    }
    (peer, bodies)
}

/// A server in this phase. It opens no channels, so that no opening of its own can be answered.
fn server_in(phase: Phase) -> (Peer<Server>, Bodies) {
    let mut peer = Peer::of_null_server();
    let mut bodies = Bodies::default();
    if !LATE.contains(&phase) {
        peer.greets();
    }
    match phase {
        Phase::Handshake => {}
        Phase::Exchange | Phase::StrictExchange => {
            peer.offers(&proposal(phase, Side::Client));
            peer.hears_offer();
        }
        Phase::Group | Phase::GroupShare => {
            peer.offers(&proposal(phase, Side::Client));
            peer.hears_offer();
            if phase == Phase::GroupShare {
                peer.asks_for_group([16, 17, 18]);
            }
        }
        Phase::NewKeys => {
            peer.agrees_on_keys(&Proposal::default());
        }
        Phase::ServiceRequest => {
            // A client that said what it knows has used the one place for EXT_INFO.
            peer.exchanges_keys(&Proposal::default());
        }
        Phase::Authentication => {
            peer.exchanges_keys(&Proposal::default());
            peer.sends(&say::ServiceRequest {
                name: b"ssh-userauth",
            });
            peer.awaits::<say::ServiceAccept<'_>>();
        }
        Phase::Session | Phase::Offered | Phase::ReExchange => {
            peer.handshakes(&Proposal::default());
            let (_, channel) = peer.opens_channel(1000);
            let mux = peer.end.mux().expect("authentication is done");
            mux.global_request(b"x", b"")
                .expect("there is room for a request");
            bodies.channel = channel;
            bodies.opening = channel;
        }
    }
    later(&mut peer, phase);
    (peer, bodies)
}

fn later<R: Role>(peer: &mut Peer<R>, phase: Phase) {
    while peer.hears().is_some() {}
    if matches!(phase, Phase::Offered | Phase::ReExchange) {
        peer.end.rekey().expect("nothing is wrong yet");
        peer.hears_offer();
    }
    if phase == Phase::ReExchange {
        peer.offers(&Proposal::default());
    }
}

/// A well-formed message for each number that has one; what is found wrong is then when it comes, and not what it says.
#[derive(Debug, Default)]
struct Bodies {
    channel: u32,
    opening: u32,
    /// What this very client awaits in its exchange.
    reply: Vec<u8>,
}

impl Bodies {
    fn of<'m, M: Message<'m>>(message: &M) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.write(&mut out);
        out.to_vec()
    }

    fn body(&self, number: u8) -> Vec<u8> {
        fn of<'m, M: Message<'m>>(message: &M) -> Vec<u8> {
            Bodies::of(message)
        }
        let (recipient, rest, no_text) = (self.channel, Rest(&[]), Text(b""));
        let mut names = String::new();
        match number {
            1 => of(&say::Disconnect {
                reason: 11,
                description: no_text,
                language: no_text,
            }),
            2 => of(&say::Ignore { data: b"x" }),
            3 => of(&say::Unimplemented { seq: 0 }),
            4 => of(&say::Debug {
                always_display: false,
                message: b"x",
                language: b"",
            }),
            5 => of(&say::ServiceRequest {
                name: b"ssh-userauth",
            }),
            6 => of(&say::ServiceAccept {
                name: b"ssh-userauth",
            }),
            7 => of(&say::ExtInfo {
                count: 0,
                extensions: rest,
            }),
            20 => Proposal::default().payload(),
            21 => of(&say::NewKeys {}),
            30 => of(&say::KexStart {
                client_share: &[1; 9],
            }),
            31 | 33 if self.reply.first() == Some(&number) => self.reply.clone(),
            32 => of(&say::GroupStart {
                client_share: &[1; 9],
            }),
            34 => of(&say::GroupRequest {
                min: 16,
                n: 17,
                max: 18,
            }),
            50 => {
                let fields = [&[0, 0, 0, 0, 1][..], b"p"].concat();
                of(&say::AuthRequest {
                    user: "u",
                    service: "ssh-connection",
                    method: "password",
                    rest: Rest(&fields),
                })
            }
            51 => of(&say::AuthFailure {
                methods: NameList::join(["password"], &mut names),
                partial: false,
            }),
            52 => of(&say::AuthSuccess {}),
            53 => of(&say::Banner {
                message: b"x",
                language: b"",
            }),
            60 => of(&say::PkOk {
                algorithm: b"null-sig",
                key: b"x",
            }),
            61 => of(&say::InfoResponse { count: 0, rest }),
            80 => of(&say::GlobalRequest {
                name: b"x",
                want_reply: true,
                rest,
            }),
            81 => of(&say::GlobalSuccess { rest }),
            82 => of(&say::GlobalFailure {}),
            90 => of(&say::Open {
                kind: b"session",
                sender: 9,
                window: 10,
                max_packet: 10,
                rest,
            }),
            91 => of(&say::OpenConfirmation {
                recipient: self.opening,
                sender: 9,
                window: 10,
                max_packet: 10,
                rest,
            }),
            92 => of(&say::OpenFailure {
                recipient: self.opening,
                reason: 1,
                description: no_text,
                language: no_text,
            }),
            93 => of(&say::WindowAdjust {
                recipient,
                bytes: 1,
            }),
            94 => of(&say::Data {
                recipient,
                data: b"x",
            }),
            95 => of(&say::ExtendedData {
                recipient,
                kind: 1,
                data: b"x",
            }),
            96 => of(&say::Eof { recipient }),
            97 => of(&say::Close { recipient }),
            98 => of(&say::Request {
                recipient,
                name: b"x",
                want_reply: true,
                rest,
            }),
            99 => of(&say::Success { recipient }),
            100 => of(&say::Failure { recipient }),
            192 => of(&say::Ping { data: b"x" }),
            193 => of(&say::Pong { data: b"x" }),
            _ => vec![number],
        }
    }
}
