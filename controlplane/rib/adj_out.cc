#include "controlplane/bgp/message.h"
#include "controlplane/rib/state.h"

#include <algorithm>
#include <limits>

// From best paths to what each neighbour is sent, and to the route table.
//
// A neighbour has a place in the change log. stage() takes the next prefixes from there, computes what the neighbour
// ought to have, compares that with what it has, and orders the differences by encoded attribute set; emit() puts them
// into messages. A neighbour that is new, or has fallen too far behind, walks over the whole table instead: the
// comparison makes that safe at any time.
namespace culvert::rib {

namespace {

constexpr std::size_t kWindow = 8192;        // prefixes looked at in one go
constexpr std::size_t kStagedAtRest = 512;   // what a neighbour that has everything keeps room for
constexpr std::uint32_t kWalkSlice = 65536;  // prefixes counted or placed in one go

}  // namespace

ExportRules Rib::State::export_rules(const Peer& peer, Family family) const
{
    const auto i = static_cast<std::size_t>(family);
    const auto& f = peer.config.families[i];
    const auto& n = peer.context.negotiated;
    ExportRules r;
    r.family = family;
    r.external = peer.external;
    r.four_octet_as = n.four_octet_as;
    r.own_as = config.asn;
    if (peer.external && peer.config.local_as && *peer.config.local_as != config.asn) {
        r.local_as = peer.config.local_as;
        r.local_as_replace = peer.config.local_as_replace_as;
    }
    r.as_override = peer.external && f.as_override;
    r.remove_private_as = peer.external ? f.remove_private_as : RemovePrivateAs::No;
    if (r.as_override || r.remove_private_as != RemovePrivateAs::No) r.remote_as = n.remote_as;
    r.self = peer.context.local_address[i];
    r.extended_next_hop = family == Family::Ipv4 && n.extended_next_hop;
    if (r.extended_next_hop) r.self = peer.context.local_address[static_cast<std::size_t>(Family::Ipv6)];
    if (family == Family::Ipv6 || r.extended_next_hop) r.self_link_local = peer.context.local_link_local;
    if (peer.external) r.subnet = peer.context.subnet[i];
    r.next_hop_self = f.next_hop_self;
    r.next_hop_self_force = f.next_hop_self_force;
    r.next_hop_unchanged = f.next_hop_unchanged;
    r.send_community = f.send_community;
    r.send_extended_community = f.send_extended_community;
    r.send_large_community = f.send_large_community;
    r.cluster_id = config.cluster_id.value_or(config.router_id.value);
    r.default_local_preference = config.default_local_preference;
    r.step = f.export_step;
    if (r.step) r.neighbor = {peer.context.remote_address, n.remote_as, peer.external};
    return r;
}

std::shared_ptr<ExportContext> Rib::State::context_for(ExportRules rules)
{
    std::erase_if(contexts, [](const auto& c) { return c.expired(); });
    for (const auto& known : contexts)
        if (auto context = known.lock(); context->rules() == rules) return context;
    auto context =
        std::shared_ptr<ExportContext>(new ExportContext(std::move(rules), sets, sent_sets), [](ExportContext* c) {
            c->clear();
            delete c;
        });
    contexts.push_back(context);
    return context;
}

// Brings a session's outgoing side in line with its configuration; the walk sends the difference.
void Rib::State::configure_output(Peer& peer)
{
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        AdjOut& out = peer.out[static_cast<std::size_t>(family)];
        const auto& f = peer.config.families[static_cast<std::size_t>(family)];
        const auto& n = peer.context.negotiated;
        const bool active_now = family == Family::Ipv4 ? n.ipv4_unicast : n.ipv6_unicast;
        if (!active_now) continue;
        const bool first = !std::exchange(out.active, true);
        out.context = context_for(export_rules(peer, family));
        out.allowed = !peer.external || !config.ebgp_requires_policy || f.export_step != nullptr;

        if (out.default_sent != 0) sent_sets.release(std::exchange(out.default_sent, 0));
        with(family, [&](auto& t) {
            using K = typename std::remove_cvref_t<decltype(t)>::Key;
            if (f.default_originate) {
                // Not subject to the step, as in FRR: what says "send it a default" is its own policy.
                auto rules = export_rules(peer, family);
                rules.step = nullptr;
                bgp::PathAttributes attributes;
                attributes.origin = bgp::Origin::Igp;
                if (export_attributes(rules, {}, IpPrefix{}, attributes))
                    out.default_sent = sent_sets.intern(bgp::encode_attributes(attributes, n));
                const auto hash = t.prefixes.hash(K{}, 0);
                auto prefix = t.prefixes.find(K{}, 0, hash);
                if (prefix == 0) prefix = t.prefixes.insert(K{}, 0, hash);
                if (prefix != 0) t.prefixes[prefix].pinned = 1;
            }
            if (first) {
                out.marker_end = true;
                out.place = t.log.end();
                t.read_end = std::max(t.read_end, out.place);
            }
            start_walk(t, out);
        });
    }
}

