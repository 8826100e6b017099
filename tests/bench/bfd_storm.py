#!/usr/bin/env python3
"""BFD of whole routers under a storm: a flood of TCP through the tunnel, a full table that comes and goes, keys that change
every two seconds.

    bfd_storm.py [--seconds N] [--interval MS] [--prefixes N] [--loops N] [--frr]

The topology of failover_gap.py. A session that leaves Up is a flap. Prints, of each router's sessions, the largest gap
between two packets sent and received, and how often an expiry waited for a round because the worker was held up.

--loops  endless loops beside it, so that no CPU is ever idle (default: one for each CPU)
--frr    a session between two of FRR's bfdd over a bridge of their own, in the same run, for comparison
Needs root: it makes network namespaces.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "interop"), str(ROOT / "tests" / "support")]
import failover_gap  # noqa: E402
from frr_pair import frr_pair  # noqa: E402
from lab import Failure, Lab, wait_for  # noqa: E402
from peers import Peer  # noqa: E402

failover_gap.TUNNEL = failover_gap.TUNNEL.replace(" wireguard listen-port", " wireguard rekey-after 2\n wireguard listen-port")


def counters(router):
    return {p["peer"]: p for p in router.json("show bfd peers counters")}


@contextlib.contextmanager
def endless_loops(number):
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=int, default=120)
    p.add_argument("--interval", type=int, default=50)
    p.add_argument("--prefixes", type=int, default=1_000_000)
    p.add_argument("--loops", type=int, default=os.cpu_count())
    p.add_argument("--frr", action="store_true")
    options = p.parse_args()
    with Lab("cvstorm") as lab:
        system = failover_gap.Culvert(lab, options)
        wait_for("both tunnels", system.ready, 60)
        frr_downs = frr_pair(lab, options.interval) if options.frr else list
        with Peer(lab, "feed", "feed", "10.9.0.1", "10.9.0.2", 65099, 65002, 4, prefixes=options.prefixes) as feed:
            feed.expect("ready", 60)
            feed.ask("open", "established")
            before, frr_before = {n: counters(r) for n, r in system.routers.items()}, frr_downs()
            end = time.monotonic() + options.seconds
            rates, loads = [], 0

            def traffic():
                while time.monotonic() < end:
                    rates.append(lab.tcp("h2", "h1", "10.2.0.2", seconds=min(10, max(1, int(end - time.monotonic())))))

            flood = threading.Thread(target=traffic)
            flood.start()
            with endless_loops(options.loops):
                while time.monotonic() < end:
                    feed.ask("announce", "start")
                    wait_for("the table", lambda: system.prefixes() >= options.prefixes, 120, every=0.5)
                    loads += 1
                    feed.ask("withdraw", "start")
                    wait_for("an empty table", lambda: system.prefixes() < 10, 120, every=0.5)
                flood.join()
            if sum(rates) == 0 or len(rates) < options.seconds // 40:
                raise Failure(f"there was no traffic beside the table: {rates} Mbit/s")
        flaps = 0
        for n, router in system.routers.items():
            after = counters(router)
            views = {v["peer"]: v for v in router.json("show bfd peers")}
            for peer, c in after.items():
                flaps += c["session-down"] - before[n][peer]["session-down"]
                print(json.dumps({"router": n, "peer": peer, "status": views[peer]["status"],
                                  **{k: v for k, v in {**views[peer], **c}.items() if "gap" in k or "stall" in k or "session-" in k}}))
            print(json.dumps({"router": n, "workers": router.json("show dataplane runtime")}))
        print(json.dumps({"case": "bfd storm", "seconds": options.seconds, "interval_ms": options.interval, "flaps": flaps,
                          "table_loads": loads, "tcp_mbits": [round(r) for r in rates]}))
        if options.frr:
            print(json.dumps({"case": "FRR bfdd beside it", "interval_ms": options.interval,
                              "flaps": [now - then for now, then in zip(frr_downs(), frr_before)]}))
        if flaps:
            raise Failure(f"{flaps} flaps")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bfd_storm: {failure}")
