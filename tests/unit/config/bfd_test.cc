#include "config/parse.h"
#include "config/render.h"
#include "config/validate.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert::config {
namespace {

// As FRR 8.4 takes it, with what it has not: microseconds, authentication, demand.
constexpr std::string_view kBfd = R"(frr version 8.4.4
frr defaults traditional
ip load-sharing fields source destination
ipv6 load-sharing fields source destination protocol ports flow-label
!
ip route 10.1.0.0/16 10.0.0.2 tag 5 20 protected bfd profile fast
ip route 10.2.0.0/16 10.0.0.2 bfd multi-hop source 10.0.0.1
!
failover
 hold-up 500
 buckets-a-second 64
exit
!
key chain BFD
 key 1
  key-string old
  accept-only
 exit
 key 2
  key-file /etc/culvert/bfd.key
 exit
exit
!
vrf RED
 protected
exit-vrf
!
interface wan0
 port kernel wan0
 ip address 10.0.0.1/24
 bfd interval 50 min_rx 60 multiplier 3
 bfd echo
exit
!
interface wan1
 port kernel wan1
 ip address 10.0.1.1/30
 bfd interval microseconds 3300 min_rx 50000 multiplier 5
exit
!
router bgp 65001
 neighbor 10.0.0.2 remote-as 65002
 neighbor 10.0.0.2 bfd profile fast
 neighbor 10.0.0.2 bfd check-control-plane-failure
 neighbor 10.0.0.2 bfd strict hold-time 9
 neighbor 10.0.0.2 bfd 3 100 200
 neighbor 10.0.0.3 remote-as external
 neighbor 10.0.0.3 bfd
exit
!
bfd
 profile fast
  detect-multiplier 3
  receive-interval 20
  transmit-interval microseconds 3300
  echo-mode
  echo receive-interval disabled
  echo transmit-interval 10
  minimum-ttl 200
  passive-mode
  demand-mode
  authentication meticulous-sha-1 keychain BFD
  shutdown
 exit
 !
 peer 10.0.0.2 interface wan0
  profile fast
  receive-interval 50
 exit
 !
 peer 10.9.0.2 multihop local-address 10.0.0.1
  minimum-ttl 250
 exit
exit
!
end
)";

