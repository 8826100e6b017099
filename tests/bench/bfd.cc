// BFD in the poll loop (performance.md, goals 13 to 15).
//  - What sessions cost: the engine by itself, and the whole way of each packet through a worker's pipeline, in virtual
//    time; the share of a core is CPU time by virtual time.
//  - Judgement: a live worker thread between ports in memory. From the peer's last packet to the first data packet on
//    the backup, less the detection time; and what still goes to the dead next hop after that.
#include "base/check.h"
#include "dataplane/io/host_link.h"
#include "dataplane/worker.h"
#include "tests/bench/lookup_bench.h"
#include "tests/unit/node/router.h"

#include <rte_ring.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::uint32_t kTheirs = 0x10000000;  // and the session's number

api::SetBfdSession session(std::uint32_t n, std::uint32_t interval)
{
    api::SetBfdSession s{};
    s.id = BfdSessionId{n};
    s.discriminator = static_cast<std::uint32_t>(mix(n)) | 1;
    s.interface = kWanIf;
    s.local = ip("192.0.2.1");
    s.peer = Ipv4Address{0x0b000000 + n};
    s.desired_min_tx = s.required_min_rx = interval;
    return s;
}

Octets control(const api::SetBfdSession& s, bfd::BfdState state)
{
    bfd::ControlPacket p;
    p.state = state;
    p.multiplier = 3;
    p.my_discriminator = kTheirs + index(s.id);
    p.your_discriminator = s.discriminator;
    p.desired_min_tx = p.required_min_rx = s.desired_min_tx;
    p.final = state == bfd::BfdState::Up;
    std::array<std::uint8_t, bfd::kMaxPacket> bytes{};
    bfd::encode(p, bfd::kMandatory, bytes);
    return {bytes.begin(), bytes.begin() + bfd::kMandatory};
}

Octets control_frame(const api::SetBfdSession& s, bfd::BfdState state)
{
    auto out = packet(Udp4{.from = s.peer.v4(),
                           .to = s.local.v4(),
                           .from_port = 49152,
                           .to_port = bfd::kControlPort,
                           .payload = bfd::kMandatory,
                           .ttl = 255});
    const auto payload = control(s, state);
    std::copy(payload.begin(), payload.end(), out.begin() + 28);
    auto& u = *reinterpret_cast<wire::UdpHeader*>(out.data() + 20);
    u.checksum = {};
    u.checksum.set(pseudo_sum(header4(out), wire::Protocol::Udp, u.length).add(Bytes{out}.subspan(20)));
    return frame(kWanMac, kPeerMac, out);
}

void print(const char* what, std::size_t n, std::uint32_t interval, double share, double limit, double each)
{
    std::printf(
        "{\"case\":\"bfd %s, %zu x %.1f ms\",\"ours\":%.3f,\"other\":%.3f,\"ratio\":%.3f,\"unit\":\"%% of a core\","
        "\"goal\":\"<= %.0f %%\",\"ns_a_packet\":%.0f}\n",
        what, n, interval / 1000.0, share, limit, share / limit, limit, each);
    std::fflush(stdout);
}

// ---- what sessions cost ---------------------------------------------------------------------------------------------

struct Discard final : bfd::Actions {
    void send_control(const api::SetBfdSession&, std::uint16_t, Bytes) noexcept override { ++sent; }
    void send_echo(const api::SetBfdSession&, std::uint16_t, Bytes) noexcept override {}
    void went_down(BfdSessionId, TimePoint, TimePoint) noexcept override { CULVERT_CHECK(!"nobody is silent"); }
    bool changed(const api::BfdChanged&) noexcept override { return true; }
    std::uint64_t sent = 0;
};

// Calls arrive(n, now) for each packet of a peer, and due(now) for the engine's deadlines, for `length` of virtual
// time.
template <class Arrive, class Due>
std::uint64_t run(std::size_t sessions, std::uint32_t interval, TimePoint begin, Duration length, Arrive&& arrive,
                  Due&& due)
{
    const Duration period = std::chrono::microseconds{interval} * 7 / 8;
    const Duration apart = period / static_cast<std::int64_t>(sessions);
    std::uint64_t received = 0;
    TimePoint next = begin;
    std::uint32_t who = 1;
    for (TimePoint now = begin; now < begin + length; now += 50us) {
        for (; next <= now; next += std::max(apart, Duration{1})) {
            arrive(who, next);
            who = who % sessions + 1;
            ++received;
        }
        due(now);
    }
    return received;
}

