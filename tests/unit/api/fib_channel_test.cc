#include "dataplane/api/fib_channel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

namespace culvert::api {
namespace {

SetRoute route(std::uint32_t n, std::uint32_t group)
{
    return {kDefaultVrf, IpPrefix::host(Ipv4Address{n}), GroupId{group}};
}

TEST(FibChannel, KeepsEveryUpdateInOrderWhenTheRingIsFull)
{
    auto channel = std::make_unique<FibChannel>();
    const std::uint32_t count = FibChannel::kCapacity * 2;
    for (std::uint32_t i = 0; i < count; ++i) channel->push(route(i, i + 1));
    EXPECT_GT(channel->backlog(), 0U);
    const auto generation = channel->commit();

    std::uint32_t next = 0;
    FibUpdate update;
    while (true) {
        channel->flush();
        if (!channel->pop(update)) break;
        if (const auto* commit = std::get_if<Commit>(&update)) {
            EXPECT_EQ(commit->generation, generation);
            EXPECT_EQ(next, count);
            continue;
        }
        EXPECT_EQ(index(std::get<SetRoute>(update).group), ++next);
    }
    EXPECT_EQ(channel->backlog(), 0U);
}

TEST(FibChannel, CoalescesPrefixesThatWaitButNeverAheadOfTheObjectsTheyName)
{
    auto channel = std::make_unique<FibChannel>();
    for (std::uint32_t i = 0; i < FibChannel::kCapacity; ++i) channel->push(route(i, 1));
    channel->push(route(7, 2));
    channel->push(SetGroup{GroupId{3}, 1});
    channel->push(route(7, 3));
    channel->push(DeleteGroup{GroupId{2}});

    FibUpdate update;
    bool group_made = false;
    std::map<std::uint32_t, std::uint32_t> last;
    int of_seven = 0;
    while (true) {
        channel->flush();
        if (!channel->pop(update)) break;
        if (std::holds_alternative<SetGroup>(update)) group_made = true;
        if (const auto* r = std::get_if<SetRoute>(&update)) {
            if (r->group == GroupId{3}) {
                EXPECT_TRUE(group_made);
            }
            if (r->prefix.address.v4().value == 7) ++of_seven;
            last[r->prefix.address.v4().value] = index(r->group);
        }
    }
    EXPECT_EQ(last[7], 3U);
    EXPECT_EQ(of_seven, 2) << "the one in the ring and the newest of those that waited";
}

TEST(FibChannel, AcksGenerations)
{
    auto channel = std::make_unique<FibChannel>();
    const auto generation = channel->commit();
    EXPECT_LT(channel->acked(), generation);
    FibUpdate update;
    while (channel->pop(update)) {
        if (const auto* commit = std::get_if<Commit>(&update)) channel->ack(commit->generation);
    }
    EXPECT_EQ(channel->acked(), generation);
}

}  // namespace
}  // namespace culvert::api
