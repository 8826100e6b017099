#include "controlplane/runtime/bgp_neighbor.h"

#include "base/log.h"
#include "controlplane/runtime/bgp_instance.h"
#include "controlplane/runtime/password.h"

#include <algorithm>

namespace culvert::runtime {
namespace {

constexpr std::size_t at(Family f) { return static_cast<std::size_t>(f); }

// prepare has read it once: here it can only be gone since, and then no session comes up rather than an unsafe one.
std::string password_of(const config::Secret& secret)
{
    auto password = read_password(secret);
    if (password) return std::move(*password);
    log::error("bgp", "{}", password.error().message);
    return std::string(1, '\0');
}

}  // namespace

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
    // As it runs: what the instance's own statements say (router id, default families) is new by now.
    const auto before_session = session().config();
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

// ---- BFD ----

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
    // It answers again: no reason to wait for ConnectRetry.
    if (before.state != api::BfdState::Up && now.state == api::BfdState::Up) transport_->on_reachable();
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

}  // namespace culvert::runtime