void Rib::State::unstage(AdjOut& out)
{
    for (auto i = out.staged_at; i < out.staged.size(); ++i)
        if (out.staged[i].sent != 0) sent_sets.release(out.staged[i].sent);
    out.staged.clear();
    out.staged_at = 0;
}

void Rib::State::stop_output(AdjOut& out)
{
    unstage(out);
    if (out.default_sent != 0) sent_sets.release(std::exchange(out.default_sent, 0));
    out.active = false;
    out.phase = AdjOut::Phase::Idle;
    out.starts = {};
    out.order = {};
    out.context.reset();
}

template <class K>
void Rib::State::start_walk(Table<K>& t, AdjOut& out)
{
    // What is staged was computed under rules that may be gone; the walk comes by again.
    unstage(out);
    out.phase = AdjOut::Phase::Count;
    out.again = false;
    out.at = 1;
    out.starts.assign(1, 0);
    out.order.clear();
    out.place = t.log.end();
    t.read_end = std::max(t.read_end, out.place);
}

template <class K>
bool Rib::State::alive(const Table<K>& t, std::uint32_t prefix) const
{
    return prefix != 0 && prefix < t.prefixes.items().handle_end() && prefix < t.prefixes.items().fresh_end(prefix) &&
           t.prefixes[prefix].length != Destination<K>::kFree;
}

template <class K>
void Rib::State::gather(Table<K>& t, AdjOut& out)
{
    using Phase = AdjOut::Phase;
    window.clear();
    const auto& items = t.prefixes.items();
    const auto each = [&](auto&& visit) {
        const auto until = out.at + kWalkSlice;
        while (out.at < until && out.at < items.handle_end()) {
            const auto end = std::min(items.fresh_end(out.at), until);
            for (; out.at < end; ++out.at) {
                const auto& e = t.prefixes[out.at];
                if (e.length != Destination<K>::kFree) visit(e.has_best ? set_of(t.paths[e.paths]) : 0);
            }
            if (out.at < until) out.at = items.after_chunk(out.at, end);
        }
        return out.at >= items.handle_end();
    };

    if (out.phase == Phase::Count) {
        const bool done = each([&](std::uint32_t set) {
            if (set + 1 >= out.starts.size()) out.starts.resize(std::max<std::size_t>(set + 2, sets.handle_end() + 1));
            ++out.starts[set + 1];
        });
        if (!done) return;
        for (std::size_t i = 1; i < out.starts.size(); ++i) out.starts[i] += out.starts[i - 1];
        out.order.assign(out.starts.back(), 0);
        out.phase = Phase::Scatter;
        out.at = 1;
    } else if (out.phase == Phase::Scatter) {
        const bool done = each([&](std::uint32_t set) {
            // Where the set's own room is full, because something changed since it was counted, at the end.
            if (set + 1 < out.starts.size() && out.starts[set] < out.order.size() && out.order[out.starts[set]] == 0)
                out.order[out.starts[set]++] = out.at;
            else
                out.order.push_back(out.at);
        });
        if (!done) return;
        out.starts = {};
        out.phase = Phase::Emit;
        out.at = 0;
    } else if (out.phase == Phase::Emit) {
        while (out.at < out.order.size() && window.size() < kWindow) {
            const auto prefix = out.order[out.at++];
            if (alive(t, prefix)) window.push_back(prefix);
        }
        if (out.at < out.order.size()) return;
        out.order = {};
        out.phase = Phase::Idle;
    } else {
        for (; out.place < t.log.end() && window.size() < kWindow; ++out.place) {
            const auto prefix = t.log[out.place];
            if (t.prefixes[prefix].changed == static_cast<std::uint32_t>(out.place)) window.push_back(prefix);
        }
        t.read_end = std::max(t.read_end, out.place);
    }
}

