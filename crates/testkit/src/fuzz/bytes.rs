//! One end opposite bytes that a fuzzer chose: before there are keys, and, sealed as they must be, behind every stage of a
//! connection. The application behind the end is agreeable: it trusts, tries credentials, opens channels and reads.

use super::assert_not_ours;
use crate::null;
use crate::peer::messages::{AuthSuccess, KexInit, Open, OpenConfirmation};
use crate::peer::{CHANNEL, Peer, Proposal};
use crate::seeds::Choices;
use ::bytes::{Bytes, BytesMut};
use sansftp_proto::auth::client::{Credential, Event as ClientAuth};
use sansftp_proto::auth::server::{Event as ServerAuth, Offered, Verdict};
use sansftp_proto::auth::{Method, Prompt};
use sansftp_proto::connection::{ChannelEvent, ChannelId, ToServer};
use sansftp_proto::crypto::Secret;
use sansftp_proto::error::Error;
use sansftp_proto::role::{Client, Role, Server, Side};
use sansftp_proto::session::{ClientEvent, Common, ServerEvent, Trust};
use sansftp_proto::wire::{Message, NameList, Reader, Rest};

/// The identification line, and what a server may say before it: the same in one piece and byte by byte, for both ends
/// (RFC 4253 §4.2).
pub fn ident(data: &[u8]) {
    fn ends<R: Role>(make: impl Fn() -> Peer<R>, data: &[u8]) {
        let results = [data.len().max(1), 1, 7].map(|fragment| {
            let mut peer = make();
            let mut input = BytesMut::new();
            for bytes in data.chunks(fragment) {
                input.extend_from_slice(bytes);
                let _ = peer.end.handle_input(peer.now, &mut input);
            }
            assert_not_ours(peer.end.error());
            let ident = peer.end.peer_ident().map(<[u8]>::to_vec);
            if let Some(ident) = &ident {
                assert!(ident.starts_with(b"SSH-") && ident.len() < 255 && !ident.contains(&0));
            }
            (ident, peer.end.error().cloned())
        });
        assert_eq!(results[0], results[1], "byte by byte");
        assert_eq!(results[0], results[2], "in pieces of seven");
    }
    ends(Peer::of_null_client, data);
    ends(Peer::of_null_server, data);
}

/// Packets: in clear and under keys, whole and cut, the same in one piece and in others (RFC 4253 §6).
pub fn decoder(data: &[u8]) {
    let results = [usize::MAX, 1, 13].map(|fragment| {
        let mut choices = Choices::new(data);
        let mut peer = Peer::of_null_client();
        peer.greets();
        if choices.byte() & 1 == 1 {
            peer.exchanges_keys(&Proposal::default());
        }
        let mut stream = Vec::new();
        while !choices.is_empty() {
            match choices.below(4) {
                0 => stream.extend_from_slice(choices.bytes(255)),
                1 => stream.extend(choices.number().to_be_bytes()),
                _ => {
                    let payload = choices.bytes(64);
                    let mut packet = peer.sealed(payload);
                    if let Some(byte) = packet.get_mut(choices.below(256)) {
                        *byte ^= choices.byte() & 0x11;
                    }
                    stream.extend(packet);
                }
            }
        }
        let mut input = BytesMut::new();
        for bytes in stream.chunks(fragment.min(stream.len().max(1))) {
            input.extend_from_slice(bytes);
            let _ = peer.end.handle_input(peer.now, &mut input);
        }
        assert_not_ours(peer.end.error());
        peer.end.error().cloned()
    });
    assert_eq!(results[0], results[1], "byte by byte");
    assert_eq!(results[0], results[2], "in pieces of thirteen");
}

