#pragma once

#include <rte_mbuf.h>

#include <cstddef>

namespace culvert::node {

// The way of make_room() that moves the packet.
bool move_for_room(rte_mbuf* m, std::size_t front, std::size_t back) noexcept;

// Makes sure of `front` octets before the data and `back` behind it, moving the packet within its buffer if it must.
// False: the buffer is too small.
inline bool make_room(rte_mbuf* m, std::size_t front, std::size_t back) noexcept
{
    if (m->data_off >= front && rte_pktmbuf_tailroom(m) >= back) [[likely]]
        return true;
    return move_for_room(m, front, back);
}

}  // namespace culvert::node
