// A dataplane that speaks BFD over one kernel netdev and does nothing else: for measurements without a control plane.
//
//   bfd-peer NETDEV LOCAL PEER PEER_MAC [name=value...]
//     tx, rx      microseconds           mult      sessions' multiplier
//     seconds     how long               ttl       minimum of received packets; less than 255: multihop
//     echo=US     sends echoes           demand=1  passive=1
//     key=TYPE:ID:SECRET                 as RFC 5880 numbers the types; several: the last one sends
//     workers     of the dataplane       realtime=0: its worker is like other threads
// Prints a line for each change, and figures at the end.
#include "dataplane/dataplane.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/guardian.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

using namespace culvert;

namespace {

constexpr InterfaceId kInterface{1};
constexpr NexthopId kWay{2};
constexpr BfdSessionId kSession{1};

double ms(Duration d) { return static_cast<double>(d.count()) / 1e6; }

void route(api::FibChannel& fib, std::uint32_t id, const IpPrefix& to, api::SetNexthop nexthop)
{
    nexthop.id = NexthopId{id};
    fib.push(nexthop);
    fib.push(api::SetGroup{.id = GroupId{id}, .member_count = 1});
    fib.push(api::SetGroupMember{.group = GroupId{id}, .position = 0, .weight = 1, .nexthop = nexthop.id});
    fib.push(api::SetRoute{kDefaultVrf, to, GroupId{id}});
}

MacAddress mac(const std::string& text)
{
    MacAddress m{};
    for (std::size_t i = 0; i < 6; ++i)
        m.octets[i] = static_cast<std::uint8_t>(std::strtoul(text.substr(3 * i, 2).c_str(), nullptr, 16));
    return m;
}

api::BfdKey key(const std::string& text)
{
    api::BfdKey k{};
    const auto a = text.find(':'), b = text.find(':', a + 1);
    const auto secret = text.substr(b + 1);
    k.type = api::BfdAuthentication{static_cast<std::uint8_t>(std::stoul(text.substr(0, a)))};
    k.id = static_cast<std::uint8_t>(std::stoul(text.substr(a + 1, b - a - 1)));
    k.length = static_cast<std::uint8_t>(std::min<std::size_t>(secret.size(), k.secret.size()));
    std::copy_n(secret.begin(), k.length, k.secret.begin());
    return k;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 5) return 2;
    const std::string device = argv[1];
    const auto local = IpAddress::parse(argv[2]), peer = IpAddress::parse(argv[3]);
    if (!local || !peer) return 2;
    auto guardian = io::Guardian::start();
    if (!guardian) return std::fprintf(stderr, "%s\n", guardian.error().c_str()), 1;

    api::SetBfdSession s{};
    s.id = kSession;
    s.discriminator = 0x4a5b6c7d;
    s.local = *local;
    s.peer = *peer;
    s.interface = kInterface;
    s.nexthop = kWay;
    s.desired_min_tx = s.required_min_rx = 50'000;
    std::size_t workers = 1;
    bool realtime = true;
    Duration last = 10s;
    for (int i = 5; i < argc; ++i) {
        const std::string word = argv[i];
        const auto name = word.substr(0, word.find('=')), value = word.substr(word.find('=') + 1);
        const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
        if (name == "tx") s.desired_min_tx = number;
        if (name == "rx") s.required_min_rx = number;
        if (name == "mult") s.multiplier = static_cast<std::uint8_t>(number);
        if (name == "seconds") last = std::chrono::seconds{number};
        if (name == "ttl") s.minimum_ttl = static_cast<std::uint8_t>(number);
        if (name == "echo") s.echo = true, s.desired_min_echo_tx = number;
        if (name == "demand") s.demand = true;
        if (name == "passive") s.passive = true;
        if (name == "workers") workers = number;
        if (name == "realtime") realtime = number != 0;
        if (name == "key") s.sending_key = s.key_count, s.keys[s.key_count++] = key(value);
    }
    s.multihop = s.minimum_ttl < 255;
    if (s.multihop) s.interface = kNoInterface, s.nexthop = kNoNexthop;

