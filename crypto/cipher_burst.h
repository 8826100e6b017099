#pragma once

#include "crypto/aead.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace culvert::crypto {

enum class CipherSuite : std::uint8_t { Aes128Gcm, Aes256Gcm, ChaCha20Poly1305, CbcHmac };

// The cipher work of a burst whose packets may be under any suites and keys. Filled by one thread, run by the same or,
// lent, by another. No job's order matters to its result.
class CipherBurst {
public:
    static constexpr std::size_t kMax = 64;

    void clear() noexcept { aead_count_ = cbc_count_ = 0; }
    bool empty() const noexcept { return aead_count_ + cbc_count_ == 0; }

    // A place whose fields are yet what they were; not CbcHmac. At most kMax of each kind.
    AeadJob& add(CipherSuite suite) noexcept
    {
        suites_[aead_count_] = suite;
        return aead_[aead_count_++];
    }
    CbcHmacJob& add_cbc() noexcept { return cbc_[cbc_count_++]; }

    void seal(AeadContext& context) noexcept;
    void open(AeadContext& context) noexcept;

private:
    template <bool kSeal>
    void run(AeadContext& context) noexcept;

    std::array<AeadJob, kMax> aead_;
    std::array<CipherSuite, kMax> suites_;
    std::array<CbcHmacJob, kMax> cbc_;
    std::size_t aead_count_ = 0;
    std::size_t cbc_count_ = 0;
};

}  // namespace culvert::crypto
