#pragma once

#include "base/ids.h"

#include <cstdint>

// Link-local addresses mean something on one link only (RFC 4007). So each interface that has one routes them in a VRF
// of its own: its link VRF. In it are the interface's own address, the link (fe80::/64) and the neighbours on it;
// nothing else, so a link-local packet leaves by its own interface or not at all. Its host link is a TUN of its own in
// the namespace of the interface's VRF. Link VRFs are numbered above those that the operator names.
namespace culvert::api {

inline constexpr std::uint16_t kFirstLinkVrf = 0x8000;

constexpr VrfId link_vrf(InterfaceId interface) noexcept
{
    return VrfId{static_cast<std::uint16_t>(kFirstLinkVrf | index(interface))};
}
constexpr bool is_link_vrf(VrfId vrf) noexcept { return index(vrf) >= kFirstLinkVrf; }

}  // namespace culvert::api
