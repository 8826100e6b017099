#include "controlplane/runtime/interface_table.h"

#include "base/check.h"
#include "base/log.h"
#include "controlplane/neighbor/codec.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>

namespace culvert::runtime {
namespace {

constexpr std::uint16_t kLeastMtu = 68;     // RFC 791
constexpr std::uint16_t kTunnelMtu = 1400;  // for the moment until somebody has looked at its path
constexpr std::uint16_t kLoopbackMtu = 65535;

api::PortSpec to_spec(const config::Interface& interface)
{
    const auto& port = std::get<config::Port>(interface.kind);
    api::PortSpec spec;
    switch (port.kind) {
        case config::Port::Kind::Kernel: spec.kind = api::PortKind::Kernel; break;
        case config::Port::Kind::Pci: spec.kind = api::PortKind::Pci; break;
        case config::Port::Kind::Vdev: spec.kind = api::PortKind::Vdev; break;
    }
    spec.device = port.device;
    spec.force = port.force;
    spec.mtu = interface.mtu.value_or(0);
    return spec;
}

}  // namespace

api::InterfaceKind InterfaceTable::Entry::kind() const
{
    if (std::holds_alternative<config::Wireguard>(config.kind)) return api::InterfaceKind::Wireguard;
    if (std::holds_alternative<config::Tunnel>(config.kind)) return api::InterfaceKind::Tunnel;
    if (std::holds_alternative<config::Loopback>(config.kind)) return api::InterfaceKind::Loopback;
    return api::InterfaceKind::Port;
}

std::uint16_t InterfaceTable::Entry::mtu() const
{
    switch (kind()) {
        case api::InterfaceKind::Loopback: return config.mtu.value_or(kLoopbackMtu);
        case api::InterfaceKind::Wireguard:
        case api::InterfaceKind::Tunnel:
            return config.mtu.value_or(std::max(tunnel ? tunnel->mtu : kTunnelMtu, kLeastMtu));
        case api::InterfaceKind::Port: return std::min(config.mtu.value_or(port_mtu), port_mtu);
    }
    return port_mtu;
}

std::uint16_t InterfaceTable::Entry::ip_mtu() const { return std::min(config.ip_mtu.value_or(mtu()), mtu()); }

std::vector<InterfaceAddress> InterfaceTable::Entry::addresses() const
{
    auto out = config.addresses;
    const bool v6 = std::any_of(out.begin(), out.end(), [](const auto& a) { return a.address.is_v6(); });
    const bool has_link_local = std::any_of(
        out.begin(), out.end(), [](const auto& a) { return a.address.is_v6() && a.address.is_link_local(); });
    if (kind() == api::InterfaceKind::Port && (v6 || link_local) && !has_link_local && !mac.is_zero())
        out.push_back({neighbor::link_local(mac), 64});
    return out;
}

Result<void, api::PortError> InterfaceTable::prepare_port(const config::Interface& interface)
{
    const auto* port = std::get_if<config::Port>(&interface.kind);
    if (!port) return {};
    const PortKey key{port->kind, port->device};
    if (const auto at = ports_.find(key); at != ports_.end()) return {};
    auto opened = core_.dataplane.open_port(to_spec(interface));
    if (!opened) return Error{opened.error()};
    const auto own_mtu = interface.mtu ? std::uint16_t{1500} : opened->mtu;
    ports_.emplace(key, OpenPort{std::move(*opened), own_mtu});
    return {};
}

void InterfaceTable::discard_prepared()
{
    std::erase_if(ports_, [&](const auto& item) {
        if (item.second.prepared) core_.dataplane.close_port(item.second.info.id);
        return item.second.prepared;
    });
}

void InterfaceTable::keep_prepared()
{
    for (auto& [key, port] : ports_) port.prepared = false;
}

void InterfaceTable::settle()
{
    std::set<PortId> used;
    for (const auto& [name, entry] : entries_) used.insert(entry.port);
    for (const auto& [id, port] : port_of_leaving_) used.insert(port);  // until the dataplane has let go
    std::erase_if(ports_, [&](const auto& item) {
        if (item.second.prepared || used.contains(item.second.info.id)) return false;
        core_.dataplane.close_port(item.second.info.id);
        return true;
    });
}

void InterfaceTable::attach(Entry& entry)
{
    entry.port = kNoPort;
    entry.vlan = 0;
    entry.mac = {};
    entry.link = true;
    entry.port_mtu = 1500;
    const config::Port* port = std::get_if<config::Port>(&entry.config.kind);
    if (const auto* sub = std::get_if<config::Subinterface>(&entry.config.kind)) {
        entry.vlan = sub->vlan;
        const auto parent = entries_.find(sub->parent);
        if (parent != entries_.end()) port = std::get_if<config::Port>(&parent->second.config.kind);
        entry.link = parent != entries_.end() && !parent->second.config.shutdown;
    }
    if (!port) return;
    const auto at = ports_.find({port->kind, port->device});
    if (at == ports_.end()) {
        entry.link = false;
        return;
    }
    const auto& info = at->second.info;
    entry.port = info.id;
    entry.mac = info.mac;
    entry.link = entry.link && info.link_up;
    entry.port_mtu = info.mtu;
}

void InterfaceTable::set(const config::Interface& interface)
{
    auto at = entries_.find(interface.name);
    if (at == entries_.end()) {
        std::uint16_t id = 1;
        while (names_.contains(InterfaceId{id}) || leaving_.contains(InterfaceId{id})) ++id;
        at = entries_.emplace(interface.name, Entry{}).first;
        at->second.id = InterfaceId{id};
        at->second.changed_at = now();
        names_.emplace(InterfaceId{id}, interface.name);
    }
    auto& entry = at->second;
    entry.config = interface;
    entry.link_local = link_local_wanted_.contains(interface.name);
    if (const auto* port = std::get_if<config::Port>(&interface.kind)) {
        const auto open = ports_.find({port->kind, port->device});
        const auto wanted = interface.mtu.value_or(open != ports_.end() ? open->second.own_mtu : std::uint16_t{1500});
        if (open != ports_.end() && open->second.info.mtu != wanted) {
            auto& info = open->second.info;
            if (const auto r = core_.dataplane.set_port_mtu(info.id, wanted))
                info.mtu = wanted;
            else
                log::warning("port", "interface {}: mtu {}: {}", interface.name, wanted, r.error().message);
        }
    }
    attach(entry);
    publish(entry);
    // Its subinterfaces live on its port.
    for (auto& [name, other] : entries_) {
        const auto* sub = std::get_if<config::Subinterface>(&other.config.kind);
        if (sub && sub->parent == interface.name) {
            attach(other);
            publish(other);
        }
    }
}

bool InterfaceTable::set_tunnel_state(const std::string& name, Entry::Tunnel state)
{
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.tunnel == state) return false;
    auto& entry = at->second;
    const bool was = entry.up();
    const auto reason = state.reason;
    entry.tunnel = std::move(state);
    if (entry.up() != was) {
        entry.changed_at = now();
        ++(entry.up() ? entry.link_ups : entry.link_downs);
        log::info("interface", "{} is {}{}{}", name, entry.up() ? "up" : "down", reason.empty() ? "" : ": ", reason);
    }
    publish(entry);
    return true;
}

