//! `serve`, listening, with OpenSSH's clients: what it prints, whom it lets in, what it refuses, what it
//! logs and how it ends.
//!
//! Not every client and every operation: those are the interop tests.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::served::{Place, names, ran, ran_with};

#[test]
fn the_two_commands_that_it_prints_work_when_they_are_pasted() {
    let place = Place::new();
    place.write("files/report.csv", "a;b\n");
    let server = place.serve(&[]);
    let password = server
        .line("password")
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(password.len(), 20, "{password}");
    assert_eq!(server.line("user"), "tester");
    let sftp = format!("sftp {}", server.line("sftp "));
    let mut pasted = place.command("/bin/sh");
    pasted
        .args(["-c", &sftp])
        .env("SSH_ASKPASS", place.askpass(&password))
        .env("SSH_ASKPASS_REQUIRE", "force");
    let told = ran_with(&mut pasted, "get report.csv fetched\nput key.pub\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("fetched"), b"a;b\n");
    assert_eq!(place.read("files/key.pub"), place.read("key.pub"));

    let get = format!("sansftp {}", server.line("sansftp "));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sansftp"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    fs::create_dir(place.path("here")).unwrap();
    let mut pasted = place.command("/bin/sh");
    pasted
        .args(["-c", &get])
        .current_dir(place.path("here"))
        .env("PATH", path)
        .env("SANSFTP_PASSWORD", &password);
    let told = ran(&mut pasted);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(names(&place.path("here")), ["key.pub", "report.csv"]);
}

#[test]
fn the_host_key_is_made_once_and_kept_for_its_owner_alone() {
    let place = Place::new();
    let lines = [(); 2].map(|()| {
        let server = place.serve_json(&[]);
        let event = server.event("listening");
        event["host-keys"][0]["key"].as_str().unwrap().to_owned()
    });
    assert_eq!(lines[0], lines[1]);
    let directory = place.path(".local/state/sansftp/host-keys");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(names(&directory), ["ssh_host_ed25519_key"]);
    assert_eq!(mode(&directory.join("ssh_host_ed25519_key")), 0o600);
    let given = place.serve_json(&["--host-key", "key"]);
    let shown = given.event("listening")["host-keys"][0]["key"].clone();
    let public = String::from_utf8(place.read("key.pub")).unwrap();
    assert!(public.starts_with(shown.as_str().unwrap()), "{shown}");
}

#[test]
fn sftp_and_scp_do_all_that_they_do() {
    let place = Place::new();
    let server = place.serve_json(&[]);
    let large: Vec<u8> = (0..5_000_000_u32).map(|it| (it % 251) as u8).collect();
    place.write("large", &large);
    let batch = "put large\nrename large larger\nmkdir d\nln -s larger link\nchmod 600 larger\n\
                 get larger back\nput -r tmp\nls -l\ndf\nrm link\nrmdir d\n";
    let told = place.sftp(&server, batch);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("back"), large);
    assert_eq!(names(&place.path("files")), ["larger", "tmp"]);
    let mut scp = place.client("scp", &server);
    let told = ran(scp.args(["-r", "-p", "tester@127.0.0.1:/", "copied"]));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("copied/larger"), large);
}

#[test]
fn what_is_not_sftp_is_refused_in_good_order_and_told() {
    let place = Place::new();
    let server = place.serve_json(&[]);
    for words in [&["tester@127.0.0.1", "id"][..], &["tester@127.0.0.1"]] {
        let told = ran(place.client("ssh", &server).args(words));
        assert_eq!(told.code, Some(255), "{told:?}");
        assert!(
            told.stderr.contains("request failed on channel 0"),
            "{told:?}"
        );
    }
    let mut scp = place.client("scp", &server);
    let told = ran(scp.args(["-O", "key.pub", "tester@127.0.0.1:x"]));
    assert_eq!(told.code, Some(1), "{told:?}");
    let mut forwarded = place.client("ssh", &server);
    let told = ran(forwarded.args(["-W", "127.0.0.1:22", "tester@127.0.0.1"]));
    assert_eq!(told.code, Some(255), "{told:?}");
    // The answer may reach the client before the event is told.
    let declined = |server: &crate::served::Server| -> Vec<_> {
        let events = server.events().into_iter();
        let declined = events.filter(|event| event["event"] == "declined");
        declined
            .map(|event| event["request"].as_str().unwrap().to_owned())
            .collect()
    };
    server.until(|server| declined(server).len() >= 4);
    assert_eq!(declined(&server), ["exec", "shell", "exec", "direct-tcpip"]);
    assert!(names(&place.path("files")).is_empty());
    assert_eq!(place.sftp(&server, "ls\n").code, Some(0), "it serves on");
}

