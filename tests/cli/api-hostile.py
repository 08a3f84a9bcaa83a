#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm beside one that does not: api-hostile.py SOCKET PID.

Some send a request byte by byte or half of one, some ask and never read, some only connect, many
more than there is room for. Meanwhile an honest client is answered every time.
"""
import os
import resource
import socket
import sys

path, pid = sys.argv[1], int(sys.argv[2])
PING = b"GET /api/v1/vmm.ping HTTP/1.1\r\nHost: x\r\n\r\n"
INFO = b"GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n"
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(60)
    return s


def answered(s):
    s.sendall(PING)
    data = b""
    while not data.endswith(b"}\n"):
        piece = s.recv(4096)
        assert piece, data
        data += piece
    assert data.startswith(b"HTTP/1.1 200"), data


def rss():
    """KiB; 0 under a sanitizer, whose quarantine grows."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        if "libasan" in (names := maps.read()) or "libtsan" in names:
            return 0
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


honest = connect()
answered(honest)
before = rss()

# In pieces of one byte, all the same a request; two at once, two answers.
slow = connect()
for byte in PING[:-4]:
    slow.sendall(bytes([byte]))
answered(honest)
slow.sendall(PING[-4:])
assert slow.recv(4096).startswith(b"HTTP/1.1 200")
slow.sendall(PING + PING + PING)
text = b""
while text.count(b"build_version") < 3:
    text += slow.recv(4096)

# Asks and never reads: it is not read from any more, and nobody else notices.
deaf = connect()
deaf.setblocking(False)
sent = 0
try:
    while True:
        sent += deaf.send(INFO * 100)
except BlockingIOError:
    pass
assert sent < 16 << 20, sent
answered(honest)

# Half requests, held.
held = []
for i in range(100):
    s = connect()
    s.sendall(PING[: 1 + i % (len(PING) - 2)])
    held.append(s)
answered(honest)

# Events that are never read.
for i in range(20):
    s = connect()
    s.sendall(b"GET /api/v1/events HTTP/1.1\r\n\r\n")
    held.append(s)
answered(honest)

# Ten thousand connections, a part of them at a time, each gone without a word.
for _ in range(100):
    crowd = [connect() for _ in range(100)]
    for s in crowd:
        s.close()
    answered(honest)

# A full house of half requests: those already here are served.
crowd = []
for i in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    try:
        s.connect(path)
        s.send(b"GET")
    except OSError:
        s.close()
        break
    crowd.append(s)
answered(honest)
for s in crowd + held:
    s.close()
deaf.close()
answered(honest)
late = connect()
answered(late)

# Descriptors that come along are dropped, not kept.
fds = socket.socketpair()
for _ in range(50):
    socket.send_fds(late, [PING], [fds[0].fileno()] * 8)
    late.recv(4096)
here = len(os.listdir(f"/proc/{pid}/fd"))
assert here < 100, here
assert rss() - before < 4096, (before, rss())
