#include "controlplane/bgp/session.h"

#include <algorithm>

// The session is two connections at most (RFC 4271 6.8 speaks of one FSM a connection) and what they share: the wait in
// Idle, ConnectRetry, the configuration. A connection is Closed, Connecting (outgoing only), OpenSent, OpenConfirm or
// Established; the state of the session is that of the further one, or Active when there is none.
//
//   error, hold time over, lost when established     -> Idle, wait, then connect again; the wait doubles while errors
//   last transport lost before, or collision             -> Active: accepts, and connects again after the same wait
//   connect failed                                  -> Active until ConnectRetry
//
// A collision is resolved as soon as one of the two OPENs is here: then the peer's identifier is known and both ends
// come to the same answer. (Waiting for OpenConfirm on both, the rule's minimum, lets an end establish the connection
// that the other one is about to close.) Entering OpenConfirm gives up an outgoing connection that is not open yet.
//
// Not handled: DelayOpen, graceful restart of our own, dynamic capabilities, ORF.
namespace culvert::bgp {
namespace {

constexpr Duration kOpenSentHold = 240s;  // RFC 4271 8.2.2: "a large value"
constexpr Duration kFirstBackoff = 1s;    // as FRR
constexpr Duration kLongestBackoff = 120s;
constexpr Duration kProvenAfter = 30s;  // an established session that lasted so long wasn't broken from the start
constexpr Duration kOpenDelay = 10s;    // an OPEN that has not come by then isn't about to: no rival in a collision

Afi afi_of(Family family) noexcept { return family == Family::Ipv4 ? Afi::Ipv4 : Afi::Ipv6; }

std::uint16_t hold_seconds(Duration hold) noexcept
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(hold).count();
    if (seconds <= 0) return 0;
    return static_cast<std::uint16_t>(std::clamp<std::int64_t>(seconds, 3, 65535));
}

// RFC 4760 8: without the capability a speaker means IPv4 unicast.
bool speaks(const Capabilities& capabilities, Family family) noexcept
{
    if (capabilities.multiprotocol.empty()) return family == Family::Ipv4;
    return capabilities.has({afi_of(family), Safi::Unicast});
}

Notification fsm_failure(std::uint8_t subcode) { return {ErrorCode::FiniteStateMachine, subcode, {}}; }

}  // namespace

std::string_view to_string(State state) noexcept
{
    switch (state) {
        case State::Idle: return "Idle";
        case State::Connect: return "Connect";
        case State::Active: return "Active";
        case State::OpenSent: return "OpenSent";
        case State::OpenConfirm: return "OpenConfirm";
        case State::Established: return "Established";
    }
    return "";
}

std::string_view to_string(ResetReason reason) noexcept
{
    switch (reason) {
        case ResetReason::None: return "";
        case ResetReason::RouterIdChange: return "Router ID changed";
        case ResetReason::RemoteAsChange: return "Remote AS changed";
        case ResetReason::LocalAsChange: return "Local AS change";
        case ResetReason::ClusterIdChange: return "Cluster ID changed";
        case ResetReason::RrClientChange: return "RR client config change";
        case ResetReason::UpdateSourceChange: return "Update source change";
        case ResetReason::FamilyActivated: return "Address family activated";
        case ResetReason::AdminShutdown: return "Admin. shutdown";
        case ResetReason::UserReset: return "User reset";
        case ResetReason::NotificationReceived: return "BGP Notification received";
        case ResetReason::NotificationSent: return "BGP Notification send";
        case ResetReason::PeerClosed: return "Peer closed the session";
        case ResetReason::NeighborDeleted: return "Neighbor deleted";
        case ResetReason::CapabilityChange: return "Capability changed";
        case ResetReason::PassiveChange: return "Passive config change";
        case ResetReason::MultihopChange: return "Multihop config change";
        case ResetReason::BfdDown: return "BFD down received";
        case ResetReason::InterfaceDown: return "Interface down";
        case ResetReason::AddressLost: return "Neighbor address lost";
        case ResetReason::NoPathToNeighbor: return "No path to specified Neighbor";
        case ResetReason::WaitingForVrf: return "Waiting for VRF to be initialized";
        case ResetReason::NoFamilyActivated: return "No AFI/SAFI activated for peer";
        case ResetReason::WaitingForOpen: return "Waiting for peer OPEN";
        case ResetReason::PrefixCount: return "Reached received prefix count";
        case ResetReason::SocketError: return "Socket Error";
    }
    return "";
}

