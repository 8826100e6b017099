#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

// BFD (RFC 5880) as the control plane tells it and hears of it. The engine that runs the sessions is the worker's.
namespace culvert::api {

inline constexpr std::size_t kMaxBfdSessions = std::size_t{1} << 14;  // BfdSessionIds are below

enum class BfdState : std::uint8_t { AdminDown, Down, Init, Up };  // RFC 5880 4.1, the values on the wire

enum class BfdDiagnostic : std::uint8_t {  // RFC 5880 4.1
    None,
    ControlDetectionTimeExpired,
    EchoFunctionFailed,
    NeighborSignaledDown,
    ForwardingPlaneReset,
    PathDown,
    ConcatenatedPathDown,
    AdministrativelyDown,
    ReverseConcatenatedPathDown,
};

enum class BfdAuthentication : std::uint8_t {  // RFC 5880 4.1, the values on the wire
    None,
    SimplePassword,
    KeyedMd5,
    MeticulousKeyedMd5,
    KeyedSha1,
    MeticulousKeyedSha1,
};

struct BfdKey {
    BfdAuthentication type = BfdAuthentication::None;
    std::uint8_t id = 0;
    std::uint8_t length = 0;  // octets: simple and MD5 up to 16, SHA1 up to 20
    std::array<std::uint8_t, 20> secret{};
};

// Makes a session, or changes one: a change never resets it by itself (RFC 5880 6.8.3 says how timers change). Zeroed
// in the ring as soon as it is read.
struct SetBfdSession {
    static constexpr std::size_t kMaxKeys = 4;

    BfdSessionId id;
    std::uint32_t discriminator;  // ours, never 0, hard to guess, unique in this box
    VrfId vrf;
    InterfaceId interface {
        kNoInterface
    };                              // single hop: where packets must come in and leave; multihop: kNoInterface
    NexthopId nexthop{kNoNexthop};  // single hop: the way to the peer, taken whatever its down words say
    IpAddress local{};              // our address; multihop and single hop alike
    IpAddress peer{};
    bool multihop = false;
    bool passive = false;                   // speaks only when spoken to
    bool admin_down = false;                // `shutdown`
    bool demand = false;                    // we ask the peer to be silent once Up, and poll
    bool control_plane_independent = true;  // the C bit
    bool echo = false;                      // we send echo packets, when the peer takes them
    std::uint8_t multiplier = 3;
    std::uint8_t minimum_ttl = 255;              // of received control packets; multihop: 254 by default
    std::uint32_t desired_min_tx = 300000;       // microseconds
    std::uint32_t required_min_rx = 300000;      // microseconds
    std::uint32_t desired_min_echo_tx = 50000;   // microseconds
    std::uint32_t required_min_echo_rx = 50000;  // microseconds; 0: we don't reflect
    std::uint8_t key_count = 0;                  // 0: no authentication. Each is taken on the way in
    std::uint8_t sending_key = 0;                // index into keys
    std::array<BfdKey, kMaxKeys> keys{};
};
struct DeleteBfdSession {
    BfdSessionId id;
    std::uint64_t sequence;  // answered by BfdChanged with `deleted`, before which the id is not used again
};

// What was counted and measured of a session begins anew.
struct ClearBfdActivity {
    BfdSessionId id;
};

// A session's state or what it negotiated changed.
struct BfdChanged {
    BfdSessionId id;
    bool deleted = false;
    BfdState state{};
    BfdDiagnostic diagnostic{};  // why we are in it
    BfdState remote_state{};
    BfdDiagnostic remote_diagnostic{};
    bool remote_control_plane_independent = false;
    bool remote_demand = false;
    std::uint8_t remote_multiplier = 0;
    std::uint32_t remote_discriminator = 0;
    std::uint32_t remote_desired_min_tx = 0;        // microseconds
    std::uint32_t remote_required_min_rx = 0;       // microseconds
    std::uint32_t remote_required_min_echo_rx = 0;  // microseconds
    std::uint32_t transmit_interval = 0;            // microseconds, as negotiated, before jitter
    std::uint32_t detection_time = 0;               // microseconds
    std::uint32_t echo_transmit_interval = 0;       // microseconds; 0: no echo runs
    std::uint32_t echo_detection_time = 0;          // microseconds
    TimePoint at{};                                 // of the change
    TimePoint last_packet{};  // time stamp of the last valid packet; Down by expiry: what it ran from
};

// Where a packet's time stamp comes from, best first.
enum class TimestampSource : std::uint8_t { None, NicMbuf, NicTimesync, Tsc };
std::string_view to_string(TimestampSource source) noexcept;  // "nic", "nic-timesync", "tsc"; "none" before the first

// What a session did, read by control at its leisure. One writer (the owning worker), relaxed.
struct BfdActivity {
    // Buckets of received intervals relative to the negotiated one: bucket i counts intervals of [i/8, (i+1)/8) of it;
    // the last takes all that is longer.
    static constexpr std::size_t kBuckets = 33;

    // Control clears it by ClearBfdActivity.
    std::atomic<std::uint64_t> control_received{0}, control_sent{0};
    std::atomic<std::uint64_t> echo_received{0}, echo_sent{0};
    std::atomic<std::uint64_t> session_up{0}, session_down{0};
    std::atomic<std::uint64_t> dropped_authentication{0}, dropped_ttl{0}, dropped_malformed{0}, dropped_other{0};
    std::atomic<std::uint64_t> own_stalls{0};           // expiries that waited for a round because we were held up
    std::atomic<std::int64_t> longest_own_stall{0};     // nanoseconds
    std::atomic<std::int64_t> largest_receive_gap{0};   // nanoseconds, while Up
    std::atomic<std::int64_t> largest_transmit_gap{0};  // nanoseconds, while Up
    std::atomic<std::int64_t> last_received{0}, last_sent{0};  // TimePoint counts; 0 is never
    // Of echo packets, nanoseconds; the average is the sum over the count.
    std::atomic<std::int64_t> round_trip_least{0}, round_trip_most{0}, round_trip_sum{0};
    std::atomic<std::uint64_t> round_trips{0};
    std::atomic<std::uint8_t> timestamp_source{0};  // TimestampSource
    std::array<std::atomic<std::uint64_t>, kBuckets> received_intervals{};
};

}  // namespace culvert::api
