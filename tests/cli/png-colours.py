#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints how many pixels of a PNG file (8 bits a channel) are white, and how many colours the others have."""
import struct
import sys
import zlib


def chunks(data):
    at = 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def predict(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def rows(raw, stride, step):
    """PNG 1.2, section 6: filters."""
    before = bytearray(stride)
    for at in range(0, len(raw), stride + 1):
        kind, line = raw[at], bytearray(raw[at + 1 : at + 1 + stride])
        for i in range(stride):
            left = line[i - step] if i >= step else 0
            up_left = before[i - step] if i >= step else 0
            add = (0, left, before[i], (left + before[i]) // 2, predict(left, before[i], up_left))
            line[i] = (line[i] + add[kind]) & 255
        yield line
        before = line


def main():
    with open(sys.argv[1], "rb") as file:
        parts = list(chunks(file.read()))
    width, height, depth, colour = struct.unpack(">IIBB", parts[0][1][:10])
    step = {2: 3, 6: 4}[colour]
    assert depth == 8
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    seen = {}
    for line in rows(raw, width * step, step):
        for x in range(0, width * step, step):
            pixel = bytes(line[x : x + 3])
            seen[pixel] = seen.get(pixel, 0) + 1
    white = seen.pop(b"\xff\xff\xff", 0)
    print(width * height, white, len(seen))


main()
