#pragma once

#include "base/check.h"
#include "base/sanitizers.h"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <type_traits>

#ifdef CULVERT_LSAN
#include <sanitizer/lsan_interface.h>
#endif

namespace culvert::fib {

// An array of T with a fixed number of places, of which only those that were written to take memory. All-zero octets
// must be a valid T. Addresses never move.
template <class T>
class IdTable {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    explicit IdTable(std::size_t places) : places_(places)
    {
        void* p = mmap(nullptr, places * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
        CULVERT_CHECK(p != MAP_FAILED);
        data_ = static_cast<T*>(p);
#ifdef CULVERT_LSAN
        // It looks for pointers on the heap only; what hangs on a table is no leak.
        __lsan_register_root_region(p, places * sizeof(T));
#endif
    }
    ~IdTable()
    {
#ifdef CULVERT_LSAN
        __lsan_unregister_root_region(data_, places_ * sizeof(T));
#endif
        munmap(data_, places_ * sizeof(T));
    }
    IdTable(const IdTable&) = delete;
    IdTable& operator=(const IdTable&) = delete;

    std::size_t size() const noexcept { return places_; }
    T& operator[](std::size_t i) noexcept { return data_[i]; }
    const T& operator[](std::size_t i) const noexcept { return data_[i]; }

private:
    std::size_t places_;
    T* data_;
};

}  // namespace culvert::fib
