#pragma once

#include "base/ids.h"
#include "dataplane/api/bfd.h"
#include "dataplane/api/verdict.h"

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

namespace culvert::fib {
struct Nexthop;
}

namespace culvert::node {

using api::Verdict;

// Where a packet goes on. The pipeline has a queue for each and serves the lowest first.
enum class Stage : std::uint8_t {
    Ip4Input,  // came in by `input`: header checks, martians
    Ip6Input,
    Lookup4,  // destination -> group -> `path`
    Lookup6,
    Local,           // for this box
    Bfd,             // for the engine of the worker that owns the session
    Reassemble,      // a fragment that may be tunnel input
    DecapWireguard,  // data for us
    DecapEsp,
    DecapGre,
    Forward4,  // TTL, MTU, MSS, then what kind of next hop it is
    Forward6,
    Answer,          // becomes an ICMP error
    Fragment,        // is cut to the MTU of `path`, then goes on to `after`
    EncapGre,        // into the GRE of `output`
    EncapWireguard,  // sealed for `peer`
    EncapEsp,        // sealed for `protection`
    Rewrite,         // link-layer header of `path`
    Transmit,        // a whole frame for `port`
    End,             // has its final verdict
};
inline constexpr std::size_t kStageCount = static_cast<std::size_t>(Stage::End) + 1;

enum class Flag : std::uint8_t {
    FromUs = 1,      // this box made it (host link, inject, ICMP, tunnel): TTL stays, its source is ours
    GroupFrame = 2,  // link-layer multicast or broadcast: never answered, never forwarded
    Traced = 4,
    Control = 8,  // transmitted before data
    Encrypted =
        16,  // a tunnel's own packet: its outer one (`output` is still the tunnel while it is looked up) or a message
    NeedsSource = 32,  // its source is the address of the interface it leaves by
    LinkScope = 64,    // has a link-local address: not forwarded
    Protected = 128,   // must not leave before it is encrypted, in whatever tunnel it is by then
};

// What culvert knows of a packet, in the mbuf's private area. Nothing else travels with a packet, not through the
// hand-over rings and not in the hold queues. From classify to rewrite the mbuf's data starts at the IP header.
struct Metadata {
    std::int64_t received_at;  // TimePoint count
    rte_mbuf* next;            // in a PacketList
    const fib::Nexthop* path;  // good until the poll round ends: a packet that waits is looked up again
    std::uint32_t flow_hash;   // of the innermost flow; 0 until it is computed
    PeerId peer;
    VrfId vrf;          // where it is routed
    InterfaceId input;  // kNoInterface: made here
    InterfaceId output;
    PortId port;           // Transmit
    std::uint16_t length;  // of the IP packet, octets
    std::uint16_t mtu;     // what an ICMP error reports
    Verdict verdict;
    Verdict otherwise;  // Answer: what it is when the error may not be sent
    Stage stage;
    Stage after;
    WorkerId owner;
    std::uint8_t encapsulations;
    std::uint8_t flags;
    std::uint8_t icmp_code;           // Answer
    std::uint8_t link_header;         // octets in front of the data that are still the frame's own
    std::uint8_t hops;                // between workers
    api::TimestampSource stamped_by;  // what received_at is of
    bool fleeting;                    // worth nothing when it is late, and harmful behind a newer one: never held
    std::uint8_t reserved[4];
    // EncapEsp: whose SA seals it. After DecapEsp: which one it came by, until it enters by a tunnel.
    ProtectionId protection;

    bool has(Flag f) const noexcept { return (flags & static_cast<std::uint8_t>(f)) != 0; }
    void set(Flag f) noexcept { flags |= static_cast<std::uint8_t>(f); }
    void clear(Flag f) noexcept { flags &= static_cast<std::uint8_t>(~static_cast<std::uint8_t>(f)); }

    // Ends the packet's way.
    void end(Verdict v) noexcept
    {
        verdict = v;
        stage = Stage::End;
    }
    // Asks for an ICMP error; `refused` is the verdict when none may be sent.
    void answer(Verdict v, Verdict refused, std::uint8_t code = 0) noexcept
    {
        verdict = v;
        otherwise = refused;
        icmp_code = code;
        stage = Stage::Answer;
    }
};
static_assert(sizeof(Metadata) == 64, "one cache line");

inline constexpr std::uint16_t kMetadataSize = sizeof(Metadata);  // the private area of every mbuf pool
inline constexpr std::uint8_t kMaxEncapsulations = 4;

inline Metadata& metadata(rte_mbuf* m) noexcept { return *reinterpret_cast<Metadata*>(m + 1); }
inline const Metadata& metadata(const rte_mbuf* m) noexcept { return *reinterpret_cast<const Metadata*>(m + 1); }

}  // namespace culvert::node
