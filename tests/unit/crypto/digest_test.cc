#include "crypto/digest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace culvert::crypto {
namespace {

template <std::size_t N>
std::string hex(const std::array<std::uint8_t, N>& octets)
{
    std::string out;
    for (const auto o : octets) {
        out += "0123456789abcdef"[o >> 4];
        out += "0123456789abcdef"[o & 15];
    }
    return out;
}

Bytes bytes(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

// RFC 1321 A.5, FIPS 180's "abc".
TEST(OldDigests, AgreeWithThePublishedVectors)
{
    OldDigests digests;
    std::array<std::uint8_t, 16> md5;
    std::array<std::uint8_t, 20> sha1;
    digests.md5(bytes("message digest"), md5);
    EXPECT_EQ(hex(md5), "f96b697d7cb7938d525a2f31aaf161d0");
    digests.sha1(bytes("abc"), sha1);
    EXPECT_EQ(hex(sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    digests.md5({}, md5);
    EXPECT_EQ(hex(md5), "d41d8cd98f00b204e9800998ecf8427e");
}

}  // namespace
}  // namespace culvert::crypto
