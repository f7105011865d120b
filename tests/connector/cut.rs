//! Long files over a connection that is cut again and again: what was acknowledged is not sent
//! again, and what arrives is what was sent.

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use sansftp_connector::Destination;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, Operation, Send};
use sansftp_connector::outcome::Outcome;
use sansftp_server::local::LocalFs;
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::seeds::Rng;
use tempfile::tempdir;

use crate::served::Served;
use crate::servers::{connector, good};

const MIB: u64 = 1 << 20;

/// Which way the file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// Transfers a file of `size` bytes over connections of which each is cut after `every` bytes. Says how
/// often it was cut, and how many bytes went more than once.
async fn cut(way: Way, size: u64, every: u64) -> (u64, u64) {
    let (served, local) = (tempdir().unwrap(), tempdir().unwrap());
    let server = Served::start(Arc::new(LocalFs::new(served.path()).unwrap())).await;
    let direction = match way {
        Way::There => Direction::ToServer,
        Way::Back => Direction::ToClient,
    };
    let plan = Plan::one(direction, every, Fault::Reset);
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port).into(), plan);
    let connector =
        connector(proxy.port()).with_destination(Destination::Directory(local.path().to_owned()));
    let (source, operation, document) = match way {
        Way::There => {
            let source = local.path().join("long");
            (
                source.clone(),
                Operation::Send(Send::default()),
                Document::file(source),
            )
        }
        Way::Back => (
            served.path().join("long"),
            Operation::Get(Get::default()),
            Document::empty(),
        ),
    };
    let mut file = BufWriter::new(fs::File::create(&source).unwrap());
    Rng::new(7).write_to(&mut file, size).unwrap();
    file.flush().unwrap();
    let outcomes: Vec<Outcome> = connector
        .run(operation, stream::iter([document]))
        .collect()
        .await;
    good(outcomes);
    assert_same(&served.path().join("long"), &local.path().join("long"));
    for directory in [served.path(), local.path()] {
        assert_eq!(
            fs::read_dir(directory).unwrap().count(),
            1,
            "something is left"
        );
    }
    let cuts = proxy.connections() - 1;
    let passed = proxy.passed(Direction::ToClient);
    drop(proxy);
    server.idle().await;
    let moved = match way {
        Way::There => server.written.load(Ordering::Relaxed),
        // What a server has read ahead when it is cut off was not sent; so what left it counts, with
        // the little that SSH adds.
        Way::Back => passed,
    };
    (cuts, moved - size)
}

fn assert_same(one: &Path, other: &Path) {
    let (mut one, mut other) = (fs::File::open(one).unwrap(), fs::File::open(other).unwrap());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut left).unwrap();
        other.read_exact(&mut right[..read]).unwrap();
        assert!(left[..read] == right[..read], "the contents differ");
        if read == 0 {
            assert_eq!(other.read(&mut right).unwrap(), 0, "the lengths differ");
            return;
        }
    }
}

/// Cut more often than anything is tried again in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_cut_again_and_again_goes_on_where_it_was() {
    let (cuts, twice) = cut(Way::There, 64 * MIB, 4 * MIB).await;
    println!("{cuts} cuts, {twice} bytes sent twice");
    assert!(cuts >= 15, "{cuts} cuts");
    // Of each connection at most what was not acknowledged when it was cut: a channel's window.
    assert!(twice < cuts * 2 * MIB, "{twice} bytes in {cuts} cuts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_cut_again_and_again_goes_on_where_it_was() {
    let (cuts, twice) = cut(Way::Back, 64 * MIB, 4 * MIB).await;
    println!("{cuts} cuts, {twice} bytes sent twice");
    assert!(cuts >= 15, "{cuts} cuts");
    assert!(twice < cuts * 2 * MIB, "{twice} bytes in {cuts} cuts");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "moves 8 GiB"]
async fn of_four_gibibytes_cut_every_two_hundred_mebibytes_less_than_a_hundredth_goes_twice() {
    for way in [Way::There, Way::Back] {
        let size = 4096 * MIB;
        let (cuts, twice) = cut(way, size, 200 * MIB).await;
        println!("{way:?}: {cuts} cuts, {twice} of {size} bytes sent twice");
        assert!(cuts >= 20, "{cuts} cuts");
        assert!(twice < size / 100, "{way:?}: {twice} bytes");
    }
}
