#include "dataplane/esp/sa_table.h"

#include "crypto/random.h"
#include "tests/unit/crypto/hex.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

namespace culvert::esp {
namespace {

using api::EspAlgorithm;
using api::EspMode;
using api::SaActivation;
using api::SaDirection;
using api::Verdict;
using test::hex;
using Octets = std::vector<std::uint8_t>;

constexpr TimePoint kT0{1h};
constexpr ProtectionId kId{7};
const IpAddress kHere = *IpAddress::parse("192.0.2.1");
const IpAddress kThere = *IpAddress::parse("192.0.2.2");
const VrfId kVrf{3};

// An IPv4 or IPv6 packet of `length` octets; only what the engine looks at is right.
Octets ip_packet(std::size_t length, bool v6 = false)
{
    Octets p(length);
    for (std::size_t i = 0; i < length; ++i) p[i] = static_cast<std::uint8_t>(i * 7);
    p[0] = v6 ? 0x60 : 0x45;
    const auto field = v6 ? length - 40 : length;
    p[v6 ? 4 : 2] = static_cast<std::uint8_t>(field >> 8);
    p[v6 ? 5 : 3] = static_cast<std::uint8_t>(field);
    return p;
}

template <class Event>
std::optional<Event> find(const std::vector<api::WorkerEvent>& events)
{
    for (const auto& e : events)
        if (const auto* found = std::get_if<Event>(&e)) return *found;
    return std::nullopt;
}

// One end of a tunnel.
class Box {
public:
    explicit Box(bool there) : here_(there ? kThere : kHere), there_(there ? kHere : kThere) {}

    api::InstallSa sa(SaDirection direction, std::uint32_t child,
                      EspAlgorithm algorithm = EspAlgorithm::AesGcm128) const
    {
        api::InstallSa c{};
        c.protection = kId;
        c.sequence = child;
        c.child = child;
        // The key and the SPI follow from who sends.
        const bool to_there = (direction == SaDirection::Outbound) == (here_ == kHere);
        c.spi = 0x1000 + 2 * child + (to_there ? 1 : 0);
        c.direction = direction;
        c.mode = EspMode::Tunnel;
        c.algorithm = algorithm;
        c.outer_vrf = kVrf;
        c.local = {here_, 4500};
        c.remote = {there_, 4500};
        for (std::size_t i = 0; i < c.key.size(); ++i)
            c.key[i] = static_cast<std::uint8_t>(i * 13 + child * 31 + (to_there ? 101 : 0));
        return c;
    }
    std::vector<api::WorkerEvent> install(const api::InstallSa& c, TimePoint now = kT0)
    {
        table.apply(c, now);
        return events();
    }
    void install_pair(std::uint32_t child, EspAlgorithm algorithm = EspAlgorithm::AesGcm128)
    {
        install(sa(SaDirection::Inbound, child, algorithm));
        install(sa(SaDirection::Outbound, child, algorithm));
        events();
    }
    std::vector<api::WorkerEvent> events()
    {
        std::vector<api::WorkerEvent> out;
        EXPECT_EQ(table.take_events([&](const api::WorkerEvent& e) {
            out.push_back(e);
            return true;
        }),
                  0U);
        return out;
    }

    struct Sealed {
        Verdict verdict;
        Octets packet;  // from the ESP header on
    };
    Sealed seal(const Octets& text, std::uint8_t next_header = 4, TimePoint now = kT0)
    {
        Octets buffer(kMaxFront + text.size() + kMaxBack, 0xee);
        std::copy(text.begin(), text.end(), buffer.begin() + kMaxFront);
        const auto* how = table.sending(kId);
        if (how == nullptr) return {table.refuse(kId, now), {}};
        const auto front = how->front;
        SealJob job{.protection = kId,
                    .data = buffer.data() + kMaxFront,
                    .length = static_cast<std::uint32_t>(text.size()),
                    .next_header = next_header};
        table.seal({&job, 1}, now);
        if (job.verdict != Verdict::Forward) return {job.verdict, {}};
        const auto* start = job.data - front;
        return {job.verdict, Octets(start, start + job.sealed_length)};
    }

    struct Opened {
        Verdict verdict;
        Octets inner;
        std::uint8_t next_header;
        ProtectionId protection;
    };
    Opened open(Octets packet, TimePoint now = kT0, std::optional<Endpoint> udp_from = std::nullopt)
    {
        OpenJob job{
            .data = packet.data(), .length = static_cast<std::uint32_t>(packet.size()), .vrf = kVrf, .to = here_};
        if (udp_from) {
            job.udp = true;
            job.from = *udp_from;
        }
        table.open({&job, 1}, now);
        Octets inner;
        if (job.verdict == Verdict::Forward) inner.assign(job.inner, job.inner + job.inner_length);
        return {job.verdict, inner, job.next_header, job.protection};
    }

