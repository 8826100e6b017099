#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct IMB_MGR;

namespace culvert::crypto {

inline constexpr std::size_t kAeadTag = 16;    // octets
inline constexpr std::size_t kAeadNonce = 12;  // octets
inline constexpr std::size_t kChaChaKey = 32;  // octets

using AeadNonce = std::array<std::uint8_t, kAeadNonce>;

// A key with its round keys and powers of the hash key; what is inside is the library's and of this CPU.
struct alignas(64) AesGcmKey {
    std::array<std::uint8_t, 1280> octets;
};

// HMAC (RFC 2104) with the truncations of RFC 4868.
enum class HmacSha2 : std::uint8_t { Sha256_128, Sha384_192, Sha512_256 };
constexpr std::size_t hmac_key_octets(HmacSha2 h) noexcept
{
    return h == HmacSha2::Sha256_128 ? 32 : h == HmacSha2::Sha384_192 ? 48 : 64;
}
constexpr std::size_t hmac_tag_octets(HmacSha2 h) noexcept { return hmac_key_octets(h) / 2; }

// AES round keys of both directions, and the inner and outer state of HMAC.
struct alignas(64) CbcHmacKey {
    std::array<std::uint8_t, 2 * 15 * 16> rounds;
    std::array<std::uint8_t, 64> inner;
    std::array<std::uint8_t, 64> outer;
    std::uint8_t cipher_octets;  // 16 or 32
    HmacSha2 hash;
};

// One packet of a burst. `source` and `destination` are the same address or don't overlap.
struct AeadJob {
    const void* key = nullptr;  // as the algorithm's functions below want it; must outlive the call
    AeadNonce nonce{};
    std::uint32_t length = 0;  // octets of text, without the tag
    const std::uint8_t* source = nullptr;
    std::uint8_t* destination = nullptr;
    const std::uint8_t* aad = nullptr;
    std::uint32_t aad_length = 0;
    bool ok = false;              // open: the tag is right. Otherwise `destination` is filled with zeros
    std::uint8_t* tag = nullptr;  // 16 octets: seal writes them, open compares with them
};

// One packet of a burst of AES-CBC, encrypted in place and then authenticated. [data, data + cipher_offset) is
// authenticated only; so is what follows the text up to `hash_length`.
struct CbcHmacJob {
    const CbcHmacKey* key = nullptr;
    std::uint8_t* data = nullptr;
    std::uint32_t cipher_offset = 0;
    std::uint32_t cipher_length = 0;   // a multiple of 16, not 0
    std::uint32_t hash_length = 0;     // from `data`
    const std::uint8_t* iv = nullptr;  // 16 octets; not within the text
    bool ok = false;                   // open: the tag is right. Otherwise the text is filled with zeros
    std::uint8_t* tag = nullptr;  // hmac_tag_octets(): seal writes them, open compares with them. Not among what is
                                  // authenticated
};

// Authenticated encryption of bursts of packets, by IPsec-MB with what vector instructions the CPU has. One for each
// thread. An algorithm is a pair of functions, which differ in what a job's key points to.
class AeadContext {
public:
    AeadContext();  // aborts if the CPU has none of what the library needs (SSE4.2 and AES-NI)
    ~AeadContext();
    AeadContext(AeadContext&&) noexcept;
    AeadContext& operator=(AeadContext&&) noexcept;

    // RFC 8439 2.8. Keys are 32 octets.
    void seal_chacha20_poly1305(std::span<AeadJob> jobs) noexcept;
    void open_chacha20_poly1305(std::span<AeadJob> jobs) noexcept;

    // NIST SP 800-38D with a tag of 16 octets. Keys are AesGcmKey, made by expand_aes_gcm() from 16 or 32 octets.
    void expand_aes_gcm(std::span<const std::uint8_t> key, AesGcmKey& out) noexcept;
    void seal_aes128_gcm(std::span<AeadJob> jobs) noexcept;
    void open_aes128_gcm(std::span<AeadJob> jobs) noexcept;
    void seal_aes256_gcm(std::span<AeadJob> jobs) noexcept;
    void open_aes256_gcm(std::span<AeadJob> jobs) noexcept;

    // `cipher_key` is 16 or 32 octets, `mac_key` hmac_key_octets(). All jobs of a call go through the library's queue,
    // which works on several at once whatever their keys; one call fits best for jobs of one kind of hash.
    void expand_cbc_hmac(std::span<const std::uint8_t> cipher_key, HmacSha2 hash, std::span<const std::uint8_t> mac_key,
                         CbcHmacKey& out) noexcept;
    void seal_cbc_hmac(std::span<CbcHmacJob> jobs) noexcept;
    void open_cbc_hmac(std::span<CbcHmacJob> jobs) noexcept;

    // "IPsec-MB 2.0.0, AVX2"
    std::string implementation() const;

private:
    struct Free {
        void operator()(IMB_MGR* manager) const noexcept;
    };
    std::unique_ptr<IMB_MGR, Free> manager_;
};

}  // namespace culvert::crypto
