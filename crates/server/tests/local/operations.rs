//! Each operation once as it is meant, and once as it is not (draft-ietf-secsh-filexfer-02 §6).

use crate::tree::{
    Tree, code, data, joined, list, mode_attrs, open, owner_attrs, read_all, size_attrs, time_attrs,
};
use rustix::fs::FileType as FileKind;
use sansftp_proto::sftp::{Attrs, FileType, OpenFlags, StatusCode, Times};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::FileSystem;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const RW: u32 = 0x03;

fn read_write() -> OpenFlags {
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    assert_eq!(flags.bits(), RW);
    flags
}

#[test]
fn what_is_written_is_read_wherever_it_lies() {
    let tree = Tree::new();
    let fs = tree.serve();
    let file = open(&fs, b"new", read_write() | OpenFlags::CREATE_NEW).unwrap();
    file.write_at(3, &data(&[b"de", b"f", b"ghi"])).unwrap();
    file.write_at(0, &data(&[b"abc"])).unwrap();
    file.write_at(1 << 20, &data(&[b"far"])).unwrap();
    assert_eq!(joined(&file.read_at(1, 4).unwrap()), b"bcde");
    assert_eq!(joined(&file.read_at((1 << 20) + 1, 100).unwrap()), b"ar");
    assert_eq!(file.stat().unwrap().size, Some((1 << 20) + 3));
    file.sync().unwrap();
    file.close().unwrap();
    assert_eq!(&tree.read("new")[..9], b"abcdefghi");
}

#[test]
fn more_pieces_than_the_system_takes_at_once_are_written() {
    let tree = Tree::new();
    let file = open(&tree.serve(), b"new", OpenFlags::WRITE | OpenFlags::CREATE).unwrap();
    let pieces = data(&[&b"0123456789"[..]; 2500]);
    file.write_at(5, &pieces).unwrap();
    assert_eq!(tree.read("new")[5..], b"0123456789".repeat(2500)[..]);
}

#[test]
fn positions_and_counts_at_their_extremes_are_answered() {
    let tree = Tree::new();
    let file = open(&tree.serve(), b"file", read_write()).unwrap();
    for offset in [6, 7, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert!(file.read_at(offset, 10).unwrap().is_empty(), "{offset}");
        assert!(file.read_at(offset, 0).unwrap().is_empty(), "{offset}");
    }
    for offset in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX] {
        let written = file.write_at(offset, &data(&[b"xy"]));
        assert_eq!(code(written), StatusCode::FAILURE, "{offset}");
    }
    for size in [i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(code(file.set_stat(&size_attrs(size))), StatusCode::FAILURE);
    }
    file.write_at(3, &data(&[])).unwrap();
    assert_eq!(tree.read("file"), b"inside");
}

#[test]
fn appending_goes_to_the_end_whatever_the_offset() {
    let tree = Tree::new();
    let fs = tree.serve();
    let file = open(&fs, b"file", OpenFlags::WRITE | OpenFlags::APPEND).unwrap();
    for offset in [0, 3, u64::MAX] {
        file.write_at(offset, &data(&[b"+", b"-"])).unwrap();
    }
    assert_eq!(tree.read("file"), b"inside+-+-+-");
}

#[test]
fn flags_say_what_becomes_of_the_file() {
    let tree = Tree::new();
    let fs = tree.serve();
    let write = |flags| open(&fs, b"file", OpenFlags::WRITE | flags).map(drop);
    assert_eq!(code(write(OpenFlags::CREATE_NEW)), StatusCode::FAILURE);
    write(OpenFlags::CREATE).unwrap();
    assert_eq!(tree.read("file"), b"inside");
    write(OpenFlags::TRUNCATE).unwrap();
    assert_eq!(tree.read("file"), b"");
    let missing = open(&fs, b"missing", read_write());
    assert_eq!(code(missing), StatusCode::NO_SUCH_FILE);
    assert!(!tree.exists("missing"));
}

#[test]
fn a_file_does_what_it_was_opened_for() {
    let tree = Tree::new();
    let fs = tree.serve();
    let reader = open(&fs, b"file", OpenFlags::READ).unwrap();
    let written = reader.write_at(0, &data(&[b"x"]));
    assert_eq!(code(written), StatusCode::PERMISSION_DENIED);
    assert_eq!(
        code(reader.write_at(0, &data(&[]))),
        StatusCode::PERMISSION_DENIED
    );
    assert_eq!(
        code(reader.set_stat(&size_attrs(0))),
        StatusCode::PERMISSION_DENIED
    );
    reader.set_stat(&mode_attrs(0o600)).unwrap();
    let writer = open(&fs, b"file", OpenFlags::WRITE).unwrap();
    assert_eq!(code(writer.read_at(0, 1)), StatusCode::PERMISSION_DENIED);
    assert_eq!(tree.read("file"), b"inside");
}

