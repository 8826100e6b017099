#!/usr/bin/python3
"""ESP against independent codecs. scapy decrypts what culvert's pipeline (esp_codec) encrypts and the other way round,
over algorithm x mode x what is carried x outer family x inner family x ESN x UDP encapsulation; tshark decrypts a
capture of culvert's packets and finds every ICV right.

esp_scapy.py CODEC     CODEC is the program built from esp_codec.cc
"""
import copy
import itertools
import os
import struct
import subprocess
import sys
import tempfile

import logging

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.config import conf  # noqa: E402

conf.verb = 0
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
from scapy.layers.l2 import GRE  # noqa: E402
from scapy.packet import Raw  # noqa: E402
from scapy.utils import wrpcap  # noqa: E402

# name, octets of cipher key, of salt, of the authentication key; scapy's names; tshark's (None: it has it not)
ALGORITHMS = [
    ("aes-gcm-128", 16, 4, 0, "AES-GCM", "NULL", ("AES-GCM with 16 octet ICV [RFC4106]", "NULL")),
    ("aes-gcm-256", 32, 4, 0, "AES-GCM", "NULL", ("AES-GCM with 16 octet ICV [RFC4106]", "NULL")),
    ("chacha20-poly1305", 32, 4, 0, "CHACHA20-POLY1305", "NULL", None),
    ("aes-cbc-128-sha256", 16, 0, 32, "AES-CBC", "SHA2-256-128", ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]")),
    ("aes-cbc-256-sha256", 32, 0, 32, "AES-CBC", "SHA2-256-128", ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]")),
    ("aes-cbc-128-sha384", 16, 0, 48, "AES-CBC", "SHA2-384-192", ("AES-CBC [RFC3602]", "HMAC-SHA-384-192 [RFC4868]")),
    ("aes-cbc-256-sha384", 32, 0, 48, "AES-CBC", "SHA2-384-192", ("AES-CBC [RFC3602]", "HMAC-SHA-384-192 [RFC4868]")),
    ("aes-cbc-128-sha512", 16, 0, 64, "AES-CBC", "SHA2-512-256", ("AES-CBC [RFC3602]", "HMAC-SHA-512-256 [RFC4868]")),
    ("aes-cbc-256-sha512", 32, 0, 64, "AES-CBC", "SHA2-512-256", ("AES-CBC [RFC3602]", "HMAC-SHA-512-256 [RFC4868]")),
]
ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:2::1", "2001:db8:2::2")}
OUT, IN = 0x11223344, 0x55667788


class Codec:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def packet(self, what, octets):
        answer = self.ask(f"{what} {octets.hex()}")
        if len(answer) != 2 or answer[0] == "drop":
            raise AssertionError(f"{what}: {' '.join(answer)}")
        return bytes.fromhex(answer[1])


def key_of(algorithm, seed):
    _, cipher, salt, mac, *_ = algorithm
    return bytes((seed + 7 * i) & 0xff for i in range(cipher + salt + mac))


class MacWithEsn:
    """scapy 2.5 leaves the upper half of an extended sequence number out of ESP's HMAC (RFC 4303 2.2.1)."""

    def __init__(self, mac, esn):
        self.mac, self.esn = mac, esn

    def update(self, octets):
        self.mac.update(octets)

    def finalize(self):
        self.mac.update(struct.pack("!L", self.esn))
        return self.mac.finalize()


def association(algorithm, spi, key, sequence, combination, source, destination):
    _, cipher, salt, mac, crypt_name, auth_name, _ = algorithm
    _, carried, mode, outer, _, esn, udp = combination
    split = cipher + salt
    options = {}
    if mode == "tunnel":
        options["tunnel_header"] = (IP if outer == 4 else IPv6)(src=source, dst=destination)
    if udp:
        options["nat_t_header"] = UDP(sport=4500, dport=4500)
    if mac:
        options["auth_algo"], options["auth_key"] = auth_name, key[split:]
    if esn:
        options["esn_en"], options["esn"] = True, sequence >> 32
    sa = SecurityAssociation(ESP, spi=spi, seq_num=sequence & 0xffffffff, crypt_algo=crypt_name,
                             crypt_key=key[:split], **options)
    if mac and esn:
        plain = sa.auth_algo
        sa.auth_algo = copy.copy(plain)
        sa.auth_algo.new_mac = lambda k: MacWithEsn(plain.new_mac(k), sequence >> 32)
    return sa


