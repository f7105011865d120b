//! A transfer over a connection that is cut again and again goes on where it stopped: almost nothing
//! is sent twice. Counted by the proxy that cuts.

use std::fs;

use sansftp_connector::document::Document;
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::Sshd;
use sha2::{Digest, Sha256};

use super::fixture::{World, good, noise, text};

/// How much, and after how much each connection is cut.
#[derive(Clone, Copy)]
struct Size {
    file: usize,
    cut: u64,
}

/// For every run of the tests.
const SMALL: Size = Size {
    file: 48 << 20,
    cut: 3 << 20,
};

/// As integration engineers have it: a night's work.
const FULL: Size = Size {
    file: 4 << 30,
    cut: 200 << 20,
};

/// A connection through a proxy that resets each connection after so many bytes of a direction.
fn cutting(world: &World, direction: Direction, size: Size) -> (FaultProxy, String) {
    let plan = Plan::one(direction, size.cut, Fault::Reset);
    let proxy = FaultProxy::start(world.sshd.addr(), plan);
    let line = world.sshd.known_hosts_line();
    let (_, key) = line.split_once(' ').unwrap();
    let keys = format!(
        "port = {}\nknown-host = '{key}'\nretries = 3\noperation-timeout = '2h'",
        proxy.port()
    );
    (proxy, keys)
}

/// Bytes that passed beyond the file itself, as a share of it.
fn twice(proxy: &FaultProxy, direction: Direction, size: Size) -> f64 {
    let passed = proxy.passed(direction) as f64;
    (passed - size.file as f64) / size.file as f64
}

/// A file without repetition, and its SHA-256. Never in memory as a whole.
fn big_file(path: &std::path::Path, size: Size) -> Vec<u8> {
    use std::io::Write;
    let block = noise(1 << 20);
    let mut file = fs::File::create(path).unwrap();
    let mut hash = Sha256::new();
    for number in 0..size.file as u64 / block.len() as u64 {
        // Each block begins with its number: one in a wrong place would be noticed.
        for piece in [&number.to_be_bytes()[..], &block[8..]] {
            file.write_all(piece).unwrap();
            hash.update(piece);
        }
    }
    hash.finalize().to_vec()
}

fn hash_of(path: &std::path::Path) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut file = fs::File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => return hash.finalize().to_vec(),
            len => hash.update(&buffer[..len]),
        }
    }
}

async fn there_and_back(size: Size, bound: f64) {
    let world = World::with(Sshd::start());
    let source = world.path("big");
    let expected = big_file(&source, size);

    let (proxy, keys) = cutting(&world, Direction::ToServer, size);
    let document = vec![Document::file(&source)];
    let connection = world.connection(&keys);
    let sent = good(
        world
            .run_for_long(connection, "action = 'send'", document)
            .await,
    );
    assert_eq!(text(&sent, "size"), size.file.to_string());
    assert_eq!(hash_of(&world.sshd.home().join("big")), expected);
    let again = twice(&proxy, Direction::ToServer, size);
    let cuts = proxy.connections() - 1;
    println!(
        "sent: {cuts} cuts, {:.2} % more than the file",
        again * 100.0
    );
    assert!(cuts >= size.file as u64 / size.cut, "{cuts} cuts");
    assert!(again < bound, "{again} of it was sent twice");

    fs::remove_file(&source).unwrap();
    let (proxy, keys) = cutting(&world, Direction::ToClient, size);
    let connection = world.connection(&keys);
    let documents = vec![Document::empty()];
    let got = good(
        world
            .run_for_long(connection, "action = 'get'", documents)
            .await,
    );
    assert_eq!(text(&got, "size"), size.file.to_string());
    assert_eq!(hash_of(&world.path("inbox/big")), expected);
    let again = twice(&proxy, Direction::ToClient, size);
    let cuts = proxy.connections() - 1;
    println!(
        "got: {cuts} cuts, {:.2} % more than the file",
        again * 100.0
    );
    assert!(cuts >= size.file as u64 / size.cut, "{cuts} cuts");
    assert!(again < bound, "{again} of it was read twice");
}

/// With cuts so close to one another, what is in flight at a cut is a large share.
#[tokio::test]
async fn a_transfer_that_is_cut_again_and_again_goes_on_where_it_stopped() {
    there_and_back(SMALL, 0.5).await;
}

#[tokio::test]
#[ignore = "8 GiB over loopback; cargo xtask nightly runs it"]
async fn four_gigabytes_cut_every_200_mib_send_less_than_one_percent_twice() {
    there_and_back(FULL, 0.01).await;
}
