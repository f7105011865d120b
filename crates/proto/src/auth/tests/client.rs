//! The client's half against servers written by hand.

use super::*;
use crate::limits;

fn methods(half: &mut Half<crate::auth::client::Auth>) -> (Vec<String>, bool) {
    let ClientEvent::AuthRequired {
        methods, partial, ..
    } = half.event()
    else {
        panic!("no turn");
    };
    (methods, partial)
}

fn external() -> Credential {
    Credential::ExternalKey {
        user: "alice".into(),
        key: public_key("ssh-ed25519", "far away"),
        algorithms: vec!["ssh-ed25519".into()],
    }
}

fn info_request(prompts: &[(&str, u8)]) -> Raw {
    let count = u32::try_from(prompts.len()).unwrap();
    let head = Raw::message(60)
        .string("name")
        .string("instruction")
        .string("")
        .number(count);
    prompts
        .iter()
        .fold(head, |raw, (text, echo)| raw.string(text).byte(*echo))
}

#[test]
fn service_and_first_request_leave_in_one_flight() {
    let mut client = client();
    client.attempts(with_password("pass word"));
    client.expect(&service_request());
    client.expect(
        &Raw::request("alice", "password")
            .byte(0)
            .string("pass word"),
    );
    client.expect_silence();
    client.hears(&service_accept()).unwrap();
    client.hears(&success()).unwrap();
    let proof = client.proof.unwrap();
    assert_eq!(
        (proof.user(), proof.method(), proof.was_trivial()),
        ("alice", Method::Password, false)
    );
}

#[test]
fn nothing_but_banners_comes_before_service_accept() {
    for message in [failure("password", 0), success(), info_request(&[])] {
        let mut client = client();
        client.attempts(none());
        while client.says().is_some() {}
        refuses(client, &message);
    }
    let mut client = client();
    client
        .hears(&Raw::message(53).string("hello").string(""))
        .unwrap();
    let _turn = client.turn();
    assert!(matches!(client.event(), ClientEvent::Banner(text) if text == "hello"));
}

#[test]
fn only_the_service_that_was_asked_for_can_be_accepted() {
    let mut client = client();
    let error = client
        .hears(&Raw::message(6).string("ssh-connection"))
        .unwrap_err();
    assert_eq!(error, PeerMisbehaved::WrongService.into());
    refuses(accepted(), &service_accept());
}

#[test]
fn an_answer_cannot_come_before_the_question_left() {
    let mut client = accepted();
    client.attempts(with_password("secret"));
    refuses(client, &success());
}

#[test]
fn what_only_clients_send_is_refused_in_every_state() {
    let states: [fn() -> Half<crate::auth::client::Auth>; 4] = [
        client,
        accepted,
        || {
            let mut client = accepted();
            client.attempts(none());
            client.says();
            client
        },
        || {
            let mut client = accepted();
            client.attempts(external());
            client.says();
            client
        },
    ];
    for state in states {
        for message in [
            service_request(),
            Raw::request("alice", "none"),
            Raw::message(61).number(0),
        ] {
            refuses(state(), &message);
        }
    }
}

#[test]
fn answers_to_nothing_are_refused_while_a_turn_is_out() {
    for message in [
        failure("password", 0),
        success(),
        info_request(&[]),
        pk_ok("a", &public_key("b", "c")),
    ] {
        refuses(accepted(), &message);
    }
}

#[test]
fn methods_are_those_of_the_last_failure_without_none_and_nonsense() {
    let mut client = accepted();
    let (before, _) = methods(&mut client);
    assert!(before.is_empty(), "nothing is known yet");

    let mut client = accepted();
    client.attempts(none());
    client.expect(&Raw::request("alice", "none"));
    let list = format!("publickey,none,{},password", "x".repeat(65));
    client.hears(&failure(&list, 0)).unwrap();
    assert_eq!(
        methods(&mut client),
        (vec!["publickey".into(), "password".into()], false)
    );
}

