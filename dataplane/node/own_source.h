#pragma once

#include "dataplane/node/context.h"

namespace culvert::node {

// RFC 1812 5.3.7: does a packet that came in say that it comes from this router? Two kinds may: a BFD echo that a
// neighbour sent back, and a GRE keepalive that the tunnel's far end wants back. Asked where OwnAddresses can't tell.
bool claims_our_address(const Context& ctx, rte_mbuf* m) noexcept;

}  // namespace culvert::node
