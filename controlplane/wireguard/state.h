#pragma once

#include "controlplane/wireguard/engine.h"
#include "controlplane/wireguard/noise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

// The inside of an Engine: what it knows of each peer, and when to look at it next. What the operator, the worker and
// whoever asks say is in engine.cc, messages in handshakes.cc, the rules of time in timers.cc.
namespace culvert::wireguard {

// The kernel's: spreads the retries of peers that lost each other at the same moment.
inline constexpr Duration kMaxJitter = 333ms;
// How often a peer with a session is looked at. The timers of 10 s and more are exact all the same, since what they
// count from is in the snapshot; it is the reaction to traffic after a quiet time that may be late by this much.
inline constexpr Duration kPoll = 1s;
inline constexpr Duration kPollPastRekey = 250ms;
// Indices of one peer that may be in use at a time: the worker holds three, and commands and events are on their way.
// A peer whose initiations we answer but which never goes on with a handshake can't make us hold more.
inline constexpr std::size_t kMaxIndices = 8;

using Moment = std::optional<TimePoint>;

inline Moment later(Moment a, Moment b) noexcept { return std::max(a, b); }  // none is the earliest

inline Moment moment(const std::atomic<std::int64_t>& field) noexcept
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
inline Moment unanswered(Moment first, Moment last, Moment answered) noexcept
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

}  // namespace culvert::wireguard
