#include "controlplane/route/numbered_routes.h"
#include "controlplane/route/table_walk.h"
#include "controlplane/route/tables.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace culvert::route {
namespace {

constexpr VrfId kVrf{0};
constexpr InterfaceId kEth0{1};

IpPrefix everything(Family f) { return {f == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}}, 0}; }
Nexthop via(std::uint32_t last) { return {NexthopType::Gateway, kEth0, kVrf, Ipv4Address{(10U << 24) | last}, 1}; }

// A table like BGP's: a prefix gets the lowest free number, and keeps it while it is in the table.
struct Numbers final : Numbering {
    std::map<IpPrefix, std::uint32_t> numbers;
    std::set<std::uint32_t> free;
    std::uint32_t next = 1;

    std::uint32_t add(const IpPrefix& prefix)
    {
        const auto [at, fresh] = numbers.try_emplace(prefix, 0);
        if (fresh) at->second = free.empty() ? next++ : free.extract(free.begin()).value();
        return at->second;
    }
    void remove(const IpPrefix& prefix)
    {
        free.insert(numbers.at(prefix));
        numbers.erase(prefix);
    }

    std::uint32_t number(const IpPrefix& prefix) const override
    {
        const auto at = numbers.find(prefix);
        return at == numbers.end() ? 0 : at->second;
    }
    bool any_of_length(Family family, std::uint8_t length) const override
    {
        return std::any_of(numbers.begin(), numbers.end(),
                           [&](const auto& n) { return n.first.family() == family && n.first.length == length; });
    }
    struct Walk final : PrefixWalk {
        std::set<IpPrefix> left;
        bool prepare(std::size_t) override { return false; }
        std::optional<IpPrefix> next() override
        {
            return left.empty() ? std::nullopt : std::optional{left.extract(left.begin()).value()};
        }
    };
    std::unique_ptr<PrefixWalk> walk(Family family) const override
    {
        auto walk = std::make_unique<Walk>();
        for (const auto& [prefix, number] : numbers)
            if (prefix.family() == family) walk->left.insert(prefix);
        return walk;
    }
};

// What a reader of changes forwards by.
struct Forwarding {
    Tables& tables;
    std::map<IpPrefix, NexthopSet> routes;

    void take(std::size_t most)
    {
        for (Change c; most-- > 0 && tables.next_change(c);) {
            const auto had = routes.find(c.prefix);
            EXPECT_EQ(had == routes.end() ? NexthopSet{} : had->second,
                      c.before == kNoSet ? NexthopSet{} : tables.nexthop_set(c.before))
                << c.prefix.to_string();
            if (c.after == kNoSet)
                routes.erase(c.prefix);
            else
                routes[c.prefix] = tables.nexthop_set(c.after);
        }
    }
};

using Listed = std::vector<std::tuple<IpPrefix, Source, std::uint32_t, bool, std::vector<Nexthop>>>;

Listed listed(const Tables& tables, const IpPrefix& within)
{
    Listed all;
    TableWalk walk{tables, kVrf, within};
    while (walk.prepare()) {}
    while (const auto entry = walk.next())
        for (const RouteView& r : entry->routes)
            all.emplace_back(entry->prefix, r.source, r.metric, r.selected, r.set->nexthops);
    return all;
}

