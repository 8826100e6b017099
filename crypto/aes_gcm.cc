#include "base/check.h"
#include "crypto/aead.h"
#include "crypto/tag.h"

#include <intel-ipsec-mb.h>

#include <cstring>

namespace culvert::crypto {
namespace {

static_assert(sizeof(AesGcmKey) >= sizeof(gcm_key_data) && alignof(AesGcmKey) >= alignof(gcm_key_data));

constexpr std::uint8_t kNothing[16] = {};

const gcm_key_data* key_of(const AeadJob& job) noexcept { return static_cast<const gcm_key_data*>(job.key); }

// The library's direct call: one packet after the other, each on all lanes. Its context is the only thing beside the
// key that it reads, and it is overwritten by the next packet.
template <class Call>
void seal(Call&& call, std::span<AeadJob> jobs) noexcept
{
    gcm_context_data context;
    for (AeadJob& job : jobs)
        call(key_of(job), &context, job.destination, job.source, job.length, job.nonce.data(),
             job.aad_length == 0 ? kNothing : job.aad, job.aad_length, job.tag, kAeadTag);
}

template <class Call>
void open(Call&& call, std::span<AeadJob> jobs) noexcept
{
    gcm_context_data context;
    // A tag is compared when the next packet is through: by then it is there, and its packet is still near.
    std::uint8_t tags[2][kAeadTag];
    const auto verify = [&](std::size_t i) {
        AeadJob& job = jobs[i];
        job.ok = tags_equal(tags[i % 2], job.tag, kAeadTag);
        if (!job.ok) [[unlikely]]
            std::memset(job.destination, 0, job.length);
    };
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const AeadJob& job = jobs[i];
        call(key_of(job), &context, job.destination, job.source, job.length, job.nonce.data(),
             job.aad_length == 0 ? kNothing : job.aad, job.aad_length, tags[i % 2], kAeadTag);
        if (i != 0) verify(i - 1);
    }
    if (!jobs.empty()) verify(jobs.size() - 1);
}

}  // namespace

void AeadContext::expand_aes_gcm(std::span<const std::uint8_t> key, AesGcmKey& out) noexcept
{
    CULVERT_CHECK(key.size() == 16 || key.size() == 32);
    auto* data = reinterpret_cast<gcm_key_data*>(out.octets.data());
    if (key.size() == 16)
        IMB_AES128_GCM_PRE(manager_.get(), key.data(), data);
    else
        IMB_AES256_GCM_PRE(manager_.get(), key.data(), data);
}

void AeadContext::seal_aes128_gcm(std::span<AeadJob> jobs) noexcept { seal(manager_->gcm128_enc, jobs); }
void AeadContext::open_aes128_gcm(std::span<AeadJob> jobs) noexcept { open(manager_->gcm128_dec, jobs); }
void AeadContext::seal_aes256_gcm(std::span<AeadJob> jobs) noexcept { seal(manager_->gcm256_enc, jobs); }
void AeadContext::open_aes256_gcm(std::span<AeadJob> jobs) noexcept { open(manager_->gcm256_dec, jobs); }

}  // namespace culvert::crypto