void engine_alone(std::size_t n, std::uint32_t interval, double limit, bool quick)
{
    Discard actions;
    std::vector<api::BfdActivity> activity(n + 1);
    bfd::Engine engine(actions, activity, 1);
    TimePoint now{1h};
    std::vector<Octets> packets{{}};
    bfd::Arrival from{.interface = kWanIf, .to = ip("192.0.2.1"), .ttl = 255};
    for (std::uint32_t i = 1; i <= n; ++i) {
        const auto s = session(i, interval);
        engine.apply(s, now);
        from.from = s.peer;
        from.stamp = now;
        engine.on_packet(control(s, bfd::BfdState::Init), from, now);
        packets.push_back(control(s, bfd::BfdState::Up));
        engine.on_packet(packets.back(), from, now);
    }
    const Duration length = quick ? Duration{100ms} : Duration{2s};
    std::vector<double> shares;
    double each = 0;
    for (int round = 0; round < (quick ? 1 : 7); ++round) {
        actions.sent = 0;
        const auto before = bench::thread_time();
        const auto received = run(
            n, interval, now, length,
            [&](std::uint32_t i, TimePoint at) {
                from.from = Ipv4Address{0x0b000000 + i};
                from.stamp = at;
                CULVERT_CHECK(engine.on_packet(packets[i], from, at) == Verdict::BfdReceived);
            },
            [&](TimePoint at) {
                if (engine.next_deadline() <= at) engine.on_time(at, at);
            });
        const auto used = static_cast<double>(bench::thread_time() - before);
        now += length;
        shares.push_back(100 * used / static_cast<double>(length.count()));
        each = used / static_cast<double>(received + actions.sent);
    }
    std::sort(shares.begin(), shares.end());
    print("engine", n, interval, shares[shares.size() / 2], limit, each);
}

