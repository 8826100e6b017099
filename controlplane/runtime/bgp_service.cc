#include "controlplane/runtime/bgp_service.h"

#include "base/log.h"
#include "controlplane/runtime/password.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>

namespace culvert::runtime {
namespace {

// What one slice step may do before the clock is looked at again.
constexpr std::size_t kRibSteps = 100'000;
constexpr std::size_t kDrain = 4096;
constexpr std::size_t kFill = 64 << 10;
// The forwarding tables' writer is behind by so many updates: BGP waits.
constexpr std::size_t kMaxBacklog = 1 << 16;

constexpr std::size_t at(Family f) { return static_cast<std::size_t>(f); }

route::Source to_route(config::RedistributeSource s)
{
    return s == config::RedistributeSource::Connected ? route::Source::Connected : route::Source::Static;
}

// A next hop that has failed is no next hop, though the neighbour may still be connected to by that way.
rib::NexthopState state_of(const route::Resolution& r) { return {r.reachable && !r.down, r.direct, r.metric}; }

// prepare has read it once: here it can only be gone since, and then no session comes up rather than an unsafe one.
std::string password_of(const config::Secret& secret)
{
    auto password = read_password(secret);
    if (password) return std::move(*password);
    log::error("bgp", "{}", password.error().message);
    return std::string(1, '\0');
}

}  // namespace

// ---- neighbour
// --------------------------------------------------------------------------------------------------------

BgpNeighbor::BgpNeighbor(BgpInstance& instance, const config::BgpNeighbor& config)
    : instance_(instance),
      config_(config),
      restart_(instance.core_.loop,
               [this] {
                   over_limit_ = false;
                   start();
               }),
      strict_(instance.core_.loop, [this] {
          if (session().established() && !bfd_allows()) reset(bgp::ResetReason::BfdDown, bgp::cease::kBfdDown);
      })
{
    if (config.bfd) instance_.bfd_.refresh();
    if (config.password) md5_key_ = password_of(*config.password);
    handle_ = instance_.rib_->add_peer(rib_config());
    instance_.by_handle_[handle_] = this;
    transport_ = std::make_unique<BgpTransport>(
        instance_.core_.loop, session_config(), static_cast<bgp::SessionEvents&>(*this), instance_.core_.random.u64(),
        [this] { return find_path(); }, [this] { instance_.core_.loop.wake_slice(); });
    if (!link_local()) remote_ = config.address;
    track();
    apply_md5();
    update_link();
    update_feasible();
}

BgpNeighbor::~BgpNeighbor()
{
    transport_->stop({bgp::ResetReason::NeighborDeleted, bgp::cease::kPeerDeconfigured, {}});
    instance_.bfd_.refresh();
    md5_key_.clear();
    apply_md5();
    untrack();
    instance_.rib_->on_peer_down(handle_);
    if (feasible_peer_) {
        // The RIB tells what is no longer feasible only while it knows the peer.
        while (instance_.rib_->run() || instance_.rib_->drain_feasible(instance_) > 0) {}
    }
    instance_.rib_->remove_peer(handle_);
    instance_.by_handle_.erase(handle_);
}

route::Resolution BgpNeighbor::way() const
{
    if (remote_.is_unspecified() || (link_local() && interface_ == kNoInterface)) return {};
    return instance_.core_.tables.resolve(instance_.vrf_, remote_, interface_);
}

InterfaceId BgpNeighbor::link() const
{
    if (interface_ != kNoInterface) return interface_;
    const auto way = this->way();
    return way.direct && !way.nexthops.empty() ? way.nexthops.front().interface : kNoInterface;
}

void BgpNeighbor::on_scopes()
{
    if (link_local() && reachable_) transport_->on_reachable();
}

void BgpNeighbor::track()
{
    if (!remote_.is_unspecified())
        instance_.core_.tables.track(instance_.client_, instance_.vrf_, remote_, false, interface_);
}

void BgpNeighbor::untrack()
{
    if (!remote_.is_unspecified())
        instance_.core_.tables.untrack(instance_.client_, instance_.vrf_, remote_, false, interface_);
}

void BgpNeighbor::update_link()
{
    if (!link_local()) return;
    const auto* entry = instance_.interfaces_.find(config_.interface);
    const auto interface = entry ? entry->id : kNoInterface;
    auto remote = config_.address;
    if (config_.unnumbered()) {
        const auto router = entry ? instance_.routers_.router(interface) : std::nullopt;
        remote = router ? IpAddress{*router} : IpAddress{Ipv6Address{}};
    }
    if (interface == interface_ && remote == remote_) return;
    if (session().started()) transport_->stop({bgp::ResetReason::InterfaceDown, bgp::cease::kAdministrativeReset, {}});
    if (!remote_.is_unspecified() && !md5_key_.empty()) apply_md5(remote_, {});
    untrack();
    reachable_ = false;
    interface_ = interface;
    remote_ = remote;
    instance_.bfd_.refresh();
    instance_.rib_->reconfigure(handle_, rib_config());
    apply_md5();
    track();
    update_feasible();
}

bool BgpNeighbor::is(const IpAddress& address, std::uint32_t scope) const
{
    return address == remote_ && (!link_local() || scope == instance_.vrfs_.scope(instance_.vrf_, interface_));
}

bool BgpNeighbor::external() const
{
    switch (config_.remote_as.kind) {
        case config::RemoteAs::Kind::Internal: return false;
        case config::RemoteAs::Kind::External: return true;
        default: return config_.remote_as.asn != config_.local_as.value_or(instance_.config_.asn);
    }
}

bool BgpNeighbor::family_active(Family family) const
{
    const auto& config = instance_.config_;
    const bool by_default = family == Family::Ipv4 ? config.default_ipv4_unicast : config.default_ipv6_unicast;
    const auto f = config_.families.find(family);
    return f == config_.families.end() ? by_default : f->second.activate.value_or(by_default);
}

bgp::SessionConfig BgpNeighbor::session_config() const
{
    const auto& global = instance_.config_;
    bgp::SessionConfig out;
    out.local_as = config_.local_as.value_or(global.asn);
    switch (config_.remote_as.kind) {
        case config::RemoteAs::Kind::Internal: out.peer_as_kind = bgp::SessionConfig::PeerAs::Internal; break;
        case config::RemoteAs::Kind::External: out.peer_as_kind = bgp::SessionConfig::PeerAs::External; break;
        default: out.peer_as_kind = bgp::SessionConfig::PeerAs::Number; break;
    }
    out.peer_as = config_.remote_as.asn;
    out.router_id = instance_.router_id_;
    out.hold = config_.hold.value_or(global.hold);
    out.keepalive = config_.keepalive.value_or(global.keepalive);
    if (config_.connect_retry) out.connect_retry = *config_.connect_retry;
    out.passive = config_.passive;
    out.capabilities = !config_.dont_capability_negotiate;
    out.ipv4_unicast = family_active(Family::Ipv4);
    out.ipv6_unicast = family_active(Family::Ipv6);
    // As FRR on unnumbered interfaces. Who has no IPv4 address on the link has no other way to name a next hop.
    out.extended_next_hop = link_local();
    out.hostname = instance_.hostname_;
    return out;
}

rib::PeerConfig BgpNeighbor::rib_config() const
{
    rib::PeerConfig out;
    out.address = remote_;
    out.local_as = config_.local_as;
    out.multihop = config_.ebgp_multihop.has_value() || config_.disable_connected_check;
    out.track_feasible = feasible_peer_.has_value();
    if (config_.advertisement_interval) out.advertisement_interval = *config_.advertisement_interval;
    for (const auto& [family, f] : config_.families) {
        auto& to = out.families[at(family)];
        to.weight = f.weight;
        if (f.maximum_prefix)
            to.maximum_prefix = {*f.maximum_prefix, f.maximum_prefix_threshold, f.maximum_prefix_warning_only};
        to.allowas_in = f.allowas_in.value_or(0);
        to.next_hop_self = f.next_hop_self;
        to.next_hop_self_force = f.next_hop_self_force;
        to.route_reflector_client = f.route_reflector_client;
        to.default_originate = f.default_originate;
        to.send_community = f.send_community;
        to.send_extended_community = f.send_community;
        to.send_large_community = f.send_community;
        to.as_override = f.as_override;
        to.remove_private_as = f.remove_private_as ? rib::RemovePrivateAs::WhenAllPrivate : rib::RemovePrivateAs::No;
    }
    return out;
}

TcpOptions BgpNeighbor::tcp_options() const
{
    TcpOptions out;
    out.md5_key = md5_key_;
    if (link_local()) out.scope = instance_.vrfs_.scope(instance_.vrf_, interface_);
    if (config_.ttl_security_hops) {
        out.ttl = 255;
        out.minimum_ttl = 256 - *config_.ttl_security_hops;
    } else if (external() && !config_.disable_connected_check) {
        out.ttl = config_.ebgp_multihop.value_or(1);
    }
    return out;
}

std::optional<BgpTransport::Path> BgpNeighbor::find_path() const
{
    const auto way = this->way();
    const bool anywhere = !external() || config_.ebgp_multihop || config_.disable_connected_check ||
                          config_.ttl_security_hops.value_or(1) > 1;
    if (!way.reachable || (!way.direct && !anywhere)) return std::nullopt;
    BgpTransport::Path path;
    path.ns = instance_.vrfs_.ns(instance_.vrf_);
    path.remote = {remote_, config_.port};
    path.options = tcp_options();
    if (link_local()) {
        path.local = instance_.interfaces_.own_address(interface_, remote_);
        if (!path.local || path.options.scope == 0) return std::nullopt;  // its TUN isn't there yet
    } else if (!config_.update_source.empty()) {
        if (const auto address = IpAddress::parse(config_.update_source)) {
            path.local = *address;
        } else if (const auto* source = instance_.interfaces_.find(config_.update_source)) {
            path.local = instance_.interfaces_.own_address(source->id, remote_);
        }
        if (!path.local) return std::nullopt;
    } else if (!way.nexthops.empty()) {
        const auto& hop = way.nexthops.front();
        path.local = instance_.interfaces_.own_address(hop.interface,
                                                       hop.type == route::NexthopType::Gateway ? hop.gateway : remote_);
    }
    return path;
}

void BgpNeighbor::apply_md5()
{
    if (!remote_.is_unspecified()) apply_md5(remote_, md5_key_);
}

void BgpNeighbor::apply_md5(const IpAddress& address, const std::string& key)
{
    const auto& listener = instance_.listeners_[at(address.family)];
    if (!listener.socket) return;
    if (const auto r = tcp_set_md5(listener.socket.get(), address, key); !r)
        log::error("bgp", "{}: {}", name().to_string(), r.error().message);
}

void BgpNeighbor::refresh_password()
{
    auto key = config_.password ? password_of(*config_.password) : std::string{};
    if (key == md5_key_) return;
    md5_key_ = std::move(key);
    apply_md5();
    reset(bgp::ResetReason::CapabilityChange, bgp::cease::kConfigurationChange);
}

bool BgpNeighbor::may_start() const
{
    return !config_.shutdown && !over_limit_ && reachable_ && !session().started() &&
           (family_active(Family::Ipv4) || family_active(Family::Ipv6));
}

void BgpNeighbor::start()
{
    if (!may_start() || !bfd_allows()) return;
    started_at_ = now();
    transport_->start();
}

void BgpNeighbor::configure(const config::BgpNeighbor& config)
{
    const auto before_session = session_config();
    const auto before_options = tcp_options();
    const auto before = config_;
    config_ = config;
    if (!(config.bfd == before.bfd) || config.shutdown != before.shutdown ||
        config.update_source != before.update_source || config.ebgp_multihop != before.ebgp_multihop ||
        config.ttl_security_hops != before.ttl_security_hops)
        instance_.bfd_.refresh();
    md5_key_ = config.password ? password_of(*config.password) : std::string{};
    update_link();
    update_feasible();
    instance_.rib_->reconfigure(handle_, rib_config());

    const auto session = session_config();
    const auto options = tcp_options();
    transport_->session().set_config(session);
    if (options.md5_key != before_options.md5_key) apply_md5();

    std::optional<bgp::Stop> stop;
    if (config.shutdown && !before.shutdown) {
        stop = {bgp::ResetReason::AdminShutdown, bgp::cease::kAdministrativeShutdown, config.shutdown_message};
    } else if (session.local_as != before_session.local_as) {
        stop = {bgp::ResetReason::LocalAsChange, bgp::cease::kConfigurationChange, {}};
    } else if (session.peer_as != before_session.peer_as || session.peer_as_kind != before_session.peer_as_kind) {
        stop = {bgp::ResetReason::RemoteAsChange, bgp::cease::kConfigurationChange, {}};
    } else if (session.router_id != before_session.router_id) {
        stop = {bgp::ResetReason::RouterIdChange, bgp::cease::kConfigurationChange, {}};
    } else if (config.update_source != before.update_source || config.port != before.port) {
        stop = {bgp::ResetReason::UpdateSourceChange, bgp::cease::kConfigurationChange, {}};
    } else if (session.ipv4_unicast != before_session.ipv4_unicast ||
               session.ipv6_unicast != before_session.ipv6_unicast) {
        stop = {bgp::ResetReason::FamilyActivated, bgp::cease::kConfigurationChange, {}};
    } else if (options.ttl != before_options.ttl || options.minimum_ttl != before_options.minimum_ttl) {
        stop = {bgp::ResetReason::MultihopChange, bgp::cease::kConfigurationChange, {}};
    } else if (options.md5_key != before_options.md5_key || session.capabilities != before_session.capabilities ||
               session.hold != before_session.hold || session.keepalive != before_session.keepalive) {
        // As FRR: a new password starts the session anew; timers count from the next session on.
        if (options.md5_key != before_options.md5_key || session.capabilities != before_session.capabilities)
            stop = {bgp::ResetReason::CapabilityChange, bgp::cease::kConfigurationChange, {}};
    } else if (session.passive != before_session.passive) {
        stop = {bgp::ResetReason::PassiveChange, bgp::cease::kConfigurationChange, {}};
    }
    if (stop && this->session().started()) transport_->stop(*stop);
    start();
    watch_strict();
}

// ---- BFD

std::optional<BgpBfdWish> BgpNeighbor::bfd_wish() const
{
    if (!config_.bfd || config_.shutdown || remote_.is_unspecified()) return std::nullopt;
    if (link_local() && interface_ == kNoInterface) return std::nullopt;
    BgpBfdWish wish;
    wish.vrf = instance_.vrf_;
    wish.peer = remote_;
    wish.interface = interface_;
    if (const auto address = IpAddress::parse(config_.update_source)) {
        wish.local = *address;
    } else if (const auto* source = instance_.interfaces_.find(config_.update_source)) {
        wish.local = instance_.interfaces_.own_address(source->id, remote_);
    }
    wish.external = external();
    if (config_.ebgp_multihop.value_or(1) > 1) wish.hops = config_.ebgp_multihop;
    if (config_.ttl_security_hops.value_or(1) > 1) wish.hops = config_.ttl_security_hops;
    wish.bfd = *config_.bfd;
    return wish;
}

const BfdSessions::View* BgpNeighbor::bfd_session() const
{
    return config_.bfd ? instance_.bfd_.bgp_session(instance_.vrf_, remote_, interface_) : nullptr;
}

// Strict mode wants BFD to be up; that one end has taken BFD out of use is no failure (RFC 5882 3.2).
bool BgpNeighbor::bfd_allows() const
{
    if (!config_.bfd || !config_.bfd->strict) return true;
    const auto* session = bfd_session();
    if (!session) return false;
    const auto& last = session->last;
    return last.state == api::BfdState::Up || last.state == api::BfdState::AdminDown ||
           last.remote_state == api::BfdState::AdminDown;
}

bool BgpNeighbor::waits_for_bfd() const { return may_start() && !bfd_allows(); }

void BgpNeighbor::watch_strict()
{
    if (!session().established() || bfd_allows())
        strict_.set(kNever);
    else if (strict_.at() == kNever)
        strict_.set(now() + config_.bfd->strict_hold);
}

void BgpNeighbor::on_bfd(const BfdStatus& before, const BfdStatus& now)
{
    if (!config_.bfd) return;
    const bool failed = before.state == api::BfdState::Up && now.state == api::BfdState::Down;
    if (failed && now.remote_state != api::BfdState::AdminDown && session().started()) {
        // RFC 5882 4.3: BFD of a neighbour that dies with its control plane says nothing new while that restarts.
        const bool restarting = config_.bfd->check_control_plane_failure && !before.remote_control_plane_independent &&
                                !session().established();
        if (!restarting) {
            log::info("bgp", "neighbor {}: BFD is down", name().to_string());
            reset(bgp::ResetReason::BfdDown, bgp::cease::kBfdDown);
        }
    }
    start();
    watch_strict();
}

void BgpNeighbor::update_feasible()
{
    std::optional<PeerId> wanted;
    for (const auto& [name, entry] : instance_.interfaces_.all()) {
        if (entry.kind() != api::InterfaceKind::Wireguard || entry.config.vrf != instance_.config_.vrf) continue;
        if (link_local() && entry.id != interface_) continue;
        wanted = instance_.wireguard_.routes_bgp(entry.id, remote_);
        if (wanted) break;
    }
    if (wanted == feasible_peer_) return;
    if (feasible_peer_) {
        // Every prefix of the old peer is taken back before the new one gets them.
        auto config = rib_config();
        config.track_feasible = false;
        instance_.rib_->reconfigure(handle_, config);
        while (instance_.rib_->run() || instance_.rib_->drain_feasible(instance_) > 0) {}
    }
    feasible_peer_ = wanted;
    instance_.rib_->reconfigure(handle_, rib_config());
    instance_.core_.loop.wake_slice();
}

void BgpNeighbor::on_reachable(const route::Resolution& resolution)
{
    const bool was = reachable_;
    const bool single_hop = external() && !config_.ebgp_multihop && !config_.disable_connected_check &&
                            config_.ttl_security_hops.value_or(1) == 1;
    reachable_ = resolution.reachable && (resolution.direct || !single_hop);
    if (reachable_ && !was) {
        start();
        transport_->on_reachable();
    } else if (!reachable_ && was && session().started() && (!external() || instance_.config_.fast_external_failover)) {
        transport_->stop({bgp::ResetReason::NoPathToNeighbor, bgp::cease::kAdministrativeReset, {}});
    }
}

void BgpNeighbor::reset(bgp::ResetReason reason, std::uint8_t subcode)
{
    over_limit_ = false;
    restart_.set(kNever);
    if (session().started()) transport_->stop({reason, subcode, {}});
    start();
}

void BgpNeighbor::on_limit(const rib::Event& event)
{
    const auto family = event.family == Family::Ipv4 ? "IPv4" : "IPv6";
    switch (event.kind) {
        case rib::Event::Kind::MaximumPrefixThreshold:
            log::warning("bgp", "{}: {} {} prefixes, near the maximum", name().to_string(), event.count, family);
            return;
        case rib::Event::Kind::TableFull:
            log::error("bgp", "{}: the table is full; paths are not stored", name().to_string());
            return;
        case rib::Event::Kind::MaximumPrefixExceeded: break;
    }
    log::warning("bgp", "{}: {} {} prefixes, over the maximum", name().to_string(), event.count, family);
    if (event.warning_only) return;
    over_limit_ = true;
    transport_->stop({bgp::ResetReason::PrefixCount, bgp::cease::kMaximumPrefixes, {}});
    const auto f = config_.families.find(event.family);
    if (f != config_.families.end() && f->second.maximum_prefix_restart)
        restart_.set(now() + std::chrono::minutes{*f->second.maximum_prefix_restart});
}

bool BgpNeighbor::fill(std::size_t budget)
{
    const auto room = std::min(transport_->room(), budget);
    if (room < 4096 || !instance_.rib_->pending(handle_)) return false;
    std::vector<std::uint8_t> out;
    out.reserve(room + bgp::kMaxExtendedMessage);
    const auto n = instance_.rib_->fill(handle_, out, room, now());
    if (n == 0) return false;
    transport_->send_updates(std::move(out));
    return transport_->room() >= 4096 && instance_.rib_->pending(handle_);
}

bool BgpNeighbor::hungry() const { return transport_->room() >= 4096 && instance_.rib_->pending(handle_); }

void BgpNeighbor::offer(Accepted accepted)
{
    if (!session().started() || !transport_->offer(std::move(accepted), tcp_options())) return;
}

void BgpNeighbor::on_state(bgp::State from, bgp::State to)
{
    log::debug("bgp", "{}: {} -> {}", name().to_string(), bgp::to_string(from), bgp::to_string(to));
}

void BgpNeighbor::on_established(const bgp::Established& established)
{
    if (instance_.config_.log_neighbor_changes) log::info("bgp", "neighbor {} up", name().to_string());
    if (config_.bfd) {
        // The way has proven itself: that the neighbour no longer speaks BFD doesn't keep it out of use.
        instance_.bfd_.on_proven(instance_.vrf_, remote_, interface_);
        instance_.core_.loop.post([instance = &instance_, name = name()] {
            if (auto* neighbor = instance->find(name)) neighbor->watch_strict();
        });
    }
    rib::PeerContext context;
    context.negotiated = established.negotiated;
    context.remote_address = remote_;
    context.router_id = established.peer.router_id;
    const auto& local = established.local.address;
    if (local.is_v6() && local.is_link_local())
        context.local_link_local = local.v6();
    else
        context.local_address[at(local.family)] = local;
    const auto way = this->way();
    if (way.direct && !way.nexthops.empty()) {
        const auto* entry = instance_.interfaces_.find(way.nexthops.front().interface);
        for (const auto& a : entry ? entry->addresses() : std::vector<InterfaceAddress>{}) {
            auto& own = context.local_address[at(a.address.family)];
            if (a.address.is_v6() && a.address.is_link_local()) {
                context.local_link_local = a.address.v6();
                continue;
            }
            if (own.is_unspecified()) own = a.address;
            if (a.subnet().contains(remote_) || a.address.family != remote_.family)
                context.subnet[at(a.address.family)] = a.subnet();
        }
    }
    instance_.rib_->on_peer_up(handle_, context, now());
    // A link's own TUN has its MTU.
    if (!link_local()) instance_.core_.programmer.watch_path_mtu(instance_.vrf_, remote_);
    instance_.core_.loop.wake_slice();
}

void BgpNeighbor::on_update(const bgp::UpdateView& update)
{
    instance_.rib_->on_update(handle_, update, now());
    instance_.core_.loop.wake_slice();
}

void BgpNeighbor::on_route_refresh(Family family, bgp::RouteRefresh::Kind kind)
{
    switch (kind) {
        case bgp::RouteRefresh::Kind::Request: instance_.rib_->on_refresh(handle_, family); break;
        case bgp::RouteRefresh::Kind::Begin: instance_.rib_->on_refresh_begin(handle_, family); break;
        case bgp::RouteRefresh::Kind::End: instance_.rib_->on_refresh_end(handle_, family); break;
    }
    instance_.core_.loop.wake_slice();
}

void BgpNeighbor::on_down(const bgp::Down& down)
{
    if (instance_.config_.log_neighbor_changes)
        log::info("bgp", "neighbor {} down: {}", name().to_string(), bgp::to_string(down.reason));
    instance_.rib_->on_peer_down(handle_);
    if (!link_local()) instance_.core_.programmer.unwatch_path_mtu(instance_.vrf_, remote_);
    instance_.core_.loop.wake_slice();
}

// ---- instance
// ---------------------------------------------------------------------------------------------------------

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
    out.backup_paths = true;  // a second-best path is ready in the forwarding table before it is needed
    out.hash_seed = hash_seed_;
    for (const auto& [family, f] : config_.families)
        out.families[at(family)] = {f.maximum_paths, f.maximum_paths_ibgp, f.distance};
    return out;
}

