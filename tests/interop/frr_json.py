"""The same configuration in culvert and in FRR, with the same neighbors: `show ... json` says the same."""
import json
import re

from lab import Failure, Lab, wait_for

ROUTER = """hostname dut
{interfaces}ip route 192.0.2.0/24 10.1.0.9
ip route 198.51.100.0/24 Null0
router bgp 65001
 bgp router-id 1.1.1.1
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor 10.1.0.2 remote-as 65002
 neighbor 10.1.0.2 description to p1
 neighbor 10.1.0.2 timers connect 1
 neighbor 10.2.0.2 remote-as internal
 neighbor 10.2.0.2 timers connect 1
 neighbor 10.2.0.8 remote-as 65008
 neighbor 10.2.0.8 shutdown
 neighbor 10.2.0.9 remote-as 65009
 neighbor 2001:db8:1::2 remote-as 65002
 neighbor 2001:db8:1::2 timers connect 1
 address-family ipv4 unicast
  network 192.0.2.0/24
  network 198.18.0.0/24
  neighbor 10.1.0.2 soft-reconfiguration inbound
  neighbor 10.2.0.2 next-hop-self
  neighbor 10.2.0.2 maximum-prefix 100 80 restart 3
  no neighbor 2001:db8:1::2 activate
 exit-address-family
 address-family ipv6 unicast
  redistribute connected
  neighbor 2001:db8:1::2 activate
 exit-address-family
"""

P1 = """hostname p1
router bgp 65002
 bgp router-id 2.0.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor 10.1.0.1 remote-as 65001
 neighbor 10.1.0.1 timers connect 1
 neighbor 2001:db8:1::1 remote-as 65001
 neighbor 2001:db8:1::1 timers connect 1
 address-family ipv4 unicast
  network 100.64.0.0/24
  network 100.64.1.0/24 route-map C
  network 100.64.3.0/24 route-map M
  no neighbor 2001:db8:1::1 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:aaaa::/48
  neighbor 2001:db8:1::1 activate
 exit-address-family
!
route-map C permit 10
 set community 65000:100 65000:7 no-peer
 set large-community 65000:1:2
 set extcommunity rt 65000:5
route-map M permit 10
 set metric 77
 set origin incomplete
 set as-path prepend 65002 65055
"""

P2 = """hostname p2
router bgp 65001
 bgp router-id 3.0.0.3
 no bgp network import-check
 timers bgp 3 9
 neighbor 10.2.0.1 remote-as 65001
 neighbor 10.2.0.1 timers connect 1
 address-family ipv4 unicast
  network 100.64.0.0/24
  network 100.64.20.0/24 route-map P
!
route-map P permit 10
 set local-preference 250
"""

