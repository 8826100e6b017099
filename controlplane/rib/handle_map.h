#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace culvert::rib {

// A 32-bit word for each handle of a pool, 0 unless set, in pages that exist only where there is something.
class HandleMap {
public:
    static constexpr std::uint32_t kPage = 4096;

    std::uint32_t operator[](std::uint32_t handle) const noexcept
    {
        const auto page = handle / kPage;
        return page < pages_.size() && pages_[page] ? pages_[page]->words[handle % kPage] : 0;
    }
    void set(std::uint32_t handle, std::uint32_t word)
    {
        const auto number = handle / kPage;
        if (number >= pages_.size()) {
            if (word == 0) return;
            pages_.resize(number + 1);
        }
        auto& page = pages_[number];
        if (!page) {
            if (word == 0) return;
            page = std::make_unique<Page>();
            ++mapped_;
        }
        auto& slot = page->words[handle % kPage];
        const int more = (word != 0) - (slot != 0);
        slot = word;
        page->used += static_cast<std::uint32_t>(more);
        size_ += static_cast<std::uint32_t>(more);
        if (page->used == 0) {
            page.reset();
            --mapped_;
        }
    }
    void prefetch(std::uint32_t handle) const noexcept
    {
        const auto page = handle / kPage;
        if (page < pages_.size() && pages_[page]) __builtin_prefetch(&pages_[page]->words[handle % kPage]);
    }

    // Takes every word out, after f(word).
    template <class F>
    void clear(F&& f)
    {
        for (auto& page : pages_) {
            if (!page) continue;
            for (const auto word : page->words)
                if (word != 0) f(word);
        }
        *this = {};
    }

    std::uint32_t size() const noexcept { return size_; }  // words that are not 0
    std::size_t octets() const noexcept { return mapped_ * sizeof(Page) + pages_.capacity() * sizeof(void*); }

private:
    struct Page {
        std::uint32_t used = 0;
        std::array<std::uint32_t, kPage> words{};
    };
    std::vector<std::unique_ptr<Page>> pages_;
    std::uint32_t size_ = 0;
    std::size_t mapped_ = 0;
};

}  // namespace culvert::rib