Session::Session(SessionConfig config, SessionEvents& events, std::uint64_t seed)
    : config_(std::move(config)), events_(events), random_(seed)
{}

void Session::set_config(SessionConfig config) { config_ = std::move(config); }

// RFC 4271 10: timers are shortened by up to a quarter, so that sessions don't act in step.
Duration Session::jittered(Duration duration) noexcept
{
    random_ += 0x9e3779b97f4a7c15ULL;
    const auto part = static_cast<std::int64_t>(mix(random_) & 0xffff);
    return duration - duration / 4 * part / 0xffff;
}

Duration Session::backoff_limit() const noexcept
{
    return std::clamp<Duration>(config_.connect_retry, kFirstBackoff, kLongestBackoff);
}

void Session::update_state()
{
    auto next = running_ ? State::Active : State::Idle;
    for (const auto& connection : connections_) {
        switch (connection.phase) {
            case Phase::Closed: break;
            // A connection on its way ranks below an open one, but above waiting for one.
            case Phase::Connecting: next = next == State::Active ? State::Connect : next; break;
            case Phase::OpenSent: next = std::max(next, State::OpenSent); break;
            case Phase::OpenConfirm: next = std::max(next, State::OpenConfirm); break;
            case Phase::Established: next = State::Established; break;
        }
    }
    if (next == state_) return;
    const auto from = state_;
    state_ = next;
    events_.on_state(from, next);
}

// ---- Idle, and the outgoing transport

Output Session::on_start(TimePoint now, Duration delay)
{
    Output out;
    if (started_) return out;
    started_ = true;
    without_capabilities_ = false;
    backoff_ = kFirstBackoff;
    if (delay > Duration::zero())
        start_at_ = now + delay;
    else
        leave_idle(out, now);
    update_state();
    return out;
}

void Session::leave_idle(Output& out, TimePoint now)
{
    start_at_ = kNever;
    if (!config_.ipv4_unicast && !config_.ipv6_unicast) {
        stats_.last_reset = ResetReason::NoFamilyActivated;
        stats_.last_reset_at = now;
        return;
    }
    running_ = true;
    if (!config_.passive) connect(out, now);
}

void Session::connect(Output& out, TimePoint now)
{
    at(Side::Outgoing) = {};
    at(Side::Outgoing).phase = Phase::Connecting;
    out.connect = true;
    connect_retry_at_ = now + jittered(config_.connect_retry);
}

void Session::cancel_connect(Output& out)
{
    connect_retry_at_ = kNever;
    auto& outgoing = at(Side::Outgoing);
    if (outgoing.phase != Phase::Connecting) return;
    outgoing = {};
    out.close[static_cast<std::size_t>(Side::Outgoing)] = true;
    out.connect = false;
}

Output Session::on_connect_failed(TimePoint now)
{
    auto& outgoing = at(Side::Outgoing);
    if (outgoing.phase != Phase::Connecting) return {};
    outgoing = {};
    if (connect_retry_at_ == kNever) connect_retry_at_ = now + jittered(config_.connect_retry);
    update_state();
    return {};
}

Output Session::on_reachable(TimePoint now)
{
    Output out;
    if (state_ != State::Active || config_.passive) return out;
    connect(out, now);
    update_state();
    return out;
}

