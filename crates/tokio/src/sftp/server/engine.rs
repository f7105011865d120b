//! Serves one session: bytes in and out on whatever thread the channel is driven, files on threads
//! that may block. Knows no SSH; its lock is its own, held for moments and never while files are
//! touched.

use super::handles::{Opened, Table};
use super::perform::{Task, discard};
use super::schedule::{Lane, Schedule};
use super::{End, FileSystem, Options};
use crate::shared;
use bytes::Bytes;
use sansftp_proto::error::Error;
use sansftp_proto::limits;
use sansftp_proto::sftp::extensions::{Limits, RequestLengths};
use sansftp_proto::sftp::{Asked, Handle, Server, ServerBounds, Status, StatusCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::runtime::Handle as Runtime;

/// Threads on which one session's requests may be at work at once. How many there are for all
/// sessions together is for the runtime to say (`max_blocking_threads`).
const WORKERS: usize = 4;
/// How long a session may keep a thread while others wait for one.
const TURN: Duration = Duration::from_millis(50);
/// Bytes of answers that wait to be taken before nothing further begins: enough to keep a channel
/// full, little enough that what was read from a file is still in the processor's cache when it is
/// sent. With half of it taken, it goes on, so that each thread that is asked for has some to do.
const AHEAD: usize = 1024 * 1024;

const HALF: usize = AHEAD / 2;

/// The session as its channel sees it. Dropped, it is [aborted](Self::abort).
#[derive(Debug)]
pub(crate) struct Engine(Arc<Inner>);

impl Engine {
    /// Begins to serve `fs`; its files are touched on blocking threads of `runtime`.
    pub(crate) fn start(fs: Arc<dyn FileSystem>, options: Options, runtime: &Runtime) -> Arc<Self> {
        let known = fs.extensions();
        let machine = Server::new(options.allowed.among(known))
            .knowing(known)
            .bounded(ServerBounds {
                bytes: options.memory,
                ..ServerBounds::default()
            });
        Arc::new(Self(Arc::new(Inner {
            fs,
            options,
            runtime: runtime.clone(),
            over: AtomicBool::new(false),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            state: Mutex::new(State {
                machine,
                table: Table::default(),
                schedule: Schedule::default(),
                workers: 0,
                busy: 0,
                pace: Pace::Going,
                input: Input::Open,
                stage: Stage::Serving,
                waker: None,
                told: Told::No,
            }),
        })))
    }

    /// Whether more bytes of the client may come.
    pub(crate) fn wants_data(&self) -> bool {
        let mut state = self.0.lock();
        state.is_serving() && state.machine.wants_data()
    }

    /// Takes what the client sent. To be called when [`wants_data`](Self::wants_data) says so.
    pub(crate) fn handle_data(&self, data: Bytes) {
        let mut state = self.0.lock();
        if !state.is_serving() {
            return;
        }
        match state.machine.handle_data(data) {
            Ok(()) => self.0.go_on(state),
            Err(error) => {
                state.end(Some(error));
                self.0.go_on(state);
            }
        }
    }

    /// The client sends nothing more. The session ends once everything is answered and taken.
    pub(crate) fn handle_eof(&self) {
        let mut state = self.0.lock();
        state.input = Input::Ended;
        self.0.go_on(state);
    }

    /// The next bytes for the client.
    pub(crate) fn poll_transmit(&self) -> Option<Bytes> {
        let mut state = self.0.lock();
        let bytes = state.machine.poll_transmit();
        if bytes.is_some() {
            self.0.go_on(state);
        }
        bytes
    }

    /// Who is woken, once, when there is something to transmit, data is wanted again, or the session
    /// has ended. To be set again before it looks.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut state = self.0.lock();
        state.told = Told::No;
        if !matches!(&state.waker, Some(it) if it.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// How the session ended, once it has: by then nothing is at work and everything is closed.
    pub(crate) fn ended(&self) -> Option<End> {
        match &self.0.lock().stage {
            Stage::Ended(end) => Some(end.clone()),
            _ => None,
        }
    }

    /// Ends the session. What is at work is finished, nothing further begins, and what is open is
    /// closed, all on blocking threads.
    pub(crate) fn abort(&self) {
        self.fail(Error::Closed);
    }

    /// The same, for this reason.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.0.lock();
        state.end(Some(error));
        self.0.go_on(state);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.abort();
    }
}

/// What the session's threads share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) options: Options,
    runtime: Runtime,
    /// Set when the session ends, for what takes long.
    over: AtomicBool,
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    machine: Server,
    table: Table,
    schedule: Schedule<Task>,
    /// Threads that were asked for and have not given up.
    workers: usize,
    /// Those of them that are at a file.
    busy: usize,
    pace: Pace,
    input: Input,
    stage: Stage,
    waker: Option<Waker>,
    told: Told,
}

