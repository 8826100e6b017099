#include "config/render.h"

#include "config/diff.h"
#include "config/editor.h"
#include "config/parse.h"
#include "tests/unit/config/random_model.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace culvert::config {
namespace {

constexpr std::uint64_t kSeeds = 400;

// Statement by statement back to the model that they came from, whatever the model.
TEST(Render, LoadsAgainToAnEqualModel)
{
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        const auto model = random_model(seed);
        const auto text = render(model);
        const auto parsed = parse(text, "rendered");
        for (const auto& d : parsed.diagnostics) FAIL() << d.to_string() << "\n" << text;
        ASSERT_TRUE(parsed.model == model) << text << "\n--- came back as\n" << render(parsed.model);
        ASSERT_EQ(render(parsed.model), text);
    }
}

// frr-reload.py takes back each line with `no` in front.
TEST(Render, EveryLineIsTakenBackByItsNo)
{
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        const auto model = random_model(seed);
        std::istringstream text{render(model, {.heading = false})};
        Editor editor{model};
        for (std::string line; std::getline(text, line);) {
            const auto begin = line.find_first_not_of(' ');
            const auto bare = line.substr(begin);
            const bool layout = bare == "!" || bare == "end" || bare.starts_with("exit");
            const bool header =
                begin == 0 && (bare.starts_with("interface") || bare.starts_with("vrf ") ||
                               bare.starts_with("router bgp") || bare == "dataplane" || bare == "failover" ||
                               bare == "bfd" || bare.starts_with("key chain ") || bare.starts_with("crypto "));
            const bool inner = bare.starts_with("address-family") || bare.starts_with("wireguard peer") ||
                               bare.starts_with("peer ") || (begin == 1 && bare.starts_with("profile ")) ||
                               (begin == 1 && bare.starts_with("key "));
            if (layout || header || inner) {
                ASSERT_TRUE(editor.apply(line)) << line;
                continue;
            }
            if (bare.starts_with("no ")) continue;
            const auto taken = editor.apply(" no " + bare);
            // A neighbor's later lines are gone with its remote-as.
            if (!taken && bare.starts_with("neighbor")) continue;
            ASSERT_TRUE(taken) << "no " << bare << ": " << taken.error().to_string();
            if (bare.starts_with("tunnel mode ")) editor.undo();  // or nothing is left of what follows
            ASSERT_TRUE(taken->changed) << "no " << bare;
        }
    }
}

TEST(Render, MasksSecretsAndRefusesThemMasked)
{
    auto parsed = parse(
        "interface wg0\n tunnel mode wireguard\n"
        " wireguard private-key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "router bgp 1\n neighbor 10.0.0.1 remote-as 2\n neighbor 10.0.0.1 password open sesame\n",
        "f");
    ASSERT_TRUE(parsed.diagnostics.empty());
    EXPECT_EQ(parsed.model.bgp[""].neighbors.begin()->second.password->value, "open sesame");
    const auto masked = render(parsed.model, {.mask_secrets = true});
    EXPECT_EQ(masked.find("AAEC"), std::string::npos);
    EXPECT_EQ(masked.find("sesame"), std::string::npos);
    EXPECT_NE(masked.find(" wireguard private-key <hidden>\n"), std::string::npos);
    const auto again = parse(masked, "f");
    EXPECT_EQ(again.diagnostics.size(), 2U);
}

TEST(Render, ThePreambleIsFrrs)
{
    Model model;
    model.hostname = "r1";
    EXPECT_EQ(render(model, {.preamble = true}),
              "Building configuration...\n\nCurrent configuration:\n!\nfrr version 8.4.4\nfrr defaults traditional\n"
              "hostname r1\n!\nend\n");
}

TEST(Diff, OfEqualModelsIsEmpty)
{
    for (std::uint64_t seed = 1; seed <= 50; ++seed) EXPECT_TRUE(diff(random_model(seed), random_model(seed)).empty());
}

// The reference is the other way to compare: the models themselves.
TEST(Diff, SeesExactlyWhatDiffers)
{
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        const auto old = random_model(seed);
        auto now = old;
        const auto other = random_model(seed + 100000);
        now.interfaces = other.interfaces;
        for (const auto& change : diff(old, now)) {
            EXPECT_TRUE(change.object.kind == Object::Kind::Interface || change.object.kind == Object::Kind::Peer);
            if (change.object.kind != Object::Kind::Interface) continue;
            const auto& name = change.object.name;
            EXPECT_EQ(change.action == Change::Action::Add, !old.interfaces.contains(name));
            EXPECT_EQ(change.action == Change::Action::Remove, !now.interfaces.contains(name));
            EXPECT_FALSE(change.added.empty() && change.removed.empty());
        }
        EXPECT_EQ(diff(old, now).empty(), old == now);
    }
}

