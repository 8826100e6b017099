#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/message.h"
#include "controlplane/rib/rib.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <vector>

// Networks of RIBs in virtual time. Every router is an AS of its own; links carry the real bytes in order, each with a
// delay of its own that varies; they break, lose what is under way, and come back; routers take up and drop prefixes,
// ask for refreshes, run out of socket room. When everything has come to rest, each router's table is compared with an
// independent computation: a plain path-vector iteration over the topology that is left.
//
// The seed is printed; CULVERT_SEED=N runs that one alone.

namespace culvert::rib {
namespace {

struct Random {
    std::uint64_t state;
    std::uint64_t operator()() { return mix(state += 0x9e3779b97f4a7c15ULL); }
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(operator()() % n); }
    bool chance(std::size_t percent) { return below(100) < percent; }
};

constexpr TimePoint kT0{1h};

Asn asn_of(std::size_t router) { return Asn{static_cast<std::uint32_t>(64600 + router)}; }
Ipv4Address id_of(std::size_t router) { return {static_cast<std::uint32_t>(0x01000000 + router)}; }
// Both ends of a link in its own /24: 10.LINK.END
Ipv4Address address_of(std::size_t link, std::size_t end)
{
    return {static_cast<std::uint32_t>(0x0a000000 + link * 256 + end + 1)};
}

struct End {
    std::size_t router;
    PeerHandle peer;
};

struct Link {
    std::array<End, 2> ends;
    bool up = false;
    std::uint64_t incarnation = 0;
    std::array<TimePoint, 2> last_arrival{kT0, kT0};  // by sender: order is kept
};

struct Node : RouteSink, NexthopSink {
    explicit Node(const RibConfig& config) : rib(config) {}
    void on_route(const RouteChange& c) override
    {
        if (c.paths.empty())
            EXPECT_EQ(routes.erase(c.prefix), 1U);
        else
            routes[c.prefix] = c.paths.front();
    }
    void track(const IpAddress& a) override { tracked.push_back(a); }
    void untrack(const IpAddress& a) override { reachable.erase(a); }

    Rib rib;
    std::map<IpPrefix, RoutePath> routes;  // what the route table was told
    std::vector<IpAddress> tracked;
    std::set<IpAddress> reachable;
    std::set<IpPrefix> own;
    std::vector<std::uint8_t> scratch;
};

struct Delivery {
    TimePoint at;
    std::uint64_t order;
    std::size_t link, to_end;
    std::uint64_t incarnation;
    std::vector<std::uint8_t> bytes;
    friend bool operator>(const Delivery& a, const Delivery& b)
    {
        return std::tie(a.at, a.order) > std::tie(b.at, b.order);
    }
};

class Network {
public:
    Network(std::uint64_t seed, std::size_t routers, std::size_t extra_links, std::size_t prefixes)
        : random_{seed}, enhanced_(random_.chance(50)), two_octet_(random_.chance(30))
    {
        for (std::size_t r = 0; r < routers; ++r) {
            RibConfig c;
            c.asn = asn_of(r);
            c.router_id = id_of(r);
            c.ebgp_requires_policy = false;
            c.compare_routerid = true;  // or the outcome depends on who was first
            c.hash_seed = random_();
            nodes_.push_back(std::make_unique<Node>(c));
        }
        for (std::size_t r = 1; r < routers; ++r) add_link(random_.below(r), r);
        for (std::size_t i = 0; i < extra_links; ++i) {
            const auto a = random_.below(routers), b = random_.below(routers);
            if (a != b) add_link(a, b);
        }
        for (std::size_t i = 0; i < prefixes; ++i)
            prefixes_.push_back(random_.chance(70)
                                    ? IpPrefix::make(Ipv4Address{static_cast<std::uint32_t>(0x14000000 + i * 65536)},
                                                     static_cast<int>(16 + random_.below(17)))
                                    : IpPrefix::make(Ipv6Address::from_words(0x20010db800000000 + (i << 8), 0),
                                                     static_cast<int>(56 + random_.below(9))));
    }

