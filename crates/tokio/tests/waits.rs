//! Every wait ends, whatever the server or the runtime does.

use bytes::{Buf, Bytes, BytesMut};
use sansftp_proto::auth::server::{Event, Verdict};
use sansftp_proto::connection::ChannelEvent;
use sansftp_proto::role::{Client as ClientRole, Server as ServerRole};
use sansftp_proto::session::{Config, Connection, KeepAlive, ServerEvent, Trust};
use sansftp_testkit::suite::Suite;
use sansftp_tokio::sftp::SftpError;
use sansftp_tokio::{Client, Credentials, Deadlines};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

/// SSH_FXP_VERSION 3 without extensions.
const VERSION: &[u8] = &[0, 0, 0, 5, 2, 0, 0, 0, 3];

/// What the server's SFTP program does with what it is sent: bytes in, bytes out.
type Program = Box<dyn FnMut(Bytes) -> Vec<u8> + Send>;

/// Says what version it has, and nothing after that.
fn silent() -> Program {
    let mut asked = false;
    Box::new(move |_| {
        if std::mem::replace(&mut asked, true) {
            Vec::new()
        } else {
            VERSION.to_vec()
        }
    })
}

/// A server of one session that lets everybody in and runs `program`.
async fn serve(mut io: DuplexStream, mut program: Program) -> io::Result<()> {
    let config = Config::server(Suite::Null.provider(2), vec![Suite::Null.key(0)]);
    let mut conn: Connection<ServerRole> =
        Connection::server(Arc::new(config), Instant::now()).expect("there are algorithms");
    let mut input = BytesMut::new();
    let mut out = Vec::new();
    loop {
        // The error is an event.
        let _ = conn.handle_input(Instant::now(), &mut input);
        let Some(event) = conn.poll_event() else {
            let sealed = conn.transmit(Instant::now(), usize::MAX);
            io.write_all(sealed).await?;
            sealed.advance(sealed.len());
            if io.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        match event {
            ServerEvent::Auth(Event::Attempt(attempt)) => {
                let _ = conn.decide(attempt, Verdict::Accept);
            }
            ServerEvent::Channel(event) => {
                let Some(mux) = conn.mux() else { continue };
                match event {
                    ChannelEvent::Offered(offer) => drop(mux.accept(offer)),
                    ChannelEvent::Request {
                        answer: Some(answer),
                        ..
                    } => mux.answer(answer, true),
                    ChannelEvent::Readable(id) => {
                        while let Some(data) = mux.read(id) {
                            out.extend(program(data));
                        }
                        if !out.is_empty() {
                            mux.write(id, std::mem::take(&mut out).into())
                                .expect("answers are short");
                        }
                    }
                    _ => {}
                }
            }
            ServerEvent::Common(_) => return Ok(()),
            _ => {}
        }
    }
}

struct Setup {
    config: Config<ClientRole>,
    deadlines: Deadlines,
}

impl Setup {
    fn new() -> Self {
        Self {
            config: Config::client(Suite::Null.provider(1)),
            deadlines: Deadlines::default(),
        }
    }

    async fn over<Io>(self, io: Io) -> Client
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { config, deadlines } = self;
        let credentials = Credentials::new("u").password("p");
        Client::over(io, config, &deadlines, |_| Trust::Trusted, credentials)
            .await
            .unwrap()
    }

    async fn against(self, program: Program) -> Client {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(theirs, program));
        self.over(ours).await
    }
}

#[tokio::test]
async fn signs_of_life_do_not_keep_a_request_waiting_that_nobody_answers() {
    let mut setup = Setup::new();
    setup.config.keepalive = Some(KeepAlive {
        interval: Duration::from_millis(300),
        missed: 3,
    });
    setup.deadlines.request = Duration::from_secs(1);
    let client = setup.against(silent()).await;
    let sftp = client.sftp().await.unwrap();
    let asked = timeout(Duration::from_secs(10), sftp.stat(b"x")).await;
    let error = asked.expect("the request has a deadline").unwrap_err();
    assert!(matches!(error, SftpError::TimedOut { .. }), "{error}");
}
