#pragma once

#include "base/bytes.h"
#include "crypto/secret.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;

namespace culvert::crypto {

using Blake2sHash = std::array<std::uint8_t, 32>;
using Blake2sMac = std::array<std::uint8_t, 16>;

// BLAKE2s (RFC 7693) and what Noise builds on it, by OpenSSL. Holds contexts so that no call allocates: one for each
// thread. `parts` are hashed as if they were joined.
class Blake2s {
public:
    Blake2s();
    ~Blake2s();
    Blake2s(Blake2s&&) noexcept;
    Blake2s& operator=(Blake2s&&) noexcept;

    Blake2sHash hash(std::initializer_list<Bytes> parts) noexcept;
    // Keyed BLAKE2s with 16 octets of output. 1 <= key.size() <= 32.
    Blake2sMac mac(Bytes key, std::initializer_list<Bytes> parts) noexcept;
    // RFC 2104 over BLAKE2s-256. key.size() <= 64.
    void hmac(Bytes key, std::initializer_list<Bytes> parts, std::span<std::uint8_t, 32> out) noexcept;

    // HKDF (RFC 5869) with no info, as Noise section 4.3 writes it. An output may be `key`'s own memory.
    void kdf(Bytes key, Bytes input, std::initializer_list<Secret<32>*> outputs) noexcept;

private:
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept;
        void operator()(EVP_MD* digest) const noexcept;
        void operator()(EVP_MAC_CTX* context) const noexcept;
    };
    std::unique_ptr<EVP_MD, Free> digest_;
    std::unique_ptr<EVP_MD_CTX, Free> digest_context_;
    std::unique_ptr<EVP_MAC_CTX, Free> mac_context_;
};

}  // namespace culvert::crypto
