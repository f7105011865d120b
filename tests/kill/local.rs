//! What goes wrong on this side: a disk that is full, one that may only be read, a directory that may not be written to
//! and one that goes away. The source stays, nothing half-written has a final name, and once that is repaired the
//! next run delivers the rest, once.
//!
//! Disks are tmpfs mounts and another user is taken, which is for root: `cargo xtask test` says so where that cannot be tried.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::{Host, Scene, names, run};

const NAMES: [&str; 2] = ["a.bin", "b.bin"];
/// Two of them do not go onto the disk.
const SIZE: usize = 700_000;

/// A small disk, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn on(directory: PathBuf) -> Self {
        mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &directory);
        Self(directory)
    }

    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(how: &[&str], directory: &Path) {
    let mounted = Command::new("mount").args(how).arg(directory).status();
    assert!(mounted.expect("there is a mount command").success());
}

/// Whether disks can be mounted here, and other users taken.
fn is_privileged() -> bool {
    let mut mounts = Command::new("unshare");
    mounts.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    let mut mounts = || mounts.status().is_ok_and(|it| it.success());
    let privileged = nix::unistd::geteuid().is_root() && mounts();
    if !privileged {
        println!("NOT TRIED: for lack of privilege");
    }
    privileged
}

struct Sides {
    scene: Scene,
    out: PathBuf,
    inbox: PathBuf,
}

impl Sides {
    fn new() -> Self {
        let scene = Scene::new(Host::serve());
        let (out, inbox) = (scene.remote("out"), scene.local("inbox"));
        for name in NAMES {
            scene.write_remote(&out.join(name), &content(name));
        }
        Self { scene, out, inbox }
    }

    /// Each file is at the server or delivered, and what is delivered is whole; the names of those that are.
    fn delivered(&self) -> BTreeSet<String> {
        let delivered = names(&self.inbox);
        for name in NAMES {
            match fs::read(self.inbox.join(name)) {
                Ok(found) => assert!(found == content(name), "{name} is not whole"),
                Err(_) => assert!(self.out.join(name).exists(), "{name} is gone"),
            }
        }
        delivered
    }

    /// The next run delivers what is left and deletes it; another one finds nothing.
    fn expect_recovery(&self) {
        let again = run(self.program(), None);
        assert_eq!(again.code, Some(0), "{again}");
        assert_eq!(self.delivered(), BTreeSet::from(NAMES.map(str::to_owned)));
        assert_eq!(names(&self.out), BTreeSet::new());
        let last = run(self.program(), None);
        assert_eq!(last.code, Some(0), "{last}");
        let done = last.outcomes.iter().find(|it| it["status"] == "ok");
        assert!(done.is_none(), "done again: {done:?}");
    }

    fn program(&self) -> Command {
        let words = ["--into=inbox", "--action=get-and-delete"].map(str::to_owned);
        self.scene.program("get", "out", &words)
    }
}

fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(SIZE).collect()
}

/// The failures' classes and words.
fn errors(outcomes: &[Value]) -> Vec<(String, String)> {
    let errors = outcomes.iter().map(|it| &it["error"]);
    let failed = errors.filter(|it| it.is_object());
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    failed
        .map(|it| (text(&it["class"]), text(&it["message"])))
        .collect()
}

#[test]
fn a_full_disk_takes_what_fits_and_the_rest_waits_at_the_server() {
    if !is_privileged() {
        return;
    }
    let sides = Sides::new();
    let disk = Disk::on(sides.inbox.clone());
    let ran = run(sides.program(), None);
    assert_ne!(ran.code, Some(0), "{ran}");
    let errors = errors(&ran.outcomes);
    assert!(
        errors
            .iter()
            .any(|(class, words)| class == "local-io" && words.contains("space")),
        "{errors:?}, {ran}"
    );
    let delivered = sides.delivered();
    assert!(
        delivered.len() <= 1,
        "a part stays on the full disk: {delivered:?}"
    );
    disk.remount("size=8m");
    sides.expect_recovery();
}

#[test]
fn a_disk_that_may_only_be_read_takes_nothing_and_loses_nothing() {
    if !is_privileged() {
        return;
    }
    let sides = Sides::new();
    let disk = Disk::on(sides.inbox.clone());
    disk.remount("size=8m,ro");
    let ran = run(sides.program(), None);
    assert_ne!(ran.code, Some(0), "{ran}");
    assert_eq!(sides.delivered(), BTreeSet::new());
    assert_eq!(names(&sides.out).len(), NAMES.len());
    disk.remount("size=8m,rw");
    sides.expect_recovery();
}

