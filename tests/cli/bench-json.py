#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what `adit bench` wrote: bench-json.py VERB FILE...

schema SCHEMA JSON   by docs/bench.schema.json; what the schema cannot say: rows of one name, figures that follow from the samples
again JSON           the text survives being read and written
value JSON POINTER   prints what is there
set JSON POINTER VALUE   prints it with that there, which is JSON itself
without JSON NAME    prints it without the rows of that name
calm JSON            prints it with samples within 1 % of their medians: those of a machine that does nothing else
times FACTOR JSON    prints it with the samples of the first row so many times as large
misses JSON...       how many intervals of all these do not hold 1
"""
import json
import statistics
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def close(a, b, scale=0):
    """Figures have six digits; a difference of two has them of what it is the difference of."""
    return abs(a - b) <= 1e-4 * max(abs(a), abs(b), scale, 1e-9)


def follows(row):
    """The figures of a row, from its samples."""
    for side in ("adit", "reference"):
        spread = row.get(side + "_spread")
        if not spread:
            continue
        samples = spread["samples"]
        median = statistics.median(samples)
        if not close(median, row[side]) or not close(median, spread["median"]):
            return f"{row['name']}: the median of {side} is {median}"
        if not close(statistics.median(abs(s - median) for s in samples), spread["mad"], abs(median)):
            return f"{row['name']}: another MAD of {side}"
        if len(samples) > 1:
            q1, _, q3 = statistics.quantiles(samples, n=4, method="inclusive")
            if not close(q1, spread["q1"]) or not close(q3, spread["q3"]):
                return f"{row['name']}: quartiles of {side} are {q1} and {q3}"
    if "ratio" in row and row["reference"]:
        low, high = row["interval"]
        if not close(row["ratio"], row["adit"] / row["reference"]) or low > high:
            return f"{row['name']}: ratio or interval"
    return None


def schema(schema_path, path):
    import jsonschema

    document = load(path)
    jsonschema.validate(document, load(schema_path))
    names = [(r["bench"], r["name"], r.get("reference_name")) for r in document["results"]]
    if len(names) != len(set(names)):
        sys.exit("two rows of one name")
    wrong = [text for text in map(follows, document["results"]) if text]
    if wrong:
        sys.exit("\n".join(wrong))


def again(path):
    document = load(path)
    if json.loads(json.dumps(document)) != document:
        sys.exit("it does not survive")


def value(path, pointer):
    at = load(path)
    for word in pointer.strip("/").split("/"):
        at = at[int(word)] if isinstance(at, list) else at[word]
    print(json.dumps(at))


def put(path, pointer, text):
    document = load(path)
    *words, last = pointer.strip("/").split("/")
    at = document
    for word in words:
        at = at[int(word)] if isinstance(at, list) else at[word]
    at[int(last) if isinstance(at, list) else last] = json.loads(text)
    print(json.dumps(document))


def without(path, name):
    document = load(path)
    document["results"] = [row for row in document["results"] if row["name"] != name]
    print(json.dumps(document))


def misses(*paths):
    intervals = [r["interval"] for path in paths for r in load(path)["results"]]
    print(sum(not low <= 1 <= high for low, high in intervals), "of", len(intervals))


def calm(path):
    document = load(path)
    for row in document["results"]:
        for side in ("adit_spread", "reference_spread"):
            if side in row:
                median, samples = row[side]["median"], row[side]["samples"]
                row[side]["samples"] = [median * (0.99 + 0.01 * (i % 3)) for i in range(len(samples))]
    print(json.dumps(document))


def times(factor, path):
    document = load(path)
    spread = document["results"][0]["adit_spread"]
    spread["samples"] = [s * float(factor) for s in spread["samples"]]
    print(json.dumps(document))


if __name__ == "__main__":
    verbs = {
        "schema": schema,
        "again": again,
        "value": value,
        "set": put,
        "without": without,
        "calm": calm,
        "times": times,
        "misses": misses,
    }
    verbs[sys.argv[1]](*sys.argv[2:])
