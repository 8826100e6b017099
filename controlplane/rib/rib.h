#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/bgp/attributes.h"
#include "controlplane/bgp/update.h"
#include "controlplane/policy/step.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

// BGP's routing information bases of one VRF (RFC 4271 3.2): Adj-RIB-In, the decision process, Adj-RIB-Out.
//
// How it is used, all on the control thread:
//   a session is up           on_peer_up(), then fill() whenever its socket can take more
//   an UPDATE came            on_update(): stored, decided and queued at once
//   the socket has room       while (pending(peer)) fill(peer, buffer, room, now)
//   each round of the loop    run(budget) until it says there is nothing left; drain_routes(), drain_feasible(),
//                             drain_nexthops(), take_events()
//   route table answers       on_nexthop()
//   a session is down         on_peer_down(): what it sent is unusable from then on, and removed in run()
//
// No call works for more than a few milliseconds: what touches many prefixes is left to run(), a slice at a time.
namespace culvert::rib {

// A neighbour of this RIB, configured or not established. Zero: none. Reused only after remove_peer().
enum class PeerHandle : std::uint32_t {};
inline constexpr PeerHandle kNoPeer{0};

// Where a path of our own comes from, in the order of preference among them.
enum class LocalSource : std::uint8_t {
    Network,
    Connected,
    Static,
    MissingNetwork,  // a `network` whose prefix has no route: listed, never valid
};
inline constexpr std::size_t kLocalSources = 4;

// Why the best path was chosen over the second best; the order is the order of the steps.
enum class Reason : std::uint8_t {
    None,
    FirstPath,
    Weight,
    LocalPref,
    LocalRoute,
    AsPath,
    Origin,
    Med,
    PeerType,
    IgpMetric,
    OlderPath,
    RouterId,
    ClusterLength,
    LocalConfigured,
    NeighborIp,
    NothingLeft,
};
std::string_view to_string(Reason reason) noexcept;  // FRR's selectionReason

// How multipaths share traffic: `bgp bestpath bandwidth`, see bandwidth.h.
enum class BandwidthUse : std::uint8_t { WhenAllHaveIt, Ignore, SkipMissing, DefaultWeightForMissing };

struct FamilyConfig {
    std::uint16_t maximum_paths = 64;  // eBGP; 1: no multipath
    std::uint16_t maximum_paths_ibgp = 64;
    std::array<std::uint8_t, 3> distance{20, 200, 200};  // external, internal, local
};

struct RibConfig {
    Asn asn{};
    Ipv4Address router_id{};
    std::optional<std::uint32_t> cluster_id;  // unset: the router id
    std::uint32_t default_local_preference = 100;
    bool ebgp_requires_policy = true;  // RFC 8212: eBGP without a step accepts and announces nothing
    bool always_compare_med = false;
    bool deterministic_med = true;
    bool med_missing_as_worst = false;
    bool as_path_ignore = false;
    bool multipath_relax = false;
    bool compare_routerid = false;
    BandwidthUse bandwidth{};
    bool backup_paths = false;             // give the RouteSink a backup, and tell it when only that changes
    std::array<FamilyConfig, 2> families;  // index by Family
    std::uint64_t hash_seed = 0;  // random, so that nobody can choose prefixes that collide; configure() ignores it
};

struct MaximumPrefix {
    std::uint32_t limit = 0;      // 0: no limit
    std::uint8_t threshold = 75;  // percent of it that is worth a warning
    bool warning_only = false;
};

enum class RemovePrivateAs : std::uint8_t { No, WhenAllPrivate, All, AllReplace };

struct PeerFamilyConfig {
    std::shared_ptr<const policy::ImportStep> import_step;
    std::shared_ptr<const policy::ExportStep> export_step;
    std::optional<std::uint16_t> weight;
    MaximumPrefix maximum_prefix;
    std::uint8_t allowas_in = 0;       // how often our AS may occur in a path from it
    bool next_hop_self = false;        // for what came from eBGP and our own
    bool next_hop_self_force = false;  // for reflected routes too
    bool next_hop_unchanged = false;   // `attribute-unchanged next-hop`
    bool route_reflector_client = false;
    bool default_originate = false;
    bool send_community = true;
    bool send_extended_community = true;
    bool send_large_community = true;
    bool as_override = false;
    RemovePrivateAs remove_private_as = RemovePrivateAs::No;
};

struct PeerConfig {
    IpAddress address{};
    std::optional<Asn> local_as;  // `local-as`: the AS we play towards this neighbour
    bool local_as_no_prepend = false;
    bool local_as_replace_as = false;
    bool multihop = false;                     // ebgp-multihop or disable-connected-check: next hops may be anywhere
    bool track_feasible = false;               // report accepted prefixes to the FeasibleSink
    Duration advertisement_interval{};         // RFC 4271 9.2.1.1
    std::array<PeerFamilyConfig, 2> families;  // index by Family
};

// What an established session adds to the configuration.
struct PeerContext {
    bgp::Negotiated negotiated;
    IpAddress remote_address{};
    Ipv4Address router_id{};                        // the neighbour's BGP identifier
    std::array<IpAddress, 2> local_address;         // index by Family: what "self" is as next hop; unspecified: none
    std::optional<Ipv6Address> local_link_local;    // sent beside the global one when the neighbour is on the link
    std::array<std::optional<IpPrefix>, 2> subnet;  // shared with the neighbour: third-party next hops in it are kept
};

// A way to forward, for the route table. `peer` names the neighbour (and so the interface of a link-local next hop).
struct RoutePath {
    IpAddress next_hop{};
    PeerHandle peer{};
    std::uint16_t weight = 1;  // its share of the traffic among RouteChange::paths
    friend bool operator==(const RoutePath&, const RoutePath&) = default;
};

struct RouteChange {
    IpPrefix prefix{};
    std::uint32_t number = 0;  // Rib::number() of the prefix
    std::uint8_t distance = 0;
    std::uint32_t metric = 0;           // MED of the best path
    std::span<const RoutePath> paths;   // best first; empty: BGP has no route (or its best one is our own)
    std::span<const RoutePath> backup;  // the best path that is not among them; at most one
};

class RouteSink {
public:
    virtual ~RouteSink() = default;
    virtual void on_route(const RouteChange& change) = 0;  // spans live until it returns
};

// For peers with `track_feasible`: which prefixes their accepted paths cover, best or not.
class FeasibleSink {
public:
    virtual ~FeasibleSink() = default;
    virtual void on_feasible(PeerHandle peer, const IpPrefix& prefix, bool feasible) = 0;
};

class NexthopSink {
public:
    virtual ~NexthopSink() = default;
    virtual void track(const IpAddress& next_hop) = 0;
    virtual void untrack(const IpAddress& next_hop) = 0;
};

struct NexthopState {
    bool reachable = false;
    bool connected = false;    // on a directly connected network, without recursion
    std::uint32_t metric = 0;  // IGP cost
    friend bool operator==(const NexthopState&, const NexthopState&) = default;
};

struct Event {
    enum class Kind : std::uint8_t {
        MaximumPrefixThreshold,
        MaximumPrefixExceeded,  // the caller sends Cease/1 (unless warning-only) and calls on_peer_down()
        TableFull,              // the RIB's own bound: paths of this peer were not stored
    };
    Kind kind{};
    PeerHandle peer{};
    Family family{};
    std::uint32_t count = 0;  // accepted prefixes
    bool warning_only = false;
};

// One path as `show bgp` sees it.
struct PathView {
    PeerHandle peer{};  // kNoPeer: our own, see `local`
    std::optional<LocalSource> local;
    bgp::PathAttributes attributes;  // after import policy
    std::uint32_t weight = 0;
    bool valid = false, best = false, multipath = false, backup = false;
    bool rejected = false;  // by policy or its lack; only in received views
    bool looped = false;    // our AS, originator id or cluster id in it
    NexthopState next_hop;
    TimePoint received_at{};  // whole seconds
};

struct PrefixView {
    IpPrefix prefix{};
    Reason reason = Reason::None;
    std::vector<PathView> paths;  // best first
    std::vector<PeerHandle> advertised_to;
};

struct PeerCounts {
    std::uint32_t received = 0;  // prefixes in Adj-RIB-In
    std::uint32_t accepted = 0;  // of them, after policy and loop checks
    std::uint32_t sent = 0;      // prefixes in Adj-RIB-Out
};

struct Memory {
    std::size_t prefixes = 0, paths = 0, attribute_sets = 0, sent_sets = 0, nexthops = 0;  // how many
    std::size_t octets = 0;                                                                // of all tables together
};

class Rib {
    struct State;

public:
    explicit Rib(const RibConfig& config);
    ~Rib();
    Rib(Rib&&) noexcept;
    Rib& operator=(Rib&&) noexcept;