    auto made = dataplane::make_dataplane({.workers = workers,
                                           .realtime = realtime,
                                           .memory = io::MemoryMode::Anonymous,
                                           .memory_octets = std::size_t{48} << 20,
                                           .guardian = guardian->get()});
    if (!made) return std::fprintf(stderr, "%s\n", made.error().c_str()), 1;
    auto& plane = **made;
    auto port = plane.open_port({.kind = api::PortKind::Kernel, .device = device});
    if (!port) return std::fprintf(stderr, "%s\n", port.error().message.c_str()), 1;

    auto& fib = plane.fib();
    fib.push(api::SetVrf{kDefaultVrf});
    fib.push(api::SetInterface{.id = kInterface,
                               .vrf = kDefaultVrf,
                               .kind = api::InterfaceKind::Port,
                               .up = true,
                               .port = port->id,
                               .mac = port->mac,
                               .address4 = local->is_v4() ? local->v4() : Ipv4Address{},
                               .address6 = local->is_v6() ? local->v6() : Ipv6Address{}});
    route(fib, index(kWay), IpPrefix::host(*peer),
          {.id = {},
           .kind = api::NexthopKind::Adjacency,
           .resolved = true,
           .interface = kInterface,
           .gateway = *peer,
           .mac = mac(argv[4])});
    route(fib, 3, IpPrefix::host(*local), {.id = {}, .kind = api::NexthopKind::Local});
    // What is sent to it comes back: traffic for the worker.
    api::SetNexthop back{.id = {},
                         .kind = api::NexthopKind::Adjacency,
                         .resolved = true,
                         .interface = kInterface,
                         .gateway = *peer,
                         .mac = mac(argv[4])};
    route(fib, 4, *IpPrefix::parse("198.51.100.0/24"), back);
    fib.push(api::SetDownWord{kSession});
    const auto generation = fib.commit();
    while (fib.acked() < generation) {
        fib.flush();
        std::this_thread::sleep_for(1ms);
    }
    auto& link = plane.link(plane.bfd_owner(kNoPeer, kNoProtection));
    link.commands.push(s);
    link.worker_wake.signal();

    const auto begin = io::monotonic_now();
    const auto at = [&](TimePoint t) { return ms(t - begin); };
    while (io::monotonic_now() - begin < last) {
        link.events.consume_all([&](const api::WorkerEvent& event) {
            if (const auto* c = std::get_if<api::BfdChanged>(&event)) {
                static constexpr std::array kStates{"AdminDown", "Down", "Init", "Up"};
                fmt::print("{:10.3f} state {} diag {} remote {} tx {} detect {} echo {} last-packet {:.3f}\n",
                           at(c->at), kStates[static_cast<std::size_t>(c->state) & 3], static_cast<int>(c->diagnostic),
                           kStates[static_cast<std::size_t>(c->remote_state) & 3], c->transmit_interval,
                           c->detection_time, c->echo_transmit_interval, at(c->last_packet));
            }
            if (const auto* d = std::get_if<api::WentDown>(&event))
                fmt::print("{:10.3f} down: {:.3f} ms after the last sign of life\n", at(d->at), ms(d->at - d->since));
        });
        std::fflush(stdout);
        std::this_thread::sleep_for(1ms);
    }
    const auto& a = plane.activity(kSession);
    fmt::print(
        "sent {} received {} echoes {}/{} up {} down {} auth-dropped {} stalls {} longest-stall-ms {:.3f} "
        "transmit-gap-ms {:.3f} receive-gap-ms {:.3f} stamps {}\n",
        a.control_sent, a.control_received, a.echo_sent, a.echo_received, a.session_up, a.session_down,
        a.dropped_authentication, a.own_stalls, ms(Duration{a.longest_own_stall}), ms(Duration{a.largest_transmit_gap}),
        ms(Duration{a.largest_receive_gap}),
        api::to_string(static_cast<api::TimestampSource>(a.timestamp_source.load())));
    for (const auto& w : plane.runtime())
        fmt::print("worker packets {} busy-polls {} page-faults {} moves {} longest-poll-gap-ms {:.3f}\n", w.packets,
                   w.busy_polls, w.page_faults, w.moves, ms(w.longest_poll_gap));
    return 0;
}
