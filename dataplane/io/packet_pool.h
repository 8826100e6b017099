#pragma once

#include "base/result.h"
#include "dataplane/api/dataplane.h"

#include <cstddef>
#include <cstdint>
#include <string>

struct rte_mbuf;
struct rte_mempool;

namespace culvert::io {

// What every packet buffer offers. The private area belongs to dataplane/node (its 64 octets of metadata).
inline constexpr std::uint16_t kPrivateArea = 64;
inline constexpr std::uint16_t kLargestMtu = 9000;
// In front of a frame: two encapsulations (each IPv6 40, UDP 8, WireGuard 16), a VLAN tag and alignment. Ports of
// DPDK's start a frame at RTE_PKTMBUF_HEADROOM (128) whatever we wish, which is enough for one: the inner Ethernet
// header goes.
inline constexpr std::uint16_t kHeadroom = 192;
// Behind it: AEAD tag and padding.
inline constexpr std::uint16_t kTailroom = 64;
// Ethernet header and two VLAN tags.
inline constexpr std::uint16_t kLargestFrame = kLargestMtu + 14 + 8;
inline constexpr std::uint16_t kDataRoom = (kHeadroom + kLargestFrame + kTailroom + 63) / 64 * 64;

// Packet buffers, shared by all threads of the dataplane. The free list is a ring in relaxed-tail mode: a thread that
// is preempted in the middle of taking or giving back buffers doesn't stop the others.
class PacketPool {
public:
    // `name` is unique in the process.
    static Result<PacketPool, std::string> create(const std::string& name, std::size_t buffers,
                                                  std::uint16_t data_room = kDataRoom);
    // How many buffers to make when EAL has `octets`: leaves a part for drivers' rings.
    static std::size_t buffers_for(std::size_t octets) noexcept;

    PacketPool(PacketPool&& other) noexcept : pool_(other.pool_) { other.pool_ = nullptr; }
    PacketPool& operator=(PacketPool&&) = delete;
    ~PacketPool();

    rte_mempool* get() const noexcept { return pool_; }
    std::size_t buffers() const noexcept;
    std::size_t in_use() const noexcept;  // slow: walks every cache
    api::MemoryUse memory() const;

private:
    explicit PacketPool(rte_mempool* pool) noexcept : pool_(pool) {}

    rte_mempool* pool_;
};

}  // namespace culvert::io
