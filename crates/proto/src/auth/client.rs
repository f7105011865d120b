//! The client's half of user authentication (RFC 4252, RFC 4256, RFC 8332).
//!
//! ```text
//!          ┌──────────────── FAILURE ────────────────┐
//!          ▼                                         │
//!        Turn ── none, password, dialogue ───────▶ Asked ── SUCCESS ──▶ done
//!          │                                         │  ▲
//!          ├─ RSA ─▶ Held (until SERVICE_ACCEPT)     │  └── answer ──┐
//!          │           │                             │ 60            │
//!          └─ agent ───┴─▶ Probed ── PK_OK ─▶ Signing or Proved   Answering
//! ```
//!
//! A key in memory goes to Proved at once, which leaves like Asked; but a FAILURE has it Probed with
//! its next algorithm first, if it has one.
//!
//! Which credential is tried, in which order and how often is not decided here.

mod outgoing;
mod questions;

pub use questions::{Credential, Event, PasswordExpired, Prompts, ToSign, Turn};

use super::messages::{self, Banner, Failure, ServiceAccept, ServiceRequest, Success, interactive};
use super::messages::{password, publickey};
use super::signed_data::{self, Purpose};
use super::{AUTH_SERVICE, Authenticated, Effort, Machine, Method, Step, Ticket, Tickets};
use crate::config::Config;
use crate::crypto::{CERTIFICATE, CryptoError, PublicKey, Secret, SigningKey, write_signature};
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::packet::Payload;
use crate::role::Client;
use crate::transport::{ExtInfo, SessionId};
use crate::wire::{self, Field, Message};
use bytes::BytesMut;
use outgoing::{Outgoing, write};
use std::collections::VecDeque;
use std::sync::Arc;

/// The key type that has more than one signature algorithm (RFC 8332 §3).
const RSA: &str = "ssh-rsa";

/// The client's half. Driven by the connection.
#[derive(Debug)]
pub struct Auth {
    config: Arc<Config<Client>>,
    tickets: Tickets,
    service: Service,
    state: State,
    /// What EXT_INFO said, if it did (RFC 8308 §3.1).
    server_sig_algs: Option<Vec<String>>,
    /// What the last FAILURE said.
    methods: Vec<String>,
    /// Whether a method that succeeded partially had something proved to it.
    effort: Effort,
    banners: usize,
    /// At most SERVICE_REQUEST and one more: there is one turn at a time.
    pending: VecDeque<Outgoing>,
    raised: VecDeque<Event>,
}

#[derive(Debug, PartialEq, Eq)]
enum Service {
    Requested,
    Accepted,
}

#[derive(Debug)]
enum State {
    /// A [`Turn`] is out.
    Turn,
    /// It is not known yet what the RSA key should sign with.
    Held(Identity),
    /// The server was asked whether the key would be welcome with its first algorithm.
    Probed(Identity),
    /// A [`ToSign`] is out.
    Signing(Identity),
    /// The signature with the first algorithm is out.
    Proved(Identity),
    /// A request is out; the method alone says how message 60 reads (RFC 4252 §6).
    Asked { user: String, asked: Asked },
    /// The application owes answers: [`Prompts`] or [`PasswordExpired`] are out.
    Answering {
        user: String,
        asked: Asked,
        prompts: usize,
    },
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    None,
    Password { changes: usize },
    Interactive { rounds: usize, effort: Effort },
}

impl Asked {
    const fn method(self) -> Method {
        match self {
            Self::None => Method::None,
            Self::Password { .. } => Method::Password,
            Self::Interactive { .. } => Method::KeyboardInteractive,
        }
    }

    const fn effort(self) -> Effort {
        match self {
            Self::None => Effort::Trivial,
            Self::Password { .. } => Effort::Proved,
            Self::Interactive { effort, .. } => effort,
        }
    }
}

/// A key under way.
#[derive(Debug)]
struct Identity {
    user: String,
    key: PublicKey,
    signer: Option<Arc<dyn SigningKey>>,
    /// Those not tried yet; never empty while the identity is under way.
    algorithms: VecDeque<String>,
}

