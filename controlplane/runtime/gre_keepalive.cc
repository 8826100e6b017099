#include "controlplane/runtime/gre_keepalive.h"

#include "base/bytes.h"

namespace culvert::runtime {
namespace {

constexpr std::uint8_t kGre = 47;
constexpr std::uint8_t kInternetworkControl = 6 << 5;
constexpr std::uint8_t kTtl = 255;

using Packet = std::vector<std::uint8_t>;

std::uint16_t internet_checksum(Bytes bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

Packet gre(const IpAddress& from, const IpAddress& to, std::optional<std::uint32_t> key, bool checksum,
           std::uint16_t protocol, const Packet& payload)
{
    Packet body;
    {
        Writer w{body};
        w.u16(static_cast<std::uint16_t>((checksum ? 0x8000 : 0) | (key ? 0x2000 : 0)));
        w.u16(protocol);
        const auto sum = checksum ? w.place16() : 0;
        if (checksum) w.u16(0);
        if (key) w.u32(*key);
        w.bytes(payload);
        if (checksum) w.fill16(sum, internet_checksum(body));
    }
    Packet out;
    Writer w{out};
    if (from.is_v4()) {
        w.u8(0x45);
        w.u8(kInternetworkControl);
        w.u16(static_cast<std::uint16_t>(20 + body.size()));
        w.u32(0);
        w.u8(kTtl);
        w.u8(kGre);
        const auto sum = w.place16();
        w.bytes(from.octets());
        w.bytes(to.octets());
        w.fill16(sum, internet_checksum(out));
    } else {
        w.u32(0x60000000U | std::uint32_t{kInternetworkControl} << 20);
        w.u16(static_cast<std::uint16_t>(body.size()));
        w.u8(kGre);
        w.u8(kTtl);
        w.bytes(from.octets());
        w.bytes(to.octets());
    }
    w.bytes(body);
    return out;
}

}  // namespace

std::vector<std::uint8_t> gre_keepalive(const IpAddress& source, const IpAddress& destination,
                                        std::optional<std::uint32_t> key, bool checksum)
{
    const auto back = gre(destination, source, key, checksum, 0, {});
    return gre(source, destination, key, checksum, source.is_v4() ? 0x0800 : 0x86dd, back);
}

}  // namespace culvert::runtime
