#pragma once

#include "dataplane/node/burst.h"
#include "dataplane/wire/payload.h"

#include <cstdint>
#include <cstring>

namespace culvert::node {

namespace detail {

inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept
{
    const auto wide = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(wide) ^ static_cast<std::uint64_t>(wide >> 64);
}
inline std::uint64_t load64(const void* p) noexcept
{
    std::uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
}
inline std::uint32_t finish(std::uint64_t h) noexcept
{
    const auto v = static_cast<std::uint32_t>(h ^ (h >> 32));
    return v == 0 ? 1 : v;  // 0 is "not computed"
}
inline bool has_ports(std::uint8_t protocol) noexcept
{
    return protocol == static_cast<std::uint8_t>(wire::Protocol::Tcp) ||
           protocol == static_cast<std::uint8_t>(wire::Protocol::Udp);
}

inline constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15ULL;

}  // namespace detail

// Of a checked packet: addresses, protocol, and the ports of TCP and UDP. All fragments of a datagram hash alike, on
// addresses and protocol only. Never 0.
inline std::uint32_t flow_hash(const wire::Ipv4Header& ip, std::size_t length, std::uint64_t seed) noexcept
{
    std::uint64_t rest = ip.protocol;
    if (detail::has_ports(ip.protocol) && !ip.is_fragment() && ip.header_length() + 4 <= length) {
        std::uint32_t ports;
        std::memcpy(&ports, reinterpret_cast<const std::uint8_t*>(&ip) + ip.header_length(), 4);
        rest |= static_cast<std::uint64_t>(ports) << 32;
    }
    const auto a = detail::fold_multiply(detail::load64(&ip.source) ^ seed, detail::kOdd ^ (seed >> 32));
    return detail::finish(detail::fold_multiply(a ^ rest, detail::kOdd + seed));
}

inline std::uint32_t flow_hash(const wire::Ipv6Header& ip, std::size_t length, std::uint64_t seed) noexcept
{
    std::uint64_t rest = ip.next_header;
    std::size_t at = 0;
    if (detail::has_ports(ip.next_header)) {
        at = sizeof ip;
    } else if (ip.next_header != static_cast<std::uint8_t>(wire::Protocol::Icmpv6)) {
        const auto payload = wire::find_payload6({reinterpret_cast<const std::uint8_t*>(&ip), length});
        rest = static_cast<std::uint8_t>(payload.protocol);
        if (!payload.fragment && detail::has_ports(static_cast<std::uint8_t>(rest))) at = payload.offset;
    }
    if (at != 0 && at + 4 <= length) {
        std::uint32_t ports;
        std::memcpy(&ports, reinterpret_cast<const std::uint8_t*>(&ip) + at, 4);
        rest |= static_cast<std::uint64_t>(ports) << 32;
    }
    const auto* a = ip.source.octets.data();
    auto h = detail::fold_multiply(detail::load64(a) ^ seed, detail::load64(a + 8) ^ detail::kOdd);
    h ^= detail::fold_multiply(detail::load64(a + 16) ^ (seed + detail::kOdd), detail::load64(a + 24) ^ seed);
    return detail::finish(detail::fold_multiply(h ^ rest, detail::kOdd + seed));
}

}  // namespace culvert::node
