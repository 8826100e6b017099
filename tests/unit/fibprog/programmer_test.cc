#include "controlplane/fib/programmer.h"

#include "controlplane/route/interfaces.h"
#include "controlplane/route/statics.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace culvert::fibprog {
namespace {

using route::NexthopType;
using route::Source;

constexpr VrfId kVrf{0};
constexpr InterfaceId kEth0{1};
constexpr InterfaceId kEth1{2};
constexpr InterfaceId kWg0{3};
constexpr InterfaceId kLo{4};
constexpr PeerId kHq{7};
constexpr PeerId kEast{8};
constexpr MacAddress kMacA{{2, 0, 0, 0, 0, 0xa}};
constexpr MacAddress kMacB{{2, 0, 0, 0, 0, 0xb}};

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }

template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 16 does not find it by itself

// A dataplane that only keeps books: it checks that every update names things that exist, that nothing is deleted while
// something forwards to it (or did, in a batch not acked yet), and that an id comes back only after its deletion was
// acked.
class Books final : public Sink {
public:
    void push(const api::FibUpdate& update) override
    {
        ++updates;
        EXPECT_EQ(members_due_, 0U + (std::holds_alternative<api::SetGroupMember>(update) ? members_due_ : 0U))
            << "SetGroup's members follow it at once";
        std::visit(
            Overloaded{
                [&](const api::SetNexthop& n) {
                    ++nexthop_updates;
                    EXPECT_FALSE(deleted_nexthops_.contains(n.id)) << "reused before the ack";
                    EXPECT_TRUE(n.kind != api::NexthopKind::Via || groups.contains(n.via));
                    EXPECT_TRUE(n.interface == kNoInterface || interfaces.contains(n.interface));
                    EXPECT_TRUE(n.peer == kNoPeer || peers.contains(n.peer));
                    nexthops[n.id] = n;
                },
                [&](const api::DeleteNexthop& d) {
                    EXPECT_EQ(nexthops.erase(d.id), 1U);
                    for (const auto* world : {&groups, &acked_.groups})
                        for (const auto& [id, group] : *world)
                            for (const auto& m : group.members) EXPECT_NE(m.nexthop, d.id);
                    deleted_nexthops_[d.id] = generation + 1;
                },
                [&](const api::SetGroup& g) {
                    EXPECT_FALSE(deleted_groups_.contains(g.id)) << "reused before the ack";
                    EXPECT_GE(g.member_count, 1);
                    EXPECT_TRUE(g.backup == kNoGroup || groups.contains(g.backup));
                    EXPECT_TRUE(g.like == kNoGroup || groups.contains(g.like));
                    groups[g.id] = {g, {}};
                    members_due_ = g.member_count;
                },
                [&](const api::SetGroupMember& m) {
                    EXPECT_TRUE(nexthops.contains(m.nexthop)) << index(m.nexthop);
                    groups.at(m.group).members.push_back(m);
                    --members_due_;
                },
                [&](const api::DeleteGroup& d) {
                    EXPECT_EQ(groups.erase(d.id), 1U);
                    for (const auto& [id, group] : groups) EXPECT_NE(group.word.backup, d.id);
                    for (const auto* world : {&routes, &acked_.routes})
                        for (const auto& [p, g] : *world) EXPECT_NE(g, d.id) << p.second.to_string();
                    for (const auto* world : {&nexthops, &acked_.nexthops})
                        for (const auto& [id, n] : *world)
                            EXPECT_FALSE(n.kind == api::NexthopKind::Via && nexthops.contains(id) && n.via == d.id);
                    deleted_groups_[d.id] = generation + 1;
                },
                [&](const api::SetRoute& r) {
                    EXPECT_TRUE(groups.contains(r.group));
                    routes[{r.vrf, r.prefix}] = r.group;
                },
                [&](const api::DeleteRoute& r) {
                    EXPECT_EQ(routes.erase({r.vrf, r.prefix}), 1U) << r.prefix.to_string();
                },
                [&](const api::SetInterface& i) { interfaces[i.id] = i; },
                [&](const api::DeleteInterface& i) {
                    EXPECT_EQ(interfaces.erase(i.id), 1U);
                    for (const auto* world : {&nexthops, &acked_.nexthops})
                        for (const auto& [id, n] : *world) EXPECT_NE(n.interface, i.id);
                },
                [&](const api::SetPeer& p) { peers.insert(p.id); },
                [&](const api::DeletePeer& p) {
                    EXPECT_EQ(peers.erase(p.id), 1U);
                    for (const auto* world : {&nexthops, &acked_.nexthops})
                        for (const auto& [id, n] : *world) EXPECT_NE(n.peer, p.id);
                    for (const auto& [peer, source] : sources) EXPECT_NE(peer, p.id);
                },
                [&](const api::SetAllowedIp& a) { allowed[a.prefix] = a.peer; },
                [&](const api::DeleteAllowedIp& a) { EXPECT_EQ(allowed.erase(a.prefix), 1U); },
                [&](const api::AddPeerSource& s) {
                    EXPECT_TRUE(sources.insert({s.peer, s.prefix}).second);
                },
                [&](const api::DeletePeerSource& s) {
                    EXPECT_EQ(sources.erase({s.peer, s.prefix}), 1U);
                },
                [](const auto&) {},
            },
            update);
    }
    std::uint64_t commit() override
    {
        EXPECT_EQ(members_due_, 0U);
        return ++generation;
    }
    std::uint64_t acked() const override { return acked_generation; }
    void ack()
    {
        acked_generation = generation;
        acked_ = {routes, nexthops, groups};
        std::erase_if(deleted_nexthops_, [&](const auto& d) { return d.second <= acked_generation; });
        std::erase_if(deleted_groups_, [&](const auto& d) { return d.second <= acked_generation; });
    }

