//! The server's half against clients written by hand.

use super::*;
use crate::auth::server::{Offered, Verdict};
use crate::error::DisconnectReason;
use crate::limits;

const ALL: &str = "publickey,password,keyboard-interactive";

fn reject() -> Verdict {
    Verdict::Reject {
        methods: ALL.split(',').map(str::to_owned).collect(),
    }
}

fn partial(method: &str) -> Verdict {
    Verdict::Partial {
        methods: vec![method.into()],
    }
}

fn password(user: &str, password: &str) -> Raw {
    Raw::request(user, "password").byte(0).string(password)
}

fn interactive_request() -> Raw {
    Raw::request("alice", "keyboard-interactive")
        .string("")
        .string("")
}

fn asking(prompts: &[&str]) -> Verdict {
    let prompts = prompts.iter().map(|&it| Prompt::hidden(it)).collect();
    Verdict::Prompt {
        name: "n".into(),
        instruction: "i".into(),
        prompts,
    }
}

#[test]
fn another_service_than_authentication_is_refused_with_its_reason() {
    let mut server = Half::<crate::auth::server::Auth>::start(server_config());
    let error = server
        .hears(&Raw::message(5).string("ssh-connection"))
        .unwrap_err();
    assert_eq!(
        error.disconnect_reason(),
        Some(DisconnectReason::ServiceNotAvailable)
    );
}

#[test]
fn a_request_for_another_service_than_channels_is_refused() {
    let mut server = server();
    let error = server.hears(
        &Raw::message(50)
            .string("alice")
            .string("ssh-userauth")
            .string("none"),
    );
    assert_eq!(error, Err(PeerMisbehaved::WrongService.into()));
}

#[test]
fn the_banner_follows_service_accept() {
    let mut config = server_config();
    config.local.banner = Some("welcome\r\n".into());
    let mut server = server_with(config);
    server.expect(&Raw::message(53).string("welcome\r\n").string(""));
    server.expect_silence();
}

#[test]
fn what_only_servers_send_lets_nobody_in() {
    let states: [fn() -> Half<crate::auth::server::Auth>; 3] = [
        || Half::start(server_config()),
        server,
        || {
            let mut server = server();
            server.hears(&interactive_request()).unwrap();
            let attempt = server.attempt();
            server.judges(attempt, asking(&["?"])).unwrap();
            server
        },
    ];
    for state in states {
        for message in [
            service_accept(),
            failure("", 1),
            success(),
            Raw::message(53).string("").string(""),
            pk_ok("a", &public_key("b", "c")),
        ] {
            refuses(state(), &message);
        }
    }
    // Nor is anything taken before its time.
    refuses(states[0](), &Raw::request("alice", "none"));
    refuses(states[0](), &Raw::message(61).number(0));
    refuses(states[1](), &service_request());
    refuses(states[1](), &Raw::message(61).number(0));
}

#[test]
fn nothing_is_read_while_an_attempt_is_judged() {
    let mut server = server();
    assert!(server.machine().wants_input());
    server.hears(&password("alice", "first")).unwrap();
    assert!(!server.machine().wants_input());
    let attempt = server.attempt();
    assert!(matches!(&attempt.method, Offered::Password(it) if it.expose() == b"first"));
    server.judges(attempt, reject()).unwrap();
    assert!(server.machine().wants_input());
    server.expect(&failure(ALL, 0));
}

#[test]
fn acceptance_carries_what_was_not_sent_yet() {
    let mut server = Half::<crate::auth::server::Auth>::start(server_config());
    server.hears(&service_request()).unwrap();
    server.hears(&password("alice", "right")).unwrap();
    let attempt = server.attempt();
    assert!(attempt.fresh);
    server.judges(attempt, Verdict::Accept).unwrap();
    let mut proof = server.proof.unwrap();
    assert_eq!((proof.user(), proof.method()), ("alice", Method::Password));
    assert_eq!(
        proof.take_unsent(),
        [service_accept(), success()].map(|it| BytesMut::from(&it.0[..]))
    );
}

