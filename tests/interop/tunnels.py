"""GRE and IPsec tunnels: between two of ours, with Open vSwitch, inside each other, and what fits into them."""
import re
import signal
import time

from lab import Failure, Lab, Late, run, wait_for

SITE = """hostname {name}
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
 ipv6 address 2001:db8:{n}::1/64
interface wan
 port kernel wan0
 ip address 192.0.2.{n}/24
 ipv6 address 2001:db8:ff::{n}/64
 {wan_more}
{tunnels}
router bgp 6500{n}
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor {peer_address} remote-as 6500{peer}
 neighbor {peer_address} timers connect 1
 address-family ipv4 unicast
  network 10.{n}.0.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor {peer_address} activate
  network 2001:db8:{n}::/64
"""

# A tunnel that BGP runs over: the last one of a stack.
GRE = """interface tunnel0
 tunnel mode {mode}
 tunnel source {source}
 tunnel destination {destination}
 ip address 10.255.0.{n}/30
 ipv6 address 2001:db8:fe::{n}/64
 {more}
"""


def gre(n, peer, mode="gre ip", source="wan", destination=None, more=""):
    destination = destination or (f"2001:db8:ff::{peer}" if "ipv6" in mode else f"192.0.2.{peer}")
    return GRE.format(n=n, mode=mode, source=source, destination=destination, more=more)


def wireguard(lab, n, peer, endpoint, keys, address="10.254.0", mtu=None):
    return f"""interface wg0
 tunnel mode wireguard
 wireguard private-key-file {keys[n][0]}
 wireguard listen-port 51820
 wireguard peer PEER
  public-key {keys[peer][1]}
  endpoint {endpoint}:51820
  allowed-ips 0.0.0.0/0 ::/0
 exit
 ip address {address}.{n}/30
"""


def two_sites(lab, tunnels, mtu=1500, peer_address="10.255.0.{peer}", wan_more="", established=True):
    """Two routers, a host behind each, wan to wan over a bridge; `tunnels(n, peer)` is what lies between them."""
    lab.bridge("net", ("r1", "wan0"), ("r2", "wan0"), mtu=mtu)
    routers = {}
    for n, peer in ((1, 2), (2, 1)):
        lab.link(f"h{n}", "eth0", f"r{n}", "lan0", 1500)
        lab.address(f"h{n}", "eth0", f"10.{n}.0.2/24", f"2001:db8:{n}::2/64")
        lab.route(f"h{n}", "default", f"10.{n}.0.1")
        lab.route(f"h{n}", "::/0", f"2001:db8:{n}::1")
        routers[n] = lab.router(f"r{n}", SITE.format(name=f"r{n}", n=n, peer=peer, tunnels=tunnels(n, peer),
                                                     peer_address=peer_address.format(peer=peer), wan_more=wan_more))
    if established:
        wait_for("BGP over the tunnel", lambda: routers[1].established(peer_address.format(peer=2)), 30)
        wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 15)
        wait_for("LAN to LAN, IPv6", lambda: lab.pings("h1", "2001:db8:2::2", count=1), 15)
    return routers


def drops(routers):
    return "".join(f"\n{n}: {r.show('show dataplane drops')}" for n, r in routers.items())


def mtu_of(router, interface="tunnel0"):
    return router.json(f"show interface {interface}")[interface]["ipMtu"]


def every_size(lab, routers, interface="tunnel0"):
    """Pings with DF: either an answer, or a "too big" whose number works at the first try. Without: always an answer."""
    mtu = mtu_of(routers[1], interface)
    for size in (56, 500, 1000, 1200, mtu - 28 - 1, mtu - 28):
        reply = lab.ping("h1", "10.2.0.2", count=1, size=size, df=True)
        if reply.returncode != 0:
            raise Failure(f"DF, {size + 28} octets of {mtu}: {reply.stdout}{reply.stderr}{drops(routers)}")
    for size in (mtu - 28 + 1, 1472):
        lab.exec("h1", "ip", "route", "flush", "cache")
        reply = lab.ping("h1", "10.2.0.2", count=1, size=size, df=True)
        if f"mtu = {mtu}" not in reply.stdout + reply.stderr:
            raise Failure(f"DF, {size + 28} octets of {mtu}: {reply.stdout}{reply.stderr}")
    for size in (mtu - 28 + 1, 1472, 4000, 8000):
        reply = lab.exec("h1", "ping", "-n", "-M", "dont", "-c", "2", "-i", "0.1", "-W", "2", "-s", size, "10.2.0.2",
                         check=False)
        if reply.returncode != 0:
            raise Failure(f"no DF, {size + 28} octets: {reply.stdout}{drops(routers)}")
    lab.ping("h1", "2001:db8:2::2", count=1, size=1452, df=True)
    if not lab.pings("h1", "2001:db8:2::2", count=2, size=1452):
        raise Failure(f"the IPv6 sender has not learned what fits{drops(routers)}")
    return mtu


