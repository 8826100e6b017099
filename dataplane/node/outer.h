#pragma once

#include "dataplane/fib/tables.h"
#include "dataplane/node/burst.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

// Gives a tunnel's outer packet, whose source is zero, the one that its way out decides, and the checksums that depend
// on it. False: the interface has no address of that family.
bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept;

// UDP and IP in front of the messages of one tunnel to one place. What all of them share is made once.
class OuterHeaders {
public:
    OuterHeaders() = default;
    OuterHeaders(const fib::Wireguard& tunnel, const Endpoint& to) noexcept;

    // In front of the message that is all of `m`, which goes on to the lookup in the tunnel's outer VRF. `id` is the
    // IPv4 header's.
    void put(rte_mbuf* m, std::uint16_t id, std::uint8_t ecn_bits) const noexcept;

private:
    VrfId vrf_{};
    bool v6_ = false;
    bool own_source_ = false;  // else finish_outer() gives one
    wire::UdpHeader udp_{};
    wire::Ipv4Header ip4_{};
    wire::Ipv6Header ip6_{};
    wire::Sum sum4_{};
};

}  // namespace culvert::node
