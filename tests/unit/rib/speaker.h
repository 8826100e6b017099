#pragma once

#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/message.h"
#include "controlplane/bgp/update.h"
#include "controlplane/rib/rib.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace culvert::rib {

inline constexpr TimePoint kT0{1h};
inline constexpr Asn kOwnAs{65000};

inline IpPrefix prefix(const std::string& text) { return *IpPrefix::parse(text); }
inline IpAddress address(const std::string& text) { return *IpAddress::parse(text); }

inline bgp::AsPath path(std::vector<std::uint32_t> asns)
{
    bgp::AsPath p;
    for (auto a = asns.rbegin(); a != asns.rend(); ++a) p.prepend(Asn{*a});
    return p;
}

// The bytes a session would read, as the RIB's view of them.
class Wire {
public:
    explicit Wire(const bgp::Negotiated& negotiated) : negotiated_(negotiated) {}

    void announce(Rib& rib, PeerHandle peer, const std::vector<IpPrefix>& prefixes, const bgp::PathAttributes& a,
                  TimePoint now = kT0)
    {
        std::vector<std::uint8_t> bytes;
        const auto encoded = bgp::encode_attributes(a, negotiated_);
        bgp::UpdateBuilder builder(negotiated_, bytes);
        ASSERT_TRUE(builder.announce(prefixes.front().family(), encoded));
        for (const auto& p : prefixes) builder.add(p);
        builder.flush();
        feed(rib, peer, bytes, now);
    }
    void withdraw(Rib& rib, PeerHandle peer, const std::vector<IpPrefix>& prefixes)
    {
        std::vector<std::uint8_t> bytes;
        bgp::UpdateBuilder builder(negotiated_, bytes);
        builder.withdraw(prefixes.front().family());
        for (const auto& p : prefixes) builder.add(p);
        builder.flush();
        feed(rib, peer, bytes, kT0);
    }
    void feed(Rib& rib, PeerHandle peer, Bytes bytes, TimePoint now)
    {
        while (!bytes.empty()) {
            const std::size_t length = static_cast<std::size_t>(bytes[16]) << 8 | bytes[17];
            ASSERT_EQ(bytes[18], static_cast<std::uint8_t>(bgp::MessageType::Update));
            const auto view = bgp::decode_update(bytes.subspan(19, length - 19), negotiated_, scratch_);
            ASSERT_TRUE(view.has_value());
            rib.on_update(peer, *view, now);
            bytes = bytes.subspan(length);
        }
    }

private:
    bgp::Negotiated negotiated_;
    std::vector<std::uint8_t> scratch_;
};

// The other end of what fill() writes: what a neighbour has understood so far.
struct Received {
    std::map<IpPrefix, bgp::PathAttributes> routes;
    std::size_t updates = 0, announced = 0, withdrawn = 0;
    std::vector<std::string> markers;  // "eor4", "borr4", "eorr4", ...
    std::vector<std::size_t> lengths;  // of the messages

    void read(Bytes bytes, const bgp::Negotiated& negotiated)
    {
        std::vector<std::uint8_t> scratch;
        while (!bytes.empty()) {
            const std::size_t length = static_cast<std::size_t>(bytes[16]) << 8 | bytes[17];
            const auto body = bytes.subspan(19, length - 19);
            const auto type = static_cast<bgp::MessageType>(bytes[18]);
            lengths.push_back(length);
            bytes = bytes.subspan(length);
            if (type == bgp::MessageType::RouteRefresh) {
                const auto refresh = bgp::decode_route_refresh(body, true);
                ASSERT_TRUE(refresh && *refresh);
                const bool begin = (*refresh)->kind == bgp::RouteRefresh::Kind::Begin;
                markers.push_back((begin ? "borr" : "eorr") +
                                  std::string((*refresh)->family.afi == bgp::Afi::Ipv4 ? "4" : "6"));
                continue;
            }
            ASSERT_EQ(type, bgp::MessageType::Update);
            const auto view = bgp::decode_update(body, negotiated, scratch);
            ASSERT_TRUE(view.has_value());
            ASSERT_EQ(view->action, bgp::Action::None);
            ++updates;
            if (view->end_of_rib) markers.push_back(*view->end_of_rib == Family::Ipv4 ? "eor4" : "eor6");
            for (const auto& gone : view->unreach)
                for (const auto& p : gone) {
                    EXPECT_EQ(routes.erase(p), 1U) << "withdrawn but never announced: " << p.to_string();
                    ++withdrawn;
                }
            auto attributes = bgp::decode_attributes(view->attributes, negotiated);
            for (const auto& reach : view->reach) {
                attributes.next_hop = reach.next_hop;
                attributes.link_local_next_hop = reach.link_local_next_hop;
                for (const auto& p : reach.nlri) {
                    routes[p] = attributes;
                    ++announced;
                }
            }
        }
    }
};

// A RIB with neighbours whose next hops all work, and what comes out of it.
class Speaker : public RouteSink, public FeasibleSink, public NexthopSink {
public:
    struct Link {
        PeerHandle handle;
        bgp::Negotiated negotiated;
        PeerConfig config;
        PeerContext context;
        Received received;
    };
    struct Installed {
        std::uint8_t distance;
        std::uint32_t metric;
        std::vector<IpAddress> next_hops, backup;
        std::map<IpAddress, int> weights;  // of next_hops
    };