def tcp_both_ways(lab, routers, least=5):
    rates = [lab.tcp("h2", "h1", "10.2.0.2", 2), lab.tcp("h1", "h2", "2001:db8:1::2", 2)]
    if min(rates) < least:
        raise Failure(f"TCP does not flow: {rates}{drops(routers)}")
    return rates


def cut_packets(router):
    """Fragments that the router has made or joined."""
    return {k: v["packets"] for k, v in router.json("show dataplane drops").items() if "fragment" in k or k == "reassembled"}


def test_gre_between_two_sites():
    notes = []
    for mode, more in (("gre ip", ""), ("gre ipv6", ""),
                       ("gre ip", "tunnel key 42\n tunnel checksum\n tunnel sequence-datagrams\n ip tcp adjust-mss auto")):
        with Lab("cvgre") as lab:
            routers = two_sites(lab, lambda n, p: gre(n, p, mode, more=more))
            mtu = every_size(lab, routers)
            want = 1500 - (40 if "ipv6" in mode else 20) - 4 - (12 if "key" in more else 0)
            if mtu != want:
                raise Failure(f"{mode} {more}: MTU {mtu}, not {want}: {routers[1].show('show interface tunnel0')}")
            before = cut_packets(routers[2])
            rates = tcp_both_ways(lab, routers)
            if cut_packets(routers[2]) != before:
                raise Failure(f"TCP was cut: {before} {cut_packets(routers[2])}")
            text = routers[1].show("show interface tunnel0")
            for line in ("by wan", "GRE", f"= {mtu}"):
                if line not in text:
                    raise Failure(f"the sum does not say {line!r}: {text}")
            # The wire's MTU follows into the tunnel's at once.
            routers[1].configure("interface wan", "ip mtu 1400")
            wait_for("the tunnel to follow its path", lambda: mtu_of(routers[1]) == want - 100, 5)
            routers[1].configure("interface wan", "no ip mtu")
            wait_for("the tunnel to follow its path back", lambda: mtu_of(routers[1]) == want, 5)
            notes.append(f"{mode}: {mtu}, TCP {min(rates):.0f} Mbit/s")
    return "; ".join(notes)


def test_gre_keepalive_and_reasons():
    with Lab("cvgrek") as lab:
        routers = two_sites(lab, lambda n, p: gre(n, p, more="keepalive 1 3" if n == 1 else ""))
        state = lambda: routers[1].json("show interface tunnel0")["tunnel0"]  # noqa: E731
        wait_for("a keepalive that came back", lambda: state()["tunnel"]["keepalive"]["sent"] >= 2
                 and state()["tunnel"]["keepalive"]["missed"] == 0, 10)
        lab.cut("net", "r2", "wan0")
        began = time.monotonic()
        wait_for("the tunnel to be down", lambda: state()["operationalStatus"] == "down", 15)
        seconds = time.monotonic() - began
        if "keepalives" not in state()["tunnel"]["downReason"]:
            raise Failure(f"the reason is {state()['tunnel']}")
        # The worker that owns the tunnel has seen it, and took it out of use in that round.
        record = routers[1].json("show failover")["records"][0]
        if record["cause"] != "tunnel" or "tunnel0" not in record["subject"] or record["detectionMsecs"] < 2000:
            raise Failure(f"the record is wrong: {record}")
        if record["detectionMsecs"] > 4500:
            raise Late(f"three keepalives of a second each were missed, and it took {record['detectionMsecs']} ms")
        lab.heal("net", "r2", "wan0")
        wait_for("the tunnel to be up again", lambda: state()["operationalStatus"] == "up", 10)
        wait_for("BGP again", lambda: routers[1].established("10.255.0.2"), 20)
        # `shutdown` at the far end is seen too.
        routers[2].configure("interface tunnel0", "shutdown")
        wait_for("the tunnel to be down", lambda: state()["operationalStatus"] == "down", 15)
        routers[2].configure("interface tunnel0", "no shutdown")
        wait_for("the tunnel to be up again", lambda: state()["operationalStatus"] == "up", 10)
        # A route to the far end that leads into the tunnel itself.
        routers[1].configure("ip route 192.0.2.2/32 tunnel0")
        wait_for("the tunnel inside itself to be down",
                 lambda: "inside itself" in state()["tunnel"].get("downReason", ""), 10)
        text = routers[1].show("show interface tunnel0")
        if "inside itself" not in text:
            raise Failure(text)
        routers[1].configure("no ip route 192.0.2.2/32 tunnel0")
        # No source, no route.
        routers[1].configure("interface wan", "shutdown")
        wait_for("the reason", lambda: "source wan is down" in state()["tunnel"].get("downReason", "")
                 or "inside itself" in state()["tunnel"].get("downReason", ""), 10)
        return f"down {seconds:.1f} s after the wire fell silent"


