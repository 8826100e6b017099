#include "config/parse.h"
#include "config/render.h"
#include "config/validate.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert::config {
namespace {

constexpr std::string_view kTunnels = R"(frr version 8.4.4
frr defaults traditional
crypto ipsec manual-sa LAB
 mode transport
 inbound spi 4096 key-file /etc/culvert/in.key
 outbound spi 4097 key-file /etc/culvert/out.key
 esn
 replay window 4096
 udp-encapsulation local-port 4501 keepalive 5
 lifetime seconds 3600
 lifetime kilobytes 1000
 lifetime packets 100000
 df-bit set
 dscp 46
 no ecn
 fragmentation after-encryption
exit
!
crypto ipsec manual-sa VTI
 encryption aes-cbc-128
 integrity hmac-sha256
 local-address 203.0.113.1
 remote-address 198.51.100.7
 inbound spi 300 key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f
 outbound spi 301 key 100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f
 replay window disable
exit
!
crypto ipsec profile HUB
 set manual-sa LAB
exit
!
crypto ipsec profile SPOKE
 set manual-sa VTI
exit
!
interface tunnel0
 tunnel mode gre ip
 tunnel source wan0
 tunnel destination 198.51.100.7
 tunnel key 7
 tunnel checksum
 tunnel sequence-datagrams
 tunnel ttl inherit
 tunnel tos 16
 no tunnel path-mtu-discovery
 keepalive 5 4
 tunnel protection ipsec profile HUB
 ip address 10.255.0.1/30
 ip mtu 1400
 ip tcp adjust-mss auto
exit
!
interface tunnel1
 tunnel mode gre multipoint
 tunnel source 203.0.113.1
 tunnel path-mtu-discovery age-timer infinite
 ip nhrp map 10.254.0.2 198.51.100.8
 ip nhrp map 10.254.0.3 198.51.100.9
 ipv6 nhrp map 2001:db8::2 198.51.100.8
 ip address 10.254.0.1/24
 ipv6 address 2001:db8::1/64
exit
!
interface tunnel2
 tunnel mode ipsec ipv4
 tunnel source wan0
 tunnel destination 198.51.100.7
 tunnel path-mtu-discovery age-timer 30
 tunnel protection ipsec profile SPOKE
 ip address 10.253.0.1/30
exit
!
interface wan0
 port kernel wan0
 ip address 203.0.113.1/24
exit
!
end
)";

