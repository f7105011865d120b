//! The same operations against OpenSSH's sftp-server and against this server, each in a directory of
//! its own of the same contents: the same answers and the same directories afterwards, but for what
//! differs on purpose. Needs `sftp-server`.

mod peer;

use crate::tree::{mode_attrs, owner_attrs, size_attrs, snapshot, time_attrs};
use peer::Peer;
use sansftp_proto::sftp::OpenFlags;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// Where the two differ: the operations, the paths, and why.
const ON_PURPOSE: &[(&[&str], &[&str], &str)] = &[
    (
        &["open to read"],
        &[
            "dir", "empty", "dirlink", ".", "..", "dir/.", "dir/..", "empty/.", "empty/..", "dir/",
            "empty/", "dirlink/",
        ],
        "a directory cannot be read as a file, which is told at once and not with the first READ",
    ),
    (
        &["rename dir to", "rename link to"],
        &["dangling", "loop"],
        "sftp-server replaces a link that leads nowhere; nothing is to be replaced (§6.5)",
    ),
    (
        &["rmdir", "hardlink from"],
        &[".", "..", "dir/.", "dir/..", "empty/.", "empty/.."],
        "all that is wrong with such a path is one failure, with words",
    ),
    (
        &["realpath", "expand-path"],
        &["file/", "file/.", "file/..", "link/"],
        "a file is no directory, as stat says of the same path",
    ),
    (
        &["rename file to", "rename link to", "rename dir to"],
        &["dir/", "empty/", "file/", "link/", "dirlink/", "dangling/"],
        "that a file cannot be called so is told before, or after, that something else is",
    ),
    (
        &["open to create", "open to truncate"],
        &["file/", "link/"],
        "what is there is a file and no directory, and that is told first",
    ),
    (
        &["hardlink from"],
        &["dirlink/"],
        "a link that is meant as a directory is neither linked nor followed",
    ),
    (
        &["setstat size"],
        &["pipe"],
        "the request was well-formed; that it is a pipe is told in words",
    ),
    (
        &["every"],
        &["d of 4094"],
        "the kernel counts a relative path from the root on, and finds it too long",
    ),
    (
        &[
            "write where nothing may be written",
            "read where nothing may be read",
            "truncate where nothing may be written",
            "append without leave to write",
        ],
        &["file"],
        "the file is there; it was opened for something else",
    ),
    (
        &["read far out", "read beyond what is counted"],
        &["file"],
        "there is nothing behind the end of a file, however far behind",
    ),
    (
        &[
            "write beyond what is counted",
            "truncate beyond what is counted",
        ],
        &["file"],
        "the request was well-formed; the file system has no such place",
    ),
    (
        &["homes"],
        &["file"],
        "an empty name is one's own; who is not known is not there",
    ),
];

fn on_purpose(operation: &str, path: &str) -> bool {
    ON_PURPOSE.iter().any(|(operations, paths, _)| {
        let known = operations.contains(&operation) || operations == &["every"];
        known && paths.contains(&&*label(path))
    })
}

/// A path, a long one in few words.
fn label(path: &str) -> String {
    match path.len() {
        0..100 => path.to_owned(),
        long => format!("{} of {long}", &path[..1]),
    }
}

/// As a client may write them. Absolute ones are left out: they would change this machine.
fn paths() -> Vec<String> {
    let paths = [
        "file",
        "missing",
        "dir",
        "empty",
        "link",
        "dirlink",
        "dangling",
        "loop",
        "dir/file",
        "dir/missing",
        "dirlink/file",
        "missing/x",
        "file/x",
        "dangling/x",
        "loop/x",
        "",
        ".",
        "..",
        "dir/.",
        "dir/..",
        "empty/.",
        "empty/..",
        "file/.",
        "file/..",
        "missing/.",
        "missing/..",
        "dir/",
        "empty/",
        "file/",
        "missing/",
        "dirlink/",
        "link/",
        "dangling/",
        "dir//file",
        "./dir/./file",
        "dir/../file",
        "dirlink/../file",
        "pipe",
        "caf\u{e9}",
    ];
    let long = [
        "n".repeat(255),
        "n".repeat(256),
        "d/".repeat(2047),
        "d/".repeat(2048),
    ];
    paths.into_iter().map(str::to_owned).chain(long).collect()
}

