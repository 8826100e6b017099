#include "dataplane/io/packet_pool.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>

namespace culvert::io {
namespace {

constexpr std::size_t kObject = sizeof(rte_mbuf) + kPrivateArea + kDataRoom + sizeof(rte_mempool_objhdr) + 64;
constexpr unsigned kCache = 256;
// EAL's own tables, the rings of drivers and of the host link.
constexpr std::size_t kForDrivers = std::size_t{32} << 20;

std::string no_memory(std::size_t buffers, std::uint16_t data_room, int error)
{
    return fmt::format("no memory for {} packet buffers of {} octets: {}; raise `dataplane memory`", buffers, data_room,
                       rte_strerror(error));
}

}  // namespace

std::size_t PacketPool::buffers_for(std::size_t octets) noexcept
{
    const std::size_t spare = octets > 2 * kForDrivers ? octets - kForDrivers : octets / 2;
    return std::max<std::size_t>(spare / kObject, 512);
}

Result<PacketPool, std::string> PacketPool::create(const std::string& name, std::size_t buffers,
                                                   std::uint16_t data_room)
{
    // A cache may hold up to 1.5 times its size; two threads' caches must not hide every buffer of a small pool.
    const auto cache = static_cast<unsigned>(std::min<std::size_t>(kCache, buffers / 16));
    // Without huge pages an I/O address is the virtual one, and a buffer may cross pages; otherwise DPDK would give
    // each its own pages, a quarter of the memory lost.
    const unsigned flags = rte_eal_has_hugepages() != 0 ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
    const auto element = static_cast<unsigned>(sizeof(rte_mbuf) + kPrivateArea + data_room);
    rte_mempool* pool = rte_mempool_create_empty(name.c_str(), static_cast<unsigned>(buffers), element, cache,
                                                 sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, flags);
    rte_pktmbuf_pool_private info{};
    info.mbuf_data_room_size = data_room;
    info.mbuf_priv_size = kPrivateArea;
    if (!pool || rte_mempool_set_ops_byname(pool, "ring_mt_rts", nullptr) != 0) {
        const int error = rte_errno;
        rte_mempool_free(pool);
        return Error{no_memory(buffers, data_room, error)};
    }
    rte_pktmbuf_pool_init(pool, &info);
    if (const int made = rte_mempool_populate_default(pool); made < 0) {
        rte_mempool_free(pool);
        return Error{no_memory(buffers, data_room, -made)};
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
    return PacketPool{pool};
}

PacketPool::~PacketPool()
{
    if (pool_) rte_mempool_free(pool_);
}

std::size_t PacketPool::buffers() const noexcept { return pool_->size; }

std::size_t PacketPool::in_use() const noexcept { return rte_mempool_in_use_count(pool_); }

api::MemoryUse PacketPool::memory() const { return {"mbufs", in_use() * kObject, buffers() * kObject}; }

}  // namespace culvert::io
