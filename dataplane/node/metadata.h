#pragma once

#include "base/ids.h"
#include "dataplane/api/verdict.h"

#include <rte_mbuf.h>

#include <cstdint>

namespace culvert::node {

using api::Verdict;

// Where a packet goes on. The pipeline has one queue for each, and runs them in this order.
enum class Stage : std::uint8_t {
    Ip4Input,   // a packet that came in by `input`: header checks, what is local
    Ip6Input,
    Decap,      // WireGuard data for us; data starts at the outer IP header
    Lookup4,    // destination -> group -> next hop
    Lookup6,
    Forward4,   // has a next hop: TTL, MTU, MSS, then the next hop's kind
    Forward6,
    Encap,      // has a peer
    Answer,     // becomes an ICMP error
    HostLink,   // for this box
    Rewrite,    // has an adjacency: link-layer header
    Transmit,   // complete frame for `output`
    End,        // has its final verdict
};
inline constexpr std::size_t kStageCount = static_cast<std::size_t>(Stage::End) + 1;

enum class Flag : std::uint8_t {
    FromUs = 1,          // made here (host link, inject, ICMP, tunnel): no TTL decrement, no martian source check
    GroupFrame = 2,      // link-layer multicast or broadcast: never answered
    Traced = 4,
    Control = 8,         // transmitted before data
    Encrypted = 16,      // outer packet of a tunnel: never tunnelled into the same one
    FromLookup = 32,     // next hop was picked; a change means "look it up again"
};

// What culvert knows of a packet, in the mbuf's private area. Nothing else travels with a packet, not through the
// hand-over rings and not in the hold queues. The mbuf's data starts at the IP header from classify to rewrite.
struct Metadata {
    std::int64_t received_at;   // TimePoint count
    std::uint32_t flow_hash;    // of the innermost flow seen, 0 until it is computed
    GroupId group;
    NexthopId nexthop;
    PeerId peer;
    VrfId vrf;                  // where the packet is being routed
    InterfaceId input;          // kNoInterface: made here
    InterfaceId output;
    std::uint16_t length;       // of the IP packet, octets
    std::uint16_t mtu;          // what an ICMP error reports
    std::uint8_t l4_offset;     // from the IP header; 0: not known, or not the first fragment
    std::uint8_t l4_protocol;
    Verdict verdict;
    Stage stage;
    WorkerId owner;
    std::uint8_t encapsulations;
    std::uint8_t flags;
    std::uint8_t icmp_type;     // of the error that Answer makes
    std::uint8_t icmp_code;
    std::uint8_t link_header;   // octets before the IP header that still hold the frame's own
    std::uint8_t reserved[18];

    bool has(Flag f) const noexcept { return (flags & static_cast<std::uint8_t>(f)) != 0; }
    void set(Flag f) noexcept { flags |= static_cast<std::uint8_t>(f); }
    void clear(Flag f) noexcept { flags &= static_cast<std::uint8_t>(~static_cast<std::uint8_t>(f)); }

    // Ends the packet's way.
    void end(Verdict v) noexcept
    {
        verdict = v;
        stage = Stage::End;
    }
};
static_assert(sizeof(Metadata) == 64, "one cache line");

inline constexpr std::uint16_t kMetadataSize = sizeof(Metadata);  // the private area of every mbuf pool
inline constexpr std::uint8_t kMaxEncapsulations = 4;

inline Metadata& metadata(rte_mbuf* m) noexcept { return *reinterpret_cast<Metadata*>(m + 1); }

}  // namespace culvert::node