type Operation = (&'static str, fn(&mut Peer, &[u8]));

/// What is done with a path.
const OPERATIONS: &[Operation] = &[
    ("stat", |it, path| it.stat(path)),
    ("lstat", |it, path| it.lstat(path)),
    ("realpath", |it, path| it.realpath(path)),
    ("expand-path", |it, path| it.expand_path(path)),
    ("readlink", |it, path| it.readlink(path)),
    ("statvfs", |it, path| it.statvfs(path)),
    ("list", |it, path| it.list(path)),
    ("open to read", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.read(handle, 2, 100);
            it.fstat(handle);
            it.read(handle, 100, 100);
        });
    }),
    ("open to write", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| {
            it.write(handle, 2, b"WRITTEN")
        });
    }),
    ("open to append", |it, path| {
        let flags = OpenFlags::WRITE | OpenFlags::APPEND;
        it.with_file(path, flags, |it, handle| it.write(handle, 2, b"WRITTEN"));
    }),
    ("open to create", |it, path| {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        it.with_file(path, flags, |it, handle| it.write(handle, 2, b"WRITTEN"));
    }),
    ("open to truncate", |it, path| {
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::TRUNCATE;
        it.with_file(path, flags, |it, handle| it.read(handle, 0, 10));
    }),
    ("open to make anew", |it, path| {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE_NEW;
        it.with_file(path, flags, |it, handle| it.fstat(handle));
    }),
    ("setstat size", |it, path| it.setstat(path, size_attrs(3))),
    ("setstat mode", |it, path| {
        it.setstat(path, mode_attrs(0o4751))
    }),
    ("setstat times", |it, path| {
        it.setstat(path, time_attrs(1_000_000_000, 1_100_000_000))
    }),
    ("setstat owner", |it, path| it.setstat(path, own())),
    ("lsetstat size", |it, path| it.lsetstat(path, size_attrs(3))),
    ("lsetstat mode", |it, path| {
        it.lsetstat(path, mode_attrs(0o751))
    }),
    ("lsetstat times", |it, path| {
        it.lsetstat(path, time_attrs(1_000_000_000, 1_100_000_000))
    }),
    ("lsetstat owner", |it, path| it.lsetstat(path, own())),
    ("mkdir", |it, path| it.mkdir(path, mode_attrs(0o1750))),
    ("rmdir", |it, path| it.rmdir(path)),
    ("remove", |it, path| it.remove(path)),
    ("symlink", |it, path| it.symlink(b"tar//get", path)),
    ("rename from", |it, path| it.rename(path, b"new")),
    ("rename file to", |it, path| it.rename(b"file", path)),
    ("rename dir to", |it, path| it.rename(b"dir", path)),
    ("rename link to", |it, path| it.rename(b"link", path)),
    ("posix-rename from", |it, path| {
        it.posix_rename(path, b"new")
    }),
    ("posix-rename file to", |it, path| {
        it.posix_rename(b"file", path)
    }),
    ("posix-rename dir to", |it, path| {
        it.posix_rename(b"dir", path)
    }),
    ("hardlink from", |it, path| it.hardlink(path, b"new")),
    ("hardlink to", |it, path| it.hardlink(b"file", path)),
];

