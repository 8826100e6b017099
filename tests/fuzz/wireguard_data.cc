// PeerTable::open() between two tables with keys: the input alters, repeats, reorders and makes up datagrams, in
// bursts. What is accepted is what was sealed, whole, and never twice.
#include "crypto/random.h"
#include "dataplane/wg/peer_table.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

using namespace culvert;
using namespace culvert::wg;

namespace {

constexpr PeerId kPeer{1};
constexpr TimePoint kNow{1h};
const Endpoint kFrom{Ipv4Address{0x0a000001}, 51820};

crypto::AeadContext& cipher()
{
    static crypto::AeadContext aead;  // takes milliseconds to set up
    return aead;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, size}};
    std::vector<api::PeerActivity> near_activity(2), far_activity(2);
    PeerTable near(cipher(), near_activity), far(cipher(), far_activity);
    api::InstallKeys keys{};
    keys.peer = kPeer;
    keys.created = kNow;
    keys.local_index = 1;
    keys.remote_index = 0x04030201;
    keys.initiator = true;
    crypto::SeededRandom random(1);
    random.fill(keys.sending);
    random.fill(keys.receiving);
    near.apply(api::MovePeer{kPeer, kFrom}, kNow);
    near.apply(keys, kNow);
    std::swap(keys.sending, keys.receiving);
    std::swap(keys.local_index, keys.remote_index);
    keys.initiator = false;
    far.apply(keys, kNow);

    std::vector<std::vector<std::uint8_t>> sealed;  // what was sent; number i carries i
    std::set<std::uint32_t> arrived;
    while (!in.empty()) {
        const std::size_t burst = 1 + in.u8() % 8;
        std::vector<std::vector<std::uint8_t>> datagrams;
        for (std::size_t i = 0; i < burst; ++i) {
            const std::uint8_t op = in.u8();
            if (op % 4 == 0 || sealed.empty()) {
                const std::uint32_t length = 24 + in.u8();
                std::vector<std::uint8_t> buffer(kDataHeader + length + kMaxPadding + kDataTrailer);
                std::uint8_t* const inner = buffer.data() + kDataHeader;
                const auto number = static_cast<std::uint32_t>(sealed.size());
                inner[0] = 0x45;
                inner[2] = static_cast<std::uint8_t>(length >> 8);
                inner[3] = static_cast<std::uint8_t>(length);
                std::memcpy(inner + 20, &number, 4);
                SealJob job;
                job.peer = kPeer;
                job.data = inner;
                job.length = length;
                near.seal({&job, 1}, kNow);
                if (job.verdict != api::Verdict::Forward) std::abort();
                buffer.resize(job.sealed_length);
                sealed.push_back(buffer);
                datagrams.push_back(std::move(buffer));
            } else if (op % 4 == 1) {
                datagrams.push_back(sealed[in.u8() % sealed.size()]);
            } else if (op % 4 == 2) {
                auto altered = sealed[in.u8() % sealed.size()];
                altered[in.u16() % altered.size()] ^= static_cast<std::uint8_t>(in.u8() | 1);
                if (op & 0x80) altered.resize(in.u8() % (altered.size() + 1));
                datagrams.push_back(std::move(altered));
            } else {
                const Bytes bytes = in.take(std::min<std::size_t>(in.u8(), in.remaining()));
                datagrams.emplace_back(bytes.begin(), bytes.end());
            }
        }
        const auto original = datagrams;
        std::vector<OpenJob> jobs(datagrams.size());
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].data = datagrams[i].data();
            jobs[i].length = static_cast<std::uint32_t>(datagrams[i].size());
            jobs[i].from = kFrom;
        }
        far.open(jobs, kNow);
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            if (jobs[i].verdict != api::Verdict::Forward) continue;
            std::uint32_t number;
            std::memcpy(&number, jobs[i].inner + 20, 4);
            if (number >= sealed.size() || original[i] != sealed[number] || !arrived.insert(number).second)
                std::abort();
        }
    }
    return 0;
}
