#include "dataplane/io/packet_pool.h"

#include <fmt/format.h>
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
    rte_mempool* pool = rte_pktmbuf_pool_create_by_ops(name.c_str(), static_cast<unsigned>(buffers), cache,
                                                       kPrivateArea, kDataRoom, SOCKET_ID_ANY, "ring_mt_rts");
    if (!pool)
        return Error{fmt::format("no memory for {} packet buffers of {} octets: {}; raise `dataplane memory`", buffers,
                                 data_room, rte_strerror(rte_errno))};
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