// What the neighbour ought to have for the prefix; 0: nothing. See ExportContext::translate() for who owns it.
template <class K>
std::uint32_t Rib::State::target(Table<K>& t, Peer& peer, std::uint32_t prefix)
{
    AdjOut& out = peer.out[Table<K>::kIndex];
    const auto& e = t.prefixes[prefix];
    if (e.length == 0 && out.default_sent != 0) return out.default_sent;
    if (!e.has_best || !out.allowed) return 0;

    const Path& best = t.paths[e.paths];
    if (best.peer == peer.number) return 0;
    const auto handle = set_of(best);
    const AttributeSet& set = sets[handle];
    if (set.flags & (AttributeSet::kNoAdvertise | AttributeSet::kNoExport)) {
        if ((set.flags & AttributeSet::kNoAdvertise) || peer.external) return 0;
    }
    const PeerSummary& from = summaries[best.peer];
    ExportSource source;
    if (from.local) {
        source.kind = ExportSource::Kind::Local;
    } else if (from.external) {
        source.kind = ExportSource::Kind::External;
    } else {
        source.kind = ExportSource::Kind::Internal;
        source.router_id = from.router_id;
        if (!peer.external) {
            // RFC 4456 6: between two internal neighbours only when one is our client, and never back to the origin.
            if (!from.client[Table<K>::kIndex] && !summaries[peer.number].client[Table<K>::kIndex]) return 0;
            if ((set.flags & AttributeSet::kHasOriginator) && set.originator == peer.context.router_id) return 0;
        }
    }
    if ((set.flags & AttributeSet::kBandwidthTransitive) && gather_bandwidths(t, prefix))
        source.bandwidth =
            static_cast<float>(std::min<double>(cumulative(bandwidths), std::numeric_limits<float>::max()));
    source.force_self = peer.external && nexthops[set.nexthop].address == peer.context.remote_address;
    return out.context->translate(handle, source, e.prefix());
}

// Computes the next window. False: there is nothing left to look at.
template <class K>
bool Rib::State::stage(Table<K>& t, Peer& peer)
{
    constexpr std::size_t kAhead = 12;
    AdjOut& out = peer.out[Table<K>::kIndex];
    out.staged.clear();
    out.staged_at = 0;
    if (out.phase == AdjOut::Phase::Idle && out.again) start_walk(t, out);
    if (out.phase == AdjOut::Phase::Idle && out.place == t.log.end()) return false;
    const bool walk = out.phase != AdjOut::Phase::Idle;
    gather(t, out);

    for (std::size_t i = 0; i < window.size(); ++i) {
        // Three steps ahead of each other: the prefix, its best path, what is known of that path's set.
        if (i + 3 * kAhead < window.size()) {
            __builtin_prefetch(&t.prefixes[window[i + 3 * kAhead]]);
            out.sent.prefetch(window[i + 3 * kAhead]);
        }
        if (i + 2 * kAhead < window.size()) {
            const auto& e = t.prefixes[window[i + 2 * kAhead]];
            if (e.has_best) __builtin_prefetch(&t.paths[e.paths]);
        }
        if (i + kAhead < window.size()) {
            const auto& e = t.prefixes[window[i + kAhead]];
            if (e.has_best) {
                const auto set = set_of(t.paths[e.paths]);
                sets.prefetch(set);
                out.context->prefetch(set);
            }
        }
        const auto prefix = window[i];
        const auto wanted = target(t, peer, prefix);
        const auto has = out.sent[prefix];
        if (wanted == has && (wanted == 0 || !(out.resend && walk))) continue;
        if (wanted != 0) sent_sets.reference(wanted);
        out.staged.push_back({wanted, prefix});
    }
    const auto by_set = [](const AdjOut::Staged& a, const AdjOut::Staged& b) { return a.sent < b.sent; };
    if (!std::ranges::is_sorted(out.staged, by_set)) std::ranges::stable_sort(out.staged, by_set);
    return true;
}

