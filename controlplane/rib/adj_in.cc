#include "controlplane/rib/state.h"

#include <algorithm>

// From UPDATEs to the best path of each prefix.
namespace culvert::rib {

namespace {

constexpr std::uint32_t kLocalWeight = 32768;

std::uint32_t seconds_of(TimePoint t)
{
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
}

}  // namespace

std::optional<ImportMemo::Outcome> ImportMemo::find(std::uint32_t set) const
{
    const auto word = outcomes_[set];
    if (word == 0) return std::nullopt;
    const auto flags = (word & kRejected ? Path::kRejected : 0) | (word & kLooped ? Path::kLooped : 0);
    return Outcome{word & kSet ? word & kSet : set, static_cast<std::uint16_t>(flags)};
}

void ImportMemo::remember(std::uint32_t set, const Outcome& outcome)
{
    std::uint32_t word = kKnown;
    if (outcome.flags & Path::kRejected) word |= kRejected;
    if (outcome.flags & Path::kLooped) word |= kLooped;
    if (outcome.set != set) {
        sets_.reference(outcome.set);
        word |= outcome.set;
    }
    outcomes_.set(set, word);
}

void ImportMemo::clear()
{
    outcomes_.clear([&](std::uint32_t word) {
        if (word & kSet) sets_.release(word & kSet);
    });
}

void ImportMemo::on_set_freed(std::uint32_t set)
{
    const auto word = outcomes_[set];
    if (word == 0) return;
    outcomes_.set(set, 0);
    if (word & kSet) sets_.release(word & kSet);
}

bool Rib::State::import_depends_on_prefix(const Peer& peer, std::size_t family) const
{
    const auto& step = peer.config.families[family].import_step;
    return step && step->depends_on_prefix();
}

ImportMemo::Outcome Rib::State::run_import(const Peer& peer, std::size_t family, std::uint32_t set,
                                           const IpPrefix& prefix)
{
    const auto& f = peer.config.families[family];
    const AttributeSet& s = sets[set];
    std::uint16_t flags = 0;
    if (s.own_as > f.allowas_in || (s.flags & AttributeSet::kClusterLoop)) flags |= Path::kLooped;
    if (peer.external && config.ebgp_requires_policy && !f.import_step) flags |= Path::kRejected;
    const bool prepends = peer.config.local_as && !peer.config.local_as_no_prepend;
    if (flags != 0 || (!f.import_step && !peer.config.local_as)) {
        sets.reference(set);
        return {set, flags};
    }

    auto attributes = sets.decode(set);
    if (peer.config.local_as && attributes.as_path.count(*peer.config.local_as) > f.allowas_in) flags |= Path::kLooped;
    if (prepends && peer.external) attributes.as_path.prepend(*peer.config.local_as);
    std::optional<std::uint32_t> weight;
    if (f.import_step) {
        const std::uint32_t before = f.weight.value_or(0);
        std::uint32_t after = before;
        const policy::Neighbor from{peer.context.remote_address, peer.context.negotiated.remote_as, peer.external};
        if (f.import_step->apply({prefix, from, attributes, after}) == policy::Verdict::Reject)
            flags |= Path::kRejected;
        if (after != before) weight = after;
    }
    if (!(flags & (Path::kRejected | Path::kLooped))) {
        if (const auto made = sets.intern(attributes, weight); made != 0) return {made, flags};
        flags |= Path::kRejected;  // no room for it
    }
    sets.reference(set);
    return {set, flags};
}

ImportMemo::Outcome Rib::State::import(Peer& peer, std::size_t family, std::uint32_t set, const IpPrefix& prefix)
{
    const auto& f = peer.config.families[family];
    if ((!f.import_step && !peer.config.local_as) || import_depends_on_prefix(peer, family))
        return run_import(peer, family, set, prefix);
    auto& memo = peer.in[family].memo;
    if (!memo) memo = std::make_unique<ImportMemo>(sets);
    if (const auto known = memo->find(set)) {
        sets.reference(known->set);
        return *known;
    }
    const auto made = run_import(peer, family, set, prefix);
    memo->remember(set, made);
    return made;
}

template <class K>
bool Rib::State::usable(const Table<K>&, const Path& path) const
{
    if (path.flags & (Path::kRejected | Path::kLooped)) return false;
    const PeerSummary& from = summaries[path.peer];
    if (!from.usable) return false;
    if (from.local) return true;
    const auto number = sets[set_of(path)].nexthop;
    const auto& n = nexthops[number];
    return number != 0 && n.state.reachable && !n.own && (!from.external || from.multihop || n.state.connected);
}

template <class K>
Candidate Rib::State::candidate(const Table<K>& t, std::uint32_t handle, bool current) const
{
    const Path& path = t.paths[handle];
    const AttributeSet& s = sets[set_of(path)];
    const PeerSummary& from = summaries[path.peer];
    Candidate c;
    c.path = handle;
    c.weight = s.flags & AttributeSet::kHasWeight ? s.weight
               : from.local                       ? kLocalWeight
                                                  : from.weight[Table<K>::kIndex];
    c.local_pref = s.flags & AttributeSet::kHasLocalPref ? s.local_pref : config.default_local_preference;
    c.path_length = s.path_length;
    c.med = s.flags & AttributeSet::kHasMed ? s.med : config.med_missing_as_worst ? 0xffffffff : 0;
    c.igp_metric = from.local ? 0 : nexthops[s.nexthop].state.metric;
    c.cluster_length = s.cluster_length;
    c.as_path_hash = s.as_path_hash;
    c.neighbor_as = s.neighbor_as;
    c.peer_as = from.remote_as;
    c.router_id = s.flags & AttributeSet::kHasOriginator ? s.originator : from.router_id;
    c.neighbor = &from.address;
    c.origin = bgp::Origin{s.origin};
    c.local = from.local;
    c.local_source = static_cast<std::uint8_t>(from.local ? path.peer : 0);
    c.external = from.external;
    c.current = current;
    return c;
}

template <class K>
void Rib::State::note(Table<K>& t, std::uint32_t prefix, bool route_changed)
{
    auto& e = t.prefixes[prefix];
    ++t.version;
    if (route_changed) e.route_changed = 1;
    // Still ahead of every reader: nothing to add.
    if (t.log.place(prefix, e.changed, t.read_end) != t.log.end()) return;
    e.changed = static_cast<std::uint32_t>(t.log.push(prefix));
    if (t.log.end() - t.log.begin() > std::max<std::size_t>(65536, 2 * t.prefixes.size())) shed_laggards(t);
}

template <class K>
void Rib::State::decide(Table<K>& t, std::uint32_t prefix, bool best_changed, bool route_changed,
                        std::uint32_t replaced)
{
    constexpr std::uint16_t kRole = Path::kMultipath | Path::kBackup | Path::kUsable;
    const std::uint16_t seen_by_sink = Path::kMultipath | (config.backup_paths ? Path::kBackup : 0);
    auto& e = t.prefixes[prefix];
    const std::uint32_t old_best = e.has_best ? e.paths : 0;
    std::uint32_t best = 0;
    const auto set_role = [&](Path& p, std::uint16_t role) {
        const auto flags = static_cast<std::uint16_t>((p.flags & ~kRole) | role);
        if ((flags ^ p.flags) & seen_by_sink) route_changed = true;
        p.flags = flags;
    };

    if (e.paths == 0) {
        e.reason = static_cast<std::uint8_t>(Reason::None);
    } else if (Path& only = t.paths[e.paths]; only.next == 0) {
        const bool ok = usable(t, only);
        set_role(only, ok ? Path::kMultipath | Path::kUsable : 0);
        best = ok ? e.paths : 0;
        e.reason = static_cast<std::uint8_t>(ok ? Reason::FirstPath : Reason::None);
    } else {
        candidates.clear();
        for (auto h = e.paths; h != 0; h = t.paths[h].next) {
            if (usable(t, t.paths[h]))
                candidates.push_back(candidate(t, h, h == old_best));
            else
                set_role(t.paths[h], 0);
        }
        e.reason = static_cast<std::uint8_t>(Reason::None);
        if (!candidates.empty()) {
            const auto choice = choose(candidates, config);
            e.reason = static_cast<std::uint8_t>(choice.reason);
            const Candidate chosen = candidates[choice.best];
            best = chosen.path;
            const auto second = choice.second == choice.best ? 0 : candidates[choice.second].path;

            const auto& f = config.families[Table<K>::kIndex];
            const std::size_t limit =
                std::max<std::size_t>(1, chosen.external ? f.maximum_paths : f.maximum_paths_ibgp);
            const auto shared = std::partition(candidates.begin(), candidates.end(), [&](const Candidate& c) {
                return c.path == best || (limit > 1 && compare(c, chosen, config).equal_cost);
            });
            const auto count = static_cast<std::size_t>(shared - candidates.begin());
            if (count > limit) {
                // Which ones must not depend on the order they came in.
                std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(limit), shared,
                                  [&](const Candidate& a, const Candidate& b) {
                                      if ((a.path == best) != (b.path == best)) return a.path == best;
                                      return compare(a, b, config).order < 0;
                                  });
            }
            bool backup_given = false;
            for (std::size_t i = 0; i < candidates.size(); ++i) {
                std::uint16_t role = Path::kUsable;
                if (i < std::min(count, limit)) {
                    role |= Path::kMultipath;
                } else if (candidates[i].path == second) {
                    role |= Path::kBackup;
                    backup_given = true;
                }
                set_role(t.paths[candidates[i].path], role);
            }
            // The second best shares traffic already: the backup is the best of the rest.
            if (!backup_given && count < candidates.size()) {
                const auto rest = std::span<const Candidate>{candidates}.subspan(count);
                set_role(t.paths[rest[choose(rest, config).best].path], Path::kUsable | Path::kBackup);
            }

            if (e.paths != best) {
                auto before = e.paths;
                while (t.paths[before].next != best) before = t.paths[before].next;
                t.paths[before].next = t.paths[best].next;
                t.paths[best].next = e.paths;
                e.paths = best;
            }
        }
    }