#[test]
fn two_handles_of_one_file_are_known_as_such() {
    let tree = Tree::new();
    fs::hard_link(tree.root().join("file"), tree.root().join("other")).unwrap();
    let fs = tree.serve();
    let id = |path: &[u8]| open(&fs, path, OpenFlags::READ).unwrap().identity();
    assert_eq!(id(b"file"), id(b"other"));
    assert_ne!(id(b"file"), id(b"dir/file"));
}

#[test]
fn a_file_is_made_with_the_permissions_asked_for_and_without_set_id() {
    let tree = Tree::new();
    let fs = tree.serve();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    fs.open(b"made", flags, &mode_attrs(0o106_700)).unwrap();
    assert_eq!(tree.mode("made"), 0o700);
    // The file is there already: its permissions stay.
    fs.open(b"made", flags, &mode_attrs(0o600)).unwrap();
    assert_eq!(tree.mode("made"), 0o700);
    fs.make_dir(b"madedir", &mode_attrs(0o43_700)).unwrap();
    assert_eq!(tree.mode("madedir"), 0o1700);
}

#[test]
fn set_id_bits_are_not_given_but_may_stay() {
    let tree = Tree::new();
    let fs = tree.serve();
    let refused = fs.set_stat(b"dir", &mode_attrs(0o2755));
    assert_eq!(code(refused), StatusCode::PERMISSION_DENIED);
    assert_eq!(tree.mode("dir") & 0o6000, 0);
    fs::set_permissions(tree.root().join("dir"), fs::Permissions::from_mode(0o2755)).unwrap();
    fs.set_stat(b"dir", &mode_attrs(0o2750)).unwrap();
    assert_eq!(tree.mode("dir"), 0o2750);
    let handle = open(&fs, b"file", read_write()).unwrap();
    assert_eq!(
        code(handle.set_stat(&mode_attrs(0o4755))),
        StatusCode::PERMISSION_DENIED
    );
    assert_eq!(
        code(fs.set_lstat(b"file", &mode_attrs(0o4755))),
        StatusCode::PERMISSION_DENIED
    );
    let whole = LocalFs::whole().unwrap();
    let path = tree.root().join("file");
    let path = path.as_os_str().as_bytes();
    whole.set_stat(path, &mode_attrs(0o4755)).unwrap();
    assert_eq!(tree.mode("file"), 0o4755);
}

#[test]
fn attributes_are_told_and_changed() {
    let tree = Tree::new();
    tree.link("file", "link");
    let fs = tree.serve();
    fs.set_stat(b"link", &size_attrs(3)).unwrap();
    fs.set_stat(b"link", &mode_attrs(0o640)).unwrap();
    fs.set_stat(b"link", &time_attrs(1_000_000_000, 1_100_000_000))
        .unwrap();
    let attrs = fs.stat(b"file").unwrap();
    assert_eq!(fs.stat(b"link").unwrap(), attrs);
    assert_eq!(attrs.size, Some(3));
    assert_eq!(attrs.permissions, Some(0o100_640));
    let times = Times {
        atime: 1_000_000_000,
        mtime: 1_100_000_000,
    };
    assert_eq!(attrs.times, Some(times));
    let link = fs.lstat(b"link").unwrap();
    assert_eq!(link.file_type(), Some(FileType::Symlink));
    assert_ne!(link.times, Some(times));
    assert_eq!(tree.read("file"), b"ins");
}

#[test]
fn a_link_is_changed_itself_where_links_are_not_followed() {
    let tree = Tree::new();
    tree.link("file", "link");
    tree.link("nowhere", "dangling");
    let fs = tree.serve();
    let before = fs.stat(b"file").unwrap();
    for link in [&b"link"[..], b"dangling"] {
        fs.set_lstat(link, &time_attrs(1_000_000_000, 1_000_000_000))
            .unwrap();
        assert_eq!(fs.lstat(link).unwrap().times.unwrap().mtime, 1_000_000_000);
        assert_eq!(
            code(fs.set_lstat(link, &mode_attrs(0o600))),
            StatusCode::FAILURE
        );
        assert_eq!(
            code(fs.set_lstat(link, &size_attrs(0))),
            StatusCode::BAD_MESSAGE
        );
    }
    assert_eq!(fs.stat(b"file").unwrap(), before);
    fs.set_lstat(b"file", &mode_attrs(0o600)).unwrap();
    assert_eq!(tree.mode("file"), 0o600);
}

