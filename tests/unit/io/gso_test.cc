#include "dataplane/io/gso.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace culvert::io {
namespace {

using Frame = std::vector<std::uint8_t>;

std::uint16_t get16(const Frame& f, std::size_t at) { return static_cast<std::uint16_t>(f[at] << 8 | f[at + 1]); }
void put16(Frame& f, std::size_t at, std::size_t v)
{
    f[at] = static_cast<std::uint8_t>(v >> 8);
    f[at + 1] = static_cast<std::uint8_t>(v);
}
std::uint32_t get32(const Frame& f, std::size_t at) { return std::uint32_t{get16(f, at)} << 16 | get16(f, at + 2); }

// RFC 1071, octet by octet: the plain twin of what is tested.
std::uint16_t ones_sum(Bytes b, std::uint32_t start = 0)
{
    std::uint32_t s = start;
    for (std::size_t i = 0; i < b.size(); ++i) s += i % 2 == 0 ? b[i] << 8 : b[i];
    while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
    return static_cast<std::uint16_t>(s);
}

struct Shape {
    bool ipv6 = false;
    bool tcp = true;
    std::size_t tags = 0;
    std::size_t tcp_options = 12;
    std::size_t payload = 5000;
    std::size_t l3() const { return 14 + 4 * tags; }
    std::size_t l4() const { return l3() + (ipv6 ? 40 : 20); }
    std::size_t headers() const { return l4() + (tcp ? 20 + tcp_options : 8); }
};

Frame large_segment(const Shape& s)
{
    Frame f(s.headers() + s.payload, 0);
    for (std::size_t i = 0; i < 12; ++i) f[i] = static_cast<std::uint8_t>(i);
    for (std::size_t t = 0; t < s.tags; ++t) {
        put16(f, 12 + 4 * t, t == 0 && s.tags == 2 ? 0x88a8 : 0x8100);
        put16(f, 14 + 4 * t, 100 + t);
    }
    put16(f, s.l3() - 2, s.ipv6 ? 0x86dd : 0x0800);
    const std::size_t l4_size = f.size() - s.l4();
    if (s.ipv6) {
        f[s.l3()] = 0x60;
        put16(f, s.l3() + 4, l4_size);
        f[s.l3() + 6] = s.tcp ? 6 : 17;
        f[s.l3() + 7] = 64;
        for (std::size_t i = 8; i < 40; ++i) f[s.l3() + i] = static_cast<std::uint8_t>(0x20 + i);
    } else {
        f[s.l3()] = 0x45;
        put16(f, s.l3() + 2, 20 + l4_size);
        put16(f, s.l3() + 4, 0xfffe);  // wraps at the third segment
        f[s.l3() + 6] = 0x40;
        f[s.l3() + 8] = 64;
        f[s.l3() + 9] = s.tcp ? 6 : 17;
        for (std::size_t i = 12; i < 20; ++i) f[s.l3() + i] = static_cast<std::uint8_t>(10 + i);
    }
    put16(f, s.l4(), 40000);
    put16(f, s.l4() + 2, 179);
    if (s.tcp) {
        put16(f, s.l4() + 4, 0xffff);  // the sequence number wraps too
        put16(f, s.l4() + 6, 0xf000);
        f[s.l4() + 12] = static_cast<std::uint8_t>((20 + s.tcp_options) / 4 << 4);
        f[s.l4() + 13] = 0x80 | 0x10 | 0x08 | 0x01;  // CWR ACK PSH FIN
    } else {
        put16(f, s.l4() + 4, l4_size);
    }
    std::iota(f.begin() + static_cast<std::ptrdiff_t>(s.headers()), f.end(), std::uint8_t{7});
    return f;
}

VnetHeader vnet_for(const Shape& s, std::uint16_t mss)
{
    VnetHeader v;
    v.flags = kVnetNeedsChecksum;
    v.gso_type = s.tcp ? (s.ipv6 ? kGsoTcp6 : kGsoTcp4) : kGsoUdpL4;
    v.gso_size = mss;
    v.csum_start = static_cast<std::uint16_t>(s.l4());
    v.csum_offset = s.tcp ? 16 : 6;
    return v;
}

std::vector<Frame> cut(const Frame& f, std::size_t in_head, const VnetHeader& v)
{
    std::vector<Frame> out;
    auto s = Segmenter::make(Bytes{f}.first(in_head), Bytes{f}.subspan(in_head), v);
    if (!s) return out;
    while (!s->done()) {
        out.emplace_back(s->next_size());
        s->write_next(out.back().data());
    }
    return out;
}

void expect_like_sent_one_by_one(const Shape& s, std::size_t in_head)
{
    constexpr std::uint16_t kMss = 1400;
    const Frame whole = large_segment(s);
    const auto frames = cut(whole, in_head, vnet_for(s, kMss));
    ASSERT_EQ(frames.size(), (s.payload + kMss - 1) / kMss);

    Frame payload;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        const Frame& f = frames[i];
        SCOPED_TRACE(i);
        const bool last = i + 1 == frames.size();
        EXPECT_TRUE(std::equal(f.begin(), f.begin() + static_cast<std::ptrdiff_t>(s.l3()), whole.begin()));
        std::uint32_t pseudo = (s.tcp ? 6U : 17U) + static_cast<std::uint32_t>(f.size() - s.l4());
        if (s.ipv6) {
            EXPECT_EQ(get16(f, s.l3() + 4), f.size() - s.l4());
            pseudo += ones_sum(Bytes{f}.subspan(s.l3() + 8, 32));
        } else {
            EXPECT_EQ(get16(f, s.l3() + 2), f.size() - s.l3());
            EXPECT_EQ(get16(f, s.l3() + 4), static_cast<std::uint16_t>(0xfffe + i));
            EXPECT_EQ(ones_sum(Bytes{f}.subspan(s.l3(), 20)), 0xffff) << "IPv4 header checksum";
            pseudo += ones_sum(Bytes{f}.subspan(s.l3() + 12, 8));
        }
        EXPECT_EQ(ones_sum(Bytes{f}.subspan(s.l4()), pseudo), 0xffff) << "TCP or UDP checksum";
        if (s.tcp) {
            EXPECT_EQ(get32(f, s.l4() + 4), 0xfffff000U + static_cast<std::uint32_t>(i * kMss));
            const unsigned flags = 0x10U | (i == 0 ? 0x80U : 0U) | (last ? 0x09U : 0U);
            EXPECT_EQ(f[s.l4() + 13], flags);
        } else {
            EXPECT_EQ(get16(f, s.l4() + 4), f.size() - s.l4());
        }
        payload.insert(payload.end(), f.begin() + static_cast<std::ptrdiff_t>(s.headers()), f.end());
    }
    EXPECT_TRUE(std::equal(payload.begin(), payload.end(), whole.begin() + static_cast<std::ptrdiff_t>(s.headers())));
}

