// Random tunnels that come, change and go under traffic, for as many seconds as the argument says: no packet buffer is
// lost or given back twice. The count is exact after every step.

#include "tests/unit/node/pair.h"

#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <tuple>

namespace culvert::dataplane::test {

namespace {

double g_seconds = 2;
std::uint64_t g_seed = 1;

constexpr std::uint16_t kFirst = 10, kTunnels = 12;

// Two routers, wan to wan, over a wire that loses, repeats, reorders and spoils.
class Soak {
public:
    explicit Soak(std::uint64_t seed) : random_(seed)
    {
        make_far(b_);
        for (auto* r : {&a_, &b_}) {
            auto lan = r->lan();
            lan.mtu = 9000;
            r->set_lan(lan);
        }
        for (std::uint16_t i = 0; i < kTunnels; ++i) create(i);
    }

    void step()
    {
        switch (below(24)) {
            case 0: remove(pick()); break;
            case 1: create(pick()); break;
            case 2: create(pick()); break;
            case 3: install(pick()); break;
            case 4: flap(pick()); break;
            case 5: pass_time(); break;
            default: send(); break;
        }
        deliver();
        // Every buffer is with someone who will give it back.
        const auto held = [](const Router& r) { return r.holds.packets() + r.context.reassembly.fragments(); };
        ASSERT_EQ(pool().in_use(), held(a_) + held(b_)) << "step " << steps_ << " of seed " << g_seed;
        ++steps_;
    }
    void end()
    {
        a_.pipeline.shut_down();
        b_.pipeline.shut_down();
        ASSERT_EQ(pool().in_use(), 0u);
    }

    std::uint64_t steps() const { return steps_; }
    std::uint64_t carried() const { return carried_; }

private:
    std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>{0, n - 1}(random_); }
    bool one_in(std::size_t n) { return below(n) == 0; }
    std::uint16_t pick() { return static_cast<std::uint16_t>(below(kTunnels)); }
    static InterfaceId id_of(std::uint16_t i) { return InterfaceId{static_cast<std::uint16_t>(kFirst + i)}; }

    // The same tunnel at both ends, mostly; sometimes they disagree.
    void create(std::uint16_t i)
    {
        const auto id = id_of(i);
        const auto outer = one_in(3) ? Family::Ipv6 : Family::Ipv4;
        const bool multipoint = one_in(5), esp = one_in(3), vti = esp && one_in(2) && !multipoint;
        const bool key = one_in(2), checksum = one_in(3), sequence = one_in(4) && !multipoint;
        const auto mtu = static_cast<std::uint16_t>(300 + below(1200));
        shapes_[i] = {outer, esp, vti, one_in(2)};
        for (auto [r, of_b] : {std::pair{&a_, false}, std::pair{&b_, true}}) {
            r->apply(api::SetInterface{.id = id,
                                       .vrf = kDefaultVrf,
                                       .kind = api::InterfaceKind::Tunnel,
                                       .up = true,
                                       .mtu = mtu,
                                       .mss4 = 300,
                                       .address4 = ip4("10.255.0.1"),
                                       .address6 = ip6("fd00::1")});
            const auto here = end_of(of_b, outer), there = end_of(!of_b, outer);
            const ProtectionId protection{esp ? index(id) : 0u};
            if (esp)
                r->apply(api::SetProtection{.id = protection,
                                            .interface = id,
                                            .outer_vrf = kDefaultVrf,
                                            .inner = vti ? api::EspInner::Ip : api::EspInner::Gre,
                                            .local = here,
                                            .remote = there});
            r->apply(api::SetTunnel{.interface = id,
                                    .outer_vrf = kDefaultVrf,
                                    .mode = vti          ? api::TunnelMode::Ipsec
                                            : multipoint ? api::TunnelMode::GreMultipoint
                                                         : api::TunnelMode::Gre,
                                    .ttl = static_cast<std::uint8_t>(one_in(2) ? 0 : 255),
                                    .checksum = checksum && !one_in(20),
                                    .sequence = sequence,
                                    .has_key = key || multipoint,
                                    .key = i + (one_in(30) ? 1000u : 0u),
                                    .source = here,
                                    .destination = there,
                                    .protection = multipoint ? kNoProtection : protection});
            const auto gateway = ip("10.255.0.2");
            if (multipoint) {
                r->apply(api::SetTunnelEndpoint{id, gateway, there, protection});
                if (one_in(4)) r->apply(api::DeleteTunnelEndpoint{id, gateway});
            }
            const auto n = std::to_string(i);
            r->route((of_b ? "10.101." : "10.102.") + n + ".0/24",
                     {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = id, .gateway = gateway});
            // Behind it: the host, or (sometimes) another tunnel, which makes a stack or a loop.
            if (one_in(3)) continue;
            const NexthopId host = r->adjacency(kLanIf, "10.1.0.2", kHostMac);
            r->route_via((of_b ? "10.102." : "10.101.") + n + ".0/24", host);
        }
        if (esp) install(i);
    }