def seal(sa, packet, sequence, udp, esn):
    """By scapy, which gets the length of UDP over IPv4 wrong."""
    options = {"esn": sequence >> 32} if esn else {}
    sealed = bytearray(bytes(sa.encrypt(dissect(packet), seq_num=sequence & 0xffffffff, **options)))
    if udp and sealed[0] >> 4 == 4:
        sealed[24:26] = struct.pack("!H", len(sealed) - 20)
    return bytes(sealed)


def out_of_udp(packet):
    """Checks the UDP header, and puts the IP header in front of ESP: scapy can't with IPv6 in transport mode."""
    header = 20 if packet[0] >> 4 == 4 else 40
    source, destination, length, checksum = struct.unpack("!HHHH", packet[header:header + 8])
    assert (source, destination, length) == (4500, 4500, len(packet) - header)
    ip = dissect(packet)
    if header == 20:
        assert checksum == 0, "RFC 3948 2.1"
        assert ip.len == len(packet)
        ip = IP(packet[:20])
        ip.proto, ip.len = 50, len(packet) - 8
        del ip.chksum
    else:
        del ip[UDP].chksum
        assert IPv6(bytes(ip))[UDP].chksum == checksum, "UDP checksum over IPv6"
        ip = IPv6(packet[:40])
        ip.nh, ip.plen = 50, len(packet) - 48
    return bytes(ip)[:header] + packet[header + 8:]


def inner_packet(family, to_there, length, number):
    here, there = (("10.1.0.2", "10.2.0.5") if family == 4 else ("2001:db8:1::2", "2001:db8:b::5"))
    source, destination = (here, there) if to_there else (there, here)
    payload = Raw(bytes((number + i) & 0xff for i in range(length)))
    upper = UDP(sport=1000, dport=2000) if number % 2 else TCP(sport=80, dport=3000, flags="A")
    if family == 4:
        return bytes(IP(src=source, dst=destination, ttl=64, id=number) / upper / payload)
    return bytes(IPv6(src=source, dst=destination, hlim=64) / upper / payload)


def hop(packet):
    """As a router forwards it."""
    p = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    if p.version == 4:
        p.ttl -= 1
        del p.chksum
    else:
        p.hlim -= 1
    return bytes(p)


def dissect(octets):
    return IP(octets) if octets[0] >> 4 == 4 else IPv6(octets)


def carried_by(sa_packet, carried):
    """The host's packet in what scapy decrypted."""
    if carried == "gre":
        gre = sa_packet[GRE]
        assert sa_packet.payload is gre, "nothing but GRE behind the outer header"
        return bytes(gre.payload)
    return bytes(sa_packet)