#[test]
fn a_failure_that_leaves_no_method_ends_it() {
    let mut client = accepted();
    client.attempts(none());
    client.says();
    assert_eq!(
        client.hears(&failure("", 0)),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn partial_success_is_told_and_the_next_method_follows() {
    let mut client = accepted();
    client.attempts(with_key(ed25519("mine")));
    client.says();
    client.hears(&failure("password", 1)).unwrap();
    let ClientEvent::AuthRequired {
        turn,
        methods,
        partial,
    } = client.event()
    else {
        panic!()
    };
    assert_eq!((methods, partial), (vec!["password".into()], true));
    client.machine().attempt(turn, with_password("p")).unwrap();
    client.expect(&Raw::request("alice", "password").byte(0).string("p"));
}

#[test]
fn success_without_a_challenge_is_trivial() {
    let mut client = accepted();
    client.attempts(none());
    client.says();
    client.hears(&success()).unwrap();
    let proof = client.proof.unwrap();
    assert!(proof.was_trivial());
    assert_eq!(proof.method(), Method::None);

    // A dialogue without a single prompt is one without a challenge.
    let mut client = accepted();
    client.attempts(interactive());
    client.says();
    client.hears(&info_request(&[])).unwrap();
    let prompts = client.prompts();
    client.machine().respond(prompts, Vec::new()).unwrap();
    client.expect(&Raw::message(61).number(0));
    client.hears(&success()).unwrap();
    assert!(client.proof.unwrap().was_trivial());
}

#[test]
fn a_proof_that_succeeded_partially_counts_for_the_whole_and_a_failed_one_does_not() {
    for (partial, trivial) in [(1, false), (0, true)] {
        let mut client = accepted();
        client.attempts(with_key(ed25519("mine")));
        client.says();
        client
            .hears(&failure("keyboard-interactive", partial))
            .unwrap();
        client.attempts(interactive());
        client.says();
        client.hears(&success()).unwrap();
        assert_eq!(client.proof.unwrap().was_trivial(), trivial);
    }
}

#[test]
fn a_key_in_memory_signs_session_and_request_at_once() {
    let key = ed25519("mine");
    let mut client = client();
    client.attempts(with_key(Arc::clone(&key)));
    client.expect(&service_request());
    client.expect(&signed(SESSION, "alice", "ssh-ed25519", key.public_key()));
    client.hears(&service_accept()).unwrap();
    client.hears(&success()).unwrap();
    assert_eq!(client.proof.unwrap().method(), Method::PublicKey);
}

#[test]
fn an_rsa_key_waits_for_the_list_and_takes_the_best_that_is_on_it() {
    for (listed, algorithm) in [
        (["rsa-sha2-256", "ssh-ed25519"], "rsa-sha2-256"),
        (["rsa-sha2-256", "rsa-sha2-512"], "rsa-sha2-512"),
    ] {
        let mut client = client();
        client.attempts(with_key(rsa()));
        client.expect(&service_request());
        client.expect_silence();
        let server_sig_algs = Some(listed.map(str::to_owned).to_vec());
        let told = ExtInfo {
            server_sig_algs,
            ..ExtInfo::default()
        };
        client.machine().learn(&told);
        client.hears(&service_accept()).unwrap();
        client.expect(&signed(SESSION, "alice", algorithm, rsa().public_key()));
    }
}

/// OpenSSH 9.2 with `PubkeyAcceptedAlgorithms rsa-sha2-256` lists both.
#[test]
fn an_rsa_key_that_the_list_misled_asks_for_the_next_algorithm() {
    let key = rsa();
    let mut client = client();
    client.attempts(with_key(Arc::clone(&key)));
    client.expect(&service_request());
    let names = ["rsa-sha2-256", "rsa-sha2-512"].map(str::to_owned);
    client.machine().learn(&ExtInfo {
        server_sig_algs: Some(names.to_vec()),
        ..ExtInfo::default()
    });
    client.hears(&service_accept()).unwrap();
    client.expect(&signed(SESSION, "alice", "rsa-sha2-512", key.public_key()));
    client.hears(&failure("publickey,password", 0)).unwrap();
    client.expect(&probe("rsa-sha2-256", key.public_key()));
    client
        .hears(&pk_ok("rsa-sha2-256", key.public_key()))
        .unwrap();
    client.expect(&signed(SESSION, "alice", "rsa-sha2-256", key.public_key()));
    assert!(client.events.is_empty(), "no turn until the key is through");
    client.hears(&failure("publickey,password", 0)).unwrap();
    client.expect_silence();
    assert_eq!(methods(&mut client).0, ["publickey", "password"]);
}

#[test]
fn a_key_that_succeeded_partially_is_not_asked_about_again() {
    let mut client = client();
    client.attempts(with_key(rsa()));
    client.expect(&service_request());
    let names = ["rsa-sha2-256", "rsa-sha2-512"].map(str::to_owned);
    client.machine().learn(&ExtInfo {
        server_sig_algs: Some(names.to_vec()),
        ..ExtInfo::default()
    });
    client.hears(&service_accept()).unwrap();
    client.says();
    client.hears(&failure("publickey", 1)).unwrap();
    client.expect_silence();
    assert_eq!(methods(&mut client), (vec!["publickey".to_owned()], true));
}

#[test]
fn an_rsa_key_without_a_list_asks_for_each_algorithm_and_signs_the_welcome_one() {
    let key = rsa();
    let mut client = client();
    client.attempts(with_key(Arc::clone(&key)));
    client.expect(&service_request());
    client.expect_silence();
    client.hears(&service_accept()).unwrap();
    client.expect(&probe("rsa-sha2-512", key.public_key()));
    client.hears(&failure("publickey,password", 0)).unwrap();
    client.expect(&probe("rsa-sha2-256", key.public_key()));
    client
        .hears(&pk_ok("rsa-sha2-256", key.public_key()))
        .unwrap();
    client.expect(&signed(SESSION, "alice", "rsa-sha2-256", key.public_key()));
    assert!(client.events.is_empty(), "no turn until the key is through");
}

#[test]
fn an_rsa_key_is_given_up_when_no_algorithm_or_method_is_left() {
    let mut client = accepted();
    client.attempts(with_key(rsa()));
    client.says();
    client.hears(&failure("publickey", 0)).unwrap();
    client.says();
    client.hears(&failure("publickey", 0)).unwrap();
    assert_eq!(methods(&mut client).0, ["publickey"]);
    client.expect_silence();

    let mut client = accepted();
    client.attempts(with_key(rsa()));
    client.says();
    client.hears(&failure("password", 0)).unwrap();
    client.expect_silence();
    assert_eq!(methods(&mut client).0, ["password"]);
}

#[test]
fn a_key_elsewhere_is_asked_only_once_it_is_welcome() {
    let key = public_key("ssh-ed25519", "far away");
    let mut client = client();
    client.attempts(external());
    client.expect(&service_request());
    client.expect(&probe("ssh-ed25519", &key));
    client.hears(&service_accept()).unwrap();
    assert!(client.events.is_empty());
    client.hears(&pk_ok("ssh-ed25519", &key)).unwrap();
    let ClientEvent::Sign(to_sign) = client.event() else {
        panic!("nothing to sign")
    };
    assert_eq!((to_sign.key(), to_sign.algorithm()), (&key, "ssh-ed25519"));
    let signature = checksum("ssh-ed25519", &key, to_sign.data());
    client.machine().signed(to_sign, Ok(signature)).unwrap();
    client.expect(&signed(SESSION, "alice", "ssh-ed25519", &key));
}

#[test]
fn a_refusal_to_sign_costs_the_credential_and_not_the_connection() {
    let key = public_key("ssh-ed25519", "far away");
    let mut client = accepted();
    client.attempts(external());
    client.says();
    client.hears(&pk_ok("ssh-ed25519", &key)).unwrap();
    let ClientEvent::Sign(to_sign) = client.event() else {
        panic!("nothing to sign")
    };
    client
        .machine()
        .signed(to_sign, Err(CryptoError::Failed("locked")))
        .unwrap();
    client.collect();
    client.attempts(with_password("instead"));
    client.expect(&Raw::request("alice", "password").byte(0).string("instead"));

    let broken = Some(CryptoError::Unsupported("this size"));
    let public = public_key("ssh-ed25519", "broken");
    let mut client = accepted();
    client.attempts(with_key(Arc::new(Key {
        public,
        algorithms: &["ssh-ed25519"],
        broken,
    })));
    assert!(matches!(
        client.event(),
        ClientEvent::NotSigned(CryptoError::Unsupported(_))
    ));
    client.attempts(none());
    client.expect(&Raw::request("alice", "none"));
}

#[test]
fn pk_ok_must_be_about_the_key_and_algorithm_that_were_asked_about() {
    let key = public_key("ssh-ed25519", "far away");
    for answer in [
        pk_ok("ssh-ed25519", &public_key("ssh-ed25519", "another")),
        pk_ok("ssh-rsa", &key),
        pk_ok("ssh-ed25519", &public_key("ssh-ed25519", "")),
    ] {
        let mut client = accepted();
        client.attempts(external());
        client.says();
        assert_eq!(client.hears(&answer), Err(PeerMisbehaved::WrongPkOk.into()));
    }
}

#[test]
fn a_question_about_a_key_cannot_be_answered_with_success() {
    let mut client = accepted();
    client.attempts(external());
    client.says();
    refuses(client, &success());
}

#[test]
fn a_key_without_algorithms_is_misuse() {
    let mut client = accepted();
    let turn = client.turn();
    let key = public_key("ssh-ed25519", "x");
    let credential = Credential::ExternalKey {
        user: "alice".into(),
        key,
        algorithms: Vec::new(),
    };
    assert!(matches!(
        client.machine().attempt(turn, credential),
        Err(Error::ApiMisuse(_))
    ));
}

#[test]
fn an_expired_password_is_changed_as_often_as_it_is_asked() {
    let mut client = accepted();
    client.attempts(with_password("old"));
    client.says();
    for new in ["weak", "better"] {
        client
            .hears(&Raw::message(60).string("too\x07 old").string(""))
            .unwrap();
        let ClientEvent::PasswordExpired(expired) = client.event() else {
            panic!("not expired")
        };
        assert_eq!(expired.prompt, "too\u{fffd} old");
        client
            .machine()
            .change_password(expired, "old".into(), new.into())
            .unwrap();
        client.expect(
            &Raw::request("alice", "password")
                .byte(1)
                .string("old")
                .string(new),
        );
    }
    client.hears(&success()).unwrap();
    assert_eq!(client.proof.unwrap().method(), Method::Password);
}

#[test]
fn a_password_that_is_kept_leaves_the_turn() {
    let mut client = accepted();
    client.attempts(with_password("old"));
    client.says();
    client
        .hears(&Raw::message(60).string("expired").string(""))
        .unwrap();
    let ClientEvent::PasswordExpired(expired) = client.event() else {
        panic!("not expired")
    };
    client.machine().keep_password(expired).unwrap();
    client.collect();
    client.expect_silence();
    client.attempts(none());
    client.expect(&Raw::request("alice", "none"));
}

#[test]
fn a_password_is_not_asked_for_without_end() {
    let mut client = accepted();
    client.attempts(with_password("old"));
    client.says();
    for _ in 0..limits::INTERACTIVE_ROUNDS {
        client
            .hears(&Raw::message(60).string("again").string(""))
            .unwrap();
        let ClientEvent::PasswordExpired(expired) = client.event() else {
            panic!("not expired")
        };
        client
            .machine()
            .change_password(expired, "old".into(), "new".into())
            .unwrap();
        client.says();
    }
    let error = client.hears(&Raw::message(60).string("again").string(""));
    assert_eq!(error, Err(PeerMisbehaved::TooManyPrompts.into()));
}

#[test]
fn message_60_is_read_as_what_the_method_makes_of_it() {
    // PK_OK, PASSWD_CHANGEREQ and INFO_REQUEST have fields that do not read as one another.
    let question = info_request(&[("Password:", 0)]);
    let mut client = accepted();
    client.attempts(with_password("p"));
    client.says();
    let error = client.hears(&question).unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidMessage {
                name: "ChangeRequest",
                ..
            }
        ),
        "{error:?}"
    );

    for credential in [none(), with_key(ed25519("mine"))] {
        let mut client = accepted();
        client.attempts(credential);
        client.says();
        refuses(client, &question);
    }
}