Output Session::on_time(TimePoint now)
{
    Output out;
    if (started_ && start_at_ <= now) leave_idle(out, now);

    for (const auto side : kSides) {
        const auto phase = at(side).phase;
        if (phase < Phase::OpenSent) continue;
        if (at(side).hold_at <= now) {
            const auto reason = phase == Phase::OpenSent ? ResetReason::WaitingForOpen : ResetReason::NotificationSent;
            fail(side, {reason, Notification{ErrorCode::HoldTimerExpired, 0, {}}}, Transport::Open, out, now);
        } else if (at(side).keepalive_at <= now) {
            send(side, MessageType::Keepalive, {}, out, now);
        }
    }

    if (connect_retry_at_ <= now) {
        const bool busy = at(Side::Outgoing).phase >= Phase::OpenSent || at(Side::Incoming).phase >= Phase::OpenConfirm;
        if (at(Side::Outgoing).phase == Phase::Connecting) cancel_connect(out);
        connect_retry_at_ = kNever;
        if (running_ && !config_.passive && !busy) connect(out, now);
    }
    update_state();
    return out;
}

TimePoint Session::next_deadline() const noexcept
{
    auto next = std::min(start_at_, connect_retry_at_);
    for (const auto& connection : connections_) next = std::min({next, connection.hold_at, connection.keepalive_at});
    return next;
}

Output Session::on_stop(const Stop& stop, TimePoint now)
{
    Output out;
    if (!started_) return out;
    started_ = running_ = false;
    start_at_ = kNever;

    Down down{stop.reason, std::nullopt};
    if (stop.subcode != 0) down.notification = {ErrorCode::Cease, stop.subcode, {}};
    if (stop.subcode == cease::kAdministrativeShutdown || stop.subcode == cease::kAdministrativeReset)
        down.notification->data = shutdown_communication(stop.message);

    cancel_connect(out);
    for (const auto side : kSides) {
        if (at(side).phase < Phase::OpenSent) continue;
        if (down.notification) notify(side, *down.notification, out, now);
        at(side) = {};
        out.close[static_cast<std::size_t>(side)] = true;
    }
    stats_.last_reset = stop.reason;
    stats_.last_reset_at = now;

    const bool was_established = established_.has_value();
    established_.reset();
    update_state();
    if (was_established) {
        ++stats_.connections_dropped;
        stats_.changed_at = now;
        events_.on_down(down);
    }
    return out;
}

// ---- Transports

bool Session::accepts_incoming() const noexcept { return running_ && state_ != State::Established; }

Output Session::on_connected(Side side, const Endpoint& local, const Endpoint& remote, TimePoint now)
{
    Output out;
    const bool wanted = side == Side::Outgoing ? at(side).phase == Phase::Connecting : accepts_incoming();
    if (!wanted) {
        out.close[static_cast<std::size_t>(side)] = true;
        return out;
    }

    auto& connection = at(side);
    connection = {};
    connection.phase = Phase::OpenSent;
    connection.local = local;
    connection.remote = remote;
    connection.opened_at = now;
    connection.hold_at = now + kOpenSentHold;
    connection.sent = local_open();
    if (connection.sent.capabilities.extended_message) connection.reader.allow_extended();
    if (side == Side::Outgoing) connect_retry_at_ = kNever;

    std::vector<std::uint8_t> open;
    encode_open(connection.sent, open);
    send(side, MessageType::Open, open, out, now);
    update_state();
    return out;
}

Output Session::on_closed(Side side, TimePoint now)
{
    if (at(side).phase == Phase::Connecting) return on_connect_failed(now);
    Output out;
    if (at(side).phase == Phase::Closed) return out;
    fail(side, {ResetReason::PeerClosed, std::nullopt}, Transport::Gone, out, now);
    return out;
}