TEST(Tunnels, LoadAndComeBackAsTheyWere)
{
    const auto parsed = parse(kTunnels, "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    EXPECT_EQ(render(parsed.model), kTunnels);
    for (const auto& d : validate(parsed.model, {.sources = &parsed.sources})) ADD_FAILURE() << d.to_string();
    EXPECT_TRUE(effective(parsed.model) == parsed.model);
    const auto& sa = parsed.model.manual_sas.at("LAB");
    EXPECT_EQ(sa.key_octets(), 36U);
    EXPECT_EQ(parsed.model.manual_sas.at("VTI").key_octets(), 48U);
    EXPECT_EQ(sa.udp->remote, 4500);
}

TEST(Tunnels, AManualSaIsWarnedOf)
{
    const auto parsed = parse(kTunnels, "f");
    const auto told = warnings(parsed.model, {.file = "f", .sources = &parsed.sources});
    ASSERT_EQ(told.size(), 2U);
    EXPECT_EQ(told[0].to_string(),
              "f:3: the keys of manual SA LAB are never renewed, and a restart uses them again from the first sequence "
              "number on; for tests and measurements only");
}

TEST(Tunnels, KeysInTheFileAreMasked)
{
    const auto text = render(parse(kTunnels, "f").model, {.mask_secrets = true});
    EXPECT_EQ(text.find("00010203"), std::string::npos);
    EXPECT_NE(text.find(" inbound spi 300 key <hidden>\n"), std::string::npos);
    EXPECT_EQ(parse(text, "f").diagnostics.size(), 2U);
}

TEST(Tunnels, AModeChangesInPlaceAndGoesWithNo)
{
    auto parsed = parse("interface t\n tunnel mode gre ip\n tunnel key 5\n tunnel mode gre ipv6\n", "f");
    EXPECT_EQ(std::get<Tunnel>(parsed.model.interfaces.at("t").kind).key, 5U);
    parsed = parse("interface t\n tunnel mode gre ip\n no tunnel mode gre ip\n", "f");
    EXPECT_TRUE(std::holds_alternative<std::monostate>(parsed.model.interfaces.at("t").kind));
    EXPECT_EQ(parse("interface t\n tunnel mode wireguard\n tunnel mode gre ip\n", "f").diagnostics.size(), 1U);
}

// What a protection lacks keeps the tunnel out of use: it never runs in clear meanwhile.
TEST(Tunnels, AreNotInUseBeforeTheirProtection)
{
    const std::string ends =
        "interface wan0\n port kernel wan0\n ip address 203.0.113.1/24\ninterface t\n tunnel mode gre ip\n"
        " tunnel source wan0\n tunnel destination 198.51.100.7\n";
    EXPECT_TRUE(effective(parse(ends, "f").model).interfaces.contains("t"));
    const auto guarded = ends + " tunnel protection ipsec profile P\n";
    EXPECT_FALSE(effective(parse(guarded, "f").model).interfaces.contains("t"));
    EXPECT_FALSE(effective(parse(guarded + "crypto ipsec profile P\n set manual-sa S\ncrypto ipsec manual-sa S\n"
                                           " inbound spi 300 key-file a\n",
                                 "f")
                               .model)
                     .interfaces.contains("t"));
    EXPECT_TRUE(effective(parse(guarded + "crypto ipsec profile P\n set manual-sa S\ncrypto ipsec manual-sa S\n"
                                          " inbound spi 300 key-file a\n outbound spi 300 key-file b\n",
                                "f")
                              .model)
                    .interfaces.contains("t"));
}

std::string first_error(std::string_view text)
{
    const auto parsed = parse(text, "f");
    if (!parsed.diagnostics.empty()) return parsed.diagnostics.front().to_string();
    const auto wrong = validate(parsed.model, {.file = "f", .sources = &parsed.sources});
    return wrong.empty() ? "" : wrong.front().to_string();
}

struct Wrong {
    const char* name;
    const char* text;
    const char* message;
};

class WrongTunnel : public testing::TestWithParam<Wrong> {};

// The interface that the tunnels run over, behind what is wrong.
TEST_P(WrongTunnel, NamesTheLineAndTheCure)
{
    EXPECT_EQ(
        first_error(std::string{GetParam().text} + "interface wan0\n port kernel wan0\n ip address 203.0.113.1/24\n"),
        GetParam().message);
}

#define GRE "interface t\n tunnel mode gre ip\n tunnel source wan0\n tunnel destination 198.51.100.7\n"
#define SA(name, in, out) \
    "crypto ipsec manual-sa " name "\n inbound spi 300 key-file " in "\n outbound spi 300 key-file " out "\n"

INSTANTIATE_TEST_SUITE_P(
    Statements, WrongTunnel,
    testing::Values(
        Wrong{"Source", "interface t\n tunnel mode gre ip\n tunnel destination 198.51.100.7\n",
              "f:1: interface t does not say what its packets are sent from; add `tunnel source <ADDRESS|IFNAME>`"},
        Wrong{"Destination", "interface t\n tunnel mode gre ip\n tunnel source wan0\n",
              "f:1: interface t does not say where its other end is; add `tunnel destination ADDRESS`"},
        Wrong{"UnknownSource", "interface t\n tunnel mode gre ip\n tunnel source eth9\n tunnel destination 1.1.1.1\n",
              "f:3: there is no interface eth9 to be the tunnel's source; add `interface eth9`, or name another"},
        Wrong{"FamilyOfDestination",
              "interface t\n tunnel mode gre ip\n tunnel source wan0\n tunnel destination 2001:db8::1\n",
              "f:4: the tunnel runs over IPv4, and 2001:db8::1 is not; name an address of that family, or change "
              "`tunnel mode`"},
        Wrong{"FamilyOfSource",
              "interface t\n tunnel mode gre ipv6\n tunnel source wan0\n tunnel destination 2001:db8::1\n",
              "f:3: the tunnel runs over IPv6, and wan0 has no address of it; give wan0 one, or name another source"},
        Wrong{"ToItself", "interface t\n tunnel mode gre ip\n tunnel source wan0\n tunnel destination 203.0.113.1\n",
              "f:4: 203.0.113.1 is this router's own address; name the other router's address"},
        Wrong{"SameEnds",
              GRE "interface u\n tunnel mode gre ip\n tunnel source 203.0.113.1\n tunnel destination "
                  "198.51.100.7\n",
              "f:5: interface t is a tunnel between the same two ends, with the same key; give each a `tunnel key` of "
              "its own"},
        Wrong{
            "KeyOfIpsec",
            "interface t\n tunnel mode ipsec ipv4\n tunnel source wan0\n tunnel destination 198.51.100.7\n tunnel key "
            "5\n tunnel protection ipsec profile P\ncrypto ipsec profile P\n set manual-sa S\n" SA("S", "a", "b"),
            "f:5: `tunnel key` is of GRE, and this is an IPsec tunnel; `no tunnel key`, or `tunnel mode gre ip`"},
        Wrong{"VtiWithoutProtection",
              "interface t\n tunnel mode ipsec ipv4\n tunnel source wan0\n tunnel destination 198.51.100.7\n",
              "f:1: the IPsec tunnel t does not say what protects it; add `tunnel protection ipsec profile NAME`"},
        Wrong{"UnknownProfile", GRE " tunnel protection ipsec profile P\n",
              "f:5: there is no IPsec profile P; add `crypto ipsec profile P`"},
        Wrong{"ProfileWithoutSa", GRE " tunnel protection ipsec profile P\ncrypto ipsec profile P\n",
              "f:6: the IPsec profile P does not say where keys come from; add `set manual-sa NAME`"},
        Wrong{"UnknownSa", "crypto ipsec profile P\n set manual-sa S\n",
              "f:2: there is no manual SA S; add `crypto ipsec manual-sa S`"},
        Wrong{"SaOfTwoTunnels",
              GRE
              " tunnel protection ipsec profile P\ninterface u\n tunnel mode gre ip\n tunnel source wan0\n tunnel "
              "destination 198.51.100.8\n tunnel protection ipsec profile P\ncrypto ipsec profile P\n set manual-sa "
              "S\n" SA("S", "a", "b"),
              "f:10: the manual SA S protects t already; two tunnels under one key would use its sequence numbers "
              "twice; give each an SA of its own"},
        Wrong{"VtiInTransportMode",
              "interface t\n tunnel mode ipsec ipv4\n tunnel source wan0\n tunnel destination 198.51.100.7\n tunnel "
              "protection ipsec profile P\ncrypto ipsec profile P\n set manual-sa S\n" SA("S", "a",
                                                                                          "b") " mode transport\n",
              "f:5: the manual SA S is of transport mode; an IPsec tunnel needs tunnel mode; `mode tunnel` in `crypto "
              "ipsec manual-sa S`, or `tunnel mode gre ip`"},
        Wrong{"KeyLength", "crypto ipsec manual-sa S\n inbound spi 300 key 0011\n outbound spi 300 key-file b\n",
              "f:2: the key has 2 octets; these algorithms need 36 octets: `openssl rand -hex 36`"},
        Wrong{"KeyDigits", "crypto ipsec manual-sa S\n inbound spi 300 key sesame\n outbound spi 300 key-file b\n",
              "f:2: the key is not in hexadecimal; these algorithms need 36 octets: `openssl rand -hex 36`"},
        Wrong{
            "OneKeyBothWays", SA("S", "a", "a"),
            "f:3: `inbound` of S has the same key; a key is for one direction of one SA: with a nonce used twice both "
            "packets are readable"},
        Wrong{
            "SameSpi", SA("R", "a", "b") SA("S", "c", "d"),
            "f:5: SPI 300 is the inbound one of R already; packets are told apart by it: use another, at the other end "
            "too"},
        Wrong{"NoKeys", "crypto ipsec manual-sa S\n outbound spi 300 key-file b\n",
              "f:1: manual SA S has no inbound keys; add `inbound spi NUMBER key-file FILE`"},
        Wrong{"CbcAlone", SA("S", "a", "b") " encryption aes-cbc-256\n",
              "f:1: manual SA S: aes-cbc alone does not authenticate packets; add `integrity hmac-sha256`, or use "
              "aes-gcm-256"},
        Wrong{"IntegrityTwice", SA("S", "a", "b") " integrity hmac-sha256\n",
              "f:4: the cipher authenticates packets itself; `no integrity`"},
        Wrong{"EsnWithoutWindow", SA("S", "a", "b") " esn\n replay window disable\n",
              "f:4: extended sequence numbers can't be told without a replay window; `no replay window`, or `no esn` "
              "(RFC 4303 2.2.1)"},
        Wrong{"ReservedSpi", "crypto ipsec manual-sa S\n inbound spi 255 key-file a\n",
              "f:2:14: `255` does not belong here; expected (256-4294967295)"},
        Wrong{"PortOfWireguard",
              GRE " tunnel protection ipsec profile P\ncrypto ipsec profile P\n set manual-sa S\n" SA(
                  "S", "a", "b") " udp-encapsulation\ninterface wg0\n tunnel mode wireguard\n wireguard "
                                 "private-key-file k\n wireguard "
                                 "listen-port 4500\n",
              "f:11: wg0 listens on UDP port 4500 already; use another `local-port`"},
        Wrong{"MapWithoutMultipoint", GRE " ip nhrp map 10.0.0.2 198.51.100.8\n",
              "f:5: next hops are mapped on a multipoint tunnel only; say `tunnel mode gre multipoint`"},
        Wrong{"MapOffTheLink",
              "interface t\n tunnel mode gre multipoint\n tunnel source wan0\n ip address 10.0.0.1/24\n ip nhrp map "
              "10.0.1.2 198.51.100.8\n",
              "f:5: 10.0.1.2 is on no subnet of t; map next hops of the tunnel's own subnet"},
        Wrong{
            "MultipointDestination",
            "interface t\n tunnel mode gre multipoint\n tunnel source wan0\n tunnel destination 198.51.100.8\n",
            "f:4: a multipoint tunnel has no one destination; map next hops with `ip nhrp map A.B.C.D ADDRESS`, or say "
            "`tunnel mode gre ip`"},
        Wrong{
            "MultipointKeepalive", "interface t\n tunnel mode gre multipoint\n tunnel source wan0\n keepalive\n",
            "f:4: a multipoint tunnel has no one end to ask for keepalives; `no keepalive`; BFD sees a next hop of it "
            "fail"},
        Wrong{"SmallMtu", GRE " ip mtu 1000\n ipv6 address 2001:db8::1/64\n",
              "f:5: interface t has IPv6, which needs an MTU of 1280; raise the MTU to 1280 at least (RFC 8200 5), or "
              "take the IPv6 address away"},
        Wrong{"NotATunnel", "interface t\n port kernel eth9\n tunnel key 5\n",
              "f:3: interface t is a port; say `tunnel mode gre ip`, or another mode of GRE or IPsec, before"},
        Wrong{"IkeIsNotHere", "crypto ipsec profile P\n set pfs group31\n",
              "f:2:6: `pfs` does not belong here; expected manual-sa; nearest: set manual-sa WORD"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace culvert::config
