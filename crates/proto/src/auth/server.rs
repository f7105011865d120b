//! The server's half of user authentication (RFC 4252, RFC 4256).
//!
//! ```text
//!   AwaitService ── SERVICE_REQUEST ──▶ Idle ── USERAUTH_REQUEST ──▶ Judging ── Accept ──▶ done
//!                                        ▲ ▲                          │  │
//!                                        │ └── FAILURE, PK_OK, 60 ────┘  │ INFO_REQUEST
//!                                        └── next request ── Prompted ◀──┘
//!                                                               └── INFO_RESPONSE ──▶ Judging
//! ```
//!
//! Whose password or key is right is for the application to say, with one [`Verdict`] per
//! [`Attempt`]; nothing further is read meanwhile, so requests are judged in their order (RFC 4252
//! §5.1). What cannot succeed whatever the application says is refused here: a bad signature, a method
//! that is not listed, an algorithm that nobody verifies.
//!
//! That the time an answer takes must not tell known users from unknown is the driver's and the
//! application's to see to: there is no clock here.

use super::messages::{
    self, Banner, Failure, Request, ServiceAccept, ServiceRequest, Success, interactive, invalid,
    password, publickey,
};
use super::signed_data;
use super::{
    AUTH_SERVICE, Authenticated, CONNECTION_SERVICE, Effort, Machine, Method, Prompt, Step, Ticket,
    Tickets,
};
use crate::config::Config;
use crate::crypto::{
    CERTIFICATE, PublicKey, Secret, SignatureAlgorithm, split_certificate, split_signature,
};
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::packet::Payload;
use crate::role::Server;
use crate::transport::{ExtInfo, SessionId};
use crate::wire::{self, Malformed, Message, NameList, Rest, SentBy, Text};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

/// Requests of one connection, questions about keys included, that are looked at; OpenSSH looks at
/// as many. Failed ones have their own, lower bound:
/// [`Limits::auth_attempts`](crate::limits::Limits::auth_attempts).
const REQUESTS: u32 = 1024;
/// Longest public key that is looked at: several times that of RSA with 16384 bits.
const KEY: usize = 16 * 1024;
/// Longest name of an algorithm (RFC 4251 §6).
const ALGORITHM: usize = 64;

/// What the application is told and asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody would like to get in.
    Attempt(Attempt),
}

/// One attempt waiting for a verdict. Linear: spent by the connection's `verdict`. If it is dropped
/// nothing more is read until the login timer ends the connection.
#[derive(Debug)]
#[must_use = "the client waits for the verdict"]
#[non_exhaustive]
pub struct Attempt {
    /// Who the client claims to be; at most [`limits::NAME`] bytes.
    pub user: String,
    /// What it offers for it.
    pub method: Offered,
    /// Whether this is the first attempt under this name, or the first after another name: whatever
    /// was remembered of earlier attempts is then void (RFC 4252 §5).
    pub fresh: bool,
    /// The methods that have succeeded under this name already, partially, in their order.
    pub passed: Vec<Method>,
    ticket: Ticket,
}

/// What is offered as proof.
#[derive(Debug)]
#[non_exhaustive]
pub enum Offered {
    /// Nothing (RFC 4252 §5.2): to be rejected unless this user needs no authentication.
    None,
    /// A password (RFC 4252 §8).
    Password(Secret),
    /// A password, and the one that it is to be replaced with (RFC 4252 §8).
    PasswordChange {
        /// The password so far.
        old: Secret,
        /// The password from now on, if the old one is right and this one is good enough.
        new: Secret,
    },
    /// A question only: would a signature by this key be welcome? Nothing is proved, and
    /// [`Verdict::Accept`] is no answer to it (RFC 4252 §7).
    PublicKeyProbe {
        /// The signature algorithm; we can verify it, and the key is of its type.
        algorithm: String,
        /// The key, or a certificate: then of a type that ends in [`CERTIFICATE`].
        key: PublicKey,
    },
    /// A key that the client has proved to hold: its signature verifies. Whether the key may log in
    /// is decided here, whatever was answered to a probe.
    PublicKey {
        /// The signature algorithm.
        algorithm: String,
        /// The key; or a certificate, of a type that ends in [`CERTIFICATE`] and so equal to no key.
        /// Then the key inside was proved, and nothing that the certificate says of it: who signed it,
        /// for whom and for how long is for the application to check.
        key: PublicKey,
    },
    /// The wish to be asked (RFC 4256 §3.1).
    Interactive {
        /// What the client would like to be asked for, comma-separated; mostly empty.
        submethods: String,
    },
    /// The responses to the prompts of the last verdict, as many as there were prompts
    /// (RFC 4256 §3.4).
    Responses(Vec<Secret>),
}

