#pragma once

#include "base/ip.h"
#include "dataplane/api/esp.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace culvert::api {

// What one tunnel puts around an inner packet, from the outside in. A tunnel inside another is a stack of two: the
// outer one's MTU is the path of the inner one.
struct TunnelStack {
    struct Gre {
        Family outer = Family::Ipv4;
        bool checksum = false, key = false, sequence = false;
        friend bool operator==(const Gre&, const Gre&) = default;
    };
    // Around the GRE packet, or (a VTI) around the inner packet itself.
    struct Esp {
        Family outer = Family::Ipv4;
        EspAlgorithm algorithm{};
        EspMode mode{};  // Transport: under the GRE packet's own outer header
        bool udp = false;
        friend bool operator==(const Esp&, const Esp&) = default;
    };
    // Counted with IPv6 outside, whatever the peer's address is: a peer may move to either family.
    struct Wireguard {
        friend bool operator==(const Wireguard&, const Wireguard&) = default;
    };

    std::optional<Gre> gre;
    std::optional<Esp> esp;
    std::optional<Wireguard> wireguard;
    friend bool operator==(const TunnelStack&, const TunnelStack&) = default;
};

// "path to 192.0.2.2 by wan0: 1500", then what each layer takes from it.
struct MtuLine {
    std::string text;
    int octets = 0;
    friend bool operator==(const MtuLine&, const MtuLine&) = default;
};
struct MtuSum {
    std::uint16_t mtu = 0;       // the largest inner packet; 0: none fits
    std::vector<MtuLine> lines;  // the layers; each takes (is negative). With the path they add up to `mtu`
};

// The one place where the cost of a stack is worked out: the largest packet that leaves the tunnel in outer packets of
// at most `path` octets, none of them cut.
MtuSum tunnel_mtu(const TunnelStack& stack, std::uint16_t path);

}  // namespace culvert::api
