#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace culvert {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

template <std::unsigned_integral T>
constexpr T byteswap(T v) noexcept
{
    if constexpr (sizeof(T) == 1)
        return v;
    else if constexpr (sizeof(T) == 2)
        return __builtin_bswap16(v);
    else if constexpr (sizeof(T) == 4)
        return __builtin_bswap32(v);
    else
        return __builtin_bswap64(v);
}

// An integer as it lies on the wire, most significant octet first. No alignment.
template <std::unsigned_integral T>
class BigEndian {
public:
    constexpr BigEndian() = default;
    constexpr BigEndian(T host) noexcept { *this = host; }
    constexpr BigEndian& operator=(T host) noexcept
    {
        raw_ = std::bit_cast<Raw>(swap(host));
        return *this;
    }
    // One load and one swap: a loop over the octets stays one at -O2.
    constexpr operator T() const noexcept { return swap(std::bit_cast<T>(raw_)); }
    friend constexpr bool operator==(BigEndian a, BigEndian b) noexcept { return T{a} == T{b}; }

private:
    using Raw = std::array<std::uint8_t, sizeof(T)>;
    static constexpr T swap(T v) noexcept { return std::endian::native == std::endian::big ? v : byteswap(v); }

    Raw raw_{};
};

using be16 = BigEndian<std::uint16_t>;
using be32 = BigEndian<std::uint32_t>;
using be64 = BigEndian<std::uint64_t>;
static_assert(sizeof(be32) == 4 && alignof(be32) == 1);

// Reads integers most significant octet first. Fails stickily: past the end every read gives zero (or an empty span)
// and ok() is false from then on, so a decoder reads straight on and checks once before it acts.
class Reader {
public:
    constexpr explicit Reader(Bytes bytes) noexcept : rest_(bytes) {}

    constexpr bool ok() const noexcept { return ok_; }
    constexpr bool empty() const noexcept { return rest_.empty(); }
    constexpr std::size_t remaining() const noexcept { return rest_.size(); }
    constexpr Bytes rest() const noexcept { return rest_; }

    constexpr std::uint8_t u8() noexcept { return static_cast<std::uint8_t>(big_endian<1>()); }
    constexpr std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(big_endian<2>()); }
    constexpr std::uint32_t u24() noexcept { return static_cast<std::uint32_t>(big_endian<3>()); }
    constexpr std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(big_endian<4>()); }
    constexpr std::uint64_t u64() noexcept { return big_endian<8>(); }
    // WireGuard counts in little endian.
    constexpr std::uint32_t le32() noexcept { return byteswap(u32()); }
    constexpr std::uint64_t le64() noexcept { return byteswap(u64()); }

    constexpr Bytes take(std::size_t n) noexcept
    {
        if (n > rest_.size()) {
            fail();
            return {};
        }
        const Bytes out = rest_.first(n);
        rest_ = rest_.subspan(n);
        return out;
    }
    constexpr void skip(std::size_t n) noexcept { take(n); }
    constexpr void fail() noexcept
    {
        ok_ = false;
        rest_ = {};
    }

private:
    template <std::size_t N>
    constexpr std::uint64_t big_endian() noexcept
    {
        std::uint64_t v = 0;
        for (const auto b : take(N)) v = (v << 8) | b;
        return v;
    }

    Bytes rest_;
    bool ok_ = true;
};

// Appends to a buffer of the caller's. place16()/place8() reserve a length field and fill_*() writes it when it is
// known.
class Writer {
public:
    explicit Writer(std::vector<std::uint8_t>& out) noexcept : out_(out) {}

    std::size_t size() const noexcept { return out_.size(); }

    void u8(std::uint8_t v) { out_.push_back(v); }
    void u16(std::uint16_t v) { big_endian<2>(v); }
    void u24(std::uint32_t v) { big_endian<3>(v); }
    void u32(std::uint32_t v) { big_endian<4>(v); }
    void u64(std::uint64_t v) { big_endian<8>(v); }
    void le32(std::uint32_t v) { u32(byteswap(v)); }
    void le64(std::uint64_t v) { u64(byteswap(v)); }
    void bytes(Bytes b) { out_.insert(out_.end(), b.begin(), b.end()); }
    void zeros(std::size_t n) { out_.insert(out_.end(), n, 0); }

    std::size_t place16()
    {
        zeros(2);
        return out_.size() - 2;
    }
    std::size_t place8()
    {
        zeros(1);
        return out_.size() - 1;
    }
    void fill16(std::size_t at, std::uint16_t v)
    {
        out_[at] = static_cast<std::uint8_t>(v >> 8);
        out_[at + 1] = static_cast<std::uint8_t>(v);
    }
    void fill8(std::size_t at, std::uint8_t v) { out_[at] = v; }

private:
    template <std::size_t N>
    void big_endian(std::uint64_t v)
    {
        for (std::size_t i = 0; i < N; ++i) out_.push_back(static_cast<std::uint8_t>(v >> (8 * (N - 1 - i))));
    }

    std::vector<std::uint8_t>& out_;
};

}  // namespace culvert
