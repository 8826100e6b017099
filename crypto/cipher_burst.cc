#include "crypto/cipher_burst.h"

#include <span>

namespace culvert::crypto {

// One call for each run of jobs under the same suite.
template <bool kSeal>
void CipherBurst::run(AeadContext& context) noexcept
{
    const std::span all{aead_};
    for (std::size_t first = 0; first < aead_count_;) {
        std::size_t end = first + 1;
        while (end < aead_count_ && suites_[end] == suites_[first]) ++end;
        const auto jobs = all.subspan(first, end - first);
        switch (suites_[first]) {
            case CipherSuite::Aes128Gcm: kSeal ? context.seal_aes128_gcm(jobs) : context.open_aes128_gcm(jobs); break;
            case CipherSuite::Aes256Gcm: kSeal ? context.seal_aes256_gcm(jobs) : context.open_aes256_gcm(jobs); break;
            case CipherSuite::ChaCha20Poly1305:
                kSeal ? context.seal_chacha20_poly1305(jobs) : context.open_chacha20_poly1305(jobs);
                break;
            case CipherSuite::CbcHmac: break;  // they are apart
        }
        first = end;
    }
    if (cbc_count_ == 0) return;
    const auto jobs = std::span{cbc_}.first(cbc_count_);
    kSeal ? context.seal_cbc_hmac(jobs) : context.open_cbc_hmac(jobs);
}

void CipherBurst::seal(AeadContext& context) noexcept { run<true>(context); }
void CipherBurst::open(AeadContext& context) noexcept { run<false>(context); }

}  // namespace culvert::crypto
