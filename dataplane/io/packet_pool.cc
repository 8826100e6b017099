#include "dataplane/io/packet_pool.h"

#include "base/sanitizers.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_string_fns.h>

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

#ifdef CULVERT_TSAN
// The pool's ring lies in DPDK's library, which TSan doesn't see into: that a buffer was given back by one thread
// before another got it is told it here.
const rte_mempool_ops* ring_ops = nullptr;

int give_back(rte_mempool* pool, void* const* objects, unsigned n)
{
    for (unsigned i = 0; i < n; ++i) given(objects[i]);
    return ring_ops->enqueue(pool, objects, n);
}

int get(rte_mempool* pool, void** objects, unsigned n)
{
    const int rc = ring_ops->dequeue(pool, objects, n);
    for (unsigned i = 0; rc == 0 && i < n; ++i) taken(objects[i]);
    return rc;
}

int set_ops(rte_mempool* pool)
{
    if (const int rc = rte_mempool_set_ops_byname(pool, "ring_mt_rts", nullptr); rc != 0) return rc;
    static const bool registered = [&] {
        ring_ops = rte_mempool_get_ops(pool->ops_index);
        auto ops = *ring_ops;
        rte_strscpy(ops.name, "culvert_tsan", sizeof ops.name);
        ops.enqueue = give_back;
        ops.dequeue = get;
        return rte_mempool_register_ops(&ops) >= 0;
    }();
    return registered ? rte_mempool_set_ops_byname(pool, "culvert_tsan", nullptr) : -1;
}
#else
int set_ops(rte_mempool* pool) { return rte_mempool_set_ops_byname(pool, "ring_mt_rts", nullptr); }
#endif

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
    if (!pool || set_ops(pool) != 0) {
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
