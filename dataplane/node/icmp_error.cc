#include "dataplane/node/icmp_error.h"

#include "dataplane/node/burst.h"
#include "dataplane/node/room.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

#include <algorithm>

namespace culvert::node {

using wire::IcmpHeader;
using wire::Ipv4Header;
using wire::Ipv6Header;

namespace {

constexpr std::size_t kLargest4 = 576;  // RFC 1812 4.3.2.3
constexpr std::uint8_t kTtl = 64;
constexpr std::uint8_t kInternetworkControl = 6 << 5;  // RFC 1812 4.3.2.5
constexpr std::size_t kFrame = 18;                     // what rewrite needs later

bool is_error4(std::uint8_t type) noexcept
{
    namespace icmp = wire::icmp4;
    return type == icmp::kUnreachable || type == icmp::kSourceQuench || type == icmp::kRedirect ||
           type == icmp::kTimeExceeded || type == icmp::kParameterProblem;
}

bool may_be_answered4(rte_mbuf* m) noexcept
{
    const auto& ip = ipv4(m);
    const Ipv4Address source{ip.source}, destination{ip.destination};
    if (!ip.is_first_part()) return false;
    if (destination.is_multicast() || destination.is_class_e()) return false;
    if (source.value >> 24 == 0 || source.is_loopback() || source.is_multicast() || source.is_class_e()) return false;
    if (ip.protocol != static_cast<std::uint8_t>(wire::Protocol::Icmp)) return true;
    const auto at = ip.header_length();
    return m->data_len > at && !is_error4(header_at<std::uint8_t>(m, at));
}

bool may_be_answered6(rte_mbuf* m, bool too_big) noexcept
{
    const auto& ip = ipv6(m);
    if (ip.source.is_unspecified() || ip.source.is_multicast() || ip.source.is_loopback()) return false;
    if (ip.destination.is_multicast() && !too_big) return false;
    const auto payload = wire::find_payload6(data(m));
    if (payload.protocol != wire::Protocol::Icmpv6) return true;
    if (payload.offset == 0) return false;  // can't be told from an error
    const auto type = header_at<std::uint8_t>(m, payload.offset);
    return type >= 128 && type != wire::icmp6::kRedirect;
}

// Type, code and the four octets behind the checksum.
IcmpHeader error4(const Metadata& meta) noexcept
{
    namespace icmp = wire::icmp4;
    if (meta.verdict == Verdict::AnswerTimeExceeded) return {icmp::kTimeExceeded, meta.icmp_code, {}, 0};
    if (meta.verdict == Verdict::AnswerTooBig) return {icmp::kUnreachable, icmp::kFragmentationNeeded, {}, meta.mtu};
    return {icmp::kUnreachable, meta.icmp_code, {}, 0};
}
IcmpHeader error6(const Metadata& meta) noexcept
{
    namespace icmp = wire::icmp6;
    if (meta.verdict == Verdict::AnswerTimeExceeded) return {icmp::kTimeExceeded, meta.icmp_code, {}, 0};
    if (meta.verdict == Verdict::AnswerTooBig) {
        // RFC 8201 4: less than the minimum means nothing to the sender.
        const auto mtu = std::max<std::uint32_t>(meta.mtu, wire::kIpv6MinimumMtu);
        return {icmp::kPacketTooBig, 0, {}, mtu};
    }
    return {icmp::kUnreachable, meta.icmp_code, {}, 0};
}

bool open_gap(rte_mbuf* m, std::size_t headers, std::size_t largest) noexcept
{
    if (m->data_len > largest - headers)
        rte_pktmbuf_trim(m, static_cast<std::uint16_t>(m->data_len - (largest - headers)));
    if (!make_room(m, headers + kFrame, 0)) return false;
    rte_pktmbuf_prepend(m, static_cast<std::uint16_t>(headers));
    return true;
}

}  // namespace

bool may_be_answered(rte_mbuf* m) noexcept
{
    const auto& meta = metadata(m);
    if (meta.has(Flag::GroupFrame) || meta.has(Flag::Encrypted)) return false;
    return header_at<std::uint8_t>(m, 0) >> 4 == 6 ? may_be_answered6(m, meta.verdict == Verdict::AnswerTooBig)
                                                   : may_be_answered4(m);
}

bool make_icmp4_error(rte_mbuf* m, Ipv4Address source, std::uint16_t id) noexcept
{
    constexpr std::size_t kHeaders = sizeof(Ipv4Header) + sizeof(IcmpHeader);
    const auto error = error4(metadata(m));
    const std::uint32_t to = ipv4(m).source;
    if (!open_gap(m, kHeaders, kLargest4)) return false;
    auto& ip = ipv4(m);
    ip = {0x45, kInternetworkControl, m->data_len, id, 0, kTtl, static_cast<std::uint8_t>(wire::Protocol::Icmp),
          {},   source.value,         to};
    ip.compute_checksum();
    auto& icmp = header_at<IcmpHeader>(m, sizeof(Ipv4Header));
    icmp = error;
    icmp.checksum.set(wire::Sum{}.add(data(m).subspan(sizeof(Ipv4Header))));
    return true;
}

bool make_icmp6_error(rte_mbuf* m, const Ipv6Address& source) noexcept
{
    constexpr std::size_t kHeaders = sizeof(Ipv6Header) + sizeof(IcmpHeader);
    const auto error = error6(metadata(m));
    const Ipv6Address to = ipv6(m).source;
    if (!open_gap(m, kHeaders, wire::kIpv6MinimumMtu)) return false;
    const auto length = static_cast<std::uint16_t>(m->data_len - sizeof(Ipv6Header));
    auto& ip = ipv6(m);
    ip = {6u << 28, length, static_cast<std::uint8_t>(wire::Protocol::Icmpv6), kTtl, source, to};
    auto& icmp = header_at<IcmpHeader>(m, sizeof(Ipv6Header));
    icmp = error;
    icmp.checksum.set(pseudo_sum(ip, wire::Protocol::Icmpv6, length).add(data(m).subspan(sizeof(Ipv6Header))));
    return true;
}

}  // namespace culvert::node