def test_gre_and_wireguard_in_each_other():
    notes = []
    for order in ("gre in wireguard", "wireguard in gre"):
        with Lab("cvnest") as lab:
            keys = {n: lab.key(f"r{n}") for n in (1, 2)}
            if order == "gre in wireguard":
                routers = two_sites(lab, lambda n, p: wireguard(lab, n, p, f"192.0.2.{p}", keys)
                                    + gre(n, p, source="wg0", destination=f"10.254.0.{p}", more="tunnel key 7"))
                interface, want = "tunnel0", 1420 - 28
            else:
                def tunnels(n, p):
                    return (f"interface tunnel1\n tunnel mode gre ip\n tunnel source wan\n tunnel destination 192.0.2.{p}\n"
                            f" ip address 10.253.0.{n}/30\n" + wireguard(lab, n, p, f"10.253.0.{p}", keys))
                routers = two_sites(lab, tunnels, peer_address="10.254.0.{peer}", established=False)
                wait_for("BGP", lambda: routers[1].established("10.254.0.2"), 30)
                for n, p in ((1, 2), (2, 1)):
                    routers[n].configure(f"ipv6 route 2001:db8:{p}::/64 wg0")
                wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 15)
                wait_for("LAN to LAN, IPv6", lambda: lab.pings("h1", "2001:db8:2::2", count=1), 15)
                interface, want = "wg0", 1476 - 80
            wait_for("the MTU of the stack", lambda: mtu_of(routers[1], interface) == want
                     and mtu_of(routers[2], interface) == want, 10)
            every_size(lab, routers, interface)
            before = cut_packets(routers[2])
            rates = tcp_both_ways(lab, routers)
            if cut_packets(routers[2]) != before:
                raise Failure(f"TCP was cut: {before} {cut_packets(routers[2])}")
            notes.append(f"{order}: MTU {want}, TCP {min(rates):.0f} Mbit/s")
    return "; ".join(notes)


def test_path_mtu_is_learned():
    """A router between the two has a link that takes less than both think."""
    with Lab("cvpmtu") as lab:
        lab.link("r1", "wan0", "mid", "m1", 1500)
        lab.link("mid", "m2", "r2", "wan0", 1500)
        lab.address("mid", "m1", "192.0.2.254/24", "2001:db8:ff::fe/64")
        lab.address("mid", "m2", "198.51.100.254/24", "2001:db8:fd::fe/64")
        lab.exec("mid", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        run("ip", "-n", lab.ns("mid"), "link", "set", "m2", "mtu", 1300)
        routers = {}
        for n, peer, own, far, gateway, mtu in ((1, 2, "192.0.2.1", "198.51.100.2", "192.0.2.254", 1500),
                                                (2, 1, "198.51.100.2", "192.0.2.1", "198.51.100.254", 1300)):
            lab.link(f"h{n}", "eth0", f"r{n}", "lan0", 1500)
            lab.address(f"h{n}", "eth0", f"10.{n}.0.2/24")
            lab.route(f"h{n}", "default", f"10.{n}.0.1")
            routers[n] = lab.router(f"r{n}", f"""hostname r{n}
interface lan
 port kernel lan0
 ip address 10.{n}.0.1/24
interface wan
 port kernel wan0
 mtu {mtu}
 ip address {own}/24
interface tunnel0
 tunnel mode gre ip
 tunnel source wan
 tunnel destination {far}
 ip address 10.255.0.{n}/30
ip route 10.{peer}.0.0/24 tunnel0
ip route 0.0.0.0/0 {gateway}
""")
        wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 15)
        assert mtu_of(routers[1]) == 1476
        # Without DF what is too large is cut on the way, and put together at the far end.
        reply = lab.exec("h1", "ping", "-n", "-M", "dont", "-c", "2", "-W", "2", "-s", 1400, "10.2.0.2", check=False)
        if reply.returncode != 0:
            raise Failure(f"cut on the way: {reply.stdout}{drops(routers)}")
        # With DF the first one tells us; the next is answered with what fits.
        lab.ping("h1", "10.2.0.2", count=1, size=1400, df=True)
        wait_for("the path's MTU to be learned", lambda: mtu_of(routers[1]) == 1276, 10)
        said = lab.ping("h1", "10.2.0.2", count=1, size=1400, df=True)
        if "mtu = 1276" not in said.stdout + said.stderr:
            raise Failure(said.stdout + said.stderr)
        if not lab.pings("h1", "10.2.0.2", count=2, size=1276 - 28, df=True):
            raise Failure(f"what fits does not get through{drops(routers)}")
        text = routers[1].show("show interface tunnel0")
        if not re.search(r"a router on the way takes no more, believed for \d+ s +1300", text):
            raise Failure(text)
        rate = lab.tcp("h2", "h1", "10.2.0.2", 2)
        return f"1276 learned; TCP {rate:.0f} Mbit/s"


