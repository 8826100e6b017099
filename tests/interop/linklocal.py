"""BGP over link-local addresses: neighbours by address, unnumbered ones, and over WireGuard; with FRR and BIRD."""
import time

from lab import Failure, Lab, run, wait_for

LINK_LOCAL = """hostname r
interface wan
 port kernel wan0
 ip address 203.0.113.1/24
 ipv6 address 2001:db8:0:1::1/64
 ipv6 address fe80::1/64
interface lan
 port kernel lan0
 ip address 10.1.0.1/24
 ipv6 address 2001:db8:1::1/64
router bgp 65001
 bgp router-id 10.1.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor fe80::2 remote-as 65002
 neighbor fe80::2 interface wan
 neighbor fe80::2 timers connect 1
 neighbor fe80::2 ttl-security hops 1
 neighbor fe80::2 password-file {key}
 neighbor fe80::3 remote-as 65003
 neighbor fe80::3 interface wan
 neighbor fe80::3 timers connect 1
 address-family ipv4 unicast
  redistribute connected
 address-family ipv6 unicast
  redistribute connected
  neighbor fe80::2 activate
  neighbor fe80::3 activate
"""

FRR = """hostname f
router bgp 65002
 bgp router-id 10.2.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor fe80::1 remote-as 65001
 neighbor fe80::1 interface wan0
 neighbor fe80::1 timers connect 1
 neighbor fe80::1 ttl-security hops 1
 neighbor fe80::1 password secret
 address-family ipv6 unicast
  redistribute connected
  neighbor fe80::1 activate
"""

BIRD = """router id 10.3.0.1;
protocol device {{ scan time 1; }}
protocol direct {{ ipv6; interface "lan0"; }}
protocol kernel {{ ipv6 {{ export all; }}; }}
protocol bgp hub {{
 local fe80::3%wan0 as 65003;
 neighbor fe80::1%wan0 as 65001;
 connect delay time 1;
 ipv6 {{ import where net != 2001:db8:0:1::/64; export all; }};
}}
"""


