#include "controlplane/bgp/update.h"

#include <algorithm>

// UPDATE on the way in. decode_update() judges the whole message, defect by defect as RFC 7606 has it, and hands out
// spans; decode_attributes() makes values of an attribute set, which the RIB needs once a set and not once a message.
namespace culvert::bgp {
namespace {

constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kPartial = 0x20, kExtendedLength = 0x10;

// RFC 4271 4.3: what may not follow from the flags of a known attribute.
constexpr std::uint8_t kWellKnown = kTransitive, kOptionalNonTransitive = kOptional,
                       kOptionalTransitive = kOptional | kTransitive;

struct Attribute {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    Bytes value;
};

// Fails when the attribute overruns what there is (RFC 7606 4).
Attribute read_attribute(Reader& in) noexcept
{
    Attribute a;
    a.flags = in.u8();
    a.type = in.u8();
    const std::size_t length = a.flags & kExtendedLength ? in.u16() : in.u8();
    a.value = in.take(length);
    return a;
}

// What is wrong with one attribute; a null reason: nothing.
struct Defect {
    Action action = Action::None;
    const char* reason = nullptr;
};

constexpr Defect withdraw(const char* reason) noexcept { return {Action::TreatAsWithdraw, reason}; }
constexpr Defect discard(const char* reason) noexcept { return {Action::AttributeDiscard, reason}; }

// The flags an attribute of this type must have; nullopt: the type is not known.
constexpr std::optional<std::uint8_t> flags_of(AttrType type) noexcept
{
    switch (type) {
        case AttrType::Origin:
        case AttrType::AsPath:
        case AttrType::NextHop:
        case AttrType::LocalPref:
        case AttrType::AtomicAggregate: return kWellKnown;
        case AttrType::MultiExitDisc:
        case AttrType::OriginatorId:
        case AttrType::ClusterList:
        case AttrType::MpReachNlri:
        case AttrType::MpUnreachNlri: return kOptionalNonTransitive;
        case AttrType::Aggregator:
        case AttrType::Communities:
        case AttrType::ExtendedCommunities:
        case AttrType::As4Path:
        case AttrType::As4Aggregator:
        case AttrType::LargeCommunities: return kOptionalTransitive;
    }
    return std::nullopt;
}

constexpr bool is_multiple(std::size_t size, std::size_t of) noexcept { return size != 0 && size % of == 0; }

// RFC 7606 5.3. Host bits may be set; IpPrefix::make() clears them.
bool is_nlri(Bytes wire, Family family) noexcept
{
    const unsigned longest = static_cast<unsigned>(max_length(family));
    const std::uint8_t* at = wire.data();
    const std::uint8_t* const end = at + wire.size();
    while (at < end) {
        const unsigned length = *at;
        const std::size_t octets = 1 + (length + 7) / 8;
        if (length > longest || octets > static_cast<std::size_t>(end - at)) return false;
        at += octets;
    }
    return true;
}

// RFC 7606 7.2, RFC 7607; `size` octets an ASN. A null reason: sound. `first` is the AS of a leading sequence.
const char* as_path_defect(Bytes value, std::size_t size, bool confederation, Asn& first) noexcept
{
    first = Asn{0};
    bool leading = true;
    for (Reader in{value}; !in.empty(); leading = false) {
        const auto kind = in.u8();
        const std::size_t count = in.u8();
        const auto asns = in.take(count * size);
        if (!in.ok()) return "segment overruns attribute";
        if (count == 0) return "empty segment";
        if (kind < 1 || kind > 4) return "unknown segment type";
        if (kind > 2 && !confederation) return "confederation segment from outside";

        Reader each{asns};
        for (std::size_t i = 0; i < count; ++i) {
            const Asn asn{size == 4 ? each.u32() : each.u16()};
            if (asn == Asn{0}) return "AS 0";
            if (i == 0 && leading && kind == 2) first = asn;
        }
    }
    return nullptr;
}

// RFC 4271 6.3: a NEXT_HOP must be an address of a host.
bool is_host(const IpAddress& a) noexcept
{
    if (a.is_unspecified() || a.is_multicast() || a.is_loopback()) return false;
    return a.is_v6() || !(a.v4().is_class_e() || a.v4().value >> 24 == 0);
}

IpAddress read_address(Reader& in, Family family) noexcept
{
    IpAddress a;
    a.family = family;
    const auto octets = in.take(family == Family::Ipv4 ? 4 : 16);
    std::copy(octets.begin(), octets.end(), a.bits.octets.begin());
    return a;
}

std::optional<Family> family_of(Afi afi, Safi safi) noexcept
{
    if (safi != Safi::Unicast) return std::nullopt;
    if (afi == Afi::Ipv4) return Family::Ipv4;
    if (afi == Afi::Ipv6) return Family::Ipv6;
    return std::nullopt;
}

constexpr std::size_t slot(Family family) noexcept { return static_cast<std::size_t>(family); }

class UpdateDecoder {
public:
    UpdateDecoder(Bytes body, const Negotiated& negotiated, std::vector<std::uint8_t>& scratch,
                  const DecodeOptions& options) noexcept
        : body_(body), negotiated_(negotiated), options_(options), scratch_(scratch)
    {
        // What is copied are disjoint parts of the body.
        if (scratch_.size() < body.size()) scratch_.resize(body.size());
        fill_ = scratch_.data();
    }