// As FRR: what is configured, else the highest address of a loopback, else the highest of all.
void BgpInstance::choose_router_id()
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
    if (router_id_.is_unspecified() && !chosen.is_unspecified()) router_id_ = chosen;
}

void BgpInstance::configure(const config::Model& model, const config::Bgp& config)
{
    const auto without_neighbors = [](config::Bgp bgp) {
        bgp.neighbors.clear();
        return bgp;
    };
    const auto router_id = router_id_;
    const bool global = !(without_neighbors(config) == without_neighbors(config_)) || model.hostname != hostname_;
    config_ = config;
    hostname_ = model.hostname;
    choose_router_id();
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
    attributes.origin = source == rib::LocalSource::Network ? bgp::Origin::Igp : bgp::Origin::Incomplete;
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
        }
        for (const auto& prefix : have.networks) {
            if (!networks.contains(prefix)) rib_->withdraw(prefix, rib::LocalSource::Network);
        }
        for (const auto& prefix : watched) {
            if (!have.watched.contains(prefix)) core_.tables.watch_prefix(client_, vrf_, prefix);
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
            } else {
                present_.erase(p->prefix);
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
    if (change.paths.empty()) {
        core_.tables.remove(vrf_, change.prefix, route::Source::Bgp);
        return;
    }
    const auto same = [&](const auto& a, const auto& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); };
    if (last_.handle == route::kNoRoute || last_.distance != change.distance || last_.metric != change.metric ||
        !same(last_.paths, change.paths) || !same(last_.backup, change.backup)) {
        route::Route route;
        route.source = route::Source::Bgp;
        route.distance = change.distance;
        route.metric = change.metric;
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
                out.push_back(hop);
            }
            std::sort(out.begin(), out.end());
            out.erase(std::unique(out.begin(), out.end()), out.end());
        };
        fill(change.paths, route.nexthops);
        if (route.nexthops.empty()) return core_.tables.remove(vrf_, change.prefix, route::Source::Bgp);
        fill(change.backup, route.backup);
        const auto handle = core_.tables.acquire(route);
        if (last_.handle != route::kNoRoute) core_.tables.release(last_.handle);
        last_.distance = change.distance;
        last_.metric = change.metric;
        last_.paths.assign(change.paths.begin(), change.paths.end());
        last_.backup.assign(change.backup.begin(), change.backup.end());
        last_.handle = handle;
    }
    core_.tables.set(vrf_, change.prefix, last_.handle);
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

