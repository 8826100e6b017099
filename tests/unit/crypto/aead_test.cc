#include "crypto/aead.h"

#include "crypto/chacha20_poly1305.h"
#include "crypto/random.h"
#include "tests/unit/crypto/hex.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace culvert::crypto {
namespace {

using test::hex;
using test::hex_array;

// RFC 8439 2.8.2.
constexpr std::string_view kSunscreen =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
    "it.";
const auto kKey = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
const auto kNonce = hex_array<12>("070000004041424344454647");
const auto kAad = hex("50515253c0c1c2c3c4c5c6c7");
const auto kCiphertext =
    hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116");
const auto kTag = hex("1ae10b594f09e26a7e902ecbd0600691");

AeadJob in_place(const void* key, const AeadNonce& nonce, std::vector<std::uint8_t>& text, std::uint8_t* tag)
{
    AeadJob job;
    job.key = key;
    job.nonce = nonce;
    job.length = static_cast<std::uint32_t>(text.size());
    job.source = text.data();
    job.destination = text.data();
    job.tag = tag;
    return job;
}

std::vector<std::uint8_t> openssl_seal(const std::uint8_t* key, const AeadNonce& nonce,
                                       const std::vector<std::uint8_t>& aad, const std::vector<std::uint8_t>& text)
{
    std::vector<std::uint8_t> out(text.size() + kAeadTag);
    EVP_CIPHER_CTX* c = EVP_CIPHER_CTX_new();
    int n = 0;
    EVP_EncryptInit_ex(c, EVP_chacha20_poly1305(), nullptr, key, nonce.data());
    if (!aad.empty()) EVP_EncryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size()));
    if (!text.empty()) EVP_EncryptUpdate(c, out.data(), &n, text.data(), static_cast<int>(text.size()));
    EVP_EncryptFinal_ex(c, out.data() + n, &n);
    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kAeadTag, out.data() + text.size());
    EVP_CIPHER_CTX_free(c);
    return out;
}

TEST(Aead, SealsTheVectorOfRfc8439)
{
    AeadContext aead;
    std::vector<std::uint8_t> text(kSunscreen.begin(), kSunscreen.end());
    std::vector<std::uint8_t> tag(kAeadTag);
    AeadJob job = in_place(kKey.data(), kNonce, text, tag.data());
    job.aad = kAad.data();
    job.aad_length = static_cast<std::uint32_t>(kAad.size());
    aead.seal_chacha20_poly1305({&job, 1});
    EXPECT_EQ(text, kCiphertext);
    EXPECT_EQ(tag, kTag);
}

TEST(Aead, OpensTheVectorOfRfc8439)
{
    AeadContext aead;
    auto text = kCiphertext;
    auto tag = kTag;
    AeadJob job = in_place(kKey.data(), kNonce, text, tag.data());
    job.aad = kAad.data();
    job.aad_length = static_cast<std::uint32_t>(kAad.size());
    aead.open_chacha20_poly1305({&job, 1});
    EXPECT_TRUE(job.ok);
    EXPECT_EQ(std::string(text.begin(), text.end()), kSunscreen);
    EXPECT_EQ(tag, kTag);
}

// RFC 8439 A.5.
TEST(Aead, OpensTheVectorOfRfc8439AppendixA5)
{
    AeadContext aead;
    const auto key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    auto text =
        hex("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
            "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
            "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
            "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
            "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
            "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b");
    auto tag = hex("eead9d67890cbb22392336fea1851f38");
    const auto aad = hex("f33388860000000000004e91");
    AeadJob job = in_place(key.data(), hex_array<12>("000000000102030405060708"), text, tag.data());
    job.aad = aad.data();
    job.aad_length = static_cast<std::uint32_t>(aad.size());
    aead.open_chacha20_poly1305({&job, 1});
    ASSERT_TRUE(job.ok);
    EXPECT_TRUE(std::string(text.begin(), text.end()).starts_with("Internet-Drafts are draft documents"));
}

TEST(Aead, AnyFlippedBitFailsAndReleasesNothing)
{
    AeadContext aead;
    for (std::size_t bit = 0; bit < 8 * (kCiphertext.size() + kAeadTag); bit += 7) {
        auto text = kCiphertext;
        auto tag = kTag;
        auto& octet = bit / 8 < text.size() ? text[bit / 8] : tag[bit / 8 - text.size()];
        octet ^= static_cast<std::uint8_t>(1 << (bit % 8));
        AeadJob job = in_place(kKey.data(), kNonce, text, tag.data());
        job.aad = kAad.data();
        job.aad_length = static_cast<std::uint32_t>(kAad.size());
        job.ok = true;
        aead.open_chacha20_poly1305({&job, 1});
        EXPECT_FALSE(job.ok) << bit;
        EXPECT_EQ(text, std::vector<std::uint8_t>(text.size(), 0)) << bit;
    }
}

TEST(Aead, WrongAadOrNonceFails)
{
    AeadContext aead;
    for (const bool wrong_nonce : {false, true}) {
        auto text = kCiphertext;
        auto tag = kTag;
        auto nonce = kNonce;
        if (wrong_nonce) nonce[11] ^= 1;
        AeadJob job = in_place(kKey.data(), nonce, text, tag.data());
        job.aad = kAad.data();
        job.aad_length = static_cast<std::uint32_t>(kAad.size() - (wrong_nonce ? 0 : 1));
        aead.open_chacha20_poly1305({&job, 1});
        EXPECT_FALSE(job.ok);
    }
}

