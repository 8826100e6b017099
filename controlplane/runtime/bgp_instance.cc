#include "controlplane/runtime/bgp_instance.h"

#include "base/log.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace culvert::runtime {
namespace {

// What one slice step may do before the clock is looked at again.
constexpr std::size_t kRibSteps = 100'000;
constexpr std::size_t kDrain = 4096;
constexpr std::size_t kFill = 64 << 10;
// The forwarding tables' writer is behind by so many updates: BGP waits.
constexpr std::size_t kMaxBacklog = 1 << 16;
// Each mix of weights is a group of its own, of up to 4 KiB, and neighbours choose the mixes: beyond so many groups
// multipaths share equally.
constexpr std::size_t kMaxGroupsByWeight = 1 << 14;

constexpr std::size_t at(Family f) { return static_cast<std::size_t>(f); }

route::Source to_route(config::RedistributeSource s)
{
    return s == config::RedistributeSource::Connected ? route::Source::Connected : route::Source::Static;
}

class RibWalk final : public route::PrefixWalk {
public:
    RibWalk(const rib::Rib& rib, Family family) : walk_(rib, family) {}
    bool prepare(std::size_t budget) override { return walk_.prepare(budget); }
    std::optional<IpPrefix> next() override { return walk_.next(); }

private:
    rib::Rib::Walk walk_;
};

// A next hop that has failed is no next hop, though the neighbour may still be connected to by that way.
rib::NexthopState state_of(const route::Resolution& r) { return {r.reachable && !r.down, r.direct, r.metric}; }

}  // namespace

BgpInstance::BgpInstance(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
                         const NeighborService& routers, BfdService& bfd, const config::Model& model,
                         const config::Bgp& config)
    : core_(core),
      interfaces_(interfaces),
      vrfs_(vrfs),
      wireguard_(wireguard),
      routers_(routers),
      bfd_(bfd),
      config_(config),
      hostname_(model.hostname),
      vrf_(vrfs.id(config.vrf).value_or(kDefaultVrf)),
      hash_seed_(core.random.u64()),
      client_(core.tables.add_client()),
      deadline_(core.loop, [this] { core_.loop.wake_slice(); })
{
    choose_router_id();
    rib_ = std::make_unique<rib::Rib>(rib_config());
    numbered_ = core_.tables.set_numbering(vrf_, this);
    configure(model, config);
}

BgpInstance::~BgpInstance()
{
    neighbors_.clear();
    for (std::size_t f = 0; f < origination_.size(); ++f) {
        for (const auto& prefix : origination_[f].watched) core_.tables.unwatch_prefix(client_, vrf_, prefix);
        for (const auto& [source, metric] : origination_[f].sources)
            core_.tables.stop_redistribute(client_, vrf_, static_cast<Family>(f), to_route(source));
        for (const auto& prefix : origination_[f].networks) rib_->withdraw(prefix, rib::LocalSource::Network);
    }
    // What BGP had brought leaves the route table now: nobody is there to take it back later.
    while (rib_->run() || rib_->drain_nexthops(*this) > 0 || rib_->drain_routes(*this) > 0) {}
    if (numbered_) core_.tables.set_numbering(vrf_, nullptr);
    if (last_.handle != route::kNoRoute) core_.tables.release(last_.handle);
    route::Event ignored;
    while (core_.tables.next_event(client_, ignored)) {}
}

