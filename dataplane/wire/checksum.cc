#include "dataplane/wire/checksum.h"

namespace culvert::wire {

Sum& Sum::add(Bytes bytes) noexcept
{
    const auto* p = bytes.data();
    auto left = bytes.size();
    std::uint64_t v = value_;
    // 32-bit words into 64 bits: the carries of 4 Gi words fit.
    for (; left >= 16; p += 16, left -= 16) {
        std::uint32_t w[4];
        std::memcpy(w, p, 16);
        v += static_cast<std::uint64_t>(w[0]) + w[1] + w[2] + w[3];
    }
    for (; left >= 2; p += 2, left -= 2) {
        std::uint16_t w;
        std::memcpy(&w, p, 2);
        v += w;
    }
    if (left != 0) v += *p;  // the pad octet is zero; in little endian the last octet is the low one
    static_assert(std::endian::native == std::endian::little);
    value_ = v;
    return *this;
}

}  // namespace culvert::wire
