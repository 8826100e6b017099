#pragma once

#include "base/bytes.h"

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace culvert {

// A value in host order, so that comparisons are those of the address space.
struct Ipv4Address {
    std::uint32_t value = 0;

    static std::optional<Ipv4Address> parse(std::string_view text);
    std::string to_string() const;

    constexpr bool is_unspecified() const noexcept { return value == 0; }
    constexpr bool is_loopback() const noexcept { return value >> 24 == 127; }
    constexpr bool is_multicast() const noexcept { return value >> 28 == 14; }
    constexpr bool is_class_e() const noexcept { return value >> 28 == 15; }
    constexpr bool is_link_local() const noexcept { return value >> 16 == 0xa9fe; }
    friend constexpr auto operator<=>(Ipv4Address, Ipv4Address) = default;
};

// Sixteen octets in network order.
struct Ipv6Address {
    std::array<std::uint8_t, 16> octets{};

    static std::optional<Ipv6Address> parse(std::string_view text);
    static constexpr Ipv6Address from_words(std::uint64_t high, std::uint64_t low) noexcept
    {
        Ipv6Address a;
        for (int i = 0; i < 8; ++i) {
            a.octets[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
            a.octets[static_cast<std::size_t>(i) + 8] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
        }
        return a;
    }
    std::string to_string() const;  // RFC 5952

    std::uint64_t high() const noexcept { return word(0); }
    std::uint64_t low() const noexcept { return word(8); }
    constexpr bool is_unspecified() const noexcept { return *this == Ipv6Address{}; }
    constexpr bool is_multicast() const noexcept { return octets[0] == 0xff; }
    constexpr bool is_link_local() const noexcept { return octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80; }
    constexpr bool is_loopback() const noexcept
    {
        Ipv6Address one;
        one.octets[15] = 1;
        return *this == one;
    }
    // Two words: a comparison of the octets is a call of memcmp.
    friend constexpr bool operator==(const Ipv6Address& a, const Ipv6Address& b) noexcept
    {
        using Words = std::array<std::uint64_t, 2>;
        const auto x = std::bit_cast<Words>(a.octets), y = std::bit_cast<Words>(b.octets);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    friend constexpr auto operator<=>(const Ipv6Address&, const Ipv6Address&) = default;

private:
    std::uint64_t word(std::size_t at) const noexcept
    {
        std::uint64_t w;
        std::memcpy(&w, octets.data() + at, 8);
        return byteswap(w);
    }
};

enum class Family : std::uint8_t { Ipv4, Ipv6 };
constexpr int max_length(Family f) noexcept { return f == Family::Ipv4 ? 32 : 128; }

// Either family. Trivially copyable: it travels in the FIB channel. A default one is 0.0.0.0, which reads as "none".
struct IpAddress {
    Family family = Family::Ipv4;
    Ipv6Address bits{};  // an IPv4 address lies in the first four octets

    constexpr IpAddress() = default;
    constexpr IpAddress(Ipv4Address a) noexcept : family(Family::Ipv4)
    {
        const auto raw = std::bit_cast<std::array<std::uint8_t, 4>>(be32{a.value});
        for (std::size_t i = 0; i < 4; ++i) bits.octets[i] = raw[i];
    }
    constexpr IpAddress(const Ipv6Address& a) noexcept : family(Family::Ipv6), bits(a) {}

    static std::optional<IpAddress> parse(std::string_view text);
    std::string to_string() const;

    constexpr bool is_v4() const noexcept { return family == Family::Ipv4; }
    constexpr bool is_v6() const noexcept { return family == Family::Ipv6; }
    constexpr Ipv4Address v4() const noexcept
    {
        const auto& o = bits.octets;
        return {std::bit_cast<be32>(std::array{o[0], o[1], o[2], o[3]})};
    }
    constexpr const Ipv6Address& v6() const noexcept { return bits; }
    constexpr bool is_unspecified() const noexcept { return bits.is_unspecified(); }
    constexpr bool is_multicast() const noexcept { return is_v4() ? v4().is_multicast() : bits.is_multicast(); }
    constexpr bool is_link_local() const noexcept { return is_v4() ? v4().is_link_local() : bits.is_link_local(); }
    constexpr bool is_loopback() const noexcept { return is_v4() ? v4().is_loopback() : bits.is_loopback(); }
    // Network order, 4 or 16 octets.
    Bytes octets() const noexcept { return Bytes{bits.octets}.first(is_v4() ? 4 : 16); }
    friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// A destination and its length in bits. Host bits are kept zero by make() and parse(); `length` <= 32 or 128.
struct IpPrefix {
    IpAddress address{};
    std::uint8_t length = 0;

    static IpPrefix make(IpAddress a, int length) noexcept;  // clears host bits
    static constexpr IpPrefix host(IpAddress a) noexcept
    {
        return {a, static_cast<std::uint8_t>(max_length(a.family))};
    }
    static std::optional<IpPrefix> parse(std::string_view text);  // "10.0.0.0/8"; host bits are cleared
    std::string to_string() const;

    constexpr Family family() const noexcept { return address.family; }
    bool contains(const IpAddress& a) const noexcept;
    bool contains(const IpPrefix& p) const noexcept;
    constexpr bool is_host() const noexcept { return length == max_length(address.family); }
    friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

// An address of an interface with the length of its subnet: host bits are kept. "10.255.0.1/30"
struct InterfaceAddress {
    IpAddress address{};
    std::uint8_t length = 0;

    static std::optional<InterfaceAddress> parse(std::string_view text);
    std::string to_string() const;
    IpPrefix subnet() const noexcept { return IpPrefix::make(address, length); }
    friend constexpr auto operator<=>(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct MacAddress {
    std::array<std::uint8_t, 6> octets{};

    static std::optional<MacAddress> parse(std::string_view text);
    std::string to_string() const;
    constexpr bool is_zero() const noexcept { return *this == MacAddress{}; }
    friend constexpr bool operator==(const MacAddress& a, const MacAddress& b) noexcept { return a.word() == b.word(); }
    friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;

private:
    constexpr std::uint64_t word() const noexcept
    {
        const auto& o = octets;
        return std::bit_cast<std::uint32_t>(std::array{o[0], o[1], o[2], o[3]}) |
               std::uint64_t{std::bit_cast<std::uint16_t>(std::array{o[4], o[5]})} << 32;
    }
};

// An address and a UDP or TCP port.
struct Endpoint {
    IpAddress address{};
    std::uint16_t port = 0;

    static std::optional<Endpoint> parse(std::string_view text);  // "198.51.100.7:51820", "[2001:db8::1]:51820"
    std::string to_string() const;
    friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// 64-bit finaliser of splitmix64: spreads what tables are keyed with.
constexpr std::uint64_t mix(std::uint64_t x) noexcept
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

}  // namespace culvert

template <>
struct std::hash<culvert::IpAddress> {
    std::size_t operator()(const culvert::IpAddress& a) const noexcept
    {
        return culvert::mix(a.bits.high() ^ culvert::mix(a.bits.low() + static_cast<std::uint64_t>(a.family)));
    }
};
template <>
struct std::hash<culvert::IpPrefix> {
    std::size_t operator()(const culvert::IpPrefix& p) const noexcept
    {
        return culvert::mix(std::hash<culvert::IpAddress>{}(p.address) + p.length);
    }
};
template <>
struct std::hash<culvert::Endpoint> {
    std::size_t operator()(const culvert::Endpoint& e) const noexcept
    {
        return culvert::mix(std::hash<culvert::IpAddress>{}(e.address) + e.port);
    }
};
