//! Several factors in sequence, played by a server that follows a script: what is offered, in which
//! order, and that nothing is offered twice. Not who is right, which servers decide.

use bytes::{Buf, BytesMut};
use sansftp_proto::auth::Prompt;
use sansftp_proto::auth::server::{Attempt, Event, Offered, Verdict};
use sansftp_proto::crypto::Secret;
use sansftp_proto::role::Server as ServerRole;
use sansftp_proto::session::{Algorithms, Config, Connection, ServerEvent, Trust};
use sansftp_testkit::suite::Suite;
use sansftp_tokio::{Answerer, Client, ConnectError, Credentials, Deadlines};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the server answers, attempt by attempt; when there is nothing left it refuses.
type Script = Vec<Verdict>;

fn methods(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

/// The method was one of those that are demanded; these are left.
fn partial(left: &[&str]) -> Verdict {
    Verdict::Partial {
        methods: methods(left),
    }
}

fn reject(left: &[&str]) -> Verdict {
    Verdict::Reject {
        methods: methods(left),
    }
}

fn ask(prompts: &[Prompt]) -> Verdict {
    Verdict::Prompt {
        name: String::new(),
        instruction: String::new(),
        prompts: prompts.to_vec(),
    }
}

const ALL: [&str; 3] = ["publickey", "password", "keyboard-interactive"];

/// Lets one client try, and notes what it tries.
async fn serve(
    mut io: DuplexStream,
    script: Script,
    tried: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut script = script.into_iter();
    let mut config = Config::server(Suite::Null.provider(2), vec![Suite::Null.key(0)]);
    // No profile has those of the null provider.
    config.algorithms = Algorithms::of(&config.provider);
    config.local.user_algorithms = config.algorithms.host_key.clone();
    let mut conn: Connection<ServerRole> =
        Connection::server(Arc::new(config), Instant::now()).expect("there are algorithms");
    let mut input = BytesMut::new();
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
                let verdict = match &attempt.method {
                    Offered::None => reject(&ALL),
                    // Whether another algorithm would do: nothing is shown with it.
                    Offered::PublicKeyProbe { .. } => reject(&ALL),
                    _ => script.next().unwrap_or_else(|| reject(&ALL)),
                };
                if !matches!(attempt.method, Offered::PublicKeyProbe { .. }) {
                    let words = shown(&attempt);
                    tried.lock().unwrap().push(words);
                }
                conn.decide(attempt, verdict).unwrap();
            }
            ServerEvent::Common(_) => return Ok(()),
            _ => {}
        }
    }
}

