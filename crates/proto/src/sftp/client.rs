//! The client's half of SFTP version 3 as a machine: requests in, bytes out; bytes in, completions
//! out (draft-ietf-secsh-filexfer-02 §3 to §7).
//!
//! Which request comes when is not its business; pipelining is planned in [`transfer`](super::transfer).
//!
//! ```text
//!   free ──send()──▶ in flight ──reply, abort()──▶ done ──poll_completion()──▶ free
//!                        └──────abandon()──────▶ abandoned ──reply──▶ free (a handle is closed)
//! ```

use super::VERSION;
use super::answer::{Body, invalid, read, read_reply};
use super::extensions::Extensions;
use super::kind::{self, Expected, Kind, Request};
use super::messages::{Close, Init, Version};
use super::rope::{Data, Input, Output, TooLong};
use super::status::{Status, StatusCode};
use super::values::Handle;
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::wire::{Message, Reader, Rest};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

/// What a client keeps in flight at most.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain numbers, any of which is valid"
)]
pub struct Bounds {
    /// Requests without an answer that was taken; 1024. 0 counts as 1.
    pub requests: u16,
    /// Bytes of file data that those requests ask for or carry; 64 MiB, the bandwidth-delay product
    /// of 10 Gbit/s at 50 ms. One request may always go, however much it asks for.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests: 1024,
            bytes: 64 * 1024 * 1024,
        }
    }
}

/// Tells a request from all others in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u32);

impl RequestId {
    /// A number below [`Bounds::requests`], of which no two requests in flight have the same: for
    /// whoever keeps waiters in a table.
    pub const fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// A request under way. Linear: [`Pending::claim`] spends it. Who stops waiting says so with
/// [`Client::abandon`], or an opened handle would stay open.
#[derive(Debug)]
#[must_use]
pub struct Pending<K: Kind> {
    id: RequestId,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Pending<K> {
    /// Which completion answers it.
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// Takes the completion of this very request.
    ///
    /// # Errors
    /// A completion that answers another request is given back.
    pub fn claim(self, done: Completion) -> Result<Result<K::Value, Status>, Completion> {
        if done.id != self.id {
            return Err(done);
        }
        Ok(done
            .result
            .map(|body| K::take(body).expect("the client held the reply against its kind")))
    }
}

/// The answer to one request, as yet untyped.
#[derive(Debug)]
#[must_use]
pub struct Completion {
    id: RequestId,
    result: Result<Body, Status>,
}

impl Completion {
    /// Which request it answers.
    pub const fn id(&self) -> RequestId {
        self.id
    }
}

/// Why a request was not taken. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// SSH_FXP_VERSION has not come yet.
    NotReady,
    /// As much is in flight as may be; take a completion first.
    Full,
    /// The request is longer than servers read; it will never fit.
    TooLong,
    /// The session has ended; [`Client::error`] says why.
    Ended,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "the SFTP session has not started yet",
            Self::Full => "too many SFTP requests are in flight",
            Self::TooLong => "the SFTP request is longer than servers read",
            Self::Ended => "the SFTP session has ended",
        })
    }
}

impl std::error::Error for Blocked {}

/// One place for a request in flight. The upper half of its id is the generation, so that a reply to
/// a request that is long answered finds nothing.
#[derive(Debug)]
struct Slot {
    generation: u16,
    state: State,
    /// Whether anybody will take the completion.
    abandoned: bool,
    /// Counts against [`Bounds::bytes`].
    weight: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    InFlight(Expected),
    Done,
}

/// The client's half of an SFTP session.
#[derive(Debug)]
pub struct Client {
    bounds: Bounds,
    input: Input,
    output: Output,
    /// Version and extensions, once the server has said them.
    agreed: Option<(u32, Extensions)>,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Bytes that are asked for, carried, or arrived and not taken.
    weight: usize,
    done: VecDeque<Completion>,
    /// Handles that were opened for nobody, to be closed as soon as there is a slot.
    orphans: VecDeque<Handle>,
    ended: Option<Error>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Client {
    /// Begins a session; SSH_FXP_INIT is the first thing to transmit (§4).
    pub fn new(bounds: Bounds) -> Self {
        let mut output = Output::default();
        output
            .message(
                None,
                &Init {
                    version: VERSION,
                    extensions: Rest(&[]),
                },
            )
            .expect("INIT is a few bytes long");
        Self {
            bounds,
            input: Input::default(),
            output,
            agreed: None,
            slots: Vec::new(),
            free: Vec::new(),
            weight: 0,
            done: VecDeque::new(),
            orphans: VecDeque::new(),
            ended: None,
        }
    }

    /// Takes what the server sent. Constant work per chunk and per message; file data is not copied.
    ///
    /// # Errors
    /// What the server did wrong. The session has ended then, every waiter is answered, and the same
    /// error comes back each time.
    pub fn handle_data(&mut self, chunk: Bytes) -> Result<(), Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        self.input.push(chunk);
        self.read_messages()
            .inspect_err(|error| self.abort(error.clone()))
    }