/// The answer to an attempt.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The user is in. Not for a probe.
    Accept,
    /// This method succeeded, and one of `methods` has to succeed as well (RFC 4252 §5.1). Not for a
    /// probe or `none`.
    Partial {
        /// The methods that can continue; not empty. Others are refused unasked from here on.
        methods: Vec<String>,
    },
    /// It failed.
    Reject {
        /// The methods that can continue. Others are refused unasked from here on.
        methods: Vec<String>,
    },
    /// A signature by the key would be welcome. For a probe only.
    Acceptable,
    /// Asks the user, of whom at most [`limits::PROMPTS`] things at once. For
    /// keyboard-interactive only.
    Prompt {
        /// A title; may be empty.
        name: String,
        /// What to tell the user first; may be empty.
        instruction: String,
        /// The questions; may be none, and are answered also then.
        prompts: Vec<Prompt>,
    },
    /// The password is right, and has to be replaced first; or the new one is not good enough. For
    /// a password only.
    ChangePassword {
        /// What to tell the user.
        prompt: String,
    },
}

/// The server's half. Driven by the connection.
#[derive(Debug)]
pub struct Auth {
    config: Arc<Config<Server>>,
    tickets: Tickets,
    state: State,
    /// Whom the rest of what is remembered here is about.
    user: Option<String>,
    /// What the next FAILURE lists, and all that is taken besides `none`.
    methods: Vec<String>,
    /// Methods that succeeded partially.
    passed: Vec<Method>,
    /// Of the connection, whatever names were tried.
    failures: u32,
    requests: u32,
    pending: VecDeque<BytesMut>,
    raised: VecDeque<Event>,
}

#[derive(Debug)]
enum State {
    AwaitService,
    Idle,
    /// An [`Attempt`] is out.
    Judging(Asked),
    /// The user was asked; a response, or another request, comes next.
    Prompted {
        rounds: usize,
        prompts: usize,
    },
}

/// What an attempt is about: our own record, which no application can have changed.
#[derive(Debug)]
enum Asked {
    None,
    Password,
    Probe { algorithm: String, key: PublicKey },
    PublicKey,
    Interactive { rounds: usize },
}

impl Asked {
    const fn method(&self) -> Method {
        match self {
            Self::None => Method::None,
            Self::Password => Method::Password,
            Self::Probe { .. } | Self::PublicKey => Method::PublicKey,
            Self::Interactive { .. } => Method::KeyboardInteractive,
        }
    }
}

/// How a key comes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By itself.
    Plain,
    /// Inside a certificate (OpenSSH PROTOCOL.certkeys).
    Certificate,
}

/// What a request came to before anybody was asked.
enum Considered {
    /// Somebody has to decide.
    Ask(Asked, Offered),
    /// It cannot succeed.
    Refuse,
}

