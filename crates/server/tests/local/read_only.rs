//! Read-only mode: every operation that would change anything is refused, and nothing has changed
//! (CVE-2017-15906: a read-only server made empty files).

use crate::tree::{
    Tree, code, data, list, mode_attrs, open, owner_attrs, read_all, size_attrs, snapshot,
    time_attrs,
};
use sansftp_proto::sftp::{Attrs, Extension, OpenFlags, StatusCode};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::FileSystem;
use std::os::unix::ffi::OsStrExt;

/// Refused whatever the path: whether a file exists makes no difference.
fn refuses_everything(fs: &LocalFs) {
    let none = Attrs::default();
    for path in [
        &b"file"[..],
        b"missing",
        b"dir",
        b"dir/sub",
        b"link",
        b"",
        b"/",
        b"a\0",
    ] {
        for bits in 1..64_u32 {
            let [write, append, create] = [0x02, 0x04, 0x08].map(|bit| bits & bit != 0);
            let mut flags = OpenFlags::READ;
            for (flag, on) in [
                (OpenFlags::WRITE, write),
                (OpenFlags::APPEND, append),
                (OpenFlags::CREATE, create),
                (OpenFlags::TRUNCATE, create && bits & 0x10 != 0),
                (OpenFlags::CREATE_NEW, create && bits & 0x20 != 0),
            ] {
                if on {
                    flags = flags | flag;
                }
            }
            if write || append || create {
                let opened = open(fs, path, flags);
                assert_eq!(code(opened), StatusCode::PERMISSION_DENIED, "{flags:?}");
            }
        }
        for outcome in [
            fs.set_stat(path, &none),
            fs.set_stat(path, &mode_attrs(0o777)),
            fs.set_stat(path, &size_attrs(0)),
            fs.set_stat(path, &time_attrs(1, 1)),
            fs.set_stat(path, &owner_attrs(u32::MAX, u32::MAX)),
            fs.set_lstat(path, &mode_attrs(0o777)),
            fs.set_lstat(path, &size_attrs(0)),
            fs.remove(path),
            fs.make_dir(path, &none),
            fs.remove_dir(path),
            fs.rename(path, b"new"),
            fs.rename(b"file", path),
            fs.posix_rename(path, b"new"),
            fs.posix_rename(b"file", path),
            fs.hard_link(path, b"new"),
            fs.hard_link(b"file", path),
            fs.symlink(b"file", path),
        ] {
            assert_eq!(
                code(outcome),
                StatusCode::PERMISSION_DENIED,
                "{}",
                path.escape_ascii()
            );
        }
    }
    let file = open(fs, b"file", OpenFlags::READ).unwrap();
    let directory = fs.open_dir(b"dir").unwrap();
    assert_eq!(
        code(file.write_at(0, &data(&[b"x"]))),
        StatusCode::PERMISSION_DENIED
    );
    for attrs in [none, mode_attrs(0o777), size_attrs(0), time_attrs(1, 1)] {
        assert_eq!(code(file.set_stat(&attrs)), StatusCode::PERMISSION_DENIED);
        assert_eq!(
            code(directory.set_stat(&attrs)),
            StatusCode::PERMISSION_DENIED
        );
    }
}

fn serves_everything_else(fs: &LocalFs) {
    assert_eq!(read_all(fs, b"link").unwrap(), b"inside");
    assert_eq!(list(fs, b"dir").unwrap(), [".", "..", "file", "sub"]);
    assert_eq!(fs.read_link(b"link").unwrap(), "file");
    fs.stat(b"file").unwrap();
    fs.lstat(b"link").unwrap();
    fs.real_path(b"missing").unwrap();
    fs.expand_path(b"missing").unwrap();
    fs.stat_vfs(b"file").unwrap();
}

#[test]
fn a_read_only_server_changes_nothing() {
    let tree = Tree::new();
    tree.link("file", "link");
    let before = snapshot(tree.around.path());
    let fs = tree.serve().read_only();
    refuses_everything(&fs);
    serves_everything_else(&fs);
    let whole = LocalFs::whole()
        .unwrap()
        .start_directory(tree.root().as_os_str().as_bytes())
        .unwrap()
        .read_only();
    refuses_everything(&whole);
    serves_everything_else(&whole);
    assert_eq!(snapshot(tree.around.path()), before);
}

#[test]
fn a_read_only_server_announces_what_only_looks() {
    let tree = Tree::new();
    let announced = tree.serve().read_only().extensions();
    let names: Vec<&str> = announced.iter().map(Extension::name).collect();
    assert_eq!(
        names,
        [
            "statvfs@openssh.com",
            "fstatvfs@openssh.com",
            "limits@openssh.com",
            "expand-path@openssh.com",
            "home-directory",
            "users-groups-by-id@openssh.com",
        ]
    );
    assert_eq!(tree.serve().extensions().iter().count(), 11);
}
