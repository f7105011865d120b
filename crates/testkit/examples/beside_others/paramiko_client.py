"""One piece of work for paramiko's SFTP client, as a program of a few lines would do it.

Usage: paramiko_client.py PORT USER KEY CIPHER get|put|get-all|put-all|list|connect|sessions FROM TO COUNT
"""

import os
import sys
import threading

import paramiko

PORT, USER, KEY, CIPHER, WORK, FROM, TO, COUNT = sys.argv[1:9]


def session():
    transport = paramiko.Transport(("127.0.0.1", int(PORT)))
    options = transport.get_security_options()
    if CIPHER in options.ciphers:
        options.ciphers = (CIPHER,)
    key = paramiko.Ed25519Key.from_private_key_file(KEY)
    transport.connect(username=USER, pkey=key)
    return paramiko.SFTPClient.from_transport(transport)


def get_one(number):
    with session() as sftp:
        sftp.get(FROM, os.path.join(TO, str(number)))
        sftp.get_channel().get_transport().close()


if WORK == "sessions":
    threads = [threading.Thread(target=get_one, args=(n,)) for n in range(int(COUNT))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit()

sftp = session()
if WORK == "get":
    sftp.get(FROM, TO)
elif WORK == "put":
    sftp.put(FROM, TO)
elif WORK == "get-all":
    for name in sftp.listdir(FROM):
        sftp.get(FROM + "/" + name, os.path.join(TO, name))
elif WORK == "put-all":
    for name in os.listdir(FROM):
        sftp.put(os.path.join(FROM, name), TO + "/" + name)
elif WORK == "list":
    print("\n".join(entry.filename for entry in sftp.listdir_attr(FROM)))
sftp.get_channel().get_transport().close()
