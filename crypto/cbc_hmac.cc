#include "base/check.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "crypto/tag.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <cstring>

namespace culvert::crypto {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kRounds = 15 * 16;  // octets of one direction's round keys

std::size_t block_octets(HmacSha2 hash) noexcept { return hash == HmacSha2::Sha256_128 ? 64 : 128; }

// The state of the hash after one block of key XOR `pad`, RFC 2104.
void hash_key(IMB_MGR* manager, HmacSha2 hash, std::span<const std::uint8_t> key, std::uint8_t pad, void* state)
{
    std::uint8_t block[128];
    std::memset(block, pad, sizeof block);
    for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
    switch (hash) {
        case HmacSha2::Sha256_128: IMB_SHA256_ONE_BLOCK(manager, block, state); break;
        case HmacSha2::Sha384_192: IMB_SHA384_ONE_BLOCK(manager, block, state); break;
        case HmacSha2::Sha512_256: IMB_SHA512_ONE_BLOCK(manager, block, state); break;
    }
    wipe(block, sizeof block);
}

IMB_HASH_ALG hash_of(HmacSha2 hash) noexcept
{
    switch (hash) {
        case HmacSha2::Sha256_128: return IMB_AUTH_HMAC_SHA_256;
        case HmacSha2::Sha384_192: return IMB_AUTH_HMAC_SHA_384;
        case HmacSha2::Sha512_256: return IMB_AUTH_HMAC_SHA_512;
    }
    return IMB_AUTH_NULL;
}

void fill(IMB_JOB& job, const CbcHmacJob& from, IMB_CIPHER_DIRECTION direction, std::uint8_t* tag) noexcept
{
    const CbcHmacKey& key = *from.key;
    job.cipher_mode = IMB_CIPHER_CBC;
    job.cipher_direction = direction;
    job.hash_alg = hash_of(key.hash);
    job.chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job.enc_keys = key.rounds.data();
    job.dec_keys = key.rounds.data() + kRounds;
    job.key_len_in_bytes = key.cipher_octets;
    job.src = from.data;
    job.dst = from.data + from.cipher_offset;
    job.cipher_start_src_offset_in_bytes = from.cipher_offset;
    job.msg_len_to_cipher_in_bytes = from.cipher_length;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_hash_in_bytes = from.hash_length;
    job.iv = from.iv;
    job.iv_len_in_bytes = 16;
    job.auth_tag_output = tag;
    job.auth_tag_output_len_in_bytes = hmac_tag_octets(key.hash);
    job.u.HMAC._hashed_auth_key_xor_ipad = key.inner.data();
    job.u.HMAC._hashed_auth_key_xor_opad = key.outer.data();
}

// `tags` take what the library computes, kMaxTag octets each.
constexpr std::size_t kMaxTag = 32;

void run(IMB_MGR* manager, IMB_CIPHER_DIRECTION direction, std::span<CbcHmacJob> jobs, std::uint8_t (*tags)[kMaxTag])
{
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        fill(*IMB_GET_NEXT_JOB(manager), jobs[i], direction, tags[i]);
        IMB_SUBMIT_JOB_NOCHECK(manager);
    }
    while (IMB_FLUSH_JOB(manager) != nullptr) {}
}

}  // namespace

void AeadContext::expand_cbc_hmac(std::span<const std::uint8_t> cipher_key, HmacSha2 hash,
                                  std::span<const std::uint8_t> mac_key, CbcHmacKey& out) noexcept
{
    CULVERT_CHECK(cipher_key.size() == 16 || cipher_key.size() == 32);
    CULVERT_CHECK(mac_key.size() <= block_octets(hash));
    if (cipher_key.size() == 16)
        IMB_AES_KEYEXP_128(manager_.get(), cipher_key.data(), out.rounds.data(), out.rounds.data() + kRounds);
    else
        IMB_AES_KEYEXP_256(manager_.get(), cipher_key.data(), out.rounds.data(), out.rounds.data() + kRounds);
    hash_key(manager_.get(), hash, mac_key, 0x36, out.inner.data());
    hash_key(manager_.get(), hash, mac_key, 0x5c, out.outer.data());
    out.cipher_octets = static_cast<std::uint8_t>(cipher_key.size());
    out.hash = hash;
}

void AeadContext::seal_cbc_hmac(std::span<CbcHmacJob> jobs) noexcept
{
    while (!jobs.empty()) {
        const auto batch = jobs.first(std::min(kBatch, jobs.size()));
        std::uint8_t tags[kBatch][kMaxTag];
        run(manager_.get(), IMB_DIR_ENCRYPT, batch, tags);
        for (std::size_t i = 0; i < batch.size(); ++i)
            std::memcpy(batch[i].tag, tags[i], hmac_tag_octets(batch[i].key->hash));
        jobs = jobs.subspan(batch.size());
    }
}

void AeadContext::open_cbc_hmac(std::span<CbcHmacJob> jobs) noexcept
{
    while (!jobs.empty()) {
        const auto batch = jobs.first(std::min(kBatch, jobs.size()));
        std::uint8_t tags[kBatch][kMaxTag];
        run(manager_.get(), IMB_DIR_DECRYPT, batch, tags);
        for (std::size_t i = 0; i < batch.size(); ++i) {
            CbcHmacJob& job = batch[i];
            job.ok = tags_equal(tags[i], job.tag, hmac_tag_octets(job.key->hash));
            if (!job.ok) [[unlikely]]
                std::memset(job.data + job.cipher_offset, 0, job.cipher_length);
        }
        jobs = jobs.subspan(batch.size());
    }
}

}  // namespace culvert::crypto
