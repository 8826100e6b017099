#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

using route::NexthopSet;
using route::NexthopSetId;

namespace {

constexpr std::size_t kMaxMembers = 64;

}  // namespace

auto Programmer::State::acquire(const GroupKey& key, const Group* like) -> Group*
{
    if (const auto it = group_ids.find(key); it != group_ids.end()) {
        Group* group = groups[index(it->second)].get();
        ++group->refs;
        return group;
    }
    const GroupId id{allocate(groups, free_groups)};
    groups[index(id)] = std::make_unique<Group>();
    Group* group = groups[index(id)].get();
    group->key = key;
    group->id = id;
    group->refs = 1;
    group_ids[key] = id;
    ++live_groups;
    tables.hold(key.set);
    const NexthopSet set = tables.nexthop_set(key.set);
    if (!set.backup.empty()) {
        const NexthopSetId backup = tables.intern({set.backup, {}});
        group->backup = acquire(GroupKey{backup, key.limit});
        group->backup->fronts.insert(group);
        tables.drop(backup);
    }
    for (const route::Nexthop& n : set.nexthops) {
        Hop* hop = acquire(HopKey::of(n));
        const auto weight = std::max<std::uint16_t>(n.weight, 1);
        // What the route table tells apart may be one next hop here: it has the traffic of both.
        const auto known = std::ranges::find(group->hops, hop, [](const auto& h) { return h.first; });
        if (known != group->hops.end()) {
            known->second = static_cast<std::uint16_t>(std::min<unsigned>(known->second + weight, 0xffff));
            release(hop);
            continue;
        }
        group->hops.emplace_back(hop, weight);
        hop->groups.insert(group);
        if (hop->link) use_touched.insert(*hop->link);
    }
    regroup(*group, like);
    return group;
}

void Programmer::State::release(Group* group)
{
    CULVERT_CHECK(group->refs > 0);
    if (--group->refs > 0) return;
    retire({Kind::Group, index(group->id)}, ++group->retirement);
    for (const auto& [hop, weight] : group->hops)
        if (hop->link) use_touched.insert(*hop->link);
}

auto Programmer::State::members_of(const Group& group, bool down_too) -> std::vector<Member>
{
    std::vector<Member> members;
    for (const auto& [hop, weight] : group.hops)
        if (hop->usable && (down_too || !hop->down) && hop->recursion <= group.key.limit &&
            members.size() < kMaxMembers)
            members.push_back({hop->id, weight});
    return members;
}

void Programmer::State::regroup(Group& group, const Group* like)
{
    std::vector<Member> members = members_of(group, false);
    const bool leads = !members.empty();
    if (!leads && group.backup != nullptr) members = members_of(*group.backup, false);
    if (members.empty()) members = members_of(group, true);
    if (members.empty()) members.push_back({reject->id, 1});
    // A backup that leads nowhere would reject what an outer group may still have another way for.
    const GroupId backup =
        leads && group.backup != nullptr && group.backup->leads_somewhere ? group.backup->id : kNoGroup;
    const bool turned = std::exchange(group.leads_somewhere, leads) != leads;
    if (members != group.members || backup != group.pushed_backup) {
        const auto& before = like != nullptr ? like->members : group.members;
        const auto known = [&](const Member& m) { return std::ranges::find(before, m.nexthop, &Member::nexthop); };
        const auto is_new = [&](const Member& m) { return known(m) == before.end(); };
        const auto returns = [&](const Member& m) { return hops[index(m.nexthop)]->failed && is_new(m); };
        const auto reweighed = [&](const Member& m) { return known(m)->weight != m.weight; };
        api::SetGroup word{group.id, static_cast<std::uint16_t>(members.size()), backup};
        word.like = like != nullptr ? like->id : kNoGroup;
        // Flows that have a live path are moved for what returns, and for a new weight; both can wait.
        word.gradual = std::ranges::any_of(members, returns) ||
                       (std::ranges::none_of(members, is_new) && std::ranges::any_of(members, reweighed));
        group.members = std::move(members);
        group.pushed_backup = backup;
        push(word);
        for (std::uint16_t i = 0; i < group.members.size(); ++i)
            push(api::SetGroupMember{group.id, i, group.members[i].weight, group.members[i].nexthop});
    }
    // Those in front have this one's members in place of their own, or know it as a backup of use.
    const std::vector<Group*> fronts(group.fronts.begin(), group.fronts.end());
    for (Group* front : fronts)
        if (turned || !front->leads_somewhere) regroup(*front);
}

}  // namespace culvert::fibprog
