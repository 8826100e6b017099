"""BFD with FRR's bfdd and with BIRD: up, what was negotiated, down in time after a silent cut, up again."""
import json
import re
import time

from lab import PATIENCE, Failure, Lab, Late, wait_for

SLACK = 20 * PATIENCE  # ms over the detection time, by the worker's own clock: two busy cores


def session(router, peer="10.1.0.2"):
    found = [s for s in router.json("show bfd peers") if s["peer"] == peer]
    return found[0] if found else {}


def counters(router, peer="10.1.0.2"):
    return [s for s in router.json("show bfd peers counters") if s["peer"] == peer][0]


def is_up(router, peer="10.1.0.2"):
    return session(router, peer).get("status") == "up"


def hears(router, packets, kind="control-packet-input", peer="10.1.0.2"):
    """Waits until so many more have come."""
    before = counters(router, peer)[kind]
    wait_for(f"{packets} more of {kind}", lambda: counters(router, peer)[kind] >= before + packets, 10)


def stays(what, condition, seconds):
    """It is true now, and for that long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise Failure(f"not any more: {what}")
        time.sleep(0.1)


def failures(router):
    return router.json("show failover")["records"]


def pair(lab, config, address="10.1.0.1/24", peer_address="10.1.0.2/24"):
    lab.bridge("hub", ("r", "r0"), ("p", "eth0"))
    lab.address("p", "eth0", peer_address)
    family = "ipv6" if ":" in address else "ip"
    return lab.router("r", f"hostname r\ninterface e0\n port kernel r0\n {family} address {address}\n"
                           f"failover\n hold-up 200\nexit\n{config}")


def cut_and_heal(lab, r, is_peer_up, detection_ms, peer="10.1.0.2", route=None):
    """A silent cut: we are down by our own account within the detection time, and the peer sees it too; then up again."""
    before = len(failures(r))
    downs = counters(r, peer)["session-down"]
    lab.cut("hub", "r", "r0")
    wait_for("our end to be down", lambda: not is_up(r, peer), 5, 0.01)
    wait_for("the peer's end to be down", lambda: not is_peer_up(), 5, 0.05)
    down = session(r, peer)
    if down["diagnostic"] != "control detection time expired":
        raise Failure(f"down for another reason: {down}")
    if counters(r, peer)["session-down"] != downs + 1:
        raise Late(f"more than one failure: {counters(r, peer)}")
    record = wait_for("the record", lambda: len(failures(r)) > before and failures(r)[0], 5)
    if record["cause"] != "bfd" or peer not in record["subject"]:
        raise Failure(f"the record is of something else: {record}")
    # From the last packet that came to the flip, by the worker's own clock.
    took = record["detectionMsecs"]
    if not detection_ms * 0.99 <= took <= detection_ms + SLACK:
        late = took > detection_ms
        raise (Late if late else Failure)(f"down {took} ms after the last packet; the detection time is {detection_ms} ms")
    if route:
        wait_for("the static route to go", lambda: r.route(route) is None, 5)
    lab.heal("hub", "r", "r0")
    wait_for("our end to be up again", lambda: is_up(r, peer), 15)
    wait_for("the peer's end to be up again", is_peer_up, 15)
    if route:
        wait_for("the static route to return", lambda: r.route(route) is not None, 10)
    wait_for("the path to be trusted again", lambda: failures(r)[0]["state"] == "restored", 10)
    return took


FRR = """bfd
 peer 10.1.0.1 {options}
  detect-multiplier 3
  receive-interval {ms}
  transmit-interval {ms}
  {more}
 exit