    crypto::AeadContext aead;
    std::vector<api::ProtectionActivity> activity{64};
    SaTable table{aead, activity};

private:
    IpAddress here_;
    IpAddress there_;
};

struct Pair {
    Box here{false};
    Box there{true};
};

// ---- published packets ---------------------------------------------------------------------------------------------

// RFC 7634 appendix A.
TEST(EspVectors, ChaCha20Poly1305OfRfc7634)
{
    Box box{false};
    auto c = box.sa(SaDirection::Inbound, 1, EspAlgorithm::ChaCha20Poly1305);
    c.spi = 0x01020304;
    const auto key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3");
    std::copy(key.begin(), key.end(), c.key.begin());
    box.install(c);
    const auto packet = hex(
        "0102030400000005101112131415161724039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d528"
        "44eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa826"
        "6b7fb0f7b11b369907e1ad43");
    const auto inner =
        hex("45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718"
            "191a1b"
            "1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637");
    const auto opened = box.open(packet);
    EXPECT_EQ(opened.verdict, Verdict::Forward);
    EXPECT_EQ(opened.inner, inner);

    // And the same packet made by us: its IV is a counter's value under a mask.
    c.direction = SaDirection::Outbound;
    c.initial_sequence = 4;
    c.iv_mask = 0x1011121314151617 ^ 5;
    box.install(c);
    EXPECT_EQ(box.seal(inner).packet, packet);
}

// draft-mcgrew-gcm-test-01, AES-256, transport mode, next header 1.
TEST(EspVectors, AesGcmOfMcgrew)
{
    Box box{false};
    auto c = box.sa(SaDirection::Inbound, 1, EspAlgorithm::AesGcm256);
    c.mode = EspMode::Transport;
    c.spi = 0x4a2cbfe3;
    const auto key = hex("abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344");
    std::copy(key.begin(), key.end(), c.key.begin());
    box.install(c);
    const auto packet =
        hex("4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985"
            "771d34"
            "7f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96");
    const auto inner =
        hex("4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402");
    const auto opened = box.open(packet);
    EXPECT_EQ(opened.verdict, Verdict::Forward);
    EXPECT_EQ(opened.next_header, 1);
    EXPECT_EQ(opened.inner, inner);

    c.direction = SaDirection::Outbound;
    c.initial_sequence = 1;
    c.iv_mask = 0x0102030405060708 ^ 2;
    box.install(c);
    EXPECT_EQ(box.seal(inner, 1).packet, packet);
}

// ---- every algorithm -----------------------------------------------------------------------------------------------

class EveryAlgorithm : public testing::TestWithParam<std::tuple<int, bool, bool, bool>> {};

TEST_P(EveryAlgorithm, CarriesEveryLengthBothWays)
{
    const auto [number, transport, esn, v6] = GetParam();
    const auto algorithm = static_cast<EspAlgorithm>(number);
    Pair pair;
    for (Box* box : {&pair.here, &pair.there}) {
        for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound}) {
            auto c = box->sa(direction, 1, algorithm);
            c.mode = transport ? EspMode::Transport : EspMode::Tunnel;
            c.esn = esn;
            // Over the edge of the lower half on the way.
            if (esn) c.initial_sequence = (std::uint64_t{5} << 32) - 40;
            ASSERT_EQ(find<api::SaInstalled>(box->install(c))->refusal, api::SaRefusal::None);
        }
    }
    const std::uint8_t next_header = transport ? 47 : v6 ? 41 : 4;
    for (std::size_t length = v6 ? 40 : 20; length < 160; ++length) {
        for (auto [from, to] : {std::pair{&pair.here, &pair.there}, std::pair{&pair.there, &pair.here}}) {
            const auto text = ip_packet(length, v6);
            const auto sealed = from->seal(text, next_header);
            ASSERT_EQ(sealed.verdict, Verdict::Forward);
            const auto mode = transport ? EspMode::Transport : EspMode::Tunnel;
            const auto header = api::ip_header_octets(Family::Ipv4);
            const auto whole = transport ? length + header : length;
            ASSERT_EQ(sealed.packet.size() + header,
                      whole + api::esp_overhead(algorithm, mode, Family::Ipv4, false, whole));
            auto altered = sealed.packet;
            altered[length % altered.size()] ^= 0x40;
            const auto refused = to->open(altered).verdict;
            ASSERT_TRUE(refused == Verdict::DropEspAuth || refused == Verdict::DropEspSpi ||
                        refused == Verdict::DropEspReplay);
            const auto opened = to->open(sealed.packet);
            ASSERT_EQ(opened.verdict, Verdict::Forward) << length;
            ASSERT_EQ(opened.inner, text);
            ASSERT_EQ(opened.next_header, next_header);
            ASSERT_EQ(opened.protection, kId);
            ASSERT_EQ(to->open(sealed.packet).verdict, Verdict::DropEspReplay);
        }
    }
}
INSTANTIATE_TEST_SUITE_P(Esp, EveryAlgorithm,
                         testing::Combine(testing::Range(0, int{api::kEspAlgorithms}), testing::Bool(), testing::Bool(),
                                          testing::Bool()));