/// What is done in several steps, for which the path is `file`.
const SEQUENCES: &[Operation] = &[
    ("write where nothing may be written", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.write(handle, 0, b"x")
        });
    }),
    ("read where nothing may be read", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| it.read(handle, 0, 1));
    }),
    ("read far out", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.read(handle, 6, 1);
            it.read(handle, 1 << 62, 1);
            it.read(handle, i64::MAX as u64 - 100, 10);
        });
    }),
    ("read beyond what is counted", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.read(handle, u64::MAX, 1)
        });
    }),
    ("write beyond what is counted", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| {
            it.write(handle, u64::MAX, b"x")
        });
    }),
    ("truncate beyond what is counted", |it, path| {
        it.setstat(path, size_attrs(u64::MAX))
    }),
    ("write nothing", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| {
            it.write(handle, 100, b"")
        });
    }),
    ("write beyond the end", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| {
            it.write(handle, 10_000, b"x")
        });
    }),
    ("fsetstat", |it, path| {
        it.with_file(path, OpenFlags::WRITE, |it, handle| {
            it.fsetstat(handle, size_attrs(3));
            it.fsetstat(handle, mode_attrs(0o4711));
            it.fsetstat(handle, owner_attrs(u32::MAX, u32::MAX));
            it.fsetstat(handle, time_attrs(1, 1_000_000_000));
            it.fsync(handle);
            it.fstatvfs(handle);
        });
    }),
    ("truncate where nothing may be written", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.fsetstat(handle, size_attrs(0))
        });
    }),
    ("create with the permissions asked for", |it, _| {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        it.create(b"made", flags, mode_attrs(0o106_751));
        it.create(b"made too", flags, mode_attrs(0));
        it.create(b"file", flags, mode_attrs(0o700));
    }),
    ("append without leave to write", |it, path| {
        it.with_file(path, OpenFlags::APPEND, |it, handle| {
            it.write(handle, 0, b"x")
        });
    }),
    ("open for nothing", |it, path| {
        it.with_file(path, OpenFlags::CREATE, |it, handle| it.read(handle, 0, 10));
    }),
    ("truncate what is only read", |it, path| {
        let flags = OpenFlags::READ | OpenFlags::TRUNCATE;
        it.with_file(path, flags, |it, handle| it.read(handle, 0, 10));
    }),
    ("make anew through a link", |it, _| {
        it.with_file(
            b"dangling",
            OpenFlags::WRITE | OpenFlags::CREATE_NEW,
            |_, _| (),
        );
        it.with_file(b"dangling", OpenFlags::WRITE | OpenFlags::CREATE, |_, _| ());
    }),
    ("a file that is gone while it is open", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.remove(path);
            it.read(handle, 0, 100);
            it.fstat(handle);
        });
    }),
    ("a file that is replaced while it is open", |it, path| {
        it.with_file(path, OpenFlags::READ, |it, handle| {
            it.posix_rename(b"dir/file", path);
            it.read(handle, 0, 100);
        });
    }),
    ("all changes at once", |it, path| {
        let mut attrs = time_attrs(1_000_000_000, 1_100_000_000);
        attrs.size = Some(1);
        attrs.permissions = Some(0o100_600);
        attrs.owner = own().owner;
        it.setstat(path, attrs);
        it.stat(path);
    }),
    ("no change at all", |it, path| {
        it.setstat(path, Default::default())
    }),
    ("links that are not normal", |it, _| {
        for target in [
            &b""[..],
            b"/",
            b"//a/../b/",
            b"\xff\n",
            &[b't'; 4095],
            &[b't'; 4096],
        ] {
            it.symlink(target, b"made");
            it.readlink(b"made");
            it.remove(b"made");
        }
    }),
    ("a directory into itself", |it, _| {
        it.rename(b"dir", b"dir/sub");
        it.posix_rename(b"dir", b"dir/sub");
    }),
    ("directories over others", |it, _| {
        it.posix_rename(b"dir", b"empty");
        it.posix_rename(b"file", b"empty");
        it.rename(b"empty", b"new");
        it.posix_rename(b"new", b"empty");
    }),
    ("names to numbers", |it, _| {
        it.owner_names(&[0, 4_000_000_000], &[0])
    }),
    ("homes", |it, _| {
        it.home(b"");
        it.home(b"root");
        it.home(b"no such user");
        it.expand_path(b"~");
        it.expand_path(b"~/x");
        it.expand_path(b"~root/x");
        it.expand_path(b"~no such user/x");
        it.expand_path(b"dir/~");
    }),
];

