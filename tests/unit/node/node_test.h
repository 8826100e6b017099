#pragma once

#include "tests/unit/node/router.h"

#include <gtest/gtest.h>

namespace culvert::dataplane::test {

// Every test ends with all buffers back in the pool. These fixtures are large: WithParamInterface stands before them
// among the bases, because UBSan takes a base more than 1 MiB into an object for none.
class NodeTest : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(pool().in_use(), 0u); }
    void TearDown() override { EXPECT_EQ(pool().in_use(), 0u) << "packet buffers leaked"; }
};

}  // namespace culvert::dataplane::test
