#include "tests/support/full_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <string_view>

namespace culvert::support {
namespace {

struct Share {
    int length;
    unsigned per_mille;
};
// Of the tables of 2026.
constexpr Share kLengths4[] = {{14, 1},  {15, 2},  {16, 15},  {17, 9},   {18, 15}, {19, 28},
                               {20, 47}, {21, 56}, {22, 121}, {23, 107}, {24, 599}};
constexpr Share kLengths6[] = {{28, 1},  {29, 27}, {30, 4},  {32, 141}, {33, 18}, {34, 16}, {36, 38}, {38, 10},
                               {40, 84}, {42, 15}, {44, 90}, {45, 10},  {46, 19}, {47, 20}, {48, 507}};

int draw(std::span<const Share> shares, Random& random)
{
    auto at = random.below(1000);
    for (const auto& s : shares) {
        if (at < s.per_mille) return s.length;
        at -= s.per_mille;
    }
    return shares.back().length;
}

std::uint64_t head_mask(int bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

bool reserved(const IpPrefix& p)
{
    if (p.family() == Family::Ipv6) return false;
    const auto top = p.address.v4().value >> 24;
    if (top == 10 || top == 127) return true;
    const auto link_local = IpPrefix::make(Ipv4Address{0xa9fe0000}, 16);
    return link_local.contains(p) || p.contains(link_local);
}

// Neighbours in the address space mostly share a set, and a few sets have very many prefixes.
std::vector<std::uint32_t> choose_sets(std::size_t prefixes, std::size_t sets, Random& random)
{
    std::vector<std::uint32_t> set_of(prefixes);
    std::uint64_t set = 0;
    for (std::size_t i = 0; i < prefixes; ++i) {
        if (i % 4 == 0) set = random.below(sets);
        if (random.below(100) < 15) set = random.below(std::min<std::size_t>(sets, 1000));
        set_of[i] = static_cast<std::uint32_t>(set);
    }
    return set_of;
}

// None of those that labs give their routers (RFC 6996), nor AS_TRANS.
Asn public_asn(Random& random, std::uint64_t below)
{
    for (;;) {
        const auto asn = static_cast<std::uint32_t>(1 + random.below(below));
        if (asn != 23456 && (asn < 64496 || asn > 131071)) return Asn{asn};
    }
}

bgp::PathAttributes make_set(Random& random)
{
    bgp::PathAttributes a;
    a.origin = random.below(10) < 8 ? bgp::Origin::Igp : bgp::Origin::Incomplete;
    const auto hops = 2 + random.below(4);
    for (std::uint64_t h = 0; h < hops; ++h) a.as_path.prepend(public_asn(random, h == 0 ? 400'000 : 20'000));
    if (random.below(10) < 6) {
        for (auto c = 1 + random.below(6); c > 0; --c)
            a.communities.push_back(static_cast<std::uint32_t>(random.below(1 << 30)));
        std::ranges::sort(a.communities);
    }
    return a;
}

// By set, in the order of addresses within one.
void group_by_set(FullTable& table)
{
    std::vector<std::size_t> order(table.prefixes.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return table.set_of[i]; });
    FullTable out;
    for (const auto i : order) {
        out.prefixes.push_back(table.prefixes[i]);
        out.set_of.push_back(table.set_of[i]);
    }
    out.sets = std::move(table.sets);
    table = std::move(out);
}

std::string_view take_field(std::string_view& rest, char separator)
{
    const auto end = rest.find(separator);
    const auto field = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return field;
}

std::optional<std::uint32_t> number(std::string_view text)
{
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// "2497 3356 13335|i|7018:5000"
std::optional<bgp::PathAttributes> parse_set(std::string_view text)
{
    bgp::PathAttributes a;
    auto path = take_field(text, '|');
    const auto origin = take_field(text, '|');
    a.origin = origin == "i" ? bgp::Origin::Igp : origin == "e" ? bgp::Origin::Egp : bgp::Origin::Incomplete;
    bgp::AsPath::Segment sequence;
    while (!path.empty()) {
        const auto asn = number(take_field(path, ' '));
        if (!asn) return std::nullopt;
        sequence.asns.push_back(Asn{*asn});
    }
    if (!sequence.asns.empty()) a.as_path.segments.push_back(std::move(sequence));
    while (!text.empty()) {
        auto community = take_field(text, ' ');
        const auto high = number(take_field(community, ':'));
        const auto low = number(community);
        if (!high || !low || *high > 0xffff || *low > 0xffff) return std::nullopt;
        a.communities.push_back(*high << 16 | *low);
    }
    std::ranges::sort(a.communities);
    a.communities.erase(std::ranges::unique(a.communities).begin(), a.communities.end());
    return a;
}

struct Closer {
    bool pipe = false;
    void operator()(std::FILE* f) const { pipe ? pclose(f) : std::fclose(f); }
};

std::unique_ptr<std::FILE, Closer> open_table(const std::string& path)
{
    if (!path.ends_with(".xz")) return {std::fopen(path.c_str(), "r"), Closer{}};
    std::string quoted = "'";
    for (const char c : path) {
        if (c == '\'')
            quoted += "'\\''";
        else
            quoted += c;
    }
    return {popen(("xz -dc -- " + quoted + "'").c_str(), "r"), Closer{true}};
}

}  // namespace

std::vector<IpPrefix> synthetic_prefixes(Family family, std::size_t count)
{
    const bool v4 = family == Family::Ipv4;
    Random random(v4 ? 4 : 6);
    // Allocations: blocks of /16 (IPv6 /32), some of them neighbours, which most prefixes lie in.
    const std::size_t blocks = v4 ? 25000 : 33000;
    const int block_bits = v4 ? 16 : 32;
    std::vector<std::uint64_t> block(blocks);
    for (std::size_t i = 0; i < blocks; ++i) {
        const auto fresh = v4 ? ((1 + random.below(222)) << 56 | random.next() >> 8)
                              : (std::uint64_t{0x2000} << 48 | (random.below(0x0a10) << 48 | random.next() >> 16));
        const auto step = std::uint64_t{1} << (64 - block_bits);
        block[i] = (i > 0 && random.below(2) ? block[i - 1] + step : fresh) & head_mask(block_bits);
    }

    std::set<IpPrefix> table;
    std::uint64_t at = 0;
    std::size_t in = 0;
    while (table.size() < count) {
        const auto length = v4 ? draw(kLengths4, random) : draw(kLengths6, random);
        // Runs of neighbours of one length, then on to another block: few blocks hold much, many hold little.
        if (random.below(8) == 0 || at == 0) {
            in = static_cast<std::size_t>(static_cast<double>(blocks) * std::pow(random.unit(), 2.0));
            at = block[in] | (random.next() & ~head_mask(block_bits));
        }
        const auto masked = at & head_mask(length);
        const IpAddress a = v4 ? IpAddress{Ipv4Address{static_cast<std::uint32_t>(masked >> 32)}}
                               : IpAddress{Ipv6Address::from_words(masked, 0)};
        const IpPrefix prefix{a, static_cast<std::uint8_t>(length)};
        if (!reserved(prefix)) table.insert(prefix);
        at = masked + (std::uint64_t{1} << (64 - length));
    }
    return {table.begin(), table.end()};
}

FullTable synthetic_table(Family family, TableSize size)
{
    Random random{42};
    FullTable table;
    table.prefixes = synthetic_prefixes(family, size.prefixes);
    table.set_of = choose_sets(size.prefixes, size.sets, random);
    for (std::size_t i = 0; i < size.sets; ++i) table.sets.push_back(make_set(random));
    group_by_set(table);
    return table;
}

std::optional<FullTable> read_table(const std::string& path, Family family, std::size_t limit)
{
    const auto file = open_table(path);
    if (!file) {
        std::perror(path.c_str());
        return std::nullopt;
    }
    FullTable table;
    std::map<std::string, std::uint32_t, std::less<>> known;
    char buffer[8192];
    while (table.prefixes.size() < limit && std::fgets(buffer, sizeof buffer, file.get())) {
        std::string_view line{buffer, std::strcspn(buffer, "\n")};
        const auto prefix = IpPrefix::parse(take_field(line, '|'));
        if (prefix && prefix->family() != family) continue;
        auto at = known.find(line);
        if (prefix && at == known.end()) {
            auto set = parse_set(line);
            if (set) {
                at = known.emplace(line, static_cast<std::uint32_t>(table.sets.size())).first;
                table.sets.push_back(std::move(*set));
            }
        }
        if (!prefix || at == known.end()) {
            std::fprintf(stderr, "%s: not a route: %s", path.c_str(), buffer);
            return std::nullopt;
        }
        table.prefixes.push_back(*prefix);
        table.set_of.push_back(at->second);
    }
    if (table.prefixes.empty()) {
        std::fprintf(stderr, "%s: no prefixes of this family\n", path.c_str());
        return std::nullopt;
    }
    group_by_set(table);
    return table;
}

}  // namespace culvert::support
