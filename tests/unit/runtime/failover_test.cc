#include "controlplane/runtime/failover.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace culvert::runtime {
namespace {

constexpr TimePoint kT0{1h};
constexpr Subject kPort{Subject::Kind::Port, 3};
constexpr Subject kSession{Subject::Kind::Session, 9};

class FailoverEngine : public ::testing::Test, protected Failover::Actions {
protected:
    Failover failover{*this};
    std::vector<std::string> did;
    std::map<Subject, std::uint32_t> met_by;

    static Failover::Failure failure(TimePoint at, std::uint32_t epoch = 1)
    {
        return {api::cause::kBfd, epoch, at - 150ms, at, true};
    }
    FailoverRecord only() const
    {
        EXPECT_EQ(failover.records().size(), 1U);
        return failover.records().back();
    }

    void take_out(const Subject& s) override { did.push_back("out " + name(s)); }
    void clear(const Subject& s, std::uint32_t epoch) override
    {
        did.push_back("clear " + name(s) + " " + std::to_string(epoch));
    }
    void bring_back(const Subject& s) override { did.push_back("back " + name(s)); }
    std::uint32_t met(const Subject& s) const override { return met_by.contains(s) ? met_by.at(s) : 0; }
    std::string name(const Subject& s) const override { return std::to_string(s.id); }
};

using Did = std::vector<std::string>;

TEST_F(FailoverEngine, WhatComesBackIsUsedAfterItStayedForTheHoldUp)
{
    failover.set_hold_up(1s);
    failover.on_down(kSession, failure(kT0), kT0 + 1ms);
    EXPECT_EQ(did, Did{"out 9"});
    failover.on_settled(kT0 + 20ms);
    EXPECT_EQ(failover.next_deadline(), kNever);
    EXPECT_TRUE(failover.on_alive(kSession, kT0 + 5s));
    EXPECT_EQ(failover.next_deadline(), kT0 + 6s);
    EXPECT_EQ(failover.due(kSession), kT0 + 6s);
    failover.on_time(kT0 + 6s - 1ms);
    EXPECT_TRUE(failover.is_down(kSession));
    did.clear();
    failover.on_time(kT0 + 6s);
    EXPECT_EQ(did, (Did{"clear 9 1", "back 9"})) << "the word first: routes must not lead to what is still down";
    EXPECT_FALSE(failover.is_down(kSession));
    EXPECT_FALSE(failover.on_alive(kSession, kT0 + 7s));

    const auto r = only();
    EXPECT_EQ(r.number, 1U);
    EXPECT_EQ(r.at - r.since, 150ms);
    EXPECT_EQ(r.heard, kT0 + 1ms);
    EXPECT_EQ(r.settled, kT0 + 20ms);
    EXPECT_EQ(r.alive, kT0 + 5s);
    EXPECT_EQ(r.restored, kT0 + 6s);
    EXPECT_EQ(r.causes, api::cause::kBfd);
}

TEST_F(FailoverEngine, ARelapseStartsTheWaitAnewAndIsClearedByItsOwnEpoch)
{
    failover.set_hold_up(1s);
    failover.on_down(kPort, failure(kT0, 4), kT0);
    failover.on_settled(kT0);
    failover.on_alive(kPort, kT0 + 100ms);
    failover.on_down(kPort, failure(kT0 + 900ms, 5), kT0 + 900ms);
    failover.on_time(kT0 + 10s);
    EXPECT_TRUE(failover.is_down(kPort));
    failover.on_alive(kPort, kT0 + 20s);
    failover.on_alive(kPort, kT0 + 20s + 999ms);  // said twice is not later
    failover.on_time(kT0 + 21s);
    EXPECT_EQ(did, (Did{"out 3", "clear 3 5", "back 3"}));
    EXPECT_EQ(only().relapses, 1U);
    // The next failure is one of its own.
    failover.on_down(kPort, failure(kT0 + 30s, 6), kT0 + 30s);
    EXPECT_EQ(failover.records().size(), 2U);
}

TEST_F(FailoverEngine, NothingReturnsBeforeControlIsThrough)
{
    failover.set_hold_up(0s);
    failover.on_down(kPort, failure(kT0), kT0);
    failover.on_alive(kPort, kT0 + 1s);
    failover.on_time(kT0 + 2s);
    EXPECT_TRUE(failover.is_down(kPort));
    EXPECT_EQ(failover.next_deadline(), kNever);
    failover.on_settled(kT0 + 3s);
    EXPECT_FALSE(failover.is_down(kPort));
    // Without a hold-up it returns with its sign of life.
    failover.on_down(kPort, failure(kT0 + 4s, 2), kT0 + 4s);
    failover.on_settled(kT0 + 5s);
    failover.on_alive(kPort, kT0 + 6s);
    EXPECT_FALSE(failover.is_down(kPort));
}

TEST_F(FailoverEngine, WhatWasNeverUsedIsNoFailureAndIsNotHeldUp)
{
    auto f = failure(kT0);
    f.was_used = false;
    failover.on_down(kPort, f, kT0);
    EXPECT_TRUE(failover.records().empty());
    failover.on_alive(kPort, kT0 + 1ms);
    EXPECT_EQ(did, (Did{"out 3", "clear 3 1", "back 3"}));
    EXPECT_EQ(failover.total(), 0U);
}

TEST_F(FailoverEngine, PacketsAreCountedForEachFailure)
{
    failover.set_hold_up(0s);
    met_by[kPort] = 0;
    failover.on_down(kPort, failure(kT0), kT0);
    met_by[kPort] = 70;
    EXPECT_EQ(only().packets, 70U);
    failover.on_settled(kT0);
    failover.on_alive(kPort, kT0 + 1s);
    met_by[kPort] = 75;  // until the dataplane has taken the clear
    failover.on_settled(kT0 + 1s);
    met_by[kPort] = 80;
    EXPECT_EQ(only().packets, 75U);
    failover.on_down(kPort, failure(kT0 + 2s, 2), kT0 + 2s);
    EXPECT_EQ(failover.records().back().packets, 5U);
    met_by[kPort] = 3;  // a new word under the old id
    EXPECT_EQ(failover.records().back().packets, 3U);
}

TEST_F(FailoverEngine, WhatIsDeletedIsForgottenButForItsRecord)
{
    failover.on_down(kSession, failure(kT0), kT0);
    failover.forget(kSession, kT0 + 1s);
    EXPECT_FALSE(failover.is_down(kSession));
    EXPECT_TRUE(only().gone);
    EXPECT_EQ(did, Did{"out 9"});
    failover.on_settled(kT0 + 2s);
    EXPECT_FALSE(failover.on_alive(kSession, kT0 + 3s));
}

TEST_F(FailoverEngine, OnlySoManyRecordsAreKept)
{
    failover.set_hold_up(0s);
    for (std::uint32_t i = 0; i < Failover::kRecords + 10; ++i) {
        const Subject s{Subject::Kind::Session, i};
        failover.on_down(s, failure(kT0 + i * 1s), kT0 + i * 1s);
    }
    const auto records = failover.records();
    EXPECT_EQ(records.size(), Failover::kRecords);
    EXPECT_EQ(records.front().number, 11U);
    EXPECT_EQ(failover.total(), Failover::kRecords + 10);
    // Those whose record is gone are followed through all the same.
    failover.on_settled(kT0 + 1h);
    failover.on_alive({Subject::Kind::Session, 0}, kT0 + 1h);
    EXPECT_FALSE(failover.is_down({Subject::Kind::Session, 0}));
    EXPECT_EQ(failover.down().size(), Failover::kRecords + 9);
}

}  // namespace
}  // namespace culvert::runtime