    // What a packet to `destination` meets: "adj eth1 10.0.0.2 mac", "local", ... Equal-cost paths joined by " | ".
    std::string where(const char* destination) const
    {
        const IpAddress a = address(destination);
        for (int length = max_length(a.family); length >= 0; --length)
            if (const auto it = routes.find({kVrf, IpPrefix::make(a, length)}); it != routes.end())
                return describe(it->second, 1);
        return "no route";
    }
    std::string describe(GroupId id, int depth) const
    {
        EXPECT_LE(depth, 3);
        if (depth > 3) return "too deep";
        std::string all;
        for (const auto& m : groups.at(id).members) {
            const api::SetNexthop& n = nexthops.at(m.nexthop);
            std::ostringstream out;
            switch (n.kind) {
                case api::NexthopKind::Adjacency:
                    out << "adj " << index(n.interface) << " " << n.gateway.to_string() << " "
                        << (n.resolved ? n.mac.to_string() : "?");
                    break;
                case api::NexthopKind::Glean: out << "glean " << index(n.interface); break;
                case api::NexthopKind::WireguardPeer: out << "peer " << index(n.peer); break;
                case api::NexthopKind::WireguardLookup: out << "lookup " << index(n.interface); break;
                case api::NexthopKind::Tunnel: out << "tunnel " << index(n.interface); break;
                case api::NexthopKind::Local: out << "local"; break;
                case api::NexthopKind::Via: out << describe(n.via, depth + 1); break;
                case api::NexthopKind::Blackhole: out << "blackhole"; break;
                case api::NexthopKind::Reject: out << "reject"; break;
                case api::NexthopKind::Broadcast: out << "broadcast"; break;
            }
            all += (all.empty() ? "" : " | ") + out.str();
        }
        return all;
    }

    struct GroupWord {
        api::SetGroup word;
        std::vector<api::SetGroupMember> members;
    };
    using Routes = std::map<std::pair<VrfId, IpPrefix>, GroupId>;

    Routes routes;
    std::map<NexthopId, api::SetNexthop> nexthops;
    std::map<GroupId, GroupWord> groups;
    std::map<InterfaceId, api::SetInterface> interfaces;
    std::set<PeerId> peers;
    std::map<IpPrefix, PeerId> allowed;
    std::set<std::pair<PeerId, IpPrefix>> sources;
    std::uint64_t updates = 0, nexthop_updates = 0, generation = 0, acked_generation = 0;

private:
    struct World {
        Routes routes;
        std::map<NexthopId, api::SetNexthop> nexthops;
        std::map<GroupId, GroupWord> groups;
    };
    World acked_;
    std::map<NexthopId, std::uint64_t> deleted_nexthops_;
    std::map<GroupId, std::uint64_t> deleted_groups_;
    unsigned members_due_ = 0;
};

struct ProgrammerTest : testing::Test {
    Books books;
    route::Tables tables;
    route::Interfaces interfaces{tables};
    route::Statics statics{tables, interfaces};
    Programmer programmer{books, tables};

    void SetUp() override
    {
        interface(kEth0, {"10.0.0.1/24", "2001:db8::1/64"});
        interface(kEth1, {"10.1.0.1/24"});
        interface(kLo, {"10.255.0.1/32", "10.99.0.1/24"}, true, api::InterfaceKind::Loopback);
        run();
    }
    void interface(InterfaceId id, std::vector<const char*> addresses, bool up = true,
                   api::InterfaceKind kind = api::InterfaceKind::Port, std::uint16_t mtu = 1500)
    {
        route::Interface i{id, kVrf, kind, up, {}};
        InterfaceSpec spec{id, kVrf, kind, up};
        for (const char* a : addresses) {
            i.addresses.push_back(*InterfaceAddress::parse(a));
            if (i.addresses.back().address.is_v4()) spec.subnets.push_back(i.addresses.back().subnet());
        }
        interfaces.set(i);
        statics.on_interface(id);
        if (kind == api::InterfaceKind::Port) spec.port = PortId{index(id)};
        spec.mtu = mtu;
        programmer.set_interface(spec);
    }
    void wg0()
    {
        interface(kWg0, {"10.200.0.1/24"}, true, api::InterfaceKind::Wireguard, 1420);
        programmer.set_wireguard({kWg0, kVrf, 51820});
        programmer.set_peer({kHq, kWg0}, {prefix("10.200.0.9/32")});
        programmer.set_peer({kEast, kWg0}, {prefix("10.200.0.10/32"), prefix("10.66.0.0/16")});
        run();
    }
    // Lets everything come to rest, with an ack after each batch.
    void run()
    {
        for (int i = 0; i < 50; ++i) {
            const std::uint64_t before = books.generation;
            bool more = programmer.run();
            more |= statics.run();
            books.ack();
            programmer.on_acked();
            if (!more && before == books.generation) return;
        }
        ADD_FAILURE() << "does not come to rest";
    }
    template <class T>
    std::vector<T> events()
    {
        std::vector<T> some;
        for (Event e; programmer.next_event(e);)
            if (const auto* t = std::get_if<T>(&e)) some.push_back(*t);
        return some;
    }
    void bgp(const char* p, std::vector<const char*> gateways, std::uint8_t distance = 20)
    {
        route::Route r{Source::Bgp, distance, 0, 0, {}, {}};
        for (const char* g : gateways) r.nexthops.push_back({NexthopType::Gateway, kNoInterface, kVrf, address(g), 1});
        tables.set(kVrf, prefix(p), r);
    }
    void fixed(const char* p, const char* gateway)
    {
        tables.set(kVrf, prefix(p),
                   {Source::Static, 1, 0, 0, {{NexthopType::Gateway, kNoInterface, kVrf, address(gateway), 1}}, {}});
    }
};

