//! Stock `ssh`, `scp -O`, `rsync` and `sftp` against the example that runs commands.

#[path = "../examples/exec_server/server.rs"]
mod server;

use sansftp_crypto::{default_provider, generate_ed25519};
use sansftp_keys::known_hosts::known_hosts_line;
use sansftp_keys::{Host, read_public};
use sansftp_proto::session::Config;
use sansftp_tokio::server::{Bounds, Gate, Listener};
use sansftp_tokio::sftp::server::MemFs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The example on a free port, inside the test, and the files of a client that may come in.
struct Fixture {
    dir: TempDir,
    port: u16,
    /// Serves until it is dropped.
    runtime: Runtime,
}

impl Fixture {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let provider = default_provider();
        let host_key = generate_ed25519(&*provider.random).unwrap();
        let host_key = provider.keys.load(&host_key).unwrap();
        let gate = Gate::new(Bounds::default());
        let listener = runtime
            .block_on(Listener::bind("127.0.0.1:0", gate))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host::new("127.0.0.1", port).unwrap();
        let line = known_hosts_line(&host, host_key.public_key());
        std::fs::write(dir.path().join("known_hosts"), line + "\n").unwrap();
        let public = std::fs::read(dir.path().join("key.pub")).unwrap();
        let keys = vec![read_public(&public).unwrap().key];
        let config = Arc::new(Config::server(provider, vec![host_key]));
        let files = Arc::new(MemFs::new(1 << 30));
        runtime.spawn(server::serve(listener, config, keys, files));
        Self { dir, port, runtime }
    }

    /// Waits until nothing runs but what accepts connections.
    fn is_idle_soon(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.runtime.metrics().num_alive_tasks() > 1 {
            assert!(Instant::now() < end, "something is left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What every client of OpenSSH is told.
    fn options(&self) -> Vec<String> {
        let at = |name| self.path(name).display().to_string();
        let known = format!("UserKnownHostsFile={}", at("known_hosts"));
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            &known,
        ];
        let mut all = vec![
            "-F".to_owned(),
            "none".to_owned(),
            "-i".to_owned(),
            at("key"),
        ];
        all.extend(
            options
                .iter()
                .flat_map(|it| ["-o".to_owned(), (*it).to_owned()]),
        );
        all
    }

    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options())
            .args(["-p", &self.port.to_string(), "somebody@127.0.0.1"]);
        ssh
    }

    fn run(&self, command: &str) -> Output {
        finished(self.ssh().arg(command).stdin(Stdio::null()))
    }
}

fn finished(command: &mut Command) -> Output {
    command.output().expect("it is installed")
}

/// It ended well, and said nothing on standard error.
fn well(command: &mut Command) -> Vec<u8> {
    let output = finished(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31) >> 3) as u8).collect()
}

#[test]
fn a_command_gives_its_output_its_errors_and_its_status() {
    let fixture = Fixture::start();
    let output = fixture.run("echo to standard output; echo to standard error >&2; exit 42");
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(output.stdout, b"to standard output\n");
    assert_eq!(output.stderr, b"to standard error\n");
    let killed = fixture.run("kill -TERM $$");
    assert_eq!(
        killed.status.code(),
        Some(255),
        "as ssh says it for signals"
    );
}

