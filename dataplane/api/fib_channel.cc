#include "dataplane/api/fib_channel.h"

namespace culvert::api {

void FibChannel::push(const FibUpdate& update)
{
    if (!waiting_.empty() || !ring_.push(update)) wait(update);
}

std::uint64_t FibChannel::commit()
{
    push(Commit{++generation_});
    latest_.clear();
    writer_wake.signal();
    return generation_;
}

void FibChannel::flush()
{
    bool moved = false;
    while (!waiting_.empty()) {
        if (!waiting_.front().superseded) {
            if (!ring_.push(waiting_.front().update)) break;
            moved = true;
        }
        waiting_.pop_front();
        ++waiting_first_;
    }
    if (waiting_.empty()) latest_.clear();
    if (moved) writer_wake.signal();
}

void FibChannel::wait(const FibUpdate& update)
{
    const auto* set = std::get_if<SetRoute>(&update);
    const auto* removed = std::get_if<DeleteRoute>(&update);
    if (set || removed) {
        const auto key = set ? RouteKey{set->vrf, set->prefix} : RouteKey{removed->vrf, removed->prefix};
        const auto place = waiting_first_ + waiting_.size();
        const auto [at, fresh] = latest_.try_emplace(key, place);
        if (!fresh) {
            if (at->second >= waiting_first_) waiting_[at->second - waiting_first_].superseded = true;
            at->second = place;
        }
    }
    waiting_.push_back({update});
}

}  // namespace culvert::api