TEST_F(ProgrammerTest, ANewWeightIsTakenOnAtAPaceByAGroupLikeTheOldOne)
{
    programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacA);
    programmer.set_neighbor(kEth0, address("10.0.0.3"), kMacB);
    const auto weighed = [&](std::uint16_t a, std::uint16_t b) {
        route::Route r{Source::Static, 1, 0, 0, {}, {}};
        r.nexthops.push_back({NexthopType::Gateway, kEth0, kVrf, address("10.0.0.2"), a});
        r.nexthops.push_back({NexthopType::Gateway, kEth0, kVrf, address("10.0.0.3"), b});
        tables.set(kVrf, prefix("20.0.0.0/8"), r);
        run();
        return books.groups.at(books.routes.at({kVrf, prefix("20.0.0.0/8")}));
    };
    const auto first = weighed(1, 3);
    ASSERT_EQ(first.members.size(), 2U);
    EXPECT_EQ(first.members[0].weight, 1);
    EXPECT_EQ(first.members[1].weight, 3);
    EXPECT_FALSE(first.word.gradual);
    const auto second = weighed(2, 3);
    EXPECT_EQ(second.members[0].weight, 2);
    EXPECT_TRUE(second.word.gradual);
    EXPECT_EQ(second.word.like, first.word.id);
}

TEST_F(ProgrammerTest, NextHopsThatAreOneHereAreOneMember)
{
    // On a link the VRF of the gateway doesn't matter: a route that names it twice is no group of two.
    route::Route r{Source::Static, 1, 0, 0, {}, {}};
    r.nexthops.push_back({NexthopType::Gateway, kEth0, kVrf, address("10.0.0.2"), 2});
    r.nexthops.push_back({NexthopType::Gateway, kEth0, VrfId{5}, address("10.0.0.2"), 3});
    r.nexthops.push_back({NexthopType::Gateway, kEth0, kVrf, address("10.0.0.3"), 1});
    tables.set(kVrf, prefix("20.0.0.0/8"), r);
    run();
    const auto& group = books.groups.at(books.routes.at({kVrf, prefix("20.0.0.0/8")}));
    ASSERT_EQ(group.members.size(), 2U);
    EXPECT_EQ(group.members[0].weight + group.members[1].weight, 6);
    tables.remove(kVrf, prefix("20.0.0.0/8"), Source::Static);
    run();
}

TEST_F(ProgrammerTest, ConnectedRoutesGleanOwnAddressesAreLocalALoopbacksRestIsRejected)
{
    EXPECT_EQ(books.where("10.0.0.77"), "glean 1");
    EXPECT_EQ(books.where("10.0.0.1"), "local");
    EXPECT_EQ(books.where("2001:db8::1"), "local");
    EXPECT_EQ(books.where("10.255.0.1"), "local");
    EXPECT_EQ(books.where("10.99.0.1"), "local");
    EXPECT_EQ(books.where("10.99.0.2"), "reject");
    EXPECT_EQ(books.where("203.0.113.1"), "no route");
}

// RFC 1812 5.3.5; RFC 3021 for what is smaller.
TEST_F(ProgrammerTest, ASubnetsBroadcastAndNetworkAddressAreNobodys)
{
    wg0();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
    EXPECT_EQ(books.where("10.0.0.0"), "broadcast");
    EXPECT_EQ(books.where("10.0.0.254"), "glean 1");
    EXPECT_EQ(books.where("10.99.0.255"), "broadcast") << "of a loopback";
    EXPECT_EQ(books.where("10.200.0.255"), "broadcast") << "of a tunnel";
    EXPECT_EQ(books.where("10.255.0.1"), "local") << "/32";
    interface(kEth1, {"10.1.0.0/31", "10.1.4.1/30", "10.0.0.130/25"});
    run();
    EXPECT_EQ(books.where("10.1.0.1"), "glean 2");
    EXPECT_EQ(books.where("10.1.0.0"), "local");
    EXPECT_EQ(books.where("10.1.4.3"), "broadcast");
    EXPECT_EQ(books.where("10.1.0.255"), "no route") << "the old address's";
    EXPECT_EQ(books.where("10.0.0.128"), "broadcast");

    // Two subnets end in one address: it is nobody's while either is there.
    interface(kEth0, {"10.0.0.1/24"}, false);
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
    interface(kEth1, {}, true);
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "no route");
    interface(kEth0, {"10.0.0.1/24"});
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
    programmer.remove_interface(kEth0);
    interfaces.remove(kEth0);
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "no route");
}

TEST_F(ProgrammerTest, WhoHasABroadcastAddressAllTheSameIsReached)
{
    interface(kEth1, {"10.0.0.255/16"});  // is an ordinary address there
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "local");
    interface(kEth1, {"10.1.0.1/24"});
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
    fixed("10.0.0.255/32", "10.1.0.2");
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "adj 2 10.1.0.2 ?");
    tables.remove(kVrf, prefix("10.0.0.255/32"), Source::Static);
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
    programmer.set_neighbor(kEth0, address("10.0.0.255"), kMacA);  // a static one
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "adj 1 10.0.0.255 " + kMacA.to_string());
    programmer.set_neighbor(kEth0, address("10.0.0.255"), std::nullopt);
    run();
    EXPECT_EQ(books.where("10.0.0.255"), "broadcast");
}