def forwarding(lab, *nodes):
    for node in nodes:
        lab.exec(node, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv4.ip_forward=1")


def test_link_local_neighbors_with_frr_and_bird():
    with Lab("cvll") as lab:
        lab.bridge("wan", ("r", "wan0"), ("f", "wan0"), ("b", "wan0"))
        lab.link("r", "lan0", "h1", "eth0")
        lab.link("f", "lan0", "h2", "eth0")
        lab.link("b", "lan0", "h3", "eth0")
        for n, (router, host) in enumerate((("r", "h1"), ("f", "h2"), ("b", "h3")), 1):
            lab.address(host, "eth0", f"2001:db8:{n}::2/64")
            lab.route(host, "::/0", f"2001:db8:{n}::1")
            if router != "r":
                lab.address(router, "wan0", f"fe80::{n}/64", f"2001:db8:0:1::{n}/64")
                lab.address(router, "lan0", f"2001:db8:{n}::1/64")
        forwarding(lab, "f", "b")
        key = lab.dir / "md5.key"
        key.touch(mode=0o600)
        key.write_text("secret\n")
        r = lab.router("r", LINK_LOCAL.format(key=key))
        lab.frr("f", FRR)
        lab.bird("b", BIRD.format())
        wait_for("FRR by link-local addresses, with TCP-MD5 and GTSM", lambda: r.established("fe80::2"), 20)
        wait_for("BIRD by link-local addresses", lambda: r.established("fe80::3"), 20)
        wait_for("their LANs", lambda: r.route("2001:db8:2::/64") and r.route("2001:db8:3::/64"))
        hop = r.route("2001:db8:2::/64")["nexthops"][0]
        assert hop["ip"] == "fe80::2" and hop["interfaceName"] == "wan", hop
        for node in ("h2", "h3"):
            n = node[1]
            wait_for(f"h1 to reach {node}", lambda: lab.pings("h1", f"2001:db8:{n}::2"), 10)
            wait_for(f"{node} to reach h1", lambda: lab.pings(node, "2001:db8:1::2"), 10)
        # The box answers on its link-local address, on the link that has it alone.
        assert lab.pings("f", "fe80::1%wan0")
        assert not lab.pings("h1", "fe80::1%eth0", count=1, wait=1)
        assert r.cli("ping fe80::2%wan count 2", check=False).returncode == 0
        # Nothing of the link is forwarded elsewhere.
        assert "fe80::/64" not in r.show("show ipv6 route")
        r.configure("router bgp 65001", "no neighbor fe80::3")
        wait_for("BIRD's LAN to go", lambda: not r.route("2001:db8:3::/64"))
        assert r.established("fe80::2")


UNNUMBERED = """hostname r{n}
interface wan
 port kernel wan0
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
 ipv6 address 2001:db8:{n}::1/64
router bgp 6500{n}
 bgp router-id 10.{n}.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor wan interface remote-as external
 neighbor wan timers connect 1
 address-family ipv4 unicast
  redistribute connected
 address-family ipv6 unicast
  redistribute connected
  neighbor wan activate
"""

UNNUMBERED_FRR = """hostname f
router bgp 65002
 bgp router-id 10.2.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor wan0 interface remote-as external
 neighbor wan0 timers connect 1
 address-family ipv4 unicast
  redistribute connected
 address-family ipv6 unicast
  redistribute connected
  neighbor wan0 activate
"""


def lans(lab, *ends):
    for n, (router, host) in enumerate(ends, 1):
        lab.link(router, "lan0", host, "eth0")
        lab.address(host, "eth0", f"10.{n}.0.2/24", f"2001:db8:{n}::2/64")
        lab.route(host, "0.0.0.0/0", f"10.{n}.0.1")
        lab.route(host, "::/0", f"2001:db8:{n}::1")


def reach(lab):
    for target in ("2001:db8:2::2", "10.2.0.2"):
        wait_for(f"h1 to reach {target}", lambda: lab.pings("h1", target), 10)
    for target in ("2001:db8:1::2", "10.1.0.2"):
        wait_for(f"h2 to reach {target}", lambda: lab.pings("h2", target), 10)


def test_unnumbered_with_frr():
    with Lab("cvunf") as lab:
        lab.link("r", "wan0", "f", "wan0")
        lans(lab, ("r", "h1"), ("f", "h2"))
        lab.address("f", "lan0", "10.2.0.1/24", "2001:db8:2::1/64")
        forwarding(lab, "f")
        r = lab.router("r", UNNUMBERED.format(n=1))
        frr = lab.frr("f", UNNUMBERED_FRR)
        wait_for("the unnumbered session", lambda: r.established("wan"), 30)
        wait_for("its routes", lambda: r.route("2001:db8:2::/64") and r.route("10.2.0.0/24"))
        hop = r.route("10.2.0.0/24")["nexthops"][0]
        assert hop["ip"].startswith("fe80::") and hop["interfaceName"] == "wan", hop
        reach(lab)
        neighbor = r.json("show bgp neighbors wan")["wan"]
        assert neighbor["bgpState"] == "Established", neighbor
        assert "10.1.0.0/24" in frr.vtysh("show ip route bgp"), frr.vtysh("show bgp ipv4 unicast")
        # It goes on after the neighbour was restarted, and after the statement was typed anew.
        r.configure("router bgp 65001", "no neighbor wan")
        wait_for("the routes to go", lambda: not r.route("10.2.0.0/24"))
        r.configure("router bgp 65001", "neighbor wan interface remote-as 65002", "neighbor wan timers connect 1",
                    "address-family ipv6 unicast", "neighbor wan activate")
        wait_for("it to come back", lambda: r.established("wan"), 30)
        reach(lab)


def test_unnumbered_between_two_of_us():
    with Lab("cvunc") as lab:
        lab.link("r1", "wan0", "r2", "wan0")
        lans(lab, ("r1", "h1"), ("r2", "h2"))
        r1 = lab.router("r1", UNNUMBERED.format(n=1))
        r2 = lab.router("r2", UNNUMBERED.format(n=2))
        wait_for("the unnumbered session", lambda: r1.established("wan") and r2.established("wan"), 30)
        wait_for("its routes", lambda: r1.route("2001:db8:2::/64") and r1.route("10.2.0.0/24"))
        reach(lab)


TUNNELS = """hostname r{n}
interface wan
 port kernel wan0
 ip address 203.0.113.{n}/24
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
 ipv6 address 2001:db8:{n}::1/64
interface wg0
 tunnel mode wireguard
 ipv6 address fe80::{n}/64
 wireguard private-key-file {key}
 wireguard listen-port 51820
 wireguard peer other
  public-key {peer}
  endpoint 203.0.113.{m}:51820
  allowed-ips fe80::{m}/128
  allowed-ips 10.{m}.0.0/24
  allowed-ips 2001:db8:{m}::/48
router bgp 6500{n}
 bgp router-id 10.{n}.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor fe80::{m} remote-as 6500{m}
 neighbor fe80::{m} interface wg0
 neighbor fe80::{m} timers connect 1
 address-family ipv4 unicast
  network 10.{n}.0.0/24
 address-family ipv6 unicast
  network 2001:db8:{n}::/64
  neighbor fe80::{m} activate
"""


def test_link_local_neighbors_over_wireguard():
    with Lab("cvllw") as lab:
        lab.link("r1", "wan0", "r2", "wan0")
        lans(lab, ("r1", "h1"), ("r2", "h2"))
        keys = {n: lab.key(f"r{n}") for n in (1, 2)}
        routers = [lab.router(f"r{n}", TUNNELS.format(n=n, m=3 - n, key=keys[n][0], peer=keys[3 - n][1])) for n in (1, 2)]
        wait_for("the session in the tunnel", lambda: all(r.established(f"fe80::{m}") for r, m in zip(routers, (2, 1))), 30)
        wait_for("its routes", lambda: routers[0].route("2001:db8:2::/64"))
        hop = routers[0].route("2001:db8:2::/64")["nexthops"][0]
        assert hop["ip"] == "fe80::2" and hop["interfaceName"] == "wg0", hop
        reach(lab)
        # It has no link-local address of its own accord.
        refused = routers[0].cli("configure terminal", "interface wg0", "no ipv6 address fe80::1/64", check=False)
        assert "link-local" in refused.stdout + refused.stderr, refused
