//! How many come in, what a listener survives, and how everybody is sent home.

use crate::peer::*;
use sansftp_proto::error::Error;
use sansftp_tokio::server::{Bounds, DisconnectReason, Gate, Listener, Session, TooMany};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

fn bounds(change: impl FnOnce(&mut Bounds)) -> Bounds {
    let mut bounds = Bounds::default();
    change(&mut bounds);
    bounds
}

#[tokio::test]
async fn half_open_connections_are_dropped_more_and_more_often_and_all_at_the_bound() {
    let gate = Gate::new(bounds(|it| {
        it.half_open_begin = 10;
        it.half_open_full = 30;
    }));
    let mut inside: Vec<_> = (0..10)
        .map(|_| gate.enter().expect("all of these"))
        .collect();
    assert_eq!(gate.half_open(), 10);
    inside.push(gate.enter().expect("nothing, in 20"));
    let tries = 400;
    let entered = |gate: &Gate| (0..tries).filter(|_| gate.enter().is_some()).count();
    let early = entered(&gate);
    while inside.len() < 25 {
        inside.extend(gate.enter());
    }
    let late = entered(&gate);
    assert!((300..tries).contains(&early), "19 in 20: {early}");
    assert!((40..200).contains(&late), "5 in 20: {late}");
    while inside.len() < 30 {
        inside.extend(gate.enter());
    }
    assert_eq!(entered(&gate), 0);
    inside.pop();
    assert!(
        (0..tries).any(|_| gate.enter().is_some()),
        "a place was given back"
    );
    inside.clear();
    assert_eq!(gate.half_open(), 0);
}

#[tokio::test]
async fn sessions_are_bounded_in_all_and_per_user_and_told_so() {
    let gate = Gate::new(bounds(|it| {
        it.sessions = 3;
        it.sessions_per_user = 2;
    }));
    let mut inside = Vec::new();
    for _ in 0..2 {
        let (mut session, peer) = session().await;
        session.admit(gate.enter().unwrap()).unwrap();
        inside.push((session, peer));
    }
    assert_eq!((gate.sessions(), gate.half_open()), (2, 0));
    let (mut session, mut peer) = session().await;
    assert_eq!(session.admit(gate.enter().unwrap()), Err(TooMany::OfUser));
    assert_eq!(gate.half_open(), 0, "the place was given back all the same");
    tokio::join!(
        session.close(DisconnectReason::TooManyConnections, "too many"),
        peer.lives(Duration::from_millis(50)),
    );
    assert!(matches!(
        peer.sees_the_end().await,
        Error::Disconnected { reason: 12, .. }
    ));
    inside.pop();
    assert_eq!(gate.sessions(), 1);
    let (mut session, _peer) = self::session().await;
    session.admit(gate.enter().unwrap()).unwrap();
    let all = Gate::new(bounds(|it| it.sessions = 0));
    assert_eq!(session.admit(all.enter().unwrap()), Err(TooMany::Sessions));
}

async fn session() -> (Session<Known>, Peer) {
    crate::peer::session().await
}

#[tokio::test]
async fn a_gate_that_is_shut_down_waits_then_disconnects_whoever_is_left() {
    let gate = Gate::new(Bounds::default());
    let (mut brief, peer) = session().await;
    brief.admit(gate.enter().unwrap()).unwrap();
    let (mut long, mut patient) = session().await;
    long.admit(gate.enter().unwrap()).unwrap();
    let late = gate.enter().unwrap();
    let shutting = tokio::spawn({
        let gate = gate.clone();
        async move {
            let begun = Instant::now();
            gate.shut_down(Duration::from_millis(500)).await;
            begun.elapsed()
        }
    });
    patient.lives(Duration::from_millis(100)).await;
    assert!(gate.enter().is_none(), "nobody new");
    let (mut third, _peer) = session().await;
    assert_eq!(third.admit(late), Err(TooMany::ShuttingDown));
    drop((brief, peer));
    assert_eq!(gate.sessions(), 1, "the other one may stay for a while");
    let served = tokio::spawn(async move { long.next().await.map(|_| ()) });
    let Error::Disconnected { reason: 11, text } = patient.sees_the_end().await else {
        panic!("SSH_DISCONNECT_BY_APPLICATION")
    };
    assert_eq!(text, "the server is shutting down");
    assert!(served.await.unwrap().is_err());
    let took = timeout(SOON, shutting).await.unwrap().unwrap();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    let empty = Gate::new(Bounds::default());
    timeout(Duration::from_secs(1), empty.shut_down(SOON))
        .await
        .expect("nobody is waited for");
}

#[tokio::test]
async fn a_listener_drops_what_the_gate_does_not_let_in_without_a_word() {
    let gate = Gate::new(bounds(|it| {
        it.half_open_begin = 2;
        it.half_open_full = 2;
    }));
    let mut listener = Listener::bind("127.0.0.1:0", gate.clone()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let config = Arc::new(server_config());
        loop {
            let arrival = listener.next().await;
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                let _entrance = arrival.entrance;
                Session::accept(arrival.stream, config, Password)
                    .await
                    .map(|_| ())
            });
        }
    });
    let mut first = TcpStream::connect(address).await.unwrap();
    let second = TcpStream::connect(address).await.unwrap();
    let mut ident = [0; 8];
    first.read_exact(&mut ident).await.unwrap();
    assert_eq!(&ident, b"SSH-2.0-");
    while gate.half_open() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(SOON, third.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"", "not even an identification");
    drop((first, second));
    while gate.half_open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut fourth = TcpStream::connect(address).await.unwrap();
    timeout(SOON, fourth.read_exact(&mut ident))
        .await
        .unwrap()
        .unwrap();
    serving.abort();
}
