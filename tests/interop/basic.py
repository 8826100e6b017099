"""One router between two hosts: forwarding, ARP and ND, errors, MTU, configuration."""
import signal

from lab import CULVERTD, Failure, Lab, run, wait_for

TWO_LANS = """hostname r
interface left
 port kernel r0
 ip address 10.1.0.1/24
 ipv6 address 2001:db8:1::1/64
interface right
 port kernel r1
 ip address 10.2.0.1/24
 ipv6 address 2001:db8:2::1/64
{more}"""


def two_lans(lab, more="", mtu=1500):
    lab.link("a", "eth0", "r", "r0", mtu)
    lab.link("b", "eth0", "r", "r1", mtu)
    lab.address("a", "eth0", "10.1.0.2/24", "2001:db8:1::2/64")
    lab.address("b", "eth0", "10.2.0.2/24", "2001:db8:2::2/64")
    for host, gateway in (("a", "1"), ("b", "2")):
        lab.route(host, "default", f"10.{gateway}.0.1")
        lab.route(host, "::/0", f"2001:db8:{gateway}::1")
    return lab.router("r", TWO_LANS.format(more=more))


def test_forwards_both_families():
    with Lab("cvfw") as lab:
        r = two_lans(lab)
        for target in ("10.2.0.2", "2001:db8:2::2", "10.1.0.1", "10.2.0.1", "2001:db8:1::1", "2001:db8:2::1"):
            wait_for(f"ping of {target}", lambda t=target: lab.pings("a", t, count=2), 10)
        # The kernel peers keep their default offloads: partial checksums and GSO frames must be dealt with.
        rate = lab.tcp("b", "a", "10.2.0.2")
        rate6 = lab.tcp("b", "a", "2001:db8:2::2")
        if rate < 20 or rate6 < 20:
            raise Failure(f"TCP does not flow: {rate:.0f} and {rate6:.0f} Mbit/s")
        routes = r.json("show ip route")
        assert routes["10.1.0.0/24"][0]["protocol"] == "connected", routes
        assert "10.1.0.2" in r.show("show arp"), r.show("show arp")
        return f"TCP {rate:.0f} Mbit/s IPv4, {rate6:.0f} IPv6"


def test_traceroute_and_unreachable():
    with Lab("cvtr") as lab:
        r = two_lans(lab, "ip route 10.99.0.0/16 reject\nip route 10.98.0.0/16 Null0\n")
        wait_for("ping", lambda: lab.pings("a", "10.2.0.2"))
        for target, kind in (("10.99.1.1", "reject"), ("10.98.1.1", "blackhole"), ("10.1.0.1", "local"),
                             ("10.2.0.2", "adjacency"), ("10.2.0.77", "glean")):
            (found,) = r.json(f"show ip fib {target}").values()
            assert [h["kind"] for h in found["nexthops"]] == [kind], (target, found)
        hops = lab.exec("a", "traceroute", "-n", "-q", "1", "-w", "2", "10.2.0.2").stdout
        assert "10.1.0.1" in hops and "10.2.0.2" in hops, hops
        refused = lab.ping("a", "10.99.1.1", count=1).stdout
        assert "nreachable" in refused or "filtered" in refused.lower(), refused
        none = lab.ping("a", "10.97.1.1", count=1).stdout
        assert "nreachable" in none, none
        silent = lab.ping("a", "10.98.1.1", count=1).stdout
        assert "nreachable" not in silent and "100% packet loss" in silent, silent


def test_directed_broadcast_and_our_own_source():
    with Lab("cvodd") as lab:
        r = two_lans(lab)
        wait_for("ping", lambda: lab.pings("a", "10.2.0.2") and lab.pings("a", "2001:db8:2::2"))

        def dropped(verdict):
            return r.json("show dataplane drops").get(verdict, {}).get("packets", 0)
        for target in ("10.2.0.255", "10.2.0.0"):
            before = dropped("drop_directed_broadcast")
            said = lab.ping("a", target, count=2, wait=1).stdout
            if "nreachable" in said or "bytes from" in said:
                raise Failure(f"{target} is answered: {said}")
            wait_for(f"pings of {target} to be dropped", lambda: dropped("drop_directed_broadcast") >= before + 2, 5)
        if r.json("show ip fib 10.2.0.255")["10.2.0.255/32"]["nexthops"][0]["kind"] != "broadcast" or r.route("10.2.0.255/32"):
            raise Failure("the broadcast address is not what it is, or is a route")
        # From our own addresses, those of the other side.
        lab.address("a", "eth0", "10.2.0.1/32", "2001:db8:2::1/128")
        for source, target in (("10.2.0.1", "10.2.0.2"), ("2001:db8:2::1", "2001:db8:2::2")):
            before = dropped("drop_own_source")
            lab.ping("a", target, count=2, wait=1, source=source)
            wait_for(f"what says that it comes from {source} to be dropped", lambda: dropped("drop_own_source") >= before + 2, 5)


