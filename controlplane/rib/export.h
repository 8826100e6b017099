#pragma once

#include "controlplane/bgp/encode.h"
#include "controlplane/rib/attribute_table.h"
#include "controlplane/rib/handle_map.h"
#include "controlplane/rib/rib.h"

namespace culvert::rib {

// All that decides how an attribute set looks on its way to a neighbour. Neighbours with equal rules share what was
// encoded.
struct ExportRules {
    Family family = Family::Ipv4;
    bool external = true;
    bool four_octet_as = true;
    Asn own_as{};                 // the RIB's
    std::optional<Asn> local_as;  // `local-as`, when it differs from own_as
    bool local_as_replace = false;
    Asn remote_as{};   // only where as_override or remove_private_as look at it
    IpAddress self{};  // our end of the session in this family
    std::optional<Ipv6Address> self_link_local;
    bool extended_next_hop = false;  // RFC 8950: IPv4 prefixes go with `self` and `self_link_local` of IPv6
    std::optional<IpPrefix> subnet;  // external only: next hops in it are kept
    bool next_hop_self = false, next_hop_self_force = false, next_hop_unchanged = false;
    bool send_community = true, send_extended_community = true, send_large_community = true;
    bool as_override = false;
    RemovePrivateAs remove_private_as = RemovePrivateAs::No;
    std::uint32_t cluster_id = 0;
    std::uint32_t default_local_preference = 100;
    std::shared_ptr<const policy::ExportStep> step;
    policy::Neighbor neighbor;  // set only with a step: then nothing is shared
    friend bool operator==(const ExportRules& a, const ExportRules& b);
};

// Where the route to be exported came from.
struct ExportSource {
    enum class Kind : std::uint8_t { Local, External, Internal };
    Kind kind = Kind::Local;
    Ipv4Address router_id{};  // Internal: of the neighbour it came from
    bool force_self = false;  // the next hop is the very neighbour it would be sent to
    // What the prefix's multipaths carry together, octets a second, when they share its traffic by it. 0: they don't.
    float bandwidth = 0;
};

// Makes of a set in the RIB what the neighbour is to see. False: nothing (policy, or no usable next hop).
bool export_attributes(const ExportRules& rules, const ExportSource& source, const IpPrefix& prefix,
                       bgp::PathAttributes& attributes);

bool is_private(Asn asn) noexcept;  // RFC 6996

// Encoded sets as neighbours have them, counted: equal handles, equal octets.
class SentSets {
public:
    explicit SentSets(std::uint64_t seed) : seed_(seed) {}

    std::uint32_t intern(const bgp::EncodedAttributes& encoded);  // one reference more; 0: full
    void reference(std::uint32_t set) { ++sets_[set].references; }
    void release(std::uint32_t set)
    {
        if (--sets_[set].references == 0) destroy(set);
    }
    void load(std::uint32_t set, bgp::EncodedAttributes& encoded) const;
    void prefetch(std::uint32_t set) const noexcept { __builtin_prefetch(&sets_[set]); }

    std::size_t size() const noexcept { return sets_.used(); }
    std::size_t octets() const noexcept { return sets_.items().mapped_octets() + index_.octets() + blobs_.octets(); }

private:
    struct SentSet {
        std::uint32_t references = 0;
        std::uint32_t blob = 0;
        std::uint32_t length = 0;
    };

    void destroy(std::uint32_t set);

    std::uint64_t seed_;
    Pool<SentSet> sets_{12};
    HandleIndex index_;
    BlobStore blobs_;
    std::vector<std::uint8_t> key_;
};

// One set of rules, and what became of the attribute sets that went through it.
class ExportContext final : public SetObserver {
public:
    ExportContext(ExportRules rules, AttributeTable& sets, SentSets& sent)
        : rules_(std::move(rules)), sets_(sets), sent_(sent)
    {
        sets_.observe(this);
    }
    ~ExportContext() override { sets_.forget(this); }
    ExportContext(const ExportContext&) = delete;
    ExportContext& operator=(const ExportContext&) = delete;

    const ExportRules& rules() const noexcept { return rules_; }
    // What `set` becomes; 0: nothing. Owned by the context, or, when that depends on the prefix (the step looks at it,
    // or it has a bandwidth of its own), by the caller's last call: reference() it to keep it.
    std::uint32_t translate(std::uint32_t set, const ExportSource& source, const IpPrefix& prefix);
    void prefetch(std::uint32_t set) const noexcept { outcomes_.prefetch(set); }
    // Drops everything; before the context goes.
    void clear();
    void on_set_freed(std::uint32_t set) override;
    std::size_t octets() const noexcept { return outcomes_.octets() + router_ids_.octets(); }

private:
    std::uint32_t make(std::uint32_t set, const ExportSource& source, const IpPrefix& prefix);

    ExportRules rules_;
    AttributeTable& sets_;
    SentSets& sent_;
    // By set: what is sent for it (0: it is not exported) and, above that, the kind of the source, which is not 0.
    HandleMap outcomes_;
    HandleMap router_ids_;    // by set, of the source, where it matters
    std::uint32_t last_ = 0;  // of what depends on the prefix
};

}  // namespace culvert::rib
