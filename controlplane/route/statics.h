#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "controlplane/route/interfaces.h"
#include "controlplane/route/tables.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace culvert::route {

// One `ip route` or `ipv6 route` statement with its names looked up.
struct StaticRoute {
    enum class Drop : std::uint8_t { No, Blackhole, Reject };  // Null0 is Blackhole

    VrfId vrf{kDefaultVrf};
    IpPrefix prefix{};
    std::optional<IpAddress> gateway;
    InterfaceId interface {
        kNoInterface
    };
    Drop drop = Drop::No;
    std::uint8_t distance = 1;
    std::uint32_t tag = 0;
    std::uint16_t weight = 1;
    VrfId nexthop_vrf{kDefaultVrf};  // the route's own, unless leaked
    friend auto operator<=>(const StaticRoute&, const StaticRoute&) = default;
};

// Static routes. A statement is active while its gateway resolves (not through itself), its interface is up, or it
// drops. Of a prefix, the active statements of the lowest distance are its static route: its next hops, with weights.
class Statics {
public:
    Statics(Tables& tables, const Interfaces& interfaces);

    void add(const StaticRoute& route);
    void remove(const StaticRoute& route);  // equal to what was added
    // An interface changed (after Interfaces::set or remove).
    void on_interface(InterfaceId id);
    // Takes in what the tables' tracking found. Call after Tables::settle(). True: some route changed.
    bool run();

    // Some statement names this gateway on this interface.
    bool uses(InterfaceId interface, const IpAddress& gateway) const;

    struct View {
        StaticRoute route;
        bool active = false;
        const char* reason = "";  // why not
    };
    std::vector<View> view(VrfId vrf) const;

private:
    struct Statement {
        StaticRoute route;
        bool active = false;
        bool down = false;  // active, but whoever watches the gateway says that it has failed
        const char* reason = "not resolved yet";
    };
    struct Key {
        VrfId vrf;
        IpPrefix prefix;
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    struct Gateway {
        VrfId vrf;
        IpAddress address;
        friend auto operator<=>(const Gateway&, const Gateway&) = default;
    };
    static bool tracked(const StaticRoute& r) noexcept { return r.gateway && r.interface == kNoInterface; }
    void judge(Statement& s) const;
    void publish(const Key& key);

    Tables& tables_;
    const Interfaces& interfaces_;
    ClientId client_;
    std::map<Key, std::vector<Statement>> routes_;
    std::map<Gateway, std::multiset<Key>> by_gateway_;
    std::map<Gateway, Resolution> resolutions_;
};

}  // namespace culvert::route
