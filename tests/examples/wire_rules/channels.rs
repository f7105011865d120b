//! Rules for a server once somebody is logged in: global requests, channels, windows, new keys (RFC 4253 §9; RFC 4254).

use bytes::BytesMut;
use sansftp_proto::wire::{Message, Rest};
use sansftp_testkit::peer::messages::{
    Close, Data, Failure, GlobalFailure, GlobalRequest, GlobalSuccess, Open, OpenFailure, Success,
    WindowAdjust,
};

use crate::report::{Fault, Rule};
use crate::session::{CHANNEL, Channel, Target};
use crate::transport::{exchange_again, keepalive};
use crate::wire::{Heard, Wire, put, read};

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

pub(crate) const RULES: &[Rule<Target>] = &[
    Rule {
        section: "RFC 4254 §4",
        says: "an unknown global request gets a failure where a reply is wanted, and the connection goes on",
        look: unknown_global,
    },
    Rule {
        section: "RFC 4254 §4",
        says: "where no reply is wanted none comes",
        look: unanswered_global,
    },
    Rule {
        section: "RFC 4254 §5.1",
        says: "an unknown type of channel is refused with reason 3",
        look: unknown_channel,
    },
    Rule {
        section: "RFC 4254 §5.1",
        says: "a channel keeps the number that the client gave it, however large",
        look: large_number,
    },
    Rule {
        section: "RFC 4254 §5.4",
        says: "an unknown request of a channel fails where a reply is wanted",
        look: unknown_request,
    },
    Rule {
        section: "RFC 4254 §6.5",
        says: "an unknown subsystem fails",
        look: unknown_subsystem,
    },
    Rule {
        section: "RFC 4254 §6.5",
        says: "a second subsystem on the same channel fails",
        look: second_subsystem,
    },
    Rule {
        section: "RFC 4254 §5.2",
        says: "no more data comes than the window has room for, and the rest after an adjustment",
        look: window,
    },
    Rule {
        section: "RFC 4254 §5.2",
        says: "no piece of data is longer than the client's maximum packet",
        look: max_packet,
    },
    Rule {
        section: "RFC 4254 §5.3",
        says: "CLOSE is answered with CLOSE",
        look: close,
    },
    Rule {
        section: "RFC 4254 §5.3",
        says: "EOF on SFTP's channel ends it: CLOSE follows",
        look: eof,
    },
    Rule {
        section: "RFC 4253 §9",
        says: "keys are exchanged anew when the client asks, and the connection goes on",
        look: rekey,
    },
    Rule {
        section: "RFC 4253 §9",
        says: "a channel that is open stays open over an exchange of keys",
        look: rekey_with_channel,
    },
];

/// The answer to a global request.
fn global_answer(wire: &mut Wire) -> Result<u8, Fault> {
    loop {
        match wire.hear() {
            Heard::Message(payload) if payload[0] == 7 || payload[0] == GlobalRequest::NUMBER => {}
            Heard::Message(payload)
                if [GlobalFailure::NUMBER, GlobalSuccess::NUMBER].contains(&payload[0]) =>
            {
                return Ok(payload[0]);
            }
            heard => return Err(heard.describe().into()),
        }
    }
}

fn asks_unheard_of(wire: &mut Wire, want_reply: bool) {
    wire.say(&GlobalRequest {
        name: b"unheard-of@example.com",
        want_reply,
        rest: Rest(b"and fields of its own"),
    });
}

fn unknown_global(target: &Target) -> Seen {
    let mut wire = target.logged_in()?;
    for _ in 0..3 {
        asks_unheard_of(&mut wire, true);
    }
    for _ in 0..3 {
        if global_answer(&mut wire)? != GlobalFailure::NUMBER {
            return Err("REQUEST_SUCCESS".into());
        }
    }
    holds()
}

fn unanswered_global(target: &Target) -> Seen {
    let mut wire = target.logged_in()?;
    asks_unheard_of(&mut wire, false);
    keepalive(&mut wire);
    global_answer(&mut wire)?;
    match global_answer(&mut wire) {
        Ok(_) => Err("two answers to one question".into()),
        Err(_) => holds(),
    }
}

fn unknown_channel(target: &Target) -> Seen {
    let mut wire = target.logged_in()?;
    wire.say(&Open {
        kind: b"unheard-of@example.com",
        sender: CHANNEL,
        window: 1 << 20,
        max_packet: 1 << 15,
        rest: Rest(b"fields"),
    });
    let payload = wire.await_message::<OpenFailure<'_>>()?;
    let failure: OpenFailure<'_> = read(&payload)?;
    match (failure.recipient, failure.reason) {
        (CHANNEL, 3) => holds(),
        (CHANNEL, reason) => Err(format!("reason {reason}").into()),
        (other, _) => Err(format!("for channel {other}").into()),
    }
}

fn large_number(target: &Target) -> Seen {
    target.channel(1 << 20, 1 << 15)?;
    holds()
}

/// What it says to a request of the channel: SUCCESS or FAILURE.
fn request_answer(channel: &mut Channel) -> Result<u8, Fault> {
    loop {
        match channel.hears()? {
            Heard::Message(payload) if payload[0] == Data::NUMBER => {}
            Heard::Message(payload) if [Success::NUMBER, Failure::NUMBER].contains(&payload[0]) => {
                return Ok(payload[0]);
            }
            heard => return Err(heard.describe().into()),
        }
    }
}

