#include "dataplane/node/reassembly.h"

#include "dataplane/node/fragment.h"
#include "tests/unit/node/node_test.h"

#include <map>
#include <random>

namespace culvert::dataplane::test {

namespace {

using node::PacketList;

class ReassemblyTest : public NodeTest {
protected:
    // Fragments of one UDP datagram, cut at multiples of 8.
    struct Whole {
        bool v6 = false;
        std::uint32_t id = 1;
        std::uint8_t sender = 1;
        std::size_t payload = 100;
    };
    static Octets datagram(const Whole& w)
    {
        Octets out;
        if (w.v6) {
            auto from = ip6("2001:db8::");
            from.octets[15] = w.sender;
            out = packet(Udp6{.from = from, .to = ip6("2001:db8::ff"), .payload = w.payload});
        } else {
            out = packet(Udp4{.from = {0x0a000000u + w.sender},
                              .to = ip4("10.9.0.1"),
                              .payload = w.payload,
                              .id = static_cast<std::uint16_t>(w.id)});
        }
        // What tells one datagram's octets from another's.
        for (std::size_t i = (w.v6 ? 48 : 28); i < out.size(); ++i)
            out[i] = static_cast<std::uint8_t>(i * 7 + w.id * 13);
        return out;
    }
    static Octets piece(const Octets& whole, const Whole& w, std::size_t at, std::size_t length, bool more)
    {
        const std::size_t header = w.v6 ? 40 : 20;
        Octets out(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(header));
        if (w.v6) {
            out.resize(48);
            *reinterpret_cast<wire::Ipv6FragmentHeader*>(out.data() + 40) = {
                17, 0, static_cast<std::uint16_t>(at | (more ? 1 : 0)), w.id};
            header6(out).next_header = 44;
        }
        const auto from = whole.begin() + static_cast<std::ptrdiff_t>(header + at);
        out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(length));
        if (w.v6) {
            header6(out).payload_length = static_cast<std::uint16_t>(out.size() - 40);
        } else {
            header4(out).total_length = static_cast<std::uint16_t>(out.size());
            header4(out).fragment = static_cast<std::uint16_t>(at / 8 | (more ? 0x2000 : 0));
            header4(out).compute_checksum();
        }
        return out;
    }
    static std::vector<Octets> cut(const Octets& whole, const Whole& w, std::size_t size)
    {
        std::vector<Octets> out;
        const auto payload = whole.size() - (w.v6 ? 40 : 20);
        for (std::size_t at = 0; at < payload; at += size)
            out.push_back(piece(whole, w, at, std::min(size, payload - at), at + size < payload));
        return out;
    }

    void add(const Octets& fragment, ProtectionId protection = kNoProtection)
    {
        rte_mbuf* m = buffer(fragment);
        auto& meta = node::begin(m, now);
        meta.length = m->data_len;
        meta.protection = protection;
        PacketList out;
        table.add(m, now, out);
        take(out);
    }
    void take(PacketList& out)
    {
        while (!out.empty()) {
            rte_mbuf* m = out.pop();
            const auto& meta = node::metadata(m);
            if (meta.stage == node::Stage::Lookup4 || meta.stage == node::Stage::Lookup6) {
                const auto bytes = node::data(m);
                EXPECT_EQ(meta.length, bytes.size());
                wholes.emplace_back(bytes.begin(), bytes.end());
            } else {
                ++ended[meta.verdict];
            }
            rte_pktmbuf_free(m);
        }
    }
    void advance(Duration d)
    {
        now += d;
        PacketList out;
        table.expire(now, out);
        take(out);
    }
    void TearDown() override
    {
        auto rest = table.release_all();
        take(rest);
        EXPECT_EQ(table.datagrams(), 0u);
        EXPECT_EQ(table.fragments(), 0u);
        EXPECT_EQ(table.next_deadline(), kNever);
        NodeTest::TearDown();
    }