// Appends a whole message (none for KEEPALIVE, which is always the same) and does the accounts.
void Session::send(Side side, MessageType type, Bytes message, Output& out, TimePoint now)
{
    auto& bytes = out.send[static_cast<std::size_t>(side)];
    if (type == MessageType::Keepalive)
        encode_keepalive(bytes);
    else
        bytes.insert(bytes.end(), message.begin(), message.end());

    switch (type) {
        case MessageType::Open: ++stats_.sent.opens; break;
        case MessageType::Update: ++stats_.sent.updates; break;
        case MessageType::Notification: ++stats_.sent.notifications; break;
        case MessageType::Keepalive: ++stats_.sent.keepalives; break;
        case MessageType::RouteRefresh: ++stats_.sent.route_refreshes; break;
    }
    stats_.last_write = now;
    // RFC 4271 4.4: KEEPALIVE and UPDATE put the next KEEPALIVE off.
    auto& connection = at(side);
    if (connection.keepalive > Duration::zero() && (type == MessageType::Keepalive || type == MessageType::Update))
        connection.keepalive_at = now + jittered(connection.keepalive);
}

void Session::notify(Side side, const Notification& notification, Output& out, TimePoint now)
{
    std::vector<std::uint8_t> message;
    encode_notification(notification, message);
    send(side, MessageType::Notification, message, out, now);
    stats_.last_notification = notification;
    stats_.last_notification_sent = true;
}

// Ends a connection that lost a collision: nothing is wrong with the session.
void Session::drop(Side side, std::uint8_t cease_subcode, Output& out, TimePoint now)
{
    std::vector<std::uint8_t> message;
    encode_notification({ErrorCode::Cease, cease_subcode, {}}, message);
    send(side, MessageType::Notification, message, out, now);
    at(side) = {};
    out.close[static_cast<std::size_t>(side)] = true;
    ++stats_.collisions;
}

// Ends a connection and, unless another one is open, decides what comes next.
void Session::fail(Side side, Down down, Transport transport, Output& out, TimePoint now)
{
    const bool was_established = at(side).phase == Phase::Established;
    const auto established_at = stats_.changed_at;
    if (down.notification && down.reason != ResetReason::NotificationReceived)
        notify(side, *down.notification, out, now);
    if (transport == Transport::Open) out.close[static_cast<std::size_t>(side)] = true;
    at(side) = {};

    const bool other_lives = at(other(side)).phase >= Phase::OpenSent;
    if (!other_lives) {
        stats_.last_reset = down.reason;
        stats_.last_reset_at = now;
        wait_after(was_established, established_at, down, out, now);
    }
    if (was_established) established_.reset();
    update_state();
    if (was_established) {
        ++stats_.connections_dropped;
        stats_.changed_at = now;
        events_.on_down(down);
    }
}

void Session::refuse(Side side, Notification notification, Output& out, TimePoint now)
{
    fail(side, {ResetReason::NotificationSent, std::move(notification)}, Transport::Open, out, now);
}

// RFC 4271 8.1.1 (IdleHold, DampPeerOscillations): a peer that keeps failing is left alone for longer and longer.
void Session::wait_after(bool was_established, TimePoint established_at, const Down& down, Output& out, TimePoint now)
{
    if (was_established) {
        without_capabilities_ = false;
        const bool broken = down.notification && down.notification->code != ErrorCode::Cease &&
                            down.notification->code != ErrorCode::HoldTimerExpired;
        if (!broken || now - established_at >= kProvenAfter) backoff_ = kFirstBackoff;
    }
    const auto wait = jittered(std::min(backoff_, backoff_limit()));
    backoff_ = std::min(backoff_ * 2, backoff_limit());

    if (down.notification || was_established) {
        cancel_connect(out);
        running_ = false;
        start_at_ = now + wait;
    } else if (!config_.passive && at(Side::Outgoing).phase == Phase::Closed) {
        connect_retry_at_ = now + wait;
    }
}

// ---- Messages

Output Session::on_bytes(Side side, Bytes bytes, TimePoint now)
{
    Output out;
    if (at(side).phase < Phase::OpenSent) return out;
    stats_.last_read = now;

    auto& reader = at(side).reader;
    reader.feed(bytes);
    for (;;) {
        auto message = reader.next();
        if (!message) {
            refuse(side, std::move(message).error(), out, now);
            break;
        }
        if (!*message || !handle(side, **message, out, now)) break;
    }
    return out;
}

