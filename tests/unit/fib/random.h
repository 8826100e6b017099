#pragma once

#include "base/ip.h"

#include <cstdint>

namespace culvert::fib {

// splitmix64: the same everywhere for the same seed, which a failing test prints.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    // 0..n-1
    std::uint64_t below(std::uint64_t n) { return next() % n; }

private:
    std::uint64_t state_;
};

}  // namespace culvert::fib
