//! Attempts and what is said to them, as a connection's judge hears and says it.

mod certificates;

use super::*;
use sansftp_proto::auth::server::Offered;
use sansftp_tokio::server::Judgement;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// libxcrypt's of `correct horse`, as cheap as bcrypt can be, and the same a little dearer.
const CHEAP: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";
const DEAR: &str = "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";

const NOW: u64 = 1_800_000_000;

/// The key whose 32 bytes are all the same.
fn key(byte: u8) -> PublicKey {
    let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[byte; 32]].concat();
    PublicKey::new(blob).unwrap()
}

fn line(byte: u8) -> String {
    sansftp_keys::write_public(&key(byte), "")
}

struct House {
    dir: TempDir,
    users: Users,
}

impl House {
    fn new(file: &str, keys: &[(&str, String)]) -> Self {
        Self::with(file, keys, Sources::default())
    }

    fn with(file: &str, keys: &[(&str, String)], sources: Sources) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in keys {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let path = dir.path().join("users.toml");
        fs::write(&path, file).unwrap();
        let users = Users::load(Sources {
            file: Some(path),
            clock: Clock::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)),
            ..sources
        });
        Self {
            dir,
            users: users.unwrap(),
        }
    }

    fn client(&self) -> Client {
        Client(self.users.authenticate(Some([192, 0, 2, 7].into())))
    }

    fn computed(&self) -> usize {
        self.users.0.hashing.computed.load(Ordering::Relaxed)
    }
}

struct Client(Judge);

impl Client {
    async fn says(&mut self, user: &str, offered: Offered) -> Judgement<Identity> {
        self.0.consider(user, &offered).await
    }

    async fn password(&mut self, user: &str, password: &str) -> Judgement<Identity> {
        self.says(user, Offered::Password(password.into())).await
    }

    async fn key(&mut self, user: &str, byte: u8) -> Judgement<Identity> {
        self.says(user, proof(byte)).await
    }

    async fn answers(&mut self, user: &str, answers: &[&str]) -> Judgement<Identity> {
        let answers = answers.iter().map(|it| Secret::from(*it)).collect();
        self.says(user, Offered::Responses(answers)).await
    }

    async fn asks(&mut self, user: &str) -> Judgement<Identity> {
        self.says(user, interactive()).await
    }
}

fn proof(byte: u8) -> Offered {
    Offered::PublicKey {
        algorithm: "ssh-ed25519".to_owned(),
        key: key(byte),
    }
}

fn probe(byte: u8) -> Offered {
    Offered::PublicKeyProbe {
        algorithm: "ssh-ed25519".to_owned(),
        key: key(byte),
    }
}

fn interactive() -> Offered {
    Offered::Interactive {
        submethods: String::new(),
    }
}

#[track_caller]
fn identity(judgement: Judgement<Identity>) -> Identity {
    match judgement {
        Judgement::Accept(identity) => identity,
        other => panic!("not let in: {other:?}"),
    }
}

#[track_caller]
fn refused(judgement: &Judgement<Identity>) {
    assert!(
        matches!(judgement, Judgement::Reject { .. }),
        "not refused: {judgement:?}"
    );
}

#[track_caller]
fn continues(judgement: &Judgement<Identity>, with: &[&str]) {
    match judgement {
        Judgement::Partial { methods } => assert_eq!(methods, with),
        other => panic!("not one of several: {other:?}"),
    }
}

/// Everybody who may be worth telling from a stranger.
fn town() -> House {
    let file = format!(
        "[cheap]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\n\
         [dear]\npassword = '{DEAR}'\n\
         [keyed]\nauthorized-keys = 'keys'\n\
         [bare]\n\
         [locked]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\nlocked = true\n\
         [expired]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\n\
         expires = '2027-01-15T08:00:00Z'\n\
         [both]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\n\
         methods = ['publickey', 'password']\n\
         [talks]\npassword = '{CHEAP}'\nmethods = ['keyboard-interactive']\n\
         [lost]\nauthorized-keys = 'no such file'\n"
    );
    House::new(&file, &[("keys", line(1))])
}

