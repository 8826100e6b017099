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
        case NexthopKind::Reject:
        case NexthopKind::Broadcast: return false;
    }
    return false;
}

void copy_interface(Nexthop& n, std::uint16_t own_mtu, bool lost, const api::SetInterface* interface)
{
    const bool usable = !leaves_by_interface(n.kind) || (interface && interface->up);
    n.standing = !usable ? Standing::Unusable : lost ? Standing::Lost : Standing::Usable;
    n.mtu = own_mtu;
    n.port = kNoPort;
    n.vlan = 0;
    n.source_mac = {};
    n.link = DownTable::kAlwaysUp;
    if (!interface) return;
    if (leaves_by_interface(n.kind))
        n.link = interface->kind == api::InterfaceKind::Port
                     ? DownTable::place(api::DownKind::Port, index(interface->port))
                     : DownTable::place(api::DownKind::Interface, index(interface->id));
    if (own_mtu == 0) n.mtu = interface->mtu;
    n.port = interface->port;
    n.vlan = interface->vlan;
    n.source_mac = interface->mac;
}

}  // namespace

void NexthopTable::count_met(NexthopId id) const noexcept
{
    const auto* n = find(id);
    if (!n) return;
    if (!slots_[index(id)].down.up() || n->standing == Standing::Lost)
        met_[index(id)].fetch_add(1, std::memory_order_relaxed);
    if (!words_.up(n->link)) words_.count_met(n->link);
    if (!words_.up(n->session)) words_.count_met(n->session);
}

const Nexthop* NexthopTable::live_or_lost(NexthopId id) const noexcept
{
    const auto* n = find(id);
    return n && n->standing != Standing::Unusable && causes(id) == 0 ? n : nullptr;
}

std::uint32_t NexthopTable::causes(NexthopId id) const noexcept
{
    const auto* n = find(id);
    if (!n) return 0;
    return down(id).causes | words_.load(n->link).causes | words_.load(n->session).causes;
}

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
    if (update.kind == NexthopKind::Via)
        n->via = update.via;
    else
        n->peer = update.peer;
    n->session = DownTable::place(api::DownKind::Session, index(update.session));
    n->destination_mac = update.mac;
    n->gateway = update.gateway;
    copy_interface(*n, update.mtu, update.lost, interface);
    slot.own_mtu = update.mtu;
    slot.lost = update.lost;
    if (!slot.nexthop.load(std::memory_order_relaxed)) {
        met_[i].store(0, std::memory_order_relaxed);
        slot.down.begin();
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
        copy_interface(*n, slots_[i].own_mtu, slots_[i].lost, interface);
        publish(slots_[i], std::move(n));
    }
}

void NexthopTable::publish(Slot& slot, std::unique_ptr<const Nexthop> n)
{
    const auto* old = slot.nexthop.exchange(n.release(), std::memory_order_acq_rel);
    reclaimer_.retire(std::unique_ptr<const Nexthop>(old));
}

}  // namespace culvert::fib