    e.has_best = best != 0;
    if (best != old_best) best_changed = route_changed = true;
    if (replaced != 0 && replaced == best) best_changed = true;
    if (best_changed || route_changed) note(t, prefix, route_changed);
}

template <class K>
void Rib::State::report(Table<K>& t, std::uint32_t prefix, std::uint16_t peer, bool is_feasible)
{
    feasible.push_back({peers[peer]->handle, t.prefixes[prefix].prefix(), is_feasible});
}

template <class K>
void Rib::State::store(Table<K>& t, std::uint32_t prefix, std::uint16_t peer, std::uint32_t set_in, std::uint32_t set,
                       std::uint16_t flags, std::uint32_t seconds, bool again)
{
    constexpr std::uint16_t kRefused = Path::kRejected | Path::kLooped;
    auto& e = t.prefixes[prefix];
    const PeerSummary& from = summaries[peer];
    AdjIn* in = from.local ? nullptr : &peers[peer]->in[Table<K>::kIndex];
    if (in && in->generation && !again) flags |= Path::kGeneration;
    const bool accepted = !(flags & kRefused);

    auto handle = e.paths;
    while (handle != 0 && t.paths[handle].peer != peer) handle = t.paths[handle].next;

    if (handle != 0) {
        Path& p = t.paths[handle];
        if (set_of(p) == set && pairs.received(p.sets) == set_in && ((p.flags ^ flags) & kRefused) == 0) {
            p.flags = static_cast<std::uint16_t>((p.flags & ~Path::kGeneration) | (flags & Path::kGeneration));
            return;
        }
        const auto word = pairs.acquire(set_in, set);
        if (word == 0) {  // no room: at least nothing wrong is kept
            if (in) table_full(*peers[peer], Table<K>::kFamily);
            return remove(t, prefix, peer);
        }
        const bool was_accepted = !(p.flags & kRefused);
        const AttributeSet &old_set = sets[set_of(p)], &new_set = sets[set];
        const bool same_route = old_set.nexthop == new_set.nexthop && old_set.med == new_set.med &&
                                old_set.link_bandwidth == new_set.link_bandwidth;
        pairs.release(std::exchange(p.sets, word));
        p.received_at = seconds;
        p.flags = static_cast<std::uint16_t>((p.flags & (Path::kMultipath | Path::kBackup | Path::kUsable)) | flags);
        if (in && accepted != was_accepted) {
            in->accepted += accepted ? 1 : -1;
            if (from.report) report(t, prefix, peer, accepted);
        }
        const bool in_use = p.flags & (Path::kMultipath | (config.backup_paths ? Path::kBackup : 0));
        decide(t, prefix, false, !same_route && in_use, handle);
        return;
    }

    const auto word = pairs.acquire(set_in, set);
    if (word != 0 && (handle = t.paths.allocate()) == 0) pairs.release(word);
    if (handle == 0) {
        if (in) table_full(*peers[peer], Table<K>::kFamily);
        return free_if_unused(t, prefix);
    }
    Path& p = t.paths[handle];
    p = {0, word, seconds, peer, flags};
    if (e.paths == 0) {
        e.paths = handle;
        ++t.with_paths;
    } else {
        p.next = t.paths[e.paths].next;
        t.paths[e.paths].next = handle;
    }
    if (in) {
        ++in->received;
        in->accepted += accepted;
        if (from.report && accepted) report(t, prefix, peer, true);
    }
    decide(t, prefix);
}

