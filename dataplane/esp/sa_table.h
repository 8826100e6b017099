#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "dataplane/api/esp.h"
#include "dataplane/api/verdict.h"
#include "dataplane/api/worker_link.h"
#include "dataplane/esp/sa.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace culvert::esp {

// The data path of ESP, for the protections that one worker owns: their keys, sequence numbers, replay windows and
// lifetimes, and the sealing and opening of bursts. It knows descriptors, not mbufs.
//
// A worker's round:
//   1. each command of its ring goes to apply(),
//   2. bursts go through open() and seal(),
//   3. when next_deadline() has come, expire(),
//   4. take_events() is pushed to the control plane, and take_keepalives() is sent.
//
// Not here: outer headers and what may be inside (node), the tables of protections (fib), key exchange.
// Not thread safe; nothing allocates but apply().

// What seal() writes around the text, octets.
inline constexpr std::size_t kMaxFront = api::kEspHeader + 16;
inline constexpr std::size_t kMaxBack = 15 + api::kEspTrailer + 32;

// How a protection sends now. Good until the next call of anything that is not const.
struct Outbound {
    api::EspMode mode{};
    bool udp = false;
    std::uint8_t front = 0;  // octets of ESP header and IV
    VrfId outer_vrf{};
    Endpoint local{};
    Endpoint remote{};
};

struct SealJob {
    ProtectionId protection{kNoProtection};
    std::uint8_t* data = nullptr;  // the text: an IP packet (tunnel) or what follows its header (transport). kMaxFront
                                   // octets before it and kMaxBack after its end are ours to write
    std::uint32_t length = 0;
    std::uint8_t next_header = 0;

    // Forward: the ESP packet is `sealed_length` octets at `data - Outbound::front`. Or DropEspNoSa, DropEspExpired,
    // DropEspExhausted.
    api::Verdict verdict{};
    std::uint32_t sealed_length = 0;
};

struct OpenJob {
    std::uint8_t* data = nullptr;  // the ESP header, decrypted in place; `length` octets to the end of the ICV
    std::uint32_t length = 0;
    VrfId vrf{};     // where it arrived,
    IpAddress to{};  // at which address
    bool udp = false;
    Endpoint from{};  // udp

    // Forward: `inner` is what the SA carries. Tunnel mode: an IP packet whose version and length fields fit, what is
    // behind it (TFC padding) is cut off. Transport mode: what follows the IP header.
    // EspDummy, or a drop: Malformed, Spi, Auth, Replay, Expired, Padding, Inner, DropTruncated, DropIpVersion.
    api::Verdict verdict{};
    ProtectionId protection{kNoProtection};  // set when authenticated, drops included
    api::EspMode mode{};
    std::uint8_t next_header = 0;
    std::uint8_t* inner = nullptr;
    std::uint32_t inner_length = 0;
};

// One octet of 0xff, in UDP from `local` to `remote`, RFC 3948 2.3.
struct Keepalive {
    ProtectionId protection;
    VrfId outer_vrf;
    Endpoint local;
    Endpoint remote;
};

// RFC 3948 2.2: what the UDP payload is.
enum class UdpContent : std::uint8_t { Esp, Ike, Keepalive, Malformed };
constexpr UdpContent udp_content(Bytes payload) noexcept
{
    if (payload.size() == 1 && payload[0] == 0xff) return UdpContent::Keepalive;
    if (payload.size() < 4) return UdpContent::Malformed;
    const bool marker = (payload[0] | payload[1] | payload[2] | payload[3]) == 0;
    return marker ? UdpContent::Ike : UdpContent::Esp;
}

class SaTable {
public:
    // `activity` is indexed by ProtectionId and says by its size how many ids there are; it must outlive the table.
    // Only the elements of protections that this worker owns are written.
    SaTable(crypto::AeadContext& aead, std::span<api::ProtectionActivity> activity);
    SaTable(const SaTable&) = delete;
    SaTable& operator=(const SaTable&) = delete;
    ~SaTable();

    // InstallSa, ActivateSa, DeleteSa, MoveSas; others are ignored (false). The caller wipes the command.
    bool apply(const api::WorkerCommand& command, TimePoint now);

    // Null: no SA of it may send. Counted, and SaWanted raised, by seal() only.
    const Outbound* sending(ProtectionId protection) const noexcept;
    void seal(std::span<SealJob> jobs, TimePoint now) noexcept;
    void open(std::span<OpenJob> jobs, TimePoint now) noexcept;

    // Lifetimes by time, and keepalives.
    void expire(TimePoint now) noexcept;
    TimePoint next_deadline() const noexcept { return next_deadline_; }

    // Gives each event to `push` (bool(const api::WorkerEvent&); false: could not be queued) and forgets it. Returns
    // how many were lost, here or by `push`: to be added to WorkerLink::lost_events.
    template <class Push>
    std::uint64_t take_events(Push&& push)
    {
        std::uint64_t lost = lost_events_;
        for (std::size_t i = 0; i < event_count_; ++i)
            if (!push(events_[i])) ++lost;
        event_count_ = 0;
        lost_events_ = 0;
        return lost;
    }
    // `f` is void(const Keepalive&).
    template <class F>
    void take_keepalives(F&& f)
    {
        for (const Keepalive& k : keepalives_) f(k);
        keepalives_.clear();
    }

    std::size_t sas() const noexcept { return keys_.in_use(); }
    const crypto::SecretArena& key_memory() const noexcept { return keys_.arena(); }

private:
    // What is known of a protection: its outbound SAs (the one that sends, those that wait to) and its inbound ones.
    struct Protection {
        Sa* sending = nullptr;
        Outbound outbound{};  // of `sending`
        std::vector<std::unique_ptr<Sa>> sas;
        TimePoint asked{};  // when SaWanted was raised last
        bool has_asked = false;
    };
    static constexpr std::size_t kChunk = 64;  // jobs that go through the cipher in one call
    static constexpr std::size_t kEvents = 4096;
    static constexpr std::size_t kMaxSas = 16;  // of one protection

    crypto::AeadContext& aead_;
    std::span<api::ProtectionActivity> activity_;
    crypto::SecretPool<SaKey> keys_;
    std::vector<Keepalive> keepalives_;
    std::vector<api::WorkerEvent> events_;
    std::size_t event_count_ = 0;
    std::uint64_t lost_events_ = 0;
    TimePoint next_deadline_ = kNever;
};

}  // namespace culvert::esp
