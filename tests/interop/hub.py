"""The hub: spokes of wireguard-go with FRR and with BIRD on one WireGuard interface, BGP over the tunnels."""
import json
import time

from lab import Failure, Lab, Late, wait_for

COUNT = 1000  # prefixes each way and family

HUB = """hostname hub
interface wan
 port kernel wan0
 ip address 203.0.113.1/24
 ipv6 address 2001:db8:ffff::1/64
interface lan
 port kernel lan0
 ip address 10.1.0.1/24
 ipv6 address 2001:db8:a1::1/64
interface wg0
 tunnel mode wireguard
 wireguard private-key-file {key}
 wireguard listen-port 51820
 wireguard rekey-after {rekey}
 wireguard peer FRR
  public-key {frr_key}
  endpoint 203.0.113.2:51820
  allowed-ips 10.255.0.2/32 fd00:255::2/128
  routes bgp
 wireguard peer BIRD
  public-key {bird_key}
  endpoint 203.0.113.3:51820
  allowed-ips 10.255.0.3/32 fd00:255::3/128
  routes bgp
 ip address 10.255.0.1/24
 ipv6 address fd00:255::1/64
 ip mtu 1420
{statics}router bgp 65001
 bgp router-id 10.255.0.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 10.255.0.2 remote-as 65002
 neighbor 10.255.0.2 timers connect 1
 neighbor 10.255.0.3 remote-as 65003
 neighbor 10.255.0.3 timers connect 1
 neighbor fd00:255::2 remote-as 65002
 neighbor fd00:255::2 timers connect 1
 neighbor fd00:255::3 remote-as 65003
 neighbor fd00:255::3 timers connect 1
 address-family ipv4 unicast
  redistribute static
  network 10.1.0.0/24
  no neighbor fd00:255::2 activate
  no neighbor fd00:255::3 activate
 exit-address-family
 address-family ipv6 unicast
  redistribute static
  network 2001:db8:a1::/64
  neighbor fd00:255::2 activate
  neighbor fd00:255::3 activate
 exit-address-family
"""

FRR = """hostname spoke-frr
{statics}router bgp 65002
 bgp router-id 10.255.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 1 3
 neighbor 10.255.0.1 remote-as 65001
 neighbor 10.255.0.1 timers connect 1
 neighbor fd00:255::1 remote-as 65001
 neighbor fd00:255::1 timers connect 1
 address-family ipv4 unicast
  no neighbor fd00:255::1 activate
  network 10.2.0.0/24
{networks4} exit-address-family
 address-family ipv6 unicast
  neighbor fd00:255::1 activate
  network 2001:db8:a2::/64
{networks6} exit-address-family
"""

BIRD = """router id 10.255.0.3;
protocol device {{}}
protocol direct {{ ipv4; ipv6; interface "lan0"; }}
protocol kernel k4 {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel k6 {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}
protocol static s4 {{ ipv4; {statics4} }}
protocol static s6 {{ ipv6; {statics6} }}
template bgp hub {{ local as 65003; hold time 3; keepalive time 1; error wait time 1, 2; connect delay time 1;
  connect retry time 1; }}
protocol bgp hub4 from hub {{ neighbor 10.255.0.1 as 65001; source address 10.255.0.3;
  ipv4 {{ import all; export filter {{
    if source !~ [RTS_STATIC, RTS_DEVICE] then reject;
    # FRR's LAN is announced here too, one AS further away.
    if net = 10.2.0.0/24 then {{ bgp_path.prepend(65003); bgp_path.prepend(65003); }}
    accept; }}; }}; }}
protocol bgp hub6 from hub {{ neighbor fd00:255::1 as 65001; source address fd00:255::3;
  ipv6 {{ import all; export where source ~ [RTS_STATIC, RTS_DEVICE]; }}; }}
"""


def prefixes(octet):
    """COUNT of each family that only `octet`'s site has."""
    v4 = [f"100.{octet}.{i // 4}.{(i % 4) * 64}/26" for i in range(COUNT)]
    v6 = [f"2001:db8:{octet:x}00:{i:x}::/64" for i in range(COUNT)]
    return v4, v6


