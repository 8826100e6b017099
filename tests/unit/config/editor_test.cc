#include "config/editor.h"

#include "config/parse.h"
#include "config/validate.h"

#include <gtest/gtest.h>

namespace culvert::config {
namespace {

TEST(Editor, WalksThroughTheBlocks)
{
    Editor editor;
    EXPECT_EQ(editor.mode(), "config");
    const std::pair<const char*, const char*> kSteps[] = {
        {"interface wg0", "config-if"},
        {"tunnel mode wireguard", "config-if"},
        {"wireguard peer A", "config-if-peer"},
        {"routes bgp", "config-if-peer"},
        {"exit", "config-if"},
        {"exit", "config"},
        {"router bgp 1", "config-router"},
        {"address-family ipv6", "config-router-af"},
        {"exit-address-family", "config-router"},
        {"vrf RED", "config-vrf"},
        {"exit-vrf", "config"},
        {"router bgp 1", "config-router"},
        {"neighbor 10.0.0.1 remote-as 2", "config-router"},
        {"neighbor 10.0.0.1 activate", "config-router"},
        {"address-family ipv4 unicast", "config-router-af"},
        {"interface wg0", "config-if"},
    };
    for (const auto& [line, mode] : kSteps) {
        ASSERT_TRUE(editor.apply(line)) << line;
        EXPECT_EQ(editor.mode(), mode) << line;
    }
    EXPECT_TRUE(editor.apply("end")->ended);
}

TEST(Editor, ExitAtTheTopEnds)
{
    Editor editor;
    EXPECT_TRUE(editor.apply("exit")->ended);
}

TEST(Editor, SaysWhetherSomethingChanged)
{
    Editor editor;
    EXPECT_TRUE(editor.apply("hostname r1")->changed);
    EXPECT_FALSE(editor.apply("hostname r1")->changed);
    EXPECT_FALSE(editor.apply("! a comment")->changed);
    EXPECT_TRUE(editor.apply("no hostname")->changed);
    EXPECT_EQ(editor.model().hostname, "");
}

TEST(Editor, AnErrorChangesNothing)
{
    Editor editor;
    ASSERT_TRUE(editor.apply("router bgp 1"));
    const auto before = editor.model();
    for (const auto* bad : {"neighbor 10.0.0.1 timers 1 2", "router bgp 2", "frobnicate", "neighbor 10.0.0.1 bfds",
                            "no neighbor 10.0.0.9", "no", "mtu"}) {
        EXPECT_FALSE(editor.apply(bad)) << bad;
        EXPECT_TRUE(editor.model() == before) << bad;
        EXPECT_EQ(editor.mode(), "config-router") << bad;
    }
}

TEST(Editor, UndoTakesTheRefusedLineBackPositionIncluded)
{
    Editor editor;
    ASSERT_TRUE(editor.apply("interface wan0"));
    editor.undo();
    EXPECT_EQ(editor.mode(), "config");
    EXPECT_TRUE(editor.model().interfaces.empty());
}

TEST(Editor, SeesWhatOthersChangedMeanwhile)
{
    Editor editor;
    ASSERT_TRUE(editor.apply("interface lo"));
    Model other;
    other.vrfs[""];
    editor.rebase(other);
    const auto refused = editor.apply("mtu 1500");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "interface lo was removed meanwhile");
}

TEST(Editor, HandsCommandsOn)
{
    Editor editor;
    const auto outcome = editor.apply("do show ip  route");
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->run, "show ip  route");
    EXPECT_FALSE(outcome->changed);
}

// What is typed in the usual order passes line by line, but for what is not finished yet.
TEST(Editor, LinesOfAGoodConfigurationAreOnlyEverUnfinished)
{
    Editor editor;
    for (const auto* line :
         {"interface wan0", "port kernel wan0", "ip address 192.0.2.1/24", "interface wg0", "tunnel mode wireguard",
          "wireguard private-key-file k", "tunnel source wan0", "wireguard peer A", "allowed-ips 10.0.0.0/8",
          "public-key AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "router bgp 1", "neighbor 10.0.0.1 description x",
          "neighbor 10.0.0.1 remote-as 2"}) {
        ASSERT_TRUE(editor.apply(line)) << line;
        for (const auto& d : validate(editor.model())) EXPECT_EQ(d.kind, Diagnostic::Kind::Unfinished) << d.to_string();
        for (const auto& d : validate(effective(editor.model()))) ADD_FAILURE() << line << ": " << d.to_string();
    }
    EXPECT_TRUE(validate(editor.model()).empty());
}

TEST(Editor, RemovesWhatNoNames)
{
    Editor editor{parse("interface lo\n ip address 10.0.0.1/32\n ip address 10.0.0.2/32\n ipv6 address "
                        "2001:db8::1/128\nrouter bgp 1\n neighbor 10.0.0.1 remote-as 2\n"
                        " neighbor 10.0.0.2 remote-as 2\nvrf RED\n ip route 10.0.0.0/8 Null0\n",
                        "f")
                      .model};
    for (const auto* line : {"interface lo", "no ip address 10.0.0.2/32", "no ipv6 address", "exit", "router bgp 1",
                             "no neighbor 10.0.0.1", "no neighbor 10.0.0.2 remote-as 2", "exit", "no router bgp 1",
                             "vrf RED", "no ip route 10.0.0.0/8 Null0", "exit", "no vrf RED"})
        ASSERT_TRUE(editor.apply(line)) << line;
    EXPECT_TRUE(editor.model() == parse("interface lo\n ip address 10.0.0.1/32\n", "f").model);
}

TEST(Candidate, ShowsWhatACommitWouldChange)
{
    Candidate candidate{parse("hostname r1\n", "f").model};
    EXPECT_FALSE(candidate.changed());
    ASSERT_TRUE(candidate.editor().apply("hostname r2"));
    EXPECT_EQ(candidate.diff(), "global\n - hostname r1\n + hostname r2\n");
    candidate.discard();
    EXPECT_FALSE(candidate.changed());
    ASSERT_TRUE(candidate.editor().apply("hostname r3"));
    candidate.committed();
    EXPECT_EQ(candidate.diff(), "");
}

TEST(History, KeepsTheLastOnes)
{
    History history{2};
    for (const auto* name : {"a", "b", "c"}) {
        Model model;
        model.hostname = name;
        history.push(std::move(model));
    }
    EXPECT_EQ(history.at(0)->hostname, "c");
    EXPECT_EQ(history.at(1)->hostname, "b");
    EXPECT_EQ(history.at(2), nullptr);
}

}  // namespace
}  // namespace culvert::config
