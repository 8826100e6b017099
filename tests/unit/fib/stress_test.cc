// Edits beside readers, each answer checked.

#include "dataplane/fib/fib_writer.h"
#include "dataplane/fib/lpm4.h"
#include "dataplane/fib/lpm6.h"
#include "dataplane/fib/tables.h"
#include "tests/unit/fib/random.h"
#include "tests/unit/fib/sanitizers.h"

#include <gtest/gtest.h>

#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <thread>
#include <vector>

namespace culvert::fib {
namespace {

constexpr std::size_t kBurst = 32;

std::uint64_t thread_time()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

using Address = unsigned __int128;  // left-aligned

Address mask(unsigned length) { return length == 0 ? 0 : ~Address{0} << (128 - length); }

// What one address must find, with the last answers, so that a reader can tell which ones were right while it looked.
// The version is odd while an edit that concerns the address is under way.
class Sample {
public:
    static constexpr std::uint32_t kHistory = 32;

    Address address = 0;

    std::uint32_t version() const { return version_.load(std::memory_order_acquire); }
    // Every answer between the versions is right. False: too many of them to remember.
    bool check(std::uint32_t from, std::uint32_t to, std::uint32_t answer, bool& right) const
    {
        const auto first = from / 2, last = (to + 1) / 2;
        if (last - first >= kHistory - 2) return false;
        right = false;
        for (auto i = first; i <= last; ++i) right |= history_[i % kHistory].load(std::memory_order_relaxed) == answer;
        // The oldest may have been written over meanwhile.
        return right || version() / 2 - first < kHistory - 2;
    }

