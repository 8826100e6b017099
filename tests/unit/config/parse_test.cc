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

}  // namespace
}  // namespace culvert::config