    void run(std::size_t steps)
    {
        for (std::size_t i = 0; i < links_.size(); ++i)
            if (random_.chance(80)) connect(i);
        for (std::size_t i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            disturb();
            // Some of what is under way arrives before the next thing happens.
            const auto until = now_ + std::chrono::milliseconds{random_.below(40)};
            while (!deliveries_.empty() && deliveries_.top().at <= until) deliver();
            now_ = std::max(now_, until);
            if (random_.chance(70)) serve(random_.below(nodes_.size()), random_.chance(50));
        }
    }

    void settle()
    {
        for (;;) {
            bool any = false;
            for (std::size_t r = 0; r < nodes_.size(); ++r) any |= serve(r, true);
            while (!deliveries_.empty()) {
                deliver();
                any = true;
            }
            if (!any) return;
            ASSERT_LT(++rounds_, 10000U) << "does not converge";
        }
    }

    // Every AS-path a router may see, shortest first; ties by the neighbour's router id, then its address.
    void check() const
    {
        for (const auto& p : prefixes_) {
            struct Best {
                std::vector<std::size_t> path;  // routers, ours not among them
                std::size_t link = 0, end = 0;
            };
            std::vector<std::optional<Best>> best(nodes_.size());
            for (std::size_t r = 0; r < nodes_.size(); ++r)
                if (nodes_[r]->own.contains(p)) best[r] = Best{};
            for (bool changed = true; changed;) {
                changed = false;
                for (std::size_t r = 0; r < nodes_.size(); ++r) {
                    if (nodes_[r]->own.contains(p)) continue;
                    std::optional<Best> chosen;
                    std::tuple<std::size_t, std::size_t, std::size_t> rank;
                    for (std::size_t l = 0; l < links_.size(); ++l) {
                        for (std::size_t e = 0; e < 2; ++e) {
                            if (!links_[l].up || links_[l].ends[e].router != r) continue;
                            const auto from = links_[l].ends[1 - e].router;
                            if (!best[from] || !from_other(*best[from], l)) continue;
                            Best offer{{from}, l, e};
                            std::ranges::copy(best[from]->path, std::back_inserter(offer.path));
                            if (std::ranges::count(offer.path, r)) continue;
                            const std::tuple offer_rank{offer.path.size(), from, l};
                            if (!chosen || offer_rank < rank) {
                                chosen = offer;
                                rank = offer_rank;
                            }
                        }
                    }
                    if (chosen.has_value() != best[r].has_value() ||
                        (chosen && (chosen->path != best[r]->path || chosen->link != best[r]->link))) {
                        best[r] = chosen;
                        changed = true;
                    }
                }
            }
            for (std::size_t r = 0; r < nodes_.size(); ++r)
                compare(r, p, best[r] ? &best[r]->path : nullptr, best[r] ? best[r]->link : 0,
                        best[r] ? best[r]->end : 0);
        }
        for (const auto& n : nodes_) EXPECT_FALSE(n->rib.has_work());
    }

    // When all links are down and nothing is originated, nothing may be left.
    void tear_down()
    {
        for (std::size_t i = 0; i < links_.size(); ++i) disconnect(i);
        for (auto& n : nodes_) {
            for (const auto& p : n->own) n->rib.withdraw(p, LocalSource::Network);
            n->own.clear();
        }
        settle();
        for (const auto& n : nodes_) {
            const auto m = n->rib.memory();
            EXPECT_EQ(m.prefixes, 0U);
            EXPECT_EQ(m.paths, 0U);
            EXPECT_EQ(m.attribute_sets, 0U);
            EXPECT_EQ(m.sent_sets, 0U);
            EXPECT_EQ(m.nexthops, 0U);
            EXPECT_TRUE(n->routes.empty());
        }
    }

private:
    template <class Best>
    static bool from_other(const Best& b, std::size_t link)
    {
        return b.path.empty() || b.link != link;  // split horizon
    }

