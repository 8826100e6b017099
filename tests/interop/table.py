"""A big table: it arrives, is passed on, is in the forwarding tables, forwards; and is gone when it is withdrawn."""
import ipaddress
import pathlib
import sys

from lab import Failure, Lab, wait_for

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from peers import Peer  # noqa: E402

CONFIG = """hostname r
interface feed
 port kernel r0
 ip address 10.11.0.1/24
 ipv6 address fd00:11::1/64
interface lan
 port kernel r1
 ip address 10.12.0.1/24
 ipv6 address fd00:12::1/64
router bgp 65000
 bgp router-id 10.11.0.1
 no bgp ebgp-requires-policy
 neighbor 10.11.0.2 remote-as 65001
 neighbor 10.12.0.2 remote-as 65099
 neighbor fd00:11::2 remote-as 65001
 neighbor fd00:12::2 remote-as 65099
 address-family ipv4 unicast
  no neighbor fd00:11::2 activate
  no neighbor fd00:12::2 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor fd00:11::2 activate
  neighbor fd00:12::2 activate
 exit-address-family
"""
SIZE = {4: 200_000, 6: 50_000}
FEED = {4: "10.11.0.2", 6: "fd00:11::2"}
LAN = {4: "10.12.0.2", 6: "fd00:12::2"}
SAMPLES = 8


def route_summary(router, family):
    return router.json(f"show {'ip' if family == 4 else 'ipv6'} route summary")


def bgp_routes(router, family):
    return sum(r["fib"] for r in route_summary(router, family)["routes"] if r["type"] in ("ebgp", "ibgp"))


def forwarding_prefixes(router, family):
    return route_summary(router, family)["routesTotalFib"]


def test_full_table_forwards():
    with Lab("cvftfw") as lab:
        lab.link("feed", "eth0", "r", "r0")
        lab.link("lan", "eth0", "r", "r1")
        for node, address in (("feed", FEED), ("lan", LAN)):
            lab.address(node, "eth0", f"{address[4]}/24", f"{address[6]}/64")
        for node, prefix, via in (("feed", "10.12.0.0/24", "10.11.0.1"), ("feed", "fd00:12::/64", "fd00:11::1"),
                                  ("lan", "default", "10.12.0.1"), ("lan", "::/0", "fd00:12::1")):
            lab.route(node, prefix, via)
        router = lab.router("r", CONFIG)
        before = {family: forwarding_prefixes(router, family) for family in SIZE}
        for family, count in SIZE.items():
            check_family(lab, router, family, count, before[family])
        return ", ".join(f"{count} IPv{family} routes" for family, count in SIZE.items())


def check_family(lab, router, family, count, before):
    gateway = {4: ("10.11.0.1", "10.12.0.1"), 6: ("fd00:11::1", "fd00:12::1")}[family]
    word = "ip" if family == 4 else "ipv6"
    with (Peer(lab, "feed", "feed", gateway[0], FEED[family], 65001, 65000, family, prefixes=count) as feed,
          Peer(lab, "lan", "sink", gateway[1], LAN[family], 65099, 65000, family) as sink):
        feed.expect("ready", 60)
        sample = feed.ask(f"sample {SAMPLES}", "sample")["prefixes"]
        targets = [str(ipaddress.ip_network(prefix).network_address + 1) for prefix in sample]
        for prefix in sample:
            lab.exec("feed", "ip", *(["-6"] if family == 6 else []), "route", "add", "local", prefix, "dev", "lo")
        sink.ask("open", "established")
        feed.ask("open", "established")

        sink.say(f"until held {count}")
        feed.ask("announce", "start")
        sink.expect("reached", 60)
        wait_for(f"{count} BGP routes in the route table", lambda: bgp_routes(router, family) == count)
        wait_for(f"the dataplane to have the last of IPv{family}",
                 lambda: all(FEED[family] in router.show(f"show {word} fib {t}") for t in targets))
        if forwarding_prefixes(router, family) != before + count:
            raise Failure(f"{count} more than {before} prefixes: {router.show(f'show {word} route summary json')}")
        for target in targets:
            wait_for(f"a ping of {target}", lambda t=target: lab.pings("lan", t, count=1), 5)

        sink.say("until held 0")
        feed.ask("withdraw", "start")
        sink.expect("reached", 60)
        wait_for(f"IPv{family} to be gone", lambda: forwarding_prefixes(router, family) == before)
        for target in targets:
            wait_for(f"the dataplane to have no route to {target}",
                     lambda t=target: FEED[family] not in router.show(f"show {word} fib {t}"))
            told = lab.ping("lan", target, count=1, wait=1).stdout
            if "nreachable" not in told:
                raise Failure(f"{target} has no route; the host was told: {told}")