fn fails(channel: &mut Channel) -> Seen {
    match request_answer(channel)? {
        Failure::NUMBER => holds(),
        _ => Err("CHANNEL_SUCCESS".into()),
    }
}

fn unknown_request(target: &Target) -> Seen {
    let mut channel = target.channel(1 << 20, 1 << 15)?;
    channel.asks("unheard-of@example.com", false, b"");
    channel.asks("unheard-of@example.com", true, b"");
    fails(&mut channel)
}

fn subsystem(name: &[u8]) -> BytesMut {
    let mut fields = BytesMut::new();
    put(&mut fields, name);
    fields
}

fn unknown_subsystem(target: &Target) -> Seen {
    let mut channel = target.channel(1 << 20, 1 << 15)?;
    channel.asks("subsystem", true, &subsystem(b"unheard-of@example.com"));
    fails(&mut channel)
}

fn second_subsystem(target: &Target) -> Seen {
    let mut channel = target.channel(1 << 20, 1 << 15)?;
    channel.starts_sftp()?;
    channel.asks("subsystem", true, &subsystem(b"sftp"));
    match request_answer(&mut channel) {
        Ok(Failure::NUMBER) => holds(),
        Ok(_) => Err("CHANNEL_SUCCESS".into()),
        Err(Fault::Differs(what)) if what.starts_with("DISCONNECT") => Ok(what),
        Err(fault) => Err(fault),
    }
}

/// INIT, and as many REALPATH of a name of 200 bytes, which each have a longer answer.
fn asks_for_much(channel: &mut Channel) -> Result<(), Fault> {
    channel.starts_sftp()?;
    channel.sends(&[0, 0, 0, 5, 1, 0, 0, 0, 3])?;
    let path = subsystem(&[b'x'; 200]);
    for id in 0..4 {
        channel.asks_sftp(16, id, &path)?;
    }
    Ok(())
}

/// The lengths of the pieces of data that come until nothing more does.
fn pieces(channel: &mut Channel) -> Result<Vec<usize>, Fault> {
    let mut lengths = Vec::new();
    loop {
        match channel.hears()? {
            Heard::Message(payload) if payload[0] == Data::NUMBER => {
                lengths.push(read::<Data<'_>>(&payload)?.data.len());
            }
            Heard::Silence => return Ok(lengths),
            heard => return Err(heard.describe().into()),
        }
    }
}

fn window(target: &Target) -> Seen {
    const ROOM: u32 = 100;
    let mut channel = target.channel(ROOM, 1 << 15)?;
    asks_for_much(&mut channel)?;
    let before: usize = pieces(&mut channel)?.iter().sum();
    if before > ROOM as usize {
        return Err(format!("{before} bytes in a window of {ROOM}").into());
    }
    let recipient = channel.theirs;
    channel.wire.say(&WindowAdjust {
        recipient,
        bytes: ROOM,
    });
    let after: usize = pieces(&mut channel)?.iter().sum();
    match before + after {
        0 => Err("no data at all".into()),
        sum if sum > 2 * ROOM as usize => Err(format!("{sum} bytes in windows of 200").into()),
        _ if after == 0 => Err("nothing after the adjustment".into()),
        _ => holds(),
    }
}

fn max_packet(target: &Target) -> Seen {
    const LONGEST: u32 = 64;
    let mut channel = target.channel(1 << 20, LONGEST)?;
    asks_for_much(&mut channel)?;
    let pieces = pieces(&mut channel)?;
    match pieces.iter().max() {
        None => Err("no data at all".into()),
        Some(&longest) if longest > LONGEST as usize => {
            Err(format!("{longest} bytes where {LONGEST} are the most").into())
        }
        Some(_) => holds(),
    }
}

fn hears_close(channel: &mut Channel) -> Seen {
    loop {
        match channel.hears()? {
            Heard::Message(payload) if payload[0] == Close::NUMBER => {
                return match read::<Close>(&payload)?.recipient {
                    CHANNEL => holds(),
                    other => Err(format!("CLOSE of channel {other}").into()),
                };
            }
            // Data, EOF and how the program ended may come before.
            Heard::Message(payload) if matches!(payload[0], 94 | 96 | 98) => {}
            heard => return Err(heard.describe().into()),
        }
    }
}

fn close(target: &Target) -> Seen {
    let mut channel = target.channel(1 << 20, 1 << 15)?;
    let recipient = channel.theirs;
    channel.wire.say(&Close { recipient });
    hears_close(&mut channel)
}

fn eof(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let recipient = channel.theirs;
    channel
        .wire
        .say(&sansftp_testkit::peer::messages::Eof { recipient });
    hears_close(&mut channel)
}

fn rekey(target: &Target) -> Seen {
    let mut wire = target.logged_in()?;
    for _ in 0..2 {
        exchange_again(&mut wire)?;
        keepalive(&mut wire);
        global_answer(&mut wire)?;
    }
    holds()
}

fn rekey_with_channel(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    exchange_again(&mut channel.wire)?;
    let (kind, _) = channel.answer(16, 7, &subsystem(b"."))?;
    match kind {
        104 => holds(),
        other => Err(format!("type {other} in place of NAME").into()),
    }
}
