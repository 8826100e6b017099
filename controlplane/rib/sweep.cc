#include "controlplane/rib/state.h"

#include <algorithm>

// What touches many prefixes at once, done a slice at a time: the paths of a session that ended, paths to be imported
// anew, next hops that changed, and the Adj-RIBs-Out that a session leaves behind.
namespace culvert::rib {

namespace {

constexpr std::size_t kStepsPerPrefix = 16;  // what handling a path costs, next to looking at it

}  // namespace

template <class K>
void Rib::State::request_sweep(Table<K>& t)
{
    t.sweeping = true;
    t.wrapped = false;
    t.stop = t.at;
}

void Rib::State::sweep_peer(std::uint16_t number, std::uint8_t what, std::optional<Family> family)
{
    for (const auto f : {Family::Ipv4, Family::Ipv6}) {
        if (family && *family != f) continue;
        const auto i = static_cast<std::size_t>(f);
        if (peers[number]->in[i].received == 0) continue;
        summaries[number].sweep[i] |= what;
        with(f, [&](auto& t) { request_sweep(t); });
    }
}

template <class K>
void Rib::State::sweep_path(Table<K>& t, std::uint32_t prefix, std::uint16_t peer)
{
    auto handle = t.prefixes[prefix].paths;
    while (handle != 0 && t.paths[handle].peer != peer) handle = t.paths[handle].next;
    if (handle == 0) return;
    const Path path = t.paths[handle];
    const auto i = Table<K>::kIndex;
    const auto what = summaries[peer].sweep[i];
    if (what & kSweepRemove) return remove(t, prefix, peer);
    if ((what & kSweepStale) && static_cast<bool>(path.flags & Path::kGeneration) != peers[peer]->in[i].generation)
        return remove(t, prefix, peer);
    const bool accepted = !(path.flags & (Path::kRejected | Path::kLooped));
    if ((what & kSweepReport) && accepted) report(t, prefix, peer, summaries[peer].report);
    if (what & kSweepImport) {
        const auto received = pairs.received(path.sets);
        sets.reference(received);  // store() may drop the path's own
        const auto outcome = import(*peers[peer], i, received, t.prefixes[prefix].prefix());
        const auto flags = static_cast<std::uint16_t>(outcome.flags | (path.flags & Path::kGeneration));
        store(t, prefix, peer, received, outcome.set, flags, path.received_at, true);
        sets.release(received);
        sets.release(outcome.set);
    }
}

template <class K>
void Rib::State::sweep_prefix(Table<K>& t, std::uint32_t prefix, bool nexthops_changed, std::size_t& budget)
{
    // Handling one path may move the others about: first find out whose are meant.
    const auto i = Table<K>::kIndex;
    const auto changed = [&](const Path& p) { return nexthops_changed && nexthops[sets[set_of(p)].nexthop].changed; };
    bool decide_it = t.decide_all;
    std::size_t steps = 0;
    wanted.clear();
    for (auto h = t.prefixes[prefix].paths; h != 0; h = t.paths[h].next, ++steps) {
        const Path& p = t.paths[h];
        const auto what = summaries[p.peer].sweep[i];
        if (what & ~kSweepDecide) wanted.push_back(p.peer);
        decide_it |= (what & kSweepDecide) || changed(p);
    }
    if (!wanted.empty() || decide_it) steps += kStepsPerPrefix * std::max<std::size_t>(1, wanted.size());
    budget -= std::min(budget, steps);
    for (const auto peer : wanted) {
        sweep_path(t, prefix, peer);
        if (!alive(t, prefix)) return;
    }
    // What was imported anew may have another next hop.
    for (auto h = t.prefixes[prefix].paths; h != 0 && !decide_it && !wanted.empty(); h = t.paths[h].next)
        decide_it = changed(t.paths[h]);
    const auto first = t.prefixes[prefix].paths;
    if (decide_it && first != 0) decide(t, prefix, false, t.decide_all && (t.paths[first].flags & Path::kMultipath));
}

template <class K>
void Rib::State::sweep(Table<K>& t, std::size_t& budget)
{
    const bool nexthops_changed = !nexthops.changed().empty();
    std::array<std::uint32_t, 32> batch;
    while (t.sweeping && budget > 0) {
        if (t.wrapped && t.at >= t.stop) return end_sweep(t);
        const auto& items = t.prefixes.items();
        if (t.at >= items.handle_end()) {
            t.at = 1;
            t.wrapped = true;
            continue;
        }

        // Take the next ones, and ask for what looking at them will touch: their first path, then its set and the next.
        const auto end = items.fresh_end(t.at);
        std::size_t n = 0;
        for (; t.at < end && n < batch.size() && budget > 0; ++t.at) {
            --budget;
            const auto& e = t.prefixes[t.at];
            if (e.length == Destination<K>::kFree || e.paths == 0) continue;
            __builtin_prefetch(&t.paths[e.paths]);
            batch[n++] = t.at;
        }
        if (t.at >= end) t.at = items.after_chunk(t.at, end);
        for (const auto prefix : std::span{batch}.first(n)) {
            const Path& p = t.paths[t.prefixes[prefix].paths];
            sets.prefetch(set_of(p));
            if (p.next != 0) __builtin_prefetch(&t.paths[p.next]);
        }
        for (const auto prefix : std::span{batch}.first(n)) {
            // An earlier one of the batch may have emptied the chunk.
            if (alive(t, prefix)) sweep_prefix(t, prefix, nexthops_changed, budget);
        }
    }
}

template <class K>
void Rib::State::end_sweep(Table<K>& t)
{
    const auto i = Table<K>::kIndex;
    t.sweeping = false;
    t.decide_all = false;
    for (std::uint16_t number = kLocalPeers; number < peers.size(); ++number) {
        if (!peers[number]) continue;
        summaries[number].sweep[i] = 0;
        retire(number);
    }
    if (!v4.sweeping && !v6.sweeping) nexthops.clear_changed();
}

template <class K>
bool Rib::State::give_back_sent(Table<K>& t, Peer& peer, std::size_t& budget)
{
    AdjOut& out = peer.out[Table<K>::kIndex];
    for (; out.sent.size() > 0 && budget > 0; ++out.sweep_page) {
        const auto first = out.sweep_page * HandleMap::kPage;
        std::size_t steps = HandleMap::kPage / 8;
        for (auto prefix = first; prefix < first + HandleMap::kPage; ++prefix) {
            if (out.sent[prefix] == 0) continue;
            set_sent(t, out, prefix, 0);
            free_if_unused(t, prefix);
            steps += 4;
        }
        budget -= std::min(budget, steps);
    }
    return out.sent.size() == 0;
}

void Rib::State::sweep_sent(std::size_t& budget)
{
    while (!dead.empty() && budget > 0) {
        const auto number = dead.back();
        if (!give_back_sent(v4, *peers[number], budget) || !give_back_sent(v6, *peers[number], budget)) continue;
        dead.pop_back();
        retire(number);
    }
}

void Rib::State::retire(std::uint16_t number)
{
    Peer* peer = peers[number].get();
    if (peer->up || std::ranges::count(dead, number) > 0) return;
    for (std::size_t i = 0; i < 2; ++i)
        if (peer->in[i].received > 0) return;
    for (auto& in : peer->in)
        if (in.memo) in.memo->clear();
    --neighbors[index(peer->handle) - 1].sessions;
    summaries[number] = {};
    peers[number].reset();
}

template void Rib::State::request_sweep(Table<Key4>&);
template void Rib::State::request_sweep(Table<Key6>&);
template void Rib::State::sweep(Table<Key4>&, std::size_t&);
template void Rib::State::sweep(Table<Key6>&, std::size_t&);

}  // namespace culvert::rib
