#include "dataplane/wg/peer_table.h"

#include "crypto/chacha20_poly1305.h"
#include "crypto/random.h"
#include "dataplane/wg/replay_window.h"
#include "dataplane/wg/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace culvert::wg {
namespace {

using api::Verdict;

constexpr TimePoint kT0{1h};  // not zero, so no code can treat zero as "unset"
constexpr PeerId kPeer{3};
const Endpoint kHere{Ipv4Address{0x0a000001}, 51820};
const Endpoint kThere{Ipv4Address{0x0a000002}, 51820};

// ---- the window ----------------------------------------------------------------------------------------------------

TEST(ReplayWindow, TakesEachCounterOnce)
{
    ReplayWindow w;
    EXPECT_TRUE(w.accept(0));
    EXPECT_FALSE(w.accept(0));
    EXPECT_TRUE(w.accept(1));
    EXPECT_TRUE(w.accept(5));
    EXPECT_TRUE(w.accept(3));
    EXPECT_FALSE(w.accept(3));
    EXPECT_FALSE(w.accept(5));
    EXPECT_EQ(w.next(), 6U);
}

TEST(ReplayWindow, ReachesBackItsWholeLengthAndNoFurther)
{
    static_assert(ReplayWindow::kWindow >= 8192);
    for (const std::uint64_t newest : {20'000ULL, 20'063ULL, 20'064ULL, 1ULL << 40, ~0ULL - (1ULL << 14)}) {
        ReplayWindow w;
        EXPECT_TRUE(w.accept(newest));
        EXPECT_TRUE(w.accept(newest - ReplayWindow::kWindow + 1)) << newest;
        EXPECT_FALSE(w.accept(newest - ReplayWindow::kWindow)) << newest;
        EXPECT_FALSE(w.accept(newest)) << newest;
    }
}

// Against a set that forgets nothing.
TEST(ReplayWindow, AgreesWithASet)
{
    crypto::SeededRandom random(6479);
    for (int round = 0; round < 30; ++round) {
        ReplayWindow w;
        std::set<std::uint64_t> seen;
        std::uint64_t newest = random.u32() % 100'000;
        for (int i = 0; i < 5'000; ++i) {
            const auto kind = random.u32() % 100;
            const std::uint64_t spread = kind < 90 ? 300 : kind < 98 ? 20'000 : 200'000;
            const std::uint64_t offset = random.u64() % spread;
            const std::uint64_t counter = random.u32() % 2 == 0 ? newest + offset : newest - std::min(newest, offset);
            const std::uint64_t greatest = seen.empty() ? 0 : *seen.rbegin();
            const bool in_window = seen.empty() || counter > greatest || greatest - counter < ReplayWindow::kWindow;
            ASSERT_EQ(w.accept(counter), in_window && !seen.contains(counter)) << counter << " after " << greatest;
            if (in_window) seen.insert(counter);
            if (random.u32() % 4 == 0) newest = std::max(newest, counter);
        }
    }
}

// ---- the index -----------------------------------------------------------------------------------------------------

TEST(SessionIndex, AgreesWithAMap)
{
    crypto::SeededRandom random(1);
    SessionIndex index(64);
    std::vector<Session> sessions(64);
    std::map<std::uint32_t, Session*> reference;
    for (int i = 0; i < 20'000; ++i) {
        const std::uint32_t key = random.u32() % 97 * 128 + random.u32() % 3;  // made to collide
        if (random.u32() % 2 == 0 && reference.size() < sessions.size()) {
            Session* const s = &sessions[random.u32() % sessions.size()];
            ASSERT_EQ(index.insert(key, s), reference.try_emplace(key, s).second);
        } else {
            index.erase(key);
            reference.erase(key);
        }
        for (const std::uint32_t k : {key, key + 1, key - 1}) {
            const auto found = reference.find(k);
            ASSERT_EQ(index.find(k), found == reference.end() ? nullptr : found->second);
        }
    }
    for (const auto& [key, session] : reference) EXPECT_EQ(index.find(key), session);
}

// ---- the table -----------------------------------------------------------------------------------------------------

struct Packet {
    std::vector<std::uint8_t> bytes;  // the UDP payload
};

class PeerTableTest : public testing::Test {
protected:
    PeerTableTest()
        : random_(9), near_activity_(8), far_activity_(8), near_(aead_, near_activity_), far_(aead_, far_activity_)
    {
        near_.apply(api::MovePeer{kPeer, kThere}, kT0);
        far_.apply(api::MovePeer{kPeer, kHere}, kT0);
    }

    // Keys of one handshake that `near_` began, in both tables.
    void handshake(TimePoint now)
    {
        const auto [ours, theirs] = make_keys(now);
        EXPECT_TRUE(far_.apply(theirs, now));
        EXPECT_TRUE(near_.apply(ours, now));
    }
    std::pair<api::InstallKeys, api::InstallKeys> make_keys(TimePoint now)
    {
        api::InstallKeys ours{};
        ours.peer = kPeer;
        ours.sequence = ++sequence_;
        ours.local_index = random_.u32();
        ours.remote_index = random_.u32();
        ours.initiator = true;
        ours.created = now;
        random_.fill(ours.sending);
        random_.fill(ours.receiving);
        api::InstallKeys theirs = ours;
        std::swap(theirs.sending, theirs.receiving);
        std::swap(theirs.local_index, theirs.remote_index);
        theirs.initiator = false;
        return {ours, theirs};
    }

    static std::vector<std::uint8_t> inner(std::size_t size, std::uint8_t fill = 0xab)
    {
        std::vector<std::uint8_t> p(size, fill);
        if (size >= 20) {
            p[0] = 0x45;
            p[2] = static_cast<std::uint8_t>(size >> 8);
            p[3] = static_cast<std::uint8_t>(size);
        }
        return p;
    }
    static SealJob job_for(std::vector<std::uint8_t>& buffer, const std::vector<std::uint8_t>& text,
                           std::uint16_t mtu = 0)
    {
        buffer.assign(kDataHeader + text.size() + kMaxPadding + kDataTrailer, 0xee);
        std::copy(text.begin(), text.end(), buffer.begin() + kDataHeader);
        SealJob job;
        job.peer = kPeer;
        job.data = buffer.data() + kDataHeader;
        job.length = static_cast<std::uint32_t>(text.size());
        job.mtu = mtu;
        return job;
    }
    Packet seal(PeerTable& table, const std::vector<std::uint8_t>& text, TimePoint now, std::uint16_t mtu = 0)
    {
        std::vector<std::uint8_t> buffer;
        SealJob job = job_for(buffer, text, mtu);
        table.seal({&job, 1}, now);
        EXPECT_EQ(job.verdict, Verdict::Forward);
        buffer.resize(job.sealed_length);
        return {buffer};
    }
    Verdict try_seal(PeerTable& table, TimePoint now)
    {
        std::vector<std::uint8_t> buffer;
        SealJob job = job_for(buffer, inner(64));
        const auto before = buffer;
        table.seal({&job, 1}, now);
        EXPECT_TRUE(job.verdict == Verdict::Forward || buffer == before) << "what is held must not be touched";
        return job.verdict;
    }
    OpenJob open(PeerTable& table, Packet& packet, TimePoint now, Endpoint from = kHere)
    {
        OpenJob job;
        job.data = packet.bytes.data();
        job.length = static_cast<std::uint32_t>(packet.bytes.size());
        job.from = from;
        table.open({&job, 1}, now);
        return job;
    }
    Verdict open_verdict(PeerTable& table, Packet packet, TimePoint now, Endpoint from = kHere)
    {
        return open(table, packet, now, from).verdict;
    }
    static std::vector<api::WorkerEvent> events(PeerTable& table)
    {
        std::vector<api::WorkerEvent> out;
        EXPECT_EQ(table.take_events([&](const api::WorkerEvent& e) {
            out.push_back(e);
            return true;
        }),
                  0U);
        return out;
    }
    static std::vector<Ready> ready(PeerTable& table)
    {
        std::vector<Ready> out;
        table.take_ready([&](Ready r) { out.push_back(r); });
        return out;
    }

    crypto::SeededRandom random_;
    std::uint64_t sequence_ = 0;
    crypto::AeadContext aead_;
    std::vector<api::PeerActivity> near_activity_, far_activity_;
    PeerTable near_, far_;
};

TEST_F(PeerTableTest, SealsAsThePaperSaysAndOpens)
{
    const auto [ours, theirs] = make_keys(kT0);
    near_.apply(ours, kT0);
    far_.apply(theirs, kT0);
    const auto text = inner(100);
    Packet p = seal(near_, text, kT0);
    ASSERT_EQ(p.bytes.size(), kDataOverhead + 112) << "padded to 16";
    EXPECT_EQ(Bytes{p.bytes}.first(4)[0], 4);
    std::vector<std::uint8_t> opened(112);
    ASSERT_TRUE(crypto::open(ours.sending, 0, {}, Bytes{p.bytes}.subspan(16), opened));
    EXPECT_TRUE(std::equal(text.begin(), text.end(), opened.begin()));
    EXPECT_EQ(std::count(opened.begin() + 100, opened.end(), 0), 12) << "padding is zeros";

    const auto job = open(far_, p, kT0);
    EXPECT_EQ(job.verdict, Verdict::Forward);
    EXPECT_EQ(job.peer, kPeer);
    EXPECT_EQ(std::vector<std::uint8_t>(job.inner, job.inner + job.inner_length), text);
}

TEST_F(PeerTableTest, PaddingStaysWithinTheMtu)
{
    handshake(kT0);
    EXPECT_EQ(seal(near_, inner(1420), kT0, 1420).bytes.size(), 1420 + kDataOverhead);
    EXPECT_EQ(seal(near_, inner(1411), kT0, 1420).bytes.size(), 1420 + kDataOverhead) << "1424 without the limit";
    EXPECT_EQ(seal(near_, inner(1400), kT0, 1420).bytes.size(), 1408 + kDataOverhead);
    EXPECT_EQ(seal(near_, inner(1420), kT0, 0).bytes.size(), 1424 + kDataOverhead);
    for (std::size_t size = 20; size < 60; ++size) {
        Packet p = seal(near_, inner(size), kT0);
        EXPECT_EQ(open(far_, p, kT0).inner_length, size);
    }
}

TEST_F(PeerTableTest, BurstsKeepTheOrderOfCounters)
{
    handshake(kT0);
    constexpr std::size_t kCount = 150;  // more than go through the cipher at once
    std::vector<std::vector<std::uint8_t>> buffers(kCount);
    std::vector<SealJob> jobs;
    for (std::size_t i = 0; i < kCount; ++i) jobs.push_back(job_for(buffers[i], inner(20 + i)));
    jobs[7].peer = PeerId{5};     // no endpoint
    jobs[8].peer = PeerId{4711};  // no such id
    jobs[9].peer = kNoPeer;
    near_.seal(jobs, kT0);
    EXPECT_EQ(jobs[7].verdict, Verdict::DropWireguardNoEndpoint);
    EXPECT_EQ(jobs[8].verdict, Verdict::DropWireguardNoPeer);
    EXPECT_EQ(jobs[9].verdict, Verdict::DropWireguardNoPeer);
    std::vector<OpenJob> opens;
    std::uint64_t counter = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
        if (i >= 7 && i <= 9) continue;
        EXPECT_EQ(buffers[i][8], counter++ & 0xff);
        OpenJob open;
        open.data = buffers[i].data();
        open.length = jobs[i].sealed_length;
        open.from = kHere;
        opens.push_back(open);
    }
    far_.open(opens, kT0);
    for (const auto& open : opens) EXPECT_EQ(open.verdict, Verdict::Forward);
    EXPECT_EQ(far_activity_[3].received_packets.load(), kCount - 3);
    EXPECT_EQ(near_activity_[3].sent_packets.load(), kCount - 3);
    EXPECT_EQ(near_activity_[3].sent_octets.load(), far_activity_[3].received_octets.load());
    EXPECT_EQ(near_activity_[3].sending_counter.load(), kCount - 3);
}

TEST_F(PeerTableTest, AReplayIsRefusedEvenWithinABurst)
{
    handshake(kT0);
    const Packet p = seal(near_, inner(40), kT0);
    Packet a = p, b = p;
    std::vector<OpenJob> jobs(2);
    jobs[0].data = a.bytes.data();
    jobs[1].data = b.bytes.data();
    for (auto& j : jobs) {
        j.length = static_cast<std::uint32_t>(p.bytes.size());
        j.from = kHere;
    }
    far_.open(jobs, kT0);
    EXPECT_EQ(jobs[0].verdict, Verdict::Forward);
    EXPECT_EQ(jobs[1].verdict, Verdict::DropWireguardReplay);
    EXPECT_EQ(open_verdict(far_, p, kT0), Verdict::DropWireguardReplay);
}

TEST_F(PeerTableTest, ForgeriesDoNotMoveTheWindow)
{
    handshake(kT0);
    Packet p = seal(near_, inner(40), kT0);
    Packet forged = p;
    forged.bytes[12] = 0x7f;  // a counter far ahead
    EXPECT_EQ(open_verdict(far_, forged, kT0), Verdict::DropWireguardAuth);
    for (std::size_t at = 16; at < p.bytes.size(); ++at) {
        forged = p;
        forged.bytes[at] ^= 1;
        EXPECT_EQ(open_verdict(far_, forged, kT0), Verdict::DropWireguardAuth);
    }
    EXPECT_EQ(events(far_).size(), 1U) << "KeysInstalled alone";
    EXPECT_EQ(far_activity_[3].received_packets.load(), 0U);
    EXPECT_EQ(open_verdict(far_, p, kT0), Verdict::Forward);
}

TEST_F(PeerTableTest, MalformedAndUnknown)
{
    handshake(kT0);
    const Packet p = seal(near_, inner(40), kT0);
    for (std::size_t size = 0; size < kDataOverhead; ++size) {
        Packet shorter = p;
        shorter.bytes.resize(size);
        EXPECT_EQ(open_verdict(far_, shorter, kT0), Verdict::DropWireguardMalformed);
    }
    Packet wrong = p;
    wrong.bytes[1] = 1;
    EXPECT_EQ(open_verdict(far_, wrong, kT0), Verdict::DropWireguardMalformed);
    wrong = p;
    wrong.bytes[4] ^= 1;
    EXPECT_EQ(open_verdict(far_, wrong, kT0), Verdict::DropWireguardIndex);
}

TEST_F(PeerTableTest, InnerPacketsMustFitTheirOwnLength)
{
    handshake(kT0);
    auto text = inner(64);
    const auto verdict = [&] { return open_verdict(far_, seal(near_, text, kT0), kT0); };
    text[3] = 65;
    EXPECT_EQ(verdict(), Verdict::DropTruncated);
    text[3] = 19;
    EXPECT_EQ(verdict(), Verdict::DropTruncated);
    text[0] = 0x00;
    EXPECT_EQ(verdict(), Verdict::DropIpVersion);
    text[0] = 0x60;
    text[4] = 0;
    text[5] = 24;
    EXPECT_EQ(verdict(), Verdict::Forward);
    text[5] = 25;
    EXPECT_EQ(verdict(), Verdict::DropTruncated);
    text = {0x45};
    EXPECT_EQ(verdict(), Verdict::DropTruncated);
    text = {0x60};
    EXPECT_EQ(verdict(), Verdict::DropTruncated);
}

TEST_F(PeerTableTest, KeepaliveIsEmpty)
{
    handshake(kT0);
    EXPECT_EQ(open_verdict(far_, seal(near_, {}, kT0), kT0), Verdict::KeepaliveReceived);
    EXPECT_EQ(near_activity_[3].last_data_sent.load(), 0);
    EXPECT_NE(near_activity_[3].last_any_sent.load(), 0);
    EXPECT_EQ(far_activity_[3].last_data_received.load(), 0);
    EXPECT_NE(far_activity_[3].last_any_received.load(), 0);
}

TEST_F(PeerTableTest, WithoutKeysPacketsWaitAndAHandshakeIsWantedOnceASecond)
{
    EXPECT_EQ(try_seal(near_, kT0), Verdict::HoldHandshake);
    EXPECT_EQ(try_seal(near_, kT0 + 999ms), Verdict::HoldHandshake);
    auto raised = events(near_);
    ASSERT_EQ(raised.size(), 1U);
    EXPECT_EQ(std::get<api::HandshakeWanted>(raised[0]).peer, kPeer);
    EXPECT_EQ(try_seal(near_, kT0 + 1s), Verdict::HoldHandshake);
    EXPECT_EQ(events(near_).size(), 1U);

    EXPECT_FALSE(near_.can_send(kPeer, kT0 + 1s));
    const auto [ours, theirs] = make_keys(kT0 + 1s);
    near_.apply(ours, kT0 + 1s);
    raised = events(near_);
    ASSERT_EQ(raised.size(), 1U);
    EXPECT_EQ(std::get<api::KeysInstalled>(raised[0]).sequence, ours.sequence);
    const auto go = ready(near_);
    ASSERT_EQ(go.size(), 1U);
    EXPECT_EQ(go[0].peer, kPeer);
    EXPECT_TRUE(go[0].must_send) << "the initiator proves the keys";
    EXPECT_TRUE(near_.can_send(kPeer, kT0 + 1s));
}

TEST_F(PeerTableTest, TheResponderSendsOnlyAfterTheFirstPacket)
{
    handshake(kT0);
    events(far_);
    EXPECT_EQ(try_seal(far_, kT0), Verdict::HoldHandshake);
    EXPECT_EQ(events(far_).size(), 1U);
    EXPECT_EQ(open_verdict(far_, seal(near_, {}, kT0), kT0), Verdict::KeepaliveReceived);
    const auto raised = events(far_);
    ASSERT_EQ(raised.size(), 1U);
    EXPECT_EQ(std::get<api::KeysProven>(raised[0]).peer, kPeer);
    const auto go = ready(far_);
    ASSERT_EQ(go.size(), 1U);
    EXPECT_FALSE(go[0].must_send);
    EXPECT_EQ(open_verdict(near_, seal(far_, inner(40), kT0), kT0, kThere), Verdict::Forward);
}

// Old keys go on being taken through two rekeys, whoever's; the third lets go of them.
TEST_F(PeerTableTest, PacketsUnderOlderKeysAreStillTaken)
{
    handshake(kT0);
    std::vector<Packet> late;
    for (int generation = 0; generation < 4; ++generation) {
        open_verdict(far_, seal(near_, {}, kT0), kT0);
        late.push_back(seal(near_, inner(40), kT0));
        handshake(kT0);
    }
    // far_: `next` is generation 4, current 3, previous 2 and 1.
    EXPECT_EQ(open_verdict(far_, late[3], kT0), Verdict::Forward);
    EXPECT_EQ(open_verdict(far_, late[2], kT0), Verdict::Forward);
    EXPECT_EQ(open_verdict(far_, late[1], kT0), Verdict::Forward);
    EXPECT_EQ(open_verdict(far_, late[0], kT0), Verdict::DropWireguardIndex);
    EXPECT_LE(far_.sessions(), 4U);
    EXPECT_LE(near_.sessions(), 4U);
}

// Both begin at once: each is the responder of the other's, and both sets of keys are good.
TEST_F(PeerTableTest, HandshakesThatCross)
{
    handshake(kT0);
    open_verdict(far_, seal(near_, {}, kT0), kT0);
    const Packet old = seal(near_, inner(40), kT0);
    const auto [a_ours, a_theirs] = make_keys(kT0);
    auto [b_ours, b_theirs] = make_keys(kT0);  // `far_` begins
    far_.apply(a_theirs, kT0);
    near_.apply(b_theirs, kT0);
    near_.apply(a_ours, kT0);
    far_.apply(b_ours, kT0);
    EXPECT_EQ(open_verdict(far_, seal(near_, inner(40), kT0), kT0), Verdict::Forward);
    EXPECT_EQ(open_verdict(near_, seal(far_, inner(40), kT0), kT0, kThere), Verdict::Forward);
    EXPECT_EQ(open_verdict(far_, old, kT0), Verdict::Forward);
}

TEST_F(PeerTableTest, KeysExpire)
{
    handshake(kT0);
    const Packet p = seal(near_, inner(40), kT0 + kRejectAfterTime - 1ns);
    const Packet q = seal(near_, inner(40), kT0 + kRejectAfterTime - 1ns);
    EXPECT_EQ(open_verdict(far_, p, kT0 + kRejectAfterTime - 1ns), Verdict::Forward);
    EXPECT_EQ(open_verdict(far_, q, kT0 + kRejectAfterTime), Verdict::DropWireguardKeyExpired);
    EXPECT_EQ(try_seal(near_, kT0 + kRejectAfterTime), Verdict::HoldHandshake);
    EXPECT_FALSE(near_.can_send(kPeer, kT0 + kRejectAfterTime));
}

TEST_F(PeerTableTest, CountersPastTheLimitAreRefused)
{
    const auto [ours, theirs] = make_keys(kT0);
    far_.apply(theirs, kT0);
    Packet p{std::vector<std::uint8_t>(kDataOverhead)};
    p.bytes[0] = 4;
    std::memcpy(&p.bytes[4], &theirs.local_index, 4);
    const std::uint64_t limit = kRejectAfterMessages;
    std::memcpy(&p.bytes[8], &limit, 8);
    crypto::seal(ours.sending, limit, {}, {}, MutableBytes{p.bytes}.subspan(16));
    EXPECT_EQ(open_verdict(far_, p, kT0), Verdict::DropWireguardKeyExpired);
    const std::uint64_t last = limit - 1;
    std::memcpy(&p.bytes[8], &last, 8);
    crypto::seal(ours.sending, last, {}, {}, MutableBytes{p.bytes}.subspan(16));
    EXPECT_EQ(open_verdict(far_, p, kT0), Verdict::KeepaliveReceived);
}

TEST_F(PeerTableTest, FollowsTheNewestPacket)
{
    handshake(kT0);
    const Packet early = seal(near_, inner(40), kT0);
    const Packet late = seal(near_, inner(40), kT0);
    events(far_);
    const Endpoint elsewhere{Ipv4Address{0x01010101}, 7};
    EXPECT_EQ(open_verdict(far_, late, kT0, elsewhere), Verdict::Forward);
    EXPECT_EQ(far_.endpoint(kPeer), elsewhere);
    const auto raised = events(far_);
    ASSERT_EQ(raised.size(), 2U);
    EXPECT_EQ(std::get<api::EndpointMoved>(raised[1]).endpoint, elsewhere);
    EXPECT_EQ(open_verdict(far_, early, kT0, kHere), Verdict::Forward);
    EXPECT_EQ(far_.endpoint(kPeer), elsewhere) << "a packet that comes late says where the peer was";
}

TEST_F(PeerTableTest, ActivityTellsWhatGoesUnanswered)
{
    handshake(kT0);
    auto& near = near_activity_[3];
    auto& far = far_activity_[3];
    const auto count = [](TimePoint t) { return t.time_since_epoch().count(); };
    open_verdict(far_, seal(near_, inner(40), kT0 + 1s), kT0 + 1s);
    open_verdict(far_, seal(near_, inner(40), kT0 + 2s), kT0 + 2s);
    EXPECT_EQ(near.first_data_sent_unanswered.load(), count(kT0 + 1s));
    EXPECT_EQ(far.first_data_received_unanswered.load(), count(kT0 + 1s));
    EXPECT_EQ(far.last_data_received.load(), count(kT0 + 2s));
    open_verdict(near_, seal(far_, {}, kT0 + 3s), kT0 + 3s, kThere);
    EXPECT_EQ(near.first_data_sent_unanswered.load(), 0);
    EXPECT_EQ(far.first_data_received_unanswered.load(), 0);
}

TEST_F(PeerTableTest, ForgetsAndSendsKeepalives)
{
    handshake(kT0);
    ready(near_);
    EXPECT_TRUE(near_.apply(api::SendKeepalive{kPeer}, kT0));
    const auto go = ready(near_);
    ASSERT_EQ(go.size(), 1U);
    EXPECT_TRUE(go[0].must_send);
    const Packet p = seal(near_, inner(40), kT0);
    EXPECT_TRUE(far_.apply(api::ForgetKeys{kPeer, false}, kT0));
    EXPECT_EQ(far_.sessions(), 0U);
    EXPECT_EQ(open_verdict(far_, p, kT0), Verdict::DropWireguardIndex);
    EXPECT_FALSE(far_.apply(api::ForgetKeys{PeerId{4711}, false}, kT0));
    EXPECT_FALSE(far_.apply(api::ReleaseHeld{}, kT0)) << "not of this table";
    EXPECT_FALSE(far_.apply(api::WorkerCommand{}, kT0));
}

TEST_F(PeerTableTest, ATakenIndexIsNotAcked)
{
    const auto [ours, theirs] = make_keys(kT0);
    near_.apply(ours, kT0);
    events(near_);
    near_.apply(ours, kT0);
    EXPECT_TRUE(events(near_).empty());
}

TEST_F(PeerTableTest, LostEventsAreCounted)
{
    for (int i = 0; i < 5'000; ++i) handshake(kT0);
    EXPECT_EQ(far_.take_events([](const auto&) { return true; }), 5'000U - 4'096U);
    EXPECT_EQ(near_.take_events([](const auto&) { return false; }), 5'000U);
    EXPECT_LE(far_.sessions(), 4U);
}

TEST(WireguardPayload, TellsDataFromHandshakes)
{
    const std::uint8_t data[] = {4, 0, 0, 0}, initiation[] = {1, 0, 0, 0}, cookie[] = {3, 0, 0, 0},
                       other[] = {5, 0, 0, 0}, reserved[] = {4, 0, 0, 1}, tiny[] = {4, 0, 0};
    EXPECT_TRUE(is_data(data));
    EXPECT_FALSE(is_handshake(data));
    EXPECT_TRUE(is_handshake(initiation));
    EXPECT_TRUE(is_handshake(cookie));
    EXPECT_FALSE(is_handshake(other) || is_data(other));
    EXPECT_FALSE(is_handshake(reserved) || is_data(reserved));
    EXPECT_FALSE(is_handshake(tiny) || is_data(tiny));
}

}  // namespace
}  // namespace culvert::wg
