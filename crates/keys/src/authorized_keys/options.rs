//! The options in front of an authorized key (sshd(8) AUTHORIZED_KEYS FILE FORMAT), each typed.

use crate::pattern::{self, Listed};
use crate::text;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::char;
use nom::combinator::{map_opt, opt, value, verify};
use nom::multi::{many0, separated_list1};
use nom::number::complete::be_u8;
use nom::sequence::{delimited, preceded};
use sansftp_proto::wire::{Malformed, Parsed};
use std::net::IpAddr;
use std::time::SystemTime;

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizedOption {
    /// `restrict`: forbids every [`Feature`].
    Restrict,
    /// The feature by its own name, for example `pty`.
    Permit(Feature),
    /// The feature with `no-` in front.
    Forbid(Feature),
    /// `from="…"`: the client's address must be in the list.
    From(AddressList),
    /// `expiry-time="…Z"`: from this moment on the key is not accepted.
    ExpiryTime(SystemTime),
    /// `command="…"`: what is run whatever was asked for.
    Command(Vec<u8>),
    /// `cert-authority`: the key signs users' certificates.
    CertAuthority,
    /// `principals="…"`: the names that a certificate must have one of; with `cert-authority`.
    Principals(Vec<u8>),
    /// `environment="NAME=value"`.
    Environment(Vec<u8>),
    /// `permitopen="host:port"`.
    PermitOpen(Vec<u8>),
    /// `permitlisten="[host:]port"`.
    PermitListen(Vec<u8>),
    /// `tunnel="n"`.
    Tunnel(Vec<u8>),
}

/// What `restrict` takes away and an option of its own gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `agent-forwarding`
    AgentForwarding,
    /// `port-forwarding`
    PortForwarding,
    /// `pty`
    Pty,
    /// `user-rc`
    UserRc,
    /// `X11-forwarding`
    X11Forwarding,
}

const FEATURES: [(&[u8], Feature); 5] = [
    (b"agent-forwarding", Feature::AgentForwarding),
    (b"port-forwarding", Feature::PortForwarding),
    (b"pty", Feature::Pty),
    (b"user-rc", Feature::UserRc),
    (b"x11-forwarding", Feature::X11Forwarding),
];

/// The options of a line and what follows them.
pub(super) fn parse(line: &[u8]) -> Result<(Vec<AuthorizedOption>, &[u8]), Malformed> {
    let (rest, pairs) = separated_list1(char(','), pair)
        .parse(line)
        .map_err(|_: nom::Err<Malformed>| Malformed("neither options nor the type of a key"))?;
    if rest.first().is_some_and(|&byte| !text::is_blank(byte)) {
        return Err(Malformed(
            "options that end in the middle, perhaps at a quote",
        ));
    }
    let options: Result<Vec<_>, _> = pairs.into_iter().map(interpret).collect();
    let options = options?;
    let is_command = |it: &&AuthorizedOption| matches!(it, AuthorizedOption::Command(_));
    // Only one can be run, and it is not for us to choose.
    if options.iter().filter(is_command).count() > 1 {
        return Err(Malformed("more than one command"));
    }
    Ok((options, rest))
}

/// `name` or `name="value"`, in which `\"` stands for a quote.
fn pair(input: &[u8]) -> Parsed<'_, (&[u8], Option<Vec<u8>>)> {
    let name = take_while1(|byte: u8| byte.is_ascii_alphanumeric() || byte == b'-');
    let byte = alt((
        value(b'"', tag(&b"\\\""[..])),
        verify(be_u8, |&byte| byte != b'"'),
    ));
    let quoted = delimited(char('"'), many0(byte), char('"'));
    (name, opt(preceded(char('='), quoted))).parse(input)
}

fn interpret((name, value): (&[u8], Option<Vec<u8>>)) -> Result<AuthorizedOption, Malformed> {
    let name = name.to_ascii_lowercase();
    let feature = |name: &[u8]| {
        FEATURES
            .iter()
            .find(|(it, _)| *it == name)
            .map(|(_, it)| *it)
    };
    match (name.as_slice(), value) {
        (b"restrict", None) => Ok(AuthorizedOption::Restrict),
        (b"cert-authority", None) => Ok(AuthorizedOption::CertAuthority),
        (b"from", Some(list)) => AddressList::parse(list).map(AuthorizedOption::From),
        (b"expiry-time", Some(time)) => expiry_time(&time).map(AuthorizedOption::ExpiryTime),
        (b"command", Some(command)) => Ok(AuthorizedOption::Command(command)),
        (b"principals", Some(list)) => Ok(AuthorizedOption::Principals(list)),
        (b"environment", Some(setting)) => Ok(AuthorizedOption::Environment(setting)),
        (b"permitopen", Some(place)) => Ok(AuthorizedOption::PermitOpen(place)),
        (b"permitlisten", Some(place)) => Ok(AuthorizedOption::PermitListen(place)),
        (b"tunnel", Some(device)) => Ok(AuthorizedOption::Tunnel(device)),
        (name, None) => {
            let (name, kind): (_, fn(Feature) -> AuthorizedOption) = match name.strip_prefix(b"no-")
            {
                Some(name) => (name, AuthorizedOption::Forbid),
                None => (name, AuthorizedOption::Permit),
            };
            feature(name).map(kind).ok_or(UNKNOWN)
        }
        _ => Err(UNKNOWN),
    }
}