    // The writer: the prefix of `length` bits around it says `value` (0: is gone).
    void begin(unsigned length, std::uint32_t value)
    {
        of_length_[length] = value;
        const auto bit = std::uint64_t{1} << (length % 64);
        if (value != 0)
            lengths_[length / 64] |= bit;
        else
            lengths_[length / 64] &= ~bit;
        std::uint32_t best = 0;
        for (std::size_t word = lengths_.size(); word-- > 0 && best == 0;)
            if (lengths_[word] != 0)
                best = of_length_[word * 64 + static_cast<std::size_t>(std::bit_width(lengths_[word])) - 1];
        const auto now = version_.load(std::memory_order_relaxed);
        history_[(now / 2 + 1) % kHistory].store(best, std::memory_order_relaxed);
        version_.store(now + 1, std::memory_order_release);
    }
    void end() { version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

private:
    std::atomic<std::uint32_t> version_{0};
    std::array<std::atomic<std::uint32_t>, kHistory> history_{};
    std::array<std::uint64_t, 3> lengths_{};
    std::array<std::uint32_t, 129> of_length_{};
};

struct V4 {
    using Table = Lpm4;
    using Key = std::uint32_t;
    static constexpr unsigned kBits = 32;
    static Key key(Address a) { return static_cast<std::uint32_t>(a >> 96); }
    static IpPrefix prefix(Address a, unsigned length)
    {
        return {Ipv4Address{key(a)}, static_cast<std::uint8_t>(length)};
    }
};
struct V6 {
    using Table = Lpm6;
    using Key = Ipv6Address;
    static constexpr unsigned kBits = 128;
    static Key key(Address a)
    {
        return Ipv6Address::from_words(static_cast<std::uint64_t>(a >> 64), static_cast<std::uint64_t>(a));
    }
    static IpPrefix prefix(Address a, unsigned length) { return {key(a), static_cast<std::uint8_t>(length)}; }
};

template <class F>
class LpmStress : public ::testing::Test {};
using Families = ::testing::Types<V4, V6>;
TYPED_TEST_SUITE(LpmStress, Families);

TYPED_TEST(LpmStress, EveryLookupBesideAnEditIsRight)
{
    using F = TypeParam;
    constexpr std::size_t kSamples = 2048;
    constexpr int kEdits = kTsan ? 40'000 : kSanitized ? 100'000 : 600'000;
    constexpr int kReaders = 2;

    Rcu rcu;
    Reclaimer reclaimer(rcu);
    TriePool pool("blocks", "rib", reclaimer);
    typename F::Table table(pool);
    Random random(42);

    // Clustered, so that prefixes nest: each sample shares a random number of bits with the one before.
    std::vector<Sample> samples(kSamples);
    {
        std::vector<Address> addresses;
        Address a = 0;
        for (std::size_t i = 0; i < kSamples; ++i) {
            const auto noise = Address{random.next()} << 64 | random.next();
            a ^= noise >> (i % 8 == 0 ? 3 : 8 + random.below(F::kBits - 8));
            addresses.push_back(a & mask(F::kBits));
        }
        std::sort(addresses.begin(), addresses.end());
        for (std::size_t i = 0; i < kSamples; ++i) samples[i].address = addresses[i];
    }

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> checked{0}, unchecked{0}, wrong{0};
    std::vector<std::jthread> readers;
    for (int r = 0; r < kReaders; ++r) {
        readers.emplace_back([&, r] {
            auto place = rcu.register_reader();
            place.online();
            Random mine(100 + static_cast<std::uint64_t>(r));
            while (!stop.load(std::memory_order_relaxed)) {
                std::array<const Sample*, kBurst> sample;
                std::array<std::uint32_t, kBurst> before;
                std::array<typename F::Key, kBurst> key;
                std::array<Leaf, kBurst> leaf;
                for (std::size_t i = 0; i < kBurst; ++i) {
                    sample[i] = &samples[mine.below(kSamples)];
                    before[i] = sample[i]->version();
                    key[i] = F::key(sample[i]->address);
                }
                if (mine.below(8) == 0) {
                    for (std::size_t i = 0; i < kBurst; ++i) leaf[i] = table.lookup(key[i]);
                } else {
                    table.lookup(key, leaf);
                }
                std::uint64_t good = 0, unknown = 0;
                for (std::size_t i = 0; i < kBurst; ++i) {
                    bool right = false;
                    if (!sample[i]->check(before[i], sample[i]->version(), leaf[i].value, right))
                        ++unknown;
                    else if (right)
                        ++good;
                    else
                        wrong.fetch_add(1, std::memory_order_relaxed);
                }
                checked.fetch_add(good, std::memory_order_relaxed);
                unchecked.fetch_add(unknown, std::memory_order_relaxed);
                place.quiescent();
                if (mine.below(256) == 0) {
                    place.offline();
                    std::this_thread::yield();
                    place.online();
                }
            }
        });
    }

    const auto started = thread_time();
    for (int edit = 0; edit < kEdits; ++edit) {
        // Lengths as tables have them; now and then any, which may concern every sample.
        const auto length = static_cast<unsigned>(random.below(512) == 0 ? random.below(F::kBits + 1)
                                                                         : 18 + random.below(F::kBits / 4 + 7));
        const auto around = random.below(3) != 0 ? samples[random.below(kSamples)].address
                                                 : Address{random.next()} << 64 | random.next();
        const auto first_address = around & mask(length) & mask(F::kBits);
        const auto prefix = F::prefix(first_address, length);
        const bool erase = (edit / (kEdits / 4)) % 2 == 0 ? random.below(4) == 0 : random.below(4) != 0;
        const auto value = erase ? 0 : static_cast<std::uint32_t>(1 + random.below(random.below(2) ? 200 : 100000));

        const auto first = std::lower_bound(samples.begin(), samples.end(), first_address,
                                            [](const Sample& s, Address a) { return s.address < a; });
        auto last = first;
        for (; last != samples.end() && (last->address & mask(length)) == first_address; ++last) {
            last->begin(length, value);
        }
        if (erase)
            table.erase(prefix);
        else
            ASSERT_NE(table.set(prefix, value), Edit::Full);
        for (auto s = first; s != last; ++s) s->end();

        if (edit % 64 == 0) {
            reclaimer.seal();
            reclaimer.collect();
            // Two cores and three threads: let the readers have one.
            if (edit % 4096 == 0) std::this_thread::yield();
        }
    }
    const auto rate = kEdits * 1e3 / static_cast<double>(thread_time() - started);
    stop = true;
    readers.clear();

    EXPECT_EQ(wrong.load(), 0u);
    EXPECT_GT(checked.load(), 1000u);
    EXPECT_LT(unchecked.load(), checked.load() / 20 + 1000);
    for (const auto& s : samples) {
        bool right = false;
        ASSERT_TRUE(s.check(s.version(), s.version(), table.lookup(F::key(s.address)).value, right));
        ASSERT_TRUE(right);
    }
    std::printf("%d edits at %.2f M/s of the writer's time, %llu lookups checked, %llu not\n", kEdits, rate,
                static_cast<unsigned long long>(checked.load()), static_cast<unsigned long long>(unchecked.load()));
    if (!kSanitized) {
        EXPECT_GT(rate, 0.5);
    }
}

// The whole way: channel, writer thread, groups that change, next hops that are deleted and used again, workers that
// pick. Next hop ids of group g are g modulo kGroups, so a wrong or freed one is seen.
TEST(FibStress, WorkersPickOnlyWhatTheirGroupHolds)
{
    constexpr std::uint32_t kGroups = 8, kEach = 6;
    constexpr int kBatches = kTsan ? 150 : kSanitized ? 400 : 3000;
    Rcu rcu;
    Tables tables(rcu);
    api::FibChannel channel;
    FibWriter writer(channel, tables, rcu);
    std::jthread writing([&](const std::stop_token& s) { writer.run(s); });

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> picked{0}, missed{0}, wrong{0};
    std::vector<std::jthread> workers;
    for (std::uint64_t r = 0; r < 2; ++r) {
        workers.emplace_back([&, r] {
            auto place = rcu.register_reader();
            place.online();
            Random random(r);
            while (!stop.load(std::memory_order_relaxed)) {
                std::array<std::uint32_t, kBurst> to;
                std::array<Leaf, kBurst> leaf;
                for (auto& t : to) t = 0x0a000000u | static_cast<std::uint32_t>(random.below(kGroups) << 16 | 1);
                tables.vrf(kDefaultVrf)->lpm4.lookup(to, leaf);
                for (std::size_t i = 0; i < kBurst; ++i) {
                    if (!leaf[i].found()) continue;
                    const auto path = tables.pick(leaf[i].group(), static_cast<std::uint32_t>(random.next()));
                    if (!path) {
                        missed.fetch_add(1, std::memory_order_relaxed);
                        continue;
                    }
                    picked.fetch_add(1, std::memory_order_relaxed);
                    const auto expected = (to[i] >> 16) & 0xff;
                    if (index(path.nexthop->id) % kGroups != expected || path.nexthop->mtu != 1000 + expected)
                        wrong.fetch_add(1, std::memory_order_relaxed);
                    if (random.below(4096) == 0)
                        tables.nexthops().set_down(path.nexthop->id, tables.nexthops().generation(path.nexthop->id),
                                                   cause::kBfd);
                }
                place.quiescent();
                if (random.below(64) == 0) {
                    place.offline();
                    std::this_thread::yield();
                    place.online();
                }
            }
        });
    }

    Random random(11);
    const auto wait_for = [&](std::uint64_t generation) {
        while (channel.acked() < generation) {
            channel.flush();
            std::this_thread::yield();
        }
    };
    const auto nexthop = [&](std::uint32_t group, std::uint64_t which) {
        return NexthopId{static_cast<std::uint32_t>(group + kGroups * (1 + which))};
    };
    bool there[kGroups][kEach] = {};
    for (int batch = 0; batch < kBatches; ++batch) {
        const auto g = static_cast<std::uint32_t>(random.below(kGroups));
        std::array<std::uint64_t, 3> members{random.below(2), 2 + random.below(2), 4 + random.below(2)};
        for (const auto m : members) {
            api::SetNexthop n{nexthop(g, m), NexthopKind::Blackhole};
            n.mtu = static_cast<std::uint16_t>(1000 + g);
            channel.push(n);
        }
        const GroupId id{g + 1};
        channel.push(api::SetGroup{id, 3});
        for (std::uint16_t i = 0; i < 3; ++i) channel.push(api::SetGroupMember{id, i, 1, nexthop(g, members[i])});
        channel.push(api::SetRoute{kDefaultVrf, IpPrefix::make(Ipv4Address{0x0a000000u | g << 16}, 16), id});
        for (const auto m : members)
            channel.push(api::ClearDown{api::DownKind::Nexthop, index(nexthop(g, m)),
                                        tables.nexthops().down(nexthop(g, m)).epoch});
        wait_for(channel.commit());
        // What no group holds now goes, after the ack, as the order says; the ids come back in later rounds.
        for (std::uint64_t m = 0; m < kEach; ++m) {
            const bool held = std::find(members.begin(), members.end(), m) != members.end();
            if (!held && there[g][m]) channel.push(api::DeleteNexthop{nexthop(g, m)});
            there[g][m] = held;
        }
        if (random.below(16) == 0)
            channel.push(api::DeleteRoute{kDefaultVrf, IpPrefix::make(Ipv4Address{0x0a000000u | g << 16}, 16)});
        wait_for(channel.commit());
    }
    stop = true;
    workers.clear();
    EXPECT_EQ(wrong.load(), 0u);
    EXPECT_GT(picked.load(), 1000u);
    EXPECT_EQ(writer.refused(), 0u);
}

}  // namespace
}  // namespace culvert::fib