    Result<UpdateView, Notification> run()
    {
        Reader in{body_};
        const auto withdrawn = in.take(in.u16());
        const auto attributes = in.take(in.u16());
        const auto nlri = in.rest();
        if (!in.ok()) return reset(update_error::kMalformedAttributeList);
        if (!is_nlri(withdrawn, Family::Ipv4) || !is_nlri(nlri, Family::Ipv4))
            return reset(update_error::kInvalidNetworkField);

        if (negotiates(Family::Ipv4)) {
            view_.unreach[0] = {Family::Ipv4, withdrawn};
            view_.reach[0].nlri = {Family::Ipv4, nlri};
        }
        const bool has_nlri = !nlri.empty();

        if (!walk(attributes)) return reset_;
        // RFC 4760 3: beside MP_REACH_NLRI alone, NEXT_HOP is ignored.
        if (next_hop_defect_.reason && (has_nlri || !mp_reach_)) note(AttrType::NextHop, next_hop_defect_);
        if (has_nlri || mp_reach_) judge_presence(has_nlri);
        // RFC 7606 5.2: without NLRI nothing tells what is to be withdrawn.
        const bool reachable = has_nlri || mp_reach_;
        if (view_.action == Action::TreatAsWithdraw && !reachable && other_than_unreach_)
            return reset(update_error::kMalformedAttributeList);

        finish(withdrawn, attributes, nlri);
        return view_;
    }

private:
    Error<Notification> reset(std::uint8_t subcode, Bytes data = {})
    {
        return Error<Notification>{Notification{ErrorCode::UpdateMessage, subcode, {data.begin(), data.end()}}};
    }
    bool fail(std::uint8_t subcode, Bytes data)
    {
        reset_ = reset(subcode, data);
        return false;
    }
    bool negotiates(Family family) const noexcept
    {
        return family == Family::Ipv4 ? negotiated_.ipv4_unicast : negotiated_.ipv6_unicast;
    }
    bool seen(AttrType type) const noexcept { return seen_[index(type) >> 6] >> (index(type) & 63) & 1; }
    static constexpr std::uint8_t index(AttrType type) noexcept { return static_cast<std::uint8_t>(type); }

    void note(AttrType type, Defect defect) noexcept
    {
        if (defect.action <= view_.action) return;
        view_.action = defect.action;
        view_.error = {type, defect.action, defect.reason};
    }
    void keep(const std::uint8_t* from, const std::uint8_t* to) noexcept
    {
        if (from == to) return;
        std::memcpy(fill_, from, static_cast<std::size_t>(to - from));
        fill_ += to - from;
    }

    // False: session reset. Attributes that stay are copied in runs, so that they are contiguous.
    bool walk(Bytes attributes)
    {
        const auto* run = attributes.data();
        Reader in{attributes};
        while (!in.empty()) {
            const auto* start = in.rest().data();
            const auto a = read_attribute(in);
            if (!in.ok()) {
                other_than_unreach_ = true;
                note(AttrType{a.type}, culvert::bgp::withdraw("attribute overruns the attributes"));
                keep(run, start);
                return true;
            }
            const auto* end = in.rest().data();
            bool stays = true;
            if (!take(a, {start, static_cast<std::size_t>(end - start)}, stays)) return false;
            if (!stays) {
                keep(run, start);
                run = end;
            }
        }
        keep(run, attributes.data() + attributes.size());
        return true;
    }