/// Two KEXINITs: what is agreed on is in both lists, by the client's preference; what is not is said (RFC 4253 §7.1).
pub fn negotiate(data: &[u8]) {
    const NAMES: [&str; 12] = [
        null::KEX,
        null::KEX_MPINT,
        null::SIGNATURE,
        null::SIGNATURE_512,
        null::AEAD,
        null::STREAM,
        null::MAC,
        null::MAC_ETM,
        "none",
        "ext-info-c",
        "kex-strict-s-v00@openssh.com",
        "unknown",
    ];
    let mut choices = Choices::new(data);
    let mut list = || {
        let count = choices.below(5);
        (0..count)
            .map(|_| NAMES[choices.below(NAMES.len())])
            .collect::<Vec<_>>()
    };
    let mut proposal = Proposal::default();
    let mut chosen = [(); 5].map(|()| list());
    let [kex, host_key, cipher, mac, compression] = &mut chosen;
    for (list, chosen) in [
        (&mut proposal.kex, kex),
        (&mut proposal.host_key, host_key),
        (&mut proposal.cipher, cipher),
        (&mut proposal.mac, mac),
        (&mut proposal.compression, compression),
    ] {
        // Mostly what works, so that the later lists are reached.
        if choices.byte() & 3 == 0 {
            list.clear();
        }
        list.splice(0..0, chosen.drain(..));
    }
    proposal.guess = choices.byte() & 7 == 0;
    let mut raw = proposal.payload();
    if choices.byte() & 7 == 0
        && let Some(byte) = raw.get_mut(choices.below(256))
    {
        *byte ^= choices.byte();
    }
    let mut server = Peer::of_null_server();
    negotiates(&mut server, &raw, Side::Client);
    let mut client = Peer::of_null_client();
    negotiates(&mut client, &raw, Side::Server);
}

fn negotiates<R: Role>(peer: &mut Peer<R>, raw: &[u8], sender: Side) {
    peer.greets();
    let said = peer.expects::<KexInit<'_>>();
    let ours: KexInit<'_> = said.read();
    peer.sends_payload(raw);
    match peer.end.error() {
        None => {}
        Some(Error::PeerIncompatible { .. } | Error::InvalidMessage { .. }) => return,
        Some(Error::PeerMisbehaved(_)) => return,
        Some(error) => panic!("{error:?}"),
    }
    let Some(agreed) = peer.end.negotiated() else {
        return;
    };
    let mut reader = Reader::new(&raw[1..]);
    let theirs = KexInit::read_body(&mut reader).expect("the end could read it");
    let (client, server) = match sender {
        Side::Client => (&theirs, &ours),
        Side::Server => (&ours, &theirs),
    };
    let known = |name: &&str| !name.starts_with("kex-strict") && !name.starts_with("ext-info");
    let first = |client: NameList<'_>, server: NameList<'_>| {
        let mut common = client
            .iter()
            .filter(|name| server.contains(name) && known(name));
        common.next().map(str::to_owned)
    };
    for (agreed, expected) in [
        (agreed.kex, first(client.kex, server.kex)),
        (agreed.host_key, first(client.host_key, server.host_key)),
        (
            agreed.cipher_to_server,
            first(client.cipher_to_server, server.cipher_to_server),
        ),
        (
            agreed.cipher_to_client,
            first(client.cipher_to_client, server.cipher_to_client),
        ),
    ] {
        assert_eq!(Some(agreed), expected.as_deref());
    }
    if agreed.cipher_to_server == null::STREAM {
        let expected = first(client.mac_to_server, server.mac_to_server);
        assert_eq!(agreed.mac_to_server, expected.as_deref());
    }
}

/// A client opposite whatever a server might say.
pub fn client_bytes(data: &[u8]) {
    let first = client_run(data);
    assert_eq!(
        first,
        client_run(data),
        "the same input gives the same output"
    );
}

/// A server opposite whatever a client might say.
pub fn server_bytes(data: &[u8]) {
    let first = server_run(data);
    assert_eq!(
        first,
        server_run(data),
        "the same input gives the same output"
    );
}

/// How far [`client_bytes`] and [`server_bytes`] came with an input, for whoever wants to see that they come far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The client opened a channel of its own accord.
    pub client_channel: bool,
    /// The server was authenticated to by what the fuzzer said.
    pub server_authenticated: bool,
    /// The server was offered a channel by what the fuzzer said.
    pub server_channel: bool,
    /// Channel data was read.
    pub data: bool,
}

