#include "config/parse.h"

#include "config/diff.h"
#include "config/render.h"
#include "config/validate.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert::config {
namespace {

// The scenario of the documents, as HQ has it, with what else a frr.conf carries.
constexpr std::string_view kHq = R"(frr version 8.4.4
frr defaults traditional
hostname hq
log file /var/log/culvert.log warnings
!
ip route 10.10.0.0/16 Null0
ip route 192.0.2.0/24 203.0.113.2 tag 7 20
ipv6 route 2001:db8::/32 blackhole
!
dataplane
 workers cpu 1,2
 memory anonymous 512M
exit
!
vrf RED
 netns red
 ip route 0.0.0.0/0 10.9.0.2 nexthop-vrf default
exit-vrf
!
interface lan0
 port kernel lan0 force
 ip address 10.10.0.1/24
 ipv6 address 2001:db8:10::1/64
exit
!
interface lan0.100
 encapsulation dot1q 100
 vrf RED
 ip address 10.9.0.1/30
exit
!
interface lo
 ip address 10.255.255.1/32
exit
!
interface wan0
 port kernel wan0
 ip address 203.0.113.1/24
 mtu 1500
exit
!
interface wg0
 description to the data centres
 tunnel mode wireguard
 tunnel source wan0
 wireguard private-key-file /etc/culvert/wg0.key
 wireguard listen-port 51821
 wireguard rekey-after 20
 ip address 10.255.0.10/30
 ip mtu 1420
 ip tcp adjust-mss auto
 wireguard peer DC-E
  public-key AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
  endpoint 198.51.100.7:51820
  allowed-ips 10.255.0.9/32
  persistent-keepalive 25
  routes bgp
 exit
exit
!
router bgp 65001
 bgp router-id 10.255.255.1
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor 10.255.0.9 remote-as 65002
 neighbor 10.255.0.9 description DC-E
 neighbor 10.255.0.9 timers connect 5
 !
 address-family ipv4 unicast
  network 10.10.0.0/16
  redistribute connected metric 5
  neighbor 10.255.0.9 next-hop-self
  maximum-paths 2
 exit-address-family
 !
 address-family ipv6 unicast
  neighbor 10.255.0.9 activate
 exit-address-family
exit
!
end
)";

TEST(Parse, TheScenarioLoadsAndComesBackAsItWas)
{
    const auto parsed = parse(kHq, "hq.conf");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    EXPECT_EQ(render(parsed.model), kHq);
    for (const auto& d : validate(parsed.model, {.sources = &parsed.sources})) ADD_FAILURE() << d.to_string();
}

std::string first_error(std::string_view text)
{
    const auto parsed = parse(text, "f");
    if (!parsed.diagnostics.empty()) return parsed.diagnostics.front().to_string();
    const auto wrong = validate(parsed.model, {.file = "f", .sources = &parsed.sources});
    return wrong.empty() ? "" : wrong.front().to_string();
}

TEST(Parse, ReportsEveryBadLineWithItsPlaceAndCure)
{
    const auto parsed = parse(
        "hostname r1\n"
        "interfac wan0\n"
        " prt kernel wan0\n"
        "router bgp 70000000000\n"
        "router bgp 1\n"
        " neighbor 10.0.0.1 bfs\n"
        " neighbor 10.0.0.1 timers 3\n"
        "frobnicate\n",
        "r1.conf");
    ASSERT_EQ(parsed.diagnostics.size(), 5U);
    EXPECT_EQ(parsed.diagnostics[0].to_string(),
              "r1.conf:3:2: there is no statement `prt` here; nearest: port kernel IFNAME [force]");
    EXPECT_EQ(parsed.diagnostics[1].to_string(),
              "r1.conf:4:12: `70000000000` does not belong here; expected (1-4294967295)");
    EXPECT_EQ(parsed.diagnostics[2].line, 6U);
    EXPECT_EQ(parsed.diagnostics[2].column, 20U);
    EXPECT_NE(parsed.diagnostics[2].hint.find("nearest: "), std::string::npos);
    EXPECT_EQ(parsed.diagnostics[3].kind, Diagnostic::Kind::Incomplete);
    EXPECT_EQ(parsed.diagnostics[4].line, 8U);
    EXPECT_EQ(parsed.model.bgp.size(), 1U) << "what is good is read all the same";
}

