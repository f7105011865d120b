//! Both halves against each other, and each against what is left of the other's messages.

use super::*;
use crate::auth::client::Auth as ClientAuth;
use crate::auth::server::{Auth as ServerAuth, Offered, Verdict};

/// Both ends, and every message that went over.
struct Pair {
    client: Half<ClientAuth>,
    server: Half<ServerAuth>,
    to_server: Vec<Raw>,
    to_client: Vec<Raw>,
}

impl Pair {
    fn new(config: Config<Server>) -> Self {
        let server = Half::start(config);
        Self {
            client: client(),
            server,
            to_server: Vec::new(),
            to_client: Vec::new(),
        }
    }

    /// Lets messages go to and fro until somebody has to decide something.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            if let Some(mut proof) = self.server.proof.take() {
                for message in proof.take_unsent() {
                    let message = Raw(message.to_vec());
                    self.client.hears(&message).unwrap();
                    self.to_client.push(message);
                }
                self.server.proof = Some(proof);
                return;
            }
            while let Some(message) = self.server.says() {
                let message = Raw(message);
                self.client.hears(&message).unwrap();
                self.to_client.push(message);
                moved = true;
            }
            while self.server.machine().wants_input() {
                let Some(message) = self.client.says() else {
                    break;
                };
                let message = Raw(message);
                self.server.hears(&message).unwrap();
                self.to_server.push(message);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        let attempt = self.server.attempt();
        self.server.judges(attempt, verdict).unwrap();
        self.run();
    }

    #[track_caller]
    fn succeed(&self, method: Method) {
        for proof in [&self.client.proof, &self.server.proof] {
            let proof = proof.as_ref().expect("both are through");
            assert_eq!((proof.user(), proof.method()), ("alice", method));
        }
    }
}

fn methods(names: &[&str]) -> Vec<String> {
    names.iter().map(|&it| it.to_owned()).collect()
}

#[test]
fn a_password_gets_in() {
    let mut pair = Pair::new(server_config());
    pair.client.attempts(with_password("right"));
    pair.run();
    pair.judge(Verdict::Accept);
    pair.succeed(Method::Password);
}

#[test]
fn a_key_and_then_a_password_get_in() {
    let mut pair = Pair::new(server_config());
    pair.client.attempts(with_key(ed25519("mine")));
    pair.run();
    pair.judge(Verdict::Partial {
        methods: methods(&["password"]),
    });
    pair.client.attempts(with_password("right"));
    pair.run();
    pair.judge(Verdict::Accept);
    pair.succeed(Method::Password);
}

#[test]
fn an_rsa_key_gets_in_with_and_without_a_list() {
    for listed in [true, false] {
        let mut pair = Pair::new(server_config());
        if listed {
            let server_sig_algs = Some(methods(&["rsa-sha2-256"]));
            let told = ExtInfo {
                server_sig_algs,
                ..ExtInfo::default()
            };
            pair.client.machine().learn(&told);
        }
        pair.client.attempts(with_key(rsa()));
        pair.run();
        if !listed {
            pair.judge(Verdict::Acceptable);
        }
        pair.judge(Verdict::Accept);
        pair.succeed(Method::PublicKey);
    }
}

