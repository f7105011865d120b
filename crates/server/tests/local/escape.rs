//! Every way that has led out of a directory elsewhere, for every operation that takes a path: what
//! is outside is neither read, written, made nor told; whether it exists makes no difference.

use crate::tree::{
    SECRET, Tree, bytes, code, list, mode_attrs, open, read_all, size_attrs, snapshot, time_attrs,
};
use sansftp_proto::sftp::{Attrs, OpenFlags, StatusCode};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::FileSystem;
use std::fs;
use std::path::Path;

/// Everything that takes a path, and what came of it as text: a status with its words, or a success
/// with everything that was told.
fn operations(fs: &LocalFs, path: &[u8]) -> Vec<(&'static str, String)> {
    let none = Attrs::default();
    let told = |path: sansftp_tokio::sftp::server::Outcome<bytes::Bytes>| format!("{path:?}");
    let mut all = vec![
        ("realpath", told(fs.real_path(path))),
        ("expand-path", told(fs.expand_path(path))),
        (
            "expand-path ~",
            told(fs.expand_path(&[b"~/", path].concat())),
        ),
        ("stat", format!("{:?}", fs.stat(path))),
        ("lstat", format!("{:?}", fs.lstat(path))),
        ("readlink", told(fs.read_link(path))),
        ("opendir", format!("{:?}", list(fs, path))),
        ("statvfs", format!("{:?}", fs.stat_vfs(path).map(drop))),
        ("open to read", format!("{:?}", read_all(fs, path))),
    ];
    for (name, flags) in [
        ("open to write", OpenFlags::WRITE),
        ("open to append", OpenFlags::WRITE | OpenFlags::APPEND),
        ("open to create", OpenFlags::WRITE | OpenFlags::CREATE),
        ("open to truncate", OpenFlags::WRITE | OpenFlags::TRUNCATE),
        (
            "open to make anew",
            OpenFlags::WRITE | OpenFlags::CREATE_NEW,
        ),
    ] {
        let written = open(fs, path, flags)
            .and_then(|file| file.write_at(0, &bytes::Bytes::from_static(b"written").into()));
        all.push((name, format!("{written:?}")));
    }
    let changes = [
        ("setstat mode", fs.set_stat(path, &mode_attrs(0o777))),
        ("setstat size", fs.set_stat(path, &size_attrs(1))),
        ("setstat times", fs.set_stat(path, &time_attrs(1, 1))),
        ("lsetstat mode", fs.set_lstat(path, &mode_attrs(0o777))),
        ("lsetstat times", fs.set_lstat(path, &time_attrs(1, 1))),
        ("mkdir", fs.make_dir(path, &none)),
        ("rmdir", fs.remove_dir(path)),
        ("remove", fs.remove(path)),
        ("symlink", fs.symlink(b"target", path)),
        ("rename from", fs.rename(path, b"got")),
        ("rename to", fs.rename(b"gift", path)),
        ("posix-rename from", fs.posix_rename(path, b"got")),
        ("posix-rename to", fs.posix_rename(b"gift", path)),
        ("hardlink from", fs.hard_link(path, b"got")),
        ("hardlink to", fs.hard_link(b"gift", path)),
    ];
    all.extend(changes.map(|(name, outcome)| (name, format!("{outcome:?}"))));
    all
}

