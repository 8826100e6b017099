"""Weights of groups: FRR sends link bandwidth, and beside us takes the same routes; static routes have weights."""
import json
import time

from lab import Failure, Lab, wait_for

MBITS = {"10.1.0.2": 100, "10.1.0.3": 200, "10.1.0.4": 300}
ALL, SOME = "198.51.100.0/24", "198.51.101.0/24"

# Spoken by culvert and by FRR: what both are to do with the peers' routes.
BGP = """router bgp 65001
 bgp router-id {own}
 no bgp ebgp-requires-policy
 timers bgp 3 9
{peers} neighbor 10.2.0.2 remote-as 65003
 neighbor 10.2.0.2 timers connect 1
"""

CONFIG = """hostname r
interface peers
 port kernel r0
 ip address 10.1.0.1/24
interface down
 port kernel r1
 ip address 10.2.0.1/24
failover
 buckets-a-second 16
exit
ip route 192.0.2.0/24 10.1.0.2 weight 3
ip route 192.0.2.0/24 10.1.0.3
"""

# SOME comes without a bandwidth from the last of them.
PEER = """hostname p
router bgp 65002
 bgp router-id {own}
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor 10.1.0.1 remote-as 65001
 neighbor 10.1.0.1 timers connect 1
 neighbor 10.1.0.9 remote-as 65001
 neighbor 10.1.0.9 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.0/24 route-map BW
  network 198.51.101.0/24{some}
!
route-map BW permit 10
 set extcommunity bandwidth {mbits}
"""

DOWNSTREAM = """hostname d
router bgp 65003
 bgp router-id 10.2.0.2
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor 10.2.0.1 remote-as 65001
 neighbor 10.2.0.1 timers connect 1
 neighbor 10.2.0.9 remote-as 65001
 neighbor 10.2.0.9 timers connect 1
"""

SEND = """
import socket
for port in range(20000, 24000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("10.2.0.2", port))
    s.sendto(b"x", ("%s", 7777))
    s.close()
"""
COUNT = "table inet count {\n chain in {\n  type filter hook prerouting priority -300;\n  udp dport 7777 counter drop\n }\n}\n"


def weights(entry):
    """Of `show ip route PREFIX json`, ours or FRR's: the weight of each gateway."""
    route = next(r for r in entry if r.get("selected"))
    return {h["ip"]: h["weight"] for h in route["nexthops"] if h.get("fib") and "ip" in h}


def buckets(router, prefix):
    fib = router.json(f"show ip fib {prefix}")[prefix]
    return {h.get("ip"): h["buckets"] for h in fib["nexthops"]}, fib["buckets"]


def arrived(lab, node):
    counted = json.loads(lab.exec(node, "nft", "-j", "list", "table", "inet", "count").stdout)
    rule = next(x["rule"] for x in counted["nftables"] if "rule" in x)
    return next(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)


def communities(shown):
    return {p["peer"]["peerId"]: p.get("extendedCommunity", {}).get("string", "") for p in shown["paths"]}


