#include "controlplane/wireguard/engine.h"

#include "controlplane/wireguard/noise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

namespace culvert::wireguard {
namespace {

// The kernel's: spreads the retries of peers that lost each other at the same moment.
constexpr Duration kMaxJitter = 333ms;
// How often a peer with a session is looked at. The timers of 10 s and more are exact all the same, since what they
// count from is in the snapshot; it is the reaction to traffic after a quiet time that may be late by this much.
constexpr Duration kPoll = 1s;
constexpr Duration kPollPastRekey = 250ms;
// Indices of one peer that may be in use at a time: the worker holds three, and commands and events are on their way.
// A peer whose initiations we answer but which never goes on with a handshake can't make us hold more.
constexpr std::size_t kMaxIndices = 8;

using Moment = std::optional<TimePoint>;

Moment later(Moment a, Moment b) noexcept { return std::max(a, b); }  // none is the earliest

Moment moment(const std::atomic<std::int64_t>& field) noexcept
{
    const auto count = field.load(std::memory_order_relaxed);
    return count == 0 ? Moment{} : Moment{TimePoint{Duration{count}}};
}

struct HashOfKey {
    // Public keys are points of a curve: any eight octets are as good as random, but for keys an operator makes up.
    std::size_t operator()(const crypto::PublicKey& key) const noexcept
    {
        std::uint64_t word;
        std::memcpy(&word, key.data(), sizeof word);
        return mix(word);
    }
};

// Since when data goes unanswered. The worker says since when (`first`), but does not know of `answered`: what was said
// besides, by a handshake, or done about it already. After that only data later than it counts.
Moment unanswered(Moment first, Moment last, Moment answered) noexcept
{
    if (!first || first >= answered) return first;
    return last > answered ? answered : Moment{};
}

// A session as the worker has it, by what the engine needs to know.
struct SessionInfo {
    std::uint32_t index = 0;
    TimePoint created{};
    bool initiator = false;
};

struct Peer {
    PeerId id{kNoPeer};
    Remote remote;
    std::optional<Endpoint> configured;  // as the operator wrote it
    std::optional<Endpoint> endpoint;    // as it is
    IpAddress local{};                   // the address of ours that the peer speaks to; 0.0.0.0: not known
    Duration persistent_keepalive{};

    // As the initiator.
    struct Outstanding {
        std::uint32_t index;
        InitiatorState state;
    };
    std::optional<Outstanding> outstanding;
    Tai64n last_timestamp{};           // that we sent
    TimePoint retransmit_at = kNever;  // a handshake of ours is under way
    TimePoint attempt_started{};
    TimePoint start_at = kNever;  // one is wanted, but the last message was sent too short a time ago
    Duration jitter{};

    // As the responder.
    struct Reply {
        std::uint64_t sequence;
        Datagram datagram;
    };
    std::optional<Reply> reply;   // leaves when the worker has acked the keys
    Tai64n greatest_timestamp{};  // that the peer sent
    Moment initiation_taken;

    // Macs.
    Mac last_mac1{};
    std::optional<std::uint32_t> last_mac1_index;
    Cookie cookie{};
    Moment cookie_received;

    std::vector<SessionInfo> sessions;  // oldest first
    std::optional<SessionInfo> current;
    std::optional<std::uint32_t> previous;
    bool asked_at_last_minute = false;  // of the current session

    Moment handshake_sent;   // any handshake message
    Moment handshake_heard;  // an authenticated one
    Moment keepalive_asked;
    Moment declared_dead;  // when silence was answered with a handshake
    Moment latest_handshake;
    TimePoint added{};
    TimePoint forget_at = kNever;
    TimePoint poll_at = kNever;
    TimePoint deadline = kNever;  // as it is in the queue

    ActivitySnapshot activity;
    std::uint64_t handshakes = 0;
    std::uint64_t initiations_sent = 0;

    bool session_is_valid(TimePoint now) const noexcept { return current && now - current->created < kRejectAfterTime; }
};

}  // namespace

class Engine::State {
public:
    State(EngineConfig config, IndexTable& indices, crypto::Random& random, TimestampSource& timestamps)
        : indices_(indices),
          random_(random),
          timestamps_(timestamps),
          us_(noise_.identity(std::move(config.private_key))),
          rekey_after_(bounded(config.rekey_after))
    {}
    ~State()
    {
        for (auto& [id, peer] : peers_) release_indices(peer);
    }

