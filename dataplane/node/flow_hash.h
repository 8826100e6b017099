#pragma once

#include "dataplane/api/worker_link.h"
#include "dataplane/node/burst.h"
#include "dataplane/wire/payload.h"

#include <bit>
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

// Which fields count, as masks over what is hashed.
struct HashMask {
    std::uint64_t source = ~std::uint64_t{0};
    std::uint64_t destination = ~std::uint64_t{0};
    std::uint64_t both4 = ~std::uint64_t{0};  // IPv4's source and destination, as they lie
    // Protocol in the low octet, the flow label above it, ports in the upper half.
    std::uint64_t rest = ~std::uint64_t{0} ^ (std::uint64_t{0xfffff} << 8);

    static constexpr HashMask of(const api::HashFields& f) noexcept
    {
        HashMask m;
        m.source = f.source ? ~std::uint64_t{0} : 0;
        m.destination = f.destination ? ~std::uint64_t{0} : 0;
        m.both4 = (m.source & 0xffffffff) | (m.destination << 32);
        m.rest = (f.protocol ? 0xff : 0) | (f.flow_label ? std::uint64_t{0xfffff} << 8 : 0) |
                 (f.ports ? std::uint64_t{0xffffffff} << 32 : 0);
        return m;
    }
};
static_assert(std::endian::native == std::endian::little, "both4");

// Of a checked packet: addresses, protocol, and the ports of TCP and UDP, or fewer of them. All fragments of a datagram
// hash alike, on addresses and protocol only. Never 0.
inline std::uint32_t flow_hash(const wire::Ipv4Header& ip, std::size_t length, std::uint64_t seed,
                               const HashMask& mask = {}) noexcept
{
    std::uint64_t rest = ip.protocol;
    if (detail::has_ports(ip.protocol) && !ip.is_fragment() && ip.header_length() + 4 <= length) {
        std::uint32_t ports;
        std::memcpy(&ports, reinterpret_cast<const std::uint8_t*>(&ip) + ip.header_length(), 4);
        rest |= static_cast<std::uint64_t>(ports) << 32;
    }
    const auto a = detail::fold_multiply((detail::load64(&ip.source) & mask.both4) ^ seed, detail::kOdd ^ (seed >> 32));
    return detail::finish(detail::fold_multiply(a ^ (rest & mask.rest), detail::kOdd + seed));
}

inline std::uint32_t flow_hash(const wire::Ipv6Header& ip, std::size_t length, std::uint64_t seed,
                               const HashMask& mask = {}) noexcept
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
    rest |= static_cast<std::uint64_t>(ip.version_class_flow & 0xfffff) << 8;  // the flow label
    const auto* a = ip.source.octets.data();
    const auto word = [a](std::size_t at, std::uint64_t m) { return detail::load64(a + at) & m; };
    auto h = detail::fold_multiply(word(0, mask.source) ^ seed, word(8, mask.source) ^ detail::kOdd);
    h ^= detail::fold_multiply(word(16, mask.destination) ^ (seed + detail::kOdd), word(24, mask.destination) ^ seed);
    return detail::finish(detail::fold_multiply(h ^ (rest & mask.rest), detail::kOdd + seed));
}

}  // namespace culvert::node
