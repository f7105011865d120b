//! Gets one file over `std::net` alone: no runtime, no threads, one loop. Called with HOST:PORT USER
//! KEY_FILE SHA256:FINGERPRINT REMOTE LOCAL; the fingerprint is what `ssh-keygen -l` prints.

use bytes::BytesMut;
use sansftp_crypto::default_provider;
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::auth::client::{Credential, Event};
use sansftp_proto::connection::{ChannelEvent as Channel, ChannelId, ToServer};
use sansftp_proto::session::{ClientEvent as On, Config, Connection, Trust};
use sansftp_proto::sftp::transfer::{Download, DownloadPlan, Order};
use sansftp_proto::sftp::{Attrs, Client, Completion, OpenFlags, messages};
use std::io::{ErrorKind, Read, Write};
use std::{fs, net::TcpStream, sync::Arc, time::Duration, time::Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    get(&std::env::args().skip(1).collect::<Vec<_>>())
}

pub(crate) fn get(arguments: &[String]) -> Result<(), Failure> {
    let [address, user, key, fingerprint, remote, local] = arguments else {
        return Err("it takes HOST:PORT USER KEY_FILE SHA256:FINGERPRINT REMOTE LOCAL".into());
    };
    let provider = default_provider();
    let key = sansftp_keys::read_private_key(&fs::read(key)?, None)?.key;
    let (user, key) = (user.clone(), provider.keys.load(&key)?);
    let mut session = Session {
        conn: Connection::client(Arc::new(Config::client(provider)), Instant::now())?,
        socket: TcpStream::connect(address)?,
        input: BytesMut::new(),
        channel: None,
        sftp: Client::default(),
        fingerprint,
        credential: Some(Credential::PublicKey { user, key }),
    };
    while !session.sftp.is_ready() {
        session.turn()?;
    }
    let pending = session.sftp.send(&messages::Open {
        filename: remote.as_bytes(),
        pflags: OpenFlags::READ,
        attrs: Attrs::default(),
    })?;
    let opened = pending.claim(session.answer()?);
    let file = opened.map_err(|_| "an answer to nothing")??;
    let mut target = fs::File::create(local)?;
    let mut plan = Download::new(DownloadPlan {
        offset: 0,
        size_hint: None,
        request_len: 32 * 1024,
        max_in_flight_bytes: 2 * 1024 * 1024,
        order: Order::InFile,
    });
    let mut asked = Vec::new();
    while plan.finished().is_none() {
        while let Some(read) = plan.next() {
            let pending = session.sftp.send(&messages::Read {
                handle: file.as_bytes(),
                offset: read.offset,
                len: read.len,
            })?;
            asked.push((pending, read));
        }
        let answer = session.answer()?;
        let at = asked.iter().position(|(it, _)| it.id() == answer.id());
        let (pending, read) = asked.swap_remove(at.ok_or("an answer to nothing")?);
        let result = pending.claim(answer).map_err(|_| "never: it has this id")?;
        plan.done(read, result);
        while let Some(piece) = plan.poll_data() {
            let mut pieces = piece.data.pieces();
            pieces.try_for_each(|bytes| target.write_all(bytes))?;
        }
    }
    Ok(plan.finished().transpose().map(drop)?)
}

/// One connection, with one session of SFTP in it. Ends when its socket is dropped.
struct Session<'a> {
    conn: Connection<sansftp_proto::role::Client>,
    socket: TcpStream,
    input: BytesMut,
    channel: Option<ChannelId>,
    sftp: Client,
    fingerprint: &'a str,
    credential: Option<Credential>,
}

impl Session<'_> {
    fn answer(&mut self) -> Result<Completion, Failure> {
        loop {
            match self.sftp.poll_completion() {
                Some(answer) => return Ok(answer),
                None => self.turn()?,
            }
        }
    }

    /// Answers one event, or moves bytes and time until there is one.
    fn turn(&mut self) -> Result<(), Failure> {
        self.conn.handle_input(Instant::now(), &mut self.input)?;
        match (self.conn.poll_event(), self.conn.mux()) {
            (None, _) => self.exchange()?,
            (Some(On::HostKey(key)), _) if sha256_fingerprint(key.key()) == self.fingerprint => {
                self.conn.judge(key, Trust::Trusted)?;
            }
            (Some(On::HostKey(key)), _) => self.conn.judge(key, Trust::Refused)?,
            (Some(On::Auth(Event::AuthRequired { turn, .. })), _) => {
                let credential = self.credential.take().ok_or("the key is refused")?;
                self.conn.authenticate(turn, credential)?;
            }
            (Some(On::Authenticated), Some(mux)) => drop(mux.open_session()?),
            (Some(On::Channel(Channel::Opened(id))), Some(mux)) => {
                mux.request(id, &ToServer::Subsystem("sftp".into()))?;
                self.channel = Some(id);
            }
            (Some(On::Channel(Channel::Readable(id))), Some(mux)) => {
                while let Some(data) = mux.read(id) {
                    self.sftp.handle_data(data)?;
                }
            }
            (Some(On::Channel(Channel::Answered { ok: true, .. })), _) => {}
            (Some(On::Channel(event)), _) => return Err(format!("no SFTP: {event:?}").into()),
            _ => {}
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), Failure> {
        if let (Some(id), Some(mux)) = (self.channel, self.conn.mux()) {
            while let Some(bytes) = self.sftp.poll_transmit() {
                mux.write(id, bytes)?;
            }
        }
        let (now, tick) = (Instant::now, Duration::from_millis(1));
        self.socket
            .write_all(&self.conn.transmit(now(), usize::MAX).split())?;
        let wait = self.conn.poll_timeout().map(|due| due - now() + tick);
        self.socket.set_read_timeout(wait)?;
        let mut block = [0; 64 * 1024];
        match self.socket.read(&mut block) {
            Ok(0) => self.conn.handle_eof(now())?,
            Ok(len) => self.input.extend_from_slice(&block[..len]),
            Err(it) if it.kind() == ErrorKind::WouldBlock => self.conn.handle_timeout(now())?,
            // A read with a timeout is not restarted behind a signal.
            Err(it) if it.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