TEST(EspSaTable, BurstsOfManyProtectionsAndAlgorithmsStayApart)
{
    Pair pair;
    constexpr std::size_t kTunnels = 18;
    for (std::uint32_t t = 0; t < kTunnels; ++t) {
        for (Box* box : {&pair.here, &pair.there}) {
            for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound}) {
                auto c = box->sa(direction, t + 1, static_cast<EspAlgorithm>(t % api::kEspAlgorithms));
                c.protection = ProtectionId{t + 1};
                c.esn = t % 2 == 0;
                box->install(c);
            }
        }
    }
    crypto::SeededRandom random{5};
    for (int round = 0; round < 50; ++round) {
        constexpr std::size_t kPackets = 150;
        std::vector<Octets> buffers(kPackets), texts(kPackets);
        std::vector<SealJob> jobs(kPackets);
        std::vector<std::size_t> fronts(kPackets);
        for (std::size_t i = 0; i < kPackets; ++i) {
            texts[i] = ip_packet(20 + random.u32() % 400);
            buffers[i].assign(kMaxFront + texts[i].size() + kMaxBack, 0);
            std::copy(texts[i].begin(), texts[i].end(), buffers[i].begin() + kMaxFront);
            const ProtectionId id{1 + random.u32() % std::uint32_t{kTunnels}};
            fronts[i] = pair.here.table.sending(id)->front;
            jobs[i] = {.protection = id,
                       .data = buffers[i].data() + kMaxFront,
                       .length = static_cast<std::uint32_t>(texts[i].size()),
                       .next_header = 4};
        }
        pair.here.table.seal(jobs, kT0);
        std::vector<OpenJob> opens(kPackets);
        for (std::size_t i = 0; i < kPackets; ++i) {
            ASSERT_EQ(jobs[i].verdict, Verdict::Forward);
            opens[i] = {.data = jobs[i].data - fronts[i], .length = jobs[i].sealed_length, .vrf = kVrf, .to = kThere};
            if (i % 5 == 0) jobs[i].data[3] ^= 1;
        }
        pair.there.table.open(opens, kT0);
        for (std::size_t i = 0; i < kPackets; ++i) {
            if (i % 5 == 0) {
                ASSERT_EQ(opens[i].verdict, Verdict::DropEspAuth);
                continue;
            }
            ASSERT_EQ(opens[i].verdict, Verdict::Forward);
            ASSERT_EQ(opens[i].protection, jobs[i].protection);
            ASSERT_EQ(Octets(opens[i].inner, opens[i].inner + opens[i].inner_length), texts[i]);
        }
    }
}

// ---- what comes in -------------------------------------------------------------------------------------------------

TEST(EspSaTable, APacketTwiceInOneBurstIsTakenOnce)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    const auto sealed = pair.here.seal(ip_packet(100)).packet;
    Octets a = sealed, b = sealed;
    std::array<OpenJob, 2> jobs{
        OpenJob{.data = a.data(), .length = static_cast<std::uint32_t>(a.size()), .vrf = kVrf, .to = kThere},
        OpenJob{.data = b.data(), .length = static_cast<std::uint32_t>(b.size()), .vrf = kVrf, .to = kThere}};
    pair.there.table.open(jobs, kT0);
    EXPECT_EQ(jobs[0].verdict, Verdict::Forward);
    EXPECT_EQ(jobs[1].verdict, Verdict::DropEspReplay);
}

TEST(EspSaTable, APacketThatFailsItsTagNeverMovesTheWindow)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    const auto first = pair.here.seal(ip_packet(100)).packet;
    auto forged = first;
    forged[4] = 0x7f;  // far ahead
    EXPECT_EQ(pair.there.open(forged).verdict, Verdict::DropEspAuth);
    EXPECT_EQ(pair.there.open(first).verdict, Verdict::Forward);
    EXPECT_EQ(pair.there.activity[index(kId)].dropped_authentication, 1U);
}

