#pragma once

#include "base/check.h"
#include "base/sanitizers.h"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <type_traits>

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
        holds_pointers(data_, places_ * sizeof(T));
    }
    ~IdTable()
    {
        holds_no_pointers(data_, places_ * sizeof(T));
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
