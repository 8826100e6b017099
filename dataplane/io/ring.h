#pragma once

#include <rte_ring.h>

namespace culvert::io {

// As rte_ring_empty, whose plain loads are a race by the letter. From any thread.
inline bool has_packets(const rte_ring* ring) noexcept
{
    return __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE) != __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);
}

}  // namespace culvert::io
