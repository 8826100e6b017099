#include "controlplane/rib/decision.h"

#include <utility>

namespace culvert::rib {

namespace {

template <class T>
int sign(const T& a, const T& b)
{
    return a < b ? -1 : b < a ? 1 : 0;
}

// RFC 4271 9.1.2.2 c: only routes from the same neighbouring AS have comparable MEDs. Paths that began in our own AS
// count as one neighbour.
bool med_comparable(const Candidate& a, const Candidate& b, const RibConfig& config)
{
    return config.always_compare_med || a.neighbor_as == b.neighbor_as;
}

// Precondition: equal up to and including the IGP metric.
bool shares(const Candidate& a, const Candidate& b, const RibConfig& config)
{
    if (a.local || b.local || a.external != b.external) return false;
    if (config.multipath_relax) return true;
    return a.external ? a.peer_as == b.peer_as : a.as_path_hash == b.as_path_hash;
}

// The index of the best of those for which `take`; candidates.size() if there is none.
template <class Take>
std::size_t best_of(std::span<const Candidate> candidates, const RibConfig& config, Take take)
{
    auto best = candidates.size();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (!take(i)) continue;
        if (best == candidates.size() || compare(candidates[i], candidates[best], config).order < 0) best = i;
    }
    return best;
}

// `bgp deterministic-med`: first the best of each neighbouring AS, then the best of those, so that the outcome does not
// depend on the order in which paths are looked at.
std::size_t best_but(std::span<const Candidate> candidates, const RibConfig& config, std::size_t excluded)
{
    if (!config.deterministic_med || config.always_compare_med || candidates.size() <= 2)
        return best_of(candidates, config, [&](std::size_t i) { return i != excluded; });

    std::vector<std::size_t> groups;  // the best of each
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (i == excluded) continue;
        bool placed = false;
        for (auto& g : groups) {
            if (candidates[g].neighbor_as != candidates[i].neighbor_as) continue;
            if (compare(candidates[i], candidates[g], config).order < 0) g = i;
            placed = true;
            break;
        }
        if (!placed) groups.push_back(i);
    }
    auto best = candidates.size();
    for (const auto g : groups)
        if (best == candidates.size() || compare(candidates[g], candidates[best], config).order < 0) best = g;
    return best;
}

}  // namespace

Comparison compare(const Candidate& a, const Candidate& b, const RibConfig& config)
{
    if (const int s = sign(b.weight, a.weight)) return {s, Reason::Weight};
    if (const int s = sign(b.local_pref, a.local_pref)) return {s, Reason::LocalPref};
    if (const int s = sign(b.local, a.local)) return {s, Reason::LocalRoute};
    if (!config.as_path_ignore)
        if (const int s = sign(a.path_length, b.path_length)) return {s, Reason::AsPath};
    if (const int s = sign(a.origin, b.origin)) return {s, Reason::Origin};
    if (med_comparable(a, b, config))
        if (const int s = sign(a.med, b.med)) return {s, Reason::Med};
    if (const int s = sign(b.external, a.external)) return {s, Reason::PeerType};
    if (const int s = sign(a.igp_metric, b.igp_metric)) return {s, Reason::IgpMetric};

    const bool equal = shares(a, b, config);
    if (a.external && b.external && !config.compare_routerid && a.current != b.current)
        return {a.current ? -1 : 1, Reason::OlderPath, equal};
    if (const int s = sign(a.router_id, b.router_id)) return {s, Reason::RouterId, equal};
    if (const int s = sign(a.cluster_length, b.cluster_length)) return {s, Reason::ClusterLength, equal};
    if (a.local && b.local) {
        const int s = sign(a.local_source, b.local_source);
        return {s, s != 0 ? Reason::LocalConfigured : Reason::NothingLeft};
    }
    if (const int s = sign(*a.neighbor, *b.neighbor)) return {s, Reason::NeighborIp, equal};
    return {0, Reason::NothingLeft, equal};
}

Choice choose(std::span<const Candidate> candidates, const RibConfig& config)
{
    if (candidates.size() == 1) return {0, 0, Reason::FirstPath};
    Choice choice;
    choice.best = best_but(candidates, config, candidates.size());
    choice.second = best_but(candidates, config, choice.best);
    choice.reason = compare(candidates[choice.best], candidates[choice.second], config).reason;
    return choice;
}

std::string_view to_string(Reason reason) noexcept
{
    switch (reason) {
        case Reason::None: return "";
        case Reason::FirstPath: return "First path received";
        case Reason::Weight: return "Weight";
        case Reason::LocalPref: return "Local Pref";
        case Reason::LocalRoute: return "Local Route";
        case Reason::AsPath: return "AS Path";
        case Reason::Origin: return "Origin";
        case Reason::Med: return "MED";
        case Reason::PeerType: return "Peer Type";
        case Reason::IgpMetric: return "IGP Metric";
        case Reason::OlderPath: return "Older Path";
        case Reason::RouterId: return "Router ID";
        case Reason::ClusterLength: return "Cluster length";
        case Reason::LocalConfigured: return "Locally configured route";
        case Reason::NeighborIp: return "Neighbor IP";
        case Reason::NothingLeft: return "Nothing left to compare";
    }
    return "";
}

}  // namespace culvert::rib
