#include "controlplane/runtime/too_big.h"

#include <gtest/gtest.h>

namespace culvert::runtime {

namespace {

using Packet = std::vector<std::uint8_t>;

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

void put(Packet& out, std::initializer_list<int> octets)
{
    for (const int o : octets) out.push_back(static_cast<std::uint8_t>(o));
}

Packet header4(std::uint8_t protocol, std::string_view from, std::string_view to, std::uint16_t length,
               std::uint16_t fragment = 0)
{
    Packet out;
    Writer w{out};
    w.u16(0x4500);
    w.u16(length);
    w.u16(1);
    w.u16(fragment);
    w.u8(64);
    w.u8(protocol);
    w.u16(0);
    w.bytes(ip(from).octets());
    w.bytes(ip(to).octets());
    return out;
}
Packet header6(std::uint8_t protocol, std::string_view from, std::string_view to, std::uint16_t length)
{
    Packet out;
    Writer w{out};
    w.u32(6u << 28);
    w.u16(static_cast<std::uint16_t>(length - 40));
    w.u8(protocol);
    w.u8(64);
    w.bytes(ip(from).octets());
    w.bytes(ip(to).octets());
    return out;
}
Packet error4(const Packet& quoted, std::uint16_t mtu, int type = 3, int code = 4)
{
    auto out = header4(1, "203.0.113.9", "192.0.2.1", 0);
    put(out, {type, code, 0, 0, 0, 0, mtu >> 8, mtu & 0xff});
    out.insert(out.end(), quoted.begin(), quoted.end());
    return out;
}
Packet error6(const Packet& quoted, std::uint32_t mtu, int type = 2)
{
    auto out = header6(58, "2001:db8:9::9", "2001:db8::1", 40);
    Writer w{out};
    w.u32(static_cast<std::uint32_t>(type) << 24);
    w.u32(mtu);
    w.bytes(quoted);
    return out;
}

TEST(TooBig, SaysWhatProvesThatWeSentIt)
{
    auto gre = header4(47, "192.0.2.1", "198.51.100.2", 1500, 0x4000);
    put(gre, {0x20, 0, 8, 0, 0, 0, 0, 42});
    auto told = parse_too_big(error4(gre, 1300));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->mtu, 1300);
    EXPECT_EQ(told->length, 1500);
    EXPECT_EQ(told->from, ip("192.0.2.1"));
    EXPECT_EQ(told->to, ip("198.51.100.2"));
    EXPECT_EQ(told->kind, TooBig::Kind::Gre);
    EXPECT_EQ(told->key, 42u);

    auto with_checksum = header4(47, "192.0.2.1", "198.51.100.2", 1500);
    put(with_checksum, {0xa0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7});
    told = parse_too_big(error4(with_checksum, 1300));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->key, 7u);

    auto plain = header6(47, "2001:db8::1", "2001:db8:2::2", 1480);
    put(plain, {0, 0, 0x86, 0xdd});
    told = parse_too_big(error6(plain, 70000));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->key, std::nullopt);
    EXPECT_EQ(told->mtu, 0xffff);
    EXPECT_EQ(told->length, 1480);

    auto esp = header4(50, "192.0.2.1", "198.51.100.2", 1500);
    put(esp, {0, 0, 0x10, 1, 0, 0, 0, 9});
    told = parse_too_big(error4(esp, 0));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->kind, TooBig::Kind::Esp);
    EXPECT_EQ(told->number, 0x1001u);
    EXPECT_EQ(told->mtu, 0);

    auto wireguard = header4(17, "192.0.2.1", "198.51.100.2", 1500);
    put(wireguard, {0xca, 0x6c, 0xca, 0x6d, 5, 0xc8, 0, 0, 4, 0, 0, 0, 0x2a, 1, 0, 0});
    told = parse_too_big(error4(wireguard, 1300));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->kind, TooBig::Kind::Wireguard);
    EXPECT_EQ(told->from_port, 0xca6c);
    EXPECT_EQ(told->to_port, 0xca6d);
    EXPECT_EQ(told->number, 0x12au) << "little endian";

    auto nat = header4(17, "192.0.2.1", "198.51.100.2", 1500);
    put(nat, {0x11, 0x94, 0x11, 0x94, 5, 0xc8, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 9});
    told = parse_too_big(error4(nat, 1300));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->kind, TooBig::Kind::UdpEsp);
    EXPECT_EQ(told->number, 0x1001u);
}

TEST(TooBig, NothingElseIsOne)
{
    auto gre = header4(47, "192.0.2.1", "198.51.100.2", 1500);
    put(gre, {0x20, 0, 8, 0, 0, 0, 0, 42});
    EXPECT_FALSE(parse_too_big(error4(gre, 1300, 3, 1)));
    EXPECT_FALSE(parse_too_big(error4(gre, 1300, 11, 4)));
    EXPECT_FALSE(parse_too_big(error6(gre, 1300))) << "families that don't match";
    auto tcp = header4(6, "192.0.2.1", "198.51.100.2", 1500);
    put(tcp, {0, 1, 0, 2, 0, 0, 0, 0});
    EXPECT_FALSE(parse_too_big(error4(tcp, 1300)));
    auto part = header4(47, "192.0.2.1", "198.51.100.2", 1500, 7);
    put(part, {0x20, 0, 8, 0, 0, 0, 0, 42});
    EXPECT_FALSE(parse_too_big(error4(part, 1300))) << "a later fragment shows no header";
    const auto whole = error4(gre, 1300);
    for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(parse_too_big(Bytes{whole}.first(n))) << n;
}

TEST(TooBig, PlateausGoDown)
{
    for (std::uint16_t length : {65535, 1500, 1492, 1006, 600, 300}) EXPECT_LT(plateau_below(length), length);
    EXPECT_EQ(plateau_below(1500), 1492);
    EXPECT_EQ(plateau_below(68), 68);
}

}  // namespace

}  // namespace culvert::runtime
