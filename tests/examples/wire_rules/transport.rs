//! Rules for a server until somebody logs in: identification, packets, what is offered and guessed, generic messages (RFC 4253
//! §4 to §11; RFC 8308). What is exchanged, and how keys are used, is in `shares`.

use sansftp_proto::crypto::NumberEncoding;
use sansftp_proto::role::Side;
use sansftp_proto::wire::{Message, Text};
use sansftp_testkit::peer::messages::{
    Disconnect, ExtInfo, GlobalRequest, Ignore, KexInit, NewKeys, Ping, Pong, ServiceAccept,
    ServiceRequest, Unimplemented,
};

use crate::exchange::{Offer, start_with};
use crate::report::{Fault, Rule};
use crate::session::Target;
use crate::wire::{Heard, IDENT, Wire, read};

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

pub(crate) const RULES: &[Rule<Target>] = &[
    Rule {
        section: "RFC 4253 §4.2",
        says: "the identification is SSH-2.0-software, at most 255 bytes with CR LF, without NUL",
        look: identification,
    },
    Rule {
        section: "RFC 4253 §4.2",
        says: "a client that ends its line with LF alone is taken",
        look: bare_lf,
    },
    Rule {
        section: "RFC 4253 §8",
        says: "the client's line is hashed byte by byte, comments included",
        look: comments_are_hashed,
    },
    Rule {
        section: "RFC 4253 §4.2",
        says: "a line before the client's identification is refused",
        look: line_before,
    },
    Rule {
        section: "RFC 4253 §5",
        says: "a client of protocol 1 is refused",
        look: protocol_one,
    },
    Rule {
        section: "RFC 4253 §4.2",
        says: "an identification without end is not waited for beyond 255 bytes or a bound of its own",
        look: endless_line,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "KEXINIT is the first packet, with its lists filled and the reserved word zero",
        look: kexinit,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "the cookie is another one each time",
        look: cookie,
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
        section: "RFC 8308 §2.1",
        says: "pseudo-names in the list of methods are never agreed on",
        look: pseudo_names,
    },
    Rule {
        section: "RFC 4253 §7",
        says: "one packet after a wrong guess is dropped",
        look: wrong_guess,
    },
    Rule {
        section: "RFC 4253 §7",
        says: "the packet of a right guess is used",
        look: right_guess,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "a second KEXINIT before NEWKEYS is refused",
        look: second_kexinit,
    },
    Rule {
        section: "RFC 4253 §7.1",
        says: "a SERVICE_REQUEST between KEXINIT and NEWKEYS is refused",
        look: service_in_exchange,
    },
    Rule {
        section: "RFC 8308 §2.1",
        says: "EXT_INFO does not come to a client that did not ask for it",
        look: no_ext_info,
    },
    Rule {
        section: "RFC 8308 §2.4",
        says: "EXT_INFO is the first packet behind the server's first NEWKEYS, and names server-sig-algs",
        look: ext_info,
    },
    Rule {
        section: "RFC 4253 §6",
        says: "a packet with padding of its own whole length is refused",
        look: all_padding,
    },
    Rule {
        section: "RFC 4253 §6",
        says: "a packet whose length is no multiple of 8 is refused",
        look: odd_length,
    },
    Rule {
        section: "RFC 4253 §6.1",
        says: "a length of 4 GiB is refused, not waited for",
        look: huge_length,
    },
    Rule {
        section: "RFC 4253 §6.1",
        says: "a payload of 32768 bytes is taken",
        look: large_payload,
    },
    Rule {
        section: "RFC 4253 §6.4",
        says: "a packet with one bit flipped ends the connection",
        look: flipped,
    },
    Rule {
        section: "RFC 4253 §10",
        says: "an unknown service is refused with DISCONNECT 7",
        look: unknown_service,
    },
    Rule {
        section: "RFC 4253 §11.1",
        says: "nothing is said behind a DISCONNECT",
        look: after_disconnect,
    },
    Rule {
        section: "RFC 4253 §11.4",
        says: "an unknown message is answered with UNIMPLEMENTED and its sequence number",
        look: unknown_message,
    },
    Rule {
        section: "OpenSSH PROTOCOL §1.8",
        says: "where ping@openssh.com is announced, PING is answered with its data",
        look: ping,
    },
    Rule {
        section: "RFC 4253 §9",
        says: "keys are exchanged anew before authentication when the client asks",
        look: rekey,
    },
];

