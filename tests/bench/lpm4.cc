// IPv4 longest prefix match against DPDK's rte_fib (DIR-24-8): performance.md, goals 1, 3 and 4.

#include "dataplane/fib/lpm4.h"

#include "tests/bench/lookup_bench.h"

#include <rte_fib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

using namespace culvert;
using namespace culvert::bench;

namespace {

constexpr std::size_t kBurst = 32;

// Neighbouring prefixes mostly have different next hops: the worse case for a table that joins equal neighbours.
std::uint32_t group_of(std::size_t i, std::uint32_t groups) { return 1 + static_cast<std::uint32_t>(mix(i) % groups); }

struct Table {
    fib::Rcu rcu;
    fib::Reclaimer reclaimer{rcu};
    fib::TriePool pool{"lpm4", "lpm4-rib", reclaimer};
    fib::Lpm4 lpm{pool};

    void settle()
    {
        reclaimer.seal();
        reclaimer.collect();
    }
    void load(std::span<const IpPrefix> prefixes, std::uint32_t groups)
    {
        for (std::size_t i = 0; i < prefixes.size(); ++i) {
            lpm.set(prefixes[i], group_of(i, groups));
            if (i % 256 == 0) settle();
        }
        settle();
    }
};

rte_fib* make_other(std::span<const IpPrefix> prefixes, std::uint32_t groups)
{
    rte_fib_conf conf{};
    conf.type = RTE_FIB_DIR24_8;
    conf.max_routes = static_cast<int>(prefixes.size() + 1);
    conf.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
    conf.dir24_8.num_tbl8 = 1 << 15;
    rte_fib* fib = rte_fib_create("other", -1, &conf);
    if (!fib) std::abort();
    for (std::size_t i = 0; i < prefixes.size(); ++i)
        if (rte_fib_add(fib, prefixes[i].address.v4().value, prefixes[i].length, group_of(i, groups)) != 0)
            std::abort();
    return fib;
}

void lookups(const Options& o, std::span<const IpPrefix> prefixes)
{
    constexpr std::uint32_t kGroups = 64;
    Table table;
    auto start = now();
    table.load(prefixes, kGroups);
    const auto load = static_cast<double>(prefixes.size()) * 1e3 / static_cast<double>(now() - start);
    start = now();
    rte_fib* other = make_other(prefixes, kGroups);
    const auto other_load = static_cast<double>(prefixes.size()) * 1e3 / static_cast<double>(now() - start);
    report("lpm4/load", load, other_load, load / other_load, "M prefixes/s", "");

    for (const auto kind : {KeyMix::Random, KeyMix::Routed, KeyMix::Zipf}) {
        const auto addresses = make_keys(kind, prefixes, 1 << 22);
        std::vector<std::uint32_t> keys;
        for (const auto& a : addresses) keys.push_back(a.v4().value);
        for (std::size_t i = 0; i < keys.size(); i += kBurst) {
            std::array<fib::Leaf, kBurst> leaf;
            std::array<std::uint64_t, kBurst> hop;
            table.lpm.lookup(std::span{keys}.subspan(i, kBurst), leaf);
            rte_fib_lookup_bulk(other, &keys[i], hop.data(), kBurst);
            for (std::size_t j = 0; j < kBurst; ++j)
                if (leaf[j].value != hop[j]) {
                    std::fprintf(stderr, "different answers for %s\n", addresses[i + j].to_string().c_str());
                    std::exit(1);
                }
        }
        const Lookups ours = [&](std::size_t first, std::size_t count) {
            std::array<fib::Leaf, kBurst> leaf;
            for (std::size_t i = first; i < first + count; i += kBurst) {
                table.lpm.lookup(std::span{keys}.subspan(i, kBurst), leaf);
                asm volatile("" ::"r"(leaf.data()) : "memory");
            }
        };
        const Lookups theirs = [&](std::size_t first, std::size_t count) {
            std::array<std::uint64_t, kBurst> hop;
            for (std::size_t i = first; i < first + count; i += kBurst) {
                rte_fib_lookup_bulk(other, &keys[i], hop.data(), kBurst);
                asm volatile("" ::"r"(hop.data()) : "memory");
            }
        };
        report(std::string{"lpm4/"} + name(kind), compare(ours, theirs, keys.size(), o.quick), "M lookups/s", "0.9");
    }
    rte_fib_free(other);
}

void memory(std::span<const IpPrefix> prefixes)
{
    const auto count = static_cast<double>(prefixes.size());
    for (const std::uint32_t groups : {1u, 64u, 255u, 1000u}) {
        Table table;
        table.load(prefixes, groups);
        const auto octets = static_cast<double>(table.pool.blocks.used());
        report("lpm4/memory/" + std::to_string(groups) + "-groups", octets / count, 64.0 * (1 << 20) / count,
               octets / (64.0 * (1 << 20)), "octets a prefix", groups <= 255 ? "<=4" : "");
        if (groups == 64)
            report("lpm4/memory/writer", static_cast<double>(table.pool.rib.used()) / count, 0, 0, "octets a prefix",
                   "");
    }
    Table table;
    table.load(prefixes, 64);
    std::vector<std::unique_ptr<fib::Lpm4>> small;
    for (std::size_t vrf = 0; vrf < 256; ++vrf) {
        small.push_back(std::make_unique<fib::Lpm4>(table.pool));
        for (std::size_t i = 0; i < 1000; ++i) {
            const auto at = mix(vrf * 1000 + i);
            small.back()->set(prefixes[at % prefixes.size()], 1 + static_cast<std::uint32_t>(i % 64));
        }
        table.settle();
    }
    report("lpm4/memory/256-vrfs-and-a-full-table", static_cast<double>(table.pool.blocks.used()) / (1 << 20), 0, 0,
           "MiB", "<=32");
}

// Edits on core 0 while core 1 looks up: edits a second of the writer's time, and what the reader keeps of its rate.
void updates(const Options& o, std::span<const IpPrefix> prefixes)
{
    constexpr std::uint32_t kGroups = 64;
    Table table;
    table.load(prefixes, kGroups);
    const auto addresses = make_keys(KeyMix::Routed, prefixes, 1 << 20);
    std::vector<std::uint32_t> keys;
    for (const auto& a : addresses) keys.push_back(a.v4().value);

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> looked_up{0}, reader_time{0};
    std::jthread reader([&] {
        pin(1);
        auto place = table.rcu.register_reader();
        place.online();
        std::array<fib::Leaf, kBurst> leaf;
        std::uint64_t count = 0;
        for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); i = (i + kBurst) % keys.size()) {
            table.lpm.lookup(std::span{keys}.subspan(i, kBurst), leaf);
            asm volatile("" ::"r"(leaf.data()) : "memory");
            place.quiescent();
            if (++count % 4096 == 0) {
                reader_time.store(thread_time(), std::memory_order_relaxed);
                looked_up.store(count * kBurst, std::memory_order_release);
            }
        }
    });
    pin(0);

    const std::uint64_t slice = o.quick ? 50'000'000 : 200'000'000;
    const auto reader_rate = [&](const std::function<void()>& meanwhile) {
        const auto before = looked_up.load();
        const auto start = reader_time.load();
        meanwhile();
        const auto after = looked_up.load();
        return static_cast<double>(after - before) * 1e3 / static_cast<double>(reader_time.load() - start);
    };
    const auto idle = [&] {
        for (const auto end = now() + slice; now() < end;) {}
    };
    std::uint64_t serial = 0;
    const auto edit = [&](bool replace) {
        std::uint64_t edits = 0;
        const auto start = thread_time();
        while (thread_time() - start < slice) {
            for (int i = 0; i < 256; ++i) {
                const auto& p = prefixes[mix(++serial) % prefixes.size()];
                if (!replace) {
                    table.lpm.erase(p);
                    ++edits;
                }
                table.lpm.set(p, 1 + static_cast<std::uint32_t>(serial % kGroups));
                ++edits;
            }
            table.settle();
        }
        return static_cast<double>(edits) * 1e3 / static_cast<double>(thread_time() - start);
    };

    for (const bool replace : {true, false}) {
        std::vector<double> rate, kept;
        for (int round = 0; round < (o.quick ? 3 : 7); ++round) {
            const auto free_rate = reader_rate(idle);
            double edits = 0;
            const auto busy_rate = reader_rate([&] { edits = edit(replace); });
            rate.push_back(edits);
            kept.push_back(busy_rate / free_rate);
        }
        std::sort(rate.begin(), rate.end());
        std::sort(kept.begin(), kept.end());
        const std::string name = replace ? "replace" : "delete-and-add";
        report("lpm4/updates/" + name, rate[rate.size() / 2], 0, 0, "M updates/s", ">=0.5");
        report("lpm4/updates/" + name + "/reader", kept[kept.size() / 2], 1, kept[kept.size() / 2], "of its rate",
               ">=0.9");
    }
    stop = true;
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = parse_options(argc, argv);
    start_eal(512);
    pin(1);
    const auto prefixes = load_table(options, Family::Ipv4);
    lookups(options, prefixes);
    memory(prefixes);
    updates(options, prefixes);
    return 0;
}
