#include "controlplane/wireguard/state.h"

#include <algorithm>

// The rules of time: when a handshake begins, is repeated, is given up; when silence is answered.
namespace culvert::wireguard {

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

}  // namespace culvert::wireguard