template <class K>
void Rib::State::set_sent(Table<K>& t, AdjOut& out, std::uint32_t prefix, std::uint32_t sent)
{
    const auto before = out.sent[prefix];
    if (sent != 0) sent_sets.reference(sent);
    if (before != 0) sent_sets.release(before);
    t.prefixes[prefix].advertised += (sent != 0) - (before != 0);
    out.sent.set(prefix, sent);
}

// Writes what is staged. False: `limit` is reached.
template <class K>
bool Rib::State::emit(Table<K>& t, Peer& peer, bgp::UpdateBuilder& builder, std::vector<std::uint8_t>& bytes,
                      std::size_t limit)
{
    AdjOut& out = peer.out[Table<K>::kIndex];
    while (out.staged_at < out.staged.size()) {
        const auto set = out.staged[out.staged_at].sent;
        bool announcing = false;
        if (set != 0) {
            auto& next = encoded[in_use ^= 1];  // the builder still looks at the one before
            sent_sets.load(set, next);
            announcing = builder.announce(Table<K>::kFamily, next);
        }
        if (!announcing) builder.withdraw(Table<K>::kFamily);
        const auto now = announcing ? set : 0;  // too large for this session: it must not keep what it had

        for (; out.staged_at < out.staged.size() && out.staged[out.staged_at].sent == set; ++out.staged_at) {
            if (bytes.size() >= limit) return false;
            const auto prefix = out.staged[out.staged_at].prefix;
            const auto& e = t.prefixes[prefix];
            // It has changed since: its later place in the log counts. But a refresh must name it before it ends.
            const bool stale = !out.resend && t.log.place(prefix, e.changed, out.place) != t.log.end();
            if (!stale && (now != 0 || out.sent[prefix] != 0)) {
                builder.add(e.prefix());
                set_sent(t, out, prefix, now);
                peer.sent_something = true;
                if (now == 0) free_if_unused(t, prefix);
            }
            if (set != 0) sent_sets.release(set);
        }
    }
    out.staged.clear();
    out.staged_at = 0;
    return true;
}

// False: `limit` is reached, or a good piece of work without output is done.
template <class K>
bool Rib::State::fill_family(Table<K>& t, Peer& peer, bgp::UpdateBuilder& builder, std::vector<std::uint8_t>& bytes,
                             std::size_t limit)
{
    AdjOut& out = peer.out[Table<K>::kIndex];
    if (!out.active) return true;
    const auto marker = [&](bgp::RouteRefresh::Kind kind) {
        builder.flush();
        bgp::encode_route_refresh(
            {{Table<K>::kFamily == Family::Ipv4 ? bgp::Afi::Ipv4 : bgp::Afi::Ipv6, bgp::Safi::Unicast}, kind}, bytes);
    };
    if (std::exchange(out.marker_begin, false)) marker(bgp::RouteRefresh::Kind::Begin);

    for (int windows = 0;; ++windows) {
        if (!emit(t, peer, builder, bytes, limit)) return false;
        const bool walked = out.phase == AdjOut::Phase::Idle && !out.again;
        if (walked) out.resend = false;
        if (walked && std::exchange(out.marker_end, false)) {
            if (std::exchange(out.refresh, false)) {
                marker(bgp::RouteRefresh::Kind::End);
            } else {
                builder.flush();
                bgp::encode_end_of_rib(Table<K>::kFamily, bytes);
            }
        }
        if (windows == 4) return false;
        if (!stage(t, peer)) {
            if (out.staged.capacity() > kStagedAtRest) out.staged = {};
            return true;
        }
    }
}

