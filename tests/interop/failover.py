"""A path dies while traffic runs: how long nothing arrives, and what show failover says about it."""
import time

from lab import PATIENCE, Failure, Lab, wait_for

LINK_LOSS = 50 * PATIENCE  # ms: the kernel tells at once, a worker looks within a poll round


def received(lab, node, interface):
    return int(lab.exec(node, "cat", f"/sys/class/net/{interface}/statistics/rx_packets").stdout)


def gap_of(result):
    """The probe's longest gap, less the longest the machine kept the probe itself from running: a router waits as long."""
    return max(0.0, result["gap_ms"] - result["pause_ms"])


def newest(router):
    return router.json("show failover")["records"][0]


def flows_on(lab, link):
    """How many of 100 flows take the link: a single one may well stay on the other."""
    before = received(lab, "p", f"eth{link}")
    lab.exec("h", "sh", "-c", "for i in $(seq 101 200); do ping -c 1 -W 0.2 10.9.0.$i > /dev/null & done; wait")
    return received(lab, "p", f"eth{link}") - before


def two_ways(lab, hold_up, routes):
    """h - r = p, over the links 1 and 2; p's answers come back over a third that stays. Returns r's router."""
    for i in (1, 2, 3):
        lab.link("p", f"eth{i}", "r", f"r{i}")
        lab.address("p", f"eth{i}", f"10.{i}.0.2/24")
    lab.link("h", "eth0", "r", "rh")
    lab.address("h", "eth0", "10.7.0.2/24")
    lab.route("h", "default", "10.7.0.1")
    lab.address("p", "lo", "10.9.0.9/32")
    lab.route("p", "10.7.0.0/24", "10.3.0.1")
    ports = "".join(f"interface e{n}\n port kernel r{n}\n ip address 10.{7 if n == 'h' else n}.0.1/24\n"
                    for n in ("1", "2", "3", "h"))
    r = lab.router("r", f"hostname r\n{ports}failover\n hold-up {hold_up}\nexit\n{routes}")
    lab.echo("p", "10.9.0.9")
    return r


def test_link_loss_takes_a_member_out():
    with Lab("cvloss") as lab:
        r = two_ways(lab, 1000, "ip route 10.9.0.0/24 10.1.0.2\nip route 10.9.0.0/24 10.2.0.2\n")
        wait_for("ping over the group", lambda: lab.pings("h", "10.9.0.9", count=1), 10)
        probe = lab.probe("h", "10.9.0.9", 6000, 1)
        time.sleep(1)
        before = {i: received(lab, "p", f"eth{i}") for i in (1, 2)}
        time.sleep(0.5)
        used = max((1, 2), key=lambda i: received(lab, "p", f"eth{i}") - before[i])
        lab.exec("p", "ip", "link", "set", f"eth{used}", "down")
        result = probe.result()
        if result["lost"] == result["sent"] or gap_of(result) > LINK_LOSS:
            raise Failure(f"no traffic for {result['gap_ms']} ms after the link was lost: {result}")
        record = newest(r)
        if record["cause"] != "link" or f"e{used}" not in record["subject"] or record["state"] != "down":
            raise Failure(f"the record is wrong: {record}")
        assert r.via("10.9.0.0/24") == [f"10.{3 - used}.0.2"], r.via("10.9.0.0/24")

        # It comes back: not before the hold-up is over, and without a gap.
        probe = lab.probe("h", "10.9.0.9", 5000, 1)
        time.sleep(0.5)
        lab.exec("p", "ip", "link", "set", f"eth{used}", "up")
        wait_for("the link to be trusted", lambda: newest(r)["state"] == "restored", 15)
        back = newest(r)
        if back["restoredMsecs"] - back["aliveAgainMsecs"] < 999:
            raise Failure(f"it was used again too early: {back}")
        wait_for("both members", lambda: len(r.via("10.9.0.0/24")) == 2, 10)
        again = probe.result()
        if gap_of(again) > LINK_LOSS:
            raise Failure(f"no traffic for {again['gap_ms']} ms when the link came back: {again}")
        return (f"gap {result['gap_ms']} ms (lost {result['lost']}) when the link went, control done after "
                f"{record['controlFinishedMsecs']:.1f} ms, {again['gap_ms']} ms when it returned")


