#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "crypto/cipher_burst.h"
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

// What a burst needs between its beginning and its end: the order to the cipher, which any thread may carry out
// (Work::ciphers), and what the table wants to know afterwards.
struct Work {
    static constexpr std::size_t kMax = crypto::CipherBurst::kMax;  // jobs

    // What the cipher needs beside the packet itself.
    struct Scratch {
        std::array<std::uint8_t, 12> aad;  // with ESN
        std::array<std::uint8_t, 32> icv;  // CBC: the received one
    };
    struct Opened {
        OpenJob* job;
        Sa* sa;
        std::uint64_t number;
        const bool* ok;
    };

    crypto::CipherBurst ciphers;
    std::array<Scratch, kMax> scratch;
    std::array<Opened, kMax> opened;
    std::size_t opened_count = 0;
};

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

    // How its packets are to be prepared for seal(), until the next call of anything that is not const. Null: no SA of
    // it may send; to be counted by refuse().
    const Outbound* sending(ProtectionId protection) const noexcept;
    // A packet of the protection was dropped because sending() gave nothing: why, and control is told.
    api::Verdict refuse(ProtectionId protection, TimePoint now) noexcept;
    void seal(std::span<SealJob> jobs, TimePoint now) noexcept;
    void open(std::span<OpenJob> jobs, TimePoint now) noexcept;

    // The same in steps, for at most Work::kMax jobs: begin, the cipher by whoever may (work.ciphers.seal or open), and
    // the end. Bursts end in the order in which they began. While any is in the hands of another thread, between
    // keep() and unkeep(), no key and no SA is freed.
    void begin_seal(std::span<SealJob> jobs, TimePoint now, Work& work) noexcept;
    void begin_open(std::span<OpenJob> jobs, Work& work) noexcept;
    void end_open(TimePoint now, Work& work) noexcept;
    crypto::AeadContext& aead() noexcept { return aead_; }
    void keep() noexcept { ++kept_; }
    void unkeep() noexcept
    {
        --kept_;
        release_retired();
    }

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
    struct Protection {
        Sa* sending = nullptr;                 // may have ended: then it says why nothing is sent
        std::vector<std::unique_ptr<Sa>> sas;  // oldest first
    };
    static constexpr std::size_t kEvents = 4096;
    static constexpr std::size_t kMaxSas = 16;  // of one protection
    static constexpr Duration kAskInterval = 1s;
    static constexpr Duration kTick = 10ms;  // how exact times are

    Protection* find(ProtectionId id) const noexcept;
    Sa* find(ProtectionId id, std::uint32_t child, api::SaDirection direction) const noexcept;
    api::SaRefusal install(const api::InstallSa& command, TimePoint now);
    void expand(const api::InstallSa& command, Sa& sa);
    void remove(const api::DeleteSa& command);
    void move(ProtectionId id, const Endpoint& remote);
    void send_on(Protection& protection, Sa& sa);
    void send_on_next(Protection& protection);
    void prove(Sa& sa);
    bool within_limits(Sa& sa, std::uint32_t octets);
    void set_marks(Sa& sa) noexcept;
    void soften(Sa& sa, api::SaLimit limit);
    void end(Sa& sa, api::SaLimit limit);
    void release_retired();
    void raise(const api::WorkerEvent& event);
    void plan(TimePoint now);
    static std::uint32_t surround(const Sa& sa, SealJob& job, std::uint32_t number, std::uint32_t iv,
                                  std::uint32_t block, std::uint32_t icv) noexcept;
    static void encrypt(const Sa& sa, SealJob& job, Work& work, std::size_t at, std::uint64_t number) noexcept;
    static void encrypt_cbc(const Sa& sa, SealJob& job, Work& work, std::uint64_t number) noexcept;
    static void associate(const Sa& sa, const std::uint8_t* header, std::uint64_t number, Work::Scratch& scratch,
                          crypto::AeadJob& cipher) noexcept;
    static const bool* decrypt(const OpenJob& job, const Sa& sa, Work& work, std::size_t at,
                               std::uint64_t number) noexcept;
    static const bool* decrypt_cbc(const OpenJob& job, const Sa& sa, Work& work, std::size_t at,
                                   std::uint64_t number) noexcept;
    static api::Verdict unwrap(const Sa& sa, OpenJob& job) noexcept;
    void follow(Sa& sa, const Endpoint& from);

    crypto::AeadContext& aead_;
    std::span<api::ProtectionActivity> activity_;
    std::vector<std::unique_ptr<Protection>> protections_;  // by ProtectionId
    std::vector<ProtectionId> owned_;                       // those with SAs
    crypto::SecretPool<SaKey> keys_;
    SaIndex inbound_;
    Work work_;                            // of the burst at hand; here, so that it is initialised only once
    std::array<TimePoint, 1024> asked_{};  // when SaWanted was raised last, by ProtectionId modulo the places
    std::size_t kept_ = 0;                 // bursts in other hands
    std::vector<std::unique_ptr<Sa>> removed_;
    std::vector<SaKey*> retired_;  // released after the bursts that may still name them
    std::vector<Keepalive> keepalives_;
    std::vector<api::WorkerEvent> events_;
    std::size_t event_count_ = 0;
    std::uint64_t lost_events_ = 0;
    TimePoint next_deadline_ = kNever;
};

}  // namespace culvert::esp