fn shown(attempt: &Attempt) -> String {
    let text = |it: &Secret| String::from_utf8(it.expose().to_vec()).unwrap();
    match &attempt.method {
        Offered::None => "none".to_owned(),
        Offered::Password(password) => format!("password {}", text(password)),
        Offered::PublicKey { key, .. } => {
            let of = |it: &u8| *Suite::Null.key(*it).public_key() == *key;
            let number = (0..9).find(of).expect("one of the keys of the test");
            format!("key {number}")
        }
        Offered::Interactive { .. } => "dialogue".to_owned(),
        Offered::Responses(all) => {
            format!("answers {:?}", all.iter().map(text).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    }
}

/// Logs in; what was tried, and how it ended.
async fn login(script: Script, credentials: Credentials) -> (Vec<String>, Option<ConnectError>) {
    let tried = Arc::new(Mutex::new(Vec::new()));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(serve(theirs, script, Arc::clone(&tried)));
    let deadlines = Deadlines::default();
    let config = Config::client(Suite::Null.provider(1)).with_all_algorithms();
    let client = Client::over(ours, config, &deadlines, |_| Trust::Trusted, credentials);
    let outcome = tokio::time::timeout(Duration::from_secs(60), client).await;
    let error = outcome.expect("it comes to an end").err();
    server.abort();
    let tried = tried.lock().unwrap().clone();
    (tried, error)
}

/// A person who has one answer to everything, and tells how often it was wanted.
#[derive(Debug)]
struct Person {
    answer: &'static str,
    heard: Mutex<Vec<String>>,
}

impl Person {
    fn with(answer: &'static str) -> Arc<Self> {
        Arc::new(Self {
            answer,
            heard: Mutex::default(),
        })
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Answerer for Person {
    fn answer<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>> {
        let questions = prompts.iter().map(|it| it.text.clone());
        self.heard.lock().unwrap().extend(questions);
        let answers = prompts.iter().map(|_| Secret::from(self.answer)).collect();
        Box::pin(async { Some(answers) })
    }
}

fn with_key_and_password() -> Credentials {
    Credentials::new("u").key(Suite::Null.key(1)).password("p")
}

#[tokio::test]
async fn a_key_and_then_a_password() {
    let script = vec![partial(&["password"]), Verdict::Accept];
    let (tried, error) = login(script, with_key_and_password()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(tried, ["key 1", "password p"]);
}

#[tokio::test]
async fn a_password_and_then_a_one_time_code() {
    let script = || {
        vec![
            partial(&["keyboard-interactive"]),
            ask(&[Prompt::hidden("Code: ")]),
            Verdict::Accept,
        ]
    };
    let person = Person::with("123456");
    let credentials = || Credentials::new("u").password("p");
    let (tried, error) = login(
        script(),
        credentials().answerer(Arc::clone(&person) as Arc<dyn Answerer>),
    )
    .await;
    assert!(error.is_none(), "{error:?}");
    let all = ["none", "password p", "dialogue", "answers [\"123456\"]"];
    assert_eq!(tried, all);
    assert_eq!(person.heard(), ["Code: "]);
    // Nobody is there: the password is not what answers.
    let (tried, error) = login(script(), credentials()).await;
    assert_eq!(tried, ["none", "password p"]);
    assert!(
        matches!(error, Some(ConnectError::Refused { remaining, .. })
        if remaining == ["keyboard-interactive"])
    );
}

#[tokio::test]
async fn a_dialogue_of_several_rounds_has_the_password_once_and_then_the_person() {
    let rounds = [
        ask(&[]),
        ask(&[Prompt::hidden("Password: ")]),
        ask(&[Prompt::echoed("Code: "), Prompt::hidden("PIN: ")]),
        ask(&[]),
        ask(&[Prompt::hidden("Password: ")]),
        Verdict::Accept,
    ];
    let mut script = vec![partial(&["keyboard-interactive"])];
    script.extend(rounds);
    let person = Person::with("x");
    let credentials = with_key_and_password().answerer(Arc::clone(&person) as Arc<dyn Answerer>);
    let (tried, error) = login(script, credentials).await;
    assert!(error.is_none(), "{error:?}");
    let answers = ["[]", "[\"p\"]", "[\"x\", \"x\"]", "[]", "[\"x\"]"];
    let mut all = methods(&["key 1", "dialogue"]);
    all.extend(answers.iter().map(|it| format!("answers {it}")));
    assert_eq!(tried, all);
    assert_eq!(person.heard(), ["Code: ", "PIN: ", "Password: "]);
}

#[tokio::test]
async fn what_nobody_can_answer_is_told_in_the_servers_words() {
    let two = [Prompt::hidden("Your\npassword: "), Prompt::hidden("Code: ")];
    let script = vec![reject(&["keyboard-interactive"]), ask(&two)];
    let (tried, error) = login(script, with_key_and_password()).await;
    assert_eq!(tried, ["key 1", "dialogue"]);
    let Some(ConnectError::Refused {
        remark: Some(remark),
        ..
    }) = error
    else {
        panic!("{error:?}")
    };
    assert!(remark.ends_with(": Your password: Code:"), "{remark}");
}

#[tokio::test]
async fn three_factors_two_of_them_dialogues() {
    let script = vec![
        partial(&["keyboard-interactive"]),
        ask(&[Prompt::hidden("Password: ")]),
        partial(&["keyboard-interactive"]),
        ask(&[Prompt::echoed("Code: ")]),
        Verdict::Accept,
    ];
    let person = Person::with("123456");
    let credentials = with_key_and_password().answerer(Arc::clone(&person) as Arc<dyn Answerer>);
    let (tried, error) = login(script, credentials).await;
    assert!(error.is_none(), "{error:?}");
    let all = [
        "key 1",
        "dialogue",
        "answers [\"p\"]",
        "dialogue",
        "answers [\"123456\"]",
    ];
    assert_eq!(tried, all);
    assert_eq!(person.heard(), ["Code: "]);
}

#[tokio::test]
async fn an_expired_password_is_an_error_of_its_own_and_the_password_stays() {
    let script = vec![
        partial(&["password"]),
        Verdict::ChangePassword {
            prompt: "Your password\nhas expired.".to_owned(),
        },
    ];
    let (tried, error) = login(script, with_key_and_password()).await;
    assert_eq!(tried, ["key 1", "password p"]);
    let Some(error @ ConnectError::PasswordExpired { .. }) = error else {
        panic!("{error:?}")
    };
    let text = error.to_string();
    assert!(text.contains("has expired"), "{text}");
    assert!(text.contains("('Your password has expired.')"), "{text}");
}

#[tokio::test]
async fn whatever_the_server_answers_each_credential_is_offered_once() {
    let answers: [fn() -> Verdict; 2] = [|| reject(&ALL), || partial(&ALL)];
    for answer in answers {
        let script = std::iter::repeat_with(answer).take(30).collect();
        let credentials = with_key_and_password().key(Suite::Null.key(2));
        let (tried, error) = login(script, credentials).await;
        assert_eq!(tried, ["key 1", "key 2", "password p"]);
        assert!(
            matches!(error, Some(ConnectError::Refused { .. })),
            "{error:?}"
        );
    }
}
