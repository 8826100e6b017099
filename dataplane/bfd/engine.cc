#include "dataplane/bfd/engine.h"

#include "base/check.h"

#include <algorithm>

namespace culvert::bfd {
namespace {

using api::Verdict;

constexpr Duration kReportPause = 10ms;  // between two that don't tell of a state: a peer must not fill the queue
constexpr Duration kRetry = 1ms;

// One writer: no read-modify-write is needed.
template <class T>
void add(std::atomic<T>& counter) noexcept
{
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void raise(std::atomic<std::int64_t>& most, Duration value) noexcept
{
    if (value.count() > most.load(std::memory_order_relaxed)) most.store(value.count(), std::memory_order_relaxed);
}

void set(std::atomic<std::int64_t>& time, TimePoint t) noexcept
{
    time.store(t.time_since_epoch().count(), std::memory_order_relaxed);
}

template <class T>
void zero(std::atomic<T>& value) noexcept
{
    value.store(0, std::memory_order_relaxed);
}

void clear(api::BfdActivity& a) noexcept
{
    for (auto* counter : {&a.control_received, &a.control_sent, &a.echo_received, &a.echo_sent, &a.session_up,
                          &a.session_down, &a.dropped_authentication, &a.dropped_ttl, &a.dropped_malformed,
                          &a.dropped_other, &a.own_stalls, &a.round_trips})
        zero(*counter);
    for (auto* time : {&a.longest_own_stall, &a.largest_receive_gap, &a.largest_transmit_gap, &a.round_trip_least,
                       &a.round_trip_most, &a.round_trip_sum})
        zero(*time);
    for (auto& bucket : a.received_intervals) zero(bucket);
}

}  // namespace

std::size_t Engine::PathHash::operator()(const PathKey& key) const noexcept
{
    const std::hash<IpAddress> hash;
    return mix(hash(key.peer) ^ mix(hash(key.local) + (std::uint64_t{index(key.vrf)} << 32) +
                                    (std::uint64_t{index(key.interface)} << 1) + (key.multihop ? 1 : 0)));
}

std::uint32_t Engine::DiscriminatorMap::find(std::uint32_t discriminator) const noexcept
{
    const auto mask = slots_.size() - 1;
    for (std::size_t i = discriminator & mask;; i = (i + 1) & mask) {
        if (slots_[i].discriminator == discriminator) return slots_[i].place;
        if (slots_[i].discriminator == 0) return kNone;
    }
}

void Engine::DiscriminatorMap::insert(Slot slot) noexcept
{
    const auto mask = slots_.size() - 1;
    std::size_t i = slot.discriminator & mask;
    while (slots_[i].discriminator != 0 && slots_[i].discriminator != slot.discriminator) i = (i + 1) & mask;
    if (slots_[i].discriminator == 0) ++used_;
    slots_[i] = slot;
}

void Engine::DiscriminatorMap::put(std::uint32_t discriminator, std::uint32_t place)
{
    if ((used_ + 1) * 2 > slots_.size()) {
        const auto old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
        used_ = 0;
        for (const auto& slot : old)
            if (slot.discriminator != 0) insert(slot);
    }
    insert({discriminator, place});
}

// What follows in the same run may have been pushed on by this one: it is put in again.
void Engine::DiscriminatorMap::erase(std::uint32_t discriminator)
{
    const auto mask = slots_.size() - 1;
    std::size_t i = discriminator & mask;
    while (slots_[i].discriminator != discriminator) {
        if (slots_[i].discriminator == 0) return;
        i = (i + 1) & mask;
    }
    slots_[i] = {};
    --used_;
    for (i = (i + 1) & mask; slots_[i].discriminator != 0; i = (i + 1) & mask) {
        const auto slot = std::exchange(slots_[i], Slot{});
        --used_;
        insert(slot);
    }
}

Engine::Engine(Actions& actions, std::span<api::BfdActivity> activity, std::uint64_t seed)
    : actions_(actions), activity_(activity), random_(seed), by_id_(activity.size(), kNone)
{}

Engine::PathKey Engine::path(const api::SetBfdSession& s) noexcept
{
    return {s.vrf, s.multihop ? kNoInterface : s.interface, s.multihop, s.local, s.peer};
}

void Engine::name(const api::SetBfdSession& s, std::uint32_t at)
{
    by_id_[index(s.id)] = at;
    by_discriminator_.put(s.discriminator, at);
    by_path_[path(s)] = at;
}

void Engine::unname(const api::SetBfdSession& s, std::uint32_t at)
{
    by_id_[index(s.id)] = kNone;
    if (by_discriminator_.find(s.discriminator) == at) by_discriminator_.erase(s.discriminator);
    const auto found = by_path_.find(path(s));
    if (found != by_path_.end() && found->second == at) by_path_.erase(found);
}

const Session* Engine::find(BfdSessionId id) const noexcept
{
    if (index(id) >= by_id_.size() || by_id_[index(id)] == kNone) return nullptr;
    const auto& place = places_[by_id_[index(id)]];
    return place.ending ? nullptr : &*place.session;
}

void Engine::apply(const api::SetBfdSession& wanted, TimePoint now)
{
    CULVERT_CHECK(index(wanted.id) < by_id_.size() && wanted.discriminator != 0);
    // A farewell of the same systems would be taken for this one's.
    for (std::size_t i = ending_.size(); i-- > 0;)
        if (path(places_[ending_[i]].session->wanted()) == path(wanted)) end(ending_[i], Duration{}, now);
    auto at = by_id_[index(wanted.id)];
    if (at != kNone) {
        const auto& old = places_[at].session->wanted();
        if (old.discriminator == wanted.discriminator) {
            if (path(old) != path(wanted)) {
                unname(old, at);
                name(wanted, at);
            }
            const auto out = places_[at].session->change(wanted, now, random_);
            return act(at, out, now);
        }
        end(at, Duration{}, now);
    }

    if (free_.empty()) {
        at = static_cast<std::uint32_t>(places_.size());
        places_.emplace_back();
        wheel_.resize(places_.size());
    } else {
        at = free_.back();
        free_.pop_back();
    }
    auto& place = places_[at];
    place = {};
    place.session.emplace(wanted, now, random_);
    place.state = place.session->state();
    name(wanted, at);
    ++count_;
    auto& a = activity(*place.session);
    clear(a);
    zero(a.last_received);
    zero(a.last_sent);
    zero(a.timestamp_source);
    act(at, {.report = true}, now);
}

void Engine::apply(const api::DeleteBfdSession& session, TimePoint now)
{
    const auto at = index(session.id) < by_id_.size() ? by_id_[index(session.id)] : kNone;
    if (at != kNone) return end(at, Session::kLongestFarewell, now);
    deleted_.push_back(session.id);
    tell_deleted(now);
}

void Engine::apply(const api::ClearBfdActivity& session)
{
    if (const auto* s = find(session.id)) clear(activity(*s));
}

void Engine::leave(TimePoint now, Duration most) noexcept
{
    for (std::uint32_t at = 0; at < places_.size(); ++at)
        if (places_[at].session) end(at, most, now);
}

// The peer is told that this is no failure, and again in case that it doesn't hear it. From now on the session is known
// by its id alone: another one of the same systems can begin, and what it says counts.
void Engine::end(std::uint32_t at, Duration most, TimePoint now) noexcept
{
    auto& place = places_[at];
    if (!place.ending) {
        const auto id = place.session->wanted().id;
        unname(place.session->wanted(), at);
        by_id_[index(id)] = at;
        place.ending = true;
        place.report_at = kNever;
        ending_.push_back(at);
    }
    if (place.session->leave(now, most, random_).send) send(place, false, now);
    insist(at, now);
}

void Engine::insist(std::uint32_t at, TimePoint now) noexcept
{
    auto& place = places_[at];
    auto& session = *place.session;
    if (session.insists_until() > now) {
        if (session.on_time(now, {}, random_).send) send(place, false, now);
        return wheel_.set(at, std::min(session.next_deadline(), session.insists_until()));
    }
    const auto id = session.wanted().id;
    by_id_[index(id)] = kNone;
    std::erase(ending_, at);
    wheel_.set(at, kNever);
    place = {};
    free_.push_back(at);
    --count_;
    deleted_.push_back(id);
    tell_deleted(now);
}

void Engine::tell_deleted(TimePoint now) noexcept
{
    while (!deleted_.empty()) {
        api::BfdChanged change;
        change.id = deleted_.back();
        change.deleted = true;
        change.at = now;
        if (!actions_.changed(change)) break;
        deleted_.pop_back();
    }
    tell_deleted_at_ = deleted_.empty() ? kNever : now + kRetry;
}

Verdict Engine::on_packet(Bytes payload, const Arrival& from, TimePoint now) noexcept
{
    const PathKey key{from.vrf, from.multihop ? kNoInterface : from.interface, from.multihop, from.to, from.from};
    const auto packet = decode(payload);
    if (!packet) {
        const auto found = by_path_.find(key);
        if (found != by_path_.end()) add(activity(*places_[found->second].session).dropped_malformed);
        return Verdict::DropBfdMalformed;
    }

    // 6.3 and 6.8.6: the discriminator alone names the session; where the packet came from must agree.
    std::uint32_t at = kNone;
    if (packet->your_discriminator != 0) {
        at = by_discriminator_.find(packet->your_discriminator);
    } else if (const auto found = by_path_.find(key); found != by_path_.end()) {
        at = found->second;
    }
    if (at == kNone) return Verdict::DropBfdNoSession;
    auto& place = places_[at];
    auto& session = *place.session;
    auto& a = activity(session);
    if (path(session.wanted()) != key) {
        add(a.dropped_other);
        return Verdict::DropBfdNoSession;
    }
    if (from.ttl < session.wanted().minimum_ttl) {
        add(a.dropped_ttl);
        return Verdict::DropBfdTtl;
    }
    if (!authenticator_.verify(session.keys(), *packet, session.received_sequence())) {
        add(a.dropped_authentication);
        return Verdict::DropBfdAuth;
    }

    const bool was_up = session.state() == BfdState::Up;
    const auto last = session.last_received();
    const auto interval = session.receive_interval();
    const auto out = session.on_packet(*packet, from.stamp, now, random_);
    add(a.control_received);
    set(a.last_received, session.last_received());
    a.timestamp_source.store(static_cast<std::uint8_t>(from.source), std::memory_order_relaxed);
    if (was_up && from.stamp >= last) {
        const auto gap = from.stamp - last;
        raise(a.largest_receive_gap, gap);
        const auto bucket =
            std::min<std::uint64_t>(static_cast<std::uint64_t>(gap.count()) * 8 /
                                        static_cast<std::uint64_t>(std::max<std::int64_t>(interval.count(), 1)),
                                    api::BfdActivity::kBuckets - 1);
        add(a.received_intervals[bucket]);
    }
    act(at, out, now);
    return Verdict::BfdReceived;
}

Verdict Engine::on_echo(Bytes payload, const Arrival& from, TimePoint now) noexcept
{
    const auto packet = decode_echo(payload);
    if (!packet) return Verdict::DropBfdMalformed;
    const auto at = by_discriminator_.find(packet->discriminator);
    if (at == kNone || packet->discriminator == 0) return Verdict::DropBfdNoSession;
    auto& session = *places_[at].session;
    auto& a = activity(session);
    // The peer's forwarding took one from the TTL, or none if it turns echoes back by itself.
    const bool from_there = from.vrf == session.wanted().vrf && from.interface == session.wanted().interface;
    if (!from_there || from.ttl < kTtl - 1 || !session.on_echo(*packet, std::min(from.stamp, now))) {
        add(a.dropped_other);
        return Verdict::DropBfdEcho;
    }
    add(a.echo_received);
    if (const auto took = session.round_trip(); took != Duration{}) {
        add(a.round_trips);
        raise(a.round_trip_most, took);
        const auto read = [](const auto& value) { return value.load(std::memory_order_relaxed); };
        a.round_trip_sum.store(read(a.round_trip_sum) + took.count(), std::memory_order_relaxed);
        if (const auto least = read(a.round_trip_least); least == 0 || took.count() < least)
            a.round_trip_least.store(took.count(), std::memory_order_relaxed);
    }
    arm(at);
    return Verdict::BfdReceived;
}

TimePoint Engine::next_deadline() const noexcept { return std::min(wheel_.next(), tell_deleted_at_); }

void Engine::on_time(TimePoint now, TimePoint heard_until) noexcept
{
    if (tell_deleted_at_ <= now) tell_deleted(now);
    wheel_.expire(now, [&](std::uint32_t at) {
        auto& place = places_[at];
        if (!place.session) return;
        if (place.ending) return insist(at, now);
        act(at, place.session->on_time(now, std::min(now, heard_until), random_), now);
        if (place.report_at <= now) {
            report(place, true, now);
            arm(at);
        }
    });
}

void Engine::held_up(TimePoint now, Duration gap) noexcept
{
    if (wheel_.next() > now) return;
    for (auto& place : places_) {
        if (!place.session || place.session->state() != BfdState::Up || place.session->expires() > now) continue;
        auto& a = activity(*place.session);
        add(a.own_stalls);
        raise(a.longest_own_stall, gap);
    }
}

// First of all the down word: nothing is sent, and nobody told, before packets have left the dead path.
void Engine::act(std::uint32_t at, const Session::Output& out, TimePoint now) noexcept
{
    auto& place = places_[at];
    auto& session = *place.session;
    if (out.went_down) actions_.went_down(session.wanted().id, session.alive(), now);
    const bool moved = place.state != session.state();
    if (session.state() != BfdState::Up || !session.periodic()) place.sent_up = {};
    if (moved) {
        auto& a = activity(session);
        if (session.state() == BfdState::Up) add(a.session_up);
        if (place.state == BfdState::Up) add(a.session_down);
    }
    if (out.send) send(place, out.final, now);
    if (out.send_echo) send_echo(place, now);
    place.state = session.state();
    if (out.report) report(place, moved, now);
    arm(at);
}

void Engine::send(Place& place, bool final, TimePoint now) noexcept
{
    auto& session = *place.session;
    auto& a = activity(session);
    std::array<std::uint8_t, kMaxPacket> packet;
    const auto n = session.transmit(final, now, authenticator_, random_, packet);
    if (place.sent_up != TimePoint{}) raise(a.largest_transmit_gap, now - place.sent_up);
    place.sent_up = session.state() == BfdState::Up && session.periodic() ? now : TimePoint{};
    add(a.control_sent);
    set(a.last_sent, now);
    actions_.send_control(session.wanted(), session.source_port(), Bytes{packet}.first(n));
}

void Engine::send_echo(Place& place, TimePoint now) noexcept
{
    auto& session = *place.session;
    std::array<std::uint8_t, kEchoPacket> packet;
    encode(session.transmit_echo(now, random_), packet);
    add(activity(session).echo_sent);
    actions_.send_echo(session.wanted(), session.source_port(), packet);
}

void Engine::report(Place& place, bool at_once, TimePoint now) noexcept
{
    if (!at_once && now - place.reported_at < kReportPause && place.reported_at != TimePoint{}) {
        place.report_at = std::min(place.report_at, place.reported_at + kReportPause);
        return;
    }
    if (actions_.changed(place.session->report())) {
        place.reported_at = now;
        place.report_at = kNever;
    } else {
        place.report_at = now + kRetry;
    }
}

// A deadline that has moved away stays in the wheel: when its old time comes, it is looked at anew. So packets cost no
// change of the wheel.
void Engine::arm(std::uint32_t at) noexcept
{
    const auto& place = places_[at];
    const auto deadline = std::min(place.session->next_deadline(), place.report_at);
    if (deadline < wheel_.at(at)) wheel_.set(at, deadline);
}

}  // namespace culvert::bfd
