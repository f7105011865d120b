//! Rules for a client, looked at as a server: one connection of it for each (RFC 4253, 4252, 4254, 8308, 8731;
//! draft-ietf-sshm-strict-kex). Nobody is served: who gets in has nothing to do here.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sansftp_proto::crypto::{CryptoProvider, SigningKey};
use sansftp_proto::role::Side;
use sansftp_proto::wire::{Message, Rest, Text};
use sansftp_testkit::peer::messages::{
    AuthFailure, AuthRequest, AuthSuccess, Banner, Debug, Disconnect, ExtInfo, GlobalFailure,
    GlobalRequest, Ignore, KexInit, KexReply, KexStart, NewKeys, Open, OpenFailure, ServiceAccept,
    ServiceRequest, Unimplemented,
};

use crate::exchange::Offer;
use crate::report::{Fault, Rule};
use crate::wire::{Agreed, Heard, IDENT, Wire, put, read};

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

/// Where clients come to.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) listener: TcpListener,
    pub(crate) provider: CryptoProvider,
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) patience: Duration,
    /// The command that makes a client come, once for each connection; else it comes by itself.
    pub(crate) run: Option<String>,
}

/// A client that has come, and its process if it was started here.
struct Guest {
    wire: Wire,
    _process: Option<Process>,
}

/// A client that was started here, until it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    /// The next client, before the first byte.
    fn guest(&self) -> Result<Guest, Fault> {
        let not_tried = |error: std::io::Error| Fault::NotTried(error.to_string());
        let process = self.run.as_ref().map(|it| {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("exec {it}"));
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null()).spawn().map(Process)
        });
        let process = process.transpose().map_err(not_tried)?;
        Ok(Guest {
            wire: Wire::new(self.accepts()?, Side::Server, &self.provider, self.patience)?,
            _process: process,
        })
    }

    /// One that comes in time: whoever starts it by hand has two minutes.
    fn accepts(&self) -> Result<TcpStream, Fault> {
        let not_tried = |error: std::io::Error| Fault::NotTried(error.to_string());
        self.listener.set_nonblocking(true).map_err(not_tried)?;
        let until = Instant::now()
            + match self.run {
                Some(_) => Duration::from_secs(20),
                None => Duration::from_secs(120),
            };
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(not_tried)?;
                    return Ok(stream);
                }
                Err(_) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(_) => return Err(Fault::NotTried("no client came".to_owned())),
            }
        }
    }

    fn greeted(&self) -> Result<Guest, Fault> {
        self.greeted_as(b"", IDENT, b"\r\n")
    }

    fn greeted_as(&self, before: &[u8], ident: &[u8], end: &[u8]) -> Result<Guest, Fault> {
        let mut guest = self.guest()?;
        guest.wire.say_raw(before);
        guest.wire.say_line(ident, end);
        guest.wire.hear_line()?;
        Ok(guest)
    }

    fn offer(&self, wire: &Wire) -> Offer {
        let mut offer = Offer::of(wire);
        offer.host_key = vec!["ssh-ed25519".to_owned()];
        offer
    }

    /// Both KEXINIT, and the client's share.
    fn started(
        &self,
        guest: &mut Guest,
        change: impl FnOnce(Offer) -> Offer,
    ) -> Result<(Agreed, Vec<u8>), Fault> {
        let offer = change(self.offer(&guest.wire));
        let agreed = guest.wire.offers(&offer)?;
        let start = guest.wire.await_message::<KexStart<'_>>()?;
        Ok((agreed, start))
    }

    /// The rest of an exchange, up to NEWKEYS of both.
    fn finished(&self, guest: &mut Guest, agreed: &Agreed, start: &[u8]) -> Result<(), Fault> {
        let wire = &mut guest.wire;
        let (reply, keys) = wire.reply(agreed, &*self.key, start, |_| {})?;
        wire.say_payload(&reply);
        wire.say(&NewKeys {});
        wire.seals(&keys, agreed)?;
        wire.hear_new_keys(&keys, agreed)?;
        Ok(())
    }

    fn keyed_on(
        &self,
        mut guest: Guest,
        change: impl FnOnce(Offer) -> Offer,
    ) -> Result<Guest, Fault> {
        let (agreed, start) = self.started(&mut guest, change)?;
        self.finished(&mut guest, &agreed, &start)?;
        Ok(guest)
    }

    fn keyed(&self) -> Result<Guest, Fault> {
        self.keyed_on(self.greeted()?, |it| it.strict(Side::Server))
    }

    /// A client that has made its first request to be let in.
    fn asked(&self) -> Result<Guest, Fault> {
        let mut guest = self.keyed()?;
        asks_for_service(&mut guest)?;
        guest.wire.say(&ServiceAccept {
            name: b"ssh-userauth",
        });
        guest.wire.await_message::<AuthRequest<'_>>()?;
        Ok(guest)
    }

    fn let_in(&self) -> Result<Guest, Fault> {
        let mut guest = self.asked()?;
        guest.wire.say(&AuthSuccess {});
        Ok(guest)
    }
}

