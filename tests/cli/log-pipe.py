#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A VM whose log is a pipe that nobody reads, asked for more than fits: log-pipe.py ADIT CONFIG SOCKET."""
import fcntl
import os
import socket
import subprocess
import sys

adit, config, path = sys.argv[1:]
F_SETPIPE_SZ = 1031
ASKED = 250


def ask(verb):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(path)
        s.sendall(f"PUT /api/v1/{verb} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return s.recv(4096).split(b" ")[1]


ours, theirs = os.pipe()
size = fcntl.fcntl(theirs, F_SETPIPE_SZ, 16384)
with subprocess.Popen([adit, "run", config, "--api-socket", path], stdout=subprocess.PIPE,
                      stderr=theirs, stdin=subprocess.DEVNULL) as vm:
    assert vm.stdout.readline() == b"ready\n"
    # Each is a line with who asked.
    for _ in range(ASKED):
        assert ask("vm.pause") == b"204"
        assert ask("vm.resume") == b"204"
    assert not fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK, "it is ours as well"
    assert ask("vmm.shutdown") == b"204"
    assert vm.wait(60) == 0
os.close(theirs)
with os.fdopen(ours, "rb") as log:
    text = log.read()
lines = text.split(b"\n")
assert len(text) > size / 2 and lines.pop() == b"", text
assert len(lines) < 2 * ASKED and all(line.startswith(b"adit: ") for line in lines), lines
