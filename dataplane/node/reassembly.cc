#include "dataplane/node/reassembly.h"

#include "base/check.h"
#include "dataplane/node/burst.h"
#include "dataplane/node/ecn.h"
#include "dataplane/node/room.h"
#include "dataplane/wire/ip.h"
#include "dataplane/wire/payload.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace culvert::node {

using api::Verdict;
using wire::Ipv4Header;
using wire::Ipv6FragmentHeader;
using wire::Ipv6Header;

namespace {

constexpr std::size_t kUnit = 8;  // what offsets count in
constexpr std::size_t kLargestDatagram = 65535;
constexpr std::uint8_t kReassemblyTimeExceeded = 1;  // RFC 792, RFC 4443 3.3

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

void end(rte_mbuf* m, Verdict verdict, PacketList& out) noexcept
{
    metadata(m).end(verdict);
    out.push(m);
}

// RFC 1858 and RFC 7112: the first fragment shows what the datagram is. All that comes here has 8 octets of header at
// least, but GRE, which has 4.
std::size_t smallest_first(std::uint8_t protocol) noexcept
{
    return protocol == static_cast<std::uint8_t>(wire::Protocol::Gre) ? 4 : 8;
}

// Where IPv6's fragment header is, and where its number stands. 0: it isn't to be found.
struct FragmentPlace {
    std::size_t at = 0;
    std::size_t link = 0;
};
FragmentPlace find_fragment_header(Bytes packet) noexcept
{
    std::size_t link = offsetof(Ipv6Header, next_header);
    std::size_t at = sizeof(Ipv6Header);
    for (int i = 0; i < 8; ++i) {
        if (at + 8 > packet.size()) return {};
        switch (wire::Protocol{packet[link]}) {
            case wire::Protocol::Fragment: return {at, link};
            case wire::Protocol::HopByHop:
            case wire::Protocol::Routing:
            case wire::Protocol::DestinationOptions: break;
            default: return {};
        }
        link = at;
        at += (std::size_t{packet[at + 1]} + 1) * 8;
    }
    return {};
}

}  // namespace

Reassembly::Reassembly(const Limits& limits, std::uint64_t seed)
    : limits_(limits),
      seed_(seed),
      slots_(limits.datagrams),
      parts_(limits.datagrams * limits.of_datagram),
      buckets_(std::bit_ceil(limits.datagrams * 2), kNone)
{
    CULVERT_CHECK(limits.datagrams < kNone);
    for (std::size_t i = slots_.size(); i-- > 0;) {
        slots_[i].next = free_;
        free_ = static_cast<std::uint16_t>(i);
    }
}

Reassembly::~Reassembly() { CULVERT_CHECK(fragments_ == 0); }

// What a fragment says. False: it is no fragment that makes sense.
bool Reassembly::dissect(rte_mbuf* m, Piece& p) noexcept
{
    const auto& meta = metadata(m);
    p.key.vrf = meta.vrf;
    p.key.protection = meta.protection;
    if (is_v6(m)) {
        const auto place = find_fragment_header(data(m));
        if (place.at == 0) return false;
        const auto& ip = ipv6(m);
        const auto& f = header_at<Ipv6FragmentHeader>(m, place.at);
        p.key.source = ip.source;
        p.key.destination = ip.destination;
        p.key.id = f.id;
        // RFC 8200 4.5: the protocol is no part of the key, the first fragment's counts.
        p.link = place.link;
        p.fragment_header = place.at;
        p.header = place.at + sizeof f;
        p.offset = f.offset_flags & 0xfff8;
        p.more = (f.offset_flags & 1) != 0;
        if (p.offset == 0 && m->data_len - p.header < smallest_first(f.next_header)) return false;
    } else {
        const auto& ip = ipv4(m);
        p.key.source = Ipv4Address{ip.source};
        p.key.destination = Ipv4Address{ip.destination};
        p.key.id = ip.id;
        p.key.protocol = ip.protocol;
        p.header = ip.header_length();
        if (p.header < sizeof(Ipv4Header) || p.header > m->data_len) return false;
        p.offset = std::size_t{static_cast<std::uint16_t>(ip.fragment & Ipv4Header::kOffsetMask)} * kUnit;
        p.more = (ip.fragment & Ipv4Header::kMoreFragments) != 0;
        if (p.offset == 0 && m->data_len - p.header < smallest_first(ip.protocol)) return false;
    }
    p.length = m->data_len - p.header;
    if (p.length == 0 || (p.more && p.length % kUnit != 0)) return false;
    return p.offset + p.length <= kLargestDatagram;
}

