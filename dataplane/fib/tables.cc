#include "dataplane/fib/tables.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace culvert::fib {

// Never changed once published.
struct Tables::Listeners {
    struct Entry {
        std::uint16_t port;
        InterfaceId interface;
        IpAddress source;
    };
    std::vector<Entry> entries;  // by port
};

// What a Wireguard's pointers lead to; lives as long as the interface does.
struct Tables::Allowed {
    Allowed(TriePool& pool4, TriePool& pool6) : v4(pool4), v6(pool6) {}
    Lpm4 v4;
    Lpm6 v6;
};

Tables::Tables(Rcu& rcu)
    : reclaimer_(rcu),
      pool4_("lpm4", "lpm4-rib", reclaimer_),
      pool6_("lpm6", "lpm6-rib", reclaimer_),
      nexthops_(reclaimer_, words_),
      groups_(nexthops_, reclaimer_),
      tunnels_(reclaimer_),
      vrfs_(kIds16),
      interfaces_(kIds16),
      ports_(kIds16),
      wireguards_(kIds16),
      listeners_(kIds16),
      peers_(kMaxPeers),
      protections_(api::kMaxProtections),
      esp_ports_(kIds16),
      host_links_(kIds16)
{
    set_vrf(kDefaultVrf);
}

Tables::~Tables()
{
    for (const auto id : vrf_ids_) delete vrfs_[index(id)].load(std::memory_order_relaxed);
    for (const auto id : interface_ids_) delete interfaces_[index(id)].load(std::memory_order_relaxed);
    for (const auto id : port_ids_) delete ports_[index(id)].load(std::memory_order_relaxed);
    for (const auto& [id, tries] : allowed_) delete wireguards_[index(id)].load(std::memory_order_relaxed);
    for (const auto id : listening_vrfs_) delete listeners_[index(id)].load(std::memory_order_relaxed);
    for (const auto& [id, sources] : sources_) delete peers_[index(id)].load(std::memory_order_relaxed);
    for (const auto id : protection_ids_) delete protections_[index(id)].load(std::memory_order_relaxed);
    for (const auto id : esp_vrfs_) delete esp_ports_[index(id)].load(std::memory_order_relaxed);
    reclaimer_.drain();
    // The tries of allowed-ips and sources give their blocks back to the pools, which therefore go after them.
    allowed_.clear();
    sources_.clear();
}

InterfaceId Tables::wireguard_at(VrfId outer_vrf, std::uint16_t port, const IpAddress& to) const noexcept
{
    const auto* l = get(listeners_, index(outer_vrf));
    if (!l) return kNoInterface;
    auto at = std::lower_bound(l->entries.begin(), l->entries.end(), port,
                               [](const Listeners::Entry& e, std::uint16_t p) { return e.port < p; });
    for (; at != l->entries.end() && at->port == port; ++at)
        if (at->source.is_unspecified() || at->source == to) return at->interface;
    return kNoInterface;
}

// ---- down words ----------------------------------------------------------------------------------------------------

using api::DownKind;

std::uint32_t Tables::generation(DownKind kind, std::uint32_t id) const noexcept
{
    return kind == DownKind::Nexthop ? nexthops_.generation(NexthopId{id})
                                     : words_.generation(DownTable::place(kind, id));
}

DownState Tables::down(DownKind kind, std::uint32_t id) const noexcept
{
    return kind == DownKind::Nexthop ? nexthops_.down(NexthopId{id}) : words_.load(DownTable::place(kind, id));
}

std::optional<std::uint32_t> Tables::set_down(DownKind kind, std::uint32_t id, std::uint32_t generation,
                                              std::uint32_t causes) const noexcept
{
    return kind == DownKind::Nexthop ? nexthops_.set_down(NexthopId{id}, generation, causes)
                                     : words_.set(DownTable::place(kind, id), generation, causes);
}

std::uint32_t Tables::met_down(DownKind kind, std::uint32_t id) const noexcept
{
    return kind == DownKind::Nexthop ? nexthops_.met(NexthopId{id}) : words_.met(DownTable::place(kind, id));
}

bool Tables::set_down_word(BfdSessionId session)
{
    const auto place = DownTable::place(DownKind::Session, index(session));
    if (place == DownTable::kAlwaysUp) return false;
    if (!words_.exists(place)) words_.begin(place);
    return true;
}

