//! Sessions by scripts: a client machine on one end, the engine on the other, nothing between.

mod hashes;
mod model;
mod order;
mod requests;
mod stream;

use super::*;
use bytes::Bytes;
use engine::Engine;
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::messages::{Close, Open, Opendir, Read};
use sansftp_proto::sftp::{
    Attrs, Bounds, Client, Completion, Data, Handle, Kind, OpenFlags, Pending, Request, Status,
    StatusCode,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session whose client is in the hands of the test.
struct Session {
    client: Client,
    engine: Arc<Engine>,
    done: Vec<Completion>,
    runtime: Runtime,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread until `poll` has something, with a waker that it is woken by.
fn wait<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll(&waker) {
            return found;
        }
        assert!(Instant::now() < until, "it takes too long");
        thread::park_timeout(PATIENCE);
    }
}

impl Session {
    fn of(fs: impl FileSystem, options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let engine = Engine::start(Arc::new(fs), options, runtime.handle());
        let mut this = Self {
            client: Client::new(Bounds {
                bytes: usize::MAX / 2,
                ..Bounds::default()
            }),
            engine,
            done: Vec::new(),
            runtime,
        };
        wait(|waker| {
            this.exchange(waker);
            this.client.is_ready().then_some(())
        });
        this
    }

    fn over(fs: &MemFs) -> Self {
        Self::of(fs.clone(), Options::default())
    }

    /// Moves what can be moved in both directions.
    fn exchange(&mut self, waker: &Waker) {
        self.engine.set_waker(waker);
        self.give();
        while let Some(bytes) = self.engine.poll_transmit() {
            self.client.handle_data(bytes).unwrap();
            self.give();
        }
        self.done
            .extend(std::iter::from_fn(|| self.client.poll_completion()));
    }

    /// Client to engine.
    fn give(&mut self) {
        while self.engine.wants_data()
            && let Some(bytes) = self.client.poll_transmit()
        {
            self.engine.handle_data(bytes);
        }
    }

    fn send<'a, Q: Request<'a>>(&mut self, request: &Q) -> Pending<Q::Reply> {
        self.client.send(request).unwrap()
    }

    fn write(
        &mut self,
        handle: &Handle,
        offset: u64,
        data: &[u8],
    ) -> Pending<sansftp_proto::sftp::kind::Status> {
        let data = Bytes::copy_from_slice(data).into();
        self.client.write(handle, offset, &data).unwrap()
    }

    /// The answer, once it has come.
    fn take<K: Kind>(&mut self, pending: Pending<K>) -> Result<K::Value, Status> {
        let id = pending.id();
        let done = wait(|waker| {
            self.exchange(waker);
            let at = self.done.iter().position(|it| it.id() == id)?;
            Some(self.done.swap_remove(at))
        });
        pending.claim(done).expect("the id is the request's")
    }

    /// Whether the answer has come within a moment.
    fn has(&mut self, id: sansftp_proto::sftp::RequestId) -> bool {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        for _ in 0..5 {
            self.exchange(&waker);
            if self.done.iter().any(|it| it.id() == id) {
                return true;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        false
    }

    fn ask<'a, Q: Request<'a>>(
        &mut self,
        request: &Q,
    ) -> Result<<Q::Reply as Kind>::Value, Status> {
        let pending = self.send(request);
        self.take(pending)
    }

    /// The code of the answer to a request that fails, or [`StatusCode::OK`].
    fn code<'a, Q: Request<'a>>(&mut self, request: &Q) -> StatusCode {
        match self.ask(request) {
            Ok(_) => StatusCode::OK,
            Err(status) => status.code,
        }
    }

    fn open(&mut self, path: &[u8], pflags: OpenFlags) -> Handle {
        self.ask(&open(path, pflags)).unwrap()
    }

    fn open_dir(&mut self, path: &[u8]) -> Handle {
        self.ask(&Opendir { path }).unwrap()
    }

    fn read(&mut self, handle: &Handle, offset: u64, len: u32) -> Result<Vec<u8>, StatusCode> {
        let data = self.ask(&read(handle, offset, len));
        data.map(|it| bytes(&it)).map_err(|it| it.code)
    }

    fn put(&mut self, handle: &Handle, offset: u64, data: &[u8]) -> StatusCode {
        let pending = self.write(handle, offset, data);
        self.take(pending)
            .map_or_else(|it| it.code, |()| StatusCode::OK)
    }

    fn close(&mut self, handle: &Handle) -> StatusCode {
        self.code(&Close {
            handle: handle.as_bytes(),
        })
    }

    /// Says that the client is done, and waits for the end.
    fn finish(mut self) -> End {
        self.engine.handle_eof();
        wait(|waker| {
            self.exchange(waker);
            self.engine.ended()
        })
    }

    /// How the session ended, once it has by itself.
    fn end(&self) -> End {
        wait(|waker| {
            self.engine.set_waker(waker);
            self.engine.ended()
        })
    }
}

/// Runs `f` while panics, which the test wants, are not shown.
fn quietly<T>(f: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = f();
    std::panic::set_hook(usual);
    outcome
}

fn open(filename: &[u8], pflags: OpenFlags) -> Open<'_> {
    let attrs = Attrs::default();
    Open {
        filename,
        pflags,
        attrs,
    }
}

fn read(handle: &Handle, offset: u64, len: u32) -> Read<'_> {
    let handle = handle.as_bytes();
    Read {
        handle,
        offset,
        len,
    }
}

