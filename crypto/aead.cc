#include "crypto/aead.h"

#include "base/check.h"
#include "crypto/tag.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace culvert::crypto {
namespace {

// Jobs that share one set of pointer arrays on the stack.
constexpr std::size_t kBatch = 64;

// For empty texts and empty associated data: the library asks for an address even where it reads nothing.
constexpr std::uint8_t kNothing[16] = {};

#if defined(CULVERT_IMB_QUIC) && !defined(CULVERT_AEAD_BY_JOBS)

// The library's batch call for QUIC is RFC 8439 with a common key, and its shortest way in: no job ring, no context
// kept between calls. One call for each run of jobs with the same key.
void run_chacha20_poly1305(IMB_MGR* manager, IMB_CIPHER_DIRECTION direction, std::span<const AeadJob> jobs,
                           std::uint8_t (*tags)[kAeadTag])
{
    void* destinations[kBatch];
    const void* sources[kBatch];
    const void* nonces[kBatch];
    const void* aads[kBatch];
    void* outputs[kBatch];
    std::uint64_t lengths[kBatch];

    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const AeadJob& job = jobs[i];
        destinations[i] = job.destination;
        sources[i] = job.source;
        nonces[i] = job.nonce.data();
        aads[i] = job.aad_length == 0 ? kNothing : job.aad;
        outputs[i] = direction == IMB_DIR_ENCRYPT ? job.tag : tags[i];
        lengths[i] = job.length;
    }

    for (std::size_t first = 0; first < jobs.size();) {
        std::size_t end = first + 1;
        while (end < jobs.size() && jobs[end].key == jobs[first].key && jobs[end].aad_length == jobs[first].aad_length)
            ++end;
        imb_quic_chacha20_poly1305(manager, jobs[first].key, direction, destinations + first, sources + first,
                                   lengths + first, nonces + first, aads + first, jobs[first].aad_length,
                                   outputs + first, end - first);
        first = end;
    }
}

#else

// IPsec-MB before 1.4 has no batch call: its job ring, which takes a few per cent longer.
void run_chacha20_poly1305(IMB_MGR* manager, IMB_CIPHER_DIRECTION direction, std::span<const AeadJob> jobs,
                           std::uint8_t (*tags)[kAeadTag])
{
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const AeadJob& from = jobs[i];
        IMB_JOB* job = IMB_GET_NEXT_JOB(manager);
        job->cipher_direction = direction;
        job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
        job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
        job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
        job->enc_keys = from.key;
        job->dec_keys = from.key;
        job->key_len_in_bytes = kChaChaKey;
        job->src = from.source;
        job->dst = from.destination;
        job->cipher_start_src_offset_in_bytes = 0;
        job->msg_len_to_cipher_in_bytes = from.length;
        job->hash_start_src_offset_in_bytes = 0;
        job->msg_len_to_hash_in_bytes = from.length;
        job->iv = from.nonce.data();
        job->iv_len_in_bytes = kAeadNonce;
        job->u.CHACHA20_POLY1305.aad = from.aad_length == 0 ? kNothing : from.aad;
        job->u.CHACHA20_POLY1305.aad_len_in_bytes = from.aad_length;
        job->auth_tag_output = direction == IMB_DIR_ENCRYPT ? from.tag : tags[i];
        job->auth_tag_output_len_in_bytes = kAeadTag;
        IMB_SUBMIT_JOB_NOCHECK(manager);
    }
    while (IMB_FLUSH_JOB(manager) != nullptr) {}
}

#endif

}  // namespace

void AeadContext::Free::operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }

AeadContext::AeadContext() : manager_(alloc_mb_mgr(0))
{
    CULVERT_CHECK(manager_ != nullptr);
    IMB_ARCH chosen = IMB_ARCH_NONE;
    init_mb_mgr_auto(manager_.get(), &chosen);
    CULVERT_CHECK(imb_get_errno(manager_.get()) == 0 && chosen != IMB_ARCH_NONE);
}

AeadContext::~AeadContext() = default;
AeadContext::AeadContext(AeadContext&&) noexcept = default;
AeadContext& AeadContext::operator=(AeadContext&&) noexcept = default;

void AeadContext::seal_chacha20_poly1305(std::span<AeadJob> jobs) noexcept
{
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(kBatch, jobs.size())))
        run_chacha20_poly1305(manager_.get(), IMB_DIR_ENCRYPT, jobs.first(std::min(kBatch, jobs.size())), nullptr);
}

void AeadContext::open_chacha20_poly1305(std::span<AeadJob> jobs) noexcept
{
    while (!jobs.empty()) {
        const auto batch = jobs.first(std::min(kBatch, jobs.size()));
        std::uint8_t tags[kBatch][kAeadTag];
        run_chacha20_poly1305(manager_.get(), IMB_DIR_DECRYPT, batch, tags);
        for (std::size_t i = 0; i < batch.size(); ++i) {
            batch[i].ok = tags_equal(tags[i], batch[i].tag, kAeadTag);
            if (!batch[i].ok) [[unlikely]]
                std::memset(batch[i].destination, 0, batch[i].length);
        }
        jobs = jobs.subspan(batch.size());
    }
}

std::string AeadContext::implementation() const
{
    std::string text = "IPsec-MB ";
    text += imb_get_version_str();
    switch (manager_->used_arch) {
        case IMB_ARCH_SSE: return text + ", SSE";
        case IMB_ARCH_AVX2: return text + ", AVX2";
        case IMB_ARCH_AVX512: return text + ", AVX512";
        default: return text;
    }
}

}  // namespace culvert::crypto
