//! One connection: composes the layers, and is the only place that knows which message belongs to
//! which phase.

mod client;
mod event;
mod server;

pub use crate::config::{Algorithms, ClientLocal, Config, KeepAlive, ServerLocal};
pub use client::Trust;
pub use event::{ClientEvent, Common, HostKey, ServerEvent};

use crate::auth::{Machine, Step};
use crate::connection::{EventOf, Mux};
use crate::crypto::PublicKey;
use crate::error::{DisconnectReason, Error};
use crate::packet::{Payload, Sorted};
use crate::role::{Role, sealed};
use crate::timer::{Timer, Timers};
use crate::transport::{Negotiated, Notice, Transport};
use crate::wire::{self, Layer, in_range};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Where the connection is. A phase owns what only it may use.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per connection, and it ends as the largest"
)]
enum Phase<R: Role> {
    /// No service may speak yet.
    Handshake,
    Auth(R::Auth),
    Open(Mux<R>),
}

/// One SSH connection, seen from one end.
#[derive(Debug)]
pub struct Connection<R: Role> {
    config: Arc<Config<R>>,
    transport: Transport<R>,
    /// `Err` is terminal, and the same error is given again to whoever asks again.
    phase: Result<Phase<R>, Error>,
    events: VecDeque<R::Event>,
    channel_events: VecDeque<EventOf<R>>,
    auth_events: VecDeque<<<R as sealed::Role>::Auth as Machine>::Event>,
    timers: Timers,
    /// Signs of life asked for since the last one came.
    missed: u32,
    /// Bytes of input that the last call left.
    held: usize,
    /// Exchanges that had finished when the age of the keys was last set.
    aged: u64,
    closed_told: bool,
    /// Ties tokens to the connection that gave them out.
    id: u64,
}

impl<R: Role> Connection<R> {
    fn start(
        config: Arc<Config<R>>,
        now: Instant,
        can_sign: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let mut id = [0; 8];
        config.provider.random.fill(&mut id)?;
        let mut timers = Timers::default();
        timers.set(Timer::Login, now.checked_add(config.limits.login));
        Ok(Self {
            transport: Transport::new(Arc::clone(&config), can_sign)?,
            phase: Ok(Phase::Handshake),
            events: VecDeque::new(),
            channel_events: VecDeque::new(),
            auth_events: VecDeque::new(),
            timers,
            missed: 0,
            held: 0,
            aged: 0,
            closed_told: false,
            id: u64::from_be_bytes(id),
            config,
        })
    }

    // ---- inputs

