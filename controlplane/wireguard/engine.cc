#include "controlplane/wireguard/state.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace culvert::wireguard {

Peer* Engine::State::find(PeerId id)
{
    const auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : &found->second;
}

// ---- the operator --------------------------------------------------------------------------------------------------

Output Engine::State::set_peer(PeerId id, PeerConfig config, TimePoint now)
{
    Output out;
    if (Peer* const old = find(id); old != nullptr && old->remote.public_key != config.public_key)
        out = remove_peer(id);

    auto [at, fresh] = peers_.try_emplace(id);
    Peer& peer = at->second;
    if (fresh) {
        peer.id = id;
        peer.added = now;
        peer.remote = noise_.remote(us_, config.public_key, std::move(config.preshared_key));
        by_key_[config.public_key] = id;
    } else {
        peer.remote.preshared_key = std::move(config.preshared_key);
    }
    // An endpoint that the operator did not touch is left where the peer has roamed to.
    if (config.endpoint && config.endpoint != peer.configured) {
        peer.endpoint = config.endpoint;
        peer.local = {};
        out.commands.emplace_back(api::MovePeer{id, *config.endpoint});
    }
    peer.configured = config.endpoint;

    const bool wakes = config.persistent_keepalive > Duration::zero() && peer.persistent_keepalive <= Duration::zero();
    peer.persistent_keepalive = std::max(Duration::zero(), config.persistent_keepalive);
    if (wakes && !peer.session_is_valid(now)) want_handshake(peer, now, out);
    if (peer.current || peer.persistent_keepalive > Duration::zero()) look_at(peer, now);
    reschedule(peer);
    return out;
}

Output Engine::State::remove_peer(PeerId id)
{
    Output out;
    const auto at = peers_.find(id);
    if (at == peers_.end()) return out;
    Peer& peer = at->second;
    forget(peer, true, out);
    queue_.erase({peer.deadline, id});
    if (const auto key = by_key_.find(peer.remote.public_key); key != by_key_.end() && key->second == id)
        by_key_.erase(key);
    peers_.erase(at);
    return out;
}

Output Engine::State::set_config(EngineConfig config, TimePoint now)
{
    Output out;
    rekey_after_ = bounded(config.rekey_after);
    const bool new_key = config.private_key != us_.private_key;
    if (new_key) us_ = noise_.identity(std::move(config.private_key));
    for (auto& [id, peer] : peers_) {
        if (new_key) {
            forget(peer, false, out);
            peer.remote = noise_.remote(us_, peer.remote.public_key, std::move(peer.remote.preshared_key));
            peer.last_mac1_index.reset();
            if (peer.persistent_keepalive > Duration::zero()) want_handshake(peer, now, out);
        }
        if (peer.current || peer.persistent_keepalive > Duration::zero()) look_at(peer, now);
        reschedule(peer);
    }
    return out;
}

Output Engine::State::set_up(bool up, TimePoint now)
{
    Output out;
    if (up == up_) return out;
    up_ = up;
    for (auto& [id, peer] : peers_) {
        if (!up) {
            forget(peer, true, out);
        } else if (peer.persistent_keepalive > Duration::zero()) {
            want_handshake(peer, now, out);
            look_at(peer, now);
        }
        reschedule(peer);
    }
    return out;
}

// ---- the worker ----------------------------------------------------------------------------------------------------

Output Engine::State::on_event(const api::WorkerEvent& event, TimePoint now)
{
    Output out;
    Peer* peer = nullptr;
    if (const auto* wanted = std::get_if<api::HandshakeWanted>(&event)) {
        if ((peer = find(wanted->peer)) != nullptr) want_handshake(*peer, now, out);
    } else if (const auto* installed = std::get_if<api::KeysInstalled>(&event)) {
        if ((peer = find(installed->peer)) != nullptr) on_installed(*peer, installed->sequence, now, out);
    } else if (const auto* proven = std::get_if<api::KeysProven>(&event)) {
        if ((peer = find(proven->peer)) != nullptr) on_proven(*peer, proven->local_index, now);
    } else if (const auto* moved = std::get_if<api::EndpointMoved>(&event)) {
        if ((peer = find(moved->peer)) != nullptr && peer->endpoint != moved->endpoint) {
            peer->endpoint = moved->endpoint;
            peer->local = {};
        }
    }
    if (peer != nullptr) reschedule(*peer);
    return out;
}

void Engine::State::on_installed(Peer& peer, std::uint64_t sequence, TimePoint now, Output& out)
{
    if (!peer.reply || peer.reply->sequence != sequence) return;
    out.send.push_back(peer.reply->datagram);
    peer.reply.reset();
    peer.handshake_sent = now;
}

void Engine::State::on_proven(Peer& peer, std::uint32_t index, TimePoint now)
{
    const auto found = std::ranges::find(peer.sessions, index, &SessionInfo::index);
    if (found != peer.sessions.end()) become_current(peer, *found, now);
}

void Engine::State::become_current(Peer& peer, const SessionInfo& session, TimePoint now)
{
    if (peer.current) peer.previous = peer.current->index;
    peer.current = session;
    peer.asked_at_last_minute = false;
    peer.latest_handshake = now;
    ++peer.handshakes;
    drop_outstanding(peer);
    look_at(peer, now);
}

// ---- the end of things ---------------------------------------------------------------------------------------------

void Engine::State::drop_outstanding(Peer& peer)
{
    if (peer.outstanding) indices_.release(peer.outstanding->index);
    peer.outstanding.reset();
    peer.retransmit_at = kNever;
    peer.start_at = kNever;
}

