#pragma once

#include "dataplane/fib/nexthops.h"
#include "dataplane/node/outer.h"
#include "dataplane/wire/ethernet.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace culvert::node {

// All that stands in front of a tunnel's messages to one place that leave by one adjacency - link layer, IP, UDP - and
// is put there in one go.
class OuterFrame {
public:
    OuterFrame() = default;
    // Of an adjacency without VLAN, and an outer header that has its source. `udp` may be null; over IPv6 it must be,
    // for its checksum's sake.
    OuterFrame(const OuterIp& ip, const wire::UdpHeader* udp, const fib::Nexthop& n) noexcept;

    bool v6() const noexcept { return v6_; }
    // Of the IP packet.
    std::uint16_t length(std::uint16_t message) const noexcept
    {
        return static_cast<std::uint16_t>(message + over_ip_);
    }
    // `m`, which has the room, becomes the frame of the message that lies in it. `flow_label`: that of `fields` does
    // not count.
    void put(rte_mbuf* m, std::uint8_t* message, std::uint16_t octets, const OuterFields& fields,
             std::uint32_t flow_label) const noexcept;

private:
    static constexpr std::size_t kLink = sizeof(wire::EthernetHeader);
    static constexpr std::size_t kFront4 = kLink + sizeof(wire::Ipv4Header);
    static constexpr std::size_t kFront6 = kLink + sizeof(wire::Ipv6Header);

    alignas(64) std::array<std::uint8_t, 64> octets_{};
    std::uint32_t sum4_ = 0;  // OuterIp::sum4()
    std::uint16_t over_ip_ = 0;
    bool v6_ = false;
    bool udp_ = false;
    std::uint8_t protocol_ = 0;
};

inline void OuterFrame::put(rte_mbuf* m, std::uint8_t* message, std::uint16_t octets, const OuterFields& f,
                            std::uint32_t flow_label) const noexcept
{
    const auto length = this->length(octets);
    std::uint8_t* const at = message - kLink - over_ip_;
    std::uint8_t* const ip = at + kLink;
    if (v6_) {
        std::memcpy(at, octets_.data(), kFront6);
        const be32 first{6u << 28 | std::uint32_t{f.tos} << 20 | (flow_label & 0xfffff)};
        const be16 payload{octets};
        std::memcpy(ip, &first, sizeof first);
        std::memcpy(ip + 4, &payload, sizeof payload);
        ip[7] = f.ttl;
    } else {
        if (udp_) {
            std::memcpy(at, octets_.data(), kFront4 + sizeof(wire::UdpHeader));
            const be16 datagram{static_cast<std::uint16_t>(octets + sizeof(wire::UdpHeader))};
            std::memcpy(at + kFront4 + 4, &datagram, sizeof datagram);
        } else {
            std::memcpy(at, octets_.data(), kFront4);
        }
        // The fields that vary are most of the header's first twelve octets: as they lie in memory, in two stores.
        const std::uint64_t total = byteswap(length), id = byteswap(f.id);
        const std::uint64_t fragment = f.dont_fragment ? byteswap(wire::Ipv4Header::kDontFragment) : std::uint16_t{0};
        const std::uint64_t first = 0x45 | std::uint64_t{f.tos} << 8 | total << 16 | id << 32 | fragment << 48;
        std::memcpy(ip, &first, sizeof first);
        wire::Checksum checksum;
        checksum.set_words(static_cast<std::uint32_t>(sum4_ + byteswap(std::uint16_t{f.tos}) + total + id + fragment +
                                                      f.ttl));  // the TTL is the first octet of its word
        const std::uint32_t second = f.ttl | std::uint32_t{protocol_} << 8 | std::uint32_t{checksum.raw[0]} << 16 |
                                     std::uint32_t{checksum.raw[1]} << 24;
        std::memcpy(ip + 8, &second, sizeof second);
    }
    m->data_off = static_cast<std::uint16_t>(at - static_cast<std::uint8_t*>(m->buf_addr));
    m->data_len = static_cast<std::uint16_t>(length + kLink);
    m->pkt_len = m->data_len;
}

}  // namespace culvert::node