class Sink final : public dataplane::Outlet {
public:
    std::size_t transmit(PortId, bool, std::span<rte_mbuf* const> frames) noexcept override
    {
        for (auto* m : frames) rte_pktmbuf_free(m);
        sent += frames.size();
        return frames.size();
    }
    std::size_t to_host(VrfId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    std::size_t hand_over(WorkerId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    WorkerId transmitter(PortId, WorkerId self) const noexcept override { return self; }
    std::uint64_t sent = 0;
};

void whole_way(std::size_t n, std::uint32_t interval, double limit, bool quick)
{
    Router r;
    std::vector<api::BfdActivity> activity(n + 1);
    node::BfdSpeaker speaker{r.context, activity, 1};
    r.context.bfd = &speaker;
    Sink sink;
    dataplane::Pipeline pipeline{r.context, sink};
    const auto way = r.adjacency(kWanIf, "192.0.2.2", kPeerMac);
    std::vector<Octets> frames{{}};
    std::vector<rte_mbuf*> burst;
    const auto flush = [&] {
        if (burst.empty()) return;
        pipeline.frames(kWan, burst);
        burst.clear();
    };
    const auto receive = [&](const Octets& f) {
        burst.push_back(buffer(f));
        if (burst.size() == 64) flush();
    };
    for (std::uint32_t i = 1; i <= n; ++i) {
        auto s = session(i, interval);
        s.nexthop = way;
        pipeline.command(s);
        receive(control_frame(s, bfd::BfdState::Init));
        frames.push_back(control_frame(s, bfd::BfdState::Up));
        receive(frames.back());
        flush();
        r.events();
    }
    const Duration length = quick ? Duration{50ms} : Duration{500ms};
    std::vector<double> shares;
    double each = 0;
    for (int round = 0; round < (quick ? 1 : 7); ++round) {
        sink.sent = 0;
        const auto before = bench::thread_time();
        const auto received = run(
            n, interval, r.context.now, length,
            [&](std::uint32_t i, TimePoint at) {
                r.context.now = at;
                receive(frames[i]);
            },
            [&](TimePoint at) {
                r.context.now = at;
                flush();
                pipeline.speak(at, at);
            });
        const auto used = static_cast<double>(bench::thread_time() - before);
        shares.push_back(100 * used / static_cast<double>(length.count()));
        each = used / static_cast<double>(received + sink.sent);
        r.events();
    }
    for (std::uint32_t i = 1; i <= n; ++i)
        CULVERT_CHECK(speaker.engine().find(BfdSessionId{i})->state() == bfd::BfdState::Up);
    std::sort(shares.begin(), shares.end());
    print("whole way through the worker", n, interval, shares[shares.size() / 2], limit, each);
}

// ---- judgement ------------------------------------------------------------------------------------------------------

// A device in memory: one thread puts frames in and takes out what was sent.
class MemoryPort final : public io::Port {
public:
    MemoryPort(PortId id, const MacAddress& mac) : id_(id), mac_(mac), event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
    {
        static int number = 0;
        for (auto** ring : {&in_, &out_}) {
            *ring = rte_ring_create(("bench-bfd" + std::to_string(number++)).c_str(), 1024, SOCKET_ID_ANY,
                                    RING_F_SP_ENQ | RING_F_SC_DEQ);
            CULVERT_CHECK(*ring != nullptr);
        }
    }
    ~MemoryPort() override
    {
        for (auto* ring : {in_, out_}) {
            void* m;
            while (rte_ring_sc_dequeue(ring, &m) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
            rte_ring_free(ring);
        }
        close(event_);
    }

    bool put(const Octets& f)
    {
        rte_mbuf* m = rte_pktmbuf_alloc(pool().get());
        if (m == nullptr) return false;
        std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(f.size())), f.data(), f.size());
        if (rte_ring_sp_enqueue(in_, m) != 0) return rte_pktmbuf_free(m), false;
        eventfd_write(event_, 1);
        return true;
    }
    // Data packets (UDP to `port`) among what was sent.
    std::size_t take(std::uint16_t port)
    {
        std::size_t n = 0;
        void* got = nullptr;
        while (rte_ring_sc_dequeue(out_, &got) == 0) {
            auto* m = static_cast<rte_mbuf*>(got);
            const auto* octets = rte_pktmbuf_mtod(m, const std::uint8_t*);
            n += m->data_len > 38 && (octets[36] << 8 | octets[37]) == port;
            rte_pktmbuf_free(m);
        }
        return n;
    }

    std::uint16_t rx_burst(std::uint16_t, rte_mbuf** frames, std::uint16_t max) noexcept override
    {
        eventfd_t n;
        if (rte_ring_empty(in_) == 0) eventfd_read(event_, &n);
        const auto got = rte_ring_sc_dequeue_burst(in_, reinterpret_cast<void**>(frames), max, nullptr);
        for (unsigned i = 0; i < got; ++i) frames[i]->port = index(id_);
        return static_cast<std::uint16_t>(got);
    }
    std::uint16_t tx_burst(std::uint16_t, rte_mbuf** frames, std::uint16_t count) noexcept override
    {
        return static_cast<std::uint16_t>(
            rte_ring_sp_enqueue_burst(out_, reinterpret_cast<void**>(frames), count, nullptr));
    }
    std::span<const int> wait_fds(std::uint16_t) const noexcept override { return {&event_, 1}; }
    bool pending(std::uint16_t) const noexcept override { return rte_ring_empty(in_) == 0; }
    api::PortInfo info() const override
    {
        api::PortInfo i;
        i.id = id_;
        i.mac = mac_;
        i.link_up = true;
        i.driver = "memory";
        return i;
    }
    bool link_up() const noexcept override { return true; }
    Result<void, api::PortError> set_mtu(std::uint16_t) override { return {}; }
    api::PortCounters counters() const override { return {}; }

private:
    PortId id_;
    MacAddress mac_;
    rte_ring* in_;
    rte_ring* out_;
    int event_;
};

constexpr PortId kSpare{12};
constexpr InterfaceId kSpareIf{4};
constexpr MacAddress kSpareMac{{2, 0, 0, 0, 0, 3}};
constexpr std::uint16_t kProbe = 7777;

// One worker with three ports: data comes in by lan, leaves by wan while the session lives, else by the spare.
class Judge {
public:
    explicit Judge(std::uint32_t interval) : interval_(interval)
    {
        tables_.set_host_link(kDefaultVrf, false);
        const auto interface = [](InterfaceId id, PortId port, const MacAddress& mac, Ipv4Address address) {
            return api::SetInterface{.id = id,
                                     .vrf = kDefaultVrf,
                                     .kind = api::InterfaceKind::Port,
                                     .up = true,
                                     .port = port,
                                     .mac = mac,
                                     .address4 = address};
        };
        apply(api::SetVrf{kDefaultVrf});
        apply(interface(kLanIf, kLan, kLanMac, ip4("10.1.0.1")));
        apply(interface(kWanIf, kWan, kWanMac, ip4("192.0.2.1")));
        apply(interface(kSpareIf, kSpare, kSpareMac, ip4("192.0.3.1")));
        settings_ = session(1, interval);
        settings_.nexthop = NexthopId{2};
        apply(api::SetDownWord{settings_.id});
        apply(adjacency(2, kWanIf, {}));
        apply(adjacency(3, kWanIf, settings_.id));
        apply(adjacency(4, kSpareIf, {}));
        apply(api::SetNexthop{.id = NexthopId{5}, .kind = api::NexthopKind::Local});
        group(14, 4, kNoGroup);
        group(13, 3, GroupId{14});
        group(15, 5, kNoGroup);
        apply(api::SetRoute{kDefaultVrf, prefix("198.51.100.0/24"), GroupId{13}});
        apply(api::SetRoute{kDefaultVrf, prefix("192.0.2.1/32"), GroupId{15}});
        worker_.start(host_link_, all_);
        worker_.set_ports(std::make_shared<const dataplane::PortList>(dataplane::PortList{&lan_, &wan_, &spare_}));
        worker_.link().commands.push(settings_);
        worker_.link().worker_wake.signal();
    }
    ~Judge() { worker_.stop(); }