    /// The next bytes for the server.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.output.pop()
    }

    /// The next answer, in the order in which answers came. Taking it makes room for requests.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        while let Some(done) = self.done.pop_front() {
            let slot = self
                .slot(done.id)
                .expect("a slot is kept until its completion is taken");
            let abandoned = slot.abandoned;
            self.release(done.id);
            if !abandoned {
                self.close_orphans();
                return Some(done);
            }
            self.discard(done);
        }
        None
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Blocked`]; nothing was sent.
    pub fn send<'a, Q: Request<'a>>(&mut self, request: &Q) -> Result<Pending<Q::Reply>, Blocked> {
        let expected = request.expected();
        let weight = match expected {
            Expected::Data { most } => most as usize,
            _ => 0,
        };
        let id = self.reserve(expected, weight)?;
        let sent = self.output.message(Some(id.0), request);
        self.sent(id, sent)
    }

    /// Sends SSH_FXP_WRITE; `data` rides uncopied behind its header (§6.4).
    ///
    /// # Errors
    /// [`Blocked`]; nothing was sent.
    pub fn write(
        &mut self,
        handle: &Handle,
        offset: u64,
        data: &Data,
    ) -> Result<Pending<kind::Status>, Blocked> {
        let id = self.reserve(Expected::Status, data.len())?;
        let sent = self.output.write(id.0, handle.as_bytes(), offset, data);
        self.sent(id, sent)
    }

    /// Nobody waits for this request any more: its answer is dropped, and a handle that it opens is
    /// closed. Does nothing when the answer was taken already ([`discard`](Self::discard) that).
    pub fn abandon(&mut self, id: RequestId) {
        if let Some(slot) = self.slot(id) {
            slot.abandoned = true;
        }
    }

    /// Drops an answer that was taken and that nobody wants; a handle in it is closed.
    pub fn discard(&mut self, done: Completion) {
        if self.ended.is_none()
            && let Ok(body) = done.result
            && let Some(handle) = body.into_handle()
        {
            self.orphans.push_back(handle);
        }
        self.close_orphans();
    }

    /// Ends the session from this side; whoever waits is answered at once.
    pub fn close(&mut self) {
        self.abort(Error::Closed);
    }

    /// Ends the session for the reason given, such as the end of the channel. Answers that have come
    /// already remain; every other waiter gets [`StatusCode::CONNECTION_LOST`] (§7), which exists for
    /// that. The first reason stays.
    pub fn abort(&mut self, error: Error) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(error);
        self.input.clear();
        self.output.clear();
        self.orphans.clear();
        for (index, slot) in (0..).zip(&mut self.slots) {
            if matches!(slot.state, State::InFlight(_)) {
                slot.state = State::Done;
                let id = request_id(index, slot.generation);
                self.done.push_back(Completion {
                    id,
                    result: Err(StatusCode::CONNECTION_LOST.into()),
                });
            }
        }
    }

    /// Whether the server has answered INIT, so that requests may be sent.
    pub const fn is_ready(&self) -> bool {
        self.agreed.is_some()
    }

    /// The version that both speak: 3, once the server has answered.
    pub fn version(&self) -> Option<u32> {
        self.agreed.map(|(version, _)| version)
    }

    /// What the server announced; nothing before it has.
    pub fn extensions(&self) -> Extensions {
        self.agreed
            .map_or(Extensions::NONE, |(_, extensions)| extensions)
    }

    /// Why the session has ended, if it has.
    pub const fn error(&self) -> Option<&Error> {
        self.ended.as_ref()
    }

    /// Requests in flight, answers that were not taken included.
    pub const fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether a request that asks for or carries `bytes` of file data would be taken now.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.check_room(bytes).is_ok()
    }

    /// Whether more bytes may come: false while answers wait that nobody takes.
    pub const fn wants_data(&self) -> bool {
        // Untaken answers to READ were asked for and are bounded already; directory entries and the
        // like are not, each up to a whole message.
        self.weight < self.bounds.bytes.saturating_add(limits::SFTP_UNSENT)
    }

    fn read_messages(&mut self) -> Result<(), Error> {
        while let Some(mut message) = self.input.next_message()? {
            let number = message.take_u8().expect("a message has its type");
            if self.agreed.is_none() {
                self.agreed = Some(read_version(number, &message.copied())?);
                continue;
            }
            // VERSION has no id, and comes once (§4).
            if number == Version::NUMBER {
                return Err(PeerMisbehaved::UnexpectedSftpMessage { number }.into());
            }
            let id = RequestId(
                message
                    .take_u32()
                    .expect("a message has four bytes behind its type"),
            );
            self.read_answer(number, id, message)?;
        }
        Ok(())
    }

    fn read_answer(&mut self, number: u8, id: RequestId, message: Data) -> Result<(), Error> {
        let Some(&mut Slot {
            state: State::InFlight(expected),
            abandoned,
            weight,
            ..
        }) = self.slot(id)
        else {
            return Err(PeerMisbehaved::UnknownRequestId.into());
        };
        let result = read_reply(expected, number, message)?;
        let done = Completion { id, result };
        if abandoned {
            self.release(id);
            self.discard(done);
            return Ok(());
        }
        let arrived = done.result.as_ref().map_or(0, Body::weight);
        self.weight = self.weight - weight + arrived;
        let slot = self.slot(id).expect("the slot was there a moment ago");
        slot.weight = arrived;
        slot.state = State::Done;
        self.done.push_back(done);
        Ok(())
    }

    fn check_room(&self, weight: usize) -> Result<(), Blocked> {
        if self.ended.is_some() {
            return Err(Blocked::Ended);
        }
        if self.agreed.is_none() {
            return Err(Blocked::NotReady);
        }
        let in_flight = self.in_flight();
        let full = in_flight >= usize::from(self.bounds.requests.max(1))
            || self.weight.saturating_add(weight) > self.bounds.bytes && in_flight > 0;
        if full { Err(Blocked::Full) } else { Ok(()) }
    }

    fn reserve(&mut self, expected: Expected, weight: usize) -> Result<RequestId, Blocked> {
        self.check_room(weight)?;
        let index = self.free.pop().unwrap_or_else(|| {
            let index =
                u16::try_from(self.slots.len()).expect("there are fewer than 2^16 requests");
            self.slots.push(Slot {
                generation: 0,
                state: State::Free,
                abandoned: false,
                weight: 0,
            });
            index
        });
        let slot = self
            .slots
            .get_mut(usize::from(index))
            .expect("free slots are slots");
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::InFlight(expected);
        slot.abandoned = false;
        slot.weight = weight;
        self.weight += weight;
        Ok(request_id(index, slot.generation))
    }

    fn sent<K: Kind>(
        &mut self,
        id: RequestId,
        sent: Result<(), TooLong>,
    ) -> Result<Pending<K>, Blocked> {
        match sent {
            Ok(()) => Ok(Pending {
                id,
                kind: PhantomData,
            }),
            Err(TooLong) => {
                self.release(id);
                Err(Blocked::TooLong)
            }
        }
    }

    /// The slot of a request that is in flight, or done and not taken.
    fn slot(&mut self, id: RequestId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.index())?;
        (slot.state != State::Free && u32::from(slot.generation) == id.0 >> 16).then_some(slot)
    }

    fn release(&mut self, id: RequestId) {
        let slot = self.slot(id).expect("only a taken slot is released");
        slot.state = State::Free;
        let weight = slot.weight;
        self.weight -= weight;
        self.free
            .push(u16::try_from(id.index()).expect("an index has 16 bits"));
    }

    /// Before anything else may take the slot, and so without an end: an orphan takes the slot that
    /// its own request, or a completion, has left.
    fn close_orphans(&mut self) {
        while !self.orphans.is_empty()
            && let Ok(id) = self.reserve(Expected::Status, 0)
            && let Some(handle) = self.orphans.pop_front()
        {
            self.abandon(id);
            self.output
                .message(
                    Some(id.0),
                    &Close {
                        handle: handle.as_bytes(),
                    },
                )
                .expect("a handle has 256 bytes at most");
        }
    }
}

fn request_id(index: u16, generation: u16) -> RequestId {
    RequestId(u32::from(generation) << 16 | u32::from(index))
}

/// Holds SSH_FXP_VERSION against what we speak: "the lowest ... of its own and the client's" (§4),
/// so that a server which names a later version than we offered means ours.
fn read_version(number: u8, body: &[u8]) -> Result<(u32, Extensions), Error> {
    if number != Version::NUMBER {
        return Err(PeerMisbehaved::UnexpectedSftpMessage { number }.into());
    }
    let message: Version<'_> = read(body)?;
    if message.version < VERSION {
        return Err(PeerMisbehaved::BadSftpVersion.into());
    }
    let extensions = Reader::new(message.extensions.0)
        .read()
        .map_err(invalid::<Version<'_>>)?;
    Ok((VERSION, extensions))
}
