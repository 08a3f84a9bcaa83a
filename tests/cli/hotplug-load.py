#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four clients add and remove a disk and an ADI each, ROUNDS times: hotplug-load.py SOCKET DIRECTORY ROUNDS."""
import http.client
import json
import os
import socket
import sys
import threading

path, directory, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
wrong = []


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(path)


def client(number):
    connection = Connection("localhost")

    def ask(verb, body, due):
        connection.request("PUT", "/api/v1/" + verb, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != due:
            wrong.append((verb, body, answer.status, text))

    image = os.path.join(directory, f"load{number}")
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    disk, adi = f"d{number}", f"a{number}"
    for turn in range(rounds):
        ask("vm.add-disk", {"id": disk, "path": image, "image_type": "Raw"}, 200)
        ask("vm.add-adi", {"id": adi, "type": "dsa", "wqs": [{"size": 4}]}, 200)
        force = turn % 4 == 3
        ask("vm.remove-device", {"id": disk, "timeout": 0 if force else 100, "force": force}, 204)
        ask("vm.remove-device", {"id": adi, "timeout": 100, "force": force}, 204)


threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for row in wrong[:5]:
    print("#", *row)
sys.exit(1 if wrong else 0)
