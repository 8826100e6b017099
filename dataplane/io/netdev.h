#pragma once

#include "base/ip.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace culvert::io {

// A kernel network device, as rtnetlink tells it in the calling thread's network namespace.
struct Netdev {
    int index = 0;
    std::string name;
    std::string driver;  // "veth", "ixgbe"; "netdev" when the kernel doesn't say
    MacAddress mac{};
    std::uint32_t mtu = 0, max_mtu = 0;
    bool up = false;  // administratively
    bool ethernet = false;
    int master = 0;  // index of the bridge or bond it belongs to; 0: none
};

// The error says which devices there are with names like it.
Result<Netdev, std::string> find_netdev(const std::string& name);
// Whether it may become a port: an Ethernet device, in no bridge or bond, without a default route unless `force`.
Result<Netdev, std::string> find_usable_netdev(const std::string& name, bool force);
// The error names the device and the range.
Result<void, std::string> set_netdev_mtu(const Netdev& device, std::uint32_t mtu);

// What a device was like before it was ours: addresses, routes, MTU, up or down, IPv6, large receive offload.
class NetdevState {
public:
    // Saves everything, then takes addresses, IPv6 and LRO off the device and brings it up. On error nothing is
    // changed.
    static Result<NetdevState, std::string> put_aside(const Netdev& device);
    // In the network namespace of put_aside. What can't be given back (the device is gone) is left.
    void restore() const;

    const Netdev& device() const noexcept { return device_; }

private:
    using Message = std::vector<std::uint8_t>;  // as rtnetlink's dump gave it, and takes it again

    Netdev device_;
    std::vector<Message> addresses_;
    std::vector<Message> routes_;
    std::optional<std::string> disable_ipv6_;
    std::optional<std::uint32_t> ethtool_flags_;
};

}  // namespace culvert::io