    const crypto::PublicKey& public_key() const noexcept { return us_.public_key; }

    Output set_peer(PeerId id, PeerConfig config, TimePoint now);
    Output remove_peer(PeerId id);
    Output set_config(EngineConfig config, TimePoint now);
    Output set_up(bool up, TimePoint now);
    Output on_message(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now);
    Output on_event(const api::WorkerEvent& event, TimePoint now);
    Output on_activity(PeerId id, const ActivitySnapshot& activity, TimePoint now);
    TimePoint next_deadline() const noexcept { return queue_.empty() ? kNever : queue_.begin()->first; }
    Output on_time(TimePoint now);

    bool has_peer(PeerId id) const noexcept { return peers_.contains(id); }
    std::optional<PeerView> peer(PeerId id, TimePoint now) const;
    std::vector<PeerView> peers(TimePoint now) const;
    std::uint64_t count(Handling handling) const noexcept { return counts_[static_cast<std::size_t>(handling)]; }

private:
    static Duration bounded(Duration rekey_after) { return std::clamp<Duration>(rekey_after, 1s, kRekeyAfterTime); }

    Peer* find(PeerId id);
    void note(Handling handling) { ++counts_[static_cast<std::size_t>(handling)]; }

    Handling take_initiation(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now, Output& out);
    Handling take_response(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now, Output& out);
    Handling take_cookie(Bytes message, TimePoint now);

    void on_installed(Peer& peer, std::uint64_t sequence, TimePoint now, Output& out);
    void on_proven(Peer& peer, std::uint32_t index, TimePoint now);

    void want_handshake(Peer& peer, TimePoint now, Output& out);
    void initiate(Peer& peer, TimePoint now, Output& out);
    void give_up(Peer& peer, TimePoint now, Output& out);
    void retransmit(Peer& peer, TimePoint now, Output& out);
    void evaluate(Peer& peer, TimePoint now, Output& out);
    void ask_keepalive(Peer& peer, TimePoint now, Output& out);

    void hear(Peer& peer, const Endpoint& from, const IpAddress& to, TimePoint now, Output& out);
    template <std::size_t N>
    Datagram datagram(Peer& peer, std::uint32_t index, const std::array<std::uint8_t, N>& message, TimePoint now);
    void install(Peer& peer, const SessionInfo& session, std::uint32_t remote_index, const TransportKeys& keys,
                 std::uint64_t sequence, Output& out);
    void become_current(Peer& peer, const SessionInfo& session, TimePoint now);
    void forget(Peer& peer, bool drop_waiting, Output& out);
    void release_indices(Peer& peer);
    void drop_outstanding(Peer& peer);
    void look_at(Peer& peer, TimePoint now);
    void reschedule(Peer& peer);
    PeerView view(const Peer& peer, TimePoint now) const;