    bool take(const Attribute& a, Bytes whole, bool& stays)
    {
        const AttrType type{a.type};
        other_than_unreach_ |= type != AttrType::MpUnreachNlri;

        auto& word = seen_[a.type >> 6];
        const auto bit = std::uint64_t{1} << (a.type & 63);
        const bool again = word & bit;
        word |= bit;
        const bool multiprotocol = type == AttrType::MpReachNlri || type == AttrType::MpUnreachNlri;
        if (again) {
            if (multiprotocol) return fail(update_error::kMalformedAttributeList, {});
            stays = false;  // RFC 7606 3 g: the first counts, and it is no error
            return true;
        }

        const auto flags = flags_of(type);
        if (!flags) return take_unknown(a, whole, stays);
        const bool flags_agree = (a.flags & (kOptional | kTransitive)) == *flags;
        if (multiprotocol) {
            stays = false;
            if (!flags_agree) return fail(update_error::kAttributeFlags, whole);
            return type == AttrType::MpReachNlri ? take_reach(a.value, whole) : take_unreach(a.value, whole);
        }

        auto defect = judge(type, a.value);
        // What is discarded whatever it holds (LOCAL_PREF from outside) is discarded whatever its flags are.
        if (!flags_agree && !is_foreign(type)) defect = culvert::bgp::withdraw("attribute flags");
        if (type == AttrType::NextHop) {
            next_hop_defect_ = defect;
            stays = false;
        } else if (defect.reason) {
            note(type, defect);
            stays = false;
        }
        return true;
    }

    bool take_unknown(const Attribute& a, Bytes whole, bool& stays)
    {
        if (!(a.flags & kOptional)) return fail(update_error::kUnrecognizedWellKnown, whole);
        stays = a.flags & kTransitive;  // RFC 4271 5: else quietly ignored
        return true;
    }

    // Attributes that mean nothing on this kind of session and are dropped unread.
    bool is_foreign(AttrType type) const noexcept
    {
        switch (type) {
            case AttrType::LocalPref:
            case AttrType::OriginatorId:
            case AttrType::ClusterList: return negotiated_.external;
            case AttrType::As4Path:
            case AttrType::As4Aggregator: return negotiated_.four_octet_as;  // RFC 6793 4.1
            default: return false;
        }
    }

    // RFC 7606 7, and the RFCs named, for one attribute's value.
    Defect judge(AttrType type, Bytes value)
    {
        using culvert::bgp::withdraw;
        if (is_foreign(type)) return discard("not for this kind of session");
        const auto size = value.size();
        const std::size_t asn_size = negotiated_.four_octet_as ? 4 : 2;

        switch (type) {
            case AttrType::Origin:  // 7.1
                if (size != 1) return withdraw("length");
                if (value[0] > 2) return withdraw("undefined value");
                return {};
            case AttrType::AsPath:  // 7.2
                return {Action::TreatAsWithdraw, as_path_defect(value, asn_size, !negotiated_.external, first_as_)};
            case AttrType::NextHop: {  // 7.3
                if (size != 4) return withdraw("length");
                Reader in{value};
                next_hop_ = read_address(in, Family::Ipv4);
                return is_host(next_hop_) ? Defect{} : withdraw("not an address of a host");
            }
            case AttrType::MultiExitDisc:  // 7.4
            case AttrType::LocalPref:      // 7.5
            case AttrType::OriginatorId:   // 7.9
                return size == 4 ? Defect{} : withdraw("length");
            case AttrType::AtomicAggregate:  // 7.6
                return size == 0 ? Defect{} : discard("length");
            case AttrType::Aggregator:  // 7.7
                return judge_aggregator(value, asn_size);
            case AttrType::As4Aggregator:  // RFC 6793 6
                return judge_aggregator(value, 4);
            case AttrType::Communities:  // 7.8
            case AttrType::ClusterList:  // 7.10
                return is_multiple(size, 4) ? Defect{} : withdraw("length");
            case AttrType::ExtendedCommunities:  // 7.14
                return is_multiple(size, 8) ? Defect{} : withdraw("length");
            case AttrType::LargeCommunities:  // RFC 8092 6
                return is_multiple(size, 12) ? Defect{} : withdraw("length");
            case AttrType::As4Path: {  // RFC 6793 6
                Asn first;
                if (size == 0) return discard("length");
                return {Action::AttributeDiscard, as_path_defect(value, 4, true, first)};
            }
            case AttrType::MpReachNlri:
            case AttrType::MpUnreachNlri: break;
        }
        return {};
    }