/// The client goes on behind the exchange.
fn asks_for_service(guest: &mut Guest) -> Result<(), Fault> {
    guest.wire.await_message::<ServiceRequest<'_>>()?;
    Ok(())
}

pub(crate) const RULES: &[Rule<Host>] = &[
    Rule {
        section: "RFC 4253 §4.2",
        says: "the identification is SSH-2.0-software, at most 255 bytes with CR LF, without NUL",
        look: identification,
    },
    Rule {
        section: "RFC 4253 §4.2",
        says: "lines before the server's identification are passed over",
        look: lines_before,
    },
    Rule {
        section: "RFC 4253 §4.2",
        says: "a server that ends its line with LF alone is taken",
        look: bare_lf,
    },
    Rule {
        section: "RFC 4253 §5.1",
        says: "a server of version 1.99 is taken for one of 2.0",
        look: version_199,
    },
    Rule {
        section: "RFC 4253 §5",
        says: "a server of version 1.5 is not",
        look: version_15,
    },
    Rule {
        section: "RFC 4253 §8",
        says: "the server's line is hashed byte by byte, comments included",
        look: comments_are_hashed,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "KEXINIT is the first packet, with its lists filled and the reserved word zero",
        look: kexinit,
    },
    Rule {
        section: "RFC 4251 §6",
        says: "algorithm names that it does not know are passed over",
        look: unknown_names,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "with no method in common it hangs up",
        look: nothing_in_common,
    },
    Rule {
        section: "RFC 4253 §7",
        says: "one packet after a wrong guess of the server is dropped",
        look: wrong_guess,
    },
    Rule {
        section: "RFC 4253 §8",
        says: "a signature of the host with one bit flipped is refused",
        look: bad_signature,
    },
    Rule {
        section: "RFC 8731 §3",
        says: "a share of X25519 that makes the secret zero is refused",
        look: zero_share,
    },
    Rule {
        section: "RFC 4253 §11.2",
        says: "without strict key exchange IGNORE and DEBUG are taken during the exchange",
        look: ignored_in_exchange,
    },
    Rule {
        section: "strict-kex",
        says: "with strict key exchange IGNORE within the first exchange is refused",
        look: strict_ignore,
    },
    Rule {
        section: "strict-kex",
        says: "with strict key exchange sequence numbers begin anew behind NEWKEYS",
        look: strict_numbers,
    },
    Rule {
        section: "RFC 4253 §6.4",
        says: "without it sequence numbers run on behind NEWKEYS",
        look: running_numbers,
    },
    Rule {
        section: "RFC 4253 §6.1",
        says: "a length of 4 GiB is refused, not waited for",
        look: huge_length,
    },
    Rule {
        section: "RFC 4253 §6.4",
        says: "a packet with one bit flipped ends the connection",
        look: flipped,
    },
    Rule {
        section: "RFC 8308 §2.5",
        says: "an extension that it does not know is passed over, NUL in its value or not",
        look: unknown_extension,
    },
    Rule {
        section: "RFC 4253 §11.4",
        says: "an unknown message is answered with UNIMPLEMENTED and its sequence number",
        look: unknown_message,
    },
    Rule {
        section: "RFC 4252 §5.1",
        says: "SUCCESS that was not asked for is refused",
        look: unasked_success,
    },
    Rule {
        section: "RFC 4252 §5.4",
        says: "banners are taken at any time before SUCCESS",
        look: banners,
    },
    Rule {
        section: "RFC 4252 §5.1",
        says: "behind FAILURE no method is tried that it does not list",
        look: listed_methods,
    },
    Rule {
        section: "RFC 4254 §4",
        says: "an unknown global request gets a failure where a reply is wanted",
        look: unknown_global,
    },
    Rule {
        section: "RFC 4254 §6.1",
        says: "a session that the server opens is refused",
        look: session_refused,
    },
    Rule {
        section: "RFC 4253 §9",
        says: "keys are exchanged anew when the server asks, and the connection goes on",
        look: rekey,
    },
    Rule {
        section: "RFC 4253 §9",
        says: "a bad signature in a later exchange is refused too",
        look: rekey_with_bad_signature,
    },
    Rule {
        section: "RFC 4253 §11.1",
        says: "nothing is said behind a DISCONNECT",
        look: after_disconnect,
    },
];

