#pragma once

#include "base/ip.h"
#include "dataplane/api/verdict.h"

#include <rte_mbuf.h>

namespace culvert::node {

// RFC 1812 4.3.2.7 and RFC 4443 2.4 (e): may an error about this packet be sent at all? Its metadata says how it came
// and which error it is about to be.
bool may_be_answered(rte_mbuf* m) noexcept;

// Makes the packet the ICMP error about itself that its metadata (verdict, icmp_code, mtu) asks for, from `source` to
// the sender. Quotes what RFC 1812 4.3.2.3 (576 octets in all) and RFC 4443 2.4 (c) (1280) allow. `id` is for the IPv4
// header. False: no room in the buffer.
bool make_icmp4_error(rte_mbuf* m, Ipv4Address source, std::uint16_t id) noexcept;
bool make_icmp6_error(rte_mbuf* m, const Ipv6Address& source) noexcept;

}  // namespace culvert::node
