#pragma once

#include "base/ids.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/fib/down_word.h"
#include "dataplane/fib/id_table.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace culvert::fib {

// The down words of ports, tunnel interfaces and BFD sessions, in one array, so that a next hop names any of them by a
// number. Next hops' own words are beside their pointers (NexthopTable).
class DownTable {
public:
    static constexpr std::size_t kMaxSessions = 1 << 16;

    // Where a word is. The first one belongs to nothing and is always clear.
    enum class Place : std::uint32_t {};
    static constexpr Place kAlwaysUp{0};

    // kAlwaysUp for what has no word here: next hops, and ids out of range.
    static constexpr Place place(api::DownKind kind, std::uint32_t id) noexcept
    {
        switch (kind) {
            case api::DownKind::Port: return id < kIds16 ? Place{1 + id} : kAlwaysUp;
            case api::DownKind::Interface: return id < kIds16 ? Place{1 + kIds16 + id} : kAlwaysUp;
            case api::DownKind::Session: return id != 0 && id < kMaxSessions ? Place{1 + 2 * kIds16 + id} : kAlwaysUp;
            case api::DownKind::Nexthop: break;
        }
        return kAlwaysUp;
    }

    DownTable() : words_(kPlaces), met_(kPlaces) {}

    // ---- readers
    bool up(Place p) const noexcept { return words_[at(p)].up(); }
    std::uint32_t causes(Place p) const noexcept { return words_[at(p)].causes(); }
    DownState load(Place p) const noexcept { return words_[at(p)].load(); }
    // Of what exists it is odd.
    std::uint32_t generation(Place p) const noexcept { return words_[at(p)].generation(); }
    // Worker: as DownWord::set.
    std::optional<std::uint32_t> set(Place p, std::uint32_t generation, std::uint32_t causes) const noexcept
    {
        return p == kAlwaysUp ? std::nullopt : words_[at(p)].set(generation, causes);
    }
    // Packets that met this word down, modulo 2^32.
    void count_met(Place p) const noexcept { met_[at(p)].fetch_add(1, std::memory_order_relaxed); }
    std::uint32_t met(Place p) const noexcept { return met_[at(p)].load(std::memory_order_relaxed); }

    // ---- the writer
    bool exists(Place p) const noexcept { return DownWord::exists(generation(p)); }
    void begin(Place p) noexcept
    {
        met_[at(p)].store(0, std::memory_order_relaxed);
        words_[at(p)].begin();
    }
    void end(Place p) noexcept { words_[at(p)].end(); }
    bool clear(Place p, std::uint32_t epoch) noexcept { return words_[at(p)].clear(epoch); }

private:
    static constexpr std::uint32_t kIds16 = 1 << 16;
    static constexpr std::size_t kPlaces = 1 + 2 * kIds16 + kMaxSessions;
    static constexpr std::size_t at(Place p) noexcept { return static_cast<std::size_t>(p); }

    // Workers have the tables const, and set and count.
    mutable IdTable<DownWord> words_;
    mutable IdTable<std::atomic<std::uint32_t>> met_;
};

}  // namespace culvert::fib
