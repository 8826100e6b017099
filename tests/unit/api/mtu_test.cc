#include "dataplane/api/mtu.h"

#include <gtest/gtest.h>

namespace culvert::api {

namespace {

using Gre = TunnelStack::Gre;
using Esp = TunnelStack::Esp;

int mtu(const TunnelStack& stack, std::uint16_t path = 1500) { return tunnel_mtu(stack, path).mtu; }

TEST(TunnelMtu, IsWhatEveryoneKnows)
{
    EXPECT_EQ(mtu({.gre = Gre{}}), 1476);
    EXPECT_EQ(mtu({.gre = Gre{.key = true}}), 1472);
    EXPECT_EQ(mtu({.gre = Gre{.outer = Family::Ipv6, .checksum = true, .key = true, .sequence = true}}), 1444);
    EXPECT_EQ(mtu({.wireguard = TunnelStack::Wireguard{}}), 1420);
    // GRE in ESP transport mode with AES-GCM: 1500 - 20 - 8 - 8 - 16 - 2 = 1446, down to a multiple of 4 less the
    // trailer.
    EXPECT_EQ(mtu({.gre = Gre{}, .esp = Esp{Family::Ipv4, EspAlgorithm::AesGcm256, EspMode::Transport, false}}), 1442);
    EXPECT_EQ(mtu({.esp = Esp{Family::Ipv4, EspAlgorithm::AesGcm128, EspMode::Tunnel, false}}), 1446);
    EXPECT_EQ(mtu({.esp = Esp{Family::Ipv4, EspAlgorithm::AesCbc128Sha256, EspMode::Tunnel, false}}), 1438);
}

std::vector<TunnelStack> every_stack()
{
    std::vector<TunnelStack> out;
    for (int gre = -1; gre < 16; ++gre) {
        std::optional<Gre> g;
        if (gre >= 0)
            g = Gre{(gre & 8) != 0 ? Family::Ipv6 : Family::Ipv4, (gre & 1) != 0, (gre & 2) != 0, (gre & 4) != 0};
        if (g) out.push_back({.gre = g});
        for (std::size_t a = 0; a < kEspAlgorithms; ++a)
            for (const auto mode : {EspMode::Tunnel, EspMode::Transport})
                for (const bool udp : {false, true})
                    for (const auto outer : {Family::Ipv4, Family::Ipv6}) {
                        if (mode == EspMode::Transport && (!g || g->outer != outer)) continue;
                        out.push_back({.gre = g, .esp = Esp{outer, static_cast<EspAlgorithm>(a), mode, udp}});
                    }
    }
    out.push_back({.wireguard = TunnelStack::Wireguard{}});
    return out;
}

// How large the outer packet of an inner one is, worked out the other way round.
std::size_t outer(const TunnelStack& s, std::size_t inner)
{
    if (s.gre) inner += ip_header_octets(s.gre->outer) + 4 + 4u * (s.gre->checksum + s.gre->key + s.gre->sequence);
    if (s.esp) inner += esp_overhead(s.esp->algorithm, s.esp->mode, s.esp->outer, s.esp->udp, inner);
    if (s.wireguard) inner += 80;  // padding stops at the MTU
    return inner;
}

TEST(TunnelMtu, IsTheLargestThatFitsAndTheLinesAddUp)
{
    const auto stacks = every_stack();
    EXPECT_GT(stacks.size(), 600u);
    for (const auto& s : stacks) {
        for (const std::uint16_t path : {600, 1280, 1400, 1492, 1500, 8999, 9000}) {
            const auto sum = tunnel_mtu(s, path);
            ASSERT_GT(sum.mtu, 0);
            EXPECT_LE(outer(s, sum.mtu), path);
            EXPECT_GT(outer(s, sum.mtu + 1u), path);
            int total = path;
            for (const auto& line : sum.lines) {
                EXPECT_LT(line.octets, 0) << line.text;
                total += line.octets;
            }
            EXPECT_EQ(total, sum.mtu);
        }
    }
}

TEST(TunnelMtu, NothingFitsIntoTooNarrowAPath)
{
    for (const auto& s : every_stack())
        for (std::uint16_t path = 0; path < 24; ++path) EXPECT_EQ(tunnel_mtu(s, path).mtu, 0);
}

}  // namespace

}  // namespace culvert::api
