#pragma once

#include "config/diagnostic.h"
#include "config/model.h"
#include "controlplane/runtime/bfd_sessions.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/failover_service.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/worker_links.h"

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace culvert::runtime {

// A session that a BGP neighbour asks for.
struct BgpBfdWish {
    VrfId vrf{kDefaultVrf};
    IpAddress peer{};
    InterfaceId interface {
        kNoInterface
    };                               // of a neighbour with a link-local address
    std::optional<IpAddress> local;  // `update-source`
    bool external = true;
    std::optional<std::uint8_t> hops;  // `ebgp-multihop`, `ttl-security hops`, above 1
    config::BgpBfd bfd;
};

// What the user of a session needs to know of it.
struct BfdStatus {
    api::BfdState state = api::BfdState::Down;
    api::BfdDiagnostic diagnostic{};
    api::BfdState remote_state = api::BfdState::Down;
    bool remote_control_plane_independent = false;
};

// BFD as it is configured: which sessions the `bfd` block, BGP's neighbours, interfaces and static routes want, with
// what settings, from where to where; bound to the workers that run them and to the failures that they find.
class BfdService final : private BfdSessions::Actions {
public:
    BfdService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WorkerLinks& workers, FailoverService& failover);
    ~BfdService();

    // ---- commit

    // What is wrong with the keys that sessions use: files that are missing or open to others, keys that are too long.
    static void check_keys(
        const config::Model& model, std::vector<config::Diagnostic>& problems,
        const std::function<unsigned(const std::string& path, const std::string& statement)>& line_of);
    void configure(const config::Model& model);
    // Something that sessions depend on may be another now: a neighbour's address, an interface, a tunnel's owner.
    void refresh() noexcept;

    // ---- running

    // Before the tables are written: the sessions that are wanted now.
    void run();
    void on_acked(std::uint64_t generation) { sessions_.on_acked(generation); }
    void on_changed(const api::BfdChanged& change);

    // ---- the users of sessions

    std::function<std::vector<BgpBfdWish>()> bgp_wishes;
    // What protects the packets of a tunnel; not set: nothing does.
    std::function<ProtectionId(InterfaceId interface)> protection;
    // The state of a BGP neighbour's session is another one; the first one it has comes from Down.
    std::function<void(VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before,
                       const BfdStatus& now)>
        bgp_changed;
    // Some static route's session came up or went down.
    std::function<void()> statics_changed;

    // The session of a BGP neighbour that wished for one; nullptr: it has none (yet).
    const BfdSessions::View* bgp_session(VrfId vrf, const IpAddress& peer, InterfaceId interface) const;
    static BfdStatus status_of(const api::BfdChanged& change);
    // BGP came up with the neighbour, with or without BFD.
    void on_proven(VrfId vrf, const IpAddress& peer, InterfaceId interface);
    // Does BFD keep the route out of use?
    bool keeps_down(const config::StaticRoute& route, VrfId nexthop_vrf) const;

    // ---- questions

    struct SessionView {
        const BfdSessions::View* session;
        std::string vrf;        // "default" for the default one
        std::string interface;  // empty: multihop
        const api::BfdActivity* activity;
        // As FRR tells where a session comes from.
        bool configured;                    // there is a `peer` for it
        bool names_local, names_interface;  // the configuration does, or a protocol did
    };
    std::vector<SessionView> view() const;
    // `peer` lines that have no session now, and why.
    struct Unresolved {
        const config::BfdPeer* peer;
        const char* reason;
    };
    const std::vector<Unresolved>& unresolved() const noexcept { return unresolved_; }
    // The layers' sum, as a session uses it.
    const config::BfdSettings* settings(const BfdSessionKey& key) const;

    // How often others were told of a change of its state.
    std::uint64_t notifications(const SessionView& view) const;
    // All that is counted and measured of a session begins anew.
    void clear_counts(BfdSessionId id);

private:
    std::uint64_t add_session(BfdSessionId id, const std::string& name) override;
    void bind(BfdSessionId id, const fibprog::Gateway& gateway) override;
    void unbind(BfdSessionId id, const fibprog::Gateway& gateway) override;
    std::uint64_t remove_session(BfdSessionId id) override;
    NexthopId hold(const fibprog::Gateway& gateway) override;
    void release(const fibprog::Gateway& gateway) override;
    void command(WorkerId worker, const api::SetBfdSession& session) override;
    void command(WorkerId worker, const api::DeleteBfdSession& session) override;
    void on_session(const BfdSessionKey& key, const api::BfdChanged& before, const api::BfdChanged& now) override;

    // Layers of settings for one session, the first that says something counts.
    struct Wish {
        IpAddress local{};
        bool local_named = false, interface_named = false, configured = false;
        std::uint8_t minimum_ttl = config::BfdSettings::kMultihopMinimumTtl;
        bool control_plane_independent = false;
        std::vector<config::BfdSettings> layers;
    };
    struct Place {  // where a wish leads
        BfdSessionKey key;
        IpAddress local{};
    };
    InterfaceId link_to(VrfId vrf, const IpAddress& peer);
    std::optional<Place> find_place(VrfId vrf, const IpAddress& peer, InterfaceId interface,
                                    const std::optional<IpAddress>& local, bool multihop, const char*& why);
    void wish_peers();
    void wish_bgp();
    void wish_statics();
    void wish_interfaces();
    Wish& wish(const Place& place);
    std::vector<config::BfdSettings> with_profile(const std::string& name) const;
    void read_key_chains();
    BfdWanted to_wanted(const BfdSessionKey& key, const Wish& wish, config::BfdSettings& sum);
    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WorkerLinks& workers_;
    FailoverService& failover_;
    route::ClientId client_;
    BfdSessions sessions_;
    config::Model model_;  // the parts that sessions come from
    std::map<BfdSessionKey, config::BfdSettings> settings_;
    std::map<BfdSessionKey, Wish> wishes_;
    using BgpPeer = std::tuple<VrfId, IpAddress, InterfaceId>;
    std::map<BgpPeer, BfdSessionKey> bgp_;
    std::map<std::tuple<VrfId, IpAddress, std::string>, BfdSessionKey> statics_;  // by gateway and interface's name
    std::set<BfdSessionKey> static_keys_;
    std::vector<Unresolved> unresolved_;
    std::set<std::pair<VrfId, IpAddress>> tracked_, tracking_;
    std::map<BfdSessionId, std::uint64_t> notifications_;
    // As they were read at the last commit that could: a file that is gone since takes no session down.
    struct Keys {
        std::array<api::BfdKey, api::SetBfdSession::kMaxKeys> keys{};
        std::uint8_t count = 0;
        std::uint8_t sending = 0;
    };
    std::map<std::pair<std::string, config::BfdAuthenticationType>, Keys> keys_;  // by chain and what it is used for
    bool dirty_ = true;
};

}  // namespace culvert::runtime
