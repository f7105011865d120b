"""One connection of a server by paramiko, on standard input, which is a socket: SFTP in one directory, for
whoever holds a key of a file.

Usage: paramiko.py DIRECTORY AUTHORIZED_KEYS HOST_KEY...
"""

import os
import socket
import sys

import paramiko

DIRECTORY, AUTHORIZED = sys.argv[1:3]
KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def host_key(path):
    """The key in the file, of whichever type it is; none of a type that this paramiko does not know."""
    for kind in KINDS:
        try:
            return kind.from_private_key_file(path)
        except Exception:
            continue
    return None


class Door(paramiko.ServerInterface):
    """Lets keys of the file in, under any name."""

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        with open(AUTHORIZED) as lines:
            known = [line.split()[1] for line in lines if line.strip()]
        if key.get_base64() in known:
            return paramiko.AUTH_SUCCESSFUL
        return paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Handle(paramiko.SFTPHandle):
    """An open file; both directions share one object."""

    def __init__(self, file, flags):
        super().__init__(flags)
        self.readfile = self.writefile = file

    def stat(self):
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class Files(paramiko.SFTPServerInterface):
    """The files of one directory, which is the root."""

    def place(self, path):
        return DIRECTORY + self.canonicalize(path)

    def open(self, path, flags, attr):
        try:
            descriptor = os.open(self.place(path), flags, 0o644)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        return Handle(os.fdopen(descriptor, "wb" if writes else "rb"), flags)

    def stat(self, path):
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self.place(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def remove(self, path):
        try:
            os.remove(self.place(path))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK


# Without them it offers group exchange and fails it.
paramiko.Transport.load_server_moduli()
transport = paramiko.Transport(socket.socket(fileno=0))
for key in filter(None, map(host_key, sys.argv[3:])):
    transport.add_server_key(key)
transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
transport.start_server(server=Door())
transport.join()