std::uint64_t Reassembly::hash_of(const Key& key, std::uint64_t seed) noexcept
{
    const auto addresses = std::hash<IpAddress>{}(key.source) + 3 * std::hash<IpAddress>{}(key.destination);
    return mix(addresses ^ mix(seed ^ (std::uint64_t{key.id} << 8 | key.protocol)) ^
               (std::uint64_t{index(key.protection)} << 16 | index(key.vrf)));
}

std::uint64_t Reassembly::hash(rte_mbuf* m, std::uint64_t seed) noexcept
{
    Piece piece;
    (void)dissect(m, piece);  // a fragment that makes no sense may go anywhere
    return hash_of(piece.key, seed);
}

std::uint16_t& Reassembly::sender(const Key& key) noexcept
{
    return senders_[mix(std::hash<IpAddress>{}(key.source) ^ seed_) % kSenders];
}

std::uint16_t Reassembly::find(const Key& key, std::uint64_t hash) noexcept
{
    auto at = bucket(hash);
    while (at != kNone && !(slots_[at].hash == hash && slots_[at].key == key)) at = slots_[at].next;
    return at;
}

// A place for a new datagram, if its sender may have another.
std::uint16_t Reassembly::start(const Key& key, std::uint64_t hash, TimePoint now, PacketList& out) noexcept
{
    auto& of_sender = sender(key);
    if (of_sender >= limits_.of_sender) return kNone;
    if (free_ == kNone) {
        drop_parts(oldest_, Verdict::DropFragmentEvicted, out);
        forget(oldest_);
    }
    const auto at = free_;
    auto& d = slots_[at];
    free_ = d.next;
    auto& head = bucket(hash);
    d = {.key = key, .hash = hash, .since = now, .next = head, .older = newest_};
    head = at;
    (newest_ == kNone ? oldest_ : slots_[newest_].newer) = at;
    newest_ = at;
    ++of_sender;
    ++used_;
    return at;
}

void Reassembly::forget(std::uint16_t at) noexcept
{
    auto& d = slots_[at];
    auto* link = &bucket(d.hash);
    while (*link != at) link = &slots_[*link].next;
    *link = d.next;
    (d.older == kNone ? oldest_ : slots_[d.older].newer) = d.newer;
    (d.newer == kNone ? newest_ : slots_[d.newer].older) = d.older;
    --sender(d.key);
    --used_;
    d.next = free_;
    free_ = at;
}

// All buffers are taken: those of the oldest datagram but `keep` are given up.
void Reassembly::make_place(std::uint16_t keep, PacketList& out) noexcept
{
    auto at = oldest_;
    while (at != kNone && (at == keep || slots_[at].count == 0)) at = slots_[at].newer;
    if (at == kNone) return;
    drop_parts(at, Verdict::DropFragmentEvicted, out);
    forget(at);
}

void Reassembly::drop_parts(std::uint16_t at, Verdict verdict, PacketList& out) noexcept
{
    auto& d = slots_[at];
    for (std::size_t i = 0; i < d.count; ++i) end(parts(at)[i].packet, verdict, out);
    fragments_ -= d.count;
    d.count = 0;
    d.have = 0;
}

// Forward: it is in. Any other verdict is the fragment's own; Overlap is that of all.
Verdict Reassembly::insert(std::uint16_t at, rte_mbuf* m, const Piece& piece) noexcept
{
    auto& d = slots_[at];
    auto* const first = parts(at);
    auto place = d.count;
    while (place > 0 && first[place - 1].offset > piece.offset) --place;

    const auto end = piece.offset + piece.length;
    if (place > 0) {
        const auto& before = first[place - 1];
        if (before.offset == piece.offset && before.length == piece.length) {
            const auto had = data(before.packet).last(before.length);
            const bool same = std::memcmp(had.data(), data(m).data() + piece.header, piece.length) == 0;
            return same ? Verdict::DropFragmentDuplicate : Verdict::DropFragmentOverlap;
        }
        if (before.offset + before.length > piece.offset) return Verdict::DropFragmentOverlap;
    }
    if (place < d.count && first[place].offset < end) return Verdict::DropFragmentOverlap;
    // Two ends, or something behind the end.
    if (d.end != 0 ? end > d.end || (!piece.more && end != d.end)
                   : !piece.more && d.count > 0 && first[d.count - 1].offset + first[d.count - 1].length > end)
        return Verdict::DropFragmentOverlap;
    const auto header = piece.offset == 0 ? piece.header : d.first.header;
    if (header + std::max(end, d.end) > limits_.largest) return Verdict::DropFragmentTooLarge;
    if (d.count >= limits_.of_datagram || fragments_ >= limits_.fragments) return Verdict::DropFragmentCount;

    const auto mark = ecn(m);
    d.congested |= mark == kEcnCe;
    if (piece.offset == 0)
        d.first = piece;
    else
        rte_pktmbuf_adj(m, static_cast<std::uint16_t>(piece.header));
    if (!piece.more) d.end = end;
    std::copy_backward(first + place, first + d.count, first + d.count + 1);
    first[place] = {m, static_cast<std::uint16_t>(piece.offset), static_cast<std::uint16_t>(piece.length)};
    ++d.count;
    d.have += piece.length;
    ++fragments_;
    return Verdict::Forward;
}