TEST(EspSaTable, SpiAndAddressAndVrfPickTheSa)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    auto packet = pair.here.seal(ip_packet(100)).packet;
    OpenJob job{.data = packet.data(), .length = static_cast<std::uint32_t>(packet.size()), .vrf = kVrf, .to = kHere};
    pair.there.table.open({&job, 1}, kT0);
    EXPECT_EQ(job.verdict, Verdict::DropEspSpi);  // another address of this box
    job.to = kThere;
    job.vrf = VrfId{9};
    pair.there.table.open({&job, 1}, kT0);
    EXPECT_EQ(job.verdict, Verdict::DropEspSpi);
    job.vrf = kVrf;
    pair.there.table.open({&job, 1}, kT0);
    EXPECT_EQ(job.verdict, Verdict::Forward);

    // The same SPI for another address is another SA; for the same address it is refused.
    auto other = pair.there.sa(SaDirection::Inbound, 2);
    other.spi = pair.there.sa(SaDirection::Inbound, 1).spi;
    EXPECT_EQ(find<api::SaInstalled>(pair.there.install(other))->refusal, api::SaRefusal::SpiTaken);
    other.local.address = kHere;
    EXPECT_EQ(find<api::SaInstalled>(pair.there.install(other))->refusal, api::SaRefusal::None);
}

TEST(EspSaTable, ManySasAreFoundAndDeleted)
{
    Box box{false};
    const auto install = [&](std::uint32_t i) {
        auto c = box.sa(SaDirection::Inbound, 1 + i / 60);
        c.protection = ProtectionId{1 + i % 60};
        c.spi = 256 + i * 64;  // as an operator would number them
        return find<api::SaInstalled>(box.install(c))->refusal;
    };
    for (std::uint32_t i = 0; i < 600; ++i) ASSERT_EQ(install(i), api::SaRefusal::None);
    EXPECT_EQ(box.table.sas(), 600U);
    for (std::uint32_t i = 0; i < 600; i += 2)
        box.table.apply(api::DeleteSa{ProtectionId{1 + i % 60}, i, 1 + i / 60, SaDirection::Inbound}, kT0);
    EXPECT_EQ(box.table.sas(), 300U);
    box.events();
    for (std::uint32_t i = 0; i < 600; ++i) {
        Octets packet(64);
        const be32 spi{256 + i * 64};
        std::memcpy(packet.data(), &spi, 4);
        packet[7] = 1;
        EXPECT_EQ(box.open(packet).verdict, i % 2 == 0 ? Verdict::DropEspSpi : Verdict::DropEspAuth);
    }
}

TEST(EspSaTable, RefusesWhatCanNotBeEsp)
{
    Pair pair;
    pair.here.install_pair(1, EspAlgorithm::AesCbc128Sha256);
    pair.there.install_pair(1, EspAlgorithm::AesCbc128Sha256);
    const auto packet = pair.here.seal(ip_packet(100)).packet;
    for (std::size_t length = 0; length < packet.size(); ++length) {
        const Octets cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length));
        const auto verdict = pair.there.open(cut).verdict;
        ASSERT_TRUE(verdict == Verdict::DropEspMalformed || verdict == Verdict::DropEspAuth) << length;
    }
    EXPECT_EQ(pair.there.open(packet).verdict, Verdict::Forward);
}

// Made with the right key, but not by a well-behaved sender: what the engine seals is a text of our choice.
TEST(EspSaTable, ChecksWhatIsInsideAnAuthenticPacket)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    const auto opened = [&](const Octets& text, std::uint8_t next_header) {
        return pair.there.open(pair.here.seal(text, next_header).packet);
    };
    EXPECT_EQ(opened(ip_packet(100), 4).verdict, Verdict::Forward);
    EXPECT_EQ(opened(ip_packet(100, true), 41).verdict, Verdict::Forward);
    EXPECT_EQ(opened(ip_packet(100), 41).verdict, Verdict::DropIpVersion);
    EXPECT_EQ(opened(ip_packet(100), 6).verdict, Verdict::DropEspInner);
    EXPECT_EQ(opened({}, 59).verdict, Verdict::EspDummy);
    EXPECT_EQ(opened(Octets(77, 0xaa), 59).verdict, Verdict::EspDummy);
    EXPECT_EQ(opened({}, 4).verdict, Verdict::DropTruncated);
    EXPECT_EQ(opened({0x45}, 4).verdict, Verdict::DropTruncated);
    auto longer = ip_packet(100);
    longer[3] = 101;
    EXPECT_EQ(opened(longer, 4).verdict, Verdict::DropTruncated);
    // A header that is shorter than it can be, or longer than the packet.
    auto odd = ip_packet(24);
    odd[0] = 0x44;
    EXPECT_EQ(opened(odd, 4).verdict, Verdict::DropIpHeader);
    odd[0] = 0x4f;
    EXPECT_EQ(opened(odd, 4).verdict, Verdict::DropTruncated);
    odd[0] = 0x46;
    EXPECT_EQ(opened(odd, 4).verdict, Verdict::Forward);
}

