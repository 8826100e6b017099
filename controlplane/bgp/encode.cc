#include "controlplane/bgp/encode.h"

#include "base/check.h"
#include "controlplane/bgp/message.h"

#include <algorithm>

namespace culvert::bgp {
namespace {

constexpr std::uint8_t kWellKnown = 0x40, kOptional = 0x80, kOptionalTransitive = 0xc0, kExtendedLength = 0x10;
constexpr std::uint32_t kDefaultLocalPref = 100;
constexpr std::size_t kNextHopAttribute = 7;  // flags, type, length, four octets
constexpr std::size_t kMaxSegment = 255;
constexpr std::size_t kSlack = 17;  // add() always writes a length and sixteen octets

class AttributeWriter {
public:
    explicit AttributeWriter(std::vector<std::uint8_t>& out) : out_(out) {}

    // `write` writes the value.
    template <class Write>
    void put(std::uint8_t flags, std::uint8_t type, Write&& write)
    {
        value_.clear();
        Writer value{value_};
        write(value);
        if (value_.size() > 255) flags |= kExtendedLength;
        out_.u8(flags);
        out_.u8(type);
        if (flags & kExtendedLength)
            out_.u16(static_cast<std::uint16_t>(value_.size()));
        else
            out_.u8(static_cast<std::uint8_t>(value_.size()));
        out_.bytes(value_);
    }
    template <class Write>
    void put(std::uint8_t flags, AttrType type, Write&& write)
    {
        put(flags, static_cast<std::uint8_t>(type), std::forward<Write>(write));
    }

private:
    Writer out_;
    std::vector<std::uint8_t> value_;
};

std::uint16_t two_octets(Asn asn) noexcept
{
    return static_cast<std::uint16_t>(index(asn) > 0xffff ? index(kAsTrans) : index(asn));
}

bool is_confederation(AsPath::Kind kind) noexcept
{
    return kind == AsPath::Kind::ConfedSequence || kind == AsPath::Kind::ConfedSet;
}

void write_as_path(const AsPath& path, bool four_octet, bool confederation, Writer& out)
{
    for (const auto& segment : path.segments) {
        if (!confederation && is_confederation(segment.kind)) continue;
        for (std::size_t from = 0; from < segment.asns.size(); from += kMaxSegment) {
            const auto count = std::min(kMaxSegment, segment.asns.size() - from);
            out.u8(static_cast<std::uint8_t>(segment.kind));
            out.u8(static_cast<std::uint8_t>(count));
            for (std::size_t i = from; i < from + count; ++i) {
                if (four_octet)
                    out.u32(index(segment.asns[i]));
                else
                    out.u16(two_octets(segment.asns[i]));
            }
        }
    }
}

bool needs_four_octets(const AsPath& path) noexcept
{
    return std::any_of(path.segments.begin(), path.segments.end(), [](const AsPath::Segment& segment) {
        return !is_confederation(segment.kind) &&
               std::any_of(segment.asns.begin(), segment.asns.end(), [](Asn asn) { return index(asn) > 0xffff; });
    });
}

std::uint8_t* put16(std::uint8_t* at, std::size_t v) noexcept
{
    at[0] = static_cast<std::uint8_t>(v >> 8);
    at[1] = static_cast<std::uint8_t>(v);
    return at + 2;
}

std::uint8_t* put(std::uint8_t* at, Bytes bytes) noexcept { return std::copy(bytes.begin(), bytes.end(), at); }

// RFC 2545 3 for IPv6: one address or two.
std::size_t next_hop_size(const EncodedAttributes& a) noexcept
{
    return a.next_hop.octets().size() + (a.next_hop.is_v6() && a.link_local_next_hop ? 16 : 0);
}

bool is_classic(Family family, const EncodedAttributes& a) noexcept
{
    return family == Family::Ipv4 && a.next_hop.is_v4();
}

std::size_t afi_of(Family family) noexcept
{
    return static_cast<std::size_t>(family == Family::Ipv4 ? Afi::Ipv4 : Afi::Ipv6);
}

}  // namespace

EncodedAttributes encode_attributes(const PathAttributes& attributes, const Negotiated& negotiated)
{
    EncodedAttributes out;
    out.octets.reserve(128);
    out.next_hop = attributes.next_hop;
    out.link_local_next_hop = attributes.link_local_next_hop;
    AttributeWriter w{out.octets};

    // RFC 4271 5: ascending types. Unknown ones find their place between.
    auto unknown = attributes.unknown.begin();
    const auto unknown_before = [&](unsigned type) {
        for (; unknown != attributes.unknown.end() && unknown->type < type; ++unknown) {
            w.put(static_cast<std::uint8_t>(unknown->flags & ~kExtendedLength), unknown->type,
                  [&](Writer& v) { v.bytes(unknown->value); });
        }
    };

    w.put(kWellKnown, AttrType::Origin, [&](Writer& v) { v.u8(static_cast<std::uint8_t>(attributes.origin)); });
    w.put(kWellKnown, AttrType::AsPath,
          [&](Writer& v) { write_as_path(attributes.as_path, negotiated.four_octet_as, true, v); });
    out.next_hop_at = out.octets.size();

    if (attributes.med) w.put(kOptional, AttrType::MultiExitDisc, [&](Writer& v) { v.u32(*attributes.med); });
    if (!negotiated.external) {
        w.put(kWellKnown, AttrType::LocalPref,
              [&](Writer& v) { v.u32(attributes.local_pref.value_or(kDefaultLocalPref)); });
    }
    if (attributes.atomic_aggregate) w.put(kWellKnown, AttrType::AtomicAggregate, [](Writer&) {});
    if (const auto& aggregator = attributes.aggregator) {
        w.put(kOptionalTransitive, AttrType::Aggregator, [&](Writer& v) {
            if (negotiated.four_octet_as)
                v.u32(index(aggregator->asn));
            else
                v.u16(two_octets(aggregator->asn));
            v.u32(aggregator->address.value);
        });
    }
    if (!attributes.communities.empty()) {
        w.put(kOptionalTransitive, AttrType::Communities, [&](Writer& v) {
            for (const auto c : attributes.communities) v.u32(c);
        });
    }
    if (!negotiated.external) {
        if (attributes.originator_id) {
            w.put(kOptional, AttrType::OriginatorId, [&](Writer& v) { v.u32(attributes.originator_id->value); });
        }
        if (!attributes.cluster_list.empty()) {
            w.put(kOptional, AttrType::ClusterList, [&](Writer& v) {
                for (const auto id : attributes.cluster_list) v.u32(id);
            });
        }
    }
    unknown_before(static_cast<unsigned>(AttrType::ExtendedCommunities));
    if (!attributes.extended_communities.empty()) {
        w.put(kOptionalTransitive, AttrType::ExtendedCommunities, [&](Writer& v) {
            for (const auto c : attributes.extended_communities) v.u64(c);
        });
    }
    if (!negotiated.four_octet_as) {  // RFC 6793 4.2.2
        if (needs_four_octets(attributes.as_path)) {
            w.put(kOptionalTransitive, AttrType::As4Path,
                  [&](Writer& v) { write_as_path(attributes.as_path, true, false, v); });
        }
        if (attributes.aggregator && index(attributes.aggregator->asn) > 0xffff) {
            w.put(kOptionalTransitive, AttrType::As4Aggregator, [&](Writer& v) {
                v.u32(index(attributes.aggregator->asn));
                v.u32(attributes.aggregator->address.value);
            });
        }
    }
    unknown_before(static_cast<unsigned>(AttrType::LargeCommunities));
    if (!attributes.large_communities.empty()) {
        w.put(kOptionalTransitive, AttrType::LargeCommunities, [&](Writer& v) {
            for (const auto& c : attributes.large_communities) {
                v.u32(c.global);
                v.u32(c.local1);
                v.u32(c.local2);
            }
        });
    }
    unknown_before(256);
    return out;
}

UpdateBuilder::UpdateBuilder(const Negotiated& negotiated, std::vector<std::uint8_t>& out)
    : out_(out),
      max_message_(negotiated.extended_message ? kMaxExtendedMessage : kMaxMessage),
      buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(max_message_ + kSlack)),
      at_(buffer_.get()),
      limit_(at_),
      prefixes_(at_)
{
    std::memset(buffer_.get(), 0xff, 16);
    buffer_[18] = static_cast<std::uint8_t>(MessageType::Update);
}

