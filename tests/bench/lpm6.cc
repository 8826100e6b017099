// IPv6 longest prefix match against DPDK's rte_fib6 (trie) and rte_lpm6: performance.md, goal 2.

#include "dataplane/fib/lpm6.h"

#include "tests/bench/lookup_bench.h"

#include <rte_fib6.h>
#include <rte_lpm6.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace culvert;
using namespace culvert::bench;

namespace {

constexpr std::size_t kBurst = 32;
constexpr std::uint32_t kGroups = 64;
using Octets = std::uint8_t[16];

std::uint32_t group_of(std::size_t i) { return 1 + static_cast<std::uint32_t>(mix(i) % kGroups); }

// A table of DPDK's, with the fewest tbl8 groups (a power of two) that hold all prefixes.
struct Fib6 {
    rte_fib6* fib = nullptr;
    std::size_t octets = 0;

    bool create(std::span<const IpPrefix> prefixes, std::uint32_t tbl8)
    {
        const auto before = eal_heap_used();
        rte_fib6_conf conf{};
        conf.type = RTE_FIB6_TRIE;
        conf.max_routes = static_cast<int>(prefixes.size() + 1);
        conf.trie.nh_sz = RTE_FIB6_TRIE_4B;
        conf.trie.num_tbl8 = tbl8;
        fib = rte_fib6_create("fib6", -1, &conf);
        if (!fib) return false;
        for (std::size_t i = 0; i < prefixes.size(); ++i) {
            if (rte_fib6_add(fib, prefixes[i].address.v6().octets.data(), prefixes[i].length, group_of(i)) != 0) {
                rte_fib6_free(fib);
                return false;
            }
        }
        // The lookup tables alone, not the library's list of routes.
        octets = (std::size_t{1} << 24) * 4 + std::size_t{tbl8} * 256 * 4;
        std::fprintf(stderr, "rte_fib6: %u tbl8 groups, %zu MiB of heap in all\n", tbl8,
                     (eal_heap_used() - before) >> 20);
        return true;
    }
};
struct LpmOther {
    rte_lpm6* lpm = nullptr;
    std::size_t octets = 0;

    bool create(std::span<const IpPrefix> prefixes, std::uint32_t tbl8)
    {
        rte_lpm6_config conf{};
        conf.max_rules = static_cast<std::uint32_t>(prefixes.size() + 1);
        conf.number_tbl8s = tbl8;
        lpm = rte_lpm6_create("lpm6", -1, &conf);
        if (!lpm) return false;
        for (std::size_t i = 0; i < prefixes.size(); ++i) {
            Octets octets;
            std::memcpy(octets, prefixes[i].address.v6().octets.data(), 16);
            if (rte_lpm6_add(lpm, octets, prefixes[i].length, group_of(i)) != 0) {
                rte_lpm6_free(lpm);
                return false;
            }
        }
        this->octets = (std::size_t{1} << 24) * 4 + std::size_t{tbl8} * 256 * 4;
        return true;
    }
};

template <class Other>
Other make_other(std::span<const IpPrefix> prefixes)
{
    Other other;
    for (std::uint32_t tbl8 = 1 << 16; tbl8 <= 1 << 20; tbl8 *= 2)
        if (other.create(prefixes, tbl8)) return other;
    std::fprintf(stderr, "DPDK's table does not take all prefixes\n");
    std::exit(1);
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = parse_options(argc, argv);
    start_eal(2560);
    pin(1);
    const auto prefixes = load_table(options, Family::Ipv6);
    const auto count = static_cast<double>(prefixes.size());

    fib::Rcu rcu;
    fib::Reclaimer reclaimer(rcu);
    fib::TriePool pool("lpm6", "lpm6-rib", reclaimer);
    fib::Lpm6 lpm(pool);
    const auto start = thread_time();
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        lpm.set(prefixes[i], group_of(i));
        if (i % 256 == 0) {
            reclaimer.seal();
            reclaimer.collect();
        }
    }
    reclaimer.seal();
    reclaimer.collect();
    report("lpm6/load", count * 1e3 / static_cast<double>(thread_time() - start), 0, 0, "M prefixes/s", "");

    const auto fib6 = make_other<Fib6>(prefixes);
    const auto lpm6 = make_other<LpmOther>(prefixes);
    const auto used = static_cast<double>(pool.blocks.used());
    const auto memory = [&](const char* name, std::size_t octets) {
        report(name, used / count, static_cast<double>(octets) / count, used / static_cast<double>(octets),
               "octets a prefix", "<=0.033");
    };
    memory("lpm6/memory/rte_fib6", fib6.octets);
    memory("lpm6/memory/rte_lpm6", lpm6.octets);
    report("lpm6/memory/writer", static_cast<double>(pool.rib.used()) / count, 0, 0, "octets a prefix", "");

    for (const auto kind : {KeyMix::Random, KeyMix::Routed, KeyMix::Zipf}) {
        const auto addresses = make_keys(kind, prefixes, 1 << 21);
        std::vector<Ipv6Address> keys;
        for (const auto& a : addresses) keys.push_back(a.v6());
        const auto octets = [&](std::size_t i) { return reinterpret_cast<Octets*>(keys[i].octets.data()); };

        for (std::size_t i = 0; i < keys.size(); i += kBurst) {
            std::array<fib::Leaf, kBurst> leaf;
            std::array<std::uint64_t, kBurst> hop;
            std::array<std::int32_t, kBurst> hop32;
            lpm.lookup(std::span<const Ipv6Address>{keys}.subspan(i, kBurst), leaf);
            rte_fib6_lookup_bulk(fib6.fib, octets(i), hop.data(), kBurst);
            rte_lpm6_lookup_bulk_func(lpm6.lpm, octets(i), hop32.data(), kBurst);
            for (std::size_t j = 0; j < kBurst; ++j) {
                const auto third = hop32[j] < 0 ? 0 : static_cast<std::uint32_t>(hop32[j]);
                if (leaf[j].value != hop[j] || leaf[j].value != third) {
                    std::fprintf(stderr, "different answers for %s\n", addresses[i + j].to_string().c_str());
                    return 1;
                }
            }
        }
        const Lookups ours = [&](std::size_t first, std::size_t n) {
            std::array<fib::Leaf, kBurst> leaf;
            for (std::size_t i = first; i < first + n; i += kBurst) {
                lpm.lookup(std::span<const Ipv6Address>{keys}.subspan(i, kBurst), leaf);
                asm volatile("" ::"r"(leaf.data()) : "memory");
            }
        };
        const Lookups theirs = [&](std::size_t first, std::size_t n) {
            std::array<std::uint64_t, kBurst> hop;
            for (std::size_t i = first; i < first + n; i += kBurst) {
                rte_fib6_lookup_bulk(fib6.fib, octets(i), hop.data(), kBurst);
                asm volatile("" ::"r"(hop.data()) : "memory");
            }
        };
        const Lookups theirs_too = [&](std::size_t first, std::size_t n) {
            std::array<std::int32_t, kBurst> hop;
            for (std::size_t i = first; i < first + n; i += kBurst) {
                rte_lpm6_lookup_bulk_func(lpm6.lpm, octets(i), hop.data(), kBurst);
                asm volatile("" ::"r"(hop.data()) : "memory");
            }
        };
        const std::string mix_name = name(kind);
        report("lpm6/" + mix_name + "/rte_fib6", compare(ours, theirs, keys.size(), options.quick), "M lookups/s",
               "1.0");
        report("lpm6/" + mix_name + "/rte_lpm6", compare(ours, theirs_too, keys.size(), options.quick), "M lookups/s",
               "1.0");
    }
    return 0;
}