    // Changes take effect in run(): everything is decided anew. `asn` is not changed but by a new RIB.
    void configure(const RibConfig& config);
    // Our addresses: next hops among them are not usable.
    void set_local_addresses(std::vector<IpAddress> addresses);

    PeerHandle add_peer(const PeerConfig& config);
    void reconfigure(PeerHandle peer, const PeerConfig& config);  // no reset: paths and adverts are brought in line
    void remove_peer(PeerHandle peer);
    void on_peer_up(PeerHandle peer, const PeerContext& context, TimePoint now);
    void on_peer_down(PeerHandle peer);
    bool is_up(PeerHandle peer) const;

    // An UPDATE of an established peer. Ignored when the peer is not up.
    void on_update(PeerHandle peer, const bgp::UpdateView& update, TimePoint now);
    // ROUTE-REFRESH from it: everything is sent again, between markers when that was negotiated.
    void on_refresh(PeerHandle peer, Family family);
    // RFC 7313: the neighbour's BoRR and EoRR; what it hasn't sent again in between is removed.
    void on_refresh_begin(PeerHandle peer, Family family);
    void on_refresh_end(PeerHandle peer, Family family);
    void clear_soft_in(PeerHandle peer, Family family);
    void clear_soft_out(PeerHandle peer, Family family);
    std::optional<bool> end_of_rib_received(PeerHandle peer, Family family) const;  // nullopt: not up

