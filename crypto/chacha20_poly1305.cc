#include "crypto/chacha20_poly1305.h"

#include "crypto/secret.h"

#include <sodium.h>

#include <cstring>

namespace culvert::crypto {
namespace {

constexpr std::size_t kTag = 16;

std::array<std::uint8_t, 12> nonce_of(std::uint64_t counter) noexcept
{
    std::array<std::uint8_t, 12> nonce{};
    for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
    return nonce;
}

}  // namespace

void seal(std::span<const std::uint8_t, 32> key, std::uint64_t nonce, Bytes aad, Bytes text,
          MutableBytes sealed) noexcept
{
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, text.data(), text.size(), aad.data(), aad.size(),
                                              nullptr, nonce_of(nonce).data(), key.data());
}

bool open(std::span<const std::uint8_t, 32> key, std::uint64_t nonce, Bytes aad, Bytes sealed,
          MutableBytes text) noexcept
{
    const bool ok = sealed.size() >= kTag && crypto_aead_chacha20poly1305_ietf_decrypt(
                                                 text.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                 aad.data(), aad.size(), nonce_of(nonce).data(), key.data()) == 0;
    if (!ok) wipe(text.data(), text.size());
    return ok;
}

void xseal(std::span<const std::uint8_t, 32> key, const XNonce& nonce, Bytes aad, Bytes text,
           MutableBytes sealed) noexcept
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data(), nullptr, text.data(), text.size(), aad.data(), aad.size(),
                                               nullptr, nonce.data(), key.data());
}

bool xopen(std::span<const std::uint8_t, 32> key, const XNonce& nonce, Bytes aad, Bytes sealed,
           MutableBytes text) noexcept
{
    const bool ok = sealed.size() >= kTag && crypto_aead_xchacha20poly1305_ietf_decrypt(
                                                 text.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                 aad.data(), aad.size(), nonce.data(), key.data()) == 0;
    if (!ok) wipe(text.data(), text.size());
    return ok;
}

}  // namespace culvert::crypto