#[test]
fn a_dialogue_goes_through_its_rounds() {
    let mut client = accepted();
    client.attempts(interactive());
    client.expect(
        &Raw::request("alice", "keyboard-interactive")
            .string("")
            .string(""),
    );
    client
        .hears(&info_request(&[("Password: ", 0), ("Code\x1b[2J: ", 1)]))
        .unwrap();
    let prompts = client.prompts();
    assert_eq!(
        (prompts.name.as_str(), prompts.instruction.as_str()),
        ("name", "instruction")
    );
    assert_eq!(
        prompts.prompts,
        [
            Prompt::hidden("Password: "),
            Prompt::echoed("Code\u{fffd}[2J: ")
        ]
    );
    client
        .machine()
        .respond(prompts, secrets(&["hunter2", ""]))
        .unwrap();
    client.expect(&Raw::message(61).number(2).string("hunter2").string(""));
    // RFC 4256 §3.3: another round, here without a question, is answered as well.
    client.hears(&info_request(&[])).unwrap();
    let prompts = client.prompts();
    client.machine().respond(prompts, Vec::new()).unwrap();
    client.expect(&Raw::message(61).number(0));
    client.hears(&success()).unwrap();
    let proof = client.proof.unwrap();
    assert_eq!(
        (proof.method(), proof.was_trivial()),
        (Method::KeyboardInteractive, false)
    );
}