bool Tables::delete_down_word(BfdSessionId session)
{
    const auto place = DownTable::place(DownKind::Session, index(session));
    if (!words_.exists(place)) return false;
    words_.end(place);
    return true;
}

Tables::Clear Tables::clear_down(const api::ClearDown& update)
{
    if (!DownWord::exists(generation(update.kind, update.id))) return Clear::Unknown;
    const bool cleared = update.kind == DownKind::Nexthop
                             ? nexthops_.clear_down(NexthopId{update.id}, update.epoch)
                             : words_.clear(DownTable::place(update.kind, update.id), update.epoch);
    return cleared ? Clear::Done : Clear::Stale;
}

bool Tables::takes_wireguard(VrfId outer_vrf) const noexcept
{
    const auto* l = get(listeners_, index(outer_vrf));
    return l && !l->entries.empty();
}

// ---- VRFs and interfaces -------------------------------------------------------------------------------------------

bool Tables::set_vrf(VrfId id)
{
    if (vrfs_[index(id)].load(std::memory_order_relaxed)) return true;
    vrfs_[index(id)].store(new Vrf(id, pool4_, pool6_, reclaimer_), std::memory_order_release);
    vrf_ids_.insert(id);
    return true;
}

bool Tables::delete_vrf(VrfId id)
{
    if (id == kDefaultVrf || vrf_ids_.erase(id) == 0) return false;
    replace(vrfs_, index(id), static_cast<Vrf*>(nullptr));
    own_.remove(id);
    return true;
}

bool Tables::set_interface(const api::SetInterface& update)
{
    if (update.id == kNoInterface || update.vlan >= kVlans || !vrf(update.vrf)) return false;
    const auto* old = interface(update.id);
    // The new place first: a frame in between finds the interface by either.
    const auto old_port = old ? old->port : kNoPort;
    const auto old_vlan = old ? old->vlan : std::uint16_t{0};
    if (!old) words_.begin(DownTable::place(DownKind::Interface, index(update.id)));
    if (!old || old_port != update.port) {
        join_port(update.port);
        if (old) leave_port(old_port);
    }
    replace(interfaces_, index(update.id), static_cast<const Interface*>(new Interface(update)));
    interface_ids_.insert(update.id);
    map_port(update.port, update.vlan, kNoInterface, update.id);
    if (old_port != update.port || old_vlan != update.vlan) map_port(old_port, old_vlan, update.id, kNoInterface);
    nexthops_.refresh(update.id, interface(update.id));
    return true;
}

bool Tables::delete_interface(InterfaceId id)
{
    if (interface_ids_.erase(id) == 0) return false;
    const auto* old = interface(id);
    map_port(old->port, old->vlan, id, kNoInterface);
    const auto port = old->port;
    replace(interfaces_, index(id), static_cast<const Interface*>(nullptr));
    nexthops_.refresh(id, nullptr);
    words_.end(DownTable::place(DownKind::Interface, index(id)));
    leave_port(port);
    tunnels_.erase(id);

    if (const auto* w = wireguard(id)) {
        const auto outer = w->outer_vrf;
        replace(wireguards_, index(id), static_cast<const Wireguard*>(nullptr));
        const auto at = allowed_.find(id);
        reclaimer_.retire(std::move(at->second));
        allowed_.erase(at);
        publish_listeners(outer);
    }
    return true;
}

void Tables::join_port(PortId port)
{
    if (port == kNoPort || port_uses_[port]++ != 0) return;
    words_.begin(DownTable::place(DownKind::Port, index(port)));
}

void Tables::leave_port(PortId port)
{
    if (port == kNoPort || --port_uses_[port] != 0) return;
    words_.end(DownTable::place(DownKind::Port, index(port)));
}

// Points (port, vlan) to `to`. Taking away is for the interface `from` only: another may have the place by now.
void Tables::map_port(PortId port, std::uint16_t vlan, InterfaceId from, InterfaceId to)
{
    if (port == kNoPort) return;
    auto* map = ports_[index(port)].load(std::memory_order_relaxed);
    if (!map) {
        if (to == kNoInterface) return;
        map = new PortMap{};
        ports_[index(port)].store(map, std::memory_order_release);
        port_ids_.insert(port);
    }
    auto& place = map->interface[vlan];
    if (to != kNoInterface || place.load(std::memory_order_relaxed) == from) place.store(to, std::memory_order_release);
}

