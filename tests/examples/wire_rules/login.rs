//! Rules for a server while a user logs in (RFC 4252; RFC 8332).

use sansftp_crypto::generate_ed25519;
use sansftp_proto::wire::{Message, Rest};
use sansftp_testkit::peer::messages::{
    AuthFailure, AuthRequest, GlobalFailure, GlobalSuccess, PkOk,
};

use crate::report::{Fault, Rule};
use crate::session::Target;
use crate::transport::keepalive;
use crate::wire::{Heard, Wire, read};

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

pub(crate) const RULES: &[Rule<Target>] = &[
    Rule {
        section: "RFC 4252 §6",
        says: "a message of the connection protocol before SUCCESS is refused",
        look: too_early,
    },
    Rule {
        section: "RFC 4252 §5.2",
        says: "`none` fails, and the methods that can continue do not name it",
        look: none_fails,
    },
    Rule {
        section: "RFC 4252 §5.1",
        says: "an unknown method fails, and the next request is heard",
        look: unknown_method,
    },
    Rule {
        section: "RFC 4252 §5",
        says: "an unknown user gets the methods that a known one gets",
        look: unknown_user,
    },
    Rule {
        section: "RFC 4252 §7",
        says: "a key that nobody has fails without a signature asked for",
        look: unknown_key,
    },
    Rule {
        section: "RFC 4252 §7",
        says: "PK_OK names the algorithm and the key that were asked about",
        look: pk_ok,
    },
    Rule {
        section: "RFC 4252 §7",
        says: "a signature with one bit flipped fails",
        look: flipped,
    },
    Rule {
        section: "RFC 4252 §7",
        says: "a signature over another session fails",
        look: other_session,
    },
    Rule {
        section: "RFC 8332 §3.1",
        says: "a signature under another algorithm's name fails",
        look: other_name,
    },
    Rule {
        section: "RFC 4252 §7",
        says: "a signature over session and request lets in",
        look: lets_in,
    },
    Rule {
        section: "RFC 4252 §5.1",
        says: "requests behind SUCCESS are passed over in silence",
        look: behind_success,
    },
    Rule {
        section: "RFC 4252 §5.1",
        says: "requests that are sent without waiting are answered in their order",
        look: in_order,
    },
];

/// What it answers, banners passed over.
fn answer(wire: &mut Wire) -> Heard {
    loop {
        match wire.hear() {
            Heard::Message(payload) if matches!(payload[0], 7 | 53) => {}
            heard => return heard,
        }
    }
}

/// It answers with FAILURE, whose methods these are.
fn fails(wire: &mut Wire) -> Result<Vec<String>, Fault> {
    let heard = answer(wire);
    let Heard::Message(payload) = &heard else {
        return Err(heard.describe().into());
    };
    if payload[0] != AuthFailure::NUMBER {
        return Err(heard.describe().into());
    }
    let failure: AuthFailure<'_> = read(payload)?;
    if failure.partial {
        return Err("a partial success".into());
    }
    Ok(failure.methods.iter().map(str::to_owned).collect())
}

fn too_early(target: &Target) -> Seen {
    let mut wire = target.served()?;
    keepalive(&mut wire);
    Ok(wire.ends()?)
}

fn none_fails(target: &Target) -> Seen {
    let mut wire = target.served()?;
    wire.say_payload(&target.request("none", &[]));
    let methods = fails(&mut wire)?;
    match methods.iter().any(|it| it == "none") {
        true => Err("`none` is among the methods".into()),
        false => Ok(methods.join(", ")),
    }
}

fn unknown_method(target: &Target) -> Seen {
    let mut wire = target.served()?;
    wire.say_payload(&target.request("unheard-of@example.com", b""));
    fails(&mut wire)?;
    wire.say_payload(&target.request("none", &[]));
    fails(&mut wire)?;
    holds()
}

fn methods_of(target: &Target, user: &str) -> Result<Vec<String>, Fault> {
    let mut wire = target.served()?;
    wire.say(&AuthRequest {
        user,
        service: "ssh-connection",
        method: "none",
        rest: Rest(&[]),
    });
    fails(&mut wire)
}

