#!/usr/bin/env python3
"""A full table through culvertd and through BIRD, in turn: load and propagate, memory, best feed dies, churn, withdraw.

    full_table.py [--quick] [--rounds N] [--family 4|6] [--table4 FILE] [--table6 FILE]

Needs root: it makes network namespaces. Two feeds and a sink, one session each, with the router between them; the same
messages for both routers. Times are from the moment a feed begins to send to the last change at the sink. culvertd also
programs its forwarding tables, BIRD has no kernel protocol: its figures are without.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "interop"), str(ROOT / "tests" / "support")]
from lab import Lab, run, wait_for  # noqa: E402
from peers import Peer  # noqa: E402

ROUTER = {4: ("10.11.0.1/24", "10.12.0.1/24"), 6: ("fd00:11::1/64", "fd00:12::1/64")}
HOSTS = {4: ("10.11.0.2", "10.11.0.3", "10.12.0.2"), 6: ("fd00:11::2", "fd00:11::3", "fd00:12::2")}
LENGTH = {4: 24, 6: 64}
ASNS = (65001, 65002, 65099)
NAMES = {4: "IPv4", 6: "IPv6"}


def culvert_config(family):
    text = "hostname r\n"
    for i, address in enumerate(ROUTER[family]):
        text += f"interface p{i}\n port kernel r{i}\n {'ip' if family == 4 else 'ipv6'} address {address}\n"
    text += "router bgp 65000\n bgp router-id 10.11.0.1\n no bgp ebgp-requires-policy\n"
    for host, asn in zip(HOSTS[family], ASNS):
        text += f" neighbor {host} remote-as {asn}\n neighbor {host} passive\n"
    for other in (4, 6):
        text += f" address-family ipv{other} unicast\n"
        for host in HOSTS[family]:
            text += f"  {'' if other == family else 'no '}neighbor {host} activate\n"
        text += " exit-address-family\n"
    return text


def bird_config(family):
    text = "router id 10.11.0.1;\nprotocol device {}\n"
    for i, (host, asn) in enumerate(zip(HOSTS[family], ASNS)):
        text += (f"protocol bgp p{i} {{ local as 65000; neighbor {host} as {asn}; passive on;\n"
                 f"  ipv{family} {{ import all; export all; }}; }}\n")
    return text


class Culvert:
    name = "culvert"

    def __init__(self, lab, family):
        self.router = lab.router("r", culvert_config(family))
        self.process, self.family = self.router.process, family

    def received(self, host):
        summary = self.router.json("show bgp summary")
        return summary[f"ipv{self.family}Unicast"]["peers"][host]["pfxRcd"]

    def close(self):
        self.process.kill()


class Bird:
    name = "BIRD"

    def __init__(self, lab, family):
        self.lab, self.family = lab, family
        for i, address in enumerate(ROUTER[family]):
            lab.address("r", f"r{i}", address)
        self.process = lab.bird("r", bird_config(family))

    def received(self, host):
        text = self.process.birdc("show", "protocols", "all", f"p{HOSTS[self.family].index(host)}")
        return int(text.split("Routes:")[1].split()[0])

    def close(self):
        self.process.kill()
        for i, address in enumerate(ROUTER[self.family]):
            run("ip", "-n", self.lab.ns("r"), "addr", "del", address, "dev", f"r{i}")


def cpu(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process):
    """MiB. Huge pages are not in it: culvertd has none here, or they are there from the start (packet buffers)."""
    line = next(x for x in open(f"/proc/{process.pid}/status") if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def settled(process):
    """Memory, once the router has nothing more to do, and has had the time to give back what it no longer needs."""
    last = cpu(process)
    for _ in range(100):
        time.sleep(0.3)
        now = cpu(process)
        if now - last < 0.03:
            break
        last = now
    time.sleep(3)
    return resident(process)


def measure(lab, kind, family, feeds, sink, count, churn):
    """One router's turn: what it took, by case."""
    router = kind(lab, family)
    process, first, second = router.process, *feeds
    got = {}
    try:
        for peer in (sink, first):
            peer.ask("open", "established")

        def timed(action, goal):
            """Seconds from the first message's start to the first and to the last change at the sink."""
            sink.ask("mark", "marked")
            sink.say(f"until {goal}")
            began = action()
            reached = sink.expect("reached", 300)
            return reached["t_first"] - began, reached["t_last"] - began

        empty, before = settled(process), cpu(process)
        _, got["load"] = timed(lambda: first.ask("announce", "start")["t"], f"held {count}")
        full = settled(process)
        got["load cpu"] = cpu(process) - before
        got["memory"] = full - empty
        second.ask("open", "established")
        second.ask("announce", "sent", 300)
        wait_for("the second feed", lambda: router.received(HOSTS[family][1]) == count, 300, every=0.5)
        got["further path"] = (settled(process) - full) * 1048576 / count
        before = cpu(process)
        got["first change"], got["best feed dies"] = timed(lambda: first.ask("kill", "closed")["t"],
                                                           f"from {ASNS[1]} {count}")
        settled(process)
        got["dies cpu"], before = cpu(process) - before, cpu(process)
        _, took = timed(lambda: second.ask(f"churn {churn}", "start")["t"], f"changes {churn}")
        got["churn"] = churn / took / 1000
        settled(process)
        got["churn cpu"], before = (cpu(process) - before) / churn * 1e6, cpu(process)
        _, got["withdraw"] = timed(lambda: second.ask("withdraw", "start")["t"], "held 0")
        got["left"] = settled(process) - empty
        got["withdraw cpu"] = cpu(process) - before
    finally:
        for peer in (second, first, sink):
            peer.ask("close", "closed")
        router.close()
    return got