impl Auth {
    /// Takes the verdict over an attempt. When that lets the user in, SUCCESS is the caller's to
    /// send, behind what the machine had not sent yet.
    ///
    /// # Errors
    /// [`Error::AuthenticationFailed`] when too many attempts have failed; [`Error::ApiMisuse`] for
    /// an attempt of another connection, or a verdict that does not go with what was offered.
    pub(crate) fn verdict(
        mut self,
        attempt: Attempt,
        verdict: Verdict,
    ) -> Result<Step<Self>, Error> {
        self.tickets.redeem(attempt.ticket)?;
        let State::Judging(asked) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(Error::Unreachable("an attempt was out and is not judged"));
        };
        match (verdict, asked) {
            (Verdict::Reject { methods }, asked) => {
                self.methods = methods;
                // As OpenSSH counts: to ask which methods there are is no failure, once.
                if matches!(asked, Asked::None) && self.requests == 1 {
                    self.say_failure(Partial::No);
                } else {
                    self.fail()?;
                }
            }
            // Nothing was proved: there is no way from here to SUCCESS.
            (Verdict::Accept | Verdict::Partial { .. }, Asked::Probe { .. }) => {
                return Err(Error::ApiMisuse(
                    "a key was accepted that proved nothing yet",
                ));
            }
            (Verdict::Accept, asked) => return Ok(self.accept(&asked)),
            (Verdict::Partial { methods }, asked)
                if !matches!(asked, Asked::None) && !methods.is_empty() =>
            {
                self.passed.push(asked.method());
                self.methods = methods;
                self.say_failure(Partial::Yes);
            }
            (Verdict::Acceptable, Asked::Probe { algorithm, key }) => {
                self.say(&publickey::PkOk {
                    algorithm: algorithm.as_bytes(),
                    key: key.as_bytes(),
                });
            }
            (
                Verdict::Prompt {
                    name,
                    instruction,
                    prompts,
                },
                Asked::Interactive { rounds },
            ) if prompts.len() <= limits::PROMPTS => {
                if rounds == limits::INTERACTIVE_ROUNDS {
                    self.fail()?;
                } else {
                    self.prompt(rounds, &name, &instruction, &prompts);
                }
            }
            (Verdict::ChangePassword { prompt }, Asked::Password) => {
                let prompt = prompt.as_bytes();
                self.say(&password::ChangeRequest {
                    prompt,
                    language: Text(b""),
                });
            }
            _ => {
                return Err(Error::ApiMisuse(
                    "a verdict that does not go with what was offered",
                ));
            }
        }
        Ok(Step::Stay(self))
    }

    fn accept(mut self, asked: &Asked) -> Step<Self> {
        let method = asked.method();
        let trivial = method == Method::None && self.passed.is_empty();
        let effort = if trivial {
            Effort::Trivial
        } else {
            Effort::Proved
        };
        // RFC 4252 §5.1: sent once, behind whatever authentication still had to say.
        self.say(&Success {});
        let user = self.user.unwrap_or_default();
        Step::Done(Authenticated {
            user,
            method,
            effort,
            unsent: self.pending,
        })
    }

    fn prompt(&mut self, rounds: usize, name: &str, instruction: &str, prompts: &[Prompt]) {
        let fields = interactive::write_prompts(prompts);
        self.say(&interactive::InfoRequest {
            name: name.as_bytes(),
            instruction: instruction.as_bytes(),
            language: b"",
            count: u32::try_from(prompts.len()).expect("the number of prompts was bounded"),
            rest: Rest(&fields),
        });
        self.state = State::Prompted {
            rounds: rounds + 1,
            prompts: prompts.len(),
        };
    }

    /// Counts a failure and says so, unless it was the last one allowed.
    fn fail(&mut self) -> Result<(), Error> {
        self.count_failure()?;
        self.say_failure(Partial::No);
        Ok(())
    }

    fn count_failure(&mut self) -> Result<(), Error> {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.config.limits.auth_attempts {
            return Err(Error::AuthenticationFailed);
        }
        Ok(())
    }

    fn say_failure(&mut self, partial: Partial) {
        // RFC 4252 §5.2: `none` "MUST NOT be listed as supported by the server".
        let names = self.methods.iter().filter(|it| *it != Method::None.name());
        let mut joined = String::new();
        let methods = NameList::join(names, &mut joined);
        let mut out = BytesMut::new();
        write(
            &Failure {
                methods,
                partial: partial == Partial::Yes,
            },
            &mut out,
        );
        self.pending.push_back(out);
    }

    fn say<'m, M: Message<'m> + SentBy<Server>>(&mut self, message: &M) {
        let mut out = BytesMut::new();
        write(message, &mut out);
        self.pending.push_back(out);
    }

    fn on_service_request(&mut self, payload: &Payload<Server, wire::Auth>) -> Result<(), Error> {
        let request: ServiceRequest<'_> = payload.read()?;
        // RFC 4253 §10: a service that is not offered ends the connection.
        if request.name != AUTH_SERVICE.as_bytes() {
            return Err(PeerMisbehaved::WrongService.into());
        }
        self.say(&ServiceAccept {
            name: AUTH_SERVICE.as_bytes(),
        });
        let config = Arc::clone(&self.config);
        if let Some(banner) = &config.local.banner {
            self.say(&Banner {
                message: banner.as_bytes(),
                language: Text(b""),
            });
        }
        self.state = State::Idle;
        Ok(())
    }

    fn on_request(&mut self, payload: &Payload<Server, wire::Auth>) -> Result<(), Error> {
        let request: Request<'_> = payload.read()?;
        if request.user.len() > limits::NAME {
            return Err(invalid::<Request<'_>>(Malformed(
                "the name of the user is too long",
            )));
        }
        // RFC 4252 §5: where the service does not exist, "authentication MUST NOT be accepted", and
        // a server may disconnect.
        if request.service != CONNECTION_SERVICE.as_bytes() {
            return Err(PeerMisbehaved::WrongService.into());
        }
        self.requests += 1;
        if self.requests > REQUESTS {
            return Err(Error::AuthenticationFailed);
        }
        // RFC 4252 §5.1: a new request abandons the dialogue under way, without a reply to that. It
        // was an attempt all the same.
        if matches!(self.state, State::Prompted { .. }) {
            self.state = State::Idle;
            self.count_failure()?;
        }
        let fresh = self.change_user(request.user);
        match self.consider(&request)? {
            Considered::Ask(asked, method) => {
                self.put(asked, method, fresh);
                Ok(())
            }
            Considered::Refuse => self.fail(),
        }
    }

    /// Forgets everything about another user. RFC 4252 §5: on a change of name, accumulated
    /// authentication state MUST be flushed. What has failed stays counted.
    fn change_user(&mut self, user: &str) -> bool {
        let fresh = self.user.as_deref() != Some(user);
        if fresh {
            self.user = Some(user.to_owned());
            self.methods.clone_from(&self.config.local.methods);
            self.passed.clear();
        }
        fresh
    }

    fn put(&mut self, asked: Asked, method: Offered, fresh: bool) {
        self.state = State::Judging(asked);
        self.raised.push_back(Event::Attempt(Attempt {
            user: self.user.clone().unwrap_or_default(),
            method,
            fresh,
            passed: self.passed.clone(),
            ticket: self.tickets.issue(),
        }));
    }

    fn consider(&self, request: &Request<'_>) -> Result<Considered, Error> {
        let Some(method) = Method::named(request.method) else {
            return Ok(Considered::Refuse);
        };
        // What is not listed is not tried: a second factor stays a second one.
        if method != Method::None && !self.methods.iter().any(|it| it == method.name()) {
            return Ok(Considered::Refuse);
        }
        Ok(match method {
            Method::None => {
                messages::none::fields(request.rest)?;
                Considered::Ask(Asked::None, Offered::None)
            }
            Method::Password => {
                let offered = match password::fields(request.rest)? {
                    password::Fields::Password(password) => Offered::Password(password),
                    password::Fields::Change { old, new } => Offered::PasswordChange { old, new },
                };
                Considered::Ask(Asked::Password, offered)
            }
            Method::KeyboardInteractive => {
                let submethods = interactive::fields(request.rest)?;
                if submethods.len() > limits::NAME {
                    return Ok(Considered::Refuse);
                }
                let offered = Offered::Interactive {
                    submethods: submethods.to_owned(),
                };
                Considered::Ask(Asked::Interactive { rounds: 0 }, offered)
            }
            Method::PublicKey => {
                let fields = publickey::fields(request.rest)?;
                self.consider_key(request.user, &fields)
                    .unwrap_or(Considered::Refuse)
            }
        })
    }

    /// `None` when it cannot succeed.
    fn consider_key(&self, user: &str, fields: &publickey::Fields<'_>) -> Option<Considered> {
        // The name first, and the key only as what the name stands for: neither a key of one type
        // under another's name, nor one of a type that nobody verifies, is ever taken apart.
        let (verifier, form) = self.verifier(fields.algorithm)?;
        if fields.key.len() > KEY {
            return None;
        }
        let key = PublicKey::new(Bytes::copy_from_slice(fields.key)).ok()?;
        // What signs is the key that a certificate is about; what is judged is the certificate.
        let signer = match form {
            Form::Plain => key.clone(),
            Form::Certificate => split_certificate(&key).ok()?.key,
        };
        if signer.kind() != verifier.key_kind() {
            return None;
        }
        let algorithm = std::str::from_utf8(fields.algorithm).ok()?.to_owned();
        let Some(signature) = fields.signature else {
            let asked = Asked::Probe {
                algorithm: algorithm.clone(),
                key: key.clone(),
            };
            return Some(Considered::Ask(
                asked,
                Offered::PublicKeyProbe { algorithm, key },
            ));
        };
        // RFC 4252 §7: the name inside the signature is that of the request. With a certificate it is
        // the one of the signature alone, as PROTOCOL.certkeys has it.
        let (name, signature) = split_signature(signature).ok()?;
        if name != verifier.name().as_bytes() {
            return None;
        }
        let data = signed_data::signed_data(&self.tickets.session, user, &algorithm, &key);
        let verified = verifier.verify(&signer, &data, signature);
        #[cfg(sansftp_bugs)]
        let verified = if crate::bugs::seeded("user-unproven") {
            Ok(())
        } else {
            verified
        };
        verified.ok()?;
        Some(Considered::Ask(
            Asked::PublicKey,
            Offered::PublicKey { algorithm, key },
        ))
    }

    /// What verifies signatures of this algorithm, and in which form the key comes with it.
    fn verifier(&self, name: &[u8]) -> Option<(&'static dyn SignatureAlgorithm, Form)> {
        if name.len() > ALGORITHM {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        let (name, form) = match name.strip_suffix(CERTIFICATE) {
            Some(name) => (name, Form::Certificate),
            None => (name, Form::Plain),
        };
        let mut taken = self.config.local.user_algorithms.iter();
        taken.find(|it| *it == name)?;
        Some((self.config.provider.signature(name)?, form))
    }

    fn on_info_response(
        &mut self,
        payload: &Payload<Server, wire::Auth>,
        rounds: usize,
        prompts: usize,
    ) -> Result<(), Error> {
        let response: interactive::InfoResponse<'_> = payload.read()?;
        // RFC 4256 §3.4: where their number is wrong "the server MUST send a failure message".
        let Some(responses) = response.responses(prompts)? else {
            self.state = State::Idle;
            return self.fail();
        };
        self.put(
            Asked::Interactive { rounds },
            Offered::Responses(responses),
            false,
        );
        Ok(())
    }
}

