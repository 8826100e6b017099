#pragma once

#include "controlplane/neighbor/engine.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/failover_service.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/worker_links.h"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace culvert::runtime {

// ARP and ND, bound to workers, interfaces and the programmer.
class NeighborService {
public:
    NeighborService(Core& core, InterfaceTable& interfaces, WorkerLinks& workers, FailoverService& failover);

    void interface_changed(InterfaceId id);
    void on_miss(const api::NeighborMiss& miss);
    void on_punt(const api::Punt& punt);
    // A next hop began or ceased to use an address: those in use are kept fresh.
    void set_in_use(const fibprog::NeighborUse& use);

    // The interfaces, by name, on which this router advertises itself and learns who else does: unnumbered ones.
    void advertise(std::set<std::string> interfaces);
    // The router that advertises itself on an unnumbered interface, by its link-local address.
    std::optional<Ipv6Address> router(InterfaceId id) const { return engine_.router(id); }
    std::function<void(InterfaceId)> on_router;  // router() is another one

    const neighbor::Engine& engine() const noexcept { return engine_; }

private:
    using OnLink = std::pair<InterfaceId, IpAddress>;

    void perform(neighbor::Output output);
    void on_event(const neighbor::Event& event);
    void doubt_all(InterfaceId id);
    void no_longer_doubt(const OnLink& neighbor);
    bool wanted(const OnLink& neighbor) const;

    Core& core_;
    InterfaceTable& interfaces_;
    WorkerLinks& workers_;
    FailoverService& failover_;
    neighbor::Engine engine_;
    std::set<std::string> unnumbered_;
    // Next hops that fell silent, or whose link went down. They are asked for whether a route in use needs them or not,
    // and no route prefers them before they have answered.
    std::set<OnLink> doubted_;
    Loop::Timer timer_;
};

}  // namespace culvert::runtime
