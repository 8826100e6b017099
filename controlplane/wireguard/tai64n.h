#pragma once

#include <array>
#include <compare>
#include <cstdint>

namespace culvert::wireguard {

// Seconds and nanoseconds of TAI, as they travel in an initiation (cr.yp.to/libtai/tai64.html). Compares as time.
struct Tai64n {
    std::array<std::uint8_t, 12> octets{};

    static Tai64n from_unix(std::uint64_t seconds, std::uint32_t nanoseconds) noexcept;
    // The next one of the grid that whitened() rounds to.
    Tai64n next() const noexcept;
    // Rounded down to 2^24 ns: as exact as the 50 initiations a second that a peer takes need, and no more, so that it
    // doesn't serve anyone to measure this box's clock.
    Tai64n whitened() const noexcept;
    friend auto operator<=>(const Tai64n&, const Tai64n&) = default;
};

// The calendar clock, injected: the one thing the engine needs to know of it is the timestamp of its initiations.
class TimestampSource {
public:
    virtual ~TimestampSource() = default;
    virtual Tai64n timestamp() = 0;
};

}  // namespace culvert::wireguard
