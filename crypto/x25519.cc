#include "crypto/x25519.h"

#include <sodium.h>

namespace culvert::crypto {
namespace {

// Lets the library choose its fastest code for this CPU; without it the portable one is used. Safe from any thread.
void choose_implementation() noexcept { [[maybe_unused]] static const int chosen = sodium_init(); }

}  // namespace

Secret<32> generate_private_key(Random& random)
{
    Secret<32> key;
    const auto octets = key.reveal_for_writing();
    random.fill(octets);
    octets[0] &= 248;
    octets[31] = static_cast<std::uint8_t>((octets[31] & 127) | 64);
    return key;
}

PublicKey public_key_of(const Secret<32>& private_key) noexcept
{
    choose_implementation();
    PublicKey key;
    crypto_scalarmult_base(key.data(), private_key.data());
    return key;
}

std::optional<Secret<32>> x25519(const Secret<32>& private_key, const PublicKey& public_key) noexcept
{
    choose_implementation();
    Secret<32> shared;
    if (crypto_scalarmult(shared.reveal_for_writing().data(), private_key.data(), public_key.data()) != 0)
        return std::nullopt;
    return shared;
}

}  // namespace culvert::crypto
