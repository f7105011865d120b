//! Which credential is tried next: the one policy that the core leaves open.
//!
//! Each credential is offered once and never again after a refusal, because wrong credentials lock
//! accounts. A password answers `password` where that is listed, else a keyboard-interactive
//! dialogue that asks one hidden question, never both.

use crate::agent::{Agent, AgentError, HeldKey};
use crate::client::Clock;
use crate::error::{ConnectError, Stage};
use crate::shared::Shared;
use sansftp_proto::auth::Prompt;
use sansftp_proto::auth::client::{Credential, Event, Prompts, ToSign};
use sansftp_proto::crypto::{CryptoError, Secret, SigningKey};
use sansftp_proto::error::{Error as Protocol, printable};
use sansftp_proto::role::Client;
use sansftp_proto::session::ClientEvent;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Who authenticates, and with what.
#[derive(Clone, Debug)]
pub struct Credentials {
    user: String,
    keys: Vec<Arc<dyn SigningKey>>,
    agent: Option<Agent>,
    password: Option<Secret>,
    answerer: Option<Arc<dyn Answerer>>,
}

/// Answers what a server asks, usually by asking a person. The connect deadline stands still
/// meanwhile.
pub trait Answerer: fmt::Debug + Send + Sync {
    /// The responses, one for each prompt; `None` gives up.
    fn answer<'a>(
        &'a self,
        name: &'a str,
        instruction: &'a str,
        prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>>;
}

impl Credentials {
    /// This user, with nothing to show yet.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            keys: Vec::new(),
            agent: None,
            password: None,
            answerer: None,
        }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Adds a key; keys are tried in the order of adding, before anything else.
    #[must_use]
    pub fn key(mut self, key: Arc<dyn SigningKey>) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds an agent: its keys are tried after those of [`key`](Self::key), each once, and it signs.
    #[must_use]
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Adds a password.
    #[must_use]
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds somebody who answers: asked for a password where none was given, and in
    /// keyboard-interactive dialogues.
    #[must_use]
    pub fn answerer(mut self, answerer: Arc<dyn Answerer>) -> Self {
        self.answerer = Some(answerer);
        self
    }
}

/// What has been tried. Pure: tells the next credential from what the server lists.
#[derive(Debug)]
struct Policy {
    credentials: Credentials,
    next_key: usize,
    /// The agent's, in the order of trying.
    held: VecDeque<HeldKey>,
    /// The one of them that is being tried.
    trying: Option<HeldKey>,
    /// Method names in the order of trying, each once.
    tried: Vec<String>,
    interactive: Dialogue,
    /// What the server listed last.
    remaining: Vec<String>,
    /// What the server said when it wanted another password.
    expired: Option<String>,
}

/// Who answers a keyboard-interactive dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialogue {
    NotTried,
    /// The password answers, once one hidden question is asked; whatever else is asked is for the
    /// answerer.
    Password,
    Answerer,
}

/// What to do with a turn.
#[derive(Debug)]
enum Next {
    Try(Credential),
    /// Ask for a password, then try it.
    AskPassword,
    GiveUp,
}

impl Policy {
    fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            next_key: 0,
            held: VecDeque::new(),
            trying: None,
            tried: Vec::new(),
            interactive: Dialogue::NotTried,
            remaining: Vec::new(),
            expired: None,
        }
    }

    /// `methods` is empty as long as the server has not said which it takes.
    fn next(&mut self, methods: &[String]) -> Next {
        let user = self.credentials.user.clone();
        let listed = |name: &str| methods.iter().any(|it| it == name);
        self.remaining = methods.to_vec();
        if (methods.is_empty() || listed("publickey"))
            && let Some(key) = self.credentials.keys.get(self.next_key).cloned()
        {
            self.next_key += 1;
            self.note("publickey");
            return Next::Try(Credential::PublicKey { user, key });
        }
        if (methods.is_empty() || listed("publickey"))
            && let Some(held) = self.held.pop_front()
        {
            self.note("publickey");
            let credential = Credential::ExternalKey {
                user,
                key: held.offered.clone(),
                algorithms: held.algorithms(),
            };
            self.trying = Some(held);
            return Next::Try(credential);
        }
        if methods.is_empty() {
            return Next::Try(Credential::None { user });
        }
        if listed("password") && !self.was_tried("password") {
            if let Some(password) = self.credentials.password.take() {
                self.note("password");
                return Next::Try(Credential::Password { user, password });
            }
            if self.credentials.answerer.is_some() && self.interactive == Dialogue::NotTried {
                self.note("password");
                return Next::AskPassword;
            }
        }
        if listed("keyboard-interactive") && self.interactive == Dialogue::NotTried {
            if self.credentials.password.is_some() {
                self.interactive = Dialogue::Password;
            } else if self.credentials.answerer.is_some() {
                self.interactive = Dialogue::Answerer;
            } else {
                return Next::GiveUp;
            }
            self.note("keyboard-interactive");
            return Next::Try(Credential::Interactive { user });
        }
        Next::GiveUp
    }

    /// What the password answers: nothing to no question, itself to one hidden one.
    fn answer_with_password(&mut self, prompts: &[Prompt]) -> Option<Vec<Secret>> {
        match prompts {
            [] => Some(Vec::new()),
            [only] if !only.echo => self.credentials.password.take().map(|it| vec![it]),
            _ => None,
        }
    }

    fn note(&mut self, method: &str) {
        tracing::debug!(
            user = self.credentials.user,
            method,
            "authentication is tried"
        );
        if !self.was_tried(method) {
            self.tried.push(method.to_owned());
        }
    }

    fn was_tried(&self, method: &str) -> bool {
        self.tried.iter().any(|it| it == method)
    }

    /// Another factor is asked for: what answered a dialogue may have another question to answer.
    fn passed_one(&mut self) {
        self.interactive = Dialogue::NotTried;
    }

    fn refused(self, remark: Option<String>) -> ConnectError {
        if let Some(words) = self.expired {
            return ConnectError::PasswordExpired {
                words,
                tried: self.tried,
            };
        }
        ConnectError::Refused {
            tried: self.tried,
            remaining: self.remaining,
            remark,
        }
    }
}