    static Defect judge_aggregator(Bytes value, std::size_t asn_size) noexcept
    {
        if (value.size() != asn_size + 4) return discard("length");
        Reader in{value};
        const auto asn = asn_size == 4 ? in.u32() : in.u16();
        return asn != 0 ? Defect{} : discard("AS 0");  // RFC 7607
    }

    // RFC 4760 3, RFC 2545 3, RFC 8950 3, RFC 7606 7.11.
    bool take_reach(Bytes value, Bytes whole)
    {
        Reader in{value};
        const Afi afi{in.u16()};
        const Safi safi{in.u8()};
        Reader next_hop{in.take(in.u8())};
        in.skip(1);  // reserved
        if (!in.ok()) return fail(update_error::kOptionalAttribute, whole);
        const auto nlri = in.rest();

        const auto family = family_of(afi, safi);
        if (!family || !negotiates(*family)) {
            mp_reach_ |= !nlri.empty();
            return true;
        }
        const auto size = next_hop.remaining();
        const bool classic = *family == Family::Ipv4 && size == 4;
        const bool extended = (*family == Family::Ipv6 || negotiated_.extended_next_hop) && (size == 16 || size == 32);
        if (!classic && !extended) return fail(update_error::kOptionalAttribute, whole);
        if (!is_nlri(nlri, *family)) return fail(update_error::kOptionalAttribute, whole);
        mp_reach_ |= !nlri.empty();
        mp_family_ = *family;
        mp_nlri_ = nlri;

        auto address = read_address(next_hop, classic ? Family::Ipv4 : Family::Ipv6);
        std::optional<Ipv6Address> link_local;
        if (!next_hop.empty()) {
            const auto second = read_address(next_hop, Family::Ipv6);
            if (second.is_link_local()) link_local = second.v6();  // anything else there is not of RFC 2545
        }
        if (link_local && address.is_unspecified()) address = *link_local;  // no global address: sent so by some
        if (!is_host(address)) note(AttrType::MpReachNlri, culvert::bgp::withdraw("next hop not an address of a host"));
        mp_next_hop_ = address;
        mp_link_local_ = link_local;
        return true;
    }

    bool take_unreach(Bytes value, Bytes whole)
    {
        Reader in{value};
        const Afi afi{in.u16()};
        const Safi safi{in.u8()};
        if (!in.ok()) return fail(update_error::kOptionalAttribute, whole);
        const auto family = family_of(afi, safi);
        if (!family || !negotiates(*family)) return true;
        if (!is_nlri(in.rest(), *family)) return fail(update_error::kOptionalAttribute, whole);
        mp_unreach_family_ = *family;
        mp_unreach_ = in.rest();
        return true;
    }

    // RFC 7606 3 d, for an UPDATE that announces.
    void judge_presence(bool has_nlri) noexcept
    {
        using culvert::bgp::withdraw;
        if (!seen(AttrType::Origin)) note(AttrType::Origin, withdraw("missing"));
        if (!seen(AttrType::AsPath)) note(AttrType::AsPath, withdraw("missing"));
        if (has_nlri && !seen(AttrType::NextHop)) note(AttrType::NextHop, withdraw("missing"));
        if (!negotiated_.external && !seen(AttrType::LocalPref)) note(AttrType::LocalPref, withdraw("missing"));
        if (options_.enforce_first_as && negotiated_.external && first_as_ != negotiated_.remote_as)
            note(AttrType::AsPath, withdraw("does not begin with the neighbor's AS"));
    }

    // Two ranges of one family in a message (classic and multiprotocol): nobody sends that, and both must count.
    Bytes joined(Bytes a, Bytes b) noexcept
    {
        if (a.empty()) return b;
        if (b.empty()) return a;
        const auto* start = fill_;
        keep(a.data(), a.data() + a.size());
        keep(b.data(), b.data() + b.size());
        return {start, a.size() + b.size()};
    }

