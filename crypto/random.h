#pragma once

#include "base/bytes.h"

#include <cstdint>

namespace culvert::crypto {

// Where an engine gets its random octets. Injected, so that a test can repeat a run from its seed.
class Random {
public:
    virtual ~Random() = default;
    virtual void fill(MutableBytes out) = 0;

    std::uint32_t u32()
    {
        std::uint32_t v = 0;
        fill({reinterpret_cast<std::uint8_t*>(&v), sizeof v});
        return v;
    }
    std::uint64_t u64()
    {
        std::uint64_t v = 0;
        fill({reinterpret_cast<std::uint8_t*>(&v), sizeof v});
        return v;
    }
};

// The kernel's generator. Aborts if it fails: a key must never be made without it.
class SystemRandom final : public Random {
public:
    void fill(MutableBytes out) override;
};

// Repeats itself from its seed (xoshiro256**). For tests and simulations only: its output can be foretold.
class SeededRandom final : public Random {
public:
    explicit SeededRandom(std::uint64_t seed) noexcept;
    void fill(MutableBytes out) override;

private:
    std::uint64_t next() noexcept;
    std::uint64_t state_[4];
};

}  // namespace culvert::crypto