/// Directories outside, as a client may write them, and links that lead there. The directories that
/// they name must not exist within the root.
fn ways_out(tree: &Tree) -> Vec<String> {
    let outside = fs::canonicalize(tree.outside()).unwrap();
    let outside = outside.to_str().unwrap();
    let sibling = fs::canonicalize(tree.around.path().join("root10")).unwrap();
    let sibling = sibling.to_str().unwrap();
    let climb = "../".repeat(30);
    for (target, path) in [
        (outside, "absolute"),
        ("../outside", "relative"),
        ("../../outside", "dir/relative"),
        ("dir/relative", "chain"),
        ("/chain", "chained"),
        ("../root10", "sibling"),
        ("/proc", "proc"),
        ("/proc/self/root", "magic"),
        ("/proc/self/cwd", "cwd"),
        ("/", "slash"),
        ("..", "parent"),
    ] {
        tree.link(target, path);
    }
    vec![
        "../outside".to_owned(),
        "dir/../../outside".to_owned(),
        "dir/sub/../../../outside".to_owned(),
        "//..//outside".to_owned(),
        format!("{climb}outside"),
        format!("{climb}{}", &outside[1..]),
        outside.to_owned(),
        format!("//{outside}"),
        format!("/..{outside}"),
        "../root10".to_owned(),
        "../root10/../outside".to_owned(),
        sibling.to_owned(),
        "absolute".to_owned(),
        "relative".to_owned(),
        "./dir/relative".to_owned(),
        "chain".to_owned(),
        "chained".to_owned(),
        "sibling".to_owned(),
        format!("proc/self/root{outside}"),
        format!("magic{outside}"),
        "cwd".to_owned(),
        format!("slash{outside}"),
        "slash/../outside".to_owned(),
        "parent/outside".to_owned(),
        "absolute/../outside".to_owned(),
        "relative/../outside".to_owned(),
        "relative/dir".to_owned(),
    ]
}

#[test]
fn nothing_outside_is_reached_and_nothing_is_learned_of_it() {
    let count = ways_out(&Tree::new()).len();
    for way in 0..count {
        // One tree each: operations may make files inside, and these must not help the next.
        let tree = Tree::new();
        let path = ways_out(&tree)[way].clone();
        tree.write("gift", b"a gift");
        let fs = tree.serve();
        let (outside, sibling) = (tree.outside(), tree.around.path().join("root10"));
        let before = (snapshot(&outside), snapshot(&sibling));
        let of = |name: &str| operations(&fs, format!("{path}/{name}").as_bytes());
        let (there, missing) = (of("secret"), of("nothing"));
        for ((operation, there), (_, missing)) in there.iter().zip(&missing) {
            assert!(!there.contains(SECRET), "{operation} {path}: {there}");
            let same = missing.replace("nothing", "secret");
            assert_eq!(there, &same, "{operation} {path}");
        }
        for (operation, outcome) in operations(&fs, path.as_bytes()) {
            assert!(!outcome.contains(SECRET), "{operation} {path}: {outcome}");
            assert!(!outcome.contains("secret"), "{operation} {path}: {outcome}");
        }
        assert_eq!((snapshot(&outside), snapshot(&sibling)), before, "{path}");
    }
}

/// The file at the end of the path is itself a link to the outside.
#[test]
fn a_link_to_a_file_outside_is_as_good_as_one_to_nothing() {
    let tree = Tree::new();
    let secret = fs::canonicalize(tree.outside().join("secret")).unwrap();
    let nothing = secret.with_file_name("nothing");
    let before = snapshot(&tree.outside());
    for (kind, there, missing) in [
        ("absolute", secret.clone(), nothing.clone()),
        (
            "climbing",
            "../outside/secret".into(),
            "../outside/nothing".into(),
        ),
        (
            "through /proc",
            Path::new("/proc/self/root").join(secret.strip_prefix("/").unwrap()),
            Path::new("/proc/self/root").join(nothing.strip_prefix("/").unwrap()),
        ),
    ] {
        let tell = |target: &Path| {
            let inside = Tree::new();
            inside.write("gift", b"a gift");
            inside.link(target, "link");
            let fs = inside.serve();
            let told = operations(&fs, b"link");
            assert!(!inside.exists("outside"));
            told
        };
        for ((operation, there), (_, missing)) in tell(&there).iter().zip(&tell(&missing)) {
            assert!(!there.contains(SECRET), "{operation} {kind}: {there}");
            // A link's own size and time are not those of what it leads to; its text is its owner's.
            if ["lstat", "readlink"].contains(operation) {
                continue;
            }
            assert_eq!(
                there,
                &missing.replace("nothing", "secret"),
                "{operation} {kind}"
            );
        }
    }
    assert_eq!(snapshot(&tree.outside()), before);
}

