#include "controlplane/runtime/bfd_sessions.h"

#include "crypto/secret.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace culvert::runtime {
namespace {

bool same_key(const api::BfdKey& a, const api::BfdKey& b)
{
    return a.type == b.type && a.id == b.id && a.length == b.length && a.secret == b.secret;
}

// Is there nothing that the worker would have to be told?
bool same_settings(const api::SetBfdSession& a, const api::SetBfdSession& b)
{
    const auto settings = [](const api::SetBfdSession& s) {
        return std::tuple{s.nexthop,
                          s.passive,
                          s.admin_down,
                          s.demand,
                          s.control_plane_independent,
                          s.echo,
                          s.multiplier,
                          s.minimum_ttl,
                          s.desired_min_tx,
                          s.required_min_rx,
                          s.desired_min_echo_tx,
                          s.required_min_echo_rx,
                          s.key_count,
                          s.sending_key};
    };
    return settings(a) == settings(b) &&
           std::equal(a.keys.begin(), a.keys.begin() + a.key_count, b.keys.begin(), same_key);
}

}  // namespace

BfdSessions::~BfdSessions()
{
    for (auto& [key, session] : sessions_) {
        crypto::wipe(&session.view.word.keys, sizeof session.view.word.keys);
        crypto::wipe(&session.wanted.word.keys, sizeof session.wanted.word.keys);
    }
}

fibprog::Gateway BfdSessions::gateway_of(const BfdSessionKey& key)
{
    if (key.multihop) return {key.vrf, kNoInterface, key.peer};
    return {kDefaultVrf, key.interface, key.peer};
}

// The addresses of a session are what it is: with others it is another one.
bool BfdSessions::same_path(const api::SetBfdSession& a, const api::SetBfdSession& b)
{
    return a.vrf == b.vrf && a.interface == b.interface && a.local == b.local && a.peer == b.peer &&
           a.multihop == b.multihop;
}

BfdSessionId BfdSessions::allocate()
{
    if (next_id_ < api::kMaxBfdSessions) return BfdSessionId{next_id_++};
    if (free_.empty()) return kNoBfdSession;
    const auto id = free_.front();
    free_.pop_front();
    return id;
}

std::uint32_t BfdSessions::discriminator()
{
    while (true) {
        const auto value = random_.u32();
        if (value != 0 && discriminators_.insert(value).second) return value;
    }
}

bool BfdSessions::want(const std::map<BfdSessionKey, BfdWanted>& wanted)
{
    for (auto it = sessions_.begin(); it != sessions_.end();) {
        const auto still = wanted.find(it->first);
        const auto next = std::next(it);
        if (still == wanted.end() || !same_path(still->second.word, it->second.view.word)) leave(it);
        it = next;
    }
    bool all = true;
    for (const auto& [key, session] : wanted) {
        auto known = sessions_.find(key);
        if (known == sessions_.end()) {
            const auto id = allocate();
            if (id == kNoBfdSession) {
                all = false;
                continue;
            }
            known = sessions_.emplace(key, Session{}).first;
            auto& fresh = known->second;
            fresh.wanted = session;
            fresh.view.id = id;
            fresh.view.key = key;
            fresh.view.word = session.word;
            fresh.view.word.id = id;
            fresh.view.word.discriminator = discriminator();
            fresh.view.last.id = id;
            fresh.view.last.remote_state = api::BfdState::Down;
            fresh.view.last.state = session.word.admin_down ? api::BfdState::AdminDown : api::BfdState::Down;
            fresh.view.name = session.name;
            by_id_[id] = key;
            if (!key.multihop) fresh.view.word.nexthop = actions_.hold(gateway_of(key));
            fresh.exists_with = actions_.add_session(id, session.name);
            actions_.bind(id, gateway_of(key));
            continue;
        }
        auto& s = known->second;
        auto word = session.word;
        word.id = s.view.id;
        word.discriminator = s.view.word.discriminator;
        word.nexthop = s.view.word.nexthop;
        const bool same = s.wanted.owner == session.owner && same_settings(word, s.view.word);
        s.wanted = session;
        s.view.name = session.name;
        if (same) continue;
        s.view.word = word;
        if (s.phase != Phase::Running) continue;  // taken up when it starts
        if (session.owner == s.view.owner) {
            actions_.command(s.view.owner, s.view.word);
            continue;
        }
        s.phase = Phase::Moving;
        s.view.running = false;
        s.sequence = ++sequence_;
        actions_.command(s.view.owner, api::DeleteBfdSession{s.view.id, s.sequence});
    }
    on_acked(acked_);
    return all;
}

