#pragma once

#include "dataplane/fib/tables.h"
#include "dataplane/node/burst.h"

namespace culvert::node {

// Gives a tunnel's outer packet the source that its way out decides, and the checksums that depend on it. False: the
// interface has no address of that family.
bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept;
// The same with a source that is there already.
void checksum_outer(rte_mbuf* m) noexcept;

}  // namespace culvert::node
