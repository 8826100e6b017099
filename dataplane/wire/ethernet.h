#pragma once

#include "base/bytes.h"
#include "base/ip.h"

#include <cstdint>

namespace culvert::wire {

enum class EtherType : std::uint16_t { Ipv4 = 0x0800, Arp = 0x0806, Vlan = 0x8100, Ipv6 = 0x86dd };

struct EthernetHeader {
    MacAddress destination;
    MacAddress source;
    be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

// IEEE 802.1Q, behind the two addresses: tag, then the EtherType of what follows.
struct VlanHeader {
    be16 control;  // priority 3, drop eligible 1, VLAN 12
    be16 ether_type;

    std::uint16_t vlan() const noexcept { return control & 0x0fff; }
};
static_assert(sizeof(VlanHeader) == 4);

constexpr bool is_group_address(const MacAddress& mac) noexcept { return (mac.octets[0] & 1) != 0; }
constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// RFC 1112 6.4 and RFC 2464 7: where a multicast packet is sent to on Ethernet.
constexpr MacAddress multicast_mac(const IpAddress& group) noexcept
{
    const auto& o = group.bits.octets;
    if (group.is_v4()) return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(o[1] & 0x7f), o[2], o[3]}};
    return {{0x33, 0x33, o[12], o[13], o[14], o[15]}};
}

}  // namespace culvert::wire