    node::Reassembly table{{.datagrams = 32, .fragments = 128, .of_sender = 8, .of_datagram = 16}, 99};
    TimePoint now{1h};
    std::vector<Octets> wholes;
    std::map<Verdict, std::size_t> ended;
};

TEST_F(ReassemblyTest, AnyOrderMakesTheSameWhole)
{
    for (const bool v6 : {false, true}) {
        const Whole w{.v6 = v6, .payload = 400};
        const auto whole = datagram(w);
        auto pieces = cut(whole, w, 104);
        ASSERT_EQ(pieces.size(), 4u);
        std::vector<std::size_t> order{0, 1, 2, 3};
        do {
            for (const auto i : order) {
                EXPECT_TRUE(wholes.empty());
                add(pieces[i]);
            }
            ASSERT_EQ(wholes.size(), 1u);
            EXPECT_EQ(wholes[0], whole);
            EXPECT_TRUE(v6 || checksum4_intact(wholes[0]));
            wholes.clear();
        } while (std::next_permutation(order.begin(), order.end()));
    }
    EXPECT_EQ(ended[Verdict::Reassembled], 2u * 24 * 3);
}

TEST_F(ReassemblyTest, RepetitionsAreDroppedAloneOverlapsSpoilAll)
{
    const Whole w{.payload = 400};
    const auto whole = datagram(w);
    const auto pieces = cut(whole, w, 104);
    add(pieces[1]);
    add(pieces[1]);
    EXPECT_EQ(ended[Verdict::DropFragmentDuplicate], 1u);
    for (const auto i : {0, 2, 3}) add(pieces[static_cast<std::size_t>(i)]);
    EXPECT_EQ(wholes.size(), 1u);

    // The same place with other octets, then each way to overlap.
    auto other = pieces[1];
    other.back() ^= 1;
    const std::vector<std::vector<Octets>> bad = {
        {pieces[1], other},
        {pieces[1], piece(whole, w, 96, 104, true)},
        {pieces[1], piece(whole, w, 112, 104, true)},
        {pieces[1], piece(whole, w, 112, 8, true)},
        {pieces[0], piece(whole, w, 0, 112, true)},
        {pieces[3], piece(whole, w, 208, 104, false)},  // a second end before the first
        {pieces[2], piece(whole, w, 104, 8, false)},    // an end before what is there
        {piece(whole, w, 208, 104, false), pieces[3]},  // something behind the end
    };
    for (const auto& pair : bad) {
        ended.clear();
        wholes.clear();
        for (const auto& p : pair) add(p);
        EXPECT_EQ(ended[Verdict::DropFragmentOverlap], 2u);
        // And what still comes of it (RFC 5722).
        for (const auto& p : pieces) add(p);
        EXPECT_EQ(ended[Verdict::DropFragmentOverlap], 6u);
        EXPECT_TRUE(wholes.empty());
        advance(2s);
        EXPECT_EQ(table.datagrams(), 0u);
    }
}

TEST_F(ReassemblyTest, TinyAndTooLargeAndTooMany)
{
    const Whole w{.payload = 400};
    const auto whole = datagram(w);
    auto tiny = piece(whole, w, 0, 8, true);
    tiny.resize(24);
    header4(tiny).total_length = 24;
    add(tiny);                         // not a multiple of 8
    add(piece(whole, w, 8, 4, true));  // nor this one
    auto gre = piece(whole, w, 0, 8, true);
    header4(gre).protocol = 47;
    add(gre);  // GRE's header is 4 octets: it may be that short
    EXPECT_EQ(ended[Verdict::DropFragmentTiny], 2u);
    auto empty = piece(whole, w, 8, 0, true);
    add(empty);
    EXPECT_EQ(ended[Verdict::DropFragmentTiny], 3u);
    const Whole v6{.v6 = true, .payload = 400};
    auto first = piece(datagram(v6), v6, 0, 8, false);
    first.resize(52);
    header6(first).payload_length = 12;
    add(first);  // an end, but no UDP header in it
    EXPECT_EQ(ended[Verdict::DropFragmentTiny], 4u);
    // The ping of death: an end beyond 65,535.
    auto death = piece(whole, w, 0, 400, false);
    header4(death).fragment = 0x1fff;
    add(death);
    EXPECT_EQ(ended[Verdict::DropFragmentTiny], 5u);
    // Beyond what a buffer holds.
    auto far = piece(whole, w, 0, 400, false);
    header4(far).fragment = 9000 / 8;
    header4(far).id = 5;
    add(far);
    EXPECT_EQ(ended[Verdict::DropFragmentTooLarge], 1u);
    // In too many pieces: 16 here.
    const Whole many{.id = 6, .payload = 400};
    for (const auto& p : cut(datagram(many), many, 8)) add(p);
    EXPECT_GE(ended[Verdict::DropFragmentCount], 17u);
    EXPECT_TRUE(wholes.empty());
}

TEST_F(ReassemblyTest, TimeEndsAndTheSenderIsTold)
{
    const Whole w{.payload = 400};
    const auto pieces = cut(datagram(w), w, 104);
    add(pieces[0]);
    add(pieces[2]);
    EXPECT_EQ(table.next_deadline(), now + 2s);
    advance(1s);
    add(pieces[1]);
    EXPECT_EQ(table.next_deadline(), now + 1s) << "counted from the first one that came";
    advance(1s);
    EXPECT_EQ(ended[Verdict::AnswerTimeExceeded], 1u);
    EXPECT_EQ(ended[Verdict::DropFragmentTimeout], 2u);
    add(pieces[3]);  // late: it waits for the others in vain
    advance(2s);
    EXPECT_EQ(ended[Verdict::DropFragmentTimeout], 3u);
    EXPECT_EQ(ended[Verdict::AnswerTimeExceeded], 1u) << "without the first fragment nobody is told";
}

TEST_F(ReassemblyTest, AFloodEvictsTheOldestAndOneSenderCannotTakeAll)
{
    for (std::uint32_t id = 0; id < 100; ++id) {
        const Whole w{.id = id, .payload = 400};
        add(cut(datagram(w), w, 104)[1]);
    }
    EXPECT_EQ(table.datagrams(), 8u);
    EXPECT_EQ(ended[Verdict::DropFragmentSource], 92u);
    const Whole honest{.id = 7777, .sender = 77, .payload = 400};
    const auto whole = datagram(honest);
    const auto pieces = cut(whole, honest, 208);
    // A flood from many senders between the two halves of an honest datagram.
    add(pieces[0]);
    for (std::uint32_t id = 0; id < 20; ++id) {
        const Whole w{.id = id, .sender = static_cast<std::uint8_t>(100 + id), .payload = 400};
        add(cut(datagram(w), w, 104)[1]);
    }
    add(pieces[1]);
    ASSERT_EQ(wholes.size(), 1u);
    EXPECT_EQ(wholes[0], whole);
    for (std::uint32_t id = 0; id < 2000; ++id) {
        const Whole w{.id = id, .sender = static_cast<std::uint8_t>(id), .payload = 400};
        add(cut(datagram(w), w, 104)[id % 4]);
        ASSERT_LE(table.datagrams(), 32u);
        ASSERT_LE(table.fragments(), 128u);
    }
    EXPECT_GT(ended[Verdict::DropFragmentEvicted], 1000u);
}

// Few senders with many fragments each take all buffers: what is honest still finds a place.
TEST_F(ReassemblyTest, AFloodOfBuffersEvictsTheOldestToo)
{
    for (std::uint32_t id = 0; id < 10; ++id) {
        const Whole w{.id = id, .sender = static_cast<std::uint8_t>(10 + id), .payload = 400};
        const auto pieces = cut(datagram(w), w, 24);
        for (std::size_t i = 1; i < 15; ++i) add(pieces[i]);
    }
    EXPECT_LE(table.fragments(), 128u);
    const Whole honest{.id = 7777, .sender = 77, .payload = 400};
    const auto whole = datagram(honest);
    for (const auto& p : cut(whole, honest, 104)) add(p);
    ASSERT_EQ(wholes.size(), 1u);
    EXPECT_EQ(wholes[0], whole);
    EXPECT_EQ(ended[Verdict::DropFragmentCount], 0u);
    EXPECT_GT(ended[Verdict::DropFragmentEvicted], 14u);
}

// RFC 8200 4.5: a fragment that is all of a datagram has nothing to do with others of the same number.
TEST_F(ReassemblyTest, AFragmentThatIsWholeStandsForItself)
{
    const Whole w{.v6 = true, .payload = 200};
    const auto whole = datagram(w);
    const auto pieces = cut(whole, w, 104);
    add(pieces[0]);
    const Whole other{.v6 = true, .payload = 50};
    add(piece(datagram(other), other, 0, 58, false));
    ASSERT_EQ(wholes.size(), 1u);
    EXPECT_EQ(wholes[0], datagram(other));
    add(pieces[1]);
    ASSERT_EQ(wholes.size(), 2u);
    EXPECT_EQ(wholes[1], whole);
}

TEST_F(ReassemblyTest, FragmentsOfDifferentProtectionsNeverMeet)
{
    const Whole w{.payload = 200};
    const auto whole = datagram(w);
    const auto pieces = cut(whole, w, 104);
    add(pieces[0]);
    add(pieces[1], ProtectionId{3});
    EXPECT_TRUE(wholes.empty());
    add(pieces[0], ProtectionId{3});
    EXPECT_EQ(wholes.size(), 1u);
}

TEST_F(ReassemblyTest, CongestionOnAnyFragmentMarksTheWhole)
{
    const Whole w{.payload = 200};
    auto whole = datagram(w);
    header4(whole).tos = 2;
    header4(whole).compute_checksum();
    auto pieces = cut(whole, w, 104);
    header4(pieces[1]).tos = 3;
    header4(pieces[1]).compute_checksum();
    for (const auto& p : pieces) add(p);
    ASSERT_EQ(wholes.size(), 1u);
    EXPECT_EQ(header4(wholes[0]).tos, 3);
    EXPECT_TRUE(checksum4_intact(wholes[0]));
}

// Many datagrams cut anywhere, their fragments shuffled, some repeated, some lost, some forged so that they overlap.
// What comes out is always, octet for octet, one that went in; what was neither lost nor forged always comes out.
TEST_F(ReassemblyTest, RandomOrdersAgreeWithWhatWasSent)
{
    std::mt19937 random{20261122};
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>{0, n - 1}(random); };
    std::size_t whole_count = 0;
    for (int round = 0; round < 400; ++round) {
        std::map<std::uint32_t, Octets> sent;
        std::map<std::uint32_t, bool> intact, forged;
        std::vector<Octets> wire;
        for (std::uint32_t i = 0; i < 6; ++i) {
            const Whole w{.v6 = below(2) == 0,
                          .id = static_cast<std::uint32_t>(round) * 8 + i,
                          .sender = static_cast<std::uint8_t>(below(200) + 1),
                          .payload = 16 + below(900)};
            const auto whole = datagram(w);
            const auto payload = whole.size() - (w.v6 ? 40 : 20);
            std::vector<std::pair<std::size_t, std::size_t>> parts;
            for (std::size_t at = 0; at < payload;) {
                const auto n = std::min(payload - at, 8 * (1 + below(payload / 8 / 3 + 12)));
                parts.emplace_back(at, n);
                at += n;
            }
            if (parts.size() < 2 || parts.size() > 16) continue;
            bool lost = false, bad = false;
            for (const auto& [at, n] : parts) {
                const auto p = piece(whole, w, at, n, at + n < payload);
                const auto fate = below(40);
                if (fate == 0) {
                    lost = true;
                    continue;
                }
                wire.push_back(p);
                if (fate < 4) wire.push_back(p);
                if (fate == 4 && at >= 8) {
                    wire.push_back(piece(whole, w, at - 8, 16 <= payload - at + 8 ? 16 : 8, true));
                    bad = true;
                }
            }
            sent[w.id] = whole;
            intact[w.id] = !lost && !bad;
        }
        std::shuffle(wire.begin(), wire.end(), random);
        for (const auto& p : wire) add(p);
        std::size_t expected = 0;
        for (const auto& [id, ok] : intact) expected += ok;
        std::size_t good = 0;
        for (const auto& got : wholes) {
            bool known = false;
            for (const auto& [id, whole] : sent) {
                if (whole != got) continue;
                known = true;
                good += intact[id];
            }
            EXPECT_TRUE(known) << "made of nothing that was sent";
        }
        EXPECT_GE(good, expected) << "round " << round;
        whole_count += wholes.size();
        wholes.clear();
        advance(2s);
        ASSERT_EQ(table.datagrams(), 0u);
    }
    EXPECT_GT(whole_count, 800u);
}

}  // namespace

}  // namespace culvert::dataplane::test
