#include "crypto/secret.h"

#include <sodium.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace culvert::crypto {

void wipe(void* at, std::size_t octets) noexcept { sodium_memzero(at, octets); }

bool equal_in_constant_time(Bytes a, Bytes b) noexcept
{
    return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

SecretArena::~SecretArena()
{
    for (const auto& chunk : chunks_) {
        wipe(chunk.at, chunk.octets);
        munmap(chunk.at, chunk.octets);
    }
}

void* SecretArena::allocate(std::size_t octets, std::size_t alignment) noexcept
{
    std::size_t at = (fill_ + alignment - 1) & ~(alignment - 1);
    if (chunks_.empty() || at + octets > chunks_.back().octets) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t size = (std::max(octets, chunk_octets_) + page - 1) / page * page;
        void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        // Neither is more than a precaution: what the kernel or the limits refuse is told by locked() or not at all.
        madvise(memory, size, MADV_DONTDUMP);
        madvise(memory, size, MADV_WIPEONFORK);
        if (mlock(memory, size) != 0) locked_ = false;
        chunks_.push_back({static_cast<std::uint8_t*>(memory), size});
        reserved_ += size;
        at = 0;
    }
    fill_ = at + octets;
    used_ += octets;
    return chunks_.back().at + at;
}

}  // namespace culvert::crypto
