// ESP: the whole path of a packet through one worker's pipeline, from a burst that was received to a burst that is
// sent, the device left out, beside the bare cipher of IPsec-MB on texts of the same size: performance.md, goals 6
// and 7. Cycles are of the TSC. `without cipher` is what is left when the bare cipher's time is taken off.

#include "base/check.h"
#include "tests/bench/lookup_bench.h"
#include "tests/unit/node/router.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::size_t kPackets = 256;  // in flight: headers stay in the second-level cache, as behind a NIC
constexpr std::size_t kBurst = 64;
constexpr std::size_t kFlows = 256;
constexpr InterfaceId kTunnel{10};
constexpr ProtectionId kProtection{1};

class Sink : public dataplane::Outlet {
public:
    std::size_t transmit(PortId, bool, std::span<rte_mbuf* const> frames) noexcept override
    {
        std::copy(frames.begin(), frames.end(), packets.begin() + static_cast<std::ptrdiff_t>(count));
        count += frames.size();
        return frames.size();
    }
    std::size_t to_host(VrfId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    std::size_t hand_over(WorkerId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    WorkerId transmitter(PortId, WorkerId self) const noexcept override { return self; }

    std::array<rte_mbuf*, kPackets> packets{};
    std::size_t count = 0;
};

double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

class Loop {
public:
    Loop(Router& r, PortId port) : pipeline_(r.context, sink_), context_(r.context), port_(port)
    {
        for (auto& m : packets_) {
            m = rte_pktmbuf_alloc(pool().get());
            CULVERT_CHECK(m != nullptr);
        }
    }
    ~Loop()
    {
        for (auto* m : packets_) rte_pktmbuf_free(m);
    }

    // `write(i)` gives the frame for packet i before each pass; that isn't timed.
    template <class Write>
    double cycles_a_packet(Write&& write)
    {
        for (std::size_t i = 0; i < kPackets; ++i) {
            rte_mbuf* m = packets_[i];
            rte_pktmbuf_reset(m);
            const Octets& frame = write(i);
            auto* to = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
            CULVERT_CHECK(to != nullptr);
            std::memcpy(to, frame.data(), frame.size());
        }
        sink_.count = 0;
        const auto began = __builtin_ia32_rdtsc();
        for (std::size_t at = 0; at < kPackets; at += kBurst)
            pipeline_.frames(port_, std::span{packets_}.subspan(at, kBurst));
        const auto spent = __builtin_ia32_rdtsc() - began;
        CULVERT_CHECK(sink_.count == kPackets);
        packets_ = sink_.packets;
        context_.now += 1ms;
        return static_cast<double>(spent) / kPackets;
    }

private:
    Sink sink_;
    dataplane::Pipeline pipeline_;
    node::Context& context_;
    PortId port_;
    std::array<rte_mbuf*, kPackets> packets_{};
};

struct Plan {
    int rounds;
    int slices;
};

api::InstallSa sa(api::SaDirection direction, api::EspAlgorithm algorithm)
{
    api::InstallSa c{};
    c.protection = kProtection;
    c.child = 1;
    c.spi = direction == api::SaDirection::Outbound ? 0x1001 : 0x1002;
    c.direction = direction;
    c.mode = api::EspMode::Tunnel;
    c.algorithm = algorithm;
    c.local = {ip("192.0.2.1"), 0};
    c.remote = {ip("192.0.2.2"), 0};
    c.key.fill(direction == api::SaDirection::Outbound ? 1 : 2);
    return c;
}

// A VTI: what is behind it is 10.2.0.0/16.
void add_tunnel(Router& r, api::EspAlgorithm algorithm)
{
    for (auto i : {r.lan(), r.wan()}) {
        i.mtu = 9200;
        i.id == kLanIf ? r.set_lan(i) : r.set_wan(i);
    }
    r.apply(api::SetInterface{.id = kTunnel,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Tunnel,
                              .up = true,
                              .mtu = 9000,
                              .address4 = ip4("10.255.0.1")});
    r.apply(api::SetProtection{.id = kProtection,
                               .interface = kTunnel,
                               .outer_vrf = kDefaultVrf,
                               .local = ip("192.0.2.1"),
                               .remote = ip("192.0.2.2")});
    r.apply(api::SetTunnel{.interface = kTunnel,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::Ipsec,
                           .source = ip("192.0.2.1"),
                           .destination = ip("192.0.2.2"),
                           .protection = kProtection});
    r.route("10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kTunnel});
    r.command(sa(api::SaDirection::Outbound, algorithm));
    r.command(sa(api::SaDirection::Inbound, algorithm));
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

// A B B A in slices, each one's best of a round; the median of the rounds' ratios.
template <class Ours>
void compare(const std::string& name, const Plan& plan, Ours&& ours, Bare& bare, const char* ratio_goal,
             const char* cycles_goal)
{
    std::vector<double> a_all, b_all, ratio, rest;
    for (int round = 0; round < plan.rounds; ++round) {
        double a = 1e9, b = 1e9;
        for (int s = 0; s < plan.slices; ++s) {
            a = std::min(a, ours());
            b = std::min(b, bare.cycles_a_packet());
            b = std::min(b, bare.cycles_a_packet());
            a = std::min(a, ours());
        }
        a_all.push_back(a);
        b_all.push_back(b);
        ratio.push_back(b / a);
        rest.push_back(a - b);
    }
    bench::report(name + ", rate against the bare cipher", median(a_all), median(b_all), median(ratio),
                  "cycles a packet", ratio_goal);
    bench::report(name + ", without cipher", median(rest), 0, 0, "cycles a packet", "");
    if (*cycles_goal != '\0') bench::report(name, median(a_all), 0, 0, "cycles a packet", cycles_goal);
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
    Loop loop{r, kLan};
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
        [&] { return loop.cycles_a_packet([&](std::size_t i) -> const Octets& { return frames[i % kFlows]; }); }, bare,
        gcm && size == 1420 ? ">= 0.88" : "", gcm && size == 64 ? "<= 330" : "");
}

void decrypt(api::EspAlgorithm algorithm, std::size_t size, const Plan& plan)
{
    Router r;
    add_tunnel(r, algorithm);
    // The peer, which seals under our inbound SA's key.
    std::vector<api::ProtectionActivity> activity(4);
    esp::SaTable peer{r.aead, activity};
    auto c = sa(api::SaDirection::Inbound, algorithm);
    c.direction = api::SaDirection::Outbound;
    peer.apply(c, r.context.now);
    const std::size_t front = peer.sending(kProtection)->front;
    const auto inner = packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2"), .payload = size - 28});
    constexpr std::size_t kHeaders = 14 + 20;
    Loop loop{r, kWan};
    Octets frame_octets;
    const auto write = [&](std::size_t i) -> const Octets& {
        frame_octets.assign(kHeaders + front + inner.size() + esp::kMaxBack, 0);
        auto* text = frame_octets.data() + kHeaders + front;
        std::memcpy(text, inner.data(), inner.size());
        text[12 + 3] = static_cast<std::uint8_t>(i);  // of the inner source
        reinterpret_cast<wire::Ipv4Header*>(text)->compute_checksum();
        esp::SealJob job{.protection = kProtection,
                         .data = text,
                         .length = static_cast<std::uint32_t>(inner.size()),
                         .next_header = 4};
        peer.seal({&job, 1}, r.context.now);
        CULVERT_CHECK(job.verdict == api::Verdict::Forward);
        frame_octets.resize(kHeaders + job.sealed_length);
        auto& ethernet = *reinterpret_cast<wire::EthernetHeader*>(frame_octets.data());
        ethernet = {kWanMac, kPeerMac, static_cast<std::uint16_t>(wire::EtherType::Ipv4)};
        auto& ip = header4(frame_octets, 14);
        ip.version_ihl = 0x45;
        ip.total_length = static_cast<std::uint16_t>(20 + job.sealed_length);
        ip.ttl = 64;
        ip.protocol = 50;
        ip.source = ip4("192.0.2.2").value;
        ip.destination = ip4("192.0.2.1").value;
        ip.compute_checksum();
        return frame_octets;
    };
    Bare bare{r, algorithm, size, false};
    const bool gcm = algorithm == api::EspAlgorithm::AesGcm128;
    compare(
        "esp decrypt " + std::string{name_of(algorithm)} + ", " + std::to_string(size) + " octets", plan,
        [&] { return loop.cycles_a_packet(write); }, bare, "", gcm && size == 64 ? "<= 330" : "");
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
