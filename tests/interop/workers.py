"""More than one worker: what only one of them may do is handed over to it."""
import concurrent.futures

from failures import pair
from lab import Failure, Lab, Late


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