#[tokio::test]
async fn a_stranger_hears_what_a_known_user_without_proof_hears_and_costs_as_much() {
    let house = town();
    // What each says when nothing of it is right, a password that is right for a locked account and
    // what is right but not due included.
    type Script = fn() -> Vec<Offered>;
    let scripts: [(&str, Script); 8] = [
        ("none", || vec![Offered::None]),
        ("wrong password", || vec![Offered::Password("no".into())]),
        ("no password", || vec![Offered::Password("".into())]),
        ("absurd password", || {
            vec![Offered::Password(Secret::new(vec![b'a'; 2000]))]
        }),
        ("another password", || {
            vec![Offered::PasswordChange {
                old: "correct horse".into(),
                new: "x".into(),
            }]
        }),
        ("unknown key", || vec![probe(9), proof(9)]),
        ("wrong answer", || {
            vec![interactive(), Offered::Responses(vec!["no".into()])]
        }),
        ("answers unasked", || {
            vec![
                Offered::Responses(vec!["correct horse".into()]),
                interactive(),
                Offered::Responses(Vec::new()),
            ]
        }),
    ];
    let names = [
        "cheap", "dear", "keyed", "bare", "locked", "expired", "both", "talks", "lost",
    ];
    for (what, script) in scripts {
        let mut heard = Vec::new();
        for name in ["nobody"].into_iter().chain(names) {
            let before = house.computed();
            let mut client = house.client();
            let mut replies = Vec::new();
            for offered in script() {
                replies.push(format!("{:?}", client.says(name, offered).await));
            }
            heard.push((name, replies, house.computed() - before));
        }
        for (name, replies, computed) in &heard {
            assert_eq!(*replies, heard[0].1, "{what}: {name}");
            assert_eq!(*computed, heard[0].2, "{what}: {name}");
        }
    }
    // The right password at the wrong door is worth nothing more.
    for name in [
        "nobody", "keyed", "bare", "locked", "expired", "both", "talks",
    ] {
        let before = house.computed();
        let reply = house.client().password(name, "correct horse").await;
        assert_eq!(
            format!("{reply:?}"),
            "Reject { methods: [\"publickey\", \"password\", \"keyboard-interactive\"] }",
            "{name}"
        );
        assert_eq!(house.computed() - before, 1, "{name}");
    }
    // And so is the right key.
    for name in ["nobody", "bare", "locked", "expired", "talks", "lost"] {
        refused(&house.client().says(name, probe(1)).await);
        refused(&house.client().key(name, 1).await);
    }
}

/// Were the costliest always computed for strangers, a cheaper one would tell that there is a user.
#[test]
fn strangers_are_measured_by_hashes_as_dear_as_users_have() {
    let file =
        |more: &str| format!("[a]\npassword = '{CHEAP}'\n[b]\npassword = '{DEAR}'\n[c]\n{more}");
    let house = House::new(&file(""), &[]);
    let names: Vec<_> = (0..1000).map(|it| format!("stranger{it}")).collect();
    let costs = || -> Vec<_> {
        let known = house.users.0.known();
        let cost = |name: &String| known.decoy(name).unwrap().cost();
        names.iter().map(cost).collect()
    };
    let drawn = costs();
    let cheap = CHEAP.parse::<Hash>().unwrap().cost();
    let count = drawn.iter().filter(|it| **it == cheap).count();
    assert!((400..600).contains(&count), "{count} of 1000");
    // Also when the file was read again, and in a server that was started again.
    fs::write(house.dir.path().join("users.toml"), file("[d]\n")).unwrap();
    house.users.reload().unwrap();
    assert_eq!(costs(), drawn);
}

#[tokio::test]
async fn any_one_proof_lets_a_user_in_of_whom_nothing_else_is_asked() {
    let house = town();
    let by_password = identity(house.client().password("cheap", "correct horse").await);
    assert_eq!(by_password.user, "cheap");
    assert_eq!(by_password.access, Access::ReadWrite);
    assert_eq!(by_password.proofs[0].method, Method::Password);
    assert!(matches!(
        house.client().says("cheap", probe(1)).await,
        Judgement::Acceptable
    ));
    let by_key = identity(house.client().key("cheap", 1).await);
    assert!(by_key.proofs[0].fingerprint.starts_with("SHA256:"));
    let mut client = house.client();
    assert!(matches!(
        client.asks("cheap").await,
        Judgement::Prompt { prompts, .. } if prompts == [Prompt::hidden("Password: ")]
    ));
    identity(client.answers("cheap", &["correct horse"]).await);
    refused(&client.answers("cheap", &["correct horse"]).await);
}