template <class K>
void Rib::State::remove(Table<K>& t, std::uint32_t prefix, std::uint16_t peer)
{
    auto& e = t.prefixes[prefix];
    std::uint32_t before = 0, handle = e.paths;
    while (handle != 0 && t.paths[handle].peer != peer) {
        before = handle;
        handle = t.paths[handle].next;
    }
    if (handle == 0) return;

    Path& p = t.paths[handle];
    const bool was_best = before == 0 && e.has_best;
    const bool in_use = p.flags & (Path::kMultipath | (config.backup_paths ? Path::kBackup : 0));
    if (before == 0)
        e.paths = p.next;
    else
        t.paths[before].next = p.next;
    if (was_best) e.has_best = 0;

    const PeerSummary& from = summaries[peer];
    if (!from.local) {
        AdjIn& in = peers[peer]->in[Table<K>::kIndex];
        --in.received;
        if (!(p.flags & (Path::kRejected | Path::kLooped))) {
            --in.accepted;
            if (from.report) report(t, prefix, peer, false);
        }
    }
    pairs.release(p.sets);
    t.paths.free(handle);
    if (e.paths == 0) --t.with_paths;
    decide(t, prefix, was_best, in_use);
    free_if_unused(t, prefix);
}

namespace {

// A prefix of an UPDATE on its way through the table.
template <class K>
struct Item {
    K key;
    std::uint64_t hash;
    std::uint32_t prefix;  // 0: not in the table
    std::uint8_t length;
};

// Hands the prefixes of `nlri` to `use` in batches. A batch goes through in passes, each of which finds what the one
// before it has asked the cache for.
template <class K, class Use>
void in_batches(Table<K>& t, const bgp::NlriRange& nlri, bool insert, Use&& use)
{
    std::array<Item<K>, 32> batch;
    const auto wire = nlri.wire();
    const auto *at = wire.data(), *end = wire.data() + wire.size();
    while (at != end) {
        std::size_t n = 0;
        for (; at != end && n < batch.size(); ++n) {
            auto& i = batch[n];
            i.length = *at;
            i.key = K::from_wire(at + 1, i.length);
            i.hash = t.prefixes.hash(i.key, i.length);
            t.prefixes.prefetch(i.hash);
            at += 1 + (i.length + 7U) / 8U;
        }
        for (auto& i : std::span{batch}.first(n)) {
            i.prefix = t.prefixes.find(i.key, i.length, i.hash);
            if (i.prefix != 0) {
                const auto head = t.prefixes[i.prefix].paths;
                if (head != 0) __builtin_prefetch(&t.paths[head]);
            } else if (insert) {
                i.prefix = t.prefixes.insert(i.key, i.length, i.hash);
            }
        }
        for (const auto& i : std::span{batch}.first(n)) use(i);
    }
}

}  // namespace

