#include "tests/bench/lookup_bench.h"

#include "tests/bench/rounds.h"
#include "tests/support/full_table.h"

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace culvert::bench {
namespace {

using support::Random;

std::uint64_t head_mask(int bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

// An address with `host` below the prefix, both left-aligned in 64 bits.
IpAddress address_in(const IpPrefix& p, std::uint64_t host)
{
    const auto spare = ~head_mask(std::min<int>(p.length, 64));
    if (p.family() == Family::Ipv4) {
        const auto v = std::uint64_t{p.address.v4().value} << 32 | (host & spare);
        return Ipv4Address{static_cast<std::uint32_t>(v >> 32)};
    }
    return Ipv6Address::from_words(p.address.v6().high() | (host & spare), mix(host));
}

}  // namespace

Options parse_options(int argc, char** argv)
{
    Options o;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0) {
            o.quick = true;
        } else if (std::strcmp(argv[i], "--table") == 0 && i + 1 < argc) {
            o.table = argv[++i];
        } else {
            std::fprintf(stderr, "usage: %s [--quick] [--table FILE]\n", argv[0]);
            std::exit(2);
        }
    }
    return o;
}

std::vector<IpPrefix> load_table(const Options& options, Family family)
{
    if (options.table.empty()) return support::synthetic_prefixes(family, support::full_size(family).prefixes);
    auto table = support::read_table(options.table, family, SIZE_MAX);
    if (!table) std::exit(2);
    std::ranges::sort(table->prefixes);
    return std::move(table->prefixes);
}

const char* name(KeyMix mix)
{
    switch (mix) {
        case KeyMix::Random: return "random";
        case KeyMix::Routed: return "routed";
        case KeyMix::Zipf: return "zipf";
    }
    return "?";
}

std::vector<IpAddress> make_keys(KeyMix mix, std::span<const IpPrefix> table, std::size_t count)
{
    Random random(17);
    const bool v4 = table.front().family() == Family::Ipv4;
    // Which prefix has which rank must not follow the order of addresses.
    std::vector<std::uint32_t> by_rank(table.size());
    for (std::size_t i = 0; i < by_rank.size(); ++i) by_rank[i] = static_cast<std::uint32_t>(i);
    for (std::size_t i = by_rank.size(); i-- > 1;) std::swap(by_rank[i], by_rank[random.below(i + 1)]);

    const auto ranks = std::log(static_cast<double>(table.size()));
    std::vector<IpAddress> keys(count);
    for (auto& key : keys) {
        switch (mix) {
            case KeyMix::Random:
                if (v4) {
                    const auto top = 1 + random.below(222);
                    key = Ipv4Address{static_cast<std::uint32_t>(top << 24 | (random.next() & 0xffffff))};
                } else {
                    key = Ipv6Address::from_words(std::uint64_t{1} << 61 | random.next() >> 3, random.next());
                }
                break;
            case KeyMix::Routed: key = address_in(table[random.below(table.size())], random.next()); break;
            case KeyMix::Zipf: {
                // Inverse of the distribution 1/rank, which is log-uniform.
                const auto rank = static_cast<std::size_t>(std::exp(random.unit() * ranks)) - 1;
                key = address_in(table[by_rank[std::min(rank, table.size() - 1)]], random.next());
                break;
            }
        }
    }
    return keys;
}

namespace {

std::uint64_t read_clock(clockid_t clock)
{
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace

std::uint64_t now() { return read_clock(CLOCK_MONOTONIC); }
std::uint64_t thread_time() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

std::uint64_t steal()
{
    std::ifstream in("/proc/stat");
    std::string cpu;
    std::uint64_t field = 0;
    in >> cpu;
    for (int i = 0; i < 8; ++i) in >> field;  // user nice system idle iowait irq softirq steal
    return field;
}

void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

Rate compare(const Lookups& ours, const Lookups& other, std::size_t keys, bool quick)
{
    constexpr std::size_t kWindow = 1 << 16;
    const std::size_t wanted = quick ? 3 : 9;
    const std::size_t turns = quick ? 4 : 8;
    std::vector<double> a, b, ratio;
    std::size_t next = 0;
    for (std::size_t tries = 0; ratio.size() < wanted; ++tries) {
        const auto stolen = steal();
        std::vector<double> times[2];
        for (std::size_t turn = 0; turn < turns; ++turn) {
            for (const int which : {0, 1, 1, 0}) {
                // Always on to other keys: whoever got the same ones again would find all its lines in the cache.
                const auto first = next;
                next = next + 2 * kWindow <= keys ? next + kWindow : 0;
                const auto start = now();
                (which == 0 ? ours : other)(first, kWindow);
                times[which].push_back(static_cast<double>(now() - start));
            }
        }
        if (steal() != stolen && tries < 5 * wanted) continue;
        for (auto& t : times) std::sort(t.begin(), t.end());
        const auto decile = times[0].size() / 10;
        a.push_back(kWindow * 1e3 / times[0][decile]);
        b.push_back(kWindow * 1e3 / times[1][decile]);
        ratio.push_back(a.back() / b.back());
    }
    const auto [low, high] = std::minmax_element(ratio.begin(), ratio.end());
    return {median(a), median(b), median(ratio), *low, *high};
}

void report(const std::string& name, const Rate& r, const char* unit, const char* goal)
{
    std::printf(
        "{\"case\":\"%s\",\"ours\":%.2f,\"other\":%.2f,\"ratio\":%.3f,\"low\":%.3f,\"high\":%.3f,"
        "\"unit\":\"%s\",\"goal\":\"%s\"}\n",
        name.c_str(), r.ours, r.other, r.ratio, r.low, r.high, unit, goal);
    std::fflush(stdout);
}

void report(const std::string& name, double ours, double other, double ratio, const char* unit, const char* goal)
{
    std::printf("{\"case\":\"%s\",\"ours\":%.3f,\"other\":%.3f,\"ratio\":%.3f,\"unit\":\"%s\",\"goal\":\"%s\"}\n",
                name.c_str(), ours, other, ratio, unit, goal);
    std::fflush(stdout);
}

void start_eal(unsigned megabytes)
{
    // Would EAL find its huge pages? It cannot be started twice, so ask the kernel first.
    const auto octets = std::size_t{megabytes} << 20;
    void* huge = mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    const bool has_huge = huge != MAP_FAILED;
    if (has_huge) munmap(huge, octets);

    std::vector<std::string> words = {"bench",    "--no-pci", "--log-level=3", "-m", std::to_string(megabytes),
                                      "--lcores", "0@1"};
    if (has_huge)
        words.emplace_back("--in-memory");
    else
        words.insert(words.end(), {"--no-huge", "--no-shconf"});
    std::vector<char*> args;
    for (auto& w : words) args.push_back(w.data());
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) {
        std::fprintf(stderr, "EAL does not start\n");
        std::exit(1);
    }
    if (!has_huge) {
        rte_memseg_contig_walk(
            [](const rte_memseg_list*, const rte_memseg* segment, std::size_t length, void*) {
                madvise(segment->addr, length, MADV_HUGEPAGE);
                return 0;
            },
            nullptr);
    }
}

std::size_t eal_heap_used()
{
    rte_malloc_socket_stats stats{};
    std::size_t sum = 0;
    for (int socket = 0; socket < RTE_MAX_NUMA_NODES; ++socket)
        if (rte_malloc_get_socket_stats(socket, &stats) == 0) sum += stats.heap_allocsz_bytes;
    return sum;
}

}  // namespace culvert::bench
