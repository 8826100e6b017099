#include "dataplane/fib/prefix_set.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace culvert::fib {
namespace {

struct Range4 {
    std::uint32_t address;
    std::uint32_t mask;
    friend bool operator==(const Range4&, const Range4&) = default;
};
struct Range6 {
    std::uint64_t high, low;
    std::uint64_t mask_high, mask_low;
    friend bool operator==(const Range6&, const Range6&) = default;
};

constexpr std::uint64_t mask64(int length) noexcept
{
    return length <= 0 ? 0 : length >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - length);
}
Range4 range4(const IpPrefix& p) noexcept
{
    const auto mask = static_cast<std::uint32_t>(mask64(p.length) >> 32);
    return {p.address.v4().value & mask, mask};
}
Range6 range6(const IpPrefix& p) noexcept
{
    const auto high = mask64(p.length), low = mask64(p.length - 64);
    return {p.address.v6().high() & high, p.address.v6().low() & low, high, low};
}

// True if it was put in or taken out.
template <class Range>
bool edit(std::vector<Range>& list, const Range& r, bool add)
{
    const auto at = std::find(list.begin(), list.end(), r);
    if ((at == list.end()) != add) return false;
    if (add)
        list.push_back(r);
    else
        list.erase(at);
    list.shrink_to_fit();
    return true;
}

struct Tries {
    Tries(TriePool& pool4, TriePool& pool6) : v4(pool4), v6(pool6) {}
    Lpm4 v4;
    Lpm6 v6;
};

}  // namespace

// Never changed once published, but for what the tries hold.
struct PrefixSet::State {
    std::vector<Range4> v4;
    std::vector<Range6> v6;
    std::shared_ptr<Tries> tries;  // when set, the lists are empty
};

PrefixSet::PrefixSet(TriePool& pool4, TriePool& pool6, Reclaimer& reclaimer)
    : pool4_(pool4), pool6_(pool6), reclaimer_(reclaimer), state_(nullptr)
{}

PrefixSet::~PrefixSet() { delete state_.load(std::memory_order_relaxed); }

bool PrefixSet::contains(std::uint32_t v4) const noexcept
{
    const auto* s = state_.load(std::memory_order_acquire);
    if (!s) return false;
    if (s->tries) return s->tries->v4.lookup(v4).found();
    return std::any_of(s->v4.begin(), s->v4.end(), [v4](const Range4& r) { return (v4 & r.mask) == r.address; });
}

bool PrefixSet::contains(const Ipv6Address& v6) const noexcept
{
    const auto* s = state_.load(std::memory_order_acquire);
    if (!s) return false;
    if (s->tries) return s->tries->v6.lookup(v6).found();
    const auto high = v6.high(), low = v6.low();
    return std::any_of(s->v6.begin(), s->v6.end(),
                       [=](const Range6& r) { return (high & r.mask_high) == r.high && (low & r.mask_low) == r.low; });
}

Edit PrefixSet::add(const IpPrefix& p)
{
    const auto* now = state_.load(std::memory_order_relaxed);
    if (!now || !now->tries) {
        auto next = now ? std::make_unique<State>(*now) : std::make_unique<State>();
        const bool fresh =
            p.family() == Family::Ipv4 ? edit(next->v4, range4(p), true) : edit(next->v6, range6(p), true);
        if (!fresh) return Edit::Unchanged;
        if (++size_ > kListMax) {
            next->tries = std::make_shared<Tries>(pool4_, pool6_);
            for (const auto& r : next->v4)
                next->tries->v4.set({Ipv4Address{r.address}, static_cast<std::uint8_t>(std::popcount(r.mask))}, 1);
            for (const auto& r : next->v6)
                next->tries->v6.set({Ipv6Address::from_words(r.high, r.low),
                                     static_cast<std::uint8_t>(std::popcount(r.mask_high) + std::popcount(r.mask_low))},
                                    1);
            next->v4 = {};
            next->v6 = {};
        }
        publish(std::move(next));
        return Edit::Added;
    }
    const auto done = p.family() == Family::Ipv4 ? now->tries->v4.set(p, 1) : now->tries->v6.set(p, 1);
    if (done == Edit::Added) ++size_;
    return done;
}

bool PrefixSet::remove(const IpPrefix& p)
{
    const auto* now = state_.load(std::memory_order_relaxed);
    if (!now) return false;
    if (now->tries) {
        if (!(p.family() == Family::Ipv4 ? now->tries->v4.erase(p) : now->tries->v6.erase(p))) return false;
        if (--size_ == 0) publish(nullptr);
        return true;
    }
    auto next = std::make_unique<State>(*now);
    if (!(p.family() == Family::Ipv4 ? edit(next->v4, range4(p), false) : edit(next->v6, range6(p), false)))
        return false;
    --size_;
    publish(size_ > 0 ? std::move(next) : nullptr);
    return true;
}

std::size_t PrefixSet::list_bytes() const noexcept
{
    const auto* s = state_.load(std::memory_order_relaxed);
    return s ? sizeof(State) + s->v4.size() * sizeof(Range4) + s->v6.size() * sizeof(Range6) : 0;
}

void PrefixSet::publish(std::unique_ptr<const State> next)
{
    const auto* old = state_.exchange(next.release(), std::memory_order_acq_rel);
    reclaimer_.retire(std::unique_ptr<const State>(old));
}

}  // namespace culvert::fib
