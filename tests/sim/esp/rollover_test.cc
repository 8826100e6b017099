// Two boxes whose SAs are replaced again and again, as IKE does it, by a network that loses, repeats and reorders
// packets, in virtual time. Whatever the network delivers is taken, once; no sequence number is used twice under a key;
// nothing is sent without an SA.
#include "crypto/random.h"
#include "dataplane/esp/sa_table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace culvert::esp {
namespace {

using api::SaDirection;

constexpr ProtectionId kId{1};
constexpr Duration kLongestFlight = 30ms;

struct Weather {
    unsigned loss = 0;    // of 100 packets
    unsigned repeat = 0;  // of 100 packets
    bool reorder = false;
};

class World {
public:
    World(std::uint64_t seed, const Weather& weather, api::EspAlgorithm algorithm, bool esn)
        : random_(seed), weather_(weather), algorithm_(algorithm), esn_(esn)
    {}

    void run(Duration span)
    {
        establish(0, kFirst);
        for (int side = 0; side < 2; ++side) at(kFirst + 100ms, [this, side] { send(side); });
        at(kFirst + 200ms, [this] { rekey(random_.u32() % 2); });
        const TimePoint end = kFirst + span;
        while (!events_.empty() && events_.begin()->first <= end) {
            now_ = events_.begin()->first;
            auto run = std::move(events_.begin()->second);
            events_.erase(events_.begin());
            run();
        }
    }

    // What must be zero.
    std::size_t dropped = 0, taken_twice = 0, number_twice = 0, not_sent = 0, altered = 0, refused = 0;
    // What must not.
    std::size_t sent = 0, delivered = 0, rekeys = 0, proven = 0;

private:
    static constexpr TimePoint kFirst{1h};

    struct Box {
        crypto::AeadContext aead;
        std::vector<api::ProtectionActivity> activity{4};
        SaTable table{aead, activity};
    };

    void at(TimePoint when, std::function<void()> run) { events_.emplace(when, std::move(run)); }
    Duration random_time(Duration up_to) { return Duration{random_.u64() % static_cast<std::uint64_t>(up_to.count())}; }

    api::InstallSa sa(int side, SaDirection direction, std::uint32_t child) const
    {
        const bool from_first = (direction == SaDirection::Outbound) == (side == 0);
        api::InstallSa c{};
        c.protection = kId;
        c.child = child;
        c.spi = 256 + 2 * child + (from_first ? 1 : 0);
        c.direction = direction;
        c.algorithm = algorithm_;
        c.esn = esn_;
        c.replay_window = 1024;
        // Near the edge of the lower half, on both sides.
        if (esn_) c.initial_sequence = (std::uint64_t{child} << 32) - 40;
        const Endpoint ends[2] = {{Ipv4Address{0x0a000001}, 0}, {Ipv4Address{0x0a000002}, 0}};
        c.local = ends[side];
        c.remote = ends[1 - side];
        for (std::size_t i = 0; i < c.key.size(); ++i)
            c.key[i] = static_cast<std::uint8_t>(i * 7 + child * 11 + (from_first ? 3 : 0));
        return c;
    }
    void install(int side, std::uint32_t child, api::SaActivation activation)
    {
        auto out = sa(side, SaDirection::Outbound, child);
        out.activation = activation;
        boxes_[side].table.apply(sa(side, SaDirection::Inbound, child), now_);
        boxes_[side].table.apply(out, now_);
        drain(side);
    }
    void remove(int side, std::uint32_t child, SaDirection direction)
    {
        boxes_[side].table.apply(api::DeleteSa{kId, 1, child, direction}, now_);
        drain(side);
    }
    void drain(int side)
    {
        boxes_[side].table.take_events([&](const api::WorkerEvent& e) {
            proven += std::holds_alternative<api::SaProven>(e);
            if (const auto* i = std::get_if<api::SaInstalled>(&e)) refused += i->refusal != api::SaRefusal::None;
            return true;
        });
    }

    void establish(int, TimePoint when)
    {
        now_ = when;
        for (int side = 0; side < 2; ++side) install(side, child_, api::SaActivation::Now);
    }

    // CREATE_CHILD_SA and the deletion of the old pair. IKE's own messages get through, after a while.
    void rekey(unsigned initiator)
    {
        const int i = static_cast<int>(initiator), r = 1 - i;
        const std::uint32_t old = child_, fresh = ++child_;
        ++rekeys;
        const auto request = now_ + 1ms + random_time(60ms);
        const auto response = request + 1ms + random_time(60ms);
        const auto deletion = response + random_time(50ms);
        const auto deleted = deletion + 1ms + random_time(60ms);
        at(request, [=, this] { install(r, fresh, api::SaActivation::WhenProven); });
        at(response, [=, this] { install(i, fresh, api::SaActivation::Now); });
        at(deletion, [=, this] { remove(r, old, SaDirection::Outbound); });
        at(deleted, [=, this] { remove(i, old, SaDirection::Outbound); });
        at(deletion + 2 * kLongestFlight, [=, this] { remove(r, old, SaDirection::Inbound); });
        at(deleted + 2 * kLongestFlight, [=, this] { remove(i, old, SaDirection::Inbound); });
        // The next one may begin while the inbound SAs of this one are still there.
        at(deleted + random_time(100ms), [this] { rekey(random_.u32() % 2); });
    }

