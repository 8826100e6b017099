#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip.h"
#include "base/result.h"
#include "controlplane/bgp/attributes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// BGP-4's messages other than UPDATE (update.h reads those, encode.h writes them), and the framing of all.
namespace culvert::bgp {

enum class MessageType : std::uint8_t { Open = 1, Update = 2, Notification = 3, Keepalive = 4, RouteRefresh = 5 };

inline constexpr std::size_t kHeaderLength = 19;  // RFC 4271 4.1: marker, length, type
inline constexpr std::size_t kMaxMessage = 4096;
inline constexpr std::size_t kMaxExtendedMessage = 65535;  // RFC 8654
inline constexpr Asn kAsTrans{23456};                      // RFC 6793: stands for an ASN that two octets can't hold

// RFC 4271 4.5, RFC 7313 (7).
enum class ErrorCode : std::uint8_t {
    MessageHeader = 1,
    OpenMessage = 2,
    UpdateMessage = 3,
    HoldTimerExpired = 4,
    FiniteStateMachine = 5,
    Cease = 6,
    RouteRefresh = 7,
};

namespace header_error {
inline constexpr std::uint8_t kNotSynchronized = 1, kBadLength = 2, kBadType = 3;
}
namespace open_error {
inline constexpr std::uint8_t kMalformed = 0, kUnsupportedVersion = 1, kBadPeerAs = 2, kBadIdentifier = 3,
                              kUnsupportedParameter = 4, kUnacceptableHoldTime = 6, kUnsupportedCapability = 7;
}
namespace update_error {
inline constexpr std::uint8_t kMalformedAttributeList = 1, kUnrecognizedWellKnown = 2, kMissingWellKnown = 3,
                              kAttributeFlags = 4, kAttributeLength = 5, kInvalidOrigin = 6, kInvalidNextHop = 8,
                              kOptionalAttribute = 9, kInvalidNetworkField = 10, kMalformedAsPath = 11;
}
namespace fsm_error {  // RFC 6608
inline constexpr std::uint8_t kInOpenSent = 1, kInOpenConfirm = 2, kInEstablished = 3;
}
namespace cease {  // RFC 4486, RFC 8538 (9), RFC 9384 (10)
inline constexpr std::uint8_t kMaximumPrefixes = 1, kAdministrativeShutdown = 2, kPeerDeconfigured = 3,
                              kAdministrativeReset = 4, kConnectionRejected = 5, kConfigurationChange = 6,
                              kCollisionResolution = 7, kOutOfResources = 8, kHardReset = 9, kBfdDown = 10;
}
namespace refresh_error {  // RFC 7313 5
inline constexpr std::uint8_t kInvalidLength = 1;
}

// RFC 4271 4.5. Also the error type of every decoder here: what the session is to be ended with.
struct Notification {
    ErrorCode code = ErrorCode::Cease;
    std::uint8_t subcode = 0;
    std::vector<std::uint8_t> data;
    friend bool operator==(const Notification&, const Notification&) = default;

    // RFC 9003: the operator's words in an Administrative Shutdown or Reset; control characters masked. Empty if none.
    std::string shutdown_communication() const;
    // FRR's wording, class/subclass: "Cease/Administrative Reset", "Hold Timer Expired".
    std::string to_string() const;
};

// One message off the stream. `body` is what follows the header.
struct Message {
    MessageType type = MessageType::Keepalive;
    Bytes body;
};

// Cuts a byte stream into messages. Messages that lie whole in the chunk are given in place; only one that is split is
// copied, so memory is bounded by one message. Headers are checked (RFC 4271 6.1).
//
//   reader.feed(chunk);
//   for (;;) { auto m = reader.next(); if (!m) reset(m.error()); if (!*m) break; use(**m); }
//
// The chunk must live until next() gives none. A message's body lives until the next call.
class MessageReader {
public:
    // RFC 8654 4: once both OPENs carry the capability. OPEN stays at 4,096 octets.
    void allow_extended() noexcept { max_ = kMaxExtendedMessage; }
    void feed(Bytes chunk) noexcept { chunk_ = chunk; }
    // nullopt: no further whole message. After an error the stream is of no use.
    Result<std::optional<Message>, Notification> next();

private:
    Result<std::size_t, Notification> check_header(const std::uint8_t* header) const;