fn identification(target: &Target) -> Seen {
    let mut wire = target.connect()?;
    // Without a word of ours, which some servers wait for.
    let waits = wire.hear_line().is_err();
    if waits {
        wire.greet()?;
    }
    let line = &wire.line;
    if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
        return Err("another protocol version".into());
    }
    if line.len() > 255 || line.contains(&0) || !line.ends_with(b"\r\n") {
        return Err("a line that is too long, has a NUL, or ends without CR".into());
    }
    Ok(if waits { "waits for the client's" } else { "" }.to_owned())
}

fn introduced_as(target: &Target, ident: &[u8], end: &[u8]) -> Result<Wire, Fault> {
    let mut wire = target.connect()?;
    wire.say_line(ident, end);
    wire.hear_line()?;
    let offer = Offer::of(&wire).strict(Side::Client);
    let agreed = wire.offers(&offer)?;
    wire.exchange(&agreed)?;
    Ok(wire)
}

fn bare_lf(target: &Target) -> Seen {
    introduced_as(target, IDENT, b"\n")?;
    holds()
}

fn comments_are_hashed(target: &Target) -> Seen {
    introduced_as(target, b"SSH-2.0-wire_rules two  words ", b"\r\n")?;
    holds()
}

fn line_before(target: &Target) -> Seen {
    let mut wire = target.connect()?;
    wire.say_raw(b"good morning\r\n");
    refused_in_clear(wire)
}

/// Hangs up instead of going on, after bytes that are no identification; it may say why in clear, as a line.
fn refused_in_clear(mut wire: Wire) -> Seen {
    wire.say_raw(b"SSH-2.0-wire_rules\r\n");
    if wire.hear_line().is_err() {
        return Ok("closed before its own identification".to_owned());
    }
    let payload = Offer::of(&wire).payload(&wire);
    wire.say_offer(&payload);
    Ok(wire.ends()?)
}

fn protocol_one(target: &Target) -> Seen {
    let mut wire = target.connect()?;
    wire.say_line(b"SSH-1.5-wire_rules", b"\r\n");
    if wire.hear_line().is_err() {
        return holds();
    }
    Ok(wire.ends()?)
}

fn endless_line(target: &Target) -> Seen {
    let mut wire = target.connect()?;
    wire.say_raw(&[b"SSH-2.0-", [b'x'; 64 * 1024].as_slice()].concat());
    if wire.hear_line().is_err() {
        return holds();
    }
    Ok(wire.ends()?)
}

