#include "dataplane/fib/nexthops.h"

#include <algorithm>
#include <utility>

namespace culvert::fib {
namespace {

bool leaves_by_interface(NexthopKind kind) noexcept
{
    switch (kind) {
        case NexthopKind::Adjacency:
        case NexthopKind::Glean:
        case NexthopKind::WireguardPeer:
        case NexthopKind::WireguardLookup:
        case NexthopKind::Tunnel: return true;
        case NexthopKind::Local:
        case NexthopKind::Via:
        case NexthopKind::Blackhole:
        case NexthopKind::Reject: return false;
    }
    return false;
}

void copy_interface(Nexthop& n, std::uint16_t own_mtu, const api::SetInterface* interface)
{
    n.usable = !leaves_by_interface(n.kind) || (interface && interface->up);
    n.mtu = own_mtu;
    n.port = kNoPort;
    n.vlan = 0;
    n.source_mac = {};
    if (!interface) return;
    if (own_mtu == 0) n.mtu = interface->mtu;
    n.port = interface->port;
    n.vlan = interface->vlan;
    n.source_mac = interface->mac;
}

}  // namespace

NexthopTable::~NexthopTable()
{
    for (std::size_t i = 0; i < end_; ++i) delete slots_[i].nexthop.load(std::memory_order_relaxed);
}

bool NexthopTable::set(const api::SetNexthop& update, const api::SetInterface* interface)
{
    const std::size_t i = index(update.id);
    if (i == 0 || i >= kMaxNexthops) return false;
    auto& slot = slots_[i];
    end_ = std::max(end_, i + 1);

    auto n = std::make_unique<Nexthop>();
    n->id = update.id;
    n->kind = update.kind;
    n->resolved = update.resolved;
    n->interface = update.interface;
    n->vrf = update.vrf;
    n->via = update.via;
    n->peer = update.peer;
    n->destination_mac = update.mac;
    n->gateway = update.gateway;
    copy_interface(*n, update.mtu, interface);
    slot.own_mtu = update.mtu;
    if (slot.nexthop.load(std::memory_order_relaxed)) {
        n->generation = slot.down.generation();
    } else {
        n->generation = slot.down.begin();
        ++size_;
    }
    publish(slot, std::move(n));
    return true;
}

bool NexthopTable::erase(NexthopId id)
{
    if (!find(id)) return false;
    auto& slot = slots_[index(id)];
    publish(slot, nullptr);
    slot.down.end();
    --size_;
    return true;
}

bool NexthopTable::clear_down(NexthopId id, std::uint32_t epoch)
{
    return find(id) && slots_[index(id)].down.clear(epoch);
}

void NexthopTable::refresh(InterfaceId id, const api::SetInterface* interface)
{
    for (std::size_t i = 0; i < end_; ++i) {
        const auto* old = slots_[i].nexthop.load(std::memory_order_relaxed);
        if (!old || old->interface != id || !leaves_by_interface(old->kind)) continue;
        auto n = std::make_unique<Nexthop>(*old);
        copy_interface(*n, slots_[i].own_mtu, interface);
        publish(slots_[i], std::move(n));
    }
}

void NexthopTable::publish(Slot& slot, std::unique_ptr<const Nexthop> n)
{
    const auto* old = slot.nexthop.exchange(n.release(), std::memory_order_acq_rel);
    reclaimer_.retire(std::unique_ptr<const Nexthop>(old));
}

}  // namespace culvert::fib