#[test]
fn the_owner_is_changed_as_far_as_the_system_allows() {
    let tree = Tree::new();
    let fs = tree.serve();
    let own = fs::metadata(tree.root()).unwrap();
    let file = open(&fs, b"file", OpenFlags::READ).unwrap();
    for attrs in [
        owner_attrs(own.uid(), own.gid()),
        owner_attrs(u32::MAX, u32::MAX),
    ] {
        fs.set_stat(b"file", &attrs).unwrap();
        fs.set_lstat(b"file", &attrs).unwrap();
        file.set_stat(&attrs).unwrap();
    }
    let others = fs.set_stat(b"file", &owner_attrs(own.uid() + 1, own.gid()));
    let found = fs::metadata(tree.root().join("file")).unwrap();
    match code(others) {
        StatusCode::OK => assert_eq!(found.uid(), own.uid() + 1),
        code => {
            assert_eq!(code, StatusCode::PERMISSION_DENIED);
            assert_eq!(found.uid(), own.uid());
        }
    }
}

#[test]
fn all_changes_are_tried_and_the_first_failure_is_told() {
    let tree = Tree::new();
    let fs = tree.serve();
    let attrs = Attrs {
        size: Some(0),
        permissions: Some(0o700),
        ..Attrs::default()
    };
    assert_eq!(code(fs.set_stat(b"dir", &attrs)), StatusCode::FAILURE);
    assert_eq!(tree.mode("dir"), 0o700);
}

#[test]
fn pipes_sockets_and_devices_are_refused_at_once_and_truncated_by_nobody() {
    let tree = Tree::new();
    let pipe = tree.root().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileKind::Fifo, 0o600.into(), 0).unwrap();
    let _socket = UnixListener::bind(tree.root().join("socket")).unwrap();
    let fs = tree.serve();
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let mut codes = Vec::new();
        for path in [&b"pipe"[..], b"socket", b"dir"] {
            for flags in [
                OpenFlags::READ,
                OpenFlags::WRITE,
                OpenFlags::WRITE | OpenFlags::TRUNCATE,
                OpenFlags::READ | OpenFlags::WRITE | OpenFlags::APPEND,
            ] {
                codes.push(code(open(&fs, path, flags)));
            }
            codes.push(code(fs.set_stat(path, &size_attrs(0))));
        }
        let whole = LocalFs::whole().unwrap();
        codes.push(code(open(&whole, b"/dev/null", OpenFlags::READ)));
        assert_eq!(code(fs.open_dir(b"pipe")), StatusCode::NO_SUCH_FILE);
        fs.stat(b"pipe").unwrap();
        done.send(codes).unwrap();
    });
    let codes = finished
        .recv_timeout(Duration::from_secs(20))
        .expect("nothing waits");
    assert_eq!(codes, [StatusCode::FAILURE; 16]);
}

#[test]
fn directories_are_listed_with_everything_that_is_known() {
    let tree = Tree::new();
    tree.link("nowhere", "dangling");
    let fs = tree.serve();
    let mut directory = fs.open_dir(b"/").unwrap();
    let mut entries = directory.read(1 << 20).unwrap();
    assert!(directory.read(1 << 20).unwrap().is_empty());
    assert!(directory.read(1 << 20).unwrap().is_empty());
    entries.sort_by(|a, b| a.filename.cmp(&b.filename));
    let names: Vec<&[u8]> = entries.iter().map(|it| &*it.filename).collect();
    assert_eq!(names, [&b"."[..], b"..", b"dangling", b"dir", b"file"]);
    for entry in &entries {
        assert_eq!(entry.attrs, fs.lstat(&entry.filename).unwrap(), "{entry:?}");
        let line = str::from_utf8(&entry.longname).unwrap();
        assert!(
            line.ends_with(str::from_utf8(&entry.filename).unwrap()),
            "{line}"
        );
        let kind = entry.attrs.file_type().unwrap();
        let letter = match kind {
            FileType::Directory => 'd',
            FileType::Symlink => 'l',
            _ => '-',
        };
        assert!(line.starts_with(letter), "{line}");
        assert!(line.split_whitespace().count() >= 9, "{line}");
    }
    assert_eq!(directory.stat().unwrap(), fs.stat(b".").unwrap());
}

