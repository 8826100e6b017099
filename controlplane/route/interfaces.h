#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "controlplane/route/tables.h"
#include "dataplane/api/fib_update.h"

#include <map>
#include <string>
#include <vector>

namespace culvert::route {

// What routing knows of an interface.
struct Interface {
    InterfaceId id{kNoInterface};
    VrfId vrf{kDefaultVrf};
    api::InterfaceKind kind = api::InterfaceKind::Port;
    bool up = false;                          // neither shut down nor without link
    std::vector<InterfaceAddress> addresses;  // with the link-local address, if it has one
    std::string name{};                       // what people call it
    std::uint16_t mtu = 1500;                 // of IP packets
    friend bool operator==(const Interface&, const Interface&) = default;
};

// Turns interfaces into connected and local routes: for an address A/n of an interface that is up, the subnet is
// connected and A is local. A subnet that is A itself (/32, /128) is one connected route to this box, so that
// `redistribute connected` has it. A link-local address and its subnet are routes of the interface's link VRF
// (dataplane/api/link_scope.h): each link has its own.
class Interfaces {
public:
    explicit Interfaces(Tables& tables) : tables_(tables) {}

    // A new interface, or any change of a known one (its VRF too).
    void set(const Interface& interface);
    void remove(InterfaceId id);

    const Interface* find(InterfaceId id) const noexcept;
    const std::map<InterfaceId, Interface>& all() const noexcept { return interfaces_; }
    // Is `address` one of a VRF's own (of a link VRF: link-local), on an interface that is up?
    bool is_own(VrfId vrf, const IpAddress& address) const noexcept;
    // Is `address` in a subnet of the interface (or link-local)?
    bool on_link(InterfaceId id, const IpAddress& address) const noexcept;

private:
    struct Key {
        VrfId vrf;
        IpPrefix prefix;
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    void add(const Interface& interface, std::set<Key>& touched);
    void take(const Interface& interface, std::set<Key>& touched);
    void publish(const Key& key);

    Tables& tables_;
    std::map<InterfaceId, Interface> interfaces_;
    std::map<Key, std::multiset<InterfaceId>> subnets_;  // connected, by those that are up
    std::map<Key, std::multiset<InterfaceId>> own_;      // local
};

}  // namespace culvert::route