    struct Outcome {
        Duration error{};       // from the peer's last packet to the first on the backup, less the detection time
        std::size_t after = 0;  // packets to the dead next hop after that
        std::size_t lost_flips = 0;
    };

    Outcome trial(Duration alive)
    {
        up_ = false;
        const auto up = control_frame(settings_, bfd::BfdState::Up),
                   init = control_frame(settings_, bfd::BfdState::Init);
        const auto began = io::monotonic_now();
        const Duration period = std::chrono::microseconds{interval_};
        auto next = began, last = began, next_probe = began;
        while (!(up_ && io::monotonic_now() - began > alive)) {
            const auto now = io::monotonic_now();
            CULVERT_CHECK(now - began < 20s);
            if (now >= next) {
                if (wan_.put(up_ ? up : init)) last = io::monotonic_now();
                next = now + period * 7 / 8;
            }
            probe(now, next_probe);
            events();
            wan_.take(kProbe);
            spare_.take(kProbe);
        }
        Outcome out;
        for (;;) {
            const auto now = io::monotonic_now();
            CULVERT_CHECK(now - last < 20s);
            probe(now, next_probe);
            wan_.take(kProbe);
            if (spare_.take(kProbe) != 0) {
                out.error = io::monotonic_now() - last - 3 * period;
                break;
            }
        }
        const auto flipped = io::monotonic_now();
        while (io::monotonic_now() - flipped < 5ms) {
            probe(io::monotonic_now(), next_probe);
            out.after += wan_.take(kProbe);
            spare_.take(kProbe);
        }
        while (!down_) events();
        apply(api::ClearDown{api::DownKind::Session, index(settings_.id), down_->epoch});
        down_.reset();
        return out;
    }

private:
    void apply(const api::FibUpdate& update)
    {
        writer_.apply(update);
        CULVERT_CHECK(writer_.refused() == 0);
    }
    static api::SetNexthop adjacency(std::uint32_t id, InterfaceId interface, BfdSessionId session)
    {
        return {.id = NexthopId{id},
                .kind = api::NexthopKind::Adjacency,
                .resolved = true,
                .interface = interface,
                .gateway = Ipv4Address{0xc0000202},
                .mac = kPeerMac,
                .session = session};
    }
    void group(std::uint32_t id, std::uint32_t nexthop, GroupId backup)
    {
        apply(api::SetGroup{.id = GroupId{id}, .member_count = 1, .backup = backup});
        apply(api::SetGroupMember{.group = GroupId{id}, .position = 0, .weight = 1, .nexthop = NexthopId{nexthop}});
    }
    void probe(TimePoint now, TimePoint& next)
    {
        static const auto data = frame(
            kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("198.51.100.1"), .to_port = kProbe}));
        if (now < next) return;
        lan_.put(data);
        next = now + 20us;
    }
    void events()
    {
        worker_.link().events.consume_all([&](const api::WorkerEvent& e) {
            if (const auto* c = std::get_if<api::BfdChanged>(&e)) up_ = c->state == api::BfdState::Up;
            if (const auto* d = std::get_if<api::WentDown>(&e)) down_ = *d;
        });
    }

    std::uint32_t interval_;
    api::SetBfdSession settings_{};
    fib::Rcu rcu_;
    fib::Tables tables_{rcu_};
    api::FibChannel channel_;
    fib::FibWriter writer_{channel_, tables_, rcu_};
    std::vector<api::PeerActivity> peers_{2};
    std::vector<api::BfdActivity> activity_{4};
    node::OwnerHints hints_;
    MemoryPort lan_{kLan, kLanMac}, wan_{kWan, kWanMac}, spare_{kSpare, kSpareMac};
    dataplane::Worker worker_{{}, "bench-w", rcu_, tables_, pool().get(), peers_, activity_, hints_};
    io::HostLink host_link_{pool().get(), {&worker_.link().worker_wake}};
    std::vector<dataplane::Worker*> all_{&worker_};
    bool up_ = false;
    std::optional<api::WentDown> down_;
};

