#!/usr/bin/env python3
"""Runs the interop tests: real peers in network namespaces. Needs root.

    run.py [--results FILE] [--list] [NAME...]

A test is a function test_*(). It makes its own lab, and says what is wrong by raising lab.Failure.
"""
import argparse
import importlib
import json
import os
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab  # noqa: E402

MODULES = ["basic", "readme", "shows", "sessions", "frr_json", "linklocal", "hub", "table", "failures", "workers", "tunnels",
           "failover", "bfd", "weights"]

parser = argparse.ArgumentParser()
parser.add_argument("--results")
parser.add_argument("--list", action="store_true")
parser.add_argument("names", nargs="*")
args = parser.parse_args()

tests = []
for module in MODULES:
    loaded = importlib.import_module(module)
    tests += [(name.removeprefix("test_"), getattr(loaded, name)) for name in vars(loaded) if name.startswith("test_")]
if args.names:
    tests = [(n, f) for n, f in tests if any(n.startswith(w) for w in args.names)]
    if not tests:
        sys.exit("interop: no test has that name")
if args.list:
    print("\n".join(n for n, _ in tests))
    sys.exit(0)
if os.geteuid() != 0:
    sys.exit("interop: needs root: it makes network namespaces")
if not lab.CULVERTD.exists():
    sys.exit(f"interop: {lab.CULVERTD} is not built")

# A bound of a test is broken by a machine that stands still for so long (none measures what is finer), or whose CPUs are
# wanted by others that much of the time.
STALL_MS = 15
PRESSURE = 0.4


def run_one(function):
    """What the test has to say. One that was late on a machine that stood still is run once more, and has the last word."""
    stalls = lab.Stalls()
    try:
        return function() or ""
    except lab.Late as late:
        worst, pressure = stalls.longest(), stalls.pressure()
        machine = f"the machine stood still for {worst:.0f} ms, and somebody waited for a CPU {pressure:.0%} of the time"
        if worst < STALL_MS and pressure < PRESSURE:
            raise lab.Failure(f"{late}; {machine}") from late
        print(f"     {late}; but {machine}: once more", flush=True)
    finally:
        stalls.close()
    return f"{function() or ''} (at the second attempt)"


cases = []
for name, function in tests:
    began = time.time()
    try:
        note = run_one(function)
        ok = True
    except Exception as error:  # noqa: BLE001: whatever went wrong, the other tests still run
        ok, note = False, str(error)
        if not isinstance(error, lab.Failure):
            traceback.print_exc()
    seconds = time.time() - began
    print(f"{'ok  ' if ok else 'FAIL'} {name} ({seconds:.1f} s) {note}", flush=True)
    cases.append({"name": name, "ok": ok, "seconds": round(seconds, 1), "note": str(note)[:2000]})
    if args.results:
        pathlib.Path(args.results).write_text(json.dumps({"cases": cases}))

bad = sum(not c["ok"] for c in cases)
print(f"interop: {len(cases) - bad} passed, {bad} failed")
sys.exit(1 if bad else 0)