    /// Consumes as much of `input` as may be acted on now. What is left stays for the next call: that
    /// is the back-pressure, and also how half a packet waits for its other half.
    ///
    /// # Errors
    /// The error that ended the connection, now or earlier.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        let before = input.len();
        let arrived = before > self.held;
        while self.wants_input() {
            let step = match self.transport.decode(input) {
                Ok(Some(payload)) => self.dispatch(payload),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                return self.fail(error);
            }
        }
        self.held = input.len();
        // The bytes of a long packet on a slow line are signs of life too, before it is whole.
        if arrived || self.held != before {
            self.missed = 0;
            self.timers.set(Timer::KeepAlive, self.keepalive_due(now));
        }
        self.run_timers(now);
        self.outcome()
    }

    /// The transport has ended on the peer's side.
    ///
    /// # Errors
    /// Always: the error that ended the connection, [`Error::ConnectionLost`] if this did.
    pub fn handle_eof(&mut self, _now: Instant) -> Result<(), Error> {
        let stage = self.stage();
        self.fail(Error::ConnectionLost { stage })
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when what was waited for did not come; or the error that ended the
    /// connection earlier.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Login => {
                    let waiting_for = self.stage();
                    return self.fail(Error::TimedOut { waiting_for });
                }
                Timer::Exchange => {
                    return self.fail(Error::TimedOut {
                        waiting_for: "a key re-exchange",
                    });
                }
                Timer::Rekey => {
                    if let Err(error) = self.transport.offer() {
                        return self.fail(error.into());
                    }
                }
                Timer::KeepAlive => self.ask_for_life(now)?,
            }
        }
        self.run_timers(now);
        self.outcome()
    }

    // ---- outputs

    /// What there is to be told or answered next. Ends with [`Common::Closed`], told once.
    pub fn poll_event(&mut self) -> Option<R::Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        match &mut self.phase {
            Ok(Phase::Open(mux)) => mux.poll_event().map(R::channel_event),
            Err(error) if !self.closed_told => {
                self.closed_told = true;
                Some(Common::Closed(error.clone()).into())
            }
            _ => None,
        }
    }

    /// Sealed bytes for the socket; advance the buffer by what was written. At least `room` bytes
    /// when there is that much to say; nothing is sealed beyond that, so that what is urgent never
    /// waits behind what is not.
    pub fn transmit(&mut self, now: Instant, room: usize) -> &mut BytesMut {
        let phase = &mut self.phase;
        let filled = self.transport.fill(room, &mut |out| match phase {
            Ok(Phase::Auth(auth)) => auth.poll_message(out),
            Ok(Phase::Open(mux)) => mux.poll_message(out),
            Ok(Phase::Handshake) | Err(_) => false,
        });
        if let Err(error) = filled {
            // The error reaches the application as an event and from every later call.
            let _ = self.fail(error.into());
        }
        self.run_timers(now);
        self.transport.out()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, unless something else
    /// happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.phase.as_ref().ok().and_then(|_| self.timers.next())
    }

    // ---- getters

    /// Whether [`handle_input`](Self::handle_input) would take anything: not while an answer is owed,
    /// or too much waits to be sent.
    pub fn wants_input(&self) -> bool {
        self.transport.wants_input()
            && match &self.phase {
                Ok(Phase::Handshake) => true,
                Ok(Phase::Auth(auth)) => auth.wants_input(),
                // Answers that an exchange holds back leave only when it is done, and that takes reading.
                Ok(Phase::Open(mux)) => mux.wants_input() || !self.transport.may_serve(),
                Err(_) => false,
            }
    }

    /// The channels, once there can be any.
    pub const fn mux(&mut self) -> Option<&mut Mux<R>> {
        match &mut self.phase {
            Ok(Phase::Open(mux)) => Some(mux),
            _ => None,
        }
    }

    /// The error that ended the connection, once it has.
    pub fn error(&self) -> Option<&Error> {
        self.phase.as_ref().err()
    }

    /// What was negotiated by the newest key exchange.
    pub const fn negotiated(&self) -> Option<&Negotiated> {
        self.transport.negotiated()
    }

    /// The host key that the client trusted.
    pub const fn host_key(&self) -> Option<&PublicKey> {
        self.transport.host_key()
    }

    /// The peer's identification line without its end (RFC 4253 §4.2).
    pub fn peer_ident(&self) -> Option<&[u8]> {
        self.transport.peer_ident()
    }

    /// How many key exchanges have finished.
    pub const fn exchanges(&self) -> u64 {
        self.transport.exchanges()
    }

    /// What the connection is doing, in words for errors and logs.
    pub fn stage(&self) -> &'static str {
        match &self.phase {
            Ok(Phase::Handshake) => self.transport.stage(),
            Ok(Phase::Auth(_)) if self.transport.peer_is_exchanging() => self.transport.stage(),
            Ok(Phase::Auth(auth)) => auth.stage(),
            Ok(Phase::Open(_)) if self.transport.is_exchanging() => "a key re-exchange",
            Ok(Phase::Open(_)) => "the session",
            Err(_) => "the end",
        }
    }

    // ---- commands

    /// Changes the keys now (RFC 4253 §9), unless that is under way.
    ///
    /// # Errors
    /// The error that ended the connection.
    pub fn rekey(&mut self) -> Result<(), Error> {
        if self.phase.is_ok()
            && let Err(error) = self.transport.offer()
        {
            return self.fail(error.into());
        }
        self.outcome()
    }

    /// Ends the connection from our side. What [`transmit`](Self::transmit) still gives is to be
    /// sent: it says why.
    pub fn disconnect(&mut self) {
        let _ = self.fail(Error::Closed);
    }

    /// As [`disconnect`](Self::disconnect), for a reason of the application's and with its words, which
    /// are shown to people. Nothing happens if the connection has ended already.
    pub fn disconnect_because(&mut self, reason: DisconnectReason, text: &str) {
        if self.phase.is_ok() {
            self.disconnect();
            // In place of what `Closed` stands for.
            self.transport.stop(Some(reason), text);
        }
    }

    // ---- below: the parts of the above

    /// The one place where the phase is taken out and put back; an error stays, and stays the same.
    fn advance(
        &mut self,
        step: impl FnOnce(&mut Self, Phase<R>) -> Result<Phase<R>, Error>,
    ) -> Result<(), Error> {
        let taken = std::mem::replace(&mut self.phase, Err(Error::Unreachable("phase in flight")));
        self.phase = taken.and_then(|phase| {
            step(self, phase).inspect_err(|error| {
                self.transport
                    .stop(error.disconnect_reason(), disconnect_text(error));
            })
        });
        self.events
            .extend(self.channel_events.drain(..).map(R::channel_event));
        self.events
            .extend(self.auth_events.drain(..).map(R::auth_event));
        self.outcome()
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.advance(|_, _| Err(error))
    }

    fn outcome(&self) -> Result<(), Error> {
        self.phase.as_ref().map(|_| ()).map_err(Error::clone)
    }

    /// The whole of "what may arrive when". Nothing else in the crate decides it.
    fn dispatch(&mut self, payload: Payload<R>) -> Result<(), Error> {
        self.advance(|this, phase| {
            let exchanging = this.transport.peer_is_exchanging();
            match (payload.sort(), phase) {
                (Sorted::Transport(payload), phase) => {
                    let notice = this.transport.handle(payload)?;
                    Ok(this.notice(notice, phase))
                }
                // RFC 4253 §7.1: from its KEXINIT to its NEWKEYS a peer sends nothing of a service.
                (Sorted::Auth(payload), _) if exchanging => Err(payload.unexpected("key exchange")),
                (Sorted::Connection(payload), _) if exchanging => {
                    Err(payload.unexpected("key exchange"))
                }
                (Sorted::Auth(payload), Phase::Auth(auth)) if is_assigned(&payload) => {
                    let step = auth.handle(payload, &mut this.auth_events)?;
                    Ok(this.step(step))
                }
                // RFC 4252 §5.1: requests that were under way when authentication succeeded.
                (Sorted::Auth(payload), phase @ Phase::Open(_))
                    if R::Auth::IGNORED_LATE.contains(&payload.number()) =>
                {
                    Ok(phase)
                }
                (Sorted::Connection(payload), Phase::Open(mut mux)) if is_assigned(&payload) => {
                    let waiting = mux.waiting();
                    mux.handle(payload, &mut this.channel_events)?;
                    if mux.waiting() > waiting {
                        this.transport.count_noise()?;
                    }
                    Ok(Phase::Open(mux))
                }
                // RFC 4253 §11.4
                (Sorted::Auth(payload), phase @ (Phase::Auth(_) | Phase::Open(_)))
                    if !is_assigned(&payload) =>
                {
                    this.transport.unimplemented();
                    Ok(phase)
                }
                (Sorted::Connection(_), phase @ Phase::Open(_)) => {
                    this.transport.unimplemented();
                    Ok(phase)
                }
                (Sorted::Auth(payload), phase) => Err(payload.unexpected(phase.name())),
                // RFC 4252 §6: a server that receives these before success disconnects.
                (Sorted::Connection(payload), phase) => Err(payload.unexpected(phase.name())),
            }
        })
    }

    fn notice(&mut self, notice: Option<Notice>, mut phase: Phase<R>) -> Phase<R> {
        match notice {
            None => phase,
            Some(Notice::HostKey(key, algorithm)) => {
                self.events
                    .extend(R::host_key_event(HostKey::new(key, algorithm, self.id)));
                phase
            }
            Some(Notice::Established(session)) => {
                let mut auth = R::Auth::start(session, Arc::clone(&self.config));
                auth.poll_events(&mut self.auth_events);
                Phase::Auth(auth)
            }
            Some(Notice::Extensions(extensions)) => {
                if let Phase::Auth(auth) = &mut phase {
                    auth.learn(&extensions);
                }
                phase
            }
        }
    }

    fn step(&mut self, step: Step<R::Auth>) -> Phase<R> {
        match step {
            Step::Stay(auth) => Phase::Auth(auth),
            Step::Done(proof) => {
                self.timers.set(Timer::Login, None);
                self.transport.set_authenticated(R::Auth::LAST);
                self.events
                    .extend(self.auth_events.drain(..).map(R::auth_event));
                self.events.push_back(R::authenticated_event());
                let transport = &self.transport;
                let (session, negotiated) = (transport.session_id(), transport.negotiated());
                let host_keys = R::host_keys(&self.config, session, negotiated);
                Phase::Open(Mux::new(proof, &self.config.limits, host_keys))
            }
        }
    }

    fn ask_for_life(&mut self, now: Instant) -> Result<(), Error> {
        let allowed = self.config.keepalive.map_or(0, |it| it.missed);
        if self.missed >= allowed {
            return self.fail(Error::TimedOut {
                waiting_for: "a sign of life from the peer",
            });
        }
        if let Ok(Phase::Open(mux)) = &mut self.phase {
            mux.keepalive();
            self.missed += 1;
            self.timers.set(Timer::KeepAlive, self.keepalive_due(now));
        }
        Ok(())
    }

    fn keepalive_due(&self, now: Instant) -> Option<Instant> {
        let open = matches!(self.phase, Ok(Phase::Open(_)));
        self.config
            .keepalive
            .filter(|_| open)
            .and_then(|it| now.checked_add(it.interval))
    }

    /// Starts and stops the timers that follow from where the transport is.
    fn run_timers(&mut self, now: Instant) {
        if !matches!(self.phase, Ok(Phase::Open(_))) {
            return;
        }
        let exchanging = self.transport.is_exchanging();
        if exchanging != self.timers.is_set(Timer::Exchange) {
            let at = now
                .checked_add(self.config.limits.exchange)
                .filter(|_| exchanging);
            self.timers.set(Timer::Exchange, at);
        }
        if self.aged != self.transport.exchanges() {
            self.aged = self.transport.exchanges();
            self.timers.set(
                Timer::Rekey,
                now.checked_add(self.config.limits.rekey_interval),
            );
        }
        if !self.timers.is_set(Timer::KeepAlive) {
            self.timers.set(Timer::KeepAlive, self.keepalive_due(now));
        }
    }
}

