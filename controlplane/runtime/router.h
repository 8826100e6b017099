#pragma once

#include "config/diagnostic.h"
#include "config/model.h"
#include "config/parse.h"
#include "controlplane/runtime/bfd_service.h"
#include "controlplane/runtime/bgp_service.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/failover_service.h"
#include "controlplane/runtime/heap_trim.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/neighbor_service.h"
#include "controlplane/runtime/tunnel_service.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/wireguard_service.h"
#include "controlplane/runtime/worker_links.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// The control plane as a whole: the services on one loop, and the commit that turns one configuration into the next.
class Router {
public:
    Router(Loop& loop, api::Dataplane& dataplane);
    ~Router();

    // Where the model's statements stand, for messages.
    struct Origin {
        std::string file;
        const config::SourceLines* lines = nullptr;
    };
    // Validates, prepares (opens ports, reads keys, makes namespaces) and takes up. All of it or nothing: with
    // diagnostics the running configuration is untouched. `typing`: unfinished objects are kept, but not acted on.
    std::vector<config::Diagnostic> commit(const config::Model& model, const Origin& origin, bool typing = false);
    // validate() and everything of prepare that changes nothing.
    static std::vector<config::Diagnostic> check(const config::Model& model, const Origin& origin);

    const config::Model& running() const noexcept { return running_; }
    const config::Model& effective() const noexcept { return effective_; }

    Core& core() noexcept { return core_; }
    Vrfs& vrfs() noexcept { return vrfs_; }
    InterfaceTable& interfaces() noexcept { return interfaces_; }
    FailoverService& failover() noexcept { return failover_; }
    NeighborService& neighbors() noexcept { return neighbors_; }
    WireguardService& wireguard() noexcept { return wireguard_; }
    TunnelService& tunnels() noexcept { return tunnels_; }
    BfdService& bfd() noexcept { return bfd_; }
    BgpService& bgp() noexcept { return bgp_; }
    TimePoint started_at() const noexcept { return started_at_; }

private:
    bool slice(TimePoint until);
    void take_events();
    void on_worker_event(const api::WorkerEvent& event);
    struct Secrets {
        WireguardService::Keys wireguard;
        TunnelService::Keys ipsec;
    };
    static Secrets read_secrets(const config::Model& model, const Origin& origin,
                                std::vector<config::Diagnostic>& problems);
    void apply(const config::Model& next, Secrets& keys, std::vector<Vrfs::Prepared> vrfs);
    void apply_routes(const config::Model& next);
    void apply_protected(const config::Model& next);
    std::optional<route::StaticRoute> to_route(const config::StaticRoute& route, const std::string& vrf) const;

    TimePoint started_at_;
    Core core_;
    Vrfs vrfs_;
    InterfaceTable interfaces_;
    WorkerLinks workers_;
    FailoverService failover_;
    NeighborService neighbors_;
    WireguardService wireguard_;
    TunnelService tunnels_;
    BfdService bfd_;
    BgpService bgp_;

    config::Model running_;                                           // what was typed
    config::Model effective_;                                         // of it, what is acted on
    std::map<std::string, std::vector<route::StaticRoute>> statics_;  // by VRF, as given to Statics
    std::set<std::pair<VrfId, IpPrefix>> protected_;                  // as given to the programmer
    bool committed_ = false;                                          // at least once
    bool host_links_dirty_ = true;
    bool settle_ports_ = false;  // ports may be free once the dataplane has acked everything
    Loop::Watch acked_;
    Loop::Timer backlog_;
    HeapTrim heap_trim_;
    Loop::Timer second_;
};

}  // namespace culvert::runtime