    void compare(std::size_t r, const IpPrefix& p, const std::vector<std::size_t>* path, std::size_t link,
                 std::size_t end) const
    {
        const auto view = nodes_[r]->rib.find(p);
        const bool has = view && view->paths.front().best;
        std::string expected;
        if (path != nullptr)
            for (const auto hop : *path) expected += (expected.empty() ? "" : " ") + std::to_string(index(asn_of(hop)));
        ASSERT_EQ(has, path != nullptr) << "router " << r << " " << p.to_string() << " path " << expected << " of "
                                        << (view ? view->paths.size() : 0);
        const auto installed = nodes_[r]->routes.find(p);
        if (!has || path->empty()) {
            ASSERT_TRUE(installed == nodes_[r]->routes.end()) << "router " << r << " " << p.to_string();
            return;
        }
        const auto& best = view->paths.front();
        ASSERT_EQ(best.attributes.as_path.to_string(), expected) << "router " << r << " " << p.to_string();
        ASSERT_EQ(best.peer, links_[link].ends[end].peer) << "router " << r << " " << p.to_string();
        ASSERT_TRUE(installed != nodes_[r]->routes.end());
        ASSERT_EQ(installed->second.peer, best.peer);
    }

    void add_link(std::size_t a, std::size_t b)
    {
        Link l;
        const auto number = links_.size();
        for (std::size_t e = 0; e < 2; ++e) {
            const auto router = e == 0 ? a : b;
            PeerConfig c;
            c.address = address_of(number, 1 - e);
            l.ends[e] = {router, nodes_[router]->rib.add_peer(c)};
        }
        links_.push_back(l);
    }

    bgp::Negotiated negotiated(std::size_t link, std::size_t end) const
    {
        bgp::Negotiated n;
        n.four_octet_as = !two_octet_ || link % 2;
        n.extended_message = link % 3 == 0;
        n.ipv6_unicast = true;
        n.route_refresh = true;
        n.enhanced_route_refresh = enhanced_;
        n.local_as = asn_of(links_[link].ends[end].router);
        n.remote_as = asn_of(links_[link].ends[1 - end].router);
        return n;
    }

    void connect(std::size_t number)
    {
        Link& l = links_[number];
        if (l.up) return;
        l.up = true;
        ++l.incarnation;
        for (std::size_t e = 0; e < 2; ++e) {
            PeerContext c;
            c.negotiated = negotiated(number, e);
            c.remote_address = address_of(number, 1 - e);
            c.router_id = id_of(l.ends[1 - e].router);
            c.local_address = {address_of(number, e), Ipv6Address::from_words(0x20010db8ffff0000 + number, e + 1)};
            nodes_[l.ends[e].router]->rib.on_peer_up(l.ends[e].peer, c, now_);
        }
    }

    void disconnect(std::size_t number)
    {
        Link& l = links_[number];
        if (!l.up) return;
        l.up = false;
        for (const auto& e : l.ends) nodes_[e.router]->rib.on_peer_down(e.peer);
    }

    void disturb()
    {
        const auto router = random_.below(nodes_.size());
        Node& n = *nodes_[router];
        const auto link = random_.below(links_.size());
        const auto kind = random_.below(100);
        if (kind < 55) {
            const auto& p = prefixes_[random_.below(prefixes_.size())];
            if (n.own.contains(p) && random_.chance(60)) {
                n.rib.withdraw(p, LocalSource::Network);
                n.own.erase(p);
            } else {
                bgp::PathAttributes a;
                a.origin = bgp::Origin::Igp;
                a.communities = {static_cast<std::uint32_t>(random_.below(5))};
                n.rib.originate(p, LocalSource::Network, a, now_);
                n.own.insert(p);
            }
        } else if (kind < 70) {
            disconnect(link);
        } else if (kind < 88) {
            connect(link);
        } else if (kind < 94 && links_[link].up) {
            const auto e = random_.below(2);
            const auto& end = links_[link].ends[e];
            nodes_[end.router]->rib.on_refresh(end.peer, random_.chance(50) ? Family::Ipv4 : Family::Ipv6);
        } else if (links_[link].up) {
            const auto& end = links_[link].ends[random_.below(2)];
            nodes_[end.router]->rib.clear_soft_in(end.peer, Family::Ipv4);
        }
    }

