#pragma once

#include "config/model.h"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// What taking a change costs. In the order of pain: the cost of an object's change is its dearest statement's.
enum class Cost : std::uint8_t {
    Apply,    // nobody notices
    Session,  // the session of this neighbor, peer or BGP instance starts anew
    Restart,  // takes effect when culvertd is started again
};
std::string_view to_string(Cost cost);

// What a change is about: the smallest thing that can change without its neighbours noticing.
struct Object {
    enum class Kind : std::uint8_t {
        Global,  // hostname
        Log,
        Dataplane,
        Vrf,        // vrf = its name
        Route,      // vrf, name = the prefix; all static routes of the prefix
        Interface,  // name
        Peer,       // name = the interface, member = the peer's name
        Bgp,        // vrf; the instance itself and its address families
        Neighbor,   // vrf, member = the neighbor's address
        Failover,
        KeyChain,      // name
        ManualSa,      // name
        IpsecProfile,  // name
        BfdProfile,    // name
        BfdPeer,       // vrf, name = the peer's address, member = the rest of its line
    };
    Kind kind = Kind::Global;
    std::string vrf;
    std::string name;
    std::string member;
    friend auto operator<=>(const Object&, const Object&) = default;
};
std::string to_string(const Object& object);

struct Change {
    enum class Action : std::uint8_t { Add, Remove, Modify };
    Action action = Action::Modify;
    Object object;
    Cost cost = Cost::Apply;
    std::vector<std::string>
        removed;  // statements, as render() writes them, secrets masked; "ipv6 unicast: ..." in a family's block
    std::vector<std::string> added;
    friend bool operator==(const Change&, const Change&) = default;
};

// What differs, object by object, in the order of Object. An object that did not change does not appear. Adding or
// removing an object costs Apply unless one of its statements says Restart.
std::vector<Change> diff(const Model& old, const Model& now);

// For people: '-' and '+' lines below the name of each object, secrets masked.
std::string to_string(const std::vector<Change>& changes);

}  // namespace culvert::config