fn identification(host: &Host) -> Seen {
    let mut guest = host.guest()?;
    let waits = guest.wire.hear_line().is_err();
    if waits {
        guest.wire.greet()?;
    }
    let line = &guest.wire.line;
    if !line.starts_with(b"SSH-2.0-") || !guest.wire.lines_before.is_empty() {
        return Err("another protocol version, or lines before it".into());
    }
    if line.len() > 255 || line.contains(&0) || !line.ends_with(b"\r\n") {
        return Err("a line that is too long, has a NUL, or ends without CR".into());
    }
    Ok(if waits { "waits for the server's" } else { "" }.to_owned())
}

fn goes_on(host: &Host, before: &[u8], ident: &[u8], end: &[u8]) -> Seen {
    let guest = host.greeted_as(before, ident, end)?;
    let mut guest = host.keyed_on(guest, |it| it.strict(Side::Server))?;
    asks_for_service(&mut guest)?;
    holds()
}

fn lines_before(host: &Host) -> Seen {
    goes_on(host, b"good morning\r\nall of you\r\n", IDENT, b"\r\n")
}

fn bare_lf(host: &Host) -> Seen {
    goes_on(host, b"", IDENT, b"\n")
}

fn version_199(host: &Host) -> Seen {
    goes_on(host, b"", b"SSH-1.99-wire_rules", b"\r\n")
}

fn version_15(host: &Host) -> Seen {
    let mut guest = host.guest()?;
    guest.wire.say_line(b"SSH-1.5-wire_rules", b"\r\n");
    // It may have introduced itself before it read ours.
    let _ = guest.wire.hear_line();
    Ok(guest.wire.ends()?)
}

fn comments_are_hashed(host: &Host) -> Seen {
    goes_on(host, b"", b"SSH-2.0-wire_rules two  words ", b"\r\n")
}

fn kexinit(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let payload = host.offer(&guest.wire).payload(&guest.wire);
    guest.wire.say_offer(&payload);
    let heard = guest.wire.hear();
    let Heard::Message(payload) = &heard else {
        return Err(heard.describe().into());
    };
    let init: KexInit<'_> = read(payload)?;
    let lists = [
        init.kex,
        init.host_key,
        init.cipher_to_server,
        init.cipher_to_client,
        init.compression_to_server,
        init.compression_to_client,
    ];
    if lists.iter().any(|it| it.first().is_none()) {
        return Err("an empty list".into());
    }
    match init.reserved {
        0 => holds(),
        other => Err(format!("the reserved word is {other}").into()),
    }
}

fn unknown_names(host: &Host) -> Seen {
    let mut guest = host.keyed_on(host.greeted()?, |mut it| {
        for list in [&mut it.kex, &mut it.host_key, &mut it.cipher, &mut it.mac] {
            list.insert(0, "unheard-of@example.com".to_owned());
        }
        it
    })?;
    asks_for_service(&mut guest)?;
    holds()
}

fn nothing_in_common(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let mut offer = host.offer(&guest.wire);
    offer.kex = vec!["unheard-of@example.com".to_owned()];
    let payload = offer.payload(&guest.wire);
    guest.wire.say_offer(&payload);
    Ok(guest.wire.ends()?)
}

fn wrong_guess(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let mut offer = host.offer(&guest.wire);
    offer.kex.insert(0, "unheard-of@example.com".to_owned());
    offer.guess = true;
    let payload = offer.payload(&guest.wire);
    guest.wire.say_offer(&payload);
    // What is guessed stands in the place of an answer that it would not take.
    guest.wire.say_payload(&[KexReply::NUMBER, 0, 0, 0, 0]);
    guest.wire.hear_offer()?;
    let agreed = guest.wire.agreed()?;
    let start = guest.wire.await_message::<KexStart<'_>>()?;
    host.finished(&mut guest, &agreed, &start)?;
    asks_for_service(&mut guest)?;
    holds()
}

