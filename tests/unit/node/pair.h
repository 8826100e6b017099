#pragma once

#include "dataplane/api/mtu.h"
#include "tests/unit/node/node_test.h"

#include <functional>
#include <tuple>

namespace culvert::dataplane::test {

// Two routers, wan to wan: A (192.0.2.1, 2001:db8:2::1) has 10.1.0.0/24 and 2001:db8:1::/64 behind it, B (.2, ::2)
// 10.2.0.0/16 and 2001:db8:b::/48. The tunnels between them are the test's.
class Pair : public NodeTest {
protected:
    Pair()
    {
        auto w = b.wan();
        w.mac = kPeerMac;
        w.address4 = ip4("192.0.2.2");
        w.address6 = ip6("2001:db8:2::2");
        b.set_wan(w);
        b.local("192.0.2.2");
        b.local("2001:db8:2::2");
        b.route_via("192.0.2.1/32", b.adjacency(kWanIf, "192.0.2.1", kWanMac));
        b.route_via("2001:db8:2::1/128", b.adjacency(kWanIf, "2001:db8:2::1", kWanMac));
        const auto host = b.adjacency(kLanIf, "10.1.0.2", kHostMac);
        b.route_via("10.2.0.0/16", host);
        b.route_via("2001:db8:b::/48", host);
    }

    // A GRE tunnel `id` on both, between the wan addresses of a family. `change` is given each side's before it is set.
    void gre(InterfaceId id, Family outer, const std::function<void(api::SetTunnel&)>& change = {},
             std::uint16_t mtu = 1476)
    {
        const bool v4 = outer == Family::Ipv4;
        const auto of_a = ip(v4 ? "192.0.2.1" : "2001:db8:2::1"), of_b = ip(v4 ? "192.0.2.2" : "2001:db8:2::2");
        for (auto [r, from, to] : {std::tuple{&a, of_a, of_b}, std::tuple{&b, of_b, of_a}}) {
            interface(*r, id, mtu);
            api::SetTunnel t{.interface = id,
                             .outer_vrf = kDefaultVrf,
                             .mode = api::TunnelMode::Gre,
                             .ttl = 255,
                             .source = from,
                             .destination = to};
            if (change) change(t);
            r->apply(t);
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
    static void by_tunnel(Router& r, InterfaceId id, std::string_view to, std::string_view gateway = {})
    {
        r.route(to, {.id = {},
                     .kind = api::NexthopKind::Tunnel,
                     .interface = id,
                     .gateway = gateway.empty() ? IpAddress{} : ip(gateway)});
    }
    // What is behind the other goes by the tunnel.
    void routes(InterfaceId id)
    {
        for (const auto* to : {"10.2.0.0/16", "2001:db8:b::/48"}) by_tunnel(a, id, to);
        for (const auto* to : {"10.1.0.0/24", "10.1.0.2/32", "2001:db8:1::/64", "2001:db8:1::2/128"})
            by_tunnel(b, id, to);
    }

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
