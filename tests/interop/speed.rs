//! How fast the driver alone moves a file, beside OpenSSH's `sftp`: a measurement for people, asserted
//! only to be finished. The program itself is measured by `xtask bench`.

use crate::common::{Login, Noise};
use crate::provider;
use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use sansftp_proto::session::Config;
use sansftp_testkit::sshd::{ClientKey, Sshd};
use sansftp_tokio::sftp::{OpenFlags, Sftp};
use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

const LEN: u64 = 1 << 30;

/// Wall time and processor time of this process or of its children, in seconds.
struct Watch {
    who: UsageWho,
    wall: Instant,
    cpu: f64,
}

impl Watch {
    fn start(who: UsageWho) -> Self {
        Self {
            who,
            wall: Instant::now(),
            cpu: cpu(who),
        }
    }

    fn print(self, what: &str) {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), cpu(self.who) - self.cpu);
        println!("{what:<52} {wall:6.2} s wall, {cpu:6.2} s processor");
    }
}

fn cpu(who: UsageWho) -> f64 {
    let usage = getrusage(who).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

async fn fetch(sftp: &Sftp, path: &[u8], into: &mut impl Write) {
    let mut file = sftp.open_read(path).await.unwrap();
    let mut len = 0;
    while let Some(chunk) = file.chunk().await.unwrap() {
        into.write_all(&chunk).unwrap();
        len += chunk.len() as u64;
    }
    assert_eq!(len, LEN);
    file.close().await.unwrap();
}

async fn send(sftp: &Sftp, path: &[u8], block: &Bytes) {
    let mut file = sftp.open_write(path, OpenFlags::TRUNCATE).await.unwrap();
    for offset in (0..LEN).step_by(block.len()) {
        file.write(offset, block.clone()).await.unwrap();
    }
    file.close().await.unwrap();
}

/// OpenSSH's client with one command, and nothing in its favour or against it.
fn openssh(sshd: &Sshd, cipher: &str, command: &str) {
    let mut child = Command::new("sftp")
        .args(["-q", "-b", "-", "-P", &sshd.port().to_string(), "-i"])
        .arg(sshd.key(ClientKey::Ed25519))
        .args([
            "-o",
            &format!("UserKnownHostsFile={}", sshd.known_hosts_file().display()),
        ])
        .args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "KexAlgorithms=curve25519-sha256",
        ])
        .args([
            "-o",
            &format!("Ciphers={cipher}"),
            &format!("{}@127.0.0.1", sshd.user()),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(command.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
#[ignore = "nightly: a measurement, for `cargo test --release` with --nocapture"]
async fn a_gibibyte_goes_both_ways_beside_openssh() {
    let sshd = Sshd::builder().data_in("/dev/shm").start();
    let source = sshd.write("source", b"");
    let mut out = File::create(&source).unwrap();
    Noise::new(LEN).for_each(|block| out.write_all(&block).unwrap());
    let block = Noise::new(1 << 20).next().unwrap();
    let target = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();

    for cipher in ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        let mut config = Config::client(provider());
        config.algorithms.cipher = vec![cipher.to_owned()];
        let (client, sftp) = Login::new(&sshd).config(config).session().await;
        for _ in 0..2 {
            let watch = Watch::start(UsageWho::RUSAGE_SELF);
            fetch(&sftp, b"source", &mut std::io::sink()).await;
            watch.print(&format!("{cipher} get, to nowhere"));
            let watch = Watch::start(UsageWho::RUSAGE_SELF);
            fetch(&sftp, b"source", &mut File::create(target.path()).unwrap()).await;
            watch.print(&format!("{cipher} get, to a file"));
            let watch = Watch::start(UsageWho::RUSAGE_SELF);
            send(&sftp, b"sent", &block).await;
            watch.print(&format!("{cipher} put, from memory"));
            fs::remove_file(sshd.home().join("sent")).unwrap();

            let watch = Watch::start(UsageWho::RUSAGE_CHILDREN);
            openssh(
                &sshd,
                cipher,
                &format!("get source {}\n", target.path().display()),
            );
            watch.print(&format!("{cipher} get, OpenSSH"));
            let watch = Watch::start(UsageWho::RUSAGE_CHILDREN);
            openssh(
                &sshd,
                cipher,
                &format!("put {} sent\n", target.path().display()),
            );
            watch.print(&format!("{cipher} put, OpenSSH"));
            fs::remove_file(sshd.home().join("sent")).unwrap();
        }
        client.close().await;
    }
}
