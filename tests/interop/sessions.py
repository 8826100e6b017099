"""BGP sessions with FRR: TCP-MD5, TTL security, and that a change touches nobody else."""
import json
import signal

from lab import Failure, Lab, wait_for

ROUTER = """hostname r
interface wan
 port kernel wan0
 ip address 203.0.113.1/24
interface lo
 ip address 198.51.100.1/32
router bgp 65001
 bgp router-id 198.51.100.1
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 203.0.113.2 remote-as 65002
 neighbor 203.0.113.2 timers connect 1
 neighbor 203.0.113.2 password-file {key}
 neighbor 203.0.113.3 remote-as 65003
 neighbor 203.0.113.3 timers connect 1
 neighbor 203.0.113.3 ttl-security hops 1
 address-family ipv4 unicast
  network 198.51.100.1/32
"""

FRR = """hostname {name}
router bgp {asn}
 bgp router-id {address}
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 203.0.113.1 remote-as 65001
 neighbor 203.0.113.1 timers connect 1
 {more}
"""


def test_md5_and_ttl_security_with_frr():
    with Lab("cvmd5") as lab:
        lab.bridge("wan", ("r", "wan0"), ("f2", "wan0"), ("f3", "wan0"))
        for n in (2, 3):
            lab.address(f"f{n}", "wan0", f"203.0.113.{n}/24")
        key = lab.dir / "md5.key"
        key.touch(mode=0o600)
        key.write_text("right\n")
        r = lab.router("r", ROUTER.format(key=key))
        frr2 = lab.frr("f2", FRR.format(name="f2", asn=65002, address="203.0.113.2",
                                        more="neighbor 203.0.113.1 password wrong"))
        lab.frr("f3", FRR.format(name="f3", asn=65003, address="203.0.113.3",
                                 more="neighbor 203.0.113.1 ttl-security hops 1"))
        wait_for("BGP with TTL security", lambda: r.established("203.0.113.3"), 20)
        if r.established("203.0.113.2"):
            raise Failure("a session came up although the TCP-MD5 keys differ")
        frr2.vtysh("configure terminal", "router bgp 65002", "neighbor 203.0.113.1 password right")
        wait_for("BGP with the right key", lambda: r.established("203.0.113.2"), 20)
        wait_for("FRR to have the loopback", lambda: "198.51.100.1/32" in frr2.vtysh("show ip route bgp"))

        # A change of one neighbour resets no other.
        def ups():
            peers = r.json("show bgp summary")["ipv4Unicast"]["peers"]
            return {a: p["connectionsEstablished"] for a, p in peers.items()}
        before = ups()
        r.configure("router bgp 65001", "neighbor 203.0.113.2 description first", "neighbor 203.0.113.2 shutdown")
        wait_for("the session to end", lambda: not r.established("203.0.113.2"))
        r.configure("router bgp 65001", "no neighbor 203.0.113.2 shutdown")
        wait_for("it to come back", lambda: r.established("203.0.113.2"), 20)
        after = ups()
        assert after["203.0.113.3"] == before["203.0.113.3"], (before, after)
        assert after["203.0.113.2"] == before["203.0.113.2"] + 1, (before, after)
        # A new key in the file, taken up by SIGHUP: the old one no longer fits.
        key.write_text("other\n")
        r.process.popen.send_signal(signal.SIGHUP)
        wait_for("the session with the old key to end", lambda: not r.established("203.0.113.2"), 10)
        key.write_text("right\n")
        r.process.popen.send_signal(signal.SIGHUP)
        wait_for("it to come back with the right key", lambda: r.established("203.0.113.2"), 20)
        text = r.show("show running-config")
        assert "right" not in text and str(key) in text, text


BYE = """hostname r
interface wan
 port kernel wan0
 ip address 203.0.113.1/24
router bgp 65001
 bgp router-id 198.51.100.1
 no bgp ebgp-requires-policy
 neighbor 203.0.113.2 remote-as 65002
 neighbor 203.0.113.2 timers connect 1
"""

BYE_FRR = """hostname f2
router bgp 65002
 bgp router-id 203.0.113.2
 no bgp ebgp-requires-policy
 neighbor 203.0.113.1 remote-as 65001
 neighbor 203.0.113.1 timers connect 1
"""


def test_a_new_router_id_and_the_end_are_said_to_frr():
    """With the default timers: what is not said would be noticed after three minutes."""
    with Lab("cvbye") as lab:
        lab.link("r", "wan0", "f2", "wan0")
        lab.address("f2", "wan0", "203.0.113.2/24")
        r = lab.router("r", BYE)
        frr = lab.frr("f2", BYE_FRR)

        def seen():
            return json.loads(frr.vtysh("show bgp neighbors 203.0.113.1 json"))["203.0.113.1"]
        wait_for("BGP", lambda: r.established("203.0.113.2") and seen()["bgpState"] == "Established", 30)
        if seen()["remoteRouterId"] != "198.51.100.1":
            raise Failure(f"{seen()['remoteRouterId']}")
        drops, told = seen()["connectionsDropped"], seen()["messageStats"]["notificationsRecv"]

        # RFC 4271 4.2: it is the identifier of the session; FRR resets too.
        r.configure("router bgp 65001", "bgp router-id 198.51.100.9")
        wait_for("the session with the new router id",
                 lambda: r.established("203.0.113.2") and seen()["remoteRouterId"] == "198.51.100.9", 30)
        now = seen()
        if now["connectionsDropped"] != drops + 1 or now["messageStats"]["notificationsRecv"] <= told:
            raise Failure(f"{now['connectionsDropped']} sessions ended after {drops}: {now['messageStats']}")
        mine = r.json("show bgp neighbors 203.0.113.2")["203.0.113.2"]
        # Both connect anew at once: what came last may also be FRR's connection that lost the collision.
        if mine["lastResetDueTo"] not in ("Router ID changed", "Peer closed the session") or mine["localRouterId"] != "198.51.100.9":
            raise Failure(f"{mine['lastResetDueTo']}, {mine['localRouterId']}")
        r.configure("router bgp 65001", "bgp router-id 198.51.100.9")
        if seen()["connectionsDropped"] != drops + 1:
            raise Failure("the same router id once more reset the session")

        # SIGTERM: as bgpd itself when it ends (RFC 4486 4), at once.
        r.process.kill(signal.SIGTERM)
        wait_for("FRR to have been told", lambda: seen()["bgpState"] != "Established", 15)
        if seen().get("lastNotificationReason") != "Cease/Peer De-configured":
            raise Failure(f"{seen().get('lastResetDueTo')}, {seen().get('lastNotificationReason')}")
