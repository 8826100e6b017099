#include "controlplane/runtime/failover.h"

#include <algorithm>
#include <utility>

namespace culvert::runtime {
namespace {

// The counter is modulo 2^32, and begins anew with what it counts for.
std::uint32_t since(std::uint32_t before, std::uint32_t met) noexcept { return met >= before ? met - before : met; }

}  // namespace

void Failover::set_hold_up(Duration hold_up) { hold_up_ = hold_up; }

FailoverRecord* Failover::record(std::uint64_t number)
{
    if (records_.empty() || number < records_.front().number || number >= next_number_) return nullptr;
    return &records_[number - records_.front().number];
}

void Failover::on_down(const Subject& subject, const Failure& failure, TimePoint now)
{
    const auto [it, fresh] = things_.try_emplace(subject);
    Thing& thing = it->second;
    thing.epoch = failure.epoch;
    if (!fresh) {
        // Another cause, or it had shown life and was not trusted yet: it has to stay from the start again.
        auto* known = record(thing.number);
        if (known != nullptr) {
            known->causes |= failure.causes;
            if (thing.alive != kNever) ++known->relapses;
            known->alive = kNever;
        }
        thing.alive = kNever;
        return;
    }
    thing.was_used = failure.was_used;
    const auto counted = met_.find(subject);
    thing.met_before = counted == met_.end() ? 0 : counted->second;
    if (failure.was_used) {
        thing.number = next_number_++;
        auto& r = records_.emplace_back();
        r.number = thing.number;
        r.subject = subject;
        r.name = actions_.name(subject);
        r.causes = failure.causes;
        r.since = failure.since;
        r.at = failure.at;
        r.heard = now;
        if (records_.size() > kRecords) records_.pop_front();
    }
    actions_.take_out(subject);
}

bool Failover::on_alive(const Subject& subject, TimePoint now)
{
    const auto it = things_.find(subject);
    if (it == things_.end()) return false;
    Thing& thing = it->second;
    if (thing.alive == kNever) {
        thing.alive = now;
        if (auto* r = record(thing.number)) r->alive = now;
    }
    if (ready(thing, now)) restore(it, now);
    return true;
}

void Failover::forget(const Subject& subject, TimePoint now)
{
    const auto it = things_.find(subject);
    if (it != things_.end()) {
        if (auto* r = record(it->second.number)) {
            r->packets = since(it->second.met_before, actions_.met(subject));
            r->gone = true;
            r->restored = now;
        }
        things_.erase(it);
    }
    met_.erase(subject);
    std::erase_if(ended_, [&](const Ended& e) { return e.subject == subject; });
}

void Failover::on_settled(TimePoint now)
{
    for (const Ended& e : std::exchange(ended_, {})) {
        const auto met = actions_.met(e.subject);
        if (auto* r = record(e.number)) r->packets = since(e.met_before, met);
        met_[e.subject] = met;
    }
    bool any = false;
    for (auto& [subject, thing] : things_) {
        if (thing.settled) continue;
        thing.settled = any = true;
        if (auto* r = record(thing.number)) r->settled = now;
    }
    if (any) on_time(now);
}

bool Failover::ready(const Thing& thing, TimePoint now) const
{
    if (thing.alive == kNever) return false;
    if (!thing.was_used) return true;
    return thing.settled && thing.alive + hold_up_ <= now;
}

void Failover::restore(std::map<Subject, Thing>::iterator it, TimePoint now)
{
    const auto [subject, thing] = *it;
    things_.erase(it);
    if (auto* r = record(thing.number)) r->restored = now;
    if (thing.number != 0) ended_.push_back({subject, thing.number, thing.met_before});
    actions_.clear(subject, thing.epoch);
    actions_.bring_back(subject);
}

void Failover::on_time(TimePoint now)
{
    for (auto it = things_.begin(); it != things_.end();) {
        const auto here = it++;
        if (ready(here->second, now)) restore(here, now);
    }
}

TimePoint Failover::next_deadline() const noexcept
{
    auto next = kNever;
    for (const auto& [subject, thing] : things_)
        if (thing.alive != kNever && thing.settled) next = std::min(next, thing.alive + hold_up_);
    return next;
}

std::vector<Subject> Failover::down() const
{
    std::vector<Subject> out;
    for (const auto& [subject, thing] : things_) out.push_back(subject);
    return out;
}

TimePoint Failover::due(const Subject& subject) const
{
    const auto it = things_.find(subject);
    if (it == things_.end() || it->second.alive == kNever || !it->second.settled) return kNever;
    return it->second.alive + hold_up_;
}

std::vector<FailoverRecord> Failover::records() const
{
    std::vector<FailoverRecord> out(records_.begin(), records_.end());
    const auto count = [&](const Subject& subject, std::uint64_t number, std::uint32_t before) {
        if (out.empty() || number < out.front().number) return;
        out[number - out.front().number].packets = since(before, actions_.met(subject));
    };
    for (const auto& [subject, thing] : things_)
        if (thing.number != 0) count(subject, thing.number, thing.met_before);
    for (const auto& e : ended_) count(e.subject, e.number, e.met_before);
    return out;
}

}  // namespace culvert::runtime