#[tokio::test]
async fn a_sequence_is_passed_in_its_order_and_wholly() {
    let house = town();
    let mut client = house.client();
    refused(&client.password("both", "correct horse").await);
    continues(&client.key("both", 1).await, &["password"]);
    let wrong = client.password("both", "no").await;
    assert!(matches!(&wrong, Judgement::Reject { methods } if methods == &["password"]));
    refused(&client.key("both", 1).await);
    let who = identity(client.password("both", "correct horse").await);
    let proved: Vec<_> = who.proofs.iter().map(|it| it.method).collect();
    assert_eq!(proved, [Method::PublicKey, Method::Password]);
    // All of it served one login.
    refused(&client.password("both", "correct horse").await);
}

#[tokio::test]
async fn what_one_name_proved_serves_no_other() {
    let house = town();
    let mut client = house.client();
    continues(&client.key("both", 1).await, &["password"]);
    // Without the flag that the core sets: the judge looks at the name itself.
    refused(&client.password("talks", "correct horse").await);
    refused(&client.password("both", "correct horse").await);
    let mut client = house.client();
    client.asks("cheap").await;
    refused(&client.answers("talks", &["correct horse"]).await);
}

#[tokio::test]
async fn two_keys_are_two_different_keys() {
    let file = "[alice]\nauthorized-keys = 'keys'\nmethods = ['publickey', 'publickey']\n";
    let house = House::new(file, &[("keys", format!("{}\n{}\n", line(1), line(2)))]);
    let mut client = house.client();
    continues(&client.key("alice", 1).await, &["publickey"]);
    refused(&client.says("alice", probe(1)).await);
    refused(&client.key("alice", 1).await);
    let who = identity(client.key("alice", 2).await);
    assert_ne!(who.proofs[0].fingerprint, who.proofs[1].fingerprint);
}

/// Two keys and a password are never replaced by two keys.
#[tokio::test]
async fn an_order_that_changes_on_the_way_is_not_passed_by_halves() {
    let file = |methods: &str| {
        format!("[alice]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\nmethods = {methods}\n")
    };
    let keys = format!("{}\n{}\n", line(1), line(2));
    let house = House::new(&file("['publickey', 'password']"), &[("keys", keys)]);
    let mut client = house.client();
    continues(&client.key("alice", 1).await, &["password"]);
    let path = house.dir.path().join("users.toml");
    fs::write(path, file("['password', 'publickey']")).unwrap();
    house.users.reload().unwrap();
    refused(&client.says("alice", probe(2)).await);
    refused(&client.key("alice", 2).await);
}

#[tokio::test]
async fn what_the_first_factor_restricts_the_last_does_not_give_back() {
    use sansftp_keys::authorized_keys::Feature;
    let file = format!(
        "[alice]\npassword = '{CHEAP}'\nauthorized-keys = 'keys'\n\
         methods = ['publickey', 'password']\n"
    );
    let keys = format!("restrict,command=\"internal-sftp -R\" {}", line(1));
    let house = House::new(&file, &[("keys", keys)]);
    let mut client = house.client();
    continues(&client.key("alice", 1).await, &["password"]);
    let who = identity(client.password("alice", "correct horse").await);
    assert_eq!(who.access, Access::ReadOnly);
    assert!(!who.allows(Feature::Pty));
}

#[tokio::test]
async fn a_users_restriction_holds_whatever_the_proof() {
    let file = format!("[alice]\npassword = '{CHEAP}'\nread-only = true\n");
    let house = House::new(&file, &[]);
    let who = identity(house.client().password("alice", "correct horse").await);
    assert_eq!(who.access, Access::ReadOnly);
}

#[tokio::test]
async fn a_key_for_a_forced_command_is_refused_before_it_signs() {
    let keys = format!("command=\"/bin/backup\" {}", line(1));
    let house = House::new("[alice]\nauthorized-keys = 'keys'\n", &[("keys", keys)]);
    refused(&house.client().says("alice", probe(1)).await);
    refused(&house.client().key("alice", 1).await);
}