template <class K>
bool Rib::State::output_pending(const Table<K>& t, const AdjOut& out) const
{
    return out.active && (out.marker_begin || out.marker_end || out.again || out.phase != AdjOut::Phase::Idle ||
                          out.staged_at < out.staged.size() || out.place < t.log.end());
}

template <class K>
void Rib::State::free_if_unused(Table<K>& t, std::uint32_t prefix)
{
    const auto& e = t.prefixes[prefix];
    if (e.paths != 0 || e.advertised != 0 || e.pinned) return;
    if (t.log.place(prefix, e.changed, t.log.begin()) != t.log.end()) return;
    t.prefixes.erase(prefix);
}

// Forgets the part of the log that every reader has passed, and the prefixes that nobody needs any more.
template <class K>
void Rib::State::reap(Table<K>& t)
{
    auto least = t.route_place;
    for (const auto number : active)
        if (const AdjOut& out = peers[number]->out[Table<K>::kIndex]; out.active) least = std::min(least, out.place);
    constexpr std::uint64_t kAhead = 8;
    const auto unused = [&](std::uint64_t at) {
        const auto& e = t.prefixes[t.log[at]];
        return e.changed == static_cast<std::uint32_t>(at) && e.paths == 0 && e.advertised == 0 && !e.pinned;
    };
    for (auto at = t.log.begin(); at < least; ++at) {
        if (at + 2 * kAhead < least) __builtin_prefetch(&t.prefixes[t.log[at + 2 * kAhead]]);
        if (at + kAhead < least && unused(at + kAhead)) t.prefixes.prefetch(t.log[at + kAhead]);
        if (unused(at)) t.prefixes.erase(t.log[at]);
    }
    t.log.drop_before(std::max(least, t.log.begin()));
}

// The log must not grow without bound because of a neighbour that doesn't read: it will have to walk.
template <class K>
void Rib::State::shed_laggards(Table<K>& t)
{
    const auto oldest = t.log.begin() + (t.log.end() - t.log.begin()) / 2;
    for (const auto number : active) {
        AdjOut& out = peers[number]->out[Table<K>::kIndex];
        if (!out.active || out.place > oldest) continue;
        unstage(out);
        out.again = true;
        out.place = t.log.end();
        t.read_end = std::max(t.read_end, out.place);
    }
}

template <class K>
bool Rib::State::gather_bandwidths(const Table<K>& t, std::uint32_t prefix)
{
    if (config.bandwidth == BandwidthUse::Ignore) return false;
    bandwidths.clear();
    // Of few paths: quadratic is as good as anything.
    const auto& e = t.prefixes[prefix];
    for (auto h = e.paths; h != 0; h = t.paths[h].next) {
        const Path& p = t.paths[h];
        if (!(p.flags & Path::kMultipath) || summaries[p.peer].local) continue;
        const AttributeSet& s = sets[set_of(p)];
        // A link-local next hop is another one on every link.
        const auto& address = nexthops[s.nexthop].address;
        bool same = false;
        for (auto b = address.is_v6() && address.is_link_local() ? h : e.paths; b != h && !same; b = t.paths[b].next)
            same = (t.paths[b].flags & Path::kMultipath) && sets[set_of(t.paths[b])].nexthop == s.nexthop;
        bandwidths.push_back({s.link_bandwidth, same});
    }
    return by_bandwidth(bandwidths, config.bandwidth);
}