// ---- WireGuard -----------------------------------------------------------------------------------------------------

bool Tables::set_wireguard(const api::SetWireguard& update)
{
    const auto* i = interface(update.interface);
    if (!i || i->kind != api::InterfaceKind::Wireguard || !vrf(update.outer_vrf)) return false;
    auto& tries = allowed_[update.interface];
    if (!tries) tries = std::make_unique<Allowed>(pool4_, pool6_);

    const auto* old = wireguard(update.interface);
    const auto old_outer = old ? old->outer_vrf : update.outer_vrf;
    replace(wireguards_, index(update.interface),
            static_cast<const Wireguard*>(new Wireguard{update.interface, update.outer_vrf, update.listen_port,
                                                        update.source, &tries->v4, &tries->v6}));
    publish_listeners(update.outer_vrf);
    if (old_outer != update.outer_vrf) publish_listeners(old_outer);
    return true;
}

bool Tables::set_tunnel(const api::SetTunnel& update)
{
    const auto* i = interface(update.interface);
    if (!i || i->kind != api::InterfaceKind::Tunnel || !vrf(update.outer_vrf)) return false;
    tunnels_.set(update);
    return true;
}

void Tables::publish_listeners(VrfId outer_vrf)
{
    auto next = std::make_unique<Listeners>();
    for (const auto& [id, tries] : allowed_) {
        const auto* w = wireguard(id);
        if (w && w->outer_vrf == outer_vrf && w->listen_port != 0)
            next->entries.push_back({w->listen_port, id, w->source});
    }
    // An interface with a source of its own comes before one that takes any.
    std::sort(next->entries.begin(), next->entries.end(), [](const auto& a, const auto& b) {
        return std::tuple{a.port, a.source.is_unspecified(), a.interface} <
               std::tuple{b.port, b.source.is_unspecified(), b.interface};
    });
    listening_vrfs_.insert(outer_vrf);
    replace(listeners_, index(outer_vrf), static_cast<const Listeners*>(next.release()));
}

Tables::Change Tables::set_allowed_ip(const api::SetAllowedIp& update)
{
    const auto at = allowed_.find(update.interface);
    if (at == allowed_.end()) return Change::Unknown;
    const auto value = index(update.peer);
    if (value == 0 || value >= kMaxPeers) return Change::Unknown;
    const bool full = update.prefix.family() == Family::Ipv4 ? at->second->v4.set(update.prefix, value) == Edit::Full
                                                             : at->second->v6.set(update.prefix, value) == Edit::Full;
    return full ? Change::Full : Change::Done;
}

Tables::Change Tables::delete_allowed_ip(const api::DeleteAllowedIp& update)
{
    const auto at = allowed_.find(update.interface);
    if (at == allowed_.end()) return Change::Unknown;
    const bool gone = update.prefix.family() == Family::Ipv4 ? at->second->v4.erase(update.prefix)
                                                             : at->second->v6.erase(update.prefix);
    return gone ? Change::Done : Change::Absent;
}

bool Tables::set_peer(const api::SetPeer& update)
{
    const std::size_t i = index(update.id);
    if (i == 0 || i >= kMaxPeers) return false;
    auto& sources = sources_[update.id];
    if (!sources) sources = std::make_unique<PrefixSet>(pool4_, pool6_, reclaimer_);
    replace(peers_, i, static_cast<const Peer*>(new Peer{update.id, update.interface, update.endpoint, sources.get()}));
    return true;
}

bool Tables::delete_peer(PeerId id)
{
    const auto at = sources_.find(id);
    if (at == sources_.end()) return false;
    replace(peers_, index(id), static_cast<const Peer*>(nullptr));
    reclaimer_.retire(std::move(at->second));
    sources_.erase(at);
    return true;
}

Tables::Change Tables::add_peer_source(const api::AddPeerSource& update)
{
    const auto at = sources_.find(update.peer);
    if (at == sources_.end()) return Change::Unknown;
    return at->second->add(update.prefix) == Edit::Full ? Change::Full : Change::Done;
}

