#include "controlplane/runtime/udp_packet.h"

namespace culvert::runtime {
namespace {

constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kHopLimit = 64;

std::uint32_t sum(Bytes bytes)
{
    std::uint32_t s = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) s += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    if (bytes.size() % 2 != 0) s += static_cast<std::uint32_t>(bytes.back() << 8);
    return s;
}

std::uint16_t fold(std::uint32_t s)
{
    while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
    return static_cast<std::uint16_t>(~s);
}

}  // namespace

std::vector<std::uint8_t> udp_packet(const Endpoint& from, const Endpoint& to, std::uint8_t dscp, Bytes payload)
{
    std::vector<std::uint8_t> out;
    Writer w{out};
    const auto udp_length = static_cast<std::uint16_t>(8 + payload.size());
    if (to.address.is_v4()) {
        w.u8(0x45);
        w.u8(static_cast<std::uint8_t>(dscp << 2));
        w.u16(static_cast<std::uint16_t>(20 + udp_length));
        w.u32(0);  // identification 0: never fragmented here, and a tunnel's outer packet may be on its way
        w.u8(kHopLimit);
        w.u8(kUdp);
        const auto checksum = w.place16();
        w.bytes(from.address.octets());
        w.bytes(to.address.octets());
        w.fill16(checksum, fold(sum(out)));
    } else {
        w.u32(0x60000000U | static_cast<std::uint32_t>(dscp) << 22);
        w.u16(udp_length);
        w.u8(kUdp);
        w.u8(kHopLimit);
        w.bytes(from.address.octets());
        w.bytes(to.address.octets());
    }
    const auto udp_at = out.size();
    w.u16(from.port);
    w.u16(to.port);
    w.u16(udp_length);
    const auto checksum = w.place16();
    w.bytes(payload);
    const auto value = fold(sum(from.address.octets()) + sum(to.address.octets()) + kUdp + udp_length +
                            sum(Bytes{out}.subspan(udp_at)));
    w.fill16(checksum, value == 0 ? 0xffff : value);
    return out;
}

}  // namespace culvert::runtime
