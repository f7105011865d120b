//! Directories that become links, and move away, while paths through them are resolved: by another
//! program of the machine, or by another session.

use crate::tree::{SECRET, Tree, code, open, read_all};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sansftp_proto::sftp::{OpenFlags, StatusCode};
use sansftp_tokio::sftp::server::FileSystem;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const RESOLUTIONS: usize = 20_000;

/// Exchanges two names as fast as it can while `resolve` runs, and says how often it did.
fn while_swapping<T>(a: &Path, b: &Path, resolve: impl FnOnce() -> T) -> (T, usize) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        let result = {
            let _stop = StopAtEnd(&stop);
            resolve()
        };
        (result, swapper.join().unwrap())
    })
}

/// Stops the other thread also where an assertion fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_directory_that_turns_into_a_link_never_leads_outside() {
    let tree = Tree::new();
    tree.mkdir("a/b");
    tree.write("a/b/secret", b"inside");
    tree.write("a/b/gift", b"inside");
    tree.write("secret", b"root");
    let outside = fs::canonicalize(tree.outside()).unwrap();
    tree.link(&outside, "swap");
    let fs = tree.serve();
    let (a, b) = (tree.root().join("a/b"), tree.root().join("swap"));
    let paths = [
        "a/b/secret",
        "a/b/../b/secret",
        "a/b/.././b/../../a/b/secret",
    ];
    let ((inside, refused, made), swaps) = while_swapping(&a, &b, || {
        let (mut inside, mut refused, mut made) = (0, 0, 0);
        for round in 0..RESOLUTIONS {
            let path = paths[round % paths.len()].as_bytes();
            match read_all(&fs, path) {
                Ok(contents) => {
                    assert_ne!(contents, SECRET.as_bytes());
                    inside += 1;
                }
                Err(status) => {
                    assert_eq!(status.code, StatusCode::NO_SUCH_FILE, "{status}");
                    refused += 1;
                }
            }
            if let Ok(attrs) = fs.stat(path) {
                assert_ne!(attrs.size, Some(SECRET.len() as u64));
            }
            if let Ok(real) = fs.real_path(path) {
                assert!(!real.windows(7).any(|it| it == b"outside"), "{real:?}");
            }
            if round % 16 == 0 {
                let new = format!("a/b/new {round}");
                made += usize::from(
                    open(&fs, new.as_bytes(), OpenFlags::WRITE | OpenFlags::CREATE).is_ok(),
                );
                // Taken from inside or from nowhere, and put inside or nowhere.
                let _ = fs.rename(b"a/b/gift", b"a/b/secret 2");
                let _ = fs.rename(b"a/b/secret 2", b"a/b/gift");
            }
        }
        (inside, refused, made)
    });
    assert!(swaps > 1000, "{swaps} swaps");
    assert!(
        inside > 100 && refused > 100,
        "{inside} inside, {refused} refused"
    );
    assert!(made > 10, "{made} made");
    let left: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    println!("{swaps} swaps, {inside} inside, {refused} refused, {made} made");
}

#[test]
fn a_directory_that_moves_outside_does_not_take_its_parent_along() {
    let tree = Tree::new();
    tree.mkdir("x/y/z");
    tree.mkdir("x/dir");
    tree.write("x/secret", b"inside");
    tree.write("x/dir/secret", b"inside");
    fs::create_dir_all(tree.outside().join("y/z")).unwrap();
    let fs = tree.serve();
    let (a, b) = (tree.root().join("x/y"), tree.outside().join("y"));
    let paths = [
        "x/y/../secret",
        "x/y/z/../../secret",
        "x/y/z/../../dir/secret",
    ];
    // So long a way that the directory is sure to move meanwhile.
    let long = format!("x/y{}/../secret", "/z/..".repeat(500));
    let ((inside, refused), swaps) = while_swapping(&a, &b, || {
        let (mut inside, mut refused) = (0, 0);
        for round in 0..RESOLUTIONS {
            let path = match round % 50 {
                0 => &*long,
                _ => paths[round % paths.len()],
            };
            match read_all(&fs, path.as_bytes()) {
                Ok(contents) => {
                    assert_ne!(contents, SECRET.as_bytes());
                    inside += 1;
                }
                Err(status) => {
                    let disturbed = [StatusCode::NO_SUCH_FILE, StatusCode::FAILURE];
                    assert!(disturbed.contains(&status.code), "{status}");
                    refused += 1;
                }
            }
        }
        (inside, refused)
    });
    assert!(swaps > 1000, "{swaps} swaps");
    assert!(inside > 1000, "{inside} inside, {refused} refused");
    println!("{swaps} swaps, {inside} inside, {refused} refused");
}

#[test]
fn the_root_may_move_while_it_is_served() {
    let tree = Tree::new();
    let fs = tree.serve();
    let elsewhere = tree.around.path().join("elsewhere");
    fs::rename(tree.root(), &elsewhere).unwrap();
    assert_eq!(fs.real_path(b"dir/sub").unwrap(), "/dir/sub");
    assert_eq!(read_all(&fs, b"/dir/file").unwrap(), b"inside dir");
    // Another directory of the old name is another directory.
    fs::create_dir(tree.root()).unwrap();
    fs::write(tree.root().join("file"), SECRET).unwrap();
    assert_eq!(read_all(&fs, b"file").unwrap(), b"inside");
    assert_eq!(fs.real_path(b"file").unwrap(), "/file");
    let (told, swaps) = while_swapping(&elsewhere, &tree.root(), || {
        (0..RESOLUTIONS / 4)
            .filter(|_| {
                let real = fs.real_path(b"dir/../dir/sub");
                match &real {
                    Ok(path) => assert_eq!(path, "/dir/sub"),
                    Err(_) => assert_eq!(code(real.clone()), StatusCode::NO_SUCH_FILE),
                }
                real.is_ok()
            })
            .count()
    });
    assert!(swaps > 100 && told > 100, "{swaps} swaps, {told} told");
    println!("{swaps} swaps, {told} told");
}