#[test]
fn a_shell_reads_commands_and_only_harmless_variables_come_with_them() {
    let fixture = Fixture::start();
    let mut ssh = fixture.ssh();
    ssh.args(["-T", "-o", "SendEnv=LC_SANSFTP PERL5LIB"])
        .env("LC_SANSFTP", "yes")
        .env("PERL5LIB", "/evil")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let script = b"echo $LC_SANSFTP; echo [$PERL5LIB]; exit 3\n";
    child.stdin.take().unwrap().write_all(script).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"yes\n[]\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_terminal_is_refused_and_who_insists_on_one_is_told() {
    let fixture = Fixture::start();
    let output = finished(fixture.ssh().args(["-tt", "echo ran"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("PTY allocation request failed"), "{said}");
    assert_eq!(
        (output.status.code(), output.stdout),
        (Some(255), Vec::new())
    );
}

#[test]
fn fifty_megabytes_go_through_a_program_and_back() {
    let fixture = Fixture::start();
    let data = pattern(50_000_000);
    let mut ssh = fixture.ssh();
    // Keys change meanwhile, too.
    ssh.args(["-o", "RekeyLimit=10M", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(back == data);
}

#[test]
fn what_a_client_leaves_behind_is_told_to_hang_up() {
    let fixture = Fixture::start();
    let gone = fixture.path("gone");
    let trap = format!(
        "trap 'echo x > {}; exit' HUP; echo ready; sleep 60 & wait",
        gone.display()
    );
    let mut ssh = fixture.ssh();
    let mut child = ssh
        .arg(trap)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !gone.exists() {
        assert!(Instant::now() < end, "nobody told it");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_a_program_leaves_running_is_not_waited_for_once_the_client_has_gone() {
    let fixture = Fixture::start();
    let mut ssh = fixture.ssh();
    let mut child = ssh
        .arg("sleep 30 & echo ready")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut ready).unwrap();
    // The program has ended by then, and its output is open.
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.is_idle_soon();
}

#[test]
fn scp_of_old_copies_both_ways() {
    let fixture = Fixture::start();
    let data = pattern(5_000_000);
    std::fs::create_dir_all(fixture.path("tree/inner")).unwrap();
    std::fs::write(fixture.path("tree/big"), &data).unwrap();
    std::fs::write(fixture.path("tree/inner/with space"), b"small").unwrap();
    let scp = |from: String, to: String| {
        let mut scp = Command::new("scp");
        scp.args(["-O", "-r", "-p", "-q", "-P", &fixture.port.to_string()]);
        well(scp.args(fixture.options()).args([from, to]));
    };
    let here = |name: &str| fixture.path(name).display().to_string();
    let there = |name: &str| format!("somebody@127.0.0.1:{}", here(name));
    scp(here("tree"), there("put"));
    scp(there("put"), here("got"));
    for tree in ["put", "got"] {
        assert!(std::fs::read(fixture.path(tree).join("big")).unwrap() == data);
        let small = std::fs::read(fixture.path(tree).join("inner/with space")).unwrap();
        assert_eq!(small, b"small");
    }
}

#[test]
fn rsync_synchronises_both_ways() {
    let fixture = Fixture::start();
    let mut data = pattern(5_000_000);
    std::fs::create_dir_all(fixture.path("tree/inner")).unwrap();
    std::fs::write(fixture.path("tree/big"), &data).unwrap();
    std::fs::write(fixture.path("tree/inner/small"), b"small").unwrap();
    let shell = format!("ssh -p {} {}", fixture.port, fixture.options().join(" "));
    let rsync = |from: String, to: String| {
        well(Command::new("rsync").args(["-a", "--delete", "-e", &shell, &from, &to]));
    };
    let here = |name: &str| format!("{}/", fixture.path(name).display());
    let there = |name: &str| format!("somebody@127.0.0.1:{}", here(name));
    rsync(here("tree"), there("put"));
    // Only what differs goes over the line this time.
    data[2_500_000] ^= 1;
    data.push(0);
    std::fs::write(fixture.path("tree/big"), &data).unwrap();
    std::fs::remove_file(fixture.path("tree/inner/small")).unwrap();
    rsync(here("tree"), there("put"));
    rsync(there("put"), here("got"));
    for tree in ["put", "got"] {
        assert!(std::fs::read(fixture.path(tree).join("big")).unwrap() == data);
        assert!(!fixture.path(tree).join("inner/small").exists());
    }
}

#[test]
fn a_connection_goes_onward_and_one_that_cannot_is_refused() {
    let fixture = Fixture::start();
    let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = behind.local_addr().unwrap().to_string();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = behind.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut ssh = fixture.ssh();
    ssh.args(["-W", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let data = pattern(1_000_000);
    child.stdin.take().unwrap().write_all(&data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout == data);
    echo.join().unwrap();
    let refused = finished(fixture.ssh().args(["-W", &target]).stdin(Stdio::null()));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn a_connection_onward_ends_with_a_client_that_had_nothing_more_to_say() {
    let fixture = Fixture::start();
    let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ssh = fixture.ssh();
    ssh.args(["-W", &behind.local_addr().unwrap().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let (mut stream, _) = behind.accept().unwrap();
    drop(child.stdin.take());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end comes through");
    // The other direction stays open, and works.
    stream.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.is_idle_soon();
    drop(stream);
}

#[test]
fn the_subsystem_keeps_files_until_the_server_ends() {
    let fixture = Fixture::start();
    let data = pattern(3_000_000);
    std::fs::write(fixture.path("put"), &data).unwrap();
    let batch = |commands: String| {
        std::fs::write(fixture.path("batch"), commands).unwrap();
        let mut sftp = Command::new("sftp");
        sftp.args(["-P", &fixture.port.to_string(), "-b"])
            .arg(fixture.path("batch"));
        well(sftp.args(fixture.options()).arg("somebody@127.0.0.1"));
    };
    let here = |name: &str| fixture.path(name).display().to_string();
    batch(format!("mkdir d\nput {} d/file\n", here("put")));
    batch(format!("get d/file {}\n", here("got")));
    assert!(std::fs::read(fixture.path("got")).unwrap() == data);
}

#[test]
fn a_stranger_stays_outside() {
    let fixture = Fixture::start();
    let key = fixture.path("key");
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_file(fixture.path("key.pub")).unwrap();
    well(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
    );
    let output = fixture.run("id");
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Permission denied (publickey)"), "{said}");
}
