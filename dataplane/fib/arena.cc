#include "dataplane/fib/arena.h"

#include "base/check.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace culvert::fib {
namespace {

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
    if (page_next_ + units <= page_end_ || !pages_.empty()) return reuse_page(units);
    if ((next_ + units) * kUnit > top_) {
        // Rather split a larger free block than grow.
        for (auto larger = units + 1; larger <= kSmall; ++larger) {
            if (free_[larger] == 0) continue;
            const auto h = take(larger);
            keep(static_cast<Handle>(h + units), larger - units);
            return h;
        }
    }
    return extend(units);
}

void Arena::free(Handle h, std::size_t octets)
{
    const auto units = (octets + kUnit - 1) / kUnit;
    used_.store(used() - units * kUnit, std::memory_order_relaxed);
    freed_ += units * kUnit;
    if (units > kSmall)
        large_.push_back({h, static_cast<std::uint32_t>(units)});
    else
        keep(h, units);
}

// Puts a small block on the list of its size.
void Arena::keep(Handle h, std::size_t units) noexcept
{
    std::memcpy(at(h), &free_[units], sizeof(Handle));
    free_[units] = h;
}

Arena::Handle Arena::reuse_page(std::size_t units)
{
    if (page_next_ + units > page_end_) {
        if (page_next_ < page_end_) keep(static_cast<Handle>(page_next_), page_end_ - page_next_);
        page_next_ = pages_.back() * kPageUnits;
        page_end_ = page_next_ + kPageUnits;
        pages_.pop_back();
        committed_.store(committed() + kPage, std::memory_order_relaxed);
    }
    return static_cast<Handle>(std::exchange(page_next_, page_next_ + units));
}

void Arena::give_back()
{
    freed_ = 0;
    const auto next_free = [this](Handle h) {
        Handle next;
        std::memcpy(&next, at(h), sizeof next);
        return next;
    };

    // Which pages hold nothing but free small blocks.
    std::vector<std::uint32_t> free_units(next_ / kPageUnits + 1);
    for (std::size_t units = 1; units <= kSmall; ++units) {
        for (auto h = free_[units]; h != 0; h = next_free(h)) {
            const auto page = h / kPageUnits;
            const auto here = std::min(units, (page + 1) * kPageUnits - h);
            free_units[page] += static_cast<std::uint32_t>(here);
            if (here < units) free_units[page + 1] += static_cast<std::uint32_t>(units - here);
        }
    }
    const auto empty = [&](std::size_t page) { return free_units[page] == kPageUnits; };

    // The lists without these; of a block that begins or ends on one, the rest stays.
    for (const auto old = std::exchange(free_, {}); const auto& head : old) {
        const auto units = static_cast<std::size_t>(&head - old.data());
        for (auto h = head; h != 0;) {
            const auto next = next_free(h);
            const auto page = h / kPageUnits;
            const auto here = std::min(units, (page + 1) * kPageUnits - h);
            const bool first = !empty(page), second = here < units && !empty(page + 1);
            if (first && (second || here == units))
                keep(h, units);
            else if (first)
                keep(h, here);
            else if (second)
                keep(static_cast<Handle>(h + here), units - here);
            h = next;
        }
    }

    const auto drop = [this](std::size_t page, std::size_t count) {
        madvise(base_ + page * kPage, count * kPage, MADV_DONTNEED);  // only advice
    };
    for (std::size_t page = free_units.size(); page-- > 0;) {
        if (!empty(page)) continue;
        drop(page, 1);
        pages_.push_back(static_cast<std::uint32_t>(page));
        committed_.store(committed() - kPage, std::memory_order_relaxed);
    }
    // Large ones keep their place; only what lies in it goes.
    for (const auto& l : large_) {
        const auto first = (l.handle + kPageUnits - 1) / kPageUnits, end = (l.handle + l.units) / kPageUnits;
        if (first < end) drop(first, end - first);
    }
}

Arena::Handle Arena::extend(std::size_t units)
{
    const auto end = (next_ + units) * kUnit;
    if (end > top_) {
        const auto grown = round_up(end, kStep);
        CULVERT_CHECK(grown <= reserve_);
        CULVERT_CHECK(mprotect(base_ + top_, grown - top_, PROT_READ | PROT_WRITE) == 0);
        committed_.store(committed() + grown - top_, std::memory_order_relaxed);
        top_ = grown;
    }
    return static_cast<Handle>(std::exchange(next_, next_ + units));
}

}  // namespace culvert::fib