"""


def frr_status(frr, peer="10.1.0.1"):
    return next((s for s in json.loads(frr.vtysh("show bfd peers json")) if s["peer"] == peer), {})


def negotiated(r, ms, multiplier=3, peer="10.1.0.2"):
    s = session(r, peer)
    got = (s["remote-transmit-interval"], s["remote-receive-interval"], s["remote-detect-multiplier"],
           s["negotiated-transmit-interval-us"], s["negotiated-detection-time-us"])
    if got != (ms, ms, multiplier, ms * 1000, ms * 1000 * multiplier):
        raise Failure(f"negotiated {got}")


def labels(text):
    """What stands before the colons, below the first peer."""
    return {line.split(":")[0].strip() for line in text.splitlines() if ":" in line}


def same_views(r, frr):
    """Whoever reads FRR's views finds in ours the same keys, of the same types, and the same words."""
    for words in ("peers", "peers brief", "peers counters"):
        theirs, ours = json.loads(frr.vtysh(f"show bfd {words} json"))[0], r.json(f"show bfd {words}")[0]
        for key, value in theirs.items():
            if key not in ours or type(ours[key]) is not type(value):
                raise Failure(f"show bfd {words} json: {key} is {value!r} of FRR, {ours.get(key)!r} of ours")
        missing = labels(frr.vtysh(f"show bfd {words}")) - labels(r.show(f"show bfd {words}"))
        missing = {m for m in missing if not m.startswith("peer ")}
        if missing:
            raise Failure(f"show bfd {words}: FRR has {missing}")
    one = set(json.loads(frr.vtysh("show bfd peer 10.1.0.1 interface eth0 json"))) - set(r.json("show bfd peer 10.1.0.2 interface e0"))
    if one:
        raise Failure(f"show bfd peer X json: FRR has {one}")
    if r.cli("show bfd peer 192.0.2.1", check=False).returncode != 1 or r.json("show bfd vrf RED peers") != []:
        raise Failure("what is not there is shown")


def with_frr(ms):
    with Lab("cvbfd") as lab:
        r = pair(lab, "ip route 10.8.0.0/16 10.1.0.2 bfd profile fast\n"
                      f"bfd\n profile fast\n  receive-interval {ms}\n  transmit-interval {ms}\n"
                      " peer 10.1.0.2 interface e0\n  profile fast\n")
        frr = lab.frr("p", FRR.format(options="interface eth0", ms=ms, more=""), bfd=True)
        peer_up = lambda: frr_status(frr).get("status") == "up"
        wait_for("both ends to be up", lambda: is_up(r) and peer_up(), 15)
        wait_for("the slow start to be over", lambda: session(r)["remote-transmit-interval"] == ms, 10)
        negotiated(r, ms)
        wait_for("the static route", lambda: r.route("10.8.0.0/16"), 5)
        same_views(r, frr)
        took = [cut_and_heal(lab, r, peer_up, 3 * ms, route="10.8.0.0/16") for _ in range(2)]
        s = session(r)
        if s["timestamp-source"] == "none" or s["own-stalls"] < 0 or sum(s["received-intervals"]) == 0:
            raise Failure(f"nothing was measured: {s}")
        return (f"down {', '.join(f'{t:.1f}' for t in took)} ms after the last packet (limit {3 * ms}), largest gap sent "
                f"{s['largest-transmit-gap-us'] / 1000:.1f} ms, own stalls {s['own-stalls']}, time stamps {s['timestamp-source']}")


def test_bfd_frr_50ms():
    return with_frr(50)


def test_bfd_frr_20ms():
    return with_frr(20)


def test_bfd_frr_ipv6_in_a_vrf():
    with Lab("cvbfd6") as lab:
        lab.bridge("hub", ("r", "r0"), ("p", "eth0"))
        lab.address("p", "eth0", "2001:db8:1::2/64")
        r = lab.router("r", "hostname r\nvrf RED\nexit-vrf\ninterface e0\n port kernel r0\n vrf RED\n ipv6 address 2001:db8:1::1/64\n"
                            "failover\n hold-up 200\nexit\n"
                            "bfd\n peer 2001:db8:1::2 vrf RED\n  receive-interval 50\n  transmit-interval 50\n")
        frr = lab.frr("p", "bfd\n peer 2001:db8:1::1 local-address 2001:db8:1::2 interface eth0\n  receive-interval 50\n"
                           "  transmit-interval 50\n", bfd=True)
        peer_up = lambda: frr_status(frr, "2001:db8:1::1").get("status") == "up"
        wait_for("both ends to be up", lambda: is_up(r, "2001:db8:1::2") and peer_up(), 15)
        wait_for("the slow start to be over", lambda: session(r, "2001:db8:1::2")["remote-transmit-interval"] == 50, 10)
        return f"{cut_and_heal(lab, r, peer_up, 150, '2001:db8:1::2'):.1f} ms"


