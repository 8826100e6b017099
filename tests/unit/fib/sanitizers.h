#pragma once

#if defined(__SANITIZE_THREAD__)
#define CULVERT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CULVERT_TSAN 1
#endif
#endif
#ifndef CULVERT_TSAN
#define CULVERT_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CULVERT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CULVERT_ASAN 1
#endif
#endif
#ifndef CULVERT_ASAN
#define CULVERT_ASAN 0
#endif

namespace culvert::fib {

inline constexpr bool kTsan = CULVERT_TSAN;
inline constexpr bool kSanitized = CULVERT_TSAN || CULVERT_ASAN;

}  // namespace culvert::fib
