#pragma once

#include "base/time.h"

#include <algorithm>
#include <cstdint>

namespace culvert::node {

// At most `rate` a second, `burst` at once.
class TokenBucket {
public:
    constexpr TokenBucket(std::uint32_t rate, std::uint32_t burst) noexcept
        : cost_(Duration{1s} / rate), depth_(cost_ * burst)
    {}

    bool take(TimePoint now) noexcept
    {
        // `empty_at_` is when the bucket would have been empty: time since is the credit.
        empty_at_ = std::max(empty_at_, now - depth_);
        if (now - empty_at_ < cost_) return false;
        empty_at_ += cost_;
        return true;
    }

private:
    Duration cost_;
    Duration depth_;
    TimePoint empty_at_{};
};

}  // namespace culvert::node