    // A burst of packets from one side.
    void send(int side)
    {
        auto& table = boxes_[side].table;
        const std::size_t burst = 1 + random_.u32() % 6;
        for (std::size_t i = 0; i < burst; ++i) {
            ++sent;
            const std::uint64_t number = next_++;
            const std::size_t length = 28 + random_.u32() % 60;
            std::vector<std::uint8_t> buffer(kMaxFront + length + kMaxBack);
            auto* text = buffer.data() + kMaxFront;
            text[0] = 0x45;
            text[3] = static_cast<std::uint8_t>(length);
            std::memcpy(text + 20, &number, 8);
            const auto* how = table.sending(kId);
            if (how == nullptr) {
                ++not_sent;
                continue;
            }
            const std::size_t front = how->front;
            SealJob job{
                .protection = kId, .data = text, .length = static_cast<std::uint32_t>(length), .next_header = 4};
            table.seal({&job, 1}, now_);
            if (job.verdict != api::Verdict::Forward) {
                ++not_sent;
                continue;
            }
            std::vector<std::uint8_t> packet(text - front, text - front + job.sealed_length);
            std::uint64_t name;  // SPI and number
            std::memcpy(&name, packet.data(), 8);
            // With ESN the lower half repeats only after 2^32 packets.
            number_twice += !names_[side].insert(name).second;
            if (random_.u32() % 100 < weather_.loss) continue;
            const int copies = random_.u32() % 100 < weather_.repeat ? 2 : 1;
            for (int k = 0; k < copies; ++k)
                at(now_ + (weather_.reorder ? random_time(kLongestFlight) : 5ms),
                   [this, side, number, packet] { receive(1 - side, number, packet); });
        }
        at(now_ + 100us + random_time(4ms), [this, side] { send(side); });
    }

    void receive(int side, std::uint64_t number, std::vector<std::uint8_t> packet)
    {
        ++delivered;
        OpenJob job{.data = packet.data(),
                    .length = static_cast<std::uint32_t>(packet.size()),
                    .to = IpAddress{Ipv4Address{side == 0 ? 0x0a000001U : 0x0a000002U}}};
        boxes_[side].table.open({&job, 1}, now_);
        drain(side);
        if (arrived_.contains(number)) {
            taken_twice += job.verdict == api::Verdict::Forward;
            return;
        }
        if (job.verdict != api::Verdict::Forward) {
            ++dropped;
            return;
        }
        arrived_.insert(number);
        std::uint64_t inside;
        std::memcpy(&inside, job.inner + 20, 8);
        altered += inside != number;
    }

    crypto::SeededRandom random_;
    Weather weather_;
    api::EspAlgorithm algorithm_;
    bool esn_;
    TimePoint now_{};
    std::multimap<TimePoint, std::function<void()>> events_;
    Box boxes_[2];
    std::uint32_t child_ = 1;
    std::uint64_t next_ = 1;
    std::set<std::uint64_t> names_[2];
    std::set<std::uint64_t> arrived_;
};

class Rollover : public testing::TestWithParam<Weather> {};

TEST_P(Rollover, LosesNothingThatTheNetworkDelivers)
{
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        const auto algorithm = static_cast<api::EspAlgorithm>(seed % api::kEspAlgorithms);
        World world(seed, GetParam(), algorithm, seed % 2 == 0);
        world.run(10s);
        EXPECT_EQ(world.dropped, 0U) << "seed " << seed;
        EXPECT_EQ(world.taken_twice, 0U) << "seed " << seed;
        EXPECT_EQ(world.number_twice, 0U) << "seed " << seed;
        EXPECT_EQ(world.not_sent, 0U) << "seed " << seed;
        EXPECT_EQ(world.altered, 0U) << "seed " << seed;
        EXPECT_EQ(world.refused, 0U) << "seed " << seed;
        EXPECT_GT(world.sent, 10000U);
        EXPECT_GT(world.delivered, world.sent / 2);
        EXPECT_GT(world.rekeys, 30U);
        EXPECT_GT(world.proven, world.rekeys);  // on both sides
    }
}
INSTANTIATE_TEST_SUITE_P(Weathers, Rollover,
                         testing::Values(Weather{}, Weather{.reorder = true},
                                         Weather{.loss = 5, .repeat = 5, .reorder = true},
                                         Weather{.loss = 30, .repeat = 20, .reorder = true}));

}  // namespace
}  // namespace culvert::esp
