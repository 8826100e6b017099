// The framing and every message but UPDATE. First octet: bit 0 extended messages, bit 1 enhanced route refresh, the
// rest how the stream is cut. However it is cut, the messages are the same; what decodes is written and decodes to the
// same.
#include "base/check.h"
#include "controlplane/bgp/message.h"

#include <algorithm>
#include <cstdlib>

namespace culvert::bgp {
namespace {

struct Seen {
    std::size_t messages = 0, octets = 0;
    std::uint64_t hash = 0;
    std::optional<Notification> error;
    friend bool operator==(const Seen&, const Seen&) = default;
};

void check_open(Bytes body)
{
    auto open = decode_open(body);
    if (!open) {
        CULVERT_CHECK(open.error().code == ErrorCode::OpenMessage);
        return;
    }
    // What isn't sent: unknown capabilities, names beyond what the capability is given, families beyond one capability.
    auto& c = open->capabilities;
    c.unknown.clear();
    c.hostname.resize(std::min<std::size_t>(c.hostname.size(), 64));
    c.domain.resize(c.hostname.empty() ? 0 : std::min<std::size_t>(c.domain.size(), 64));
    if (c.graceful_restart && c.graceful_restart->families.size() > 63) c.graceful_restart->families.resize(63);

    std::vector<std::uint8_t> out;
    encode_open(*open, out);
    MessageReader reader;
    reader.feed(out);
    const auto message = reader.next();
    CULVERT_CHECK(message && *message && (*message)->type == MessageType::Open);
    auto again = decode_open((*message)->body);
    CULVERT_CHECK(again);
    c.any = again->capabilities.any;  // false when all of them were unknown
    again->extended_parameters = open->extended_parameters;
    CULVERT_CHECK(*again == *open);
}

void check_message(const Message& message, bool enhanced)
{
    switch (message.type) {
        case MessageType::Open: check_open(message.body); break;
        case MessageType::Notification: {
            const auto n = decode_notification(message.body);
            (void)n.to_string();
            (void)n.shutdown_communication();
            break;
        }
        case MessageType::RouteRefresh: {
            const auto refresh = decode_route_refresh(message.body, enhanced);
            if (!refresh || !*refresh) break;
            std::vector<std::uint8_t> out;
            encode_route_refresh(**refresh, out);
            CULVERT_CHECK(*decode_route_refresh(Bytes{out}.subspan(kHeaderLength), enhanced) == **refresh);
            break;
        }
        case MessageType::Update:
        case MessageType::Keepalive: break;
    }
}

Seen read(Bytes stream, std::size_t chunk, bool extended, bool enhanced)
{
    Seen seen;
    MessageReader reader;
    if (extended) reader.allow_extended();
    for (std::size_t at = 0; at < stream.size(); at += chunk) {
        reader.feed(stream.subspan(at, std::min(chunk, stream.size() - at)));
        for (;;) {
            const auto message = reader.next();
            if (!message) {
                seen.error = message.error();
                return seen;
            }
            if (!*message) break;
            ++seen.messages;
            seen.octets += (*message)->body.size();
            for (const auto octet : (*message)->body) seen.hash = seen.hash * 31 + octet;
            check_message(**message, enhanced);
        }
    }
    return seen;
}

}  // namespace
}  // namespace culvert::bgp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace culvert::bgp;
    if (size < 1) return 0;
    const culvert::Bytes stream{data + 1, size - 1};
    const bool extended = data[0] & 1, enhanced = data[0] & 2;
    const std::size_t chunk = 1 + (data[0] >> 2);
    const auto whole = read(stream, std::max<std::size_t>(stream.size(), 1), extended, enhanced);
    CULVERT_CHECK(read(stream, chunk, extended, enhanced) == whole);
    return 0;
}
