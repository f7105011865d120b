//! Who comes in: attempts, their bounds, their answers' times, what is handed out when.

use crate::peer::*;
use sansftp_proto::auth::client::{Credential, Event};
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::auth::{Method, Prompt};
use sansftp_proto::crypto::{Secret, SigningKey};
use sansftp_proto::error::Error;
use sansftp_proto::session::ClientEvent;
use sansftp_testkit::suite::Suite;
use sansftp_tokio::server::{AcceptError, Authenticate, Judgement};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Judges with a function, and counts.
struct Judge<F> {
    calls: Arc<AtomicUsize>,
    judge: F,
}

impl<F> Authenticate for Judge<F>
where
    F: FnMut(&Attempt) -> Judgement<&'static str> + Send + 'static,
{
    type Identity = &'static str;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<&'static str> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.judge)(attempt)
    }
}

fn judge<F>(judge: F) -> (Arc<AtomicUsize>, Judge<F>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let of_judge = Arc::clone(&calls);
    let judge = Judge {
        calls: of_judge,
        judge,
    };
    (calls, judge)
}

fn reject<I>() -> Judgement<I> {
    Judgement::Reject {
        methods: methods(&["publickey", "password", "keyboard-interactive"]),
    }
}

/// Never comes to a judgement; `dropped` counts how often it was not waited for.
struct Ponders {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Authenticate for Ponders {
    type Identity = ();

    async fn judge(&mut self, _: &Attempt) -> Judgement<()> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _dropped = OnDrop(Arc::clone(&self.dropped));
        std::future::pending().await
    }
}

fn ponders() -> (Arc<AtomicUsize>, Arc<AtomicUsize>, Ponders) {
    let (begun, dropped) = (Arc::default(), Arc::default());
    let ponders = Ponders {
        begun: Arc::clone(&begun),
        dropped: Arc::clone(&dropped),
    };
    (begun, dropped, ponders)
}

#[tokio::test]
async fn whoever_proves_it_is_in_under_that_name_with_what_the_judge_said() {
    let (session, peer) = session().await;
    assert_eq!(session.identity(), &Known("ann".to_owned()));
    assert_eq!(
        (session.user(), session.method()),
        ("ann", Method::Password)
    );
    assert!(session.client_ident().starts_with(b"SSH-2.0-sansftp_"));
    assert_eq!(session.negotiated().as_ref(), peer.conn.negotiated());
    assert!(session.negotiated().is_some());
}