#[test]
fn the_number_of_prompts_is_believed_only_as_far_as_they_are_there() {
    let asks = |raw: &Raw| {
        let mut client = accepted();
        client.attempts(interactive());
        client.says();
        client.hears(raw)
    };
    let head = |count| {
        Raw::message(60)
            .string("")
            .string("")
            .string("")
            .number(count)
    };
    for count in [u32::MAX, 1 << 28, 33] {
        assert_eq!(
            asks(&head(count)),
            Err(PeerMisbehaved::TooManyPrompts.into())
        );
    }
    for raw in [head(32), head(1).string("half a prompt"), head(0).byte(0)] {
        assert!(matches!(
            asks(&raw),
            Err(Error::InvalidMessage {
                name: "InfoRequest",
                ..
            })
        ));
    }
    assert_eq!(asks(&info_request(&[("?", 1); limits::PROMPTS])), Ok(()));
}

/// As long as a packet lets them be, and as many as may be.
#[test]
fn prompts_of_any_length_are_asked_and_answered() {
    let long = "x".repeat(limits::PACKET);
    for prompts in [vec![(&*long, 0)], vec![(&long[..8000], 1); limits::PROMPTS]] {
        let mut client = accepted();
        client.attempts(interactive());
        client.says();
        client.hears(&info_request(&prompts)).unwrap();
        let asked = client.prompts();
        assert_eq!(asked.prompts.len(), prompts.len());
        let answers = vec![&*long; prompts.len()];
        client.machine().respond(asked, secrets(&answers)).unwrap();
        let expected = Raw::message(61).number(u32::try_from(answers.len()).unwrap());
        client.expect(&answers.iter().fold(expected, |raw, it| raw.string(it)));
    }
}