/// What FAILURE says beside the methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Partial {
    Yes,
    No,
}

impl Machine for Auth {
    type Role = Server;
    type Event = Event;
    // RFC 4252 §5.1: requests after SUCCESS "SHOULD be silently ignored".
    const IGNORED_LATE: &'static [u8] = &[Request::NUMBER];
    const LAST: Option<u8> = Some(Success::NUMBER);

    fn start(session: SessionId, config: Arc<Config<Server>>) -> Self {
        Self {
            methods: config.local.methods.clone(),
            config,
            tickets: Tickets::new(session),
            state: State::AwaitService,
            user: None,
            passed: Vec::new(),
            failures: 0,
            requests: 0,
            pending: VecDeque::new(),
            raised: VecDeque::new(),
        }
    }

    fn poll_events(&mut self, events: &mut VecDeque<Event>) {
        events.append(&mut self.raised);
    }

    fn learn(&mut self, _extensions: &ExtInfo) {
        // A client's extensions (RFC 8308 §2.5) say nothing about how it authenticates.
    }

    fn wants_input(&self) -> bool {
        !matches!(self.state, State::Judging(_)) && self.pending.len() < limits::CONTROL_QUEUE
    }

    fn handle(
        mut self,
        payload: Payload<Server, wire::Auth>,
        events: &mut VecDeque<Event>,
    ) -> Result<Step<Self>, Error> {
        let handled = match (&self.state, payload.number()) {
            (State::Judging(_), _) => Err(Error::Unreachable("read while an attempt is judged")),
            (State::AwaitService, ServiceRequest::NUMBER) => self.on_service_request(&payload),
            (State::Idle | State::Prompted { .. }, Request::NUMBER) => self.on_request(&payload),
            (&State::Prompted { rounds, prompts }, interactive::InfoResponse::NUMBER) => {
                self.on_info_response(&payload, rounds, prompts)
            }
            _ => Err(payload.unexpected(self.stage())),
        };
        // There may have been a password in it, however it was read.
        payload.wipe();
        handled?;
        self.poll_events(events);
        Ok(Step::Stay(self))
    }

    fn poll_message(&mut self, out: &mut BytesMut) -> bool {
        let Some(message) = self.pending.pop_front() else {
            return false;
        };
        out.extend_from_slice(&message);
        true
    }

    fn stage(&self) -> &'static str {
        match self.state {
            State::AwaitService => "authentication (service request)",
            State::Idle => "authentication",
            State::Judging(_) => "authentication (judgement)",
            State::Prompted { .. } => "authentication (keyboard-interactive)",
        }
    }
}

/// Writes what a server may send, and nothing else.
fn write<'m, M: Message<'m> + SentBy<Server>>(message: &M, out: &mut BytesMut) {
    message.write(out);
}