#[test]
fn without_room_for_its_journal_nothing_is_delivered_and_nothing_deleted() {
    if !is_privileged() {
        return;
    }
    let sides = Sides::new();
    let place = sides.scene.local("full");
    let disk = Disk::on(place.clone());
    fs::write(place.join("fills"), vec![0; 1 << 20]).unwrap();
    let mut program = sides.program();
    // The last one counts.
    let journal = place.join("journal");
    program.arg(format!("--journal={}", journal.display()));
    let ran = run(program, None);
    assert_ne!(ran.code, Some(0), "{ran}");
    assert_eq!(sides.delivered(), BTreeSet::new(), "{ran}");
    assert_eq!(names(&sides.out).len(), NAMES.len(), "{ran}");
    drop(disk);
    sides.expect_recovery();
}

#[test]
fn a_directory_that_may_not_be_written_to_takes_nothing_and_loses_nothing() {
    if !is_privileged() {
        return;
    }
    // Somebody whom permissions bind.
    const NOBODY: u32 = 65_534;
    let sides = Sides::new();
    let work = sides.inbox.parent().unwrap().to_owned();
    let program = sides.program();
    let key = work.join("key");
    for argument in program.get_args() {
        if let Some(of) = argument
            .to_str()
            .and_then(|it| it.strip_prefix("--private-key="))
        {
            fs::copy(of, &key).unwrap();
        }
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [&work, &key] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::set_permissions(&sides.inbox, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program.get_program());
        for argument in program.get_args() {
            match argument.to_str() {
                Some(key) if key.starts_with("--private-key=") => command.arg("--private-key=key"),
                _ => command.arg(argument),
            };
        }
        command.current_dir(&work).env("HOME", &work);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command
    };
    let ran = run(as_nobody(), None);
    assert_ne!(ran.code, Some(0), "{ran}");
    let errors = errors(&ran.outcomes);
    let refused = errors
        .iter()
        .all(|(class, words)| class == "local-io" && words.contains("ermission"));
    assert!(refused, "{errors:?}, {ran}");
    assert_eq!(sides.delivered(), BTreeSet::new());
    assert_eq!(names(&sides.out).len(), NAMES.len());
    chown(&sides.inbox, Some(NOBODY), Some(NOBODY)).unwrap();
    let again = run(as_nobody(), None);
    assert_eq!(again.code, Some(0), "{again}");
    assert_eq!(sides.delivered(), BTreeSet::from(NAMES.map(str::to_owned)));
    assert_eq!(names(&sides.out), BTreeSet::new());
}

#[test]
fn a_directory_that_goes_away_while_it_is_written_to_takes_nothing_with_it() {
    let sides = Sides::new();
    // So large that it is met in the middle.
    let large = sides.out.join("large.bin");
    let file = fs::File::create(&large).unwrap();
    file.set_len(512 << 20).unwrap();
    let program = sides.program();
    let running = thread::spawn(move || run(program, None));
    let until = Instant::now() + Duration::from_secs(60);
    let begun = |names: BTreeSet<String>| names.iter().any(|name| name.starts_with(".large.bin."));
    while !begun(names(&sides.inbox)) {
        assert!(
            Instant::now() < until && !running.is_finished(),
            "it does not begin"
        );
        thread::sleep(Duration::from_millis(2));
    }
    let aside = sides.inbox.with_extension("aside");
    fs::rename(&sides.inbox, &aside).unwrap();
    for entry in fs::read_dir(&aside).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .is_some_and(|it| it.as_encoded_bytes().starts_with(b"."))
        {
            let _ = fs::remove_file(path);
        }
    }
    let ran = running.join().unwrap();
    assert_ne!(ran.code, Some(0), "{ran}");
    assert!(large.exists(), "{ran}");
    // What was delivered before stands where the directory went.
    for name in NAMES {
        let there = sides.out.join(name).exists()
            || fs::read(aside.join(name)).is_ok_and(|it| it == content(name));
        assert!(there, "{name} is gone: {ran}");
    }
}