def test_bfd_frr_multihop():
    with Lab("cvbfdm") as lab:
        lab.bridge("hub", ("r", "r0"), ("m", "eth0"))
        lab.link("m", "eth1", "p", "eth0")
        lab.address("m", "eth0", "10.1.0.3/24")
        lab.address("m", "eth1", "10.2.0.3/24")
        lab.address("p", "eth0", "10.2.0.2/24")
        lab.route("p", "default", "10.2.0.3")
        lab.exec("m", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        r = lab.router("r", "hostname r\ninterface e0\n port kernel r0\n ip address 10.1.0.1/24\nip route 10.2.0.0/24 10.1.0.3\n"
                            "failover\n hold-up 200\nexit\nbfd\n peer 10.2.0.2 multihop local-address 10.1.0.1\n"
                            "  receive-interval 50\n  transmit-interval 50\n  minimum-ttl 250\n")
        frr = lab.frr("p", FRR.format(options="multihop local-address 10.2.0.2", ms=50, more="minimum-ttl 250"), bfd=True)
        peer_up = lambda: frr_status(frr).get("status") == "up"
        wait_for("both ends to be up", lambda: is_up(r, "10.2.0.2") and peer_up(), 15)
        wait_for("the slow start to be over", lambda: session(r, "10.2.0.2")["remote-transmit-interval"] == 50, 10)
        took = cut_and_heal(lab, r, peer_up, 150, "10.2.0.2")
        # A packet from too far away is not believed.
        lab.exec("m", "nft", "-f", "-", input="table ip far { chain f { type filter hook forward priority 0; "
                                              "ip daddr 10.1.0.1 ip ttl set 249; }; }")
        wait_for("packets from too far away to be dropped",
                 lambda: counters(r, "10.2.0.2")["dropped-ttl"] > 0 and not is_up(r, "10.2.0.2"), 5)
        return f"{took:.1f} ms"


def test_bfd_frr_echo():
    with Lab("cvbfde") as lab:
        r = pair(lab, "bfd\n peer 10.1.0.2 interface e0\n  receive-interval 100\n  transmit-interval 100\n  echo-mode\n"
                      "  echo transmit-interval 50\n  echo receive-interval 50\n")
        frr = lab.frr("p", FRR.format(options="interface eth0", ms=100,
                                      more="echo-mode\n  echo transmit-interval 50\n  echo receive-interval 50"), bfd=True)
        lab.exec("p", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; "
                                  "echo 1 > /proc/sys/net/ipv4/conf/all/accept_local", check=False)
        peer_up = lambda: frr_status(frr).get("status") == "up"
        wait_for("both ends to be up", lambda: is_up(r) and peer_up(), 15)
        wait_for("our echo to come back", lambda: counters(r)["echo-packet-input"] > 20, 10)

        def theirs():
            c = next(c for c in json.loads(frr.vtysh("show bfd peers counters json")) if c["peer"] == "10.1.0.1")
            return c["echo-packet-input"] > 20 and c
        wait_for("FRR's echo to come back from us", theirs, 10)
        hears(r, 40, "echo-packet-input")
        c = counters(r)
        if not is_up(r) or not peer_up() or c["session-down"] != 0:
            raise Late(f"echo took the session down: {session(r)} {c}")
        if c["echo-packet-input"] < c["echo-packet-output"] - 3:
            raise Failure(f"our echoes get lost: {c}")
        s = session(r)
        # The least may be below a microsecond: two clocks are compared, the device's and ours.
        if not 0 <= s["rtt-min"] <= s["rtt-avg"] <= s["rtt-max"] < 1_000_000 or s["rtt-avg"] == 0:
            raise Failure(f"round trips: {s}")
        return f"{c['echo-packet-input']} of our echoes came back, {theirs()['echo-packet-input']} of FRR's"


BIRD = """router id 10.1.0.2;
protocol device {{}}
protocol bfd {{
  interface "eth0" {{ min rx interval {ms} ms; min tx interval {ms} ms; idle tx interval {ms} ms; multiplier 3;
    {authentication} }};
  neighbor 10.1.0.1 dev "eth0" local 10.1.0.2;
}}
"""
AUTHENTICATIONS = [("simple", "simple"), ("keyed md5", "md5"), ("meticulous keyed md5", "meticulous-md5"),
                   ("keyed sha1", "sha-1"), ("meticulous keyed sha1", "meticulous-sha-1")]


def bird_up(bird):
    return re.search(r"10\.1\.0\.1\s+eth0\s+Up", bird.birdc("show", "bfd", "sessions")) is not None


def with_bird(ms):
    with Lab("cvbfdb") as lab:
        r = pair(lab, f"bfd\n peer 10.1.0.2 interface e0\n  receive-interval {ms}\n  transmit-interval {ms}\n")
        bird = lab.bird("p", BIRD.format(ms=ms, authentication=""))
        wait_for("both ends to be up", lambda: is_up(r) and bird_up(bird), 15)
        wait_for("the slow start to be over", lambda: session(r)["remote-transmit-interval"] == ms, 10)
        negotiated(r, ms)
        return f"{cut_and_heal(lab, r, lambda: bird_up(bird), 3 * ms):.1f} ms (limit {3 * ms})"


def test_bfd_bird_50ms():
    return with_bird(50)


def test_bfd_bird_20ms():
    return with_bird(20)


def test_bfd_bird_authentication():
    told = []
    for theirs, ours in AUTHENTICATIONS:
        with Lab("cvbfda") as lab:
            r = pair(lab, "key chain K\n key 7\n  key-string k1\n exit\nexit\n"
                          "bfd\n peer 10.1.0.2 interface e0\n  receive-interval 50\n  transmit-interval 50\n"
                          f"  authentication {ours} keychain K\n")

            def speaks(*keys):
                words = " ".join(f'password "{k}" {{ id {i}; }};' for i, k in keys)
                return BIRD.format(ms=50, authentication=f"authentication {theirs}; {words}")

            bird = lab.bird("p", speaks((7, "k1")))
            wait_for(f"both ends to be up with {theirs}", lambda: is_up(r) and bird_up(bird), 15)
            took = cut_and_heal(lab, r, lambda: bird_up(bird), 150)
            # A key is changed under way: the new one is taken at both ends before anybody sends with it.
            downs = counters(r)["session-down"]
            r.configure("key chain K", "key 8", "key-string k2", "accept-only", "end")
            (lab.dir / "p-bird.conf").write_text(speaks((8, "k2"), (7, "k1")))
            bird.birdc("configure")
            hears(r, 20)
            r.configure("key chain K", "key 8", "no accept-only", "exit", "no key 7", "end")
            (lab.dir / "p-bird.conf").write_text(speaks((8, "k2")))
            bird.birdc("configure")
            hears(r, 30)
            if not is_up(r) or not bird_up(bird) or counters(r)["session-down"] != downs:
                raise Late(f"{theirs}: the change of the key took the session down: {session(r)} {counters(r)}")
            # Another key: refused, and never up.
            (lab.dir / "p-bird.conf").write_text(speaks((8, "wrong")))
            bird.birdc("configure")
            wait_for("the wrong key to take the session down", lambda: not is_up(r), 10)
            hears(r, 1, "dropped-authentication")
            stays(f"{theirs}: a wrong key is refused", lambda: not is_up(r) and not bird_up(bird), 1)
            told.append(f"{ours} {took:.0f} ms")
    return ", ".join(told)


BGP_FRR = """router bgp 65002
 no bgp ebgp-requires-policy
 bgp router-id 10.1.0.2
 neighbor 10.1.0.1 remote-as 65001
 neighbor 10.1.0.1 timers connect 1
 neighbor 10.1.0.1 bfd
 address-family ipv4 unicast
  network 10.9.0.0/16
bfd
 peer 10.1.0.1 local-address 10.1.0.2 interface eth0
  receive-interval 50
  transmit-interval 50
"""


def test_bfd_up_ends_the_wait_for_connect_retry():
    with Lab("cvbfdret") as lab:
        # Only we call, and after a call that failed not again for eighteen hours.
        r = pair(lab, "router bgp 65001\n no bgp ebgp-requires-policy\n bgp router-id 10.1.0.1\n"
                      " neighbor 10.1.0.2 remote-as 65002\n neighbor 10.1.0.2 timers connect 65535\n"
                      " neighbor 10.1.0.2 bfd 3 50 50\n")
        frr = lab.frr("p", BGP_FRR.replace(" neighbor 10.1.0.1 timers connect 1\n", " neighbor 10.1.0.1 passive\n"), bfd=True)
        wait_for("BGP and BFD to be up", lambda: r.established("10.1.0.2") and is_up(r), 30)
        lab.cut("hub", "r", "r0")
        wait_for("BGP to be down", lambda: not r.established("10.1.0.2"), 30)
        wait_for("a call to fail", lambda: r.json("show bgp neighbors")["10.1.0.2"]["bgpState"] == "Active", 150)
        lab.heal("hub", "r", "r0")
        wait_for("BGP to be up again", lambda: r.established("10.1.0.2"), 30)
        if "passive" not in frr.vtysh("show running-config"):
            raise Failure("FRR may have called us")


def test_bfd_takes_bgp_down():
    with Lab("cvbfdbgp") as lab:
        r = pair(lab, "router bgp 65001\n no bgp ebgp-requires-policy\n bgp router-id 10.1.0.1\n"
                      " neighbor 10.1.0.2 remote-as 65002\n neighbor 10.1.0.2 timers connect 1\n"
                      " neighbor 10.1.0.2 bfd 3 50 50\n neighbor 10.1.0.2 bfd strict\n")
        # BGP could be up, BFD not yet: strict mode waits for it.
        lab.exec("p", "nft", "-f", "-", input="table ip early { chain in { type filter hook input priority 0; "
                                              "udp dport 3784 drop; }; }")
        lab.exec("p", "ip", "addr", "add", "10.9.0.1/16", "dev", "lo")
        frr = lab.frr("p", BGP_FRR, bfd=True)
        wait_for("strict mode", lambda: "waiting" in r.json("show bgp neighbors")["10.1.0.2"]["peerBfdInfo"], 10)
        stays("strict mode holds BGP", lambda: not r.established("10.1.0.2"), 3)
        lab.exec("p", "nft", "delete", "table", "ip", "early")
        wait_for("BGP to be up", lambda: r.established("10.1.0.2"), 30)
        wait_for("the route", lambda: r.via("10.9.0.0/16") == ["10.1.0.2"], 10)
        info = r.json("show bgp neighbors")["10.1.0.2"]["peerBfdInfo"]
        if (info["status"], info["type"], info["detectMultiplier"], info["rxMinInterval"]) != ("Up", "single hop", 3, 50):
            raise Failure(f"{info}")
        wait_for("the slow start to be over", lambda: session(r)["negotiated-detection-time-us"] == 150000, 10)
        lab.cut("hub", "r", "r0")
        begun = time.monotonic()
        wait_for("BGP to be down", lambda: not r.established("10.1.0.2"), 5, 0.02)
        took = (time.monotonic() - begun) * 1000
        neighbor = r.json("show bgp neighbors")["10.1.0.2"]
        if neighbor["lastResetDueTo"] != "BFD down received" or neighbor["lastErrorCodeSubcode"] != "060A":
            raise Failure(f"{neighbor}")
        if r.route("10.9.0.0/16"):
            raise Failure("the route is still there")
        lab.heal("hub", "r", "r0")
        wait_for("BGP to be up again", lambda: r.established("10.1.0.2"), 60)

        # That the peer takes BFD out of use says nothing about the path (RFC 5882 3.2).
        frr.vtysh("configure terminal", "bfd", "peer 10.1.0.1 local-address 10.1.0.2 interface eth0", "shutdown")
        wait_for("BFD to be down", lambda: not is_up(r), 10)
        stays("BGP is up in spite of the peer's `shutdown` of BFD", lambda: r.established("10.1.0.2"), 1)
        return f"BGP was down {took:.0f} ms after the cut, looked at from outside"


def test_bfd_goodbye():
    """Our end is taken out of use in each way there is: FRR hears of it, and never takes it for a failure."""
    with Lab("cvbfdbye") as lab:
        statements = "bfd\n peer 10.1.0.2 interface e0\n  receive-interval 50\n  transmit-interval 50\n"
        r = pair(lab, statements)
        frr = lab.frr("p", FRR.format(options="interface eth0", ms=50, more=""), bfd=True)

        def up():
            wait_for("both ends to be up", lambda: is_up(r) and frr_status(frr).get("status") == "up", 15)
            wait_for("the slow start to be over", lambda: session(r)["negotiated-detection-time-us"] == 150000, 10)

        def told(how, act, running=True):
            if running:
                up()
            act()
            wait_for(f"FRR to be down after {how}", lambda: frr_status(frr).get("status") == "down", 5, 0.02)
            time.sleep(0.5)  # whatever FRR would think of our silence it has thought by then
            s = frr_status(frr)
            if (s["diagnostic"], s["remote-diagnostic"]) != ("neighbor signaled session down", "administratively down"):
                raise Failure(f"{how}: FRR says {s}")

        peer = ("configure terminal", "bfd", "peer 10.1.0.2 interface e0")
        told("`shutdown`", lambda: r.cli(*peer, "shutdown"))
        r.cli(*peer, "no shutdown")
        told("`no peer`", lambda: r.cli("configure terminal", "bfd", "no peer 10.1.0.2 interface e0"))
        r.configure(*statements.splitlines())
        up()
        begun = time.monotonic()
        r.process.kill()
        took = time.monotonic() - begun
        told("SIGTERM", lambda: None, False)
        return f"told by shutdown, removal and SIGTERM; the daemon took {took:.2f} s to end"


UNNUMBERED = """router bgp {asn}
 bgp router-id {id}
 no bgp ebgp-requires-policy
 neighbor {link} interface remote-as external
 neighbor {link} timers connect 1
 neighbor {link} bfd
"""


def test_bfd_unnumbered_bgp():
    with Lab("cvbfdun") as lab:
        lab.bridge("hub", ("r", "r0"), ("p", "eth0"))
        r = lab.router("r", "hostname r\ninterface e0\n port kernel r0\n bfd interval 50 min_rx 50 multiplier 3\n"
                            + UNNUMBERED.format(asn=65001, id="10.1.0.1", link="e0"))
        frr = lab.frr("p", UNNUMBERED.format(asn=65002, id="10.2.0.1", link="eth0")
                      + " neighbor eth0 bfd profile fast\nbfd\n profile fast\n  receive-interval 50\n  transmit-interval 50\n",
                      bfd=True)
        wait_for("the unnumbered session", lambda: r.established("e0"), 30)
        info = lambda: r.json("show bgp neighbors e0")["e0"]
        wait_for("BFD to be up", lambda: info()["peerBfdInfo"]["status"] == "Up", 15)
        s = r.json("show bfd peers")[0]
        if not s["peer"].startswith("fe80::") or not s["local"].startswith("fe80::") or s["interface"] != "e0":
            raise Failure(f"{s}")
        wait_for("the slow start to be over", lambda: r.json("show bfd peers")[0]["negotiated-detection-time-us"] == 150000, 10)
        lab.cut("hub", "r", "r0")
        wait_for("BGP to be down", lambda: not r.established("e0"), 5, 0.02)
        if info()["lastResetDueTo"] != "BFD down received":
            raise Failure(f"{info()}")
        record = failures(r)[0]
        if not 148 <= record["detectionMsecs"] <= 150 + SLACK:
            raise Failure(f"{record}")
        lab.heal("hub", "r", "r0")
        wait_for("BGP to be up again", lambda: r.established("e0"), 60)
        return f"{record['detectionMsecs']:.1f} ms"
