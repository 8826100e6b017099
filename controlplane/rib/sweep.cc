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
void Rib::State::sweep_path(Table<K>& t, std::uint32_t handle, bool nexthops_changed)
{
    const Path path = t.paths[handle];
    const auto i = Table<K>::kIndex;
    const auto what = summaries[path.peer].sweep[i];
    if (what & kSweepRemove) return remove(t, path.prefix, path.peer);
    if ((what & kSweepStale) && static_cast<bool>(path.flags & Path::kGeneration) != peers[path.peer]->in[i].generation)
        return remove(t, path.prefix, path.peer);
    const bool accepted = !(path.flags & (Path::kRejected | Path::kLooped));
    if ((what & kSweepReport) && accepted) report(t, path.prefix, path.peer, summaries[path.peer].report);
    if (what & kSweepImport) {
        const auto outcome = import(*peers[path.peer], i, path.set_in, t.prefixes[path.prefix].prefix());
        sets.reference(path.set_in);  // store() may drop the path's own
        const auto flags = static_cast<std::uint16_t>(outcome.flags | (path.flags & Path::kGeneration));
        store(t, path.prefix, path.peer, path.set_in, outcome.set, flags, path.received_at, true);
        sets.release(path.set_in);
        sets.release(outcome.set);
    }
    const bool first = t.prefixes[path.prefix].paths == handle;
    if ((what & kSweepDecide) || (t.decide_all && first) ||
        (nexthops_changed && nexthops[sets[t.paths[handle].set].nexthop].changed))
        decide(t, path.prefix, false, t.decide_all && (path.flags & Path::kMultipath));
}

template <class K>
void Rib::State::sweep(Table<K>& t, std::size_t& budget)
{
    const bool nexthops_changed = !nexthops.changed().empty();
    const auto i = Table<K>::kIndex;
    std::array<std::uint32_t, 32> batch;
    while (t.sweeping && budget > 0) {
        if (t.wrapped && t.at >= t.stop) return end_sweep(t);
        const auto& items = t.paths.items();
        if (t.at >= items.handle_end()) {
            t.at = 1;
            t.wrapped = true;
            continue;
        }

        // Find some that are to be handled, and ask for what that will touch.
        const auto end = items.fresh_end(t.at);
        std::size_t n = 0;
        for (; t.at < end && n < batch.size() && budget > 0; ++t.at) {
            --budget;
            const Path& p = t.paths[t.at];
            if (p.peer == kFreePath) continue;
            const bool wanted = summaries[p.peer].sweep[i] != 0 || t.decide_all ||
                                (nexthops_changed && nexthops[sets[p.set].nexthop].changed);
            if (!wanted) continue;
            __builtin_prefetch(&t.prefixes[p.prefix]);
            sets.prefetch(p.set);
            batch[n++] = t.at;
        }
        if (t.at >= end) t.at = items.after_chunk(t.at, end);
        for (const auto handle : std::span{batch}.first(n)) {
            // An earlier one of the batch may have emptied the chunk.
            const auto live = items.fresh_end(handle);
            if (handle < live && t.paths[handle].peer != kFreePath) sweep_path(t, handle, nexthops_changed);
        }
        budget -= std::min(budget, n * kStepsPerPrefix);
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
        const auto first = out.sweep_page * SentTable::kPage;
        std::size_t steps = SentTable::kPage / 8;
        for (auto prefix = first; prefix < first + SentTable::kPage; ++prefix) {
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