TEST_F(ProgrammerTest, ANeighbourGetsAHostRouteAndItsGatewaysTheirMac)
{
    bgp("20.0.0.0/8", {"10.0.0.2"});
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 ?");
    EXPECT_EQ(books.where("10.0.0.2"), "glean 1");
    auto use = events<NeighborUse>();
    ASSERT_EQ(use.size(), 1U);
    EXPECT_TRUE(use[0].in_use);
    EXPECT_TRUE(programmer.uses_neighbor(kEth0, address("10.0.0.2")));

    programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacA);
    programmer.set_neighbor(kEth0, address("10.0.0.3"), kMacB);
    programmer.run();
    EXPECT_TRUE(events<Release>().empty()) << "not before the ack";
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 " + kMacA.to_string());
    EXPECT_EQ(books.where("10.0.0.2"), "adj 1 10.0.0.2 " + kMacA.to_string());
    EXPECT_EQ(books.where("10.0.0.3"), "adj 1 10.0.0.3 " + kMacB.to_string());
    EXPECT_EQ(events<Release>().size(), 2U);
    EXPECT_FALSE(programmer.uses_neighbor(kEth0, address("10.0.0.3"))) << "its own host route doesn't count";

    programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacB);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 " + kMacB.to_string());
    programmer.set_neighbor(kEth0, address("10.0.0.2"), std::nullopt, true);
    events<Release>();
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 ?");
    EXPECT_EQ(books.where("10.0.0.2"), "glean 1");
    const auto release = events<Release>();
    ASSERT_EQ(release.size(), 1U);
    EXPECT_FALSE(release[0].resolved);
    tables.remove(kVrf, prefix("20.0.0.0/8"), Source::Bgp);
    run();
    use = events<NeighborUse>();
    ASSERT_EQ(use.size(), 1U);
    EXPECT_FALSE(use[0].in_use);
}

TEST_F(ProgrammerTest, AMoreSpecificRouteIsStrongerThanANeighboursHostRoute)
{
    programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacA);
    programmer.set_neighbor(kEth1, address("10.1.0.2"), kMacB);
    run();
    bgp("10.0.0.0/29", {"10.1.0.2"});
    run();
    EXPECT_EQ(books.where("10.0.0.2"), "adj 2 10.1.0.2 " + kMacB.to_string());
    bgp("10.0.0.2/32", {"10.1.0.2"});
    run();
    tables.remove(kVrf, prefix("10.0.0.0/29"), Source::Bgp);
    run();
    EXPECT_EQ(books.where("10.0.0.2"), "adj 2 10.1.0.2 " + kMacB.to_string());
    tables.remove(kVrf, prefix("10.0.0.2/32"), Source::Bgp);
    run();
    EXPECT_EQ(books.where("10.0.0.2"), "adj 1 10.0.0.2 " + kMacA.to_string());
}

TEST_F(ProgrammerTest, WhenTheInnerRouteMovesOneNexthopMovesEveryPrefix)
{
    fixed("10.255.0.9/32", "10.0.0.2");
    for (int i = 0; i < 100; ++i) bgp(("20." + std::to_string(i) + ".0.0/16").c_str(), {"10.255.0.9"}, 200);
    run();
    EXPECT_EQ(books.where("20.7.0.1"), "adj 1 10.0.0.2 ?");
    const auto routes = books.routes;
    books.nexthop_updates = 0;
    fixed("10.255.0.9/32", "10.1.0.2");
    run();
    EXPECT_EQ(books.where("20.7.0.1"), "adj 2 10.1.0.2 ?");
    EXPECT_EQ(books.nexthop_updates, 2U) << "the new adjacency, and the Via";
    for (int i = 0; i < 100; ++i) {
        const std::pair key{kVrf, IpPrefix::make(Ipv4Address{20U << 24 | static_cast<std::uint32_t>(i) << 16}, 16)};
        EXPECT_EQ(books.routes.at(key), routes.at(key));
    }
}

TEST_F(ProgrammerTest, AMemberThatCannotBeReachedLeavesTheGroup)
{
    bgp("20.0.0.0/8", {"10.0.0.2", "10.1.0.2"});
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 ? | adj 2 10.1.0.2 ?");
    const GroupId group = books.routes.at({kVrf, prefix("20.0.0.0/8")});
    interface(kEth1, {"10.1.0.1/24"}, false);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 ?");
    interface(kEth0, {"10.0.0.1/24"}, false);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "reject");
    interface(kEth1, {"10.1.0.1/24"}, true);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 2 10.1.0.2 ?");
    EXPECT_EQ(books.routes.at({kVrf, prefix("20.0.0.0/8")}), group);
}

TEST_F(ProgrammerTest, RecursionIsAtMostThreeGroupsDeep)
{
    bgp("20.0.0.0/8", {"10.0.0.2"});
    bgp("30.0.0.0/8", {"20.0.0.1"});
    bgp("40.0.0.0/8", {"30.0.0.1"});
    bgp("50.0.0.0/8", {"40.0.0.1", "10.1.0.9"});
    run();
    EXPECT_EQ(books.where("30.0.0.9"), "adj 1 10.0.0.2 ?");
    EXPECT_EQ(books.where("40.0.0.9"), "adj 1 10.0.0.2 ?");
    EXPECT_EQ(books.where("50.0.0.9"), "adj 2 10.1.0.9 ?");
    bgp("60.0.0.0/8", {"40.0.0.1"});
    run();
    EXPECT_EQ(books.where("60.0.0.9"), "reject");
}