TEST(EspSaTable, CutsOffTfcPadding)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    auto text = ip_packet(100);
    text.resize(700, 0);
    const auto opened = pair.there.open(pair.here.seal(text, 4).packet);
    EXPECT_EQ(opened.verdict, Verdict::Forward);
    EXPECT_EQ(opened.inner, ip_packet(100));
}

// How much padding there is, is the sender's matter: up to 255 octets, but 1, 2, 3, ...
TEST(EspSaTable, ChecksPadding)
{
    // A transport-mode SA hands out exactly what is in front of the padding.
    Pair pair;
    for (Box* box : {&pair.here, &pair.there})
        for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound}) {
            auto c = box->sa(direction, 1);
            c.mode = EspMode::Transport;
            box->install(c);
        }
    // Sealed by hand with the cipher itself.
    const auto craft = [&](const Octets& plain, std::uint32_t number) {
        const auto c = pair.here.sa(SaDirection::Outbound, 1);
        Octets packet(16 + plain.size() + 16);
        const be32 spi{c.spi}, low{number};
        std::memcpy(packet.data(), &spi, 4);
        std::memcpy(packet.data() + 4, &low, 4);
        std::copy(plain.begin(), plain.end(), packet.begin() + 16);
        crypto::AesGcmKey key;
        pair.here.aead.expand_aes_gcm(std::span{c.key}.first(16), key);
        crypto::AeadJob job{.key = &key,
                            .length = static_cast<std::uint32_t>(plain.size()),
                            .source = packet.data() + 16,
                            .destination = packet.data() + 16,
                            .aad = packet.data(),
                            .aad_length = 8,
                            .tag = packet.data() + 16 + plain.size()};
        std::memcpy(job.nonce.data(), c.key.data() + 16, 4);
        pair.here.aead.seal_aes128_gcm({&job, 1});
        return packet;
    };
    Octets plain(16, 0x55);
    for (unsigned i = 1; i <= 255; ++i) plain.push_back(static_cast<std::uint8_t>(i));
    plain.push_back(255);
    plain.push_back(47);
    plain.insert(plain.begin(), (4 - plain.size() % 4) % 4, 0x55);
    const auto good = pair.there.open(craft(plain, 1));
    EXPECT_EQ(good.verdict, Verdict::Forward);
    EXPECT_EQ(good.inner.size(), plain.size() - 257);

    auto bad = plain;
    bad[bad.size() - 40] ^= 1;
    EXPECT_EQ(pair.there.open(craft(bad, 2)).verdict, Verdict::DropEspPadding);
    EXPECT_EQ(pair.there.open(craft({0, 0, 3, 47}, 3)).verdict, Verdict::DropEspPadding);  // longer than the text
    EXPECT_EQ(pair.there.open(craft({1, 2, 2, 47}, 4)).verdict, Verdict::Forward);
    EXPECT_EQ(pair.there.open(craft({1, 2, 2, 47}, 4)).verdict, Verdict::DropEspReplay);
}

// ---- the end of an SA ----------------------------------------------------------------------------------------------

TEST(EspSaTable, WithoutAnSaNothingIsSent)
{
    Box box{false};
    EXPECT_EQ(box.seal(ip_packet(100)).verdict, Verdict::DropEspNoSa);
    EXPECT_EQ(find<api::SaWanted>(box.events())->protection, kId);
    EXPECT_EQ(box.seal(ip_packet(100)).verdict, Verdict::DropEspNoSa);
    EXPECT_FALSE(find<api::SaWanted>(box.events()).has_value());  // once a second
    EXPECT_EQ(box.seal(ip_packet(100), 4, kT0 + 1s).verdict, Verdict::DropEspNoSa);
    EXPECT_TRUE(find<api::SaWanted>(box.events()).has_value());
    EXPECT_EQ(box.activity[index(kId)].dropped_no_sa, 3U);

    // seal() itself refuses too, whatever the caller asked before.
    auto text = ip_packet(100);
    text.resize(200);
    SealJob job{.protection = kId, .data = text.data() + 30, .length = 100, .next_header = 4};
    box.table.seal({&job, 1}, kT0);
    EXPECT_EQ(job.verdict, Verdict::DropEspNoSa);
}