TEST(Bfd, LoadsAndComesBackAsItWas)
{
    const auto parsed = parse(kBfd, "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    EXPECT_EQ(render(parsed.model), kBfd);
    for (const auto& d : validate(parsed.model, {.sources = &parsed.sources})) ADD_FAILURE() << d.to_string();
    EXPECT_TRUE(effective(parsed.model) == parsed.model);

    const auto& fast = parsed.model.bfd_profiles.at("fast").settings;
    EXPECT_EQ(fast.transmit_interval, Microseconds{3300});
    EXPECT_EQ(fast.receive_interval, Milliseconds{20});
    EXPECT_EQ(fast.echo_receive_interval, Microseconds{0});
    EXPECT_EQ(fast.authentication->type, BfdAuthenticationType::MeticulousKeyedSha1);
    const auto& neighbor = *parsed.model.bgp.at("").neighbors.begin()->second.bfd;
    EXPECT_EQ(neighbor.timers->receive, Milliseconds{100}) << "FRR's order: multiplier, receive, transmit";
    EXPECT_EQ(neighbor.timers->transmit, Milliseconds{200});
    EXPECT_EQ(neighbor.strict_hold, Seconds{9});
}

TEST(Bfd, TakesFrrsOlderSpellings)
{
    const auto parsed =
        parse("bfd\n peer 10.0.0.2 vrf default\n  echo-interval 20\n  no shutdown\n  no echo-mode\n", "f");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    const auto& settings = parsed.model.bfd_peers.begin()->second.settings;
    EXPECT_EQ(settings.echo_transmit_interval, Milliseconds{20});
    EXPECT_EQ(settings.echo_receive_interval, Milliseconds{20});
}

TEST(Bfd, ProfileInAPeerIsItsOwnAndElsewhereABlock)
{
    const auto model = parse("bfd\n profile a\n  detect-multiplier 5\n peer 10.0.0.2\n  profile a\n", "f").model;
    EXPECT_EQ(model.bfd_profiles.size(), 1U);
    EXPECT_EQ(model.bfd_peers.begin()->second.profile, "a");
}

TEST(Bfd, WithoutItANeighborHasNone)
{
    const auto off = [](std::string_view no) {
        const auto parsed = parse("router bgp 1\n neighbor 10.0.0.2 remote-as 2\n neighbor 10.0.0.2 bfd profile a\n " +
                                      std::string{no} + "\n",
                                  "f");
        for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
        return parsed.model.bgp.at("").neighbors.begin()->second.bfd;
    };
    EXPECT_EQ(off("no neighbor 10.0.0.2 bfd"), std::nullopt);
    EXPECT_EQ(off("no neighbor 10.0.0.2 bfd 3 100 100"), std::nullopt);
    EXPECT_EQ(off("no neighbor 10.0.0.2 bfd profile"), BgpBfd{});
    EXPECT_EQ(off("no neighbor 10.0.0.2 bfd check-control-plane-failure")->profile, "a");
}

TEST(Bfd, SecretsOfKeyChainsAreMasked)
{
    const auto model = parse("key chain K\n key 1\n  key-string open sesame\n", "f").model;
    const auto text = render(model, {.mask_secrets = true});
    EXPECT_EQ(text.find("sesame"), std::string::npos);
    EXPECT_NE(text.find("  key-string <hidden>\n"), std::string::npos);
    EXPECT_EQ(parse(text, "f").diagnostics.size(), 1U);
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

class WrongBfd : public testing::TestWithParam<Wrong> {};

TEST_P(WrongBfd, NamesTheLineAndTheCure) { EXPECT_EQ(first_error(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    Statements, WrongBfd,
    testing::Values(
        Wrong{"UnknownProfile", "bfd\n peer 10.0.0.2\n  profile slow\n",
              "f:3: there is no BFD profile slow; add `profile slow` below `bfd`"},
        Wrong{"ProfileOfANeighbor", "router bgp 1\n neighbor 10.0.0.2 remote-as 2\n neighbor 10.0.0.2 bfd profile a\n",
              "f:3: there is no BFD profile a; add `profile a` below `bfd`"},
        Wrong{"ProfileOfARoute", "ip route 10.0.0.0/8 192.0.2.1 bfd profile a\n",
              "f:1: there is no BFD profile a; add `profile a` below `bfd`"},
        Wrong{"TooFast", "bfd\n peer 10.0.0.2\n  transmit-interval 3\n",
              "f:3:21: `3` does not belong here; expected (10-60000) or microseconds; nearest: transmit-interval "
              "<(10-60000)|microseconds (3300-60000000)>"},
        Wrong{"MultihopWithoutLocal", "bfd\n peer 10.0.0.2 multihop\n",
              "f:2: a multihop session needs to know its own address; peer 10.0.0.2 multihop local-address ADDRESS"},
        Wrong{"LinkLocalWithoutInterface", "bfd\n peer fe80::1\n",
              "f:2: fe80::1 may be on any link; peer fe80::1 interface IFNAME"},
        Wrong{"UnknownInterface", "bfd\n peer 10.0.0.2 interface wan0\n",
              "f:2: there is no interface wan0 that 10.0.0.2 could be on; add `interface wan0`, or name another"},
        Wrong{"ForeignLocal", "bfd\n peer 10.0.0.2 local-address 10.0.0.1\n",
              "f:2: no interface of the default vrf has the address 10.0.0.1; name an address of this router"},
        Wrong{
            "EchoOverHops",
            "interface lo\n ip address 10.0.0.1/32\nbfd\n peer 10.0.0.2 multihop local-address 10.0.0.1\n  echo-mode\n",
            "f:5: a multihop session has no echo (RFC 5883 3); `no echo-mode`"},
        Wrong{"TtlOnOneHop", "bfd\n peer 10.0.0.2\n  minimum-ttl 9\n",
              "f:3: on one hop the TTL is always 255 (RFC 5881 5); `no minimum-ttl`, or say `multihop` in the peer's "
              "line"},
        Wrong{"UnknownKeyChain", "bfd\n peer 10.0.0.2\n  authentication md5 keychain K\n",
              "f:3: there is no key chain K; add `key chain K`"},
        Wrong{"NoKeyToSignWith",
              "key chain K\n key 1\n  key-string a\n  accept-only\nbfd\n peer 10.0.0.2\n  authentication md5 keychain "
              "K\n",
              "f:7: key chain K has no key to sign with; add `key NUMBER` with a `key-string`, or take `accept-only` "
              "from one"},
        Wrong{"LongKey",
              "key chain K\n key 1\n  key-string 12345678901234567\nbfd\n peer 10.0.0.2\n  authentication md5 keychain "
              "K\n",
              "f:6: key 1 of K has 17 characters; this authentication takes at most 16 (RFC 5880 4.2 to 4.4)"},
        Wrong{"TooManyKeys",
              "key chain K\n key 1\n  key-string a\n key 2\n  key-string b\n key 3\n  key-string c\n key 4\n  "
              "key-string d\n key 5\n  key-string e\nbfd\n profile p\n  authentication md5 keychain K\n",
              "f:14: key chain K has 5 keys; a session takes 4 at a time: remove old ones"},
        Wrong{"KeyWithoutSecret", "key chain K\n key 1\n",
              "f:2: key 1 of K has no secret; add `key-string TEXT` or `key-file FILE`"},
        Wrong{"OnALoopback", "interface lo\n bfd interval 50 min_rx 50 multiplier 3\n",
              "f:2: lo is a loopback: there is nobody to speak BFD with; `no bfd interval`; a session from its address "
              "is `peer ADDRESS multihop local-address ADDRESS`"},
        Wrong{"RouteWithoutGateway", "ip route 10.0.0.0/8 blackhole bfd\n",
              "f:1: BFD needs somebody to speak with; name a gateway"},
        Wrong{"ProtectedInClear", "interface a\n port kernel a\nip route 10.0.0.0/8 a protected\n",
              "f:3: the route is protected, and a sends in clear; name a WireGuard tunnel or one with `tunnel "
              "protection`, or take `protected` away"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace culvert::config