template <class K>
void Rib::State::announce(Table<K>& t, Peer& peer, const bgp::NlriRange& nlri, std::uint32_t set, TimePoint now)
{
    const bool each = import_depends_on_prefix(peer, Table<K>::kIndex);
    ImportMemo::Outcome outcome;
    if (!each) outcome = import(peer, Table<K>::kIndex, set, IpPrefix{});
    const auto seconds = seconds_of(now);

    in_batches(t, nlri, true, [&](const Item<K>& i) {
        if (i.prefix == 0) return table_full(peer, Table<K>::kFamily);
        if (!each) return store(t, i.prefix, peer.number, set, outcome.set, outcome.flags, seconds);
        outcome = import(peer, Table<K>::kIndex, set, t.prefixes[i.prefix].prefix());
        store(t, i.prefix, peer.number, set, outcome.set, outcome.flags, seconds);
        sets.release(outcome.set);
    });
    if (!each) sets.release(outcome.set);
}

template <class K>
void Rib::State::withdraw(Table<K>& t, Peer& peer, const bgp::NlriRange& nlri)
{
    in_batches(t, nlri, false, [&](const Item<K>& i) {
        // Twice in one UPDATE: the first may have freed it.
        if (i.prefix != 0 && alive(t, i.prefix) && t.prefixes[i.prefix].key == i.key &&
            t.prefixes[i.prefix].length == i.length)
            remove(t, i.prefix, peer.number);
    });
}