impl Auth {
    /// Tries a credential.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a turn of another connection, or a key without any algorithm.
    pub(crate) fn attempt(&mut self, turn: Turn, credential: Credential) -> Result<(), Error> {
        self.tickets.redeem(turn.ticket)?;
        match credential {
            Credential::None { user } => {
                let mut out = BytesMut::new();
                signed_data::write_head(&mut out, &user, Method::None);
                self.ask(user, Asked::None, Outgoing::Written(out));
            }
            Credential::Password { user, password } => {
                let message = Outgoing::Password {
                    user: user.clone(),
                    password,
                };
                self.ask(user, Asked::Password { changes: 0 }, message);
            }
            Credential::Interactive { user } => {
                let mut out = BytesMut::new();
                signed_data::write_head(&mut out, &user, Method::KeyboardInteractive);
                // RFC 4256 §3.1: the language is deprecated, and no submethod is preferred.
                "".write(&mut out);
                "".write(&mut out);
                let asked = Asked::Interactive {
                    rounds: 0,
                    effort: Effort::Trivial,
                };
                self.ask(user, asked, Outgoing::Written(out));
            }
            Credential::PublicKey { user, key } => {
                let algorithms = key.algorithms().iter().map(|&it| it.to_owned()).collect();
                let public = key.public_key().clone();
                self.present(Identity {
                    user,
                    key: public,
                    signer: Some(key),
                    algorithms,
                })?;
            }
            Credential::ExternalKey {
                user,
                key,
                algorithms,
            } => {
                self.present(Identity {
                    user,
                    key,
                    signer: None,
                    algorithms: algorithms.into(),
                })?;
            }
        }
        Ok(())
    }

    /// Takes what a key elsewhere signed: the signature without its algorithm's name.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection. That nothing was signed is none:
    /// the next turn comes.
    pub(crate) fn signed(
        &mut self,
        to_sign: ToSign,
        signature: Result<Vec<u8>, CryptoError>,
    ) -> Result<(), Error> {
        self.tickets.redeem(to_sign.ticket)?;
        let State::Signing(identity) = std::mem::replace(&mut self.state, State::Turn) else {
            return Err(Error::Unreachable(
                "a signature was asked for and is not awaited",
            ));
        };
        match signature {
            Ok(signature) => self.prove(identity, &to_sign.algorithm, &signature),
            Err(_) => self.offer_turn(false),
        }
        Ok(())
    }

    /// Answers a round of keyboard-interactive.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for questions of another connection, or when there are not as many
    /// responses as prompts.
    pub(crate) fn respond(
        &mut self,
        prompts: Prompts,
        responses: Vec<Secret>,
    ) -> Result<(), Error> {
        let (user, asked, count) = self.answering(prompts.ticket)?;
        // RFC 4256 §3.4: "If the num-responses field does not match the num-prompts field in the
        // request message, the server MUST send a failure message."
        if responses.len() != count {
            return Err(Error::ApiMisuse("not as many responses as prompts"));
        }
        self.ask(user, asked, Outgoing::Responses(responses));
        Ok(())
    }

    /// Answers with another password.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection.
    pub(crate) fn change_password(
        &mut self,
        expired: PasswordExpired,
        old: Secret,
        new: Secret,
    ) -> Result<(), Error> {
        let (user, asked, _) = self.answering(expired.ticket)?;
        let message = Outgoing::NewPassword {
            user: user.clone(),
            old,
            new,
        };
        self.ask(user, asked, message);
        Ok(())
    }

