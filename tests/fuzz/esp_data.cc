// SaTable::open() between two tables with keys: the input alters, repeats, reorders and makes up packets, in bursts,
// with and without ESN, over the edge of the lower half of the sequence number. What is accepted is what was sealed,
// whole, and never twice. Texts of the input's own are sealed too: behind a valid ICV may be anything.
#include "crypto/random.h"
#include "dataplane/esp/sa_table.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

using namespace culvert;
using namespace culvert::esp;

namespace {

constexpr ProtectionId kId{1};
constexpr TimePoint kNow{1h};
const IpAddress kHere{Ipv4Address{0x0a000001}}, kThere{Ipv4Address{0x0a000002}};

crypto::AeadContext& cipher()
{
    static crypto::AeadContext aead;  // takes milliseconds to set up
    return aead;
}

// The text that the fuzzer wants, trailer and all, under the right key: AES-GCM by hand.
std::vector<std::uint8_t> craft(const api::InstallSa& sa, std::uint32_t number, Bytes text)
{
    std::vector<std::uint8_t> packet(16 + text.size() + 16);
    const be32 spi{sa.spi}, low{number};
    std::memcpy(packet.data(), &spi, 4);
    std::memcpy(packet.data() + 4, &low, 4);
    std::copy(text.begin(), text.end(), packet.begin() + 16);
    crypto::AesGcmKey key;
    cipher().expand_aes_gcm(std::span{sa.key}.first(16), key);
    crypto::AeadJob job{.key = &key,
                        .length = static_cast<std::uint32_t>(text.size()),
                        .source = packet.data() + 16,
                        .destination = packet.data() + 16,
                        .aad = packet.data(),
                        .aad_length = 8,
                        .tag = packet.data() + 16 + text.size()};
    std::memcpy(job.nonce.data(), sa.key.data() + 16, 4);
    cipher().seal_aes128_gcm({&job, 1});
    return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, size}};
    std::vector<api::ProtectionActivity> near_activity(2), far_activity(2);
    SaTable near(cipher(), near_activity), far(cipher(), far_activity);
    const std::uint8_t shape = in.u8();
    api::InstallSa sa{};
    sa.protection = kId;
    sa.child = 1;
    sa.spi = 0x01020304;
    sa.algorithm = static_cast<api::EspAlgorithm>(shape % api::kEspAlgorithms);
    sa.mode = (shape & 0x40) != 0 ? api::EspMode::Transport : api::EspMode::Tunnel;
    sa.esn = (shape & 0x80) != 0;
    sa.replay_window = 64U << (in.u8() % 8);
    if (sa.esn) sa.initial_sequence = (std::uint64_t{3} << 32) - 1 - in.u8();
    sa.direction = api::SaDirection::Outbound;
    sa.local = {kHere, 0};
    sa.remote = {kThere, 0};
    crypto::SeededRandom random(1);
    random.fill(sa.key);
    near.apply(sa, kNow);
    sa.direction = api::SaDirection::Inbound;
    std::swap(sa.local, sa.remote);
    far.apply(sa, kNow);
    const std::size_t front = near.sending(kId)->front;

    std::vector<std::vector<std::uint8_t>> sealed;  // what was sent; number i carries i
    std::set<std::uint32_t> arrived;
    std::uint32_t crafted = 1U << 20;
    while (!in.empty()) {
        const std::size_t burst = 1 + in.u8() % 8;
        std::vector<std::vector<std::uint8_t>> packets;
        for (std::size_t i = 0; i < burst; ++i) {
            const std::uint8_t op = in.u8();
            if (op % 5 == 4 && sa.algorithm == api::EspAlgorithm::AesGcm128 && !sa.esn) {
                const Bytes text = in.take(std::min<std::size_t>(in.u8() / 4 * 4, in.remaining() / 4 * 4));
                packets.push_back(craft(sa, crafted++, text));
            } else if (op % 5 == 0 || sealed.empty()) {
                const std::uint32_t length = 24 + in.u8();
                std::vector<std::uint8_t> buffer(kMaxFront + length + kMaxBack);
                std::uint8_t* const inner = buffer.data() + kMaxFront;
                const auto number = static_cast<std::uint32_t>(sealed.size());
                inner[0] = 0x45;
                inner[2] = static_cast<std::uint8_t>(length >> 8);
                inner[3] = static_cast<std::uint8_t>(length);
                std::memcpy(inner + 20, &number, 4);
                SealJob job;
                job.protection = kId;
                job.data = inner;
                job.length = length;
                job.next_header = 4;
                near.seal({&job, 1}, kNow);
                if (job.verdict != api::Verdict::Forward) std::abort();
                sealed.emplace_back(inner - front, inner - front + job.sealed_length);
                packets.push_back(sealed.back());
            } else if (op % 5 == 1) {
                packets.push_back(sealed[in.u8() % sealed.size()]);
            } else if (op % 5 == 2) {
                auto altered = sealed[in.u8() % sealed.size()];
                altered[in.u16() % altered.size()] ^= static_cast<std::uint8_t>(in.u8() | 1);
                if (op & 0x80) altered.resize(in.u8() % (altered.size() + 1));
                packets.push_back(std::move(altered));
            } else {
                const Bytes bytes = in.take(std::min<std::size_t>(in.u8(), in.remaining()));
                packets.emplace_back(bytes.begin(), bytes.end());
            }
        }
        const auto original = packets;
        std::vector<OpenJob> jobs(packets.size());
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].data = packets[i].data();
            jobs[i].length = static_cast<std::uint32_t>(packets[i].size());
            jobs[i].to = kThere;
        }
        far.open(jobs, kNow);
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            if (jobs[i].verdict != api::Verdict::Forward) continue;
            // Whatever is handed out lies within the packet.
            const auto* end = packets[i].data() + packets[i].size();
            if (jobs[i].inner < packets[i].data() || jobs[i].inner + jobs[i].inner_length > end) std::abort();
            be32 low;
            std::memcpy(&low, original[i].data() + 4, 4);
            if (!sa.esn && low >= 1U << 20) continue;  // crafted
            std::uint32_t number;
            std::memcpy(&number, jobs[i].inner + 20, 4);
            if (number >= sealed.size() || original[i] != sealed[number] || !arrived.insert(number).second)
                std::abort();
        }
    }
    return 0;
}
