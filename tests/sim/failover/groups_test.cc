#include "dataplane/fib/fib_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

// Random groups of next hops under random failures, through groups within groups, leaked and with backups, against a
// reference that says by the rules, without buckets, tricks or bounds, which next hops a packet may take.

namespace culvert::fib {
namespace {

using api::DownKind;

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(next() % n); }
    bool chance(std::uint32_t percent) { return below(100) < percent; }

private:
    std::uint64_t state_;
};

constexpr std::uint32_t kPorts = 6, kTunnels = 6, kSessions = 8, kFlows = 512;

// What was built, as the control plane knows it.
struct World {
    struct Hop {
        std::optional<std::uint32_t> via;  // a group; else it is where packets leave
        std::optional<std::uint32_t> port, tunnel, session;
        bool lost = false;
    };
    struct Group {
        std::vector<GroupMember> members;
        std::uint32_t backup = 0;
        std::uint32_t level = 0;  // 0: leaves only; level n leads at most n groups deep
    };

    Rcu rcu;
    Tables tables{rcu};
    api::FibChannel channel;
    FibWriter writer{channel, tables, rcu};
    Random random;
    std::map<std::uint32_t, Hop> hops;
    std::map<std::uint32_t, Group> groups;
    struct Word {
        DownKind kind;
        std::uint32_t id;
        auto operator<=>(const Word&) const = default;
    };
    std::map<Word, std::uint32_t> down;  // with the epoch of the failure

    explicit World(std::uint64_t seed) : random(seed)
    {
        writer.apply(api::SetVrf{VrfId{3}});
        for (std::uint32_t i = 0; i < kPorts; ++i) {
            api::SetInterface port{interface_of_port(i), kDefaultVrf, api::InterfaceKind::Port, true};
            port.port = PortId{static_cast<std::uint16_t>(i)};
            writer.apply(port);
        }
        for (std::uint32_t i = 0; i < kTunnels; ++i)
            writer.apply(api::SetInterface{interface_of_tunnel(i), kDefaultVrf, api::InterfaceKind::Wireguard, true});
        for (std::uint32_t i = 1; i <= kSessions; ++i) writer.apply(api::SetDownWord{BfdSessionId{i}});
    }

    static InterfaceId interface_of_port(std::uint32_t i) { return InterfaceId{static_cast<std::uint16_t>(1 + i)}; }
    static InterfaceId interface_of_tunnel(std::uint32_t i) { return InterfaceId{static_cast<std::uint16_t>(100 + i)}; }

    void push(std::uint32_t id, const Hop& hop)
    {
        hops[id] = hop;
        api::SetNexthop n{NexthopId{id}, NexthopKind::Adjacency};
        if (hop.via) {
            n.kind = NexthopKind::Via;
            n.via = GroupId{*hop.via};
            n.vrf = VrfId{static_cast<std::uint16_t>(random.chance(50) ? 3 : 0)};
        } else if (hop.tunnel) {
            n.kind = NexthopKind::WireguardPeer;
            n.interface = interface_of_tunnel(*hop.tunnel);
            n.peer = PeerId{1};
        } else {
            n.interface = interface_of_port(*hop.port);
            n.resolved = !hop.lost;
            n.lost = hop.lost;
        }
        if (hop.session) n.session = BfdSessionId{*hop.session};
        writer.apply(n);
    }
    void push(std::uint32_t id, const Group& group, bool gradual = false, std::uint32_t like = 0)
    {
        groups[id] = group;
        writer.apply(api::SetGroup{GroupId{id}, static_cast<std::uint16_t>(group.members.size()), GroupId{group.backup},
                                   GroupId{like}, gradual});
        for (std::uint16_t i = 0; i < group.members.size(); ++i)
            writer.apply(api::SetGroupMember{GroupId{id}, i, group.members[i].weight, group.members[i].nexthop});
    }