# What each command has to say alike: paths of keys, `*` any one key, `#` every element in any order.
ALIKE = {
    "show bgp summary json": "*.(routerId|as|vrfId|vrfName|peerCount|failedPeers|displayedPeers|totalPeers|dynamicPeers) "
                             "*.bestPath.* *.peers.*.(remoteAs|localAs|version|state|peerState|pfxRcd|desc|idType|outq|inq"
                             "|connectionsEstablished|connectionsDropped)",
    "show bgp summary failed json": "*.peers.*.(lastResetDueTo|lastResetCode|connectionsEstablished|peerUptime|idType) "
                                    "ipv6Unicast.*",
    "show bgp ipv4 unicast json": "(routerId|defaultLocPrf|localAS|vrfName) "
                                  "routes.*.#.(valid|bestpath|multipath|selectionReason|pathFrom|prefix|prefixLen|network|"
                                  "metric|locPrf|weight|peerId|path|origin) routes.*.#.nexthops.#.(ip|afi|used)",
    "show bgp ipv6 unicast json": "routes.*.#.(valid|bestpath|multipath|pathFrom|network|metric|weight|peerId|path|origin) "
                                  "routes.2001:db8:1::/64.#.nexthops.#.(ip|afi|scope|used)",
    "show bgp ipv4 unicast 100.64.0.0/24 json": "paths.#.aspath.(string|length) paths.#.(origin|metric|locPrf|valid|multipath)"
                                                " paths.#.bestpath.* paths.#.peer.(peerId|routerId|type)"
                                                " paths.#.nexthops.#.(ip|afi|metric|accessible|used)",
    "show bgp ipv4 unicast 100.64.1.0/24 json": "prefix paths.#.community.(string|list.#) paths.#.largeCommunity.(string|list.#)"
                                                " paths.#.extendedCommunity.string paths.#.aspath.segments.#.(type|list.#)",
    "show bgp ipv4 unicast 203.0.113.0/24 json": "*",
    "show bgp ipv4 unicast 198.18.0.0/24 json": "prefix paths.#.aspath.* paths.#.(origin|metric|weight|valid|bestpath|sourced|local)"
                                                " paths.#.nexthops.#.(ip|afi|accessible|used) advertisedTo.*",
    "show bgp neighbors 10.1.0.2 json": "*.(remoteAs|localAs|nbrExternalLink|localRole|remoteRole|nbrDesc|bgpVersion|"
                                        "remoteRouterId|localRouterId|bgpState|bgpTimer(Configured)?HoldTimeMsecs|"
                                        "bgpTimer(Configured)?KeepAliveIntervalMsecs|extendedOptionalParametersLength|"
                                        "connectRetryTimer|hostLocal|hostForeign|externalBgpNbrMaxHopsAway|bgpConnection) "
                                        "*.addressFamilyInfo.*.(acceptedPrefixCounter|inboundSoftConfigPermit|commAttriSentToNbr) "
                                        "*.neighborCapabilities.(4byteAs|extendedMessage|routeRefresh|enhancedRouteRefresh) "
                                        "*.neighborCapabilities.multiprotocolExtensions.*.*",
    "show bgp neighbors 10.2.0.2 json": "*.(nbrInternalLink|nbrCommonAdmin) *.addressFamilyInfo.*.(routerAlwaysNextHop|prefixAllowed.*)",
    "show bgp neighbors 10.2.0.8 json": "*.(adminShutDown|bgpState|lastResetDueTo|lastResetCode|hostLocal|hostForeign|portForeign)",
    "show bgp neighbors 10.2.0.9 json": "*.(lastResetDueTo|lastResetCode|hostForeign|portLocal|connectionsEstablished)",
    "show bgp neighbors 10.9.9.9 json": "*",
    "show bgp ipv4 unicast neighbors 10.2.0.2 advertised-routes json":
        "(bgpStatusCodes|bgpOriginCodes).* (totalPrefixCounter|filteredPrefixCounter) "
        "advertisedRoutes.192.0.2.0/24.(addrPrefix|prefixLen|network|nextHop|metric|weight|path|bgpOriginCode)",
    "show bgp ipv4 unicast neighbors 10.1.0.2 advertised-routes json":
        "advertisedRoutes.(192.0.2.0/24|100.64.20.0/24).(nextHop|metric|weight|path|bgpOriginCode)",
    "show bgp ipv4 unicast neighbors 10.1.0.2 received-routes json":
        "receivedRoutes.100.64.[0-3].0/24.(addrPrefix|prefixLen|network|nextHop|metric|weight|path|bgpOriginCode)",
    "show bgp ipv4 unicast neighbors 10.2.0.2 received-routes json": "*",
    "show bgp ipv4 unicast neighbors 10.9.9.9 advertised-routes json": "*",
    "show ip route json": "(10.[12].0.0/24|100.64.[0-9]+.0/24|192.0.2.0/24|198.51.100.0/24).#.(prefix|prefixLen|protocol|vrfName|selected|destSelected|distance|metric|"
                          "installed|queued|table) 100.*.#.nexthops.#.(fib|ip|afi|interfaceName|active|weight|flags) "
                          "198.*.#.nexthops.#.(unreachable|blackhole|weight|active|fib)",
    "show ip route 100.64.0.77 json": "*.#.(prefix|protocol|distance)",
    "show ip route 203.0.113.0/24 json": "*",
    "show ip route vrf NOPE json": "*",
    "show bgp vrf all ipv4 unicast json": "*.(routerId|localAS|vrfName) *.routes.*.#.(valid|bestpath|network|path)",
    "show bgp vrf all neighbors json": "*.(vrfId|vrfName) *.*.(remoteAs|localAs|bgpState)",
    "show interface brief json": "d[12].(status|vrfName|addresses.#)",
    "show interface json": "d[12].(administrativeStatus|operationalStatus|linkDetection|vrfName|mtu|metric|type|flags)",
}