def ovs(lab, node, steps):
    """Open vSwitch with the userspace datapath: `eth0` becomes a port of br-phy."""
    where = lab.dir / f"{node}-ovs"
    where.mkdir()
    database = where / "conf.db"
    run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
    env = {"OVS_RUNDIR": str(where)}
    lab.start(f"ovsdb-{node}", node, ["ovsdb-server", database, f"--remote=punix:{where}/db.sock", "--no-chdir",
                                      "--unixctl=" + str(where / "db.ctl")], env=env)
    wait_for("ovsdb-server", lambda: (where / "db.sock").exists())
    run("ovs-vsctl", f"--db=unix:{where}/db.sock", "--no-wait", "init")
    lab.start(f"ovs-{node}", node, ["ovs-vswitchd", f"unix:{where}/db.sock", "--no-chdir", "--disable-system",
                                    "--unixctl=" + str(where / "vs.ctl")], env=env)
    vsctl = lambda *words: lab.exec(node, "ovs-vsctl", f"--db=unix:{where}/db.sock", "--timeout=20", *words)  # noqa: E731
    vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "--", "add-port", "br-phy", "eth0")
    vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev",
          "other-config:hwaddr=02:00:00:00:00:01")
    for name, address in steps["addresses"].items():
        lab.address(node, name, address)
        run("ip", "-n", lab.ns(node), "link", "set", name, "up")
    run("ip", "-n", lab.ns(node), "link", "set", "br-int", "mtu", 1400)
    for port, options in steps["ports"].items():
        vsctl("add-port", "br-int", port, "--", "set", "interface", port, "type=gre", *options)

    def flow(text):
        run("ovs-ofctl", "add-flow", f"unix:{where}/br-int.mgmt", text)

    mac = lab.exec(node, "cat", "/sys/class/net/br-int/address").stdout.strip()
    run("ovs-ofctl", "del-flows", f"unix:{where}/br-int.mgmt")
    for text in steps["flows"]:
        flow(text.format(mac=mac))
    for neighbor in steps["neighbors"]:
        run("ip", "-n", lab.ns(node), "neigh", "replace", neighbor, "lladdr", "02:00:00:00:00:99", "dev", "br-int")


