#include "controlplane/runtime/heap_trim.h"

#include <gtest/gtest.h>

namespace culvert::runtime {
namespace {

TEST(HeapTrim, WaitsForWorkAndThenForQuiet)
{
    HeapTrim trim;
    EXPECT_FALSE(trim.due(50ms));    // nothing much happened yet
    EXPECT_FALSE(trim.due(900ms));   // busy
    EXPECT_FALSE(trim.due(1800ms));  // still busy
    EXPECT_TRUE(trim.due(1810ms));
    EXPECT_FALSE(trim.due(1811ms));  // once
    EXPECT_FALSE(trim.due(1900ms));
    EXPECT_FALSE(trim.due(2000ms));
    EXPECT_FALSE(trim.due(2100ms));
    EXPECT_TRUE(trim.due(2150ms));  // a little at a time
}

}  // namespace
}  // namespace culvert::runtime