TEST_F(ProgrammerTest, OnWireguardTheGatewayPicksThePeer)
{
    wg0();
    EXPECT_EQ(books.where("10.200.0.77"), "lookup 3");
    bgp("20.0.0.0/8", {"10.200.0.9"});
    bgp("30.0.0.0/8", {"10.200.0.10"});
    bgp("40.0.0.0/8", {"10.200.0.11"});
    bgp("50.0.0.0/8", {"10.66.1.1"});
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "peer 7");
    EXPECT_EQ(books.where("30.0.0.1"), "peer 8");
    EXPECT_EQ(books.where("40.0.0.1"), "reject");
    const auto gateways = programmer.gateways();
    const auto nobody = std::find_if(gateways.begin(), gateways.end(),
                                     [](const auto& g) { return g.address == address("10.200.0.11"); });
    ASSERT_NE(nobody, gateways.end());
    EXPECT_STREQ(nobody->reason, "no peer's allowed-ips hold it");

    // HQ takes an address over, and the route to it follows.
    programmer.set_peer({kHq, kWg0}, {prefix("10.200.0.9/32"), prefix("10.200.0.10/32"), prefix("10.200.0.11/32")});
    run();
    EXPECT_EQ(books.where("30.0.0.1"), "peer 7");
    EXPECT_EQ(books.where("40.0.0.1"), "peer 7");
    EXPECT_EQ(books.allowed.at(prefix("10.200.0.10/32")), kHq);
    EXPECT_FALSE(books.sources.contains({kEast, prefix("10.200.0.10/32")}));
    EXPECT_TRUE(books.sources.contains({kHq, prefix("10.200.0.10/32")}));
}

TEST_F(ProgrammerTest, PeerSourcesAreCounted)
{
    wg0();
    programmer.peer_source(kHq, prefix("20.0.0.0/8"), 1);
    programmer.peer_source(kHq, prefix("20.0.0.0/8"), 1);
    programmer.peer_source(kHq, prefix("10.200.0.9/32"), 1);
    EXPECT_TRUE(books.sources.contains({kHq, prefix("20.0.0.0/8")}));
    programmer.peer_source(kHq, prefix("20.0.0.0/8"), -1);
    EXPECT_TRUE(books.sources.contains({kHq, prefix("20.0.0.0/8")}));
    programmer.peer_source(kHq, prefix("20.0.0.0/8"), -1);
    EXPECT_FALSE(books.sources.contains({kHq, prefix("20.0.0.0/8")}));
    programmer.peer_source(kHq, prefix("10.200.0.9/32"), -1);
    EXPECT_TRUE(books.sources.contains({kHq, prefix("10.200.0.9/32")})) << "still in its allowed-ips";
}

TEST_F(ProgrammerTest, APeerGoesWithAllItHadOnceNothingForwardsToIt)
{
    wg0();
    bgp("20.0.0.0/8", {"10.200.0.9"});
    for (std::uint32_t i = 0; i < 10000; ++i) programmer.peer_source(kHq, IpPrefix{Ipv4Address{i << 8}, 24}, 1);
    run();
    programmer.remove_peer(kHq);
    programmer.run(1000);
    EXPECT_TRUE(events<PeerGone>().empty());
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "reject");
    EXPECT_FALSE(books.peers.contains(kHq));
    EXPECT_EQ(events<PeerGone>().size(), 1U);
    EXPECT_EQ(books.sources.size(), 2U) << "East's allowed-ips";
}

TEST_F(ProgrammerTest, AnInterfaceGoesOnceNothingForwardsByIt)
{
    bgp("20.0.0.0/8", {"10.1.0.2"});
    programmer.set_neighbor(kEth1, address("10.1.0.2"), kMacA);
    run();
    EXPECT_EQ(books.where("10.1.0.2"), "adj 2 10.1.0.2 " + kMacA.to_string());
    interfaces.remove(kEth1);
    programmer.remove_interface(kEth1);
    EXPECT_FALSE(books.interfaces.at(kEth1).up);
    run();
    EXPECT_FALSE(books.interfaces.contains(kEth1));
    EXPECT_EQ(events<InterfaceGone>().size(), 1U);
    EXPECT_EQ(books.where("20.0.0.1"), "reject");
}

TEST_F(ProgrammerTest, WhatNobodyUsesIsDeletedAfterTheAck)
{
    const auto at_rest = programmer.counts();
    bgp("20.0.0.0/8", {"10.0.0.2", "10.1.0.2"});
    run();
    EXPECT_EQ(programmer.counts().nexthops, at_rest.nexthops + 2);
    tables.remove(kVrf, prefix("20.0.0.0/8"), Source::Bgp);
    programmer.run();
    EXPECT_EQ(books.nexthops.size(), at_rest.nexthops + 2);
    EXPECT_EQ(books.where("20.0.0.1"), "no route");
    bgp("20.0.0.0/8", {"10.0.0.2", "10.1.0.2"});  // back before the ack: the same objects
    run();
    EXPECT_EQ(programmer.counts().groups, at_rest.groups + 1);
    tables.remove(kVrf, prefix("20.0.0.0/8"), Source::Bgp);
    run();
    EXPECT_EQ(programmer.counts().nexthops, at_rest.nexthops);
    EXPECT_EQ(programmer.counts().groups, at_rest.groups);
    EXPECT_EQ(books.nexthops.size(), at_rest.nexthops);
    EXPECT_EQ(books.groups.size(), at_rest.groups);
}

TEST_F(ProgrammerTest, ABackupIsAGroupOfItsOwn)
{
    route::Route r{Source::Bgp, 20, 0, 0, {{NexthopType::Gateway, kNoInterface, kVrf, address("10.0.0.2"), 1}}, {}};
    r.backup.push_back({NexthopType::Gateway, kNoInterface, kVrf, address("10.1.0.2"), 1});
    tables.set(kVrf, prefix("20.0.0.0/8"), r);
    run();
    const auto& group = books.groups.at(books.routes.at({kVrf, prefix("20.0.0.0/8")}));
    EXPECT_EQ(books.describe(group.word.backup, 1), "adj 2 10.1.0.2 ?");
}

