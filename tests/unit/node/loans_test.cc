#include "dataplane/node/loans.h"

#include "tests/unit/node/node_test.h"
#include "tests/unit/node/tunnels.h"

#include <atomic>
#include <cstring>
#include <thread>

namespace culvert::dataplane::test {

namespace {

constexpr PeerId kPeer{1};

// A router whose VTI leads to 10.2.0.0/16 and whose WireGuard peer to 10.3.0.0/16. It may lend to `box`.
class Loans : public NodeTest {
protected:
    Loans()
    {
        add_vti(a, 1400);
        add_wireguard(a, {"10.3.0.0/16"});
        install_wireguard_keys(a);
        a.sent.clear();
        a.context.loans.open(WorkerId{0}, a.aead, {{&box, &wake}});
        a.context.loans.press(true);
    }
    void install(std::uint32_t child)
    {
        auto c = vti_sa(api::SaDirection::Outbound, static_cast<api::EspAlgorithm>(child % api::kEspAlgorithms));
        c.child = child;
        c.spi = 256 + child;
        c.key.fill(static_cast<std::uint8_t>(child));
        a.command(c);
    }
    void burst(std::size_t packets = 32)
    {
        std::vector<Octets> frames;
        for (std::size_t i = 0; i < packets; ++i)
            frames.push_back(frame(kLanMac, kHostMac,
                                   packet(Udp4{.from = ip4("10.1.0.2"),
                                               .to = i % 3 == 0 ? ip4("10.3.0.5") : ip4("10.2.0.5"),
                                               .payload = 20 + (7 * i) % 300})));
        a.receive_all(kLan, frames);
        given += packets;
    }
    // ESP's packets in the order of their numbers, under SAs that only follow each other; WireGuard's of their counter.
    void check()
    {
        std::uint64_t esp = 0, counter = 1;  // 0 was the message that proves the keys
        for (auto& s : a.sent) {
            const auto p = s.packet();
            if (p[9] == 50) {
                be64 v;  // SPI, number
                std::memcpy(&v, p.data() + 20, 8);
                EXPECT_GT(std::uint64_t{v}, esp);
                esp = v;
            } else {
                std::uint64_t v;
                std::memcpy(&v, p.data() + 36, 8);
                EXPECT_EQ(v, counter);
                counter = v + 1;
            }
        }
    }
    void settle_all()
    {
        while (a.pipeline.settle_loans(true)) {}
    }

    Router a;
    node::LoanBox box{1};
    api::Wake wake;
    std::size_t given = 0;
};

TEST_F(Loans, WhatNobodyBeginsIsTakenBack)
{
    install(1);
    for (int i = 0; i < 40; ++i) burst();
    EXPECT_GT(a.context.loans.lent(), 0u);
    settle_all();
    EXPECT_EQ(a.sent.size(), given);
    check();
    // The lender finds what is no longer to be done, and from then on its box is open again.
    const auto lent = a.context.loans.lent();
    crypto::AeadContext aead;
    EXPECT_TRUE(box.work(aead, [](WorkerId) { FAIL(); }));
    burst();
    EXPECT_GT(a.context.loans.lent(), lent);
    settle_all();
    EXPECT_EQ(a.sent.size(), given);
}

TEST_F(Loans, KeysLiveWhileABurstIsOut)
{
    install(1);
    burst();
    ASSERT_FALSE(a.context.loans.empty());
    EXPECT_EQ(a.sas.sas(), 1u);
    a.command(api::DeleteSa{kVtiProtection, 1, 1, api::SaDirection::Outbound});
    a.command(api::ForgetKeys{kPeer, true});
    EXPECT_EQ(a.sas.sas(), 1u);
    EXPECT_EQ(a.peers.sessions(), 1u);
    burst();  // nothing may be sent any more, and nothing overtakes
    crypto::AeadContext aead;
    std::size_t told = 0;
    box.work(aead, [&](WorkerId owner) {
        EXPECT_EQ(owner, WorkerId{0});
        ++told;
    });
    EXPECT_EQ(told, 2u);
    settle_all();
    EXPECT_EQ(a.sas.sas(), 0u);
    EXPECT_EQ(a.peers.sessions(), 0u);
    EXPECT_EQ(a.sent.size(), 32u);
    EXPECT_EQ(a.count(Verdict::DropEspNoSa), 21u);
    EXPECT_EQ(a.count(Verdict::HoldHandshake), 11u);
    check();
    a.pipeline.shut_down();
}

TEST_F(Loans, ShutDownWithBurstsOut)
{
    install(1);
    for (int i = 0; i < 3; ++i) burst();
    ASSERT_FALSE(a.context.loans.empty());
    a.pipeline.shut_down();
    EXPECT_EQ(a.count(Verdict::DropShutdown) + a.sent.size(), given);
    EXPECT_TRUE(a.context.loans.empty());
}

// With a second thread, under SAs and keys that come and go.
TEST_F(Loans, OrderIsKeptBetweenTwoThreads)
{
    std::atomic<bool> stop{false};
    std::thread lender{[&] {
        crypto::AeadContext aead;
        while (!stop.load()) {
            if (!box.work(aead, [this](WorkerId) { wake.signal(); })) std::this_thread::yield();
        }
    }};
    install(1);
    for (std::uint32_t round = 0; round < 400; ++round) {
        if (round % 40 == 39) {
            install(2 + round / 40);
            a.command(api::DeleteSa{kVtiProtection, 1, 1 + round / 40, api::SaDirection::Outbound});
        }
        burst(1 + (round * 13) % 64);
        a.pipeline.settle_loans(round % 7 == 0);
        if (round % 11 == 0) a.context.loans.press(round % 22 == 0);
    }
    settle_all();
    stop = true;
    lender.join();
    EXPECT_EQ(a.sent.size(), given);
    EXPECT_GT(a.context.loans.lent(), 0u);
    EXPECT_EQ(a.sas.sas(), 1u);
    check();
}

}  // namespace

}  // namespace culvert::dataplane::test