#[test]
fn read_only_refuses_everything_that_would_change_a_file() {
    let place = Place::new();
    place.write("files/a", "alpha");
    let server = place.serve_json(&["--read-only"]);
    assert_eq!(server.event("listening")["read-only"], true);
    for line in [
        "put key.pub",
        "rm a",
        "rename a b",
        "mkdir d",
        "chmod 600 a",
        "ln a b",
        "ln -s a b",
    ] {
        let told = place.sftp(&server, &format!("{line}\n"));
        assert_eq!(told.code, Some(1), "{line}: {told:?}");
    }
    assert_eq!(place.sftp(&server, "get a\n").code, Some(0));
    assert_eq!(names(&place.path("files")), ["a"]);
    assert_eq!(place.read("files/a"), b"alpha");
}

#[test]
fn only_the_named_user_with_the_right_key_is_let_in() {
    let place = Place::new();
    place.make_key("other");
    let server = place.serve_json(&[]);
    let mut stranger = place.client("sftp", &server);
    let told = ran(stranger.arg("stranger@127.0.0.1"));
    assert_eq!(told.code, Some(255), "{told:?}");
    let known = place.path("known_hosts");
    let mut unknown = place.command("sftp");
    unknown
        .args([
            "-F",
            "none",
            "-i",
            "other",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .args(["-P", &server.port().to_string(), "tester@127.0.0.1"]);
    let told = ran(&mut unknown);
    assert_eq!(told.code, Some(255), "{told:?}");
    let fingerprint = ran(place.command("ssh-keygen").args(["-l", "-f", "other.pub"])).stdout;
    let fingerprint = fingerprint.split(' ').nth(1).unwrap().to_owned();
    server.until(|server| {
        let events = server.events();
        let denied = |user: &str| {
            events
                .iter()
                .any(|event| event["event"] == "denied" && event["user"] == user)
        };
        let key = events
            .iter()
            .any(|event| event["fingerprint"] == fingerprint.as_str());
        denied("stranger") && denied("tester") && key
    });
    assert!(
        server
            .events()
            .iter()
            .all(|event| event["event"] != "authenticated")
    );
}

#[test]
fn each_session_and_transfer_is_an_event() {
    let place = Place::new();
    place.write("files/a", "alpha");
    let mut server = place.serve_json(&[]);
    let told = place.sftp(&server, "get a\nput key.pub b\nmkdir d\n-rmdir absent\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    let ended = server.event("disconnected");
    assert_eq!(ended["reason"], "by the client");
    let events = server.events();
    let of = |name: &str| -> Vec<_> {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect()
    };
    let entered = of("authenticated")[0];
    assert_eq!(entered["user"], "tester");
    let proofs = entered["proofs"].as_array().unwrap();
    assert_eq!(proofs.len(), 1, "{entered}");
    assert_eq!(
        (&proofs[0]["method"], &proofs[0]["label"]),
        (&"publickey".into(), &"key".into())
    );
    assert!(
        proofs[0]["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("SHA256:")
    );
    assert!(entered["client"].as_str().unwrap().starts_with("OpenSSH_"));
    assert!(entered["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let transferred = of("transferred");
    assert_eq!(transferred.len(), 2, "{events:?}");
    assert_eq!(
        (&transferred[0]["path"], &transferred[0]["bytes-read"]),
        (&"/a".into(), &5.into())
    );
    let written = place.read("key.pub").len();
    assert_eq!(transferred[1]["bytes-written"], written);
    assert!(transferred[1]["seconds"].is_f64());
    assert_eq!(transferred[1]["cut-off"], false);
    let changed = of("changed");
    let made = changed
        .iter()
        .find(|event| event["request"] == "mkdir")
        .unwrap();
    assert!(made["failure"].is_null(), "{made}");
    let failed = changed
        .iter()
        .find(|event| event["request"] == "rmdir")
        .unwrap();
    assert!(failed["failure"].is_string(), "{failed}");
    assert_eq!(of("sftp-ended")[0]["bytes-written"], written);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(143));
    assert_eq!(server.events().last().unwrap()["event"], "stopped");
}

#[test]
fn a_transfer_that_a_lost_session_leaves_half_done_is_told_as_cut_off() {
    let place = Place::new();
    place.write("large", vec![1; 64 << 20]);
    let server = place.serve_json(&[]);
    let mut sftp = place.client("sftp", &server);
    // So slowly that it cannot be done before it is killed.
    sftp.args(["-l", "4000", "-b", "-", "tester@127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut sftp = sftp.spawn().unwrap();
    let mut stdin = sftp.stdin.take().unwrap();
    stdin.write_all(b"put large\n").unwrap();
    let half = place.path("files/large");
    server.until(|_| half.metadata().is_ok_and(|it| it.len() > 0));
    sftp.kill().unwrap();
    sftp.wait().unwrap();
    server.event("disconnected");
    let events = server.events();
    let at = |name: &str| events.iter().position(|event| event["event"] == name);
    let (cut, end) = (at("transferred").unwrap(), at("disconnected").unwrap());
    assert!(cut < end, "{events:?}");
    assert_eq!(events[cut]["cut-off"], true, "{events:?}");
    assert!(events[cut]["bytes-written"].as_u64().unwrap() < 64 << 20);
}

#[test]
fn certificates_of_an_authority_let_in_whom_they_name_until_their_key_is_revoked() {
    let place = Place::new();
    place.make_key("authority");
    place.write("revoked", "# none yet\n");
    let sign = |names: &str, serial: &str| {
        let mut keygen = place.command("ssh-keygen");
        keygen.args(["-q", "-s", "authority", "-I", "of tester", "-n", names]);
        ran(keygen.args(["-z", serial, "-V", "-5m:+1h", "key.pub"])).done();
    };
    let authorities = ["--trusted-user-ca-keys", "authority.pub"];
    let revoked = ["--revoked-keys", "revoked", "--json"];
    let server = place.serve(&[&authorities[..], &revoked].concat());
    assert_eq!(place.sftp(&server, "ls\n").code, Some(255), "a plain key");
    sign("somebody", "1");
    assert_eq!(place.sftp(&server, "ls\n").code, Some(255), "another name");
    sign("tester,somebody", "7");
    let told = place.sftp(&server, "put key.pub a\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    let entered = server.event("authenticated");
    let fingerprint = |key: &str| {
        let told = ran(place.command("ssh-keygen").args(["-l", "-f", key])).stdout;
        told.split(' ').nth(1).unwrap().to_owned()
    };
    let label = format!(
        "certificate of tester (serial 7) by {}",
        fingerprint("authority.pub")
    );
    assert_eq!(
        entered["proofs"],
        serde_json::json!([{
            "method": "publickey", "fingerprint": fingerprint("key.pub"), "label": label
        }])
    );
    // Whatever was denied was this key, also in a certificate.
    let events = server.events();
    let denied = events.iter().filter(|event| event["event"] == "denied");
    assert!(denied.clone().count() >= 2, "{events:?}");
    for event in denied {
        assert_eq!(event["fingerprint"], fingerprint("key.pub"), "{event}");
    }
    place.write("revoked", place.read("key.pub"));
    assert_eq!(place.sftp(&server, "ls\n").code, Some(255), "revoked");
    place.write("revoked", "nonsense\n");
    server.signal(Signal::HUP);
    let told = server.event("not-reloaded");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("revoked: line 1"),
        "{told}"
    );
    for flag in ["--trusted-user-ca-keys", "--revoked-keys"] {
        place
            .run(&["serve", "files", "--password-file", "key", flag, "absent"])
            .failed(2, "configuration", &["absent"]);
    }
}

#[test]
fn several_proofs_are_all_told_and_keys_for_all_users_stand_beside_a_users_file() {
    let place = Place::new();
    fs::create_dir(place.path("keys")).unwrap();
    fs::copy(place.path("key.pub"), place.path("keys/tester")).unwrap();
    let mut program = place.program();
    let hash = ran_with(program.args(["serve", "--hash-password"]), "sesame\n").done();
    let hash = hash.stdout.trim();
    place.write(
        "users.toml",
        format!("[tester]\npassword = '{hash}'\nmethods = ['publickey', 'password']\n[other]\n"),
    );
    let server = place.serve(&["--users-file", "users.toml", "--authorized-keys", "keys/%u"]);
    for (user, code) in [("tester", 0), ("other", 255)] {
        let mut sftp = place.trusting("sftp", &server);
        sftp.args(["-i", "key", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "NumberOfPasswordPrompts=1"])
            .env("SSH_ASKPASS", place.askpass("sesame"))
            .env("SSH_ASKPASS_REQUIRE", "force");
        let told = ran_with(sftp.arg(format!("{user}@127.0.0.1")), "ls\n");
        assert_eq!(told.code, Some(code), "{told:?}");
    }
    server.until(|server| server.stderr().contains("disconnected"));
    let log = server.stderr();
    let (_, proofs) = log
        .split_once("authenticated by publickey SHA256:")
        .unwrap();
    assert!(
        proofs[43..].starts_with(" (key) and password, client OpenSSH_"),
        "{log}"
    );
    place
        .run(&[
            "serve",
            "files",
            "--users-file",
            "users.toml",
            "--authorized-keys",
            "absent",
        ])
        .failed(2, "configuration", &["absent"]);
}

#[test]
fn it_may_open_as_many_files_as_the_system_lets_it() {
    let place = Place::new();
    let mut shell = place.command("/bin/sh");
    shell
        .args(["-c", "ulimit -Sn 64; ulimit -Hn 512; exec \"$0\" \"$@\""])
        .args([env!("CARGO_BIN_EXE_sansftp"), "serve", "files", "--listen"])
        .args(["0", "--json", "--authorized-keys", "key.pub"]);
    let server = crate::served::Server::start(shell);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits.lines().find(|it| it.starts_with("Max open files"));
    let numbers: Vec<_> = files.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["512", "512"], "{limits}");
}

#[test]
fn the_end_of_a_terminal_ends_a_server_that_has_nothing_to_read_again() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    let mut server = place.serve_json(&[]);
    server.signal(Signal::HUP);
    assert_eq!(server.ended().signal(), Some(Signal::HUP.as_raw()));
}

#[test]
fn people_read_the_log_on_standard_error_and_names_cannot_steer_their_terminal() {
    let place = Place::new();
    let server = place.serve(&["--authorized-keys", "key.pub"]);
    assert!(!server.stdout().contains("password"), "{}", server.stdout());
    let told = place.sftp(&server, "put key.pub \"a\x1b[2Jb\"\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    server.until(|server| server.stderr().contains("disconnected"));
    let log = server.stderr();
    assert!(
        log.contains("#1 tester  authenticated by publickey SHA256:"),
        "{log}"
    );
    assert!(log.contains("/a\\u{1b}[2Jb: "), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}

#[test]
fn a_users_file_says_who_may_do_what_and_is_read_again_at_sighup() {
    let place = Place::new();
    let hash = ran_with(
        place.program().args(["serve", "--hash-password"]),
        "open sesame\n",
    )
    .done();
    let hash = hash.stdout.trim();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let reader = format!("[reader]\npassword = '{hash}'\nread-only = true\n");
    place.write("users.toml", &reader);
    let server = place.serve(&["--users-file", "users.toml", "--json"]);
    let sftp = |user: &str, batch: &str| {
        let mut sftp = place.client_with("open sesame", "sftp", &server);
        sftp.arg(format!("{user}@127.0.0.1"));
        ran_with(&mut sftp, batch)
    };
    let told = sftp("reader", "put key.pub a\n");
    assert!(told.stderr.contains("Permission denied"), "{told:?}");
    assert_eq!(sftp("writer", "put key.pub a\n").code, Some(255));
    place.write(
        "users.toml",
        format!("{reader}[writer]\npassword = '{hash}'\n"),
    );
    server.signal(Signal::HUP);
    server.event("reloaded");
    assert_eq!(sftp("writer", "put key.pub a\n").code, Some(0));
    assert_eq!(names(&place.path("files")), ["a"]);
    place.write("users.toml", "[writer]\npasword = 'x'\n");
    server.signal(Signal::HUP);
    let told = server.event("not-reloaded");
    assert!(
        told["message"].as_str().unwrap().contains("line 2"),
        "{told}"
    );
    assert_eq!(
        sftp("writer", "rm a\n").code,
        Some(0),
        "users stay as they were"
    );
    place
        .run(&[
            "serve",
            "files",
            "--listen",
            "0",
            "--users-file",
            "users.toml",
        ])
        .failed(2, "configuration", &["users.toml", "line 2"]);
}

#[test]
fn a_question_for_a_password_can_be_interrupted() {
    let place = Place::new();
    let mut program = place.program();
    program.args(["serve", "--hash-password"]);
    let mut child = program.stdin(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|it| it.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        // Bit 1 is SIGINT's, bit 14 SIGTERM's, which is caught last.
        if caught & 0b0100_0000_0000_0010 == 0b0100_0000_0000_0010 {
            break;
        }
        assert!(Instant::now() < end, "{text}");
    }
    let id = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    // With the input still open: nothing else than the signal has ended it.
    let ended = child.try_wait().unwrap().and_then(|it| it.code());
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(ended, Some(130));
}

#[test]
fn a_password_file_is_taken_for_the_one_user() {
    let place = Place::new();
    let password = place.write("password", "open sesame\n");
    let serve = ["serve", "files", "--listen", "0", "--password-file"];
    fs::set_permissions(&password, fs::Permissions::from_mode(0o620)).unwrap();
    place
        .run(&[&serve[..], &["password"]].concat())
        .failed(2, "configuration", &["others could have written it"])
        .with_hint("chmod 600");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let server = place.serve(&["--password-file", "password", "--json"]);
    for (password, code) in [("open sesame", 0), ("wrong", 255)] {
        let mut sftp = place.client_with(password, "sftp", &server);
        sftp.arg("tester@127.0.0.1");
        let told = ran_with(&mut sftp, "ls\n");
        assert_eq!(told.code, Some(code), "{told:?}");
    }
    let denied = server.event("denied");
    assert_eq!(denied["user"], "tester");
    assert!(!server.stdout().contains("sesame") && !server.stdout().contains("wrong"));
}

#[test]
fn a_signal_lets_sessions_end_and_a_second_one_does_not_wait() {
    for (second, code) in [(false, 130), (true, 143)] {
        let place = Place::new();
        let mut server = place.serve_json(&["--stop-time", "30s"]);
        let mut sftp = place.client("sftp", &server);
        sftp.args(["-b", "-", "tester@127.0.0.1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut sftp = sftp.spawn().unwrap();
        server.event("sftp-started");
        server.signal(if second { Signal::TERM } else { Signal::INT });
        let stopping = server.event("stopping");
        assert!(
            stopping["message"].as_str().unwrap().contains("1 session"),
            "{stopping}"
        );
        server.until(|server| std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
        let begun = Instant::now();
        if second {
            server.signal(Signal::TERM);
            assert_eq!(server.ended().code(), Some(code));
            let _ = sftp.wait();
        } else {
            let mut stdin = sftp.stdin.take().unwrap();
            stdin.write_all(b"put key.pub late\n").unwrap();
            drop(stdin);
            assert!(sftp.wait().unwrap().success(), "the session went on");
            assert_eq!(server.ended().code(), Some(code));
            assert_eq!(names(&place.path("files")), ["late"]);
        }
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}

#[test]
fn more_sessions_of_a_user_than_are_allowed_are_turned_away_with_a_reason() {
    let place = Place::new();
    let server = place.serve_json(&["--max-sessions-per-user", "1"]);
    let mut first = place.client("sftp", &server);
    first
        .args(["-b", "-", "tester@127.0.0.1"])
        .stdin(Stdio::piped());
    first.stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = first.spawn().unwrap();
    server.event("sftp-started");
    let told = place.sftp(&server, "ls\n");
    assert_eq!(told.code, Some(255), "{told:?}");
    assert!(told.stderr.contains("too many sessions"), "{told:?}");
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    server.event("disconnected");
    assert_eq!(place.sftp(&server, "ls\n").code, Some(0));
}

#[test]
fn a_silent_client_is_dropped_after_the_login_time() {
    use std::io::Read;
    let place = Place::new();
    let server = place.serve_json(&["--login-time", "300ms"]);
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut said = Vec::new();
    // The end may come as a reset.
    let _ = silent.read_to_end(&mut said);
    assert!(
        said.starts_with(b"SSH-2.0-sansftp_"),
        "{}",
        said.escape_ascii()
    );
    let refused = server.event("refused");
    assert!(
        refused["reason"].as_str().unwrap().contains("in time"),
        "{refused}"
    );
}

#[test]
fn what_cannot_be_served_is_told_with_a_way_on() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    place
        .run(&["serve", "files", "--listen", &port])
        .failed(1, "local-io", &[&port, "in use"])
        .with_hint("--listen");
    place
        .run(&["serve", "absent", "--listen", "0"])
        .failed(2, "configuration", &["absent"])
        .with_hint("directory");
    place
        .run(&["serve", "files", "--listen", "0", "--json"])
        .with_code(2);
    place
        .run(&["serve", "files", "--authorized-keys", "absent"])
        .failed(2, "configuration", &["absent"])
        .with_hint("authorized_keys");
    place
        .run(&["serve", "files", "--host-key", "absent"])
        .failed(1, "local-io", &["absent"]);
    place
        .run(&[
            "serve",
            "files",
            "--algorithms",
            "cipher=rot13",
            "--authorized-keys",
            "key.pub",
        ])
        .failed(2, "configuration", &["rot13"]);
    for words in [
        &["serve"][..],
        &["serve", "files", "--listen", "nowhere"],
        &["serve", "files", "--user", "a", "--users-file", "b"],
        &["serve", "files", "--stdio", "--listen", "1"],
        &["serve", "files", "-e"],
    ] {
        assert_eq!(place.run(words).code, Some(2), "{words:?}");
    }
}
