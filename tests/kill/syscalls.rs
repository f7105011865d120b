//! The program as the kernel sees it: killed before each system call of its own that changes or forces anything, in turn;
//! and the order in which it forces things to the disk. By strace, which must be there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::scene::{Host, Scene, content, name, names, run};

/// So many files are on their way.
const FILES: usize = 3;

/// What is counted, each set by itself.
const CALLS: [&str; 7] = [
    "fsync,fdatasync",
    "renameat,renameat2,linkat",
    "unlink,unlinkat",
    "pwrite64",
    "ftruncate",
    "write,writev,sendto",
    "openat",
];

/// Every which call, with each change and at night.
const SOME: usize = 5;
const EACH: usize = 1;

#[test]
fn get_and_delete_killed_before_its_system_calls_delivers_each_file_once() {
    killed_before(SOME, 15);
}

#[test]
#[ignore = "takes minutes; xtask nightly runs it"]
fn get_and_delete_killed_before_each_system_call_delivers_each_file_once() {
    killed_before(EACH, 120);
}

const GET: [&str; 2] = ["--into=inbox", "--action=get-and-delete"];

/// The program under strace, with these options of strace.
fn traced(scene: &Scene, options: &[&str]) -> Command {
    let program = scene.program("get", "out", &GET.map(str::to_owned));
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--quiet=all"]).args(options);
    strace.arg(program.get_program()).args(program.get_args());
    strace.env_clear();
    for (key, value) in program.get_envs() {
        if let Some(value) = value {
            strace.env(key, value);
        }
    }
    strace
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(program.get_current_dir().expect("it works in the scene"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    strace
}

fn scene() -> Scene {
    let scene = Scene::new(Host::serve());
    for directory in ["inbox", "taken"] {
        scene.local(directory);
    }
    scene
}

fn killed_before(stride: usize, least: usize) {
    let scene = scene();
    let (mut points, mut seed) = (0, 0);
    for calls in CALLS {
        let before = points;
        for at in (1..).step_by(stride) {
            seed += 1;
            if !point(&scene, calls, at, seed) {
                break;
            }
            points += 1;
        }
        println!("{calls}: killed before {} of them", points - before);
    }
    assert!(points >= least, "only {points} points");
}

/// One kill, a run to the end, and another one. `false` where it did not come to the kill.
fn point(scene: &Scene, calls: &str, at: usize, seed: u64) -> bool {
    let out = scene.remote("out");
    let (inbox, taken) = (scene.local("inbox"), scene.local("taken"));
    // Other files each time, so that no earlier point's count as delivered.
    let files: Vec<(String, Vec<u8>)> = (0..FILES)
        .map(|number| (format!("{seed}-{}", name(number)), content(seed, number)))
        .collect();
    for (name, content) in &files {
        scene.write_remote(&out.join(name), content);
    }
    let case = format!("killed before {calls} {at}");
    let inject = format!("inject={calls}:signal=KILL:when={at}");
    let trace = format!("--trace={calls}");
    let quiet = [&trace, "-o", "/dev/null", "-e", &inject];
    let killed = run(traced(scene, &quiet), None);
    look(&files, [&out, &inbox, &taken], &case);
    consume(&inbox, &taken, &case);
    if let Some(code) = killed.code {
        assert_eq!(code, 0, "{case}: {killed}");
    }
    for last in [false, true] {
        let again = run(scene.program("get", "out", &GET.map(str::to_owned)), None);
        assert_eq!(again.code, Some(0), "{case}: {again}");
        look(&files, [&out, &inbox, &taken], &case);
        consume(&inbox, &taken, &case);
        let done = again.outcomes.iter().find(|it| it["status"] == "ok");
        assert!(!last || done.is_none(), "{case}: done again: {done:?}");
    }
    for (name, content) in &files {
        let delivered = fs::read(taken.join(name)).unwrap();
        assert!(delivered == *content, "{case}: {name} is something else");
    }
    assert_eq!(names(&out), BTreeSet::new(), "{case}");
    assert_eq!(names(&inbox), BTreeSet::new(), "{case}: left behind");
    killed.code.is_none()
}

/// Every file is on one of the sides, and what has its final name is whole.
fn look(files: &[(String, Vec<u8>)], [out, inbox, taken]: [&Path; 3], case: &str) {
    for (name, content) in files {
        let found = [out, inbox, taken].map(|it| fs::read(it.join(name)).ok());
        let mut found = found.into_iter().flatten().peekable();
        assert!(found.peek().is_some(), "{case}: {name} is on neither side");
        assert!(
            found.all(|it| it == *content),
            "{case}: {name} is not whole"
        );
    }
}

/// Takes away what was delivered.
fn consume(inbox: &Path, taken: &Path, case: &str) {
    for name in names(inbox) {
        if name.starts_with('.') {
            continue;
        }
        let place = taken.join(&name);
        assert!(!place.exists(), "{case}: {name} is delivered twice");
        fs::rename(inbox.join(&name), place).unwrap();
    }
}

/// strace on a server that runs, until it is dropped.
struct Attached {
    strace: Child,
    /// It ends when it cannot speak.
    _words: BufReader<ChildStderr>,
}

impl Attached {
    fn to(pid: u32, log: &Path) -> Self {
        let mut strace = Command::new("strace")
            .args(["--follow-forks", "-ttt", "--trace=unlink,unlinkat", "-o"])
            .arg(log)
            .arg(format!("--attach={pid}"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is there, and may attach to a child of ours");
        // It says so when it has.
        let mut words = BufReader::new(strace.stderr.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        Self {
            strace,
            _words: words,
        }
    }

    fn detach(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.strace.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        self.strace.wait().unwrap();
    }
}

/// The time of the first line of this log, from a time on, that holds all these words.
fn first(log: &str, from: f64, words: &[&str]) -> Option<f64> {
    log.lines().find_map(|line| {
        // PID SECONDS CALL
        let time = line.split_whitespace().nth(1)?.parse().ok()?;
        (time >= from && words.iter().all(|word| line.contains(word))).then_some(time)
    })
}

#[test]
fn a_source_is_deleted_once_its_file_its_name_and_the_journal_are_on_the_disk() {
    let scene = scene();
    let Host::Serve(serve) = &scene.host else {
        unreachable!("it was made so")
    };
    let out = scene.remote("out");
    let name = "order.xml";
    scene.write_remote(&out.join(name), b"what is ordered");
    let logs = tempfile::tempdir().unwrap();
    let [of_server, of_program] = ["server", "program"].map(|it| logs.path().join(it));
    let attached = Attached::to(serve.pid(), &of_server);
    let log = of_program.to_str().unwrap();
    let calls = "--trace=fsync,fdatasync,renameat,renameat2,linkat,write,writev,pwritev";
    let ran = run(
        traced(&scene, &["-ttt", "--decode-fds=path", calls, "-o", log]),
        None,
    );
    assert_eq!(ran.code, Some(0), "{ran}");
    attached.detach();
    let [of_server, of_program] = [of_server, of_program].map(|it| fs::read_to_string(it).unwrap());
    let inbox = scene.local("inbox");
    let inbox = inbox.canonicalize().unwrap();
    let inbox = inbox.to_str().unwrap();
    let next = |from: f64, words: &[&str]| {
        let found = first(&of_program, from, words);
        found.unwrap_or_else(|| panic!("no {words:?} from {from} on:\n{of_program}"))
    };
    let part = format!("{inbox}/.{name}.");
    let written = next(0.0, &["write", &part, ".part>"]);
    let synced = next(written, &["sync(", &part, ".part>"]);
    let named = next(synced, &[&format!("\"{name}\"")]);
    let name_synced = next(named, &["sync(", &format!("<{inbox}>")]);
    let recorded = next(name_synced, &["sync(", "/journal"]);
    let deleted = first(&of_server, 0.0, &["unlink", name]);
    let deleted = deleted.unwrap_or_else(|| panic!("the server did not delete it:\n{of_server}"));
    assert!(
        recorded < deleted,
        "deleted at {deleted}, before all was on the disk:\n{of_program}"
    );
    let early = first(&of_program, 0.0, &[&format!("\"{name}\"")]);
    assert_eq!(
        early,
        Some(named),
        "named before its content is on the disk"
    );
}
