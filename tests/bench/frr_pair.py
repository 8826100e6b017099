"""Two of FRR's bfdd with a session between them, to stand beside ours under the same load."""
import json

from lab import wait_for

NETWORK = "192.0.2"


def frr_pair(lab, interval_ms, *beside):
    """The session is up, over a bridge of its own, on which the ends `beside`, (node, interface), are too. Returns what
    gives how often it went down, as either end counts it."""
    ends = {"fa": (f"{NETWORK}.1", f"{NETWORK}.2"), "fb": (f"{NETWORK}.2", f"{NETWORK}.1")}
    lab.bridge("fx", *((node, "wan0") for node in ends), *beside)
    daemons = []
    for node, (ours, theirs) in ends.items():
        lab.address(node, "wan0", f"{ours}/24")
        daemons.append(lab.frr(node, f"hostname {node}\nbfd\n peer {theirs} local-address {ours} interface wan0\n"
                                     f"  transmit-interval {interval_ms}\n  receive-interval {interval_ms}\n", bfd=True))
    wait_for("FRR's session", lambda: all("up" in d.vtysh("show bfd peers brief") for d in daemons), 30)
    return lambda: [json.loads(d.vtysh("show bfd peers counters json"))[0]["session-down"] for d in daemons]
