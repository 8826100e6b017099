#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/bgp/message.h"
#include "controlplane/bgp/update.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// One configured neighbour's session: RFC 4271 8.2 and the collision rule of 6.8. Bytes, transport events and time in;
// bytes, requests and events out.
namespace culvert::bgp {

enum class State : std::uint8_t { Idle, Connect, Active, OpenSent, OpenConfirm, Established };
std::string_view to_string(State state) noexcept;  // as FRR

// Which side opened the transport. A session has at most one of each; after a collision, one.
enum class Side : std::uint8_t { Outgoing, Incoming };
inline constexpr std::array kSides{Side::Outgoing, Side::Incoming};

// Why a session went down, or is not up. The numbers are FRR's `lastResetCode`.
enum class ResetReason : std::uint8_t {
    None = 0,
    RouterIdChange = 1,
    RemoteAsChange = 2,
    LocalAsChange = 3,
    ClusterIdChange = 4,
    RrClientChange = 7,
    UpdateSourceChange = 9,
    FamilyActivated = 10,
    AdminShutdown = 11,
    UserReset = 12,
    NotificationReceived = 13,
    NotificationSent = 14,
    PeerClosed = 15,
    NeighborDeleted = 16,
    CapabilityChange = 19,
    PassiveChange = 20,
    MultihopChange = 21,
    BfdDown = 24,
    InterfaceDown = 25,
    AddressLost = 26,
    NoPathToNeighbor = 27,
    WaitingForVrf = 29,
    NoFamilyActivated = 30,
    WaitingForOpen = 32,
    PrefixCount = 33,
    SocketError = 34,
};
std::string_view to_string(ResetReason reason) noexcept;  // FRR's `lastResetDueTo`

struct SessionConfig {
    enum class PeerAs : std::uint8_t { Number, Internal, External };  // `remote-as N | internal | external`

    Asn local_as{};  // `neighbor X local-as` already applied
    PeerAs peer_as_kind = PeerAs::Number;
    Asn peer_as{};  // of PeerAs::Number
    Ipv4Address router_id;
    Duration hold = 180s;           // 0: no KEEPALIVEs and no hold timer, if the peer agrees; else at least 3 s
    Duration keepalive = 60s;       // at most a third of the negotiated hold time is used
    Duration connect_retry = 120s;  // `timers connect`
    bool passive = false;           // never opens a transport
    bool capabilities = true;       // `dont-capability-negotiate` clears it
    bool ipv4_unicast = true;       // activated families
    bool ipv6_unicast = false;
    bool extended_next_hop = false;  // RFC 8950: offers IPv4 prefixes with IPv6 next hops
    bool extended_message = true;
    bool enforce_first_as = true;
    std::string hostname, domain;  // the hostname capability; empty: not sent
    friend bool operator==(const SessionConfig&, const SessionConfig&) = default;
};

// What the caller is to do, in this order: `send` on each connection, `close` (flushing what the socket takes at once,
// never waiting), `connect`. Nothing of a closed connection may reach the session afterwards.
struct Output {
    std::array<std::vector<std::uint8_t>, 2> send;  // index by Side
    std::array<bool, 2> close{};                    // index by Side; an Outgoing one may still be connecting
    bool connect = false;                           // open the Outgoing transport

    bool empty() const noexcept { return !connect && !close[0] && !close[1] && send[0].empty() && send[1].empty(); }
};

// A session has come up. Also readable from the session while it is up.
struct Established {
    Negotiated negotiated;
    Open peer;  // the peer's OPEN
    Side side = Side::Outgoing;
    Endpoint local, remote;        // of the transport; `local.address` is the next hop of next-hop-self
    Duration hold{}, keepalive{};  // as negotiated; 0: off
};

struct Down {
    ResetReason reason = ResetReason::None;
    std::optional<Notification> notification;  // sent or received
};

// What a session tells, at once and in order, while on_...() of it runs. None of these may call back into the session.
class SessionEvents {
public:
    virtual void on_state(State from, State to) = 0;
    // Until on_down(), on_update() and on_route_refresh() speak of this Established.
    virtual void on_established(const Established& established) = 0;
    // The view and its spans are good only during the call.
    virtual void on_update(const UpdateView& update) = 0;
    virtual void on_route_refresh(Family family, RouteRefresh::Kind kind) = 0;
    virtual void on_down(const Down& down) = 0;

protected:
    ~SessionEvents() = default;
};

struct MessageCounts {
    std::uint64_t opens = 0, updates = 0, notifications = 0, keepalives = 0, route_refreshes = 0;
    std::uint64_t total() const noexcept { return opens + updates + notifications + keepalives + route_refreshes; }
};

// What `show bgp neighbors` and `summary` print. Times are kNever before the first event.
struct SessionStats {
    MessageCounts sent, received;  // over all sessions with the neighbour
    std::uint64_t connections_established = 0, connections_dropped = 0;
    std::uint64_t attributes_discarded = 0, treated_as_withdraw = 0;  // UPDATEs, RFC 7606
    std::uint64_t collisions = 0;
    TimePoint changed_at = kNever;  // went up or down: "peerUptime"
    TimePoint last_read = kNever, last_write = kNever, last_update_received = kNever;
    ResetReason last_reset = ResetReason::None;
    TimePoint last_reset_at = kNever;
    std::optional<Notification> last_notification;  // the last one that ended a connection
    bool last_notification_sent = false;            // by us; else received
    AttrError last_attribute_error{{}, Action::None, ""};
};

// What ends a session from our side. Peers get Cease with `subcode`; 0: the transport is just closed.
struct Stop {
    ResetReason reason = ResetReason::AdminShutdown;
    std::uint8_t subcode = cease::kAdministrativeShutdown;
    std::string message;  // RFC 9003, with subcodes 2 and 4
};

// Threads: control. Contract with the runtime:
// - `seed` is any number, one for each session: jitter comes from it. The same seed and calls give the same session.
// - Call on_time() when next_deadline() has come, but only after on_bytes() was given what the session's sockets hold
// at
//   that moment: a hold time is judged by what has arrived, not by what a busy thread has not read yet.
// - An accepted transport is offered by accepts_incoming() first; false: close it. True: on_connected(Incoming), and if
// an
//   Incoming one is open already, the runtime closes the older one silently (the peer has given it up).
// - Every transport event of a connection is told once; after Output::close for it, none.
class Session {
public:
    Session(SessionConfig config, SessionEvents& events, std::uint64_t seed);