    Bytes chunk_;
    std::vector<std::uint8_t> partial_;  // a message that is not complete, or the one just given out
    bool given_ = false;                 // partial_ was given out by the last next()
    std::size_t max_ = kMaxMessage;
};

struct AfiSafi {
    Afi afi = Afi::Ipv4;
    Safi safi = Safi::Unicast;
    friend auto operator<=>(const AfiSafi&, const AfiSafi&) = default;
};

// RFC 4724 3. Understood when a peer announces it; culvert does not.
struct GracefulRestart {
    bool restarting = false;
    bool notification = false;       // RFC 8538
    std::uint16_t restart_time = 0;  // seconds
    struct Family {
        AfiSafi family;
        bool forwarding = false;
        friend auto operator<=>(const Family&, const Family&) = default;
    };
    std::vector<Family> families;
    friend bool operator==(const GracefulRestart&, const GracefulRestart&) = default;
};

// RFC 5492. An OPEN has at most 4,096 octets, which bounds the lists.
struct Capabilities {
    bool any = false;                     // the OPEN had capabilities at all
    std::vector<AfiSafi> multiprotocol;   // RFC 4760; sorted, unique
    std::optional<Asn> four_octet_as;     // RFC 6793
    bool route_refresh = false;           // RFC 2918
    bool route_refresh_old = false;       // code 128, before the RFC
    bool enhanced_route_refresh = false;  // RFC 7313
    bool extended_next_hop = false;       // RFC 8950, of IPv4 unicast with IPv6 next hops
    bool extended_message = false;        // RFC 8654
    std::optional<GracefulRestart> graceful_restart;
    std::string hostname, domain;       // draft-walton-bgp-hostname-capability; control characters masked
    std::vector<std::uint8_t> unknown;  // codes; sorted, unique
    friend bool operator==(const Capabilities&, const Capabilities&) = default;

    bool has(AfiSafi family) const noexcept;
};

struct Open {
    std::uint8_t version = 4;
    Asn asn{};                      // the real one: the four-octet capability's if there is one, else the My AS field's
    std::uint16_t hold_time = 180;  // seconds
    Ipv4Address router_id;
    Capabilities capabilities;
    bool extended_parameters = false;  // RFC 9072 form
    friend bool operator==(const Open&, const Open&) = default;
};

// RFC 2918, RFC 7313.
struct RouteRefresh {
    enum class Kind : std::uint8_t { Request = 0, Begin = 1, End = 2 };
    AfiSafi family;
    Kind kind = Kind::Request;
    friend bool operator==(const RouteRefresh&, const RouteRefresh&) = default;
};

// Syntax, version, hold time, identifier and AS 0 (RFC 4271 6.2, RFC 6286, RFC 7607). Whether the AS is the one
// expected is the session's to say.
Result<Open, Notification> decode_open(Bytes body);
// A NOTIFICATION that is wrong itself is answered with nothing (RFC 4271 6.4); the framing has made sure of two octets.
Notification decode_notification(Bytes body);
// nullopt: a subtype or ORF that is to be ignored. `enhanced` as negotiated: only then a wrong length is an error.
Result<std::optional<RouteRefresh>, Notification> decode_route_refresh(Bytes body, bool enhanced);

// Each appends one whole message.
void encode_open(const Open& open, std::vector<std::uint8_t>& out);
void encode_notification(const Notification& notification, std::vector<std::uint8_t>& out);
void encode_keepalive(std::vector<std::uint8_t>& out);
void encode_route_refresh(const RouteRefresh& refresh, std::vector<std::uint8_t>& out);

// RFC 9003: at most 255 octets; longer text is cut at a UTF-8 boundary.
std::vector<std::uint8_t> shutdown_communication(std::string_view text);

}  // namespace culvert::bgp