// False: the connection is gone, and with it what the message pointed into.
bool Session::handle(Side side, const Message& message, Output& out, TimePoint now)
{
    auto& connection = at(side);
    const auto phase = connection.phase;
    const bool established = phase == Phase::Established;

    switch (message.type) {
        case MessageType::Open:
            ++stats_.received.opens;
            if (phase == Phase::OpenSent) return handle_open(side, message.body, out, now);
            break;
        case MessageType::Notification:
            ++stats_.received.notifications;
            handle_notification(side, message.body, out, now);
            return false;
        case MessageType::Keepalive:
            ++stats_.received.keepalives;
            if (phase == Phase::OpenSent) break;
            if (connection.hold > Duration::zero()) connection.hold_at = now + connection.hold;
            if (phase == Phase::OpenConfirm) establish(side, out, now);
            return true;
        case MessageType::Update:
            ++stats_.received.updates;
            if (established) return handle_update(side, message.body, out, now);
            break;
        case MessageType::RouteRefresh:
            ++stats_.received.route_refreshes;
            if (established) return handle_route_refresh(side, message.body, out, now);
            break;
    }

    // RFC 6608
    const auto subcode = phase == Phase::OpenSent      ? fsm_error::kInOpenSent
                         : phase == Phase::OpenConfirm ? fsm_error::kInOpenConfirm
                                                       : fsm_error::kInEstablished;
    refuse(side, fsm_failure(subcode), out, now);
    return false;
}

void Session::handle_notification(Side side, Bytes body, Output& out, TimePoint now)
{
    auto notification = decode_notification(body);
    const bool capabilities_refused =
        notification.code == ErrorCode::OpenMessage && notification.subcode == open_error::kUnsupportedParameter;
    if (capabilities_refused && at(side).phase != Phase::Established) without_capabilities_ = true;

    const bool lost_collision =
        notification.code == ErrorCode::Cease && notification.subcode == cease::kCollisionResolution;
    if (lost_collision && at(side).phase != Phase::Established) {
        fail(side, {ResetReason::PeerClosed, std::nullopt}, Transport::Open, out, now);
        return;
    }
    stats_.last_notification = notification;
    stats_.last_notification_sent = false;
    fail(side, {ResetReason::NotificationReceived, std::move(notification)}, Transport::Open, out, now);
}

bool Session::handle_open(Side side, Bytes body, Output& out, TimePoint now)
{
    auto open = decode_open(body);
    if (!open) {
        refuse(side, std::move(open).error(), out, now);
        return false;
    }
    if (auto wrong = check_open(at(side), *open)) {
        refuse(side, std::move(*wrong), out, now);
        return false;
    }
    if (!survives_collision(side, *open, out, now)) {
        update_state();
        return false;
    }

    auto& connection = at(side);
    connection.received = std::move(*open);
    negotiate(connection);
    connection.phase = Phase::OpenConfirm;
    connection.hold_at = connection.hold > Duration::zero() ? now + connection.hold : kNever;
    send(side, MessageType::Keepalive, {}, out, now);
    cancel_connect(out);
    update_state();
    return true;
}

