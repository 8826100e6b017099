#include "controlplane/rib/attribute_table.h"

#include "controlplane/bgp/link_bandwidth.h"
#include "controlplane/rib/hash.h"

#include <algorithm>
#include <limits>

namespace culvert::rib {

namespace {

constexpr std::uint32_t kNoExport = 0xffffff01, kNoAdvertise = 0xffffff02, kNoExportSubconfed = 0xffffff03;

// Sets are kept in the form an internal four-octet session would carry, or an external one where that says the same: it
// is then mostly what came in, octet for octet.
bgp::Negotiated form(bool external)
{
    bgp::Negotiated n;
    n.four_octet_as = true;
    n.external = external;
    return n;
}

// What tells sets apart besides octets, next hop and weight.
constexpr std::uint16_t kKeyFlags =
    AttributeSet::kHasLocalPref | AttributeSet::kHasWeight | AttributeSet::kHasLinkLocal;

template <class T>
T saturate(std::size_t v)
{
    return static_cast<T>(std::min<std::size_t>(v, std::numeric_limits<T>::max()));
}

std::uint32_t hash_as_path(const bgp::AsPath& path, std::uint64_t seed)
{
    std::uint64_t h = seed + path.segments.size();
    for (const auto& s : path.segments) {
        h = fold(h ^ static_cast<std::uint64_t>(s.kind), 0x9e3779b97f4a7c15ULL + s.asns.size());
        for (const auto asn : s.asns) h = fold(h ^ index(asn), 0xd1b54a32d192ed03ULL);
    }
    return static_cast<std::uint32_t>(h);
}

}  // namespace

void AttributeTable::set_identity(Asn asn, Ipv4Address router_id, std::uint32_t cluster_id)
{
    asn_ = asn;
    router_id_ = router_id;
    cluster_id_ = cluster_id;
}

void AttributeTable::reclassify()
{
    const auto& items = sets_.items();
    for (std::uint32_t h = 1; h < items.handle_end(); h = items.next_chunk(h))
        for (const auto end = items.fresh_end(h); h < end; ++h)
            if (sets_[h].references > 0) classify(sets_[h], decode(h));
}

Bytes AttributeTable::attributes_of(const AttributeSet& set) const noexcept
{
    return blobs_.get(set.blob, set.length - (set.flags & AttributeSet::kHasLinkLocal ? 16 : 0));
}

std::optional<Ipv6Address> AttributeTable::link_local_of(const AttributeSet& set) const noexcept
{
    if (!(set.flags & AttributeSet::kHasLinkLocal)) return std::nullopt;
    Ipv6Address a;
    std::memcpy(a.octets.data(), blobs_.get(set.blob, set.length).last(16).data(), 16);
    return a;
}

std::uint64_t AttributeTable::base_hash(Bytes octets, const IpAddress& next_hop) const noexcept
{
    return hash_bytes(octets, seed_ ^ std::hash<IpAddress>{}(next_hop));
}

std::uint64_t AttributeTable::set_hash(std::uint64_t base, std::uint16_t key_flags, std::uint32_t weight) noexcept
{
    return key_flags == 0 ? base : mix(base ^ (std::uint64_t{key_flags} << 32) ^ weight);
}

std::uint32_t AttributeTable::find_set(std::uint64_t hash, Bytes octets, std::uint16_t key_flags, std::uint32_t weight,
                                       const IpAddress& next_hop) const
{
    return set_index_.find(hash, [&](std::uint32_t h) {
        const AttributeSet& s = sets_[h];
        return s.hash == hash && s.length == octets.size() && (s.flags & kKeyFlags) == key_flags &&
               s.weight == weight && nexthops_[s.nexthop].address == next_hop &&
               std::ranges::equal(blobs_.get(s.blob, s.length), octets);
    });
}

std::uint32_t AttributeTable::intern(Bytes raw, const IpAddress& next_hop, const std::optional<Ipv6Address>& link_local,
                                     bool four_octet_as)
{
    Bytes octets = raw;
    std::uint16_t key_flags = 0;
    if (link_local) {  // as it would lie in a blob
        key_.assign(raw.begin(), raw.end());
        key_.insert(key_.end(), link_local->octets.begin(), link_local->octets.end());
        octets = key_;
        key_flags = AttributeSet::kHasLinkLocal;
    }
    const auto base = base_hash(octets, next_hop);
    if (four_octet_as) {
        // Whether LOCAL_PREF was there is not for the octets to say; it is from an internal neighbour.
        for (const auto flags : {key_flags, static_cast<std::uint16_t>(key_flags | AttributeSet::kHasLocalPref)}) {
            if ((flags & AttributeSet::kHasLocalPref) && internal_raw_ == 0) break;
            const auto set = find_set(set_hash(base, flags, 0), octets, flags, 0, next_hop);
            if (set == 0 || !(sets_[set].flags & AttributeSet::kIsRaw)) continue;
            ++sets_[set].references;
            return set;
        }
    }
    const auto hash = mix(base ^ four_octet_as);
    const auto found = raw_index_.find(hash, [&](std::uint32_t h) {
        const RawForm& r = raws_[h];
        if (r.hash != hash || r.length != raw.size() || r.four_octet_as != four_octet_as) return false;
        const AttributeSet& set = sets_[r.set];
        return std::ranges::equal(blobs_.get(r.blob, r.length), raw) && nexthops_[set.nexthop].address == next_hop &&
               link_local_of(set) == link_local;
    });
    if (found != 0) {
        const auto set = raws_[found].set;
        ++sets_[set].references;
        return set;
    }

    bgp::Negotiated negotiated = form(false);
    negotiated.four_octet_as = four_octet_as;
    auto attributes = bgp::decode_attributes(raw, negotiated);
    attributes.next_hop = next_hop;
    attributes.link_local_next_hop = link_local;
    const auto set = intern(attributes, std::nullopt);
    if (set == 0) return 0;

    AttributeSet& s = sets_[set];
    if (four_octet_as && std::ranges::equal(attributes_of(s), raw)) {
        if ((s.flags & AttributeSet::kHasLocalPref) && !(s.flags & AttributeSet::kIsRaw)) ++internal_raw_;
        s.flags |= AttributeSet::kIsRaw;
        return set;
    }
    const auto entry = raws_.allocate();
    if (entry == 0) return set;
    const auto blob = blobs_.put(raw);
    if (blob == 0) {
        raws_.free(entry);
        return set;
    }
    raws_[entry] = {s.raw, set, blob, static_cast<std::uint32_t>(raw.size()), hash, four_octet_as};
    s.raw = entry;
    raw_index_.insert(hash, entry);
    return set;
}

std::uint32_t AttributeTable::intern(const bgp::PathAttributes& attributes, std::optional<std::uint32_t> weight)
{
    const bool internal = attributes.local_pref || attributes.originator_id || !attributes.cluster_list.empty();
    auto encoded = bgp::encode_attributes(attributes, form(!internal));
    auto& octets = encoded.octets;
    std::uint16_t flags = 0;
    if (attributes.local_pref) flags |= AttributeSet::kHasLocalPref;
    if (weight) flags |= AttributeSet::kHasWeight;
    if (attributes.link_local_next_hop) {
        flags |= AttributeSet::kHasLinkLocal;
        const auto& ll = attributes.link_local_next_hop->octets;
        octets.insert(octets.end(), ll.begin(), ll.end());
    }
    const auto hash = set_hash(base_hash(octets, attributes.next_hop), flags, weight.value_or(0));
    const auto found = find_set(hash, octets, flags, weight.value_or(0), attributes.next_hop);
    if (found != 0) {
        ++sets_[found].references;
        return found;
    }

    const auto handle = sets_.allocate();
    if (handle == 0) return 0;
    AttributeSet& s = sets_[handle];
    s.blob = blobs_.put(octets);
    if (s.blob == 0) {
        sets_.free(handle);
        return 0;
    }
    s.references = 1;
    s.length = static_cast<std::uint32_t>(octets.size());
    s.hash = hash;
    s.flags = flags;
    s.weight = weight.value_or(0);
    s.nexthop = nexthops_.acquire(attributes.next_hop);
    classify(s, attributes);
    set_index_.insert(hash, handle);
    return handle;
}

void AttributeTable::classify(AttributeSet& s, const bgp::PathAttributes& a) const
{
    s.origin = static_cast<std::uint8_t>(a.origin);
    s.path_length = saturate<std::uint16_t>(a.as_path.length());
    s.neighbor_as = a.as_path.neighbor_as().value_or(Asn{});
    s.as_path_hash = hash_as_path(a.as_path, seed_);
    s.own_as = saturate<std::uint8_t>(a.as_path.count(asn_));
    s.local_pref = a.local_pref.value_or(0);
    s.med = a.med.value_or(0);
    s.originator = a.originator_id.value_or(Ipv4Address{});
    s.cluster_length = saturate<std::uint16_t>(a.cluster_list.size());

    s.flags &= kKeyFlags | AttributeSet::kIsRaw;
    if (a.med) s.flags |= AttributeSet::kHasMed;
    if (a.originator_id) s.flags |= AttributeSet::kHasOriginator;
    const auto bandwidth = bgp::link_bandwidth(a);
    s.link_bandwidth = bandwidth ? bandwidth->octets_a_second : 0;
    if (bandwidth && bandwidth->transitive) s.flags |= AttributeSet::kBandwidthTransitive;
    for (const auto c : a.communities) {
        if (c == kNoAdvertise) s.flags |= AttributeSet::kNoAdvertise;
        if (c == kNoExport || c == kNoExportSubconfed) s.flags |= AttributeSet::kNoExport;
    }
    if (a.originator_id == router_id_ || std::ranges::count(a.cluster_list, cluster_id_) > 0)
        s.flags |= AttributeSet::kClusterLoop;
}

bgp::PathAttributes AttributeTable::decode(std::uint32_t set) const
{
    const AttributeSet& s = sets_[set];
    auto attributes = bgp::decode_attributes(attributes_of(s), form(false));
    if (!(s.flags & AttributeSet::kHasLocalPref)) attributes.local_pref.reset();
    attributes.next_hop = nexthops_[s.nexthop].address;
    attributes.link_local_next_hop = link_local_of(s);
    return attributes;
}

void AttributeTable::destroy(std::uint32_t set)
{
    for (auto* observer : observers_) observer->on_set_freed(set);
    const AttributeSet& s = sets_[set];
    for (auto entry = s.raw; entry != 0;) {
        const RawForm r = raws_[entry];
        raw_index_.erase(r.hash, entry);
        blobs_.drop(r.blob);
        raws_.free(entry);
        entry = r.next;
    }
    if ((s.flags & AttributeSet::kHasLocalPref) && (s.flags & AttributeSet::kIsRaw)) --internal_raw_;
    set_index_.erase(s.hash, set);
    nexthops_.release(s.nexthop);
    blobs_.drop(s.blob);
    sets_[set].references = 0;
    sets_.free(set);
}

std::size_t AttributeTable::octets() const noexcept
{
    return sets_.items().mapped_octets() + raws_.items().mapped_octets() + blobs_.octets() + set_index_.octets() +
           raw_index_.octets();
}

}  // namespace culvert::rib