    void finish(Bytes withdrawn, Bytes attributes, Bytes nlri) noexcept
    {
        const Bytes kept{scratch_.data(), static_cast<std::size_t>(fill_ - scratch_.data())};
        if (view_.action != Action::TreatAsWithdraw) view_.attributes = kept;

        view_.reach[0].next_hop = next_hop_;
        view_.reach[1].nlri = {Family::Ipv6, {}};
        view_.unreach[1] = {Family::Ipv6, {}};
        if (!mp_nlri_.empty()) {
            auto& reach = view_.reach[slot(mp_family_)];
            if (!reach.nlri.empty() && next_hop_ != mp_next_hop_) {
                note(AttrType::MpReachNlri, culvert::bgp::withdraw("two next hops for one family"));
                view_.attributes = {};
            }
            reach.nlri = {mp_family_, joined(reach.nlri.wire(), mp_nlri_)};
            reach.next_hop = mp_next_hop_;
            reach.link_local_next_hop = mp_link_local_;
        }
        if (mp_unreach_family_) {
            auto& unreach = view_.unreach[slot(*mp_unreach_family_)];
            unreach = {*mp_unreach_family_, joined(unreach.wire(), mp_unreach_)};
        }

        // RFC 4724 2.
        const bool silent = withdrawn.empty() && nlri.empty();
        if (silent && attributes.empty() && negotiated_.ipv4_unicast) view_.end_of_rib = Family::Ipv4;
        if (silent && mp_unreach_family_ && mp_unreach_.empty() && !other_than_unreach_)
            view_.end_of_rib = mp_unreach_family_;
    }

    Bytes body_;
    const Negotiated& negotiated_;
    const DecodeOptions& options_;
    std::vector<std::uint8_t>& scratch_;
    std::uint8_t* fill_;

