#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The generated client against a server: openapi.py CLIENT SOCKET FOLDER PAYLOAD SERVED.

Every operation of the document is called by the client's method with bodies made from its schema:
each alternative of each key, with and without what may be absent, and of a configuration and its
entries each default that the schema has; and with such that the schema does not allow, which the
server refuses with 400 as well. TAP on standard output.
"""
import importlib.util
import itertools
import json
import sys

import jsonschema

spec = importlib.util.spec_from_file_location("client", sys.argv[1])
generated = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generated)
client = generated.Client(sys.argv[2])
folder, payload, served = sys.argv[3:6]
schemas = generated.DOCUMENT["components"]["schemas"]

# What a schema cannot say: the names of what is there; a tuple is one of each kind. By operation,
# then for any.
KNOWN = {
    "vm.create": {"payload": {"flat": payload}, "balloon": {}, "rng": {},
                  "memory": {"size": "64M"}, "console": {"ports": [{"name": "port"}]},
                  "vsock": {"cid": 3, "socket": folder + "/vsock"},
                  "disks": [], "net": [], "adis": [], "devices": [], "cpus": {}, "serial": {}, "iommu": {},
                  "spaces": [{"id": "window", "offset": "8M", "size": "8M"}]},
    "vm.add-disk": {"path": folder + "/disk", "id": "disk"},
    "vm.resize-disk": {"id": "disk", "desired_size": (8 << 20, "16M")},
    "vm.add-adi": {"type": "dsa", "id": "adi", "wqs": [{"size": 16}], "pasid": {"allow": True},
                   "pasids": [{"guest": 1, "space": "window"}]},
    "vm.add-net": {"id": "net", "tap": "adit-openapi"},
    "vm.add-device": {"id": "function", "path": "ffff:1f:1f.7"},
    "vm.add-user-device": {"id": "served", "socket": served},
    "vm.remove-device": {"id": "served", "force": True, "timeout": 0},
    "vm.snapshot": {"destination_url": folder + "/snapshot"},
    "vm.restore": {"source_url": "file://" + folder + "/snapshot", "resume": True},
    "vm.resize": {"desired_balloon": (1 << 20, "2M"), "desired_ram": (192 << 20, "64M")},
    "": {"adi": "adi", "guest": (7, "none"), "space": "window", "host": 9, "wq": 0},
}
# What they add is not here, or not everybody's to add; the document has their refusals.
CANNOT = {"vm.add-net", "vm.add-device"}
# Made from the table of the configuration's keys: what KNOWN has not is left to their defaults.
ENTRIES = {"vm.create", "vm.add-disk", "vm.add-net", "vm.add-adi", "vm.add-device", "vm.add-user-device"}
number = failures = 0
called = {}


def ok(good, text, why=""):
    global number, failures
    number += 1
    failures += not good
    print(("" if good else "not ") + f"ok {number} - {text}")
    if not good and why:
        print(f"# {why}")


def schema_of(name):
    (operation,) = generated.DOCUMENT["paths"]["/" + name].values()
    body = operation.get("requestBody")
    if not body:
        return None
    schema = body["content"]["application/json"]["schema"]
    return schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def alternatives(name, key, schema):
    """What the key may be, of each kind that its schema has one."""
    known = KNOWN.get(name, {}).get(key, KNOWN[""].get(key))
    known = known if isinstance(known, tuple) else (known,)
    for kind in schema.get("oneOf", [schema]):
        fit = [v for v in known if v is not None and not list(
            jsonschema.Draft7Validator(kind).iter_errors(v))]
        if fit:
            yield fit[0]


def bodies(name):
    """From the least that the schema asks for to all that it has; None: no body belongs there."""
    schema = schema_of(name)
    if schema is None:
        return [None]
    keys = dict.fromkeys([*schema.get("properties", {}), *KNOWN.get(name, {})])
    if name in ENTRIES:
        keys = [k for k in keys if k in KNOWN[name]]
    least = [k for k in keys if k in schema.get("required", [])]
    found = []
    for chosen in (least, list(keys)):
        options = [list(alternatives(name, k, schema.get("properties", {}).get(k, {}))) for k in chosen]
        for k, kinds in zip(chosen, options):
            assert kinds, (name, k, "KNOWN has nothing of its kind")
        for values in itertools.product(*options):
            body = dict(zip(chosen, values))
            if body not in found and len(body) >= schema.get("minProperties", 0):
                found.append(body)
    return found


def defaults(schema, at=()):
    """Where the schema has one, and which; in a list, of its first."""
    for key, inner in schema.get("properties", {}).items():
        if "default" in inner:
            yield (*at, key), inner["default"]
        yield from defaults(inner, (*at, key))
        yield from defaults(inner.get("items", {}), (*at, key, 0))


def with_one(body, at, value):
    """A copy with the value there; None: there is another, or no such place, in a list of nothing."""
    body = json.loads(json.dumps(body))
    place = body
    for key, following in zip(at, at[1:]):
        if isinstance(place, list):
            if key >= len(place):
                return None
            place = place[key]
        else:
            place = place.setdefault(key, [] if following == 0 else {})
    return None if place.setdefault(at[-1], value) != value else body


def wrong_bodies(name, good):
    """One step away from a good one, where the schema says that it is too far."""
    schema = schema_of(name)
    for key in schema.get("required", []):
        yield {k: v for k, v in good.items() if k != key}
    for key, inner in schema.get("properties", {}).items():
        for value in ([], {}, True, 1.5, "", "x", -1, 1 << 40):
            if list(jsonschema.Draft7Validator(inner).iter_errors(value)):
                yield {**good, key: value}
    if schema.get("additionalProperties") is False:
        yield {**good, "no-such-key": 1}
    for value in ([], "x", 5):
        yield value


def call(name, body, expected=(200, 204)):
    method = getattr(client, name.replace(".", "_").replace("-", "_"))
    try:
        status, value = method() if body is None else method(body)
    except (generated.Unexpected, jsonschema.ValidationError, OSError) as problem:
        ok(False, f"{name} {body or ''}", str(problem).splitlines()[0])
        return None
    called.setdefault(name, set()).add(status)
    ok(status in expected, f"{name} {body or ''}: {status}", value)
    return value


def refuse(name):
    good = bodies(name)[0]
    for body in wrong_bodies(name, good):
        try:
            status, value = client.call("PUT", "/" + name, body, judge=False)
            why = value
        except (generated.Unexpected, jsonschema.ValidationError, OSError) as problem:
            status, why = 0, str(problem).splitlines()[0]
        # None of its name comes before what the value is.
        if status != 400:
            ok(False, f"{name} {body}: {status}, not 400", why)
            return
    ok(True, f"{name}: bodies that its schema does not allow are 400")


def each(name, between=None, expected=(200, 204)):
    for body in bodies(name):
        call(name, body, expected)
        if between and body != bodies(name)[-1]:
            between()


def each_default(name, undo):
    """What is said is what is meant where nothing is."""
    good = bodies(name)[-1]
    said = 0
    for at, value in defaults(schema_of(name)):
        body = with_one(good, at, value)
        if body is not None:
            said += 1
            call(name, body)
            undo()
    ok(said, f"{name}: {said} defaults are said")


def remove(key):
    return lambda: call("vm.remove-device", {"id": key, "force": True})


call("vmm.ping", None)
call("metrics", None)
call("events", None)
each_default("vm.create", lambda: call("vm.delete", None))
# Memory that is plugged goes with little else.
full = bodies("vm.create")[-1]
call("vm.create", {**full, "memory": {**full["memory"], "hotplug_size": "128M"}})
call("vm.boot", None)
each("vm.resize")
call("vm.delete", None)
call("vm.create", full)
call("vm.boot", None)
info = call("vm.info", None)
ok(info and info["state"] == "Running", "it runs")
for add, key in ("vm.add-disk", "disk"), ("vm.add-adi", "adi"):
    full = bodies(add)[-1]
    call(add, full)
    remove(key)()
    each_default(add, remove(key))
    call(add, full)
each("vm.resize-disk")
each("vm.pasid-bind", lambda: call("vm.pasid-unbind", {"adi": "adi", "guest": 7}))
call("vm.pasids", None)
each("vm.pasid-unbind")
for wanted in bodies("vm.add-pasid"):
    if ("wq" in wanted) == (wanted["guest"] == "none"): # what the schema leaves to the sentence
        call("vm.add-pasid", wanted)
        if wanted["guest"] != "none":
            call("vm.remove-pasid", {"adi": "adi", "guest": 7})
call("vm.counters", None)
for name in sorted(CANNOT):
    call(name, bodies(name)[-1], (200, 400, 404, 500))
for name in sorted(n[1:] for n in generated.DOCUMENT["paths"]):
    if schema_of(name) is not None:
        refuse(name)
call("vm.pause", None)
saved = call("vm.info", None)["config"]
each("vm.snapshot")
call("vm.resume", None)
call("vm.add-user-device", bodies("vm.add-user-device")[-1])
each("vm.remove-device")
call("vm.power-button", None)
call("vm.reboot", None)
call("vm.shutdown", None)
call("vm.delete", None)
for wanted in bodies("vm.restore"):
    call("vm.create", saved)
    call("vm.restore", wanted)
    call("vm.delete", None)
call("vmm.shutdown", None)
for path in generated.DOCUMENT["paths"]:
    name = path[1:]
    if name in CANNOT:
        continue
    ok(called.get(name, set()) & {200, 204}, f"{name} was done")
print(f"1..{number}")
sys.exit(failures > 0)
