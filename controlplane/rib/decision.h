#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "controlplane/rib/rib.h"

#include <span>

namespace culvert::rib {

// What the decision process (RFC 4271 9.1.2, in FRR's order) looks at in a usable path.
struct Candidate {
    std::uint32_t path = 0;  // the caller's handle
    std::uint32_t weight = 0;
    std::uint32_t local_pref = 0;
    std::uint32_t path_length = 0;
    std::uint32_t med = 0;  // 0 or the worst when missing, as configured
    std::uint32_t igp_metric = 0;
    std::uint32_t cluster_length = 0;
    std::uint32_t as_path_hash = 0;
    Asn neighbor_as{};  // first AS of the path; 0: the path is empty
    Asn peer_as{};
    Ipv4Address router_id{};  // originator id if there is one
    const IpAddress* neighbor = nullptr;
    bgp::Origin origin = bgp::Origin::Incomplete;
    std::uint8_t local_source = 0;
    bool local = false;
    bool external = false;
    bool current = false;  // is the best path now
};

struct Comparison {
    int order = 0;  // < 0: the first is better
    Reason reason = Reason::None;
    bool equal_cost = false;  // they may share traffic
};

Comparison compare(const Candidate& a, const Candidate& b, const RibConfig& config);

struct Choice {
    std::size_t best = 0, second = 0;  // indices; second == best when there is only one
    Reason reason = Reason::None;      // why best and not second
};

// Precondition: at least one candidate.
Choice choose(std::span<const Candidate> candidates, const RibConfig& config);

}  // namespace culvert::rib