rib::RibConfig BgpInstance::rib_config() const
{
    rib::RibConfig out;
    out.asn = config_.asn;
    out.router_id = router_id_;
    out.cluster_id = config_.cluster_id;
    out.default_local_preference = config_.default_local_preference;
    out.ebgp_requires_policy = config_.ebgp_requires_policy;
    out.always_compare_med = config_.always_compare_med;
    out.deterministic_med = config_.deterministic_med;
    out.med_missing_as_worst = config_.med_missing_as_worst;
    out.as_path_ignore = config_.bestpath_as_path_ignore;
    out.multipath_relax = config_.bestpath_multipath_relax;
    out.compare_routerid = config_.bestpath_compare_routerid;
    static_assert(static_cast<int>(rib::BandwidthUse::DefaultWeightForMissing) ==
                  static_cast<int>(config::BgpBandwidth::DefaultWeightForMissing));
    out.bandwidth = static_cast<rib::BandwidthUse>(config_.bestpath_bandwidth);
    out.backup_paths = true;  // a second-best path is ready in the forwarding table before it is needed
    out.hash_seed = hash_seed_;
    for (const auto& [family, f] : config_.families)
        out.families[at(family)] = {f.maximum_paths, f.maximum_paths_ibgp, f.distance};
    return out;
}

// As FRR: what is configured, else the highest address of a loopback, else the highest of all.
void BgpInstance::choose_router_id(bool anew)
{
    if (config_.router_id) {
        router_id_ = *config_.router_id;
        return;
    }
    Ipv4Address loopback, any;
    for (const auto& [name, entry] : interfaces_.all()) {
        if (entry.config.vrf != config_.vrf) continue;
        for (const auto& a : entry.config.addresses) {
            if (!a.address.is_v4() || a.address.is_loopback()) continue;
            auto& best = entry.kind() == api::InterfaceKind::Loopback ? loopback : any;
            best = std::max(best, a.address.v4());
        }
    }
    const auto chosen = loopback.is_unspecified() ? any : loopback;
    // A running instance keeps what it has said it is, until it is told otherwise.
    if ((anew || router_id_.is_unspecified()) && !chosen.is_unspecified()) router_id_ = chosen;
}

void BgpInstance::configure(const config::Model& model, const config::Bgp& config)
{
    const auto without_neighbors = [](config::Bgp bgp) {
        bgp.neighbors.clear();
        return bgp;
    };
    const auto router_id = router_id_;
    const bool global = !(without_neighbors(config) == without_neighbors(config_)) || model.hostname != hostname_;
    const bool id_taken_back = config_.router_id && !config.router_id;
    config_ = config;
    hostname_ = model.hostname;
    choose_router_id(id_taken_back);
    // A change of one neighbour leaves the others, and the million decisions that were made, as they are.
    const bool decide_anew = global || router_id != router_id_;
    if (decide_anew) rib_->configure(rib_config());
    interfaces_changed();

    std::erase_if(neighbors_, [&](const auto& n) { return !config.neighbors.contains(n.first); });
    listen();
    for (const auto& [name, neighbor] : config.neighbors) {
        const auto known = neighbors_.find(name);
        if (known == neighbors_.end())
            neighbors_.emplace(name, std::make_unique<BgpNeighbor>(*this, neighbor));
        else if (decide_anew || !(known->second->config() == neighbor))
            known->second->configure(neighbor);
    }
    update_origination();
    core_.loop.wake_slice();
}

void BgpInstance::refresh_passwords()
{
    for (auto& [name, neighbor] : neighbors_) neighbor->refresh_password();
}

void BgpInstance::interfaces_changed()
{
    std::vector<IpAddress> own;
    for (const auto& [id, interface] : core_.interfaces.all()) {
        if (interface.vrf != vrf_) continue;
        // A link-local address of ours on one link may be a neighbour's on another.
        for (const auto& a : interface.addresses)
            if (a.address.is_v4() || !a.address.is_link_local()) own.push_back(a.address);
    }
    rib_->set_local_addresses(std::move(own));
    for (auto& [name, neighbor] : neighbors_) {
        neighbor->update_link();
        neighbor->update_feasible();
    }
    core_.loop.wake_slice();
}

void BgpInstance::scopes_changed()
{
    for (auto& [name, neighbor] : neighbors_) neighbor->on_scopes();
}