void Engine::State::release_indices(Peer& peer)
{
    if (peer.outstanding) indices_.release(peer.outstanding->index);
    for (const auto& session : peer.sessions) indices_.release(session.index);
    peer.sessions.clear();
}

void Engine::State::forget(Peer& peer, bool drop_waiting, Output& out)
{
    drop_outstanding(peer);
    release_indices(peer);
    peer.reply.reset();
    peer.current.reset();
    peer.previous.reset();
    peer.forget_at = kNever;
    peer.poll_at = peer.persistent_keepalive > Duration::zero() ? peer.poll_at : kNever;
    out.commands.emplace_back(api::ForgetKeys{peer.id, drop_waiting});
}

// ---- views ---------------------------------------------------------------------------------------------------------

PeerView Engine::State::view(const Peer& peer, TimePoint now) const
{
    PeerView view;
    view.id = peer.id;
    view.public_key = peer.remote.public_key;
    view.has_preshared_key = !peer.remote.preshared_key.is_zero();
    view.state = peer.session_is_valid(now)     ? PeerState::Up
                 : peer.retransmit_at != kNever ? PeerState::Handshaking
                                                : PeerState::Down;
    view.endpoint = peer.endpoint;
    view.latest_handshake = peer.latest_handshake;
    view.initiator = peer.current && peer.current->initiator;
    view.persistent_keepalive = peer.persistent_keepalive;
    view.handshakes = peer.handshakes;
    view.initiations_sent = peer.initiations_sent;
    view.sent_octets = peer.activity.sent_octets;
    view.received_octets = peer.activity.received_octets;
    return view;
}

std::optional<PeerView> Engine::State::peer(PeerId id, TimePoint now) const
{
    const auto found = peers_.find(id);
    if (found == peers_.end()) return std::nullopt;
    return view(found->second, now);
}

std::vector<PeerView> Engine::State::peers(TimePoint now) const
{
    std::vector<PeerView> out;
    out.reserve(peers_.size());
    for (const auto& [id, peer] : peers_) out.push_back(view(peer, now));
    return out;
}

// ---- the face ------------------------------------------------------------------------------------------------------

void Output::append(Output&& other)
{
    send.insert(send.end(), other.send.begin(), other.send.end());
    commands.insert(commands.end(), other.commands.begin(), other.commands.end());
    poll.insert(poll.end(), other.poll.begin(), other.poll.end());
}

std::string_view name(Handling handling) noexcept
{
    constexpr std::array<std::string_view, kHandlingCount> kNames = {
        "accepted", "malformed", "wrong mac1", "wrong key", "unknown peer", "replayed", "too fast", "unexpected"};
    return kNames[static_cast<std::size_t>(handling)];
}

std::string_view name(PeerState state) noexcept
{
    constexpr std::array<std::string_view, 3> kNames = {"down", "handshaking", "up"};
    return kNames[static_cast<std::size_t>(state)];
}

ActivitySnapshot snapshot(const api::PeerActivity& activity) noexcept
{
    ActivitySnapshot out;
    out.last_data_sent = moment(activity.last_data_sent);
    out.last_data_received = moment(activity.last_data_received);
    out.last_any_sent = moment(activity.last_any_sent);
    out.last_any_received = moment(activity.last_any_received);
    out.first_data_sent_unanswered = moment(activity.first_data_sent_unanswered);
    out.first_data_received_unanswered = moment(activity.first_data_received_unanswered);
    out.sent_packets = activity.sent_packets.load(std::memory_order_relaxed);
    out.sent_octets = activity.sent_octets.load(std::memory_order_relaxed);
    out.received_packets = activity.received_packets.load(std::memory_order_relaxed);
    out.received_octets = activity.received_octets.load(std::memory_order_relaxed);
    out.sending_counter = activity.sending_counter.load(std::memory_order_relaxed);
    return out;
}

Engine::Engine(EngineConfig config, IndexTable& indices, crypto::Random& random, TimestampSource& timestamps)
    : state_(std::make_unique<State>(std::move(config), indices, random, timestamps))
{}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const crypto::PublicKey& Engine::public_key() const noexcept { return state_->public_key(); }
Output Engine::set_peer(PeerId id, PeerConfig config, TimePoint now)
{
    return state_->set_peer(id, std::move(config), now);
}
Output Engine::remove_peer(PeerId id, TimePoint) { return state_->remove_peer(id); }
Output Engine::set_config(EngineConfig config, TimePoint now) { return state_->set_config(std::move(config), now); }
Output Engine::set_up(bool up, TimePoint now) { return state_->set_up(up, now); }
Output Engine::on_message(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now)
{
    return state_->on_message(message, from, to, now);
}
Output Engine::on_event(const api::WorkerEvent& event, TimePoint now) { return state_->on_event(event, now); }
Output Engine::on_activity(PeerId id, const ActivitySnapshot& activity, TimePoint now)
{
    return state_->on_activity(id, activity, now);
}
TimePoint Engine::next_deadline() const noexcept { return state_->next_deadline(); }
Output Engine::on_time(TimePoint now) { return state_->on_time(now); }
bool Engine::has_peer(PeerId id) const noexcept { return state_->has_peer(id); }
std::optional<PeerView> Engine::peer(PeerId id, TimePoint now) const { return state_->peer(id, now); }
std::vector<PeerView> Engine::peers(TimePoint now) const { return state_->peers(now); }
std::uint64_t Engine::count(Handling handling) const noexcept { return state_->count(handling); }

}  // namespace culvert::wireguard