/// How far an input comes.
pub fn reached(data: &[u8]) -> Reached {
    let (client, server) = (client_run(data).0, server_run(data).0);
    Reached {
        client_channel: client.client_channel,
        data: client.data || server.data,
        ..server
    }
}

type Transcript = (Reached, Vec<u8>, Option<Error>);

fn client_run(data: &[u8]) -> Transcript {
    let mut choices = Choices::new(data);
    let mut peer = Peer::of_null_client();
    let mut reached = Reached::default();
    let mut application = ClientApplication::default();
    match choices.below(6) {
        0 => {}
        1 => peer.greets(),
        2 => {
            peer.greets();
            peer.exchanges_keys(&Proposal::default().strict(Side::Server));
        }
        3 => {
            peer.greets();
            peer.exchanges_keys(&Proposal::default());
            peer.is_asked_to_authenticate();
        }
        4 => {
            peer.greets();
            peer.exchanges_keys(&Proposal::default());
            peer.is_asked_to_authenticate();
            peer.sends(&AuthSuccess {});
            application.take_turn(&mut peer, &mut choices, &mut reached);
            let open = peer.expects::<Open<'_>>();
            peer.sends(&OpenConfirmation {
                recipient: open.read::<Open<'_>>().sender,
                sender: CHANNEL,
                window: choices.number(),
                max_packet: choices.number(),
                rest: Rest(choices.bytes(3)),
            });
        }
        _ => {
            peer.handshakes(&Proposal::default());
            application.channels.push(peer.opens_channel(1000).0);
        }
    }
    let mut out = Vec::new();
    speak(&mut peer, &mut choices, &mut out, |peer, choices| {
        application.take_turn(peer, choices, &mut reached);
    });
    (reached, out, peer.end.error().cloned())
}

fn server_run(data: &[u8]) -> Transcript {
    let mut choices = Choices::new(data);
    let mut peer = Peer::of_null_server();
    let mut reached = Reached::default();
    let mut application = ServerApplication::default();
    match choices.below(5) {
        0 => {}
        1 => peer.greets(),
        2 => {
            peer.greets();
            peer.exchanges_keys(
                &Proposal::default()
                    .strict(Side::Client)
                    .with(&["ext-info-c"]),
            );
        }
        3 => {
            peer.greets();
            peer.exchanges_keys(&Proposal::default());
            peer.asks_to_authenticate();
        }
        _ => {
            peer.handshakes(&Proposal::default());
            application.channels.push(peer.opens_channel(1000).0);
        }
    }
    let mut out = Vec::new();
    speak(&mut peer, &mut choices, &mut out, |peer, choices| {
        application.take_turn(peer, choices, &mut reached);
    });
    (reached, out, peer.end.error().cloned())
}