    UpdateView view_;
    Error<Notification> reset_{Notification{}};
    std::uint64_t seen_[4]{};
    Asn first_as_{};
    IpAddress next_hop_{};
    Defect next_hop_defect_;
    bool mp_reach_ = false;            // reachable prefixes in MP_REACH_NLRI, of whatever family
    bool other_than_unreach_ = false;  // an attribute other than MP_UNREACH_NLRI
    Family mp_family_ = Family::Ipv6;
    Bytes mp_nlri_;
    IpAddress mp_next_hop_{};
    std::optional<Ipv6Address> mp_link_local_;
    std::optional<Family> mp_unreach_family_;
    Bytes mp_unreach_;
};

AsPath read_as_path(Bytes value, std::size_t size)
{
    AsPath path;
    for (Reader in{value}; !in.empty();) {
        const auto kind = in.u8();
        const std::size_t count = in.u8();
        Reader asns{in.take(count * size)};
        if (!in.ok()) break;
        AsPath::Segment segment;
        segment.kind = AsPath::Kind{kind};
        segment.asns.reserve(count);
        while (!asns.empty()) segment.asns.push_back(Asn{size == 4 ? asns.u32() : asns.u16()});
        path.segments.push_back(std::move(segment));
    }
    return path;
}

Aggregator read_aggregator(Bytes value)
{
    Reader in{value};
    Aggregator aggregator;
    aggregator.asn = Asn{value.size() == 8 ? in.u32() : in.u16()};
    aggregator.address.value = in.u32();
    return aggregator;
}

template <class T, class Read>
std::vector<T> read_list(Bytes value, Read&& read)
{
    std::vector<T> out;
    for (Reader in{value}; !in.empty();) out.push_back(read(in));
    return out;
}

template <class T>
void sort_unique(std::vector<T>& v)
{
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
}

// RFC 6793 4.2.3: the tail of the path, in four octets, behind what two-octet speakers put in front of it.
AsPath merged(AsPath path, AsPath as4)
{
    std::erase_if(as4.segments, [](const AsPath::Segment& s) {
        return s.kind == AsPath::Kind::ConfedSequence || s.kind == AsPath::Kind::ConfedSet;
    });
    const auto length = path.length(), as4_length = as4.length();
    if (as4.segments.empty() || length < as4_length) return path;

    auto lead = length - as4_length;
    AsPath out;
    for (auto& segment : path.segments) {
        switch (segment.kind) {
            case AsPath::Kind::Sequence:
                if (segment.asns.size() > lead) segment.asns.resize(lead);
                lead -= segment.asns.size();
                break;
            case AsPath::Kind::Set:
                if (lead == 0)
                    segment.asns.clear();
                else
                    --lead;
                break;
            case AsPath::Kind::ConfedSequence:
            case AsPath::Kind::ConfedSet:
                if (lead == 0 && !out.segments.empty()) segment.asns.clear();
                break;
        }
        if (!segment.asns.empty()) out.segments.push_back(std::move(segment));
    }
    // One sequence where the two meet, as if it had never been cut.
    if (!out.segments.empty() && out.segments.back().kind == AsPath::Kind::Sequence &&
        as4.segments.front().kind == AsPath::Kind::Sequence &&
        out.segments.back().asns.size() + as4.segments.front().asns.size() <= 255) {
        auto& tail = as4.segments.front().asns;
        auto& head = out.segments.back().asns;
        tail.insert(tail.begin(), head.begin(), head.end());
        out.segments.pop_back();
    }
    std::move(as4.segments.begin(), as4.segments.end(), std::back_inserter(out.segments));
    return out;
}

}  // namespace

Result<UpdateView, Notification> decode_update(Bytes body, const Negotiated& negotiated,
                                               std::vector<std::uint8_t>& scratch, const DecodeOptions& options)
{
    return UpdateDecoder{body, negotiated, scratch, options}.run();
}

PathAttributes decode_attributes(Bytes attributes, const Negotiated& negotiated)
{
    PathAttributes out;
    std::optional<AsPath> as4_path;
    std::optional<Aggregator> as4_aggregator;

    Reader in{attributes};
    while (!in.empty()) {
        const auto a = read_attribute(in);
        if (!in.ok()) break;
        Reader v{a.value};
        switch (AttrType{a.type}) {
            case AttrType::Origin: out.origin = Origin{v.u8()}; break;
            case AttrType::AsPath: out.as_path = read_as_path(a.value, negotiated.four_octet_as ? 4 : 2); break;
            case AttrType::MultiExitDisc: out.med = v.u32(); break;
            case AttrType::LocalPref: out.local_pref = v.u32(); break;
            case AttrType::AtomicAggregate: out.atomic_aggregate = true; break;
            case AttrType::Aggregator: out.aggregator = read_aggregator(a.value); break;
            case AttrType::Communities:
                out.communities = read_list<std::uint32_t>(a.value, [](Reader& r) { return r.u32(); });
                sort_unique(out.communities);
                break;
            case AttrType::OriginatorId: out.originator_id = Ipv4Address{v.u32()}; break;
            case AttrType::ClusterList:
                out.cluster_list = read_list<std::uint32_t>(a.value, [](Reader& r) { return r.u32(); });
                break;
            case AttrType::ExtendedCommunities:
                out.extended_communities = read_list<std::uint64_t>(a.value, [](Reader& r) { return r.u64(); });
                sort_unique(out.extended_communities);
                break;
            case AttrType::As4Path: as4_path = read_as_path(a.value, 4); break;
            case AttrType::As4Aggregator: as4_aggregator = read_aggregator(a.value); break;
            case AttrType::LargeCommunities:
                out.large_communities = read_list<LargeCommunity>(a.value, [](Reader& r) {
                    LargeCommunity c{};
                    c.global = r.u32();
                    c.local1 = r.u32();
                    c.local2 = r.u32();
                    return c;
                });
                sort_unique(out.large_communities);
                break;
            case AttrType::NextHop:
            case AttrType::MpReachNlri:
            case AttrType::MpUnreachNlri: break;
            default:
                out.unknown.push_back({static_cast<std::uint8_t>(kOptionalTransitive | kPartial),
                                       a.type,
                                       {a.value.begin(), a.value.end()}});
                break;
        }
    }

    std::stable_sort(out.unknown.begin(), out.unknown.end(),
                     [](const UnknownAttribute& a, const UnknownAttribute& b) { return a.type < b.type; });
    // RFC 6793 4.2.3: an AGGREGATOR that is not AS_TRANS was put on by someone who did not know the four-octet ones.
    if (as4_aggregator && out.aggregator) {
        if (out.aggregator->asn != kAsTrans) return out;
        out.aggregator = as4_aggregator;
    }
    if (as4_path) out.as_path = merged(std::move(out.as_path), std::move(*as4_path));
    return out;
}

}  // namespace culvert::bgp
