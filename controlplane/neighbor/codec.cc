#include "controlplane/neighbor/codec.h"

#include <algorithm>
#include <array>

namespace culvert::neighbor {

namespace {

constexpr std::uint16_t kEtherArp = 0x0806;
constexpr std::uint16_t kEtherIpv6 = 0x86dd;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::uint8_t kTypeRouterSolicitation = 133;
constexpr std::uint8_t kTypeRouterAdvertisement = 134;
constexpr std::uint8_t kTypeSolicitation = 135;
constexpr std::uint8_t kTypeAdvertisement = 136;
constexpr std::uint8_t kOptionSourceLink = 1;
constexpr std::uint8_t kOptionTargetLink = 2;
constexpr std::size_t kMinFrame = 60;  // without the FCS
constexpr std::size_t kEthernetHeader = 14;
constexpr std::size_t kIpv6Header = 40;

MacAddress mac(Reader& in)
{
    MacAddress m;
    const Bytes b = in.take(m.octets.size());
    if (in.ok()) std::copy(b.begin(), b.end(), m.octets.begin());
    return m;
}

Ipv6Address ipv6(Reader& in)
{
    Ipv6Address a;
    const Bytes b = in.take(a.octets.size());
    if (in.ok()) std::copy(b.begin(), b.end(), a.octets.begin());
    return a;
}

// RFC 8200 8.1: over the pseudo-header and the message; zero when the checksum in it is right.
std::uint16_t checksum(const Ipv6Address& source, const Ipv6Address& destination, Bytes icmp) noexcept
{
    std::uint64_t sum = icmp.size() + kIcmpv6;
    const auto add = [&](Bytes bytes) {
        for (std::size_t i = 0; i < bytes.size(); ++i)
            sum += static_cast<std::uint64_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
    };
    add(source.octets);
    add(destination.octets);
    add(icmp);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

Result<Message, DecodeError> decode_arp(Message message, Reader in)
{
    const auto hardware = in.u16();
    const auto protocol = in.u16();
    const auto hardware_length = in.u8();
    const auto protocol_length = in.u8();
    Arp arp;
    arp.operation = Arp::Operation{in.u16()};
    arp.sender_mac = mac(in);
    arp.sender = {in.u32()};
    arp.target_mac = mac(in);
    arp.target = {in.u32()};
    if (!in.ok()) return Error{DecodeError::Truncated};
    if (hardware != 1 || protocol != 0x0800 || hardware_length != 6 || protocol_length != 4)
        return Error{DecodeError::BadArp};
    if (arp.operation != Arp::Operation::Request && arp.operation != Arp::Operation::Reply)
        return Error{DecodeError::BadArp};
    message.body = arp;
    return message;
}

// RFC 4861 4.6: a link-layer address option of another length than Ethernet's is ignored, as are unknown options.
std::optional<DecodeError> read_options(Reader in, std::uint8_t wanted, std::optional<MacAddress>& link)
{
    while (!in.empty()) {
        const auto type = in.u8();
        const auto units = in.u8();
        if (!in.ok() || units == 0) return DecodeError::BadOption;
        Reader value{in.take(units * std::size_t{8} - 2)};
        if (!in.ok()) return DecodeError::BadOption;
        if (type == wanted && units == 1) link = mac(value);
    }
    return std::nullopt;
}

Result<Message, DecodeError> decode_ipv6(Message message, Reader in)
{
    const auto version = in.u8() >> 4;
    in.skip(3);
    const std::size_t length = in.u16();
    const auto next_header = in.u8();
    const auto hop_limit = in.u8();
    const Ipv6Address source = ipv6(in);
    const Ipv6Address destination = ipv6(in);
    if (!in.ok()) return Error{DecodeError::Truncated};
    if (version != 6 || next_header != kIcmpv6) return Error{DecodeError::NotNeighbor};
    const Bytes icmp = in.take(length);  // what follows is padding of the frame
    if (!in.ok()) return Error{DecodeError::Truncated};

    Reader body{icmp};
    const auto type = body.u8();
    const auto code = body.u8();
    body.skip(2);
    const auto flags = body.u32();
    if (body.ok() && (type < kTypeRouterSolicitation || type > kTypeAdvertisement))
        return Error{DecodeError::NotNeighbor};
    const bool of_router = type == kTypeRouterSolicitation || type == kTypeRouterAdvertisement;
    const Ipv6Address target = of_router ? Ipv6Address{} : ipv6(body);
    if (type == kTypeRouterAdvertisement) body.skip(8);  // reachable time, retransmission timer: for hosts
    if (!body.ok()) return Error{DecodeError::Truncated};
    if (hop_limit != 255) return Error{DecodeError::BadHopLimit};
    if (code != 0) return Error{DecodeError::BadCode};
    if (checksum(source, destination, icmp) != 0) return Error{DecodeError::BadChecksum};
    if (source.is_multicast()) return Error{DecodeError::BadTarget};
    if (!of_router && (target.is_multicast() || target.is_unspecified())) return Error{DecodeError::BadTarget};

    std::optional<MacAddress> link;
    if (const auto error = read_options(body, type == kTypeAdvertisement ? kOptionTargetLink : kOptionSourceLink, link))
        return Error{*error};

    if (type == kTypeRouterSolicitation) {
        if (source.is_unspecified() && link) return Error{DecodeError::BadRouter};
        message.body = RouterSolicitation{source, destination, link};
    } else if (type == kTypeRouterAdvertisement) {
        if (!source.is_link_local()) return Error{DecodeError::BadRouter};
        message.body = RouterAdvertisement{source,
                                           destination,
                                           static_cast<std::uint8_t>(flags >> 24),
                                           static_cast<std::uint8_t>(flags >> 16),
                                           static_cast<std::uint16_t>(flags),
                                           link};
    } else if (type == kTypeSolicitation) {
        // RFC 4861 7.1.1: a probe for duplicates goes to the solicited-node group and tells no link-layer address.
        if (source.is_unspecified() && (destination != solicited_node(target) || link))
            return Error{DecodeError::BadTarget};
        message.body = NeighborSolicitation{source, destination, target, link};
    } else {
        const bool solicited = (flags >> 30 & 1) != 0;
        if (source.is_unspecified() || (destination.is_multicast() && solicited)) return Error{DecodeError::BadTarget};
        message.body = NeighborAdvertisement{
            source, destination, target, (flags >> 31) != 0, solicited, (flags >> 29 & 1) != 0, link};
    }
    return message;
}

std::vector<std::uint8_t> ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type)
{
    std::vector<std::uint8_t> frame;
    frame.reserve(96);
    Writer out{frame};
    out.bytes(to.octets);
    out.bytes(from.octets);
    out.u16(type);
    return frame;
}

void pad(std::vector<std::uint8_t>& frame)
{
    if (frame.size() < kMinFrame) frame.resize(kMinFrame);
}

// `fixed`: what follows the flags.
std::vector<std::uint8_t> encode_nd(const MacAddress& to, const MacAddress& from, std::uint8_t type,
                                    std::uint32_t flags, const Ipv6Address& source, const Ipv6Address& destination,
                                    Bytes fixed, std::uint8_t option, const std::optional<MacAddress>& link)
{
    auto frame = ethernet(to, from, kEtherIpv6);
    Writer out{frame};
    out.u32(6U << 28);
    out.u16(static_cast<std::uint16_t>(8 + fixed.size() + (link ? 8 : 0)));
    out.u8(kIcmpv6);
    out.u8(255);
    out.bytes(source.octets);
    out.bytes(destination.octets);
    out.u8(type);
    out.u8(0);
    const std::size_t sum = out.place16();
    out.u32(flags);
    out.bytes(fixed);
    if (link) {
        out.u8(option);
        out.u8(1);
        out.bytes(link->octets);
    }
    out.fill16(sum, checksum(source, destination, Bytes{frame}.subspan(kEthernetHeader + kIpv6Header)));
    pad(frame);
    return frame;
}

}  // namespace

const char* to_string(DecodeError e) noexcept
{
    switch (e) {
        case DecodeError::Truncated: return "truncated";
        case DecodeError::NotNeighbor: return "neither ARP nor neighbour discovery";
        case DecodeError::BadArp: return "ARP of another kind";
        case DecodeError::BadHopLimit: return "hop limit is not 255";
        case DecodeError::BadChecksum: return "wrong checksum";
        case DecodeError::BadCode: return "code is not 0";
        case DecodeError::BadTarget: return "addresses contradict each other";
        case DecodeError::BadOption: return "malformed option";
        case DecodeError::BadRouter: return "a router's message from a wrong address";
    }
    return "";
}

Result<Message, DecodeError> decode(Bytes frame)
{
    Reader in{frame};
    Message message;
    message.to = mac(in);
    message.from = mac(in);
    const auto type = in.u16();
    if (!in.ok()) return Error{DecodeError::Truncated};
    if (type == kEtherArp) return decode_arp(message, in);
    if (type == kEtherIpv6) return decode_ipv6(message, in);
    return Error{DecodeError::NotNeighbor};
}

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const Arp& arp)
{
    auto frame = ethernet(to, from, kEtherArp);
    Writer out{frame};
    out.u16(1);
    out.u16(0x0800);
    out.u8(6);
    out.u8(4);
    out.u16(static_cast<std::uint16_t>(arp.operation));
    out.bytes(arp.sender_mac.octets);
    out.u32(arp.sender.value);
    out.bytes(arp.target_mac.octets);
    out.u32(arp.target.value);
    pad(frame);
    return frame;
}

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const NeighborSolicitation& ns)
{
    return encode_nd(to, from, kTypeSolicitation, 0, ns.source, ns.destination, ns.target.octets, kOptionSourceLink,
                     ns.link);
}

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const NeighborAdvertisement& na)
{
    const std::uint32_t flags =
        (na.router ? 1U << 31 : 0) | (na.solicited ? 1U << 30 : 0) | (na.override_cache ? 1U << 29 : 0);
    return encode_nd(to, from, kTypeAdvertisement, flags, na.source, na.destination, na.target.octets,
                     kOptionTargetLink, na.link);
}

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const RouterSolicitation& rs)
{
    return encode_nd(to, from, kTypeRouterSolicitation, 0, rs.source, rs.destination, {}, kOptionSourceLink, rs.link);
}

std::vector<std::uint8_t> encode(const MacAddress& to, const MacAddress& from, const RouterAdvertisement& ra)
{
    constexpr std::array<std::uint8_t, 8> kUnspecifiedTimes{};
    const std::uint32_t flags = std::uint32_t{ra.hop_limit} << 24 | std::uint32_t{ra.flags} << 16 | ra.lifetime;
    return encode_nd(to, from, kTypeRouterAdvertisement, flags, ra.source, ra.destination, kUnspecifiedTimes,
                     kOptionSourceLink, ra.link);
}

Ipv6Address solicited_node(const Ipv6Address& target) noexcept
{
    return Ipv6Address::from_words(0xff02ULL << 48, 0x1ff000000ULL | (target.low() & 0xffffff));
}

MacAddress multicast_mac(const Ipv6Address& group) noexcept
{
    const auto& o = group.octets;
    return {{0x33, 0x33, o[12], o[13], o[14], o[15]}};
}

Ipv6Address link_local(const MacAddress& mac) noexcept
{
    const auto& m = mac.octets;
    Ipv6Address a;
    a.octets = {0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<std::uint8_t>(m[0] ^ 2),
                m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
    return a;
}

}  // namespace culvert::neighbor
