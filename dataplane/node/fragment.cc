#include "dataplane/node/fragment.h"

#include "dataplane/node/burst.h"
#include "dataplane/node/metadata.h"
#include "dataplane/wire/ip.h"

#include <algorithm>
#include <cstring>

namespace culvert::node {

using wire::Ipv4Header;
using wire::Ipv6Header;

namespace {

constexpr std::size_t kUnit = 8;  // what offsets count in

// Not an extension header, in front of which a fragment header may have to stand.
bool is_payload(std::uint8_t protocol) noexcept
{
    switch (wire::Protocol{protocol}) {
        case wire::Protocol::Udp:
        case wire::Protocol::Tcp:
        case wire::Protocol::Icmpv6:
        case wire::Protocol::Gre:
        case wire::Protocol::Esp: return true;
        default: return false;
    }
}

// A fresh packet with the metadata of `from` and room for `octets`.
rte_mbuf* piece_of(rte_mbuf* from, std::size_t octets) noexcept
{
    rte_mbuf* m = rte_pktmbuf_alloc(from->pool);
    if (m == nullptr) return nullptr;
    if (rte_pktmbuf_append(m, static_cast<std::uint16_t>(octets)) == nullptr) {
        rte_pktmbuf_free(m);
        return nullptr;
    }
    m->port = from->port;
    metadata(m) = metadata(from);
    metadata(m).length = static_cast<std::uint16_t>(octets);
    metadata(m).link_header = 0;
    return m;
}

void give_up(Fragments& out, api::Verdict why) noexcept
{
    for (std::size_t i = 1; i < out.count; ++i) rte_pktmbuf_free(out.packets[i]);
    out.count = 1;
    out.verdict = why;
}

// RFC 791 3.1: the options that every fragment carries, padded to a word. Returns the header's length.
std::size_t copy_header4(const Ipv4Header& from, std::uint8_t* to) noexcept
{
    std::memcpy(to, &from, sizeof from);
    const auto* in = reinterpret_cast<const std::uint8_t*>(&from);
    std::size_t out = sizeof from;
    for (std::size_t at = sizeof from; at < from.header_length();) {
        const auto kind = in[at];
        if (kind == 0) break;
        const std::size_t length = kind == 1 ? 1 : at + 1 < from.header_length() ? in[at + 1] : 0;
        if (length == 0 || (kind != 1 && length < 2) || at + length > from.header_length()) break;
        if ((kind & 0x80) != 0) {
            std::memcpy(to + out, in + at, length);
            out += length;
        }
        at += length;
    }
    while (out % 4 != 0) to[out++] = 0;
    reinterpret_cast<Ipv4Header*>(to)->version_ihl = static_cast<std::uint8_t>(0x40 | out / 4);
    return out;
}

}  // namespace

Fragments fragment_ipv4(rte_mbuf* packet, std::uint16_t mtu) noexcept
{
    Fragments out;
    out.packets[0] = packet;
    out.count = 1;
    auto& ip = ipv4(packet);
    const auto header = ip.header_length();
    if (mtu < header + kUnit) {
        out.verdict = api::Verdict::DropTooBig;
        return out;
    }
    const std::size_t payload = ip.total_length - header;
    const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*) + header;
    const std::uint16_t first_offset = ip.fragment & Ipv4Header::kOffsetMask;
    const std::uint16_t more_after = ip.fragment & Ipv4Header::kMoreFragments;

    std::array<std::uint8_t, 60> later;
    const auto later_header = copy_header4(ip, later.data());
    const std::size_t first = (mtu - header) / kUnit * kUnit;
    for (std::size_t at = first; at < payload;) {
        const std::size_t room = (mtu - later_header) / kUnit * kUnit;
        const auto n = std::min(room, payload - at);
        rte_mbuf* m = out.count < Fragments::kMax ? piece_of(packet, later_header + n) : nullptr;
        if (m == nullptr) {
            give_up(out, api::Verdict::DropNoBuffer);
            return out;
        }
        auto* to = rte_pktmbuf_mtod(m, std::uint8_t*);
        std::memcpy(to, later.data(), later_header);
        std::memcpy(to + later_header, bytes + at, n);
        auto& h = ipv4(m);
        h.total_length = static_cast<std::uint16_t>(later_header + n);
        const bool last = at + n == payload;
        h.fragment =
            static_cast<std::uint16_t>((first_offset + at / kUnit) | (last ? more_after : Ipv4Header::kMoreFragments));
        h.compute_checksum();
        out.packets[out.count++] = m;
        at += n;
    }
    const auto total = static_cast<std::uint16_t>(header + std::min(first, payload));
    rte_pktmbuf_trim(packet, static_cast<std::uint16_t>(rte_pktmbuf_data_len(packet) - total));
    metadata(packet).length = total;
    ip.total_length = total;
    if (out.count > 1) ip.fragment = static_cast<std::uint16_t>(first_offset | Ipv4Header::kMoreFragments);
    ip.compute_checksum();
    return out;
}

Fragments fragment_ipv6(rte_mbuf* packet, std::uint16_t mtu, std::uint32_t id) noexcept
{
    Fragments out;
    out.packets[0] = packet;
    out.count = 1;
    constexpr std::size_t header = sizeof(Ipv6Header), both = header + sizeof(wire::Ipv6FragmentHeader);
    const std::size_t payload = ipv6(packet).payload_length;
    const auto protocol = ipv6(packet).next_header;
    if (mtu < both + kUnit || !is_payload(protocol)) {
        out.verdict = api::Verdict::DropTooBig;
        return out;
    }
    const std::size_t room = (mtu - both) / kUnit * kUnit;
    const auto put = [&](rte_mbuf* m, std::size_t at, std::size_t n, bool last) {
        auto& ip = ipv6(m);
        ip.payload_length = static_cast<std::uint16_t>(sizeof(wire::Ipv6FragmentHeader) + n);
        ip.next_header = static_cast<std::uint8_t>(wire::Protocol::Fragment);
        auto& f = header_at<wire::Ipv6FragmentHeader>(m, header);
        f = {protocol, 0, static_cast<std::uint16_t>(at | (last ? 0 : 1)), id};
    };
    const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    for (std::size_t at = room; at < payload;) {
        const auto n = std::min(room, payload - at);
        rte_mbuf* m = out.count < Fragments::kMax ? piece_of(packet, both + n) : nullptr;
        if (m == nullptr) {
            give_up(out, api::Verdict::DropNoBuffer);
            return out;
        }
        auto* to = rte_pktmbuf_mtod(m, std::uint8_t*);
        std::memcpy(to, bytes, header);
        std::memcpy(to + both, bytes + header + at, n);
        put(m, at, n, at + n == payload);
        out.packets[out.count++] = m;
        at += n;
    }
    if (out.count == 1) return out;  // it fits
    // The first piece: the IP header moves up to make room for the fragment header.
    if (rte_pktmbuf_prepend(packet, sizeof(wire::Ipv6FragmentHeader)) == nullptr) {
        give_up(out, api::Verdict::DropNoBuffer);
        return out;
    }
    auto* to = rte_pktmbuf_mtod(packet, std::uint8_t*);
    std::memmove(to, to + sizeof(wire::Ipv6FragmentHeader), header);
    rte_pktmbuf_trim(packet, static_cast<std::uint16_t>(rte_pktmbuf_data_len(packet) - both - room));
    put(packet, 0, room, false);
    metadata(packet).length = static_cast<std::uint16_t>(both + room);
    return out;
}

}  // namespace culvert::node