bool UpdateBuilder::announce(Family family, const EncodedAttributes& attributes)
{
    flush();
    mode_ = Mode::Announce;
    family_ = family;
    attributes_ = &attributes;
    const std::size_t longest_prefix = 1 + static_cast<std::size_t>(max_length(family)) / 8;
    const std::size_t around = kHeaderLength + 4 + attributes.octets.size() +
                               (is_classic(family, attributes) ? kNextHopAttribute : 9 + next_hop_size(attributes));
    if (around + longest_prefix <= max_message_) return true;
    mode_ = Mode::None;
    return false;
}

void UpdateBuilder::withdraw(Family family)
{
    flush();
    mode_ = Mode::Withdraw;
    family_ = family;
}

void UpdateBuilder::open()
{
    CULVERT_CHECK(mode_ != Mode::None);
    auto* at = buffer_.get() + kHeaderLength;
    auto* const end = buffer_.get() + max_message_;

    if (mode_ == Mode::Withdraw) {
        if (family_ == Family::Ipv4) {
            prefixes_ = at + 2;
            limit_ = end - 2;
        } else {
            at = put16(at, 0);  // withdrawn routes
            at += 2;            // attributes' length
            *at++ = kOptional | kExtendedLength;
            *at++ = static_cast<std::uint8_t>(AttrType::MpUnreachNlri);
            at += 2;  // attribute's length
            at = put16(at, afi_of(family_));
            *at++ = static_cast<std::uint8_t>(Safi::Unicast);
            prefixes_ = at;
            limit_ = end;
        }
    } else if (is_classic(family_, *attributes_)) {
        const Bytes octets{attributes_->octets};
        at = put16(at, 0);
        at = put16(at, octets.size() + kNextHopAttribute);
        at = put(at, octets.first(attributes_->next_hop_at));
        *at++ = kWellKnown;
        *at++ = static_cast<std::uint8_t>(AttrType::NextHop);
        *at++ = 4;
        at = put(at, attributes_->next_hop.octets());
        at = put(at, octets.subspan(attributes_->next_hop_at));
        prefixes_ = at;
        limit_ = end;
    } else {
        // RFC 7606 5.1: MP_REACH_NLRI first. The other attributes follow in flush().
        at = put16(at, 0);
        at += 2;
        *at++ = kOptional | kExtendedLength;
        *at++ = static_cast<std::uint8_t>(AttrType::MpReachNlri);
        at += 2;
        at = put16(at, afi_of(family_));
        *at++ = static_cast<std::uint8_t>(Safi::Unicast);
        *at++ = static_cast<std::uint8_t>(next_hop_size(*attributes_));
        at = put(at, attributes_->next_hop.octets());
        if (attributes_->next_hop.is_v6() && attributes_->link_local_next_hop)
            at = put(at, attributes_->link_local_next_hop->octets);
        *at++ = 0;
        prefixes_ = at;
        limit_ = end - attributes_->octets.size();
    }
    at_ = prefixes_;
}

