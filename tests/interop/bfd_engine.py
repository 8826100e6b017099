"""The BFD of the dataplane against FRR and BIRD, without a control plane of ours: tests/interop/bfd_peer.cc."""
import os
import re
import time
from pathlib import Path

from lab import Failure, Lab, run, wait_for

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CULVERT_BUILD", ROOT / "build"))
PEER = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "tests/unit/bfd/bfd-peer"
OURS, THEIRS = "203.0.113.1", "203.0.113.2"
OURS6, THEIRS6 = "2001:db8::1", "2001:db8::2"


def mac(lab, node, interface):
    return run("ip", "netns", "exec", lab.ns(node), "cat", f"/sys/class/net/{interface}/address").stdout.strip()


def start(lab, *words, local=OURS, peer=THEIRS):
    return lab.start(f"bfd{len(lab.processes)}", "r", [str(PEER), "wan0", local, peer, mac(lab, "p", "wan0"), *words])


def lines(process, pattern):
    return re.findall(pattern, process.text(), re.M)


def last_state(process):
    states = lines(process, r"state (\w+)")
    return states[-1] if states else None


def wire(lab):
    lab.bridge("wan", ("r", "wan0"), ("p", "wan0"))
    lab.address("p", "wan0", f"{THEIRS}/24", f"{THEIRS6}/64")
    ours = mac(lab, "r", "wan0")
    for address in (OURS, OURS6):
        run("ip", "-n", lab.ns("p"), "neigh", "replace", address, "lladdr", ours, "dev", "wan0", "nud", "permanent")
    run("ip", "netns", "exec", lab.ns("p"), "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
        "net.ipv4.conf.all.accept_local=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.wan0.rp_filter=0",
        "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.wan0.send_redirects=0")


def frr(lab, *peers):
    body = "".join(f" peer {p}\n" for p in peers)
    return lab.frr("p", f"hostname p\nbfd\n{body}", bfd=True)


def cut_and_heal(lab, process, detection, times=1):
    """Silence: down within the detection time; then up again."""
    for _ in range(times):
        before = len(lines(process, "down: "))
        lab.cut("wan", "p", "wan0")
        wait_for("the session to go down", lambda: len(lines(process, "down: ")) > before, 3, 0.01)
        took = float(lines(process, r"down: ([\d.]+) ms")[-1])
        if not detection <= took <= detection + 20:
            raise Failure(f"down {took} ms after the last packet, not {detection}")
        lab.heal("wan", "p", "wan0")
        wait_for("the session to come back", lambda: last_state(process) == "Up", 10)


def test_frr_single_hop():
    with Lab("cvbfdf") as lab:
        wire(lab)
        peer = f"{OURS} local-address {THEIRS} interface wan0"
        f = frr(lab, f"{peer}\n  transmit-interval 50\n  receive-interval 50")
        for interval in (50, 20):
            f.vtysh("configure terminal", "bfd", f"peer {peer}", f"transmit-interval {interval}",
                    f"receive-interval {interval}")
            p = start(lab, f"tx={interval}000", f"rx={interval}000", "seconds=40")
            wait_for("the session", lambda: last_state(p) == "Up", 15)
            wait_for("FRR to say the same", lambda: "up" in f.vtysh("show bfd peers brief"), 10)
            wait_for("the timers", lambda: lines(p, rf"state Up .* tx {interval}000 detect {3 * interval}000 "), 5)
            cut_and_heal(lab, p, 3 * interval, times=3)
            p.kill()


def test_frr_ipv6_and_multihop():
    with Lab("cvbfdm") as lab:
        wire(lab)
        f = frr(lab, f"{OURS6} local-address {THEIRS6} interface wan0\n  transmit-interval 50\n  receive-interval 50",
                f"{OURS} multihop local-address {THEIRS}\n  transmit-interval 50\n  receive-interval 50")
        p = start(lab, "seconds=30", local=OURS6, peer=THEIRS6)
        wait_for("IPv6", lambda: last_state(p) == "Up", 15)
        cut_and_heal(lab, p, 150)
        p.kill()
        p = start(lab, "seconds=30", "ttl=254")
        wait_for("multihop", lambda: last_state(p) == "Up", 15)
        cut_and_heal(lab, p, 150)
        p.kill()


def test_frr_echo_both_ways():
    with Lab("cvbfde") as lab:
        wire(lab)
        f = frr(lab, f"{OURS} local-address {THEIRS} interface wan0\n  echo-mode\n  echo transmit-interval 50\n"
                     "  echo receive-interval 50\n  transmit-interval 100\n  receive-interval 100")
        p = start(lab, "tx=100000", "rx=100000", "echo=50000", "seconds=12")
        wait_for("echo", lambda: lines(p, r"state Up .* echo 50000 "), 15)
        time.sleep(3)
        if "up" not in f.vtysh("show bfd peers brief"):
            raise Failure("FRR's echoes don't come back")
        wait_for("the end", lambda: lines(p, r"^sent "), 15)
        sent, back = (int(x) for x in lines(p, r"echoes (\d+)/(\d+)")[-1])
        if back < sent - 3 or sent < 40:
            raise Failure(f"{sent} echoes sent, {back} came back")
        if lines(p, "down: "):
            raise Failure(f"the session flapped:\n{p.text()}")


BIRD = """log stderr all;
router id {peer};
protocol device {{ }}
protocol bfd {{
  interface "wan0" {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; {auth} }};
  neighbor {ours} dev "wan0" local {peer};
}}
"""
TYPES = {1: "simple", 2: "keyed md5", 3: "meticulous keyed md5", 4: "keyed sha1", 5: "meticulous keyed sha1"}


def test_bird_each_authentication():
    with Lab("cvbfdb") as lab:
        wire(lab)
        for number, name in TYPES.items():
            config = BIRD.format(ours=OURS, peer=THEIRS,
                                 auth=f'authentication {name}; password "secret1" {{ id 7; }};')
            b = lab.bird("p", config)
            wrong = start(lab, f"key={number}:7:secret2", "seconds=4")
            wait_for("the refusal", lambda: lines(wrong, r"^sent "), 10)
            if "Up" in wrong.text() or not int(lines(wrong, r"auth-dropped (\d+)")[-1]):
                raise Failure(f"{name}: a wrong key is taken")
            p = start(lab, f"key={number}:3:other", f"key={number}:7:secret1", "seconds=20")
            wait_for(name, lambda: last_state(p) == "Up", 15)
            cut_and_heal(lab, p, 150)
            p.kill()
            b.kill()