// Bursts of random sizes, keys and lengths, in runs of equal keys and not, against OpenSSL and libsodium.
TEST(Aead, AgreesWithOtherLibrariesOnRandomBursts)
{
    AeadContext aead;
    SeededRandom random(8439);
    std::array<std::array<std::uint8_t, 32>, 3> keys;
    for (auto& key : keys) random.fill(key);

    for (int round = 0; round < 60; ++round) {
        const std::size_t count = 1 + random.u32() % 150;  // beyond one internal batch, too
        std::vector<std::vector<std::uint8_t>> texts(count), originals, aads(count);
        std::vector<std::array<std::uint8_t, kAeadTag>> tags(count);
        std::vector<AeadJob> jobs;
        std::size_t key = 0;
        for (std::size_t i = 0; i < count; ++i) {
            texts[i].resize(random.u32() % (round % 10 == 0 ? 9000 : 300));
            if (round % 7 == 0) texts[i].resize(texts[i].size() % 3);
            random.fill(texts[i]);
            aads[i].resize(round % 2 == 0 ? 0 : random.u32() % 40);
            random.fill(aads[i]);
            if (random.u32() % 4 == 0) key = random.u32() % keys.size();
            AeadNonce nonce{};
            random.fill(nonce);
            jobs.push_back(in_place(keys[key].data(), nonce, texts[i], tags[i].data()));
            jobs.back().aad = aads[i].data();
            jobs.back().aad_length = static_cast<std::uint32_t>(aads[i].size());
        }
        originals = texts;
        aead.seal_chacha20_poly1305(jobs);
        for (std::size_t i = 0; i < count; ++i) {
            const auto expected =
                openssl_seal(static_cast<const std::uint8_t*>(jobs[i].key), jobs[i].nonce, aads[i], originals[i]);
            auto got = texts[i];
            got.insert(got.end(), tags[i].begin(), tags[i].end());
            ASSERT_EQ(got, expected) << "round " << round << " job " << i;
        }

        const std::size_t broken = random.u32() % count;
        tags[broken][random.u32() % kAeadTag] ^= 0x10;
        aead.open_chacha20_poly1305(jobs);
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(jobs[i].ok, i != broken) << i;
            ASSERT_TRUE(i == broken || texts[i] == originals[i]) << i;
        }
    }
}

TEST(Aead, OneMessageAtATimeAgreesWithBursts)
{
    AeadContext aead;
    SeededRandom random(1);
    std::array<std::uint8_t, 32> key;
    random.fill(key);
    std::vector<std::uint8_t> text(133), aad(32);
    random.fill(text);
    random.fill(aad);
    std::vector<std::uint8_t> sealed(text.size() + kAeadTag);
    seal(key, 0x0102030405060708, aad, text, sealed);

    auto burst = text;
    std::vector<std::uint8_t> tag(kAeadTag);
    AeadJob job = in_place(key.data(), hex_array<12>("000000000807060504030201"), burst, tag.data());
    job.aad = aad.data();
    job.aad_length = 32;
    aead.seal_chacha20_poly1305({&job, 1});
    burst.insert(burst.end(), tag.begin(), tag.end());
    EXPECT_EQ(burst, sealed);

    std::vector<std::uint8_t> opened(text.size());
    EXPECT_TRUE(open(key, 0x0102030405060708, aad, sealed, opened));
    EXPECT_EQ(opened, text);
    sealed[5] ^= 1;
    EXPECT_FALSE(open(key, 0x0102030405060708, aad, sealed, opened));
    EXPECT_EQ(opened, std::vector<std::uint8_t>(text.size(), 0));
    EXPECT_FALSE(open(key, 0, aad, Bytes{sealed}.first(15), {}));
}

// draft-irtf-cfrg-xchacha-03, A.3.1
TEST(Aead, XChaChaVector)
{
    const auto key = hex_array<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    const auto nonce = hex_array<24>("404142434445464748494a4b4c4d4e4f5051525354555657");
    std::vector<std::uint8_t> text(kSunscreen.begin(), kSunscreen.end());
    std::vector<std::uint8_t> sealed(text.size() + kAeadTag);
    xseal(key, nonce, kAad, text, sealed);
    EXPECT_EQ(std::vector<std::uint8_t>(sealed.begin(), sealed.begin() + 16), hex("bd6d179d3e83d43b9576579493c0e939"));
    EXPECT_EQ(std::vector<std::uint8_t>(sealed.end() - 16, sealed.end()), hex("c0875924c1c7987947deafd8780acf49"));
    std::vector<std::uint8_t> opened(text.size());
    EXPECT_TRUE(xopen(key, nonce, kAad, sealed, opened));
    EXPECT_EQ(opened, text);
    sealed.back() ^= 1;
    EXPECT_FALSE(xopen(key, nonce, kAad, sealed, opened));
}

TEST(Aead, NamesItsImplementation) { EXPECT_TRUE(AeadContext{}.implementation().starts_with("IPsec-MB ")); }

}  // namespace
}  // namespace culvert::crypto