Model model_of(std::string_view text)
{
    auto parsed = parse(text, "test");
    for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
    return std::move(parsed.model);
}

constexpr std::string_view kTwoNeighbors =
    "router bgp 1\n neighbor 10.0.0.1 remote-as 2\n neighbor 10.0.0.2 remote-as 3\n";

TEST(Diff, TouchesOneNeighborWhenOneChanges)
{
    const auto old = model_of(kTwoNeighbors);
    const auto now = model_of(std::string{kTwoNeighbors} + " neighbor 10.0.0.2 timers 3 9\n");
    const auto changes = diff(old, now);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].object, (Object{Object::Kind::Neighbor, "", "", "10.0.0.2"}));
    EXPECT_EQ(changes[0].action, Change::Action::Modify);
    EXPECT_EQ(changes[0].cost, Cost::Session);
    EXPECT_EQ(changes[0].added, std::vector<std::string>{"neighbor 10.0.0.2 timers 3 9"});
}

TEST(Diff, ATimerThatNobodySeesIsApplied)
{
    const auto changes =
        diff(model_of(kTwoNeighbors), model_of(std::string{kTwoNeighbors} + " neighbor 10.0.0.2 weight 5\n"));
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].cost, Cost::Apply);
}

TEST(Diff, TellsTheAddressFamiliesApart)
{
    const auto v4 = model_of(std::string{kTwoNeighbors} + " address-family ipv4\n neighbor 10.0.0.1 allowas-in\n");
    const auto v6 = model_of(std::string{kTwoNeighbors} + " address-family ipv6\n neighbor 10.0.0.1 allowas-in\n");
    const auto changes = diff(v4, v6);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].added, std::vector<std::string>{"ipv6 unicast: neighbor 10.0.0.1 allowas-in"});
}

TEST(Diff, TouchesOnePeerWhenItsKeyChanges)
{
    auto old = model_of("interface wg0\n tunnel mode wireguard\n wireguard peer A\n exit\n wireguard peer B\n");
    auto now = old;
    std::get<Wireguard>(now.interfaces["wg0"].kind).peers["B"].public_key[0] = 1;
    const auto changes = diff(old, now);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].object, (Object{Object::Kind::Peer, "", "wg0", "B"}));
    EXPECT_EQ(changes[0].cost, Cost::Session);
}

TEST(Diff, SeesTheOrderOfAddresses)
{
    const auto changes = diff(model_of("interface lo\n ip address 10.0.0.1/32\n ip address 10.0.0.2/32\n"),
                              model_of("interface lo\n ip address 10.0.0.2/32\n ip address 10.0.0.1/32\n"));
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].action, Change::Action::Modify);
}

TEST(Diff, GroupsTheRoutesOfAPrefix)
{
    const auto changes = diff(model_of("ip route 10.0.0.0/8 192.0.2.1\nip route 10.0.0.0/8 192.0.2.2\n"),
                              model_of("ip route 10.0.0.0/8 192.0.2.1\nip route 11.0.0.0/8 192.0.2.1\n"));
    ASSERT_EQ(changes.size(), 2U);
    EXPECT_EQ(changes[0].object.name, "10.0.0.0/8");
    EXPECT_EQ(changes[0].action, Change::Action::Modify);
    EXPECT_EQ(changes[1].object.name, "11.0.0.0/8");
    EXPECT_EQ(changes[1].action, Change::Action::Add);
}

TEST(Diff, ShowsPeopleMaskedLines)
{
    const auto text = to_string(
        diff(model_of(kTwoNeighbors), model_of(std::string{kTwoNeighbors} + " neighbor 10.0.0.1 password x y\n")));
    EXPECT_EQ(text, "router bgp neighbor 10.0.0.1  (resets the session)\n + neighbor 10.0.0.1 password <hidden>\n");
}

TEST(Diff, ADataplaneChangeNeedsARestart)
{
    const auto changes = diff(model_of(""), model_of("dataplane\n workers 2\n"));
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].cost, Cost::Restart);
}

}  // namespace
}  // namespace culvert::config