/// A whole dialogue: none, a password to be changed, an agent's key, three rounds of questions.
fn long_dialogue() -> Pair {
    let mut config = server_config();
    config.local.banner = Some("mind the step".into());
    let mut pair = Pair::new(config);
    let all = || methods(&["publickey", "password", "keyboard-interactive"]);
    pair.client.attempts(none());
    pair.run();
    pair.judge(Verdict::Reject { methods: all() });
    assert!(matches!(pair.client.event(), ClientEvent::Banner(text) if text == "mind the step"));

    pair.client.attempts(with_password("old"));
    pair.run();
    pair.judge(Verdict::ChangePassword {
        prompt: "change it".into(),
    });
    let ClientEvent::PasswordExpired(expired) = pair.client.event() else {
        panic!("not expired")
    };
    pair.client
        .machine()
        .change_password(expired, "old".into(), "new".into())
        .unwrap();
    pair.run();
    pair.judge(Verdict::Partial { methods: all() });

    let key = public_key("ssh-ed25519", "far away");
    let algorithms = vec!["ssh-ed25519".to_owned()];
    pair.client.attempts(Credential::ExternalKey {
        user: "alice".into(),
        key,
        algorithms,
    });
    pair.run();
    pair.judge(Verdict::Acceptable);
    let ClientEvent::Sign(to_sign) = pair.client.event() else {
        panic!("nothing to sign")
    };
    let signature = checksum(to_sign.algorithm(), to_sign.key(), to_sign.data());
    pair.client
        .machine()
        .signed(to_sign, Ok(signature))
        .unwrap();
    pair.run();
    pair.judge(Verdict::Partial { methods: all() });

    pair.client.attempts(interactive());
    pair.run();
    for answers in [&["hunter2", "42"][..], &[], &["yes"]] {
        let prompts = answers.iter().map(|_| Prompt::hidden("?")).collect();
        pair.judge(Verdict::Prompt {
            name: String::new(),
            instruction: String::new(),
            prompts,
        });
        let prompts = pair.client.prompts();
        pair.client
            .machine()
            .respond(prompts, secrets(answers))
            .unwrap();
        pair.run();
        let ServerEvent::Attempt(attempt) = &pair.server.events[0];
        assert!(matches!(&attempt.method, Offered::Responses(it) if *it == secrets(answers)));
        assert_eq!(attempt.passed, [Method::Password, Method::PublicKey]);
    }
    pair.judge(Verdict::Accept);
    pair
}

#[test]
fn a_long_dialogue_gets_in() {
    let pair = long_dialogue();
    pair.succeed(Method::KeyboardInteractive);
    assert!(!pair.client.proof.as_ref().unwrap().was_trivial());
}

#[test]
fn no_piece_of_a_message_in_any_state_panics_or_lets_anybody_in() {
    let pair = long_dialogue();
    let messages: Vec<&Raw> = pair.to_server.iter().chain(&pair.to_client).collect();
    for message in messages {
        for cut in 1..=message.0.len() {
            // Cut short, one bit flipped, and with something behind it.
            let mut flipped = message.clone();
            flipped.0[cut - 1] ^= 1 << (cut % 8);
            let longer = message.clone().string(&message.0[..cut]);
            for piece in [Raw(message.0[..cut].to_vec()), flipped, longer] {
                if Payload::<Client>::new(BytesMut::from(&piece.0[..]))
                    .is_none_or(|it| !matches!(it.sort(), Sorted::Auth(_)))
                {
                    continue;
                }
                for mut client in clients() {
                    let _ = client.hears(&piece);
                    assert!(client.proof.is_none() || piece.0 == success().0);
                }
                for mut server in servers() {
                    let _ = server.hears(&piece);
                    assert!(server.proof.is_none(), "only a verdict lets anybody in");
                }
            }
        }
    }
}

/// A client in each of its states.
fn clients() -> Vec<Half<ClientAuth>> {
    let key = public_key("ssh-ed25519", "far away");
    let algorithms = vec!["ssh-ed25519".to_owned()];
    let external = Credential::ExternalKey {
        user: "alice".into(),
        key,
        algorithms,
    };
    let credentials = [
        none(),
        with_password("old"),
        with_key(ed25519("mine")),
        with_key(rsa()),
        external,
        interactive(),
    ];
    let mut all: Vec<_> = credentials
        .into_iter()
        .map(|credential| {
            let mut client = accepted();
            client.attempts(credential);
            client.says();
            client
        })
        .collect();
    all.push(client());
    all.push(accepted());
    all
}

/// A server in each of its states in which it reads.
fn servers() -> Vec<Half<ServerAuth>> {
    let mut prompted = server();
    let request = Raw::request("alice", "keyboard-interactive")
        .string("")
        .string("");
    prompted.hears(&request).unwrap();
    let attempt = prompted.attempt();
    let prompts = vec![Prompt::hidden("?"), Prompt::hidden("?")];
    let verdict = Verdict::Prompt {
        name: String::new(),
        instruction: String::new(),
        prompts,
    };
    prompted.judges(attempt, verdict).unwrap();
    vec![Half::start(server_config()), server(), prompted]
}