TEST(Parse, NeverSkipsWhatCulvertHasNot)
{
    for (const auto* line : {"route-map A permit 10", "ip prefix-list A seq 5 permit any", "bfd echo", "router ospf",
                             "neighbor 10.0.0.1 remote-as 1", "log syslog informational", "ip nhrp redirect"})
        EXPECT_EQ(parse(line, "f").diagnostics.size(), 1U) << line;
    for (const auto* line : {"neighbor 10.0.0.1 bfd echo", "neighbor 10.0.0.1 peer-group A",
                             "neighbor 10.0.0.1 route-map A in", "bgp graceful-restart"})
        EXPECT_EQ(parse("router bgp 1\n " + std::string{line}, "f").diagnostics.size(), 1U) << line;
}

TEST(Parse, TakesFrrsOwnLines)
{
    EXPECT_EQ(
        first_error(
            "frr version 8.4.4\nfrr defaults traditional\nhostname r1\nservice integrated-vtysh-config\nip forwarding\n"
            "no ipv6 forwarding\n!\n# note\nline vty\n exec-timeout 0 0\n!\nend\n"),
        "");
}

TEST(Parse, StartsBgpWithTheProfilesDefaults)
{
    const auto parsed = parse("frr defaults datacenter\nrouter bgp 1\n neighbor 10.0.0.1 remote-as 2\n", "f");
    const auto& bgp = parsed.model.bgp.at("");
    EXPECT_EQ(bgp.hold, Seconds{9});
    EXPECT_FALSE(bgp.ebgp_requires_policy);
    EXPECT_EQ(bgp.neighbors.begin()->second.connect_retry, Seconds{10});
    EXPECT_TRUE(parse(render(parsed.model), "f").model == parsed.model);
}

