#pragma once

#include "dataplane/node/context.h"

namespace culvert::node {

// A neighbour discovery message (RFC 4861 4) that came by a port, whatever its worth. `m` holds an IPv6 header at
// least.
bool is_neighbor_discovery(rte_mbuf* m) noexcept;

// RFC 4861 6.1, 7.1: only hop limit 255 proves that a neighbour sent it. PuntNd, or why not.
Verdict punt_neighbor_discovery(Context& ctx, rte_mbuf* m) noexcept;

}  // namespace culvert::node