def test_weights():
    with Lab("cvwght") as lab:
        nodes = {"10.1.0.2": "p1", "10.1.0.3": "p2", "10.1.0.4": "p3"}
        lab.bridge("hub", ("r", "r0"), ("o", "o0"), *((n, "eth0") for n in nodes.values()))
        lab.bridge("hub2", ("r", "r1"), ("o", "o1"), ("d", "eth0"))
        lab.address("o", "o0", "10.1.0.9/24")
        lab.address("o", "o1", "10.2.0.9/24")
        lab.address("d", "eth0", "10.2.0.2/24")
        for prefix in (ALL, "192.0.2.0/24"):
            lab.route("d", prefix, "10.2.0.1")
        for address, node in nodes.items():
            lab.address(node, "eth0", f"{address}/24")
            lab.exec(node, "nft", "-f", "-", input=COUNT)
        peers = "".join(f" neighbor {a} remote-as 65002\n neighbor {a} timers connect 1\n" for a in nodes)
        router = lab.router("r", CONFIG + BGP.format(own="10.1.0.1", peers=peers))
        oracle = lab.frr("o", "hostname o\n" + BGP.format(own="10.1.0.9", peers=peers))
        speakers = {}
        for address, node in nodes.items():
            some = "" if node == "p3" else " route-map BW"
            speakers[node] = lab.frr(node, PEER.format(own=address, mbits=MBITS[address], some=some))
        downstream = lab.frr("d", DOWNSTREAM)

        def ours(prefix):
            return weights(router.json(f"show ip route {prefix}")[prefix])

        def frrs(prefix):
            return weights(json.loads(oracle.vtysh(f"show ip route {prefix} json"))[prefix])

        def alike(prefix, want):
            wait_for(f"weights {want} of {prefix} in FRR", lambda: frrs(prefix) == want)
            wait_for(f"weights {want} of {prefix}", lambda: ours(prefix) == want)

        alike(ALL, {"10.1.0.2": 16, "10.1.0.3": 33, "10.1.0.4": 50})
        alike(SOME, {a: 1 for a in nodes})
        for prefix in (ALL, SOME):
            command = f"show bgp ipv4 unicast {prefix}"
            have, want = communities(router.json(command)), communities(json.loads(oracle.vtysh(command + " json")))
            if {k: v for k, v in have.items() if k in nodes} != {k: v for k, v in want.items() if k in nodes}:
                raise Failure(f"{prefix}: {have}\nFRR: {want}")
        text = router.show(f"show bgp ipv4 unicast {ALL}")
        if "Extended Community: LB:65002:12500000 (100.000 Mbps)" not in text:
            raise Failure(text)

        # Buckets, then packets.
        share, total = buckets(router, ALL)
        for address, mbits in MBITS.items():
            if abs(share[address] - total * mbits / 600) > 0.02 * total * mbits / 600:
                raise Failure(f"{share} of {total} buckets")
        lab.exec("d", "python3", "-c", SEND % "198.51.100.7")
        got = {a: arrived(lab, n) for a, n in nodes.items()}
        count = sum(got.values())
        if count < 3900:
            raise Failure(f"{count} of 4000 packets arrived: {got}")
        for address, mbits in MBITS.items():
            if abs(got[address] / count - mbits / 600) > 0.04:
                raise Failure(f"packets by gateway: {got}")

        # Who takes our next hop hears of what all paths carry, in our AS's name.
        def told(prefix):
            return communities(json.loads(downstream.vtysh(f"show bgp ipv4 unicast {prefix} json")))

        def is_told(want):
            # FRR 8.4.4 sends the sum only when it is asked to send again; until then, what the best path came with.
            oracle.vtysh("clear bgp ipv4 unicast 10.2.0.2 soft out")
            heard = told(ALL)
            if heard != {"10.2.0.1": want, "10.2.0.9": want}:
                raise Failure(f"{heard}")
            return True

        wait_for("the sum to be told", lambda: is_told("LB:65001:75000000 (600.000 Mbps)"), every=1)

        # The knob, in both.
        for knob, want in (("ignore", {a: 1 for a in nodes}), ("skip-missing", {"10.1.0.2": 33, "10.1.0.3": 66}),
                           ("default-weight-for-missing", {"10.1.0.2": 33, "10.1.0.3": 66, "10.1.0.4": 1})):
            router.configure("router bgp 65001", f"bgp bestpath bandwidth {knob}")
            oracle.vtysh("configure terminal", "router bgp 65001", f"bgp bestpath bandwidth {knob}")
            alike(SOME, want)
        router.configure("router bgp 65001", "no bgp bestpath bandwidth")
        oracle.vtysh("configure terminal", "router bgp 65001", "no bgp bestpath bandwidth")
        alike(SOME, {a: 1 for a in nodes})

        # A path goes, and another says something new.
        speakers["p3"].vtysh("configure terminal", "router bgp 65002", "address-family ipv4 unicast", f"no network {ALL}")
        alike(ALL, {"10.1.0.2": 33, "10.1.0.3": 66})
        speakers["p1"].vtysh("configure terminal", "route-map BW permit 10", "set extcommunity bandwidth 600")
        alike(ALL, {"10.1.0.2": 75, "10.1.0.3": 25})
        wait_for("the new sum to be told", lambda: is_told("LB:65001:100000000 (800.000 Mbps)"), every=1)

        # Static routes: a weight that changes moves what it must, at the pace that is configured.
        if ours("192.0.2.0/24") != {"10.1.0.2": 3, "10.1.0.3": 1}:
            raise Failure(router.show("show ip route 192.0.2.0/24 json"))
        share, total = buckets(router, "192.0.2.0/24")
        if share != {"10.1.0.2": total * 3 // 4, "10.1.0.3": total // 4}:
            raise Failure(f"{share} of {total} buckets")
        began = time.monotonic()
        router.configure("ip route 192.0.2.0/24 10.1.0.2 weight 1")
        seen = []
        while not seen or seen[-1] > total // 2 + 2:
            seen.append(buckets(router, "192.0.2.0/24")[0]["10.1.0.2"])
            late = time.monotonic() - began
            if seen[-1] < total * 3 // 4 - 16 * late - 2 or late > 60:
                raise Failure(f"after {late:.2f} s: {seen}")
            time.sleep(0.1)
        if seen != sorted(seen, reverse=True) or len(set(seen)) < 5:
            raise Failure(f"buckets of the gateway that lost weight: {seen}")
        refused = router.cli("configure terminal", "ip route 203.0.113.0/24 Null0 weight 5", check=False)
        if "shares no traffic" not in refused.stdout + refused.stderr:
            raise Failure(f"{refused.stdout}{refused.stderr}")
        return f"packets {'/'.join(str(got[a]) for a in sorted(got))} for 100/200/300 Mbit/s"
