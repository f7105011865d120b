//! Each way in, and each refusal, by the server's own log (RFC 4252, RFC 4256, RFC 8332).

use crate::common::{Login, load};
use crate::provider;
use sansftp_keys::read_private_key;
use sansftp_proto::auth::Prompt;
use sansftp_proto::crypto::Secret;
use sansftp_proto::session::Config;
use sansftp_testkit::sshd::{ClientKey, Sshd};
use sansftp_tokio::{Answerer, Client, ConnectError, Credentials};
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A login with these keys and nothing else.
fn keys(sshd: &Sshd, which: &[ClientKey]) -> Credentials {
    let provider = provider();
    which
        .iter()
        .fold(Credentials::new(sshd.user()), |credentials, key| {
            credentials.key(load(&provider, sshd, *key))
        })
}

async fn login(sshd: &Sshd, credentials: Credentials) -> Result<Client, ConnectError> {
    Login::new(sshd).credentials(credentials).connect().await
}

/// What a refusal says: the methods that were tried, and those that are left.
fn refused(outcome: Result<Client, ConnectError>) -> (Vec<String>, Vec<String>) {
    match outcome {
        Err(ConnectError::Refused {
            tried, remaining, ..
        }) => (tried, remaining),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was let in"),
    }
}

/// How often sshd wrote this; waits until it has, because its processes log in their own time.
async fn count(sshd: &Sshd, words: &str) -> usize {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let seen = sshd.log().matches(words).count();
        if seen > 0 || Instant::now() > end {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_type_and_format_of_key_opens_the_door() {
    let sshd = Sshd::start();
    for which in ClientKey::ALL {
        let credentials = Credentials::new(sshd.user()).key(load(&provider(), &sshd, which));
        let outcome = login(&sshd, credentials).await;
        assert_eq!(
            outcome.is_ok(),
            which != ClientKey::Stranger,
            "{which:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn the_second_key_is_tried_where_the_first_is_refused() {
    let sshd = Sshd::start();
    let which = [ClientKey::Stranger, ClientKey::Rsa];
    login(&sshd, keys(&sshd, &which)).await.unwrap();
}

#[tokio::test]
async fn an_rsa_key_signs_with_the_only_hash_that_the_server_takes() {
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let sshd = Sshd::builder()
            .config(format!("PubkeyAcceptedAlgorithms {algorithm}"))
            .start();
        for which in [ClientKey::Rsa, ClientKey::RsaPem] {
            let outcome = login(&sshd, keys(&sshd, &[which])).await;
            assert!(
                outcome.is_ok(),
                "{algorithm}, {which:?}: {outcome:?}\n{}",
                sshd.log()
            );
        }
    }
}

#[tokio::test]
async fn an_rsa_key_signs_over_sha_1_only_where_that_was_allowed() {
    let sshd = Sshd::builder()
        .config("PubkeyAcceptedAlgorithms ssh-rsa")
        .start();
    let credentials =
        || Credentials::new(sshd.user()).key(load(&provider(), &sshd, ClientKey::Rsa));
    let connect = |config| {
        let login = Login::new(&sshd).config(config);
        login.credentials(credentials()).connect()
    };
    let refused = connect(Config::client(provider())).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused { .. })),
        "{refused:?}"
    );
    let mut allowed = Config::client(provider());
    allowed.local.user_algorithms = vec!["ssh-rsa".to_owned()];
    connect(allowed).await.unwrap();
}

/// Makes an RSA key with openssl; its file, and its line for `authorized_keys`.
fn rsa(directory: &Path, arguments: &[&str]) -> (Vec<u8>, String) {
    let file = directory.join("rsa");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        output.stdout
    };
    run("openssl", &[&["genrsa", "-out", "rsa"], arguments].concat());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let line = run("ssh-keygen", &["-y", "-f", "rsa"]);
    (fs::read(file).unwrap(), String::from_utf8(line).unwrap())
}