/// Answers the share with a signature that does not hold; the client is to hang up without NEWKEYS.
fn forged(host: &Host, guest: &mut Guest, agreed: &Agreed, start: &[u8]) -> Seen {
    let (reply, _) = guest
        .wire
        .reply(agreed, &*host.key, start, |it| it[0] ^= 1)?;
    guest.wire.say_payload(&reply);
    Ok(guest.wire.ends()?)
}

fn bad_signature(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let (agreed, start) = host.started(&mut guest, |it| it)?;
    forged(host, &mut guest, &agreed, &start)
}

fn zero_share(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let mut offer = host.offer(&guest.wire);
    offer.kex = vec!["curve25519-sha256".to_owned()];
    let payload = offer.payload(&guest.wire);
    guest.wire.say_offer(&payload);
    guest.wire.hear_offer()?;
    let Ok(agreed) = guest.wire.agreed() else {
        let why = "curve25519-sha256 is not offered";
        return Err(Fault::NotTried(why.to_owned()));
    };
    let payload = guest.wire.await_message::<KexStart<'_>>()?;
    let start: KexStart<'_> = read(&payload)?;
    // All else is right, so that the share alone can be what is refused.
    let shares = [start.client_share, &[0; 32]];
    let (reply, _) = guest
        .wire
        .reply_with(&agreed, &*host.key, shares, &[0; 32], |_| {})?;
    guest.wire.say_payload(&reply);
    Ok(guest.wire.ends()?)
}

fn ignored_in_exchange(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let (agreed, start) = host.started(&mut guest, |it| it)?;
    guest.wire.say(&Ignore { data: b"nothing" });
    guest.wire.say(&Debug {
        always_display: false,
        message: b"nothing",
        language: b"",
    });
    host.finished(&mut guest, &agreed, &start)?;
    asks_for_service(&mut guest)?;
    holds()
}

fn not_strict() -> Fault {
    Fault::NotTried("strict key exchange is not asked for".to_owned())
}

fn strict_ignore(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    host.started(&mut guest, |it| it.strict(Side::Server))?;
    if !guest.wire.strict {
        return Err(not_strict());
    }
    guest.wire.say(&Ignore { data: b"nothing" });
    Ok(guest.wire.ends()?)
}

fn strict_numbers(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    if !guest.wire.strict {
        return Err(not_strict());
    }
    asks_for_service(&mut guest)?;
    holds()
}

fn running_numbers(host: &Host) -> Seen {
    let mut guest = host.keyed_on(host.greeted()?, |it| it)?;
    asks_for_service(&mut guest)?;
    holds()
}

fn huge_length(host: &Host) -> Seen {
    let mut guest = host.greeted()?;
    let mut packet = vec![0; 64];
    packet[..4].fill(0xff);
    guest.wire.say_raw(&packet);
    Ok(guest.wire.ends()?)
}

fn flipped(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    asks_for_service(&mut guest)?;
    let mut accept = BytesMut::new();
    ServiceAccept {
        name: b"ssh-userauth",
    }
    .write(&mut accept);
    let mut packet = guest.wire.sealed(&accept);
    if let Some(last) = packet.last_mut() {
        *last ^= 1;
    }
    guest.wire.say_raw(&packet);
    // So that one that waits for more bytes has them.
    guest.wire.say(&Ignore { data: &[0; 256] });
    Ok(guest.wire.ends()?)
}

fn unknown_extension(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    let mut extensions = BytesMut::new();
    put(&mut extensions, b"unheard-of@example.com");
    put(&mut extensions, b"a\0b");
    guest.wire.say(&ExtInfo {
        count: 1,
        extensions: Rest(&extensions),
    });
    asks_for_service(&mut guest)?;
    guest.wire.say(&ServiceAccept {
        name: b"ssh-userauth",
    });
    guest.wire.await_message::<AuthRequest<'_>>()?;
    holds()
}

/// A request to be let in, which may have been sent along with that for the service.
fn is_request(heard: &Heard) -> bool {
    matches!(heard, Heard::Message(payload) if payload[0] == AuthRequest::NUMBER)
}

fn unknown_message(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    asks_for_service(&mut guest)?;
    // Of the numbers for generic messages of the transport one that nobody has taken (RFC 4250 §4.1.2).
    guest.wire.say_payload(&[17, 1, 2, 3]);
    let seq = guest.wire.last_seq();
    let mut heard = guest.wire.hear();
    if is_request(&heard) {
        heard = guest.wire.hear();
    }
    let Heard::Message(payload) = &heard else {
        return Err(heard.describe().into());
    };
    if payload[0] != Unimplemented::NUMBER {
        return Err(heard.describe().into());
    }
    match read::<Unimplemented>(payload)?.seq {
        theirs if theirs == seq => holds(),
        theirs => Err(format!("number {theirs} in place of {seq}").into()),
    }
}

