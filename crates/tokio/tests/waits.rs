//! Every wait ends, whatever the server or the runtime does.

use bytes::{Buf, Bytes, BytesMut};
use sansftp_proto::auth::server::{Event, Verdict};
use sansftp_proto::connection::ChannelEvent;
use sansftp_proto::role::{Client as ClientRole, Server as ServerRole};
use sansftp_proto::session::{Config, Connection, KeepAlive, ServerEvent, Trust};
use sansftp_proto::sftp::{self, Extensions, StatusCode};
use sansftp_testkit::suite::Suite;
use sansftp_tokio::sftp::SftpError;
use sansftp_tokio::{Client, ConnectError, Credentials, Deadlines};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;

/// SSH_FXP_VERSION 3 without extensions.
const VERSION: &[u8] = &[0, 0, 0, 5, 2, 0, 0, 0, 3];

/// What the server's SFTP program does with what it is sent: bytes in, bytes out. `None`: the server
/// hangs up.
type Program = Box<dyn FnMut(Bytes) -> Option<Vec<u8>> + Send>;

/// Says what version it has, and nothing after that.
fn silent() -> Program {
    let mut asked = false;
    Box::new(move |_| {
        let first = !std::mem::replace(&mut asked, true);
        Some(if first { VERSION.to_vec() } else { Vec::new() })
    })
}

