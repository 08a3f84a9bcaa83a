#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.json against a server whose VM runs: api-document.py SOCKET ADIT.

Every operation of the document is one of adit ctl's verbs and the other way round; each is asked,
and what comes back has a status and a shape that the document names. What would end the VM is asked
in a way that is refused.
"""
import http.client
import json
import socket
import subprocess
import sys

path, adit = sys.argv[1], sys.argv[2]
with open("docs/openapi.json", encoding="utf-8") as file:
    document = json.load(file)
schemas = document["components"]["schemas"]


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)


def ask(method, name, body=None):
    connection = Connection("localhost")
    connection.request(method.upper(), "/api/v1" + name, body)
    answer = connection.getresponse()
    stream = answer.getheader("Content-Type") == "application/x-ndjson"
    text = answer.readline() if stream else answer.read()
    connection.close()
    return answer.status, text


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}


def check(schema, value, where):
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), (where, value)
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if isinstance(value, list):
        for item in value:
            check(schema["items"], item, where + "/-")
    if not isinstance(value, dict):
        return
    for key in schema.get("required", []):
        assert key in value, (where, key)
    rest = schema.get("additionalProperties", True)
    for key, inner in value.items():
        if key in schema.get("properties", {}):
            check(schema["properties"][key], inner, where + "/" + key)
        elif isinstance(rest, dict):
            check(rest, inner, where + "/" + key)
        else:
            assert rest, (where, "unknown", key)


usage = subprocess.run([adit, "ctl"], stderr=subprocess.PIPE, text=True, check=False).stderr
verbs = {line.split()[0] for line in usage.splitlines() if line.startswith("  ")}
named = {name[1:] for name in document["paths"]}
assert verbs == named, verbs ^ named

# A body where none belongs, or none where one does, is refused before anything is done.
for name, operations in document["paths"].items():
    (method, operation), = operations.items()
    status, text = ask(method, name, None if method == "get" or "requestBody" in operation else "{}")
    if method == "put":
        assert status == 400, (name, status)
        check(schemas["Error"], json.loads(text), name)
        continue
    answers = operation["responses"]
    assert str(status) in answers, (name, status)
    (content, shape), = answers[str(status)]["content"].items()
    check(shape["schema"], json.loads(text) if "json" in content else text.decode(), name)
    status, text = ask("delete", name)
    assert status == 405, (name, status)

# The way from state to state, each with a status that the document names.
for name in ("vm.create vm.resume vm.pause vm.pause vm.resume vm.power-button vm.reboot vm.boot "
             "vm.shutdown vm.shutdown vm.counters vm.boot").split():
    (method, operation), = document["paths"]["/" + name].items()
    body = '{"payload": {"flat": "x"}}' if name == "vm.create" else None
    status, text = ask(method, "/" + name, body)
    assert str(status) in operation["responses"], (name, status, text)
    assert (status == 204) == (not text), (name, status, text)

# What comes and goes, running and stopped, and what is refused.
ADI = {"id": "documented", "type": "dsa", "wqs": [{"size": 4}]}
for name, body in (("vm.add-adi", ADI), ("vm.add-adi", ADI), ("vm.add-disk", {"path": "/no/such"}),
                   ("vm.add-net", {"tap": "lo"}), ("vm.add-device", {"path": "ffff:1f:1f.7"}),
                   ("vm.add-user-device", {"socket": "/no/such"}), ("vm.remove-device", {"id": "nobody"}),
                   ("vm.remove-device", {"id": "documented", "force": True}), ("vm.shutdown", None),
                   ("vm.add-adi", ADI), ("vm.remove-device", {"id": "documented"}), ("vm.boot", None)):
    (method, operation), = document["paths"]["/" + name].items()
    status, text = ask(method, "/" + name, body and json.dumps(body))
    assert str(status) in operation["responses"], (name, status, text)
    assert (status == 204) == (not text), (name, status, text)
    if text:
        (shape,) = operation["responses"][str(status)]["content"].values()
        check(shape["schema"], json.loads(text), name)
