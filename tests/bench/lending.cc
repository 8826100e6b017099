// One tunnel on two cores against one: performance.md, goal 9. The owner runs its whole pipeline; a second thread does
// what a worker does with its box of loans. Order is checked packet by packet: outbound by the ESP sequence numbers,
// inbound by what is inside; and nothing is dropped, as a replay or otherwise.
//
// What the machine has to give is measured beside it: the bare cipher on both CPUs at once against one. Two CPUs of a
// virtual machine may be one core's two threads, now or only now and then: then one alone keeps the units of AES busy,
// and nothing that could be lent is gained.

#include "base/check.h"
#include "tests/bench/path.h"
#include "tests/unit/node/tunnels.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

using bench::Plan;

constexpr std::size_t kPackets = 1024;  // of a slice

void add_tunnel(Router& r, api::EspAlgorithm algorithm)
{
    r.set_mtu(2000);
    add_vti(r, 1900);
    r.command(vti_sa(api::SaDirection::Outbound, algorithm));
    auto in = vti_sa(api::SaDirection::Inbound, algorithm);
    in.replay_window = 1024;
    r.command(in);
}

// The second worker, as far as loans go.
class Lender {
public:
    Lender() : thread_([this] { main(); }) {}
    ~Lender()
    {
        stop_.store(true);
        thread_.join();
    }
    node::LoanBox box{1};
    api::Wake wake;

private:
    void main()
    {
        bench::pin(0);
        crypto::AeadContext aead;
        while (!stop_.load(std::memory_order_relaxed))
            if (!box.work(aead, [](WorkerId) {})) rte_pause();
    }
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

// The bare cipher on packets of its own.
class Sealer {
public:
    Sealer(api::EspAlgorithm algorithm, std::size_t size) : gcm_(algorithm == api::EspAlgorithm::AesGcm128)
    {
        aead_.expand_aes_gcm(std::span{chacha_}.first(16), key_);
        for (auto& job : jobs_) {
            auto& text = texts_.emplace_back(size + crypto::kAeadTag);
            job = {.key = gcm_ ? static_cast<const void*>(&key_) : chacha_.data(),
                   .length = static_cast<std::uint32_t>(size),
                   .source = text.data(),
                   .destination = text.data(),
                   .tag = text.data() + size};
        }
    }
    void burst() { gcm_ ? aead_.seal_aes128_gcm(jobs_) : aead_.seal_chacha20_poly1305(jobs_); }

private:
    bool gcm_;
    crypto::AeadContext aead_;
    crypto::AesGcmKey key_{};
    std::array<std::uint8_t, crypto::kChaChaKey> chacha_{};
    std::vector<Octets> texts_;
    std::array<crypto::AeadJob, bench::kBurst> jobs_{};
};

// The machine's own limit.
void measure_machine(api::EspAlgorithm algorithm, const char* name, std::size_t size, const Plan& plan)
{
    std::atomic<bool> stop{false}, busy{false};
    std::atomic<std::uint64_t> bursts{0};
    std::thread other{[&] {
        bench::pin(0);
        Sealer sealer{algorithm, size};
        while (!stop.load(std::memory_order_relaxed)) {
            if (!busy.load(std::memory_order_relaxed)) {
                rte_pause();
                continue;
            }
            sealer.burst();
            bursts.fetch_add(1, std::memory_order_relaxed);
        }
    }};
    Sealer sealer{algorithm, size};
    constexpr std::size_t kBursts = 128;  // that one more or less of the other thread is nothing
    const auto slice = [&](bool both) {
        busy.store(both);
        sealer.burst();
        const auto before = bursts.load();
        const auto began = bench::now();
        for (std::size_t i = 0; i < kBursts; ++i) sealer.burst();
        const auto spent = bench::now() - began;
        const auto done = kBursts + bursts.load() - before;
        busy.store(false);
        return static_cast<double>(spent) / static_cast<double>(done * bench::kBurst);
    };
    const auto rounds = bench::in_turn(
        plan, [&] { return slice(true); }, [&] { return slice(false); });
    stop.store(true);
    other.join();
    bench::report("bare " + std::string{name} + ", " + std::to_string(size) + " octets, both CPUs against one",
                  bench::median(rounds.a), bench::median(rounds.b), rounds.rate(), "nanoseconds a packet", "");
    if (rounds.rate() < 1.6)
        std::fprintf(stderr, "These CPUs are not two cores for %s now: nothing to be gained by lending it.\n", name);
}

template <class Slice>
void compare(const std::string& name, Router& r, const Plan& plan, Slice&& slice)
{
    const auto with = [&](bool lending) {
        return [&, lending] {
            r.context.loans.press(lending);
            return slice();
        };
    };
    const auto rounds = bench::in_turn(plan, with(true), with(false));
    CULVERT_CHECK(r.context.loans.lent() > 0);
    bench::report(name + ", rate of two cores against one", bench::median(rounds.a), bench::median(rounds.b),
                  rounds.rate(), "nanoseconds a packet", ">= 1.5");
}

void run(api::EspAlgorithm algorithm, const char* name, std::size_t size, const Plan& plan)
{
    for (const bool seal : {true, false}) {
        Router r;
        add_tunnel(r, algorithm);
        Lender lender;
        r.context.loans.open(WorkerId{0}, r.aead, {{&lender.box, &lender.wake}});
        bench::Path path{r, seal ? kLan : kWan, kPackets};
        const auto text =
            std::string{"esp "} + (seal ? "encrypt " : "decrypt ") + name + ", " + std::to_string(size) + " octets";
        if (seal) {
            const auto p = frame(kLanMac, kHostMac,
                                 packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
            std::uint32_t last = 0;
            compare(text, r, plan, [&] {
                return path.nanoseconds_lending([&](std::size_t) -> const Octets& { return p; },
                                                [&](Bytes f) {
                                                    be32 number;
                                                    std::memcpy(&number, f.data() + 14 + 20 + 4, 4);
                                                    CULVERT_CHECK(std::uint32_t{number} == last + 1);
                                                    last = number;
                                                });
            });
            continue;
        }
        std::vector<api::ProtectionActivity> activity(4);
        esp::SaTable peer{r.aead, activity};
        peer.apply(vti_peer_sa(algorithm), r.context.now);
        auto inner = packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2"), .payload = size - 28});
        std::uint32_t given = 0, last = 0;
        const auto write = [&](std::size_t) {
            ++given;
            std::memcpy(inner.data() + 28, &given, 4);
            return from_vti_peer(peer, inner, r.context.now);
        };
        compare(text, r, plan, [&] {
            return path.nanoseconds_lending(write, [&](Bytes f) {
                std::uint32_t number;
                std::memcpy(&number, f.data() + 14 + 28, 4);
                CULVERT_CHECK(std::uint32_t{number} == last + 1);
                last = number;
            });
        });
        CULVERT_CHECK(r.count(Verdict::DropEspReplay) == 0);
    }
}

// WireGuard's: what is sent, by its counters.
void wireguard(std::size_t size, const Plan& plan)
{
    Router r;
    add_wireguard(r, {"10.2.0.0/16"});
    install_wireguard_keys(r);
    Lender lender;
    r.context.loans.open(WorkerId{0}, r.aead, {{&lender.box, &lender.wake}});
    bench::Path path{r, kLan, kPackets};
    const auto p =
        frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
    std::uint64_t next = 1;  // 0 was the message that proves the keys
    compare("wireguard encrypt, " + std::to_string(size) + " octets", r, plan, [&] {
        return path.nanoseconds_lending([&](std::size_t) -> const Octets& { return p; },
                                        [&](Bytes f) {
                                            std::uint64_t counter;
                                            std::memcpy(&counter, f.data() + 14 + 20 + 8 + 8, 8);
                                            CULVERT_CHECK(counter == next);
                                            ++next;
                                        });
    });
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    const Plan plan = options.quick ? Plan{7, 20} : Plan{9, 100};
    bench::pin(1);
    pool(io::MemoryMode::Auto);
    using enum api::EspAlgorithm;
    measure_machine(AesGcm128, "aes-gcm-128", 1420, plan);
    measure_machine(ChaCha20Poly1305, "chacha20-poly1305", 1420, plan);
    run(AesCbc128Sha256, "aes-cbc-128-sha256", 1420, plan);
    run(ChaCha20Poly1305, "chacha20-poly1305", 1420, plan);
    run(AesGcm128, "aes-gcm-128", 1420, plan);
    wireguard(1420, plan);
    return 0;
}
