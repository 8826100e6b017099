#pragma once

// Which sanitizers this build has: for what they must be told, never to do something else.
#if defined(__has_feature)
#define CULVERT_HAS_FEATURE(x) __has_feature(x)
#else
#define CULVERT_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || CULVERT_HAS_FEATURE(address_sanitizer)
#define CULVERT_LSAN 1
#endif
#if defined(__SANITIZE_THREAD__) || CULVERT_HAS_FEATURE(thread_sanitizer)
#define CULVERT_TSAN 1
#endif

#ifdef CULVERT_LSAN
#include <sanitizer/lsan_interface.h>
#endif
#ifdef CULVERT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include <cstddef>

namespace culvert {

// For what goes from one thread to another by a way that TSan can't follow. All that was done to it before given() was
// done before what follows taken(). Nothing in other builds.
inline void given([[maybe_unused]] void* object) noexcept
{
#ifdef CULVERT_TSAN
    __tsan_release(object);
#endif
}
inline void taken([[maybe_unused]] void* object) noexcept
{
#ifdef CULVERT_TSAN
    __tsan_acquire(object);
#endif
}

// For mapped memory that holds pointers into the heap: the leak checker looks only where it knows of.
inline void holds_pointers([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t octets) noexcept
{
#ifdef CULVERT_LSAN
    __lsan_register_root_region(at, octets);
#endif
}
inline void holds_no_pointers([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t octets) noexcept
{
#ifdef CULVERT_LSAN
    __lsan_unregister_root_region(at, octets);
#endif
}

}  // namespace culvert