void judgement(std::uint32_t interval, double limit_us, bool quick)
{
    Judge judge(interval);
    std::vector<double> errors;
    std::size_t after = 0;
    for (int i = 0; i < (quick ? 3 : 60); ++i) {
        // At any phase of the interval.
        const auto o =
            judge.trial(std::chrono::microseconds{interval} * 4 + std::chrono::microseconds{i * 977 % interval});
        errors.push_back(std::chrono::duration<double, std::micro>(o.error).count());
        after += o.after;
    }
    std::sort(errors.begin(), errors.end());
    constexpr std::array kEdges{-50.0, 0.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0};
    std::string histogram;
    std::size_t at = 0;
    for (const auto edge : kEdges) {
        std::size_t n = 0;
        for (; at < errors.size() && errors[at] <= edge; ++at) ++n;
        histogram += "\"<=" + std::to_string(static_cast<int>(edge)) + "\":" + std::to_string(n) + ",";
    }
    histogram += "\"more\":" + std::to_string(errors.size() - at);
    const auto p = [&](double q) {
        return errors[static_cast<std::size_t>(q * static_cast<double>(errors.size() - 1))];
    };
    std::printf(
        "{\"case\":\"bfd judgement %.0f ms x 3\",\"ours\":%.1f,\"other\":%.1f,\"ratio\":%.3f,\"unit\":\"us late, "
        "median\",\"goal\":\"<= %.0f us\",\"least\":%.1f,\"p90\":%.1f,\"most\":%.1f,\"to_dead_after_flip\":%zu,"
        "\"runs\":%zu,\"histogram_us\":{%s}}\n",
        interval / 1000.0, p(0.5), limit_us, p(0.5) / limit_us, limit_us, errors.front(), p(0.9), errors.back(), after,
        errors.size(), histogram.c_str());
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    pool();
    engine_alone(1000, 50'000, 5, options.quick);
    engine_alone(8000, 3'300, 100, options.quick);
    whole_way(1000, 50'000, 5, options.quick);
    whole_way(8000, 50'000, 100, options.quick);
    whole_way(8000, 10'000, 100, options.quick);
    whole_way(8000, 3'300, 100, options.quick);
    judgement(50'000, 1000, options.quick);
    judgement(10'000, 200, options.quick);
    return 0;
}