void InterfaceTable::publish(Entry& entry)
{
    const auto vrf = vrfs_.id(entry.config.vrf);
    if (!vrf) return;  // validate() has refused it; while somebody types it is not in use
    fibprog::InterfaceSpec spec;
    spec.id = entry.id;
    spec.vrf = *vrf;
    spec.kind = entry.kind();
    spec.up = entry.sends();
    spec.port = entry.port;
    spec.vlan = entry.vlan;
    spec.mac = entry.mac;
    spec.mtu = entry.ip_mtu();
    if (entry.config.adjust_mss) {
        const auto& mss = *entry.config.adjust_mss;
        spec.adjust_mss = mss.value ? fibprog::AdjustMss{fibprog::AdjustMss::Kind::Fixed, *mss.value}
                                    : fibprog::AdjustMss{fibprog::AdjustMss::Kind::Auto, 0};
    }
    const auto addresses = entry.addresses();
    for (const auto& a : addresses) {
        if (a.address.is_v4() && spec.address4.is_unspecified()) spec.address4 = a.address.v4();
        if (a.address.is_v6() && !a.address.is_link_local() && spec.address6.is_unspecified())
            spec.address6 = a.address.v6();
        if (a.address.is_v4() && entry.up()) spec.subnets.push_back(a.subnet());
    }
    // Unnumbered: it speaks with a loopback's address, as routers do.
    for (const auto& [name, other] : entries_) {
        if (other.kind() != api::InterfaceKind::Loopback || other.config.vrf != entry.config.vrf) continue;
        for (const auto& a : other.config.addresses) {
            if (a.address.is_v4() && spec.address4.is_unspecified()) spec.address4 = a.address.v4();
            if (a.address.is_v6() && spec.address6.is_unspecified()) spec.address6 = a.address.v6();
        }
    }
    const bool link_scope = std::any_of(addresses.begin(), addresses.end(),
                                        [](const auto& a) { return a.address.is_v6() && a.address.is_link_local(); });
    if (link_scope && link_scopes_.insert(entry.id).second) core_.programmer.set_vrf(api::link_vrf(entry.id));
    core_.programmer.set_interface(spec);
    core_.interfaces.set({entry.id, *vrf, entry.kind(), entry.up(), addresses, entry.config.name, spec.mtu});
    if (!link_scope && link_scopes_.erase(entry.id) > 0) core_.programmer.remove_vrf(api::link_vrf(entry.id));
    core_.statics.on_interface(entry.id);
    if (changed) changed(entry.id);
    core_.loop.wake_slice();
}

