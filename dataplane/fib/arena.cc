#include "dataplane/fib/arena.h"

#include "base/check.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace culvert::fib {
namespace {

constexpr std::size_t kStep = 2 << 20;  // one huge page on x86-64
constexpr std::size_t kDummyUnits = 8;  // one cache line of zeros at handle 0

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Arena::Arena(std::string name, std::size_t reserve) : name_(std::move(name)), reserve_(round_up(reserve, kStep))
{
    // One step more than asked for, to start on a huge page's boundary.
    const auto length = reserve_ + kStep;
    void* p = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CULVERT_CHECK(p != MAP_FAILED);
    auto* const start = static_cast<std::uint8_t*>(p);
    base_ = reinterpret_cast<std::uint8_t*>(round_up(reinterpret_cast<std::uintptr_t>(p), kStep));
    if (base_ > start) munmap(start, static_cast<std::size_t>(base_ - start));
    const auto tail = static_cast<std::size_t>(start + length - (base_ + reserve_));
    if (tail > 0) munmap(base_ + reserve_, tail);
    // Only advice: without huge pages lookups are slower, not wrong.
    madvise(base_, reserve_, MADV_HUGEPAGE);
    extend(kDummyUnits);
}

Arena::~Arena() { munmap(base_, reserve_); }

Arena::Handle Arena::allocate(std::size_t octets)
{
    const auto units = (octets + kUnit - 1) / kUnit;
    used_.store(used() + units * kUnit, std::memory_order_relaxed);

    if (units > kSmall) {
        for (auto& l : large_) {
            if (l.units != units) continue;
            const auto h = l.handle;
            l = large_.back();
            large_.pop_back();
            return h;
        }
        return extend(units);
    }

    const auto take = [this](std::size_t list) {
        const auto h = free_[list];
        std::memcpy(&free_[list], at(h), sizeof(Handle));
        return h;
    };
    if (free_[units] != 0) return take(units);
    if ((next_ + units) * kUnit > committed()) {
        // Rather split a larger free block than grow.
        for (auto larger = units + 1; larger <= kSmall; ++larger) {
            if (free_[larger] == 0) continue;
            const auto h = take(larger);
            const auto rest = static_cast<Handle>(h + units);
            std::memcpy(at(rest), &free_[larger - units], sizeof(Handle));
            free_[larger - units] = rest;
            return h;
        }
    }
    return extend(units);
}

void Arena::free(Handle h, std::size_t octets)
{
    const auto units = (octets + kUnit - 1) / kUnit;
    used_.store(used() - units * kUnit, std::memory_order_relaxed);
    if (units > kSmall) {
        large_.push_back({h, static_cast<std::uint32_t>(units)});
        return;
    }
    std::memcpy(at(h), &free_[units], sizeof(Handle));
    free_[units] = h;
}

Arena::Handle Arena::extend(std::size_t units)
{
    const auto end = (next_ + units) * kUnit;
    if (end > committed()) {
        const auto grown = round_up(end, kStep);
        CULVERT_CHECK(grown <= reserve_);
        CULVERT_CHECK(mprotect(base_ + committed(), grown - committed(), PROT_READ | PROT_WRITE) == 0);
        committed_.store(grown, std::memory_order_relaxed);
    }
    return static_cast<Handle>(std::exchange(next_, next_ + units));
}

}  // namespace culvert::fib
