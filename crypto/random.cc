#include "crypto/random.h"

#include "base/check.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstring>

namespace culvert::crypto {

void SystemRandom::fill(MutableBytes out)
{
    while (!out.empty()) {
        const ssize_t got = getrandom(out.data(), out.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        CULVERT_CHECK(got > 0);
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

SeededRandom::SeededRandom(std::uint64_t seed) noexcept
{
    for (auto& word : state_) {  // splitmix64, as the authors of xoshiro advise
        seed += 0x9e3779b97f4a7c15ULL;
        std::uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        word = z ^ (z >> 31);
    }
}

std::uint64_t SeededRandom::next() noexcept
{
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

void SeededRandom::fill(MutableBytes out)
{
    while (!out.empty()) {
        const std::uint64_t word = next();
        const std::size_t n = out.size() < sizeof word ? out.size() : sizeof word;
        std::memcpy(out.data(), &word, n);
        out = out.subspan(n);
    }
}

}  // namespace culvert::crypto
