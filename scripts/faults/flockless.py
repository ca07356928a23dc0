#!/usr/bin/env python3
"""Mounts a file system whose files cannot be locked with flock(2), as some network file systems are.

    scripts/faults/flockless.py DIRECTORY ERROR

Every flock(2) in it fails with ERROR (ENOLCK, EOPNOTSUPP, ENOSYS, …); all else that a lock file needs works, in memory. Says
"mounted", and serves until its standard input is closed. Wants root and /dev/fuse; exits with 77 where it cannot mount.
The kernel's side of this is in fuse(4) and <linux/fuse.h>.
"""

import ctypes
import errno
import os
import select
import stat
import struct
import sys
import time

LOOKUP, FORGET, GETATTR, SETATTR, UNLINK, OPEN, READ, WRITE, STATFS = 1, 2, 3, 4, 10, 14, 15, 16, 17
RELEASE, FSYNC, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 18, 20, 25, 26, 27, 28, 29, 30
SETLK, SETLKW, ACCESS, CREATE, INTERRUPT, BATCH_FORGET = 32, 33, 34, 35, 36, 42
NO_ANSWER = {FORGET, BATCH_FORGET, INTERRUPT}
DONE = {RELEASE, FSYNC, FLUSH, RELEASEDIR, FSYNCDIR, ACCESS}
FLOCK_LOCKS = 1 << 10
LK_FLOCK = 1
SIZE_IS_SET = 1 << 3
ROOT = 1
LARGEST = 1 << 20


class Refused(Exception):
    """An errno for whoever asked."""


class Files:
    """One directory of files, each a node with its bytes; the root is a node without."""

    def __init__(self, lock_error):
        self.lock_error = lock_error
        self.names, self.data = {}, {ROOT: None}

    def attributes(self, node):
        if node not in self.data:
            raise Refused(errno.ENOENT)
        data = self.data[node]
        size, mode = (0, stat.S_IFDIR | 0o755) if data is None else (len(data), stat.S_IFREG | 0o644)
        now = int(time.time())
        return struct.pack("<6Q10I", node, size, 0, now, now, now, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def entry(self, node):
        return struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + self.attributes(node)

    def answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<4I2HI", 7, 31, 0, FLOCK_LOCKS, 8, 8, LARGEST) + bytes(40)
        if opcode in (SETLK, SETLKW):
            flags = struct.unpack_from("<2Q2Q2II", body)[-1]
            raise Refused(self.lock_error if flags & LK_FLOCK else errno.ENOSYS)
        if opcode in DONE:
            return b""
        if opcode == LOOKUP:
            return self.entry(self.names.get(name_in(body), 0))
        if opcode == GETATTR:
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if opcode == SETATTR:
            if struct.unpack_from("<I", body)[0] & SIZE_IS_SET:
                size = min(struct.unpack_from("<Q", body, 16)[0], LARGEST)
                self.data[node] = self.data[node][:size].ljust(size, b"\0")
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<Q2I", 0, 0, 0)
        if opcode == CREATE:
            node = max(self.data) + 1
            self.names[name_in(body[16:])], self.data[node] = node, b""
            return self.entry(node) + struct.pack("<Q2I", 0, 0, 0)
        if opcode == UNLINK:
            self.names.pop(name_in(body), None)
            return b""
        if opcode == READ:
            offset, size = struct.unpack_from("<QI", body, 8)
            return self.data[node][offset:offset + size]
        if opcode == WRITE:
            offset, size = struct.unpack_from("<QI", body, 8)
            old, new = self.data[node], body[40:40 + size]
            self.data[node] = old[:offset].ljust(offset, b"\0") + new + old[offset + size:]
            return struct.pack("<2I", size, 0)
        if opcode == READDIR:
            return self.listing(*struct.unpack_from("<QI", body, 8))
        if opcode == STATFS:
            return struct.pack("<5Q10I", 100, 50, 50, 100, 50, 4096, 255, 4096, *[0] * 7)
        raise Refused(errno.ENOSYS)

    def listing(self, offset, size):
        entries = b""
        for at, (name, node) in enumerate(sorted(self.names.items()), 1):
            entry = struct.pack("<2Q2I", node, at, len(name), 8) + name
            entry += bytes(-len(entry) % 8)
            if at > offset and len(entries) + len(entry) <= size:
                entries += entry
        return entries


def name_in(body):
    return body.split(b"\0", 1)[0]


def main():
    if len(sys.argv) != 3 or not hasattr(errno, sys.argv[2]):
        sys.exit(__doc__)
    directory, files = os.fsencode(sys.argv[1]), Files(getattr(errno, sys.argv[2]))
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        print(f"skipped: no /dev/fuse: {error}", file=sys.stderr)
        return 77
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    if libc.mount(b"flockless", directory, b"fuse", 0, options.encode()) != 0:
        print(f"skipped: cannot mount: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 77
    try:
        print("mounted", flush=True)
        serve(device, files)
    finally:
        libc.umount2(directory, 2)
    return 0


def serve(device, files):
    while True:
        ready, _, _ = select.select([device, 0], [], [])
        if 0 in ready and not os.read(0, 4096):
            return
        if device not in ready:
            continue
        request = os.read(device, LARGEST + 4096)
        _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
        if opcode in NO_ANSWER:
            continue
        failure, body = 0, b""
        try:
            body = files.answer(opcode, node, request[40:])
        except Refused as refused:
            failure = refused.args[0]
        os.write(device, struct.pack("<IiQ", 16 + len(body), -failure, unique) + body)


if __name__ == "__main__":
    sys.exit(main())
