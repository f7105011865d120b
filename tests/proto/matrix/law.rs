//! What permits or refuses a message, by section. The first row that covers a case is cited; nothing is judged here.

use super::Phase;
use super::Phase::{
    Authentication, Exchange, Group, GroupShare, Handshake, NewKeys, Offered, ReExchange,
    ServiceRequest, Session, StrictExchange,
};
use sansftp_proto::role::Side;
use sansftp_proto::role::Side::{Client, Server};
use std::ops::RangeInclusive;

/// On which side of the law a message came down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Permitted,
    Refused,
}
use Standing::{Permitted, Refused};

/// One row: which cases it covers, and what says so.
#[derive(Debug)]
pub(super) struct Law {
    phases: &'static [Phase],
    sides: &'static [Side],
    numbers: &'static [RangeInclusive<u8>],
    standing: Standing,
    pub(super) section: &'static str,
}

impl Law {
    pub(super) fn covers(&self, phase: Phase, side: Side, number: u8, standing: Standing) -> bool {
        self.standing == standing
            && self.phases.contains(&phase)
            && self.sides.contains(&side)
            && self.numbers.iter().any(|it| it.contains(&number))
    }
}

const fn law(
    phases: &'static [Phase],
    sides: &'static [Side],
    numbers: &'static [RangeInclusive<u8>],
    standing: Standing,
    section: &'static str,
) -> Law {
    Law {
        phases,
        sides,
        numbers,
        standing,
        section,
    }
}

const BOTH: &[Side] = &[Client, Server];
const ALL: &[Phase] = &[
    Handshake,
    Exchange,
    StrictExchange,
    Group,
    GroupShare,
    NewKeys,
    ServiceRequest,
    Authentication,
    Session,
    Offered,
    ReExchange,
];
/// Where a service may speak.
const SERVICES: &[Phase] = &[ServiceRequest, Authentication, Session, Offered];
/// From the peer's KEXINIT to its NEWKEYS, and before any.
const EXCHANGING: &[Phase] = &[
    Handshake,
    Exchange,
    StrictExchange,
    Group,
    GroupShare,
    NewKeys,
    ReExchange,
];
const OPEN: &[Phase] = &[Session, Offered];
const SERVICE_NUMBERS: &[RangeInclusive<u8>] = &[5..=6, 50..=127];
const UNASSIGNED: &[RangeInclusive<u8>] = &[0..=0, 8..=19, 22..=29, 128..=191, 194..=255];