/// Authenticates, or says what was tried.
pub(crate) async fn authenticate(
    shared: &Shared<Client>,
    credentials: Credentials,
    clock: &mut Clock,
) -> Result<(), ConnectError> {
    let mut policy = Policy::new(credentials);
    let mut remark = None;
    if let Some(agent) = policy.credentials.agent.clone() {
        let keys = clock.within(
            Stage::Authentication,
            "the agent's list of keys",
            agent.keys(),
        );
        match keys.await? {
            Ok(keys) => policy.held = keys,
            Err(error) => remark = Some(format!("the agent cannot be asked: {error}")),
        }
    }
    loop {
        let event = match clock.event(shared, Stage::Authentication).await {
            Ok(event) => event,
            // RFC 4252 §5.1: a failure that lists no method, or too many attempts.
            Err(ConnectError::Lost { lost, .. })
                if lost.protocol == Protocol::AuthenticationFailed =>
            {
                return Err(policy.refused(remark));
            }
            Err(ConnectError::Lost { lost, .. }) if is_too_many_attempts(&lost.protocol) => {
                return Err(policy.refused(Some("the server takes no more attempts".to_owned())));
            }
            Err(error) => return Err(error),
        };
        let event = match event {
            ClientEvent::Authenticated => {
                tracing::debug!(user = policy.credentials.user, "authenticated");
                return Ok(());
            }
            ClientEvent::Auth(event) => event,
            _ => continue,
        };
        // Errors of the answers below are sticky and come back with the next event.
        match event {
            Event::AuthRequired {
                turn,
                methods,
                partial,
            } => {
                if partial {
                    policy.passed_one();
                }
                if !methods.is_empty() {
                    let methods = printable(methods.join(",").as_bytes());
                    tracing::debug!(%methods, partial, "the server wants proof by one of these");
                }
                let credential = match policy.next(&methods) {
                    Next::Try(credential) => credential,
                    Next::GiveUp => return Err(policy.refused(remark)),
                    Next::AskPassword => match ask_password(shared, &policy, clock).await {
                        Some(password) => Credential::Password {
                            user: policy.credentials.user.clone(),
                            password,
                        },
                        None if shared.lock().ended.is_some() => continue,
                        None => {
                            return Err(policy.refused(Some("no password was given".to_owned())));
                        }
                    },
                };
                let _ = shared.with(|state| state.conn.authenticate(turn, credential));
            }
            Event::Prompts(prompts) => {
                let Some(responses) = answer(shared, &mut policy, &prompts, clock).await else {
                    if shared.lock().ended.is_some() {
                        continue;
                    }
                    return Err(policy.refused(Some(unanswered(&prompts.prompts))));
                };
                let _ = shared.with(|state| state.conn.respond(prompts, responses));
            }
            Event::PasswordExpired(expired) => {
                policy.expired = Some(one_line(&expired.prompt));
                let _ = shared.with(|state| state.conn.keep_password(expired));
            }
            Event::Sign(to_sign) => {
                let signature = sign(shared, &mut policy, &to_sign, clock).await;
                if let Err(error) = &signature {
                    tracing::warn!(%error, "the agent did not sign");
                    remark = Some(format!("the agent did not sign: {error}"));
                }
                let signature =
                    signature.map_err(|_| CryptoError::Failed("the agent did not sign"));
                let _ = shared.with(|state| state.conn.sign(to_sign, signature));
            }
            Event::NotSigned(error) => tracing::warn!(%error, "a key did not sign"),
            Event::Banner(text) => tracing::info!(banner = %text.trim_end()),
            _ => {}
        }
    }
}

