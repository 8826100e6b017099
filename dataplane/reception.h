#pragma once

#include "base/time.h"

#include <algorithm>
#include <cstddef>

namespace culvert::dataplane {

// How far one receive queue has been read: who is silent is told from who hasn't been listened to.
class Reception {
public:
    static constexpr std::size_t kRing = 4096;  // frames that a queue holds at the most

    // After a burst of n frames that was begun at `now`. `drained`: nothing was left.
    void received(std::size_t n, bool drained, TimePoint now) noexcept
    {
        if (drained) {
            heard_until_ = mark_ = now;
            since_ = 0;
            return;
        }
        if (mark_ == TimePoint{}) mark_ = now;
        since_ += n;
        // What lay in the queue at the mark has been read, whatever has come since.
        if (since_ >= kRing) {
            heard_until_ = mark_;
            mark_ = now;
            since_ = 0;
        }
    }
    // Queues are in order: with the device's own time of the last frame, all before it is known to be read.
    void stamped(TimePoint last) noexcept { heard_until_ = std::max(heard_until_, last); }

    TimePoint heard_until() const noexcept { return heard_until_; }

private:
    TimePoint heard_until_{};
    TimePoint mark_{};
    std::size_t since_ = 0;
};

}  // namespace culvert::dataplane