    /// Does not change the password: another credential may be tried, which abandons this one
    /// (RFC 4252 §5.1).
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] for a question of another connection.
    pub(crate) fn keep_password(&mut self, expired: PasswordExpired) -> Result<(), Error> {
        self.answering(expired.ticket)?;
        self.offer_turn(false);
        Ok(())
    }

    fn answering(&mut self, ticket: Ticket) -> Result<(String, Asked, usize), Error> {
        self.tickets.redeem(ticket)?;
        match std::mem::replace(&mut self.state, State::Turn) {
            State::Answering {
                user,
                asked,
                prompts,
            } => Ok((user, asked, prompts)),
            _ => Err(Error::Unreachable(
                "an answer was asked for and is not awaited",
            )),
        }
    }

    fn ask(&mut self, user: String, asked: Asked, message: Outgoing) {
        self.pending.push_back(message);
        self.state = State::Asked { user, asked };
    }

    fn offer_turn(&mut self, partial: bool) {
        let turn = Turn {
            ticket: self.tickets.issue(),
        };
        let methods = self.methods.clone();
        self.raised.push_back(Event::AuthRequired {
            turn,
            methods,
            partial,
        });
        self.state = State::Turn;
    }

    /// Begins with a key, as far as is known what it should sign with.
    fn present(&mut self, mut identity: Identity) -> Result<(), Error> {
        if identity.algorithms.is_empty() {
            return Err(Error::ApiMisuse("a key without a signature algorithm"));
        }
        let allowed = &self.config.local.user_algorithms;
        identity.algorithms.retain(|it| {
            let plain = it.strip_suffix(CERTIFICATE).unwrap_or(it);
            allowed.iter().any(|allowed| allowed == plain)
        });
        if identity.algorithms.is_empty() {
            let cause = CryptoError::Unsupported(
                "the key signs by algorithms alone that the profile does not allow",
            );
            self.raised.push_back(Event::NotSigned(cause));
            self.offer_turn(false);
            return Ok(());
        }
        if identity.key.kind() != RSA {
            // Its algorithm is its type, and lists of other servers than OpenSSH's are known not to
            // name all that they take: nothing is to be learnt from the list.
            self.sign_or_probe(identity);
            return Ok(());
        }
        let Some(listed) = &self.server_sig_algs else {
            // RFC 8308 §2.4: EXT_INFO is the server's first message after NEWKEYS, so that with
            // SERVICE_ACCEPT it has either come or will not.
            if self.service == Service::Requested {
                self.state = State::Held(identity);
            } else {
                self.probe(identity);
            }
            return Ok(());
        };
        if identity.algorithms.iter().any(|it| listed.contains(it)) {
            identity.algorithms.retain(|it| listed.contains(it));
            self.sign_or_probe(identity);
        } else {
            self.probe(identity);
        }
        Ok(())
    }

    fn sign_or_probe(&mut self, identity: Identity) {
        if identity.signer.is_some() {
            self.sign(identity)
        } else {
            self.probe(identity)
        }
    }

    fn probe(&mut self, identity: Identity) {
        let algorithm = identity.algorithms.front().map_or("", String::as_str);
        let out = signed_data::request(&identity.user, Purpose::Probe, algorithm, &identity.key);
        self.pending.push_back(Outgoing::Written(out));
        self.state = State::Probed(identity);
    }

    /// Signs, or has it signed, with the first algorithm.
    fn sign(&mut self, identity: Identity) {
        let algorithm = identity.algorithms.front().cloned().unwrap_or_default();
        let data = signed_data::signed_data(
            &self.tickets.session,
            &identity.user,
            &algorithm,
            &identity.key,
        );
        let Some(signer) = &identity.signer else {
            let (key, ticket) = (identity.key.clone(), self.tickets.issue());
            self.raised.push_back(Event::Sign(ToSign {
                key,
                algorithm,
                data,
                ticket,
            }));
            self.state = State::Signing(identity);
            return;
        };
        match signer.sign(&algorithm, &data, &*self.config.provider.random) {
            Ok(signature) => self.prove(identity, &algorithm, &signature),
            Err(cause) => {
                self.raised.push_back(Event::NotSigned(cause));
                self.offer_turn(false);
            }
        }
    }

    fn prove(&mut self, identity: Identity, algorithm: &str, signature: &[u8]) {
        let purpose = Purpose::Proof;
        let mut out = signed_data::request(&identity.user, purpose, algorithm, &identity.key);
        // OpenSSH PROTOCOL.certkeys: the signature names the key's algorithm, not the certificate's.
        let named = algorithm.strip_suffix(CERTIFICATE).unwrap_or(algorithm);
        (&write_signature(named, signature)[..]).write(&mut out);
        self.pending.push_back(Outgoing::Written(out));
        self.state = State::Proved(identity);
    }

    fn on_banner(&mut self, payload: &Payload<Client, wire::Auth>) -> Result<(), Error> {
        let banner: Banner<'_> = payload.read()?;
        self.banners += 1;
        if self.banners > limits::BANNERS {
            return Err(PeerMisbehaved::TooManyPrompts.into());
        }
        self.raised
            .push_back(Event::Banner(messages::words(banner.message)));
        Ok(())
    }

    fn on_service_accept(&mut self, payload: &Payload<Client, wire::Auth>) -> Result<(), Error> {
        let accept: ServiceAccept<'_> = payload.read()?;
        if accept.name != AUTH_SERVICE.as_bytes() {
            return Err(PeerMisbehaved::WrongService.into());
        }
        self.service = Service::Accepted;
        match std::mem::replace(&mut self.state, State::Turn) {
            State::Held(identity) => self.present(identity),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    fn on_failure(
        &mut self,
        payload: &Payload<Client, wire::Auth>,
        state: State,
    ) -> Result<(), Error> {
        let failure: Failure<'_> = payload.read()?;
        self.methods = listed_methods(&failure);
        if self.methods.is_empty() {
            return Err(Error::AuthenticationFailed);
        }
        match state {
            State::Asked { asked, .. } if failure.partial && asked.effort() == Effort::Proved => {
                self.effort = Effort::Proved;
            }
            State::Proved(_) if failure.partial => self.effort = Effort::Proved,
            // After a signature too: OpenSSH 9.2 lists all that it can verify, also what it is
            // configured not to take.
            State::Probed(mut identity) | State::Proved(mut identity) => {
                identity.algorithms.pop_front();
                let welcome = self.methods.iter().any(|it| it == Method::PublicKey.name());
                if welcome && !identity.algorithms.is_empty() {
                    self.probe(identity);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.offer_turn(failure.partial);
        Ok(())
    }

    fn on_pk_ok(
        &mut self,
        payload: &Payload<Client, wire::Auth>,
        mut identity: Identity,
    ) -> Result<(), Error> {
        let ok: publickey::PkOk<'_> = payload.read()?;
        // RFC 4252 §7: algorithm and key are those "from the request".
        let asked = identity.algorithms.front().map(String::as_bytes);
        if Some(ok.algorithm) != asked || ok.key != identity.key.as_bytes() {
            return Err(PeerMisbehaved::WrongPkOk.into());
        }
        // If this signature is refused, it is not for its algorithm.
        identity.algorithms.truncate(1);
        self.sign(identity);
        Ok(())
    }

    fn on_change_request(
        &mut self,
        payload: &Payload<Client, wire::Auth>,
        user: String,
        changes: usize,
    ) -> Result<(), Error> {
        let request: password::ChangeRequest<'_> = payload.read()?;
        let changes = changes + 1;
        if changes > limits::INTERACTIVE_ROUNDS {
            return Err(PeerMisbehaved::TooManyPrompts.into());
        }
        let (prompt, ticket) = (messages::words(request.prompt), self.tickets.issue());
        self.raised
            .push_back(Event::PasswordExpired(PasswordExpired { prompt, ticket }));
        self.state = State::Answering {
            user,
            asked: Asked::Password { changes },
            prompts: 0,
        };
        Ok(())
    }

    fn on_info_request(
        &mut self,
        payload: &Payload<Client, wire::Auth>,
        user: String,
        rounds: usize,
        mut effort: Effort,
    ) -> Result<(), Error> {
        let request: interactive::InfoRequest<'_> = payload.read()?;
        let rounds = rounds + 1;
        if rounds > limits::INTERACTIVE_ROUNDS {
            return Err(PeerMisbehaved::TooManyPrompts.into());
        }
        let prompts = request.prompts()?;
        if !prompts.is_empty() {
            effort = Effort::Proved;
        }
        let asked = Asked::Interactive { rounds, effort };
        self.state = State::Answering {
            user,
            asked,
            prompts: prompts.len(),
        };
        self.raised.push_back(Event::Prompts(Prompts {
            name: messages::words(request.name),
            instruction: messages::words(request.instruction),
            prompts,
            ticket: self.tickets.issue(),
        }));
        Ok(())
    }

    fn answer(
        &mut self,
        payload: &Payload<Client, wire::Auth>,
    ) -> Result<Option<Authenticated>, Error> {
        // What we have not said yet cannot have been answered, nor what was not asked at all.
        if self.service == Service::Requested || !self.pending.is_empty() {
            return Err(payload.unexpected(self.stage()));
        }
        let state = std::mem::replace(&mut self.state, State::Turn);
        match (payload.number(), state) {
            (
                Failure::NUMBER,
                state @ (State::Asked { .. } | State::Probed(_) | State::Proved(_)),
            ) => self.on_failure(payload, state)?,
            (Success::NUMBER, State::Asked { user, asked }) => {
                payload.read::<Success>()?;
                return Ok(Some(self.proof(user, asked.method(), asked.effort())));
            }
            (Success::NUMBER, State::Proved(identity)) => {
                payload.read::<Success>()?;
                let method = Method::PublicKey;
                return Ok(Some(self.proof(identity.user, method, Effort::Proved)));
            }
            (publickey::PkOk::NUMBER, State::Probed(identity)) => {
                self.on_pk_ok(payload, identity)?
            }
            (
                password::ChangeRequest::NUMBER,
                State::Asked {
                    user,
                    asked: Asked::Password { changes },
                },
            ) => self.on_change_request(payload, user, changes)?,
            (
                interactive::InfoRequest::NUMBER,
                State::Asked {
                    user,
                    asked: Asked::Interactive { rounds, effort },
                },
            ) => self.on_info_request(payload, user, rounds, effort)?,
            (_, state) => {
                self.state = state;
                return Err(payload.unexpected(self.stage()));
            }
        }
        Ok(None)
    }

    /// Earlier methods count too: the proof may have been theirs.
    fn proof(&self, user: String, method: Method, effort: Effort) -> Authenticated {
        let proved = [self.effort, effort].contains(&Effort::Proved);
        let effort = if proved {
            Effort::Proved
        } else {
            Effort::Trivial
        };
        let unsent = VecDeque::new();
        Authenticated {
            user,
            method,
            effort,
            unsent,
        }
    }
}

impl Machine for Auth {
    type Role = Client;
    type Event = Event;
    const IGNORED_LATE: &'static [u8] = &[];
    const LAST: Option<u8> = None;

    fn start(session: SessionId, config: Arc<Config<Client>>) -> Self {
        let mut out = BytesMut::new();
        write(
            &ServiceRequest {
                name: AUTH_SERVICE.as_bytes(),
            },
            &mut out,
        );
        let mut this = Self {
            config,
            tickets: Tickets::new(session),
            service: Service::Requested,
            state: State::Turn,
            server_sig_algs: None,
            methods: Vec::new(),
            effort: Effort::Trivial,
            banners: 0,
            pending: VecDeque::from([Outgoing::Written(out)]),
            raised: VecDeque::new(),
        };
        // Before SERVICE_ACCEPT, so that both requests can leave in one flight.
        this.offer_turn(false);
        this
    }

    fn poll_events(&mut self, events: &mut VecDeque<Event>) {
        events.append(&mut self.raised);
    }

    fn learn(&mut self, extensions: &ExtInfo) {
        if let Some(names) = &extensions.server_sig_algs {
            self.server_sig_algs = Some(names.clone());
        }
    }

    fn wants_input(&self) -> bool {
        // A question that is out is no reason not to hear that the server hangs up.
        true
    }

    fn handle(
        mut self,
        payload: Payload<Client, wire::Auth>,
        events: &mut VecDeque<Event>,
    ) -> Result<Step<Self>, Error> {
        match payload.number() {
            Banner::NUMBER => self.on_banner(&payload)?,
            ServiceAccept::NUMBER if self.service == Service::Requested => {
                self.on_service_accept(&payload)?;
            }
            _ => {
                if let Some(proof) = self.answer(&payload)? {
                    return Ok(Step::Done(proof));
                }
            }
        }
        self.poll_events(events);
        Ok(Step::Stay(self))
    }

    fn poll_message(&mut self, out: &mut BytesMut) -> bool {
        let Some(message) = self.pending.pop_front() else {
            return false;
        };
        message.write(out);
        true
    }

    fn stage(&self) -> &'static str {
        match &self.state {
            State::Asked { asked, .. } | State::Answering { asked, .. } => match asked {
                Asked::None => "authentication (none)",
                Asked::Password { .. } => "authentication (password)",
                Asked::Interactive { .. } => "authentication (keyboard-interactive)",
            },
            State::Held(_) | State::Probed(_) | State::Signing(_) | State::Proved(_) => {
                "authentication (publickey)"
            }
            State::Turn => "authentication",
        }
    }
}

/// The methods of a FAILURE. Those that cannot be names (RFC 4251 §6) and `none`, which RFC 4252
/// §5.2 keeps out of the list, are left out; so is what goes beyond any use.
fn listed_methods(failure: &Failure<'_>) -> Vec<String> {
    const METHODS: usize = 64;
    const LONGEST: usize = 64;
    let names = failure.methods.iter();
    let usable = names.filter(|it| it.len() <= LONGEST && *it != Method::None.name());
    usable.take(METHODS).map(str::to_owned).collect()
}