    // One round of a router's event loop. True: something happened.
    bool serve(std::size_t router, bool all)
    {
        Node& n = *nodes_[router];
        bool any = n.rib.has_work();
        n.rib.run(all ? 1'000'000 : random_.below(2000));
        n.tracked.clear();
        any |= n.rib.drain_nexthops(n) > 0;
        for (const auto& a : n.tracked) {
            n.rib.on_nexthop(a, {true, true, 0});
            any = true;
        }
        any |= n.rib.drain_routes(n, all ? 100'000 : random_.below(20)) > 0;
        for (std::size_t l = 0; l < links_.size(); ++l) {
            for (std::size_t e = 0; e < 2; ++e) {
                if (!links_[l].up || links_[l].ends[e].router != router) continue;
                if (!all && random_.chance(50)) continue;
                const auto peer = links_[l].ends[e].peer;
                if (!n.rib.pending(peer)) continue;
                any = true;
                Delivery d;
                n.rib.fill(peer, d.bytes, all ? 65536 : 1 + random_.below(500), now_);
                if (d.bytes.empty()) continue;
                auto& last = links_[l].last_arrival[e];
                last = std::max(last, now_ + std::chrono::microseconds{random_.below(200'000)});
                d.at = last;
                d.order = ++order_;
                d.link = l;
                d.to_end = 1 - e;
                d.incarnation = links_[l].incarnation;
                deliveries_.push(std::move(d));
            }
        }
        return any;
    }

    void deliver()
    {
        const Delivery d = deliveries_.top();
        deliveries_.pop();
        now_ = std::max(now_, d.at);
        const Link& l = links_[d.link];
        if (!l.up || l.incarnation != d.incarnation) return;  // lost with the link
        const auto& to = l.ends[d.to_end];
        Node& n = *nodes_[to.router];
        for (Bytes rest{d.bytes}; !rest.empty();) {
            const std::size_t length = static_cast<std::size_t>(rest[16]) << 8 | rest[17];
            const auto body = rest.subspan(19, length - 19);
            if (rest[18] == static_cast<std::uint8_t>(bgp::MessageType::RouteRefresh)) {
                const auto refresh = bgp::decode_route_refresh(body, true);
                ASSERT_TRUE(refresh && *refresh);
                const auto family = (*refresh)->family.afi == bgp::Afi::Ipv4 ? Family::Ipv4 : Family::Ipv6;
                if ((*refresh)->kind == bgp::RouteRefresh::Kind::Begin)
                    n.rib.on_refresh_begin(to.peer, family);
                else
                    n.rib.on_refresh_end(to.peer, family);
            } else {
                const auto view = bgp::decode_update(body, negotiated(d.link, d.to_end), n.scratch);
                ASSERT_TRUE(view.has_value()) << view.error().to_string();
                ASSERT_EQ(view->action, bgp::Action::None) << view->error.reason;
                n.rib.on_update(to.peer, *view, now_);
            }
            rest = rest.subspan(length);
        }
    }

    Random random_;
    bool enhanced_, two_octet_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::vector<Link> links_;
    std::vector<IpPrefix> prefixes_;
    std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> deliveries_;
    TimePoint now_ = kT0;
    std::uint64_t order_ = 0;
    std::size_t rounds_ = 0;
};

void simulate(std::uint64_t seed)
{
    std::cout << "seed " << seed << std::endl;
    Random random{seed};
    Network network{seed, 2 + random.below(14), random.below(16), 1 + random.below(60)};
    for (int phase = 0; phase < 3; ++phase) {
        network.run(200);
        network.settle();
        network.check();
        if (::testing::Test::HasFailure()) return;
    }
    network.tear_down();
}

TEST(RibNetwork, ConvergesToTheReference)
{
    if (const char* given = std::getenv("CULVERT_SEED")) return simulate(std::strtoull(given, nullptr, 0));
    const auto runs = [] {
        const char* text = std::getenv("CULVERT_SIM_RUNS");
        return text ? std::strtoull(text, nullptr, 0) : 60ULL;
    }();
    for (std::uint64_t seed = 1; seed <= runs && !::testing::Test::HasFailure(); ++seed) simulate(seed);
}

}  // namespace
}  // namespace culvert::rib
