//! One connection's judge: what was proved so far, what is still asked for, and what is left of a
//! user's rights (RFC 4252 §5.1, RFC 4256).
//!
//! The rule for names that nobody has: the same answers as for a name whose proof is wrong, by the same
//! number of computed hashes. What a name is asked for shows only once something was proved.

use super::file::{Access, Standing, User};
use super::keys::{Circumstances, FEATURES, Grant};
use super::password::is_plausible;
use super::{Inner, Known};
use sansftp_keys::authorized_keys::Feature;
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::auth::{Method, Prompt};
use sansftp_proto::crypto::{PublicKey, Secret};
use sansftp_tokio::server::{Authenticate, Judgement};
use std::net::IpAddr;
use std::sync::Arc;

/// Who was let in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The name that was proved.
    pub user: String,
    /// What may be done with files: the least that any of the proofs gives.
    pub access: Access,
    /// What was proved, in its order.
    pub proofs: Vec<Proof>,
    forbidden: Vec<Feature>,
}

/// One thing that was proved, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// How.
    pub method: Method,
    /// The key's fingerprint; empty without a key.
    pub fingerprint: String,
    /// The comment of the key's line, or the name and number of a certificate; empty without.
    pub label: String,
}

impl Proof {
    /// Something that was proved by neither a key nor anything else that has a name.
    pub const fn new(method: Method) -> Self {
        Self {
            method,
            fingerprint: String::new(),
            label: String::new(),
        }
    }
}

impl Identity {
    /// Whether none of the proofs forbids a feature.
    pub fn allows(&self, feature: Feature) -> bool {
        !self.forbidden.contains(&feature)
    }
}

/// Judges the attempts of one connection.
#[derive(Debug)]
pub struct Judge {
    users: Arc<Inner>,
    peer: Option<IpAddr>,
    /// About one name; void with another.
    state: State,
}

#[derive(Debug, Default)]
struct State {
    user: String,
    proofs: Vec<Proof>,
    keys: Vec<PublicKey>,
    access: Access,
    forbidden: Vec<Feature>,
    dialogue: Option<Dialogue>,
}

/// What was asked last.
#[derive(Debug)]
enum Dialogue {
    Password,
    /// The challenge with this number. It is asked also when the answers so far were wrong.
    Challenge(usize, Answers),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Right,
    Wrong,
}

impl Authenticate for Judge {
    type Identity = Identity;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<Identity> {
        if attempt.fresh {
            self.state = State::default();
        }
        self.consider(&attempt.user, &attempt.method).await
    }
}

impl Judge {
    pub(super) fn new(users: Arc<Inner>, peer: Option<IpAddr>) -> Self {
        Self {
            users,
            peer,
            state: State::default(),
        }
    }

    /// The attempt of [`Authenticate::judge`], taken apart.
    pub(super) async fn consider(&mut self, name: &str, offered: &Offered) -> Judgement<Identity> {
        // The core says so too. What one name has proved must never serve another.
        if self.state.user != name {
            self.state = State {
                user: name.to_owned(),
                ..State::default()
            };
        }
        let known = self.users.known();
        let user = known.user(name);
        let asked = self.state.dialogue.take();
        match offered {
            Offered::Password(password) => {
                let right = self.is_password(&known, user.as_deref(), password).await;
                self.conclude(&known, user, Method::Password, right.then(Grant::whole))
            }
            Offered::PublicKeyProbe { key, .. } => {
                let grant = self.granted(user.clone(), key).await;
                match user {
                    Some(user) if grant.is_some() && self.is_due(&user, Method::PublicKey) => {
                        Judgement::Acceptable
                    }
                    _ => self.reject(&known),
                }
            }
            Offered::PublicKey { key, .. } => {
                let grant = self.granted(user.clone(), key).await;
                self.conclude(&known, user, Method::PublicKey, grant)
            }
            Offered::Interactive { .. } => self.begin_dialogue(user.as_deref()),
            Offered::Responses(responses) => self.go_on(&known, user, asked, responses).await,
            // `none` proves nothing, and passwords are not changed from here.
            _ => self.reject(&known),
        }
    }

    /// Computes one hash whoever it is about, unless the password cannot be anybody's.
    async fn is_password(&self, known: &Known, user: Option<&User>, password: &Secret) -> bool {
        if !is_plausible(password) {
            return false;
        }
        let own = user.and_then(|it| it.password.as_ref());
        let Some(hash) = own.or_else(|| known.decoy(&self.state.user)) else {
            return false;
        };
        let matches = self.users.hashing.matches(hash, password).await;
        matches && own.is_some()
    }

    /// What a key or certificate gets. The same key does not count twice, also not in another
    /// certificate.
    async fn granted(&self, user: Option<Arc<User>>, key: &PublicKey) -> Option<Grant> {
        let (users, key) = (Arc::clone(&self.users), key.clone());
        let name = self.state.user.clone();
        let circumstances = Circumstances {
            peer: self.peer,
            now: self.users.now(),
        };
        let looked = tokio::task::spawn_blocking(move || {
            users.look_up(&name, user.as_deref(), &key, circumstances)
        });
        let grant = looked.await.ok().flatten()?;
        let is_used = grant
            .key
            .as_ref()
            .is_some_and(|it| self.state.keys.contains(it));
        (!is_used).then_some(grant)
    }

