#pragma once

#include "base/ip.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace culvert::route {

// Prefixes in order of address, then length, across rounds of the event loop and changes in between.
class PrefixWalk {
public:
    virtual ~PrefixWalk() = default;
    virtual bool prepare(std::size_t budget) = 0;  // true: call again
    virtual std::optional<IpPrefix> next() = 0;    // once prepared; asks nobody any more
};

// How the source of a VRF's many routes, which has a table of its own, numbers their prefixes. A prefix keeps its
// number as long as it has a route. Numbers are not 0, and dense: they are given out again.
class Numbering {
public:
    virtual ~Numbering() = default;
    virtual std::uint32_t number(const IpPrefix& prefix) const = 0;  // 0: has none
    virtual bool any_of_length(Family family, std::uint8_t length) const = 0;
    // May give prefixes that have no route. Must not be prepared when the numbering is gone.
    virtual std::unique_ptr<PrefixWalk> walk(Family family) const = 0;
};

}  // namespace culvert::route
