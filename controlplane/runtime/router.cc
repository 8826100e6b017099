#include "controlplane/runtime/router.h"

#include "base/log.h"
#include "config/diff.h"
#include "config/validate.h"
#include "controlplane/runtime/password.h"
#include "crypto/key_file.h"

#include <malloc.h>
#include <sched.h>
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <utility>

namespace culvert::runtime {
namespace {

constexpr std::size_t kProgram = 4096;  // prefixes in one go

// Processor time of the control thread.
Duration worked() noexcept
{
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

log::Level to_level(config::LogLevel level)
{
    switch (level) {
        case config::LogLevel::Debug: return log::Level::Debug;
        case config::LogLevel::Info: return log::Level::Info;
        case config::LogLevel::Warning: return log::Level::Warning;
        case config::LogLevel::Error: return log::Level::Error;
    }
    return log::Level::Info;
}

std::vector<unsigned> usable_cpus()
{
    std::vector<unsigned> out;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return out;
    for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
        if (CPU_ISSET(i, &set)) out.push_back(i);
    }
    return out;
}

api::HashFields to_fields(const config::LoadSharing& sharing)
{
    return {sharing.source, sharing.destination, sharing.protocol, sharing.ports, sharing.flow_label};
}

unsigned line_of(const Router::Origin& origin, const std::string& path, const std::string& statement)
{
    return origin.lines ? origin.lines->line_of(path, statement) : 0;
}

std::vector<config::Diagnostic> validate(const config::Model& model, const Router::Origin& origin)
{
    config::ValidateOptions options;
    options.file = origin.file;
    options.sources = origin.lines;
    options.cpus = usable_cpus();
    return config::validate(model, options);
}

}  // namespace

Router::Router(Loop& loop, api::Dataplane& dataplane)
    : started_at_(now()),
      core_(loop, dataplane),
      vrfs_(core_),
      interfaces_(core_, vrfs_),
      workers_(core_),
      failover_(core_, interfaces_),
      neighbors_(core_, interfaces_, workers_, failover_),
      wireguard_(core_, interfaces_, vrfs_, workers_),
      tunnels_(core_, interfaces_, vrfs_, wireguard_, workers_),
      bfd_(core_, interfaces_, vrfs_, workers_, failover_),
      bgp_(core_, interfaces_, vrfs_, wireguard_, neighbors_, bfd_),
      backlog_(loop, [this] { core_.loop.wake_slice(); }),
      second_(loop, [this] {
          core_.tables.advance(now());
          if (heap_trim_.due(worked())) malloc_trim(0);
          second_.set(now() + 1s);
      })
{
    core_.tables.advance(now());
    second_.set(now() + 1s);
    loop.set_slice([this](TimePoint until) { return slice(until); });

    workers_.on_event = [this](const api::WorkerEvent& event) { on_worker_event(event); };
    workers_.on_punt = [this](const api::Punt& punt) {
        if (punt.klass == api::PuntClass::WireguardHandshake)
            wireguard_.on_punt(punt);
        else if (punt.klass == api::PuntClass::PathMtu)
            tunnels_.on_punt(punt);
        else
            neighbors_.on_punt(punt);
    };
    workers_.on_lost_events = [this] {
        wireguard_.on_lost_events();
        tunnels_.on_lost_events();
        failover_.resync();
    };
    interfaces_.changed = [this](InterfaceId id) {
        host_links_dirty_ = true;
        if (!interfaces_.find(id)) failover_.interface_gone(id);
        neighbors_.interface_changed(id);
        wireguard_.interface_changed(id);
        tunnels_.interface_changed(id);
        bgp_.interface_changed(id);
        bfd_.refresh();
    };
    bfd_.bgp_wishes = [this] { return bgp_.bfd_wishes(); };
    bfd_.bgp_changed = [this](VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before,
                              const BfdStatus& after) { bgp_.on_bfd(vrf, peer, interface, before, after); };
    bfd_.protection = [this](InterfaceId interface) { return tunnels_.protection(interface); };
    bfd_.statics_changed = [this] { apply_routes(effective_); };

    vrfs_.scopes_changed = [this] {
        bgp_.scopes_changed();
        host_links_dirty_ = true;  // they come a few at a time
        core_.loop.wake_slice();
    };
    neighbors_.on_router = [this](InterfaceId id) { bgp_.interface_changed(id); };

    auto& channel = dataplane.fib();
    acked_ = loop.watch(channel.acked_wake.fd(), EPOLLIN, [this, &channel](std::uint32_t) {
        channel.acked_wake.disarm();
        channel.acked_wake.arm();
        core_.loop.wake_slice();
    });
    channel.acked_wake.arm();
}

Router::~Router()
{
    core_.loop.set_slice({});
    interfaces_.changed = {};
    vrfs_.scopes_changed = {};
    neighbors_.on_router = {};
}

// ---- commit
// -----------------------------------------------------------------------------------------------------------

// The keys and passwords that files hold: missing, readable by others, or no key at all.
Router::Secrets Router::read_secrets(const config::Model& model, const Origin& origin,
                                     std::vector<config::Diagnostic>& problems)
{
    const auto where = [&](const auto& path, const auto& statement) { return line_of(origin, path, statement); };
    Secrets secrets;
    secrets.wireguard = WireguardService::read_keys(model, problems, where);
    secrets.ipsec = TunnelService::read_keys(model, problems, where);
    for (const auto& [vrf, bgp] : model.bgp) {
        const auto path = vrf.empty() ? std::string{"router bgp"} : "router bgp vrf " + vrf;
        for (const auto& [address, neighbor] : bgp.neighbors) {
            if (!neighbor.password) continue;
            const auto password = read_password(*neighbor.password);
            if (password) continue;
            problems.push_back({config::Diagnostic::Kind::Refused,
                                origin.file,
                                line_of(origin, path, "neighbor " + address.to_string() + " password-file"),
                                0,
                                password.error().message,
                                {}});
        }
    }
    BfdService::check_keys(model, problems, where);
    for (auto& p : problems) p.file = origin.file;
    return secrets;
}

std::vector<config::Diagnostic> Router::check(const config::Model& model, const Origin& origin)
{
    auto problems = validate(model, origin);
    (void)read_secrets(model, origin, problems);
    return problems;
}

std::vector<config::Diagnostic> Router::commit(const config::Model& model, const Origin& origin, bool typing)
{
    auto problems = validate(model, origin);
    if (typing) std::erase_if(problems, [](const auto& p) { return p.kind == config::Diagnostic::Kind::Unfinished; });
    if (!problems.empty()) return problems;
    const auto next = config::effective(model);

    // Prepare: everything that may fail, before anything running is touched.
    const auto where = [&](const std::string& path, const std::string& statement) {
        return line_of(origin, path, statement);
    };
    auto keys = read_secrets(next, origin, problems);
    for (const auto& [name, interface] : next.interfaces) {
        const auto port = interfaces_.prepare_port(interface);
        if (!port) {
            problems.push_back({config::Diagnostic::Kind::Refused,
                                origin.file,
                                where("interface " + name, "port"),
                                0,
                                port.error().message,
                                {}});
        }
    }
    std::vector<Vrfs::Prepared> vrfs;
    auto wanted = next.vrfs;
    wanted.try_emplace("");
    for (const auto& [name, vrf] : wanted) {
        if (vrfs_.has(name)) continue;
        auto prepared = Vrfs::prepare(vrf);
        if (prepared) {
            vrfs.push_back(std::move(*prepared));
        } else {
            problems.push_back({config::Diagnostic::Kind::Refused,
                                origin.file,
                                where("vrf " + name, ""),
                                0,
                                "vrf " + (name.empty() ? "default" : name) + ": " + prepared.error().message,
                                {}});
        }
    }
    if (!problems.empty()) {
        for (auto& p : problems) p.file = origin.file;
        interfaces_.discard_prepared();
        return problems;
    }

    const auto known = config::warnings(running_);
    for (auto& w : config::warnings(model)) {
        if (std::find(known.begin(), known.end(), w) == known.end()) log::warning("config", "{}", w.to_string());
    }
    apply(next, keys, std::move(vrfs));
    running_ = model;
    effective_ = next;
    interfaces_.keep_prepared();
    return {};
}

void Router::apply(const config::Model& next, Secrets& keys, std::vector<Vrfs::Prepared> vrfs)
{
    log::open({to_level(next.log.level), next.log.file});
    if (committed_ && !(next.dataplane == effective_.dataplane))
        log::warning("config", "changes of `dataplane` take effect when culvertd is started again");
    failover_.configure(next.failover);
    if (!committed_ || !(next.load_sharing4 == effective_.load_sharing4))
        workers_.command_all(api::SetFlowHash{Family::Ipv4, to_fields(next.load_sharing4)});
    if (!committed_ || !(next.load_sharing6 == effective_.load_sharing6))
        workers_.command_all(api::SetFlowHash{Family::Ipv6, to_fields(next.load_sharing6)});
    committed_ = true;
    for (auto& vrf : vrfs) vrfs_.add(std::move(vrf));

    // What goes: from the users to the used.
    for (const auto& [vrf, instance] : effective_.bgp) {
        if (!next.bgp.contains(vrf)) bgp_.remove(vrf);
    }
    for (const auto& [name, interface] : effective_.interfaces) {
        const auto still = next.interfaces.find(name);
        const bool other_kind = still != next.interfaces.end() && still->second.kind.index() != interface.kind.index();
        if (still != next.interfaces.end() && !other_kind) continue;
        tunnels_.remove(name);
        wireguard_.remove(name);
        interfaces_.remove(name);
    }

    std::set<std::string> link_local, unnumbered;
    for (const auto& [vrf, instance] : next.bgp) {
        for (const auto& [name, neighbor] : instance.neighbors) {
            if (!neighbor.interface.empty()) link_local.insert(neighbor.interface);
            if (neighbor.unnumbered()) unnumbered.insert(neighbor.interface);
        }
    }
    neighbors_.advertise(std::move(unnumbered));
    interfaces_.want_link_local(std::move(link_local));

    // What comes or changes: ports before what lies on them.
    const auto set_interfaces = [&](bool ports) {
        for (const auto& [name, interface] : next.interfaces) {
            if (std::holds_alternative<config::Port>(interface.kind) != ports) continue;
            const auto before = effective_.interfaces.find(name);
            const bool known = interfaces_.find(name) != nullptr;
            if (known && before != effective_.interfaces.end() && before->second == interface) continue;
            interfaces_.set(interface);
        }
    };
    set_interfaces(true);
    set_interfaces(false);
    for (const auto& [name, interface] : next.interfaces) {
        const auto* wg = std::get_if<config::Wireguard>(&interface.kind);
        if (!wg) continue;
        // Key files may hold other keys than last time: the engines see whether anything changed.
        wireguard_.set(interface, keys.wireguard);
    }
    tunnels_.set(next, keys.ipsec);
    apply_protected(next);
    apply_routes(next);
    for (const auto& [vrf, instance] : next.bgp) {
        const auto before = effective_.bgp.find(vrf);
        const bool same = before != effective_.bgp.end() && before->second == instance &&
                          effective_.hostname == next.hostname && bgp_.find(vrf) != nullptr;
        if (!same)
            bgp_.set(next, instance);
        else
            bgp_.find(vrf)->refresh_passwords();
    }
    bgp_.wireguard_changed();
    bfd_.configure(next);
    for (const auto& name : vrfs_.names()) {
        if (!name.empty() && !next.vrfs.contains(name)) vrfs_.remove(name);
    }
    host_links_dirty_ = true;
    settle_ports_ = true;
    core_.loop.wake_slice();
}

std::optional<route::StaticRoute> Router::to_route(const config::StaticRoute& route, const std::string& vrf) const
{
    route::StaticRoute out;
    out.prefix = route.prefix;
    const auto id = vrfs_.id(vrf);
    const auto nexthop_vrf = route.nexthop_vrf.empty()        ? id
                             : route.nexthop_vrf == "default" ? std::optional{kDefaultVrf}
                                                              : vrfs_.id(route.nexthop_vrf);
    if (!id || !nexthop_vrf) return std::nullopt;
    out.vrf = *id;
    out.nexthop_vrf = *nexthop_vrf;
    out.gateway = route.gateway;
    if (!route.interface.empty()) {
        const auto* interface = interfaces_.find(route.interface);
        if (!interface) return std::nullopt;
        out.interface = interface->id;
    }
    switch (route.drop) {
        case config::StaticRoute::Drop::No: break;
        case config::StaticRoute::Drop::Null0:
        case config::StaticRoute::Drop::Blackhole: out.drop = route::StaticRoute::Drop::Blackhole; break;
        case config::StaticRoute::Drop::Reject: out.drop = route::StaticRoute::Drop::Reject; break;
    }
    out.distance = route.distance;
    out.tag = route.tag;
    out.weight = route.weight;
    return out;
}

// Before the routes: no packet may find a new one in between.
void Router::apply_protected(const config::Model& next)
{
    std::set<std::pair<VrfId, IpPrefix>> wanted;
    for (const auto& [name, vrf] : next.vrfs) {
        const auto id = vrfs_.id(name);
        if (!id) continue;
        if (vrf.protected_only) {
            wanted.emplace(*id, IpPrefix{Ipv4Address{}, 0});
            wanted.emplace(*id, IpPrefix{Ipv6Address{}, 0});
        }
        for (const auto& route : vrf.routes)
            if (route.protected_only) wanted.emplace(*id, route.prefix);
    }
    for (const auto& [vrf, prefix] : wanted)
        if (!protected_.contains({vrf, prefix})) core_.programmer.protect(vrf, prefix);
    for (const auto& [vrf, prefix] : protected_)
        if (!wanted.contains({vrf, prefix})) core_.programmer.unprotect(vrf, prefix);
    protected_ = std::move(wanted);
}

void Router::apply_routes(const config::Model& next)
{
    std::map<std::string, std::vector<route::StaticRoute>> wanted;
    for (const auto& [name, vrf] : next.vrfs) {
        for (const auto& route : vrf.routes) {
            const auto r = to_route(route, name);
            if (r && !bfd_.keeps_down(route, r->nexthop_vrf)) wanted[name].push_back(*r);
        }
        std::sort(wanted[name].begin(), wanted[name].end());
    }
    // First what comes: a gateway that only gets another weight stays known all the while.
    for (const auto& [name, routes] : wanted) {
        const auto& had = statics_[name];
        for (const auto& r : routes) {
            if (!std::binary_search(had.begin(), had.end(), r)) core_.statics.add(r);
        }
    }
    for (const auto& [name, routes] : statics_) {
        const auto& now_wanted = wanted[name];
        for (const auto& r : routes) {
            if (!std::binary_search(now_wanted.begin(), now_wanted.end(), r)) core_.statics.remove(r);
        }
    }
    statics_ = std::move(wanted);
}

// ---- running
// ----------------------------------------------------------------------------------------------------------

void Router::on_worker_event(const api::WorkerEvent& event)
{
    if (const auto* miss = std::get_if<api::NeighborMiss>(&event)) {
        neighbors_.on_miss(*miss);
    } else if (const auto* link = std::get_if<api::LinkChanged>(&event)) {
        failover_.on_link(*link);
    } else if (const auto* down = std::get_if<api::WentDown>(&event)) {
        failover_.on_went_down(*down);
    } else if (const auto* alive = std::get_if<api::TunnelAlive>(&event)) {
        failover_.on_tunnel_alive(alive->tunnel);
    } else if (const auto* bfd = std::get_if<api::BfdChanged>(&event)) {
        bfd_.on_changed(*bfd);
    } else {
        wireguard_.on_event(event);
        tunnels_.on_event(event);
    }
}

void Router::take_events()
{
    fibprog::Event event;
    while (core_.programmer.next_event(event)) {
        if (const auto* release = std::get_if<fibprog::Release>(&event)) {
            workers_.command_all(*release);
        } else if (const auto* use = std::get_if<fibprog::NeighborUse>(&event)) {
            neighbors_.set_in_use(*use);
        } else if (const auto* mtu = std::get_if<fibprog::PathMtuChanged>(&event)) {
            vrfs_.set_path_mtu({mtu->vrf, mtu->address, mtu->mtu});
            host_links_dirty_ = true;
            tunnels_.way_changed();
        } else if (const auto* interface = std::get_if<fibprog::InterfaceGone>(&event)) {
            interfaces_.released(interface->id);
        } else if (const auto* peer = std::get_if<fibprog::PeerGone>(&event)) {
            wireguard_.released(peer->id);
        } else if (const auto* vrf = std::get_if<fibprog::VrfGone>(&event)) {
            vrfs_.released(vrf->id);
        }
    }
}

bool Router::slice(TimePoint until)
{
    auto& channel = core_.dataplane.fib();
    core_.programmer.on_acked();
    bfd_.on_acked(channel.acked());
    const bool bgp_goes_on = bgp_.run(until);
    bool more = bgp_goes_on;
    do {
        core_.tables.settle();
        if (core_.statics.run()) core_.tables.settle();
        bfd_.run();
        more |= core_.programmer.run(kProgram);
        take_events();
        tunnels_.run();
        channel.flush();
    } while (core_.tables.changes_waiting() > 0 && channel.backlog() == 0 && now() < until);
    more |= core_.tables.unsettled();

    if (host_links_dirty_) {
        host_links_dirty_ = false;
        vrfs_.sync_host_links();
    }
    // The writer frees room as it goes; asking each millisecond beats spinning on it.
    if (channel.backlog() > 0) {
        backlog_.set(now() + 1ms);
        return bgp_goes_on;
    }
    more |= core_.tables.changes_waiting() > 0;
    if (!more && channel.acked() >= channel.committed()) {
        failover_.on_settled();
        if (std::exchange(settle_ports_, false)) interfaces_.settle();
    }
    return more;
}

}  // namespace culvert::runtime
