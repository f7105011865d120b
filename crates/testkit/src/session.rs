//! An SFTP session over a pair: both machines, the channel between them, and files in memory. It pumps and answers; what
//! is asked is for the test to say.

use crate::memfs::MemFs;
use crate::pair::Pair;
use bytes::Bytes;
use sansftp_proto::connection::{ChannelId, Mux, WriteError};
use sansftp_proto::role::Role;
use sansftp_proto::sftp::{Client, Completion, Kind, Pending, Server, Status};

/// Both ends of an SFTP session.
#[derive(Debug)]
pub struct Session {
    /// The end that asks.
    pub client: Client,
    /// The end that answers, out of `files`.
    pub server: Server,
    /// What the server has.
    pub files: MemFs,
    ours: ChannelId,
    theirs: ChannelId,
    /// What did not fit into the channel, per end.
    held: [Option<Bytes>; 2],
}

impl Session {
    /// Opens a channel of a connected pair and starts the session on it.
    pub fn start(pair: &mut Pair) -> Self {
        let (ours, theirs) = pair.subsystem();
        let mut this = Self {
            client: Client::default(),
            server: Server::new(MemFs::extensions()),
            files: MemFs::default(),
            ours,
            theirs,
            held: [None, None],
        };
        this.drive(pair);
        assert!(this.client.is_ready(), "{:?}", this.client.error());
        this
    }

    /// Runs until nothing moves.
    pub fn drive(&mut self, pair: &mut Pair) {
        while self.step(pair) | pair.step() {}
        pair.drive();
    }

    /// Moves what can be moved between machines and channel, and says whether anything did.
    pub fn step(&mut self, pair: &mut Pair) -> bool {
        let [client_held, server_held] = &mut self.held;
        let mux = pair.client_mux();
        let mut moved = fill(mux, self.ours, client_held, || self.client.poll_transmit());
        while self.client.wants_data()
            && let Some(data) = mux.read(self.ours)
        {
            self.client
                .handle_data(data)
                .expect("our own server keeps to the protocol");
            moved = true;
        }
        let mux = pair.server_mux();
        while self.server.wants_data()
            && let Some(data) = mux.read(self.theirs)
        {
            self.server
                .handle_data(data)
                .expect("our own client keeps to the protocol");
            moved = true;
        }
        self.files
            .serve(&mut self.server)
            .expect("our own client keeps to the protocol");
        moved
            | fill(mux, self.theirs, server_held, || {
                self.server.poll_transmit()
            })
    }

    /// The answer to a request, which has come and is the next.
    #[track_caller]
    pub fn answer<K: Kind>(&mut self, pending: Pending<K>) -> Result<K::Value, Status> {
        let done: Completion = self.client.poll_completion().expect("an answer has come");
        pending
            .claim(done)
            .expect("it is the answer to this request")
    }
}

/// Writes what a machine has to say into its channel, as much as it takes.
fn fill<R: Role>(
    mux: &mut Mux<R>,
    id: ChannelId,
    held: &mut Option<Bytes>,
    mut next: impl FnMut() -> Option<Bytes>,
) -> bool {
    let mut moved = false;
    while let Some(bytes) = held.take().or_else(&mut next) {
        match mux.write(id, bytes) {
            Ok(()) => moved = true,
            Err(WriteError::Blocked(bytes)) => {
                *held = Some(bytes);
                break;
            }
            Err(_) => break,
        }
    }
    moved
}