    IndexTable& indices_;
    crypto::Random& random_;
    TimestampSource& timestamps_;
    Noise noise_;
    Identity us_;
    Duration rekey_after_;
    bool up_ = true;
    std::uint64_t sequence_ = 0;
    std::map<PeerId, Peer> peers_;
    std::unordered_map<crypto::PublicKey, PeerId, HashOfKey> by_key_;
    std::set<std::pair<TimePoint, PeerId>> queue_;  // of deadlines
    std::array<std::uint64_t, kHandlingCount> counts_{};
};

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

// ---- messages ------------------------------------------------------------------------------------------------------

Output Engine::State::on_message(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now)
{
    Output out;
    if (!up_) return out;
    const auto type = type_of(message);
    if (type == MessageType::Initiation)
        note(take_initiation(message, from, to, now, out));
    else if (type == MessageType::Response)
        note(take_response(message, from, to, now, out));
    else if (type == MessageType::CookieReply)
        note(take_cookie(message, now));
    else
        note(Handling::Malformed);
    return out;
}

Handling Engine::State::take_initiation(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now,
                                        Output& out)
{
    const auto initiation = Initiation::decode(message);
    if (!initiation) return Handling::Malformed;
    if (!noise_.mac1_fits(us_, message)) return Handling::WrongMac1;

    auto state = noise_.read_static(us_, *initiation);
    if (!state) return Handling::WrongKey;
    const auto key = by_key_.find(state->remote_static);
    if (key == by_key_.end()) return Handling::UnknownPeer;
    Peer& peer = *find(key->second);
    const auto timestamp = noise_.read_timestamp(peer.remote, *state, *initiation);
    if (!timestamp) return Handling::WrongKey;
    if (*timestamp <= peer.greatest_timestamp) return Handling::Replayed;
    if (peer.initiation_taken && now - *peer.initiation_taken < kInitiationInterval) return Handling::TooFast;

    Response response;
    const SessionInfo session{indices_.allocate(peer.id, random_), now, false};
    const auto keys = noise_.write_response(peer.remote, *state, session.index, initiation->sender, random_, response);
    if (!keys) {
        indices_.release(session.index);
        return Handling::WrongKey;
    }
    peer.greatest_timestamp = *timestamp;
    peer.initiation_taken = now;
    hear(peer, from, to, now, out);

    std::array<std::uint8_t, kResponseSize> octets;
    response.encode(octets);
    const std::uint64_t sequence = ++sequence_;
    peer.reply = Peer::Reply{sequence, datagram(peer, session.index, octets, now)};
    install(peer, session, initiation->sender, *keys, sequence, out);
    reschedule(peer);
    return Handling::Accepted;
}

Handling Engine::State::take_response(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now,
                                      Output& out)
{
    const auto response = Response::decode(message);
    if (!response) return Handling::Malformed;
    if (!noise_.mac1_fits(us_, message)) return Handling::WrongMac1;

    const auto owner = indices_.owner(response->receiver);
    Peer* const peer = owner ? find(*owner) : nullptr;
    if (peer == nullptr || !peer->outstanding || peer->outstanding->index != response->receiver)
        return Handling::Unexpected;
    const auto keys = noise_.read_response(us_, peer->remote, peer->outstanding->state, *response);
    if (!keys) return Handling::WrongKey;

    hear(*peer, from, to, now, out);
    const SessionInfo session{response->receiver, now, true};
    peer->outstanding.reset();  // its index is the session's from here on
    install(*peer, session, response->sender, *keys, ++sequence_, out);
    become_current(*peer, session, now);
    reschedule(*peer);
    return Handling::Accepted;
}

Handling Engine::State::take_cookie(Bytes message, TimePoint now)
{
    const auto reply = CookieReply::decode(message);
    if (!reply) return Handling::Malformed;
    const auto owner = indices_.owner(reply->receiver);
    Peer* const peer = owner ? find(*owner) : nullptr;
    if (peer == nullptr || peer->last_mac1_index != reply->receiver) return Handling::Unexpected;
    const auto cookie = noise_.open_cookie(peer->remote, peer->last_mac1, *reply);
    if (!cookie) return Handling::WrongKey;
    // Used by the retry, which the timer sends: answering at once would help a flood along.
    peer->cookie = *cookie;
    peer->cookie_received = now;
    return Handling::Accepted;
}

// An authenticated handshake message came: the peer is where it came from.
void Engine::State::hear(Peer& peer, const Endpoint& from, const IpAddress& to, TimePoint now, Output& out)
{
    peer.handshake_heard = now;
    peer.local = to;
    if (peer.endpoint != from) {
        peer.endpoint = from;
        out.commands.emplace_back(api::MovePeer{peer.id, from});
    }
}

template <std::size_t N>
Datagram Engine::State::datagram(Peer& peer, std::uint32_t index, const std::array<std::uint8_t, N>& message,
                                 TimePoint now)
{
    Datagram out;
    out.peer = peer.id;
    out.to = *peer.endpoint;
    out.from = peer.local;
    out.length = N;
    std::copy(message.begin(), message.end(), out.octets.begin());
    const bool has_cookie = peer.cookie_received && now - *peer.cookie_received < kCookieLifetime;
    peer.last_mac1 =
        noise_.write_macs(peer.remote, has_cookie ? &peer.cookie : nullptr, MutableBytes{out.octets}.first(N));
    peer.last_mac1_index = index;
    return out;
}

void Engine::State::install(Peer& peer, const SessionInfo& session, std::uint32_t remote_index,
                            const TransportKeys& keys, std::uint64_t sequence, Output& out)
{
    auto& command = out.commands.emplace_back(api::InstallKeys{});
    auto& install = std::get<api::InstallKeys>(command);
    install.peer = peer.id;
    install.sequence = sequence;
    install.local_index = session.index;
    install.remote_index = remote_index;
    install.initiator = session.initiator;
    install.created = session.created;
    std::ranges::copy(keys.sending.reveal(), install.sending.begin());
    std::ranges::copy(keys.receiving.reveal(), install.receiving.begin());

    // The worker has let go of the oldest ones by itself; two are spared that it may well hold although they are old.
    for (auto at = peer.sessions.begin(); peer.sessions.size() >= kMaxIndices;) {
        if (at->index == peer.previous || (peer.current && at->index == peer.current->index)) {
            ++at;
        } else {
            indices_.release(at->index);
            at = peer.sessions.erase(at);
        }
    }
    peer.sessions.push_back(session);
    peer.forget_at = session.created + kForgetAfter;
    if (peer.poll_at == kNever) peer.poll_at = session.created + kPoll;
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

// ---- timers --------------------------------------------------------------------------------------------------------

// A handshake of ours is wanted, for whatever reason. Never two within the time that an answer may take.
void Engine::State::want_handshake(Peer& peer, TimePoint now, Output& out)
{
    if (!up_ || !peer.endpoint) return;
    if (peer.retransmit_at != kNever) {
        peer.attempt_started = now;  // 6.4: somebody still wants to send, so giving up is put off
        return;
    }
    const Duration gap = std::min<Duration>(kRekeyTimeout, rekey_after_);
    if (peer.handshake_sent && now - *peer.handshake_sent < gap) {
        peer.start_at = *peer.handshake_sent + gap;
        return;
    }
    peer.attempt_started = now;
    initiate(peer, now, out);
}

void Engine::State::initiate(Peer& peer, TimePoint now, Output& out)
{
    drop_outstanding(peer);
    peer.last_timestamp = std::max(timestamps_.timestamp().whitened(), peer.last_timestamp.next());
    Initiation initiation;
    const std::uint32_t index = indices_.allocate(peer.id, random_);
    auto state = noise_.write_initiation(us_, peer.remote, index, peer.last_timestamp, random_, initiation);
    if (!state) {  // its public key is of low order: there is no talking with it
        indices_.release(index);
        return;
    }
    peer.outstanding = Peer::Outstanding{index, std::move(*state)};
    std::array<std::uint8_t, kInitiationSize> octets;
    initiation.encode(octets);
    out.send.push_back(datagram(peer, index, octets, now));
    ++peer.initiations_sent;
    peer.handshake_sent = now;
    peer.jitter = Duration{random_.u32() % static_cast<std::uint32_t>(kMaxJitter.count())};
    peer.retransmit_at = now + kRekeyTimeout + peer.jitter;
}

void Engine::State::retransmit(Peer& peer, TimePoint now, Output& out)
{
    if (now - peer.attempt_started >= kRekeyAttemptTime) {
        give_up(peer, now, out);
        return;
    }
    // Whatever address of ours the peer knew may be the reason why it does not answer.
    peer.local = {};
    initiate(peer, now, out);
}

void Engine::State::give_up(Peer& peer, TimePoint now, Output& out)
{
    drop_outstanding(peer);
    const bool alive =
        std::ranges::any_of(peer.sessions, [&](const SessionInfo& s) { return now - s.created < kRejectAfterTime; });
    if (!alive) forget(peer, true, out);
}

void Engine::State::ask_keepalive(Peer& peer, TimePoint now, Output& out)
{
    out.commands.emplace_back(api::SendKeepalive{peer.id});
    peer.keepalive_asked = now;
}

Output Engine::State::on_activity(PeerId id, const ActivitySnapshot& activity, TimePoint now)
{
    Output out;
    Peer* const peer = find(id);
    if (peer == nullptr) return out;
    peer->activity = activity;
    if (up_) evaluate(*peer, now, out);
    reschedule(*peer);
    return out;
}

// Every timer that counts from what the data path did. Sets when to look again.
void Engine::State::evaluate(Peer& peer, TimePoint now, Output& out)
{
    const ActivitySnapshot& did = peer.activity;
    TimePoint again = now + kPoll;
    const auto due = [&](TimePoint at) {
        if (now >= at) return true;
        again = std::min(again, at);
        return false;
    };
    const bool valid = peer.session_is_valid(now);
    const Moment sent = later(later(did.last_any_sent, peer.handshake_sent), peer.keepalive_asked);
    const Moment heard = later(did.last_any_received, peer.handshake_heard);

    // 6.5: data came and nothing was sent since, so the peer can't tell that it arrived.
    if (const Moment from = unanswered(did.first_data_received_unanswered, did.last_data_received,
                                       later(peer.handshake_sent, peer.keepalive_asked));
        valid && from && due(*from + kKeepaliveTimeout))
        ask_keepalive(peer, now, out);

    // 6.5: data was sent and nothing came back, not even a keepalive.
    if (const Moment from = unanswered(did.first_data_sent_unanswered, did.last_data_sent,
                                       later(peer.handshake_heard, peer.declared_dead));
        from && due(*from + kKeepaliveTimeout + kRekeyTimeout + peer.jitter)) {
        peer.declared_dead = now;
        peer.local = {};
        want_handshake(peer, now, out);
    }

    if (valid) {
        // 6.2: who initiated rekeys, so that not both do. The other one follows only where the operator asked for a
        // shorter life than the protocol's, which the peer does not know of. The jitter ends what began as two
        // handshakes that crossed.
        const bool ours = peer.current->initiator || rekey_after_ < kRekeyAfterTime;
        const Duration after =
            peer.current->initiator ? rekey_after_ : rekey_after_ + std::min<Duration>(kRekeyTimeout, rekey_after_ / 2);
        const TimePoint rekey_at = peer.current->created + after + peer.jitter;
        const bool rekeying = peer.retransmit_at != kNever || peer.start_at != kNever;
        if (ours && due(rekey_at) && !rekeying) {
            if (did.last_any_sent >= Moment{rekey_at})
                want_handshake(peer, now, out);
            else
                again = std::min(again, now + kPollPastRekey);
        }
        if (did.sending_counter >= kRekeyAfterMessages && !rekeying) want_handshake(peer, now, out);

        // 6.2: only receiving. Asked once, in time for the answer.
        const TimePoint last_minute = peer.current->created + kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout;
        if (peer.current->initiator && !peer.asked_at_last_minute && due(last_minute) &&
            did.last_any_received >= Moment{last_minute}) {
            peer.asked_at_last_minute = true;
            if (!rekeying) want_handshake(peer, now, out);
        }
    }

    if (peer.persistent_keepalive > Duration::zero()) {
        const TimePoint last = later(later(sent, heard), peer.added).value();
        if (due(last + peer.persistent_keepalive)) {
            if (valid)
                ask_keepalive(peer, now, out);
            else if (peer.retransmit_at == kNever)
                want_handshake(peer, now, out);
        }
    }

    peer.poll_at =
        peer.current || peer.persistent_keepalive > Duration::zero() || !peer.sessions.empty() ? again : kNever;
}

Output Engine::State::on_time(TimePoint now)
{
    Output out;
    while (!queue_.empty() && queue_.begin()->first <= now) {
        Peer& peer = *find(queue_.begin()->second);
        if (now >= peer.forget_at) forget(peer, false, out);
        if (now >= peer.retransmit_at) retransmit(peer, now, out);
        if (now >= peer.start_at) {
            peer.start_at = kNever;
            want_handshake(peer, now, out);
        }
        if (now >= peer.poll_at) {
            peer.poll_at = now + kPoll;
            out.poll.push_back(peer.id);
        }
        reschedule(peer);
    }
    return out;
}

void Engine::State::look_at(Peer& peer, TimePoint now) { peer.poll_at = std::min(peer.poll_at, now); }

void Engine::State::reschedule(Peer& peer)
{
    const TimePoint deadline =
        up_ ? std::min({peer.retransmit_at, peer.start_at, peer.forget_at, peer.poll_at}) : kNever;
    if (deadline == peer.deadline) return;
    if (peer.deadline != kNever) queue_.erase({peer.deadline, peer.id});
    if (deadline != kNever) queue_.emplace(deadline, peer.id);
    peer.deadline = deadline;
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
