#include "controlplane/rib/rib.h"

#include "controlplane/rib/state.h"

#include <algorithm>

namespace culvert::rib {

namespace {

constexpr std::array kFamilies{Family::Ipv4, Family::Ipv6};

std::size_t number_of(Family family) { return static_cast<std::size_t>(family); }

std::uint32_t cluster_id(const RibConfig& config) { return config.cluster_id.value_or(config.router_id.value); }

bool negotiated(const Peer& peer, Family family)
{
    const auto& n = peer.context.negotiated;
    return family == Family::Ipv4 ? n.ipv4_unicast : n.ipv6_unicast;
}

}  // namespace

Rib::State::State(const RibConfig& c)
    : config(c),
      sets(nexthops, c.hash_seed),
      pairs(sets, c.hash_seed),
      sent_sets(c.hash_seed),
      v4(c.hash_seed),
      v6(c.hash_seed)
{
    sets.set_identity(c.asn, c.router_id, cluster_id(c));
    summaries.resize(kLocalPeers);
    peers.resize(kLocalPeers);
    for (auto& s : summaries) {
        s.exists = s.usable = s.local = true;
        s.remote_as = c.asn;
    }
    summaries[static_cast<std::size_t>(LocalSource::MissingNetwork)].usable = false;
}

Rib::State::~State() = default;

Neighbor& Rib::State::neighbor(PeerHandle handle)
{
    CULVERT_CHECK(index(handle) - 1 < neighbors.size() && neighbors[index(handle) - 1].used);
    return neighbors[index(handle) - 1];
}

Peer* Rib::State::session(PeerHandle handle) const
{
    const auto slot = index(handle) - 1;
    return slot < neighbors.size() ? neighbors[slot].session : nullptr;
}

void Rib::State::summarize(const Peer& peer)
{
    PeerSummary& s = summaries[peer.number];
    s.exists = true;
    s.usable = peer.up;
    s.external = peer.external;
    s.multihop = peer.config.multihop;
    s.report = peer.config.track_feasible;
    s.remote_as = peer.context.negotiated.remote_as;
    s.router_id = peer.context.router_id;
    s.address = peer.context.remote_address;
    for (std::size_t i = 0; i < 2; ++i) {
        s.client[i] = peer.config.families[i].route_reflector_client;
        s.weight[i] = peer.config.families[i].weight.value_or(0);
    }
}

Rib::Rib(const RibConfig& config) : state_(std::make_unique<State>(config)) {}
Rib::~Rib() = default;
Rib::Rib(Rib&&) noexcept = default;
Rib& Rib::operator=(Rib&&) noexcept = default;

void Rib::configure(const RibConfig& config)
{
    State& s = *state_;
    const bool identity = config.router_id != s.config.router_id || config.cluster_id != s.config.cluster_id;
    const bool import = identity || config.ebgp_requires_policy != s.config.ebgp_requires_policy;
    const auto asn = s.config.asn;
    const auto seed = s.config.hash_seed;
    s.config = config;
    s.config.asn = asn;
    s.config.hash_seed = seed;
    if (identity) {
        s.sets.set_identity(asn, config.router_id, cluster_id(config));
        s.sets.reclassify();
    }
    for (const auto number : s.active) {
        if (import) {
            for (auto& in : s.peers[number]->in)
                if (in.memo) in.memo->clear();
            s.sweep_peer(number, kSweepImport);
        }
        s.configure_output(*s.peers[number]);
    }
    for (const auto f : kFamilies)
        s.with(f, [&](auto& t) {
            t.decide_all = true;
            s.request_sweep(t);
        });
}

void Rib::set_local_addresses(std::vector<IpAddress> addresses)
{
    State& s = *state_;
    if (!s.nexthops.set_own(addresses)) return;
    s.request_sweep(s.v4);
    s.request_sweep(s.v6);
}

PeerHandle Rib::add_peer(const PeerConfig& config)
{
    auto& all = state_->neighbors;
    const auto free = std::ranges::find_if(all, [](const Neighbor& n) { return !n.used && n.sessions == 0; });
    const auto slot = static_cast<std::uint32_t>(free - all.begin());
    if (free == all.end()) all.emplace_back();
    all[slot] = {true, config, nullptr, 0};
    return PeerHandle{slot + 1};
}

void Rib::remove_peer(PeerHandle handle)
{
    on_peer_down(handle);
    state_->neighbor(handle).used = false;
}

void Rib::reconfigure(PeerHandle handle, const PeerConfig& config)
{
    State& s = *state_;
    Neighbor& n = s.neighbor(handle);
    const PeerConfig old = std::exchange(n.config, config);
    Peer* peer = n.session;
    if (peer == nullptr) return;
    peer->config = config;
    s.summarize(*peer);

    for (const auto f : kFamilies) {
        const auto i = number_of(f);
        const auto &before = old.families[i], &after = config.families[i];
        std::uint8_t what = 0;
        if (before.import_step != after.import_step || before.allowas_in != after.allowas_in ||
            old.local_as != config.local_as || old.local_as_no_prepend != config.local_as_no_prepend ||
            (after.import_step && before.weight != after.weight)) {
            if (peer->in[i].memo) peer->in[i].memo->clear();
            what |= kSweepImport;
        }
        if (old.multihop != config.multihop || before.weight != after.weight) what |= kSweepDecide;
        if (old.track_feasible != config.track_feasible) what |= kSweepReport;
        if (what != 0) s.sweep_peer(peer->number, what, f);
        // A reflector's client or not: what others are sent of this peer's paths depends on it.
        if (before.route_reflector_client != after.route_reflector_client)
            for (const auto number : s.active)
                if (number != peer->number) s.configure_output(*s.peers[number]);
        s.check_maximum(*peer, f);
    }
    s.configure_output(*peer);
}

void Rib::on_peer_up(PeerHandle handle, const PeerContext& context, TimePoint)
{
    State& s = *state_;
    on_peer_down(handle);
    Neighbor& n = s.neighbor(handle);

    std::size_t number = kLocalPeers;
    while (number < s.peers.size() && s.peers[number]) ++number;
    CULVERT_CHECK(number < kMaxPeers);
    if (number == s.peers.size()) {
        s.peers.emplace_back();
        s.summaries.emplace_back();
    }
    auto& peer = s.peers[number] = std::make_unique<Peer>();
    peer->number = static_cast<std::uint16_t>(number);
    peer->handle = handle;
    peer->up = true;
    peer->external = context.negotiated.external;
    peer->config = n.config;
    peer->context = context;
    n.session = peer.get();
    ++n.sessions;
    s.summarize(*peer);
    s.active.push_back(peer->number);
    s.configure_output(*peer);
}

void Rib::on_peer_down(PeerHandle handle)
{
    State& s = *state_;
    Neighbor& n = s.neighbor(handle);
    if (n.session == nullptr) return;
    Peer& peer = *std::exchange(n.session, nullptr);
    peer.up = false;
    s.summaries[peer.number].usable = false;
    std::erase(s.active, peer.number);
    for (auto& out : peer.out) s.stop_output(out);
    s.dead.push_back(peer.number);
    s.sweep_peer(peer.number, kSweepRemove);
}

bool Rib::is_up(PeerHandle handle) const { return state_->session(handle) != nullptr; }

void Rib::on_update(PeerHandle handle, const bgp::UpdateView& update, TimePoint now)
{
    State& s = *state_;
    Peer* peer = s.session(handle);
    if (peer == nullptr) return;
    for (const auto f : kFamilies) {
        const auto& gone = update.unreach[number_of(f)];
        if (!gone.empty() && negotiated(*peer, f)) s.with(f, [&](auto& t) { s.withdraw(t, *peer, gone); });
    }
    for (const auto f : kFamilies) {
        const auto& reach = update.reach[number_of(f)];
        if (reach.nlri.empty() || !negotiated(*peer, f)) continue;
        if (update.action == bgp::Action::TreatAsWithdraw) {
            s.with(f, [&](auto& t) { s.withdraw(t, *peer, reach.nlri); });
            continue;
        }
        // RFC 2545 3: both are addresses of the same router. One that is spoken to link-locally may have no global
        // address that leads anywhere from here.
        const bool on_link = peer->context.remote_address.is_v6() && peer->context.remote_address.is_link_local();
        const IpAddress next_hop =
            on_link && reach.link_local_next_hop ? IpAddress{*reach.link_local_next_hop} : reach.next_hop;
        const auto set = s.sets.intern(update.attributes, next_hop, reach.link_local_next_hop,
                                       peer->context.negotiated.four_octet_as);
        if (set == 0) {  // no room: at least nothing wrong is kept
            s.table_full(*peer, f);
            s.with(f, [&](auto& t) { s.withdraw(t, *peer, reach.nlri); });
            continue;
        }
        s.with(f, [&](auto& t) { s.announce(t, *peer, reach.nlri, set, now); });
        s.sets.release(set);
        s.check_maximum(*peer, f);
    }
    if (update.end_of_rib) peer->in[number_of(*update.end_of_rib)].end_of_rib = true;
}

void Rib::on_refresh(PeerHandle handle, Family family)
{
    State& s = *state_;
    Peer* peer = s.session(handle);
    if (peer == nullptr || !peer->out[number_of(family)].active) return;
    AdjOut& out = peer->out[number_of(family)];
    s.with(family, [&](auto& t) { s.start_walk(t, out); });
    out.resend = true;
    // Between markers only when the table was sent once: the initial End-of-RIB must not be lost.
    if (peer->context.negotiated.enhanced_route_refresh && !out.marker_end)
        out.refresh = out.marker_begin = out.marker_end = true;
}

void Rib::on_refresh_begin(PeerHandle handle, Family family)
{
    State& s = *state_;
    Peer* peer = s.session(handle);
    if (peer == nullptr) return;
    AdjIn& in = peer->in[number_of(family)];
    // While an earlier round is still being swept, its mark must not be turned: the round goes on instead.
    if (in.refreshing || (s.summaries[peer->number].sweep[number_of(family)] & kSweepStale)) return;
    in.refreshing = true;
    in.generation = !in.generation;
}

void Rib::on_refresh_end(PeerHandle handle, Family family)
{
    State& s = *state_;
    Peer* peer = s.session(handle);
    if (peer == nullptr || !std::exchange(peer->in[number_of(family)].refreshing, false)) return;
    s.sweep_peer(peer->number, kSweepStale, family);
}

void Rib::clear_soft_in(PeerHandle handle, Family family)
{
    Peer* peer = state_->session(handle);
    if (peer == nullptr) return;
    if (auto& memo = peer->in[number_of(family)].memo) memo->clear();
    state_->sweep_peer(peer->number, kSweepImport, family);
}

void Rib::clear_soft_out(PeerHandle handle, Family family)
{
    Peer* peer = state_->session(handle);
    if (peer == nullptr || !peer->out[number_of(family)].active) return;
    AdjOut& out = peer->out[number_of(family)];
    state_->with(family, [&](auto& t) { state_->start_walk(t, out); });
    out.resend = true;
}

std::optional<bool> Rib::end_of_rib_received(PeerHandle handle, Family family) const
{
    const Peer* peer = state_->session(handle);
    if (peer == nullptr) return std::nullopt;
    return peer->in[number_of(family)].end_of_rib;
}

void Rib::originate(const IpPrefix& prefix, LocalSource source, const bgp::PathAttributes& attributes, TimePoint now)
{
    State& s = *state_;
    const auto set = s.sets.intern(attributes, std::nullopt);
    if (set == 0) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    s.with(prefix.family(), [&](auto& t) {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        const auto key = K::from(prefix);
        const auto hash = t.prefixes.hash(key, prefix.length);
        auto found = t.prefixes.find(key, prefix.length, hash);
        if (found == 0) found = t.prefixes.insert(key, prefix.length, hash);
        if (found != 0)
            s.store(t, found, static_cast<std::uint16_t>(source), set, set, 0, static_cast<std::uint32_t>(seconds));
    });
    s.sets.release(set);
}

void Rib::withdraw(const IpPrefix& prefix, LocalSource source)
{
    State& s = *state_;
    s.with(prefix.family(), [&](auto& t) {
        using K = typename std::remove_cvref_t<decltype(t)>::Key;
        if (const auto found = t.prefixes.find(K::from(prefix), prefix.length); found != 0)
            s.remove(t, found, static_cast<std::uint16_t>(source));
    });
}

void Rib::on_nexthop(const IpAddress& next_hop, const NexthopState& nexthop)
{
    State& s = *state_;
    if (!s.nexthops.update(next_hop, nexthop)) return;
    s.request_sweep(s.v4);
    s.request_sweep(s.v6);
}

bool Rib::run(std::size_t budget)
{
    State& s = *state_;
    s.sweep(s.v4, budget);
    s.sweep(s.v6, budget);
    s.sweep_sent(budget);
    return has_work();
}

bool Rib::has_work() const { return state_->v4.sweeping || state_->v6.sweeping || !state_->dead.empty(); }

std::size_t Rib::drain_routes(RouteSink& sink, std::size_t max)
{
    const auto told = state_->drain(state_->v4, sink, max);
    return told + state_->drain(state_->v6, sink, max - told);
}

std::size_t Rib::drain_feasible(FeasibleSink& sink, std::size_t max)
{
    auto& queue = state_->feasible;
    std::size_t told = 0;
    for (; told < max && !queue.empty(); ++told) {
        const auto change = queue.front();
        queue.pop_front();
        sink.on_feasible(change.peer, change.prefix, change.feasible);
    }
    return told;
}

std::size_t Rib::drain_nexthops(NexthopSink& sink) { return state_->nexthops.drain(sink); }

std::vector<Event> Rib::take_events() { return std::exchange(state_->events, {}); }

std::size_t Rib::fill(PeerHandle handle, std::vector<std::uint8_t>& out, std::size_t max_octets, TimePoint now)
{
    State& s = *state_;
    Peer* peer = s.session(handle);
    if (peer == nullptr || now < peer->wait_until) return 0;
    const auto start = out.size();
    bgp::UpdateBuilder builder(peer->context.negotiated, out);
    const bool all = s.fill_family(s.v4, *peer, builder, out, start + max_octets) &&
                     s.fill_family(s.v6, *peer, builder, out, start + max_octets);
    builder.flush();
    if (all && std::exchange(peer->sent_something, false) && peer->config.advertisement_interval > Duration{})
        peer->wait_until = now + peer->config.advertisement_interval;
    s.reap(s.v4);
    s.reap(s.v6);
    return out.size() - start;
}

bool Rib::pending(PeerHandle handle) const
{
    const Peer* peer = state_->session(handle);
    return peer != nullptr &&
           (state_->output_pending(state_->v4, peer->out[0]) || state_->output_pending(state_->v6, peer->out[1]));
}

TimePoint Rib::next_deadline() const
{
    auto least = kNever;
    for (const auto number : state_->active) {
        const Peer& peer = *state_->peers[number];
        if (peer.wait_until > TimePoint{} && pending(peer.handle)) least = std::min(least, peer.wait_until);
    }
    return least;
}

}  // namespace culvert::rib