fn unasked_success(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    asks_for_service(&mut guest)?;
    guest.wire.say(&AuthSuccess {});
    match guest.wire.hear() {
        Heard::Ended => Ok("closed without a word".to_owned()),
        heard if heard.describe().starts_with("DISCONNECT") => Ok(heard.describe()),
        heard if is_request(&heard) => Err(Fault::NotTried(
            "its request goes out with that for the service".to_owned(),
        )),
        heard => Err(heard.describe().into()),
    }
}

fn banners(host: &Host) -> Seen {
    let mut guest = host.asked()?;
    for _ in 0..3 {
        guest.wire.say(&Banner {
            message: b"good morning\r\n",
            language: b"",
        });
    }
    guest.wire.say(&AuthSuccess {});
    guest.wire.await_message::<Open<'_>>()?;
    holds()
}

fn listed_methods(host: &Host) -> Seen {
    let mut guest = host.asked()?;
    let mut buffer = String::new();
    guest.wire.say(&AuthFailure {
        methods: sansftp_proto::wire::NameList::join(["unheard-of@example.com"], &mut buffer),
        partial: false,
    });
    match guest.wire.hear() {
        Heard::Ended => holds(),
        heard if heard.describe().starts_with("DISCONNECT") => Ok(heard.describe()),
        Heard::Message(payload) => match read::<AuthRequest<'_>>(&payload) {
            Ok(it) => Err(format!("{} was tried", it.method).into()),
            Err(what) => Err(what.into()),
        },
        Heard::Silence => Err("it neither goes on nor hangs up".into()),
    }
}

/// The next message that is no request for a channel, which the client makes meanwhile.
fn beside_channels(guest: &mut Guest) -> Heard {
    loop {
        match guest.wire.hear() {
            Heard::Message(payload) if matches!(payload[0], 7 | 80 | 90 | 98) => {}
            heard => return heard,
        }
    }
}

fn asks_unheard_of(guest: &mut Guest) -> Seen {
    guest.wire.say(&GlobalRequest {
        name: b"unheard-of@example.com",
        want_reply: true,
        rest: Rest(b"and fields of its own"),
    });
    match beside_channels(guest) {
        Heard::Message(payload) if payload[0] == GlobalFailure::NUMBER => holds(),
        heard => Err(heard.describe().into()),
    }
}

fn unknown_global(host: &Host) -> Seen {
    asks_unheard_of(&mut host.let_in()?)
}

fn session_refused(host: &Host) -> Seen {
    let mut guest = host.let_in()?;
    guest.wire.say(&Open {
        kind: b"session",
        sender: 5,
        window: 1 << 20,
        max_packet: 1 << 15,
        rest: Rest(&[]),
    });
    match beside_channels(&mut guest) {
        Heard::Message(payload) if payload[0] == OpenFailure::NUMBER => holds(),
        heard => Err(heard.describe().into()),
    }
}

/// The start of a second exchange; a channel that is asked for meanwhile is not answered.
fn again(host: &Host, guest: &mut Guest) -> Result<(Agreed, Vec<u8>), Fault> {
    guest.wire.await_message::<Open<'_>>()?;
    host.started(guest, |it| it)
}

fn rekey(host: &Host) -> Seen {
    let mut guest = host.let_in()?;
    let (agreed, start) = again(host, &mut guest)?;
    host.finished(&mut guest, &agreed, &start)?;
    asks_unheard_of(&mut guest)
}

fn rekey_with_bad_signature(host: &Host) -> Seen {
    let mut guest = host.let_in()?;
    let (agreed, start) = again(host, &mut guest)?;
    forged(host, &mut guest, &agreed, &start)
}

fn after_disconnect(host: &Host) -> Seen {
    let mut guest = host.keyed()?;
    asks_for_service(&mut guest)?;
    guest.wire.say(&Disconnect {
        reason: 11,
        description: Text(b"that was all"),
        language: Text(b""),
    });
    let mut heard = guest.wire.hear();
    if is_request(&heard) {
        heard = guest.wire.hear();
    }
    match heard {
        Heard::Ended => holds(),
        Heard::Silence => Err("it does not hang up".into()),
        heard => Err(heard.describe().into()),
    }
}
