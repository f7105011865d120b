//! Processes and plans: what a person configures, what comes out, and that a plan changes nothing.

use std::fs;

use serde_json::Value;

use crate::support::{Ran, Scene, files};

/// A server with files, and a configuration of processes on it.
fn scene() -> Scene {
    let scene = Scene::start();
    scene.sshd.write("out/a.csv", "alpha");
    scene.sshd.write("out/b.csv", "beta");
    scene.sshd.write("out/c.txt", "gamma");
    scene.sshd.write("in/b.csv", "old");
    let key = scene.sshd.key(sansftp_testkit::sshd::ClientKey::Ed25519);
    let config = format!(
        r#"[connections.partner]
host = "127.0.0.1"
port = {port}
user = "{user}"
private-key = "{key}"
known-hosts-file = "{known}"
retries = 0

[operations.fetch]
action = "get-and-delete"
remote-directory = "out"
file-filter = "*.csv"

[operations.put]
action = "send"
remote-directory = "in"
if-exists = "error"

[operations.find]
action = "list"
remote-directory = "out"

[operations.take]
action = "get"

[processes.over]
steps = [ {{ connection = "partner", operation = "fetch" }},
          {{ connection = "partner", operation = "put" }} ]

[processes.upload]
steps = [ {{ connection = "partner", operation = "put", parameters = {{ if-exists = "rename" }} }} ]

[processes.pick]
steps = [ {{ connection = "partner", operation = "find", parameters = {{ file-filter = "c*" }} }},
          {{ connection = "partner", operation = "take", parameters = {{
               remote-directory = "{{property.remote-directory}}", file-filter = "{{property.filename}}" }} }} ]
"#,
        port = scene.sshd.port(),
        user = scene.sshd.user(),
        key = key.display(),
        known = scene.sshd.known_hosts_file().display(),
    );
    scene.write("sansftp.toml", config);
    scene
}

fn lines(ran: &Ran) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What was asked for, without what differs between any two runs; each session's on its own.
fn asked(mut requests: Vec<Value>) -> Vec<String> {
    requests.sort_by_key(|request| request["session"].as_u64());
    let told = requests.into_iter().map(|mut request| {
        // A plan tells what came of a request in `result` alone.
        for key in ["time", "milliseconds", "event", "answer", "error", "offset"] {
            request.as_object_mut().unwrap().remove(key);
        }
        let words = request.to_string();
        let parts = words.split('.').map(|part| match part.len() {
            // The UUID of a temporary name.
            32 | 36
                if part
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'-') =>
            {
                "UUID"
            }
            _ => part,
        });
        parts.collect::<Vec<_>>().join(".")
    });
    told.collect()
}

