#pragma once

#include "base/bytes.h"

#include <cstdint>

namespace culvert::node {

// `ip tcp adjust-mss`: lowers the MSS option of a SYN to `mss`, its checksum with it (RFC 1624). `segment` starts with
// the TCP header. Anything but a well-formed SYN with a larger MSS is left as it is. True: it was changed.
bool clamp_mss(MutableBytes segment, std::uint16_t mss) noexcept;

}  // namespace culvert::node