template <class K>
std::size_t Rib::State::drain(Table<K>& t, RouteSink& sink, std::size_t max)
{
    constexpr std::uint64_t kAhead = 16;
    std::size_t told = 0;
    const auto& distance = config.families[Table<K>::kIndex].distance;
    for (; t.route_place < t.log.end() && told < max; ++t.route_place) {
        if (t.route_place + kAhead < t.log.end()) __builtin_prefetch(&t.prefixes[t.log[t.route_place + kAhead]]);
        if (t.route_place + kAhead / 2 < t.log.end()) {
            const auto& next = t.prefixes[t.log[t.route_place + kAhead / 2]];
            if (next.paths != 0) __builtin_prefetch(&t.paths[next.paths]);
        }
        const auto number = t.log[t.route_place];
        auto& e = t.prefixes[number];
        if (e.changed != static_cast<std::uint32_t>(t.route_place) || !e.route_changed) continue;
        e.route_changed = 0;

        route_paths.clear();
        RouteChange change;
        change.prefix = e.prefix();
        change.number = number;
        std::size_t backups = 0;
        if (e.has_best && !summaries[t.paths[e.paths].peer].local) {
            const Path& best = t.paths[e.paths];
            change.distance = distance[summaries[best.peer].external ? 0 : 1];
            change.metric = sets[set_of(best)].med;
            const auto collect = [&](std::uint16_t flag) {
                for (auto h = e.paths; h != 0; h = t.paths[h].next)
                    if (const Path& p = t.paths[h]; p.flags & flag)
                        if (!summaries[p.peer].local)
                            route_paths.push_back({nexthops[sets[set_of(p)].nexthop].address, peers[p.peer]->handle});
            };
            collect(Path::kMultipath);
            if (route_paths.size() > 1 && gather_bandwidths(t, t.log[t.route_place])) {
                const auto whole = cumulative(bandwidths);
                for (std::size_t i = 0; i < route_paths.size(); ++i)
                    route_paths[i].weight = weight_of(bandwidths[i], whole, config.bandwidth);
                std::erase_if(route_paths, [](const RoutePath& p) { return p.weight == 0; });
            }
            backups = route_paths.size();
            if (config.backup_paths) collect(Path::kBackup);
            backups = route_paths.size() - backups;
        }
        const auto all = std::span<const RoutePath>{route_paths};
        change.paths = all.first(all.size() - backups);
        change.backup = all.last(backups);
        if (change.paths.empty() && !e.installed) continue;
        e.installed = !change.paths.empty();
        sink.on_route(change);
        ++told;
    }
    t.read_end = std::max(t.read_end, t.route_place);
    reap(t);
    return told;
}

#define CULVERT_INSTANTIATE(K)                                                                               \
    template bool Rib::State::alive(const Table<K>&, std::uint32_t) const;                                   \
    template void Rib::State::start_walk(Table<K>&, AdjOut&);                                                \
    template bool Rib::State::fill_family(Table<K>&, Peer&, bgp::UpdateBuilder&, std::vector<std::uint8_t>&, \
                                          std::size_t);                                                      \
    template void Rib::State::set_sent(Table<K>&, AdjOut&, std::uint32_t, std::uint32_t);                    \
    template bool Rib::State::output_pending(const Table<K>&, const AdjOut&) const;                          \
    template void Rib::State::free_if_unused(Table<K>&, std::uint32_t);                                      \
    template void Rib::State::reap(Table<K>&);                                                               \
    template void Rib::State::shed_laggards(Table<K>&);                                                      \
    template bool Rib::State::gather_bandwidths(const Table<K>&, std::uint32_t);                             \
    template std::size_t Rib::State::drain(Table<K>&, RouteSink&, std::size_t);
CULVERT_INSTANTIATE(Key4)
CULVERT_INSTANTIATE(Key6)
#undef CULVERT_INSTANTIATE

}  // namespace culvert::rib