#[tokio::test]
async fn rsa_keys_of_sizes_and_exponents_that_ring_does_not_sign_with_open_the_door() {
    let directory = tempfile::tempdir().unwrap();
    // sshd looks into the file as the account.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let authorized = directory.path().join("authorized_keys");
    fs::write(&authorized, "").unwrap();
    let sshd = Sshd::builder()
        .config(format!("AuthorizedKeysFile {}", authorized.display()))
        .start();
    for arguments in [&["-3", "2048"][..], &["2560"], &["-3", "3080"], &["4104"]] {
        let (file, line) = rsa(directory.path(), arguments);
        fs::write(&authorized, line).unwrap();
        let key = read_private_key(&file, None).unwrap().key;
        let key = provider().keys.load(&key).unwrap();
        let outcome = login(&sshd, Credentials::new(sshd.user()).key(key)).await;
        outcome.unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", sshd.log()));
    }
    let (file, _) = rsa(directory.path(), &["1024"]);
    let key = read_private_key(&file, None).unwrap().key;
    let error = provider().keys.load(&key).unwrap_err();
    assert!(error.to_string().contains("2048"), "{error}");
}

#[tokio::test]
async fn the_right_password_opens_the_door() {
    let sshd = Sshd::start();
    if !sshd.has_own_account() {
        return;
    }
    let credentials = Credentials::new(sshd.user()).password(sshd.password());
    login(&sshd, credentials)
        .await
        .unwrap()
        .sftp()
        .await
        .unwrap();
    assert_eq!(count(&sshd, "Accepted password for").await, 1);
}

#[tokio::test]
async fn a_wrong_password_is_offered_exactly_once() {
    let sshd = Sshd::start();
    let credentials = Credentials::new(sshd.user()).password("wrong");
    let (tried, remaining) = refused(login(&sshd, credentials).await);
    assert_eq!(tried, ["password"]);
    assert_eq!(remaining, ["publickey", "password"]);
    assert_eq!(
        count(&sshd, "Failed password for").await,
        1,
        "{}",
        sshd.log()
    );
}

#[tokio::test]
async fn a_user_whom_the_server_does_not_know_is_refused_alike() {
    let sshd = Sshd::start();
    let credentials = Credentials::new("nobody-of-this-name").password("wrong");
    let (tried, _) = refused(login(&sshd, credentials).await);
    assert_eq!(tried, ["password"]);
}

#[tokio::test]
async fn a_key_and_then_a_password_are_given_where_both_are_demanded() {
    let sshd = Sshd::builder()
        .config("AuthenticationMethods publickey,password")
        .start();
    // Without the password the key alone is a partial success, and not enough.
    let (tried, remaining) = refused(login(&sshd, keys(&sshd, &[ClientKey::Ed25519])).await);
    assert_eq!(tried, ["publickey"]);
    assert_eq!(remaining, ["password"]);
    if !sshd.has_own_account() {
        return;
    }
    let both = keys(&sshd, &[ClientKey::Ed25519]).password(sshd.password());
    login(&sshd, both).await.unwrap();
    // And the password is not offered before the server asks for it.
    let (tried, remaining) = refused(
        login(
            &sshd,
            Credentials::new(sshd.user()).password(sshd.password()),
        )
        .await,
    );
    assert_eq!((tried, remaining), (vec![], vec!["publickey".to_owned()]));
}

#[tokio::test]
async fn two_keys_are_given_where_two_are_demanded() {
    let sshd = Sshd::builder()
        .config("AuthenticationMethods publickey,publickey")
        .start();
    let two = keys(&sshd, &[ClientKey::Ed25519, ClientKey::EcdsaP256]);
    login(&sshd, two).await.unwrap();
    let (tried, remaining) = refused(login(&sshd, keys(&sshd, &[ClientKey::Rsa])).await);
    assert_eq!(
        (tried, remaining),
        (vec!["publickey".to_owned()], vec!["publickey".to_owned()])
    );
}

#[tokio::test]
async fn too_many_keys_are_a_refusal_and_no_loss() {
    let sshd = Sshd::builder().config("MaxAuthTries 2").start();
    let which = [
        ClientKey::Stranger,
        ClientKey::Stranger,
        ClientKey::Stranger,
        ClientKey::Ed25519,
    ];
    let outcome = login(&sshd, keys(&sshd, &which)).await;
    let (tried, _) = refused(outcome);
    assert_eq!(tried, ["publickey"]);
    assert_eq!(count(&sshd, "Too many authentication failures").await, 1);
}

