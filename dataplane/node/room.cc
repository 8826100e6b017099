#include "dataplane/node/room.h"

#include <cstdint>
#include <cstring>

namespace culvert::node {

bool move_for_room(rte_mbuf* m, std::size_t front, std::size_t back) noexcept
{
    if (front + m->data_len + back > m->buf_len) return false;
    auto* to = static_cast<char*>(m->buf_addr) + front;
    std::memmove(to, rte_pktmbuf_mtod(m, char*), m->data_len);
    m->data_off = static_cast<std::uint16_t>(front);
    return true;
}

}  // namespace culvert::node
