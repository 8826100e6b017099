#include "crypto/aead.h"
#include "crypto/random.h"
#include "tests/unit/crypto/hex.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace culvert::crypto {
namespace {

using test::hex;
using test::hex_array;
using Octets = std::vector<std::uint8_t>;

Octets random_octets(SeededRandom& random, std::size_t n)
{
    Octets out(n);
    random.fill(out);
    return out;
}

// ---- AES-GCM -------------------------------------------------------------------------------------------------------

// One packet each way, by the key's length.
void seal_gcm(AeadContext& aead, const Octets& key, std::span<AeadJob> jobs)
{
    key.size() == 16 ? aead.seal_aes128_gcm(jobs) : aead.seal_aes256_gcm(jobs);
}
void open_gcm(AeadContext& aead, const Octets& key, std::span<AeadJob> jobs)
{
    key.size() == 16 ? aead.open_aes128_gcm(jobs) : aead.open_aes256_gcm(jobs);
}

struct GcmVector {
    std::string_view key, nonce, aad, text, sealed, tag;
};
// "The Galois/Counter Mode of Operation", McGrew and Viega, test cases 1-4 and 13-16, which NIST took over.
constexpr std::string_view kText60 =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
    "ba637b39";
constexpr std::string_view kAad20 = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
constexpr GcmVector kGcm[] = {
    {"00000000000000000000000000000000", "000000000000000000000000", "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {"00000000000000000000000000000000", "000000000000000000000000", "", "00000000000000000000000000000000",
     "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", kAad20, kText60,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97"
     "3d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", kAad20, kText60,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST(AesGcm, SealsAndOpensThePublishedVectors)
{
    AeadContext aead;
    for (const auto& v : kGcm) {
        const auto key = hex(v.key);
        const auto aad = hex(v.aad);
        AesGcmKey expanded;
        aead.expand_aes_gcm(key, expanded);
        auto text = hex(v.text);
        Octets tag(kAeadTag);
        const auto nonce = hex(v.nonce);
        AeadJob job{.key = &expanded,
                    .length = static_cast<std::uint32_t>(text.size()),
                    .source = text.data(),
                    .destination = text.data(),
                    .aad = aad.data(),
                    .aad_length = static_cast<std::uint32_t>(aad.size()),
                    .tag = tag.data()};
        std::copy(nonce.begin(), nonce.end(), job.nonce.begin());
        seal_gcm(aead, key, {&job, 1});
        EXPECT_EQ(text, hex(v.sealed));
        EXPECT_EQ(tag, hex(v.tag));
        open_gcm(aead, key, {&job, 1});
        EXPECT_TRUE(job.ok);
        EXPECT_EQ(text, hex(v.text));
    }
}

Octets openssl_gcm(const Octets& key, const AeadNonce& nonce, const Octets& aad, const Octets& text)
{
    Octets out(text.size() + kAeadTag);
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> c{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
    int n = 0;
    EVP_EncryptInit_ex(c.get(), key.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), nullptr, key.data(),
                       nonce.data());
    if (!aad.empty()) EVP_EncryptUpdate(c.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size()));
    if (!text.empty()) EVP_EncryptUpdate(c.get(), out.data(), &n, text.data(), static_cast<int>(text.size()));
    EVP_EncryptFinal_ex(c.get(), out.data() + text.size(), &n);
    EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTag, out.data() + text.size());
    return out;
}

// Bursts of packets of random lengths under keys of their own, with and without ESN's associated data.
TEST(AesGcm, AgreesWithOpenSslOverRandomLengths)
{
    AeadContext aead;
    SeededRandom random{1};
    for (const std::size_t key_octets : {std::size_t{16}, std::size_t{32}}) {
        for (int round = 0; round < 60; ++round) {
            constexpr std::size_t kPackets = 37;
            std::vector<Octets> keys, texts, aads, buffers;
            std::vector<AesGcmKey> expanded(kPackets);
            std::vector<AeadJob> jobs(kPackets);
            for (std::size_t i = 0; i < kPackets; ++i) {
                keys.push_back(random_octets(random, key_octets));
                texts.push_back(random_octets(random, random.u32() % (round % 8 == 0 ? 9001 : 300)));
                aads.push_back(random_octets(random, random.u32() % 2 == 0 ? 8 : 12));
                aead.expand_aes_gcm(keys[i], expanded[i]);
                buffers.push_back(texts[i]);
                buffers[i].resize(texts[i].size() + kAeadTag);
            }
            for (std::size_t i = 0; i < kPackets; ++i) {
                random.fill(jobs[i].nonce);
                jobs[i].key = &expanded[i];
                jobs[i].length = static_cast<std::uint32_t>(texts[i].size());
                jobs[i].source = jobs[i].destination = buffers[i].data();
                jobs[i].aad = aads[i].data();
                jobs[i].aad_length = static_cast<std::uint32_t>(aads[i].size());
                jobs[i].tag = buffers[i].data() + texts[i].size();
            }
            seal_gcm(aead, keys[0], jobs);
            for (std::size_t i = 0; i < kPackets; ++i)
                ASSERT_EQ(buffers[i], openssl_gcm(keys[i], jobs[i].nonce, aads[i], texts[i])) << texts[i].size();

            // Every third is altered by one bit, somewhere in text, tag or associated data.
            for (std::size_t i = 0; i < kPackets; i += 3) {
                auto& victim = random.u32() % 4 == 0 ? aads[i] : buffers[i];
                victim[random.u32() % victim.size()] ^= static_cast<std::uint8_t>(1U << random.u32() % 8);
            }
            open_gcm(aead, keys[0], jobs);
            for (std::size_t i = 0; i < kPackets; ++i) {
                ASSERT_EQ(jobs[i].ok, i % 3 != 0);
                const Octets got(buffers[i].begin(), buffers[i].begin() + static_cast<std::ptrdiff_t>(texts[i].size()));
                ASSERT_EQ(got, jobs[i].ok ? texts[i] : Octets(texts[i].size(), 0));
            }
        }
    }
}

// ---- AES-CBC with HMAC ---------------------------------------------------------------------------------------------

constexpr HmacSha2 kHashes[] = {HmacSha2::Sha256_128, HmacSha2::Sha384_192, HmacSha2::Sha512_256};

// RFC 3602 4, cases 1 and 2; a case has a whole number of blocks.
struct CbcVector {
    std::string_view key, iv, text, sealed;
};
constexpr CbcVector kCbc[] = {
    {"06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41", "53696e676c6520626c6f636b206d7367",
     "e353779c1079aeb82708942dbe77181a"},
    {"c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
    // NIST SP 800-38A F.2.5
    {"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "000102030405060708090a0b0c0d0e0f",
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef"
     "f69f2445df4f9b17ad2b417be66c3710",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461"
     "b2eb05e2c39be9fcda6c19078c6a9d1b"},
};

TEST(CbcHmac, EncryptsThePublishedVectorsOfCbc)
{
    AeadContext aead;
    for (const auto& v : kCbc) {
        for (const auto hash : kHashes) {
            CbcHmacKey key;
            aead.expand_cbc_hmac(hex(v.key), hash, Octets(hmac_key_octets(hash), 0x0b), key);
            auto text = hex(v.text);
            const auto iv = hex(v.iv);
            Octets tag(hmac_tag_octets(hash));
            const auto length = static_cast<std::uint32_t>(text.size());
            CbcHmacJob job{.key = &key,
                           .data = text.data(),
                           .cipher_offset = 0,
                           .cipher_length = length,
                           .hash_length = length,
                           .iv = iv.data(),
                           .tag = tag.data()};
            aead.seal_cbc_hmac({&job, 1});
            EXPECT_EQ(text, hex(v.sealed));
            aead.open_cbc_hmac({&job, 1});
            EXPECT_TRUE(job.ok);
            EXPECT_EQ(text, hex(v.text));
        }
    }
}

// RFC 4868 2.7.2, the first test case of each; only the head of the packet is authenticated here.
TEST(CbcHmac, AuthenticatesThePublishedVectorsOfHmac)
{
    constexpr std::string_view kTags[] = {
        "198a607eb44bfbc69903a0f1cf2bbdc5",
        "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973",
        "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8",
    };
    AeadContext aead;
    for (std::size_t h = 0; h < 3; ++h) {
        CbcHmacKey key;
        aead.expand_cbc_hmac(Octets(16, 0x55), kHashes[h], Octets(hmac_key_octets(kHashes[h]), 0x0b), key);
        constexpr std::string_view kHiThere = "Hi There";
        Octets packet(kHiThere.begin(), kHiThere.end());
        packet.resize(8 + 16);
        const Octets iv(16, 0);
        Octets tag(hmac_tag_octets(kHashes[h]));
        CbcHmacJob job{.key = &key,
                       .data = packet.data(),
                       .cipher_offset = 8,
                       .cipher_length = 16,
                       .hash_length = 8,
                       .iv = iv.data(),
                       .tag = tag.data()};
        aead.seal_cbc_hmac({&job, 1});
        EXPECT_EQ(tag, hex(kTags[h]));
    }
}

struct OpenSslPacket {
    Octets data;
    Octets tag;
};
OpenSslPacket openssl_cbc_hmac(const Octets& cipher_key, HmacSha2 hash, const Octets& mac_key, const Octets& iv,
                               Octets data, std::size_t offset, std::size_t length)
{
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> c{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
    int n = 0;
    EVP_EncryptInit_ex(c.get(), cipher_key.size() == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc(), nullptr,
                       cipher_key.data(), iv.data());
    EVP_CIPHER_CTX_set_padding(c.get(), 0);
    Octets text(data.begin() + static_cast<std::ptrdiff_t>(offset),
                data.begin() + static_cast<std::ptrdiff_t>(offset + length));
    EVP_EncryptUpdate(c.get(), data.data() + offset, &n, text.data(), static_cast<int>(length));
    const EVP_MD* md = hash == HmacSha2::Sha256_128   ? EVP_sha256()
                       : hash == HmacSha2::Sha384_192 ? EVP_sha384()
                                                      : EVP_sha512();
    Octets tag(64);
    unsigned tag_length = 0;
    HMAC(md, mac_key.data(), static_cast<int>(mac_key.size()), data.data(), data.size(), tag.data(), &tag_length);
    tag.resize(hmac_tag_octets(hash));
    return {std::move(data), std::move(tag)};
}

// Bursts of mixed lengths, hashes and keys: the queue works on several at once and must not mix them up.
TEST(CbcHmac, AgreesWithOpenSslOverRandomLengths)
{
    AeadContext aead;
    SeededRandom random{2};
    for (int round = 0; round < 150; ++round) {
        constexpr std::size_t kPackets = 70;
        struct Packet {
            Octets cipher_key, mac_key, iv, clear, data, tag;
            CbcHmacKey key;
        };
        std::vector<Packet> packets(kPackets);
        std::vector<CbcHmacJob> jobs(kPackets);
        for (std::size_t i = 0; i < kPackets; ++i) {
            auto& p = packets[i];
            const auto hash = kHashes[round % 4 == 3 ? random.u32() % 3 : static_cast<unsigned>(round % 3)];
            p.cipher_key = random_octets(random, random.u32() % 2 == 0 ? 16 : 32);
            p.mac_key = random_octets(random, hmac_key_octets(hash));
            p.iv = random_octets(random, 16);
            const std::size_t blocks = 1 + random.u32() % (round % 10 == 0 ? 560 : 40);
            const std::size_t behind = random.u32() % 2 == 0 ? 0 : 4;
            p.clear = random_octets(random, 24 + 16 * blocks + behind);
            p.data = p.clear;
            p.tag.resize(hmac_tag_octets(hash));
            aead.expand_cbc_hmac(p.cipher_key, hash, p.mac_key, p.key);
            jobs[i] = {.key = &p.key,
                       .data = p.data.data(),
                       .cipher_offset = 24,
                       .cipher_length = static_cast<std::uint32_t>(16 * blocks),
                       .hash_length = static_cast<std::uint32_t>(p.data.size()),
                       .iv = p.iv.data(),
                       .tag = p.tag.data()};
        }
        aead.seal_cbc_hmac(jobs);
        for (std::size_t i = 0; i < kPackets; ++i) {
            auto& p = packets[i];
            const auto other =
                openssl_cbc_hmac(p.cipher_key, p.key.hash, p.mac_key, p.iv, p.clear, 24, jobs[i].cipher_length);
            ASSERT_EQ(p.data, other.data);
            ASSERT_EQ(p.tag, other.tag);
        }
        for (std::size_t i = 0; i < kPackets; i += 3) {
            auto& victim = random.u32() % 2 == 0 ? packets[i].tag : packets[i].data;
            victim[random.u32() % victim.size()] ^= static_cast<std::uint8_t>(1U << random.u32() % 8);
        }
        aead.open_cbc_hmac(jobs);
        for (std::size_t i = 0; i < kPackets; ++i) {
            const auto text = [&](const Octets& o) {
                return Octets(o.begin() + 24, o.begin() + 24 + static_cast<std::ptrdiff_t>(jobs[i].cipher_length));
            };
            ASSERT_EQ(jobs[i].ok, i % 3 != 0);
            ASSERT_EQ(text(packets[i].data), jobs[i].ok ? text(packets[i].clear) : Octets(jobs[i].cipher_length, 0));
        }
    }
}

}  // namespace
}  // namespace culvert::crypto
