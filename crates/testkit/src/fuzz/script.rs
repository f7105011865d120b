//! Operations over a pair that a fuzzer chose: both applications at once, answers withheld or given out of order, keys
//! changed, time passing, bits flipped, any fragmentation. Every question is a token that the script may hold back, so
//! random scripts get far.

use super::assert_not_ours;
use super::bytes::verdict;
use crate::null::NullKey;
use crate::pair::{Ends, Pair};
use crate::seeds::Choices;
use crate::suite::Suite;
use ::bytes::Bytes;
use sansftp_proto::auth::client::{Credential, Event as ClientAuth, Prompts, Turn};
use sansftp_proto::auth::server::{Attempt, Event as ServerAuth};
use sansftp_proto::connection::{
    Answer, ChannelEvent, ChannelId, Offer, OpenFailureReason, ToClient, ToServer,
};
use sansftp_proto::crypto::Secret;
use sansftp_proto::session::{ClientEvent, HostKey, ServerEvent, Trust};
use std::time::Duration;

/// How far a script came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Keys were exchanged.
    pub keys: bool,
    /// The user got in.
    pub authenticated: bool,
    /// A channel was opened.
    pub channel: bool,
    /// A channel request was answered.
    pub answered: bool,
    /// Data arrived and was read.
    pub data: bool,
    /// Keys were exchanged again.
    pub rekeyed: bool,
    /// A channel was closed by both.
    pub closed: bool,
}

/// Runs the script, twice.
pub fn script(data: &[u8]) {
    script_depth(data);
}

/// Runs the script, twice, and says how far it came.
pub fn script_depth(data: &[u8]) -> Depth {
    let (depth, transcript) = run(data);
    assert_eq!(
        (depth, transcript),
        run(data),
        "the same script gives the same bytes"
    );
    depth
}

/// What was asked and is not answered, and what there is to use.
#[derive(Default)]
struct Held {
    keys: Vec<HostKey>,
    turns: Vec<Turn>,
    prompts: Vec<Prompts>,
    attempts: Vec<Attempt>,
    offers: Vec<Offer>,
    answers: Vec<Answer>,
    ours: Vec<ChannelId>,
    theirs: Vec<ChannelId>,
    written: usize,
    read: usize,
}

fn run(data: &[u8]) -> (Depth, [Vec<u8>; 2]) {
    let mut choices = Choices::new(data);
    let mut ends = Ends::over(Suite::Null);
    if choices.byte() & 1 == 1 {
        ends.client.limits.rekey_bytes = Some(4096);
        ends.server.limits.window = 5000;
    }
    let mut pair = ends.start();
    pair.fragment([usize::MAX, 1, 2, 3, 7, 64][choices.below(6)]);
    pair.to_server.record();
    pair.to_client.record();
    let mut held = Held::default();
    let mut depth = Depth::default();
    while !choices.is_empty() {
        operation(&mut pair, &mut choices, &mut held);
        collect(&mut pair, &mut held, &mut depth);
        for error in pair.errors() {
            assert_not_ours(error);
        }
        assert!(held.read <= held.written, "bytes out of nothing");
        depth.data |= held.read > 0;
        depth.rekeyed |= pair.client.exchanges() > 1;
    }
    (
        depth,
        [
            pair.to_server.written().to_vec(),
            pair.to_client.written().to_vec(),
        ],
    )
}