def test_gre_with_open_vswitch():
    notes = []
    for name, options, ours in (
            ("plain", [], ""),
            ("key and checksum", ["options:key=42", "options:csum=true"], "tunnel key 42\n tunnel checksum"),
            ("key", ["options:key=7"], "tunnel key 7")):
        with Lab("cvovs") as lab:
            lab.link("o", "eth0", "r", "wan0")
            ovs(lab, "o", {
                "addresses": {"br-phy": "10.9.0.1/24", "br-int": "10.5.0.1/24"},
                "ports": {"gre0": ["ofport_request=3", "options:remote_ip=10.9.0.2", "options:local_ip=10.9.0.1",
                                   "options:packet_type=legacy_l3", *options]},
                "flows": ["in_port=LOCAL,actions=output:3", "in_port=3,actions=mod_dl_dst:{mac},LOCAL"],
                "neighbors": ["10.5.0.2"]})
            r = lab.router("r", f"""hostname r
interface wan
 port kernel wan0
 ip address 10.9.0.2/24
interface tunnel0
 tunnel mode gre ip
 tunnel source wan
 tunnel destination 10.9.0.1
 ip address 10.5.0.2/24
 {ours}
""")
            wait_for(f"Open vSwitch ({name})", lambda: lab.pings("o", "10.5.0.2", count=1), 20)
            for size in (56, 1000, 1372):
                if not lab.pings("o", "10.5.0.2", count=5, size=size):
                    raise Failure(f"{name}, {size}: {r.show('show dataplane drops')}")
            counters = r.json("show interface tunnel0")["tunnel0"]
            notes.append(f"{name}: {counters['rxPackets']} in, {counters['txPackets']} out")
            bad = {k for k in r.json("show dataplane drops") if k.startswith("drop_gre") or k == "drop_no_tunnel"}
            if bad:
                raise Failure(f"{name}: {bad}")
    return "; ".join(notes)


def test_multipoint_gre():
    """A hub of ours with one multipoint tunnel: to Open vSwitch (flow based) and to a spoke of ours."""
    with Lab("cvmgre") as lab:
        lab.bridge("net", ("o", "eth0"), ("hub", "wan0"), ("s", "wan0"))
        ovs(lab, "o", {
            "addresses": {"br-phy": "10.9.0.1/24", "br-int": "10.5.0.1/24"},
            "ports": {"mgre": ["ofport_request=4", "options:remote_ip=flow", "options:local_ip=10.9.0.1",
                               "options:key=flow", "options:packet_type=legacy_l3"]},
            "flows": ["in_port=LOCAL,ip,nw_dst=10.5.0.2,actions=set_field:10.9.0.2->tun_dst,set_field:42->tun_id,output:4",
                      "in_port=4,actions=mod_dl_dst:{mac},LOCAL"],
            "neighbors": ["10.5.0.2"]})
        hub = lab.router("hub", """hostname hub
interface wan
 port kernel wan0
 ip address 10.9.0.2/24
interface tunnel0
 tunnel mode gre multipoint
 tunnel source wan
 tunnel key 42
 ip nhrp map 10.5.0.1 10.9.0.1
 ip nhrp map 10.5.0.3 10.9.0.3
 ip address 10.5.0.2/24
ip route 10.3.0.0/24 10.5.0.3
""")
        spoke = lab.router("s", """hostname s
interface wan
 port kernel wan0
 ip address 10.9.0.3/24
interface tunnel0
 tunnel mode gre ip
 tunnel source wan
 tunnel destination 10.9.0.2
 tunnel key 42
 ip address 10.5.0.3/24
interface lo
 ip address 10.3.0.1/32
""")
        wait_for("Open vSwitch", lambda: lab.pings("o", "10.5.0.2", count=1), 20)
        inside = lambda target: ", 0% packet loss" in hub.cli(f"ping {target} count 2", check=False).stdout  # noqa: E731
        wait_for("the spoke, on the tunnel's subnet", lambda: inside("10.5.0.3"), 15)
        wait_for("what is behind the spoke", lambda: inside("10.3.0.1"), 15)
        if not lab.pings("o", "10.5.0.2", count=5, size=1000):
            raise Failure(hub.show("show dataplane drops"))
        hub.configure("interface tunnel0", "no ip nhrp map 10.5.0.3 10.9.0.3")
        wait_for("a next hop that is not mapped to be dropped",
                 lambda: not inside("10.5.0.3") and "drop_tunnel_no_endpoint" in hub.json("show dataplane drops"), 15)
        return f"hub: {hub.json('show interface tunnel0')['tunnel0']['txPackets']} packets out"


def manual_sa(lab, n, peer, mode="tunnel", cipher="aes-gcm-256", more="", octets=36):
    """The profile SITE of router `n`, with keys that both routers of the lab have."""
    files = {}
    for spi, direction in ((0x1000 + n, "in"), (0x1000 + peer, "out")):
        path = lab.dir / f"esp-{spi}.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(run("openssl", "rand", "-hex", str(octets)).stdout)
        files[direction] = path
    return f"""crypto ipsec manual-sa LAB
 encryption {cipher}
 mode {mode}
 inbound spi {0x1000 + n} key-file {files['in']}
 outbound spi {0x1000 + peer} key-file {files['out']}
 {more}
crypto ipsec profile SITE
 set manual-sa LAB
"""