#[test]
fn ten_thousand_entries_come_in_batches_each_once() {
    let tree = Tree::new();
    tree.mkdir("many");
    for number in 0..10_000 {
        tree.write(&format!("many/file {number}"), b"");
    }
    let fs = tree.serve();
    let mut directory = fs.open_dir(b"many").unwrap();
    let (mut names, mut batches) = (Vec::new(), 0);
    loop {
        let entries = directory.read(8192).unwrap();
        if entries.is_empty() {
            break;
        }
        let length = |it: &sansftp_proto::sftp::Entry| it.filename.len() + it.longname.len();
        assert!(entries.iter().map(length).sum::<usize>() <= 8192);
        names.extend(entries.into_iter().map(|it| it.filename));
        batches += 1;
    }
    assert!(batches > 50, "{batches}");
    let given = names.len();
    names.sort();
    names.dedup();
    assert_eq!((given, names.len()), (10_002, 10_002));
    // Even where nothing fits, the listing goes on.
    assert_eq!(fs.open_dir(b"many").unwrap().read(1).unwrap().len(), 1);
}

#[test]
fn what_vanishes_while_a_directory_is_read_is_left_out() {
    let tree = Tree::new();
    tree.mkdir("many");
    for number in 0..2000 {
        tree.write(&format!("many/{number}"), b"");
    }
    let fs = tree.serve();
    let mut directory = fs.open_dir(b"many").unwrap();
    let mut count = directory.read(1000).unwrap().len();
    for number in 0..2000 {
        fs::remove_file(tree.root().join(format!("many/{number}"))).unwrap();
    }
    loop {
        match directory.read(1000).unwrap().len() {
            0 => break,
            more => count += more,
        }
    }
    assert!(count < 50, "{count}");
    assert_eq!(list(&fs, b"many").unwrap(), [".", ".."]);
}

#[test]
fn an_open_directory_is_changed_and_synchronised_like_a_file() {
    let tree = Tree::new();
    let fs = tree.serve();
    let directory = fs.open_dir(b"dir").unwrap();
    directory.set_stat(&mode_attrs(0o700)).unwrap();
    directory.set_stat(&time_attrs(1, 1_000_000_000)).unwrap();
    assert_eq!(tree.mode("dir"), 0o700);
    assert_eq!(
        directory.stat().unwrap().times.unwrap().mtime,
        1_000_000_000
    );
    assert_eq!(
        code(directory.set_stat(&size_attrs(0))),
        StatusCode::FAILURE
    );
    directory.sync().unwrap();
    assert_eq!(directory.stat_vfs().unwrap().f_namemax, 255);
}

#[test]
fn a_rename_fails_where_the_name_is_taken_and_a_posix_rename_replaces() {
    let tree = Tree::new();
    tree.write("other", b"other");
    let fs = tree.serve();
    for (from, to) in [
        ("file", "other"),
        ("file", "file"),
        ("dir", "other"),
        ("file", "dir"),
    ] {
        let renamed = fs.rename(from.as_bytes(), to.as_bytes());
        assert_eq!(code(renamed), StatusCode::FAILURE, "{from} {to}");
    }
    assert_eq!(tree.read("other"), b"other");
    fs.rename(b"file", b"dir/new").unwrap();
    fs.rename(b"dir", b"moved").unwrap();
    assert_eq!(tree.read("moved/new"), b"inside");
    fs.posix_rename(b"moved/new", b"other").unwrap();
    assert_eq!(tree.read("other"), b"inside");
    assert!(!tree.exists("moved/new") && !tree.exists("file"));
    assert_eq!(code(fs.rename(b"missing", b"x")), StatusCode::NO_SUCH_FILE);
    assert_eq!(
        code(fs.posix_rename(b"missing", b"x")),
        StatusCode::NO_SUCH_FILE
    );
}