void Rib::State::table_full(Peer& peer, Family family)
{
    AdjIn& in = peer.in[static_cast<std::size_t>(family)];
    if (std::exchange(in.told_full, true)) return;
    events.push_back({Event::Kind::TableFull, peer.handle, family, in.accepted, false});
}

void Rib::State::check_maximum(Peer& peer, Family family)
{
    AdjIn& in = peer.in[static_cast<std::size_t>(family)];
    const auto& maximum = peer.config.families[static_cast<std::size_t>(family)].maximum_prefix;
    if (maximum.limit == 0) return;
    const auto event = [&](Event::Kind kind) {
        events.push_back({kind, peer.handle, family, in.accepted, maximum.warning_only});
    };
    if (in.accepted > maximum.limit) {
        if (!std::exchange(in.exceeded, true)) event(Event::Kind::MaximumPrefixExceeded);
        return;
    }
    in.exceeded = false;
    const bool over = in.accepted > static_cast<std::uint64_t>(maximum.limit) * maximum.threshold / 100;
    if (over && !in.warned) event(Event::Kind::MaximumPrefixThreshold);
    in.warned = over;
}

#define CULVERT_INSTANTIATE(K)                                                                             \
    template void Rib::State::announce(Table<K>&, Peer&, const bgp::NlriRange&, std::uint32_t, TimePoint); \
    template void Rib::State::withdraw(Table<K>&, Peer&, const bgp::NlriRange&);                           \
    template void Rib::State::store(Table<K>&, std::uint32_t, std::uint16_t, std::uint32_t, std::uint32_t, \
                                    std::uint16_t, std::uint32_t, bool);                                   \
    template void Rib::State::remove(Table<K>&, std::uint32_t, std::uint16_t);                             \
    template void Rib::State::decide(Table<K>&, std::uint32_t, bool, bool, std::uint32_t);                 \
    template void Rib::State::note(Table<K>&, std::uint32_t, bool);                                        \
    template void Rib::State::report(Table<K>&, std::uint32_t, std::uint16_t, bool);                       \
    template bool Rib::State::usable(const Table<K>&, const Path&) const;                                  \
    template Candidate Rib::State::candidate(const Table<K>&, std::uint32_t, bool) const;
CULVERT_INSTANTIATE(Key4)
CULVERT_INSTANTIATE(Key6)
#undef CULVERT_INSTANTIATE

}  // namespace culvert::rib