void BgpInstance::listen()
{
    const auto* ns = vrfs_.ns(vrf_);
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        auto& listener = listeners_[at(family)];
        const bool wanted = std::any_of(config_.neighbors.begin(), config_.neighbors.end(), [&](const auto& n) {
            const auto& name = n.first;
            return (name.unnumbered() ? Family::Ipv6 : name.address.family) == family;
        });
        if (!wanted) {
            listener.watch.reset();
            listener.socket.reset();
            continue;
        }
        if (listener.socket || !ns) continue;
        auto socket = tcp_listen(*ns, family, 179);
        if (!socket) {
            log::error("bgp", "{}", socket.error().message);
            continue;
        }
        listener.socket = std::move(*socket);
        const int fd = listener.socket.get();
        listener.watch = core_.loop.watch(fd, EPOLLIN, [this, fd](std::uint32_t) { accept_from(fd); });
        for (auto& [name, neighbor] : neighbors_) {
            if (neighbor->address().family == family) neighbor->apply_md5();
        }
    }
}

void BgpInstance::accept_from(int listener)
{
    while (auto accepted = tcp_accept(listener)) {
        // Who is no neighbour gets no answer but a closed connection.
        const auto from = std::find_if(neighbors_.begin(), neighbors_.end(), [&](const auto& n) {
            return n.second->is(accepted->remote.address, accepted->scope);
        });
        if (from != neighbors_.end()) from->second->offer(std::move(*accepted));
    }
}

BgpNeighbor* BgpInstance::find(const config::PeerName& name)
{
    const auto n = neighbors_.find(name);
    return n == neighbors_.end() ? nullptr : n->second.get();
}

BgpNeighbor* BgpInstance::find(rib::PeerHandle handle)
{
    const auto n = by_handle_.find(handle);
    return n == by_handle_.end() ? nullptr : n->second;
}

void BgpInstance::originate(const IpPrefix& prefix, rib::LocalSource source, std::optional<std::uint32_t> metric)
{
    bgp::PathAttributes attributes;
    const bool network = source == rib::LocalSource::Network || source == rib::LocalSource::MissingNetwork;
    attributes.origin = network ? bgp::Origin::Igp : bgp::Origin::Incomplete;
    attributes.med = metric.value_or(0);
    attributes.next_hop = prefix.family() == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}};
    rib_->originate(prefix, source, attributes, now());
}

void BgpInstance::update_origination()
{
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        static const config::BgpFamily none;
        const auto configured = config_.families.find(family);
        const auto& wanted = configured == config_.families.end() ? none : configured->second;
        auto& have = origination_[at(family)];
        const auto& check = wanted.networks;
        const std::set<IpPrefix> watched = config_.network_import_check ? check : std::set<IpPrefix>{};
        const std::set<IpPrefix> networks = config_.network_import_check ? std::set<IpPrefix>{} : check;

        for (const auto& prefix : have.watched) {
            if (watched.contains(prefix)) continue;
            core_.tables.unwatch_prefix(client_, vrf_, prefix);
            present_.erase(prefix);
            rib_->withdraw(prefix, rib::LocalSource::Network);
            rib_->withdraw(prefix, rib::LocalSource::MissingNetwork);
        }
        for (const auto& prefix : have.networks) {
            if (!networks.contains(prefix)) rib_->withdraw(prefix, rib::LocalSource::Network);
        }
        for (const auto& prefix : watched) {
            if (have.watched.contains(prefix)) continue;
            originate(prefix, rib::LocalSource::MissingNetwork, std::nullopt);  // until the table has said otherwise
            core_.tables.watch_prefix(client_, vrf_, prefix);
        }
        for (const auto& prefix : networks) {
            if (!have.networks.contains(prefix)) originate(prefix, rib::LocalSource::Network, std::nullopt);
        }
        have.watched = watched;
        have.networks = networks;

        for (const auto& [source, metric] : have.sources) {
            const auto now_wanted = wanted.redistribute.find(source);
            if (now_wanted != wanted.redistribute.end() && now_wanted->second == metric) continue;
            core_.tables.stop_redistribute(client_, vrf_, family, to_route(source));
            // The table says nothing of what it no longer tells: take it back ourselves.
            const auto local = source == config::RedistributeSource::Connected ? rib::LocalSource::Connected
                                                                               : rib::LocalSource::Static;
            for (const auto& prefix : std::exchange(have.redistributed[source], {})) rib_->withdraw(prefix, local);
        }
        for (const auto& [source, metric] : wanted.redistribute) {
            const auto had = have.sources.find(source);
            if (had != have.sources.end() && had->second == metric) continue;
            core_.tables.redistribute(client_, vrf_, family, to_route(source));
        }
        have.sources = wanted.redistribute;
    }
}

