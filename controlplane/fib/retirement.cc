#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

using api::NexthopKind;

bool Programmer::State::referenced(Object object) const
{
    for (const auto& hop : hops) {
        if (!hop) continue;
        const auto& w = hop->word;
        switch (object.kind) {
            case Kind::Interface:
                if (index(w.interface) == object.id) return true;
                break;
            case Kind::Peer:
                if (w.kind == NexthopKind::WireguardPeer && index(w.peer) == object.id) return true;
                break;
            case Kind::Vrf:
                if ((w.kind == NexthopKind::Local || w.kind == NexthopKind::Via) && index(w.vrf) == object.id)
                    return true;
                break;
            case Kind::Nexthop:
            case Kind::Group: break;
        }
    }
    return object.kind == Kind::Peer && std::any_of(orphans.begin(), orphans.end(), [&](const auto& orphan) {
               return index(orphan.first) == object.id;
           });
}

void Programmer::State::look_after_removed()
{
    for (auto it = removed.begin(); it != removed.end();) {
        if (referenced(*it)) {
            ++it;
            continue;
        }
        retire(*it, 0);
        it = removed.erase(it);
    }
}

void Programmer::State::erase(const Retiring& r)
{
    switch (r.object.kind) {
        case Kind::Nexthop: {
            Hop* hop = hops[r.object.id].get();
            if (hop == nullptr || hop->refs > 0 || hop->retirement != r.retirement) return;
            push(api::DeleteNexthop{hop->id});
            if (hop->key.tracked()) tables.untrack(client, hop->key.vrf, hop->key.address);
            set_link(*hop, std::nullopt);
            if (hop->via != nullptr) release(hop->via);
            hop_ids.erase(hop->key);
            hops[r.object.id].reset();
            --live_hops;
            break;
        }
        case Kind::Group: {
            Group* group = groups[r.object.id].get();
            if (group == nullptr || group->refs > 0 || group->retirement != r.retirement) return;
            push(api::DeleteGroup{group->id});
            for (const auto& [hop, weight] : group->hops) {
                hop->groups.erase(group);
                if (hop->link) use_touched.insert(*hop->link);
                release(hop);
            }
            if (group->backup != nullptr) {
                group->backup->fronts.erase(group);
                release(group->backup);
            }
            tables.drop(group->key.set);
            group_ids.erase(group->key);
            groups[r.object.id].reset();
            --live_groups;
            break;
        }
        case Kind::Interface:
            if (interfaces.contains(InterfaceId{static_cast<std::uint16_t>(r.object.id)})) return;
            push(api::DeleteInterface{InterfaceId{static_cast<std::uint16_t>(r.object.id)}});
            break;
        case Kind::Peer:
            if (peers.contains(PeerId{r.object.id})) return;
            push(api::DeletePeer{PeerId{r.object.id}});
            break;
        case Kind::Vrf:
            if (vrfs.contains(VrfId{static_cast<std::uint16_t>(r.object.id)})) return;
            push(api::DeleteVrf{VrfId{static_cast<std::uint16_t>(r.object.id)}});
            break;
    }
    freeing.push_back({kOpen, r.object});
}

void Programmer::State::free(const Object& object)
{
    switch (object.kind) {
        case Kind::Nexthop: free_hops.push_back(object.id); break;
        case Kind::Group: free_groups.push_back(object.id); break;
        case Kind::Interface:
            events.push_back(InterfaceGone{InterfaceId{static_cast<std::uint16_t>(object.id)}});
            break;
        case Kind::Peer: events.push_back(PeerGone{PeerId{object.id}}); break;
        case Kind::Vrf: events.push_back(VrfGone{VrfId{static_cast<std::uint16_t>(object.id)}}); break;
    }
}

void Programmer::State::commit()
{
    const auto open = [](const auto& queue) { return !queue.empty() && queue.back().generation == kOpen; };
    if (!pushed_any && !open(retiring) && !open(freeing) && !open(releasing)) return;
    const std::uint64_t generation = sink.commit();
    pushed_any = false;
    const auto close = [&](auto& queue) {
        for (auto it = queue.rbegin(); it != queue.rend() && it->generation == kOpen; ++it) it->generation = generation;
    };
    close(retiring);
    close(freeing);
    close(releasing);
}

void Programmer::on_acked()
{
    State& s = *state_;
    const std::uint64_t acked = s.sink.acked();
    const auto due = [&](const auto& queue) {
        return !queue.empty() && queue.front().generation != State::kOpen && queue.front().generation <= acked;
    };
    for (; due(s.freeing); s.freeing.pop_front()) s.free(s.freeing.front().object);
    for (; due(s.releasing); s.releasing.pop_front()) s.events.push_back(s.releasing.front().release);
    while (due(s.retiring)) {
        const State::Retiring r = s.retiring.front();
        s.retiring.pop_front();
        s.erase(r);
    }
}

}  // namespace culvert::fibprog