fn unknown_user(target: &Target) -> Seen {
    target.key()?;
    let (known, unknown) = (
        methods_of(target, &target.user)?,
        methods_of(target, "nobody-of-this-name")?,
    );
    match known == unknown {
        true => holds(),
        false => Err(format!("{} and {}", known.join(","), unknown.join(",")).into()),
    }
}

fn unknown_key(target: &Target) -> Seen {
    let random = &*target.provider.random;
    let key = generate_ed25519(random).map_err(|it| Fault::NotTried(it.to_string()))?;
    let key = target.provider.keys.load(&key);
    let key = key.map_err(|it| Fault::NotTried(it.to_string()))?;
    let mut wire = target.served()?;
    wire.say_payload(&target.with_key(&*key, "ssh-ed25519", false));
    fails(&mut wire)?;
    holds()
}

fn pk_ok(target: &Target) -> Seen {
    let key = target.key()?;
    let algorithm = key.algorithms().first().copied().unwrap_or_default();
    let mut wire = target.served()?;
    wire.say_payload(&target.with_key(key, algorithm, false));
    let heard = answer(&mut wire);
    let Heard::Message(payload) = &heard else {
        return Err(heard.describe().into());
    };
    let ok: PkOk<'_> = read(payload).map_err(|_| heard.describe())?;
    if ok.algorithm != algorithm.as_bytes() || ok.key != &key.public_key().as_bytes()[..] {
        return Err("another algorithm or key".into());
    }
    holds()
}

fn flipped(target: &Target) -> Seen {
    let mut wire = target.served()?;
    let request = target.signed(&wire, |it| it[0] ^= 1)?;
    wire.say_payload(&request);
    fails(&mut wire)?;
    holds()
}

fn other_session(target: &Target) -> Seen {
    let other = target.served()?;
    let mut wire = target.served()?;
    let request = target.signed(&other, |_| {})?;
    wire.say_payload(&request);
    fails(&mut wire)?;
    holds()
}

fn other_name(target: &Target) -> Seen {
    let mut wire = target.served()?;
    let mut request = target.signed(&wire, |_| {})?;
    // The last name in the request is the signature's; its last letter becomes another.
    let algorithm = target
        .key()?
        .algorithms()
        .first()
        .copied()
        .unwrap_or_default();
    let found = request
        .windows(algorithm.len())
        .rposition(|it| it == algorithm.as_bytes());
    let at = found.ok_or("no name in the request of our own")?;
    request[at + algorithm.len() - 1] ^= 1;
    wire.say_payload(&request);
    match answer(&mut wire) {
        Heard::Message(payload) if payload[0] == AuthFailure::NUMBER => holds(),
        // No less of a refusal.
        Heard::Ended => Ok("closed without a word".to_owned()),
        heard @ Heard::Message(_) if heard.describe().starts_with("DISCONNECT") => {
            Ok(heard.describe())
        }
        heard => Err(heard.describe().into()),
    }
}

fn lets_in(target: &Target) -> Seen {
    target.logged_in()?;
    holds()
}

fn behind_success(target: &Target) -> Seen {
    let mut wire = target.logged_in()?;
    wire.say_payload(&target.request("none", &[]));
    keepalive(&mut wire);
    loop {
        match wire.hear() {
            Heard::Message(payload) if payload[0] == 7 || payload[0] == 80 => {}
            Heard::Message(payload)
                if [GlobalFailure::NUMBER, GlobalSuccess::NUMBER].contains(&payload[0]) =>
            {
                return holds();
            }
            heard => return Err(heard.describe().into()),
        }
    }
}

fn in_order(target: &Target) -> Seen {
    let mut wire = target.served()?;
    let last = target.signed(&wire, |_| {})?;
    wire.say_payload(&target.request("none", &[]));
    wire.say_payload(&target.request("unheard-of@example.com", &[]));
    wire.say_payload(&last);
    fails(&mut wire)?;
    fails(&mut wire)?;
    match answer(&mut wire) {
        Heard::Message(payload) if payload[0] == 52 => holds(),
        heard => Err(format!("in place of SUCCESS {}", heard.describe()).into()),
    }
}
