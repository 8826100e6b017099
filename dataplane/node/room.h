#pragma once

#include <rte_mbuf.h>

#include <cstddef>

namespace culvert::node {

// Makes sure of `front` octets before the data and `back` behind it, moving the packet within its buffer if it must.
// False: the buffer is too small.
bool make_room(rte_mbuf* m, std::size_t front, std::size_t back) noexcept;

}  // namespace culvert::node
