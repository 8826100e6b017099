#include "controlplane/rib/export.h"

#include "controlplane/bgp/link_bandwidth.h"
#include "controlplane/rib/hash.h"

#include <algorithm>
#include <tuple>

namespace culvert::rib {

namespace {

auto tie(const ExportRules& r)
{
    return std::tie(r.family, r.external, r.four_octet_as, r.own_as, r.local_as, r.local_as_replace, r.remote_as,
                    r.self, r.self_link_local, r.extended_next_hop, r.subnet, r.next_hop_self, r.next_hop_self_force,
                    r.next_hop_unchanged, r.send_community, r.send_extended_community, r.send_large_community,
                    r.as_override, r.remove_private_as, r.cluster_id, r.default_local_preference, r.step,
                    r.neighbor.address, r.neighbor.asn, r.neighbor.external);
}

// Words of ExportContext::outcomes_.
constexpr unsigned kKindShift = ItemPool::kHandleBits;
constexpr std::uint32_t kSent = (1U << kKindShift) - 1;

// RFC 4271 5.1.3. False: there is no address of ours to put in.
bool set_self(const ExportRules& rules, bgp::PathAttributes& a)
{
    a.link_local_next_hop.reset();
    a.next_hop = rules.self;
    if (rules.family == Family::Ipv4 && !rules.extended_next_hop) return !a.next_hop.is_unspecified();
    if (rules.external) a.link_local_next_hop = rules.self_link_local;
    if (a.next_hop.is_unspecified() && rules.self_link_local) {  // a session on link-local addresses only
        a.next_hop = *rules.self_link_local;
        a.link_local_next_hop = rules.self_link_local;
    }
    return !a.next_hop.is_unspecified();
}

bool set_next_hop(const ExportRules& rules, const ExportSource& source, bgp::PathAttributes& a)
{
    if (a.next_hop.is_unspecified()) return set_self(rules, a);
    // An IPv6 next hop of an IPv4 prefix means nothing to who doesn't know RFC 8950.
    if (rules.family == Family::Ipv4 && a.next_hop.is_v6() && !rules.extended_next_hop) return set_self(rules, a);
    if (rules.next_hop_unchanged) return true;
    if (rules.external) {
        const bool third_party = rules.subnet && rules.subnet->contains(a.next_hop) && !source.force_self;
        if (!third_party) return set_self(rules, a);
        a.link_local_next_hop.reset();
        return true;
    }
    const bool ours = rules.next_hop_self_force || (rules.next_hop_self && source.kind != ExportSource::Kind::Internal);
    if (ours || a.next_hop.is_link_local()) return set_self(rules, a);
    a.link_local_next_hop.reset();  // RFC 2545 3: only for a neighbour on the link
    return true;
}

void remove_private(const ExportRules& rules, bgp::AsPath& path)
{
    const auto removable = [&](Asn asn) { return is_private(asn) && asn != rules.remote_as; };
    if (rules.remove_private_as == RemovePrivateAs::WhenAllPrivate) {
        for (const auto& s : path.segments)
            if (!std::ranges::all_of(s.asns, is_private)) return;
    }
    const auto replacement = rules.local_as.value_or(rules.own_as);
    for (auto& s : path.segments) {
        if (rules.remove_private_as == RemovePrivateAs::AllReplace)
            std::ranges::replace_if(s.asns, removable, replacement);
        else
            std::erase_if(s.asns, removable);
    }
    std::erase_if(path.segments, [](const auto& s) { return s.asns.empty(); });
}

// As FRR: who takes our next hop gets what all our paths carry, not the best one's share; but only in place of a
// transitive community. What is not transitive ends at the border of the AS (RFC 4360 6).
void export_extended_communities(const ExportRules& rules, const ExportSource& source, bool next_hop_is_self,
                                 bgp::PathAttributes& a)
{
    auto& communities = a.extended_communities;
    if (source.bandwidth > 0 && next_hop_is_self) {
        if (const auto own = bgp::link_bandwidth(a); own && own->transitive) {
            std::erase_if(communities, [](std::uint64_t c) {
                const auto b = bgp::link_bandwidth(c);
                return b && b->transitive;
            });
            communities.push_back(bgp::to_extended_community(
                {.asn = rules.own_as, .octets_a_second = source.bandwidth, .transitive = true}));
            std::ranges::sort(communities);
        }
    }
    if (rules.external) std::erase_if(communities, [](std::uint64_t c) { return !bgp::is_transitive(c); });
}

}  // namespace

bool operator==(const ExportRules& a, const ExportRules& b) { return tie(a) == tie(b); }

bool is_private(Asn asn) noexcept
{
    const auto n = index(asn);
    return (n >= 64512 && n <= 65534) || (n >= 4200000000 && n <= 4294967294);
}

bool export_attributes(const ExportRules& rules, const ExportSource& source, const IpPrefix& prefix,
                       bgp::PathAttributes& a)
{
    using Kind = ExportSource::Kind;
    if (rules.external) {
        // RFC 4271 5.1.4: a neighbouring AS's MED is not for a third one.
        if (source.kind != Kind::Local) a.med.reset();
        if (rules.remove_private_as != RemovePrivateAs::No) remove_private(rules, a.as_path);
        if (rules.as_override)
            for (auto& s : a.as_path.segments)
                std::ranges::replace(s.asns, rules.remote_as, rules.local_as.value_or(rules.own_as));
    } else {
        if (!a.local_pref) a.local_pref = rules.default_local_preference;
        if (source.kind == Kind::Internal) {  // RFC 4456 8
            if (!a.originator_id) a.originator_id = source.router_id;
            a.cluster_list.insert(a.cluster_list.begin(), rules.cluster_id);
        }
    }
    const auto next_hop = a.next_hop;
    if (!set_next_hop(rules, source, a)) return false;
    export_extended_communities(rules, source, !(a.next_hop == next_hop), a);
    if (!rules.send_community) a.communities.clear();
    if (!rules.send_extended_community) a.extended_communities.clear();
    if (!rules.send_large_community) a.large_communities.clear();

    if (rules.step) {
        std::uint32_t weight = 0;
        if (rules.step->apply({prefix, rules.neighbor, a, weight}) == policy::Verdict::Reject) return false;
    }
    if (rules.external) {
        if (!rules.local_as || !rules.local_as_replace) a.as_path.prepend(rules.own_as);
        if (rules.local_as) a.as_path.prepend(*rules.local_as);
    }
    return true;
}

std::uint32_t SentSets::intern(const bgp::EncodedAttributes& encoded)
{
    key_.clear();
    key_.push_back(static_cast<std::uint8_t>(encoded.next_hop_at));  // a few octets: ORIGIN and AS_PATH come before it
    key_.push_back(static_cast<std::uint8_t>(encoded.next_hop_at >> 8));
    key_.push_back(
        static_cast<std::uint8_t>((encoded.next_hop.is_v6() ? 1 : 0) | (encoded.link_local_next_hop ? 2 : 0)));
    const auto append = [&](Bytes b) { key_.insert(key_.end(), b.begin(), b.end()); };
    append(encoded.next_hop.octets());
    if (encoded.link_local_next_hop) append(encoded.link_local_next_hop->octets);
    append(encoded.octets);

    const auto hash = hash_bytes(key_, seed_);
    const auto found = index_.find(hash, [&](std::uint32_t h) {
        const SentSet& s = sets_[h];
        return s.length == key_.size() && std::ranges::equal(blobs_.get(s.blob, s.length), key_);
    });
    if (found != 0) {
        ++sets_[found].references;
        return found;
    }
    const auto handle = sets_.allocate();
    if (handle == 0) return 0;
    const auto blob = blobs_.put(key_);
    if (blob == 0) {
        sets_.free(handle);
        return 0;
    }
    sets_[handle] = {1, blob, static_cast<std::uint32_t>(key_.size())};
    index_.insert(hash, handle);
    return handle;
}

void SentSets::load(std::uint32_t set, bgp::EncodedAttributes& encoded) const
{
    const SentSet& s = sets_[set];
    Reader in{blobs_.get(s.blob, s.length)};
    encoded.next_hop_at = in.u8();
    encoded.next_hop_at |= static_cast<std::size_t>(in.u8()) << 8;
    const auto kind = in.u8();
    encoded.next_hop = {};
    encoded.next_hop.family = kind & 1 ? Family::Ipv6 : Family::Ipv4;
    const auto next_hop = in.take(kind & 1 ? 16 : 4);
    std::ranges::copy(next_hop, encoded.next_hop.bits.octets.begin());
    encoded.link_local_next_hop.reset();
    if (kind & 2) std::ranges::copy(in.take(16), encoded.link_local_next_hop.emplace().octets.begin());
    encoded.octets.assign(in.rest().begin(), in.rest().end());
}

void SentSets::destroy(std::uint32_t set)
{
    const SentSet& s = sets_[set];
    index_.erase(hash_bytes(blobs_.get(s.blob, s.length), seed_), set);
    blobs_.drop(s.blob);
    sets_.free(set);
}

std::uint32_t ExportContext::translate(std::uint32_t set, const ExportSource& source, const IpPrefix& prefix)
{
    if (source.bandwidth > 0 || (rules_.step && rules_.step->depends_on_prefix())) {
        if (last_ != 0) sent_.release(last_);
        last_ = make(set, source, prefix);
        return last_;
    }
    // Only what matters here of where it came from.
    const bool reflected = !rules_.external && source.kind == ExportSource::Kind::Internal;
    const std::uint32_t kind = 1 + static_cast<std::uint32_t>(source.kind) + (source.force_self ? 4 : 0);
    const std::uint32_t router_id =
        reflected && !(sets_[set].flags & AttributeSet::kHasOriginator) ? source.router_id.value : 0;
    const auto known = outcomes_[set];
    if (known >> kKindShift == kind && (!reflected || router_ids_[set] == router_id)) return known & kSent;
    const auto made = make(set, source, prefix);
    if (known & kSent) sent_.release(known & kSent);
    outcomes_.set(set, kind << kKindShift | made);
    router_ids_.set(set, router_id);
    return made;
}

std::uint32_t ExportContext::make(std::uint32_t set, const ExportSource& source, const IpPrefix& prefix)
{
    auto attributes = sets_.decode(set);
    if (!export_attributes(rules_, source, prefix, attributes)) return 0;
    bgp::Negotiated negotiated;
    negotiated.four_octet_as = rules_.four_octet_as;
    negotiated.external = rules_.external;
    return sent_.intern(bgp::encode_attributes(attributes, negotiated));
}

void ExportContext::clear()
{
    outcomes_.clear([&](std::uint32_t word) {
        if (word & kSent) sent_.release(word & kSent);
    });
    router_ids_ = {};
    if (last_ != 0) sent_.release(std::exchange(last_, 0));
}

void ExportContext::on_set_freed(std::uint32_t set)
{
    if (const auto sent = outcomes_[set] & kSent; sent != 0) sent_.release(sent);
    outcomes_.set(set, 0);
    router_ids_.set(set, 0);
}

}  // namespace culvert::rib
