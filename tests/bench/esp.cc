// ESP: the whole path of a packet through one worker's pipeline, from a burst that was received to a burst that is
// sent, the device left out, beside the bare cipher of IPsec-MB on texts of the same size: performance.md, goals 6
// and 7. Cycles are of the TSC. `without cipher` is what is left when the bare cipher's time is taken off: what goal 6
// asks for on any CPU (docs/adr/0027-beside-the-cipher.md).

#include "tests/bench/path.h"
#include "tests/unit/node/tunnels.h"

#include <cstdio>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

using bench::kBurst;
using bench::Plan;

constexpr std::size_t kPackets = 256;
constexpr std::size_t kFlows = 256;
constexpr const char* kBeside = "<= 125";

void add_tunnel(Router& r, api::EspAlgorithm algorithm)
{
    r.set_mtu(9200);
    add_vti(r, 9000);
    r.command(vti_sa(api::SaDirection::Outbound, algorithm));
    r.command(vti_sa(api::SaDirection::Inbound, algorithm));
}

// The library's own work on texts of what ESP makes of `size` octets.
class Bare {
public:
    Bare(Router& r, api::EspAlgorithm algorithm, std::size_t size, bool seal)
        : aead_(r.aead), algorithm_(algorithm), traits_(api::esp_traits(algorithm)), seal_(seal)
    {
        text_ = (size + 2 + traits_.block - 1) / traits_.block * traits_.block;
        buffers_.assign(kPackets, Octets(24 + text_ + 64));
        std::array<std::uint8_t, api::kMaxEspKey> key{};
        if (!traits_.aead()) {
            const auto hash = traits_.mac_key == 32   ? crypto::HmacSha2::Sha256_128
                              : traits_.mac_key == 48 ? crypto::HmacSha2::Sha384_192
                                                      : crypto::HmacSha2::Sha512_256;
            aead_.expand_cbc_hmac(std::span{key}.first(traits_.cipher_key), hash, std::span{key}.first(traits_.mac_key),
                                  cbc_);
        } else if (algorithm != api::EspAlgorithm::ChaCha20Poly1305) {
            aead_.expand_aes_gcm(std::span{key}.first(traits_.cipher_key), gcm_);
        }
        jobs_.resize(kPackets);
        cbc_jobs_.resize(kPackets);
    }

    double cycles_a_packet()
    {
        for (std::size_t i = 0; i < kPackets; ++i) {
            auto* at = buffers_[i].data();
            ++counter_;
            if (!traits_.aead()) {
                cbc_jobs_[i] = {.key = &cbc_,
                                .data = at,
                                .cipher_offset = 24,
                                .cipher_length = static_cast<std::uint32_t>(text_),
                                .hash_length = static_cast<std::uint32_t>(24 + text_),
                                .iv = at + 8,
                                .tag = at + 24 + text_};
                continue;
            }
            auto& job = jobs_[i];
            job.key =
                algorithm_ == api::EspAlgorithm::ChaCha20Poly1305 ? static_cast<const void*>(chacha_.data()) : &gcm_;
            std::memcpy(job.nonce.data() + 4, &counter_, 8);
            job.length = static_cast<std::uint32_t>(text_);
            job.source = job.destination = at + 16;
            job.aad = at;
            job.aad_length = 8;
            job.tag = at + 16 + text_;
        }
        const auto began = __builtin_ia32_rdtsc();
        for (std::size_t at = 0; at < kPackets; at += kBurst) run(at);
        return static_cast<double>(__builtin_ia32_rdtsc() - began) / kPackets;
    }

private:
    void run(std::size_t at)
    {
        const auto jobs = std::span{jobs_}.subspan(at, kBurst);
        switch (algorithm_) {
            case api::EspAlgorithm::AesGcm128: return seal_ ? aead_.seal_aes128_gcm(jobs) : aead_.open_aes128_gcm(jobs);
            case api::EspAlgorithm::AesGcm256: return seal_ ? aead_.seal_aes256_gcm(jobs) : aead_.open_aes256_gcm(jobs);
            case api::EspAlgorithm::ChaCha20Poly1305:
                return seal_ ? aead_.seal_chacha20_poly1305(jobs) : aead_.open_chacha20_poly1305(jobs);
            default: break;
        }
        const auto cbc = std::span{cbc_jobs_}.subspan(at, kBurst);
        seal_ ? aead_.seal_cbc_hmac(cbc) : aead_.open_cbc_hmac(cbc);
    }