def flat(value, path=""):
    """{path: value}; the elements of a list are told apart by what they say, not by their place."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{path}\0{key}").items()}
    if isinstance(value, list):
        ordered = sorted(value, key=lambda v: str(v.get("peerId") or v.get("peer", {}).get("peerId") or v.get("ip"))
                         if isinstance(v, dict) else str(v))
        return {k: v for i, inner in enumerate(ordered) for k, v in flat(inner, f"{path}\0#{i}").items()}
    return {path: value}


def pick(text, wanted):
    """The values that `wanted` names. A dot of a pattern is between keys, or in one."""
    patterns = [re.compile("".join(
        {"*": "[^\0]*", "#": "#[0-9]+", ".": "[.\0]"}.get(c, c) for c in w.replace(".*", "\1")).replace("\1", "[.\0]?.*"))
        for w in wanted.split()]
    found = flat(json.loads(text))
    return {k[1:].replace("\0", " "): v for k, v in found.items() if any(p.fullmatch(k[1:]) for p in patterns)}


def topology(name, start):
    lab = Lab(name)
    for i, p in ((1, "p1"), (2, "p2")):
        lab.link("d", f"d{i}", p, "eth0")
        lab.address(p, "eth0", f"10.{i}.0.2/24", f"2001:db8:{i}::2/64")
    lab.frr("p1", P1)
    lab.frr("p2", P2)
    return lab, start(lab)


def interfaces(port):
    return "".join(f"interface d{i}\n{f' port kernel d{i}' if port else ''}\n ip address 10.{i}.0.1/24\n"
                   f" ipv6 address 2001:db8:{i}::1/64\n" for i in (1, 2))


def test_json_says_what_frr_says():
    ours, r = topology("cvjs", lambda lab: lab.router("d", ROUTER.format(interfaces=interfaces(True))))
    with ours:
        theirs, f = topology("cvjf", lambda lab: lab.frr("d", ROUTER.format(interfaces=interfaces(False))))
        with theirs:
            f.run_beside("sh", "-c", "/usr/lib/frr/staticd -d > /dev/null 2>&1")
            f.vtysh("configure terminal", "ip route 192.0.2.0/24 10.1.0.9", "ip route 198.51.100.0/24 Null0")
            asked = (lambda line: r.show(line), lambda line: f.vtysh(line))
            for ask in asked:
                wait_for("both to have all routes", lambda: all(
                    p in ask("show bgp ipv4 unicast") for p in ("100.64.20.0/24", "192.0.2.0/24", "100.64.3.0/24")), 20)
                wait_for("the IPv6 routes", lambda: "2001:db8:aaaa::/48" in ask("show bgp ipv6 unicast"), 20)
                wait_for("routes to be installed", lambda: '"queued"' not in ask("show ip route json"), 10)
            wait_for("what both send", lambda: all("198" in ask("show ip route") for ask in asked), 10)
            wrong, compared = [], 0
            for line, wanted in ALIKE.items():
                mine, frr = (pick(ask(line), wanted) for ask in asked)
                compared += len(frr)
                wrong += [f"{line}: {k}: {mine.get(k)!r}, FRR {frr.get(k)!r}" for k in sorted(mine.keys() | frr.keys())
                          if (k not in mine) != (k not in frr) or mine[k] != frr[k] or type(mine[k]) is not type(frr[k])]
            if wrong:
                raise Failure("\n".join(wrong))
            return f"{compared} values of {len(ALIKE)} commands alike"