#[tokio::test]
async fn keys_for_everybody_are_looked_up_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("alice.pub"), line(1)).unwrap();
    let pattern = dir.path().join("%u.pub").to_str().unwrap().to_owned();
    let sources = |names| Sources {
        authorized_keys: vec![pattern.clone()],
        names,
        ..Sources::default()
    };
    let users = Users::load(sources(Names::Any)).unwrap();
    assert_eq!(users.methods(), ["publickey"]);
    let mut client = Client(users.authenticate(None));
    assert_eq!(identity(client.key("alice", 1).await).user, "alice");
    refused(&client.key("bob", 1).await);
    refused(&client.key("../alice", 1).await);
    refused(&client.password("alice", "").await);
    assert!(matches!(
        Users::load(sources(Names::Listed)),
        Err(UsersError::Nobody)
    ));
}

#[tokio::test]
async fn a_changed_file_counts_from_the_next_attempt_on() {
    let house = House::new("[alice]\nauthorized-keys = 'keys'\n", &[("keys", line(1))]);
    let mut client = house.client();
    identity(client.key("alice", 1).await);
    fs::write(house.dir.path().join("keys"), format!("# {}", line(1))).unwrap();
    refused(&client.key("alice", 1).await);
    let file = house.dir.path().join("users.toml");
    fs::write(&file, format!("[bob]\npassword = '{CHEAP}'\n")).unwrap();
    house.users.reload().unwrap();
    assert_eq!(house.users.methods(), ["password", "keyboard-interactive"]);
    identity(client.password("bob", "correct horse").await);
    fs::write(&file, "[bob]\npassword = 'correct horse'\n").unwrap();
    let error = house.users.reload().unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    identity(client.password("bob", "correct horse").await);
}

/// Wants the user's name backwards, and counts how often it was looked at.
#[derive(Debug, Default)]
struct Backwards(AtomicUsize);

impl Challenge for Backwards {
    fn prompts(&self) -> Vec<Prompt> {
        vec![Prompt::echoed("Backwards: ")]
    }

    fn is_answer(&self, user: &str, responses: &[Secret]) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        let expected: String = user.chars().rev().collect();
        responses.len() == 1 && responses[0].expose() == expected.as_bytes()
    }
}

#[tokio::test]
async fn a_challenge_follows_the_password_right_or_wrong_and_both_must_be_right() {
    let challenge = Arc::new(Backwards::default());
    let sources = Sources {
        challenges: vec![Arc::clone(&challenge) as _],
        ..Sources::default()
    };
    let file = format!(
        "[alice]\npassword = '{CHEAP}'\n[key]\nauthorized-keys = 'keys'\n\
         methods = ['publickey', 'keyboard-interactive']\n"
    );
    let house = House::with(&file, &[("keys", line(1))], sources);
    let mut looked = 0;
    for (name, password, answer, right, looks) in [
        ("alice", "correct horse", "ecila", true, 1),
        ("alice", "correct horse", "alice", false, 1),
        ("alice", "wrong", "ecila", false, 0),
        ("nobody", "correct horse", "ydobon", false, 0),
    ] {
        let mut client = house.client();
        client.asks(name).await;
        let second = client.answers(name, &[password]).await;
        assert!(
            matches!(&second, Judgement::Prompt { prompts, .. } if prompts[0].text == "Backwards: "),
            "{name} {password}: {second:?}"
        );
        let last = client.answers(name, &[answer]).await;
        assert_eq!(matches!(last, Judgement::Accept(_)), right, "{name}");
        looked += looks;
        assert_eq!(challenge.0.load(Ordering::Relaxed), looked, "{name}");
    }
    // Behind a key, a user without password is asked for the code alone.
    let mut client = house.client();
    continues(&client.key("key", 1).await, &["keyboard-interactive"]);
    assert!(matches!(
        client.asks("key").await,
        Judgement::Prompt { prompts, .. } if prompts[0].echo
    ));
    identity(client.answers("key", &["yek"]).await);
}

#[test]
fn a_users_file_that_others_can_write_is_not_used() {
    let house = town();
    let path = house.dir.path().join("users.toml");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = house.users.reload().unwrap_err().to_string();
        assert!(error.contains("chmod go-w"), "{error}");
    }
    fs::write(&path, b"[a]\n# \xff\n").unwrap();
    assert!(house.users.reload().is_err());
}
