#!/usr/bin/env python3
"""The demo's scenario: three sites with a LAN host each, WireGuard tunnels between all of them, BGP with BFD over them.

    HQ   AS 65001 10.10.0.0/16 --- DC-E AS 65002 10.20.0.0/16
      \\                             /
       `--- DC-W AS 65003 10.30.0.0/16

DC-E and DC-W announce a default route, and HQ spreads over both. The tunnel HQ - DC-E is cut without a word: BFD
(50 ms, three packets) finds it dead, and traffic to DC-E's LAN goes by way of DC-W. Then the tunnel comes back.
"""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
from lab import CULVERT, Failure, Lab, wait_for  # noqa: E402

KEEP = "--keep" in sys.argv[1:]
SITES = {"hq": (65001, 10), "dce": (65002, 20), "dcw": (65003, 30)}
# Every tunnel has an underlay link of its own, so that one can be cut alone: (a, b, underlay, tunnel subnet)
TUNNELS = (("hq", "dce", "198.51.100", "10.255.1"), ("hq", "dcw", "203.0.113", "10.255.2"),
           ("dce", "dcw", "192.0.2", "10.255.3"))


def say(text=""):
    print(text, flush=True)


def heading(text):
    say(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def configuration(site, keys):
    asn, lan = SITES[site]
    lines = [f"hostname {site}", "interface lan", f" port kernel {site}-lan", f" ip address 10.{lan}.0.1/16",
             "interface lo", f" ip address 10.0.0.{lan}/32"]
    neighbors = []
    for a, b, underlay, inside in TUNNELS:
        if site not in (a, b):
            continue
        peer = b if site == a else a
        mine, theirs = (1, 2) if site == a else (2, 1)
        lines += [f"interface wan-{peer}", f" port kernel to-{peer}", f" ip address {underlay}.{mine}/24",
                  f"interface wg-{peer}", " tunnel mode wireguard", f" tunnel source wan-{peer}",
                  f" wireguard private-key-file {keys[site][0]}", f" wireguard listen-port {51820 + SITES[peer][1]}",
                  f" wireguard peer {peer}", f"  public-key {keys[peer][1]}",
                  f"  endpoint {underlay}.{theirs}:{51820 + SITES[site][1]}", f"  allowed-ips {inside}.{theirs}/32",
                  "  routes bgp", f" ip address {inside}.{mine}/30", " ip mtu 1420", " ip tcp adjust-mss auto",
                  " bfd interval 50 min_rx 50 multiplier 3"]
        neighbors.append((f"{inside}.{theirs}", SITES[peer][0]))
    if site != "hq":
        # The internet: its traffic ends here.
        lines += ["ip route 0.0.0.0/0 Null0"]
    lines += [f"router bgp {asn}", f" bgp router-id 10.0.0.{lan}", " no bgp ebgp-requires-policy",
              " bgp bestpath as-path multipath-relax", " timers bgp 3 9"]
    for address, remote in neighbors:
        lines += [f" neighbor {address} remote-as {remote}", f" neighbor {address} timers connect 1",
                  f" neighbor {address} bfd"]
    lines += [" address-family ipv4 unicast", f"  network 10.{lan}.0.0/16", "  maximum-paths 2"]
    if site != "hq":
        lines += ["  network 0.0.0.0/0"]
    lines += [" exit-address-family"]
    return "\n".join(lines) + "\n"


def main():
    began = time.monotonic()
    with Lab("demo", keep=KEEP) as lab:
        heading("three sites, three culvertd, WireGuard between all of them")
        keys = {site: lab.key(site) for site in SITES}
        for a, b, _, _ in TUNNELS:
            lab.bridge(f"net-{a}-{b}", (a, f"to-{b}"), (b, f"to-{a}"))
        routers = {}
        for site, (_, lan) in SITES.items():
            lab.link(f"host-{site}", "eth0", site, f"{site}-lan")
            lab.address(f"host-{site}", "eth0", f"10.{lan}.0.2/16")
            lab.route(f"host-{site}", "default", f"10.{lan}.0.1")
            routers[site] = lab.router(site, configuration(site, keys))
            say(f"  {site}: up")
        hq = routers["hq"]
        for site, router in routers.items():
            for a, b, _, inside in TUNNELS:
                if site in (a, b):
                    address = f"{inside}.{2 if site == a else 1}"
                    wait_for(f"{site}: BGP with {address}", lambda r=router, x=address: r.established(x), 30)
        wait_for("HQ's default over both", lambda: hq.via("0.0.0.0/0") == ["10.255.1.2", "10.255.2.2"], 15)

        heading("hq# show bgp summary")
        say(hq.show("show bgp ipv4 unicast summary"))
        wait_for("BFD in every tunnel", lambda: all(p["status"] == "up" for r in routers.values()
                                                    for p in r.json("show bfd peers")), 15)
        heading("hq# show bfd peers brief")
        say(hq.show("show bfd peers brief"))
        heading("hq# show wireguard")
        say(hq.show("show wireguard"))
        heading("hq# show ip route bgp   (DC-E's LAN directly; internet over both)")
        say(hq.show("show ip route bgp"))

        heading("traffic between the LANs")
        for source in SITES:
            for target, (_, lan) in SITES.items():
                if source == target:
                    continue
                result = wait_for(f"ping {source} -> {target}",
                                  lambda s=source, n=lan: (p := lab.ping(f"host-{s}", f"10.{n}.0.2", count=5)).returncode == 0 and p, 15)
                say(f"  {source} -> {target}: " + result.stdout.strip().splitlines()[-1])
        rate = lab.tcp("host-dce", "host-hq", "10.20.0.2", seconds=4)
        say(f"  TCP host-hq -> host-dce through the tunnel: {rate:.0f} Mbit/s (iperf3, 4 s)")

        heading("the tunnel HQ - DC-E is cut without a word")
        lab.echo("host-dce", "10.20.0.2")
        probe = lab.probe("host-hq", "10.20.0.2", 12000, 1)
        time.sleep(2)
        cut = time.monotonic()
        lab.cut("net-hq-dce", "hq", "to-dce")
        wait_for("DC-E's LAN by way of DC-W", lambda: hq.via("10.20.0.0/16") == ["10.255.2.2"], 15, every=0.02)
        moved = time.monotonic() - cut
        say(f"  HQ's control plane had moved its routes after {moved:.2f} s")
        say(hq.show("show ip route 10.20.0.0/16"))
        heading("hq# show failover")
        say(hq.show("show failover"))

        heading("the tunnel comes back")
        lab.heal("net-hq-dce", "hq", "to-dce")
        healed = time.monotonic()
        wait_for("DC-E's LAN directly again", lambda: hq.via("10.20.0.0/16") == ["10.255.1.2"], 40, every=0.02)
        say(f"  traffic is back on it after {time.monotonic() - healed:.2f} s")
        result = probe.result()
        say(f"  a 1 kHz probe there and back saw: {result['lost']} of {result['sent']} lost; "
            f"the cut healed in {result['gap_ms']:.0f} ms")
        if result["gap_ms"] > 1000:
            raise Failure("traffic took too long to move")

        heading("hq# show dataplane drops")
        say(hq.show("show dataplane drops"))
        say(f"done in {time.monotonic() - began:.0f} s")
        if KEEP:
            heading("left running: look around")
            say(f"  {CULVERT} --run-dir {hq.run_dir}        # HQ's shell; also run-dce, run-dcw beside it")
            say(f"  ip netns exec {lab.ns('host-hq')} ping 10.20.0.2")
            say(f"  ip netns exec {lab.ns('net-hq-dce')} tcpdump -ni hq.to-dce   # the tunnel from outside")
            say("  sudo ./scripts/demo        # a new run tidies this one up first")
    return 0


try:
    sys.exit(main())
except Failure as failure:
    print(f"demo failed: {failure}", file=sys.stderr)
    sys.exit(1)
except subprocess.SubprocessError as failure:
    print(f"demo failed: {failure}", file=sys.stderr)
    sys.exit(1)