    // Leaves Idle, after `delay`. No effect when started already.
    Output on_start(TimePoint now, Duration delay = {});
    // To Idle until on_start().
    Output on_stop(const Stop& stop, TimePoint now);
    // Taken up at the next connection. The caller resets the session if a change needs it.
    void set_config(SessionConfig config);

    bool accepts_incoming() const noexcept;
    Output on_connected(Side side, const Endpoint& local, const Endpoint& remote, TimePoint now);
    Output on_connect_failed(TimePoint now);  // the Outgoing one that Output::connect asked for
    Output on_closed(Side side, TimePoint now);
    // A way to the neighbour has appeared (next-hop tracking): an Active session doesn't wait for ConnectRetry. The
    // wait in Idle stays as it is.
    Output on_reachable(TimePoint now);
    Output on_bytes(Side side, Bytes bytes, TimePoint now);
    Output on_time(TimePoint now);
    TimePoint next_deadline() const noexcept;

    // Whole UPDATEs made for this session's Negotiated; dropped when it is not established. Restarts the keepalive
    // timer.
    Output send_updates(std::vector<std::uint8_t> messages, TimePoint now);
    // No effect unless the peer can do it. Begin and End need enhanced route refresh (RFC 7313).
    Output send_route_refresh(Family family, RouteRefresh::Kind kind, TimePoint now);

    State state() const noexcept { return state_; }
    bool started() const noexcept { return started_; }
    const std::optional<Established>& established() const noexcept { return established_; }
    const SessionStats& stats() const noexcept { return stats_; }
    const SessionConfig& config() const noexcept { return config_; }
    // The OPEN we send: for "advertised" beside Established::peer's "received".
    Open local_open() const;
    TimePoint connect_retry_at() const noexcept { return connect_retry_at_; }

private:
    enum class Phase : std::uint8_t { Closed, Connecting, OpenSent, OpenConfirm, Established };

    struct Connection {
        Phase phase = Phase::Closed;
        MessageReader reader;
        Endpoint local, remote;
        TimePoint opened_at{};
        TimePoint hold_at = kNever, keepalive_at = kNever;
        Duration hold{}, keepalive{};
        Open sent, received;
        Negotiated negotiated;
    };

    Connection& at(Side side) noexcept { return connections_[static_cast<std::size_t>(side)]; }
    const Connection& at(Side side) const noexcept { return connections_[static_cast<std::size_t>(side)]; }
    static Side other(Side side) noexcept { return side == Side::Outgoing ? Side::Incoming : Side::Outgoing; }

    void update_state();
    void leave_idle(Output& out, TimePoint now);
    void connect(Output& out, TimePoint now);
    void cancel_connect(Output& out);
    void send(Side side, MessageType type, Bytes message, Output& out, TimePoint now);
    void notify(Side side, const Notification& notification, Output& out, TimePoint now);
    void drop(Side side, std::uint8_t cease_subcode, Output& out, TimePoint now);
    enum class Transport : std::uint8_t { Open, Gone };
    void fail(Side side, Down down, Transport transport, Output& out, TimePoint now);
    void refuse(Side side, Notification notification, Output& out, TimePoint now);
    void wait_after(bool was_established, TimePoint established_at, const Down& down, Output& out, TimePoint now);
    bool handle(Side side, const Message& message, Output& out, TimePoint now);
    bool handle_open(Side side, Bytes body, Output& out, TimePoint now);
    bool handle_update(Side side, Bytes body, Output& out, TimePoint now);
    bool handle_route_refresh(Side side, Bytes body, Output& out, TimePoint now);
    void handle_notification(Side side, Bytes body, Output& out, TimePoint now);
    bool survives_collision(Side side, const Open& open, Output& out, TimePoint now);
    std::optional<Notification> check_open(const Connection& connection, const Open& open) const;
    void negotiate(Connection& connection) const;
    void establish(Side side, Output& out, TimePoint now);
    Duration backoff_limit() const noexcept;
    Duration jittered(Duration duration) noexcept;

    SessionConfig config_;
    SessionEvents& events_;
    std::uint64_t random_;
    State state_ = State::Idle;
    bool started_ = false;
    bool running_ = false;               // has left Idle
    bool without_capabilities_ = false;  // the peer refused them (RFC 5492 3)
    Duration backoff_;
    TimePoint start_at_ = kNever;  // IdleHold
    TimePoint connect_retry_at_ = kNever;
    std::array<Connection, 2> connections_;
    std::optional<Established> established_;
    std::vector<std::uint8_t> scratch_;
    SessionStats stats_;
};

}  // namespace culvert::bgp