// Whether a source numbers its prefixes or not makes no difference to anybody.
TEST(NumberedRoutes, TellTheSameAsRoutesThatAreKeptByPrefix)
{
    std::mt19937 random(5);
    Numbers numbers;
    Tables tables, reference;
    tables.set_numbering(kVrf, &numbers);
    Forwarding forwarding{tables, {}}, expected{reference, {}};
    const ClientId client = tables.add_client(), other = reference.add_client();
    for (Tables* t : {&tables, &reference}) t->set_link(kEth0, kVrf, true);

    const auto draw = [&] {
        if (random() % 4 == 0) {
            const auto length = std::array{0, 32, 48, 64, 128}[random() % 5];
            return IpPrefix::make(Ipv6Address::from_words(0x20010db8ULL << 32 | random() % 4, 0), length);
        }
        const auto length = static_cast<int>(random() % 33);
        return IpPrefix::make(Ipv4Address{(20U << 24) | static_cast<std::uint32_t>(random() & 0x3003)}, length);
    };
    for (std::uint32_t last = 0; last < 4; ++last) {
        tables.track(client, kVrf, Ipv4Address{(20U << 24) | last << 12 | 1});
        reference.track(other, kVrf, Ipv4Address{(20U << 24) | last << 12 | 1});
    }

    for (int step = 0; step < 20000; ++step) {
        const IpPrefix p = draw();
        const auto kind = random() % 8;
        const Route bgp{Source::Bgp,
                        static_cast<std::uint8_t>(random() % 16 == 0 ? 255 : 20),
                        static_cast<std::uint32_t>(random() % 2),
                        0,
                        {via(random() % 4)},
                        {}};
        const Route fixed{Source::Static, static_cast<std::uint8_t>(random() % 2 == 0 ? 1 : 200), 0, 0, {via(9)}, {}};
        if (kind < 4) {
            const auto h = tables.acquire(bgp);
            tables.set(kVrf, p, h, numbers.add(p));
            tables.release(h);
            reference.set(kVrf, p, bgp);
        } else if (kind < 6) {
            if (const auto number = numbers.number(p); number != 0) {
                tables.remove(kVrf, p, Source::Bgp, number);
                numbers.remove(p);
            }
            reference.remove(kVrf, p, Source::Bgp);
        } else if (kind == 6) {
            tables.set(kVrf, p, fixed);
            reference.set(kVrf, p, fixed);
        } else {
            tables.remove(kVrf, p, Source::Static);
            reference.remove(kVrf, p, Source::Static);
        }
        if (random() % 64 == 0) {
            const auto most = random() % 100;
            forwarding.take(most);
            expected.take(most);
        }
        if (step % 100 != 0) continue;

        const IpAddress a = draw().address;
        const auto found = tables.lookup(kVrf, a), wanted = reference.lookup(kVrf, a);
        ASSERT_EQ(found.has_value(), wanted.has_value());
        if (found) {
            ASSERT_EQ(found->prefix, wanted->prefix);
        }
        while (tables.settle()) {}
        while (reference.settle()) {}
        for (std::uint32_t last = 0; last < 4; ++last) {
            const Ipv4Address tracked{(20U << 24) | last << 12 | 1};
            const auto *x = tables.resolution(kVrf, tracked), *y = reference.resolution(kVrf, tracked);
            ASSERT_EQ(x->reachable, y->reachable);
            ASSERT_EQ(x->prefix, y->prefix);
            ASSERT_EQ(x->nexthops, y->nexthops);
        }
        for (const IpPrefix& within : {everything(Family::Ipv4), everything(Family::Ipv6), p})
            ASSERT_EQ(listed(tables, within), listed(reference, within));
        ASSERT_EQ(tables.routes(kVrf, Family::Ipv4, Source::Bgp), reference.routes(kVrf, Family::Ipv4, Source::Bgp));
        forwarding.take(SIZE_MAX);
        expected.take(SIZE_MAX);
        ASSERT_EQ(forwarding.routes, expected.routes);
        ASSERT_EQ(tables.prefixes(kVrf, Family::Ipv4), reference.prefixes(kVrf, Family::Ipv4));
    }

    EXPECT_FALSE(tables.set_numbering(kVrf, &numbers)) << "one has it";
    tables.clear(kVrf);
    tables.set_numbering(kVrf, nullptr);
    forwarding.take(SIZE_MAX);
    EXPECT_TRUE(forwarding.routes.empty());
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4) + tables.prefixes(kVrf, Family::Ipv6), 0U);
}

TEST(NumberedRoutes, SayThatTheyWaitUntilTheirChangeWasTakenOut)
{
    Numbers numbers;
    Tables tables;
    tables.set_numbering(kVrf, &numbers);
    const auto p = *IpPrefix::parse("20.0.0.0/8");
    const auto h = tables.acquire({Source::Bgp, 20, 0, 0, {via(1)}, {}});
    tables.set(kVrf, p, h, numbers.add(p));
    EXPECT_TRUE(tables.find(kVrf, p)->routes[0].queued);
    Change change;
    ASSERT_TRUE(tables.next_change(change));
    EXPECT_FALSE(tables.find(kVrf, p)->routes[0].queued);
    tables.remove(kVrf, p, Source::Bgp, numbers.number(p));
    EXPECT_EQ(tables.find(kVrf, p), std::nullopt);
    tables.release(h);
}

// The walk outlives the table that numbered them.
TEST(NumberedRoutes, AWalkGoesOnWithoutTheNumbering)
{
    auto numbers = std::make_unique<Numbers>();
    Tables tables;
    tables.set_numbering(kVrf, numbers.get());
    const auto p = *IpPrefix::parse("20.0.0.0/8");
    tables.set(kVrf, *IpPrefix::parse("30.0.0.0/8"), {Source::Static, 1, 0, 0, {via(9)}, {}});
    const auto h = tables.acquire({Source::Bgp, 20, 0, 0, {via(1)}, {}});
    tables.set(kVrf, p, h, numbers->add(p));
    tables.release(h);
    TableWalk walk{tables, kVrf, everything(Family::Ipv4)};
    tables.remove(kVrf, p, Source::Bgp, numbers->number(p));
    tables.set_numbering(kVrf, nullptr);
    numbers.reset();
    EXPECT_FALSE(walk.prepare());
    EXPECT_EQ(walk.next()->prefix, *IpPrefix::parse("30.0.0.0/8"));
    EXPECT_EQ(walk.next(), std::nullopt);
}

TEST(NumberedRoutes, CostEightOctets)
{
    NumberedRoutes routes;
    for (std::uint32_t n = 1; n <= 1'000'000; ++n) routes.insert(n, RouteHandle{1});
    EXPECT_LE(static_cast<double>(routes.octets()) / 1e6, 8.1);
    for (std::uint32_t n = 1; n <= 1'000'000; ++n) routes.erase(n);
    EXPECT_LE(routes.octets(), 4096U);
}

}  // namespace
}  // namespace culvert::route