TEST(EspSaTable, SequenceNumbersAreNeverUsedTwice)
{
    Pair pair;
    pair.there.install_pair(1);
    auto c = pair.here.sa(SaDirection::Outbound, 1);
    c.initial_sequence = 0xffffffff - 16;
    pair.here.install(c);
    std::vector<std::uint32_t> numbers;
    for (int i = 0; i < 40; ++i) {
        const auto sealed = pair.here.seal(ip_packet(64));
        if (sealed.verdict != Verdict::Forward) {
            EXPECT_EQ(sealed.verdict, Verdict::DropEspExhausted);
            continue;
        }
        be32 number;
        std::memcpy(&number, sealed.packet.data() + 4, 4);
        numbers.push_back(number);
    }
    ASSERT_EQ(numbers.size(), 16U);
    for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(numbers[i], 0xffffffff - 15 + i);
    const auto events = pair.here.events();
    EXPECT_EQ(find<api::SaSoftExpired>(events)->limit, api::SaLimit::Sequence);
    EXPECT_EQ(find<api::SaHardExpired>(events)->limit, api::SaLimit::Sequence);
    EXPECT_EQ(pair.here.table.sas(), 0U);  // its key is gone
}

TEST(EspSaTable, TheLastNumberOfAnExtendedSequenceEndsItToo)
{
    Box box{false};
    auto c = box.sa(SaDirection::Outbound, 1);
    c.esn = true;
    c.initial_sequence = ~std::uint64_t{0} - 3;
    box.install(c);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(box.seal(ip_packet(64)).verdict, Verdict::Forward);
    EXPECT_EQ(box.seal(ip_packet(64)).verdict, Verdict::DropEspExhausted);
}

TEST(EspSaTable, IvsDifferForEveryPacket)
{
    for (const auto algorithm : {EspAlgorithm::AesGcm128, EspAlgorithm::AesCbc256Sha256}) {
        Box box{false};
        auto c = box.sa(SaDirection::Outbound, 1, algorithm);
        c.esn = true;
        c.initial_sequence = 0xffffff00;
        c.iv_mask = 0x123456789abcdef0;
        box.install(c);
        const std::size_t octets = api::esp_traits(algorithm).iv;
        std::vector<Octets> ivs;
        for (int i = 0; i < 1000; ++i) {
            const auto p = box.seal(ip_packet(64)).packet;
            ivs.emplace_back(p.begin() + 8, p.begin() + 8 + static_cast<std::ptrdiff_t>(octets));
        }
        std::sort(ivs.begin(), ivs.end());
        EXPECT_EQ(std::adjacent_find(ivs.begin(), ivs.end()), ivs.end());
    }
}

TEST(EspSaTable, OctetsAndPacketsEndAnSa)
{
    Pair pair;
    auto in = pair.there.sa(SaDirection::Inbound, 1);
    auto out = pair.here.sa(SaDirection::Outbound, 1);
    out.soft_packets = 3;
    out.hard_packets = 5;
    in.soft_octets = 250;
    in.hard_octets = 399;
    pair.here.install(out);
    pair.there.install(in);
    std::vector<Verdict> sealed, opened;
    for (int i = 0; i < 6; ++i) {
        const auto p = pair.here.seal(ip_packet(100));
        sealed.push_back(p.verdict);
        const auto events = pair.here.events();
        EXPECT_EQ(find<api::SaSoftExpired>(events).has_value(), i == 3);
        EXPECT_EQ(find<api::SaHardExpired>(events).has_value(), i == 5);
        if (p.verdict != Verdict::Forward) continue;
        opened.push_back(pair.there.open(p.packet).verdict);
        const auto there = pair.there.events();
        EXPECT_EQ(find<api::SaSoftExpired>(there).has_value(), i == 2);
        EXPECT_EQ(find<api::SaHardExpired>(there).has_value(), i == 3);
    }
    using enum Verdict;
    EXPECT_EQ(sealed, (std::vector{Forward, Forward, Forward, Forward, Forward, DropEspExpired}));
    EXPECT_EQ(opened, (std::vector{Forward, Forward, Forward, DropEspExpired, DropEspExpired}));
}

TEST(EspSaTable, TimeEndsAnSa)
{
    Box box{false};
    auto c = box.sa(SaDirection::Outbound, 1);
    c.soft_at = kT0 + 60s;
    c.hard_at = kT0 + 90s;
    box.install(c);
    EXPECT_EQ(box.table.next_deadline(), kT0 + 60s);
    box.table.expire(kT0 + 59s);
    EXPECT_TRUE(box.events().empty());
    box.table.expire(kT0 + 60s);
    EXPECT_EQ(find<api::SaSoftExpired>(box.events())->limit, api::SaLimit::Time);
    EXPECT_EQ(box.table.next_deadline(), kT0 + 90s);
    EXPECT_EQ(box.seal(ip_packet(64)).verdict, Verdict::Forward);
    box.table.expire(kT0 + 90s);
    EXPECT_EQ(find<api::SaHardExpired>(box.events())->limit, api::SaLimit::Time);
    EXPECT_EQ(box.seal(ip_packet(64)).verdict, Verdict::DropEspExpired);
    EXPECT_EQ(box.table.next_deadline(), kNever);
    EXPECT_EQ(box.table.sas(), 0U);
}

