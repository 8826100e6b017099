#pragma once

#include "base/bytes.h"
#include "dataplane/node/metadata.h"
#include "dataplane/wire/ip.h"

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <array>
#include <cstdint>

namespace culvert::node {

inline constexpr std::size_t kBurstMax = 64;
inline constexpr std::size_t kPrefetchAhead = 8;

// Up to kBurstMax packets that are at the same stage.
class Burst {
public:
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    bool full() const noexcept { return size_ == kBurstMax; }
    void clear() noexcept { size_ = 0; }
    void push(rte_mbuf* m) noexcept { packets_[size_++] = m; }
    void set_size(std::size_t n) noexcept { size_ = static_cast<std::uint32_t>(n); }
    rte_mbuf** data() noexcept { return packets_.data(); }

    rte_mbuf* operator[](std::size_t i) const noexcept { return packets_[i]; }
    Metadata& meta(std::size_t i) const noexcept { return metadata(packets_[i]); }

    // Both the metadata and the first line of the packet; past the end does nothing.
    void prefetch(std::size_t i) const noexcept
    {
        if (i < size_) {
            rte_prefetch0(packets_[i] + 1);
            rte_prefetch0(rte_pktmbuf_mtod(packets_[i], const void*));
        }
    }

    // What prefetch() itself reads.
    void prefetch_mbuf(std::size_t i) const noexcept
    {
        if (i < size_) rte_prefetch0(packets_[i]);
    }

private:
    std::array<rte_mbuf*, kBurstMax> packets_;
    std::uint32_t size_ = 0;
};

template <class T>
T& header_at(rte_mbuf* m, std::size_t offset) noexcept
{
    return *rte_pktmbuf_mtod_offset(m, T*, offset);
}
inline wire::Ipv4Header& ipv4(rte_mbuf* m) noexcept { return header_at<wire::Ipv4Header>(m, 0); }
inline wire::Ipv6Header& ipv6(rte_mbuf* m) noexcept { return header_at<wire::Ipv6Header>(m, 0); }
// At the end of a packet of one segment, which has the room or the octets. Those of rte_mbuf.h look for the last
// segment, in the mbuf's second cache line, which nothing else here needs.
inline void append(rte_mbuf* m, std::uint16_t octets) noexcept
{
    m->data_len = static_cast<std::uint16_t>(m->data_len + octets);
    m->pkt_len += octets;
}
inline void trim(rte_mbuf* m, std::uint16_t octets) noexcept
{
    m->data_len = static_cast<std::uint16_t>(m->data_len - octets);
    m->pkt_len -= octets;
}
inline MutableBytes data(rte_mbuf* m) noexcept { return {rte_pktmbuf_mtod(m, std::uint8_t*), rte_pktmbuf_data_len(m)}; }

}  // namespace culvert::node