    // Leaves 1.., groups of leaves, groups that also lead to those, and so on.
    void build()
    {
        std::uint32_t next_hop = 1, next_group = 1;
        std::vector<std::uint32_t> leaves;
        for (std::uint32_t i = 0; i < 20; ++i) {
            Hop hop;
            (random.chance(50) ? hop.port : hop.tunnel) = random.below(kPorts);
            if (random.chance(40)) hop.session = 1 + random.below(kSessions);
            if (hop.port && random.chance(10)) hop.lost = true;
            push(next_hop, hop);
            leaves.push_back(next_hop++);
        }
        std::vector<std::uint32_t> below;  // groups of lower levels
        for (std::uint32_t level = 0; level < 4; ++level) {
            std::vector<std::uint32_t> here;
            for (std::uint32_t i = 0; i < 4; ++i) {
                Group group;
                group.level = level;
                std::set<std::uint32_t> members;
                const auto count = random.chance(10) ? 16u : 1 + random.below(5);
                while (members.size() < count) {
                    if (!below.empty() && random.chance(60)) {
                        Hop hop;
                        hop.via = below[random.below(static_cast<std::uint32_t>(below.size()))];
                        if (random.chance(30)) hop.session = 1 + random.below(kSessions);
                        push(next_hop, hop);
                        members.insert(next_hop++);
                    } else {
                        members.insert(leaves[random.below(20)]);
                    }
                }
                for (const auto m : members)
                    group.members.push_back({NexthopId{m}, static_cast<std::uint16_t>(1 + random.below(3))});
                // Its backup may lead as deep as itself, and has backups too.
                std::vector<std::uint32_t> may = below;
                may.insert(may.end(), here.begin(), here.end());
                if (!may.empty() && random.chance(60))
                    group.backup = may[random.below(static_cast<std::uint32_t>(may.size()))];
                push(next_group, group);
                here.push_back(next_group++);
            }
            below.insert(below.end(), here.begin(), here.end());
        }
    }

    bool is_down(const Word& w) const { return down.contains(w); }
    void fail(const Word& w)
    {
        const auto epoch = tables.set_down(w.kind, w.id, tables.generation(w.kind, w.id), cause::kBfd);
        ASSERT_TRUE(epoch);
        down[w] = *epoch;
    }
    void restore(const Word& w)
    {
        writer.apply(api::ClearDown{w.kind, w.id, down.at(w)});
        down.erase(w);
    }
    Word any_word()
    {
        switch (random.below(4)) {
            case 0: return {DownKind::Port, random.below(kPorts)};
            case 1: return {DownKind::Interface, index(interface_of_tunnel(random.below(kTunnels)))};
            case 2: return {DownKind::Session, 1 + random.below(kSessions)};
            default: return {DownKind::Nexthop, 1 + random.below(static_cast<std::uint32_t>(hops.size()))};
        }
    }

    // ---- the reference

    bool usable(std::uint32_t id, bool lost_too) const
    {
        const auto& h = hops.at(id);
        if (h.lost && !lost_too) return false;
        if (is_down({DownKind::Nexthop, id})) return false;
        if (h.session && is_down({DownKind::Session, *h.session})) return false;
        if (h.port && is_down({DownKind::Port, *h.port})) return false;
        return !h.tunnel || !is_down({DownKind::Interface, index(interface_of_tunnel(*h.tunnel))});
    }
    // Where packets may end up that are given to the hop; empty: it is of no use.
    std::set<std::uint32_t> ends(std::uint32_t id, bool lost_too, unsigned depth) const
    {
        if (!usable(id, lost_too)) return {};
        const auto& h = hops.at(id);
        if (!h.via) return {id};
        return depth == GroupTable::kMaxVia ? std::set<std::uint32_t>{} : all(*h.via, lost_too, depth + 1);
    }
    std::set<std::uint32_t> all(std::uint32_t group, bool lost_too, unsigned depth = 0) const
    {
        const auto& g = groups.at(group);
        std::set<std::uint32_t> out;
        for (const auto& m : g.members) out.merge(ends(index(m.nexthop), lost_too, depth));
        if (out.empty() && g.backup != 0) return all(g.backup, lost_too, depth);
        return out;
    }
    // Of a packet whose own member is `own`.
    std::set<std::uint32_t> allowed(std::uint32_t group, std::uint32_t own, bool lost_too) const
    {
        const auto mine = ends(own, lost_too, 0);
        return mine.empty() ? all(group, lost_too) : mine;
    }
};