/// Whether requests may begin, or wait for answers to be taken.
#[derive(Debug, PartialEq, Eq)]
enum Pace {
    Going,
    Waiting,
}

/// Whether more can come from the client.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

#[derive(Debug)]
enum Stage {
    Serving,
    /// Nothing begins any more; what has begun is still at work.
    Ending(Option<Error>),
    /// Nothing is at work; what was open is being closed.
    Closing,
    Ended(End),
}

/// Whether the waker was woken since it was set.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

/// What is left of a session that has ended, to be dropped where that may block.
struct Remains {
    error: Option<Error>,
    opened: Vec<Opened>,
    /// Held for their files alone.
    tasks: Vec<Task>,
}

impl Inner {
    /// Names what was opened.
    ///
    /// # Errors
    /// As many are open as may be.
    pub(super) fn insert(&self, opened: impl FnOnce(u64) -> Opened) -> Result<Handle, Status> {
        let mut state = self.lock();
        if state.table.len() >= self.options.handles {
            return Err(TOO_MANY_HANDLES);
        }
        let number = state.table.opened();
        Ok(state.table.insert(opened(number)))
    }

    /// Whether one more may be opened. Requests on paths come one at a time, so nothing takes the
    /// place meanwhile.
    ///
    /// # Errors
    /// As many are open as may be.
    pub(super) fn has_room(&self) -> Result<(), Status> {
        if self.lock().table.len() >= self.options.handles {
            return Err(TOO_MANY_HANDLES);
        }
        Ok(())
    }

    /// Whether the session has ended, for whatever takes long to ask now and then.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A panic elsewhere under the lock is a bug of ours, and no reason for more of them.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what has become possible.
    fn go_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let todo = state.go_on(&self.options);
        drop(state);
        self.carry_out(todo);
    }

    /// What the lock is not to be held for.
    fn carry_out(self: &Arc<Self>, todo: Todo) {
        for _ in 0..todo.workers {
            let inner = Arc::clone(self);
            self.runtime.spawn_blocking(move || inner.work());
        }
        if todo.over {
            self.over.store(true, Ordering::Relaxed);
        }
        if let Some(remains) = todo.remains {
            let inner = Arc::clone(self);
            self.runtime.spawn_blocking(move || inner.bury(remains));
        }
        shared::wake(todo.waker);
    }

    /// Processes requests until none can be.
    fn work(self: &Arc<Self>) {
        let began = Instant::now();
        let mut state = self.lock();
        while let Some((lane, task)) = state.next_task() {
            state.busy += 1;
            drop(state);
            let answer = self.perform(task);
            state = self.lock();
            state.busy -= 1;
            state.schedule.done(lane);
            state.machine.give(answer);
            let done = began.elapsed() > TURN;
            if done {
                // Whoever goes on stands behind all others that wait for a thread.
                state.workers -= 1;
            }
            let mut todo = state.go_on(&self.options);
            todo.waker = state.waker_to_tell();
            if done || !todo.is_nothing() {
                drop(state);
                self.carry_out(todo);
                if done {
                    return;
                }
                state = self.lock();
            }
        }
        state.workers -= 1;
    }

    /// Closes what a session left open, and tells that it is over.
    fn bury(&self, remains: Remains) {
        remains.tasks.into_iter().for_each(discard);
        for opened in remains.opened {
            self.close_unasked(opened);
        }
        let end = End {
            error: remains.error,
            bytes_read: self.read.load(Ordering::Relaxed),
            bytes_written: self.written.load(Ordering::Relaxed),
        };
        self.tell_end(&end);
        let mut state = self.lock();
        state.stage = Stage::Ended(end);
        let waker = state.waker_to_tell();
        drop(state);
        shared::wake(waker);
    }
}

/// What is to be done once the lock is free.
#[derive(Default)]
struct Todo {
    /// Threads to ask for; they are counted already.
    workers: usize,
    /// Whether what takes long is to stop.
    over: bool,
    remains: Option<Remains>,
    waker: Option<Waker>,
}

impl Todo {
    const fn is_nothing(&self) -> bool {
        self.workers == 0 && !self.over && self.remains.is_none() && self.waker.is_none()
    }
}

impl State {
    /// Hands out requests, asks for threads, ends what is to end.
    fn go_on(&mut self, options: &Options) -> Todo {
        self.hand_out(options);
        self.end_if_done();
        match self.machine.unsent() {
            ..=HALF => self.pace = Pace::Going,
            AHEAD.. => self.pace = Pace::Waiting,
            _ => {}
        }
        let over = matches!(self.stage, Stage::Ending(_));
        let remains = self.remains();
        let workers = self.missing_workers();
        self.workers += workers;
        Todo {
            workers,
            over,
            remains,
            waker: None,
        }
    }

