#pragma once

#include "base/ids.h"
#include "base/ip.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace culvert::bgp {

enum class Afi : std::uint16_t { Ipv4 = 1, Ipv6 = 2 };
enum class Safi : std::uint8_t { Unicast = 1, Multicast = 2 };

enum class AttrType : std::uint8_t {
    Origin = 1,
    AsPath = 2,
    NextHop = 3,
    MultiExitDisc = 4,
    LocalPref = 5,
    AtomicAggregate = 6,
    Aggregator = 7,
    Communities = 8,
    OriginatorId = 9,
    ClusterList = 10,
    MpReachNlri = 14,
    MpUnreachNlri = 15,
    ExtendedCommunities = 16,
    As4Path = 17,
    As4Aggregator = 18,
    LargeCommunities = 32,
};

enum class Origin : std::uint8_t { Igp = 0, Egp = 1, Incomplete = 2 };

struct AsPath {
    enum class Kind : std::uint8_t { Set = 1, Sequence = 2, ConfedSequence = 3, ConfedSet = 4 };
    struct Segment {
        Kind kind = Kind::Sequence;
        std::vector<Asn> asns;
        friend auto operator<=>(const Segment&, const Segment&) = default;
    };
    std::vector<Segment> segments;

    // RFC 4271 9.1.2.2 a: a set counts one; RFC 5065: confederation segments count nothing.
    std::size_t length() const noexcept;
    // The neighbouring AS: the first of the leading sequence; nullopt for an empty (own, iBGP) path.
    std::optional<Asn> neighbor_as() const noexcept;
    std::optional<Asn> origin_as() const noexcept;
    std::size_t count(Asn asn) const noexcept;
    void prepend(Asn asn, std::size_t times = 1);
    std::string to_string() const;  // as FRR: "65001 65002 {1,2}"
    friend auto operator<=>(const AsPath&, const AsPath&) = default;
};

struct Aggregator {
    Asn asn{};
    Ipv4Address address;
    friend auto operator<=>(const Aggregator&, const Aggregator&) = default;
};

struct LargeCommunity {
    std::uint32_t global, local1, local2;
    friend auto operator<=>(const LargeCommunity&, const LargeCommunity&) = default;
};

// An optional transitive attribute this version does not know; passed on with the Partial bit.
struct UnknownAttribute {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    std::vector<std::uint8_t> value;
    friend auto operator<=>(const UnknownAttribute&, const UnknownAttribute&) = default;
};

// The attribute set of a path: what is interned. The next hop belongs to it.
struct PathAttributes {
    Origin origin = Origin::Incomplete;
    AsPath as_path;
    IpAddress next_hop{};
    std::optional<Ipv6Address> link_local_next_hop;  // RFC 2545
    std::optional<std::uint32_t> med;
    std::optional<std::uint32_t> local_pref;
    bool atomic_aggregate = false;
    std::optional<Aggregator> aggregator;
    std::vector<std::uint32_t> communities;           // sorted, unique
    std::vector<std::uint64_t> extended_communities;  // sorted, unique
    std::vector<LargeCommunity> large_communities;    // sorted, unique
    std::optional<Ipv4Address> originator_id;
    std::vector<std::uint32_t> cluster_list;
    std::vector<UnknownAttribute> unknown;  // by type
    friend auto operator<=>(const PathAttributes&, const PathAttributes&) = default;
};

}  // namespace culvert::bgp
