#include "base/ip.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(IpAddress, ParsesWhatItPrints)
{
    for (const auto* text : {"0.0.0.0", "10.255.0.1", "255.255.255.255", "::", "2001:db8::1", "fe80::1"})
        EXPECT_EQ(IpAddress::parse(text).value().to_string(), text);
}

TEST(IpAddress, RefusesWhatIsNotOne)
{
    for (const auto* text : {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.+4", " 1.2.3.4", "1..2.3", "0001.2.3.4",
                             "2001:db8", "1.2.3.4/8", ":::", "12345::"})
        EXPECT_FALSE(IpAddress::parse(text)) << text;
}

TEST(IpPrefix, ClearsHostBits)
{
    EXPECT_EQ(IpPrefix::parse("10.1.2.3/9").value().to_string(), "10.0.0.0/9");
    EXPECT_EQ(IpPrefix::parse("10.1.2.3/0").value().to_string(), "0.0.0.0/0");
    EXPECT_EQ(IpPrefix::parse("2001:db8:ffff::1/33").value().to_string(), "2001:db8:8000::/33");
    EXPECT_FALSE(IpPrefix::parse("10.0.0.0/33"));
    EXPECT_FALSE(IpPrefix::parse("10.0.0.0"));
    EXPECT_FALSE(IpPrefix::parse("::/129"));
}

TEST(IpPrefix, ContainsByFamilyAndBits)
{
    const auto p = IpPrefix::parse("10.128.0.0/9").value();
    EXPECT_TRUE(p.contains(IpAddress::parse("10.129.1.1").value()));
    EXPECT_FALSE(p.contains(IpAddress::parse("10.127.1.1").value()));
    EXPECT_FALSE(IpPrefix::parse("0.0.0.0/0").value().contains(IpAddress::parse("::1").value()));
    EXPECT_TRUE(p.contains(IpPrefix::parse("10.128.1.0/24").value()));
    EXPECT_FALSE(p.contains(IpPrefix::parse("10.0.0.0/8").value()));
}

TEST(InterfaceAddress, KeepsHostBits)
{
    const auto a = InterfaceAddress::parse("10.255.0.9/30").value();
    EXPECT_EQ(a.to_string(), "10.255.0.9/30");
    EXPECT_EQ(a.subnet().to_string(), "10.255.0.8/30");
}

TEST(Endpoint, ParsesWhatItPrints)
{
    for (const auto* text : {"198.51.100.7:51820", "[2001:db8::1]:51820"})
        EXPECT_EQ(Endpoint::parse(text).value().to_string(), text);
    for (const auto* text : {"198.51.100.7", "198.51.100.7:0", "198.51.100.7:65536", "2001:db8::1:51820", "[::1]"})
        EXPECT_FALSE(Endpoint::parse(text)) << text;
}

TEST(MacAddress, ParsesWhatItPrints)
{
    EXPECT_EQ(MacAddress::parse("02:00:5e:10:00:ff").value().to_string(), "02:00:5e:10:00:ff");
    EXPECT_FALSE(MacAddress::parse("02:00:5e:10:00"));
    EXPECT_FALSE(MacAddress::parse("02-00-5e-10-00-ff"));
}

}  // namespace
}  // namespace culvert