TEST_F(ProgrammerTest, TheMssIsClampedAsTheInterfaceSays)
{
    InterfaceSpec spec{kEth0, kVrf, api::InterfaceKind::Port, true, PortId{1}};
    spec.mtu = 1420;
    spec.adjust_mss.kind = AdjustMss::Kind::Auto;
    programmer.set_interface(spec);
    EXPECT_EQ(books.interfaces.at(kEth0).mss4, 1380);
    EXPECT_EQ(books.interfaces.at(kEth0).mss6, 1360);
    spec.adjust_mss = {AdjustMss::Kind::Fixed, 1300};
    programmer.set_interface(spec);
    EXPECT_EQ(books.interfaces.at(kEth0).mss4, 1300);
}

TEST_F(ProgrammerTest, ThePathMtuIsTheLeastOfTheWaysThere)
{
    wg0();
    fixed("10.255.0.9/32", "10.200.0.9");
    run();
    EXPECT_EQ(programmer.path_mtu(kVrf, address("10.255.0.9")), 1420);
    EXPECT_EQ(programmer.path_mtu(kVrf, address("10.0.0.7")), 1500);
    EXPECT_EQ(programmer.path_mtu(kVrf, address("203.0.113.1")), 0);
    programmer.watch_path_mtu(kVrf, address("10.255.0.9"));
    run();
    auto changes = events<PathMtuChanged>();
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].mtu, 1420);
    fixed("10.255.0.9/32", "10.0.0.2");
    run();
    changes = events<PathMtuChanged>();
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].mtu, 1500);
}

TEST_F(ProgrammerTest, AVrfGoesOnceNoNextHopIsLocalToIt)
{
    const VrfId red{5};
    programmer.set_vrf(red);
    interfaces.set(
        {InterfaceId{9}, red, api::InterfaceKind::Loopback, true, {*InterfaceAddress::parse("10.9.0.1/32")}});
    programmer.set_interface({InterfaceId{9}, red, api::InterfaceKind::Loopback, true});
    run();
    programmer.remove_vrf(red);
    run();
    EXPECT_TRUE(events<VrfGone>().empty());
    interfaces.remove(InterfaceId{9});
    programmer.remove_interface(InterfaceId{9});
    run();
    EXPECT_EQ(events<VrfGone>().size(), 1U);
}

// Random edits of everything; Books checks each update. In the end all is removed, and nothing may be left.
TEST_F(ProgrammerTest, NothingDanglesAndNothingLeaksUnderRandomEdits)
{
    const auto at_rest = programmer.counts();
    wg0();
    std::mt19937 random(20261122);
    const std::vector<const char*> gateways{"10.0.0.2",   "10.0.0.3",    "10.1.0.2", "10.200.0.9", "10.200.0.10",
                                            "10.255.0.9", "10.255.0.10", "20.1.0.1", "30.1.0.1",   "172.16.0.1"};
    const std::vector<const char*> prefixes{"20.0.0.0/8",  "30.0.0.0/8",     "40.0.0.0/8",    "10.255.0.9/32",
                                            "10.0.0.2/32", "10.255.0.10/32", "10.255.0.0/24", "172.16.0.0/12",
                                            "10.0.0.0/29", "10.200.0.8/30",  "20.1.0.0/16",   "30.1.0.0/16"};
    const auto pick = [&](const auto& of) { return of[random() % of.size()]; };
    for (int step = 0; step < 4000; ++step) {
        switch (random() % 10) {
            case 0:
            case 1:
            case 2: {
                std::vector<const char*> some;
                for (unsigned n = 1 + random() % 3; n > 0; --n) some.push_back(pick(gateways));
                bgp(pick(prefixes), some);
                break;
            }
            case 3: tables.remove(kVrf, prefix(pick(prefixes)), Source::Bgp); break;
            case 4: fixed(pick(prefixes), pick(gateways)); break;
            case 5: tables.remove(kVrf, prefix(pick(prefixes)), Source::Static); break;
            case 6: {
                const bool first = random() % 2 == 0;
                programmer.set_neighbor(
                    first ? kEth0 : kEth1, address(first ? "10.0.0.2" : "10.1.0.2"),
                    random() % 3 != 0 ? std::optional{random() % 2 == 0 ? kMacA : kMacB} : std::nullopt);
                break;
            }
            case 7: interface(kEth1, {"10.1.0.1/24"}, random() % 3 != 0); break;
            case 8:
                programmer.set_peer({kHq, kWg0}, random() % 2 == 0 ? std::vector{prefix("10.200.0.9/32")}
                                                                   : std::vector{prefix("10.200.0.8/30")});
                break;
            case 9:
                programmer.run(1 + random() % 8);
                if (random() % 2 == 0) books.ack();
                programmer.on_acked();
                break;
        }
        for (const char* g : gateways) books.where(g);
    }
    for (const char* p : prefixes) {
        tables.remove(kVrf, prefix(p), Source::Bgp);
        tables.remove(kVrf, prefix(p), Source::Static);
    }
    programmer.set_neighbor(kEth0, address("10.0.0.2"), std::nullopt);
    programmer.set_neighbor(kEth1, address("10.1.0.2"), std::nullopt);
    interface(kEth1, {"10.1.0.1/24"});
    interfaces.remove(kWg0);
    programmer.remove_peer(kHq);
    programmer.remove_peer(kEast);
    programmer.remove_interface(kWg0);
    run();
    EXPECT_EQ(programmer.counts().groups, at_rest.groups);
    EXPECT_EQ(programmer.counts().nexthops, at_rest.nexthops);
    EXPECT_EQ(books.groups.size(), at_rest.groups);
    EXPECT_TRUE(books.sources.empty());
    EXPECT_TRUE(books.allowed.empty());
}

