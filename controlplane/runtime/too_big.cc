#include "controlplane/runtime/too_big.h"

#include <algorithm>

namespace culvert::runtime {
namespace {

constexpr std::uint8_t kIcmp = 1, kUdp = 17, kGre = 47, kEsp = 50, kIcmpv6 = 58;
constexpr std::uint16_t kGreChecksum = 0x8000, kGreKey = 0x2000;
constexpr std::uint32_t kWireguardData = 0x04000000;  // type 4 and three zeros

struct Header {
    std::uint8_t protocol = 0;
    std::uint16_t length = 0;
    IpAddress from{}, to{};
    bool first_part = true;
};

// Reads over the header. IPv6 extension headers are not walked: no tunnel of ours has any.
std::optional<Header> read_header(Reader& in)
{
    Header h;
    const auto first = in.u8();
    if (first >> 4 == 4) {
        const auto octets = static_cast<std::size_t>(first & 0x0f) * 4;
        in.skip(1);
        h.length = in.u16();
        in.skip(2);
        h.first_part = (in.u16() & 0x1fff) == 0;
        in.skip(1);
        h.protocol = in.u8();
        in.skip(2);
        h.from = Ipv4Address{in.u32()};
        h.to = Ipv4Address{in.u32()};
        if (octets < 20) return std::nullopt;
        in.skip(octets - 20);
    } else if (first >> 4 == 6) {
        in.skip(3);
        h.length = static_cast<std::uint16_t>(in.u16() + 40);
        h.protocol = in.u8();
        in.skip(1);
        const auto address = [&] {
            Ipv6Address a;
            const auto octets = in.take(16);
            if (octets.size() == 16) std::copy(octets.begin(), octets.end(), a.octets.begin());
            return a;
        };
        h.from = address();
        h.to = address();
    } else {
        return std::nullopt;
    }
    if (!in.ok()) return std::nullopt;
    return h;
}

bool read_tunnel(Reader& in, std::uint8_t protocol, TooBig& out)
{
    if (protocol == kGre) {
        out.kind = TooBig::Kind::Gre;
        const auto flags = in.u16();
        in.skip(2);
        if ((flags & kGreChecksum) != 0) in.skip(4);
        if ((flags & kGreKey) != 0) out.key = in.u32();
        return in.ok();
    }
    if (protocol == kEsp) {
        out.kind = TooBig::Kind::Esp;
        out.number = in.u32();
        return in.ok();
    }
    if (protocol != kUdp) return false;
    out.from_port = in.u16();
    out.to_port = in.u16();
    in.skip(4);
    const auto first = in.u32();
    if (!in.ok()) return false;
    out.kind = first == kWireguardData ? TooBig::Kind::Wireguard : TooBig::Kind::UdpEsp;
    out.number = first == kWireguardData ? in.le32() : first;
    return in.ok();
}

}  // namespace

std::optional<TooBig> parse_too_big(Bytes packet)
{
    Reader in{packet};
    const auto outer = read_header(in);
    if (!outer) return std::nullopt;
    const auto type = in.u8();
    const auto code = in.u8();
    in.skip(2);
    const bool v4 = outer->from.is_v4();
    const auto rest = in.u32();
    if (v4 ? outer->protocol != kIcmp || type != 3 || code != 4 : outer->protocol != kIcmpv6 || type != 2)
        return std::nullopt;
    const auto quoted = read_header(in);
    if (!quoted || !quoted->first_part || quoted->from.is_v4() != v4) return std::nullopt;
    TooBig out;
    out.mtu = v4 ? static_cast<std::uint16_t>(rest) : static_cast<std::uint16_t>(std::min<std::uint32_t>(rest, 0xffff));
    out.length = quoted->length;
    out.from = quoted->from;
    out.to = quoted->to;
    if (!read_tunnel(in, quoted->protocol, out)) return std::nullopt;
    return out;
}

std::uint16_t plateau_below(std::uint16_t length) noexcept
{
    for (const std::uint16_t p : {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296})
        if (p < length) return p;
    return 68;
}

}  // namespace culvert::runtime
