"""README's first configuration, taken from the page as it is printed."""
import re

from lab import ROOT, Failure, Lab, wait_for


def printed():
    """The configuration of site A, and that of site B made as the page says."""
    a = re.search(r"^```\n(hostname site-a\n.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M).group(1)
    others = {"site-a": "site-b", "site-b": "site-a", "10.1.0.1/24": "10.2.0.1/24", "10.1.0.0/24": "10.2.0.0/24",
              "203.0.113.10/24": "198.51.100.20/24", "198.51.100.20:51820": "203.0.113.10:51820",
              "0.0.0.0/0 203.0.113.1": "0.0.0.0/0 198.51.100.1", "10.255.0.1/30": "10.255.0.2/30",
              "10.255.0.2": "10.255.0.1", "65001": "65002", "65002": "65001", "SITE-B-": "SITE-A-"}
    words = sorted(others, key=len, reverse=True)
    return a, re.sub("|".join(map(re.escape, words)), lambda m: others[m.group()], a)


def test_first_configuration_of_readme():
    with Lab("cvread") as lab:
        for site, number, wan, gateway in (("a", 1, "203.0.113", "i0"), ("b", 2, "198.51.100", "i1")):
            lab.link(site, "eth1", f"h{site}", "eth0")
            lab.link(site, "eth2", "inet", gateway)
            lab.address("inet", gateway, f"{wan}.1/24")
            lab.address(f"h{site}", "eth0", f"10.{number}.0.2/24")
            lab.route(f"h{site}", "default", f"10.{number}.0.1")
        lab.exec("inet", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        keys = {site: lab.key(site) for site in "ab"}
        routers = {}
        for site, text, other in zip("ab", printed(), "ba"):
            text = text.replace("/etc/culvert/wg0.key", str(keys[site][0]))
            text, count = re.subn("SITE-.-PUBLIC-KEY", keys[other][1], text)
            if count != 1:
                raise Failure("README's configuration has no place for the other site's key")
            routers[site] = lab.router(site, text)
        # Nobody who tries it waits for ConnectRetry's two minutes.
        for site, neighbor in (("a", "10.255.0.2"), ("b", "10.255.0.1")):
            wait_for(f"BGP of site {site}", lambda r=routers[site], n=neighbor: r.established(n), 15)
        wait_for("a ping from LAN to LAN", lambda: lab.pings("ha", "10.2.0.2"), 10)
        wait_for("BFD", lambda: '"status":"up"' in routers["a"].show("show bfd peers json"), 10)
