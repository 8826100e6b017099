#include "tests/unit/node/pair.h"

#include <algorithm>
#include <cstdlib>

namespace culvert::dataplane::test {

namespace {

constexpr InterfaceId kTunnel{10}, kInner{11};
constexpr PeerId kPeer{1};
constexpr std::uint16_t kPort = 51820;
// The ends of a tunnel inside another one.
constexpr std::string_view kEndA = "172.31.0.1", kEndB = "172.31.0.2";

using api::TunnelStack;

enum class Layer : std::uint8_t { Gre4, Gre6, Gre4Options, Gre6Options, Wireguard4, Wireguard6 };

struct Case {
    std::string name;
    std::vector<Layer> layers;  // the outermost first
    std::uint16_t path;         // MTU of the wan
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name << " over " << c.path; }

bool is_wireguard(Layer l) { return l == Layer::Wireguard4 || l == Layer::Wireguard6; }
bool outer_v6(Layer l) { return l == Layer::Gre6 || l == Layer::Gre6Options || l == Layer::Wireguard6; }

// Whatever goes into a stack of tunnels comes out, or is answered with a size that then comes out whole at the first
// try. Never silence.
class Mtu : public Pair, public ::testing::WithParamInterface<Case> {
protected:
    Mtu()
    {
        for (auto* r : {&a, &b}) {
            auto lan = r->lan();
            lan.mtu = 9000;
            r->set_lan(lan);
        }
        a.local(kEndA);
        b.local(kEndB);
        // The test asks more often in a second than a router on the wire answers.
        a.context.icmp = node::TokenBucket{1000000000, 1000000};
    }

    void build()
    {
        for (auto* r : {&a, &b}) {
            auto wan = r == &a ? r->wan() : r->wan();
            wan.mtu = GetParam().path;
            r->set_wan(wan);
        }
        mtu = GetParam().path;
        const auto& layers = GetParam().layers;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const bool nested = i > 0;
            const bool last = i + 1 == layers.size();
            const auto id = is_wireguard(layers[i]) ? kWg : i == 0 ? kTunnel : kInner;
            mtu = api::tunnel_mtu(stack(layers[i]), mtu).mtu;
            if (is_wireguard(layers[i]))
                wireguard(layers[i], nested);
            else
                gre_layer(id, layers[i], nested);
            const auto kind = is_wireguard(layers[i]) ? api::NexthopKind::WireguardLookup : api::NexthopKind::Tunnel;
            const auto by = [&](Router& r, std::string_view to) {
                r.route(to, {.id = {}, .kind = kind, .interface = id});
            };
            if (last) {
                for (const auto* to : {"10.2.0.0/16", "2001:db8:b::/48"}) by(a, to);
                for (const auto* to : {"10.1.0.0/24", "10.1.0.2/32", "2001:db8:1::/64", "2001:db8:1::2/128"}) by(b, to);
            } else {
                by(a, std::string{kEndB} + "/32");
                by(b, std::string{kEndA} + "/32");
            }
        }
        relay();
        outer.clear();
    }

    static TunnelStack stack(Layer l)
    {
        if (is_wireguard(l)) return {.wireguard = TunnelStack::Wireguard{}};
        const bool options = l == Layer::Gre4Options || l == Layer::Gre6Options;
        return {.gre = TunnelStack::Gre{.outer = outer_v6(l) ? Family::Ipv6 : Family::Ipv4,
                                        .checksum = options,
                                        .key = options,
                                        .sequence = options}};
    }

    void gre_layer(InterfaceId id, Layer l, bool nested)
    {
        const bool options = l == Layer::Gre4Options || l == Layer::Gre6Options;
        gre(
            id, outer_v6(l) ? Family::Ipv6 : Family::Ipv4,
            [&](api::SetTunnel& t) {
                t.checksum = t.has_key = t.sequence = options;
                t.key = 77;
                if (!nested) return;
                const bool of_a = t.source == ip("192.0.2.1") || t.source == ip("2001:db8:2::1");
                t.source = ip(of_a ? kEndA : kEndB);
                t.destination = ip(of_a ? kEndB : kEndA);
            },
            mtu);
    }

    void wireguard(Layer l, bool nested)
    {
        const bool v6 = l == Layer::Wireguard6;
        const auto of_a = ip(nested ? kEndA : v6 ? "2001:db8:2::1" : "192.0.2.1");
        const auto of_b = ip(nested ? kEndB : v6 ? "2001:db8:2::2" : "192.0.2.2");
        for (auto* r : {&a, &b}) {
            const bool first = r == &a;
            r->apply(api::SetInterface{.id = kWg,
                                       .vrf = kDefaultVrf,
                                       .kind = api::InterfaceKind::Wireguard,
                                       .up = true,
                                       .mtu = mtu,
                                       .address4 = ip4("10.254.0.1")});
            r->apply(api::SetWireguard{
                .interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = kPort, .source = first ? of_a : of_b});
            r->apply(api::SetPeer{.id = kPeer, .interface = kWg});
            for (const auto* p : {"0.0.0.0/0", "::/0"}) {
                r->apply(api::SetAllowedIp{kWg, prefix(p), kPeer});
                r->apply(api::AddPeerSource{kPeer, prefix(p)});
            }
            r->command(api::MovePeer{kPeer, {first ? of_b : of_a, kPort}});
        }
        b.command(keys(false));
        a.command(keys(true));
        relay();
    }
    api::InstallKeys keys(bool initiator) const
    {
        api::InstallKeys k{.peer = kPeer,
                           .sequence = 1,
                           .local_index = initiator ? 100u : 200u,
                           .remote_index = initiator ? 200u : 100u,
                           .initiator = initiator,
                           .created = a.context.now};
        (initiator ? k.sending : k.receiving).fill(0x11);
        (initiator ? k.receiving : k.sending).fill(0x22);
        return k;
    }