    void install(std::uint16_t i)
    {
        const auto shape = shapes_[i];
        if (!shape.esp) return;
        ++child_;
        for (auto [r, of_b] : {std::pair{&a_, false}, std::pair{&b_, true}}) {
            for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound}) {
                const bool to_b = (direction == api::SaDirection::Outbound) != of_b;
                api::InstallSa c{};
                c.protection = ProtectionId{index(id_of(i))};
                c.child = child_;
                c.spi = 0x1000u + 2 * child_ + (to_b ? 1 : 0);
                c.direction = direction;
                c.mode = shape.transport && !shape.vti ? api::EspMode::Transport : api::EspMode::Tunnel;
                c.algorithm = static_cast<api::EspAlgorithm>(child_ % api::kEspAlgorithms);
                c.udp = child_ % 3 == 0;
                c.hard_packets = 50 + child_ % 500;
                c.local = {end_of(of_b, shape.outer), 4500};
                c.remote = {end_of(!of_b, shape.outer), 4500};
                c.key.fill(static_cast<std::uint8_t>(child_ * 2 + to_b));
                r->command(c);
                if (child_ > 3 && one_in(2)) r->command(api::DeleteSa{c.protection, 1, child_ - 1, direction});
            }
        }
    }

    void remove(std::uint16_t i)
    {
        for (auto* r : {&a_, &b_}) {
            if (r->tables.interface(id_of(i)) == nullptr) continue;
            const ProtectionId protection{index(id_of(i))};
            if (r->tables.protection(protection) != nullptr) r->apply(api::DeleteProtection{protection});
            r->apply(api::DeleteInterface{id_of(i)});
        }
        shapes_[i] = {};
    }

    void flap(std::uint16_t i)
    {
        auto& r = one_in(2) ? a_ : b_;
        if (const auto* known = r.tables.interface(id_of(i))) {
            auto changed = *known;
            changed.up = !changed.up;
            r.apply(changed);
        }
        auto w = r.wan();
        w.mtu = static_cast<std::uint16_t>(1280 + below(300));
        r.set_wan(w);
    }

    void pass_time()
    {
        const auto d = Duration{1ms} * below(3000);
        a_.advance(d);
        b_.advance(d);
    }

    void send()
    {
        for (std::size_t n = below(8) + 1; n > 0; --n) {
            auto& r = one_in(2) ? a_ : b_;
            const auto to = (&r == &a_ ? "10.102." : "10.101.") + std::to_string(below(kTunnels)) + ".5";
            const auto p = packet(Udp4{.from = ip4("10.1.0.2"),
                                       .to = ip4(to),
                                       .payload = below(one_in(10) ? 8000 : 1600),
                                       .ttl = static_cast<std::uint8_t>(one_in(20) ? 1 : 64),
                                       .tos = static_cast<std::uint8_t>(below(256)),
                                       .fragment = static_cast<std::uint16_t>(one_in(2) ? 0x4000 : 0)});
            r.from_lan(p);
        }
    }

    void deliver()
    {
        for (int round = 0; round < 12; ++round) {
            bool more = false;
            for (auto [from, to] : {std::pair{&a_, &b_}, std::pair{&b_, &a_}}) {
                auto sent = std::move(from->sent);
                from->sent.clear();
                if (one_in(8)) std::shuffle(sent.begin(), sent.end(), random_);
                for (auto& s : sent) {
                    if (s.port == kLan) {
                        ++carried_;
                        continue;
                    }
                    more = true;
                    if (one_in(25)) continue;
                    if (one_in(25)) to->receive(kWan, s.frame);
                    if (one_in(25)) s.frame[below(s.frame.size())] ^= static_cast<std::uint8_t>(1 + below(255));
                    if (one_in(50)) s.frame.resize(1 + below(s.frame.size()));
                    to->receive(kWan, s.frame);
                }
                from->host.clear();
                from->events();
                from->punts();
            }
            if (!more) break;
        }
        a_.sent.clear();
        b_.sent.clear();
    }

    struct Shape {
        Family outer = Family::Ipv4;
        bool esp = false, vti = false, transport = false;
    };
    std::mt19937_64 random_;
    Router a_, b_;
    std::map<std::uint16_t, Shape> shapes_;
    std::uint32_t child_ = 0;
    std::uint64_t steps_ = 0, carried_ = 0;
};

TEST(TunnelSoak, NoBufferIsLostOrGivenBackTwice)
{
    ASSERT_EQ(pool().in_use(), 0u);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(g_seconds);
    std::uint64_t steps = 0, carried = 0, rounds = 0;
    do {
        Soak soak{g_seed + rounds++};
        for (int i = 0; i < 4000 && std::chrono::steady_clock::now() < end; ++i) {
            soak.step();
            if (HasFatalFailure()) return;
        }
        soak.end();
        if (HasFatalFailure()) return;
        steps += soak.steps();
        carried += soak.carried();
    } while (std::chrono::steady_clock::now() < end);
    std::printf("%llu steps of %llu routers, %llu packets came out\n", static_cast<unsigned long long>(steps),
                static_cast<unsigned long long>(2 * rounds), static_cast<unsigned long long>(carried));
    EXPECT_GT(carried, steps / 4);
}

}  // namespace

}  // namespace culvert::dataplane::test

// unit-tunnel-soak [SECONDS [SEED]]
int main(int argc, char** argv)
{
    ::testing::InitGoogleTest(&argc, argv);
    if (argc > 1) culvert::dataplane::test::g_seconds = std::atof(argv[1]);
    if (argc > 2) culvert::dataplane::test::g_seed = std::strtoull(argv[2], nullptr, 0);
    return RUN_ALL_TESTS();
}