pub(super) const LAW: &[Law] = &[
    // ---- generic messages of the transport
    law(ALL, BOTH, &[1..=1], Permitted, "RFC 4253 §11.1"),
    law(
        &[StrictExchange],
        BOTH,
        &[2..=4, 192..=193],
        Refused,
        "draft-ietf-sshm-strict-kex: nothing else in the exchange",
    ),
    law(
        &[StrictExchange],
        BOTH,
        UNASSIGNED,
        Refused,
        "draft-ietf-sshm-strict-kex: nothing else in the exchange",
    ),
    law(
        &[StrictExchange],
        BOTH,
        &[7..=7],
        Refused,
        "draft-ietf-sshm-strict-kex: nothing else in the exchange",
    ),
    law(ALL, BOTH, &[2..=2], Permitted, "RFC 4253 §11.2"),
    law(ALL, BOTH, &[3..=3], Permitted, "RFC 4253 §11.4"),
    law(ALL, BOTH, &[4..=4], Permitted, "RFC 4253 §11.3"),
    law(
        ALL,
        BOTH,
        UNASSIGNED,
        Permitted,
        "RFC 4253 §11.4: unrecognized messages are answered and ignored",
    ),
    law(
        ALL,
        BOTH,
        &[192..=193],
        Permitted,
        "OpenSSH PROTOCOL: ping@openssh.com",
    ),
    // ---- extensions
    law(
        &[ServiceRequest, Authentication],
        &[Client],
        &[7..=7],
        Permitted,
        "RFC 8308 §2.4: up to USERAUTH_SUCCESS",
    ),
    law(
        &[ServiceRequest],
        &[Server],
        &[7..=7],
        Permitted,
        "RFC 8308 §2.4: right behind the first NEWKEYS",
    ),
    law(
        ALL,
        BOTH,
        &[7..=7],
        Refused,
        "RFC 8308 §2.4: at no other time",
    ),
    // ---- key exchange
    law(&[Handshake], BOTH, &[20..=20], Permitted, "RFC 4253 §7.1"),
    law(
        &[ServiceRequest, Authentication, Session],
        BOTH,
        &[20..=20],
        Permitted,
        "RFC 4253 §9",
    ),
    law(
        &[Offered],
        BOTH,
        &[20..=20],
        Permitted,
        "RFC 4253 §9: the answer to ours",
    ),
    law(
        ALL,
        BOTH,
        &[20..=20],
        Refused,
        "RFC 4253 §7.1: no second KEXINIT before NEWKEYS",
    ),
    law(&[NewKeys], BOTH, &[21..=21], Permitted, "RFC 4253 §7.3"),
    law(
        ALL,
        BOTH,
        &[21..=21],
        Refused,
        "RFC 4253 §7.3: at the end of an exchange only",
    ),
    law(
        &[Exchange, StrictExchange, ReExchange],
        &[Client],
        &[31..=31],
        Permitted,
        "RFC 5656 §4, RFC 8731 §3",
    ),
    law(
        &[Exchange, StrictExchange, ReExchange],
        &[Server],
        &[30..=30],
        Permitted,
        "RFC 5656 §4, RFC 8731 §3",
    ),
    law(
        &[Group],
        &[Client],
        &[31..=31],
        Permitted,
        "RFC 4419 §3: the group",
    ),
    law(
        &[Group],
        &[Server],
        &[34..=34],
        Permitted,
        "RFC 4419 §3: the sizes that the client takes",
    ),
    law(
        &[GroupShare],
        &[Client],
        &[33..=33],
        Permitted,
        "RFC 4419 §3: the server's share and its proof",
    ),
    law(
        &[GroupShare],
        &[Server],
        &[32..=32],
        Permitted,
        "RFC 4419 §3: the client's share",
    ),
    law(
        ALL,
        BOTH,
        &[30..=49],
        Refused,
        "RFC 4253 §7: only what the method under way has next",
    ),
    // ---- services while keys are exchanged
    law(
        EXCHANGING,
        BOTH,
        SERVICE_NUMBERS,
        Refused,
        "RFC 4253 §7.1: only transport messages from KEXINIT to NEWKEYS",
    ),
    // ---- service request
    law(
        &[ServiceRequest],
        &[Server],
        &[5..=5],
        Permitted,
        "RFC 4253 §10",
    ),
    law(
        &[ServiceRequest],
        &[Client],
        &[6..=6],
        Permitted,
        "RFC 4253 §10",
    ),
    law(
        SERVICES,
        BOTH,
        &[5..=6],
        Refused,
        "RFC 4253 §10: once, from client to server, and answered",
    ),
    // ---- user authentication
    law(
        &[ServiceRequest, Authentication],
        &[Client],
        &[53..=53],
        Permitted,
        "RFC 4252 §5.4: at any time before success",
    ),
    law(
        &[Authentication],
        &[Client],
        &[51..=52],
        Permitted,
        "RFC 4252 §5.1",
    ),
    law(
        &[Authentication],
        &[Server],
        &[50..=50],
        Permitted,
        "RFC 4252 §5",
    ),
    law(
        OPEN,
        &[Server],
        &[50..=50],
        Permitted,
        "RFC 4252 §5.1: requests after success are silently ignored",
    ),
    law(
        &[ServiceRequest],
        &[Server],
        &[50..=50],
        Refused,
        "RFC 4253 §10: the service is requested first",
    ),
    law(
        SERVICES,
        &[Client],
        &[50..=50],
        Refused,
        "RFC 4252 §5: sent by clients",
    ),
    law(
        SERVICES,
        &[Server],
        &[51..=53],
        Refused,
        "RFC 4252 §5.1, §5.4: sent by servers",
    ),
    law(
        SERVICES,
        &[Client],
        &[51..=53],
        Refused,
        "RFC 4252 §5.1, §5.4: in answer to a request, and up to success",
    ),
    law(
        SERVICES,
        BOTH,
        &[60..=61],
        Refused,
        "RFC 4252 §6: only for the method under way",
    ),
    law(
        SERVICES,
        BOTH,
        &[54..=59, 62..=79],
        Permitted,
        "RFC 4253 §11.4: unrecognized messages are answered and ignored",
    ),
    // ---- connection protocol
    law(
        &[ServiceRequest, Authentication],
        BOTH,
        &[80..=127],
        Refused,
        "RFC 4252 §6: nothing of 80 and above before success",
    ),
    law(OPEN, BOTH, &[80..=82], Permitted, "RFC 4254 §4"),
    law(
        OPEN,
        BOTH,
        &[90..=90],
        Permitted,
        "RFC 4254 §5.1: an opening is granted or refused",
    ),
    law(OPEN, &[Client], &[91..=92], Permitted, "RFC 4254 §5.1"),
    law(
        OPEN,
        &[Server],
        &[91..=92],
        Refused,
        "RFC 4254 §5.1: in answer to an opening only",
    ),
    law(OPEN, BOTH, &[93..=95], Permitted, "RFC 4254 §5.2"),
    law(OPEN, BOTH, &[96..=97], Permitted, "RFC 4254 §5.3"),
    law(
        OPEN,
        BOTH,
        &[98..=98],
        Permitted,
        "RFC 4254 §5.4: an unknown request is answered with a failure",
    ),
    law(OPEN, &[Client], &[99..=100], Permitted, "RFC 4254 §5.4"),
    law(
        OPEN,
        &[Server],
        &[99..=100],
        Refused,
        "RFC 4254 §5.4: in answer to a request only",
    ),
    law(
        OPEN,
        BOTH,
        &[83..=89, 101..=127],
        Permitted,
        "RFC 4253 §11.4: unrecognized messages are answered and ignored",
    ),
];
