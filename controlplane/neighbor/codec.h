#pragma once

#include "base/bytes.h"
#include "base/ip.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

namespace culvert::neighbor {

inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// RFC 826, for Ethernet and IPv4.
struct Arp {
    enum class Operation : std::uint16_t { Request = 1, Reply = 2 };
    Operation operation = Operation::Request;
    MacAddress sender_mac{};
    Ipv4Address sender{};
    MacAddress target_mac{};
    Ipv4Address target{};
    friend bool operator==(const Arp&, const Arp&) = default;
};

// RFC 4861 4.3 and 4.4. `link` is the source (NS) or target (NA) link-layer address option.
struct NeighborSolicitation {
    Ipv6Address source{};  // unspecified: duplicate address detection
    Ipv6Address destination{};
    Ipv6Address target{};
    std::optional<MacAddress> link;
    friend bool operator==(const NeighborSolicitation&, const NeighborSolicitation&) = default;
};
struct NeighborAdvertisement {
    Ipv6Address source{};
    Ipv6Address destination{};
    Ipv6Address target{};
    bool router = false;
    bool solicited = false;
    bool override_cache = false;
    std::optional<MacAddress> link;
    friend bool operator==(const NeighborAdvertisement&, const NeighborAdvertisement&) = default;
};

// RFC 4861 4.1 and 4.2, as far as routers among themselves need them. `link` is the source link-layer address option.
struct RouterSolicitation {
    Ipv6Address source{};  // unspecified: has none yet
    Ipv6Address destination{};
    std::optional<MacAddress> link;
    friend bool operator==(const RouterSolicitation&, const RouterSolicitation&) = default;
};
struct RouterAdvertisement {
    Ipv6Address source{};  // link-local
    Ipv6Address destination{};
    std::uint8_t hop_limit = 0;  // that hosts are to use; 0: says nothing
    std::uint8_t flags = 0;
    std::uint16_t lifetime = 0;  // as default router, seconds
    std::optional<MacAddress> link;
    friend bool operator==(const RouterAdvertisement&, const RouterAdvertisement&) = default;
};

// A frame the engine acts on, with its Ethernet addresses.
struct Message {
    MacAddress to{};
    MacAddress from{};
    std::variant<Arp, NeighborSolicitation, NeighborAdvertisement, RouterSolicitation, RouterAdvertisement> body;
};

enum class DecodeError : std::uint8_t {
    Truncated,    // shorter than its headers say
    NotNeighbor,  // neither ARP nor ND, or an ND message that routers like us don't use (redirects)
    BadArp,       // other hardware or protocol, or an unknown operation
    BadHopLimit,  // not 255: it came through a router (RFC 4861 7.1)
    BadChecksum,
    BadCode,
    BadTarget,  // multicast target, or flags that contradict the addresses (RFC 4861 7.1.1, 7.1.2)
    BadOption,  // length zero or overrun
    BadRouter,  // a router's message from an address that it can't come from (RFC 4861 6.1.1, 6.1.2)
};
const char* to_string(DecodeError e) noexcept;

// `frame` begins at the Ethernet header, without a VLAN tag.
Result<Message, DecodeError> decode(Bytes frame);

// Whole frames, padded to 60 octets.
std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const Arp& arp);
std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const NeighborSolicitation& ns);
std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const NeighborAdvertisement& na);

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const RouterAdvertisement& ra);
std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const RouterSolicitation& rs);

// RFC 4291 2.7.1 and RFC 2464 7: where a solicitation for `target` goes.
Ipv6Address solicited_node(const Ipv6Address& target) noexcept;
MacAddress multicast_mac(const Ipv6Address& group) noexcept;
// RFC 4291 appendix A: fe80::/64 with the modified EUI-64 of the MAC.
Ipv6Address link_local(const MacAddress& mac) noexcept;

}  // namespace culvert::neighbor