/// A link that a client makes leads it nowhere that it could not go before.
#[test]
fn links_that_a_client_makes_lead_nowhere() {
    let tree = Tree::new();
    let fs = tree.serve();
    let outside = fs::canonicalize(tree.outside()).unwrap();
    for target in [
        bytes(&outside),
        b"../outside".to_vec(),
        b"../../../../../../outside".to_vec(),
        [&b"/proc/self/root"[..], &bytes(&outside)].concat(),
    ] {
        fs.symlink(&target, b"link").unwrap();
        for path in [
            &b"link/secret"[..],
            b"link/../outside/secret",
            b"link/dir/secret",
        ] {
            assert_eq!(code(read_all(&fs, path)), StatusCode::NO_SUCH_FILE);
            let made = open(&fs, path, OpenFlags::WRITE | OpenFlags::CREATE);
            assert_eq!(code(made), StatusCode::NO_SUCH_FILE);
        }
        fs.posix_rename(b"file", b"link/secret").unwrap_err();
        fs.remove(b"link").unwrap();
    }
}

#[test]
fn the_parent_of_the_root_is_the_root_in_listings_too() {
    let tree = Tree::new();
    fs::set_permissions(
        tree.around.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o751),
    )
    .unwrap();
    let fs = tree.serve();
    for (path, parent) in [
        (&b"/"[..], &b"/"[..]),
        (b"/..", b"/"),
        (b"dir", b"/"),
        (b"dir/sub", b"dir"),
    ] {
        let entries = fs.open_dir(path).unwrap().read(1 << 16).unwrap();
        let dots = entries.iter().find(|it| it.filename == "..").unwrap();
        assert_eq!(dots.attrs, fs.stat(parent).unwrap());
    }
    // A directory that was moved outside while it was open does not show where it went.
    let mut directory = fs.open_dir(b"dir").unwrap();
    fs::rename(tree.root().join("dir"), tree.outside().join("moved")).unwrap();
    let entries = directory.read(1 << 16).unwrap();
    let dots = entries.iter().find(|it| it.filename == "..").unwrap();
    assert_ne!(dots.attrs.permissions, fs.stat(b"/").map(|_| None).unwrap());
    let own = directory.stat().unwrap();
    assert!([own, fs.stat(b"/").unwrap()].contains(&dots.attrs));
}

/// Mounted beneath the root, `/proc` itself has links that are no paths.
#[test]
fn magic_links_are_not_followed_where_proc_is_served() {
    let tree = Tree::new();
    let outside = fs::canonicalize(tree.outside()).unwrap();
    let fs = LocalFs::new(Path::new("/proc")).unwrap();
    for link in [
        "self/root",
        "self/cwd",
        "self/fd/0",
        "self/exe",
        "thread-self/root",
    ] {
        let path = format!("{link}{}", outside.join("secret").display());
        for path in [link, path.as_str()] {
            let path = path.as_bytes();
            let stat = fs.stat(path);
            assert_eq!(
                code(stat),
                StatusCode::NO_SUCH_FILE,
                "{}",
                path.escape_ascii()
            );
            assert_eq!(code(read_all(&fs, path)), StatusCode::NO_SUCH_FILE);
            assert_eq!(code(list(&fs, path)), StatusCode::NO_SUCH_FILE);
            assert!(fs.real_path(path).is_err());
        }
    }
    assert!(read_all(&fs, b"self/status").unwrap().starts_with(b"Name:"));
}

/// The server may look at its own memory, and write to it; so could a client, by the server's hands.
#[test]
fn the_memory_of_the_server_is_not_served() {
    let beneath = LocalFs::new(Path::new("/proc")).unwrap();
    let whole = LocalFs::whole().unwrap();
    for file in ["self/mem", "self/environ", "thread-self/mem"] {
        for flags in [OpenFlags::READ, OpenFlags::READ | OpenFlags::WRITE] {
            for (fs, path) in [
                (&beneath, file.to_owned()),
                (&whole, format!("/proc/{file}")),
            ] {
                let opened = open(fs, path.as_bytes(), flags);
                assert_eq!(code(opened), StatusCode::PERMISSION_DENIED, "{path}");
            }
        }
    }
}
