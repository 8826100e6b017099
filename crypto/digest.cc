#include "crypto/digest.h"

#include "base/check.h"

#include <openssl/evp.h>

namespace culvert::crypto {

void OldDigests::Free::operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
void OldDigests::Free::operator()(EVP_MD* digest) const noexcept { EVP_MD_free(digest); }

OldDigests::OldDigests()
    : md5_(EVP_MD_fetch(nullptr, "MD5", nullptr)),
      sha1_(EVP_MD_fetch(nullptr, "SHA1", nullptr)),
      context_(EVP_MD_CTX_new())
{
    CULVERT_CHECK(md5_ != nullptr && sha1_ != nullptr && context_ != nullptr);
}

OldDigests::~OldDigests() = default;
OldDigests::OldDigests(OldDigests&&) noexcept = default;
OldDigests& OldDigests::operator=(OldDigests&&) noexcept = default;

void OldDigests::run(const EVP_MD* digest, Bytes data, std::uint8_t* out) noexcept
{
    CULVERT_CHECK(EVP_DigestInit_ex2(context_.get(), digest, nullptr) == 1 &&
                  EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1 &&
                  EVP_DigestFinal_ex(context_.get(), out, nullptr) == 1);
}

void OldDigests::md5(Bytes data, std::span<std::uint8_t, 16> out) noexcept { run(md5_.get(), data, out.data()); }
void OldDigests::sha1(Bytes data, std::span<std::uint8_t, 20> out) noexcept { run(sha1_.get(), data, out.data()); }

}  // namespace culvert::crypto