// All of it is there: one packet, as it was before it was cut.
void Reassembly::join(std::uint16_t at, PacketList& out) noexcept
{
    auto& d = slots_[at];
    auto* const part = parts(at);
    rte_mbuf* m = part[0].packet;
    const auto rest = d.end - part[0].length;
    if (!make_room(m, 0, rest)) {
        drop_parts(at, Verdict::DropFragmentTooLarge, out);
        return forget(at);
    }
    for (std::size_t i = 1; i < d.count; ++i) {
        const auto from = data(part[i].packet);
        std::memcpy(rte_pktmbuf_mtod(m, std::uint8_t*) + m->data_len, from.data(), from.size());
        append(m, part[i].length);
        end(part[i].packet, Verdict::Reassembled, out);
    }
    const auto& first = d.first;
    if (is_v6(m)) {
        auto* const bytes = rte_pktmbuf_mtod(m, std::uint8_t*);
        bytes[first.link] = bytes[first.fragment_header];
        std::memmove(bytes + sizeof(Ipv6FragmentHeader), bytes, first.fragment_header);
        rte_pktmbuf_adj(m, sizeof(Ipv6FragmentHeader));
        ipv6(m).payload_length = static_cast<std::uint16_t>(m->data_len - sizeof(Ipv6Header));
    } else {
        auto& ip = ipv4(m);
        ip.fragment = 0;
        ip.total_length = m->data_len;
        ip.compute_checksum();
    }
    if (d.congested) mark_congestion(m);
    auto& meta = metadata(m);
    meta.length = m->data_len;
    meta.link_header = 0;
    meta.flow_hash = 0;
    meta.path = nullptr;
    meta.hops = 0;
    meta.stage = is_v6(m) ? Stage::Lookup6 : Stage::Lookup4;
    out.push(m);
    fragments_ -= d.count;
    d.count = 0;
    forget(at);
}

void Reassembly::add(rte_mbuf* m, TimePoint now, PacketList& out) noexcept
{
    Piece piece;
    if (!dissect(m, piece)) return end(m, Verdict::DropFragmentTiny, out);
    const auto hash = hash_of(piece.key, seed_);
    // RFC 8200 4.5, RFC 6946: what is whole by itself has nothing to do with other fragments of its number.
    const bool whole = piece.offset == 0 && !piece.more;
    auto at = whole ? kNone : find(piece.key, hash);
    if (at == kNone) at = start(piece.key, hash, now, out);
    if (at == kNone) return end(m, Verdict::DropFragmentSource, out);
    auto& d = slots_[at];
    if (d.spoilt) return end(m, Verdict::DropFragmentOverlap, out);

    if (fragments_ >= limits_.fragments) make_place(at, out);
    const auto verdict = insert(at, m, piece);
    if (verdict == Verdict::Forward) {
        if (d.end != 0 && d.have == d.end) join(at, out);
        return;
    }
    end(m, verdict, out);
    if (verdict == Verdict::DropFragmentDuplicate) return;
    drop_parts(at, verdict, out);
    d.spoilt = true;  // and what is still to come of it
}

void Reassembly::expire(TimePoint now, PacketList& out) noexcept
{
    while (oldest_ != kNone && now - slots_[oldest_].since >= limits_.patience) {
        auto& d = slots_[oldest_];
        if (d.count > 0 && parts(oldest_)[0].offset == 0) {
            rte_mbuf* m = parts(oldest_)[0].packet;
            metadata(m).answer(Verdict::AnswerTimeExceeded, Verdict::DropFragmentTimeout, kReassemblyTimeExceeded);
            out.push(m);
            std::copy(parts(oldest_) + 1, parts(oldest_) + d.count, parts(oldest_));
            --d.count;
            --fragments_;
        }
        drop_parts(oldest_, Verdict::DropFragmentTimeout, out);
        forget(oldest_);
    }
}

PacketList Reassembly::release_all() noexcept
{
    PacketList out;
    while (oldest_ != kNone) {
        drop_parts(oldest_, Verdict::DropShutdown, out);
        forget(oldest_);
    }
    return out;
}

TimePoint Reassembly::next_deadline() const noexcept
{
    return oldest_ == kNone ? kNever : slots_[oldest_].since + limits_.patience;
}

}  // namespace culvert::node
