#pragma once

#include <cstdio>
#include <cstdlib>

// For what can only be wrong through a bug of ours; never for input. Says where, and aborts, in every build.
#define CULVERT_CHECK(condition)                                                                        \
    do {                                                                                                \
        if (!(condition)) [[unlikely]] {                                                                \
            std::fprintf(stderr, "culvert: %s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                               \
        }                                                                                               \
    } while (false)