def test_a_returned_link_waits_for_its_neighbor():
    """The link is there again before the neighbour answers on it: what goes another way stays there until it does."""
    with Lab("cvback") as lab:
        # A group, and a route that stands by for another.
        r = two_ways(lab, 200, "ip route 10.9.0.0/25 10.1.0.2\nip route 10.9.0.0/25 10.2.0.2\n"
                               "ip route 10.9.0.9/32 10.1.0.2\nip route 10.9.0.9/32 10.2.0.2 200\n")
        wait_for("ping", lambda: lab.pings("h", "10.9.0.9", count=1), 10)
        wait_for("both members", lambda: len(r.via("10.9.0.0/25")) == 2, 10)
        assert r.via("10.9.0.9/32") == ["10.1.0.2"], r.via("10.9.0.9/32")
        lab.exec("p", "ip", "link", "set", "eth1", "down")
        wait_for("the other route", lambda: r.via("10.9.0.9/32") == ["10.2.0.2"], 10)
        lab.exec("p", "ip", "link", "set", "eth1", "arp", "off")
        probe = lab.probe("h", "10.9.0.9", 8000, 1)
        time.sleep(0.5)
        lab.exec("p", "ip", "link", "set", "eth1", "up")
        wait_for("the link to be trusted", lambda: newest(r)["state"] == "restored", 15)
        time.sleep(2.5)  # long enough for three questions without an answer
        for prefix in ("10.9.0.0/25", "10.9.0.9/32"):
            if r.via(prefix) != ["10.2.0.2"]:
                raise Failure(f"{prefix} takes {r.via(prefix)} although 10.1.0.2 has not answered")
        lab.exec("p", "ip", "link", "set", "eth1", "arp", "on")
        wait_for("both members", lambda: len(r.via("10.9.0.0/25")) == 2, 20)
        wait_for("the preferred route", lambda: r.via("10.9.0.9/32") == ["10.1.0.2"], 5)
        result = probe.result()
        if result["lost"] == result["sent"] or gap_of(result) > LINK_LOSS:
            raise Failure(f"no traffic for {result['gap_ms']} ms: {result}")
        return f"gap {result['gap_ms']} ms (lost {result['lost']}) while the link came back and its neighbour was silent"


def test_a_silent_neighbor_is_left():
    """The link stays up, the neighbour's kernel no longer answers ARP: nothing but the neighbour itself can tell."""
    with Lab("cvnbr") as lab:
        r = two_ways(lab, 1000, "ip route 10.9.0.0/24 10.1.0.2\nip route 10.9.0.0/24 10.2.0.2\n")
        wait_for("ping over the group", lambda: lab.pings("h", "10.9.0.9", count=1), 10)
        wait_for("both members", lambda: len(r.via("10.9.0.0/24")) == 2, 10)
        probe = lab.probe("h", "10.9.0.9", 70000, 1)
        time.sleep(1)
        before = {i: received(lab, "p", f"eth{i}") for i in (1, 2)}
        time.sleep(0.5)
        used = max((1, 2), key=lambda i: received(lab, "p", f"eth{i}") - before[i])
        lab.exec("p", "ip", "link", "set", f"eth{used}", "arp", "off")
        silent = time.monotonic()
        # A neighbour is trusted for 45 s, and asked three times then.
        wait_for("the failure", lambda: r.json("show failover")["failures"] == 1, 60)
        took = time.monotonic() - silent
        record = wait_for("control to be done", lambda: newest(r)["state"] == "down" and newest(r), 5)
        if record["cause"] != "neighbor" or f"10.{used}.0.2 on e{used}" not in record["subject"]:
            raise Failure(f"the record is wrong: {record}")
        if not 3000 <= record["detectionMsecs"] <= 50000 * PATIENCE:
            raise Failure(f"it was last heard of {record['detectionMsecs']} ms before")
        assert r.via("10.9.0.0/24") == [f"10.{3 - used}.0.2"], r.via("10.9.0.0/24")
        if r.json("show interface")[f"e{used}"]["operationalStatus"] != "up":
            raise Failure("the link itself went down: nothing was shown")
        before = {i: received(lab, "p", f"eth{i}") for i in (1, 2)}
        time.sleep(1)
        moved = {i: received(lab, "p", f"eth{i}") - before[i] for i in (1, 2)}
        if moved[used] > 20 or moved[3 - used] < 300:  # ARP goes on asking
            raise Failure(f"traffic did not move away from eth{used}: {moved}")

        lab.exec("p", "ip", "link", "set", f"eth{used}", "arp", "on")
        wait_for("the neighbour to be trusted", lambda: newest(r)["state"] == "restored", 20)
        back = newest(r)
        if back["restoredMsecs"] - back["aliveAgainMsecs"] < 999:
            raise Failure(f"it was used again too early: {back}")
        wait_for("both members", lambda: len(r.via("10.9.0.0/24")) == 2, 10)
        wait_for("flows on it again", lambda: flows_on(lab, used) >= 10, 10)
        result = probe.result()
        if result["lost"] == result["sent"] or gap_of(result) > LINK_LOSS:
            raise Failure(f"no traffic for {result['gap_ms']} ms: {result}")
        return (f"left {took:.1f} s after it fell silent ({record['detectionMsecs'] / 1000:.1f} s after its last answer), "
                f"gap {result['gap_ms']} ms (lost {result['lost']}) from beginning to end")


