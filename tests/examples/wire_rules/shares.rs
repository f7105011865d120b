//! Rules for a server's key exchange: proofs, shares, groups, strictness, and what is sealed with the keys (RFC 4253 §6.4, §8;
//! RFC 4419, 5656, 8270, 8332, 8731; draft-ietf-sshm-strict-kex).

use sansftp_proto::crypto::{Kex, NumberEncoding};
use sansftp_proto::role::Side;
use sansftp_proto::wire::Message;
use sansftp_testkit::peer::messages::{Debug, Group, GroupRequest, Ignore};

use crate::exchange::{Offer, start_with};
use crate::report::{Fault, Rule};
use crate::session::Target;
use crate::transport::offered;
use crate::wire::{Heard, read};

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

pub(crate) const RULES: &[Rule<Target>] = &[
    Rule {
        section: "RFC 8332 §3",
        says: "each host key proves itself with the algorithm that was agreed on",
        look: host_keys,
    },
    Rule {
        section: "RFC 4253 §6.4",
        says: "each cipher, and each MAC beside aes128-ctr, protects packets as its name says",
        look: ciphers,
    },
    Rule {
        section: "RFC 8731 §3",
        says: "a share of X25519 that is not 32 bytes is refused",
        look: short_share,
    },
    Rule {
        section: "RFC 8731 §3",
        says: "a share of X25519 that makes the secret zero is refused",
        look: zero_share,
    },
    Rule {
        section: "RFC 5656 §4",
        says: "a share that is no point of the curve is refused",
        look: no_point,
    },
    Rule {
        section: "RFC 4253 §8",
        says: "a share of 0 or 1 in a finite field is refused",
        look: small_share,
    },
    Rule {
        section: "RFC 4419 §3",
        says: "a group has between the fewest and the most bits that were asked for",
        look: group_sizes,
    },
    Rule {
        section: "RFC 8270 §3",
        says: "a group of fewer than 2048 bits is not given",
        look: small_group,
    },
    Rule {
        section: "RFC 4253 §11.2",
        says: "without strict key exchange IGNORE and DEBUG are taken during the exchange",
        look: ignored_in_exchange,
    },
    Rule {
        section: "strict-kex",
        says: "with strict key exchange a message before the client's KEXINIT is refused",
        look: strict_first,
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
];

fn host_keys(target: &Target) -> Seen {
    let (_, host_keys, ..) = offered(target)?;
    let mut tried = Vec::new();
    for name in host_keys {
        if target.provider.signature(&name).is_none() {
            continue;
        }
        target
            .keyed_with(|mut it| {
                it.host_key = vec![name.clone()];
                it
            })
            .map_err(|what| format!("{name}: {what}"))?;
        tried.push(name);
    }
    Ok(tried.join(", "))
}

fn ciphers(target: &Target) -> Seen {
    let (_, _, ciphers, macs) = offered(target)?;
    let wire = target.greeted()?;
    let ours = Offer::of(&wire);
    let beside = "aes128-ctr".to_owned();
    let mut pairs: Vec<(String, Vec<String>)> = Vec::new();
    for cipher in ciphers.iter().filter(|it| ours.cipher.contains(it)) {
        pairs.push((cipher.clone(), ours.mac.clone()));
    }
    if ciphers.contains(&beside) {
        for mac in macs.iter().filter(|it| ours.mac.contains(it)) {
            pairs.push((beside.clone(), vec![mac.clone()]));
        }
    }
    let count = pairs.len();
    for (cipher, mac) in pairs {
        let name = format!("{cipher} with {}", mac.first().map_or("", String::as_str));
        let mut wire = target
            .keyed_with(|mut it| {
                it.cipher = vec![cipher];
                it.mac = mac;
                it
            })
            .map_err(|what| format!("{name}: {what}"))?;
        wire.asks_for_service()
            .map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(format!("{count} tried"))
}

/// Offers one method, and sends this share in it.
fn with_share(target: &Target, kex: &str, share: &[u8]) -> Seen {
    let (methods, ..) = offered(target)?;
    if !methods.iter().any(|it| it == kex) {
        return Err(Fault::NotTried(format!("{kex} is not offered")));
    }
    let mut wire = target.greeted()?;
    let mut offer = Offer::of(&wire);
    offer.kex = vec![kex.to_owned()];
    let agreed = wire.offers(&offer)?;
    let encoding = match wire.method(&agreed.kex)? {
        Kex::Shares(it) => it.share_encoding(),
        Kex::GroupExchange(_) => NumberEncoding::MpInt,
    };
    wire.say_payload(&start_with(encoding, share));
    Ok(wire.ends()?)
}

fn short_share(target: &Target) -> Seen {
    with_share(target, "curve25519-sha256", &[9; 31])
}

fn zero_share(target: &Target) -> Seen {
    with_share(target, "curve25519-sha256", &[0; 32])
}

fn no_point(target: &Target) -> Seen {
    let mut point = [1; 65];
    point[0] = 4;
    with_share(target, "ecdh-sha2-nistp256", &point)
}

fn small_share(target: &Target) -> Seen {
    const GROUP: &str = "diffie-hellman-group14-sha256";
    let of = |number: &str, fault| match fault {
        Fault::Differs(what) => Fault::Differs(format!("{number}: {what}")),
        not_tried @ Fault::NotTried(_) => not_tried,
    };
    with_share(target, GROUP, &[]).map_err(|fault| of("0", fault))?;
    with_share(target, GROUP, &[1]).map_err(|fault| of("1", fault))
}

const GROUP_EXCHANGE: &str = "diffie-hellman-group-exchange-sha256";

/// Asks for a group; its bits, or how the server refused.
fn group(target: &Target, min: u32, n: u32, max: u32) -> Result<Result<usize, String>, Fault> {
    let (methods, ..) = offered(target)?;
    if !methods.iter().any(|it| it == GROUP_EXCHANGE) {
        return Err(Fault::NotTried(format!("{GROUP_EXCHANGE} is not offered")));
    }
    let mut wire = target.greeted()?;
    let mut offer = Offer::of(&wire);
    offer.kex = vec![GROUP_EXCHANGE.to_owned()];
    wire.offers(&offer)?;
    wire.say(&GroupRequest { min, n, max });
    let heard = wire.hear();
    let Heard::Message(payload) = &heard else {
        return Ok(Err(heard.describe()));
    };
    if payload[0] != Group::NUMBER {
        return Ok(Err(heard.describe()));
    }
    let group: Group<'_> = read(payload)?;
    let prime = group.p.strip_prefix(&[0]).unwrap_or(group.p);
    let first = prime.first().map_or(8, |it| it.leading_zeros() as usize);
    Ok(Ok((prime.len() * 8).saturating_sub(first)))
}

fn group_sizes(target: &Target) -> Seen {
    match group(target, 2048, 3072, 4096)? {
        Ok(bits @ 2048..=4096) => Ok(format!("{bits} bits")),
        Ok(bits) => Err(format!("a group of {bits} bits").into()),
        Err(what) => Err(what.into()),
    }
}

fn small_group(target: &Target) -> Seen {
    match group(target, 1024, 1024, 1024)? {
        Ok(bits @ ..2048) => Err(format!("a group of {bits} bits").into()),
        Ok(bits) => Ok(format!("{bits} bits, though at most 1024 were asked for")),
        Err(what) => Ok(what),
    }
}

fn ignored_in_exchange(target: &Target) -> Seen {
    let mut wire = target.greeted()?;
    let agreed = wire.offers(&Offer::of(&wire))?;
    wire.say(&Ignore { data: b"nothing" });
    wire.say(&Debug {
        always_display: false,
        message: b"nothing",
        language: b"",
    });
    wire.exchange(&agreed)?;
    holds()
}

/// Whether the server knows strict key exchange.
fn needs_strict(target: &Target) -> Result<(), Fault> {
    let (methods, ..) = offered(target)?;
    if methods
        .iter()
        .any(|it| it == "kex-strict-s-v00@openssh.com")
    {
        return Ok(());
    }
    Err(Fault::NotTried(
        "strict key exchange is not offered".to_owned(),
    ))
}

fn strict_first(target: &Target) -> Seen {
    needs_strict(target)?;
    let mut wire = target.greeted()?;
    wire.say(&Ignore { data: b"nothing" });
    let payload = Offer::of(&wire).strict(Side::Client).payload(&wire);
    wire.say_offer(&payload);
    Ok(wire.ends()?)
}

fn strict_ignore(target: &Target) -> Seen {
    needs_strict(target)?;
    let mut wire = target.greeted()?;
    wire.offers(&Offer::of(&wire).strict(Side::Client))?;
    wire.say(&Ignore { data: b"nothing" });
    Ok(wire.ends()?)
}

fn strict_numbers(target: &Target) -> Seen {
    needs_strict(target)?;
    // The number is under every MAC, so that the answer says that both ends count alike.
    target.keyed()?.asks_for_service()?;
    holds()
}

fn running_numbers(target: &Target) -> Seen {
    target.keyed_with(|it| it)?.asks_for_service()?;
    holds()
}
