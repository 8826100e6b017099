#include "crypto/blake2s.h"

#include "base/check.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

namespace culvert::crypto {
namespace {

constexpr std::size_t kBlock = 64;

}  // namespace

void Blake2s::Free::operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
void Blake2s::Free::operator()(EVP_MD* digest) const noexcept { EVP_MD_free(digest); }
void Blake2s::Free::operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }

Blake2s::Blake2s() : digest_(EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr)), digest_context_(EVP_MD_CTX_new())
{
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);
    mac_context_.reset(EVP_MAC_CTX_new(mac));
    EVP_MAC_free(mac);  // the context keeps a reference
    CULVERT_CHECK(digest_ != nullptr && digest_context_ != nullptr && mac_context_ != nullptr);
}

Blake2s::~Blake2s() = default;
Blake2s::Blake2s(Blake2s&&) noexcept = default;
Blake2s& Blake2s::operator=(Blake2s&&) noexcept = default;

Blake2sHash Blake2s::hash(std::initializer_list<Bytes> parts) noexcept
{
    Blake2sHash out;
    bool ok = EVP_DigestInit_ex2(digest_context_.get(), digest_.get(), nullptr) == 1;
    for (const Bytes part : parts) ok = ok && EVP_DigestUpdate(digest_context_.get(), part.data(), part.size()) == 1;
    CULVERT_CHECK(ok && EVP_DigestFinal_ex(digest_context_.get(), out.data(), nullptr) == 1);
    return out;
}

Blake2sMac Blake2s::mac(Bytes key, std::initializer_list<Bytes> parts) noexcept
{
    Blake2sMac out;
    std::size_t size = out.size();
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    bool ok = EVP_MAC_init(mac_context_.get(), key.data(), key.size(), params) == 1;
    for (const Bytes part : parts) ok = ok && EVP_MAC_update(mac_context_.get(), part.data(), part.size()) == 1;
    std::size_t written = 0;
    CULVERT_CHECK(ok && EVP_MAC_final(mac_context_.get(), out.data(), &written, out.size()) == 1);
    CULVERT_CHECK(written == out.size());
    return out;
}

void Blake2s::hmac(Bytes key, std::initializer_list<Bytes> parts, std::span<std::uint8_t, 32> out) noexcept
{
    CULVERT_CHECK(key.size() <= kBlock);
    std::array<std::uint8_t, kBlock> pad;
    EVP_MD_CTX* const context = digest_context_.get();

    pad.fill(0x36);
    for (std::size_t i = 0; i < key.size(); ++i) pad[i] ^= key[i];
    bool ok = EVP_DigestInit_ex2(context, digest_.get(), nullptr) == 1 &&
              EVP_DigestUpdate(context, pad.data(), pad.size()) == 1;
    for (const Bytes part : parts) ok = ok && EVP_DigestUpdate(context, part.data(), part.size()) == 1;
    Blake2sHash inner;
    ok = ok && EVP_DigestFinal_ex(context, inner.data(), nullptr) == 1;

    for (auto& octet : pad) octet ^= 0x36 ^ 0x5c;
    ok = ok && EVP_DigestInit_ex2(context, digest_.get(), nullptr) == 1 &&
         EVP_DigestUpdate(context, pad.data(), pad.size()) == 1 &&
         EVP_DigestUpdate(context, inner.data(), inner.size()) == 1 &&
         EVP_DigestFinal_ex(context, out.data(), nullptr) == 1;
    wipe(pad.data(), pad.size());
    wipe(inner.data(), inner.size());
    CULVERT_CHECK(ok);
}

void Blake2s::kdf(Bytes key, Bytes input, std::initializer_list<Secret<32>*> outputs) noexcept
{
    Secret<32> extracted;
    hmac(key, {input}, extracted.reveal_for_writing());
    Bytes last;
    std::uint8_t number = 0;
    for (Secret<32>* const output : outputs) {
        ++number;
        hmac(extracted.reveal(), {last, Bytes{&number, 1}}, output->reveal_for_writing());
        last = output->reveal();
    }
}

}  // namespace culvert::crypto