void UpdateBuilder::next_message()
{
    flush();
    open();
}

void UpdateBuilder::flush()
{
    if (at_ == prefixes_) return;
    auto* const start = buffer_.get();
    auto* const lengths = start + kHeaderLength;
    const auto size = [](const std::uint8_t* from, const std::uint8_t* to) {
        return static_cast<std::size_t>(to - from);
    };

    if (mode_ == Mode::Withdraw && family_ == Family::Ipv4) {
        put16(lengths, size(prefixes_, at_));
        at_ = put16(at_, 0);
    } else if (mode_ == Mode::Withdraw || !is_classic(family_, *attributes_)) {
        auto* const attribute = lengths + 4;
        put16(attribute + 2, size(attribute + 4, at_));
        if (mode_ == Mode::Announce) at_ = put(at_, attributes_->octets);
        put16(lengths + 2, size(attribute, at_));
    }
    put16(start + 16, size(start, at_));
    out_.insert(out_.end(), start, at_);
    ++messages_;
    at_ = limit_ = prefixes_ = start;
}

void encode_end_of_rib(Family family, std::vector<std::uint8_t>& out)
{
    const std::size_t size = family == Family::Ipv4 ? 23 : 29;
    Writer w{out};
    for (int i = 0; i < 16; ++i) w.u8(0xff);
    w.u16(static_cast<std::uint16_t>(size));
    w.u8(static_cast<std::uint8_t>(MessageType::Update));
    w.u16(0);
    if (family == Family::Ipv4) {
        w.u16(0);
        return;
    }
    w.u16(6);
    w.u8(kOptional);
    w.u8(static_cast<std::uint8_t>(AttrType::MpUnreachNlri));
    w.u8(3);
    w.u16(static_cast<std::uint16_t>(Afi::Ipv6));
    w.u8(static_cast<std::uint8_t>(Safi::Unicast));
}

}  // namespace culvert::bgp