def capture(lab, node, interface):
    """What is on the wire, until it is asked for."""
    path = lab.dir / f"{node}-{interface}.pcap"
    process = lab.start(f"capture-{node}", node, ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-i", interface, "-w", path])
    wait_for("tcpdump", lambda: "listening on" in process.text())

    def done():
        time.sleep(0.5)
        process.kill()
        return path

    return done


def protocols(path):
    """How many packets of each outermost protocol a capture has."""
    out = run("tshark", "-r", path, "-T", "fields", "-e", "frame.protocols", timeout=60).stdout
    seen = {}
    for line in out.splitlines():
        words = line.split(":")
        name = next((w for w in words if w not in ("eth", "ethertype", "ip", "ipv6", "sll")), line)
        seen[name] = seen.get(name, 0) + 1
    return seen


def only_esp(path, also=()):
    """No packet is on the wire but ESP (perhaps in UDP) and what the link itself needs."""
    allowed = {"esp", "udpencap", "arp", "icmpv6", "ipv6.hopopts", "udp", *also}  # hopopts: the bridge's MLD
    seen = protocols(path)
    wrong = {k: v for k, v in seen.items() if k not in allowed}
    if wrong or not any(seen.get(k) for k in ("esp", "udpencap", "udp")):
        raise Failure(f"on the wire: {seen}")
    return seen


def test_protected_tunnels():
    notes = []
    for name, mode, sa, want in (
            ("GRE in ESP transport", "gre ip", {"mode": "transport"}, None),
            ("GRE in ESP tunnel, CBC", "gre ip", {"cipher": "aes-cbc-256", "more": "integrity hmac-sha256", "octets": 64}, None),
            ("VTI over IPv4", "ipsec ipv4", {}, None),
            ("VTI over IPv6, in UDP", "ipsec ipv6", {"cipher": "chacha20-poly1305", "more": "udp-encapsulation"}, None)):
        with Lab("cvesp") as lab:
            routers = two_sites(lab, lambda n, p: gre(n, p, mode, more="tunnel protection ipsec profile SITE\n ip tcp adjust-mss auto")
                                + manual_sa(lab, n, p, **sa))
            mtu = every_size(lab, routers)
            before = cut_packets(routers[2])
            rates = tcp_both_ways(lab, routers)
            if cut_packets(routers[2]) != before:
                raise Failure(f"TCP was cut: {before} {cut_packets(routers[2])}")
            told = routers[1].json("show crypto ipsec sa")["tunnel0"]
            if not told["inbound"]["active"] or told["packetsEncapsulated"] == 0 or told["receiveErrors"] != 0:
                raise Failure(f"{told}")
            if "ESP" not in routers[1].show("show interface tunnel0"):
                raise Failure(routers[1].show("show interface tunnel0"))
            notes.append(f"{name}: MTU {mtu}, TCP {min(rates):.0f} Mbit/s")
    return "; ".join(notes)


def test_protected_tunnel_fails_closed():
    with Lab("cvclosed") as lab:
        routers = two_sites(lab, lambda n, p: gre(n, p, more="tunnel protection ipsec profile SITE")
                            + manual_sa(lab, n, p, mode="transport"))
        state = lambda: routers[1].json("show interface tunnel0")["tunnel0"]  # noqa: E731
        wire = capture(lab, "net", "br0")
        assert lab.pings("h1", "10.2.0.2", count=20)
        # A new SA under traffic, then one that ends after so many packets.
        routers[1].cli("clear crypto sa")
        wait_for("the SA again", lambda: state()["operationalStatus"] == "up", 10)
        routers[1].configure("crypto ipsec manual-sa LAB", "lifetime packets 200")
        wait_for("the SA to come to its end", lambda: not lab.pings("h1", "10.2.0.2", count=50, interval=0.01, wait=1)
                 and "come to its end" in state()["tunnel"].get("downReason", ""), 60)
        lab.pings("h1", "10.2.0.2", count=5, wait=1)
        # Clear text for the protected tunnel.
        routers[2].configure("interface tunnel0", "no tunnel protection ipsec profile")
        routers[2].cli("ping 10.255.0.1 count 5", check=False)
        wait_for("clear text to be refused",
                 lambda: routers[1].json("show dataplane drops").get("drop_tunnel_clear", {}).get("packets", 0) >= 5, 10)
        routers[2].configure("interface tunnel0", "tunnel protection ipsec profile SITE")
        path = wire()
        text = run("tshark", "-r", path, "-Y", "gre && ip.src == 192.0.2.1", "-T", "fields", "-e", "frame.number").stdout
        if text.split():
            raise Failure(f"r1 sent {len(text.split())} GRE packets in clear")
        if protocols(path).get("gre", 0) < 5:
            raise Failure(f"the capture has not seen what r2 sent in clear: {protocols(path)}")
        return f"{protocols(path)}"


def test_wireguard_in_gre_in_esp():
    with Lab("cvdeep") as lab:
        keys = {n: lab.key(f"r{n}") for n in (1, 2)}

        def tunnels(n, p):
            return (manual_sa(lab, n, p, mode="transport")
                    + f"""interface tunnel1
 tunnel mode gre ip
 tunnel source wan
 tunnel destination 192.0.2.{p}
 tunnel protection ipsec profile SITE
 ip address 10.253.0.{n}/30
""" + wireguard(lab, n, p, f"10.253.0.{p}", keys))

        routers = two_sites(lab, tunnels, peer_address="10.254.0.{peer}", established=False)
        wait_for("BGP", lambda: routers[1].established("10.254.0.2"), 30)
        for n, p in ((1, 2), (2, 1)):
            routers[n].configure(f"ipv6 route 2001:db8:{p}::/64 wg0")
        wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 15)
        wait_for("LAN to LAN, IPv6", lambda: lab.pings("h1", "2001:db8:2::2", count=1), 15)
        wait_for("the MTU of the stack", lambda: mtu_of(routers[1], "wg0") == mtu_of(routers[1], "tunnel1") - 80
                 and mtu_of(routers[2], "wg0") == mtu_of(routers[1], "wg0"), 10)
        mtu = every_size(lab, routers, "wg0")
        before = cut_packets(routers[2])
        rates = tcp_both_ways(lab, routers)
        if cut_packets(routers[2]) != before:
            raise Failure(f"TCP was cut: {before} {cut_packets(routers[2])}")
        return f"MTU {mtu}, TCP {min(rates):.0f} Mbit/s"


