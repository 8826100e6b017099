#!/usr/bin/env python3
"""Runs the benchmarks and prints one table: case, ours, the other, ratio, goal; the same as JSON.

    run.py [--quick] [--results FILE] [NAME...]

Programs bench-* of the build, and the scripts named below, which need root. A benchmark prints a JSON object a line: case,
ours, other, ratio, unit, goal. With --quick it shows that it runs and that both sides agree; its figures then mean nothing.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ["full_table"]  # whole routers in network namespaces
parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--results", default=str(ROOT / "build" / "bench.json"))
parser.add_argument("names", nargs="*")
args = parser.parse_args()

folder = pathlib.Path(os.environ.get("CULVERT_BUILD", ROOT / "build")) / "tests"
programs = sorted(folder.glob("bench-*"))
benches = {p.name.removeprefix("bench-"): [str(p)] for p in programs if p.is_file() and os.access(p, os.X_OK)}
benches |= {name: [sys.executable, str(ROOT / "tests" / "bench" / f"{name}.py")] for name in SCRIPTS}
if args.names:
    benches = {name: command for name, command in benches.items() if name in args.names}
if os.geteuid() != 0:
    for name in [n for n in SCRIPTS if benches.pop(n, None)]:
        print(f"bench {name} is skipped: it needs root, to make network namespaces")
if not benches:
    sys.exit("bench: nothing to run; build first (scripts/dev build), or no benchmark has that name")


def machine():
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    names = [f for f in ("avx2", "avx512f", "vaes", "vpclmulqdq", "gfni", "sha_ni") if f in flags]
    model = next(line for line in open("/proc/cpuinfo") if line.startswith("model name")).split(":")[1].strip()
    return f"{model}, {os.cpu_count()} CPUs, {' '.join(names)}"


def cell(value):
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


rows, cases = [], []
print(machine())
for name, command in benches.items():
    began = time.time()
    run = subprocess.run(command + (["--quick"] if args.quick else []), capture_output=True, text=True, timeout=600)
    ok = run.returncode == 0
    found = 0
    for line in run.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            rows.append({"bench": name, **row})
            found += 1
    ok = ok and found > 0
    cases.append({"name": name, "ok": ok, "seconds": round(time.time() - began, 1)})
    if not ok:
        print(f"bench {name} failed with {run.returncode}\n{run.stderr[-2000:]}")

widths = (52, 12, 12, 8, 18)
print(" ".join(h.ljust(w) for h, w in zip(("case", "ours", "other", "ratio", "goal"), widths)) + " unit")
for row in rows:
    print(" ".join(cell(row.get(k)).ljust(w) for k, w in zip(("case", "ours", "other", "ratio", "goal"), widths))
          + " " + cell(row.get("unit")))
pathlib.Path(args.results).write_text(json.dumps({"machine": machine(), "quick": args.quick, "rows": rows, "cases": cases}, indent=1))
sys.exit(0 if all(c["ok"] for c in cases) else 1)