// ---- failures

struct FailoverTest : ProgrammerTest {
    void SetUp() override
    {
        ProgrammerTest::SetUp();
        programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacA);
        programmer.set_neighbor(kEth0, address("10.0.0.3"), kMacB);
        programmer.set_neighbor(kEth1, address("10.1.0.2"), kMacA);
        run();
    }
    void with_backup(const char* p, std::vector<const char*> gateways, const char* backup)
    {
        route::Route r{Source::Bgp, 20, 0, 0, {}, {}};
        for (const char* g : gateways) r.nexthops.push_back({NexthopType::Gateway, kNoInterface, kVrf, address(g), 1});
        r.backup.push_back({NexthopType::Gateway, kNoInterface, kVrf, address(backup), 1});
        tables.set(kVrf, prefix(p), r);
    }
    const Books::GroupWord& group_of(const char* p) { return books.groups.at(books.routes.at({kVrf, prefix(p)})); }
    static Gateway on(InterfaceId interface, const char* a) { return {kDefaultVrf, interface, address(a)}; }
    const std::string a_ = "adj 1 10.0.0.2 " + kMacA.to_string(), b_ = "adj 1 10.0.0.3 " + kMacB.to_string(),
                      c_ = "adj 2 10.1.0.2 " + kMacA.to_string();
};

TEST_F(FailoverTest, TheSecondBestPathIsReadyAndShared)
{
    for (int i = 0; i < 200; ++i)
        with_backup(("20." + std::to_string(i) + ".0.0/16").c_str(), {"10.0.0.2"}, "10.1.0.2");
    bgp("30.0.0.0/8", {"10.1.0.2"});
    run();
    EXPECT_EQ(books.where("20.7.0.1"), a_);
    const auto& group = group_of("20.7.0.0/16");
    EXPECT_EQ(books.describe(group.word.backup, 1), c_);
    EXPECT_EQ(group.word.backup, books.routes.at({kVrf, prefix("30.0.0.0/8")})) << "as a route that has just that";
    EXPECT_EQ(group.word.id, group_of("20.9.0.0/16").word.id);

    // The best path's gateway fails: one group changes, whatever the number of prefixes.
    const auto before = books.updates;
    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), "it has failed");
    EXPECT_LE(books.updates - before, 4U);
    EXPECT_EQ(books.where("20.7.0.1"), c_) << "at once, before anything is decided anew";
    run();
    EXPECT_EQ(group_of("20.7.0.0/16").word.backup, kNoGroup);
    // And the backup too: then rather what is known to be down than a reject.
    programmer.set_gateway_down(on(kEth1, "10.1.0.2"), "it has failed");
    EXPECT_EQ(books.where("20.7.0.1"), a_);
    programmer.set_gateway_down(on(kEth1, "10.1.0.2"), nullptr);
    run();
    EXPECT_EQ(books.where("20.7.0.1"), c_);
    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), nullptr);
    run();
    EXPECT_EQ(books.where("20.7.0.1"), a_);
    EXPECT_EQ(books.describe(group_of("20.7.0.0/16").word.backup, 1), c_);
    run();
}

TEST_F(FailoverTest, ABackupOfNoUseIsNone)
{
    with_backup("20.0.0.0/8", {"10.0.0.2"}, "10.77.0.1");
    run();
    EXPECT_EQ(books.where("20.0.0.1"), a_);
    EXPECT_EQ(group_of("20.0.0.0/8").word.backup, kNoGroup);
    fixed("10.77.0.0/16", "10.1.0.2");
    run();
    EXPECT_EQ(books.describe(group_of("20.0.0.0/8").word.backup, 1), c_);
    interface(kEth0, {"10.0.0.1/24"}, false);
    EXPECT_EQ(books.where("20.0.0.1"), c_);
    interface(kEth1, {"10.1.0.1/24"}, false);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "reject");
}

TEST_F(FailoverTest, AFailedMemberReturnsAtAPace)
{
    bgp("20.0.0.0/8", {"10.0.0.2", "10.0.0.3", "10.1.0.2"});
    run();
    EXPECT_FALSE(group_of("20.0.0.0/8").word.gradual);
    programmer.set_gateway_down(on(kEth0, "10.0.0.3"), "it has failed");
    EXPECT_EQ(books.where("20.0.0.1"), a_ + " | " + c_);
    EXPECT_FALSE(group_of("20.0.0.0/8").word.gradual) << "going is not for tomorrow";
    run();
    programmer.set_gateway_down(on(kEth0, "10.0.0.3"), nullptr);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), a_ + " | " + b_ + " | " + c_);
    EXPECT_TRUE(group_of("20.0.0.0/8").word.gradual);
    // BGP takes the path away and brings it back: other groups, with the flows where they were.
    const auto three = group_of("20.0.0.0/8").word.id;
    programmer.set_gateway_down(on(kEth0, "10.0.0.3"), "it has failed");
    bgp("20.0.0.0/8", {"10.0.0.2", "10.1.0.2"});
    programmer.run();
    EXPECT_EQ(group_of("20.0.0.0/8").word.like, three);
    const auto two = group_of("20.0.0.0/8").word.id;
    run();
    programmer.set_gateway_down(on(kEth0, "10.0.0.3"), nullptr);
    bgp("20.0.0.0/8", {"10.0.0.2", "10.0.0.3", "10.1.0.2"});
    programmer.run();
    EXPECT_EQ(group_of("20.0.0.0/8").word.like, two);
    EXPECT_TRUE(group_of("20.0.0.0/8").word.gradual);
}