// ---- rollover ------------------------------------------------------------------------------------------------------

TEST(EspRollover, TheResponderSendsOnTheNewSaWhenItIsProven)
{
    Pair pair;
    pair.here.install_pair(1);
    pair.there.install_pair(1);
    const auto late = pair.here.seal(ip_packet(100)).packet;

    auto waiting = pair.there.sa(SaDirection::Outbound, 2);
    waiting.activation = SaActivation::WhenProven;
    pair.there.install(pair.there.sa(SaDirection::Inbound, 2));
    pair.there.install(waiting);
    const auto spi_of = [](const Octets& p) {
        be32 v;
        std::memcpy(&v, p.data(), 4);
        return std::uint32_t{v};
    };
    EXPECT_EQ(spi_of(pair.there.seal(ip_packet(100)).packet), pair.there.sa(SaDirection::Outbound, 1).spi);

    pair.here.install_pair(2);
    const auto first = pair.here.seal(ip_packet(100)).packet;
    EXPECT_EQ(spi_of(first), pair.here.sa(SaDirection::Outbound, 2).spi);
    EXPECT_EQ(pair.there.open(first).verdict, Verdict::Forward);
    EXPECT_EQ(find<api::SaProven>(pair.there.events())->child, 2U);
    EXPECT_EQ(spi_of(pair.there.seal(ip_packet(100)).packet), waiting.spi);
    // What was on its way under the old one still gets through.
    EXPECT_EQ(pair.there.open(late).verdict, Verdict::Forward);
}

TEST(EspRollover, ToldToOrWhenTheCurrentOneEnds)
{
    Box box{false};
    box.install_pair(1);
    auto waiting = box.sa(SaDirection::Outbound, 2);
    waiting.activation = SaActivation::WhenProven;
    box.install(waiting);
    const auto spi = [&] { return box.activity[index(kId)].sending_spi.load(); };
    EXPECT_EQ(spi(), box.sa(SaDirection::Outbound, 1).spi);
    box.table.apply(api::ActivateSa{kId, 2}, kT0);
    EXPECT_EQ(spi(), waiting.spi);

    waiting = box.sa(SaDirection::Outbound, 3);
    waiting.activation = SaActivation::WhenProven;
    box.install(waiting);
    EXPECT_EQ(spi(), box.sa(SaDirection::Outbound, 2).spi);
    box.table.apply(api::DeleteSa{kId, 1, 2, SaDirection::Outbound}, kT0);
    EXPECT_EQ(spi(), waiting.spi);
    box.table.apply(api::DeleteSa{kId, 2, 3, SaDirection::Outbound}, kT0);
    EXPECT_EQ(spi(), 0U);
    EXPECT_EQ(box.seal(ip_packet(64)).verdict, Verdict::DropEspNoSa);
}

TEST(EspRollover, InTheMiddleOfABurstNoPacketIsLost)
{
    Box box{false};
    auto c = box.sa(SaDirection::Outbound, 1);
    c.hard_packets = 10;
    box.install(c);
    auto waiting = box.sa(SaDirection::Outbound, 2);
    waiting.activation = SaActivation::WhenProven;
    box.install(waiting);
    std::vector<Octets> buffers(32, Octets(kMaxFront + 64 + kMaxBack));
    std::vector<SealJob> jobs(32);
    for (std::size_t i = 0; i < 32; ++i)
        jobs[i] = {.protection = kId, .data = buffers[i].data() + kMaxFront, .length = 64, .next_header = 59};
    box.table.seal(jobs, kT0);
    for (std::size_t i = 0; i < 32; ++i) {
        ASSERT_EQ(jobs[i].verdict, Verdict::Forward);
        be32 spi;
        std::memcpy(&spi, jobs[i].data - 16, 4);
        EXPECT_EQ(std::uint32_t{spi}, i < 10 ? c.spi : waiting.spi);
    }
}

// ---- UDP encapsulation ---------------------------------------------------------------------------------------------

