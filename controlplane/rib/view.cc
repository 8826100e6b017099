#include "controlplane/rib/state.h"

#include <algorithm>

// What `show bgp` reads.
namespace culvert::rib {

template <class K>
PathView Rib::State::view_path(const Table<K>& t, std::uint32_t prefix, std::uint32_t handle, bool received) const
{
    const Path& p = t.paths[handle];
    const PeerSummary& from = summaries[p.peer];
    const AttributeSet& s = sets[set_of(p)];
    PathView v;
    if (from.local)
        v.local = LocalSource{static_cast<std::uint8_t>(p.peer)};
    else
        v.peer = peers[p.peer]->handle;
    v.attributes = sets.decode(received ? pairs.received(p.sets) : set_of(p));
    const auto c = candidate(t, handle, false);
    v.weight = c.weight;
    v.valid = usable(t, p);
    v.best = t.prefixes[prefix].has_best && t.prefixes[prefix].paths == handle;
    v.multipath = p.flags & Path::kMultipath;
    v.backup = p.flags & Path::kBackup;
    v.rejected = p.flags & Path::kRejected;
    v.looped = p.flags & Path::kLooped;
    v.next_hop = nexthops[s.nexthop].state;
    v.received_at = TimePoint{std::chrono::seconds{p.received_at}};
    return v;
}

template <class K>
PrefixView Rib::State::view(const Table<K>& t, std::uint32_t prefix) const
{
    const auto& e = t.prefixes[prefix];
    PrefixView v;
    v.prefix = e.prefix();
    v.reason = Reason{e.reason};
    for (auto h = e.paths; h != 0; h = t.paths[h].next) v.paths.push_back(view_path(t, prefix, h, false));
    for (const auto number : active)
        if (peers[number]->out[Table<K>::kIndex].sent[prefix] != 0) v.advertised_to.push_back(peers[number]->handle);
    return v;
}

std::optional<PrefixView> Rib::find(const IpPrefix& prefix) const
{
    const State& s = *state_;
    return s.with(prefix.family(), [&](const auto& t) -> std::optional<PrefixView> {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        const auto found = t.prefixes.find(K::from(prefix), prefix.length);
        if (found == 0 || t.prefixes[found].paths == 0) return std::nullopt;
        return s.view(t, found);
    });
}

std::optional<PrefixView> Rib::longest_match(const IpAddress& address) const
{
    const State& s = *state_;
    return s.with(address.family, [&](const auto& t) -> std::optional<PrefixView> {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        for (int length = max_length(address.family); length >= 0; --length) {
            if (t.prefixes.of_length(static_cast<std::uint8_t>(length)) == 0) continue;
            const auto prefix = IpPrefix::make(address, length);
            const auto found = t.prefixes.find(K::from(prefix), prefix.length);
            if (found != 0 && t.prefixes[found].paths != 0) return s.view(t, found);
        }
        return std::nullopt;
    });
}

PeerCounts Rib::counts(PeerHandle handle, Family family) const
{
    const Peer* peer = state_->session(handle);
    if (peer == nullptr) return {};
    const auto i = static_cast<std::size_t>(family);
    return {peer->in[i].received, peer->in[i].accepted, peer->out[i].sent.size()};
}

Memory Rib::memory() const
{
    const State& s = *state_;
    Memory m;
    m.prefixes = s.v4.prefixes.size() + s.v6.prefixes.size();
    m.paths = s.v4.paths.used() + s.v6.paths.used();
    m.attribute_sets = s.sets.size();
    m.sent_sets = s.sent_sets.size();
    m.nexthops = s.nexthops.size();
    m.octets = s.sets.octets() + s.pairs.octets() + s.sent_sets.octets();
    const auto table = [&](const auto& t) {
        m.octets += t.prefixes.octets() + t.paths.items().mapped_octets() + t.log.octets();
    };
    table(s.v4);
    table(s.v6);
    for (const auto& peer : s.peers) {
        if (!peer) continue;
        for (const auto& out : peer->out)
            m.octets += out.sent.octets() + out.order.capacity() * 4 + out.starts.capacity() * 4 +
                        out.staged.capacity() * sizeof(AdjOut::Staged);
    }
    for (const auto& c : s.contexts)
        if (const auto context = c.lock()) m.octets += context->octets();
    return m;
}

std::size_t Rib::prefix_count(Family family) const
{
    return state_->with(family, [](const auto& t) -> std::size_t { return t.with_paths; });
}

std::uint32_t Rib::number(const IpPrefix& prefix) const
{
    return state_->with(prefix.family(), [&](const auto& t) {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        return t.prefixes.find(K::from(prefix), prefix.length);
    });
}

bool Rib::any_of_length(Family family, std::uint8_t length) const
{
    return state_->with(family, [&](const auto& t) { return t.prefixes.of_length(length) > 0; });
}

std::uint64_t Rib::table_version(Family family) const
{
    return state_->with(family, [](const auto& t) { return t.version; });
}

std::optional<PathView> Rib::received(PeerHandle handle, const IpPrefix& prefix) const
{
    const State& s = *state_;
    const Peer* peer = s.session(handle);
    if (peer == nullptr) return std::nullopt;
    return s.with(prefix.family(), [&](const auto& t) -> std::optional<PathView> {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        const auto found = t.prefixes.find(K::from(prefix), prefix.length);
        if (found == 0) return std::nullopt;
        for (auto h = t.prefixes[found].paths; h != 0; h = t.paths[h].next)
            if (t.paths[h].peer == peer->number) return s.view_path(t, found, h, true);
        return std::nullopt;
    });
}

std::optional<bgp::PathAttributes> Rib::advertised(PeerHandle handle, const IpPrefix& prefix) const
{
    const State& s = *state_;
    const Peer* peer = s.session(handle);
    if (peer == nullptr) return std::nullopt;
    return s.with(prefix.family(), [&](const auto& t) -> std::optional<bgp::PathAttributes> {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        const auto found = t.prefixes.find(K::from(prefix), prefix.length);
        const auto sent = found == 0 ? 0 : peer->out[t.kIndex].sent[found];
        if (sent == 0) return std::nullopt;
        bgp::EncodedAttributes encoded;
        s.sent_sets.load(sent, encoded);
        auto attributes = bgp::decode_attributes(encoded.octets, peer->context.negotiated);
        attributes.next_hop = encoded.next_hop;
        attributes.link_local_next_hop = encoded.link_local_next_hop;
        return attributes;
    });
}

// A heap of all prefixes: it is built while the table is read, and gives them back in order, at a cost that is spread
// evenly over both.
struct Rib::Walk::State {
    template <class K>
    struct Item {
        K key;
        std::uint8_t length;
        friend auto operator<=>(const Item&, const Item&) = default;
    };

