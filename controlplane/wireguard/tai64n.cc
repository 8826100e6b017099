#include "controlplane/wireguard/tai64n.h"

#include "base/bytes.h"

namespace culvert::wireguard {
namespace {

// 2^62, and the ten seconds that TAI was ahead of UTC in 1970. Leap seconds since then are left out, as everywhere in
// WireGuard: the timestamp has only to grow.
constexpr std::uint64_t kEpoch = (1ULL << 62) + 10;
constexpr std::uint32_t kGrid = 1U << 24;  // ns
constexpr std::uint32_t kSecond = 1'000'000'000;

Tai64n make(std::uint64_t seconds, std::uint32_t nanoseconds) noexcept
{
    Tai64n t;
    for (std::size_t i = 0; i < 8; ++i) t.octets[i] = static_cast<std::uint8_t>(seconds >> (56 - 8 * i));
    for (std::size_t i = 0; i < 4; ++i) t.octets[8 + i] = static_cast<std::uint8_t>(nanoseconds >> (24 - 8 * i));
    return t;
}
std::uint64_t seconds_of(const Tai64n& t) noexcept { return Reader{t.octets}.u64(); }
std::uint32_t nanoseconds_of(const Tai64n& t) noexcept { return Reader{Bytes{t.octets}.subspan(8)}.u32(); }

}  // namespace

Tai64n Tai64n::from_unix(std::uint64_t seconds, std::uint32_t nanoseconds) noexcept
{
    return make(kEpoch + seconds, nanoseconds);
}

Tai64n Tai64n::next() const noexcept
{
    const std::uint32_t nanoseconds = (nanoseconds_of(*this) & ~(kGrid - 1)) + kGrid;
    return nanoseconds < kSecond ? make(seconds_of(*this), nanoseconds) : make(seconds_of(*this) + 1, 0);
}

Tai64n Tai64n::whitened() const noexcept { return make(seconds_of(*this), nanoseconds_of(*this) & ~(kGrid - 1)); }

}  // namespace culvert::wireguard
