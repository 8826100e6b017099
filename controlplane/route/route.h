#pragma once

#include "base/ids.h"
#include "base/ip.h"

#include <compare>
#include <cstdint>
#include <vector>

namespace culvert::route {

// Where a route comes from, in the order that breaks a tie of administrative distances.
enum class Source : std::uint8_t { Connected, Local, Static, Bgp };

enum class NexthopType : std::uint8_t {
    Gateway,    // through `gateway`; `interface` may narrow it; without an interface it is resolved recursively
    Attached,   // the prefix itself is on `interface`
    Host,       // an address of this box (host link)
    Blackhole,  // dropped silently
    Reject,     // answered with unreachable
    Broadcast,  // of a connected subnet: dropped. No source has a route to it: Programmer makes it
};

struct Nexthop {
    NexthopType type = NexthopType::Gateway;
    InterfaceId interface {
        kNoInterface
    };
    VrfId vrf{kDefaultVrf};  // where `gateway` is looked up; differs from the route's own for leaked routes
    IpAddress gateway{};
    std::uint16_t weight = 1;
    // The way to the gateway itself, not through it: whoever watches the gateway (BFD) has no say in it, or BGP could
    // never come up again with a neighbour that has ceased to speak BFD.
    bool itself = false;
    friend auto operator<=>(const Nexthop&, const Nexthop&) = default;
};

// One source's word on one prefix.
struct Route {
    Source source = Source::Static;
    std::uint8_t distance = 1;  // 255: never used
    std::uint32_t metric = 0;   // MED for BGP
    std::uint32_t tag = 0;
    std::vector<Nexthop> nexthops;  // equal-cost; sorted and unique
    std::vector<Nexthop> backup;    // taken when every one of `nexthops` is down
    friend bool operator==(const Route&, const Route&) = default;
};

}  // namespace culvert::route
