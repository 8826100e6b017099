#include "controlplane/wireguard/state.h"

#include <algorithm>
#include <variant>

// Messages, and the sessions that they make.
namespace culvert::wireguard {

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

}  // namespace culvert::wireguard
