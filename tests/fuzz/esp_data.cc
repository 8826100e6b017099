// SaTable::open() between two tables with keys, with and without ESN, over the edge of the lower half of the sequence
// number. Texts of the input's own are sealed too: behind a valid ICV may be anything.
#include "crypto/random.h"
#include "dataplane/esp/sa_table.h"
#include "tests/fuzz/sealed.h"

using namespace culvert;
using namespace culvert::esp;
using fuzz::Packet;

namespace {

constexpr ProtectionId kId{1};
constexpr TimePoint kNow{1h};
const IpAddress kHere{Ipv4Address{0x0a000001}}, kThere{Ipv4Address{0x0a000002}};

// The text that the fuzzer wants, trailer and all, under the right key: AES-GCM by hand.
Packet craft(const api::InstallSa& sa, std::uint32_t number, Bytes text)
{
    Packet packet(16 + text.size() + 16);
    const be32 spi{sa.spi}, low{number};
    std::memcpy(packet.data(), &spi, 4);
    std::memcpy(packet.data() + 4, &low, 4);
    std::copy(text.begin(), text.end(), packet.begin() + 16);
    crypto::AesGcmKey key;
    fuzz::cipher().expand_aes_gcm(std::span{sa.key}.first(16), key);
    crypto::AeadJob job{.key = &key,
                        .length = static_cast<std::uint32_t>(text.size()),
                        .source = packet.data() + 16,
                        .destination = packet.data() + 16,
                        .aad = packet.data(),
                        .aad_length = 8,
                        .tag = packet.data() + 16 + text.size()};
    std::memcpy(job.nonce.data(), sa.key.data() + 16, 4);
    fuzz::cipher().seal_aes128_gcm({&job, 1});
    return packet;
}

class Ends {
public:
    static constexpr int kOperations = 5;

    explicit Ends(Reader& in)
    {
        const std::uint8_t shape = in.u8();
        sa_.protection = kId;
        sa_.child = 1;
        sa_.spi = 0x01020304;
        sa_.algorithm = static_cast<api::EspAlgorithm>(shape % api::kEspAlgorithms);
        sa_.mode = (shape & 0x40) != 0 ? api::EspMode::Transport : api::EspMode::Tunnel;
        sa_.esn = (shape & 0x80) != 0;
        sa_.replay_window = 64U << (in.u8() % 8);
        if (sa_.esn) sa_.initial_sequence = (std::uint64_t{3} << 32) - 1 - in.u8();
        sa_.direction = api::SaDirection::Outbound;
        sa_.local = {kHere, 0};
        sa_.remote = {kThere, 0};
        crypto::SeededRandom random(1);
        random.fill(sa_.key);
        near_.apply(sa_, kNow);
        sa_.direction = api::SaDirection::Inbound;
        std::swap(sa_.local, sa_.remote);
        far_.apply(sa_, kNow);
        front_ = near_.sending(kId)->front;
    }

    Packet seal(Bytes inner)
    {
        Packet buffer(front_ + inner.size() + kMaxBack);
        SealJob job;
        job.protection = kId;
        job.data = buffer.data() + front_;
        job.length = static_cast<std::uint32_t>(inner.size());
        job.next_header = 4;
        std::copy(inner.begin(), inner.end(), job.data);
        near_.seal({&job, 1}, kNow);
        if (job.verdict != api::Verdict::Forward) std::abort();
        buffer.resize(job.sealed_length);
        return buffer;
    }
    bool craft(Reader& in, std::vector<Packet>& packets)
    {
        if (sa_.algorithm != api::EspAlgorithm::AesGcm128 || sa_.esn) return false;
        const std::size_t length = in.u8();
        const Bytes text = in.take(std::min(length, in.remaining()) / 4 * 4);
        packets.push_back(::craft(sa_, crafted_++, text));
        return true;
    }
    bool crafted(Bytes packet) const
    {
        be32 low;
        std::memcpy(&low, packet.data() + 4, 4);
        return !sa_.esn && low >= kCrafted;
    }
    std::vector<std::optional<Bytes>> open(std::vector<Packet>& packets)
    {
        OpenJob like;
        like.to = kThere;
        return fuzz::open_all(far_, packets, like, kNow);
    }

private:
    static constexpr std::uint32_t kCrafted = 1U << 20;  // the first number of those

    std::vector<api::ProtectionActivity> near_activity_{2}, far_activity_{2};
    SaTable near_{fuzz::cipher(), near_activity_}, far_{fuzz::cipher(), far_activity_};
    api::InstallSa sa_{};
    std::size_t front_ = 0;
    std::uint32_t crafted_ = kCrafted;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, size}};
    Ends ends{in};
    fuzz::between(ends, in);
    return 0;
}