TEST(Segmenter, CutsAsANicWould)
{
    for (const bool ipv6 : {false, true})
        for (const bool tcp : {false, true})
            for (const std::size_t tags : {0, 1, 2})
                for (const std::size_t payload : {1, 1400, 1401, 5000, 60000}) {
                    Shape s;
                    s.ipv6 = ipv6;
                    s.tcp = tcp;
                    s.tags = tags;
                    s.payload = payload;
                    SCOPED_TRACE(testing::Message()
                                 << "ipv6 " << ipv6 << " tcp " << tcp << " tags " << tags << " payload " << payload);
                    expect_like_sent_one_by_one(s, s.headers() + payload);  // all in one piece
                    expect_like_sent_one_by_one(s, s.headers());            // the payload in the second
                    expect_like_sent_one_by_one(s, s.headers() + std::min<std::size_t>(payload, 2000));
                }
}

TEST(Segmenter, RefusesHeadersThatDoNotAgree)
{
    const Shape s;
    const Frame f = large_segment(s);
    const auto with = [&](auto change) {
        Frame g = f;
        VnetHeader v = vnet_for(s, 1400);
        change(g, v);
        return Segmenter::make(g, {}, v).has_value();
    };
    EXPECT_TRUE(with([](Frame&, VnetHeader&) {}));
    EXPECT_FALSE(with([](Frame&, VnetHeader& v) { v.gso_size = 0; }));
    EXPECT_FALSE(with([](Frame&, VnetHeader& v) { v.gso_size = 0xffff; })) << "no such IP packet";
    EXPECT_FALSE(with([](Frame&, VnetHeader& v) { v.gso_type = kGsoUfo; }));
    EXPECT_FALSE(with([](Frame&, VnetHeader& v) { v.gso_type = kGsoTcp6; }));
    EXPECT_FALSE(with([](Frame&, VnetHeader& v) { v.csum_start += 20; })) << "inner header of a tunnel";
    EXPECT_FALSE(with([&](Frame& g, VnetHeader&) { g.at(s.l3() + 9) = 47; }));
    EXPECT_FALSE(with([&](Frame& g, VnetHeader&) { g.at(s.l3()) = 0x41; }));
    EXPECT_FALSE(with([&](Frame& g, VnetHeader&) { g.at(s.l4() + 12) = 0x10; }));
    EXPECT_FALSE(with([&](Frame& g, VnetHeader&) { g[12] = 0x08, g.at(13) = 0x06; }));
    EXPECT_FALSE(with([&](Frame& g, VnetHeader&) { g.resize(s.headers()); })) << "no payload";
}

TEST(Segmenter, ShortFramesAreRefusedAtEveryLength)
{
    for (const bool ipv6 : {false, true}) {
        Shape s;
        s.ipv6 = ipv6;
        s.tags = 1;
        const Frame f = large_segment(s);
        for (std::size_t n = 0; n <= s.headers(); ++n) {
            const Frame head(f.begin(), f.begin() + static_cast<std::ptrdiff_t>(n));  // its own end, for ASan
            EXPECT_EQ(Segmenter::make(head, {}, vnet_for(s, 1400)).has_value(), false) << n;
        }
    }
}

TEST(Checksum, IsCompletedFromThePseudoHeaderOn)
{
    Shape s;
    s.tcp = false;
    s.payload = 333;
    Frame f = large_segment(s);
    const std::uint32_t pseudo =
        17 + static_cast<std::uint32_t>(f.size() - s.l4()) + ones_sum(Bytes{f}.subspan(s.l3() + 12, 8));
    put16(f, s.l4() + 6, ones_sum({}, pseudo));
    ASSERT_TRUE(complete_checksum(f, s.l4(), 6));
    EXPECT_EQ(ones_sum(Bytes{f}.subspan(s.l4()), pseudo), 0xffff);
    EXPECT_FALSE(complete_checksum(f, f.size() - 1, 0));
    EXPECT_FALSE(complete_checksum(f, 0xffff, 0xffff));
}

TEST(Checksum, ZeroIsSentAsAllOnes)
{
    Frame f(8, 0);
    put16(f, 0, 0xffff);
    ASSERT_TRUE(complete_checksum(f, 0, 6));
    EXPECT_EQ(get16(f, 6), 0xffff);  // RFC 768
}

}  // namespace
}  // namespace culvert::io
