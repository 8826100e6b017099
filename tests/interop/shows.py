"""What is shown: every command that takes `json` prints JSON, and `vrf all` has every VRF."""
import itertools
import json
import re

from lab import CULVERT, Failure, Lab, run, wait_for

ROUTER = """hostname r
vrf red
exit-vrf
crypto ipsec manual-sa LAB
 inbound spi 4096 key {key_a}
 outbound spi 4097 key {key_b}
crypto ipsec profile SITE
 set manual-sa LAB
interface lo
 ip address 10.255.0.1/32
interface left
 port kernel r0
 ip address 10.1.0.1/24
 ipv6 address 2001:db8:1::1/64
interface right
 port kernel r1
 vrf red
 ip address 10.2.0.1/24
 ipv6 address 2001:db8:2::1/64
interface wg0
 tunnel mode wireguard
 wireguard private-key-file {key_file}
 wireguard listen-port 51820
 wireguard peer p
  public-key {public}
  endpoint 10.1.0.2:51820
  allowed-ips 10.200.0.0/24
 exit
 ip address 10.200.0.1/30
interface tunnel0
 tunnel mode gre ip
 tunnel source left
 tunnel destination 10.1.0.2
 tunnel protection ipsec profile SITE
 ip address 10.201.0.1/30
ip route 192.0.2.0/24 10.1.0.9
ip route 192.0.2.0/24 10.2.0.9 vrf red
ipv6 route 2001:db8:9::/48 2001:db8:1::9
router bgp 65001
 no bgp ebgp-requires-policy
 neighbor 10.1.0.2 remote-as 65002
 neighbor 10.1.0.2 bfd
 neighbor 2001:db8:1::2 remote-as 65002
 address-family ipv4 unicast
  network 192.0.2.0/24
  neighbor 10.1.0.2 soft-reconfiguration inbound
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:9::/48
  neighbor 2001:db8:1::2 activate
 exit-address-family
exit
router bgp 65001 vrf red
 no bgp ebgp-requires-policy
 neighbor 10.2.0.2 remote-as 65003
 address-family ipv4 unicast
  network 192.0.2.0/24
 exit-address-family
exit
bfd
 peer 10.1.0.3
 exit
exit
"""

# What stands for the words of a syntax in capitals.
SAMPLES = {"IFNAME": "left", "A.B.C.D/M": "192.0.2.0/24", "A.B.C.D": "192.0.2.1", "X:X::X:X/M": "2001:db8:9::/48",
           "X:X::X:X": "2001:db8:9::1", "PREFIX": "192.0.2.0/24", "PEER": "10.1.0.2"}


def tokens(syntax):
    return re.findall(r"\.\.\.|[][<>|]|[^][<>|\s]+", syntax)


def parse(words):
    """A sequence: a list of words and of ('choice', optional, [sequence])."""
    sequences = [[]]
    while words and words[0] not in "]>":
        word = words.pop(0)
        if word == "|":
            sequences.append([])
        elif word in "[<":
            inner = parse(words)
            words.pop(0)
            sequences[-1].append(("choice", word == "[", inner))
        elif word != "...":
            sequences[-1].append(word)
    return sequences


def spellings(sequence):
    """Every line that the sequence stands for; what may be repeated comes once."""
    def of(item):
        if isinstance(item, str):
            return [[item]]
        _, optional, inner = item
        return ([[]] if optional else []) + [line for s in inner for line in spellings(s)]
    return [[w for part in parts for w in part] for parts in itertools.product(*map(of, sequence))]