TEST(FailoverGroups, PicksAreWhatTheRulesSay)
{
    std::size_t taken = 0, elsewhere = 0, dead = 0, last_resort = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        World w(seed);
        w.build();
        for (int step = 0; step < 60; ++step) {
            const auto word = w.any_word();
            if (w.is_down(word))
                w.restore(word);
            else if (w.down.size() < 12)
                w.fail(word);
            else
                w.restore(w.down.begin()->first);

            for (const auto& [id, group] : w.groups) {
                const auto buckets = w.tables.groups().buckets(GroupId{id});
                const bool none = w.all(id, false).empty();
                std::map<std::uint32_t, std::set<std::uint32_t>> by_own;
                for (std::uint32_t f = 0; f < 64; ++f) {
                    const auto hash = static_cast<std::uint32_t>(mix(f * 977 + seed));
                    const auto own = index(group.members[buckets[hash & (buckets.size() - 1)]].nexthop);
                    const auto path = w.tables.pick(GroupId{id}, hash);
                    if (!by_own.contains(own)) by_own[own] = w.allowed(id, own, none);
                    const auto& may = by_own[own];
                    ASSERT_EQ(static_cast<bool>(path), !may.empty()) << "seed " << seed << " group " << id;
                    if (!path) {
                        ++dead;
                        continue;
                    }
                    const auto got = index(path.nexthop->id);
                    ASSERT_TRUE(may.contains(got)) << "seed " << seed << " group " << id << " took " << got;
                    ++(none ? last_resort : got == own ? taken : elsewhere);
                    ASSERT_EQ(w.tables.pick(GroupId{id}, hash).nexthop, path.nexthop);
                    // The egress VRF is that of the last group that was walked into.
                    ASSERT_TRUE(path.via == nullptr || w.hops.at(index(path.via->id)).via);
                }
            }
        }
        EXPECT_EQ(w.writer.refused(), 0u);
        EXPECT_EQ(w.writer.refused(Refusal::StaleClear), 0u);
    }
    EXPECT_GT(taken, 10'000u);
    EXPECT_GT(elsewhere, 10'000u);
    EXPECT_GT(dead, 100u);
    EXPECT_GT(last_resort, 100u);
}

// A plain group through its whole life: members fail, control takes them out (in place, or by a new group that is like
// the old one), they come back at a pace. A flow moves only when its member fails, or to the one that comes back. Every
// other time members have weights, as BGP gives them: rounded shares of what those that are there carry together, so
// that the numbers of all change whenever one comes or goes.
TEST(FailoverGroups, SurvivingFlowsNeverMove)
{
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        World w(seed);
        const auto count = 2 + w.random.below(63);
        for (std::uint32_t i = 1; i <= count; ++i) {
            World::Hop hop;
            hop.port = i % kPorts;
            w.push(i, hop);
        }
        w.writer.apply(api::SetFailoverPace{128});
        std::set<std::uint32_t> in;
        for (std::uint32_t i = 1; i <= count; ++i) in.insert(i);
        std::uint32_t group = 1, next_group = 2;
        const bool weighed = seed % 2 == 1;
        std::vector<std::uint32_t> carries(count + 1, 1);
        if (weighed)
            for (auto& c : carries) c = 1 + w.random.below(20);
        const auto whole = [&] {
            std::uint32_t sum = 0;
            for (const auto m : in) sum += carries[m];
            return sum;
        };
        const auto make = [&] {
            World::Group g;
            for (const auto m : in) {
                const auto weight = weighed ? std::max(1U, 10'000 * carries[m] / whole()) : 1;
                g.members.push_back({NexthopId{m}, static_cast<std::uint16_t>(weight)});
            }
            return g;
        };
        w.push(group, make());

        const auto flows = [&] {
            std::vector<std::uint32_t> out(kFlows);
            for (std::uint32_t f = 0; f < kFlows; ++f)
                out[f] = index(w.tables.pick(GroupId{group}, static_cast<std::uint32_t>(mix(f))).nexthop->id);
            return out;
        };
        const auto regroup = [&](bool gradual) {
            if (w.random.chance(50)) {
                w.push(group, make(), gradual);
            } else {
                w.push(next_group, make(), gradual, group);
                group = next_group++;
            }
        };
        TimePoint now{1h};
        for (int step = 0; step < 30; ++step) {
            const auto before = flows();
            const bool fails = in.size() > 1 && (in.size() == count || w.random.chance(60));
            if (fails) {
                auto it = in.begin();
                std::advance(it, w.random.below(static_cast<std::uint32_t>(in.size())));
                const auto dead = *it;
                w.fail({DownKind::Nexthop, dead});
                const auto during = flows();
                in.erase(dead);
                regroup(false);
                const auto after = flows();
                for (std::uint32_t f = 0; f < kFlows; ++f) {
                    ASSERT_NE(during[f], dead);
                    ASSERT_NE(after[f], dead);
                    if (before[f] == dead) continue;
                    ASSERT_EQ(during[f], before[f]) << "seed " << seed << " flow " << f;
                    ASSERT_EQ(after[f], before[f]) << "seed " << seed << " flow " << f;
                }
            } else {
                std::uint32_t back = 1;
                while (in.contains(back)) ++back;
                w.restore({DownKind::Nexthop, back});
                ASSERT_EQ(flows(), before);
                in.insert(back);
                regroup(true);
                ASSERT_EQ(flows(), before);
                auto last = before;
                // 128 buckets a second, each group: in 100 ms 13 of them.
                for (int tick = 0; w.tables.groups().moving() > 0; ++tick, now += 100ms) {
                    w.writer.step(now);
                    const auto after = flows();
                    std::set<std::uint32_t> moved;
                    const auto buckets = w.tables.groups().buckets(GroupId{group}).size();
                    for (std::uint32_t f = 0; f < kFlows; ++f) {
                        if (after[f] == last[f]) continue;
                        ASSERT_EQ(after[f], back) << "seed " << seed << " flow " << f;
                        moved.insert(static_cast<std::uint32_t>(mix(f)) & static_cast<std::uint32_t>(buckets - 1));
                    }
                    ASSERT_LE(moved.size(), 14u);
                    last = after;
                    ASSERT_LT(tick, 400);
                }
            }
            // Fair again within one bucket a member, when everything has moved.
            if (!fails) {
                const auto owners = w.tables.groups().buckets(GroupId{group});
                std::map<std::uint8_t, std::size_t> shares;
                for (const auto b : owners) ++shares[b];
                ASSERT_EQ(shares.size(), in.size());
                const auto members = w.tables.groups().members(GroupId{group});
                for (const auto& [member, share] : shares) {
                    const auto fair =
                        static_cast<double>(owners.size()) * carries[index(members[member].nexthop)] / whole();
                    ASSERT_NEAR(static_cast<double>(share), fair, weighed ? 2 : 1.01)
                        << "seed " << seed << " of " << in.size();
                }
            }
            w.tables.reclaimer().seal();
            w.tables.reclaimer().collect();
        }
        EXPECT_EQ(w.writer.refused(), 0u);
    }
}

}  // namespace
}  // namespace culvert::fib