fn kexinit(target: &Target) -> Seen {
    let mut wire = target.greeted()?;
    let Heard::Message(payload) = wire.hear() else {
        return Err("no KEXINIT before the client's".into());
    };
    let init: KexInit<'_> = read(&payload)?;
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

fn cookie(target: &Target) -> Seen {
    let cookie = || -> Result<[u8; 16], Fault> {
        let mut wire = target.greeted()?;
        let payload = Offer::of(&wire).payload(&wire);
        wire.say_offer(&payload);
        wire.hear_offer()?;
        Ok(read::<KexInit<'_>>(&wire.inits[1])?.cookie)
    };
    match cookie()? == cookie()? {
        true => Err("the same cookie twice".into()),
        false => holds(),
    }
}

fn unknown_names(target: &Target) -> Seen {
    target.keyed_with(|mut it| {
        for list in [&mut it.kex, &mut it.host_key, &mut it.cipher, &mut it.mac] {
            list.insert(0, "unheard-of@example.com".to_owned());
        }
        it
    })?;
    holds()
}

fn offered_and_refused(target: &Target, kex: &[&str]) -> Seen {
    let mut wire = target.greeted()?;
    let mut offer = Offer::of(&wire);
    offer.kex = kex.iter().map(|it| (*it).to_owned()).collect();
    let payload = offer.payload(&wire);
    wire.say_offer(&payload);
    wire.hear_offer()?;
    Ok(wire.ends()?)
}

fn nothing_in_common(target: &Target) -> Seen {
    offered_and_refused(target, &["unheard-of@example.com"])
}

fn pseudo_names(target: &Target) -> Seen {
    let markers = [
        "kex-strict-s-v00@openssh.com",
        "ext-info-s",
        "ext-info-c",
        "kexguess2@matt.ucc.asn.au",
    ];
    offered_and_refused(target, &markers)
}

/// Names of methods, host-key algorithms, ciphers and MACs.
pub(crate) type Names = Vec<String>;

/// What the server offers, in its order.
pub(crate) fn offered(target: &Target) -> Result<(Names, Names, Names, Names), Fault> {
    let mut wire = target.greeted()?;
    let payload = Offer::of(&wire).payload(&wire);
    wire.say_offer(&payload);
    wire.hear_offer()?;
    let init: KexInit<'_> = read(&wire.inits[1])?;
    let names = |it: sansftp_proto::wire::NameList<'_>| it.iter().map(str::to_owned).collect();
    Ok((
        names(init.kex),
        names(init.host_key),
        names(init.cipher_to_server),
        names(init.mac_to_server),
    ))
}

fn wrong_guess(target: &Target) -> Seen {
    let mut wire = target.greeted()?;
    let mut offer = Offer::of(&wire);
    // No server's first choice, and one that is not there at all is no guess that could be right.
    offer.kex.insert(0, "unheard-of@example.com".to_owned());
    offer.guess = true;
    let payload = offer.payload(&wire);
    wire.say_offer(&payload);
    wire.say_payload(&start_with(NumberEncoding::String, &[9; 32]));
    wire.hear_offer()?;
    let agreed = wire.agreed()?;
    wire.exchange(&agreed)?;
    holds()
}

fn right_guess(target: &Target) -> Seen {
    let (kex, host_key, ..) = offered(target)?;
    let mut wire = target.greeted()?;
    let mut offer = Offer::of(&wire);
    let (Some(kex), Some(host_key)) = (kex.first(), host_key.first()) else {
        return Err("empty lists".into());
    };
    if !offer.kex.contains(kex) || !offer.host_key.contains(host_key) {
        let why = format!("its first choices, {kex} and {host_key}, are not known to this tool");
        return Err(Fault::NotTried(why));
    }
    offer.kex = vec![kex.clone()];
    offer.host_key = vec![host_key.clone()];
    offer.guess = true;
    let agreed = wire.offers(&offer)?;
    wire.exchange(&agreed)?;
    holds()
}

fn second_kexinit(target: &Target) -> Seen {
    let mut wire = target.greeted()?;
    wire.offers(&Offer::of(&wire))?;
    let payload = Offer::of(&wire).payload(&wire);
    wire.say_payload(&payload);
    not_served(&mut wire)
}

/// It hangs up, or says that it knows no such message now, which is no less of a refusal.
fn not_served(wire: &mut Wire) -> Seen {
    match wire.ends() {
        Err(what) if what.ends_with("UNIMPLEMENTED") => Ok("UNIMPLEMENTED".to_owned()),
        ended => Ok(ended?),
    }
}

fn service_in_exchange(target: &Target) -> Seen {
    let mut wire = target.greeted()?;
    wire.offers(&Offer::of(&wire))?;
    wire.say(&ServiceRequest {
        name: b"ssh-userauth",
    });
    not_served(&mut wire)
}

fn no_ext_info(target: &Target) -> Seen {
    let mut wire = target.served()?;
    wire.say_payload(&target.request("none", &[]));
    let _ = wire.hear();
    match wire.ext_info {
        Some(_) => Err("EXT_INFO came".into()),
        None => holds(),
    }
}

fn ext_info(target: &Target) -> Seen {
    let mut wire = target.keyed_with(|mut it| {
        it.markers.push("ext-info-c");
        it.strict(Side::Client)
    })?;
    wire.say(&ServiceRequest {
        name: b"ssh-userauth",
    });
    match wire.hear() {
        Heard::Message(payload) if payload[0] == ExtInfo::NUMBER => {
            let text = String::from_utf8_lossy(&payload).into_owned();
            match text.contains("server-sig-algs") {
                true => holds(),
                false => Err("EXT_INFO without server-sig-algs".into()),
            }
        }
        Heard::Message(payload) if payload[0] == ServiceAccept::NUMBER => Err("no EXT_INFO".into()),
        heard => Err(heard.describe().into()),
    }
}

/// Sends bytes in place of a packet in clear, instead of KEXINIT.
fn in_clear(target: &Target, bytes: &[u8]) -> Seen {
    let mut wire = target.greeted()?;
    wire.say_raw(bytes);
    Ok(wire.ends()?)
}

fn all_padding(target: &Target) -> Seen {
    let mut packet = vec![0; 32];
    packet[3] = 28;
    packet[4] = 28;
    in_clear(target, &packet)
}

fn odd_length(target: &Target) -> Seen {
    let mut packet = vec![0; 4096];
    packet[3] = 29;
    packet[4] = 4;
    packet[5] = 2;
    in_clear(target, &packet)
}

fn huge_length(target: &Target) -> Seen {
    let mut packet = vec![0; 64];
    packet[..4].fill(0xff);
    in_clear(target, &packet)
}

fn large_payload(target: &Target) -> Seen {
    let mut wire = target.keyed()?;
    // 5 bytes are number and length.
    wire.say(&Ignore {
        data: &[0; 32768 - 5],
    });
    wire.asks_for_service()?;
    holds()
}

fn flipped(target: &Target) -> Seen {
    let mut wire = target.keyed()?;
    let mut packet = wire.sealed(&[2, 0, 0, 0, 4, 1, 2, 3, 4]);
    if let Some(last) = packet.last_mut() {
        *last ^= 1;
    }
    wire.say_raw(&packet);
    wire.say(&ServiceRequest {
        name: b"ssh-userauth",
    });
    Ok(wire.ends()?)
}

fn unknown_service(target: &Target) -> Seen {
    let mut wire = target.keyed()?;
    wire.say(&ServiceRequest {
        name: b"unheard-of@example.com",
    });
    let how = wire.ends()?;
    match how.starts_with("DISCONNECT 7 ") {
        true => holds(),
        false => Err(how.into()),
    }
}

fn after_disconnect(target: &Target) -> Seen {
    let mut wire = target.keyed()?;
    wire.say(&Disconnect {
        reason: 11,
        description: Text(b"that was all"),
        language: Text(b""),
    });
    wire.say(&ServiceRequest {
        name: b"ssh-userauth",
    });
    loop {
        match wire.hear() {
            Heard::Ended => return holds(),
            Heard::Silence => return Err("it does not hang up".into()),
            // On its way before.
            Heard::Message(payload) if payload[0] == 7 => {}
            heard => return Err(heard.describe().into()),
        }
    }
}

fn unknown_message(target: &Target) -> Seen {
    let mut wire = target.served()?;
    // Of the numbers for generic messages of the transport one that nobody has taken (RFC 4250 §4.1.2).
    wire.say_payload(&[17, 1, 2, 3]);
    let seq = wire.last_seq();
    let payload = wire.await_message::<Unimplemented>()?;
    let theirs = read::<Unimplemented>(&payload)?.seq;
    if theirs != seq {
        return Err(format!("number {theirs} in place of {seq}").into());
    }
    // And the connection goes on.
    wire.say_payload(&target.request("none", &[]));
    match wire.hear() {
        Heard::Message(payload) if matches!(payload[0], 51..=53) => holds(),
        heard => Err(format!("then {}", heard.describe()).into()),
    }
}

fn ping(target: &Target) -> Seen {
    let mut wire = target.keyed_with(|mut it| {
        it.markers.push("ext-info-c");
        it.strict(Side::Client)
    })?;
    wire.asks_for_service()?;
    let announced = wire.ext_info.take().unwrap_or_default();
    if !String::from_utf8_lossy(&announced).contains("ping@openssh.com") {
        return Err(Fault::NotTried("it is not announced".to_owned()));
    }
    wire.say(&Ping { data: b"\0one" });
    wire.say(&Ping { data: b"" });
    for expected in [&b"\0one"[..], b""] {
        let payload = wire.await_message::<Pong<'_>>()?;
        if read::<Pong<'_>>(&payload)?.data != expected {
            return Err("other data came back".into());
        }
    }
    holds()
}

/// A second exchange; what is agreed on in it need not be what it was.
pub(crate) fn exchange_again(wire: &mut Wire) -> Result<(), Fault> {
    let payload = Offer::of(wire).payload(wire);
    wire.say_offer(&payload);
    wire.hear_offer()?;
    let agreed = wire.agreed()?;
    let keys = wire.exchange_shares(&agreed)?;
    wire.say(&NewKeys {});
    wire.seals(&keys, &agreed)?;
    wire.hear_new_keys(&keys, &agreed)?;
    Ok(())
}

fn rekey(target: &Target) -> Seen {
    let mut wire = target.served()?;
    exchange_again(&mut wire)?;
    wire.say_payload(&target.request("none", &[]));
    match wire.hear() {
        Heard::Message(payload) if matches!(payload[0], 51..=53) => holds(),
        heard => Err(format!("then {}", heard.describe()).into()),
    }
}

/// A request that a server which has not let anybody in must not serve.
pub(crate) fn keepalive(wire: &mut Wire) {
    wire.say(&GlobalRequest {
        name: b"keepalive@openssh.com",
        want_reply: true,
        rest: sansftp_proto::wire::Rest(&[]),
    });
}
