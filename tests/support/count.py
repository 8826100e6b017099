#!/usr/bin/env python3
"""Adds up what the suites said and prints "N passed, N failed" as the last line; exit status 1 if anything failed.

A GoogleTest program counts its test cases, anything else counts one. A suite that left no result counts as failed.
"""
import json
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[1])
passed = failed = 0
failures = []


def add(ok, bad, name):
    global passed, failed
    passed += ok
    failed += bad
    if bad:
        failures.append(name)


meson = folder / "meson.json"
seen = 0
if meson.exists():
    for line in meson.read_text().splitlines():
        test = json.loads(line)
        seen += 1
        ok = test["result"] in ("OK", "EXPECTEDFAIL")
        out = test.get("stdout") or ""
        good = re.search(r"^\[  PASSED  \] (\d+) test", out, re.M)
        bad = re.search(r"^\[  FAILED  \] (\d+) test", out, re.M)
        skipped = re.search(r"^\[  SKIPPED \] (\d+) test", out, re.M)
        if skipped:
            print(f"skipped in {test['name']}: {skipped.group(1)}")
        if test["result"] == "SKIP":
            print(f"skipped: {test['name']}")
            continue
        n_bad = int(bad.group(1)) if bad else 0
        add(int(good.group(1)) if good else int(ok), max(n_bad, int(not ok)), test["name"])
if seen == 0:
    add(0, 1, "unit, sim, fuzz: no results")

status = folder / "lint.status"
lint_ok = status.exists() and status.read_text().strip() == "lint 0"
add(int(lint_ok), int(not lint_ok), "lint")

for suite in ("interop", "bench"):
    path = folder / f"{suite}.json"
    if not path.exists():
        add(0, 1, f"{suite}: no results")
        continue
    for case in json.loads(path.read_text())["cases"]:
        add(int(case["ok"]), int(not case["ok"]), f"{suite} {case['name']}")

for name in failures:
    print(f"FAILED: {name}")
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
