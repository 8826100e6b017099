#pragma once

#include "controlplane/route/tables.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace culvert::route {

// One route for each of many prefixes, by the prefix's number, in pages that exist only where there is something. What
// is changed in the order in which the numbers were given out, which is the order of a feed, waits for no memory.
class NumberedRoutes {
public:
    struct Entry {
        RouteHandle route{kNoRoute};  // never kNoRoute while it exists
        std::uint32_t when = 0;       // as Tables::Slot::when
    };

    Entry* find(std::uint32_t number) noexcept
    {
        const auto page = number / kPage;
        if (page >= pages_.size() || !pages_[page]) return nullptr;
        Entry& entry = pages_[page]->entries[number % kPage];
        return entry.route == kNoRoute ? nullptr : &entry;
    }
    const Entry* find(std::uint32_t number) const noexcept { return const_cast<NumberedRoutes*>(this)->find(number); }

    // Precondition: find() would not find it.
    Entry& insert(std::uint32_t number, RouteHandle route)
    {
        const auto at = number / kPage;
        if (at >= pages_.size()) pages_.resize(at + 1);
        auto& page = pages_[at];
        if (!page) {
            page = std::make_unique<Page>();
            ++mapped_;
        }
        ++page->used;
        ++size_;
        Entry& entry = page->entries[number % kPage];
        entry.route = route;
        return entry;
    }
    // Precondition: it is there.
    void erase(std::uint32_t number)
    {
        auto& page = pages_[number / kPage];
        page->entries[number % kPage] = {};
        --size_;
        if (--page->used > 0) return;
        page.reset();
        --mapped_;
    }

    std::size_t size() const noexcept { return size_; }
    std::size_t octets() const noexcept { return mapped_ * sizeof(Page) + pages_.capacity() * sizeof(void*); }

private:
    static constexpr std::uint32_t kPage = 4096;
    struct Page {
        std::uint32_t used = 0;
        std::array<Entry, kPage> entries{};
    };
    std::vector<std::unique_ptr<Page>> pages_;
    std::size_t size_ = 0;
    std::size_t mapped_ = 0;
};

}  // namespace culvert::route