    crypto::AeadContext& aead_;
    api::EspAlgorithm algorithm_;
    api::EspTraits traits_;
    bool seal_;
    std::size_t text_;
    std::vector<Octets> buffers_;
    std::vector<crypto::AeadJob> jobs_;
    std::vector<crypto::CbcHmacJob> cbc_jobs_;
    crypto::AesGcmKey gcm_{};
    crypto::CbcHmacKey cbc_{};
    std::array<std::uint8_t, 32> chacha_{};
    std::uint64_t counter_ = 0;
};

template <class Ours>
void compare(const std::string& name, const Plan& plan, Ours&& ours, Bare& bare, const char* ratio_goal,
             const char* beside_goal, const char* cycles_goal)
{
    const auto rounds = bench::in_turn(plan, ours, [&] { return bare.cycles_a_packet(); });
    const double cycles = bench::median(rounds.a);
    bench::report(name + ", rate against the bare cipher", cycles, bench::median(rounds.b), rounds.rate(),
                  "cycles a packet", ratio_goal);
    bench::report(name + ", without cipher", rounds.difference(), 0, 0, "cycles a packet", beside_goal);
    if (*cycles_goal != '\0') bench::report(name, cycles, 0, 0, "cycles a packet", cycles_goal);
}

const char* name_of(api::EspAlgorithm a)
{
    constexpr const char* kNames[] = {"aes-gcm-128",        "aes-gcm-256",        "chacha20-poly1305",
                                      "aes-cbc-128-sha256", "aes-cbc-256-sha256", "aes-cbc-128-sha384",
                                      "aes-cbc-256-sha384", "aes-cbc-128-sha512", "aes-cbc-256-sha512"};
    return kNames[static_cast<std::size_t>(a)];
}

void encrypt(api::EspAlgorithm algorithm, std::size_t size, const Plan& plan)
{
    Router r;
    add_tunnel(r, algorithm);
    bench::Path path{r, kLan, kPackets};
    std::vector<Octets> frames;
    for (std::size_t i = 0; i < kFlows; ++i) {
        const auto p = packet(Udp4{.from = ip4("10.1.0.2"),
                                   .to = Ipv4Address{ip4("10.2.0.0").value + static_cast<std::uint32_t>(i)},
                                   .from_port = static_cast<std::uint16_t>(1000 + i),
                                   .payload = size - 28});
        frames.push_back(frame(kLanMac, kHostMac, p));
    }
    Bare bare{r, algorithm, size, true};
    const bool gcm = algorithm == api::EspAlgorithm::AesGcm128;
    compare(
        "esp encrypt " + std::string{name_of(algorithm)} + ", " + std::to_string(size) + " octets", plan,
        [&] { return path.cycles([&](std::size_t i) -> const Octets& { return frames[i % kFlows]; }); }, bare,
        gcm && size == 1420 ? ">= 0.88" : "", gcm && size == 1420 ? kBeside : "", gcm && size == 64 ? "<= 330" : "");
}

void decrypt(api::EspAlgorithm algorithm, std::size_t size, const Plan& plan)
{
    Router r;
    add_tunnel(r, algorithm);
    std::vector<api::ProtectionActivity> activity(4);
    esp::SaTable peer{r.aead, activity};
    peer.apply(vti_peer_sa(algorithm), r.context.now);
    auto inner = packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2"), .payload = size - 28});
    bench::Path path{r, kWan, kPackets};
    const auto write = [&](std::size_t i) {
        inner[12 + 3] = static_cast<std::uint8_t>(i);  // of the source
        header4(inner).compute_checksum();
        return from_vti_peer(peer, inner, r.context.now);
    };
    Bare bare{r, algorithm, size, false};
    const bool gcm = algorithm == api::EspAlgorithm::AesGcm128;
    compare(
        "esp decrypt " + std::string{name_of(algorithm)} + ", " + std::to_string(size) + " octets", plan,
        [&] { return path.cycles(write); }, bare, "", gcm && size == 1420 ? kBeside : "",
        gcm && size == 64 ? "<= 330" : "");
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    const Plan plan = options.quick ? Plan{7, 100} : Plan{9, 300};
    bench::pin(1);
    pool(io::MemoryMode::Auto);
    {
        Router r;
        std::fprintf(stderr, "%s, bursts of %zu\n", r.aead.implementation().c_str(), kBurst);
    }
    using enum api::EspAlgorithm;
    for (const std::size_t size : {64, 512, 1420, 8900}) {
        encrypt(AesGcm128, size, plan);
        decrypt(AesGcm128, size, plan);
    }
    for (const auto algorithm : {AesGcm256, ChaCha20Poly1305, AesCbc128Sha256, AesCbc256Sha512}) {
        encrypt(algorithm, 1420, plan);
        decrypt(algorithm, 1420, plan);
    }
    return 0;
}
