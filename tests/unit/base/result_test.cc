#include "base/result.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert {
namespace {

struct Refusal {
    std::string reason;
    friend bool operator==(const Refusal&, const Refusal&) = default;
};

Result<int, Refusal> half(int v)
{
    if (v % 2 != 0) return Error{Refusal{"odd"}};
    return v / 2;
}

TEST(Result, HoldsAValueOrAReason)
{
    EXPECT_EQ(half(4).value(), 2);
    EXPECT_FALSE(half(3));
    EXPECT_EQ(half(3).error().reason, "odd");
    EXPECT_EQ(half(3).value_or(9), 9);
}

TEST(Result, Chains)
{
    EXPECT_EQ(half(8).and_then(half).value(), 2);
    EXPECT_EQ(half(6).and_then(half).error().reason, "odd");
}

TEST(Result, OfVoidSaysOnlyWhetherItWorked)
{
    Result<void, Refusal> fine;
    EXPECT_TRUE(fine);
    Result<void, Refusal> bad = Error{Refusal{"no"}};
    EXPECT_FALSE(bad);
}

TEST(ResultDeathTest, ReadingTheWrongSideAborts)
{
    const auto r = half(3);
    EXPECT_DEATH((void)*r, "");
}

}  // namespace
}  // namespace culvert
