#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>

namespace culvert::rib {

// Which prefixes have changed, in order. Each reader (the route sink, each neighbour) has a place in it of its own. A
// prefix counts where it stands last: the prefix remembers that place, so one that changes again is told once, late.
class ChangeLog {
public:
    std::uint64_t begin() const noexcept { return begin_; }
    std::uint64_t end() const noexcept { return end_; }

    std::uint32_t operator[](std::uint64_t at) const noexcept
    {
        return (*blocks_[(at / kBlock) - first_block_])[at % kBlock];
    }

    std::uint64_t push(std::uint32_t prefix)
    {
        if (end_ / kBlock - first_block_ == blocks_.size()) blocks_.push_back(std::make_unique_for_overwrite<Block>());
        (*blocks_.back())[end_ % kBlock] = prefix;
        return end_++;
    }

    // Everybody has read up to here.
    void drop_before(std::uint64_t at)
    {
        begin_ = at;
        while (!blocks_.empty() && first_block_ < begin_ / kBlock) {
            blocks_.pop_front();
            ++first_block_;
        }
        if (blocks_.empty()) first_block_ = end_ / kBlock;
    }

    // The place in [from, end) whose low 32 bits are `changed` and that holds `prefix`; end() if there is none.
    std::uint64_t place(std::uint32_t prefix, std::uint32_t changed, std::uint64_t from) const noexcept
    {
        const auto at = from + (changed - static_cast<std::uint32_t>(from));
        return at < end_ && (*this)[at] == prefix ? at : end_;
    }

    std::size_t octets() const noexcept { return blocks_.size() * sizeof(Block); }

private:
    static constexpr std::size_t kBlock = 4096;
    using Block = std::array<std::uint32_t, kBlock>;

    std::deque<std::unique_ptr<Block>> blocks_;
    std::uint64_t first_block_ = 0;  // its number
    std::uint64_t begin_ = 1;
    std::uint64_t end_ = 1;
};

}  // namespace culvert::rib