/// Says what the fuzzer chose, message by message, with the application's turn after each.
fn speak<R: Role>(
    peer: &mut Peer<R>,
    choices: &mut Choices<'_>,
    out: &mut Vec<u8>,
    mut application: impl FnMut(&mut Peer<R>, &mut Choices<'_>),
) {
    let mut ended = None;
    while !choices.is_empty() {
        // What mostly ends a connection is said rarely, so that what follows is heard.
        match choices.byte() {
            0..=3 => {
                let raw = choices.bytes(40);
                peer.sends_raw(raw);
            }
            4..=7 => peer.offers(&Proposal::default()),
            8..=11 => {
                let _ = peer.end.rekey();
            }
            12..=231 => {
                let known = KNOWN[choices.below(KNOWN.len())];
                let mut payload = known(choices);
                if choices.byte() & 31 == 0
                    && let Some(byte) = payload.get_mut(choices.below(64))
                {
                    *byte = choices.byte();
                }
                peer.sends_payload(&payload);
            }
            _ => {
                let payload = choices.bytes(80);
                if !payload.is_empty() {
                    peer.sends_payload(payload);
                }
            }
        }
        application(peer, choices);
        peer.pump();
        assert_not_ours(peer.end.error());
        assert!(
            ended.is_none() || ended == peer.end.error().cloned(),
            "an error changed"
        );
        ended = peer.end.error().cloned();
        let said = peer.take_raw();
        // A kibibyte for each message in, and what one KEXINIT takes: nobody makes us shout.
        assert!(said.len() < 300 * 1024, "{}", said.len());
        out.extend(said);
    }
}

/// Messages in good form, with fields of the fuzzer's choice.
const KNOWN: [fn(&mut Choices<'_>) -> Vec<u8>; 14] = [
    |it| {
        number_and(
            98,
            &[
                &channel(it),
                &string(it.bytes(12)),
                &[it.byte() & 1],
                &string(it.bytes(9)),
            ],
        )
    },
    |it| number_and(94, &[&channel(it), &string(it.bytes(200))]),
    |it| number_and(93, &[&channel(it), &it.number().to_be_bytes()]),
    |it| {
        number_and(
            90,
            &[
                &string(b"session"),
                &channel(it),
                &it.number().to_be_bytes(),
                &it.number().to_be_bytes(),
            ],
        )
    },
    |it| {
        number_and(
            91,
            &[
                &channel(it),
                &channel(it),
                &it.number().to_be_bytes(),
                &it.number().to_be_bytes(),
            ],
        )
    },
    |it| number_and([92, 96, 97, 99, 100][it.below(5)], &[&channel(it)]),
    |it| {
        number_and(
            95,
            &[
                &channel(it),
                &[0, 0, 0, it.byte() & 3],
                &string(it.bytes(50)),
            ],
        )
    },
    |it| number_and(80, &[&string(it.bytes(20)), &[it.byte() & 1]]),
    |it| {
        number_and(
            5,
            &[&string(
                [&b"ssh-userauth"[..], b"ssh-connection"][it.below(2)],
            )],
        )
    },
    |it| {
        let method = ["none", "password", "publickey", "keyboard-interactive"][it.below(4)];
        let rest = match method {
            "password" => [&[it.byte() & 1][..], &string(b"p")].concat(),
            "keyboard-interactive" => [string(b""), string(b"")].concat(),
            "none" => Vec::new(),
            _ => [
                &[0][..],
                &string(null::SIGNATURE.as_bytes()),
                &string(it.bytes(30)),
            ]
            .concat(),
        };
        let (user, service) = (string(it.bytes(3)), string(b"ssh-connection"));
        number_and(50, &[&user, &service, &string(method.as_bytes()), &rest])
    },
    |it| {
        number_and(
            51,
            &[
                &string(
                    [
                        &b"password"[..],
                        b"publickey,password",
                        b"",
                        b"keyboard-interactive",
                    ][it.below(4)],
                ),
                &[it.byte() & 1],
            ],
        )
    },
    |it| number_and([52, 21, 82][it.below(3)], &[]),
    |it| {
        number_and(
            60,
            &[
                &string(it.bytes(5)),
                &string(it.bytes(5)),
                &string(b""),
                &[0, 0, 0, it.byte() & 1],
                &string(b"?"),
                &[1],
            ],
        )
    },
    |it| number_and(61, &[&[0, 0, 0, it.byte() & 1], &string(it.bytes(5))]),
];

fn number_and(number: u8, fields: &[&[u8]]) -> Vec<u8> {
    [&[number], fields.concat().as_slice()].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("a fuzzer's strings are short");
    [&len.to_be_bytes(), bytes].concat()
}

/// Mostly a channel that there is.
fn channel(choices: &mut Choices<'_>) -> [u8; 4] {
    match choices.below(8) {
        0 => choices.number().to_be_bytes(),
        1 => CHANNEL.to_be_bytes(),
        it => [0, 0, 0, u8::from(it == 2)],
    }
}

#[derive(Default)]
struct ClientApplication {
    channels: Vec<ChannelId>,
    closed: bool,
}

impl ClientApplication {
    fn take_turn(
        &mut self,
        peer: &mut Peer<Client>,
        choices: &mut Choices<'_>,
        reached: &mut Reached,
    ) {
        while let Some(event) = peer.end.poll_event() {
            assert!(!self.closed, "an event after the end");
            match event {
                ClientEvent::HostKey(key) => {
                    let _ = peer.end.judge(key, Trust::Trusted);
                }
                ClientEvent::Auth(ClientAuth::AuthRequired { turn, .. }) => {
                    let user = "u".to_owned();
                    let credential = match choices.below(4) {
                        0 => Credential::None { user },
                        1 => Credential::Password {
                            user,
                            password: Secret::from("p"),
                        },
                        2 => Credential::PublicKey {
                            user,
                            key: null::NullKey::named("k"),
                        },
                        _ => Credential::Interactive { user },
                    };
                    let _ = peer.end.authenticate(turn, credential);
                }
                ClientEvent::Auth(ClientAuth::Prompts(prompts)) => {
                    let answers = prompts.prompts.iter().map(|_| Secret::from("a")).collect();
                    let _ = peer.end.respond(prompts, answers);
                }
                ClientEvent::Auth(ClientAuth::PasswordExpired(expired)) => {
                    let _ = peer.end.keep_password(expired);
                }
                ClientEvent::Authenticated => {
                    // Unless the end came with it.
                    let mux = peer.end.mux();
                    self.channels
                        .extend(mux.and_then(|it| it.open_session().ok()));
                }
                ClientEvent::Channel(ChannelEvent::Opened(id)) => {
                    reached.client_channel = true;
                    if let Some(mux) = peer.end.mux() {
                        let _ = mux.request(id, &ToServer::Shell);
                        let _ = mux.write(id, Bytes::from_static(&[7; 100]));
                    }
                    self.channels.push(id);
                }
                ClientEvent::Common(Common::Closed(_)) => self.closed = true,
                _ => {}
            }
        }
        if let Some(mux) = peer.end.mux() {
            for &id in &self.channels {
                while let Some(data) = mux.read(id) {
                    reached.data |= !data.is_empty();
                }
            }
        }
    }
}

#[derive(Default)]
struct ServerApplication {
    channels: Vec<ChannelId>,
    closed: bool,
}

impl ServerApplication {
    fn take_turn(
        &mut self,
        peer: &mut Peer<Server>,
        choices: &mut Choices<'_>,
        reached: &mut Reached,
    ) {
        while let Some(event) = peer.end.poll_event() {
            assert!(!self.closed, "an event after the end");
            match event {
                ServerEvent::Auth(ServerAuth::Attempt(attempt)) => {
                    let verdict = verdict(&attempt.method, choices);
                    let _ = peer.end.decide(attempt, verdict);
                }
                ServerEvent::Authenticated => reached.server_authenticated = true,
                ServerEvent::Channel(ChannelEvent::Offered(offer)) => {
                    reached.server_channel = true;
                    let mux = peer.end.mux();
                    self.channels.extend(mux.and_then(|it| it.accept(offer)));
                }
                ServerEvent::Channel(ChannelEvent::Request {
                    answer: Some(answer),
                    ..
                }) => {
                    if let Some(mux) = peer.end.mux() {
                        mux.answer(answer, choices.byte() & 1 == 1);
                    }
                }
                ServerEvent::Common(Common::Closed(_)) => self.closed = true,
                _ => {}
            }
        }
        if let Some(mux) = peer.end.mux() {
            for &id in &self.channels {
                while let Some(data) = mux.read(id) {
                    reached.data |= !data.is_empty();
                }
            }
        }
    }
}

/// A verdict that goes with what is offered.
pub(super) fn verdict(offered: &Offered, choices: &mut Choices<'_>) -> Verdict {
    let methods = || {
        vec![
            Method::Password.name().to_owned(),
            Method::PublicKey.name().to_owned(),
        ]
    };
    match (choices.below(4), offered) {
        (0, _) => Verdict::Reject { methods: methods() },
        (_, Offered::PublicKeyProbe { .. }) => Verdict::Acceptable,
        (1, Offered::Interactive { .. } | Offered::Responses(_)) => Verdict::Prompt {
            name: String::new(),
            instruction: String::new(),
            prompts: vec![Prompt::hidden("?")],
        },
        (1, Offered::Password(_)) => Verdict::ChangePassword {
            prompt: "old".into(),
        },
        (2, Offered::None) => Verdict::Reject { methods: methods() },
        (2, _) => Verdict::Partial { methods: methods() },
        _ => Verdict::Accept,
    }
}
