#pragma once

#include "controlplane/rib/attribute_table.h"
#include "controlplane/rib/bandwidth.h"
#include "controlplane/rib/change_log.h"
#include "controlplane/rib/decision.h"
#include "controlplane/rib/export.h"
#include "controlplane/rib/handle_map.h"
#include "controlplane/rib/prefix_table.h"
#include "controlplane/rib/rib.h"
#include "controlplane/rib/set_pairs.h"

#include <deque>
#include <memory>
#include <vector>

// The inside of a Rib. One Table a family holds the prefixes with their paths; a Peer holds what belongs to one session
// of one neighbour. Peers are numbered by a small index that paths carry: a session that comes back gets a new one, so
// what the old one left can be swept away at leisure.
namespace culvert::rib {

inline constexpr std::uint16_t kLocalPeers = kLocalSources;  // peer indices below it are our own sources
inline constexpr std::size_t kMaxPeers = 0xffff;

// One neighbour's word on one prefix.
struct Path {
    enum Flag : std::uint16_t {
        kMultipath = 1,  // in use, the best one too
        kBackup = 2,
        kRejected = 4,  // by import policy or for lack of one
        kLooped = 8,
        kGeneration = 16,  // which round of (enhanced) refresh it came in
        kUsable = 32,      // took part in the last decision
    };

    std::uint32_t next = 0;         // of the prefix, by which alone a path is found
    std::uint32_t sets = 0;         // word of SetPairs; holds a reference
    std::uint32_t received_at = 0;  // seconds
    std::uint16_t peer = 0;
    std::uint16_t flags = 0;
};
static_assert(sizeof(Path) == 16);

// What is still to be done with a peer's paths of one family; a bit mask.
enum Sweep : std::uint8_t { kSweepRemove = 1, kSweepImport = 2, kSweepStale = 4, kSweepDecide = 8, kSweepReport = 16 };

// Remembers what import policy made of a set.
class ImportMemo final : public SetObserver {
public:
    struct Outcome {
        std::uint32_t set = 0;
        std::uint16_t flags = 0;
    };

    explicit ImportMemo(AttributeTable& sets) : sets_(sets) { sets_.observe(this); }
    ~ImportMemo() override { sets_.forget(this); }
    ImportMemo(const ImportMemo&) = delete;
    ImportMemo& operator=(const ImportMemo&) = delete;

    std::optional<Outcome> find(std::uint32_t set) const;
    void remember(std::uint32_t set, const Outcome& outcome);
    void clear();
    void on_set_freed(std::uint32_t set) override;

private:
    // A word of outcomes_: the set that came of it, 0 for the same one, of which no reference is held (it would never
    // go then); and flags.
    static constexpr std::uint32_t kSet = (1U << ItemPool::kHandleBits) - 1;
    static constexpr std::uint32_t kKnown = kSet + 1, kRejected = kKnown << 1, kLooped = kKnown << 2;

    AttributeTable& sets_;
    HandleMap outcomes_;
};

struct AdjIn {
    std::uint32_t received = 0;
    std::uint32_t accepted = 0;
    bool end_of_rib = false;
    bool warned = false, exceeded = false;  // maximum-prefix
    bool told_full = false;                 // TableFull, once a session
    bool refreshing = false;                // between BoRR and EoRR
    bool generation = false;
    std::unique_ptr<ImportMemo> memo;  // when there is policy that doesn't look at prefixes
};

struct AdjOut {
    enum class Phase : std::uint8_t { Idle, Count, Scatter, Emit };
    struct Staged {
        std::uint32_t sent = 0;  // holds a reference; 0: withdraw
        std::uint32_t prefix = 0;
    };

    bool active = false;
    bool allowed = false;  // RFC 8212
    std::shared_ptr<ExportContext> context;
    std::uint32_t default_sent = 0;  // what default-originate announces; holds a reference
    HandleMap sent;                  // by prefix, the encoded set that the neighbour has; holds references
    std::uint32_t sweep_page = 0;    // of `sent`, when the session is over
    std::uint64_t place = 0;         // in the change log

    // A walk over the whole table, its prefixes ordered by attribute set so that they pack well.
    Phase phase = Phase::Idle;
    bool again = false;   // changes were missed: walk once more
    bool resend = false;  // even what the neighbour is known to have
    std::uint32_t at = 0;
    std::vector<std::uint32_t> starts;  // by set
    std::vector<std::uint32_t> order;

