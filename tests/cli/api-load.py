#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients at once: api-load.py SOCKET PID CLIENTS REQUESTS.

Each client keeps its connection and asks; one request in a hundred is malformed, after which the
server closes and the client comes again. Every request must be answered as it deserves, and the
server's memory must not grow between the first tenth and the end.
"""
import re
import socket
import sys
import threading

path, pid, clients, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

GOOD = [
    (b"GET /api/v1/vmm.ping HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET /api/v1/vm.counters HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET /api/v1/no.such HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"GET /api/v1/vm.boot HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"a\":1,\"a\":2} ", 400),
]
BAD = [
    (b"GARBAGE\r\n\r\n", 400),
    (b"GET /api/v1/vmm.ping HTTP/3.7\r\n\r\n", 505),
    (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n\r\n", 414),
    (b"PUT /api/v1/vm.create HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
    (b"GET / HTTP/1.1\r\nX: " + b"b" * 9000 + b"\r\n\r\n", 431),
]


def rss():
    """KiB; 0 under a sanitizer, whose quarantine grows."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        if "libasan" in (names := maps.read()) or "libtsan" in names:
            return 0
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    return s


def read_answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise AssertionError(f"closed after {data!r}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"Content-Length: (\d+)", head)
    while length and len(body) < int(length.group(1)):
        body += s.recv(65536)
    return int(head.split()[1])


wrong, answered, lock = [], [0], threading.Lock()


def client(number, count):
    s, done = connect(), 0
    try:
        for i in range(count):
            bad = (number * 37 + i) % 100 == 99
            table = BAD if bad else GOOD
            request, due = table[(number + i) % len(table)]
            try:
                s.sendall(request)
            except BrokenPipeError:
                if not bad:
                    raise
            status = read_answer(s)
            if status != due:
                wrong.append((request[:40], due, status))
            if bad:
                s.close()
                s = connect()
            done += 1
    except Exception as error:  # whatever it is, it is a request that was lost
        wrong.append((number, repr(error)))
    finally:
        s.close()
        with lock:
            answered[0] += done


def wave(count):
    threads = [threading.Thread(target=client, args=(n, count)) for n in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


first = max(requests // 10, 1)
wave(first)
before = rss()
wave(requests - first)
after = rss()
print(f"# {answered[0]} answered, {before} KiB, then {after} KiB")
for w in wrong[:5]:
    print("#", w)
# What the allocator keeps moves by some pages; a leak of 16 bytes a request would be 1 MiB here.
grown = after - before > 512
sys.exit(bool(wrong) or answered[0] != clients * requests or grown)