#[test]
fn a_process_says_of_each_step_what_became_of_each_document() {
    let scene = scene();
    let ran = scene.run_bare(&["run", "over", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines = lines(&ran);
    let of = |step: u64, name: &str| {
        let found = lines
            .iter()
            .find(|line| line["step"] == step && line["filename"] == name);
        found.unwrap_or_else(|| panic!("{step} {name}: {ran:?}"))
    };
    assert_eq!(of(2, "a.csv")["status"], "ok");
    assert_eq!(of(1, "a.csv")["after-action"], "deleted");
    assert_eq!(of(2, "b.csv")["error"]["class"], "exists");
    assert_eq!(of(1, "b.csv")["status"], "failed");
    let summary = lines.last().unwrap();
    assert_eq!((&summary["ok"], &summary["failed"]), (&2.into(), &2.into()));
    let remote = scene.remote();
    let expected = files([
        ("in/a.csv", "alpha"),
        ("in/b.csv", "old"),
        ("out/b.csv", "beta"),
        ("out/c.txt", "gamma"),
    ]);
    assert_eq!(remote, expected, "what was not delivered stays");
}

#[test]
fn a_process_takes_files_and_a_person_sees_each() {
    let scene = scene();
    scene.write("new.txt", "new");
    let ran = scene.run_bare(&["run", "upload", "new.txt", "--transcript", "asked.jsonl"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("3 B  new.txt -> "), "{ran:?}");
    assert!(ran.stdout.starts_with("1: "), "{ran:?}");
    assert!(ran.stdout.ends_with("\nstep 1: 1 sent\n"), "{ran:?}");
    let transcript = fs::read_to_string(scene.path("asked.jsonl")).unwrap();
    assert!(
        transcript.contains("\"operation\":\"open-write\""),
        "{transcript}"
    );
}

#[test]
fn what_a_listing_finds_is_fetched_into_a_directory() {
    let scene = scene();
    let ran = scene.run_bare(&["run", "pick"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--into DIR"), "{ran:?}");
    let ran = scene.run_bare(&["run", "pick", "--into", "inbox"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(scene.inbox(), files([("c.txt", "gamma")]));
}

#[test]
fn an_unknown_process_is_answered_with_those_there_are() {
    let scene = scene();
    let ran = scene.run_bare(&["run", "ovre"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("has no process 'ovre'"), "{ran:?}");
    assert!(ran.stderr.contains("hint: did you mean 'over'?"), "{ran:?}");
}

#[test]
fn the_plan_of_a_process_is_its_transcript_and_changes_nothing() {
    let scene = scene();
    let before = scene.remote();
    let planned = scene.run_bare(&["plan", "over", "--json"]);
    assert_eq!(planned.code, Some(1), "it would fail: {planned:?}");
    assert_eq!(scene.remote(), before);
    let mut planned = lines(&planned);
    planned.retain(|line| line["event"] == "request");
    let ran = scene.run_bare(&["run", "over", "--transcript", "asked.jsonl"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let transcript = fs::read_to_string(scene.path("asked.jsonl")).unwrap();
    let transcript = transcript
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let (mut planned, mut ran) = (asked(planned), asked(transcript.collect()));
    // Each step has a transcript of its own, which numbers its sessions by itself.
    for line in planned.iter_mut().chain(&mut ran) {
        *line = line.replace("\"session\":2", "\"session\":1");
    }
    // How much is asked of a file that the next step refuses depends on which step is faster.
    for lines in [&mut planned, &mut ran] {
        lines.retain(|line| !line.contains("/out/b.csv"));
        lines.sort();
    }
    assert!(planned.iter().any(|line| line.contains("/in/b.csv")));
    assert_eq!(planned, ran);
}

#[test]
fn a_person_sees_the_plan_of_a_get_as_a_numbered_list() {
    let scene = scene();
    let before = scene.remote();
    let target = scene.target("out");
    let words = [
        "plan",
        "get",
        &target,
        "--into",
        "inbox",
        "--action",
        "get-and-delete",
    ];
    let ran = scene.run(&words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((scene.remote(), scene.inbox().len()), (before, 0));
    assert!(ran.stdout.contains("    1  connect"), "{ran:?}");
    let removals = ran.stdout.lines().filter(|line| line.contains("  remove "));
    assert_eq!(removals.count(), 3, "{ran:?}");
    assert!(
        ran.stdout.contains("requests; nothing was changed"),
        "{ran:?}"
    );
}

#[test]
fn the_plan_of_a_send_says_which_name_the_file_would_get() {
    let scene = scene();
    scene.write("b.csv", "new");
    let before = scene.remote();
    let target = scene.target("in");
    let ran = scene.run(&["plan", "send", &target, "b.csv"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(scene.remote(), before);
    let renamed = |line: &str| line.contains("  rename ") && line.ends_with("/in/b1.csv");
    assert!(ran.stdout.lines().any(renamed), "{ran:?}");
}

#[test]
fn several_jobs_bring_the_same_files() {
    let scene = scene();
    let ran = scene.get("out", &["--jobs", "3"]).done();
    assert!(ran.stdout.contains("3 fetched"), "{ran:?}");
    assert_eq!(scene.inbox().len(), 3);
}

/// Five steps, of which the first works, with four jobs each and a document for each job: the account is not locked.
#[test]
fn wrong_credentials_in_a_process_of_five_steps_reach_the_server_once() {
    let scene = scene();
    let config = fs::read_to_string(scene.path("sansftp.toml")).unwrap();
    let step = r#"{ connection = "locked", operation = "put", jobs = 4, parameters = { if-exists = "rename" } }"#;
    let locked = format!(
        r#"
[connections.locked]
host = "127.0.0.1"
port = {port}
user = "{user}"
password = {{ file = "password" }}
known-hosts-file = "{known}"
retries = 3
retry-delay = "1ms"

[processes.five]
steps = [ {{ connection = "partner", operation = "take", parameters = {{ remote-directory = "out" }} }},
          {step}, {step}, {step}, {step} ]
"#,
        port = scene.sshd.port(),
        user = scene.sshd.user(),
        known = scene.sshd.known_hosts_file().display(),
    );
    scene.write("sansftp.toml", config + &locked);
    scene.write("password", "wrong");
    let ran = scene.run_bare(&["run", "five", "--json"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let told = lines(&ran);
    let refused = |line: &&Value| line["error"]["class"] == "authentication" && line["step"] == 2;
    assert!(told.iter().filter(refused).count() >= 3, "{ran:?}");
    let log = scene.sshd.log();
    assert_eq!(log.matches("Failed password").count(), 1, "{log}");
    assert_eq!(scene.remote().len(), 4, "all sources stay");
}