/// One move. Most of them run the pair a little, so that scripts do not end before anything happened.
fn operation(pair: &mut Pair, choices: &mut Choices<'_>, held: &mut Held) {
    let which = choices.byte();
    match which % 24 {
        0..=3 => pair.drive(),
        4 => {
            for _ in 0..choices.byte() {
                pair.step();
            }
        }
        5..=6 => {
            if let Some(key) = take(&mut held.keys, choices) {
                let _ = pair.client.judge(key, Trust::Trusted);
            }
        }
        7..=8 => {
            if let Some(turn) = take(&mut held.turns, choices) {
                let _ = pair.client.authenticate(turn, credential(choices));
            }
        }
        9..=10 => {
            if let Some(attempt) = take(&mut held.attempts, choices) {
                let verdict = verdict(&attempt.method, choices);
                let _ = pair.server.decide(attempt, verdict);
            }
        }
        11 => {
            if let Some(prompts) = take(&mut held.prompts, choices) {
                let answers = prompts.prompts.iter().map(|_| Secret::from("a")).collect();
                let _ = pair.client.respond(prompts, answers);
            }
        }
        12 => {
            if let Some(mux) = pair.client.mux() {
                held.ours.extend(mux.open_session());
            }
        }
        13 => {
            if let (Some(mux), Some(offer)) = (pair.server.mux(), take(&mut held.offers, choices)) {
                if choices.byte() & 7 == 0 {
                    mux.refuse(offer, OpenFailureReason::ConnectFailed, "no");
                } else {
                    held.theirs.extend(mux.accept(offer));
                }
            }
        }
        14 => {
            if let (Some(mux), Some(id)) = (pair.client.mux(), pick(&held.ours, choices)) {
                let request = match choices.below(4) {
                    0 => ToServer::Shell,
                    1 => ToServer::Subsystem(Bytes::from_static(b"sftp")),
                    2 => ToServer::Signal(Bytes::from_static(b"TERM")),
                    _ => ToServer::Env {
                        name: Bytes::from_static(b"A"),
                        value: Bytes::new(),
                    },
                };
                let _ = mux.request(id, &request);
            }
        }
        15 => {
            if let (Some(mux), Some(answer)) = (pair.server.mux(), take(&mut held.answers, choices))
            {
                mux.answer(answer, choices.byte() & 1 == 1);
            }
        }
        16..=17 => write(pair, choices, held),
        18..=19 => read(pair, choices, held),
        20 => end_channel(pair, choices, held),
        21 => match choices.below(4) {
            0 => drop(pair.client.rekey()),
            1 => drop(pair.server.rekey()),
            2 => pair.pass(Duration::from_secs(u64::from(choices.byte()))),
            _ => {
                if let (Some(mux), Some(id)) = (pair.client.mux(), pick(&held.ours, choices)) {
                    mux.set_window(id, choices.number());
                }
            }
        },
        22 => match choices.below(4) {
            0 => drop(pair.client.rekey()),
            1 => pair.to_client.stalled ^= true,
            2 => {
                if let (Some(mux), Some(id)) = (pair.server.mux(), pick(&held.theirs, choices)) {
                    let _ = mux.request(id, &ToClient::ExitStatus(u32::from(which)));
                }
            }
            _ => {
                if let Some(mux) = pair.client.mux() {
                    let _ = mux.global_request(b"x", choices.bytes(9));
                }
            }
        },
        // Rarely: it is the end of most scripts.
        _ => {
            if choices.byte() < 8 {
                match choices.below(4) {
                    0 => pair
                        .to_server
                        .flips
                        .push((pair.to_server.delivered() + 5, 1)),
                    1 => pair
                        .to_client
                        .flips
                        .push((pair.to_client.delivered() + 5, 1)),
                    2 => pair.client.disconnect(),
                    _ => pair.to_client.cut = Some(pair.to_client.delivered()),
                }
            }
        }
    }
}

fn credential(choices: &mut Choices<'_>) -> Credential {
    let user = "u".to_owned();
    match choices.below(4) {
        0 => Credential::None { user },
        1 => Credential::Password {
            user,
            password: Secret::from("p"),
        },
        2 => Credential::PublicKey {
            user,
            key: NullKey::named("k"),
        },
        _ => Credential::Interactive { user },
    }
}