# case: (what to call it, unit, what the ratio to BIRD must be)
CASES = {
    "load": ("1 feed, load and propagate", "s", "<= 0.5"),
    "load cpu": ("1 feed, CPU", "s", None),
    "memory": ("memory, 1 feed", "MiB", "<= 1.0"),
    "further path": ("memory, a further path", "B", "ours <= 60"),
    "first change": ("best of 2 feeds dies, first change", "s", "ours <= 0.02"),
    "best feed dies": ("best of 2 feeds dies, all", "s", "<= 0.25"),
    "dies cpu": ("best of 2 feeds dies, CPU", "s", None),
    "churn": ("one-prefix changes", "k/s", ">= 2"),
    "churn cpu": ("one-prefix changes, CPU each", "us", None),
    "withdraw": ("withdraw all", "s", "<= 0.5"),
    "withdraw cpu": ("withdraw all, CPU", "s", None),
    "left": ("memory left after that", "MiB", None),
}


def report(family, turns):
    for case, (title, unit, goal) in CASES.items():
        values = {kind: [t[case] for t in turns[kind]] for kind in (Culvert, Bird)}
        ours, other = (statistics.median(values[kind]) for kind in (Culvert, Bird))
        spread = "; ".join(f"{kind.name} {min(v):.3g}..{max(v):.3g}" for kind, v in values.items())
        print(json.dumps({"case": f"full table {NAMES[family]}: {title}", "ours": round(ours, 4), "other": round(other, 4),
                          "ratio": round(ours / other, 3) if other > 0 else None, "unit": unit, "goal": goal,
                          "note": spread}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 prefixes, one round: shows that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--family", type=int, choices=(4, 6), help="only this one")
    parser.add_argument("--table4", help="lines prefix|AS path|origin|communities, perhaps .xz; else a made-up table")
    parser.add_argument("--table6")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("full_table: needs root: it makes network namespaces")

    rounds = 1 if args.quick else args.rounds
    with Lab("cvft") as lab:
        lab.link("feed", "eth0", "r", "r0")
        lab.link("sink", "eth0", "r", "r1")
        for family in [args.family] if args.family else [4, 6]:
            one, two, three = HOSTS[family]
            lab.address("feed", "eth0", f"{one}/{LENGTH[family]}", f"{two}/{LENGTH[family]}")
            lab.address("sink", "eth0", f"{three}/{LENGTH[family]}")
            gateways = [a.split("/")[0] for a in ROUTER[family]]
            options = {"table": args.table4 if family == 4 else args.table6, "prefixes": 50_000 if args.quick else 0}
            # The second feed's paths are one AS longer: the first one's are the best.
            with (Peer(lab, "feed", "feed", gateways[0], one, ASNS[0], 65000, family, **options) as first,
                  Peer(lab, "feed", "feed", gateways[0], two, ASNS[1], 65000, family, prepend=2, **options) as second,
                  Peer(lab, "sink", "sink", gateways[1], three, ASNS[2], 65000, family) as sink):
                count = [p.expect("ready", 120) for p in (first, second)][0]["prefixes"]
                churn = min(count // 5, 200_000)
                turns = {Culvert: [], Bird: []}
                for i in range(rounds):
                    for kind in (Culvert, Bird) if i % 2 == 0 else (Bird, Culvert):
                        turns[kind].append(measure(lab, kind, family, (first, second), sink, count, churn))
                report(family, turns)


if __name__ == "__main__":
    main()