#[test]
fn the_sixth_failure_is_the_last() {
    let mut server = server();
    for _ in 0..5 {
        server.hears(&password("alice", "wrong")).unwrap();
        let attempt = server.attempt();
        server.judges(attempt, reject()).unwrap();
        server.expect(&failure(ALL, 0));
    }
    server.hears(&password("alice", "wrong")).unwrap();
    let attempt = server.attempt();
    assert_eq!(
        server.judges(attempt, reject()),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn asking_for_the_methods_first_is_no_failure_and_later_is_one() {
    let mut config = server_config();
    config.limits.auth_attempts = 1;
    let mut server = server_with(config);
    server.hears(&Raw::request("alice", "none")).unwrap();
    let attempt = server.attempt();
    assert!(matches!(attempt.method, Offered::None));
    server.judges(attempt, reject()).unwrap();
    server.expect(&failure(ALL, 0));
    server.hears(&Raw::request("alice", "none")).unwrap();
    let attempt = server.attempt();
    assert_eq!(
        server.judges(attempt, reject()),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn methods_that_nobody_speaks_fail_unasked_and_count() {
    let mut config = server_config();
    config.limits.auth_attempts = 6;
    let mut server = server_with(config);
    for name in [
        "gssapi-with-mic",
        "hostbased",
        "",
        "pass\0word",
        &"x".repeat(64 * 1024),
    ] {
        server
            .hears(&Raw::request("alice", name).string("whatever"))
            .unwrap();
        server.expect(&failure(ALL, 0));
        assert!(server.events.is_empty());
    }
    let error = server.hears(&Raw::request("alice", "gssapi-with-mic").number(u32::MAX));
    assert_eq!(error, Err(Error::AuthenticationFailed));
}

#[test]
fn a_method_that_is_not_listed_is_refused_unasked() {
    let mut config = server_config();
    config.local.methods = vec!["publickey".into(), "none".into()];
    let mut server = server_with(config);
    server.hears(&password("alice", "right")).unwrap();
    assert!(server.events.is_empty());
    // RFC 4252 §5.2: `none` is never listed.
    server.expect(&failure("publickey", 0));
}

#[test]
fn partial_success_is_said_and_remembered() {
    let mut server = server();
    let key = public_key("ssh-ed25519", "a");
    server
        .hears(&signed(SESSION, "alice", "ssh-ed25519", &key))
        .unwrap();
    let attempt = server.attempt();
    assert!(attempt.passed.is_empty());
    server.judges(attempt, partial("password")).unwrap();
    server.expect(&failure("password", 1));
    // Only what is listed goes on.
    server
        .hears(&signed(SESSION, "alice", "ssh-ed25519", &key))
        .unwrap();
    server.expect(&failure("password", 0));
    server.hears(&password("alice", "right")).unwrap();
    let attempt = server.attempt();
    assert_eq!(
        (attempt.fresh, attempt.passed.as_slice()),
        (false, &[Method::PublicKey][..])
    );
    server.judges(attempt, Verdict::Accept).unwrap();
    assert!(!server.proof.unwrap().was_trivial());
}

#[test]
fn another_name_starts_afresh_but_failures_stay_counted() {
    let mut config = server_config();
    config.limits.auth_attempts = 2;
    let mut server = server_with(config);
    server.hears(&password("alice", "right")).unwrap();
    let attempt = server.attempt();
    server.judges(attempt, partial("publickey")).unwrap();
    server.expect(&failure("publickey", 1));
    // What alice has passed is not root's, nor are the methods that were left to her.
    server.hears(&password("root", "wrong")).unwrap();
    let attempt = server.attempt();
    assert_eq!((attempt.user.as_str(), attempt.fresh), ("root", true));
    assert!(attempt.passed.is_empty());
    server.judges(attempt, reject()).unwrap();
    server.expect(&failure(ALL, 0));
    server.hears(&password("alice", "right")).unwrap();
    let attempt = server.attempt();
    assert!(attempt.fresh && attempt.passed.is_empty());
    assert_eq!(
        server.judges(attempt, reject()),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn a_welcome_for_one_key_is_none_for_another() {
    let (a, b) = (
        public_key("ssh-ed25519", "a"),
        public_key("ssh-ed25519", "b"),
    );
    let mut server = server();
    server.hears(&probe("ssh-ed25519", &a)).unwrap();
    let attempt = server.attempt();
    assert!(matches!(&attempt.method, Offered::PublicKeyProbe { key, .. } if *key == a));
    server.judges(attempt, Verdict::Acceptable).unwrap();
    server.expect(&pk_ok("ssh-ed25519", &a));
    server
        .hears(&signed(SESSION, "alice", "ssh-ed25519", &b))
        .unwrap();
    let attempt = server.attempt();
    assert!(matches!(&attempt.method, Offered::PublicKey { key, .. } if *key == b));
    server.judges(attempt, reject()).unwrap();
    server.expect(&failure(ALL, 0));
}

#[test]
fn a_signature_that_proves_nothing_fails_unasked() {
    let key = public_key("ssh-ed25519", "a");
    let rsa = public_key("ssh-rsa", "r");
    let good = signed(SESSION, "alice", "ssh-ed25519", &key);
    let mut flipped = good.clone();
    *flipped.0.last_mut().unwrap() ^= 1;
    let head = Raw::request("alice", "publickey")
        .byte(1)
        .string("rsa-sha2-512")
        .string(rsa.as_bytes());
    // Right but for the name in front of it.
    let mut data = Raw(Vec::new()).string(SESSION);
    data.0.extend(&head.0);
    let sum = checksum("rsa-sha2-512", &rsa, &data.0);
    let other_name = Raw(Vec::new()).string("rsa-sha2-256").string(sum);
    // The user's name is under the signature: alice's, replayed as root's.
    let replayed = {
        let mut raw = good;
        raw.0[5..10].copy_from_slice(b"bobby");
        raw
    };
    for message in [
        flipped,
        signed(b"another session", "alice", "ssh-ed25519", &key),
        replayed,
        head.clone().string(&other_name.0),
        head.clone().string("not a signature"),
        head.string(""),
    ] {
        let mut server = server();
        server.hears(&message).unwrap();
        assert!(
            server.events.is_empty(),
            "nobody is asked about a key that is not proved"
        );
        server.expect(&failure(ALL, 0));
    }
}

#[test]
fn the_algorithm_is_looked_at_before_the_key() {
    let ed25519 = public_key("ssh-ed25519", "a");
    let long = public_key("ssh-ed25519", &"x".repeat(16 * 1024));
    for message in [
        // Nobody verifies it, its name is none, it is of another type than the key, the key is none
        // or beyond all measure.
        probe("ssh-dss", &ed25519),
        probe(&"x".repeat(100_000), &ed25519),
        probe("rsa-sha2-512", &ed25519),
        Raw::request("alice", "publickey")
            .byte(0)
            .string(b"\xff\xfe")
            .string(ed25519.as_bytes()),
        Raw::request("alice", "publickey")
            .byte(0)
            .string("ssh-ed25519")
            .string("?"),
        probe("ssh-ed25519", &long),
    ] {
        let mut server = server();
        server.hears(&message).unwrap();
        assert!(server.events.is_empty());
        server.expect(&failure(ALL, 0));
    }
}

#[test]
fn refused_questions_about_keys_count_as_failures() {
    let mut config = server_config();
    config.limits.auth_attempts = 2;
    let mut server = server_with(config);
    let key = public_key("ssh-ed25519", "a");
    server.hears(&probe("ssh-ed25519", &key)).unwrap();
    let attempt = server.attempt();
    server.judges(attempt, reject()).unwrap();
    server.expect(&failure(ALL, 0));
    server.hears(&probe("ssh-ed25519", &key)).unwrap();
    let attempt = server.attempt();
    assert_eq!(
        server.judges(attempt, reject()),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn questions_about_keys_come_to_an_end() {
    let mut server = server();
    let key = public_key("ssh-ed25519", "a");
    for _ in 0..1024 {
        server.hears(&probe("ssh-ed25519", &key)).unwrap();
        let attempt = server.attempt();
        server.judges(attempt, Verdict::Acceptable).unwrap();
        server.expect(&pk_ok("ssh-ed25519", &key));
    }
    assert_eq!(
        server.hears(&probe("ssh-ed25519", &key)),
        Err(Error::AuthenticationFailed)
    );
}

#[test]
fn a_verdict_that_does_not_go_with_the_offer_is_misuse() {
    let key = public_key("ssh-ed25519", "a");
    let change = || Verdict::ChangePassword {
        prompt: String::new(),
    };
    let many = || asking(&["?"; limits::PROMPTS + 1]);
    let cases: [(Raw, Verdict); 11] = [
        (probe("ssh-ed25519", &key), Verdict::Accept),
        (probe("ssh-ed25519", &key), partial("password")),
        (probe("ssh-ed25519", &key), asking(&[])),
        (Raw::request("alice", "none"), partial("password")),
        (Raw::request("alice", "none"), Verdict::Acceptable),
        (password("alice", "p"), asking(&[])),
        (
            password("alice", "p"),
            Verdict::Partial {
                methods: Vec::new(),
            },
        ),
        (
            signed(SESSION, "alice", "ssh-ed25519", &key),
            Verdict::Acceptable,
        ),
        (signed(SESSION, "alice", "ssh-ed25519", &key), change()),
        (interactive_request(), change()),
        (interactive_request(), many()),
    ];
    for (message, verdict) in cases {
        let mut server = server();
        server.hears(&message).unwrap();
        let attempt = server.attempt();
        assert!(matches!(
            server.judges(attempt, verdict),
            Err(Error::ApiMisuse(_))
        ));
        assert!(server.proof.is_none());
    }
}

#[test]
fn a_verdict_over_another_connections_attempt_is_misuse() {
    let mut other =
        Half::<crate::auth::server::Auth>::start_in(b"another session", server_config());
    other.hears(&service_request()).unwrap();
    other.hears(&password("root", "right")).unwrap();
    let attempt = other.attempt();
    let mut server = server();
    server.hears(&password("root", "wrong")).unwrap();
    assert!(matches!(
        server.judges(attempt, Verdict::Accept),
        Err(Error::ApiMisuse(_))
    ));
}

#[test]
fn an_altered_attempt_does_not_change_who_gets_in() {
    let mut server = server();
    server.hears(&password("alice", "right")).unwrap();
    let mut attempt = server.attempt();
    attempt.user = "root".into();
    server.judges(attempt, Verdict::Accept).unwrap();
    assert_eq!(server.proof.unwrap().user(), "alice");
}

#[test]
fn a_dialogue_asks_until_it_knows() {
    let mut server = server();
    server.hears(&interactive_request()).unwrap();
    let attempt = server.attempt();
    server
        .judges(attempt, asking(&["Password: ", "Code: "]))
        .unwrap();
    let question = Raw::message(60)
        .string("n")
        .string("i")
        .string("")
        .number(2);
    server.expect(
        &question
            .string("Password: ")
            .byte(0)
            .string("Code: ")
            .byte(0),
    );
    server
        .hears(&Raw::message(61).number(2).string("hunter2").string("42"))
        .unwrap();
    let attempt = server.attempt();
    let Offered::Responses(responses) = &attempt.method else {
        panic!("no responses")
    };
    assert_eq!(*responses, secrets(&["hunter2", "42"]));
    // RFC 4256 §3.3: a round without prompts has a response without responses.
    server.judges(attempt, asking(&[])).unwrap();
    server.expect(
        &Raw::message(60)
            .string("n")
            .string("i")
            .string("")
            .number(0),
    );
    server.hears(&Raw::message(61).number(0)).unwrap();
    let attempt = server.attempt();
    server.judges(attempt, Verdict::Accept).unwrap();
    assert_eq!(server.proof.unwrap().method(), Method::KeyboardInteractive);
}

#[test]
fn responses_are_as_many_as_prompts() {
    let asked = || {
        let mut server = server();
        server.hears(&interactive_request()).unwrap();
        let attempt = server.attempt();
        server.judges(attempt, asking(&["?"])).unwrap();
        server.says();
        server
    };
    let responds = |raw: &Raw| asked().hears(raw);
    // RFC 4256 §3.4: another number is a failure, and not read any further.
    let wrong = Raw::message(61);
    for raw in [
        wrong.clone().number(0),
        wrong.clone().number(2).string("a").string("b"),
        wrong.number(1 << 28),
    ] {
        let mut server = asked();
        server.hears(&raw).unwrap();
        assert!(server.events.is_empty());
        server.expect(&failure(ALL, 0));
        refuses(server, &Raw::message(61).number(1).string("again"));
    }
    for raw in [
        Raw::message(61).number(1),
        Raw::message(61).number(1).string("a").byte(0),
    ] {
        assert!(matches!(
            responds(&raw),
            Err(Error::InvalidMessage {
                name: "InfoResponse",
                ..
            })
        ));
    }
    assert_eq!(responds(&Raw::message(61).number(1).string("a")), Ok(()));
}

#[test]
fn a_new_request_abandons_the_dialogue_without_a_reply_but_not_without_a_count() {
    let mut config = server_config();
    config.limits.auth_attempts = 2;
    let mut server = server_with(config);
    for round in 0..2 {
        server.hears(&interactive_request()).unwrap();
        let attempt = server.attempt();
        server.judges(attempt, asking(&["?"])).unwrap();
        assert_eq!(
            server.says().unwrap()[0],
            60,
            "round {round}: no FAILURE for the old one"
        );
    }
    let error = server.hears(&password("alice", "right"));
    assert_eq!(error, Err(Error::AuthenticationFailed));

    let mut server = super::server();
    server.hears(&interactive_request()).unwrap();
    let attempt = server.attempt();
    server.judges(attempt, asking(&["?"])).unwrap();
    server.says();
    server.hears(&password("alice", "right")).unwrap();
    server.expect_silence();
    let attempt = server.attempt();
    server.judges(attempt, reject()).unwrap();
    server.expect(&failure(ALL, 0));
    refuses(server, &Raw::message(61).number(1).string("late"));
}

#[test]
fn a_dialogue_does_not_go_on_without_end() {
    let mut server = server();
    server.hears(&interactive_request()).unwrap();
    for _ in 0..limits::INTERACTIVE_ROUNDS {
        let attempt = server.attempt();
        server.judges(attempt, asking(&[])).unwrap();
        server.says();
        server.hears(&Raw::message(61).number(0)).unwrap();
    }
    let attempt = server.attempt();
    server.judges(attempt, asking(&[])).unwrap();
    server.expect(&failure(ALL, 0));
}

#[test]
fn a_password_can_be_made_to_change() {
    let mut server = server();
    server.hears(&password("alice", "old")).unwrap();
    let attempt = server.attempt();
    server
        .judges(
            attempt,
            Verdict::ChangePassword {
                prompt: "expired".into(),
            },
        )
        .unwrap();
    server.expect(&Raw::message(60).string("expired").string(""));
    server
        .hears(
            &Raw::request("alice", "password")
                .byte(1)
                .string("old")
                .string("new"),
        )
        .unwrap();
    let attempt = server.attempt();
    let Offered::PasswordChange { old, new } = &attempt.method else {
        panic!("no change")
    };
    assert_eq!((old.expose(), new.expose()), (&b"old"[..], &b"new"[..]));
    server.judges(attempt, Verdict::Accept).unwrap();
    assert_eq!(server.proof.unwrap().method(), Method::Password);
}

#[test]
fn requests_are_read_wholly_or_refused() {
    let key = public_key("ssh-ed25519", "a");
    for message in [
        Raw::request("alice", "none").byte(0),
        password("alice", "p").byte(0),
        Raw::request("alice", "password").byte(1).string("old"),
        probe("ssh-ed25519", &key).string("no signature belongs here"),
        Raw::request("alice", "publickey")
            .byte(1)
            .string("ssh-ed25519")
            .string(key.as_bytes()),
        interactive_request().byte(0),
        Raw::request(&"x".repeat(limits::NAME + 1), "none"),
    ] {
        let error = server().hears(&message);
        assert!(
            matches!(error, Err(Error::InvalidMessage { number: 50, .. })),
            "{error:?}"
        );
    }
}

#[test]
fn a_request_after_success_is_one_to_ignore() {
    assert_eq!(<crate::auth::server::Auth as Machine>::IGNORED_LATE, [50]);
    assert!(<crate::auth::client::Auth as Machine>::IGNORED_LATE.is_empty());
}

#[test]
fn no_password_shows_in_debug() {
    let mut server = server();
    server.hears(&password("alice", "hunter2")).unwrap();
    assert!(!format!("{server:?}").contains("hunter2"));
}