// RFC 4271 6.2: what only the configuration can tell. RFC 6286: equal identifiers are wrong inside an AS only.
std::optional<Notification> Session::check_open(const Connection& connection, const Open& open) const
{
    bool expected = false;
    switch (config_.peer_as_kind) {
        case SessionConfig::PeerAs::Number: expected = open.asn == config_.peer_as; break;
        case SessionConfig::PeerAs::Internal: expected = open.asn == config_.local_as; break;
        case SessionConfig::PeerAs::External: expected = open.asn != config_.local_as; break;
    }
    if (!expected) {
        const auto asn = index(open.asn) > 0xffff ? index(kAsTrans) : index(open.asn);
        return Notification{ErrorCode::OpenMessage,
                            open_error::kBadPeerAs,
                            {static_cast<std::uint8_t>(asn >> 8), static_cast<std::uint8_t>(asn)}};
    }
    if (open.asn == config_.local_as && open.router_id == config_.router_id)
        return Notification{ErrorCode::OpenMessage, open_error::kBadIdentifier, {}};

    const auto& ours = connection.sent.capabilities;
    const auto shared = [&](Family family) { return speaks(ours, family) && speaks(open.capabilities, family); };
    if (shared(Family::Ipv4) || shared(Family::Ipv6)) return std::nullopt;

    // RFC 5492 5: the data lists the capabilities that are missed.
    Notification missing{ErrorCode::OpenMessage, open_error::kUnsupportedCapability, {}};
    Writer data{missing.data};
    for (const auto& family : ours.multiprotocol) {
        data.u8(1);
        data.u8(4);
        data.u16(static_cast<std::uint16_t>(family.afi));
        data.u8(0);
        data.u8(static_cast<std::uint8_t>(family.safi));
    }
    return missing;
}

// RFC 4271 6.8, RFC 6286 2.3. False: this connection is closed.
bool Session::survives_collision(Side side, const Open& open, Output& out, TimePoint now)
{
    const auto rival = other(side);
    const auto& connection = at(rival);
    if (connection.phase < Phase::OpenSent) return true;

    const bool stale = connection.phase == Phase::OpenSent && now - connection.opened_at > kOpenDelay;
    const bool we_rank_higher =
        config_.router_id != open.router_id ? config_.router_id > open.router_id : config_.local_as > open.asn;
    const auto winner = connection.phase == Phase::Established ? rival
                        : stale                                ? side
                        : we_rank_higher                       ? Side::Outgoing
                                                               : Side::Incoming;
    drop(winner == side ? rival : side, cease::kCollisionResolution, out, now);
    return winner == side;
}

void Session::negotiate(Connection& connection) const
{
    const auto& ours = connection.sent.capabilities;
    const auto& theirs = connection.received.capabilities;
    auto& n = connection.negotiated;
    n.four_octet_as = ours.four_octet_as && theirs.four_octet_as;
    n.extended_message = ours.extended_message && theirs.extended_message;
    n.external = connection.received.asn != connection.sent.asn;
    n.ipv4_unicast = speaks(ours, Family::Ipv4) && speaks(theirs, Family::Ipv4);
    n.ipv6_unicast = speaks(ours, Family::Ipv6) && speaks(theirs, Family::Ipv6);
    n.extended_next_hop = n.ipv4_unicast && ours.extended_next_hop && theirs.extended_next_hop;
    n.route_refresh = ours.route_refresh && (theirs.route_refresh || theirs.route_refresh_old);
    n.enhanced_route_refresh = ours.enhanced_route_refresh && theirs.enhanced_route_refresh;
    n.local_as = connection.sent.asn;
    n.remote_as = connection.received.asn;

    connection.hold = std::chrono::seconds{std::min(connection.sent.hold_time, connection.received.hold_time)};
    connection.keepalive = connection.hold / 3;
    if (config_.keepalive > Duration::zero()) connection.keepalive = std::min(connection.keepalive, config_.keepalive);
}

void Session::establish(Side side, Output& out, TimePoint now)
{
    cancel_connect(out);
    if (at(other(side)).phase >= Phase::OpenSent) drop(other(side), cease::kCollisionResolution, out, now);

    auto& connection = at(side);
    connection.phase = Phase::Established;
    established_ = Established{connection.negotiated, connection.received, side, connection.local, connection.remote,
                               connection.hold,       connection.keepalive};
    ++stats_.connections_established;
    stats_.changed_at = now;
    update_state();
    events_.on_established(*established_);
}