def test_fragments_and_too_big():
    with Lab("cvmtu") as lab:
        lab.link("a", "eth0", "r", "r0", 1500)
        lab.link("b", "eth0", "r", "r1", 1500)
        lab.address("a", "eth0", "10.1.0.2/24", "2001:db8:1::2/64")
        lab.address("b", "eth0", "10.2.0.2/24", "2001:db8:2::2/64")
        for host, gateway in (("a", "1"), ("b", "2")):
            lab.route(host, "default", f"10.{gateway}.0.1")
            lab.route(host, "::/0", f"2001:db8:{gateway}::1")
        lab.router("r", TWO_LANS.format(more="interface right\n ip mtu 1400\n"))
        wait_for("ping", lambda: lab.pings("a", "10.2.0.2"))
        wait_for("ping6", lambda: lab.pings("a", "2001:db8:2::2"))
        too_big = lab.ping("a", "10.2.0.2", count=1, size=1472, df=True)
        assert "mtu = 1400" in too_big.stdout + too_big.stderr, too_big.stdout
        assert lab.pings("a", "10.2.0.2", count=2, size=1372, df=True), "1400 octets fit"
        # Without DF the router fragments, and fragments of a sender arrive as such.
        lab.exec("a", "ip", "route", "flush", "cache")
        for size in (1473, 4000, 9000):
            reply = lab.exec("a", "ping", "-n", "-M", "dont", "-c", "2", "-W", "2", "-s", size, "10.2.0.2", check=False)
            assert reply.returncode == 0, f"{size}: {reply.stdout}"
        lab.ping("a", "2001:db8:2::2", count=1, size=1452, df=True)  # told: too big
        assert lab.pings("a", "2001:db8:2::2", count=2, size=1452), "IPv6 sender follows packet too big"


def test_kernel_stays_silent_and_netdevs_come_back():
    with Lab("cvsil") as lab:
        lab.link("a", "eth0", "r", "r0")
        lab.link("b", "eth0", "r", "r1")
        lab.address("r", "r0", "192.0.2.1/24", "2001:db8:77::1/64")
        before = lab.exec("r", "ip", "-d", "-o", "addr", "show").stdout
        lab.address("a", "eth0", "192.0.2.2/24", "10.1.0.2/24")
        r = lab.router("r", TWO_LANS.format(more=""))
        wait_for("ping", lambda: lab.pings("a", "10.1.0.1"))
        # 192.0.2.1 was the kernel's own: while the port is ours nobody answers for it.
        assert not lab.pings("a", "192.0.2.1", count=1, wait=1), "the kernel still answers on a port that was taken"
        for how in (signal.SIGKILL, signal.SIGTERM):
            r.process.kill(how)
            wait_for("the netdev to be as it was",
                     lambda: lab.exec("r", "ip", "-d", "-o", "addr", "show").stdout == before, 5)
            wait_for("the kernel to answer again", lambda: lab.pings("a", "192.0.2.1", count=1, wait=1), 5)
            r.start()
            wait_for("ping after restart", lambda: lab.pings("a", "10.1.0.1"), 10)


def test_vrfs_are_apart():
    with Lab("cvvrf") as lab:
        for node in "abcd":
            lab.link(node, "eth0", "r", f"r{node}")
        # The same addresses twice: only the VRF tells them apart.
        for left, right in (("a", "b"), ("c", "d")):
            lab.address(left, "eth0", "10.1.0.2/24")
            lab.address(right, "eth0", "10.2.0.2/24")
            lab.route(left, "default", "10.1.0.1")
            lab.route(right, "default", "10.2.0.1")
        r = lab.router("r", """hostname r
vrf RED
exit-vrf
interface la
 port kernel ra
 ip address 10.1.0.1/24
interface lb
 port kernel rb
 ip address 10.2.0.1/24
interface lc
 port kernel rc
 vrf RED
 ip address 10.1.0.1/24
""")
        wait_for("ping in the default VRF", lambda: lab.pings("a", "10.2.0.2"))
        assert not lab.pings("c", "10.2.0.2", count=1, wait=1), "VRF RED has no 10.2.0.0/24"
        r.configure("interface ld", "port kernel rd", "vrf RED", "ip address 10.2.0.1/24")
        wait_for("ping in VRF RED", lambda: lab.pings("c", "10.2.0.2"))
        lab.exec("d", "ip", "link", "set", "eth0", "down")
        assert lab.pings("a", "10.2.0.2"), "the default VRF's host still answers"
        for command in ("show interface", "show interface brief"):
            assert set(r.json(command)) == {"la", "lb", "lc", "ld"}, r.json(command)
            assert set(r.json(command.replace("interface", "interface vrf RED"))) == {"lc", "ld"}, command
            assert set(r.json(command.replace("interface", "interface vrf default"))) == {"la", "lb"}, command
            assert r.cli(command.replace("interface", "interface vrf BLUE"), check=False).returncode == 1
        assert {e["interface"] for e in r.json("show arp vrf RED").values()} <= {"lc", "ld"}, r.json("show arp vrf RED")
        out = r.cli("exec vrf RED ip -o addr show dev culvert").stdout
        assert "10.1.0.1/32" in out, out
        assert "ttl=" in r.cli("ping vrf RED 10.1.0.2").stdout