TEST(EspUdp, FollowsAPeerThatMoves)
{
    Pair pair;
    for (Box* box : {&pair.here, &pair.there}) {
        for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound}) {
            auto c = box->sa(direction, 1);
            c.udp = true;
            c.follow_peer = true;
            box->install(c);
        }
    }
    const Endpoint moved{*IpAddress::parse("203.0.113.5"), 31000};
    const auto old_packet = pair.here.seal(ip_packet(64)).packet;
    const auto packet = pair.here.seal(ip_packet(64)).packet;
    auto forged = packet;
    forged[20] ^= 1;
    pair.there.open(forged, kT0, moved);
    EXPECT_EQ(pair.there.table.sending(kId)->remote, (Endpoint{kHere, 4500}));  // not authenticated
    EXPECT_EQ(pair.there.open(packet, kT0, moved).verdict, Verdict::Forward);
    EXPECT_EQ(pair.there.table.sending(kId)->remote, moved);
    EXPECT_EQ(find<api::SaPeerMoved>(pair.there.events())->remote, moved);
    // A late one from the old place does not move it back.
    EXPECT_EQ(pair.there.open(old_packet, kT0, Endpoint{kHere, 4500}).verdict, Verdict::Forward);
    EXPECT_EQ(pair.there.table.sending(kId)->remote, moved);
    pair.there.table.apply(api::MoveSas{kId, {kHere, 4501}}, kT0);
    EXPECT_EQ(pair.there.table.sending(kId)->remote, (Endpoint{kHere, 4501}));
}

TEST(EspUdp, KeepalivesLeaveWhenNothingElseDoes)
{
    Box box{false};
    auto c = box.sa(SaDirection::Outbound, 1);
    c.udp = true;
    c.keepalive = 20;
    box.install(c);
    std::vector<Keepalive> sent;
    const auto expire = [&](TimePoint now) {
        sent.clear();
        box.table.expire(now);
        box.table.take_keepalives([&](const Keepalive& k) { sent.push_back(k); });
    };
    EXPECT_EQ(box.table.next_deadline(), kT0 + 20s);
    box.seal(ip_packet(64), 4, kT0 + 15s);
    expire(kT0 + 20s);
    EXPECT_TRUE(sent.empty());
    EXPECT_EQ(box.table.next_deadline(), kT0 + 35s);
    expire(kT0 + 35s);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].remote, (Endpoint{kThere, 4500}));
    EXPECT_EQ(box.table.next_deadline(), kT0 + 55s);
}

TEST(EspUdp, TellsEspFromIkeAndKeepalives)
{
    EXPECT_EQ(udp_content(Octets{0xff}), UdpContent::Keepalive);
    EXPECT_EQ(udp_content(Octets{0xfe}), UdpContent::Malformed);
    EXPECT_EQ(udp_content(Octets{}), UdpContent::Malformed);
    EXPECT_EQ(udp_content(Octets{0, 0, 0, 0}), UdpContent::Ike);
    EXPECT_EQ(udp_content(Octets{0, 0, 1, 0, 0, 0, 0, 1}), UdpContent::Esp);
}

// ---- what is asked for ---------------------------------------------------------------------------------------------

TEST(EspSaTable, RefusesWhatCanNotBe)
{
    Box box{false};
    const auto refusal = [&](const api::InstallSa& c) { return find<api::SaInstalled>(box.install(c))->refusal; };
    auto c = box.sa(SaDirection::Outbound, 1);
    c.spi = 255;
    EXPECT_EQ(refusal(c), api::SaRefusal::BadParameter);
    c = box.sa(SaDirection::Outbound, 1);
    c.protection = ProtectionId{64};
    EXPECT_EQ(refusal(c), api::SaRefusal::BadParameter);
    c = box.sa(SaDirection::Outbound, 1);
    c.remote.address = *IpAddress::parse("2001:db8::1");
    EXPECT_EQ(refusal(c), api::SaRefusal::BadParameter);
    c = box.sa(SaDirection::Outbound, 1);
    c.initial_sequence = 0xffffffff;
    EXPECT_EQ(refusal(c), api::SaRefusal::BadParameter);
    c = box.sa(SaDirection::Outbound, 1);
    c.algorithm = static_cast<EspAlgorithm>(99);
    EXPECT_EQ(refusal(c), api::SaRefusal::BadParameter);
    EXPECT_EQ(refusal(box.sa(SaDirection::Outbound, 1)), api::SaRefusal::None);
    EXPECT_EQ(refusal(box.sa(SaDirection::Outbound, 1)), api::SaRefusal::BadParameter);  // the child is there
    for (std::uint32_t child = 2; child <= 16; ++child)
        EXPECT_EQ(refusal(box.sa(SaDirection::Outbound, child)), api::SaRefusal::None);
    EXPECT_EQ(refusal(box.sa(SaDirection::Outbound, 17)), api::SaRefusal::NoRoom);
    EXPECT_EQ(box.table.sas(), 16U);
}

}  // namespace
}  // namespace culvert::esp