    fn begin_dialogue(&mut self, user: Option<&User>) -> Judgement<Identity> {
        // Who has proved something is no stranger: nobody learns from not being asked for a password
        // that there is none.
        let has_none = user.is_some_and(|it| it.password.is_none());
        if !self.state.proofs.is_empty() && has_none && !self.users.challenges.is_empty() {
            return self.ask(0, Answers::Right);
        }
        self.state.dialogue = Some(Dialogue::Password);
        Judgement::Prompt {
            name: String::new(),
            instruction: String::new(),
            prompts: vec![Prompt::hidden("Password: ")],
        }
    }

    async fn go_on(
        &mut self,
        known: &Known,
        user: Option<Arc<User>>,
        asked: Option<Dialogue>,
        responses: &[Secret],
    ) -> Judgement<Identity> {
        let (right, next) = match asked {
            Some(Dialogue::Password) => {
                let right = match responses {
                    [password] => self.is_password(known, user.as_deref(), password).await,
                    _ => false,
                };
                (right, 0)
            }
            Some(Dialogue::Challenge(number, answers)) => {
                let right = answers == Answers::Right && self.answers(number, responses).await;
                (right, number + 1)
            }
            None => return self.reject(known),
        };
        if next < self.users.challenges.len() {
            let answers = if right {
                Answers::Right
            } else {
                Answers::Wrong
            };
            return self.ask(next, answers);
        }
        self.conclude(
            known,
            user,
            Method::KeyboardInteractive,
            right.then(Grant::whole),
        )
    }

    fn ask(&mut self, number: usize, answers: Answers) -> Judgement<Identity> {
        let prompts = self.users.challenges[number].prompts();
        self.state.dialogue = Some(Dialogue::Challenge(number, answers));
        Judgement::Prompt {
            name: String::new(),
            instruction: String::new(),
            prompts,
        }
    }

    async fn answers(&self, number: usize, responses: &[Secret]) -> bool {
        let challenge = Arc::clone(&self.users.challenges[number]);
        let (user, responses) = (self.state.user.clone(), responses.to_vec());
        tokio::task::spawn_blocking(move || challenge.is_answer(&user, &responses))
            .await
            .unwrap_or(false)
    }

    /// The one place from which anybody gets further.
    fn conclude(
        &mut self,
        known: &Known,
        user: Option<Arc<User>>,
        method: Method,
        grant: Option<Grant>,
    ) -> Judgement<Identity> {
        let (Some(user), Some(grant)) = (user, grant) else {
            return self.reject(known);
        };
        if !self.is_due(&user, method) {
            return self.reject(known);
        }
        let fingerprint = grant.key.as_ref().map(sha256_fingerprint);
        self.state.keys.extend(grant.key);
        self.state.proofs.push(Proof {
            method,
            fingerprint: fingerprint.unwrap_or_default(),
            label: grant.label,
        });
        // The least of all proofs: what the first factor restricts, the last does not give back.
        self.state.access = self.state.access.least(user.access).least(grant.access);
        self.state.forbidden.extend(grant.forbidden);
        if let Some(next) = user.methods.get(self.state.proofs.len()) {
            return Judgement::Partial {
                methods: vec![next.name().to_owned()],
            };
        }
        let state = std::mem::take(&mut self.state);
        let forbidden = FEATURES
            .into_iter()
            .filter(|it| state.forbidden.contains(it))
            .collect();
        Judgement::Accept(Identity {
            user: state.user,
            access: state.access,
            proofs: state.proofs,
            forbidden,
        })
    }

    /// Whether this is what comes next for a user who may come in.
    fn is_due(&self, user: &User, method: Method) -> bool {
        let open = user.standing == Standing::Open
            && user.expires.is_none_or(|end| self.users.now() < end);
        if !open {
            tracing::info!(user = ?self.state.user, "locked or expired; nothing lets this user in");
            return false;
        }
        let proofs = &self.state.proofs;
        match user.methods.get(proofs.len()) {
            // What was proved was due at its time, and may not be by now: users can be read again.
            Some(due) => {
                *due == method
                    && proofs
                        .iter()
                        .map(|it| &it.method)
                        .eq(&user.methods[..proofs.len()])
            }
            None => user.methods.is_empty(),
        }
    }

    /// What can continue: for a stranger what there is for anybody; further on, the one that is due.
    fn reject(&self, known: &Known) -> Judgement<Identity> {
        let due = match self.state.proofs.len() {
            0 => None,
            passed => known
                .user(&self.state.user)
                .and_then(|it| it.methods.get(passed).copied()),
        };
        Judgement::Reject {
            methods: due.map_or_else(|| known.methods.clone(), |it| vec![it.name().to_owned()]),
        }
    }
}

impl Grant {
    /// What a password gives: everything that the user may.
    fn whole() -> Self {
        Self {
            access: Access::ReadWrite,
            forbidden: Vec::new(),
            label: String::new(),
            key: None,
        }
    }
}

impl Access {
    pub(super) const fn least(self, other: Self) -> Self {
        match (self, other) {
            (Self::ReadWrite, Self::ReadWrite) => Self::ReadWrite,
            _ => Self::ReadOnly,
        }
    }
}
