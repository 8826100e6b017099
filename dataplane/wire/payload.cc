#include "dataplane/wire/payload.h"

namespace culvert::wire {

Payload find_payload6(Bytes packet) noexcept
{
    constexpr int kMaxExtensions = 8;
    const auto& ip = *reinterpret_cast<const Ipv6Header*>(packet.data());
    Payload out{Protocol{ip.next_header}, 0, false};
    std::size_t at = sizeof(Ipv6Header);
    for (int i = 0; i <= kMaxExtensions; ++i) {
        std::size_t length = 0;
        switch (out.protocol) {
            case Protocol::HopByHop:
            case Protocol::Routing:
            case Protocol::DestinationOptions:
            case Protocol::Mobility:
                if (at + 8 > packet.size()) return out;
                length = (std::size_t{packet[at + 1]} + 1) * 8;  // RFC 8200 4.3
                break;
            case Protocol::Ah:
                if (at + 8 > packet.size()) return out;
                length = (std::size_t{packet[at + 1]} + 2) * 4;  // RFC 4302 2.2
                break;
            case Protocol::Fragment: {
                if (at + 8 > packet.size()) return out;
                out.fragment = true;
                length = 8;
                const auto offset = packet[at + 2] << 8 | (packet[at + 3] & 0xf8);
                if (offset != 0) {
                    out.protocol = Protocol{packet[at]};
                    return out;
                }
                break;
            }
            case Protocol::NoNext: return out;
            default:
                if (at < packet.size()) out.offset = static_cast<std::uint16_t>(at);
                return out;
        }
        out.protocol = Protocol{packet[at]};
        at += length;
    }
    return out;
}

}  // namespace culvert::wire
