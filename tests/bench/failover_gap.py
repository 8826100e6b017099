#!/usr/bin/env python3
"""How long traffic pauses when a tunnel dies without a word: BGP with BFD over WireGuard, a second path, a silent cut.

    failover_gap.py [--runs N] [--interval MS] [--prefixes N] [--hold-control] [--frr] [--json FILE]

Two routers with a tunnel over each of two bridges; the first is preferred both ways. A 1 kHz UDP probe goes from a host
behind the one to a host behind the other and back; the first bridge is cut in the middle of it. The gap is the longest
time between two echoes. A run in which the prober itself paused for more than 10 ms says nothing and is done again.

--prefixes      what the far router has behind the tunnel besides the probe's target: fed to it by a peer of its own
--hold-control  the near router's control thread is traced and stopped from before the cut until after the gap
--frr           wireguard-go and FRR's bgpd and bfdd instead of culvertd, for comparison
Needs root: it makes network namespaces.
"""
import argparse
import ctypes
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "interop"), str(ROOT / "tests" / "support")]
from lab import Failure, Lab, wait_for  # noqa: E402
from peers import Peer  # noqa: E402

TUNNELS = (("a", 1, "203.0.113", 51820), ("b", 2, "198.51.100", 51821))

ROUTER = """hostname r{n}
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
{feed}{tunnels}router bgp 6500{n}
 bgp router-id 10.255.0.{n}
 no bgp ebgp-requires-policy
 timers bgp 3 9
{neighbors} address-family ipv4 unicast
  network 10.{n}.0.0/24
  maximum-paths 1
{weights} exit-address-family
"""
FEED = """interface feed
 port kernel feed0
 ip address 10.9.0.1/24
"""
TUNNEL = """interface w{bridge}
 port kernel w{bridge}0
 ip address {outer}.{n}/24
interface wg{bridge}
 tunnel mode wireguard
 tunnel source w{bridge}
 wireguard private-key-file {key}
 wireguard listen-port {port}
 wireguard peer R{peer}
  public-key {peer_key}
  endpoint {outer}.{peer}:{port}
  allowed-ips 10.255.{t}.{peer}/32
  routes bgp
 ip address 10.255.{t}.{n}/24
 bfd interval {interval} min_rx {interval} multiplier 3
"""
NEIGHBOR = """ neighbor 10.255.{t}.{peer} remote-as 6500{peer}
 neighbor 10.255.{t}.{peer} timers connect 1
 neighbor 10.255.{t}.{peer} bfd
"""
FRR = """hostname r{n}
bfd
 profile fast
  detect-multiplier 3
  receive-interval {interval}
  transmit-interval {interval}
router bgp 6500{n}
 bgp router-id 10.255.0.{n}
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
{neighbors} address-family ipv4 unicast
  network 10.{n}.0.0/24
  maximum-paths 1
{weights} exit-address-family
"""
FRR_NEIGHBOR = NEIGHBOR + " neighbor 10.255.{t}.{peer} bfd profile fast\n"


def sites(lab):
    for bridge, _, outer, _ in TUNNELS:
        lab.bridge(f"x{bridge}", ("r1", f"w{bridge}0"), ("r2", f"w{bridge}0"))
    for n in (1, 2):
        lab.link(f"h{n}", "eth0", f"r{n}", "lan0")
        lab.address(f"h{n}", "eth0", f"10.{n}.0.2/24")
        lab.route(f"h{n}", "default", f"10.{n}.0.1")
    return {n: lab.key(f"r{n}") for n in (1, 2)}


class Culvert:
    def __init__(self, lab, options):
        keys = sites(lab)
        if options.prefixes:
            lab.link("feed", "eth0", "r2", "feed0")
            lab.address("feed", "eth0", "10.9.0.2/24")
        self.routers = {}
        for n, peer in ((1, 2), (2, 1)):
            tunnels = "".join(TUNNEL.format(bridge=b, t=t, outer=outer, port=port, n=n, peer=peer, key=keys[n][0],
                                            peer_key=keys[peer][1], interval=options.interval)
                              for b, t, outer, port in TUNNELS)
            neighbors = "".join(NEIGHBOR.format(t=t, peer=peer) for _, t, _, _ in TUNNELS)
            weights = f"  neighbor 10.255.1.{peer} weight 100\n"
            feed = n == 2 and options.prefixes
            if feed:
                neighbors += " neighbor 10.9.0.2 remote-as 65099\n neighbor 10.9.0.2 passive\n"
            self.routers[n] = lab.router(f"r{n}", ROUTER.format(n=n, feed=FEED if feed else "", tunnels=tunnels,
                                                                neighbors=neighbors, weights=weights))

    def ready(self):
        """Both sessions and their BFD are up, and both ends use the first tunnel."""
        for n, peer in ((1, 2), (2, 1)):
            router = self.routers[n]
            if any(not router.established(f"10.255.{t}.{peer}") for _, t, _, _ in TUNNELS):
                return False
            up = {p["peer"] for p in router.json("show bfd peers") if p["status"] == "up"}
            if not {f"10.255.1.{peer}", f"10.255.2.{peer}"} <= up:
                return False
            if router.via(f"10.{peer}.0.0/24") != [f"10.255.1.{peer}"]:
                return False
        return True

    def prefixes(self):
        return sum(r["fib"] for r in self.routers[1].json("show ip route summary")["routes"] if r["type"] in ("ebgp", "ibgp"))

    def records(self):
        return self.routers[1].json("show failover")


