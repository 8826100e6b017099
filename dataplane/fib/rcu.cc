#include "dataplane/fib/rcu.h"

#include "base/check.h"

#include <bit>
#include <utility>

namespace culvert::fib {

Rcu::Reader::Reader(Rcu& rcu, std::size_t place) noexcept : rcu_(&rcu), slot_(&rcu.slots_[place]) {}

Rcu::Reader::Reader(Reader&& other) noexcept
    : rcu_(std::exchange(other.rcu_, nullptr)), slot_(std::exchange(other.slot_, nullptr))
{}

Rcu::Reader& Rcu::Reader::operator=(Reader&& other) noexcept
{
    if (this != &other) {
        release();
        rcu_ = std::exchange(other.rcu_, nullptr);
        slot_ = std::exchange(other.slot_, nullptr);
    }
    return *this;
}

Rcu::Reader::~Reader() { release(); }

void Rcu::Reader::release() noexcept
{
    if (!rcu_) return;
    offline();
    const auto place = static_cast<std::size_t>(slot_ - rcu_->slots_.data());
    rcu_->taken_.fetch_and(~(std::uint64_t{1} << place), std::memory_order_acq_rel);
    rcu_ = nullptr;
}

void Rcu::Reader::online() noexcept
{
    // All three in the one total order of seq_cst operations: a check() that still read "offline" came before our
    // store, so its start() came before our second load, which therefore sees what the writer had taken out by then.
    slot_->seen.store(rcu_->counter_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
    slot_->seen.store(rcu_->counter_.load(std::memory_order_seq_cst), std::memory_order_release);
}

Rcu::Reader Rcu::register_reader()
{
    const std::lock_guard lock(registering_);
    const auto taken = taken_.load(std::memory_order_acquire);
    CULVERT_CHECK(taken != ~std::uint64_t{0});
    const auto place = static_cast<std::size_t>(std::countr_one(taken));
    slots_[place].seen.store(kOffline, std::memory_order_release);
    taken_.fetch_or(std::uint64_t{1} << place, std::memory_order_seq_cst);
    return {*this, place};
}

bool Rcu::check(Token token) const noexcept
{
    for (auto left = taken_.load(std::memory_order_seq_cst); left != 0; left &= left - 1) {
        const auto seen = slots_[static_cast<std::size_t>(std::countr_zero(left))].seen.load(std::memory_order_seq_cst);
        if (seen != kOffline && seen < token) return false;
    }
    return true;
}

void Reclaimer::retire(Free free, void* context, std::uint64_t what, std::size_t bytes)
{
    entries_.push_back({free, context, what, bytes});
    bytes_ += bytes;
}

Rcu::Token Reclaimer::seal()
{
    const auto token = rcu_.start();
    const auto end = first_ + entries_.size();
    if (end > first_ && (sealed_.empty() || sealed_.back().end < end)) sealed_.push_back({token, end});
    return token;
}

void Reclaimer::collect()
{
    while (!sealed_.empty() && rcu_.check(sealed_.front().token)) {
        while (first_ < sealed_.front().end) free_front();
        sealed_.pop_front();
    }
}

void Reclaimer::drain()
{
    while (!entries_.empty()) free_front();
    sealed_.clear();
}

void Reclaimer::free_front()
{
    const auto e = entries_.front();
    entries_.pop_front();
    ++first_;
    bytes_ -= e.bytes;
    e.free(e.context, e.what);
}

}  // namespace culvert::fib