#[tokio::test]
async fn whoever_is_gone_as_soon_as_the_proof_is_taken_is_no_session() {
    let (accepted, mut peer) = server(server_config(), Password);
    peer.tries("ann", PASSWORD).await;
    // No packet begins like that.
    peer.into_stream().write_all(&[0xff; 16]).await.unwrap();
    match timeout(SOON, accepted).await.unwrap().unwrap() {
        Err(AcceptError::Lost { user, .. }) => assert_eq!(user.as_deref(), Some("ann")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_sixth_failure_is_the_last_and_is_judged() {
    let (calls, judge) = judge(|_: &Attempt| reject());
    let (accepted, mut peer) = server(server_config(), judge);
    for _ in 0..6 {
        peer.tries("ann", b"wrong").await;
    }
    let Error::Disconnected { reason: 14, .. } = peer.sees_the_end().await else {
        panic!("SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE")
    };
    let error = accepted.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, AcceptError::Refused { user } if user == "ann"),
        "{error}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn rounds_of_questions_are_one_attempt_and_dialogues_that_fail_are_counted() {
    let (calls, judge) = judge(|attempt: &Attempt| match &attempt.method {
        Offered::Responses(it) if it.is_empty() => reject(),
        Offered::Interactive { .. } => ask(2),
        Offered::Responses(it) => ask(it.len() - 1),
        other => panic!("{other:?}"),
    });
    let (accepted, mut peer) = server(server_config(), judge);
    for _ in 0..6 {
        let turn = peer.turn().await;
        let user = "ann".to_owned();
        peer.conn
            .authenticate(turn, Credential::Interactive { user })
            .unwrap();
        for round in [2, 1, 0] {
            let asked = peer.takes(|it| matches!(it, ClientEvent::Auth(Event::Prompts(_))));
            let ClientEvent::Auth(Event::Prompts(prompts)) = asked.await else {
                panic!("that was asked for")
            };
            assert_eq!(prompts.prompts.len(), round);
            let responses = (0..round).map(|_| Secret::new(Vec::new())).collect();
            peer.conn.respond(prompts, responses).unwrap();
        }
        peer.flushes().await;
    }
    assert!(matches!(
        peer.sees_the_end().await,
        Error::Disconnected { reason: 14, .. }
    ));
    assert!(matches!(
        accepted.await.unwrap(),
        Err(AcceptError::Refused { .. })
    ));
    assert_eq!(calls.load(Ordering::Relaxed), 6 * 4);
}

fn ask(prompts: usize) -> Judgement<&'static str> {
    Judgement::Prompt {
        name: String::new(),
        instruction: String::new(),
        prompts: vec![Prompt::hidden("code: "); prompts],
    }
}

#[tokio::test]
async fn a_key_that_is_offered_and_not_held_lets_nobody_in() {
    let [offered, held]: [Arc<dyn SigningKey>; 2] = [1, 2].map(|it| Suite::Null.key(it));
    let public = offered.public_key().clone();
    let (calls, judge) = judge(move |attempt: &Attempt| match &attempt.method {
        Offered::PublicKeyProbe { key, .. } if *key == public => Judgement::Acceptable,
        Offered::PublicKey { key, .. } if *key == public => Judgement::Accept("the owner"),
        _ => reject(),
    });
    let (accepted, mut peer) = server(server_config(), judge);
    let random = Suite::Null.provider(9).random;
    let mut sign_with = held;
    loop {
        let turn = peer.turn().await;
        let credential = Credential::ExternalKey {
            user: "ann".to_owned(),
            key: offered.public_key().clone(),
            algorithms: offered
                .algorithms()
                .iter()
                .map(|it| (*it).to_owned())
                .collect(),
        };
        peer.conn.authenticate(turn, credential).unwrap();
        let asked = peer.takes(|it| matches!(it, ClientEvent::Auth(Event::Sign(_))));
        let ClientEvent::Auth(Event::Sign(to_sign)) = asked.await else {
            panic!("that was asked for")
        };
        let algorithm = to_sign.algorithm().to_owned();
        let signature = sign_with.sign(&algorithm, to_sign.data(), &*random);
        peer.conn.sign(to_sign, signature).unwrap();
        peer.flushes().await;
        if Arc::ptr_eq(&sign_with, &offered) {
            break;
        }
        peer.lives(Duration::from_millis(50)).await;
        assert!(!accepted.is_finished(), "still outside");
        assert_eq!(
            calls.load(Ordering::Relaxed),
            1,
            "a bad signature is not even judged"
        );
        sign_with = Arc::clone(&offered);
    }
    let session = timeout(SOON, accepted).await.unwrap().unwrap().unwrap();
    assert_eq!(*session.identity(), "the owner");
    assert_eq!(session.method(), Method::PublicKey);
}

#[tokio::test]
async fn a_key_that_only_was_asked_about_cannot_be_accepted() {
    let (_, judge) = judge(|_: &Attempt| Judgement::Accept("anybody"));
    let (accepted, mut peer) = server(server_config(), judge);
    let key = Suite::Null.key(1);
    let turn = peer.turn().await;
    let credential = Credential::ExternalKey {
        user: "ann".to_owned(),
        key: key.public_key().clone(),
        algorithms: key.algorithms().iter().map(|it| (*it).to_owned()).collect(),
    };
    peer.conn.authenticate(turn, credential).unwrap();
    peer.flushes().await;
    let error = timeout(SOON, accepted).await.unwrap().unwrap().unwrap_err();
    let AcceptError::Lost { lost, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(lost.protocol, Error::ApiMisuse(_)), "{lost}");
}

#[tokio::test]
async fn failures_are_answered_at_the_names_own_time_however_fast_they_are_judged() {
    for user in ["ann", "nobody of that name"] {
        let (_, judge) = judge(|_: &Attempt| reject());
        let (_accepted, mut peer) = server(server_config(), judge);
        for _ in 0..3 {
            // The last answer is the next question.
            let before = Instant::now();
            peer.tries(user, b"wrong").await;
            peer.lives(Duration::ZERO).await;
            let asked = Instant::now();
            let turn = peer.turn().await;
            assert!(
                asked.elapsed() >= Duration::from_millis(4),
                "{:?}",
                before.elapsed()
            );
            let credential = Credential::None {
                user: user.to_owned(),
            };
            peer.conn.authenticate(turn, credential).unwrap();
        }
    }
}

#[tokio::test]
async fn a_judgement_is_dropped_when_the_client_hangs_up() {
    let (begun, dropped, judge) = ponders();
    let (accepted, mut peer) = server(server_config(), judge);
    peer.tries("ann", b"whatever").await;
    until(|| begun.load(Ordering::Relaxed) == 1).await;
    drop(peer);
    let error = timeout(SOON, accepted).await.expect("it is noticed");
    let error = error.unwrap().unwrap_err();
    assert!(
        matches!(&error, AcceptError::Lost { user: Some(it), .. } if it == "ann"),
        "{error}"
    );
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_grace_time_holds_while_a_judge_ponders() {
    let (_, dropped, judge) = ponders();
    let mut config = server_config();
    config.limits.login = Duration::from_millis(500);
    let (accepted, mut peer) = server(config, judge);
    peer.tries("ann", b"whatever").await;
    let error = timeout(SOON, accepted).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::TimedOut { .. }), "{error}");
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    assert!(matches!(
        peer.sees_the_end().await,
        Error::Disconnected { .. }
    ));
}

#[tokio::test]
async fn a_client_that_says_nothing_and_one_that_dribbles_are_out_after_the_grace_time() {
    for dribbles in [false, true] {
        let mut config = server_config();
        config.limits.login = Duration::from_secs(2);
        let begun = Instant::now();
        let (accepted, peer) = server(config, Password);
        let mut stream = peer.into_stream();
        let dribble = async {
            for byte in b"SSH-2.0-sloth\r\n".iter().cycle() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if !dribbles || stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            // What the server says is read, so that only its clock can end it.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let error = tokio::join!(timeout(SOON, accepted), dribble).0;
        let error = error.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, AcceptError::TimedOut { .. }), "{error}");
        let took = begun.elapsed();
        assert!(
            (Duration::from_secs(2)..Duration::from_secs(5)).contains(&took),
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn giving_up_ends_the_connection() {
    let (begun, dropped, judge) = ponders();
    let (accepted, mut peer) = server(server_config(), judge);
    peer.tries("ann", b"whatever").await;
    until(|| begun.load(Ordering::Relaxed) == 1).await;
    accepted.abort();
    assert!(matches!(
        peer.sees_the_end().await,
        Error::Disconnected { reason: 11, .. }
    ));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_a_host_key_nobody_is_let_near() {
    let config = sansftp_proto::session::Config::server(Suite::Null.provider(2), Vec::new())
        .with_all_algorithms();
    let (accepted, _peer) = server(config, Password);
    let error = accepted.await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::Unusable(_)), "{error}");
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, wait).await.expect("it comes to pass");
}