def test_nothing_protected_leaves_in_clear():
    """A protected prefix with a default route beside it that would take its packets: the wire is watched through start,
    a new SA, shutdown, and kill -9 of either end."""
    with Lab("cvclear") as lab:
        wire = []

        def tunnels(n, p):
            if not wire:
                wire.append(capture(lab, "net", "br0"))
            return (gre(n, p, "ipsec ipv4", more="tunnel protection ipsec profile SITE")
                    + manual_sa(lab, n, p, more="replay window disable")
                    + f"ip route 10.{p}.0.0/24 tunnel0 protected\nip route 0.0.0.0/0 192.0.2.{p}\n")

        routers = two_sites(lab, tunnels, established=False)
        wait_for("LAN to LAN", lambda: lab.pings("h1", "10.2.0.2", count=1), 20)
        traffic = lab.start("flood", "h1", ["ping", "-n", "-i", "0.01", "-s", "1000", "-p", "cafe", "10.2.0.2"])
        back = lambda: lab.pings("h1", "10.2.0.2", count=2)  # noqa: E731
        routers[1].cli("clear crypto sa")
        wait_for("traffic after a new SA", back, 20)
        routers[1].configure("interface tunnel0", "shutdown")
        held = wait_for("packets to be held back while the tunnel is shut",
                        lambda: routers[1].json("show dataplane drops")["drop_protected_clear"]["packets"], 10)
        routers[1].configure("interface tunnel0", "no shutdown")
        wait_for("traffic after shutdown", back, 20)
        for n in (1, 2):
            routers[n].process.kill(signal.SIGKILL)
            routers[n].start()
            wait_for(f"traffic after kill -9 of r{n}", back, 30)
        traffic.kill()
        path = wire[0]()
        seen = only_esp(path, also=("tcp", "bfd", "igmp", "icmp"))
        clear = run("tshark", "-r", path, "-Y", "!esp && (ip.addr == 10.2.0.0/24 || ip.addr == 10.1.0.0/24) || frame contains ca:fe:ca:fe:ca:fe",
                    "-T", "fields", "-e", "frame.number").stdout.split()
        if clear:
            raise Failure(f"{len(clear)} packets in clear: {seen}")
        return f"{seen}, {held} held back"
