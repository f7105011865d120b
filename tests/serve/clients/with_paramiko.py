"""One action over paramiko: PORT USER KEY KNOWN_HOSTS REMOTE_DIR LOCAL_DIR ACTION. An assertion that fails ends it with 1."""

import os
import stat
import sys

import paramiko

port, user, key, known_hosts, there, here, action = sys.argv[1:8]


def local(name):
    return os.path.join(here, name)


def remote(name):
    return there + "/" + name


def fails(call, *errors):
    """Whether the call raises one of these, and not whether it raises anything."""
    try:
        call()
    except errors:
        return True
    return False


client = paramiko.SSHClient()
client.load_host_keys(known_hosts)
client.set_missing_host_key_policy(paramiko.RejectPolicy())
client.connect("127.0.0.1", int(port), user, key_filename=key, look_for_keys=False, allow_agent=False)
sftp = client.open_sftp()

if action == "list":
    print("\n".join(entry.longname for entry in sftp.listdir_attr(remote("dir"))))
elif action == "get":
    # Asks for the whole file before it reads the first answer.
    sftp.get(remote("source"), local("got"))
elif action == "get-of":
    sftp.get(remote(sys.argv[8]), local(sys.argv[8]))
elif action == "put":
    sftp.put(local("source"), remote("sent"))
elif action == "append":
    with sftp.open(remote("log"), "a") as log, open(local("more"), "rb") as more:
        log.write(more.read())
elif action == "resume-get":
    with sftp.open(remote("source"), "rb") as source, open(local("source"), "ab") as target:
        source.seek(target.tell())
        source.prefetch()
        target.write(source.read())
elif action == "resume-put":
    with open(local("source"), "rb") as source, sftp.open(remote("source"), "r+") as target:
        done = target.stat().st_size
        source.seek(done)
        target.seek(done)
        target.write(source.read())
elif action == "rename":
    sftp.rename(remote("old"), remote("new"))
elif action == "mkdir":
    sftp.mkdir(remote("made"))
elif action == "rmdir":
    sftp.rmdir(remote("empty"))
elif action == "chmod":
    sftp.chmod(remote("file"), 0o640)
elif action == "symlink":
    sftp.symlink("file", remote("link"))
elif action == "prefetch-unread":
    # Asks for everything and reads nothing until it is told to go on.
    source = sftp.open(remote("source"), "rb")
    source.prefetch()
    print("asked", flush=True)
    sys.stdin.readline()
elif action == "everything":
    file = remote("file")
    assert sftp.stat(file).st_size == 100000
    assert sftp.normalize(remote("../" + there + "/./file")).endswith("/" + file)
    with sftp.open(file, "r+b") as handle:
        handle.seek(99990)
        assert len(handle.read(100)) == 10
        assert handle.read(1) == b""
        handle.truncate(5)
        assert handle.stat().st_size == 5
        handle.chmod(0o600)
        handle.utime((1000000000, 1100000000))
    found = sftp.stat(file)
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (5, 0o600)
    assert (found.st_atime, found.st_mtime) == (1000000000, 1100000000)
    sftp.truncate(file, 70000)
    with sftp.open(file, "rb") as handle:
        assert handle.read()[5:] == bytes(69995)
        # Many places at once, one of them behind the end.
        assert [len(part) for part in handle.readv([(0, 10), (40000, 30000), (69999, 1)])] == [10, 30000, 1]

    # Exclusive creation, and what is not there or is no file.
    assert fails(lambda: sftp.open(file, "x"), IOError)
    assert fails(lambda: sftp.stat(remote("missing")), FileNotFoundError)
    assert fails(lambda: sftp.listdir(file), IOError)
    assert fails(lambda: sftp.rmdir(file), IOError)
    assert fails(lambda: sftp.mkdir(file), IOError)

    # RENAME takes no existing name (draft 3 §6.5); OpenSSH's own does.
    with sftp.open(remote("other"), "w") as handle:
        handle.write(b"other")
    assert fails(lambda: sftp.rename(file, remote("other")), IOError)
    sftp.posix_rename(remote("other"), file)
    assert sftp.stat(file).st_size == 5
    assert "other" not in sftp.listdir(there)

    sftp.symlink("file", remote("link"))
    assert sftp.readlink(remote("link")) == "file"
    assert stat.S_ISLNK(sftp.lstat(remote("link")).st_mode)
    assert stat.S_ISREG(sftp.stat(remote("link")).st_mode)

    sftp.mkdir(remote("sub"), 0o750)
    assert stat.S_IMODE(sftp.stat(remote("sub")).st_mode) & 0o027 == 0
    for number in range(300):
        sftp.open(remote("sub/%03d" % number), "w").close()
    assert sorted(sftp.listdir(remote("sub"))) == ["%03d" % number for number in range(300)]
    assert fails(lambda: sftp.rmdir(remote("sub")), IOError)
    sftp.chdir(remote("sub"))
    assert sftp.getcwd().endswith("/sub")
    assert len(list(sftp.listdir_iter("."))) == 300
else:
    sys.exit("there is no action " + action)
sftp.close()
client.close()
