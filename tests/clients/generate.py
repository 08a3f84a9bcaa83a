#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Python client, generated from an OpenAPI document: generate.py DOCUMENT >client.py.

One method an operation, named as its path is, with a body where the document has one. A body and
an answer that the document does not allow are errors of the client's. What others' generators make
of the document, this does with the little that adit's API has: bodies in JSON and no parameters.
"""
import json
import sys

HEAD = '''"""Made from %(title)s %(version)s by generate.py: not to be edited."""
import http.client
import json
import socket

import jsonschema

DOCUMENT = json.loads(%(document)r)


class Unexpected(Exception):
    """An answer that the document does not have."""


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def check(schema, value):
    jsonschema.Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


class Client:
    def __init__(self, path):
        self.path = path

    def call(self, method, path, body=None, judge=True):
        """Status and value of the answer; judge: whether a body must be as the document has it."""
        operation = DOCUMENT["paths"][path][method.lower()]
        text = None
        if body is not None:
            if judge:
                check(operation["requestBody"]["content"]["application/json"]["schema"], body)
            text = json.dumps(body)
        connection = Connection(self.path)
        try:
            connection.request(method, "%(base)s" + path, text,
                               {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type")
            data = answer.readline() if kind == "application/x-ndjson" else answer.read()
        finally:
            connection.close()
        response = operation["responses"].get(str(answer.status))
        if response is None:
            raise Unexpected(f"{path}: status {answer.status}: {data[:200]!r}")
        if "content" not in response:
            if data:
                raise Unexpected(f"{path}: {answer.status} has a body: {data[:200]!r}")
            return answer.status, None
        if kind not in response["content"]:
            raise Unexpected(f"{path}: {answer.status} is of type {kind}")
        value = json.loads(data) if "json" in kind else data.decode()
        check(response["content"][kind]["schema"], value)
        return answer.status, value
'''

METHOD = '''
    def %(name)s(self%(argument)s):
        """%(summary)s"""
        return self.call("%(method)s", "%(path)s"%(pass)s)
'''


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    print(HEAD % {"title": document["info"]["title"], "version": document["info"]["version"],
                  "document": json.dumps(document),
                  "base": document["servers"][0]["url"].removeprefix("http://localhost")}, end="")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = "requestBody" in operation
            print(METHOD % {"name": path[1:].replace(".", "_").replace("-", "_"),
                            "argument": ", body" if body else "", "method": method.upper(),
                            "summary": operation["summary"].replace('"', "'"), "path": path,
                            "pass": ", body" if body else ""}, end="")


main()
