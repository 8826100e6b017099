#pragma once

#include "base/time.h"

#include <chrono>
#include <utility>

namespace culvert::runtime {

// Says when the heap is to be searched for pages to give back to the system: once things are quiet again after a good
// deal of work, such as a table that came or went. The search itself takes a few milliseconds after such work.
class HeapTrim {
public:
    static constexpr Duration kWork = std::chrono::milliseconds{300};   // since the last time
    static constexpr Duration kQuiet = std::chrono::milliseconds{100};  // at most so much since due() was asked last

    // `worked`: the control thread's processor time. Asked each second.
    bool due(Duration worked) noexcept
    {
        const bool quiet = worked - std::exchange(asked_, worked) <= kQuiet;
        if (!quiet || worked - trimmed_ < kWork) return false;
        trimmed_ = worked;
        return true;
    }

private:
    Duration asked_{};
    Duration trimmed_{};
};

}  // namespace culvert::runtime
