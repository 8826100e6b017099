#pragma once

#include "dataplane/api/mtu.h"
#include "tests/unit/node/node_test.h"

#include <array>
#include <functional>
#include <tuple>

namespace culvert::dataplane::test {

// The address by which the other of two routers, wan to wan, knows A or B.
inline IpAddress end_of(bool of_b, Family family)
{
    return family == Family::Ipv4 ? ip(of_b ? "192.0.2.2" : "192.0.2.1") : ip(of_b ? "2001:db8:2::2" : "2001:db8:2::1");
}

// Turns a Router as it comes, which is A, into B.
inline void make_far(Router& b)
{
    auto w = b.wan();
    w.mac = kPeerMac;
    w.address4 = end_of(true, Family::Ipv4).v4();
    w.address6 = end_of(true, Family::Ipv6).v6();
    b.set_wan(w);
    b.local("192.0.2.2");
    b.local("2001:db8:2::2");
    b.route_via("192.0.2.1/32", b.adjacency(kWanIf, "192.0.2.1", kWanMac));
    b.route_via("2001:db8:2::1/128", b.adjacency(kWanIf, "2001:db8:2::1", kWanMac));
    const auto host = b.adjacency(kLanIf, "10.1.0.2", kHostMac);
    b.route_via("10.2.0.0/16", host);
    b.route_via("2001:db8:b::/48", host);
}

// Two routers, wan to wan: A (192.0.2.1, 2001:db8:2::1) has 10.1.0.0/24 and 2001:db8:1::/64 behind it, B (.2, ::2)
// 10.2.0.0/16 and 2001:db8:b::/48. The tunnels between them are the test's.
class Pair : public NodeTest {
protected:
    static constexpr PeerId kPeer{1};  // WireGuard's
    static constexpr std::uint16_t kPort = 51820;

    Pair() { make_far(b); }

    // A GRE tunnel `id` on both, between the wan addresses of a family. `change` is given each side's before it is set.
    void gre(InterfaceId id, Family outer, const std::function<void(api::SetTunnel&)>& change = {},
             std::uint16_t mtu = 1476)
    {
        for (const bool of_b : {false, true}) {
            Router& r = of_b ? b : a;
            interface(r, id, mtu);
            api::SetTunnel t{.interface = id,
                             .outer_vrf = kDefaultVrf,
                             .mode = api::TunnelMode::Gre,
                             .ttl = 255,
                             .source = end_of(of_b, outer),
                             .destination = end_of(!of_b, outer)};
            if (change) change(t);
            r.apply(t);
        }
    }
    static void interface(Router& r, InterfaceId id, std::uint16_t mtu)
    {
        r.apply(api::SetInterface{.id = id,
                                  .vrf = kDefaultVrf,
                                  .kind = api::InterfaceKind::Tunnel,
                                  .up = true,
                                  .mtu = mtu,
                                  .address4 = ip4("10.255.0.1"),
                                  .address6 = ip6("fd00::1")});
    }
    static void by_tunnel(Router& r, InterfaceId id, std::string_view to, std::string_view gateway = {},
                          api::NexthopKind kind = api::NexthopKind::Tunnel)
    {
        r.route(to, {.id = {}, .kind = kind, .interface = id, .gateway = gateway.empty() ? IpAddress{} : ip(gateway)});
    }
    // What is behind the other goes by the tunnel.
    void routes(InterfaceId id, api::NexthopKind kind = api::NexthopKind::Tunnel)
    {
        for (const auto* to : kBehindB) by_tunnel(a, id, to, {}, kind);
        for (const auto* to : kBehindA) by_tunnel(b, id, to, {}, kind);
    }
    static constexpr std::array kBehindB{"10.2.0.0/16", "2001:db8:b::/48"};
    static constexpr std::array kBehindA{"10.1.0.0/24", "10.1.0.2/32", "2001:db8:1::/64", "2001:db8:1::2/128"};

    // With A as the initiator.
    api::InstallKeys keys(bool of_a) const
    {
        api::InstallKeys k{.peer = kPeer,
                           .sequence = 1,
                           .local_index = of_a ? 100u : 200u,
                           .remote_index = of_a ? 200u : 100u,
                           .initiator = of_a,
                           .created = a.context.now};
        (of_a ? k.sending : k.receiving).fill(0x11);
        (of_a ? k.receiving : k.sending).fill(0x22);
        return k;
    }
    // A has initiated, and proves its key by what it sends.
    void handshake()
    {
        b.command(keys(false));
        a.command(keys(true));
        relay();
    }

    void to_b(const Octets& p) { b.receive(kWan, frame(kPeerMac, kWanMac, p)); }
    // Carries what each sent by its wan to the other, until nothing is left. What left by a lan stays in `out`.
    void relay()
    {
        for (bool more = true; more;) {
            more = false;
            for (auto [from, to, out] : {std::tuple{&a, &b, &out_a}, std::tuple{&b, &a, &out_b}}) {
                auto sent = std::move(from->sent);
                from->sent.clear();
                for (auto& s : sent) {
                    if (s.port == kLan) {
                        out->push_back(s);
                        continue;
                    }
                    outer.push_back(s.packet());
                    more = true;
                    to->receive(kWan, s.frame);
                }
            }
        }
    }
    static Octets inner4(std::size_t payload = 100, std::uint8_t tos = 0, std::uint16_t fragment = 0)
    {
        return packet(
            Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = payload, .tos = tos, .fragment = fragment});
    }
    static Octets inner6(std::size_t payload = 100, std::uint8_t tos = 0)
    {
        return packet(
            Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:b::5"), .payload = payload, .traffic_class = tos});
    }
    // As it is after two routers.
    static Octets forwarded(Octets p)
    {
        if (p[0] >> 4 == 6) {
            header6(p).hop_limit = static_cast<std::uint8_t>(header6(p).hop_limit - 2);
        } else {
            header4(p).ttl = static_cast<std::uint8_t>(header4(p).ttl - 2);
            header4(p).compute_checksum();
        }
        return p;
    }

    Router a, b;
    std::vector<Sent> out_a, out_b;
    std::vector<Octets> outer;  // what went over the wan
};

}  // namespace culvert::dataplane::test
