//! What a path means: its normal form, REALPATH (draft-ietf-secsh-filexfer-02 §6.11), `~`, and the
//! endings that name no entry of a directory.

use crate::tree::{Tree, code, list, mode_attrs, open, read_all};
use proptest::prelude::*;
use sansftp_proto::sftp::{Attrs, FileType, OpenFlags, StatusCode};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::{FileSystem, Outcome};
use std::fs;
use std::os::unix::ffi::OsStrExt;

fn real(fs: &LocalFs, path: &str) -> Result<String, StatusCode> {
    text(fs.real_path(path.as_bytes()))
}

fn text(outcome: Outcome<bytes::Bytes>) -> Result<String, StatusCode> {
    outcome
        .map(|it| String::from_utf8(it.to_vec()).unwrap())
        .map_err(|status| status.code)
}

fn links(tree: &Tree) {
    tree.link("dir", "link");
    tree.link("/dir/sub", "absolute");
    tree.link("link/sub", "through");
    tree.link("new", "dangling");
    tree.link("../../../dir/../new", "climbing");
    tree.link("missing/new", "lost");
    tree.link("loop", "loop");
    tree.write("gone (deleted)", b"");
}

#[test]
fn real_paths_are_absolute_without_links_and_dots() {
    let tree = Tree::new();
    links(&tree);
    let fs = tree.serve().start_directory(b"/link").unwrap();
    for (path, expected) in [
        ("", "/dir"),
        (".", "/dir"),
        ("..", "/"),
        ("../../../..", "/"),
        ("/", "/"),
        ("//", "/"),
        ("sub/", "/dir/sub"),
        ("sub/.", "/dir/sub"),
        ("new", "/dir/new"),
        ("/link/sub/..", "/dir"),
        ("/absolute", "/dir/sub"),
        ("/absolute/..", "/dir"),
        ("/through/new", "/dir/sub/new"),
        ("/dangling", "/new"),
        ("/climbing", "/new"),
        ("/gone (deleted)", "/gone (deleted)"),
    ] {
        assert_eq!(real(&fs, path), Ok(expected.to_owned()), "{path:?}");
    }
    for path in [
        "/lost",
        "/missing/new",
        "/missing/..",
        "/missing/.",
        "/loop",
        "new/",
        "file/",
        "file/x",
    ] {
        assert_eq!(real(&fs, path), Err(StatusCode::NO_SUCH_FILE), "{path:?}");
    }
    assert_eq!(real(&fs, "a\0"), Err(StatusCode::BAD_MESSAGE));
    assert_eq!(real(&fs, &"a".repeat(256)), Err(StatusCode::BAD_MESSAGE));
    assert_eq!(real(&fs, &"a/".repeat(2048)), Err(StatusCode::BAD_MESSAGE));
}

#[test]
fn a_real_path_stays_as_it_is() {
    let tree = Tree::new();
    links(&tree);
    let fs = tree.serve().start_directory(b"/dir").unwrap();
    let component = prop::sample::select(vec![
        "",
        ".",
        "..",
        "dir",
        "sub",
        "file",
        "new",
        "link",
        "absolute",
        "through",
        "dangling",
        "climbing",
        "lost",
        "loop",
        "gone (deleted)",
    ]);
    proptest!(|(components in prop::collection::vec(component, 1..7))| {
        let path = components.join("/");
        if let Ok(once) = real(&fs, &path) {
            prop_assert!(once.starts_with('/'));
            prop_assert!(once == "/" || !once.ends_with('/'));
            prop_assert!(!once.contains("//") && !once.contains("/."), "{}", once);
            prop_assert_eq!(real(&fs, &once), Ok(once.clone()));
            // Both are the same file.
            if let Ok(attrs) = fs.stat(path.as_bytes()) {
                prop_assert_eq!(Ok(attrs), fs.stat(once.as_bytes()));
            }
        }
    });
}

