#include "controlplane/runtime/bfd_sessions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace culvert::runtime {
namespace {

constexpr TimePoint kT0{1h};
const IpAddress kPeer = IpAddress::parse("10.0.0.2").value();
const IpAddress kOther = IpAddress::parse("10.0.0.3").value();
const IpAddress kLocal = IpAddress::parse("10.0.0.1").value();

class Sessions : public ::testing::Test, protected BfdSessions::Actions {
protected:
    crypto::SeededRandom random{7};
    BfdSessions sessions{*this, random};
    std::vector<std::string> did;
    std::uint64_t generation = 10;  // committed last
    std::vector<api::SetBfdSession> set;
    std::vector<api::DeleteBfdSession> deleted;

    static BfdSessionKey key(const IpAddress& peer = kPeer)
    {
        return {.vrf = kDefaultVrf, .peer = peer, .interface = InterfaceId{3}};
    }
    static BfdWanted wanted(const IpAddress& peer = kPeer)
    {
        BfdWanted out;
        out.word.interface = InterfaceId{3};
        out.word.local = kLocal;
        out.word.peer = peer;
        out.name = peer.to_string();
        return out;
    }
    void acked() { sessions.on_acked(++generation); }
    std::vector<std::string> take() { return std::exchange(did, {}); }
    void up(BfdSessionId id)
    {
        api::BfdChanged change;
        change.id = id;
        change.state = api::BfdState::Up;
        change.at = kT0;
        sessions.on_changed(change, kT0);
    }
    void answer(const api::DeleteBfdSession& d)
    {
        api::BfdChanged change;
        change.id = d.id;
        change.deleted = true;
        sessions.on_changed(change, kT0);
    }

