"""More than one worker: what only one of them may do is handed over to it."""
import concurrent.futures
import pathlib
import sys
import time

from failures import pair
from lab import Failure, Lab, Late, wait_for

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from peers import Peer  # noqa: E402

ROUTES = 100_000
MOST_FAULTS = 64  # its stack, code that runs for the first time
FEED = """interface feed
 port kernel feed0
 ip address 10.9.0.1/24
"""
FED = ["router bgp 65001", "neighbor 10.9.0.2 remote-as 65099", "neighbor 10.9.0.2 passive"]


def test_workers_share_ports_and_tunnels():
    with Lab("cvwork") as lab:
        routers = pair(lab, "dataplane\n workers 3\n")
        # Many flows both ways: they come in by every queue, and the tunnel is one worker's.
        pings = [("h1", "10.2.0.2"), ("h2", "10.1.0.2"), ("h1", "10.1.0.1"), ("h2", "10.2.0.1")]
        with concurrent.futures.ThreadPoolExecutor(len(pings)) as pool:
            for (host, target), ping in zip(pings, pool.map(lambda p: lab.ping(*p, count=50, interval=0.01), pings)):
                if ping.returncode != 0:
                    drops = {n: r.show("show dataplane drops") for n, r in routers.items()}
                    raise Failure(f"{host} to {target}: {ping.stdout[-500:]}{drops[1]}{drops[2]}")
        lab.echo("h2", "10.2.0.2")
        result = lab.probe("h1", "10.2.0.2", 3000, 1).result()
        if result["lost"] != 0:
            raise Late(f"{result}; {routers[1].show('show dataplane drops')}{routers[2].show('show dataplane drops')}")
        rates = [lab.tcp("h2", "h1", "10.2.0.2"), lab.tcp("h1", "h2", "10.1.0.2")]
        if min(rates) < 20:
            raise Late(f"TCP does not flow: {rates}")
        # A port that comes and goes under traffic is every worker's.
        lab.link("h3", "eth0", "r1", "late")
        lab.address("h3", "eth0", "10.3.0.2/24")
        lab.route("h3", "default", "10.3.0.1")
        probe = lab.probe("h1", "10.2.0.2", 3000, 1)
        for _ in range(3):
            routers[1].configure("interface late", "port kernel late", "ip address 10.3.0.1/24")
            if not lab.pings("h3", "10.1.0.2", count=20, interval=0.02):
                raise Failure(f"the late port forwards nothing: {routers[1].show('show dataplane drops')}")
            routers[1].configure("no interface late")
        result = probe.result()
        if result["lost"] != 0:
            raise Late(f"a port that comes and goes costs others packets: {result}")
        return f"TCP {min(rates):.0f} Mbit/s through the tunnel"


def faults(router):
    return sum(w["pageFaults"] for w in router.json("show dataplane runtime"))


def prefixes(router):
    return sum(r["fib"] for r in router.json("show ip route summary")["routes"] if r["type"] in ("ebgp", "ibgp"))


def test_a_steady_worker_takes_no_page_faults():
    with Lab("cvresid") as lab:
        lab.link("feed", "eth0", "r1", "feed0")
        lab.address("feed", "eth0", "10.9.0.2/24")
        routers = pair(lab, "dataplane\n workers 1\n")
        routers[1].configure(*FEED.strip().splitlines(), "exit", *FED)
        with Peer(lab, "feed", "feed", "10.9.0.1", "10.9.0.2", 65099, 65001, 4, prefixes=ROUTES) as feed:
            feed.expect("ready", 60)
            feed.ask("open", "established")
            wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=3), 10)
            lab.tcp("h2", "h1", "10.2.0.2", seconds=1)
            before = {n: faults(r) for n, r in routers.items()}
            rates = []
            for _ in range(2):
                feed.ask("announce", "start")
                wait_for("the table", lambda: prefixes(routers[2]) >= ROUTES, 60)
                rates.append(lab.tcp("h2", "h1", "10.2.0.2", seconds=2))
                feed.ask("withdraw", "start")
                wait_for("an empty table", lambda: prefixes(routers[2]) < 10, 60)
                time.sleep(2)  # the tables give their memory back
            rates.append(lab.tcp("h1", "h2", "10.1.0.2", seconds=2))
        more = {n: faults(r) - before[n] for n, r in routers.items()}
        if max(more.values()) > MOST_FAULTS:
            raise Failure(f"page faults of the workers: {more}")
        if min(rates) < 5:
            raise Failure(f"TCP does not flow: {rates}")
        return f"page faults {more}, TCP {min(rates):.0f} Mbit/s"
