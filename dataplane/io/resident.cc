#include "dataplane/io/resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace culvert::io {

void make_resident(void* memory, std::size_t octets) noexcept
{
    if (octets == 0) return;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    auto* const first = static_cast<std::uint8_t*>(memory);
    auto* const begin = first - reinterpret_cast<std::uintptr_t>(first) % page;
    const auto size = static_cast<std::size_t>(first + octets - begin);
    constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14
    if (madvise(begin, (size + page - 1) / page * page, kPopulateWrite) == 0) return;
    for (auto* at = first; at < first + octets; at += page - reinterpret_cast<std::uintptr_t>(at) % page)
        std::atomic_ref{*at}.fetch_or(0, std::memory_order_relaxed);
}

}  // namespace culvert::io