    std::vector<Staged> staged;  // computed, not yet in a message
    std::size_t staged_at = 0;
    bool marker_begin = false;  // BoRR is due
    bool marker_end = false;    // EoR, or EoRR after a BoRR, is due when the walk is over
    bool refresh = false;       // the walk answers an enhanced refresh
};

struct Peer {
    std::uint16_t number = 0;
    PeerHandle handle{};
    bool up = false;
    bool external = true;
    PeerConfig config;
    PeerContext context;
    TimePoint wait_until{};
    bool sent_something = false;  // since the advertisement interval began
    std::array<AdjIn, 2> in;
    std::array<AdjOut, 2> out;
};

// What the decision needs of a peer, close together.
struct PeerSummary {
    bool exists = false;
    bool usable = false;  // its session is up, or it is ourselves
    bool external = false;
    bool local = false;
    bool multihop = false;
    bool report = false;           // track_feasible
    std::array<bool, 2> client{};  // of ours as route reflector
    std::array<std::uint8_t, 2> sweep{};
    std::array<std::uint16_t, 2> weight{};
    Asn remote_as{};
    Ipv4Address router_id{};
    IpAddress address{};
};

template <class K>
struct Table {
    using Key = K;
    static constexpr Family kFamily = std::is_same_v<K, Key4> ? Family::Ipv4 : Family::Ipv6;
    static constexpr std::size_t kIndex = static_cast<std::size_t>(kFamily);

    explicit Table(std::uint64_t seed) : prefixes(seed) {}

    PrefixTable<K> prefixes;
    Pool<Path> paths{16};
    ChangeLog log;
    std::uint64_t read_end = 1;     // the place of the reader that is furthest
    std::uint64_t route_place = 1;  // the route sink's
    std::uint64_t version = 0;
    std::uint32_t with_paths = 0;  // prefixes that have some

    // The sweep over all prefixes: it goes round until it has come past the place where the last request found it.
    bool sweeping = false;
    bool wrapped = false;
    bool decide_all = false;
    std::uint32_t at = 1, stop = 1;
};

struct Neighbor {
    bool used = false;
    PeerConfig config;
    Peer* session = nullptr;     // the current one
    std::uint32_t sessions = 0;  // with those that are still being swept
};

struct FeasibleChange {
    PeerHandle peer;
    IpPrefix prefix;
    bool feasible;
};

struct Rib::State {
    explicit State(const RibConfig& c);
    ~State();

    // Input: adj_in.cc
    template <class K>
    void announce(Table<K>& t, Peer& peer, const bgp::NlriRange& nlri, std::uint32_t set, TimePoint now);
    template <class K>
    void withdraw(Table<K>& t, Peer& peer, const bgp::NlriRange& nlri);
    template <class K>
    void store(Table<K>& t, std::uint32_t prefix, std::uint16_t peer, std::uint32_t set_in, std::uint32_t set,
               std::uint16_t flags, std::uint32_t seconds, bool again = false);  // again: not from the neighbour
    template <class K>
    void remove(Table<K>& t, std::uint32_t prefix, std::uint16_t peer);
    // The outcome of import policy; its set comes with a reference.
    ImportMemo::Outcome import(Peer& peer, std::size_t family, std::uint32_t set, const IpPrefix& prefix);
    ImportMemo::Outcome run_import(const Peer& peer, std::size_t family, std::uint32_t set, const IpPrefix& prefix);
    bool import_depends_on_prefix(const Peer& peer, std::size_t family) const;
    template <class K>
    void decide(Table<K>& t, std::uint32_t prefix, bool best_changed = false, bool route_changed = false,
                std::uint32_t replaced = 0);
    template <class K>
    bool usable(const Table<K>& t, const Path& path) const;
    template <class K>
    Candidate candidate(const Table<K>& t, std::uint32_t path, bool current) const;
    template <class K>
    void note(Table<K>& t, std::uint32_t prefix, bool route_changed);
    template <class K>
    void report(Table<K>& t, std::uint32_t prefix, std::uint16_t peer, bool feasible);
    void check_maximum(Peer& peer, Family family);
    void table_full(Peer& peer, Family family);