fn write(pair: &mut Pair, choices: &mut Choices<'_>, held: &mut Held) {
    let data = Bytes::from(vec![7; usize::from(choices.byte()) * 16]);
    let len = data.len();
    let written = if choices.byte() & 1 == 0 {
        pair.client
            .mux()
            .zip(pick(&held.ours, choices))
            .is_some_and(|(mux, id)| mux.write(id, data).is_ok())
    } else {
        pair.server
            .mux()
            .zip(pick(&held.theirs, choices))
            .is_some_and(|(mux, id)| mux.write(id, data).is_ok())
    };
    if written {
        held.written += len;
    }
}

fn read(pair: &mut Pair, choices: &mut Choices<'_>, held: &mut Held) {
    let data = if choices.byte() & 1 == 0 {
        pair.client
            .mux()
            .zip(pick(&held.ours, choices))
            .and_then(|(mux, id)| mux.read(id))
    } else {
        pair.server
            .mux()
            .zip(pick(&held.theirs, choices))
            .and_then(|(mux, id)| mux.read(id))
    };
    if let Some(data) = data {
        assert!(
            data.iter().all(|&byte| byte == 7),
            "bytes that nobody wrote"
        );
        held.read += data.len();
    }
}

fn end_channel(pair: &mut Pair, choices: &mut Choices<'_>, held: &Held) {
    match choices.below(4) {
        0 => {
            if let (Some(mux), Some(id)) = (pair.client.mux(), pick(&held.ours, choices)) {
                mux.finish(id);
            }
        }
        1 => {
            if let (Some(mux), Some(id)) = (pair.client.mux(), pick(&held.ours, choices)) {
                mux.close(id);
            }
        }
        2 => {
            if let (Some(mux), Some(id)) = (pair.server.mux(), pick(&held.theirs, choices)) {
                mux.finish(id);
            }
        }
        _ => {
            if let (Some(mux), Some(id)) = (pair.server.mux(), pick(&held.theirs, choices)) {
                mux.close(id);
            }
        }
    }
}

fn collect(pair: &mut Pair, held: &mut Held, depth: &mut Depth) {
    pair.step();
    for event in pair.client_events.drain(..) {
        match event {
            ClientEvent::HostKey(key) => held.keys.push(key),
            ClientEvent::Auth(ClientAuth::AuthRequired { turn, .. }) => {
                depth.keys = true;
                held.turns.push(turn);
            }
            ClientEvent::Auth(ClientAuth::Prompts(prompts)) => held.prompts.push(prompts),
            ClientEvent::Auth(ClientAuth::PasswordExpired(expired)) => {
                let _ = pair
                    .client
                    .change_password(expired, Secret::from("p"), Secret::from("q"));
            }
            ClientEvent::Authenticated => depth.authenticated = true,
            ClientEvent::Channel(ChannelEvent::Opened(_)) => depth.channel = true,
            ClientEvent::Channel(ChannelEvent::Answered { .. }) => depth.answered = true,
            ClientEvent::Channel(ChannelEvent::Closed(_)) => depth.closed = true,
            _ => {}
        }
    }
    for event in pair.server_events.drain(..) {
        match event {
            ServerEvent::Auth(ServerAuth::Attempt(attempt)) => held.attempts.push(attempt),
            ServerEvent::Channel(ChannelEvent::Offered(offer)) => held.offers.push(offer),
            ServerEvent::Channel(ChannelEvent::Request { answer, .. }) => {
                held.answers.extend(answer)
            }
            _ => {}
        }
    }
}

/// One of them, out of turn if the script says so.
fn take<T>(from: &mut Vec<T>, choices: &mut Choices<'_>) -> Option<T> {
    if from.is_empty() {
        return None;
    }
    let at = choices.below(from.len().min(256));
    Some(from.swap_remove(at))
}

fn pick(from: &[ChannelId], choices: &mut Choices<'_>) -> Option<ChannelId> {
    // The newest few: that is where something happens.
    let recent = &from[from.len().saturating_sub(4)..];
    (!recent.is_empty()).then(|| recent[choices.below(recent.len())])
}