void BgpInstance::take_table_events()
{
    route::Event event;
    while (core_.tables.next_event(client_, event)) {
        if (const auto* t = std::get_if<route::TrackingEvent>(&event)) {
            rib_->on_nexthop(t->address, state_of(t->resolution));
            if (t->interface == kNoInterface) {
                if (auto* neighbor = find(t->address)) neighbor->on_reachable(t->resolution);
                continue;
            }
            for (auto& [name, neighbor] : neighbors_)
                if (neighbor->interface() == t->interface && neighbor->address() == t->address)
                    neighbor->on_reachable(t->resolution);
        } else if (const auto* r = std::get_if<route::RedistributeEvent>(&event)) {
            const auto& sources = origination_[at(r->prefix.family())].sources;
            const auto source = r->source == route::Source::Connected ? config::RedistributeSource::Connected
                                                                      : config::RedistributeSource::Static;
            const auto local =
                r->source == route::Source::Connected ? rib::LocalSource::Connected : rib::LocalSource::Static;
            const auto configured = sources.find(source);
            auto& redistributed = origination_[at(r->prefix.family())].redistributed[source];
            if (r->present && configured != sources.end()) {
                redistributed.insert(r->prefix);
                originate(r->prefix, local, configured->second ? configured->second : std::optional{r->metric});
            } else {
                redistributed.erase(r->prefix);
                rib_->withdraw(r->prefix, local);
            }
        } else if (const auto* p = std::get_if<route::PresenceEvent>(&event)) {
            if (p->present) {
                present_[p->prefix] = p->metric;
                originate(p->prefix, rib::LocalSource::Network, p->metric);
                rib_->withdraw(p->prefix, rib::LocalSource::MissingNetwork);
            } else {
                present_.erase(p->prefix);
                originate(p->prefix, rib::LocalSource::MissingNetwork, std::nullopt);
                rib_->withdraw(p->prefix, rib::LocalSource::Network);
            }
        }
    }
}

void BgpInstance::track(const IpAddress& next_hop)
{
    core_.tables.track(client_, vrf_, next_hop);
    // No event comes for what this client tracks already (a neighbour that is its own next hop).
    fresh_next_hops_.push_back(next_hop);
}

void BgpInstance::answer_fresh_next_hops()
{
    for (const auto& address : std::exchange(fresh_next_hops_, {})) {
        const auto way = core_.tables.resolve(vrf_, address);
        rib_->on_nexthop(address, state_of(way));
    }
}

void BgpInstance::untrack(const IpAddress& next_hop) { core_.tables.untrack(client_, vrf_, next_hop); }