Tables::Change Tables::delete_peer_source(const api::DeletePeerSource& update)
{
    const auto at = sources_.find(update.peer);
    if (at == sources_.end()) return Change::Unknown;
    return at->second->remove(update.prefix) ? Change::Done : Change::Absent;
}

// ---- IPsec ---------------------------------------------------------------------------------------------------------

bool Tables::takes_esp(VrfId outer_vrf, std::uint16_t udp_port) const noexcept
{
    const auto* ports = get(esp_ports_, index(outer_vrf));
    return ports && std::find(ports->begin(), ports->end(), udp_port) != ports->end();
}

bool Tables::set_protection(const api::SetProtection& update)
{
    if (update.id == kNoProtection || index(update.id) >= api::kMaxProtections) return false;
    const auto* old = protection(update.id);
    const auto old_outer = old ? old->outer_vrf : update.outer_vrf;
    protection_ids_.insert(update.id);
    replace(protections_, index(update.id), static_cast<const Protection*>(new Protection(update)));
    publish_esp_ports(update.outer_vrf);
    if (old_outer != update.outer_vrf) publish_esp_ports(old_outer);
    return true;
}

bool Tables::delete_protection(ProtectionId id)
{
    if (protection_ids_.erase(id) == 0) return false;
    const auto outer = protection(id)->outer_vrf;
    replace(protections_, index(id), static_cast<const Protection*>(nullptr));
    publish_esp_ports(outer);
    return true;
}

void Tables::publish_esp_ports(VrfId outer_vrf)
{
    auto next = std::make_unique<EspPorts>();
    bool any = false;
    for (const auto id : protection_ids_) {
        const auto* p = protection(id);
        if (p->outer_vrf != outer_vrf) continue;
        any = true;
        if (std::find(next->begin(), next->end(), p->udp_port) == next->end()) next->push_back(p->udp_port);
    }
    esp_vrfs_.insert(outer_vrf);
    replace(esp_ports_, index(outer_vrf), any ? static_cast<const EspPorts*>(next.release()) : nullptr);
}

Tables::Change Tables::protect(VrfId id, const IpPrefix& prefix)
{
    auto* v = edit_vrf(id);
    if (!v) return Change::Unknown;
    if (v->protected_prefixes.add(prefix) == Edit::Full) return Change::Full;
    v->guards.store(true, std::memory_order_release);
    return Change::Done;
}

Tables::Change Tables::unprotect(VrfId id, const IpPrefix& prefix)
{
    auto* v = edit_vrf(id);
    if (!v) return Change::Unknown;
    if (!v->protected_prefixes.remove(prefix)) return Change::Absent;
    if (v->protected_prefixes.size() == 0) v->guards.store(false, std::memory_order_release);
    return Change::Done;
}

// ---- memory --------------------------------------------------------------------------------------------------------

bool Tables::spare() const noexcept
{
    const auto has = [](const TriePool& p) { return p.blocks.spare() || p.rib.spare(); };
    return has(pool4_) || has(pool6_);
}

void Tables::give_back()
{
    for (auto* arena : {&pool4_.blocks, &pool4_.rib, &pool6_.blocks, &pool6_.rib})
        if (arena->spare()) arena->give_back();
}

std::vector<Tables::ArenaUse> Tables::memory() const
{
    std::vector<ArenaUse> out;
    for (const auto* a : {&pool4_.blocks, &pool4_.rib, &pool6_.blocks, &pool6_.rib})
        out.push_back({a->name(), a->used(), a->committed()});
    std::size_t peers = sources_.size() * (sizeof(Peer) + sizeof(PrefixSet));
    for (const auto& [id, sources] : sources_) peers += sources->list_bytes();
    const auto objects = [&out](const char* name, std::size_t octets) { out.push_back({name, octets, octets}); };
    objects("nexthops", nexthops_.bytes());
    objects("groups", groups_.bytes());
    objects("tunnels", tunnels_.bytes());
    objects("peers", peers);
    objects("interfaces", interface_ids_.size() * sizeof(Interface) + port_ids_.size() * sizeof(PortMap));
    objects("waiting for readers", reclaimer_.bytes());
    return out;
}

}  // namespace culvert::fib