def test_errors_name_the_line_and_change_nothing():
    with Lab("cverr") as lab:
        r = two_lans(lab)
        wait_for("ping", lambda: lab.pings("a", "10.2.0.2"))
        key, own = lab.key("good")
        open_key, other = lab.key("open")
        _, third = lab.key("third")
        open_key.chmod(0o644)
        wg = "interface wg0\n tunnel mode wireguard\n wireguard private-key-file {}\n ip address 10.255.0.1/24\n"
        bad = {
            "interface left\n port kernal r0\n": ("2", "kernel"),
            "interface left\n port kernel r0\n ip address 10.1.0.1/24\ninterface right\n port kernel r1\n"
            " ip address 10.1.0.1/24\n": ("6", "10.1.0.1"),
            "ip route 10.0.0.0/8 nowhere9\n": ("1", "nowhere9"),
            wg.format("/nonexistent/key"): ("3", "/nonexistent/key"),
            wg.format(open_key): ("3", "chmod 600"),
            wg.format(key) + f" wireguard peer p\n  allowed-ips 10.255.0.2/32\n  public-key {own}\n": ("7", "wg0 itself"),
            wg.format(key) + f" wireguard peer p\n  allowed-ips 10.255.0.2/32\n  public-key {other}\n"
            f" wireguard peer q\n  public-key {third}\n  allowed-ips 10.255.0.2/32\n": ("10", "allowed-ips of peer p"),
            "route-map X permit 10\n": ("1", ""),
        }
        for text, (line, word) in bad.items():
            path = lab.dir / "bad.conf"
            path.write_text(text)
            told = run(CULVERTD, "-c", path, "--check", check=False)
            assert told.returncode == 1, text
            assert f"bad.conf:{line}:" in told.stderr and word in told.stderr, (text, told.stderr)
        before = r.show("show running-config")
        for lines, word in (
                (("interface gone", "port kernel nosuchdev"), "nosuchdev"),
                (("interface right", "ip address 10.1.0.1/24"), "10.1.0.1"),
                (("interface wg0", "tunnel mode wireguard", f"wireguard private-key-file {open_key}"), "chmod 600"),
                (("interface wg0", "tunnel mode wireguard", f"wireguard private-key-file {key}", "wireguard peer p",
                  f"public-key {own}"), "wg0 itself"),
                (("ip route 10.0.0.0/8 nowhere9",), "nowhere9")):
            told = r.cli("configure terminal", *lines, check=False)
            assert told.returncode != 0 and word in told.stdout + told.stderr, (lines, told.stdout + told.stderr)
            r.configure("no interface gone") if "gone" in r.show("show running-config") else None
            r.configure("no interface wg0") if "wg0" in r.show("show running-config") else None
        assert r.show("show running-config") == before
        assert lab.pings("a", "10.2.0.2"), "the router goes on"


def test_configuration_survives_write_and_restart():
    with Lab("cvwr") as lab:
        r = two_lans(lab)
        r.configure("ip route 192.0.2.0/24 10.2.0.2", "interface lo", "ip address 198.51.100.1/32", "router bgp 65001",
                    "no bgp ebgp-requires-policy", "neighbor 10.2.0.2 remote-as 65002", "address-family ipv4 unicast",
                    "network 198.51.100.1/32", "redistribute static", "maximum-paths 4")
        running = r.show("show running-config")
        r.cli("write")
        r.process.kill()
        r.start()
        assert r.show("show running-config") == running
        wait_for("the static route", lambda: r.via("192.0.2.0/24") == ["10.2.0.2"])


def test_what_was_saved_half_typed_starts_again():
    with Lab("cvhalf") as lab:
        r = two_lans(lab)
        wait_for("ping", lambda: lab.pings("a", "10.2.0.2"))
        r.configure("interface wg0", "tunnel mode wireguard", "exit", "interface dmz", "ip address 10.3.0.1/24", "exit",
                    "router bgp 65001", "neighbor 10.2.0.2 description later")
        running = r.show("show running-config")
        r.cli("write")
        told = run(CULVERTD, "-c", r.config, "--check", check=False)
        assert told.returncode == 1 and "private key" in told.stderr and "remote-as" in told.stderr, told.stderr
        r.process.kill()
        r.start()
        assert r.show("show running-config") == running
        wait_for("ping after the restart", lambda: lab.pings("a", "10.2.0.2"))
        assert "dmz does not say what it is" in r.process.text(), r.process.text()
        r.process.popen.send_signal(signal.SIGHUP)
        wait_for("the file to be read anew", lambda: r.process.text().count("dmz does not say what it is") == 2, 10)
        assert lab.pings("a", "10.2.0.2"), "the router goes on"
        # One error, one line: no blank ones behind it.
        for line in ("show interface nope", "frobnicate"):
            said = r.cli(line, check=False).stdout
            assert said.startswith("% ") and not said.endswith("\n\n"), repr(said)