#[test]
fn the_home_is_where_clients_begin() {
    let tree = Tree::new();
    tree.mkdir("dir/~");
    let fs = tree.serve().start_directory(b"/dir").unwrap().user("u");
    let expand = |path: &[u8]| text(fs.expand_path(path));
    for (path, expected) in [
        ("~", "/dir"),
        ("~/", "/dir"),
        ("~/sub", "/dir/sub"),
        ("~//sub/.", "/dir/sub"),
        ("~/new", "/dir/new"),
        ("~/..", "/"),
        ("~u/sub", "/dir/sub"),
        ("sub", "/dir/sub"),
        ("./~", "/dir/~"),
        ("", "/dir"),
    ] {
        assert_eq!(expand(path.as_bytes()), Ok(expected.to_owned()), "{path:?}");
    }
    for path in ["~root", "~root/x", "~missing", "~u\0", "~/missing/x"] {
        let expanded = expand(path.as_bytes());
        assert!(expanded.is_err(), "{path:?}");
    }
    assert_eq!(text(fs.home_directory(b"")), Ok("/dir".to_owned()));
    assert_eq!(text(fs.home_directory(b"u")), Ok("/dir".to_owned()));
    assert_eq!(
        text(fs.home_directory(b"root")),
        Err(StatusCode::NO_SUCH_FILE)
    );
    // Another user of the same directory begins elsewhere.
    let other = fs.clone().start_directory(b"/").unwrap();
    assert_eq!(text(other.home_directory(b"")), Ok("/".to_owned()));
    assert_eq!(text(fs.home_directory(b"")), Ok("/dir".to_owned()));
}

#[test]
fn relative_paths_begin_at_the_start_directory_in_every_operation() {
    let tree = Tree::new();
    let fs = tree.serve().start_directory(b"/dir").unwrap();
    assert_eq!(read_all(&fs, b"file").unwrap(), b"inside dir");
    assert_eq!(read_all(&fs, b"../file").unwrap(), b"inside");
    assert_eq!(list(&fs, b".").unwrap(), [".", "..", "file", "sub"]);
    fs.symlink(b"file", b"link").unwrap();
    fs.hard_link(b"link", b"link2").unwrap();
    fs.rename(b"link2", b"link3").unwrap();
    fs.posix_rename(b"link3", b"../link4").unwrap();
    fs.make_dir(b"made", &Attrs::default()).unwrap();
    fs.set_stat(b"made", &mode_attrs(0o700)).unwrap();
    fs.set_lstat(b"made", &mode_attrs(0o711)).unwrap();
    assert_eq!(tree.mode("dir/made"), 0o711);
    fs.remove_dir(b"made").unwrap();
    assert!(tree.exists("link4") && tree.exists("dir/link"));
    fs.remove(b"link").unwrap();
    assert_eq!(fs.read_link(b"../link4").unwrap(), "file");
}

/// The kernel judges the ends of paths by rules of its own; taken apart wrongly, `link/` would lead
/// outside or `a/.` would remove what it should not.
#[test]
fn endings_that_name_no_entry_change_nothing() {
    let tree = Tree::new();
    links(&tree);
    let fs = tree.serve();
    let before = crate::tree::snapshot(&tree.root());
    let none = Attrs::default();
    for path in [
        "",
        "/",
        "//",
        ".",
        "..",
        "dir/.",
        "dir/..",
        "dir/sub/../.",
        "/..",
        "./",
    ] {
        let path = path.as_bytes();
        let shown = path.escape_ascii();
        let failed = if path.is_empty() {
            StatusCode::NO_SUCH_FILE
        } else {
            StatusCode::FAILURE
        };
        assert_eq!(code(fs.make_dir(path, &none)), failed, "mkdir {shown}");
        assert_eq!(code(fs.remove_dir(path)), failed, "rmdir {shown}");
        assert_eq!(code(fs.remove(path)), failed, "remove {shown}");
        assert_eq!(code(fs.rename(path, b"x")), failed, "rename {shown}");
        assert_eq!(code(fs.rename(b"dir", path)), failed, "rename to {shown}");
        assert_eq!(
            code(fs.posix_rename(path, b"x")),
            failed,
            "posix-rename {shown}"
        );
        assert_eq!(
            code(fs.posix_rename(b"dir", path)),
            failed,
            "posix-rename to {shown}"
        );
        assert_eq!(code(fs.hard_link(path, b"x")), failed, "hardlink {shown}");
        assert_eq!(
            code(fs.hard_link(b"file", path)),
            failed,
            "hardlink to {shown}"
        );
        assert_eq!(code(fs.symlink(b"x", path)), failed, "symlink {shown}");
        assert_eq!(
            code(open(&fs, path, OpenFlags::READ)),
            failed,
            "open {shown}"
        );
        let made = open(&fs, path, OpenFlags::WRITE | OpenFlags::CREATE);
        assert_eq!(code(made), failed, "create {shown}");
    }
    for path in ["missing/.", "missing/..", "missing/x", "file/x", "lost/x"] {
        let path = path.as_bytes();
        for outcome in [
            fs.make_dir(path, &none),
            fs.remove_dir(path),
            fs.remove(path),
            fs.rename(path, b"x"),
            fs.rename(b"dir", path),
            fs.posix_rename(path, b"x"),
            fs.hard_link(path, b"x"),
            fs.hard_link(b"file", path),
            fs.symlink(b"x", path),
            open(&fs, path, OpenFlags::WRITE | OpenFlags::CREATE).map(drop),
            fs.lstat(path).map(drop),
        ] {
            assert_eq!(
                code(outcome),
                StatusCode::NO_SUCH_FILE,
                "{}",
                path.escape_ascii()
            );
        }
    }
    assert_eq!(crate::tree::snapshot(&tree.root()), before);
}