TEST(Parse, AbbreviatesAsFrr)
{
    const auto parsed = parse(
        "int lo\n ip addr 10.0.0.1/32\nrouter b 1\n nei 10.0.0.2 remote ext\n add ipv4 uni\n  netw 10.0.0.0/8\n", "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    EXPECT_EQ(parsed.model.bgp.at("").families.at(Family::Ipv4).networks.size(), 1U);
}

TEST(Parse, SaysWhatAnAbbreviationMayMean)
{
    EXPECT_EQ(first_error("i forwarding\n"),
              "f:1: `i forwarding` may be `ip forwarding` or `ipv6 forwarding`; write the words out");
}

TEST(Parse, TriesALineInTheBlocksAround)
{
    const auto parsed = parse(
        "router bgp 1\n address-family ipv6 unicast\n  network 2001:db8::/32\n neighbor 10.0.0.1 remote-as 2\n"
        "interface lo\n ip address 10.0.0.9/32\nip route 10.0.0.0/8 Null0\n",
        "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    EXPECT_EQ(parsed.model.bgp.at("").neighbors.size(), 1U);
    EXPECT_EQ(parsed.model.vrfs.at("").routes.size(), 1U);
}

TEST(Parse, TakesIpv4sStatementsInRouterBgpItself)
{
    const auto parsed = parse(
        "router bgp 1\n neighbor 2001:db8::1 remote-as 2\n neighbor 2001:db8::1 activate\n network 10.0.0.0/8\n "
        "redistribute connected\n"
        " bgp router-id 1.1.1.1\n",
        "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    const auto& bgp = parsed.model.bgp.at("");
    EXPECT_EQ(bgp.families.at(Family::Ipv4).networks.size(), 1U);
    EXPECT_EQ(bgp.neighbors.begin()->second.families.at(Family::Ipv4).activate, true);
}

// `vrf RED` is a statement of an interface and a block of its own: the indentation of a file says which.
TEST(Parse, ReadsAnUnindentedVrfBehindABlockAsABlock)
{
    const auto parsed = parse("interface lo\n ip address 10.0.0.1/32\nvrf RED\n ip route 10.0.0.0/8 blackhole\n", "f");
    EXPECT_EQ(parsed.model.vrfs.at("RED").routes.size(), 1U);
    EXPECT_EQ(parsed.model.interfaces.at("lo").vrf, "");
}

TEST(Parse, RoutesOfThePrefixAddUpAndAreTakenBackOneByOne)
{
    auto routes = [](std::string_view text) { return parse(text, "f").model.vrfs.at("").routes; };
    EXPECT_EQ(
        routes("ip route 10.0.0.0/8 192.0.2.1\nip route 10.0.0.0/8 192.0.2.2\nip route 10.0.0.0/8 192.0.2.2\n").size(),
        2U);
    EXPECT_EQ(
        routes("ip route 10.0.0.0/8 192.0.2.1 5\nip route 10.0.0.0/8 192.0.2.2\nno ip route 10.0.0.0/8 192.0.2.1\n")
            .size(),
        1U);
    // The weight is not what a route is known by.
    const auto weighed = routes("ip route 10.0.0.0/8 192.0.2.1\nip route 10.0.0.0/8 192.0.2.1 weight 7 tag 2\n");
    ASSERT_EQ(weighed.size(), 1U);
    EXPECT_EQ(weighed.front().weight, 7);
    EXPECT_EQ(routes("ip route 10.0.0.0/8 192.0.2.1 weight 7\nno ip route 10.0.0.0/8 192.0.2.1\n").size(), 0U);
    EXPECT_EQ(first_error("ip route 10.0.0.0/8 blackhole weight 2\n"),
              "f:1: a route that drops shares no traffic; leave `weight` out");
    EXPECT_EQ(routes("ip route 10.1.2.3/8 192.0.2.1\n").front().prefix.to_string(), "10.0.0.0/8");
    EXPECT_EQ(routes("ip route 10.0.0.0 255.0.0.0 192.0.2.1\n").front().prefix.to_string(), "10.0.0.0/8");
    EXPECT_EQ(first_error("ip route 10.0.0.0 255.0.255.0 192.0.2.1\n"),
              "f:1: 255.0.255.0 is not a netmask; write the prefix as A.B.C.D/M");
    EXPECT_EQ(first_error("no ip route 10.0.0.0/8 192.0.2.1\n"),
              "f:1: there is no such route; `show running-config` lists them");
}

struct Wrong {
    const char* name;
    const char* text;
    const char* message;
};

TEST(Parse, AGroupHasSixtyFourGatewaysAtMost)
{
    std::string text;
    for (int i = 1; i <= 64; ++i) text += "ip route 10.0.0.0/8 192.0.2." + std::to_string(i) + "\n";
    EXPECT_EQ(first_error(text), "");
    EXPECT_EQ(first_error(text + "ip route 10.0.0.0/8 192.0.2.65 9\n"), "");  // another distance, another group
    EXPECT_EQ(first_error(text + "ip route 10.0.0.0/8 192.0.2.65\n"),
              "f:1: 10.0.0.0/8 has more than 64 gateways of distance 1; take some away, or give them another distance");
}

class Validate : public testing::TestWithParam<Wrong> {};

TEST_P(Validate, NamesTheLineAndTheCure) { EXPECT_EQ(first_error(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    Wrong, Validate,
    testing::Values(
        Wrong{"KindOfInterface", "interface x\n ip address 10.0.0.1/24\n",
              "f:1: interface x does not say what it is; add `port kernel NETDEV`, a `tunnel mode`, or "
              "`encapsulation dot1q VLAN`"},
        Wrong{"UnknownVrf", "interface lo\n vrf RED\n", "f:2: there is no vrf RED; add `vrf RED` at the top level"},
        Wrong{"RouteToUnknownVrf", "ip route 10.0.0.0/8 192.0.2.1 vrf RED\n",
              "f:1: there is no vrf RED; say `vrf RED` before"},
        Wrong{"UnknownInterface", "ip route 10.0.0.0/8 wan0\n",
              "f:1: there is no interface wan0 for the route 10.0.0.0/8; add `interface wan0`, or name another"},
        Wrong{"DuplicateAddress",
              "interface lo\n ip address 10.0.0.1/32\ninterface loopback1\n ip address 10.0.0.1/32\n",
              "f:4: 10.0.0.1 is on interface lo of the default vrf already (line 2); give each interface an address of "
              "its own, or another vrf"},
        Wrong{"OverlappingSubnets",
              "interface a\n port kernel a\n ip address 10.0.0.1/8\ninterface b\n port kernel b\n ip address "
              "10.1.0.1/16\n",
              "f:6: subnet 10.1.0.0/16 overlaps 10.0.0.0/8 of interface a in the default vrf (line 3); use subnets "
              "that do not overlap, or another vrf"},
        Wrong{"NetworkAddress", "interface lo\n ip address 10.0.0.0/24\n",
              "f:2: 10.0.0.0 is the network address of 10.0.0.0/24; use one between the first and the last"},
        Wrong{"Multicast", "interface lo\n ip address 224.0.0.1/24\n",
              "f:2: 224.0.0.1 can't be an interface's address; use a unicast address"},
        Wrong{"TunnelSource",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\n tunnel source wan0\n",
              "f:4: there is no interface wan0 to be the tunnel's source; add `interface wan0`, or name another"},
        Wrong{"TunnelAddress",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\n tunnel source 10.0.0.1\n",
              "f:4: no interface of the default vrf has the address 10.0.0.1; name an address of this router, or an "
              "interface"},
        Wrong{"PrivateKey", "interface wg0\n tunnel mode wireguard\n",
              "f:1: interface wg0 has no private key; make one with `wg genkey`, and name it with `wireguard "
              "private-key-file FILE`"},
        Wrong{"PublicKey", "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\n wireguard peer A\n",
              "f:4: peer A of wg0 has no public key; add `public-key BASE64`"},
        Wrong{"AllowedIps",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\n wireguard peer A\n  public-key "
              "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n  allowed-ips 10.0.0.0/8\n wireguard peer B\n  public-key "
              "AgEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n  allowed-ips 11.0.0.0/8 10.0.0.0/8\n",
              "f:9: 10.0.0.0/8 is among the allowed-ips of peer A already; a prefix belongs to one peer of an "
              "interface; with `routes bgp` BGP decides"},
        Wrong{"ListenPort",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\ninterface wg1\n tunnel mode "
              "wireguard\n wireguard "
              "private-key-file k\n",
              "f:4: interface wg0 listens on port 51820 in the default vrf already; give each tunnel a `wireguard "
              "listen-port` of its own"},
        Wrong{"RemoteAs", "router bgp 1\n neighbor 10.0.0.1 passive\n",
              "f:2: neighbor 10.0.0.1 has no remote-as; add `neighbor 10.0.0.1 remote-as "
              "<(1-4294967295)|internal|external>`"},
        Wrong{"LinkLocalWithoutInterface", "router bgp 1\n neighbor fe80::2 remote-as 2\n",
              "f:2: neighbor fe80::2 is link-local, and nothing says on which interface; add `neighbor fe80::2 "
              "interface IFNAME`"},
        Wrong{"NoSuchInterface", "router bgp 1\n neighbor eth9 interface remote-as external\n",
              "f:2: eth9 is neither an address nor an interface; add `interface eth9`"},
        Wrong{"UnnumberedTunnel",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\nrouter bgp 1\n"
              " neighbor wg0 interface remote-as external\n",
              "f:5: interface wg0 is a WireGuard tunnel: no router advertisements come there; `neighbor fe80::X "
              "remote-as ...` and `neighbor fe80::X interface wg0`"},
        Wrong{"TunnelWithoutLinkLocal",
              "interface wg0\n tunnel mode wireguard\n wireguard private-key-file k\nrouter bgp 1\n"
              " neighbor fe80::2 remote-as 2\n neighbor fe80::2 interface wg0\n",
              "f:6: interface wg0 is a WireGuard tunnel: it has no link-local address of its own accord; `ipv6 address "
              "fe80::1/64` on wg0"},
        Wrong{"OwnAddress", "interface lo\n ip address 10.0.0.1/32\nrouter bgp 1\n neighbor 10.0.0.1 remote-as 2\n",
              "f:4: neighbor 10.0.0.1 is this router's own address, on lo; name the neighbor's address"},
        Wrong{"UpdateSource", "router bgp 1\n neighbor 10.0.0.1 remote-as 2\n neighbor 10.0.0.1 update-source lo\n",
              "f:3: there is no interface lo to be the session's source; add `interface lo`, or name another"},
        Wrong{"HoldTime", "router bgp 1\n timers bgp 1 2\n",
              "f:2: a hold time is 0 or at least 3 seconds; RFC 4271 4.2"},
        Wrong{"SecondAs", "router bgp 1\nrouter bgp 2\n",
              "f:2: BGP is already running; AS is 1; `no router bgp 1` first"},
        Wrong{"BusyPoll", "dataplane\n workers 2\n poll busy\n",
              "f:3: `poll busy` would spin on CPUs that the control plane shares; pin the workers to CPUs of their own "
              "with `workers cpu LIST`, or use `poll adaptive`"},
        Wrong{
            "PortTwice", "interface a\n port kernel eth0\ninterface b\n port kernel eth0\n",
            "f:4: eth0 is the port of interface a already; a port has one owner; VLANs of it are `interface a.NUMBER`"},
        Wrong{"NoParent", "interface a.5\n encapsulation dot1q 5\n",
              "f:2: there is no interface a that a.5 could be part of; add `interface a` with its `port`"},
        Wrong{"TwoKinds", "interface a\n port kernel eth0\n tunnel mode wireguard\n",
              "f:3: interface a is a port; `no interface a` first, or use another name"},
        Wrong{"NotATunnel", "interface a\n wireguard listen-port 5\n",
              "f:2: interface a is nothing yet; say `tunnel mode wireguard` before"},
        Wrong{"SmallMtu", "interface lo\n mtu 1000\n ipv6 address 2001:db8::1/64\n",
              "f:2: interface lo has IPv6, which needs an MTU of 1280; raise the MTU to 1280 at least (RFC 8200 5), or "
              "take the IPv6 address away"},
        Wrong{"FamilyOfNetwork", "router bgp 1\n address-family ipv6 unicast\n  network 10.0.0.0/8\n",
              "f:3: 10.0.0.0/8 is not of this address family; say it below `address-family ipv4 unicast`"},
        Wrong{"ControlCharacter", "hostname a\x01\n",
              "f:1: a control character stands in the line; the file is to be plain text"}),
    [](const auto& info) { return info.param.name; });

TEST(Validate, LooksAtTheMachinesCpus)
{
    const auto model = parse("dataplane\n workers cpu 0-1\n poll busy\n", "f").model;
    EXPECT_TRUE(validate(model).empty());
    EXPECT_EQ(validate(model, {.cpus = {0, 1, 2}}).size(), 0U);
    EXPECT_EQ(validate(model, {.cpus = {0, 1}}).front().message, "`poll busy` leaves no CPU to the control plane");
    EXPECT_EQ(validate(model, {.cpus = {0, 2}}).front().message, "there is no CPU 1 for workers");
}

TEST(Parse, NeighborsBehindAnInterface)
{
    const auto parsed = parse(
        "interface eth0\n port kernel eth0\nrouter bgp 1\n neighbor eth0 interface v6only remote-as external\n"
        " neighbor eth0 timers 1 3\n neighbor fe80::2 remote-as 2\n neighbor fe80::2 interface eth0\n"
        " neighbor fe80::2 activate\n",
        "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    for (const auto& d : validate(parsed.model)) ADD_FAILURE() << d.to_string();
    const auto& neighbors = parsed.model.bgp.at("").neighbors;
    const auto& unnumbered = neighbors.at(PeerName::of_interface("eth0"));
    EXPECT_TRUE(unnumbered.unnumbered() && unnumbered.v6only);
    EXPECT_EQ(unnumbered.remote_as.kind, RemoteAs::Kind::External);
    EXPECT_EQ(unnumbered.hold, Seconds{3});
    EXPECT_EQ(neighbors.at(*IpAddress::parse("fe80::2")).interface, "eth0");
    const auto text = render(parsed.model);
    EXPECT_NE(text.find(" neighbor eth0 interface v6only remote-as external\n"), text.npos) << text;
    EXPECT_NE(text.find(" neighbor fe80::2 interface eth0\n"), text.npos) << text;
    EXPECT_EQ(parse(text, "g").model, parsed.model);
}

TEST(Validate, AsksForTheFilesOfSecrets)
{
    const auto parsed = parse("interface wg0\n tunnel mode wireguard\n wireguard private-key-file /no/such\n", "f");
    const auto wrong =
        validate(parsed.model, {.file = "f", .sources = &parsed.sources, .check_secret = [](const Secret& s) {
                                    return std::optional{s.file + " does not exist"};
                                }});
    ASSERT_EQ(wrong.size(), 1U);
    EXPECT_EQ(wrong[0].to_string(), "f:3: /no/such does not exist");
}

TEST(Effective, LeavesOutWhatIsNotFinished)
{
    const auto model =
        parse(
            "interface x\ninterface x.5\n encapsulation dot1q 5\ninterface lo\ninterface wg0\n tunnel mode wireguard\n"
            " wireguard private-key-file k\n wireguard peer A\nip route 10.0.0.0/8 x\n"
            "router bgp 1\n neighbor 10.0.0.1 passive\n",
            "f")
            .model;
    const auto used = effective(model);
    EXPECT_EQ(used.interfaces.size(), 2U);
    EXPECT_TRUE(std::get<Wireguard>(used.interfaces.at("wg0").kind).peers.empty());
    EXPECT_TRUE(used.vrfs.at("").routes.empty());
    EXPECT_TRUE(used.bgp.at("").neighbors.empty());
    for (const auto& d : validate(used)) EXPECT_NE(d.kind, Diagnostic::Kind::Unfinished) << d.to_string();
}

}  // namespace
}  // namespace culvert::config
