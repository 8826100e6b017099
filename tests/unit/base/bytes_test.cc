#include "base/bytes.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(Reader, ReadsMostSignificantOctetFirst)
{
    const std::uint8_t wire[] = {1, 2, 3, 4, 5, 6, 7};
    Reader in{wire};
    EXPECT_EQ(in.u8(), 1);
    EXPECT_EQ(in.u16(), 0x0203);
    EXPECT_EQ(in.u32(), 0x04050607U);
    EXPECT_TRUE(in.ok());
    EXPECT_TRUE(in.empty());
}

TEST(Reader, FailsStickilyPastTheEnd)
{
    const std::uint8_t wire[] = {1, 2, 3};
    Reader in{wire};
    EXPECT_EQ(in.u32(), 0U);
    EXPECT_FALSE(in.ok());
    EXPECT_EQ(in.u8(), 0) << "nothing is readable once a read has failed";
    EXPECT_TRUE(in.take(1).empty());
    EXPECT_FALSE(in.ok());
}

TEST(Reader, TakesWholeSpansOnly)
{
    const std::uint8_t wire[] = {1, 2, 3};
    Reader in{wire};
    EXPECT_EQ(in.take(2).size(), 2U);
    EXPECT_EQ(in.take(2).size(), 0U);
    EXPECT_FALSE(in.ok());
}

TEST(Writer, FillsLengthsAfterwards)
{
    std::vector<std::uint8_t> out;
    Writer w{out};
    const auto at = w.place16();
    w.u24(0x010203);
    w.le32(0x01020304);
    w.fill16(at, static_cast<std::uint16_t>(w.size() - 2));
    EXPECT_EQ(out, (std::vector<std::uint8_t>{0, 7, 1, 2, 3, 4, 3, 2, 1}));
    Reader in{out};
    in.skip(5);
    EXPECT_EQ(in.le32(), 0x01020304U);
}

TEST(BigEndian, KeepsWireOrder)
{
    be32 v{0x01020304};
    std::uint8_t raw[4];
    std::memcpy(raw, &v, 4);
    EXPECT_EQ(raw[0], 1);
    EXPECT_EQ(static_cast<std::uint32_t>(v), 0x01020304U);
}

}  // namespace
}  // namespace culvert
