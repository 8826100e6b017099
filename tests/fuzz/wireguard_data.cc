// PeerTable::open() between two tables with keys.
#include "crypto/random.h"
#include "dataplane/wg/peer_table.h"
#include "tests/fuzz/sealed.h"

using namespace culvert;
using namespace culvert::wg;
using fuzz::Packet;

namespace {

constexpr PeerId kPeer{1};
constexpr TimePoint kNow{1h};
const Endpoint kFrom{Ipv4Address{0x0a000001}, 51820};

class Ends {
public:
    static constexpr int kOperations = 4;

    Ends()
    {
        api::InstallKeys keys{};
        keys.peer = kPeer;
        keys.created = kNow;
        keys.local_index = 1;
        keys.remote_index = 0x04030201;
        keys.initiator = true;
        crypto::SeededRandom random(1);
        random.fill(keys.sending);
        random.fill(keys.receiving);
        near_.apply(api::MovePeer{kPeer, kFrom}, kNow);
        near_.apply(keys, kNow);
        std::swap(keys.sending, keys.receiving);
        std::swap(keys.local_index, keys.remote_index);
        keys.initiator = false;
        far_.apply(keys, kNow);
    }

    Packet seal(Bytes inner)
    {
        Packet buffer(kDataHeader + inner.size() + kMaxPadding + kDataTrailer);
        SealJob job;
        job.peer = kPeer;
        job.data = buffer.data() + kDataHeader;
        job.length = static_cast<std::uint32_t>(inner.size());
        std::copy(inner.begin(), inner.end(), job.data);
        near_.seal({&job, 1}, kNow);
        if (job.verdict != api::Verdict::Forward) std::abort();
        buffer.resize(job.sealed_length);
        return buffer;
    }
    static bool craft(Reader&, std::vector<Packet>&) { return false; }
    static bool crafted(Bytes) { return false; }
    std::vector<std::optional<Bytes>> open(std::vector<Packet>& datagrams)
    {
        OpenJob like;
        like.from = kFrom;
        return fuzz::open_all(far_, datagrams, like, kNow);
    }

private:
    std::vector<api::PeerActivity> near_activity_{2}, far_activity_{2};
    PeerTable near_{fuzz::cipher(), near_activity_}, far_{fuzz::cipher(), far_activity_};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, size}};
    Ends ends;
    fuzz::between(ends, in);
    return 0;
}