TEST_F(FailoverTest, ANextHopObeysTheSessionOfItsGateway)
{
    const BfdSessionId near{5}, far{6};
    bgp("20.0.0.0/8", {"10.0.0.2"});
    fixed("10.50.0.0/16", "10.1.0.2");
    bgp("30.0.0.0/8", {"10.50.0.1"});
    run();
    programmer.set_down_word(near);
    programmer.set_down_word(far);
    programmer.set_session(on(kEth0, "10.0.0.2"), near);
    programmer.set_session({kVrf, kNoInterface, address("10.50.0.1")}, far);
    const auto session_of = [&](const char* p) { return books.nexthops.at(group_of(p).members.at(0).nexthop).session; };
    EXPECT_EQ(session_of("20.0.0.0/8"), near);
    EXPECT_EQ(session_of("30.0.0.0/8"), far);
    EXPECT_EQ(session_of("10.50.0.0/16"), kNoBfdSession);
    EXPECT_EQ(programmer.gateway_of(group_of("20.0.0.0/8").members.at(0).nexthop), on(kEth0, "10.0.0.2"));
    EXPECT_EQ(programmer.nexthops_of({kVrf, kNoInterface, address("10.50.0.1")}).size(), 1U);
    EXPECT_EQ(session_of("10.0.0.2/32"), kNoBfdSession) << "the gateway itself may be spoken to";
    // A route that comes later obeys too.
    bgp("40.0.0.0/8", {"10.0.0.2", "10.0.0.3"});
    run();
    EXPECT_EQ(session_of("40.0.0.0/8"), near);
    programmer.delete_down_word(near);
    programmer.delete_down_word(far);
    EXPECT_EQ(session_of("20.0.0.0/8"), kNoBfdSession);
    EXPECT_EQ(session_of("30.0.0.0/8"), kNoBfdSession);
}

TEST_F(FailoverTest, ALostNeighbourIsTheLastResortOfItsRoutes)
{
    bgp("20.0.0.0/8", {"10.0.0.2", "10.1.0.2"});
    bgp("30.0.0.0/8", {"10.0.0.2"});
    run();
    programmer.lose_neighbor(kEth0, address("10.0.0.2"));
    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), "the neighbour no longer answers");
    EXPECT_EQ(books.where("20.0.0.1"), c_);
    EXPECT_EQ(books.where("30.0.0.1"), "adj 1 10.0.0.2 ?");
    EXPECT_TRUE(books.nexthops.at(group_of("30.0.0.0/8").members.at(0).nexthop).lost);
    run();
    EXPECT_EQ(books.where("10.0.0.2"), "glean 1");
    // It answers again: packets that have no other way may go at once, the others when it is trusted.
    programmer.set_neighbor(kEth0, address("10.0.0.2"), kMacB);
    run();
    EXPECT_EQ(books.where("30.0.0.1"), "adj 1 10.0.0.2 " + kMacB.to_string());
    EXPECT_FALSE(books.nexthops.at(group_of("30.0.0.0/8").members.at(0).nexthop).lost);
    EXPECT_EQ(books.where("20.0.0.1"), c_);
    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), nullptr);
    run();
    EXPECT_EQ(books.where("20.0.0.1"), "adj 1 10.0.0.2 " + kMacB.to_string() + " | " + c_);
}

TEST_F(FailoverTest, NextHopTrackingHearsOfAFailureAndFloatingStaticsTakeOver)
{
    const auto client = tables.add_client();
    fixed("10.50.0.0/16", "10.0.0.2");
    tables.track(client, kVrf, address("10.50.0.1"));
    tables.track(client, kVrf, address("10.0.0.2"));
    statics.add({kVrf, prefix("70.0.0.0/8"), address("10.0.0.2"), kNoInterface, {}, 1});
    statics.add({kVrf, prefix("70.0.0.0/8"), address("10.1.0.2"), kNoInterface, {}, 9});
    statics.add({kVrf, prefix("80.0.0.0/8"), address("10.0.0.2"), kEth0, {}, 1});
    statics.add({kVrf, prefix("80.0.0.0/8"), address("10.1.0.2"), kEth1, {}, 9});
    run();
    EXPECT_EQ(books.where("70.0.0.1"), a_);
    EXPECT_EQ(books.where("80.0.0.1"), a_);
    const auto down = [&](const char* a) { return tables.resolution(kVrf, address(a))->down; };
    EXPECT_FALSE(down("10.50.0.1"));

    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), "it has failed");
    statics.on_interface(kEth0);
    run();
    EXPECT_TRUE(down("10.0.0.2"));
    EXPECT_TRUE(down("10.50.0.1"));
    EXPECT_TRUE(tables.resolution(kVrf, address("10.50.0.1"))->reachable) << "there is a way, it only failed";
    EXPECT_EQ(books.where("70.0.0.1"), c_);
    EXPECT_EQ(books.where("80.0.0.1"), c_);
    EXPECT_EQ(books.where("10.50.0.1"), a_) << "it has no other";

    programmer.set_gateway_down(on(kEth0, "10.0.0.2"), nullptr);
    statics.on_interface(kEth0);
    run();
    EXPECT_FALSE(down("10.50.0.1"));
    EXPECT_EQ(books.where("70.0.0.1"), a_);
    EXPECT_EQ(books.where("80.0.0.1"), a_);
}

}  // namespace
}  // namespace culvert::fibprog
