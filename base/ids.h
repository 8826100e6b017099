#pragma once

#include <cstdint>
#include <type_traits>

namespace culvert {

// Names for the objects both planes know. Zero means "none" unless said otherwise. Ids are handed out by the control
// plane and reused only after the dataplane has acknowledged their deletion.
enum class VrfId : std::uint16_t {};        // 0 is the default VRF
enum class InterfaceId : std::uint16_t {};  // ports, loopbacks, tunnels
enum class PortId : std::uint16_t {};  // 0 is a port: the value DPDK would use, or culvert's own above kFirstOwnPort
enum class NexthopId : std::uint32_t {};
enum class GroupId : std::uint32_t {};       // what a route points to; 0 is "no route"
enum class PeerId : std::uint32_t {};        // a WireGuard peer
enum class WorkerId : std::uint8_t {};       // 0 is the first worker
enum class BfdSessionId : std::uint32_t {};  // a BFD session; not its discriminator
enum class ProtectionId : std::uint32_t {};  // what IPsec protects: one tunnel endpoint's SAs, present and to come

enum class Asn : std::uint32_t {};  // four-octet AS number, RFC 6793

inline constexpr VrfId kDefaultVrf{0};
inline constexpr InterfaceId kNoInterface{0};
inline constexpr NexthopId kNoNexthop{0};
inline constexpr GroupId kNoGroup{0};
inline constexpr PeerId kNoPeer{0};
inline constexpr BfdSessionId kNoBfdSession{0};
inline constexpr ProtectionId kNoProtection{0};
inline constexpr PortId kNoPort{0xffff};

// The number behind an id, to index an array with.
template <class Id>
    requires std::is_enum_v<Id>
constexpr auto index(Id id) noexcept
{
    return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace culvert
