#!/usr/bin/env python3
"""BFD while both CPUs are busy: how the worker's scheduling keeps transmission and judgement on time.

    sudo tests/bench/bfd_under_load.py [--seconds N] [--interval US] [--how NAME...] [--frr]

One dataplane without a control plane (bfd-peer), whose worker forwards a flood, beside as many endless loops as there
are CPUs. The far end is a second dataplane, real-time, that is not flooded. One line for each way to schedule the
worker: flaps, the largest gap between two packets sent, the worker's longest poll gap, how often an expiry waited for a
round because we were held up. --frr: FRR's bfdd against FRR's bfdd under the same load, for comparison.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "interop")]
from frr_pair import NETWORK, frr_pair  # noqa: E402
from lab import BUILD, Lab, run, wait_for  # noqa: E402

PEER = BUILD / "tests/support/bfd-peer"

FLOOD = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("198.51.100.1", 9))
b = bytes(64)
while True:
    try:
        s.send(b)
    except OSError:
        pass
"""
WAYS = {
    "normal": ("realtime=0", None),
    "nice": ("realtime=0", lambda tid: ["renice", "-n", "-20", "-p", str(tid)]),
    "fifo": ("realtime=0", lambda tid: ["chrt", "-f", "-p", "1", str(tid)]),
    "deadline": ("realtime=0", lambda tid: ["chrt", "-d", "--sched-runtime", "4500000", "--sched-deadline", "5000000",
                                            "--sched-period", "5000000", "-p", "0", str(tid)]),
    "fifo+rest": ("realtime=1", None),
}


def worker(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("culvert-w"):
            return int(task.name)
    return None


def descendants(pid):
    out = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            out += descendants(int(child))
    return out


def load(lab, stop):
    for _ in range(os.cpu_count()):
        stop.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
    stop.append(lab.start("flood", "p", [sys.executable, "-c", FLOOD]).popen)


def one(name, seconds, interval):
    words, command = WAYS[name]
    stop = []
    with Lab("cvbfdl") as lab:
        lab.bridge("wan", ("r", "wan0"), ("p", "wan0"), ("q", "wan0"))
        macs = {n: lab.exec(n, "cat", "/sys/class/net/wan0/address").stdout.strip() for n in "rpq"}
        lab.address("p", "wan0", "203.0.113.3/24")
        run("ip", "-n", lab.ns("p"), "neigh", "replace", "203.0.113.1", "lladdr", macs["r"], "dev", "wan0", "nud", "permanent")
        lab.route("p", "198.51.100.0/24", "203.0.113.1")
        common = [f"tx={interval}", f"rx={interval}", f"seconds={seconds + 8}"]
        far = lab.start("far", "q", [PEER, "wan0", "203.0.113.2", "203.0.113.1", macs["r"], *common])
        near = lab.start("near", "r", [PEER, "wan0", "203.0.113.1", "203.0.113.2", macs["q"], *common, words])
        wait_for("the session", lambda: "state Up" in near.text(), 15)
        tid = next(t for t in (worker(p) for p in descendants(near.popen.pid)) if t)
        if command:
            subprocess.run(command(tid), check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        downs = lambda: [p.text().count("state Down") for p in (near, far)]  # noqa: E731
        before = downs()
        try:
            load(lab, stop)
            time.sleep(seconds)
            # Not at the end: who ends first says goodbye, which is no flap of the other.
            flaps = [now - then for now, then in zip(downs(), before)]
        finally:
            for p in stop:
                p.kill()
                p.wait()
        wait_for("the end", lambda: "longest-poll-gap" in near.text() and "longest-poll-gap" in far.text(), 20)
        figure = lambda p, k: float(re.findall(rf"{k} ([\d.]+)", p.text())[-1])  # noqa: E731
        print(json.dumps({"case": f"bfd {name} {interval} us", "seconds": seconds, "flaps": flaps[0], "flaps_far": flaps[1], "transmit_gap_ms": figure(near, "transmit-gap-ms"),
                          "far_sees_gap_ms": figure(far, "receive-gap-ms"),
                          "longest_poll_gap_ms": figure(near, "longest-poll-gap-ms"),
                          "own_stalls": int(figure(near, "stalls")), "moves": int(figure(near, "moves")), "packets": int(figure(near, "packets")),
                          "stamps": re.findall(r"stamps (\S+)", near.text())[-1]}), flush=True)


def frr(seconds, interval):
    stop = []
    with Lab("cvbfdl") as lab:
        downs = frr_pair(lab, interval // 1000, ("p", "wan0"), ("r", "wan0"))
        lab.address("p", "wan0", f"{NETWORK}.3/24")
        lab.address("r", "wan0", f"{NETWORK}.4/24")
        lab.route("p", "198.51.100.0/24", f"{NETWORK}.4")
        before = downs()
        try:
            load(lab, stop)
            time.sleep(seconds)
        finally:
            for p in stop:
                p.kill()
                p.wait()
        print(json.dumps({"case": f"frr bfdd {interval} us", "seconds": seconds,
                          "flaps": [a - b for a, b in zip(downs(), before)]}), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--interval", type=int, action="append")
    p.add_argument("--how", nargs="*", default=list(WAYS))
    p.add_argument("--frr", action="store_true")
    args = p.parse_args()
    for interval in args.interval or [50000, 10000]:
        for name in args.how:
            one(name, args.seconds, interval)
        if args.frr:
            frr(args.seconds, interval)


main()
