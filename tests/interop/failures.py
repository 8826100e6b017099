"""What happens when something dies."""
import signal
import time

from lab import PATIENCE, Failure, Lab, Late, wait_for

ROUTER = """hostname {name}
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
interface wan
 port kernel wan0
 ip address 203.0.113.{n}/24
interface wg0
 tunnel mode wireguard
 wireguard private-key-file {key}
 wireguard listen-port 51820
 wireguard peer PEER
  public-key {peer_key}
  endpoint 203.0.113.{peer}:51820
  allowed-ips 10.255.0.{peer}/32
  routes bgp
 ip address 10.255.0.{n}/24
router bgp 6500{n}
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 10.255.0.{peer} remote-as 6500{peer}
 neighbor 10.255.0.{peer} timers connect 1
 address-family ipv4 unicast
  network 10.{n}.0.0/24
"""


def pair(lab, more=""):
    lab.bridge("wan", ("r1", "wan0"), ("r2", "wan0"))
    keys = {n: lab.key(f"r{n}") for n in (1, 2)}
    routers = {}
    for n, peer in ((1, 2), (2, 1)):
        lab.link(f"h{n}", "eth0", f"r{n}", "lan0")
        lab.address(f"h{n}", "eth0", f"10.{n}.0.2/24")
        lab.route(f"h{n}", "default", f"10.{n}.0.1")
        routers[n] = lab.router(f"r{n}", more + ROUTER.format(name=f"r{n}", n=n, peer=peer, key=keys[n][0],
                                                              peer_key=keys[peer][1]))
    wait_for("BGP over WireGuard", lambda: routers[1].established("10.255.0.2"), 20)
    wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 10)
    return routers


def test_kill_dash_nine_under_traffic():
    with Lab("cvkill") as lab:
        routers = pair(lab)
        lab.echo("h2", "10.2.0.2")
        before = lab.exec("h1", "ip", "-o", "link").stdout
        probe = lab.probe("h1", "10.2.0.2", 12000, 1)
        time.sleep(2)
        routers[1].process.kill(signal.SIGKILL)
        routers[1].start()
        wait_for("BGP after kill -9", lambda: routers[1].established("10.255.0.2"), 30)
        wait_for("LAN to LAN after kill -9", lambda: lab.pings("h1", "10.2.0.2", count=1), 10)
        result = probe.result()
        if result["gap_ms"] > 8000 * max(1, PATIENCE) or result["sent"] - result["lost"] < 3000:
            raise Late(f"traffic did not come back by itself in time: {result}")
        assert lab.exec("h1", "ip", "-o", "link").stdout == before
        return f"gap {result['gap_ms'] / 1000:.1f} s"