def hub_and_spokes(lab, rekey=120, bird_also=()):
    lab.bridge("wan", ("hub", "wan0"), ("frr", "wan0"), ("bird", "wan0"))
    keys = {n: lab.key(n) for n in ("hub", "frr", "bird")}
    sites = {"hub": 1, "frr": 2, "bird": 3}
    for node, n in sites.items():
        host = f"h{n}"
        lab.link(host, "eth0", node, "lan0")
        lab.address(host, "eth0", f"10.{n}.0.2/24", f"2001:db8:a{n}::2/64")
        lab.route(host, "default", f"10.{n}.0.1")
        lab.route(host, "::/0", f"2001:db8:a{n}::1")
    h4, h6 = prefixes(101)
    statics = "".join(f"ip route {p} Null0\n" for p in h4) + "".join(f"ipv6 route {p} Null0\n" for p in h6)
    hub = lab.router("hub", HUB.format(key=keys["hub"][0], frr_key=keys["frr"][1], bird_key=keys["bird"][1],
                                       statics=statics, rekey=rekey))
    spokes = {}
    for node in ("frr", "bird"):
        n = sites[node]
        lab.exec(node, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        lab.address(node, "wan0", f"203.0.113.{n}/24")
        lab.address(node, "lan0", f"10.{n}.0.1/24", f"2001:db8:a{n}::1/64")
        key_file, _ = keys[node]
        lab.wireguard_go(node, "wg0", f"""[Interface]
PrivateKey = {key_file.read_text().strip()}
ListenPort = 51820
[Peer]
PublicKey = {keys["hub"][1]}
Endpoint = 203.0.113.1:51820
AllowedIPs = 0.0.0.0/0, ::/0
PersistentKeepalive = 5
""", [f"10.255.0.{n}/24", f"fd00:255::{n}/64"])
    f4, f6 = prefixes(102)
    b4, b6 = prefixes(103)
    spokes["frr"] = lab.frr("frr", FRR.format(statics="", networks4="".join(f"  network {p}\n" for p in f4),
                                              networks6="".join(f"  network {p}\n" for p in f6)))
    spokes["bird"] = lab.bird("bird", BIRD.format(statics4=" ".join(f"route {p} blackhole;" for p in [*b4, *bird_also]),
                                                  statics6=" ".join(f"route {p} blackhole;" for p in b6)))
    for address in ("10.255.0.2", "10.255.0.3", "fd00:255::2", "fd00:255::3"):
        wait_for(f"BGP with {address}", lambda a=address: hub.established(a), 40)
    return hub, spokes


def received(hub, address):
    summary = hub.json("show bgp summary")
    family = "ipv6Unicast" if ":" in address else "ipv4Unicast"
    return summary[family]["peers"][address]["pfxRcd"]


def test_hub_exchanges_prefixes_and_forwards():
    with Lab("cvhub") as lab:
        hub, spokes = hub_and_spokes(lab)
        for address in ("10.255.0.2", "10.255.0.3", "fd00:255::2", "fd00:255::3"):
            wait_for(f"{COUNT} prefixes from {address}", lambda a=address: received(hub, a) >= COUNT + 1)
        # What the spokes have of the hub and, through it, of each other.
        for family, address in (("ipv4", "10.255.0.1"), ("ipv6", "fd00:255::1")):
            wait_for(f"FRR to have all {family}", lambda f=family, a=address: json.loads(
                spokes["frr"].vtysh(f"show bgp {f} unicast summary json"))["peers"][a]["pfxRcd"] >= 2 * COUNT + 2)
        for protocol in ("hub4", "hub6"):
            def imported(p=protocol):
                text = spokes["bird"].birdc("show", "protocols", "all", p)
                return int(text.split("Routes:")[1].split()[0]) >= 2 * COUNT + 2
            wait_for(f"BIRD to have all of {protocol}", imported)
        for source, targets in (("h2", ("10.3.0.2", "10.1.0.2", "2001:db8:a3::2", "2001:db8:a1::2")),
                                ("h3", ("10.2.0.2", "10.1.0.2", "2001:db8:a2::2", "2001:db8:a1::2")),
                                ("h1", ("10.2.0.2", "10.3.0.2", "2001:db8:a2::2", "2001:db8:a3::2"))):
            for target in targets:
                wait_for(f"{source} to {target}", lambda s=source, t=target: lab.pings(s, t, count=2), 10)
        # A source that no path of this peer covers is dropped: FRR's spoke speaks for BIRD's LAN.
        lab.address("frr", "lan0", "10.3.0.99/32")
        stolen = lab.ping("frr", "10.1.0.2", count=1, wait=1, source="10.3.0.99")
        assert stolen.returncode != 0, "a spoke may speak for another's LAN"
        assert "drop_wireguard_source" in hub.show("show dataplane drops"), hub.show("show dataplane drops")
        # DF-set packets of every size: an answer or a correct "too big", never silence.
        for target in ("10.2.0.2", "2001:db8:a2::2"):
            every_size(lab, "h1", target, path=1420)


def every_size(lab, host, target, path):
    v6 = ":" in target
    headers = 48 if v6 else 28
    script = f"""
import subprocess, sys
bad = []
for size in range(1200, 1501):
    subprocess.run(["ip", {'"-6", ' if v6 else ''}"route", "flush", "cache"])
    r = subprocess.run(["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", str(size - {headers}), "{target}"],
                       capture_output=True, text=True)
    said = r.stdout + r.stderr
    if size <= {path}:
        good = r.returncode == 0
    else:
        good = r.returncode != 0 and ("mtu = {path}" in said or "mtu={path}" in said or "mtu: {path}" in said)
    if not good:
        bad.append((size, said[-200:]))
print(bad)
sys.exit(1 if bad else 0)
"""
    result = lab.exec(host, "/usr/bin/python3", "-c", script, check=False, timeout=300)
    if result.returncode != 0:
        raise Failure(f"{host} -> {target}: {result.stdout[:1500]} {result.stderr[:500]}")


def test_rekey_loses_nothing():
    with Lab("cvrekey") as lab:
        hub, _ = hub_and_spokes(lab, rekey=2)
        wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2"), 15)
        lab.echo("h2", "10.2.0.2")
        before = handshakes(hub)
        result = lab.probe("h1", "10.2.0.2", 10000, 1).result()
        done = handshakes(hub) - before
        if result["lost"] != 0:
            raise Late(f"{result} over {done} handshakes; {hub.show('show dataplane drops')}")
        if done < 3:
            raise Failure(f"only {done} handshakes in ten seconds: nothing was rekeyed")
        return f"0 of {result['sent']} lost over {done} rekeys, p50 {result['rtt_p50_ms']} ms"


def handshakes(hub):
    return hub.json("show wireguard")["wg0"]["peers"]["FRR"]["handshakes"]


def test_cut_tunnel_moves_routes_when_the_hold_time_ends():
    with Lab("cvcut") as lab:
        # BIRD's spoke has a longer path to FRR's LAN: it takes over.
        hub, _ = hub_and_spokes(lab, bird_also=["10.2.0.0/24"])
        wait_for("routes of FRR", lambda: received(hub, "10.255.0.2") >= COUNT + 1)
        wait_for("the shorter path to win", lambda: hub.via("10.2.0.0/24") == ["10.255.0.2"])
        began = time.monotonic()
        lab.cut("wan", "frr", "wan0")
        wait_for("the routes to move", lambda: hub.via("10.2.0.0/24") == ["10.255.0.3"], 15, every=0.05)
        took = time.monotonic() - began
        lab.heal("wan", "frr", "wan0")
        wait_for("the routes to return", lambda: hub.via("10.2.0.0/24") == ["10.255.0.2"], 40)
        wait_for("LAN to LAN again", lambda: lab.pings("h1", "10.2.0.2"), 20)
        if not 1.5 <= took <= 8:
            raise (Late if took > 8 else Failure)(f"hold time is 3 s, the routes moved after {took:.1f} s")
        return f"moved after {took:.1f} s (hold time 3 s)"
