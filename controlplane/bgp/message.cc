#include "controlplane/bgp/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace culvert::bgp {
namespace {

constexpr std::uint8_t kMarker[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

constexpr std::uint8_t kParameterCapabilities = 2;
constexpr std::uint8_t kParameterExtended = 255;  // RFC 9072 2
constexpr std::size_t kMaxNameSent = 64;          // a host or domain name in the capability, as FRR

enum class Capability : std::uint8_t {
    Multiprotocol = 1,
    RouteRefresh = 2,
    ExtendedNextHop = 5,
    ExtendedMessage = 6,
    GracefulRestart = 64,
    FourOctetAs = 65,
    EnhancedRouteRefresh = 70,
    Fqdn = 73,
    RouteRefreshOld = 128,
};

Error<Notification> header_failure(std::uint8_t subcode, std::vector<std::uint8_t> data = {})
{
    return Error<Notification>{Notification{ErrorCode::MessageHeader, subcode, std::move(data)}};
}

Error<Notification> open_failure(std::uint8_t subcode, std::vector<std::uint8_t> data = {})
{
    return Error<Notification>{Notification{ErrorCode::OpenMessage, subcode, std::move(data)}};
}

// The length of the message whose header this is; its fields only, nothing checked.
std::size_t length_of(const std::uint8_t* header) noexcept { return std::size_t{header[16]} << 8 | header[17]; }

template <class T>
void sort_unique(std::vector<T>& v)
{
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
}

// What a peer sends ends up in logs and terminals.
std::string masked(Bytes text)
{
    std::string out(text.begin(), text.end());
    for (auto& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return out;
}

// RFC 8950 4: (AFI, SAFI, AFI of the next hop), six octets each. False: not a whole number of them.
bool decode_extended_next_hop(Reader in, Capabilities& capabilities)
{
    while (!in.empty()) {
        const Afi afi{in.u16()};
        const auto safi = in.u16();
        const Afi next_hop{in.u16()};
        if (!in.ok()) return false;
        if (afi == Afi::Ipv4 && safi == static_cast<std::uint16_t>(Safi::Unicast) && next_hop == Afi::Ipv6)
            capabilities.extended_next_hop = true;
    }
    return true;
}

void decode_graceful_restart(Reader& in, Capabilities& capabilities)
{
    GracefulRestart restart;
    const auto flags_and_time = in.u16();
    restart.restarting = flags_and_time & 0x8000;
    restart.notification = flags_and_time & 0x4000;
    restart.restart_time = flags_and_time & 0x0fff;
    while (in.ok() && !in.empty()) {
        GracefulRestart::Family family;
        family.family = {Afi{in.u16()}, Safi{in.u8()}};
        family.forwarding = in.u8() & 0x80;
        restart.families.push_back(family);
    }
    sort_unique(restart.families);
    capabilities.graceful_restart = std::move(restart);
}

// draft-walton-bgp-hostname-capability: a name that doesn't parse costs nothing but the name.
void decode_fqdn(Bytes value, Capabilities& capabilities)
{
    Reader in{value};
    const auto hostname = in.take(in.u8());
    const auto domain = in.take(in.u8());
    if (!in.ok()) return;
    capabilities.hostname = masked(hostname);
    capabilities.domain = masked(domain);
}

// RFC 5492 4. False: the list, or a capability that matters, is malformed.
bool decode_capabilities(Bytes list, Capabilities& capabilities)
{
    for (Reader in{list}; !in.empty();) {
        const auto code = in.u8();
        const auto value = in.take(in.u8());
        if (!in.ok()) return false;
        capabilities.any = true;

        Reader v{value};
        switch (Capability{code}) {
            case Capability::Multiprotocol: {
                const Afi afi{v.u16()};
                v.skip(1);  // reserved
                capabilities.multiprotocol.push_back({afi, Safi{v.u8()}});
                if (!v.ok() || !v.empty()) return false;
                break;
            }
            case Capability::FourOctetAs:
                capabilities.four_octet_as = Asn{v.u32()};
                if (!v.ok() || !v.empty()) return false;
                break;
            case Capability::GracefulRestart:
                decode_graceful_restart(v, capabilities);
                if (!v.ok()) return false;
                break;
            case Capability::ExtendedNextHop:
                if (!decode_extended_next_hop(v, capabilities)) return false;
                break;
            case Capability::RouteRefresh: capabilities.route_refresh |= value.empty(); break;
            case Capability::RouteRefreshOld: capabilities.route_refresh_old |= value.empty(); break;
            case Capability::EnhancedRouteRefresh: capabilities.enhanced_route_refresh |= value.empty(); break;
            case Capability::ExtendedMessage: capabilities.extended_message |= value.empty(); break;
            case Capability::Fqdn: decode_fqdn(value, capabilities); break;
            default: capabilities.unknown.push_back(code); break;
        }
    }
    return true;
}

// The optional parameters, RFC 4271 4.2 or RFC 9072 2.
Result<void, Notification> decode_parameters(Reader& in, Open& open)
{
    const std::size_t length = in.u8();
    if (!in.ok()) return open_failure(open_error::kMalformed);
    open.extended_parameters = length != 0 && !in.empty() && in.rest()[0] == kParameterExtended;
    std::size_t declared = length;
    if (open.extended_parameters) {
        in.skip(1);
        declared = in.u16();
    }
    if (!in.ok() || declared != in.remaining()) return open_failure(open_error::kMalformed);

    while (!in.empty()) {
        const auto type = in.u8();
        const auto value = in.take(open.extended_parameters ? in.u16() : in.u8());
        if (!in.ok()) return open_failure(open_error::kMalformed);
        if (type != kParameterCapabilities) return open_failure(open_error::kUnsupportedParameter);
        if (!decode_capabilities(value, open.capabilities)) return open_failure(open_error::kMalformed);
    }
    sort_unique(open.capabilities.multiprotocol);
    sort_unique(open.capabilities.unknown);
    return {};
}

class MessageWriter {
public:
    MessageWriter(MessageType type, std::vector<std::uint8_t>& out) : out_(out), start_(out.size()), writer_(out)
    {
        writer_.bytes(kMarker);
        writer_.u16(0);
        writer_.u8(static_cast<std::uint8_t>(type));
    }
    ~MessageWriter() { writer_.fill16(start_ + 16, static_cast<std::uint16_t>(out_.size() - start_)); }
    MessageWriter(const MessageWriter&) = delete;
    MessageWriter& operator=(const MessageWriter&) = delete;

    Writer* operator->() noexcept { return &writer_; }

private:
    std::vector<std::uint8_t>& out_;
    std::size_t start_;
    Writer writer_;
};

void encode_capability(Capability code, Bytes value, Writer& out)
{
    out.u8(static_cast<std::uint8_t>(code));
    out.u8(static_cast<std::uint8_t>(value.size()));
    out.bytes(value);
}

std::vector<std::uint8_t> encode_capabilities(const Capabilities& capabilities)
{
    std::vector<std::uint8_t> out, value;
    Writer w{out}, v{value};
    const auto put = [&](Capability code) {
        encode_capability(code, value, w);
        value.clear();
    };

    for (const auto& family : capabilities.multiprotocol) {
        v.u16(static_cast<std::uint16_t>(family.afi));
        v.u8(0);
        v.u8(static_cast<std::uint8_t>(family.safi));
        put(Capability::Multiprotocol);
    }
    if (capabilities.route_refresh_old) put(Capability::RouteRefreshOld);
    if (capabilities.route_refresh) put(Capability::RouteRefresh);
    if (capabilities.enhanced_route_refresh) put(Capability::EnhancedRouteRefresh);
    if (capabilities.four_octet_as) {
        v.u32(index(*capabilities.four_octet_as));
        put(Capability::FourOctetAs);
    }
    if (capabilities.extended_next_hop) {
        v.u16(static_cast<std::uint16_t>(Afi::Ipv4));
        v.u16(static_cast<std::uint16_t>(Safi::Unicast));
        v.u16(static_cast<std::uint16_t>(Afi::Ipv6));
        put(Capability::ExtendedNextHop);
    }
    if (capabilities.extended_message) put(Capability::ExtendedMessage);
    if (!capabilities.hostname.empty()) {
        for (const auto* name : {&capabilities.hostname, &capabilities.domain}) {
            const auto length = std::min(name->size(), kMaxNameSent);
            v.u8(static_cast<std::uint8_t>(length));
            value.insert(value.end(), name->begin(), name->begin() + static_cast<std::ptrdiff_t>(length));
        }
        put(Capability::Fqdn);
    }
    if (const auto& restart = capabilities.graceful_restart) {
        v.u16(static_cast<std::uint16_t>((restart->restarting ? 0x8000 : 0) | (restart->notification ? 0x4000 : 0) |
                                         (restart->restart_time & 0x0fff)));
        for (const auto& family : restart->families) {
            if (value.size() + 4 > 255) break;
            v.u16(static_cast<std::uint16_t>(family.family.afi));
            v.u8(static_cast<std::uint8_t>(family.family.safi));
            v.u8(family.forwarding ? 0x80 : 0);
        }
        put(Capability::GracefulRestart);
    }
    return out;
}

struct Name {
    ErrorCode code;
    std::uint8_t subcode;
    std::string_view text;
};

// FRR's words, which scripts compare.
constexpr Name kSubcodeNames[] = {
    {ErrorCode::MessageHeader, header_error::kNotSynchronized, "Connection Not Synchronized"},
    {ErrorCode::MessageHeader, header_error::kBadLength, "Bad Message Length"},
    {ErrorCode::MessageHeader, header_error::kBadType, "Bad Message Type"},
    {ErrorCode::OpenMessage, open_error::kUnsupportedVersion, "Unsupported Version Number"},
    {ErrorCode::OpenMessage, open_error::kBadPeerAs, "Bad Peer AS"},
    {ErrorCode::OpenMessage, open_error::kBadIdentifier, "Bad BGP Identifier"},
    {ErrorCode::OpenMessage, open_error::kUnsupportedParameter, "Unsupported Optional Parameter"},
    {ErrorCode::OpenMessage, 5, "Authentication Failure"},
    {ErrorCode::OpenMessage, open_error::kUnacceptableHoldTime, "Unacceptable Hold Time"},
    {ErrorCode::OpenMessage, open_error::kUnsupportedCapability, "Unsupported Capability"},
    {ErrorCode::OpenMessage, 11, "Role Mismatch"},
    {ErrorCode::UpdateMessage, update_error::kMalformedAttributeList, "Malformed Attribute List"},
    {ErrorCode::UpdateMessage, update_error::kUnrecognizedWellKnown, "Unrecognized Well-known Attribute"},
    {ErrorCode::UpdateMessage, update_error::kMissingWellKnown, "Missing Well-known Attribute"},
    {ErrorCode::UpdateMessage, update_error::kAttributeFlags, "Attribute Flags Error"},
    {ErrorCode::UpdateMessage, update_error::kAttributeLength, "Attribute Length Error"},
    {ErrorCode::UpdateMessage, update_error::kInvalidOrigin, "Invalid ORIGIN Attribute"},
    {ErrorCode::UpdateMessage, 7, "AS Routing Loop"},
    {ErrorCode::UpdateMessage, update_error::kInvalidNextHop, "Invalid NEXT_HOP Attribute"},
    {ErrorCode::UpdateMessage, update_error::kOptionalAttribute, "Optional Attribute Error"},
    {ErrorCode::UpdateMessage, update_error::kInvalidNetworkField, "Invalid Network Field"},
    {ErrorCode::UpdateMessage, update_error::kMalformedAsPath, "Malformed AS_PATH"},
    {ErrorCode::FiniteStateMachine, fsm_error::kInOpenSent, "Receive Unexpected Message in OpenSent State"},
    {ErrorCode::FiniteStateMachine, fsm_error::kInOpenConfirm, "Receive Unexpected Message in OpenConfirm State"},
    {ErrorCode::FiniteStateMachine, fsm_error::kInEstablished, "Receive Unexpected Message in Established State"},
    {ErrorCode::Cease, cease::kMaximumPrefixes, "Maximum Number of Prefixes Reached"},
    {ErrorCode::Cease, cease::kAdministrativeShutdown, "Administrative Shutdown"},
    {ErrorCode::Cease, cease::kPeerDeconfigured, "Peer De-configured"},
    {ErrorCode::Cease, cease::kAdministrativeReset, "Administrative Reset"},
    {ErrorCode::Cease, cease::kConnectionRejected, "Connection Rejected"},
    {ErrorCode::Cease, cease::kConfigurationChange, "Other Configuration Change"},
    {ErrorCode::Cease, cease::kCollisionResolution, "Connection Collision Resolution"},
    {ErrorCode::Cease, cease::kOutOfResources, "Out of Resources"},
    {ErrorCode::Cease, cease::kHardReset, "Hard Reset"},
    {ErrorCode::Cease, cease::kBfdDown, "BFD Down"},
    {ErrorCode::RouteRefresh, refresh_error::kInvalidLength, "Invalid Message Length"},
};

std::string_view name_of(ErrorCode code) noexcept
{
    switch (code) {
        case ErrorCode::MessageHeader: return "Message Header Error";
        case ErrorCode::OpenMessage: return "OPEN Message Error";
        case ErrorCode::UpdateMessage: return "UPDATE Message Error";
        case ErrorCode::HoldTimerExpired: return "Hold Timer Expired";
        case ErrorCode::FiniteStateMachine: return "Neighbor Events Error";
        case ErrorCode::Cease: return "Cease";
        case ErrorCode::RouteRefresh: return "ROUTE-REFRESH Message Error";
    }
    return "";
}

}  // namespace

std::string Notification::shutdown_communication() const
{
    const bool carries = code == ErrorCode::Cease &&
                         (subcode == cease::kAdministrativeShutdown || subcode == cease::kAdministrativeReset);
    if (!carries) return {};
    Reader in{data};
    const auto text = in.take(in.u8());
    return in.ok() ? masked(text) : std::string{};
}

std::string Notification::to_string() const
{
    const auto code_name = name_of(code);
    if (code_name.empty()) return fmt::format("Error {}/{}", static_cast<unsigned>(code), subcode);
    for (const auto& name : kSubcodeNames)
        if (name.code == code && name.subcode == subcode) return fmt::format("{}/{}", code_name, name.text);
    if (code == ErrorCode::HoldTimerExpired) return std::string{code_name};
    if (subcode == 0) return fmt::format("{}/Unspecific", code_name);
    return fmt::format("{}/{}", code_name, subcode);
}

// RFC 4271 6.1, RFC 8654 4, RFC 7313 5.
Result<std::size_t, Notification> MessageReader::check_header(const std::uint8_t* header) const
{
    if (std::memcmp(header, kMarker, sizeof kMarker) != 0) return header_failure(header_error::kNotSynchronized);

    const std::size_t length = length_of(header);
    const auto type = header[18];
    std::size_t shortest = kHeaderLength, longest = max_;
    switch (MessageType{type}) {
        case MessageType::Open:
            shortest = 29;
            longest = kMaxMessage;
            break;
        case MessageType::Update: shortest = 23; break;
        case MessageType::Notification: shortest = 21; break;
        case MessageType::Keepalive: longest = kHeaderLength; break;
        case MessageType::RouteRefresh: shortest = 23; break;
        default: break;
    }
    if (length < shortest || length > longest)
        return header_failure(header_error::kBadLength, {header[16], header[17]});
    if (type < 1 || type > 5) return header_failure(header_error::kBadType, {type});
    return length;
}

Result<std::optional<Message>, Notification> MessageReader::next()
{
    if (given_) {
        partial_.clear();
        given_ = false;
    }

    if (partial_.empty()) {
        if (chunk_.size() >= kHeaderLength) {
            const auto length = check_header(chunk_.data());
            if (!length) return Error<Notification>{length.error()};
            if (chunk_.size() >= *length) {
                const auto whole = chunk_.first(*length);
                chunk_ = chunk_.subspan(*length);
                return Message{MessageType{whole[18]}, whole.subspan(kHeaderLength)};
            }
        }
        partial_.assign(chunk_.begin(), chunk_.end());
        chunk_ = {};
        return std::nullopt;
    }

    const auto fill_to = [this](std::size_t size) {
        const auto part = chunk_.first(std::min(size - std::min(size, partial_.size()), chunk_.size()));
        partial_.insert(partial_.end(), part.begin(), part.end());
        chunk_ = chunk_.subspan(part.size());
        return partial_.size() >= size;
    };
    if (!fill_to(kHeaderLength)) return std::nullopt;
    const auto length = check_header(partial_.data());
    if (!length) return Error<Notification>{length.error()};
    if (!fill_to(*length)) return std::nullopt;
    given_ = true;
    return Message{MessageType{partial_[18]}, Bytes{partial_}.subspan(kHeaderLength)};
}

bool Capabilities::has(AfiSafi family) const noexcept
{
    return std::binary_search(multiprotocol.begin(), multiprotocol.end(), family);
}

Result<Open, Notification> decode_open(Bytes body)
{
    Open open;
    Reader in{body};
    open.version = in.u8();
    const auto my_as = in.u16();
    open.hold_time = in.u16();
    open.router_id.value = in.u32();
    if (!in.ok()) return open_failure(open_error::kMalformed);
    if (open.version != 4) return open_failure(open_error::kUnsupportedVersion, {0, 4});

    if (auto parameters = decode_parameters(in, open); !parameters) return Error<Notification>{parameters.error()};

    // RFC 6793 4.2.3 and 9: AS_TRANS is nobody's own number. RFC 7607: nor is 0.
    open.asn = open.capabilities.four_octet_as.value_or(Asn{my_as});
    if (my_as == 0 || open.asn == Asn{0} || open.asn == kAsTrans) {
        return open_failure(open_error::kBadPeerAs,
                            {static_cast<std::uint8_t>(my_as >> 8), static_cast<std::uint8_t>(my_as)});
    }
    if (open.router_id.value == 0) return open_failure(open_error::kBadIdentifier);  // RFC 6286 2.1
    if (open.hold_time == 1 || open.hold_time == 2) return open_failure(open_error::kUnacceptableHoldTime);
    return open;
}

Notification decode_notification(Bytes body)
{
    Notification notification;
    Reader in{body};
    notification.code = ErrorCode{in.u8()};
    notification.subcode = in.u8();
    notification.data.assign(in.rest().begin(), in.rest().end());
    return notification;
}

Result<std::optional<RouteRefresh>, Notification> decode_route_refresh(Bytes body, bool enhanced)
{
    RouteRefresh refresh;
    Reader in{body};
    refresh.family.afi = Afi{in.u16()};
    const auto subtype = in.u8();
    refresh.family.safi = Safi{in.u8()};
    if (!in.ok()) return header_failure(header_error::kBadLength);
    const bool has_more = !in.empty();

    // RFC 7313 5: the data is the whole message.
    if (enhanced && (subtype == 1 || subtype == 2) && has_more) {
        Notification wrong{ErrorCode::RouteRefresh, refresh_error::kInvalidLength, {}};
        MessageWriter { MessageType::RouteRefresh, wrong.data } -> bytes(body);
        return Error<Notification>{std::move(wrong)};
    }
    if (subtype > 2 || (!enhanced && subtype != 0)) return std::nullopt;
    if (has_more) return std::nullopt;  // RFC 5291 was not negotiated
    refresh.kind = RouteRefresh::Kind{subtype};
    return refresh;
}

void encode_open(const Open& open, std::vector<std::uint8_t>& out)
{
    const auto capabilities =
        open.capabilities.any ? encode_capabilities(open.capabilities) : std::vector<std::uint8_t>{};
    MessageWriter message{MessageType::Open, out};
    message->u8(open.version);
    message->u16(static_cast<std::uint16_t>(index(open.asn) > 0xffff ? index(kAsTrans) : index(open.asn)));
    message->u16(open.hold_time);
    message->u32(open.router_id.value);
    if (capabilities.empty()) {
        message->u8(0);
    } else if (capabilities.size() + 2 <= 255) {
        message->u8(static_cast<std::uint8_t>(capabilities.size() + 2));
        message->u8(kParameterCapabilities);
        message->u8(static_cast<std::uint8_t>(capabilities.size()));
        message->bytes(capabilities);
    } else {
        message->u8(kParameterExtended);
        message->u8(kParameterExtended);
        message->u16(static_cast<std::uint16_t>(capabilities.size() + 3));
        message->u8(kParameterCapabilities);
        message->u16(static_cast<std::uint16_t>(capabilities.size()));
        message->bytes(capabilities);
    }
}

void encode_notification(const Notification& notification, std::vector<std::uint8_t>& out)
{
    MessageWriter message{MessageType::Notification, out};
    message->u8(static_cast<std::uint8_t>(notification.code));
    message->u8(notification.subcode);
    message->bytes(Bytes{notification.data}.first(std::min(notification.data.size(), kMaxMessage - kHeaderLength - 2)));
}

void encode_keepalive(std::vector<std::uint8_t>& out) { MessageWriter{MessageType::Keepalive, out}; }

void encode_route_refresh(const RouteRefresh& refresh, std::vector<std::uint8_t>& out)
{
    MessageWriter message{MessageType::RouteRefresh, out};
    message->u16(static_cast<std::uint16_t>(refresh.family.afi));
    message->u8(static_cast<std::uint8_t>(refresh.kind));
    message->u8(static_cast<std::uint8_t>(refresh.family.safi));
}

std::vector<std::uint8_t> shutdown_communication(std::string_view text)
{
    if (text.empty()) return {};
    auto length = std::min<std::size_t>(text.size(), 255);
    // Not in the middle of a character: continuation octets are 10xxxxxx.
    while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
    std::vector<std::uint8_t> out{static_cast<std::uint8_t>(length)};
    out.insert(out.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    return out;
}

}  // namespace culvert::bgp
