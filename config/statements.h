#pragma once

#include "config/model.h"

#include <cstdint>
#include <string>

namespace culvert::config {

// The blocks of the language.
enum class Node : std::uint8_t {
    Exec,  // not configuring
    Top,
    Dataplane,
    Interface,
    WireguardPeer,
    Vrf,
    RouterBgp,
    BgpFamily,
    LineVty,
};

// Where in the blocks a line is read: the block, and the names of the objects that it and the blocks around it are
// about.
struct Position {
    Node node = Node::Top;
    std::string interface;
    std::string peer;
    std::string vrf;  // of `vrf NAME` and of `router bgp ... vrf NAME`
    Family family = Family::Ipv4;
    friend bool operator==(const Position&, const Position&) = default;
};

}  // namespace culvert::config