def run(codec, combination, captures):
    algorithm, carried, mode, outer, inner, esn, udp = combination
    number = ALGORITHMS.index(algorithm)
    here, there = ENDS[outer]
    sequence = (9 << 32) - 3 if esn else 100  # ESN: over the edge of the lower half
    key_out, key_in = key_of(algorithm, 11), key_of(algorithm, 90)
    answer = codec.ask(f"sa {number} {carried} {mode} {outer} {int(esn)} {int(udp)} {OUT} {key_out.hex()} "
                       f"{IN} {key_in.hex()} {sequence}")
    assert answer == ["ok"], answer

    for i, length in enumerate((0, 1, 2, 3, 17, 300, 1200)):
        at = sequence + 1 + i
        # Ours, opened by scapy.
        packet = inner_packet(inner, True, length, i)
        sealed = codec.packet("in", packet)
        sa = association(algorithm, OUT, key_out, at, combination, here, there)
        bare = out_of_udp(sealed) if udp else sealed
        opened = sa.decrypt(dissect(bare))
        assert carried_by(opened, carried) == hop(packet), f"scapy opens another packet ({length})"
        esp = dissect(bare)[ESP]
        assert esp.seq == at & 0xffffffff, "sequence number"
        if not esn and algorithm[6]:
            captures.append((sealed, algorithm, key_out, outer))

        # scapy's, opened by us.
        packet = inner_packet(inner, False, length, i)
        if carried == "gre":
            whole = (IP(src=there, dst=here, ttl=255, proto=47) if outer == 4
                     else IPv6(src=there, dst=here, hlim=255, nh=47))
            whole = whole / GRE(proto=0x0800 if inner == 4 else 0x86dd) / Raw(packet)
        else:
            whole = dissect(packet)
        sa = association(algorithm, IN, key_in, at, combination, there, here)
        sealed = seal(sa, bytes(whole), at, udp, esn)
        assert codec.packet("outer", sealed) == hop(packet), f"culvert opens another packet ({length})"
        again = codec.ask(f"outer {sealed.hex()}")
        assert again == ["drop", "drop_esp_replay"], again
        if i == 0:
            sa = association(algorithm, IN, key_in, at + 50, combination, there, here)
            forged = bytearray(seal(sa, bytes(whole), at + 50, udp, esn))
            forged[-1] ^= 1
            refused = codec.ask(f"outer {forged.hex()}")
            assert refused == ["drop", "drop_esp_auth"], refused


def tshark(captures):
    """Every packet's ICV, and what is inside, by tshark."""
    total = 0
    groups = {}
    for sealed, algorithm, key, outer in captures:
        groups.setdefault((ALGORITHMS.index(algorithm), outer), []).append((sealed, key))
    for (number, outer), packets in sorted(groups.items()):
        algorithm = ALGORITHMS[number]
        _, cipher, salt, _, _, _, (crypt, auth) = algorithm
        key = packets[0][1]
        split = cipher + salt
        auth_key = f"0x{key[split:].hex()}" if auth != "NULL" else ""
        with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
            wrpcap(file.name, [dissect(p) for p, _ in packets])
            row = (f'"IPv{outer}","*","*","0x{OUT:08x}","{crypt}","0x{key[:split].hex()}","{auth}","{auth_key}"')
            command = ["tshark", "-r", file.name, "-o", "esp.enable_encryption_decode:TRUE",
                       "-o", "esp.enable_authentication_check:TRUE", "-o", f"uat:esp_sa:{row}",
                       "-T", "fields", "-e", "esp.spi", "-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "esp.protocol"]
            home = dict(os.environ, HOME=tempfile.gettempdir())
            result = subprocess.run(command, capture_output=True, text=True, env=home, check=False)
            lines = [line.split("\t") for line in result.stdout.splitlines()]
            assert len(lines) == len(packets), f"{algorithm[0]}: {len(lines)} of {len(packets)}: {result.stderr}"
            for line in lines:
                assert line[1] in ("1", "True"), f"{algorithm[0]}, IPv{outer}: ICV not right: {line}"
                assert line[3] in ("4", "41", "47", "0x04", "0x29", "0x2f"), f"{algorithm[0]}: next header {line}"
            total += len(lines)
    return total


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    codec = Codec(sys.argv[1])
    kinds = (("ip", "tunnel"), ("gre", "transport"), ("gre", "tunnel"))
    combinations = [(a, carried, mode, outer, inner, esn, udp)
                    for a, (carried, mode), outer, inner, esn, udp in itertools.product(
                        ALGORITHMS, kinds, (4, 6), (4, 6), (False, True), (False, True))]
    captures = []
    failed = 0
    for combination in combinations:
        try:
            run(codec, combination, captures)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            algorithm, *rest = combination
            print(f"FAIL {algorithm[0]} {rest}: {type(error).__name__}: {error}")
    print(f"scapy: {len(combinations) - failed} of {len(combinations)} combinations, both directions")
    print(f"tshark: {tshark(captures)} packets, every ICV right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