    static std::string s(BfdSessionId id) { return std::to_string(index(id)); }
    std::uint64_t add_session(BfdSessionId id, const std::string&) override
    {
        did.push_back("word " + s(id));
        return generation + 1;
    }
    void bind(BfdSessionId id, const fibprog::Gateway& g) override
    {
        did.push_back("bind " + s(id) + " " + g.address.to_string());
    }
    void unbind(BfdSessionId id, const fibprog::Gateway& g) override
    {
        did.push_back("unbind " + s(id) + " " + g.address.to_string());
    }
    std::uint64_t remove_session(BfdSessionId id) override
    {
        did.push_back("remove " + s(id));
        return generation + 1;
    }
    NexthopId hold(const fibprog::Gateway& g) override
    {
        did.push_back("hold " + g.address.to_string());
        return NexthopId{77};
    }
    void release(const fibprog::Gateway& g) override { did.push_back("release " + g.address.to_string()); }
    void command(WorkerId worker, const api::SetBfdSession& session) override
    {
        did.push_back("set " + s(session.id) + " at " + std::to_string(index(worker)));
        set.push_back(session);
    }
    void command(WorkerId worker, const api::DeleteBfdSession& session) override
    {
        did.push_back("delete " + s(session.id) + " at " + std::to_string(index(worker)));
        deleted.push_back(session);
    }
    void on_session(const BfdSessionKey&, const api::BfdChanged& before, const api::BfdChanged& now) override
    {
        did.push_back("state " + std::to_string(static_cast<int>(before.state)) + "-" +
                      std::to_string(static_cast<int>(now.state)));
    }
};

using Did = std::vector<std::string>;

TEST_F(Sessions, TheWorkerIsToldWhenTheDownWordExists)
{
    EXPECT_TRUE(sessions.want({{key(), wanted()}}));
    EXPECT_EQ(take(), (Did{"hold 10.0.0.2", "word 1", "bind 1 10.0.0.2"}));
    sessions.on_acked(generation);
    EXPECT_EQ(take(), Did{}) << "the batch with the word is the next one";
    EXPECT_FALSE(sessions.find(key())->running);
    acked();
    EXPECT_EQ(take(), Did{"set 1 at 0"});
    EXPECT_EQ(set.back().nexthop, NexthopId{77});
    EXPECT_NE(set.back().discriminator, 0U);
    EXPECT_TRUE(sessions.find(key())->running);
    acked();
    EXPECT_EQ(take(), Did{}) << "once";
}

TEST_F(Sessions, OnlyAChangeIsTold)
{
    sessions.want({{key(), wanted()}});
    acked();
    const auto discriminator = set.back().discriminator;
    take();
    sessions.want({{key(), wanted()}});
    EXPECT_EQ(take(), Did{});
    auto faster = wanted();
    faster.word.desired_min_tx = 50000;
    sessions.want({{key(), faster}});
    EXPECT_EQ(take(), Did{"set 1 at 0"});
    EXPECT_EQ(set.back().discriminator, discriminator) << "the same session";
    EXPECT_EQ(set.back().nexthop, NexthopId{77});
    auto signs = faster;
    signs.word.key_count = 1;
    signs.word.keys[0] = {api::BfdAuthentication::KeyedSha1, 7, 2, {'k', '1'}};
    sessions.want({{key(), signs}});
    EXPECT_EQ(take(), Did{"set 1 at 0"});
    signs.word.keys[0].secret[1] = '2';
    sessions.want({{key(), signs}});
    EXPECT_EQ(take(), Did{"set 1 at 0"}) << "another secret";
}

TEST_F(Sessions, WhatChangesBeforeTheWordExistsIsInTheFirstWord)
{
    sessions.want({{key(), wanted()}});
    auto faster = wanted();
    faster.word.desired_min_tx = 50000;
    sessions.want({{key(), faster}});
    acked();
    ASSERT_EQ(set.size(), 1U);
    EXPECT_EQ(set.back().desired_min_tx, 50000U);
}

TEST_F(Sessions, GoesInOrderAndTheIdRests)
{
    sessions.want({{key(), wanted()}});
    acked();
    take();
    sessions.want({});
    EXPECT_EQ(take(), (Did{"unbind 1 10.0.0.2", "delete 1 at 0"}));
    EXPECT_EQ(sessions.size(), 0U);
    up(BfdSessionId{1});
    EXPECT_EQ(take(), Did{}) << "what it says now is no news";
    answer(deleted.back());
    EXPECT_EQ(take(), (Did{"remove 1", "release 10.0.0.2"}));
    answer(deleted.back());
    EXPECT_EQ(take(), Did{}) << "once";
}

TEST_F(Sessions, OneThatNoWorkerHeardOfGoesAtOnce)
{
    sessions.want({{key(), wanted()}});
    take();
    sessions.want({});
    EXPECT_EQ(take(), (Did{"unbind 1 10.0.0.2", "remove 1", "release 10.0.0.2"}));
    acked();
    EXPECT_EQ(take(), Did{});
}

TEST_F(Sessions, MovesWhenAnotherWorkerOwnsIt)
{
    sessions.want({{key(), wanted()}});
    acked();
    up(BfdSessionId{1});
    take();
    auto moved = wanted();
    moved.owner = WorkerId{1};
    sessions.want({{key(), moved}});
    EXPECT_EQ(take(), Did{"delete 1 at 0"});
    moved.word.multiplier = 5;
    sessions.want({{key(), moved}});
    EXPECT_EQ(take(), Did{}) << "nobody has it just now";
    answer(deleted.back());
    EXPECT_EQ(take(), Did{"set 1 at 1"});
    EXPECT_EQ(set.back().multiplier, 5);
}

TEST_F(Sessions, GoesWhileItMoves)
{
    sessions.want({{key(), wanted()}});
    acked();
    auto moved = wanted();
    moved.owner = WorkerId{1};
    sessions.want({{key(), moved}});
    take();
    sessions.want({});
    EXPECT_EQ(take(), Did{"unbind 1 10.0.0.2"}) << "it was deleted already";
    answer(deleted.back());
    EXPECT_EQ(take(), (Did{"remove 1", "release 10.0.0.2"}));
}

TEST_F(Sessions, AnotherAddressOfOursIsAnotherSession)
{
    sessions.want({{key(), wanted()}});
    acked();
    take();
    auto other = wanted();
    other.word.local = IpAddress::parse("10.0.0.9").value();
    sessions.want({{key(), other}});
    EXPECT_EQ(take(), (Did{"unbind 1 10.0.0.2", "delete 1 at 0", "hold 10.0.0.2", "word 2", "bind 2 10.0.0.2"}));
    answer(deleted.back());
    EXPECT_EQ(take(), (Did{"remove 1", "release 10.0.0.2"}));
    EXPECT_EQ(sessions.find(key())->id, BfdSessionId{2});
}

TEST_F(Sessions, OfTwoMultihopSessionsOneRemains)
{
    const auto multihop = [](const IpAddress& local) {
        auto w = wanted();
        w.word.multihop = true;
        w.word.interface = kNoInterface;
        w.word.local = local;
        return std::pair{BfdSessionKey{.peer = kPeer, .local = local, .multihop = true}, w};
    };
    sessions.want({multihop(kLocal), multihop(kOther)});
    EXPECT_EQ(take(), (Did{"word 1", "bind 1 10.0.0.2", "word 2", "bind 2 10.0.0.2"})) << "no next hop is held";
    acked();
    take();
    sessions.want({multihop(kLocal)});
    EXPECT_EQ(take(), (Did{"unbind 2 10.0.0.2", "unbind 1 10.0.0.2", "bind 1 10.0.0.2", "delete 2 at 0"}));
}

TEST_F(Sessions, StatesAreToldAsTheyChange)
{
    sessions.want({{key(), wanted()}});
    acked();
    take();
    up(BfdSessionId{1});
    EXPECT_EQ(take(), Did{"state 1-3"});
    EXPECT_EQ(sessions.find(key())->changed_at, kT0);
    up(BfdSessionId{99});
    EXPECT_EQ(take(), Did{});
}

TEST_F(Sessions, ThereIsAnIdForAsManyAsThereMayBe)
{
    std::map<BfdSessionKey, BfdWanted> all;
    for (std::uint32_t i = 1; i < api::kMaxBfdSessions; ++i) {
        const IpAddress peer{Ipv4Address{0x0a000000U + i}};
        all[key(peer)] = wanted(peer);
    }
    EXPECT_TRUE(sessions.want(all));
    const IpAddress one_more{Ipv4Address{0x0b000000U}};
    auto more = all;
    more[key(one_more)] = wanted(one_more);
    EXPECT_FALSE(sessions.want(more));
    EXPECT_EQ(sessions.find(key(one_more)), nullptr);
    // One goes: its id is free when the dataplane has forgotten its word.
    more.erase(all.begin()->first);
    EXPECT_FALSE(sessions.want(more));
    acked();
    EXPECT_TRUE(sessions.want(more));
    EXPECT_NE(sessions.find(key(one_more)), nullptr);
}

}  // namespace
}  // namespace culvert::runtime
