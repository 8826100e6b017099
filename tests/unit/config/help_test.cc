#include "config/help.h"

#include "config/manual.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace culvert::config {
namespace {

std::vector<std::string> words(Node node, std::string_view line)
{
    std::vector<std::string> out;
    for (const auto& h : help(node, line)) {
        EXPECT_FALSE(h.text.empty()) << h.word;
        out.push_back(h.word);
    }
    return out;
}
using Words = std::vector<std::string>;

TEST(Help, ShowsWhatMayStandNext)
{
    EXPECT_EQ(words(Node::RouterBgp, "neighbor 10.0.0.1 timers "), (Words{"connect", "(0-65535)"}));
    EXPECT_EQ(words(Node::RouterBgp, "nei 10.0.0.1 timers 3 "), (Words{"(0-65535)"}));
    EXPECT_EQ(words(Node::RouterBgp, "neighbor 10.0.0.1 timers 3 9 "), (Words{"<cr>"}));
    EXPECT_EQ(words(Node::RouterBgp, "no timers bgp "), (Words{"(0-65535)", "<cr>"}));
    EXPECT_EQ(words(Node::Exec, "show ip bgp sum"), (Words{"summary"}));
    EXPECT_EQ(words(Node::Exec, "show wireguard "), (Words{"json", "IFNAME", "<cr>"}));
    EXPECT_EQ(words(Node::Exec, "show nothing "), Words{});
}

TEST(Help, OffersABlocksOwnStatementsAndTheWaysOut)
{
    EXPECT_EQ(words(Node::Dataplane, ""), (Words{"do", "end", "exit", "memory", "no", "poll", "workers"}));
    const auto top = words(Node::Top, "");
    for (const auto* word : {"interface", "router", "hostname", "end", "exit", "no"})
        EXPECT_TRUE(std::ranges::count(top, word)) << word;
}

TEST(Help, NarrowsDownABegunWord)
{
    EXPECT_EQ(words(Node::Interface, "ip"), (Words{"ip", "ipv6"}));
    EXPECT_EQ(words(Node::Interface, "ip t"), (Words{"tcp"}));
    EXPECT_EQ(words(Node::Top, "do show wire"), (Words{"wireguard"}));
}

TEST(Complete, GivesKeywords)
{
    EXPECT_EQ(complete(Node::Exec, "sh"), (Words{"show"}));
    EXPECT_EQ(complete(Node::Exec, "show ip r"), (Words{"route"}));
    EXPECT_EQ(complete(Node::RouterBgp, "address-family "), (Words{"ipv4", "ipv6"}));
    EXPECT_EQ(complete(Node::Top, "do cl"), (Words{"clear"}));
    EXPECT_EQ(complete(Node::Exec, "xyz"), Words{});
}

TEST(Mode, NamesAreTakenBack)
{
    for (const auto node :
         {Node::Top, Node::Dataplane, Node::Interface, Node::WireguardPeer, Node::Vrf, Node::RouterBgp, Node::BgpFamily,
          Node::Failover, Node::KeyChain, Node::KeyChainKey, Node::ManualSa, Node::IpsecProfile, Node::Bfd,
          Node::BfdProfile, Node::BfdPeer, Node::LineVty})
        EXPECT_EQ(node_of_mode(info(node).mode), node);
}

std::string file(const std::string& name)
{
    std::ifstream in{std::string{CULVERT_SOURCE_DIR} + "/docs/" + name};
    return {std::istreambuf_iterator<char>{in}, {}};
}

TEST(Manual, InTheRepositoryIsCurrent)
{
    EXPECT_TRUE(file("configuration.md") == configuration_manual())
        << "run: culvert --manual configuration > docs/configuration.md";
    EXPECT_TRUE(file("commands.md") == command_manual()) << "run: culvert --manual commands > docs/commands.md";
}

}  // namespace
}  // namespace culvert::config