#[test]
fn links_are_made_read_and_removed_themselves() {
    let tree = Tree::new();
    let fs = tree.serve();
    for target in [
        &b"file"[..],
        b"/file",
        b"../../x",
        b"//a/./b\xff",
        b"nowhere/",
    ] {
        fs.symlink(target, b"link").unwrap();
        assert_eq!(fs.read_link(b"link").unwrap(), target);
        assert_eq!(code(fs.symlink(target, b"link")), StatusCode::FAILURE);
        fs.remove(b"link").unwrap();
    }
    assert_eq!(code(fs.symlink(b"", b"link")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.symlink(b"a\0", b"link")), StatusCode::BAD_MESSAGE);
    assert_eq!(code(fs.read_link(b"file")), StatusCode::BAD_MESSAGE);
    assert_eq!(code(fs.read_link(b"missing")), StatusCode::NO_SUCH_FILE);
    fs.symlink(b"/file", b"absolute").unwrap();
    assert_eq!(read_all(&fs, b"absolute").unwrap(), b"inside");
    // A hard link to a symbolic link is one more symbolic link.
    fs.hard_link(b"absolute", b"second").unwrap();
    assert_eq!(fs.read_link(b"second").unwrap(), &b"/file"[..]);
    fs.hard_link(b"file", b"dir/hard").unwrap();
    assert_eq!(tree.read("dir/hard"), b"inside");
    assert_eq!(
        code(fs.hard_link(b"file", b"dir/hard")),
        StatusCode::FAILURE
    );
    assert_eq!(
        code(fs.hard_link(b"dir", b"dir2")),
        StatusCode::PERMISSION_DENIED
    );
}

#[test]
fn directories_and_files_are_removed_each_in_their_own_way() {
    let tree = Tree::new();
    tree.link("dir", "link");
    let fs = tree.serve();
    assert_eq!(code(fs.remove(b"dir/sub")), StatusCode::FAILURE);
    assert_eq!(code(fs.remove_dir(b"dir")), StatusCode::FAILURE);
    assert_eq!(code(fs.remove_dir(b"file")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.remove_dir(b"link")), StatusCode::NO_SUCH_FILE);
    assert_eq!(code(fs.remove_dir(b"missing")), StatusCode::NO_SUCH_FILE);
    fs.remove(b"link").unwrap();
    fs.remove_dir(b"dir/sub").unwrap();
    fs.remove(b"dir/file").unwrap();
    fs.remove_dir(b"dir").unwrap();
    assert_eq!(list(&fs, b"/").unwrap(), [".", "..", "file"]);
    assert_eq!(
        code(fs.make_dir(b"file", &Attrs::default())),
        StatusCode::FAILURE
    );
    fs.make_dir(b"dir", &Attrs::default()).unwrap();
    assert_eq!(
        fs.stat(b"dir").unwrap().file_type(),
        Some(FileType::Directory)
    );
}

#[test]
fn names_are_bytes() {
    let tree = Tree::new();
    let fs = tree.serve();
    let name = b"caf\xe9 \xff\n\x1b[2J";
    fs.make_dir(name, &Attrs::default()).unwrap();
    let inner = [&name[..], b"/", name].concat();
    open(&fs, &inner, OpenFlags::WRITE | OpenFlags::CREATE).unwrap();
    assert!(tree.root().join(OsStr::from_bytes(&inner)).exists());
    assert_eq!(fs.real_path(&inner).unwrap(), [b"/", &inner[..]].concat());
    let expected = [".", "..", &name.escape_ascii().to_string()];
    assert_eq!(list(&fs, name).unwrap(), expected);
}

#[test]
fn file_systems_say_how_large_they_are() {
    let tree = Tree::new();
    let fs = tree.serve();
    let it = fs.stat_vfs(b"dir").unwrap();
    assert!(it.f_blocks > 0 && it.f_frsize > 0 && it.f_bfree <= it.f_blocks);
    let file = open(&fs, b"file", OpenFlags::READ).unwrap();
    assert_eq!(file.stat_vfs().unwrap().f_fsid, it.f_fsid);
    assert_eq!(it.f_flag & 1, 0);
    assert_eq!(
        fs.clone().read_only().stat_vfs(b"dir").unwrap().f_flag & 1,
        1
    );
    assert_eq!(code(fs.stat_vfs(b"missing")), StatusCode::NO_SUCH_FILE);
}

#[test]
fn what_cannot_be_served_is_told_when_it_is_set_up() {
    let tree = Tree::new();
    let failure = |path: &Path| LocalFs::new(path).unwrap_err().to_string();
    for path in ["missing", "file"] {
        let path = tree.root().join(path);
        assert_eq!(
            failure(&path),
            format!("{} cannot be served", path.display())
        );
    }
    let start = |path: &[u8]| tree.serve().start_directory(path).map(drop);
    start(b"dir/sub").unwrap();
    for path in [&b"missing"[..], b"file", b""] {
        assert!(
            start(path)
                .unwrap_err()
                .to_string()
                .starts_with("clients cannot begin in")
        );
    }
}
