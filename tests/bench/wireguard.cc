// WireGuard's sealing and opening of bursts against the bare cipher on the same packets: cycles a packet. One peer,
// bursts of 32, buffers in cache. What is above the bare cipher: finding the session, counter and nonce, header,
// padding, replay window, the comparison of tags, activity.
#include "crypto/aead.h"
#include "crypto/random.h"
#include "dataplane/wg/peer_table.h"
#include "tests/bench/rounds.h"

#include <intel-ipsec-mb.h>

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

using namespace culvert;

namespace {

constexpr std::size_t kBurst = 32;
constexpr PeerId kPeer{1};
constexpr TimePoint kNow{1h};

struct Packets {
    static constexpr std::size_t kRoom = 2048;
    alignas(64) std::array<std::array<std::uint8_t, kRoom>, kBurst> octets{};
    std::uint8_t* inner(std::size_t i) { return octets[i].data() + 128; }
};

// The library's fastest call, with all it asks for prepared outside the measurement but the array of addresses.
class Bare {
public:
    Bare() : manager_(alloc_mb_mgr(0))
    {
        init_mb_mgr_auto(manager_, nullptr);
        for (std::size_t i = 0; i < kBurst; ++i) nonces_[i].fill(static_cast<std::uint8_t>(i));
    }
    ~Bare() { free_mb_mgr(manager_); }

    void run(Packets& packets, std::size_t length, IMB_CIPHER_DIRECTION direction)
    {
#if IMB_VERSION_NUM >= IMB_VERSION(1, 4, 0)
        std::array<void*, kBurst> texts, tags;
        std::array<const void*, kBurst> sources, nonces, aads;
        std::array<std::uint64_t, kBurst> lengths;
        for (std::size_t i = 0; i < kBurst; ++i) {
            texts[i] = packets.inner(i);
            sources[i] = packets.inner(i);
            nonces[i] = nonces_[i].data();
            aads[i] = nonces_[i].data();
            tags[i] = tags_[i].data();
            lengths[i] = length;
        }
        imb_quic_chacha20_poly1305(manager_, key_.data(), direction, texts.data(), sources.data(), lengths.data(),
                                   nonces.data(), aads.data(), 0, tags.data(), kBurst);
#else
        for (std::size_t i = 0; i < kBurst; ++i) {
            IMB_JOB* job = IMB_GET_NEXT_JOB(manager_);
            job->cipher_direction = direction;
            job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
            job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
            job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
            job->enc_keys = job->dec_keys = key_.data();
            job->key_len_in_bytes = 32;
            job->src = job->dst = packets.inner(i);
            job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
            job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = length;
            job->iv = nonces_[i].data();
            job->iv_len_in_bytes = 12;
            job->u.CHACHA20_POLY1305.aad = key_.data();
            job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
            job->auth_tag_output = tags_[i].data();
            job->auth_tag_output_len_in_bytes = 16;
            IMB_SUBMIT_JOB_NOCHECK(manager_);
        }
#endif
    }

private:
    IMB_MGR* manager_;
    std::array<std::uint8_t, 32> key_{1};
    std::array<std::array<std::uint8_t, 12>, kBurst> nonces_;
    std::array<std::array<std::uint8_t, 16>, kBurst> tags_;
};

}  // namespace

int main(int argc, char** argv)
{
    const bool quick = argc > 1 && std::string_view{argv[1]} == "--quick";
    const int rounds = quick ? 7 : 15;
    const int bursts = quick ? 200 : 2000;

    crypto::AeadContext aead;
    std::vector<api::PeerActivity> activity(2), far_activity(2);
    wg::PeerTable near(aead, activity), far(aead, far_activity);
    // `near` seals what `far` opens.
    api::InstallKeys keys{};
    keys.peer = kPeer;
    keys.created = kNow;
    keys.initiator = true;
    keys.local_index = 0x1234567;
    keys.remote_index = 0x7654321;
    crypto::SeededRandom random(1);
    random.fill(keys.sending);
    random.fill(keys.receiving);
    near.apply(api::MovePeer{kPeer, {Ipv4Address{0x0a000001}, 51820}}, kNow);
    near.apply(keys, kNow);
    std::swap(keys.sending, keys.receiving);
    std::swap(keys.local_index, keys.remote_index);
    far.apply(api::MovePeer{kPeer, {Ipv4Address{0x0a000001}, 51820}}, kNow);
    far.apply(keys, kNow);

    Bare bare;
    static Packets packets;
    std::fprintf(stderr, "%s, bursts of %zu\n", aead.implementation().c_str(), kBurst);

    for (const std::uint32_t length : {64U, 512U, 1420U}) {
        std::array<wg::SealJob, kBurst> seals;
        std::array<wg::OpenJob, kBurst> opens;
        const auto prepare = [&] {
            for (std::size_t i = 0; i < kBurst; ++i) {
                seals[i].peer = kPeer;
                seals[i].data = packets.inner(i);
                seals[i].length = length;
                seals[i].mtu = 1420;
                std::uint8_t* const ip = packets.inner(i);
                std::memset(ip, 0, 20);
                ip[0] = 0x45;
                ip[2] = static_cast<std::uint8_t>(length >> 8);
                ip[3] = static_cast<std::uint8_t>(length);
            }
        };
        const auto check = [&](auto& jobs) {
            for (const auto& job : jobs)
                if (job.verdict != api::Verdict::Forward) std::abort();
        };
        const std::uint32_t padded = std::min<std::uint32_t>((length + 15) & ~15U, 1420);
        std::vector<double> seal, bare_seal, open, bare_open;
        for (int round = 0; round < rounds; ++round) {
            std::array<std::vector<double>, 4> cycles;  // of each burst: the median leaves out the ones interrupted
            const auto elapsed = [](std::uint64_t begin) { return static_cast<double>(__rdtsc() - begin) / kBurst; };
            for (int b = 0; b < bursts; ++b) {
                prepare();
                std::uint64_t begin = __rdtsc();
                near.seal(seals, kNow);
                cycles[0].push_back(elapsed(begin));
                check(seals);

                for (std::size_t i = 0; i < kBurst; ++i) {
                    opens[i].data = packets.inner(i) - wg::kDataHeader;
                    opens[i].length = seals[i].sealed_length;
                    opens[i].from = {Ipv4Address{0x0a000001}, 51820};
                }
                begin = __rdtsc();
                far.open(opens, kNow);
                cycles[1].push_back(elapsed(begin));
                check(opens);

                begin = __rdtsc();
                bare.run(packets, padded, IMB_DIR_ENCRYPT);
                cycles[2].push_back(elapsed(begin));
                begin = __rdtsc();
                bare.run(packets, padded, IMB_DIR_DECRYPT);
                cycles[3].push_back(elapsed(begin));
            }
            seal.push_back(bench::median(cycles[0]));
            open.push_back(bench::median(cycles[1]));
            bare_seal.push_back(bench::median(cycles[2]));
            bare_open.push_back(bench::median(cycles[3]));
        }
        const auto report = [&](const char* what, std::vector<double>& ours, std::vector<double>& other) {
            const double a = bench::median(ours), b = bench::median(other);
            std::printf(
                "{\"case\":\"wireguard %s %u B\",\"ours\":%.0f,\"other\":%.0f,\"ratio\":%.3f,"
                "\"unit\":\"cycles/packet, other: bare IPsec-MB; ratio other/ours\",\"goal\":0.85}\n",
                what, length, a, b, b / a);
        };
        report("seal", seal, bare_seal);
        report("open", open, bare_open);
    }
    return 0;
}