/// A server of one session that lets everybody in and runs `program`.
async fn serve(mut io: DuplexStream, mut program: Program) -> io::Result<()> {
    let config =
        Config::server(Suite::Null.provider(2), vec![Suite::Null.key(0)]).with_all_algorithms();
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
                            let Some(answer) = program(data) else {
                                return Ok(());
                            };
                            out.extend(answer);
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
            config: Config::client(Suite::Null.provider(1)).with_all_algorithms(),
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
async fn whoever_waits_is_told_that_nothing_came_and_not_that_we_gave_up() {
    let mut setup = Setup::new();
    setup.deadlines.request = Duration::from_secs(1);
    let client = setup.against(silent()).await;
    let sftp = client.sftp().await.unwrap();
    let early = sftp.stat(b"a");
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sftp.remove(b"b").await
    };
    let (early, late) = tokio::join!(early, late);
    let (early, late) = (early.unwrap_err(), late.unwrap_err());
    assert!(matches!(early, SftpError::TimedOut { .. }), "{early:?}");
    assert!(matches!(late, SftpError::TimedOut { .. }), "{late:?}");
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

/// A stream that can break for writing, and then says nothing any more.
struct Breaks {
    inner: DuplexStream,
    broken: Arc<AtomicBool>,
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_that_takes_nothing_any_more_ends_the_connection_without_waiting_for_its_end() {
    let (inner, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve(theirs, silent()));
    let broken = Arc::new(AtomicBool::new(false));
    let io = Breaks {
        inner,
        broken: Arc::clone(&broken),
    };
    let client = Setup::new().over(io).await;
    let sftp = client.sftp().await.unwrap();
    broken.store(true, Ordering::Relaxed);
    let asked = timeout(Duration::from_secs(20), sftp.stat(b"x")).await;
    let error = asked.expect("the connection is lost").unwrap_err();
    let SftpError::Lost(lost) = error else {
        panic!("{error}")
    };
    let cause = lost.io.expect("the stream's error is kept").kind();
    assert_eq!(cause, io::ErrorKind::BrokenPipe);
}

#[test]
fn whoever_waits_is_told_when_the_runtime_of_the_driver_goes() {
    let drivers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (_client, sftp) = drivers.block_on(async {
        let client = Setup::new().against(silent()).await;
        let sftp = client.sftp().await.unwrap();
        (client, sftp)
    });
    let waiters = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    waiters.block_on(async {
        let asked = timeout(Duration::from_secs(20), sftp.stat(b"x"));
        let (asked, ()) = tokio::join!(asked, async { drivers.shutdown_background() });
        let error = asked.expect("the driver is gone").unwrap_err();
        assert!(matches!(error, SftpError::Lost(_)), "{error}");
    });
}

/// Refuses each of the first `held` requests when the last of them has come, and every later one at
/// once.
fn refuses_after(held: usize) -> Program {
    let mut server = sftp::Server::new(Extensions::NONE);
    let (mut waiting, mut come) = (Vec::new(), 0);
    Box::new(move |data| {
        server.handle_data(data).unwrap();
        while let Some(asked) = server.poll_request().unwrap() {
            let sftp::Asked::Stat { reply, .. } = asked else {
                panic!("only STAT is asked: {asked:?}")
            };
            waiting.push(reply);
            come += 1;
        }
        if come >= held {
            for reply in waiting.drain(..) {
                server.reply(reply, Err(StatusCode::NO_SUCH_FILE.into()));
            }
        }
        let out = std::iter::from_fn(|| server.poll_transmit());
        Some(out.flat_map(Vec::from).collect())
    })
}

#[tokio::test]
async fn a_request_that_found_no_room_goes_out_when_abandoned_ones_have_made_some() {
    const ROOM: usize = 1024;
    let client = Setup::new().against(refuses_after(ROOM)).await;
    let sftp = client.sftp().await.unwrap();
    let mut first: Vec<_> = (0..ROOM).map(|_| Box::pin(sftp.stat(b"x"))).collect();
    let mut last = pin!(sftp.stat(b"y"));
    // No turn is given to the driver in between.
    poll_fn(|cx| {
        assert!(first.iter_mut().all(|it| it.as_mut().poll(cx).is_pending()));
        assert!(last.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(first);
    let answered = timeout(Duration::from_secs(20), last).await;
    let error = answered.expect("there is room").unwrap_err();
    assert_eq!(error.code(), Some(StatusCode::NO_SUCH_FILE), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_instead_of_telling_its_limits_has_started_no_session() {
    let version = b"\0\0\0\x20\x02\0\0\0\x03\0\0\0\x12limits@openssh.com\0\0\0\x011";
    let mut answers = vec![version.to_vec()];
    let program: Program = Box::new(move |_| answers.pop());
    let client = Setup::new().against(program).await;
    let error = client.sftp().await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_nobody_asks_for_a_session_does_not_count_against_its_start() {
    let mut setup = Setup::new();
    setup.deadlines.connect = Duration::from_secs(3);
    let mut answers = silent();
    let program: Program = Box::new(move |data| {
        std::thread::sleep(Duration::from_millis(600));
        answers(data)
    });
    let client = setup.against(program).await;
    tokio::time::sleep(Duration::from_millis(2800)).await;
    let started = client.sftp().await;
    assert!(started.is_ok(), "{started:?}");
}

/// Opens a file at once, answers everything else only when as many STATs as there is room for have
/// come, and notes when the file is closed.
fn notes_a_close(held: usize, closed: Arc<AtomicBool>) -> Program {
    let mut server = sftp::Server::new(Extensions::NONE);
    let (mut waiting, mut come) = (Vec::new(), 0);
    Box::new(move |data| {
        server.handle_data(data).unwrap();
        while let Some(asked) = server.poll_request().unwrap() {
            match asked {
                sftp::Asked::Open { reply, .. } => {
                    let handle = sftp::Handle::new(Bytes::from_static(b"h")).unwrap();
                    server.reply(reply, Ok(handle));
                }
                sftp::Asked::Stat { reply, .. } => {
                    waiting.push(reply);
                    come += 1;
                }
                sftp::Asked::Close { reply, .. } => {
                    closed.store(true, Ordering::Relaxed);
                    server.reply(reply, Ok(()));
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        if come >= held {
            for reply in waiting.drain(..) {
                server.reply(reply, Err(StatusCode::NO_SUCH_FILE.into()));
            }
        }
        let out = std::iter::from_fn(|| server.poll_transmit());
        Some(out.flat_map(Vec::from).collect())
    })
}

#[tokio::test]
async fn a_file_whose_close_was_given_up_before_it_was_sent_is_closed_all_the_same() {
    const ROOM: usize = 1024;
    let closed = Arc::new(AtomicBool::new(false));
    let client = Setup::new()
        .against(notes_a_close(ROOM, Arc::clone(&closed)))
        .await;
    let sftp = client.sftp().await.unwrap();
    let file = sftp.open_read(b"x").await.unwrap();
    let mut asked: Vec<_> = (0..ROOM).map(|_| Box::pin(sftp.stat(b"x"))).collect();
    let mut close = Box::pin(file.close());
    // No turn is given to the driver in between.
    poll_fn(|cx| {
        assert!(asked.iter_mut().all(|it| it.as_mut().poll(cx).is_pending()));
        assert!(close.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(close);
    for it in asked {
        it.await.unwrap_err();
    }
    sftp.stat(b"x").await.unwrap_err();
    assert!(closed.load(Ordering::Relaxed), "the handle was left open");
}
