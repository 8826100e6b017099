#include "config/exec.h"

#include <gtest/gtest.h>

#include <ostream>

namespace culvert::config {
namespace {

Exec of(std::string_view line)
{
    auto exec = parse_exec(line);
    if (!exec) {
        ADD_FAILURE() << line << ": " << exec.error().to_string();
        return {};
    }
    return *std::move(exec);
}

struct Spelling {
    const char* line;
    ExecCommand command;
    friend void PrintTo(const Spelling& s, std::ostream* out) { *out << s.line; }
};

class Spellings : public testing::TestWithParam<Spelling> {};

// Spellings that tools and tests of FRR use.
TEST_P(Spellings, IsTheCommand) { EXPECT_EQ(of(GetParam().line).command, GetParam().command); }

using C = ExecCommand;
INSTANTIATE_TEST_SUITE_P(
    Frr, Spellings,
    testing::Values(
        Spelling{"show version", C::ShowVersion}, Spelling{"sh ver", C::ShowVersion},
        Spelling{"show bgp summary json", C::ShowBgpSummary}, Spelling{"show ip bgp summary json", C::ShowBgpSummary},
        Spelling{"sh ip bgp sum", C::ShowBgpSummary}, Spelling{"show bgp ipv4 unicast summary json", C::ShowBgpSummary},
        Spelling{"show bgp ipv4 uni summ", C::ShowBgpSummary},
        Spelling{"show bgp vrf all summary json", C::ShowBgpSummary},
        Spelling{"show bgp summary failed json", C::ShowBgpSummary},
        Spelling{"show bgp view RED summary", C::ShowBgpSummary},
        Spelling{"show bgp neighbors json", C::ShowBgpNeighbors},
        Spelling{"show ip bgp neighbor 10.0.0.1 json", C::ShowBgpNeighbors},
        Spelling{"show bgp nei 2001:db8::1", C::ShowBgpNeighbors},
        Spelling{"show bgp ipv4 unicast neighbors 10.0.0.1 advertised-routes json", C::ShowBgpAdvertisedRoutes},
        Spelling{"show ip bgp neighbors 10.0.0.1 adv", C::ShowBgpAdvertisedRoutes},
        Spelling{"show bgp neighbors 10.0.0.1 received-routes json", C::ShowBgpReceivedRoutes},
        Spelling{"show ip bgp neighbors 10.0.0.1 routes json", C::ShowBgpNeighborRoutes},
        Spelling{"show bgp ipv4 unicast json", C::ShowBgp}, Spelling{"show bgp", C::ShowBgp},
        Spelling{"show ip bgp json detail", C::ShowBgp}, Spelling{"show bgp ipv6 json", C::ShowBgp},
        Spelling{"show bgp ipv4 unicast 10.0.0.0/8 longer-prefixes json", C::ShowBgp},
        Spelling{"show ip bgp 10.0.0.0/8 json", C::ShowBgpPrefix},
        Spelling{"show bgp ipv4 10.0.0.1 bestpath json", C::ShowBgpPrefix},
        Spelling{"show bgp ipv6 2001:db8::/32 json", C::ShowBgpPrefix}, Spelling{"show bgp nexthop", C::ShowBgpNexthop},
        Spelling{"show bfd peers json", C::ShowBfdPeers}, Spelling{"show bfd peers", C::ShowBfdPeers},
        Spelling{"show bfd vrf RED peers brief json", C::ShowBfdPeers},
        Spelling{"show bfd peers counters json", C::ShowBfdPeers},
        Spelling{"show bfd peer 10.0.0.1 json", C::ShowBfdPeer},
        Spelling{"show bfd peer 10.0.0.1 multihop local-address 10.0.0.2 counters json", C::ShowBfdPeer},
        Spelling{"show bfd vrf default peer 2001:db8::1 interface wan0", C::ShowBfdPeer},
        Spelling{"clear bfd peer 10.0.0.1 counters", C::ClearBfdCounters}, Spelling{"show ip route json", C::ShowRoute},
        Spelling{"show ip route bgp json", C::ShowRoute},
        Spelling{"show ip route vrf RED 10.0.0.0/8 json", C::ShowRoute},
        Spelling{"show ipv6 route 2001:db8::1", C::ShowRoute},
        Spelling{"show ip route summary json", C::ShowRouteSummary},
        Spelling{"show ip route vrf all summary", C::ShowRouteSummary}, Spelling{"show ip fib json", C::ShowFib},
        Spelling{"show ipv6 fib 2001:db8::/32", C::ShowFib}, Spelling{"show ip nht", C::ShowNht},
        Spelling{"show interface", C::ShowInterface}, Spelling{"show interface json", C::ShowInterface},
        Spelling{"show interface wan0 json", C::ShowInterface}, Spelling{"show int brief", C::ShowInterfaceBrief},
        Spelling{"show interface vrf RED brief json", C::ShowInterfaceBrief},
        Spelling{"show wireguard wg0 json", C::ShowWireguard}, Spelling{"show dataplane drops", C::ShowDataplaneDrops},
        Spelling{"show data run json", C::ShowDataplaneRuntime}, Spelling{"show arp", C::ShowArp},
        Spelling{"show ip arp json", C::ShowArp}, Spelling{"show ipv6 neighbors", C::ShowIpv6Neighbors},
        Spelling{"show vrf", C::ShowVrf}, Spelling{"show memory", C::ShowMemory},
        Spelling{"show running-config", C::ShowRunningConfig}, Spelling{"sh run", C::ShowRunningConfig},
        Spelling{"show running-config no-header", C::ShowRunningConfig},
        Spelling{"show startup-config", C::ShowStartupConfig}, Spelling{"show logging", C::ShowLogging},
        Spelling{"write memory", C::Write}, Spelling{"wr", C::Write}, Spelling{"write terminal", C::ShowRunningConfig},
        Spelling{"copy running-config startup-config", C::Write}, Spelling{"conf t", C::ConfigureTerminal},
        Spelling{"configure", C::Configure}, Spelling{"terminal length 0", C::TerminalLength},
        Spelling{"exit", C::Exit}, Spelling{"clear bgp *", C::ClearBgp},
        Spelling{"clear ip bgp 10.0.0.1 soft in", C::ClearBgp}, Spelling{"clear bgp ipv4 unicast * soft", C::ClearBgp},
        Spelling{"clear bgp vrf RED *", C::ClearBgp}, Spelling{"ping 10.0.0.1", C::Ping},
        Spelling{"traceroute vrf RED 10.0.0.1", C::Traceroute}, Spelling{"commit", C::Commit},
        Spelling{"commit check", C::Commit}, Spelling{"rollback 1", C::Rollback},
        Spelling{"show candidate diff", C::ShowCandidateDiff}));

TEST(Exec, KnowsTheFamilyThatFrrMeans)
{
    EXPECT_EQ(of("show bgp json").family, Family::Ipv6);
    EXPECT_EQ(of("show ip bgp json").family, Family::Ipv4);
    EXPECT_EQ(of("show bgp summary").family, std::nullopt);
    EXPECT_EQ(of("show bgp ipv4 summary").family, Family::Ipv4);
    EXPECT_EQ(of("show bgp 10.0.0.0/8").family, Family::Ipv4);
    EXPECT_EQ(of("show ip route").family, Family::Ipv4);
    EXPECT_EQ(of("show ipv6 nht").family, Family::Ipv6);
}

TEST(Exec, CarriesWhatWasTyped)
{
    const auto summary = of("show bgp vrf all summary failed json");
    EXPECT_EQ(summary.vrf, "all");
    EXPECT_TRUE(summary.failed && summary.json && !summary.established);
    EXPECT_EQ(of("show bgp vrf default summary").vrf, "");

    const auto clear = of("clear ip bgp 10.0.0.1 soft in");
    EXPECT_EQ(clear.neighbor, PeerName{*IpAddress::parse("10.0.0.1")});
    EXPECT_TRUE(clear.soft);
    EXPECT_EQ(clear.direction, Direction::In);
    EXPECT_FALSE(of("clear bgp *").soft);
    EXPECT_EQ(of("clear bgp 65001").asn, 65001U);

    const auto ping = of("ping vrf RED 10.0.0.1 count 3 size 1400 source lo df-bit");
    EXPECT_EQ(ping.vrf, "RED");
    EXPECT_EQ(ping.target, "10.0.0.1");
    EXPECT_EQ(ping.count, 3U);
    EXPECT_EQ(ping.size, 1400U);
    EXPECT_EQ(ping.source, "lo");
    EXPECT_TRUE(ping.df);

    const auto run = of("exec vrf RED ip  -4 route | cat");
    EXPECT_EQ(run.vrf, "RED");
    EXPECT_EQ(run.rest, "ip  -4 route | cat");

    EXPECT_EQ(of("show ip route static").protocol, RouteProtocol::Static);
    EXPECT_EQ(of("show bgp neighbors 10.0.0.1").protocol, std::nullopt);
    EXPECT_EQ(of("show interface brie").interface, "");
    EXPECT_TRUE(of("show run no-header").no_header);
}

TEST(Exec, RefusesAsFrrDoes)
{
    auto text = [](std::string_view line) {
        const auto exec = parse_exec(line);
        EXPECT_FALSE(exec) << line;
        const auto whole = exec ? std::string{} : frr_text(exec.error(), line);
        return whole.substr(0, whole.find('\n'));
    };
    EXPECT_EQ(text("frobnicate"), "% Unknown command: frobnicate");
    EXPECT_EQ(text("show bgp summary jsonx"), "% Unknown command: show bgp summary jsonx");
    EXPECT_EQ(text("show"), "% Command incomplete: show");
    EXPECT_EQ(text("c"), "% Ambiguous command: c");
    EXPECT_EQ(text("show i route"), "% Ambiguous command: show i route");
    EXPECT_EQ(text("show ip route 2001:db8::1"), "% Unknown command: show ip route 2001:db8::1");
    EXPECT_EQ(text("show bgp ipv6 10.0.0.0/8"), "% 10.0.0.0/8 is not of this address family");
    EXPECT_EQ(parse_exec("show bgp sumary").error().hint.find("expected"), 0U);
}

}  // namespace
}  // namespace culvert::config