void InterfaceTable::remove(const std::string& name)
{
    const auto at = entries_.find(name);
    if (at == entries_.end()) return;
    const auto id = at->second.id;
    leaving_.insert(id);
    if (at->second.port != kNoPort) port_of_leaving_[id] = at->second.port;
    names_.erase(id);
    entries_.erase(at);
    core_.interfaces.remove(id);
    core_.statics.on_interface(id);
    if (changed) changed(id);
    core_.programmer.remove_interface(id);
    if (link_scopes_.erase(id) > 0) core_.programmer.remove_vrf(api::link_vrf(id));
    core_.loop.wake_slice();
}

void InterfaceTable::want_link_local(std::set<std::string> names)
{
    link_local_wanted_ = std::move(names);
    for (auto& [name, entry] : entries_) {
        const bool wanted = link_local_wanted_.contains(name);
        if (std::exchange(entry.link_local, wanted) != wanted) publish(entry);
    }
}

void InterfaceTable::released(InterfaceId id)
{
    leaving_.erase(id);
    if (port_of_leaving_.erase(id) > 0) settle();
}

void InterfaceTable::link_changed(PortId port, bool up)
{
    for (auto& [key, open] : ports_) {
        if (open.info.id == port) open.info.link_up = up;
    }
    for (auto& [name, entry] : entries_) {
        if (entry.port != port) continue;
        const bool was = entry.up();
        attach(entry);
        if (entry.up() == was) continue;
        entry.changed_at = now();
        ++(entry.up() ? entry.link_ups : entry.link_downs);
        log::info("interface", "{} is {}", name, entry.up() ? "up" : "down");
        publish(entry);
    }
}

bool InterfaceTable::link_up(PortId port) const
{
    return std::any_of(ports_.begin(), ports_.end(),
                       [&](const auto& open) { return open.second.info.id == port && open.second.info.link_up; });
}

void InterfaceTable::set_failed(InterfaceId id, bool failed)
{
    const auto name = names_.find(id);
    if (name == names_.end()) return;
    auto& entry = entries_.at(name->second);
    if (entry.failed == failed) return;
    entry.failed = failed;
    entry.changed_at = now();
    ++(entry.up() ? entry.link_ups : entry.link_downs);
    log::info("interface", "{} is {}", name->second, entry.up() ? "up" : "down");
    publish(entry);
}

const InterfaceTable::Entry* InterfaceTable::find(const std::string& name) const
{
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second;
}

const InterfaceTable::Entry* InterfaceTable::find(InterfaceId id) const
{
    const auto at = names_.find(id);
    return at == names_.end() ? nullptr : find(at->second);
}

std::string InterfaceTable::name(InterfaceId id) const
{
    const auto at = names_.find(id);
    return at == names_.end() ? std::string{} : at->second;
}

api::InterfaceCounters InterfaceTable::counters(const Entry& entry) const
{
    auto c = core_.dataplane.interface_counters(entry.id);
    c.rx_packets -= entry.baseline.rx_packets;
    c.rx_octets -= entry.baseline.rx_octets;
    c.rx_drops -= entry.baseline.rx_drops;
    c.tx_packets -= entry.baseline.tx_packets;
    c.tx_octets -= entry.baseline.tx_octets;
    c.tx_drops -= entry.baseline.tx_drops;
    return c;
}

void InterfaceTable::clear_counters(const std::string& name)
{
    for (auto& [known, entry] : entries_) {
        if (name.empty() || name == known) entry.baseline = core_.dataplane.interface_counters(entry.id);
    }
}

std::optional<IpAddress> InterfaceTable::own_address(InterfaceId id, const IpAddress& peer) const
{
    const auto* entry = find(id);
    if (!entry) return std::nullopt;
    std::optional<IpAddress> first;
    for (const auto& a : entry->addresses()) {
        if (a.address.family != peer.family) continue;
        if (a.subnet().contains(peer) && !(a.address == peer)) return a.address;
        if (!first && a.address.is_link_local() == peer.is_link_local()) first = a.address;
    }
    return first;
}

}  // namespace culvert::runtime