FRR = """hostname {name}
router bgp {asn}
 no bgp ebgp-requires-policy
 bgp router-id {address}
 timers bgp 3 9
 neighbor {peer} remote-as 65001
 neighbor {peer} timers connect 1
 address-family ipv4 unicast
  network 10.9.0.0/24
"""


def test_link_loss_takes_the_second_best_path():
    with Lab("cvpic") as lab:
        for i, node in ((1, "x"), (2, "y")):
            lab.link(node, "eth0", "r", f"r{i}")
            lab.address(node, "eth0", f"10.{i}.0.2/24")
            lab.address(node, "lo", "10.9.0.9/24")
            lab.route(node, "10.7.0.0/24", f"10.{i}.0.1")
        lab.link("h", "eth0", "r", "rh")
        lab.address("h", "eth0", "10.7.0.2/24")
        lab.route("h", "default", "10.7.0.1")
        ports = "".join(f"interface e{n}\n port kernel r{n}\n ip address 10.{7 if n == 'h' else n}.0.1/24\n"
                        for n in ("1", "2", "h"))
        r = lab.router("r", f"hostname r\n{ports}failover\n hold-up 1000\nexit\n"
                            "router bgp 65001\n no bgp ebgp-requires-policy\n bgp router-id 10.7.0.1\n"
                            " neighbor 10.1.0.2 remote-as 65002\n neighbor 10.2.0.2 remote-as 65003\n"
                            " address-family ipv4 unicast\n  neighbor 10.1.0.2 weight 200\n")
        for i, node in ((1, "x"), (2, "y")):
            lab.frr(node, FRR.format(name=node, asn=65001 + i, address=f"10.{i}.0.2", peer=f"10.{i}.0.1"))
            lab.echo(node, "10.9.0.9")
        wait_for("both sessions", lambda: r.established("10.1.0.2") and r.established("10.2.0.2"), 30)
        wait_for("the best path", lambda: r.via("10.9.0.0/24") == ["10.1.0.2"], 15)
        wait_for("the second-best path", lambda: any(p.get("backup") for p in r.json("show bgp 10.9.0.0/24")["paths"]), 10)
        wait_for("ping", lambda: lab.pings("h", "10.9.0.9", count=1), 10)
        lab.pings("r", "10.2.0.2", count=1)
        r.cli("ping 10.2.0.2")
        probe = lab.probe("h", "10.9.0.9", 4000, 1)
        time.sleep(1.5)
        lab.exec("x", "ip", "link", "set", "eth0", "down")
        result = probe.result()
        if result["lost"] == result["sent"] or gap_of(result) > LINK_LOSS:
            raise Failure(f"no traffic for {result['gap_ms']} ms after the link was lost: {result}")
        record = newest(r)
        assert record["cause"] == "link", record
        assert r.via("10.9.0.0/24") == ["10.2.0.2"], r.via("10.9.0.0/24")
        return f"gap {result['gap_ms']} ms (lost {result['lost']}), {record['packetsMetDown']} packets met the dead path"
