#include "controlplane/rib/rib.h"

#include "controlplane/bgp/encode.h"
#include "tests/bench/rounds.h"
#include "tests/support/full_table.h"

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

// The RIB with a table of the Internet's size, made up but of its shape: 1.04 million prefixes, 95,000 attribute sets.
// Messages are real ones, decoded and encoded; there are no sockets.

using namespace culvert;

// Time on the processor: one thread that never waits, on a machine that others use too.
struct Clock {
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<Clock, duration>;
    using rep = duration::rep;
    using period = duration::period;
    static time_point now()
    {
        timespec t{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
    }
};

namespace {

double ms_since(Clock::time_point start)
{
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::size_t resident()
{
    malloc_trim(0);
    std::ifstream in("/proc/self/statm");
    std::size_t total = 0, pages = 0;
    in >> total >> pages;
    return pages * 4096;
}

using support::FullTable;

constexpr TimePoint kT0{std::chrono::hours{1}};
constexpr Asn kUs{65000};

bgp::Negotiated negotiated(std::uint32_t remote)
{
    bgp::Negotiated n;
    n.four_octet_as = true;
    n.external = true;
    n.local_as = kUs;
    n.remote_as = Asn{remote};
    return n;
}

using Stream = std::vector<std::uint8_t>;

// The whole table as an eBGP neighbour would send it.
Stream feed(const FullTable& t, std::uint32_t asn, Ipv4Address address)
{
    Stream out;
    bgp::UpdateBuilder builder(negotiated(asn), out);
    std::array<bgp::EncodedAttributes, 2> encoded;
    for (std::size_t i = 0; i < t.prefixes.size(); ++i) {
        if (i == 0 || t.set_of[i] != t.set_of[i - 1]) {
            auto a = t.sets[t.set_of[i]];
            a.as_path.prepend(Asn{asn});
            a.next_hop = address;
            std::swap(encoded[0], encoded[1]);
            encoded[0] = bgp::encode_attributes(a, negotiated(asn));
            if (!builder.announce(Family::Ipv4, encoded[0])) std::abort();
        }
        builder.add(t.prefixes[i]);
    }
    builder.flush();
    return out;
}

Stream withdrawal(const FullTable& t, std::uint32_t asn)
{
    Stream out;
    bgp::UpdateBuilder builder(negotiated(asn), out);
    builder.withdraw(Family::Ipv4);
    for (const auto& p : t.prefixes) builder.add(p);
    builder.flush();
    return out;
}

struct Sink final : rib::RouteSink {
    std::size_t installed = 0, withdrawn = 0;
    void on_route(const rib::RouteChange& change) override { ++(change.paths.empty() ? withdrawn : installed); }
};

struct Nexthops final : rib::NexthopSink {
    std::vector<IpAddress> tracked;
    void track(const IpAddress& a) override { tracked.push_back(a); }
    void untrack(const IpAddress&) override {}
};

struct Router {
    rib::Rib rib;
    rib::PeerHandle feed_a, feed_b, collector;
    Sink sink;
    Stream out;
    std::vector<std::uint8_t> scratch;
    std::size_t sent_octets = 0;

    static rib::RibConfig config()
    {
        rib::RibConfig c;
        c.asn = kUs;
        c.router_id = {0x0a000001};
        c.ebgp_requires_policy = false;
        c.backup_paths = true;  // as in culvertd
        return c;
    }

    Router() : rib(config())
    {
        feed_a = add(65001, {0x0a000002});
        feed_b = add(65002, {0x0a000003});
        collector = add(65003, {0x0a000004});
        up(feed_a, 65001, {0x0a000002});
        up(collector, 65003, {0x0a000004});
    }

    rib::PeerHandle add(std::uint32_t, Ipv4Address address)
    {
        rib::PeerConfig c;
        c.address = address;
        return rib.add_peer(c);
    }
    void up(rib::PeerHandle peer, std::uint32_t asn, Ipv4Address address)
    {
        rib::PeerContext c;
        c.negotiated = negotiated(asn);
        c.remote_address = address;
        c.router_id = address;
        c.local_address[0] = Ipv4Address{0x0a000001};
        rib.on_peer_up(peer, c, kT0);
    }

    void settle()
    {
        Nexthops nexthops;
        do {
            nexthops.tracked.clear();
            rib.drain_nexthops(nexthops);
            for (const auto& a : nexthops.tracked) rib.on_nexthop(a, {true, true, 0});
            while (rib.run()) {}
        } while (!nexthops.tracked.empty());
    }

    void output()
    {
        while (rib.drain_routes(sink) > 0) {}
        for (const auto peer : {feed_a, feed_b, collector}) {
            while (rib.pending(peer)) {
                out.clear();
                rib.fill(peer, out, 65536, kT0);
                sent_octets += out.size();
            }
        }
    }

    // As a session would: message by message, with the routes and the socket served in between.
    void receive(rib::PeerHandle peer, const Stream& stream, std::uint32_t asn)
    {
        const auto n = negotiated(asn);
        std::size_t since = 0;
        bool settled = false;
        for (std::size_t at = 0; at < stream.size();) {
            const auto length = static_cast<std::size_t>(stream[at + 16]) << 8 | stream[at + 17];
            const auto view = bgp::decode_update(Bytes{stream}.subspan(at + 19, length - 19), n, scratch);
            if (!view) std::abort();
            rib.on_update(peer, *view, kT0);
            at += length;
            since += length;
            if (since >= 65536) {
                if (!std::exchange(settled, true)) settle();
                output();
                since = 0;
            }
        }
        settle();
        output();
    }
};

void print(const char* name, double ours, const char* unit, double goal)
{
    std::printf("{\"case\":\"%s\",\"ours\":%.4g,\"other\":null,\"ratio\":null,\"unit\":\"%s\",\"goal\":%.4g}\n", name,
                ours, unit, goal);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv)
{
    const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
    const std::size_t count = quick ? 104'000 : 1'040'000;
    const double share = quick ? 0.1 : 1.0;
    const int rounds = quick ? 3 : 7;
    const auto table = support::synthetic_table(Family::Ipv4, {count, quick ? 9'500U : 95'000U});
    const auto a = feed(table, 65001, {0x0a000002});
    // The second feed's paths are one hop longer, so that the first one's are the best.
    auto longer = table;
    for (auto& s : longer.sets) s.as_path.prepend(Asn{64999});
    const auto b = feed(longer, 65002, {0x0a000003});
    longer = {};
    const auto gone = withdrawal(table, 65001);

    std::vector<double> load, withdraw, second, first_change, dies, churn, in_only;
    double one_feed = 0, further = 0, left = 0, accounted = 0;
    for (int round = 0; round < rounds; ++round) {
        const auto before = resident();
        {
            Router r;
            auto start = Clock::now();
            r.receive(r.feed_a, a, 65001);
            load.push_back(ms_since(start));
            if (r.rib.counts(r.collector, Family::Ipv4).sent != count || r.sink.installed != count) {
                std::fprintf(stderr, "sent %u, installed %zu of %zu\n", r.rib.counts(r.collector, Family::Ipv4).sent,
                             r.sink.installed, count);
                return 1;
            }
            const auto with_one = resident();
            if (round == 0) one_feed = static_cast<double>(with_one - before);
            if (round == 0) accounted = static_cast<double>(r.rib.memory().octets);

            r.up(r.feed_b, 65002, {0x0a000003});
            start = Clock::now();
            r.receive(r.feed_b, b, 65002);
            second.push_back(ms_since(start));
            if (round == 0)
                further =
                    (static_cast<double>(resident()) - static_cast<double>(with_one)) / static_cast<double>(count);

            // The best of two feeds dies.
            r.rib.take_events();
            start = Clock::now();
            r.rib.on_peer_down(r.feed_a);
            double first = 0;
            for (bool more = true; more;) {
                more = r.rib.run();
                r.output();
                if (first == 0) first = ms_since(start);
            }
            dies.push_back(ms_since(start));
            first_change.push_back(first);

            // One-prefix changes: announced with another set, one UPDATE each, all the way out.
            Stream single;
            support::Random random{7};
            const auto n = negotiated(65002);
            const int changes = quick ? 20'000 : 200'000;
            for (int i = 0; i < changes; ++i) {
                const auto p = random.below(count);
                auto attributes = table.sets[random.below(table.sets.size())];
                attributes.as_path.prepend(Asn{65002});
                attributes.next_hop = Ipv4Address{0x0a000003};
                const auto encoded = bgp::encode_attributes(attributes, n);
                bgp::UpdateBuilder builder(n, single);
                if (builder.announce(Family::Ipv4, encoded)) builder.add(table.prefixes[p]);
                builder.flush();
            }
            start = Clock::now();
            std::size_t pending = 0;
            for (std::size_t at = 0; at < single.size();) {
                const auto length = static_cast<std::size_t>(single[at + 16]) << 8 | single[at + 17];
                const auto view = bgp::decode_update(Bytes{single}.subspan(at + 19, length - 19), n, r.scratch);
                r.rib.on_update(r.feed_b, *view, kT0);
                at += length;
                if (++pending == 32) {  // what one read of a socket brings
                    r.output();
                    pending = 0;
                }
            }
            r.output();
            churn.push_back(changes / (ms_since(start) / 1000));

            start = Clock::now();
            r.receive(r.feed_b, gone, 65002);
            withdraw.push_back(ms_since(start));
            if (r.rib.prefix_count(Family::Ipv4) != 0 || r.rib.counts(r.collector, Family::Ipv4).sent != 0) {
                std::fprintf(stderr, "%zu prefixes are left\n", r.rib.prefix_count(Family::Ipv4));
                return 1;
            }
            if (round == 0) left = (static_cast<double>(resident()) - static_cast<double>(before)) / 1048576;
        }
        {
            // Without output, to see what comes in by itself.
            Router r;
            r.rib.on_peer_down(r.collector);
            const auto start = Clock::now();
            const auto n = negotiated(65001);
            for (std::size_t at = 0; at < a.size();) {
                const auto length = static_cast<std::size_t>(a[at + 16]) << 8 | a[at + 17];
                const auto view = bgp::decode_update(Bytes{a}.subspan(at + 19, length - 19), n, r.scratch);
                r.rib.on_update(r.feed_a, *view, kT0);
                at += length;
            }
            in_only.push_back(ms_since(start));
        }
    }
    print("rib: full table in, decided, out to one peer", bench::median(load), "ms", 500 * share);
    print("rib: of that, decode and Adj-RIB-In", bench::median(in_only), "ms", 250 * share);
    print("rib: second feed, no best path changes", bench::median(second), "ms", 500 * share);
    print("rib: best of two feeds dies, first change", bench::median(first_change), "ms", 20);
    print("rib: best of two feeds dies, all", bench::median(dies), "ms", 1400 * share);
    print("rib: withdraw all", bench::median(withdraw), "ms", 500 * share);
    print("rib: one-prefix changes, in and out", bench::median(churn) / 1000, "k/s", 200);
    print("rib: memory, one full feed", one_feed / 1048576, "MiB", 128 * share);
    print("rib: memory, as accounted for", accounted / 1048576, "MiB", 128 * share);
    print("rib: memory, a further path", further, "B", 60);
    print("rib: memory left after a withdraw", left, "MiB", 16);
    return 0;
}
