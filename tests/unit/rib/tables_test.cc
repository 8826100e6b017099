#include "base/item_pool.h"
#include "controlplane/rib/attribute_table.h"
#include "controlplane/rib/blob_store.h"
#include "controlplane/rib/change_log.h"
#include "controlplane/rib/handle_index.h"
#include "controlplane/rib/handle_map.h"
#include "controlplane/rib/prefix_table.h"
#include "controlplane/rib/set_pairs.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace culvert::rib {
namespace {

struct Item {
    std::uint32_t a = 1, b = 2;
};

TEST(Pool, HandsOutDistinctItemsAndGivesMemoryBack)
{
    Pool<Item> pool{9};
    std::set<std::uint32_t> handles;
    for (std::uint32_t i = 0; i < 2000; ++i) {
        const auto h = pool.allocate();
        ASSERT_NE(h, 0U);
        EXPECT_EQ(pool[h].a, 1U);
        pool[h].a = h;
        ASSERT_TRUE(handles.insert(h).second);
    }
    for (const auto h : handles) EXPECT_EQ(pool[h].a, h);
    EXPECT_GE(pool.items().mapped_octets(), 2000 * sizeof(Item));
    for (const auto h : handles) pool.free(h);
    EXPECT_EQ(pool.used(), 0U);
    EXPECT_EQ(pool.items().mapped_octets(), 0U);
    EXPECT_NE(pool.allocate(), 0U);
}

TEST(Pool, ReusesWhatWasFreed)
{
    Pool<Item> pool{9};
    const auto a = pool.allocate(), b = pool.allocate();
    pool.free(a);
    EXPECT_EQ(pool.allocate(), a);
    EXPECT_NE(pool.allocate(), b);
}

TEST(HandleIndex, AgreesWithAMapUnderRandomEdits)
{
    HandleIndex index;
    std::map<std::uint64_t, std::uint32_t> model;
    std::uint64_t state = 1;
    for (int round = 0; round < 200000; ++round) {
        state = mix(state + 0x9e3779b97f4a7c15ULL);
        // Few hashes, and all in few places, so that runs of collisions come about.
        const std::uint64_t hash = ((state % 7) << 58) | ((state >> 20) % 3000) * (round < 100000 ? 1 : 64);
        const auto found = index.find(hash, [&](std::uint32_t h) { return model[hash] == h; });
        const auto expected = model.find(hash);
        if (found == 0) {
            ASSERT_TRUE(expected == model.end() || expected->second == 0);
            model[hash] = static_cast<std::uint32_t>(round + 1);
            index.insert(hash, model[hash]);
        } else {
            ASSERT_EQ(found, expected->second);
            if (state & (1ULL << 60)) {
                index.erase(hash, found);
                model.erase(hash);
            }
        }
        if (round == 100000) {
            for (const auto& [h, handle] : model)
                if (handle) index.erase(h, handle);
            model.clear();
            EXPECT_EQ(index.octets(), 0U);
        }
    }
}

TEST(HandleIndex, CostsFewOctetsAndShrinks)
{
    HandleIndex index;
    const auto hash = [](std::uint32_t h) { return mix(h * 0x9e3779b97f4a7c15ULL); };
    constexpr std::uint32_t kCount = 200000;
    for (std::uint32_t h = 1; h <= kCount; ++h) {
        index.insert(hash(h), h);
        if (h % 5000 == 0) {
            ASSERT_LE(static_cast<double>(index.octets()) / h, h < 20000 ? 13.0 : 11.3) << h;
        }
    }
    for (std::uint32_t h = 1; h <= kCount; ++h)
        ASSERT_EQ(index.find(hash(h), [&](std::uint32_t found) { return found == h; }), h);
    const auto full = index.octets();
    for (std::uint32_t h = 1; h <= kCount; ++h) {
        if (h % 10 != 0) index.erase(hash(h), h);
    }
    EXPECT_LT(index.octets(), full / 3);
    for (std::uint32_t h = 1; h <= kCount; ++h)
        ASSERT_EQ(index.find(hash(h), [&](std::uint32_t found) { return found == h; }), h % 10 == 0 ? h : 0);
}

TEST(HandleMap, KeepsOnlyPagesWithWords)
{
    HandleMap map;
    std::map<std::uint32_t, std::uint32_t> model;
    std::uint64_t state = 3;
    for (int round = 0; round < 200000; ++round) {
        state = mix(state + 0x9e3779b97f4a7c15ULL);
        const auto handle = static_cast<std::uint32_t>(state % 60000);
        ASSERT_EQ(map[handle], model.contains(handle) ? model[handle] : 0);
        const auto word = static_cast<std::uint32_t>(state >> 40) % (round < 100000 ? 3 : 2);
        map.set(handle, word);
        if (word != 0)
            model[handle] = word;
        else
            model.erase(handle);
        ASSERT_EQ(map.size(), model.size());
    }
    std::size_t seen = 0;
    for (const auto& [handle, word] : model) {
        if (++seen % 2 == 0) map.set(handle, 0);
    }
    std::size_t left = 0;
    map.clear([&](std::uint32_t word) { left += word != 0; });
    EXPECT_EQ(left, (model.size() + 1) / 2);
    EXPECT_EQ(map.octets(), 0U);
}

TEST(BlobStore, KeepsBytesOfEverySize)
{
    BlobStore store;
    std::vector<std::pair<std::uint32_t, std::vector<std::uint8_t>>> blobs;
    for (std::size_t n = 0; n < 3000; n += n < 70 ? 1 : 97) {
        std::vector<std::uint8_t> bytes(n, static_cast<std::uint8_t>(n));
        const auto blob = store.put(bytes);
        ASSERT_NE(blob, 0U);
        blobs.emplace_back(blob, bytes);
    }
    for (const auto& [blob, bytes] : blobs)
        EXPECT_TRUE(std::ranges::equal(store.get(blob, bytes.size()), bytes)) << bytes.size();
    for (const auto& [blob, bytes] : blobs) store.drop(blob);
    EXPECT_EQ(store.octets(), 0U);
}

TEST(ChangeLog, FindsAPlaceByItsLowBits)
{
    ChangeLog log;
    std::vector<std::uint64_t> places;
    for (std::uint32_t i = 0; i < 20000; ++i) places.push_back(log.push(i));
    for (std::uint32_t i = 0; i < 20000; ++i) {
        EXPECT_EQ(log[places[i]], i);
        EXPECT_EQ(log.place(i, static_cast<std::uint32_t>(places[i]), log.begin()), places[i]);
    }
    log.drop_before(places[9000]);
    EXPECT_EQ(log.place(8999, static_cast<std::uint32_t>(places[8999]), log.begin()), log.end());
    EXPECT_EQ(log.place(9000, static_cast<std::uint32_t>(places[9000]), log.begin()), places[9000]);
    EXPECT_EQ(log.place(9001, static_cast<std::uint32_t>(places[9000]), log.begin()), log.end());
    log.drop_before(log.end());
    EXPECT_EQ(log.octets(), 0U + (log.end() % 4096 ? 4096 * 4 : 0));
    EXPECT_EQ(log[log.push(5)], 5U);
}

TEST(PrefixTable, TellsLengthsApart)
{
    PrefixTable<Key4> table{1};
    const auto add = [&](const char* text) {
        const auto p = *IpPrefix::parse(text);
        return table.insert(Key4::from(p), p.length, table.hash(Key4::from(p), p.length));
    };
    const auto a = add("10.0.0.0/8"), b = add("10.0.0.0/16"), c = add("0.0.0.0/0");
    EXPECT_EQ(table.find(Key4{0x0a000000}, 8), a);
    EXPECT_EQ(table.find(Key4{0x0a000000}, 16), b);
    EXPECT_EQ(table.find(Key4{0}, 0), c);
    EXPECT_EQ(table.find(Key4{0x0a000000}, 24), 0U);
    EXPECT_EQ(table[b].prefix(), *IpPrefix::parse("10.0.0.0/16"));
    table.erase(a);
    EXPECT_EQ(table.find(Key4{0x0a000000}, 8), 0U);
    EXPECT_EQ(table.find(Key4{0x0a000000}, 16), b);
}

TEST(Keys, ComeOffTheWireWithHostBitsCleared)
{
    for (const char* text : {"0.0.0.0/0", "128.0.0.0/1", "10.32.0.0/11", "192.0.2.0/24", "192.0.2.77/32"}) {
        const auto p = *IpPrefix::parse(text);
        auto octets = p.address.bits.octets;
        if (p.length % 8) octets[p.length / 8U] |= static_cast<std::uint8_t>((1 << (8 - p.length % 8)) - 1);
        EXPECT_EQ(Key4::from_wire(octets.data(), p.length), Key4::from(p)) << text;
        EXPECT_EQ(Key4::from(p).to_address(), p.address);
    }
    for (const char* text : {"::/0", "8000::/1", "2001:db8::/32", "2001:db8:0:fe00::/55", "2001:db8::/64",
                             "2001:db8:0:0:8000::/65", "2001:db8::1/128"}) {
        const auto p = *IpPrefix::parse(text);
        auto octets = p.address.bits.octets;
        if (p.length % 8) octets[p.length / 8U] |= static_cast<std::uint8_t>((1 << (8 - p.length % 8)) - 1);
        EXPECT_EQ(Key6::from_wire(octets.data(), p.length), Key6::from(p)) << text;
        EXPECT_EQ(Key6::from(p).to_address(), p.address);
    }
}

bgp::PathAttributes rich()
{
    bgp::PathAttributes a;
    a.origin = bgp::Origin::Egp;
    a.as_path.segments = {{bgp::AsPath::Kind::Sequence, {Asn{65001}, Asn{4200000000}}},
                          {bgp::AsPath::Kind::Set, {Asn{1}, Asn{2}}}};
    a.next_hop = Ipv4Address{0x0a000001};
    a.med = 7;
    a.atomic_aggregate = true;
    a.aggregator = bgp::Aggregator{Asn{65001}, {5}};
    a.communities = {1, 0xffffff01};
    a.extended_communities = {0x0002000000000001};
    a.large_communities = {{1, 2, 3}};
    return a;
}

TEST(AttributeTable, DecodesToWhatWentIn)
{
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    auto a = rich();
    EXPECT_EQ(table.decode(table.intern(a, std::nullopt)), a);
    a.local_pref = 100;
    EXPECT_EQ(table.decode(table.intern(a, std::nullopt)), a);
    a.originator_id = Ipv4Address{9};
    a.cluster_list = {1, 2};
    EXPECT_EQ(table.decode(table.intern(a, std::nullopt)), a);
    a.local_pref.reset();
    EXPECT_EQ(table.decode(table.intern(a, std::nullopt)), a);
    a.next_hop = *IpAddress::parse("2001:db8::1");
    a.link_local_next_hop = Ipv6Address::parse("fe80::1");
    EXPECT_EQ(table.decode(table.intern(a, std::nullopt)), a);
    EXPECT_EQ(table.size(), 5U);
}

TEST(AttributeTable, SameSetSameHandle)
{
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    const auto one = table.intern(rich(), std::nullopt);
    EXPECT_EQ(table.intern(rich(), std::nullopt), one);
    EXPECT_NE(table.intern(rich(), 5), one);  // another weight
    auto other = rich();
    other.next_hop = Ipv4Address{0x0a000002};
    EXPECT_NE(table.intern(other, std::nullopt), one);
    EXPECT_EQ(table[one].references, 2U);
    EXPECT_EQ(nexthops.size(), 2U);
}

TEST(AttributeTable, RawFormsLeadToTheSet)
{
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    bgp::Negotiated four, two;
    four.four_octet_as = true;
    const auto nh = rich().next_hop;
    const auto raw = bgp::encode_attributes(rich(), four).octets;
    const auto old = bgp::encode_attributes(rich(), two).octets;
    const auto one = table.intern(raw, nh, std::nullopt, true);
    EXPECT_EQ(table.decode(one), rich());
    EXPECT_EQ(table.intern(raw, nh, std::nullopt, true), one);
    EXPECT_EQ(table.intern(old, nh, std::nullopt, false), one);
    EXPECT_NE(table.intern(raw, Ipv4Address{0x0a000002}, std::nullopt, true), one);
    EXPECT_EQ(table[one].references, 3U);
    for (int i = 0; i < 3; ++i) table.release(one);
    EXPECT_EQ(table.size(), 1U);
    const auto again = table.intern(raw, nh, std::nullopt, true);
    EXPECT_EQ(table.decode(again), rich());
}

TEST(AttributeTable, OctetsWithLocalPrefAreNotThoseWithout)
{
    // An internal neighbour's blob always has LOCAL_PREF in it, whether it came or not.
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    auto without = rich();
    without.originator_id = Ipv4Address{9};
    const auto local = table.intern(without, std::nullopt);
    auto with = without;
    with.local_pref = 100;
    bgp::Negotiated internal;
    internal.four_octet_as = true;
    internal.external = false;
    const auto raw = bgp::encode_attributes(with, internal).octets;
    const auto received = table.intern(raw, with.next_hop, std::nullopt, true);
    EXPECT_NE(received, local);
    EXPECT_EQ(table.decode(received), with);
    EXPECT_EQ(table.intern(raw, with.next_hop, std::nullopt, true), received);
    EXPECT_EQ(table.decode(local), without);
}

TEST(SetPairs, HoldBothSetsAsLongAsAnybodyHasThem)
{
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    SetPairs pairs{table, 1};
    const auto received = table.intern(rich(), std::nullopt);
    auto changed = rich();
    changed.local_pref = 200;
    const auto imported = table.intern(changed, std::nullopt);
    const auto same = pairs.acquire(received, received);
    EXPECT_EQ(pairs.received(same), received);
    EXPECT_EQ(pairs.imported(same), received);
    EXPECT_EQ(pairs.size(), 0U);
    const auto pair = pairs.acquire(received, imported);
    EXPECT_EQ(pairs.acquire(received, imported), pair);
    const auto turned = pairs.acquire(imported, received);
    EXPECT_NE(turned, pair);
    pairs.release(turned);
    EXPECT_EQ(pairs.size(), 1U);
    table.release(received);
    table.release(imported);
    pairs.release(same);
    pairs.release(pair);
    EXPECT_EQ(pairs.received(pair), received);
    EXPECT_EQ(pairs.imported(pair), imported);
    EXPECT_EQ(table.size(), 2U);
    pairs.release(pair);
    EXPECT_EQ(pairs.size(), 0U);
    EXPECT_EQ(pairs.octets(), 0U);
    EXPECT_EQ(table.size(), 0U);
}

TEST(AttributeTable, KnowsWhatTheDecisionAsks)
{
    NexthopTable nexthops;
    AttributeTable table{nexthops, 1};
    table.set_identity(Asn{65001}, {9}, 77);
    auto a = rich();
    a.cluster_list = {5, 77};
    const auto& s = table[table.intern(a, std::nullopt)];
    EXPECT_EQ(s.path_length, 3U);
    EXPECT_EQ(s.neighbor_as, Asn{65001});
    EXPECT_EQ(s.own_as, 1U);
    EXPECT_EQ(s.med, 7U);
    EXPECT_EQ(s.cluster_length, 2U);
    EXPECT_TRUE(s.flags & AttributeSet::kClusterLoop);
    EXPECT_TRUE(s.flags & AttributeSet::kNoExport);
    EXPECT_FALSE(s.flags & AttributeSet::kNoAdvertise);
    table.set_identity(Asn{1}, {9}, 78);
    table.reclassify();
    EXPECT_FALSE(s.flags & AttributeSet::kClusterLoop);
    EXPECT_TRUE(s.flags & AttributeSet::kHasMed);
}

struct Sink final : NexthopSink {
    std::vector<std::string> said;
    void track(const IpAddress& a) override { said.push_back("+" + a.to_string()); }
    void untrack(const IpAddress& a) override { said.push_back("-" + a.to_string()); }
};

TEST(NexthopTable, TellsOfFirstAndLastUse)
{
    NexthopTable table;
    Sink sink;
    const IpAddress a = Ipv4Address{0x0a000001};
    const auto n = table.acquire(a);
    EXPECT_EQ(table.acquire(a), n);
    table.drain(sink);
    table.release(n);
    table.drain(sink);
    table.release(n);
    EXPECT_EQ(table.acquire(a), n);  // back before anybody was told
    table.drain(sink);
    EXPECT_EQ(sink.said, std::vector<std::string>{"+10.0.0.1"});
    table.release(n);
    table.drain(sink);
    EXPECT_EQ(sink.said.back(), "-10.0.0.1");
    EXPECT_EQ(table.size(), 0U);
    EXPECT_FALSE(table.update(a, {true, true, 0}));
}

TEST(NexthopTable, LinkLocalOnesAreNotTracked)
{
    NexthopTable table;
    Sink sink;
    const auto n = table.acquire(*IpAddress::parse("fe80::1"));
    table.drain(sink);
    EXPECT_TRUE(sink.said.empty());
    EXPECT_TRUE(table[n].state.reachable);
    table.release(n);
    table.drain(sink);
    EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace culvert::rib
