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

#ifdef CULVERT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

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

}  // namespace culvert
