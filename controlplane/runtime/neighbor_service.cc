#include "controlplane/runtime/neighbor_service.h"

#include "base/log.h"

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
    for (const auto& event : output.events) {
        switch (event.change) {
            case neighbor::Change::Resolved:
            case neighbor::Change::Moved:
                core_.programmer.set_neighbor(event.interface, event.address, event.mac);
                failover_.on_neighbor_alive(event.interface, event.address);
                break;
            case neighbor::Change::Lost: failover_.on_neighbor_lost(event.interface, event.address, event.since); break;
            case neighbor::Change::Failed:
                core_.programmer.set_neighbor(event.interface, event.address, std::nullopt, true);
                break;
            case neighbor::Change::Expired:
                core_.programmer.set_neighbor(event.interface, event.address, std::nullopt);
                break;
        }
    }
    if (!output.events.empty()) core_.loop.wake_slice();
    if (on_router)
        for (const auto id : output.routers) on_router(id);
    for (const auto& warning : output.warnings) log::warning("neighbor", "{}", warning);
    timer_.set(engine_.next_deadline());
}

void NeighborService::interface_changed(InterfaceId id)
{
    const auto* entry = interfaces_.find(id);
    if (!entry || entry->kind() != api::InterfaceKind::Port) {
        perform(engine_.remove_link(id, now()));
        return;
    }
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
    perform(engine_.set_in_use(use.interface, use.address, use.in_use, now()));
}

}  // namespace culvert::runtime
