#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <cstring>

namespace culvert::wire {

// The Internet checksum, RFC 1071. A Sum is a partial result in memory order: it is folded and complemented once, and
// stored as it is, so that no octet is ever swapped.
class Sum {
public:
    constexpr Sum() = default;

    // Adds octets. Every piece but the last must have an even length.
    Sum& add(Bytes bytes) noexcept;
    // Adds N words of 32 bits.
    template <std::size_t N>
    Sum& add_words(const std::uint8_t* at) noexcept
    {
        for (std::size_t i = 0; i < N; ++i) {  // one by one: together they would go by way of the stack
            std::uint32_t word;
            std::memcpy(&word, at + 4 * i, sizeof word);
            value_ += word;
        }
        return *this;
    }
    // Adds a number of 16 bits that is in host order (a length, a protocol).
    constexpr Sum& add16(std::uint16_t host) noexcept
    {
        value_ += byteswap(host);
        return *this;
    }

    // The field as it is to be stored in the header with memcpy.
    constexpr std::uint16_t finish() const noexcept { return static_cast<std::uint16_t>(~folded()); }
    // The same as one word, not complemented: a part of what Checksum::set_words() takes.
    constexpr std::uint16_t words() const noexcept { return folded(); }
    // True if the octets added, their checksum field included, are intact.
    constexpr bool intact() const noexcept { return folded() == 0xffff; }

private:
    constexpr std::uint16_t folded() const noexcept
    {
        std::uint64_t v = value_;
        v = (v & 0xffffffff) + (v >> 32);
        v = (v & 0xffffffff) + (v >> 32);
        v = (v & 0xffff) + (v >> 16);
        v = (v & 0xffff) + (v >> 16);
        return static_cast<std::uint16_t>(v);
    }

    std::uint64_t value_ = 0;
};

// An Internet checksum field: sixteen bits that are only ever moved in memory order.
struct Checksum {
    std::uint8_t raw[2]{};

    constexpr std::uint16_t host() const noexcept { return static_cast<std::uint16_t>(raw[0] << 8 | raw[1]); }
    constexpr bool is_zero() const noexcept { return raw[0] == 0 && raw[1] == 0; }
    void set(const Sum& sum) noexcept
    {
        const auto v = sum.finish();
        std::memcpy(raw, &v, 2);
    }
    // `sum` of few words of 16 bits, each in memory order.
    void set_words(std::uint32_t sum) noexcept
    {
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        const auto v = static_cast<std::uint16_t>(~sum);
        std::memcpy(raw, &v, 2);
    }
    constexpr void set_host(std::uint16_t v) noexcept
    {
        raw[0] = static_cast<std::uint8_t>(v >> 8);
        raw[1] = static_cast<std::uint8_t>(v);
    }
    // Words under the checksum that were zero are now those of `host`. As if computed afresh: what is summed was not
    // zero before, so no sum is.
    constexpr void include(std::uint32_t host) noexcept
    {
        std::uint32_t v = static_cast<std::uint16_t>(~this->host()) + (host >> 16) + (host & 0xffff);
        v = (v & 0xffff) + (v >> 16);
        v = (v & 0xffff) + (v >> 16);
        set_host(static_cast<std::uint16_t>(~v));
    }
    // RFC 1624, eqn 3: a 16-bit word under the checksum goes from `before` to `after` (both host order).
    constexpr void update(std::uint16_t before, std::uint16_t after) noexcept
    {
        std::uint32_t v = static_cast<std::uint16_t>(~host()) +
                          static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before)) + after;
        v = (v & 0xffff) + (v >> 16);
        v = (v & 0xffff) + (v >> 16);
        set_host(static_cast<std::uint16_t>(~v));
    }
};
static_assert(sizeof(Checksum) == 2 && alignof(Checksum) == 1);

}  // namespace culvert::wire
