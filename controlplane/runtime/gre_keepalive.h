#pragma once

#include "base/ip.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace culvert::runtime {

// A keepalive as IOS sends it: a GRE packet to the tunnel's far end that holds a GRE packet back to us, which carries
// nothing (protocol 0). The far end forwards it as any other packet; it need not know of keepalives.
std::vector<std::uint8_t> gre_keepalive(const IpAddress& source, const IpAddress& destination,
                                        std::optional<std::uint32_t> key, bool checksum);

}  // namespace culvert::runtime