fn bytes(data: &Data) -> Vec<u8> {
    data.pieces().flatten().copied().collect()
}

/// A message as it goes over the wire, of fields that need not be right.
fn raw(number: u8, id: u32, fields: &[u8]) -> Vec<u8> {
    let length = 5 + u32::try_from(fields.len()).unwrap();
    let mut message = length.to_be_bytes().to_vec();
    message.push(number);
    message.extend(id.to_be_bytes());
    message.extend(fields);
    message
}

/// A file system over [`MemFs`] that stops where the test wants it to: operations on files whose
/// names the script knows tell when they begin, and go on when they are let.
#[derive(Debug, Clone)]
struct Scripted {
    files: MemFs,
    /// Bytes that were read from all files.
    read: Arc<AtomicU64>,
    begun: Sender<&'static str>,
    gates: Arc<Mutex<HashMap<Bytes, Receiver<()>>>>,
}

impl Scripted {
    fn new(files: MemFs) -> (Self, Receiver<&'static str>) {
        let (begun, beginnings) = channel();
        let this = Self {
            files,
            read: Arc::default(),
            begun,
            gates: Arc::default(),
        };
        (this, beginnings)
    }

    /// From now on every operation on a file opened as `path` waits for one word from here, or for
    /// the end of whoever could say it.
    fn stop(&self, path: &'static [u8]) -> Sender<()> {
        let (go, gate) = channel();
        let mut gates = self.gates.lock().unwrap();
        gates.insert(Bytes::from_static(path), gate);
        go
    }

    fn begin(&self, path: &[u8], what: &'static str) {
        assert!(!path.ends_with(b"panics"), "as the test wants it");
        let gate = self.gates.lock().unwrap().remove(path);
        let Some(gate) = gate else { return };
        let _ = self.begun.send(what);
        let _ = gate.recv();
        let mut gates = self.gates.lock().unwrap();
        gates.entry(Bytes::copy_from_slice(path)).or_insert(gate);
    }
}

impl FileSystem for Scripted {
    fn extensions(&self) -> sansftp_proto::sftp::Extensions {
        self.files.extensions()
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
        assert!(!path.ends_with(b"panics at once"), "as the test wants it");
        let file = self.files.open(path, flags, attrs)?;
        Ok(Arc::new(ScriptedFile {
            file,
            path: Bytes::copy_from_slice(path),
            script: self.clone(),
        }))
    }

    fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
        self.files.open_dir(path)
    }

    fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
        self.files.stat(path)
    }

    fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
        self.files.real_path(path)
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> Outcome<()> {
        self.files.posix_rename(from, to)
    }

    fn stat_vfs(&self, path: &[u8]) -> Outcome<StatVfs> {
        self.files.stat_vfs(path)
    }
}

#[derive(Debug)]
struct ScriptedFile {
    file: Arc<dyn File>,
    path: Bytes,
    script: Scripted,
}

impl File for ScriptedFile {
    fn identity(&self) -> FileId {
        self.file.identity()
    }

    fn read_at(&self, offset: u64, len: usize) -> Outcome<Data> {
        self.script.begin(&self.path, "read");
        let data = self.file.read_at(offset, len)?;
        let read = data.len() as u64;
        self.script.read.fetch_add(read, Ordering::Relaxed);
        Ok(data)
    }

    fn write_at(&self, offset: u64, data: &Data) -> Outcome<()> {
        self.script.begin(&self.path, "write");
        self.file.write_at(offset, data)
    }

    fn stat(&self) -> Outcome<Attrs> {
        self.file.stat()
    }

    fn close(&self) -> Outcome<()> {
        self.script.begin(&self.path, "close");
        self.file.close()
    }
}

impl Drop for ScriptedFile {
    fn drop(&mut self) {
        let _ = self.script.begun.send("drop");
        assert!(
            tokio::runtime::Handle::try_current().is_ok(),
            "files are dropped on threads of the runtime"
        );
        assert!(!self.path.starts_with(b"/falls"), "as the test wants it");
    }
}