impl<R: Role> Phase<R> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Handshake => "the handshake",
            Self::Auth(_) => "authentication",
            Self::Open(_) => "the session",
        }
    }
}

/// Whether any message of the layer has this number.
fn is_assigned<R, L: Layer>(payload: &Payload<R, L>) -> bool {
    !in_range(payload.number(), L::UNASSIGNED)
}

/// What the peer is told of an error. Never quotes the peer, and never says what helps an attacker.
const fn disconnect_text(error: &Error) -> &'static str {
    match error {
        Error::PeerMisbehaved(_) | Error::InvalidMessage { .. } => "protocol error",
        Error::PeerIncompatible { .. } => "no algorithm in common",
        Error::VersionNotSupported => "only SSH 2.0 is spoken here",
        Error::Integrity => "packet corrupt",
        Error::HostKeyRejected => "host key not trusted",
        Error::HostKeyUnproven(_) | Error::Crypto(_) => "key exchange failed",
        Error::AuthenticationFailed => "authentication failed",
        Error::TimedOut { .. } => "timed out",
        _ => "closed",
    }
}

/// Each number belongs to exactly one layer, so `sort` and the tables cannot disagree.
const _: () = {
    let mut number = 0u8;
    loop {
        let layers = in_range(number, wire::Transport::RANGE) as u8
            + in_range(number, wire::Auth::RANGE) as u8
            + in_range(number, wire::Connection::RANGE) as u8;
        assert!(layers == 1, "a number in no layer, or in two");
        if number == u8::MAX {
            break;
        }
        number += 1;
    }
};