    // Paths of our own. `attributes` may carry med, communities, next_hop (for iBGP); origin and AS_PATH as given.
    void originate(const IpPrefix& prefix, LocalSource source, const bgp::PathAttributes& attributes, TimePoint now);
    void withdraw(const IpPrefix& prefix, LocalSource source);

    void on_nexthop(const IpAddress& next_hop, const NexthopState& state);

    // Works on what was left for later, about `budget` steps (one step: 5..10 ns; an affected prefix counts 16).
    // True: there is more to do.
    bool run(std::size_t budget = 400'000);
    bool has_work() const;

    // Each hands over at most `max` changes, newest state only; the number handed over (0: none left).
    std::size_t drain_routes(RouteSink& sink, std::size_t max = 16'384);
    std::size_t drain_feasible(FeasibleSink& sink, std::size_t max = 16'384);
    std::size_t drain_nexthops(NexthopSink& sink);
    std::vector<Event> take_events();

    // Appends whole messages for the peer, about `max_octets` (at least one message when there is one, and no more
    // than one message too many). The octets appended; it may be 0 with pending() still true: call again, later.
    std::size_t fill(PeerHandle peer, std::vector<std::uint8_t>& out, std::size_t max_octets, TimePoint now);
    bool pending(PeerHandle peer) const;
    // When a peer that waits for its advertisement interval may be filled again; kNever: none waits.
    TimePoint next_deadline() const;

    std::optional<PrefixView> find(const IpPrefix& prefix) const;
    std::optional<PrefixView> longest_match(const IpAddress& address) const;
    PeerCounts counts(PeerHandle peer, Family family) const;
    Memory memory() const;
    std::size_t prefix_count(Family family) const;  // with at least one path
    // A prefix keeps its number as long as the route sink has a route for it. 0: not in the table.
    std::uint32_t number(const IpPrefix& prefix) const;
    bool any_of_length(Family family, std::uint8_t length) const;
    std::uint64_t table_version(Family family) const;

    // What a peer sent, before policy; what it was sent. Nullopt: no such prefix.
    std::optional<PathView> received(PeerHandle peer, const IpPrefix& prefix) const;
    std::optional<bgp::PathAttributes> advertised(PeerHandle peer, const IpPrefix& prefix) const;

    // Prefixes in order of address, then length, across rounds of the event loop and changes in between:
    //   Walk walk{rib, Family::Ipv4};
    //   while (walk.prepare(budget)) come_back_later();
    //   while (auto prefix = walk.next()) show(rib.find(*prefix));
    // A prefix that went away since is skipped by find().
    class Walk {
    public:
        Walk(const Rib& rib, Family family);
        ~Walk();
        Walk(Walk&&) noexcept;
        Walk& operator=(Walk&&) noexcept;
        bool prepare(std::size_t budget = 100'000);  // true: call again
        std::optional<IpPrefix> next();

    private:
        struct State;
        std::unique_ptr<State> state_;
    };

private:
    std::unique_ptr<State> state_;
};

}  // namespace culvert::rib