    // Work for later: sweep.cc
    template <class K>
    void request_sweep(Table<K>& t);
    void sweep_peer(std::uint16_t number, std::uint8_t what, std::optional<Family> family = std::nullopt);
    template <class K>
    void sweep(Table<K>& t, std::size_t& budget);
    template <class K>
    void sweep_prefix(Table<K>& t, std::uint32_t prefix, bool nexthops, std::size_t& budget);
    template <class K>
    void sweep_path(Table<K>& t, std::uint32_t prefix, std::uint16_t peer);
    template <class K>
    void end_sweep(Table<K>& t);
    template <class K>
    bool give_back_sent(Table<K>& t, Peer& peer, std::size_t& budget);
    void sweep_sent(std::size_t& budget);
    void retire(std::uint16_t number);

    // Output: adj_out.cc
    void configure_output(Peer& peer);
    void stop_output(AdjOut& out);
    void unstage(AdjOut& out);
    ExportRules export_rules(const Peer& peer, Family family) const;
    std::shared_ptr<ExportContext> context_for(ExportRules rules);
    template <class K>
    void start_walk(Table<K>& t, AdjOut& out);
    template <class K>
    bool stage(Table<K>& t, Peer& peer);
    template <class K>
    void gather(Table<K>& t, AdjOut& out);  // the next prefixes to look at, into `window`
    template <class K>
    std::uint32_t target(Table<K>& t, Peer& peer, std::uint32_t prefix);
    template <class K>
    bool emit(Table<K>& t, Peer& peer, bgp::UpdateBuilder& builder, std::vector<std::uint8_t>& out, std::size_t limit);
    template <class K>
    void set_sent(Table<K>& t, AdjOut& out, std::uint32_t prefix, std::uint32_t sent);
    template <class K>
    bool fill_family(Table<K>& t, Peer& peer, bgp::UpdateBuilder& builder, std::vector<std::uint8_t>& out,
                     std::size_t limit);
    template <class K>
    bool output_pending(const Table<K>& t, const AdjOut& out) const;
    template <class K>
    void reap(Table<K>& t);
    template <class K>
    void shed_laggards(Table<K>& t);
    template <class K>
    void free_if_unused(Table<K>& t, std::uint32_t prefix);
    template <class K>
    bool alive(const Table<K>& t, std::uint32_t prefix) const;
    template <class K>
    std::size_t drain(Table<K>& t, RouteSink& sink, std::size_t max);
    // Of the multipaths of a prefix with a best path, in order, into `bandwidths`. False: they share traffic equally.
    template <class K>
    bool gather_bandwidths(const Table<K>& t, std::uint32_t prefix);

    // Views: view.cc
    template <class K>
    PrefixView view(const Table<K>& t, std::uint32_t prefix) const;
    template <class K>
    PathView view_path(const Table<K>& t, std::uint32_t prefix, std::uint32_t path, bool received) const;

    std::uint32_t set_of(const Path& path) const noexcept { return pairs.imported(path.sets); }
    Peer* session(PeerHandle handle) const;
    Neighbor& neighbor(PeerHandle handle);
    void summarize(const Peer& peer);

    template <class F>
    decltype(auto) with(Family family, F&& f)
    {
        return family == Family::Ipv4 ? f(v4) : f(v6);
    }
    template <class F>
    decltype(auto) with(Family family, F&& f) const
    {
        return family == Family::Ipv4 ? f(v4) : f(v6);
    }

    RibConfig config;
    NexthopTable nexthops;
    AttributeTable sets;
    SetPairs pairs;
    SentSets sent_sets;
    Table<Key4> v4;
    Table<Key6> v6;
    std::vector<PeerSummary> summaries;        // by Path::peer
    std::vector<std::unique_ptr<Peer>> peers;  // by Path::peer; null below kLocalPeers and where free
    std::vector<std::uint16_t> active;         // peers that are up
    std::vector<std::uint16_t> dead;           // peers whose Adj-RIBs-Out are being given back
    std::vector<Neighbor> neighbors;           // by handle - 1
    std::vector<std::weak_ptr<ExportContext>> contexts;
    std::deque<FeasibleChange> feasible;
    std::vector<Event> events;

    std::vector<Candidate> candidates;              // scratch of decide()
    std::vector<std::uint16_t> wanted;              // scratch of sweep_prefix()
    std::vector<std::uint32_t> window;              // scratch of stage()
    std::vector<RoutePath> route_paths;             // scratch of drain()
    std::vector<Bandwidth> bandwidths;              // scratch of gather_bandwidths()
    std::array<bgp::EncodedAttributes, 2> encoded;  // scratch of emit(): the one in use and the one before
    std::size_t in_use = 0;
};

}  // namespace culvert::rib