bool Session::handle_update(Side side, Bytes body, Output& out, TimePoint now)
{
    auto& connection = at(side);
    if (connection.hold > Duration::zero()) connection.hold_at = now + connection.hold;
    stats_.last_update_received = now;

    const auto update = decode_update(body, connection.negotiated, scratch_, {config_.enforce_first_as});
    if (!update) {
        refuse(side, update.error(), out, now);
        return false;
    }
    if (update->action != Action::None) {
        ++(update->action == Action::AttributeDiscard ? stats_.attributes_discarded : stats_.treated_as_withdraw);
        stats_.last_attribute_error = update->error;
    }
    events_.on_update(*update);
    return true;
}

bool Session::handle_route_refresh(Side side, Bytes body, Output& out, TimePoint now)
{
    auto& connection = at(side);
    const auto& negotiated = connection.negotiated;
    if (connection.hold > Duration::zero()) connection.hold_at = now + connection.hold;

    auto refresh = decode_route_refresh(body, negotiated.enhanced_route_refresh);
    if (!refresh) {
        refuse(side, std::move(refresh).error(), out, now);
        return false;
    }
    // RFC 2918 4: what was not offered, or is of a family not spoken, is ignored.
    if (!*refresh || !connection.sent.capabilities.route_refresh) return true;
    const auto& [family, kind] = **refresh;
    if (negotiated.ipv4_unicast && family == AfiSafi{Afi::Ipv4, Safi::Unicast})
        events_.on_route_refresh(Family::Ipv4, kind);
    if (negotiated.ipv6_unicast && family == AfiSafi{Afi::Ipv6, Safi::Unicast})
        events_.on_route_refresh(Family::Ipv6, kind);
    return true;
}

// ---- What the caller has to say

Open Session::local_open() const
{
    Open open;
    open.asn = config_.local_as;
    open.hold_time = hold_seconds(config_.hold);
    open.router_id = config_.router_id;
    if (!config_.capabilities || without_capabilities_) return open;

    auto& c = open.capabilities;
    c.any = true;
    if (config_.ipv4_unicast) c.multiprotocol.push_back({Afi::Ipv4, Safi::Unicast});
    if (config_.ipv6_unicast) c.multiprotocol.push_back({Afi::Ipv6, Safi::Unicast});
    c.four_octet_as = config_.local_as;
    c.route_refresh = c.route_refresh_old = c.enhanced_route_refresh = true;
    c.extended_next_hop = config_.extended_next_hop && config_.ipv4_unicast;
    c.extended_message = config_.extended_message;
    c.hostname = config_.hostname;
    c.domain = config_.domain;
    // No graceful restart (RFC 4724): who announces it, if only as a helper, must keep the routes of a peer that
    // restarts.
    return open;
}

Output Session::send_updates(std::vector<std::uint8_t> messages, TimePoint now)
{
    Output out;
    if (!established_ || messages.size() < kHeaderLength) return out;
    std::size_t count = 0;
    for (std::size_t i = 0; i + kHeaderLength <= messages.size(); ++count)
        i += std::max<std::size_t>(kHeaderLength, std::size_t{messages[i + 16]} << 8 | messages[i + 17]);
    stats_.sent.updates += count - 1;  // send() counts one
    const auto side = established_->side;
    out.send[static_cast<std::size_t>(side)] = std::move(messages);
    send(side, MessageType::Update, {}, out, now);
    return out;
}

Output Session::send_route_refresh(Family family, RouteRefresh::Kind kind, TimePoint now)
{
    Output out;
    if (!established_) return out;
    const auto& n = established_->negotiated;
    const bool spoken = family == Family::Ipv4 ? n.ipv4_unicast : n.ipv6_unicast;
    const bool able = kind == RouteRefresh::Kind::Request ? n.route_refresh : n.enhanced_route_refresh;
    if (!spoken || !able) return out;
    std::vector<std::uint8_t> message;
    encode_route_refresh({{afi_of(family), Safi::Unicast}, kind}, message);
    send(established_->side, MessageType::RouteRefresh, message, out, now);
    return out;
}

}  // namespace culvert::bgp