    enum class Kind : std::uint8_t { V4, V4Df, V6 };
    static Octets of_size(Kind kind, std::size_t size)
    {
        return kind == Kind::V6 ? inner6(size - 48) : inner4(size - 28, 0, kind == Kind::V4Df ? 0x4000 : 0);
    }

    // What becomes of one packet. The number that it was answered with, or 0: all of it came out.
    std::size_t send(Kind kind, std::size_t size)
    {
        out_a.clear();
        out_b.clear();
        outer.clear();
        const auto in = of_size(kind, size);
        a.from_lan(in);
        relay();
        if (!out_a.empty()) {
            EXPECT_TRUE(out_b.empty());
            EXPECT_NE(kind, Kind::V4) << "it may be cut: size " << size;
            const auto p = out_a[0].packet();
            const std::size_t icmp = kind == Kind::V6 ? 40 : 20;
            EXPECT_EQ(p[icmp], kind == Kind::V6 ? 2 : 3);
            EXPECT_EQ(p[icmp + 1], kind == Kind::V6 ? 0 : 4);
            return std::size_t{p[icmp + 6]} << 8 | p[icmp + 7];
        }
        if (out_b.empty()) {
            ADD_FAILURE() << "silence: size " << size;
            return 0;
        }
        if (out_b.size() == 1) {
            EXPECT_EQ(out_b[0].packet(), forwarded(in)) << "size " << size;
            return 0;
        }
        EXPECT_EQ(kind, Kind::V4);
        std::vector<bool> seen(in.size());
        for (const auto& piece : out_b) {
            auto p = piece.packet();
            const std::size_t at = static_cast<std::size_t>(header4(p).fragment & 0x1fff) * 8;
            for (std::size_t i = 20; i < p.size(); ++i) {
                EXPECT_TRUE(at + i < in.size() && p[i] == in[at + i]) << size;
                if (at + i < in.size()) seen[at + i] = true;
            }
        }
        EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<std::ptrdiff_t>(in.size() - 20)) << size;
        return 0;
    }

    std::uint16_t mtu = 0;
};

TEST_P(Mtu, EverySizeIsCarriedOrAnsweredWithOneThatIs)
{
    build();
    std::size_t carried = 0, answered = 0;
    // All of them on the path that most have; a coarser look at the others.
    const std::size_t step = GetParam().path == 1500 && std::getenv("CULVERT_COARSE") == nullptr ? 1 : 13;
    for (const auto kind : {Kind::V4, Kind::V4Df, Kind::V6}) {
        std::size_t told = 0;
        for (std::size_t size = 68; size <= 9000 && !HasFailure(); size += step) {
            const auto number = send(kind, size);
            for (const auto& p : outer) ASSERT_LE(p.size(), GetParam().path);
            if (number == 0) {
                ++carried;
                EXPECT_TRUE(size > mtu || outer.size() == 1) << "cut without need: size " << size;
                continue;
            }
            ++answered;
            EXPECT_LT(number, size);
            if (number == told) continue;
            told = number;
            EXPECT_EQ(number, kind == Kind::V6 ? std::max<std::size_t>(mtu, 1280) : mtu);
            EXPECT_EQ(send(kind, number), 0u) << "the number works at the first try";
            EXPECT_EQ(out_b.size(), 1u);
            EXPECT_TRUE(number != mtu || outer.size() == 1) << "at full size, not cut";
        }
    }
    EXPECT_GT(carried, 0u);
    EXPECT_GT(answered, 0u);
}

std::vector<Case> cases()
{
    const std::vector<Case> stacks = {
        {"GRE4", {Layer::Gre4}, 0},
        {"GRE6", {Layer::Gre6}, 0},
        {"GRE4_with_options", {Layer::Gre4Options}, 0},
        {"GRE6_with_options", {Layer::Gre6Options}, 0},
        {"WireGuard4", {Layer::Wireguard4}, 0},
        {"WireGuard6", {Layer::Wireguard6}, 0},
        {"WireGuard_in_GRE4", {Layer::Gre4, Layer::Wireguard4}, 0},
        {"WireGuard_in_GRE6", {Layer::Gre6, Layer::Wireguard4}, 0},
        {"GRE_in_WireGuard4", {Layer::Wireguard4, Layer::Gre4}, 0},
        {"GRE_with_options_in_WireGuard6", {Layer::Wireguard6, Layer::Gre4Options}, 0},
        {"GRE_in_GRE6", {Layer::Gre6, Layer::Gre4Options}, 0},
    };
    std::vector<Case> out;
    for (const auto& s : stacks) {
        for (const std::uint16_t path : {600, 1280, 1500, 9000}) {
            if (path < 1280 && outer_v6(s.layers[0])) continue;  // no such link
            out.push_back({s.name, s.layers, path});
        }
    }
    return out;
}
INSTANTIATE_TEST_SUITE_P(Stacks, Mtu, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name + "_" + std::to_string(info.param.path); });

}  // namespace

}  // namespace culvert::dataplane::test
