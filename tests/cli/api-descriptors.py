#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests with descriptors that nobody wants: api-descriptors.py SOCKET PID IMAGE.

Whatever comes, in whatever order, the process has as many files open afterwards as before.
"""
import array
import os
import socket
import sys
import time

path, pid, image = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def opened():
    """Without sockets: a connection's end is seen a little later than its client's."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def connect():
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(path)
    return sock


def send(sock, data, count):
    fds = [os.open(image, os.O_RDONLY) for _ in range(count)]
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    for fd in fds:
        os.close(fd)


def request(method, verb, body=b""):
    return (f"{method} /api/v1/{verb} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            .encode() + body)


def status(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    return int(data.split()[1]) if data else 0


def settle(due):
    """The process closes at the end of an answer: until then, or a minute."""
    end = time.monotonic() + 60
    while opened() != due and time.monotonic() < end:
        time.sleep(0.01)
    assert opened() == due, (opened(), due)


before = opened()
for count in (1, 2, 31, 32, 33, 100, 253):
    # A request that wants none, one that can have one and gets more, one that is wrong.
    for text, due in ((request("GET", "vm.info"), (200,)),
                      (request("PUT", "vm.add-disk", b'{"id": "many"}'), (400, 500)),
                      (request("PUT", "vm.add-adi", b'{"type": "dsa", "wqs": [{"size": 4}]}'), (400,)),
                      (request("PUT", "vm.add-disk", b"{"), (400,)),
                      (b"no HTTP at all\r\n\r\n", (400,))):
        sock = connect()
        send(sock, text, count)
        answered = status(sock)
        assert answered in due, (count, text, answered)
        sock.close()
        settle(before)
# Byte by byte, each with some, and gone in the middle.
sock = connect()
for byte in request("PUT", "vm.add-disk", b"{}")[:60]:
    send(sock, bytes([byte]), 3)
settle(before + 32)
sock.close()
settle(before)
# Who follows events has no use for any.
sock = connect()
sock.sendall(request("GET", "events"))
sock.recv(65536)
settle(before)
send(sock, b"x", 10)
sock.sendall(b"y")
time.sleep(0.1)
settle(before)
sock.close()
settle(before)