#[tokio::test]
async fn a_key_a_password_and_a_dialogue_are_given_where_all_three_are_demanded() {
    let sshd = Sshd::builder()
        .config("UsePAM yes")
        .config("KbdInteractiveAuthentication yes")
        .config("AuthenticationMethods publickey,password,keyboard-interactive")
        .start();
    if !sshd.has_own_account() {
        return;
    }
    let parrot = Parrot::new(sshd.password());
    let answerer: Arc<dyn Answerer> = Arc::clone(&parrot) as Arc<dyn Answerer>;
    let all = keys(&sshd, &[ClientKey::Ed25519]).password(sshd.password());
    login(&sshd, all.clone().answerer(answerer)).await.unwrap();
    assert_eq!(parrot.heard.lock().unwrap().len(), 1);
    // The password has been given: it is not given again as the answer to what nobody answers.
    let (tried, remaining) = refused(login(&sshd, all).await);
    assert_eq!(tried, ["publickey", "password"]);
    assert_eq!(remaining, ["keyboard-interactive"]);
}

/// sshd with keyboard-interactive by PAM, and without the method `password`.
fn interactive() -> Sshd {
    Sshd::builder()
        .config("UsePAM yes")
        .config("KbdInteractiveAuthentication yes")
        .config("PasswordAuthentication no")
        .start()
}

/// Answers every prompt with the same, and remembers what was asked.
#[derive(Debug)]
struct Parrot {
    says: String,
    heard: Mutex<Vec<Prompt>>,
}

impl Parrot {
    fn new(says: &str) -> Arc<Self> {
        Arc::new(Self {
            says: says.to_owned(),
            heard: Mutex::default(),
        })
    }
}

impl Answerer for Parrot {
    fn answer<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>> {
        self.heard.lock().unwrap().extend_from_slice(prompts);
        let answers = prompts
            .iter()
            .map(|_| Secret::from(self.says.as_str()))
            .collect();
        Box::pin(async { Some(answers) })
    }
}

#[tokio::test]
async fn a_password_answers_the_one_question_of_keyboard_interactive() {
    let sshd = interactive();
    if !sshd.has_own_account() {
        return;
    }
    let credentials = Credentials::new(sshd.user()).password(sshd.password());
    login(&sshd, credentials).await.unwrap();
    assert_eq!(
        count(&sshd, "Accepted keyboard-interactive").await,
        1,
        "{}",
        sshd.log()
    );
}

#[tokio::test]
async fn a_wrong_password_is_no_answer_twice() {
    let sshd = interactive();
    if !sshd.has_own_account() {
        return;
    }
    let credentials = Credentials::new(sshd.user()).password("wrong");
    let (tried, _) = refused(login(&sshd, credentials).await);
    assert_eq!(tried, ["keyboard-interactive"]);
    assert_eq!(
        count(&sshd, "Failed keyboard-interactive").await,
        1,
        "{}",
        sshd.log()
    );
}

#[tokio::test]
async fn a_person_is_asked_what_the_server_asks() {
    let sshd = interactive();
    if !sshd.has_own_account() {
        return;
    }
    let parrot = Parrot::new(sshd.password());
    let answerer: Arc<dyn Answerer> = Arc::clone(&parrot) as Arc<dyn Answerer>;
    login(&sshd, Credentials::new(sshd.user()).answerer(answerer))
        .await
        .unwrap();
    let heard = parrot.heard.lock().unwrap();
    let [only] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert!(!only.echo, "{only:?}");
}

#[tokio::test]
async fn a_person_is_asked_for_the_password_where_none_was_given() {
    let sshd = Sshd::start();
    if !sshd.has_own_account() {
        return;
    }
    let parrot = Parrot::new(sshd.password());
    let answerer: Arc<dyn Answerer> = Arc::clone(&parrot) as Arc<dyn Answerer>;
    login(&sshd, Credentials::new(sshd.user()).answerer(answerer))
        .await
        .unwrap();
    assert_eq!(parrot.heard.lock().unwrap().len(), 1);
    assert_eq!(count(&sshd, "Accepted password for").await, 1);
}
