#pragma once

#include "base/bytes.h"
#include "base/ip.h"

#include <rte_mbuf.h>

namespace culvert::node {

// The UDP datagram of a packet that the local stage has checked.
struct Datagram {
    Endpoint from;
    Endpoint to;
    std::uint8_t ecn = 0;  // of the IP header
    MutableBytes payload;
};
Datagram datagram(rte_mbuf* m) noexcept;

}  // namespace culvert::node
