#include "tests/unit/node/pair.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace culvert::dataplane::test {

namespace {

constexpr InterfaceId kTunnel{10}, kInner{11};
// The ends of a tunnel inside another one.
constexpr std::string_view kEndA = "172.31.0.1", kEndB = "172.31.0.2";

using api::EspAlgorithm;
using api::EspMode;
using api::TunnelStack;

// One tunnel of a stack.
struct Layer {
    enum class Kind : std::uint8_t { Gre, Vti, Wireguard } kind = Kind::Gre;
    Family outer = Family::Ipv4;
    bool options = false;  // GRE: key, checksum, sequence numbers
    std::optional<TunnelStack::Esp> esp{};

    bool is_wireguard() const { return kind == Kind::Wireguard; }
};
constexpr Family kV4 = Family::Ipv4, kV6 = Family::Ipv6;

Layer gre_layer(Family outer, bool options = false) { return {Layer::Kind::Gre, outer, options}; }
Layer wireguard_layer(Family outer) { return {Layer::Kind::Wireguard, outer}; }
Layer vti(Family outer, EspAlgorithm algorithm, bool udp = false)
{
    return {Layer::Kind::Vti, outer, false, TunnelStack::Esp{outer, algorithm, EspMode::Tunnel, udp}};
}
Layer gre_esp(Family outer, EspAlgorithm algorithm, EspMode mode, bool options = false, bool udp = false)
{
    return {Layer::Kind::Gre, outer, options, TunnelStack::Esp{outer, algorithm, mode, udp}};
}

struct Case {
    std::string name;
    std::vector<Layer> layers;  // the outermost first
    std::uint16_t path;         // MTU of the wan
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name << " over " << c.path; }

// Whatever goes into a stack of tunnels comes out, or is answered with a size that then comes out whole at the first
// try. Never silence.
class Mtu : public ::testing::WithParamInterface<Case>, public Pair {
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
            auto wan = r->wan();
            wan.mtu = GetParam().path;
            r->set_wan(wan);
        }
        mtu = GetParam().path;
        const auto& layers = GetParam().layers;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const bool nested = i > 0;
            const auto id = layers[i].is_wireguard() ? kWg : i == 0 ? kTunnel : kInner;
            mtu = api::tunnel_mtu(stack(layers[i]), mtu).mtu;
            if (layers[i].is_wireguard())
                wireguard(layers[i], nested);
            else
                tunnel(id, layers[i], nested);
            const auto kind = layers[i].is_wireguard() ? api::NexthopKind::WireguardLookup : api::NexthopKind::Tunnel;
            if (i + 1 == layers.size()) {
                routes(id, kind);
            } else {
                by_tunnel(a, id, std::string{kEndB} + "/32", {}, kind);
                by_tunnel(b, id, std::string{kEndA} + "/32", {}, kind);
            }
        }
        relay();
        outer.clear();
    }

    static TunnelStack stack(const Layer& l)
    {
        if (l.is_wireguard()) return {.wireguard = TunnelStack::Wireguard{}};
        TunnelStack out{.esp = l.esp};
        if (l.kind == Layer::Kind::Gre)
            out.gre =
                TunnelStack::Gre{.outer = l.outer, .checksum = l.options, .key = l.options, .sequence = l.options};
        return out;
    }

    void tunnel(InterfaceId id, const Layer& l, bool nested)
    {
        const ProtectionId protection{l.esp ? index(id) : 0u};
        gre(
            id, l.outer,
            [&](api::SetTunnel& t) {
                t.checksum = t.has_key = t.sequence = l.options;
                t.key = 77;
                t.protection = protection;
                if (l.kind == Layer::Kind::Vti) t.mode = api::TunnelMode::Ipsec;
                const bool of_a = t.source == end_of(false, l.outer);
                if (nested) {
                    t.source = ip(of_a ? kEndA : kEndB);
                    t.destination = ip(of_a ? kEndB : kEndA);
                }
                if (l.esp) protect(of_a ? a : b, l, t);
            },
            mtu);
    }

    void protect(Router& r, const Layer& l, const api::SetTunnel& t)
    {
        r.apply(api::SetProtection{.id = t.protection,
                                   .interface = t.interface,
                                   .outer_vrf = kDefaultVrf,
                                   .inner = l.kind == Layer::Kind::Gre ? api::EspInner::Gre : api::EspInner::Ip,
                                   .local = t.source,
                                   .remote = t.destination});
        for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound}) {
            const bool to_b = (direction == api::SaDirection::Outbound) == (&r == &a);
            api::InstallSa c{};
            c.protection = t.protection;
            c.sequence = 1;
            c.child = 1;
            c.spi = 0x1000u + 2 * index(t.interface) + (to_b ? 1 : 0);
            c.direction = direction;
            c.mode = l.esp->mode;
            c.algorithm = l.esp->algorithm;
            c.udp = l.esp->udp;
            c.local = {t.source, 4500};
            c.remote = {t.destination, 4500};
            c.key.fill(to_b ? 0x33 : 0x44);
            r.command(c);
        }
    }

    void wireguard(const Layer& l, bool nested)
    {
        const auto of_a = nested ? ip(kEndA) : end_of(false, l.outer);
        const auto of_b = nested ? ip(kEndB) : end_of(true, l.outer);
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
        handshake();
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
        bool same = true;
        for (const auto& piece : out_b) {
            auto p = piece.packet();
            const std::size_t at = static_cast<std::size_t>(header4(p).fragment & 0x1fff) * 8;
            for (std::size_t i = 20; i < p.size(); ++i) {
                const bool inside = at + i < in.size();
                same &= inside && p[i] == in[at + i];
                if (inside) seen[at + i] = true;
            }
        }
        EXPECT_TRUE(same) << size;
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
    using enum api::EspAlgorithm;
    const auto wg4 = wireguard_layer(kV4), wg6 = wireguard_layer(kV6);
    const std::vector<Case> stacks = {
        {"GRE4", {gre_layer(kV4)}, 0},
        {"GRE6", {gre_layer(kV6)}, 0},
        {"GRE4_with_options", {gre_layer(kV4, true)}, 0},
        {"GRE6_with_options", {gre_layer(kV6, true)}, 0},
        {"WireGuard4", {wg4}, 0},
        {"WireGuard6", {wg6}, 0},
        {"WireGuard_in_GRE4", {gre_layer(kV4), wg4}, 0},
        {"WireGuard_in_GRE6", {gre_layer(kV6), wg4}, 0},
        {"GRE_in_WireGuard4", {wg4, gre_layer(kV4)}, 0},
        {"GRE_with_options_in_WireGuard6", {wg6, gre_layer(kV4, true)}, 0},
        {"GRE_in_GRE6", {gre_layer(kV6), gre_layer(kV4, true)}, 0},
        {"VTI4_GCM", {vti(kV4, AesGcm128)}, 0},
        {"VTI6_ChaCha", {vti(kV6, ChaCha20Poly1305)}, 0},
        {"VTI4_CBC_SHA256", {vti(kV4, AesCbc128Sha256)}, 0},
        {"VTI6_CBC_SHA512", {vti(kV6, AesCbc256Sha512)}, 0},
        {"VTI4_GCM_UDP", {vti(kV4, AesGcm256, true)}, 0},
        {"VTI6_GCM_UDP", {vti(kV6, AesGcm256, true)}, 0},
        {"GRE4_ESP_transport", {gre_esp(kV4, AesGcm256, EspMode::Transport)}, 0},
        {"GRE6_ESP_transport_CBC", {gre_esp(kV6, AesCbc256Sha384, EspMode::Transport, true)}, 0},
        {"GRE4_ESP_transport_UDP", {gre_esp(kV4, AesGcm128, EspMode::Transport, false, true)}, 0},
        {"GRE4_ESP_tunnel", {gre_esp(kV4, AesGcm128, EspMode::Tunnel, true)}, 0},
        {"GRE6_ESP_tunnel_CBC", {gre_esp(kV6, AesCbc128Sha256, EspMode::Tunnel)}, 0},
        {"WireGuard_in_GRE_in_ESP", {gre_esp(kV4, AesGcm256, EspMode::Transport), wg4}, 0},
        {"WireGuard_in_GRE6_in_ESP_tunnel", {gre_esp(kV6, AesGcm256, EspMode::Tunnel), wg4}, 0},
        {"GRE_ESP_in_WireGuard", {wg4, gre_esp(kV4, AesCbc256Sha256, EspMode::Transport, true)}, 0},
    };
    std::vector<Case> out;
    for (const auto& s : stacks) {
        for (const std::uint16_t path : {600, 1280, 1500, 9000}) {
            if (path < 1280 && s.layers[0].outer == kV6) continue;  // no such link
            out.push_back({s.name, s.layers, path});
        }
    }
    return out;
}
INSTANTIATE_TEST_SUITE_P(Stacks, Mtu, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name + "_" + std::to_string(info.param.path); });

}  // namespace

}  // namespace culvert::dataplane::test
