#pragma once

#include "controlplane/bgp/attributes.h"
#include "controlplane/bgp/encode.h"
#include "controlplane/rib/blob_store.h"
#include "controlplane/rib/handle_index.h"
#include "controlplane/rib/nexthop_table.h"

namespace culvert::rib {

// An interned attribute set: what the decision process and the export rules look at first. The whole of it lies encoded
// in a blob and is decoded when somebody wants it.
struct AttributeSet {
    enum Flag : std::uint16_t {
        kHasMed = 1,
        kHasLocalPref = 2,
        kHasWeight = 4,  // set by import policy
        kHasOriginator = 8,
        kHasLinkLocal = 16,  // the blob ends in a link-local next hop
        kNoAdvertise = 32,
        kNoExport = 64,      // or NO_EXPORT_SUBCONFED
        kClusterLoop = 128,  // our cluster id or router id is in it
        kIsRaw = 256,        // a neighbour with four-octet ASNs sent the very octets of the blob
        kBandwidthTransitive = 512,
    };

    std::uint32_t raw = 0;         // first of the other raw forms that lead here
    std::uint32_t references = 0;  // 0: free
    std::uint32_t nexthop = 0;
    std::uint32_t blob = 0;
    std::uint32_t length = 0;  // of the blob
    std::uint32_t as_path_hash = 0;
    std::uint64_t hash = 0;
    std::uint32_t local_pref = 0;
    std::uint32_t med = 0;
    std::uint32_t weight = 0;
    Asn neighbor_as{};
    Ipv4Address originator{};
    std::uint16_t flags = 0;
    std::uint16_t path_length = 0;
    std::uint16_t cluster_length = 0;
    std::uint8_t origin = 0;
    std::uint8_t own_as = 0;   // how often our AS is in the path
    float link_bandwidth = 0;  // octets a second; 0: none
};
static_assert(sizeof(AttributeSet) == 64);

// Told when a set goes, so that what was derived from it goes too.
class SetObserver {
public:
    virtual ~SetObserver() = default;
    virtual void on_set_freed(std::uint32_t set) = 0;
};

// All attribute sets of a RIB, counted. Handle 0 is none.
class AttributeTable {
public:
    AttributeTable(NexthopTable& nexthops, std::uint64_t seed) : nexthops_(nexthops), seed_(seed) {}

    // Who "we" are in loop checks. Does not look at sets that exist; see reclassify().
    void set_identity(Asn asn, Ipv4Address router_id, std::uint32_t cluster_id);
    void reclassify();

    // All return the set with one reference more, for the caller; 0 when the table is full.
    // A set as it came: decoded only when these octets are new. `four_octet_as` as the session negotiated.
    std::uint32_t intern(Bytes raw, const IpAddress& next_hop, const std::optional<Ipv6Address>& link_local,
                         bool four_octet_as);
    std::uint32_t intern(const bgp::PathAttributes& attributes, std::optional<std::uint32_t> weight);

    void reference(std::uint32_t set) { ++sets_[set].references; }
    void release(std::uint32_t set)
    {
        if (--sets_[set].references == 0) [[unlikely]]
            destroy(set);
    }

    const AttributeSet& operator[](std::uint32_t set) const noexcept { return sets_[set]; }
    bgp::PathAttributes decode(std::uint32_t set) const;
    void prefetch(std::uint32_t set) const noexcept { __builtin_prefetch(&sets_[set]); }

    void observe(SetObserver* observer) { observers_.push_back(observer); }
    void forget(SetObserver* observer) { std::erase(observers_, observer); }

    std::size_t size() const noexcept { return sets_.used(); }
    std::uint32_t handle_end() const noexcept { return sets_.items().handle_end(); }
    std::size_t octets() const noexcept;

private:
    // Octets as a neighbour sent them, where the set's blob says the same in others, so that equal ones need not be
    // decoded again. They live as long as their set.
    struct RawForm {
        std::uint32_t next = 0;  // of the same set
        std::uint32_t set = 0;
        std::uint32_t blob = 0;
        std::uint32_t length = 0;
        std::uint64_t hash = 0;
        bool four_octet_as = false;
    };

    Bytes attributes_of(const AttributeSet& set) const noexcept;
    std::optional<Ipv6Address> link_local_of(const AttributeSet& set) const noexcept;
    void classify(AttributeSet& set, const bgp::PathAttributes& attributes) const;
    // What a set is found by: `base` is the hash of its octets and next hop.
    std::uint64_t base_hash(Bytes octets, const IpAddress& next_hop) const noexcept;
    static std::uint64_t set_hash(std::uint64_t base, std::uint16_t key_flags, std::uint32_t weight) noexcept;
    std::uint32_t find_set(std::uint64_t hash, Bytes octets, std::uint16_t key_flags, std::uint32_t weight,
                           const IpAddress& next_hop) const;
    void destroy(std::uint32_t set);

    NexthopTable& nexthops_;
    std::uint64_t seed_;
    Asn asn_{};
    Ipv4Address router_id_{};
    std::uint32_t cluster_id_ = 0;

    Pool<AttributeSet> sets_{12};
    HandleIndex set_index_;
    Pool<RawForm> raws_{12};
    HandleIndex raw_index_;
    BlobStore blobs_;
    std::size_t internal_raw_ = 0;  // sets with kIsRaw and kHasLocalPref
    std::vector<SetObserver*> observers_;
    std::vector<std::uint8_t> key_;
};

}  // namespace culvert::rib