    fn next_task(&mut self) -> Option<(Lane, Task)> {
        if self.may_begin() {
            self.schedule.take()
        } else {
            None
        }
    }

    /// Whether a request may begin: not while answers wait, and not any more once the session ends,
    /// though others may still be at work.
    fn may_begin(&self) -> bool {
        self.is_serving() && self.pace == Pace::Going
    }

    const fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving)
    }

    /// Puts into lanes what the client asks for.
    fn hand_out(&mut self, options: &Options) {
        while self.is_serving() {
            match self.machine.poll_request() {
                Ok(Some(asked)) => self.dispatch(asked, options),
                Ok(None) => return,
                Err(error) => self.end(Some(error)),
            }
        }
    }

    fn dispatch(&mut self, asked: Asked, options: &Options) {
        if !options.allowed.contains(asked.name()) {
            return self.schedule.push(Lane::Paths, Task::Denied(asked));
        }
        let opened = match &asked {
            // The handle is useless from here on, for whatever comes behind (§6.3).
            Asked::Close { handle, .. } => self.table.remove(handle),
            Asked::Read { handle, .. }
            | Asked::Write { handle, .. }
            | Asked::Fstat { handle, .. }
            | Asked::Fsetstat { handle, .. }
            | Asked::Readdir { handle, .. }
            | Asked::Fstatvfs { handle, .. }
            | Asked::CheckFileHandle { handle, .. }
            | Asked::Fsync { handle, .. } => self.table.get(handle).cloned(),
            Asked::CopyData { from, to, .. } => {
                let opened = self.table.get(from).zip(self.table.get(to));
                let Some((from, to)) = opened.map(|(from, to)| (from.clone(), to.clone())) else {
                    return self.machine.give(asked.refuse(NO_SUCH_HANDLE));
                };
                let task = Task::Between { asked, from, to };
                return self.schedule.push(Lane::Paths, task);
            }
            Asked::Limits { .. } => return self.tell_limits(asked, options),
            _ => return self.schedule.push(Lane::Paths, Task::Paths(asked)),
        };
        let Some(opened) = opened else {
            return self.machine.give(asked.refuse(NO_SUCH_HANDLE));
        };
        self.schedule
            .push(opened.lane(), Task::Opened(asked, opened));
    }

    /// OpenSSH PROTOCOL §4.8
    fn tell_limits(&mut self, asked: Asked, options: &Options) {
        let Asked::Limits { reply } = asked else {
            return;
        };
        let length = u64::from(RequestLengths::LONGEST);
        let limits = Limits {
            max_packet_length: limits::SFTP_MESSAGE as u64,
            max_read_length: length,
            max_write_length: length,
            max_open_handles: options.handles as u64,
        };
        self.machine.reply(reply, Ok(limits));
    }

    /// Nothing further begins. The first reason stays.
    fn end(&mut self, error: Option<Error>) {
        if self.is_serving() {
            self.machine.abort(error.clone().unwrap_or(Error::Closed));
            self.stage = Stage::Ending(error);
        }
    }

    fn end_if_done(&mut self) {
        if self.is_serving() && self.input == Input::Ended && self.machine.is_idle() {
            self.end(None);
        }
    }

    /// What is to be buried, once the session is ending and nothing is at work.
    fn remains(&mut self) -> Option<Remains> {
        let Stage::Ending(error) = &mut self.stage else {
            return None;
        };
        if self.busy > 0 {
            return None;
        }
        let remains = Remains {
            error: error.take(),
            opened: self.table.clear(),
            tasks: self.schedule.clear(),
        };
        self.stage = Stage::Closing;
        Some(remains)
    }

    /// How many more threads would have something to do.
    fn missing_workers(&self) -> usize {
        if !self.may_begin() {
            return 0;
        }
        let idle = self.workers - self.busy;
        let missing = self.schedule.ready().saturating_sub(idle);
        missing.min(WORKERS.saturating_sub(self.workers))
    }

    fn waker_to_tell(&mut self) -> Option<Waker> {
        if self.told == Told::Yes {
            return None;
        }
        self.told = Told::Yes;
        self.waker.clone()
    }
}

const NO_SUCH_HANDLE: Status = Status::with_text(StatusCode::FAILURE, "no such handle");
const TOO_MANY_HANDLES: Status = Status::with_text(
    StatusCode::FAILURE,
    "too many files and directories are open",
);