void BgpInstance::on_route(const rib::RouteChange& change)
{
    const auto number = numbered_ ? change.number : 0;
    if (change.paths.empty()) {
        core_.tables.remove(vrf_, change.prefix, route::Source::Bgp, number);
        return;
    }
    const auto same = [&](const auto& a, const auto& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); };
    if (last_.handle == route::kNoRoute || last_.distance != change.distance || last_.metric != change.metric ||
        !same(last_.paths, change.paths) || !same(last_.backup, change.backup)) {
        route::Route route;
        route.source = route::Source::Bgp;
        route.distance = change.distance;
        route.metric = change.metric;
        const auto weighed = [](const rib::RoutePath& path) { return path.weight != 1; };
        const bool crowded =
            std::ranges::any_of(change.paths, weighed) && core_.programmer.counts().groups >= kMaxGroupsByWeight;
        if (crowded && !std::exchange(told_crowded_, true))
            log::warning("bgp", "more than {} groups of next hops: link bandwidth is ignored for new ones",
                         kMaxGroupsByWeight);
        const auto fill = [&](std::span<const rib::RoutePath> paths, std::vector<route::Nexthop>& out) {
            for (const auto& path : paths) {
                route::Nexthop hop;
                hop.vrf = vrf_;
                hop.gateway = path.next_hop;
                if (path.next_hop.is_v6() && path.next_hop.is_link_local()) {
                    const auto* from = find(path.peer);
                    if (!from) continue;
                    hop.interface = from->link();
                    if (hop.interface == kNoInterface) continue;
                }
                // Of paths with one next hop, the best one's weight counts.
                const auto same = [&](route::Nexthop other) {
                    other.weight = hop.weight;
                    return other == hop;
                };
                if (std::any_of(out.begin(), out.end(), same)) continue;
                if (!crowded) hop.weight = path.weight;
                out.push_back(hop);
            }
            std::sort(out.begin(), out.end());
        };
        fill(change.paths, route.nexthops);
        if (route.nexthops.empty()) return core_.tables.remove(vrf_, change.prefix, route::Source::Bgp, number);
        fill(change.backup, route.backup);
        const auto handle = core_.tables.acquire(route);
        if (last_.handle != route::kNoRoute) core_.tables.release(last_.handle);
        last_.distance = change.distance;
        last_.metric = change.metric;
        last_.paths.assign(change.paths.begin(), change.paths.end());
        last_.backup.assign(change.backup.begin(), change.backup.end());
        last_.handle = handle;
    }
    core_.tables.set(vrf_, change.prefix, last_.handle, number);
}

std::uint32_t BgpInstance::number(const IpPrefix& prefix) const { return rib_->number(prefix); }

bool BgpInstance::any_of_length(Family family, std::uint8_t length) const
{
    return rib_->any_of_length(family, length);
}

std::unique_ptr<route::PrefixWalk> BgpInstance::walk(Family family) const
{
    return std::make_unique<RibWalk>(*rib_, family);
}

void BgpInstance::on_feasible(rib::PeerHandle peer, const IpPrefix& prefix, bool feasible)
{
    const auto* neighbor = find(peer);
    if (neighbor && neighbor->feasible_peer_)
        core_.programmer.peer_source(*neighbor->feasible_peer_, prefix, feasible ? 1 : -1);
}

bool BgpInstance::run(TimePoint until)
{
    bool more = true;
    while (more && now() < until) {
        more = false;
        core_.tables.settle();
        take_table_events();
        if (core_.sink.backlog() < kMaxBacklog && core_.tables.changes_waiting() < kMaxBacklog) {
            more |= rib_->run(kRibSteps);
            more |= rib_->drain_nexthops(*this) > 0;
            answer_fresh_next_hops();
            more |= rib_->drain_routes(*this, kDrain) > 0;
            more |= rib_->drain_feasible(*this, kDrain) > 0;
        }
        for (const auto& event : rib_->take_events()) {
            if (auto* neighbor = find(event.peer)) neighbor->on_limit(event);
        }
        for (auto& [name, neighbor] : neighbors_) more |= neighbor->fill(kFill);
    }
    auto next = rib_->next_deadline();
    // A table that is being prepared for a neighbour gives nothing yet, and goes on when it is asked again.
    if (next == kNever &&
        std::any_of(neighbors_.begin(), neighbors_.end(), [](const auto& n) { return n.second->hungry(); }))
        next = now() + 1ms;
    deadline_.set(next);
    return more;
}

}  // namespace culvert::runtime