void BfdSessions::start(Session& session)
{
    session.phase = Phase::Running;
    session.view.running = true;
    session.view.owner = session.wanted.owner;
    actions_.command(session.view.owner, session.view.word);
}

void BfdSessions::leave(std::map<BfdSessionKey, Session>::iterator it)
{
    auto& s = it->second;
    const auto id = s.view.id;
    Leaving leaving{it->first, s.view.word, !it->first.multihop, s.sequence};
    crypto::wipe(&s.view.word.keys, sizeof s.view.word.keys);
    crypto::wipe(&s.wanted.word.keys, sizeof s.wanted.word.keys);
    crypto::wipe(&leaving.word.keys, sizeof leaving.word.keys);
    const auto phase = s.phase;
    const auto owner = s.view.owner;
    const auto gateway = gateway_of(it->first);
    by_id_.erase(id);
    sessions_.erase(it);
    actions_.unbind(id, gateway);
    for (const auto& [key, other] : sessions_) {
        if (gateway_of(key) != gateway) continue;  // multihop, from another address of ours: its word counts now
        actions_.unbind(other.view.id, gateway);
        actions_.bind(other.view.id, gateway);
    }
    switch (phase) {
        case Phase::Waiting: finish(id, leaving); return;  // no worker has heard of it
        case Phase::Running:
            leaving.sequence = ++sequence_;
            actions_.command(owner, api::DeleteBfdSession{id, leaving.sequence});
            break;
        case Phase::Moving: break;  // told already
    }
    leaving_.emplace(id, leaving);
}

void BfdSessions::finish(BfdSessionId id, const Leaving& leaving)
{
    discriminators_.erase(leaving.word.discriminator);
    const auto free_with = actions_.remove_session(id);
    if (leaving.held) actions_.release(gateway_of(leaving.key));
    cooling_.push_back({free_with, id});
}

void BfdSessions::on_acked(std::uint64_t generation)
{
    acked_ = generation;
    for (auto& [key, session] : sessions_)
        if (session.phase == Phase::Waiting && session.exists_with <= generation) start(session);
    while (!cooling_.empty() && cooling_.front().generation <= generation) {
        free_.push_back(cooling_.front().id);
        cooling_.pop_front();
    }
}

void BfdSessions::on_changed(const api::BfdChanged& change, TimePoint now)
{
    if (const auto gone = leaving_.find(change.id); gone != leaving_.end()) {
        if (!change.deleted) return;
        const auto leaving = gone->second;
        leaving_.erase(gone);
        finish(change.id, leaving);
        return;
    }
    const auto at = by_id_.find(change.id);
    if (at == by_id_.end()) return;
    auto& s = sessions_.at(at->second);
    if (change.deleted) {
        if (s.phase == Phase::Moving) start(s);
        return;
    }
    if (s.phase != Phase::Running) return;
    const auto before = s.view.last;
    s.view.last = change;
    if (before.state != change.state) s.view.changed_at = change.at == TimePoint{} ? now : change.at;
    actions_.on_session(s.view.key, before, s.view.last);
}

const BfdSessions::View* BfdSessions::find(const BfdSessionKey& key) const
{
    const auto it = sessions_.find(key);
    return it == sessions_.end() ? nullptr : &it->second.view;
}

const BfdSessions::View* BfdSessions::find(BfdSessionId id) const
{
    const auto it = by_id_.find(id);
    return it == by_id_.end() ? nullptr : &sessions_.at(it->second).view;
}

}  // namespace culvert::runtime
