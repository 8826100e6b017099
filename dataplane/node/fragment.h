#pragma once

#include "dataplane/api/verdict.h"

#include <rte_mbuf.h>

#include <array>
#include <cstdint>

namespace culvert::node {

// The fragments of one packet, in order; the first is the packet itself, cut.
struct Fragments {
    static constexpr std::size_t kMax = 64;

    std::array<rte_mbuf*, kMax> packets;
    std::size_t count = 0;
    // Forward, or why the packet could not be cut: then it is as it was, and alone.
    api::Verdict verdict = api::Verdict::Forward;
};

// RFC 791 3.2: pieces of at most `mtu` octets. Options go on where their copied flag says so. The packet's DF bit is
// the caller's to look at. Metadata is copied, with each piece's own length.
Fragments fragment_ipv4(rte_mbuf* packet, std::uint16_t mtu) noexcept;
// RFC 8200 4.5, for what this box itself sends. `id` tells datagrams apart. A packet with extension headers is refused.
Fragments fragment_ipv6(rte_mbuf* packet, std::uint16_t mtu, std::uint32_t id) noexcept;

}  // namespace culvert::node