// ---- all
// --------------------------------------------------------------------------------------------------------------

void BgpService::set(const config::Model& model, const config::Bgp& config)
{
    auto& instance = instances_[config.vrf];
    if (instance && instance->config().asn != config.asn) instance.reset();
    if (instance)
        instance->configure(model, config);
    else
        instance = std::make_unique<BgpInstance>(core_, interfaces_, vrfs_, wireguard_, routers_, bfd_, model, config);
}

void BgpService::remove(const std::string& vrf) { instances_.erase(vrf); }

void BgpService::interface_changed(InterfaceId)
{
    for (auto& [vrf, instance] : instances_) instance->interfaces_changed();
}

void BgpService::scopes_changed()
{
    for (auto& [vrf, instance] : instances_) instance->scopes_changed();
}

void BgpService::wireguard_changed() { interface_changed(kNoInterface); }

bool BgpService::run(TimePoint until)
{
    bool more = false;
    for (auto& [vrf, instance] : instances_) more |= instance->run(until);
    return more;
}

std::vector<BgpBfdWish> BgpService::bfd_wishes() const
{
    std::vector<BgpBfdWish> out;
    for (const auto& [vrf, instance] : instances_)
        for (const auto& [name, neighbor] : instance->neighbors())
            if (auto wish = neighbor->bfd_wish()) out.push_back(std::move(*wish));
    return out;
}

void BgpService::on_bfd(VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before,
                        const BfdStatus& now)
{
    for (auto& [name, instance] : instances_) {
        if (instance->vrf() != vrf) continue;
        for (const auto& [peer_name, neighbor] : instance->neighbors())
            if (neighbor->address() == peer && neighbor->interface() == interface) neighbor->on_bfd(before, now);
    }
}

BgpInstance* BgpService::find(const std::string& vrf)
{
    const auto at = instances_.find(vrf);
    return at == instances_.end() ? nullptr : at->second.get();
}

}  // namespace culvert::runtime