    static RibConfig open_config()
    {
        RibConfig c;
        c.asn = kOwnAs;
        c.router_id = {0x0a0000fe};
        c.ebgp_requires_policy = false;
        return c;
    }

    explicit Speaker(const RibConfig& config = open_config()) : rib(config) {}

    // Neighbour 10.0.0.N in `asn`; internal if that is ours.
    PeerHandle peer(std::uint8_t n, std::uint32_t asn, PeerConfig config = {})
    {
        Link l;
        l.config = config;
        l.config.address = Ipv4Address{0x0a000000U + n};
        l.negotiated.four_octet_as = true;
        l.negotiated.ipv6_unicast = true;
        l.negotiated.external = Asn{asn} != kOwnAs;
        l.negotiated.local_as = config.local_as.value_or(kOwnAs);
        l.negotiated.remote_as = Asn{asn};
        l.context.remote_address = l.config.address;
        l.context.router_id = {0x01010100U + n};
        l.context.local_address = {Ipv4Address{0x0a0000fe}, address("2001:db8::fe")};
        l.handle = rib.add_peer(l.config);
        links[l.handle] = l;
        up(l.handle);
        return l.handle;
    }
    void up(PeerHandle p)
    {
        Link& l = links.at(p);
        l.received = {};
        l.context.negotiated = l.negotiated;
        rib.on_peer_up(p, l.context, kT0);
    }

    bgp::PathAttributes from(PeerHandle p, std::vector<std::uint32_t> asns) const
    {
        const Link& l = links.at(p);
        bgp::PathAttributes a;
        a.origin = bgp::Origin::Igp;
        if (l.negotiated.external) asns.insert(asns.begin(), index(l.negotiated.remote_as));
        a.as_path = path(asns);
        a.next_hop = l.context.remote_address;
        return a;
    }
    void announce(PeerHandle p, const std::string& text, const bgp::PathAttributes& a)
    {
        Wire(links.at(p).negotiated).announce(rib, p, {prefix(text)}, a);
    }
    void announce(PeerHandle p, const std::string& text, std::vector<std::uint32_t> asns = {})
    {
        auto a = from(p, asns);
        if (text.find(':') != std::string::npos) a.next_hop = address("2001:db8::" + std::to_string(index(p)));
        announce(p, text, a);
    }
    void withdraw(PeerHandle p, const std::string& text)
    {
        Wire(links.at(p).negotiated).withdraw(rib, p, {prefix(text)});
    }

    // Everything until there is nothing to do.
    void settle(TimePoint now = kT0)
    {
        for (bool more = true; more;) {
            more = rib.run(1000);
            more |= rib.drain_nexthops(*this) > 0;
            more |= rib.drain_routes(*this) > 0;
            more |= rib.drain_feasible(*this) > 0;
            for (auto& [p, l] : links) {
                std::vector<std::uint8_t> bytes;
                while (rib.pending(p) && (rib.fill(p, bytes, 512, now) > 0 || now >= rib.next_deadline() ||
                                          rib.next_deadline() == kNever)) {}
                l.received.read(bytes, l.negotiated);
            }
        }
    }

    Received& seen_by(PeerHandle p) { return links.at(p).received; }
    const bgp::PathAttributes* sent(PeerHandle p, const std::string& text)
    {
        settle();
        const auto& routes = seen_by(p).routes;
        const auto found = routes.find(prefix(text));
        return found == routes.end() ? nullptr : &found->second;
    }
    PeerHandle best(const std::string& text)
    {
        settle();
        const auto view = rib.find(prefix(text));
        return view && !view->paths.empty() && view->paths.front().best ? view->paths.front().peer : kNoPeer;
    }
    Reason reason(const std::string& text) { return rib.find(prefix(text))->reason; }

    void on_route(const RouteChange& c) override
    {
        ++route_changes;
        if (c.paths.empty()) {
            EXPECT_EQ(installed.erase(c.prefix), 1U) << c.prefix.to_string();
            return;
        }
        Installed i{c.distance, c.metric, {}, {}, {}};
        for (const auto& p : c.paths) {
            i.next_hops.push_back(p.next_hop);
            i.weights.try_emplace(p.next_hop, p.weight);
        }
        for (const auto& p : c.backup) i.backup.push_back(p.next_hop);
        installed[c.prefix] = i;
    }
    void on_feasible(PeerHandle p, const IpPrefix& prefix, bool is) override
    {
        EXPECT_TRUE(is ? feasible.emplace(p, prefix).second : feasible.erase({p, prefix}) == 1)
            << prefix.to_string() << (is ? " again" : " never was");
    }
    void track(const IpAddress& a) override
    {
        EXPECT_TRUE(tracked.insert(a).second);
        if (answer_nexthops) rib.on_nexthop(a, {true, true, 0});
    }
    void untrack(const IpAddress& a) override { EXPECT_EQ(tracked.erase(a), 1U); }

    Rib rib;
    std::map<PeerHandle, Link> links;
    std::map<IpPrefix, Installed> installed;
    std::set<std::pair<PeerHandle, IpPrefix>> feasible;
    std::set<IpAddress> tracked;
    std::size_t route_changes = 0;
    bool answer_nexthops = true;
};

}  // namespace culvert::rib