/// What is left without an answer, in the server's words.
fn unanswered(prompts: &[Prompt]) -> String {
    let asked: Vec<_> = prompts.iter().map(|it| one_line(&it.text)).collect();
    format!(
        "the server asks what a password does not answer: {}",
        asked.join(" ")
    )
}

/// At most 200 characters of what the server says, without its line breaks.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(200).collect()
}

/// Whether the server hung up because of what was tried, which is a refusal, and no loss after which
/// trying again could help.
fn is_too_many_attempts(error: &Protocol) -> bool {
    // RFC 4253 §11.1
    const NO_MORE_AUTH_METHODS_AVAILABLE: u32 = 14;
    let Protocol::Disconnected { reason, text } = error else {
        return false;
    };
    // OpenSSH's MaxAuthTries ends it with the code of a protocol error and these words.
    *reason == NO_MORE_AUTH_METHODS_AVAILABLE || text.contains("Too many authentication failures")
}

/// Has the agent sign, which may ask a person.
async fn sign(
    shared: &Shared<Client>,
    policy: &mut Policy,
    to_sign: &ToSign,
    clock: &mut Clock,
) -> Result<Vec<u8>, AgentError> {
    let held = policy.trying.take();
    let (Some(agent), Some(held)) = (policy.credentials.agent.clone(), held) else {
        return Err(AgentError::Gone);
    };
    let signing = async { Some(agent.sign(&held, to_sign).await) };
    clock
        .stopped(shared, signing)
        .await
        .unwrap_or(Err(AgentError::Gone))
}

async fn ask_password(
    shared: &Shared<Client>,
    policy: &Policy,
    clock: &mut Clock,
) -> Option<Secret> {
    let answerer = policy.credentials.answerer.clone()?;
    let prompt = Prompt::hidden(format!("Password of {}: ", policy.credentials.user));
    let mut answers = clock
        .stopped(
            shared,
            answerer.answer("", "", std::slice::from_ref(&prompt)),
        )
        .await?;
    answers.pop()
}

async fn answer(
    shared: &Shared<Client>,
    policy: &mut Policy,
    prompts: &Prompts,
    clock: &mut Clock,
) -> Option<Vec<Secret>> {
    if policy.interactive == Dialogue::Password
        && let Some(answers) = policy.answer_with_password(&prompts.prompts)
    {
        return Some(answers);
    }
    let answerer = policy.credentials.answerer.clone()?;
    clock
        .stopped(
            shared,
            answerer.answer(&prompts.name, &prompts.instruction, &prompts.prompts),
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|it| (*it).to_owned()).collect()
    }

    fn method(next: &Next) -> &'static str {
        match next {
            Next::Try(Credential::None { .. }) => "none",
            Next::Try(Credential::Password { .. }) => "password",
            Next::Try(Credential::PublicKey { .. }) => "publickey",
            Next::Try(Credential::Interactive { .. }) => "keyboard-interactive",
            Next::Try(_) => "other",
            Next::AskPassword => "ask",
            Next::GiveUp => "give up",
        }
    }

    #[test]
    fn a_password_is_offered_once_and_never_in_two_ways() {
        let mut policy = Policy::new(Credentials::new("u").password("p"));
        assert_eq!(method(&policy.next(&[])), "none");
        let both = names(&["password", "keyboard-interactive"]);
        assert_eq!(method(&policy.next(&both)), "password");
        assert_eq!(method(&policy.next(&both)), "give up");
        assert_eq!(policy.tried, ["password"]);
    }

    #[test]
    fn a_password_answers_one_hidden_question_where_password_is_not_listed() {
        let mut policy = Policy::new(Credentials::new("u").password("p"));
        assert_eq!(
            method(&policy.next(&names(&["keyboard-interactive"]))),
            "keyboard-interactive"
        );
        let hidden = || Prompt::hidden("Password:");
        let shown = Prompt::echoed("Code:");
        assert!(policy.answer_with_password(&[shown]).is_none());
        assert!(policy.answer_with_password(&[hidden(), hidden()]).is_none());
        assert_eq!(policy.answer_with_password(&[]), Some(vec![]));
        assert_eq!(
            policy.answer_with_password(&[hidden()]),
            Some(vec![Secret::from("p")])
        );
        assert_eq!(
            policy.answer_with_password(&[hidden()]),
            None,
            "never twice"
        );
        assert_eq!(
            method(&policy.next(&names(&["keyboard-interactive"]))),
            "give up"
        );
    }

    #[test]
    fn without_credentials_only_the_methods_are_asked_for() {
        let mut policy = Policy::new(Credentials::new("u"));
        assert_eq!(method(&policy.next(&[])), "none");
        assert_eq!(
            method(&policy.next(&names(&["publickey", "password"]))),
            "give up"
        );
        assert_eq!(policy.remaining, ["publickey", "password"]);
        assert!(policy.tried.is_empty());
    }
}
