#pragma once

#include "config/model.h"
#include "controlplane/rib/rib.h"
#include "controlplane/runtime/bfd_service.h"
#include "controlplane/runtime/bgp_neighbor.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/neighbor_service.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/wireguard_service.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// BGP in one VRF: its RIB between the neighbours and the route table.
class BgpInstance final : rib::RouteSink, rib::FeasibleSink, rib::NexthopSink, route::Numbering {
public:
    BgpInstance(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
                const NeighborService& routers, BfdService& bfd, const config::Model& model, const config::Bgp& config);
    ~BgpInstance();

    void configure(const config::Model& model, const config::Bgp& config);
    void refresh_passwords();
    void interfaces_changed();
    void scopes_changed();

    // A slice of work. True: there is more.
    bool run(TimePoint until);

    const config::Bgp& config() const noexcept { return config_; }
    std::uint64_t serial() const noexcept { return hash_seed_; }  // no two instances have the same
    VrfId vrf() const noexcept { return vrf_; }
    Ipv4Address router_id() const noexcept { return router_id_; }
    const rib::Rib& rib() const noexcept { return *rib_; }
    rib::Rib& rib() noexcept { return *rib_; }
    BgpNeighbor* find(const config::PeerName& name);
    BgpNeighbor* find(rib::PeerHandle handle);
    const std::map<config::PeerName, std::unique_ptr<BgpNeighbor>>& neighbors() const noexcept { return neighbors_; }

private:
    friend class BgpNeighbor;
    void on_route(const rib::RouteChange& change) override;
    void on_feasible(rib::PeerHandle peer, const IpPrefix& prefix, bool feasible) override;
    void track(const IpAddress& next_hop) override;
    void untrack(const IpAddress& next_hop) override;
    std::uint32_t number(const IpPrefix& prefix) const override;
    bool any_of_length(Family family, std::uint8_t length) const override;
    std::unique_ptr<route::PrefixWalk> walk(Family family) const override;

    rib::RibConfig rib_config() const;
    void choose_router_id(bool anew = false);
    void listen();
    void accept_from(int listener);
    void update_origination();
    void take_table_events();
    void answer_fresh_next_hops();
    void originate(const IpPrefix& prefix, rib::LocalSource source, std::optional<std::uint32_t> metric);

    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WireguardService& wireguard_;
    const NeighborService& routers_;  // the ones that advertise themselves on unnumbered links
    BfdService& bfd_;
    config::Bgp config_;
    std::string hostname_;
    VrfId vrf_;
    std::uint64_t hash_seed_;
    Ipv4Address router_id_{};
    route::ClientId client_;
    std::unique_ptr<rib::Rib> rib_;
    std::map<config::PeerName, std::unique_ptr<BgpNeighbor>> neighbors_;
    std::map<rib::PeerHandle, BgpNeighbor*> by_handle_;
    struct Listener {
        Descriptor socket;
        Loop::Watch watch;
    };
    std::array<Listener, 2> listeners_;

    struct Origination {
        std::set<IpPrefix> watched;   // `network` with import-check
        std::set<IpPrefix> networks;  // `network` without
        std::map<config::RedistributeSource, std::optional<std::uint32_t>> sources;
        std::map<config::RedistributeSource, std::set<IpPrefix>> redistributed;
    };
    std::array<Origination, 2> origination_;     // index by Family
    std::map<IpPrefix, std::uint32_t> present_;  // watched prefixes that are in the table

    // A million prefixes share a few next-hop sets: the last route handle is most often the next one too.
    struct LastRoute {
        std::uint8_t distance = 0;
        std::uint32_t metric = 0;
        std::vector<rib::RoutePath> paths, backup;
        route::RouteHandle handle{route::kNoRoute};
    };
    LastRoute last_;
    bool told_crowded_ = false;               // that link bandwidth is ignored
    bool numbered_ = false;                   // the route table knows our prefixes by the RIB's numbers
    std::vector<IpAddress> fresh_next_hops_;  // tracked in this round; the RIB wants a first word on each
    Loop::Timer deadline_;
};

}  // namespace culvert::runtime
