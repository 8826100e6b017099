#pragma once

#include "base/ids.h"
#include "base/ip.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <set>
#include <unordered_map>
#include <utility>

namespace culvert::fib {

// Tells at the cost of a multiplication and a load that an address is none of the router's own, in no VRF. Where it
// can't tell, the VRF's table does: of n own addresses, one packet in 32768 / n is looked up for nothing.
class OwnAddresses {
public:
    // ---- readers
    bool may_hold(std::uint32_t v4) const noexcept { return holds(place(v4)); }
    bool may_hold(const Ipv6Address& v6) const noexcept { return holds(place(v6)); }

    // ---- the writer
    // A host route leads to this router (`own`), or no more.
    void set(VrfId vrf, const IpPrefix& host, bool own)
    {
        const std::pair key{vrf, host.address};
        if (own ? !addresses_.insert(key).second : addresses_.erase(key) == 0) return;
        count(host.address, own);
    }
    void remove(VrfId vrf)
    {
        for (auto it = addresses_.lower_bound({vrf, IpAddress{}}); it != addresses_.end() && it->first == vrf;) {
            count(it->second, false);
            it = addresses_.erase(it);
        }
    }

private:
    static constexpr unsigned kBits = 15;  // 4 KiB

    static std::uint32_t place(std::uint32_t v4) noexcept { return v4 * 0x9e3779b1u >> (32 - kBits); }
    static std::uint32_t place(const Ipv6Address& v6) noexcept
    {
        const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(v6.octets);
        return static_cast<std::uint32_t>((words[0] + words[1]) * 0x9e3779b97f4a7c15ull >> (64 - kBits));
    }
    bool holds(std::uint32_t at) const noexcept
    {
        return words_[at / 32].load(std::memory_order_relaxed) >> at % 32 & 1;
    }
    void count(const IpAddress& a, bool more)
    {
        const auto at = a.is_v4() ? place(a.v4().value) : place(a.v6());
        auto& n = counts_[at];
        n += more ? 1u : -1u;
        auto& word = words_[at / 32];
        const auto bit = 1u << at % 32;
        const auto now = word.load(std::memory_order_relaxed);
        word.store(n != 0 ? now | bit : now & ~bit, std::memory_order_relaxed);
        if (n == 0) counts_.erase(at);
    }

    std::array<std::atomic<std::uint32_t>, (1u << kBits) / 32> words_{};
    std::set<std::pair<VrfId, IpAddress>> addresses_;
    std::unordered_map<std::uint32_t, std::uint32_t> counts_;  // addresses at a place that has any
};

}  // namespace culvert::fib