const UNKNOWN: Malformed = Malformed("an option that is not known here, or lacks its value");

/// `YYYYMMDD[HHMM[SS]]Z`. Without `Z` it would be in the system's time zone, which a pure function
/// does not know; taking it for another would let the key live for hours too long.
fn expiry_time(text: &[u8]) -> Result<SystemTime, Malformed> {
    const WRONG: Malformed = Malformed("expiry-time is not YYYYMMDD[HHMM[SS]]Z");
    let Some(digits) = text.strip_suffix(b"Z").or_else(|| text.strip_suffix(b"z")) else {
        return Err(Malformed(
            "expiry-time in local time; write it in UTC, with a Z at its end",
        ));
    };
    if !matches!(digits.len(), 8 | 12 | 14) {
        return Err(WRONG);
    }
    let date: Parsed<'_, _> = (
        number::<i16>(4),
        number(2),
        number(2),
        opt((number(2), number(2), opt(number(2)))),
    )
        .parse(digits);
    let (rest, (year, month, day, time)) = date.map_err(|_| WRONG)?;
    if !rest.is_empty() {
        return Err(WRONG);
    }
    let (hour, minute, second) = time.unwrap_or_default();
    let end = DateTime::new(
        year,
        month,
        day,
        hour,
        minute,
        second.unwrap_or_default(),
        0,
    )
    .and_then(|it| it.to_zoned(TimeZone::UTC))
    .map_err(|_| WRONG)?;
    Ok(end.timestamp().into())
}

/// A decimal number of exactly `digits` digits.
fn number<'a, T: std::str::FromStr>(
    digits: usize,
) -> impl Parser<&'a [u8], Output = T, Error = Malformed> {
    map_opt(
        take_while_m_n(digits, digits, |byte: u8| byte.is_ascii_digit()),
        |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok(),
    )
}

/// Addresses that a client may have: patterns with `*` and `?`, `address/bits`, `!` in front of those
/// that it may not (ssh_config(5) PATTERNS). Names of hosts match nothing: a name that the client's
/// own DNS gives it proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressList(Vec<u8>);

impl AddressList {
    fn parse(list: Vec<u8>) -> Result<Self, Malformed> {
        if pattern::split(&list).next().is_none() {
            return Err(Malformed("from= with no address"));
        }
        for item in pattern::split(&list) {
            let item = item.strip_prefix(b"!").unwrap_or(item);
            if item.contains(&b'/') && Block::parse(item).is_none() {
                return Err(Malformed("from= with a block that is not 'address/bits'"));
            }
        }
        Ok(Self(list))
    }

    /// A list of blocks and addresses alone, as certificates have them: no patterns, no `!`.
    pub(crate) fn blocks(list: Vec<u8>) -> Result<Self, Malformed> {
        let mut items = list.split(|&byte| byte == b',');
        if items.any(|it| Block::parse(it).is_none()) {
            return Err(Malformed("addresses that are not 'address/bits'"));
        }
        Ok(Self(list))
    }

    /// Whether the list lets this address in. An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let name = address.to_string();
        let mut found = false;
        for item in pattern::split(&self.0) {
            let (negated, item) = match item.strip_prefix(b"!") {
                Some(item) => (true, item),
                None => (false, item),
            };
            let matches = match Block::parse(item) {
                Some(block) => block.includes(address),
                None => pattern::listed(std::iter::once(item), name.as_bytes()) == Listed::Yes,
            };
            match (matches, negated) {
                (true, true) => return false,
                (true, false) => found = true,
                (false, _) => {}
            }
        }
        found
    }
}

/// `address/bits`, or an address.
struct Block {
    network: IpAddr,
    bits: u32,
}

impl Block {
    /// An address alone is a block of one. Host bits must be zero, as sshd demands: `10.1.2.3/8` is
    /// more likely a mistake than a wish.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Ok(address) = text.parse::<IpAddr>() {
            let network = address.to_canonical();
            return Some(Self {
                network,
                bits: as_number(network).1,
            });
        }
        let (network, bits) = text.split_once('/')?;
        let (written, bits): (IpAddr, u32) = (network.parse().ok()?, bits.parse().ok()?);
        // The first 96 bits of an IPv4 address in IPv6 clothes are the clothes.
        let network = written.to_canonical();
        let clothes = as_number(written).1 - as_number(network).1;
        let block = Self {
            network,
            bits: bits.checked_sub(clothes)?,
        };
        let (number, width) = as_number(block.network);
        let host_bits = width.checked_sub(block.bits)?;
        (number & low_bits(host_bits) == 0).then_some(block)
    }

    fn includes(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (as_number(self.network), as_number(address));
        let host_bits = low_bits(width.saturating_sub(self.bits));
        width == other_width && own & !host_bits == other & !host_bits
    }
}

fn as_number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(it) => (u128::from(u32::from(it)), 32),
        IpAddr::V6(it) => (u128::from(it), 128),
    }
}

/// A mask of the `count` lowest bits.
fn low_bits(count: u32) -> u128 {
    1u128.checked_shl(count).map_or(u128::MAX, |it| it - 1)
}
