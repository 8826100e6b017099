#include "dataplane/bfd/timing_wheel.h"

#include <algorithm>
#include <bit>

namespace culvert::bfd {

void TimingWheel::set(std::uint32_t node, TimePoint at) noexcept
{
    auto& n = nodes_[node];
    if (n.slot != kUnset) unlink(node);
    n.at = at;
    if (at == kNever) return;
    // What is due already goes where expire() looks first.
    link(node, static_cast<std::uint32_t>(std::max(tick(at), cursor_)) & (kSlots - 1));
    next_ = std::min(next_, at);
}

// Takes every node that is due out of its slot.
void TimingWheel::collect(TimePoint now) noexcept
{
    due_.clear();
    const std::int64_t last = std::max(tick(now), cursor_);
    // One turn sees every slot.
    for (auto t = std::max(cursor_, last - (kSlots - 1)); t <= last; ++t) {
        const auto slot = static_cast<std::uint32_t>(t) & (kSlots - 1);
        std::uint32_t node = slots_[slot].first;
        slots_[slot] = {};
        mark(slot, false);
        while (node != kNone) {
            auto& n = nodes_[node];
            const auto following = n.next;
            n.slot = kUnset;
            if (n.at <= now) {
                n.at = kNever;
                due_.push_back(node);
            } else {
                link(node, slot);
            }
            node = following;
        }
    }
    cursor_ = last;
}

TimePoint TimingWheel::earliest() const noexcept
{
    // From the cursor on, once round. The first slot whose earliest lies in this turn is before all that follow.
    TimePoint best = kNever;
    const auto start = static_cast<std::uint32_t>(cursor_) & (kSlots - 1);
    for (std::uint32_t i = 0; i < kSlots;) {
        const auto slot = (start + i) & (kSlots - 1);
        const auto word = used_[slot / 64] >> (slot % 64);
        if (word == 0) {
            i += 64 - slot % 64;
            continue;
        }
        const auto skip = static_cast<std::uint32_t>(std::countr_zero(word));
        i += skip;
        if (i >= kSlots) break;
        const auto found = slots_[(slot + skip) & (kSlots - 1)].earliest;
        best = std::min(best, found);
        if (tick(found) <= cursor_ + i) break;
        ++i;
    }
    return best;
}

void TimingWheel::mark(std::uint32_t slot, bool used) noexcept
{
    const auto bit = std::uint64_t{1} << (slot % 64);
    if (used)
        used_[slot / 64] |= bit;
    else
        used_[slot / 64] &= ~bit;
}

void TimingWheel::link(std::uint32_t node, std::uint32_t slot) noexcept
{
    auto& n = nodes_[node];
    auto& s = slots_[slot];
    n.slot = static_cast<std::uint16_t>(slot);
    n.previous = kNone;
    n.next = s.first;
    if (n.next != kNone) nodes_[n.next].previous = node;
    s.first = node;
    s.earliest = std::min(s.earliest, n.at);
    mark(slot, true);
}

void TimingWheel::unlink(std::uint32_t node) noexcept
{
    auto& n = nodes_[node];
    auto& s = slots_[n.slot];
    if (n.next != kNone) nodes_[n.next].previous = n.previous;
    if (n.previous != kNone)
        nodes_[n.previous].next = n.next;
    else
        s.first = n.next;
    if (s.first == kNone) {
        s.earliest = kNever;
        mark(n.slot, false);
    }
    n.slot = kUnset;
}

}  // namespace culvert::bfd