    const Rib::State& rib;
    Family family;
    std::uint32_t at = 1;
    std::vector<Item<Key4>> v4;
    std::vector<Item<Key6>> v6;

    template <class K>
    auto& items()
    {
        if constexpr (std::is_same_v<K, Key4>)
            return v4;
        else
            return v6;
    }
};

Rib::Walk::Walk(const Rib& rib, Family family) : state_(new State{*rib.state_, family, 1, {}, {}}) {}
Rib::Walk::~Walk() = default;
Rib::Walk::Walk(Walk&&) noexcept = default;
Rib::Walk& Rib::Walk::operator=(Walk&&) noexcept = default;

bool Rib::Walk::prepare(std::size_t budget)
{
    State& w = *state_;
    return w.rib.with(w.family, [&](const auto& t) {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        auto& items = w.items<K>();
        const auto& pool = t.prefixes.items();
        while (budget > 0 && w.at < pool.handle_end()) {
            const auto end = pool.fresh_end(w.at);
            for (; w.at < end && budget > 0; ++w.at, --budget) {
                const auto& e = t.prefixes[w.at];
                if (e.length == Destination<K>::kFree || e.paths == 0) continue;
                items.push_back({e.key, e.length});
                std::ranges::push_heap(items, std::ranges::greater{});
            }
            if (w.at >= end) w.at = pool.after_chunk(w.at, end);
        }
        return w.at < pool.handle_end();
    });
}

std::optional<IpPrefix> Rib::Walk::next()
{
    const auto pop = [](auto& items) -> std::optional<IpPrefix> {
        if (items.empty()) return std::nullopt;
        std::ranges::pop_heap(items, std::ranges::greater{});
        const auto item = items.back();
        items.pop_back();
        return IpPrefix{item.key.to_address(), item.length};
    };
    return state_->family == Family::Ipv4 ? pop(state_->v4) : pop(state_->v6);
}

}  // namespace culvert::rib