fn own() -> sansftp_proto::sftp::Attrs {
    let own = fs::metadata(".").unwrap();
    owner_attrs(own.uid(), own.gid())
}

/// Two servers, each in a directory of its own.
struct Both {
    #[expect(dead_code, reason = "what is dropped with the rest is removed")]
    around: TempDir,
    roots: [PathBuf; 2],
    peers: [Peer; 2],
}

impl Both {
    fn start() -> Self {
        let around = tempfile::tempdir().unwrap();
        let roots = ["theirs", "ours"].map(|it| {
            let root = around.path().join(it).join("root");
            fs::create_dir_all(&root).unwrap();
            fs::canonicalize(root).unwrap()
        });
        let peers = [Peer::openssh(&roots[0]), Peer::ours(&roots[1])];
        Self {
            around,
            roots,
            peers,
        }
    }

    /// Runs an operation against both, in directories that are as new, and says how they differ.
    fn differ(
        &mut self,
        name: &str,
        operation: fn(&mut Peer, &[u8]),
        path: &str,
    ) -> Option<String> {
        let [theirs, ours] = [0, 1].map(|index| {
            let (root, peer) = (&self.roots[index], &mut self.peers[index]);
            prepare(root);
            operation(peer, path.as_bytes());
            let answers = std::mem::take(&mut peer.answers).join("; ");
            let answers = answers.replace(root.to_str().unwrap(), "ROOT");
            let parent = root.parent().unwrap();
            (
                answers.replace(parent.to_str().unwrap(), "PARENT"),
                snapshot(parent),
            )
        });
        if theirs == ours {
            return None;
        }
        let path = label(path);
        let mut text = format!("{name} {path}: theirs {} | ours {}", theirs.0, ours.0);
        for (path, what) in theirs
            .1
            .iter()
            .filter(|(path, what)| ours.1.get(*path) != Some(*what))
        {
            let ours = ours.1.get(path);
            text += &format!(" | {} theirs {what}, ours {ours:?}", path.escape_ascii());
        }
        for (path, what) in ours
            .1
            .iter()
            .filter(|(path, _)| !theirs.1.contains_key(*path))
        {
            text += &format!(" | {} only ours {what}", path.escape_ascii());
        }
        Some(text)
    }
}

/// The directory stays, for the servers have begun in it.
fn prepare(root: &Path) {
    for directory in [root, root.parent().unwrap()] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        let now = FileTimes::new().set_modified(SystemTime::now());
        fs::File::open(directory).unwrap().set_times(now).unwrap();
    }
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().is_dir() {
            true => {
                fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
                fs::remove_dir_all(path).unwrap();
            }
            false => fs::remove_file(path).unwrap(),
        }
    }
    for directory in ["dir", "empty"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fs::write(root.join("file"), "contents").unwrap();
    fs::write(root.join("dir/file"), "other contents").unwrap();
    for (target, link) in [
        ("file", "link"),
        ("dir", "dirlink"),
        ("nowhere", "dangling"),
        ("loop", "loop"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), pipe, 0o600.into(), 0).unwrap();
}

#[test]
fn clients_find_what_they_know_from_sftp_server() {
    let mut both = Both::start();
    let (mut compared, mut unexpected) = (0, Vec::new());
    let mut compare = |name: &str, operation, path: &str| {
        compared += 1;
        let difference = both.differ(name, operation, path);
        unexpected.extend(difference.filter(|_| !on_purpose(name, path)));
    };
    for path in &paths() {
        for &(name, operation) in OPERATIONS {
            // sftp-server waits for somebody at the other end of a pipe.
            if path == "pipe" && name.starts_with("open to") {
                continue;
            }
            compare(name, operation, path);
        }
    }
    for &(name, operation) in SEQUENCES {
        compare(name, operation, "file");
    }
    let count = unexpected.len();
    assert_eq!(
        count,
        0,
        "{count} of {compared}:\n{}",
        unexpected.join("\n")
    );
}
