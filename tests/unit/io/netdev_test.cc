#include "dataplane/io/netdev.h"

#include "tests/unit/io/lab.h"

#include <gmock/gmock.h>

namespace culvert::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class NetdevTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
        inside = std::make_unique<lab::Namespace>("netdev");
        inside->ip("link add d0 type veth peer name d1");
        inside->ip("link set d1 up");
        inside->ip("link set d0 up");
    }

    Result<Netdev, std::string> usable()
    {
        Result<Netdev, std::string> found = Error{std::string()};
        inside->inside([&] { found = find_usable_netdev("d0", false); });
        return found;
    }

    std::unique_ptr<lab::Namespace> inside;
};

// BGP over an unnumbered interface: the neighbour's advertisements reach a kernel before culvert takes the device from
// it.
TEST_F(NetdevTest, AnAdvertisedDefaultRouteHoldsADeviceOnlyWithAGlobalAddress)
{
    inside->ip("-6 route add default via fe80::1 dev d0 proto ra");
    EXPECT_TRUE(usable());
    inside->ip("-6 address add 2001:db8::1/64 dev d0 nodad");
    ASSERT_FALSE(usable());
    EXPECT_THAT(usable().error(), HasSubstr("port kernel d0 force"));
    inside->ip("-6 address del 2001:db8::1/64 dev d0");
    EXPECT_TRUE(usable());
    inside->ip("-6 route add default via fe80::2 dev d0 metric 1");
    EXPECT_FALSE(usable()) << "one that the operator set holds it in any case";
}

TEST_F(NetdevTest, WhatARouterAdvertisedIsNotPutBackForEver)
{
    inside->ip("address add 10.9.0.1/24 dev d0");
    inside->ip("route add 10.10.0.0/16 via 10.9.0.2");
    inside->ip("-6 route add default via fe80::1 dev d0 proto ra");
    inside->ip("-6 route add 2001:db8:1::/48 via fe80::2 dev d0");
    Result<NetdevState, std::string> state = Error{std::string()};
    inside->inside([&] { state = NetdevState::put_aside(*find_netdev("d0")); });
    ASSERT_TRUE(state) << state.error();
    EXPECT_THAT(inside->run("ip -6 route"), AllOf(Not(HasSubstr("fe80::1")), Not(HasSubstr("fe80::2"))));
    inside->inside([&] { state->restore(); });
    EXPECT_THAT(inside->run("ip -6 route"),
                AllOf(Not(HasSubstr("proto ra")), HasSubstr("2001:db8:1::/48 via fe80::2")));
    EXPECT_THAT(inside->run("ip route"), HasSubstr("10.10.0.0/16 via 10.9.0.2"));
}

}  // namespace
}  // namespace culvert::io
