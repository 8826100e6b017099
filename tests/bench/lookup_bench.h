#pragma once

#include "base/ip.h"
#include "dataplane/fib/trie.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace culvert::bench {

struct Options {
    bool quick = false;
    std::string table;  // a file with lines "prefix|..."; empty: a synthetic table
};
// Understands --quick and --table PATH; ends the program on anything else.
Options parse_options(int argc, char** argv);

// Sorted.
std::vector<IpPrefix> load_table(const Options& options, Family family);

enum class KeyMix { Random, Routed, Zipf };
const char* name(KeyMix mix);
// Random: over all unicast space. Routed: a prefix drawn evenly, an address in it. Zipf: the same with s = 1.
std::vector<IpAddress> make_keys(KeyMix mix, std::span<const IpPrefix> table, std::size_t count);

std::uint64_t now();  // nanoseconds
// Nanoseconds that the calling thread was running: on cores that others use too, the time that counts.
std::uint64_t thread_time();
// Time that the hypervisor gave to others so far, clock ticks of all CPUs.
std::uint64_t steal();
void pin(int cpu);

struct Rate {
    double ours;  // million a second, medians over the rounds
    double other;
    double ratio;  // median of the rounds' ratios
    double low, high;
};
// Runs both in turn, A B B A, in slices of some 2^16 keys, each slice on to other keys, and takes each one's best
// decile; rounds in which time was stolen count only when there is no end of them. The functions look up keys [first,
// first + count).
using Lookups = std::function<void(std::size_t first, std::size_t count)>;
Rate compare(const Lookups& ours, const Lookups& other, std::size_t keys, bool quick);

// One JSON line on standard output. `goal` is what `ratio` (or `ours`, when there is no other) must reach.
void report(const std::string& name, const Rate& rate, const char* unit, const char* goal);
void report(const std::string& name, double ours, double other, double ratio, const char* unit, const char* goal);

// Starts DPDK's EAL without ports. Without huge pages its memory is advised to be huge before it is used, so that both
// sides' tables lie on pages of the same size. Octets its heap has handed out.
void start_eal(unsigned megabytes);
std::size_t eal_heap_used();

}  // namespace culvert::bench
