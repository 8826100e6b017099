#pragma once

#include "base/ip.h"
#include "base/time.h"
#include "dataplane/api/bfd.h"
#include "dataplane/bfd/authentication.h"
#include "dataplane/bfd/packet.h"

#include <array>
#include <cstdint>
#include <span>

namespace culvert::bfd {

// Numbers for jitter and the like. The same seed, the same numbers.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15); }
    // 0 <= result < n, n > 0
    std::uint64_t below(std::uint64_t n) noexcept
    {
        return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
    }

private:
    std::uint64_t state_;
};

// One session: RFC 5880 6.8 without the wire. Times are told; what is to be done comes back as an Output, at once.
//
// Two of its timers are told apart from the clock: the detection time runs from packets' time stamps, and is judged by
// how far reception has got (`heard_until`), not by what time it is. So a packet that lies in a receive queue when its
// time is up still counts.
class Session {
public:
    static constexpr Duration kLongestFarewell = 1s;

    struct Output {
        bool send = false;   // a Control packet, with F if `final`
        bool final = false;  // in answer to a P
        bool send_echo = false;
        bool report = false;     // report() differs from what was told last
        bool went_down = false;  // the path failed: whatever obeys this session leaves it in this instant
    };

    Session(const api::SetBfdSession& wanted, TimePoint now, Random& random) noexcept;

    // The same session with other parameters (6.8.3). Discriminator and addresses are the same.
    Output change(const api::SetBfdSession& wanted, TimePoint now, Random& random) noexcept;

    // 6.8.6, from where the packet is known to be of this session and authentic.
    Output on_packet(const ControlPacket& packet, TimePoint stamp, TimePoint now, Random& random) noexcept;
    // One of our echo packets came back. False: not one that is on its way.
    bool on_echo(const EchoPacket& packet, TimePoint stamp) noexcept;
    // Of the last one that came back; zero: it had been on its way for too long to say, or for less than the difference
    // of the clocks that stamp what is sent and what is received.
    Duration round_trip() const noexcept { return round_trip_; }

    // What is due. `heard_until`: every packet that came in before it has been given to us.
    Output on_time(TimePoint now, TimePoint heard_until, Random& random) noexcept;
    TimePoint next_deadline() const noexcept;
    // When the peer is believed dead; kNever: nothing is expected of it.
    TimePoint expires() const noexcept;
    TimePoint echo_expires() const noexcept;

    // The packet that goes out at `now`, and what follows from that it does. `out` holds the returned number of octets.
    std::size_t transmit(bool final, TimePoint now, Authenticator& authenticator, Random& random,
                         std::span<std::uint8_t, kMaxPacket> out) noexcept;
    EchoPacket transmit_echo(TimePoint now, Random& random) noexcept;
    // The session ends: AdminDown, said for as long as the peer would have listened to us, but for no longer than
    // `most`.
    Output leave(TimePoint now, Duration most, Random& random) noexcept;
    // Until then AdminDown is said at the pace of before, so that a lost packet makes no failure of it (6.8.16).
    TimePoint insists_until() const noexcept { return insist_until_; }

    const api::SetBfdSession& wanted() const noexcept { return wanted_; }
    std::span<const api::BfdKey> keys() const noexcept { return std::span{wanted_.keys}.first(wanted_.key_count); }
    ReceivedSequence& received_sequence() noexcept { return received_sequence_; }
    std::uint16_t source_port() const noexcept { return source_port_; }

    BfdState state() const noexcept { return state_; }
    BfdState remote_state() const noexcept { return remote_.state; }
    BfdDiagnostic diagnostic() const noexcept { return diagnostic_; }
    bool polling() const noexcept { return polling_; }
    bool periodic() const noexcept;           // packets go out by the transmit interval
    api::BfdChanged report() const noexcept;  // `at` is of the last change of state