class Frr:
    def __init__(self, lab, options):
        keys = sites(lab)
        self.frr = {}
        for n, peer in ((1, 2), (2, 1)):
            node = f"r{n}"
            lab.exec(node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            lab.address(node, "lan0", f"10.{n}.0.1/24")
            for b, t, outer, port in TUNNELS:
                lab.address(node, f"w{b}0", f"{outer}.{n}/24")
                lab.wireguard_go(node, f"wg{b}", f"[Interface]\nPrivateKey = {keys[n][0].read_text().strip()}\n"
                                 f"ListenPort = {port}\n[Peer]\nPublicKey = {keys[peer][1]}\n"
                                 f"Endpoint = {outer}.{peer}:{port}\nAllowedIPs = 0.0.0.0/0\n",
                                 [f"10.255.{t}.{n}/24"])
            config = FRR.format(n=n, interval=options.interval,
                                neighbors="".join(FRR_NEIGHBOR.format(t=t, peer=peer) for _, t, _, _ in TUNNELS),
                                weights=f"  neighbor 10.255.1.{peer} weight 100\n")
            self.frr[n] = lab.frr(node, config, bfd=True)

    def ready(self):
        for n, peer in ((1, 2), (2, 1)):
            peers = json.loads(self.frr[n].vtysh("show bfd peers json"))
            if sum(p["status"] == "up" for p in peers) < 2:
                return False
            route = json.loads(self.frr[n].vtysh(f"show ip route 10.{peer}.0.0/24 json"))
            hops = [h.get("ip") for r in route.get(f"10.{peer}.0.0/24", []) if r.get("selected") for h in r["nexthops"]]
            if hops != [f"10.255.1.{peer}"]:
                return False
        return True

    def prefixes(self):
        return 0

    def records(self):
        return []


class Held:
    """The thread is stopped by its tracer, as a debugger would; the other threads of the process go on."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, tid):
        self.tid, self.libc = tid, ctypes.CDLL(None, use_errno=True)

    def _ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) != 0:
            raise Failure(f"ptrace({request:#x}, {self.tid}): {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        self._ptrace(self.SEIZE)
        self._ptrace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)

    def __exit__(self, *_):
        self._ptrace(self.DETACH)


def one_run(lab, system, options):
    wait_for("both tunnels, the first one preferred", system.ready, 120, every=0.2)
    if options.prefixes:
        wait_for("all prefixes by the first tunnel", lambda: system.prefixes() >= options.prefixes, 120)
    time.sleep(options.settle)
    probe = lab.probe("h1", "10.2.0.2", 2500, 1)
    time.sleep(0.8)
    held = Held(system.routers[1].process.pid) if options.hold_control else None
    if held:
        held.__enter__()
    try:
        time.sleep(0.05)
        lab.cut("xa", "r2", "wa0")
        time.sleep(0.6)
    finally:
        if held:
            held.__exit__()
    result = probe.result()
    lab.heal("xa", "r2", "wa0")
    return result


def measure(options, tell=print):
    """Gaps in ms, of runs that say something."""
    gaps, again = [], 0
    with Lab("cvgap") as lab:
        system = Frr(lab, options) if options.frr else Culvert(lab, options)
        wait_for("both tunnels", system.ready, 60)
        lab.echo("h2", "10.2.0.2")
        feed = None
        if options.prefixes:
            feed = Peer(lab, "feed", "feed", "10.9.0.1", "10.9.0.2", 65099, 65002, 4, prefixes=options.prefixes)
            feed.__enter__()
            feed.expect("ready", 60)
            feed.ask("open", "established")
            feed.ask("announce", "start")
        try:
            while len(gaps) < options.runs and again <= options.runs:
                result = one_run(lab, system, options)
                if result["pause_ms"] > 10:
                    again += 1
                    tell(f"  the prober paused for {result['pause_ms']} ms: again")
                    continue
                gaps.append(result["gap_ms"])
                tell(f"  gap {result['gap_ms']:6.1f} ms, {result['lost']} lost, prober's pause {result['pause_ms']} ms")
        finally:
            if feed:
                feed.__exit__(None, None, None)
    if len(gaps) < options.runs:
        raise Failure(f"only {len(gaps)} of {options.runs} runs: the prober pauses too often on this machine")
    return gaps


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", type=int, default=20)
    p.add_argument("--interval", type=int, default=50)
    p.add_argument("--prefixes", type=int, default=0)
    p.add_argument("--hold-control", action="store_true")
    p.add_argument("--frr", action="store_true")
    p.add_argument("--settle", type=float, default=0.5, help="seconds between ready and the probe")
    p.add_argument("--json")
    return p


def main():
    options = parser().parse_args()
    gaps = sorted(measure(options))
    limit = 3 * options.interval + 20
    summary = {"case": "failover gap" + (" FRR" if options.frr else "") + (" held" if options.hold_control else ""),
               "interval_ms": options.interval, "prefixes": options.prefixes, "runs": len(gaps), "min": gaps[0],
               "median": statistics.median(gaps), "max": gaps[-1], "within_limit": sum(g <= limit for g in gaps),
               "limit_ms": limit}
    print(json.dumps(summary))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(summary))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"failover_gap: {failure}")