def commands(vrf):
    """The lines of the table of commands that show JSON."""
    lines = []
    for row in run(CULVERT, "--manual", "commands").stdout.splitlines():
        found = re.match(r"\| `(show .*?)` \|", row)
        if not found:
            continue
        syntax = found[1].replace("\\|", "|").replace("<vrf|view>", "vrf").replace(" [unicast]", " unicast")
        for words in spellings(parse(tokens(syntax))[0]):
            if "json" not in words:
                continue
            sample = SAMPLES | ({"PREFIX": "2001:db8:9::/48"} if "ipv6" in words else {}) | {"VRF": vrf}
            sample["ADDRESS"] = "10.1.0.3" if "peer" in words else "2001:db8:9::1" if "ipv6" in words else "192.0.2.1"
            line = " ".join(sample.get(w, w) for w in words)
            if line not in lines:
                lines.append(line)
    return lines


def test_every_show_json_is_json():
    with Lab("cvshow") as lab:
        lab.link("a", "eth0", "r", "r0")
        lab.link("b", "eth0", "r", "r1")
        lab.address("a", "eth0", "10.1.0.2/24")
        key, _ = lab.key("r")
        _, public = lab.key("p")
        r = lab.router("r", ROUTER.format(key_file=key, public=public, key_a="a1" * 36, key_b="b2" * 36))
        wait_for("routes", lambda: r.route("192.0.2.0/24") is not None)

        lines = commands("red") + [line for line in commands("all") if " vrf all" in line]
        if len(lines) < 200:
            raise Failure(f"the table of commands has more than {len(lines)} lines that show JSON")
        wrong = []
        for line in lines:
            answer = r.cli(line, check=False)
            if answer.returncode != 0:
                # As FRR: a BFD session that isn't there is an error.
                if not re.match("show bfd .*peer 10", line):
                    wrong.append(f"{line}: status {answer.returncode}: {answer.stdout}{answer.stderr}")
                continue
            try:
                json.loads(answer.stdout)
            except json.JSONDecodeError as error:
                wrong.append(f"{line}: {error}: {answer.stdout[:200]}")
        if wrong:
            raise Failure(f"{len(wrong)} of {len(lines)}:\n" + "\n".join(wrong[:20]))

        for command in ("show ip route vrf all", "show ip route vrf all summary", "show ip fib vrf all",
                        "show ip nht vrf all", "show ip bgp vrf all", "show bgp vrf all ipv4 unicast",
                        "show bgp vrf all summary", "show bgp vrf all neighbors", "show ip route vrf all 192.0.2.0/24",
                        "show bgp vrf all ipv4 192.0.2.0/24"):
            if set(r.json(command)) != {"default", "red"}:
                raise Failure(f"{command} json: {set(r.json(command))}")
        routes, tables = r.json("show ip route vrf all"), r.json("show ip bgp vrf all")
        for vrf, connected in (("default", "10.1.0.0/24"), ("red", "10.2.0.0/24")):
            # All that the VRF alone is shown to have, but for the clock.
            alone = r.json(f"show ip route vrf {vrf}")
            if set(routes[vrf]) != set(alone) or routes[vrf][connected][0]["vrfName"] != vrf:
                raise Failure(f"show ip route vrf all json, {vrf}: {routes[vrf]}\nalone: {alone}")
            if tables[vrf] != r.json(f"show ip bgp vrf {vrf}") or tables[vrf]["vrfName"] != vrf:
                raise Failure(f"show ip bgp vrf all json, {vrf}: {tables[vrf]}")
        text = r.show("show ip route vrf all")
        if text.count("Codes:") != 1 or not re.search(r"^VRF default:\n(.*\n)*.*10\.1\.0\.0/24(.*\n)*VRF red:\n(.*\n)*.*10\.2\.0\.0/24",
                                                      text, re.M):
            raise Failure(f"show ip route vrf all:\n{text}")
        text = r.show("show ip bgp vrf all")
        if text.count("BGP table version") != 2 or "\nInstance default:\n" not in text or "\nInstance red:\n" not in text:
            raise Failure(f"show ip bgp vrf all:\n{text}")
        r.cli("clear bgp vrf all *")
        if r.cli("clear bgp vrf all 10.9.9.9", check=False).returncode == 0:
            raise Failure("clear bgp vrf all takes a neighbor that is in no VRF")
        return f"{len(lines)} commands"
