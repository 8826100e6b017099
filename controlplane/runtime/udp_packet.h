#pragma once

#include "base/bytes.h"
#include "base/ip.h"

#include <vector>

namespace culvert::runtime {

// A whole IP packet with one UDP datagram and right checksums, as this box sends it. `dscp` 0..63; hop limit 64.
std::vector<std::uint8_t> udp_packet(const Endpoint& from, const Endpoint& to, std::uint8_t dscp, Bytes payload);

}  // namespace culvert::runtime
