#include "controlplane/runtime/neighbor_service.h"

#include "base/log.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>
#include <iterator>

namespace culvert::runtime {

NeighborService::NeighborService(Core& core, InterfaceTable& interfaces, WorkerLinks& workers,
                                 FailoverService& failover)
    : core_(core), interfaces_(interfaces), workers_(workers), failover_(failover), timer_(core.loop, [this] {
          perform(engine_.on_time(now()));
      })
{}

void NeighborService::perform(neighbor::Output output)
{
    for (const auto& frame : output.frames) workers_.inject_frame(frame.interface, frame.bytes);
    for (const auto& event : output.events) on_event(event);
    if (!output.events.empty()) core_.loop.wake_slice();
    if (on_router)
        for (const auto id : output.routers) on_router(id);
    for (const auto& warning : output.warnings) log::warning("neighbor", "{}", warning);
    timer_.set(engine_.next_deadline());
}

void NeighborService::on_event(const neighbor::Event& event)
{
    const OnLink neighbor{event.interface, event.address};
    switch (event.change) {
        case neighbor::Change::Resolved:
        case neighbor::Change::Moved:
            core_.programmer.set_neighbor(event.interface, event.address, event.mac);
            failover_.on_neighbor_alive(event.interface, event.address);
            no_longer_doubt(neighbor);
            break;
        case neighbor::Change::Lost:
            doubted_.insert(neighbor);
            failover_.on_neighbor_lost(event.interface, event.address, event.since);
            break;
        case neighbor::Change::Failed:
            core_.programmer.set_neighbor(event.interface, event.address, std::nullopt, true);
            if (doubted_.contains(neighbor) && !wanted(neighbor)) {
                failover_.forget_neighbor(event.interface, event.address);
                no_longer_doubt(neighbor);
            }
            break;
        case neighbor::Change::Expired:
            core_.programmer.set_neighbor(event.interface, event.address, std::nullopt);
            break;
    }
}

// Their link goes down. When it is back, these next hops are no better known than one that has fallen silent.
void NeighborService::doubt_all(InterfaceId id)
{
    using neighbor::State;
    for (const auto family : {Family::Ipv4, Family::Ipv6})
        for (const auto& entry : engine_.entries(family, now())) {
            if (entry.interface != id || !entry.in_use) continue;
            if (entry.state == State::Incomplete || entry.state == State::Failed) continue;
            if (doubted_.insert({id, entry.address}).second) failover_.on_neighbor_doubted(id, entry.address);
        }
}

void NeighborService::no_longer_doubt(const OnLink& neighbor)
{
    if (doubted_.erase(neighbor) == 0 || core_.programmer.uses_neighbor(neighbor.first, neighbor.second)) return;
    perform(engine_.set_in_use(neighbor.first, neighbor.second, false, now()));
}

// Some route would take it: one in use, or one that stands back because of the doubt.
bool NeighborService::wanted(const OnLink& neighbor) const
{
    const auto& [interface, address] = neighbor;
    if (core_.programmer.uses_neighbor(interface, address) || core_.statics.uses(interface, address)) return true;
    const auto* link = core_.interfaces.find(interface);
    if (link == nullptr) return false;
    const auto tracked = [&](VrfId vrf, InterfaceId scope) {
        return core_.tables.resolution(vrf, address, scope) != nullptr;
    };
    return tracked(link->vrf, kNoInterface) || tracked(link->vrf, interface) ||
           tracked(api::link_vrf(interface), kNoInterface);
}

void NeighborService::interface_changed(InterfaceId id)
{
    const auto* entry = interfaces_.find(id);
    if (!entry || entry->kind() != api::InterfaceKind::Port) {
        std::erase_if(doubted_, [id](const OnLink& neighbor) { return neighbor.first == id; });
        perform(engine_.remove_link(id, now()));
        return;
    }
    if (!entry->up()) doubt_all(id);
    neighbor::Link link;
    link.id = id;
    link.mac = entry->mac;
    link.up = entry->up();
    link.addresses = entry->addresses();
    link.advertise_router = unnumbered_.contains(entry->config.name);
    perform(engine_.set_link(link, now()));
}

void NeighborService::advertise(std::set<std::string> interfaces)
{
    std::set<std::string> changed;
    std::set_symmetric_difference(interfaces.begin(), interfaces.end(), unnumbered_.begin(), unnumbered_.end(),
                                  std::inserter(changed, changed.end()));
    unnumbered_ = std::move(interfaces);
    for (const auto& name : changed)
        if (const auto* entry = interfaces_.find(name)) interface_changed(entry->id);
}

void NeighborService::on_miss(const api::NeighborMiss& miss)
{
    perform(engine_.on_miss(miss.interface, miss.address, now()));
}

void NeighborService::on_punt(const api::Punt& punt)
{
    perform(engine_.on_frame(punt.interface, Bytes{punt.bytes}.first(punt.length), now()));
}

void NeighborService::set_in_use(const fibprog::NeighborUse& use)
{
    if (!use.in_use && doubted_.contains({use.interface, use.address})) return;
    perform(engine_.set_in_use(use.interface, use.address, use.in_use, now()));
}

}  // namespace culvert::runtime
