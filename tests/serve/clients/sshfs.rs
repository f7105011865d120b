//! `sshfs`: the served directory as a part of the tester's own file system, where FUSE is available. Where it is not (a
//! container without `/dev/fuse`), each test says so past the harness's capture, and passes: no package brings the device.

use super::openssh::options;
use super::{Action, Cell, Client, GIB, MIB, Script, large, matrix};
use crate::host::Host;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A mount, until it is dropped.
struct Sshfs {
    sshfs: Child,
    at: PathBuf,
}

impl Sshfs {
    /// `None`, and loudly, where there is no FUSE.
    fn mount(host: &Host) -> Option<Self> {
        if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
            // Not eprintln!, which the harness keeps to itself while the test passes.
            let words =
                format!("\nNOT TRIED: sshfs, because /dev/fuse cannot be opened: {error}\n");
            let _ = std::io::stderr().write_all(words.as_bytes());
            return None;
        }
        let at = host.private_dir().join("mount");
        fs::create_dir(&at).unwrap();
        let sshfs = Command::new("sshfs")
            .arg("-f")
            .args(["-p", &host.port().to_string(), "-o"])
            .arg(format!("ssh_command=ssh {}", options(host).join(" ")))
            .arg(format!("{}:", host.account()))
            .arg(&at)
            .stdin(Stdio::null())
            .spawn()
            .expect("sshfs is installed");
        let mut mount = Self { sshfs, at };
        let end = Instant::now() + Duration::from_secs(20);
        while !mount.is_mounted() {
            let ended = mount.sshfs.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}\n{}", host.log());
            assert!(Instant::now() < end, "no mount\n{}", host.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(mount)
    }

    fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        table.contains(&format!(" {} fuse.sshfs ", self.at.display()))
    }

    /// Unmounts, as a user does it; sshfs then ends by itself.
    fn unmount(mut self) {
        let output = Command::new("fusermount3")
            .arg("-u")
            .arg(&self.at)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(self.sshfs.wait().unwrap().success());
    }
}

impl Drop for Sshfs {
    fn drop(&mut self) {
        if self.is_mounted() {
            // A failed test leaves no mount, however busy: lazily.
            let _ = Command::new("fusermount3")
                .arg("-uz")
                .arg(&self.at)
                .output();
        }
        let _ = self.sshfs.kill();
        let _ = self.sshfs.wait();
    }
}

impl Client for Sshfs {
    fn name(&self) -> &'static str {
        "sshfs"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let script = match action {
            Action::List => "ls -la $there/dir",
            Action::Get => "cp $there/source $here/got",
            Action::Put => "cp $here/source $there/sent",
            Action::Append => "cat $here/more >>$there/log",
            Action::ResumeGet => {
                "tail -c +$(($(stat -c %s $here/source) + 1)) $there/source >>$here/source"
            }
            Action::ResumePut => {
                "tail -c +$(($(stat -c %s $there/source) + 1)) $here/source >>$there/source"
            }
            Action::Rename => "mv $there/old $there/new",
            Action::Mkdir => "mkdir $there/made",
            Action::Rmdir => "rmdir $there/empty",
            Action::Chmod => "chmod 640 $there/file",
            Action::Symlink => "ln -s file $there/link",
            Action::RecursiveGet => "cp -r $there/tree $here/tree",
            Action::RecursivePut => "cp -r $here/tree $there/tree",
        };
        let mut command = cell.command("sh");
        command
            .args(["-euc", script])
            .env("there", self.at.join(&cell.dir))
            .env("here", &cell.here);
        Script::Run(command)
    }
}

fn with_mount(host: &Host, work: impl FnOnce(&Sshfs)) {
    let Some(mount) = Sshfs::mount(host) else {
        return;
    };
    work(&mount);
    mount.unmount();
}

#[test]
fn sshfs_does_all_it_can() {
    let host = Host::serve();
    with_mount(&host, |mount| matrix(mount, &host));
}

#[test]
fn sshfs_moves_8_mib_each_way() {
    let host = Host::serve();
    with_mount(&host, |mount| large(mount, &host, 8 * MIB));
}

#[test]
#[ignore = "nightly: takes a gibibyte each way"]
fn sshfs_moves_1_gib_each_way() {
    let host = Host::serve();
    with_mount(&host, |mount| large(mount, &host, GIB));
}

#[test]
#[ignore = "nightly: the control, the same scripts against a stock sshd"]
fn sshfs_does_the_same_in_sshd() {
    let host = Host::sshd();
    with_mount(&host, |mount| {
        matrix(mount, &host);
        clone_and_build(&host, mount);
    });
}

#[test]
fn a_repository_is_cloned_and_built_in_the_mount() {
    let host = Host::serve();
    with_mount(&host, |mount| clone_and_build(&host, mount));
}

const MAKEFILE: &str = "program: main.o part.o\n\tcc -o $@ $^\n%.o: %.c part.h\n\tcc -c -o $@ $<\n";
const MAIN: &str = "#include <stdio.h>\n#include \"part.h\"\nint main(void) { printf(\"%d\\n\", part()); return 0; }\n";

/// Renames over existing files, hard links, exclusive creation, modes and times: whatever git and make rely on.
fn clone_and_build(host: &Host, mount: &Sshfs) {
    let cell = Cell::new(host, "build");
    let origin = cell.local("origin");
    fs::create_dir(&origin).unwrap();
    for (name, text) in [
        ("Makefile", MAKEFILE),
        ("main.c", MAIN),
        ("part.h", "int part(void);\n"),
        (
            "part.c",
            "#include \"part.h\"\nint part(void) { return 42; }\n",
        ),
    ] {
        fs::write(origin.join(name), text).unwrap();
    }
    for number in 0..100 {
        fs::write(origin.join(format!("file-{number}")), number.to_string()).unwrap();
    }
    let there = mount.at.join("build/clone");
    let sh = |dir: &Path, script: &str| {
        let mut command = cell.command("sh");
        command
            .args(["-euc", script])
            .env("there", &there)
            .env("origin", &origin);
        let output = command.current_dir(dir).output().unwrap();
        assert!(
            output.status.success(),
            "{script}: {output:?}\n{}",
            host.log()
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let git = "git -c user.name=t -c user.email=t@localhost -c init.defaultBranch=main -c safe.directory='*'";
    sh(
        &origin,
        &format!("{git} init -q && {git} add -A && {git} commit -qm one"),
    );
    sh(
        &cell.here,
        &format!("{git} clone -q \"file://$origin\" \"$there\""),
    );
    assert_eq!(sh(&there, &format!("{git} status --porcelain")), "");
    sh(&there, &format!("{git} fsck --full --strict && make -s"));
    assert_eq!(sh(&there, "./program"), "42\n");
    // A change is seen, by git and by make, and committed.
    sh(&there, "sleep 1; sed -i s/42/43/ part.c && make -s");
    assert_eq!(sh(&there, "./program"), "43\n");
    sh(
        &there,
        &format!("{git} commit -qam two && {git} gc -q && {git} fsck --full"),
    );
    assert_eq!(sh(&there, &format!("{git} log --format=%s")), "two\none\n");
    sh(&there, &format!("{git} push -q origin HEAD:refs/heads/two"));
    assert_eq!(
        sh(&origin, &format!("{git} log --format=%s two")),
        "two\none\n"
    );
}