#[test]
fn a_dialogue_does_not_go_on_without_end() {
    let mut client = accepted();
    client.attempts(interactive());
    client.says();
    for _ in 0..limits::INTERACTIVE_ROUNDS {
        client.hears(&info_request(&[])).unwrap();
        let prompts = client.prompts();
        client.machine().respond(prompts, Vec::new()).unwrap();
        client.says();
    }
    let error = client.hears(&info_request(&[]));
    assert_eq!(error, Err(PeerMisbehaved::TooManyPrompts.into()));
}

#[test]
fn there_are_as_many_responses_as_prompts_or_none_is_sent() {
    let mut client = accepted();
    client.attempts(interactive());
    client.says();
    client.hears(&info_request(&[("?", 1)])).unwrap();
    let prompts = client.prompts();
    let error = client.machine().respond(prompts, secrets(&["one", "two"]));
    assert!(matches!(error, Err(Error::ApiMisuse(_))));
    client.expect_silence();
}

#[test]
fn a_turn_of_another_connection_is_misuse() {
    let mut other = Half::start_in(
        b"another session",
        Config::<Client>::client(provider()).with_all_algorithms(),
    );
    let turn: Turn = Half::<crate::auth::client::Auth>::turn(&mut other);
    let mut client = client();
    assert!(matches!(
        client.machine().attempt(turn, none()),
        Err(Error::ApiMisuse(_))
    ));
    client.expect(&service_request());
    client.expect_silence();
}

#[test]
fn banners_are_filtered_bounded_and_counted() {
    let banner = |half: &mut Half<crate::auth::client::Auth>, raw: &Raw| {
        half.hears(raw).map(|()| match half.event() {
            ClientEvent::Banner(text) => text,
            other => panic!("no banner: {other:?}"),
        })
    };
    let mut client = accepted();
    let _turn = client.turn();
    // RFC 4252 §5.4; CR LF stays, CR alone would overwrite the line.
    let raw = Raw::message(53)
        .string("Gr\u{fc}\u{df}e\r\n\tund\rnun\x1b]0;x\x07\u{9b}\r\r\n")
        .string("de");
    assert_eq!(
        banner(&mut client, &raw).unwrap(),
        "Gr\u{fc}\u{df}e\r\n\tund\u{fffd}nun\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}\r\n"
    );
    assert_eq!(
        banner(&mut client, &Raw::message(53).string("no language")).unwrap(),
        "no language"
    );
    let long = Raw::message(53)
        .string("x".repeat(limits::BANNER + 1))
        .string("");
    assert_eq!(banner(&mut client, &long).unwrap().len(), limits::BANNER);
    for _ in 3..limits::BANNERS {
        banner(&mut client, &Raw::message(53).string("").string("")).unwrap();
    }
    let error = banner(&mut client, &Raw::message(53).string("").string("")).unwrap_err();
    assert_eq!(error, PeerMisbehaved::TooManyPrompts.into());
}

#[test]
fn no_password_shows_in_debug() {
    let mut client = accepted();
    let credential = with_password("hunter2");
    assert!(!format!("{credential:?}").contains("hunter2"));
    client.attempts(credential);
    assert!(!format!("{client:?}").contains("hunter2"));
}
