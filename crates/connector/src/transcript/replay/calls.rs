//! The calls of a transcript, and which of them is the one that is made.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::NotRecorded;
use super::line::Line;
pub(super) use super::line::{Asked, Call, Connected, Ended, Reply};
use super::names::{Contents, Uuids};
use crate::path::RemotePath;

/// All calls of a transcript, and what was made of them.
#[derive(Debug)]
pub(super) struct Calls {
    sessions: Vec<Session>,
    /// The session that has this number of an account, of those read so far.
    numbers: HashMap<(String, u64), usize>,
    /// What had no answer.
    pub(super) refused: Vec<NotRecorded>,
    pub(super) uuids: Uuids,
    pub(super) contents: Contents,
}

#[derive(Debug)]
struct Session {
    account: String,
    line: usize,
    connected: Connected,
    begun: bool,
    calls: Vec<Call>,
    /// Those that were not made yet.
    left: BTreeSet<usize>,
    /// The same by the shape of what they ask for, in their order.
    queues: HashMap<Asked, VecDeque<usize>>,
}

impl Calls {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            sessions: Vec::new(),
            numbers: HashMap::new(),
            refused: Vec::new(),
            uuids: Uuids::default(),
            contents: Contents::new(seed),
        }
    }

    /// Takes a line in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let (key, line) = Line::read(number, line)?;
        match line {
            Line::Connect(connected) => {
                self.sessions.push(Session {
                    account: key.0.clone(),
                    line: number,
                    connected,
                    begun: false,
                    calls: Vec::new(),
                    left: BTreeSet::new(),
                    queues: HashMap::new(),
                });
                // Files are written on: numbers may begin anew.
                self.numbers.insert(key, self.sessions.len() - 1);
            }
            Line::Call(call) => {
                let session = self.numbers.get(&key);
                let session = session.and_then(|at| self.sessions.get_mut(*at));
                session
                    .ok_or("no line before it connects its session")?
                    .add(*call);
            }
        }
        Ok(())
    }

    /// The next session, of this account where there is one.
    pub(super) fn begin(
        &mut self,
        account: Option<&str>,
    ) -> Result<(usize, Connected), NotRecorded> {
        let next = self.sessions.iter().position(|session| {
            !session.begun && account.is_none_or(|account| session.account == account)
        });
        let Some(at) = next else {
            let call = match account {
                Some(account) => format!("further session of {account}"),
                None => "further session".to_owned(),
            };
            let none = NotRecorded { call, next: None };
            self.refused.push(none.clone());
            return Err(none);
        };
        self.sessions[at].begun = true;
        Ok((at, self.sessions[at].connected.clone()))
    }

    /// The recorded call that this one is: of its own session first, then of the others that were begun.
    pub(super) fn take(&mut self, session: usize, asked: &Asked) -> Result<Call, NotRecorded> {
        self.take_quietly(session, asked).ok_or_else(|| {
            let path = asked.path.as_ref().map(|path| self.uuids.recorded(path));
            self.not_recorded(session, asked.words(), path.as_ref())
        })
    }

    /// The same, of what need not be there.
    pub(super) fn take_quietly(&mut self, session: usize, asked: &Asked) -> Option<Call> {
        let recorded = Asked {
            path: asked.path.as_ref().map(|path| self.uuids.recorded(path)),
            to: asked.to.as_ref().map(|to| self.uuids.recorded(to)),
            ..asked.clone()
        };
        let shape = recorded.shape();
        let others = (0..self.sessions.len()).filter(|at| *at != session);
        let places: Vec<usize> = [session].into_iter().chain(others).collect();
        for &at in &places {
            if let Some(call) = self.take_of(at, &shape, |_, call| *call == recorded) {
                return Some(call);
            }
        }
        for &at in &places {
            let alike = |uuids: &Uuids, call: &Asked| {
                let pairs = [(&recorded.path, &call.path), (&recorded.to, &call.to)];
                pairs.into_iter().all(|pair| match pair {
                    (Some(live), Some(recorded)) => uuids.may_stand(live, recorded),
                    (live, recorded) => live == recorded,
                })
            };
            if let Some(call) = self.take_of(at, &shape, alike) {
                for (live, recorded) in
                    [(&asked.path, &call.asked.path), (&asked.to, &call.asked.to)]
                {
                    if let (Some(live), Some(recorded)) = (live, recorded) {
                        self.uuids.stand(live, recorded);
                    }
                }
                return Some(call);
            }
        }
        None
    }

    fn take_of(
        &mut self,
        session: usize,
        shape: &Asked,
        is_it: impl Fn(&Uuids, &Asked) -> bool,
    ) -> Option<Call> {
        let session = self.sessions.get_mut(session)?;
        if !session.begun {
            return None;
        }
        let queue = session.queues.get_mut(shape)?;
        let calls = &session.calls;
        let place = queue
            .iter()
            .position(|call| is_it(&self.uuids, &calls[*call].asked))?;
        let taken = queue.remove(place)?;
        session.left.remove(&taken);
        Some(calls[taken].clone())
    }

    /// Remembers that there was no such call.
    pub(super) fn not_recorded(
        &mut self,
        session: usize,
        call: String,
        path: Option<&RemotePath>,
    ) -> NotRecorded {
        let next = self.sessions.get(session).and_then(|session| {
            let calls = || session.left.iter().map(|at| &session.calls[*at]);
            let of_path = calls().find(|call| path.is_some() && call.asked.path.as_ref() == path);
            of_path.or_else(|| calls().next())
        });
        let none = NotRecorded {
            call,
            next: next.map(Call::words),
        };
        self.refused.push(none.clone());
        none
    }

    /// What was recorded and not made.
    pub(super) fn unused(&self) -> Vec<String> {
        let mut unused = Vec::new();
        for session in &self.sessions {
            if !session.begun && !matches!(session.connected, Connected::NotWaitedFor) {
                unused.push(format!("line {}: connect", session.line));
            }
            let left = session.left.iter().map(|at| &session.calls[*at]);
            let left = left.filter(|call| !matches!(call.ended, Ended::NotWaitedFor));
            unused.extend(left.map(Call::words));
        }
        unused
    }
}

impl Session {
    fn add(&mut self, call: Call) {
        let at = self.calls.len();
        self.queues
            .entry(call.asked.shape())
            .or_default()
            .push_back(at);
        self.left.insert(at);
        self.calls.push(call);
    }
}
