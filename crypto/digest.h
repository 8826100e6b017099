#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <memory>
#include <span>

typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;

namespace culvert::crypto {

// MD5 (RFC 1321) and SHA-1 (FIPS 180-4) by OpenSSL, for the protocols that ask for no better (RFC 5880 6.7). Holds
// contexts so that no call allocates: one for each thread.
class OldDigests {
public:
    OldDigests();
    ~OldDigests();
    OldDigests(OldDigests&&) noexcept;
    OldDigests& operator=(OldDigests&&) noexcept;

    void md5(Bytes data, std::span<std::uint8_t, 16> out) noexcept;
    void sha1(Bytes data, std::span<std::uint8_t, 20> out) noexcept;

private:
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept;
        void operator()(EVP_MD* digest) const noexcept;
    };
    void run(const EVP_MD* digest, Bytes data, std::uint8_t* out) noexcept;

    std::unique_ptr<EVP_MD, Free> md5_;
    std::unique_ptr<EVP_MD, Free> sha1_;
    std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace culvert::crypto