#[test]
fn a_slash_at_the_end_means_a_directory() {
    let tree = Tree::new();
    links(&tree);
    let fs = tree.serve();
    // A link is followed, a file is none.
    assert_eq!(
        fs.lstat(b"link/").unwrap().file_type(),
        Some(FileType::Directory)
    );
    assert_eq!(
        fs.lstat(b"link").unwrap().file_type(),
        Some(FileType::Symlink)
    );
    assert_eq!(code(fs.lstat(b"file/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.stat(b"file/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.read_link(b"link/")), StatusCode::BAD_MESSAGE);
    assert_eq!(code(fs.remove(b"file/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.remove(b"link/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.remove(b"dir/")), StatusCode::FAILURE);
    assert_eq!(code(fs.rename(b"file/", b"x")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.rename(b"file", b"x/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(
        code(fs.posix_rename(b"file", b"x/")),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(code(fs.hard_link(b"file/", b"x")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.hard_link(b"file", b"x/")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.symlink(b"file", b"x/")), StatusCode::NO_SUCH_FILE);
    let made = open(&fs, b"x/", OpenFlags::WRITE | OpenFlags::CREATE);
    assert_eq!(code(made), StatusCode::FAILURE);
    assert!(tree.exists("file") && tree.exists("link") && !tree.exists("x"));
    fs.make_dir(b"x/", &Attrs::default()).unwrap();
    fs.rename(b"x/", b"y/").unwrap();
    fs.posix_rename(b"y/", b"z/").unwrap();
    fs.remove_dir(b"z/").unwrap();
}

#[test]
fn a_file_can_be_made_through_a_link_that_leads_nowhere_yet() {
    let tree = Tree::new();
    links(&tree);
    let fs = tree.serve();
    open(&fs, b"climbing", OpenFlags::WRITE | OpenFlags::CREATE).unwrap();
    assert!(tree.exists("new"));
    let again = open(&fs, b"dangling", OpenFlags::WRITE | OpenFlags::CREATE_NEW);
    assert_eq!(code(again), StatusCode::FAILURE);
}

#[test]
fn what_was_removed_has_no_path_and_what_was_moved_has_its_new_one() {
    let tree = Tree::new();
    let fs = tree.serve();
    let mut directory = fs.open_dir(b"dir/sub").unwrap();
    fs.rename(b"dir", b"moved").unwrap();
    let names: Vec<_> = directory.read(1 << 16).unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(real(&fs, "moved/sub"), Ok("/moved/sub".to_owned()));
    assert_eq!(real(&fs, "dir/sub"), Err(StatusCode::NO_SUCH_FILE));
    fs.remove_dir(b"moved/sub").unwrap();
    assert!(directory.read(1 << 16).unwrap().is_empty());
    assert_eq!(real(&fs, "moved/sub/.."), Err(StatusCode::NO_SUCH_FILE));
}

#[test]
fn the_whole_file_system_is_served_as_the_process_sees_it() {
    let tree = Tree::new();
    links(&tree);
    let root = fs::canonicalize(tree.root()).unwrap();
    let whole = LocalFs::whole()
        .unwrap()
        .start_directory(root.as_os_str().as_bytes())
        .unwrap();
    let path = |path: &str| Ok(root.join(path).to_str().unwrap().to_owned());
    assert_eq!(real(&whole, "link/sub"), path("dir/sub"));
    assert_eq!(real(&whole, "new"), path("new"));
    assert_eq!(real(&whole, "absolute"), Err(StatusCode::NO_SUCH_FILE));
    assert_eq!(real(&whole, "/"), Ok("/".to_owned()));
    assert_eq!(read_all(&whole, b"link/file").unwrap(), b"inside dir");
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .unwrap()
        .unwrap();
    let home = user.dir.to_str().unwrap().to_owned();
    assert_eq!(text(whole.home_directory(b"")), Ok(home.clone()));
    assert_eq!(text(whole.home_directory(user.name.as_bytes())), Ok(home));
    assert_eq!(
        text(whole.home_directory(b"no such user")),
        Err(StatusCode::NO_SUCH_FILE)
    );
}
