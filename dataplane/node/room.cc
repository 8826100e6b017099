#include "dataplane/node/room.h"

#include <cstdint>
#include <cstring>

namespace culvert::node {

bool make_room(rte_mbuf* m, std::size_t front, std::size_t back) noexcept
{
    if (m->data_off >= front && rte_pktmbuf_tailroom(m) >= back) [[likely]]
        return true;
    if (front + m->data_len + back > m->buf_len) return false;
    auto* to = static_cast<char*>(m->buf_addr) + front;
    std::memmove(to, rte_pktmbuf_mtod(m, char*), m->data_len);
    m->data_off = static_cast<std::uint16_t>(front);
    return true;
}

}  // namespace culvert::node
