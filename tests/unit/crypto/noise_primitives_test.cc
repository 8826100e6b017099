#include "crypto/blake2s.h"
#include "crypto/random.h"
#include "crypto/x25519.h"
#include "tests/unit/crypto/hex.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <numeric>

namespace culvert::crypto {
namespace {

using test::hex;
using test::hex_array;

std::vector<std::uint8_t> counting(std::size_t n)
{
    std::vector<std::uint8_t> out(n);
    std::iota(out.begin(), out.end(), std::uint8_t{0});
    return out;
}

Bytes text(std::string_view t) { return {reinterpret_cast<const std::uint8_t*>(t.data()), t.size()}; }

template <std::size_t N>
std::vector<std::uint8_t> vec(const std::array<std::uint8_t, N>& a)
{
    return {a.begin(), a.end()};
}

TEST(X25519, VectorsOfRfc7748Section52)
{
    struct {
        std::string_view scalar, u, result;
    } const cases[] = {{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
                       {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"}};
    for (const auto& c : cases) {
        const auto shared = x25519(Secret<32>{hex_array<32>(c.scalar)}, hex_array<32>(c.u));
        ASSERT_TRUE(shared);
        EXPECT_EQ(*shared, Secret<32>{hex_array<32>(c.result)});
    }
}

TEST(X25519, IteratedVectorOfRfc7748Section52)
{
    auto k = hex_array<32>("0900000000000000000000000000000000000000000000000000000000000000");
    auto u = k;
    for (int i = 0; i < 1000; ++i) {
        const auto r = x25519(Secret<32>{k}, u);
        ASSERT_TRUE(r);
        u = k;
        std::copy(r->reveal().begin(), r->reveal().end(), k.begin());
        if (i == 0) {
            EXPECT_EQ(vec(k), hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
        }
    }
    EXPECT_EQ(vec(k), hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

TEST(X25519, PublicKeyIsTheProductWithTheBasePoint)
{
    SeededRandom random(7748);
    PublicKey base{9};
    for (int i = 0; i < 20; ++i) {
        const auto key = generate_private_key(random);
        EXPECT_EQ(key.reveal()[0] & 7, 0);
        EXPECT_EQ(key.reveal()[31] & 0xc0, 0x40);
        const auto product = x25519(key, base);
        ASSERT_TRUE(product);
        EXPECT_EQ(*product, Secret<32>{public_key_of(key)});
    }
}

TEST(X25519, PointsOfLowOrderGiveNothing)
{
    SeededRandom random(1);
    const auto key = generate_private_key(random);
    EXPECT_FALSE(x25519(key, PublicKey{}));
    EXPECT_FALSE(x25519(key, PublicKey{1}));
    EXPECT_FALSE(x25519(key, hex_array<32>("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")));
}

// RFC 7693 appendix B, and the first of the keyed vectors that the authors of BLAKE2 publish.
TEST(Blake2s, PublishedVectors)
{
    Blake2s blake;
    EXPECT_EQ(vec(blake.hash({text("abc")})), hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"));
    EXPECT_EQ(vec(blake.hash({text("a"), {}, text("bc")})), vec(blake.hash({text("abc")})));
    EXPECT_EQ(vec(blake.hash({})), hex("69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9"));
}

// The 16-octet keyed form: values of Python's hashlib.
TEST(Blake2s, KeyedMac)
{
    Blake2s blake;
    const auto key = counting(32);
    EXPECT_EQ(vec(blake.mac(key, {})), hex("9536f9b267655743dee97b8a670f9f53"));
    EXPECT_EQ(vec(blake.mac(key, {counting(100)})), hex("0b67d33f8b859c3157fbabd9e6e47ed0"));
    const auto message = counting(100);
    EXPECT_EQ(blake.mac(key, {Bytes{message}.first(33), Bytes{message}.subspan(33)}), blake.mac(key, {message}));
}

TEST(Blake2s, HmacAgreesWithOpenssl)
{
    Blake2s blake;
    SeededRandom random(2104);
    for (int i = 0; i < 200; ++i) {
        std::vector<std::uint8_t> key(1 + random.u32() % 64), message(random.u32() % 200);
        random.fill(key);
        random.fill(message);
        std::array<std::uint8_t, 32> ours{}, theirs{};
        blake.hmac(key, {message}, ours);
        unsigned length = 0;
        HMAC(EVP_blake2s256(), key.data(), static_cast<int>(key.size()), message.data(), message.size(), theirs.data(),
             &length);
        ASSERT_EQ(length, 32U);
        ASSERT_EQ(ours, theirs);
    }
}

// Values of Python's hmac and hashlib.
TEST(Blake2s, KdfOfNoise)
{
    Blake2s blake;
    Secret<32> a, b, c;
    blake.kdf(counting(32), text("input"), {&a, &b, &c});
    EXPECT_EQ(a, Secret<32>{hex_array<32>("87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040")});
    EXPECT_EQ(b, Secret<32>{hex_array<32>("538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824")});
    EXPECT_EQ(c, Secret<32>{hex_array<32>("9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9")});

    Secret<32> key{hex_array<32>("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")};
    blake.kdf(key.reveal(), text("input"), {&key, &b});
    EXPECT_EQ(key, a) << "an output may be the key's own memory";
}

TEST(Random, SeededRepeatsItself)
{
    SeededRandom a(5), b(5), c(6);
    const auto first = a.u64();
    EXPECT_EQ(first, b.u64());
    EXPECT_NE(first, c.u64());
}

TEST(Random, SystemFillsEverySize)
{
    SystemRandom random;
    std::array<std::uint8_t, 64> a{}, b{};
    random.fill(a);
    random.fill(b);
    EXPECT_NE(a, b);
    random.fill({});
}

}  // namespace
}  // namespace culvert::crypto