    Duration transmit_interval() const noexcept;  // before jitter
    Duration receive_interval() const noexcept;   // at which the peer agreed to send
    Duration detection_time() const noexcept;
    Duration echo_interval() const noexcept;  // before jitter
    TimePoint last_received() const noexcept { return last_received_; }
    // The last sign of life of what failed, or else of the peer.
    TimePoint alive() const noexcept
    {
        return diagnostic_ == BfdDiagnostic::EchoFunctionFailed ? last_echo_ : last_received_;
    }
    TimePoint last_sent() const noexcept { return last_sent_; }
    TimePoint changed_at() const noexcept { return changed_at_; }

private:
    // What the peer told last; RFC 5880 6.8.1's bfd.Remote*.
    struct Remote {
        BfdState state = BfdState::Down;
        BfdDiagnostic diagnostic = BfdDiagnostic::None;
        std::uint32_t discriminator = 0;
        std::uint32_t desired_min_tx = 0;
        std::uint32_t required_min_rx = 1;
        std::uint32_t required_min_echo_rx = 0;
        std::uint8_t multiplier = 0;
        bool demand = false;
        bool control_plane_independent = false;

        friend bool operator==(const Remote&, const Remote&) = default;
    };
    struct Sequence {
        std::uint32_t value = 0;  // bfd.XmitAuthSeq
        std::uint64_t content = 0;
    };

    bool both_up() const noexcept { return state_ == BfdState::Up && remote_.state == BfdState::Up; }
    bool we_demand() const noexcept { return wanted_.demand && both_up(); }
    bool peer_demands() const noexcept { return remote_.demand && both_up(); }
    bool speaks() const noexcept { return !wanted_.passive || remote_.discriminator != 0; }
    bool echoes() const noexcept;
    std::uint32_t wanted_tx() const noexcept;

    ControlPacket packet(bool final) const noexcept;
    void move_to(BfdState state, BfdDiagnostic why, TimePoint now, Output& out) noexcept;
    void set_timers() noexcept;
    void begin_poll() noexcept;
    void end_poll() noexcept;
    void insist(TimePoint now, Duration most) noexcept;
    void settle(TimePoint now, Random& random) noexcept;
    void schedule(TimePoint now, Random& random) noexcept;
    Duration jittered(Duration interval, Random& random) const noexcept;
    void take(const api::SetBfdSession& wanted) noexcept;
    std::uint64_t proof(std::uint32_t sequence) const noexcept;

    api::SetBfdSession wanted_;
    std::uint16_t source_port_;  // RFC 5881 4: 49152 to 65535
    BfdState state_ = BfdState::Down;
    BfdDiagnostic diagnostic_ = BfdDiagnostic::None;
    Remote remote_;

    // Microseconds. What is told to the peer, and what is in force until the Poll Sequence about it has ended (6.8.3).
    std::uint32_t told_tx_ = 0, told_rx_ = 0;
    std::uint32_t tx_ = 0, rx_ = 0;
    bool polling_ = false;
    bool poll_again_ = false;  // changed once more while polling: the F that comes may be of the old values

    TimePoint last_sent_{};      // zero: never
    TimePoint last_received_{};  // time stamp; zero: never
    TimePoint changed_at_{};
    TimePoint send_at_ = kNever;
    Duration scheduled_{};  // the interval that send_at_ was made with; zero: nothing is sent periodically

    bool expecting_ = false;           // a packet came, and the time since has not run out
    TimePoint detect_from_{};          // the detection time runs from here
    bool demanding_ = false;           // silence was asked for, and its end isn't agreed on yet
    TimePoint poll_at_ = kNever;       // demanding: the next Poll Sequence
    TimePoint poll_expires_ = kNever;  // demanding: no F came, 6.8.4
    TimePoint echo_at_ = kNever;
    Duration echo_scheduled_{};     // the interval that echo_at_ was made with
    TimePoint echo_from_ = kNever;  // the time for them to come back runs from here; kNever: none was sent yet
    TimePoint last_echo_{};         // time stamp of one that came back
    std::array<TimePoint, 8> echo_sent_at_{};  // of the last ones, by sequence number
    Duration round_trip_{};

    TimePoint insist_until_{};
    Duration insist_every_{};

    ReceivedSequence received_sequence_;
    Sequence sequence_;
    std::uint64_t echo_secret_;
    std::uint32_t echo_sent_ = 0;      // sequence number of the last
    std::uint32_t echo_received_ = 0;  // likewise; what is not after it is no news
};

}  // namespace culvert::bfd
