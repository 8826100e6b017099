#pragma once

#include "config/model.h"
#include "controlplane/rib/rib.h"
#include "controlplane/runtime/bfd_service.h"
#include "controlplane/runtime/bgp_transport.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/neighbor_service.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/wireguard_service.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace culvert::runtime {

class BgpInstance;

// One configured neighbour: its session, its place in the RIB.
class BgpNeighbor final : bgp::SessionEvents {
public:
    BgpNeighbor(BgpInstance& instance, const config::BgpNeighbor& config);
    ~BgpNeighbor();

    void configure(const config::BgpNeighbor& config);
    const config::BgpNeighbor& config() const noexcept { return config_; }
    config::PeerName name() const { return config_.name(); }
    // Of an unnumbered neighbour what router advertisements told; unspecified: nothing yet.
    const IpAddress& address() const noexcept { return remote_; }
    // The one it is behind, for link-local addresses.
    InterfaceId interface() const noexcept { return interface_; }
    route::Resolution way() const;  // to it
    InterfaceId link() const;  // what link-local next hops from it are on; kNoInterface: it isn't on a link of ours
    void on_scopes();          // the TUN of its interface may be there now
    rib::PeerHandle handle() const noexcept { return handle_; }
    const bgp::Session& session() const noexcept { return transport_->session(); }
    const BgpTransport& transport() const noexcept { return *transport_; }
    bool external() const;
    bool over_prefix_limit() const noexcept { return over_limit_; }
    TimePoint started_at() const noexcept { return started_at_; }

    // Sends what the RIB has for it while the connection takes it. True: there is more, and room for it.
    bool fill(std::size_t budget);
    bool hungry() const;  // it has room, and the RIB has something for it
    void offer(Accepted accepted);
    void reset(bgp::ResetReason reason, std::uint8_t subcode);
    void refresh_password();  // its file may hold another one
    void on_reachable(const route::Resolution& resolution);
    // Its interface, or what is known of it there, may be another one.
    void update_link();
    // Is a connection from `address`, on the link with `scope`, from it?
    bool is(const IpAddress& address, std::uint32_t scope) const;
    void on_limit(const rib::Event& event);
    // The BFD session that it asks for; nullopt: none.
    std::optional<BgpBfdWish> bfd_wish() const;
    void on_bfd(const BfdStatus& before, const BfdStatus& now);
    const BfdSessions::View* bfd_session() const;  // nullptr: there is none (yet)
    // It would be started, were it not for BFD (strict mode).
    bool waits_for_bfd() const;
    void update_feasible();
    std::optional<PeerId> feasible_peer() const noexcept { return feasible_peer_; }
    bool family_active(Family family) const;
    TcpOptions tcp_options() const;

private:
    friend class BgpInstance;
    void on_state(bgp::State from, bgp::State to) override;
    void on_established(const bgp::Established& established) override;
    void on_update(const bgp::UpdateView& update) override;
    void on_route_refresh(Family family, bgp::RouteRefresh::Kind kind) override;
    void on_down(const bgp::Down& down) override;

    bgp::SessionConfig session_config() const;
    rib::PeerConfig rib_config() const;
    std::optional<BgpTransport::Path> find_path() const;
    void start();
    bool may_start() const;  // but for BFD
    bool bfd_allows() const;
    void watch_strict();
    void apply_md5();
    void apply_md5(const IpAddress& address, const std::string& key);
    bool link_local() const noexcept { return !config_.interface.empty(); }
    void track();
    void untrack();

    BgpInstance& instance_;
    config::BgpNeighbor config_;
    IpAddress remote_{};
    InterfaceId interface_{kNoInterface};
    std::string md5_key_;
    rib::PeerHandle handle_{};
    std::unique_ptr<BgpTransport> transport_;
    std::optional<PeerId> feasible_peer_;  // the WireGuard peer whose sources follow this neighbour's paths
    bool reachable_ = false;
    bool over_limit_ = false;
    TimePoint started_at_{};
    Loop::Timer restart_;
    Loop::Timer strict_;  // up without BFD, in strict mode: until when
};

// BGP in one VRF: its RIB between the neighbours and the route table.
class BgpInstance final : rib::RouteSink, rib::FeasibleSink, rib::NexthopSink {
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

    rib::RibConfig rib_config() const;
    void choose_router_id();
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
    std::vector<IpAddress> fresh_next_hops_;  // tracked in this round; the RIB wants a first word on each
    Loop::Timer deadline_;
};

// All instances.
class BgpService {
public:
    BgpService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
               const NeighborService& routers, BfdService& bfd)
        : core_(core), interfaces_(interfaces), vrfs_(vrfs), wireguard_(wireguard), routers_(routers), bfd_(bfd)
    {}

    void set(const config::Model& model, const config::Bgp& config);
    void remove(const std::string& vrf);
    void interface_changed(InterfaceId id);
    void wireguard_changed();
    void scopes_changed();  // a TUN of an interface's link-local addresses came or went
    bool run(TimePoint until);
    std::vector<BgpBfdWish> bfd_wishes() const;
    void on_bfd(VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before, const BfdStatus& now);
    BgpInstance* find(const std::string& vrf);
    const std::map<std::string, std::unique_ptr<BgpInstance>>& all() const noexcept { return instances_; }

private:
    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WireguardService& wireguard_;
    const NeighborService& routers_;
    BfdService& bfd_;
    std::map<std::string, std::unique_ptr<BgpInstance>> instances_;
};

}  // namespace culvert::runtime
