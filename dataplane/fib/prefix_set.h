#pragma once

#include "base/ip.h"
#include "dataplane/fib/lpm4.h"
#include "dataplane/fib/lpm6.h"
#include "dataplane/fib/rcu.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace culvert::fib {

// A set of prefixes of both families; asks whether any of them holds an address. A short list while it is small (most
// WireGuard peers have one or two), tries when it grows.
class PrefixSet {
public:
    PrefixSet(TriePool& pool4, TriePool& pool6, Reclaimer& reclaimer);
    ~PrefixSet();
    PrefixSet(const PrefixSet&) = delete;
    PrefixSet& operator=(const PrefixSet&) = delete;

    // ---- readers
    bool contains(std::uint32_t v4) const noexcept;
    bool contains(const Ipv6Address& v6) const noexcept;

    // ---- the writer
    // Added, Unchanged (it was there) or Full.
    Edit add(const IpPrefix& p);
    // False: it was not there.
    bool remove(const IpPrefix& p);
    std::size_t size() const noexcept { return size_; }
    std::size_t list_bytes() const noexcept;

private:
    static constexpr std::size_t kListMax = 16;
    struct State;

    void publish(std::unique_ptr<const State> next);

    TriePool& pool4_;
    TriePool& pool6_;
    Reclaimer& reclaimer_;
    std::atomic<const State*> state_;
    std::size_t size_ = 0;
};

}  // namespace culvert::fib
