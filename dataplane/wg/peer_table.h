#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "crypto/cipher_burst.h"
#include "crypto/secret.h"
#include "dataplane/api/verdict.h"
#include "dataplane/api/worker_link.h"
#include "dataplane/wg/session.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace culvert::wg {

// The data path of WireGuard, for the peers that one worker owns: their keys, counters and replay windows, and the
// sealing and opening of bursts. It knows descriptors, not mbufs.
//
// A worker's round:
//   1. each command of its ring goes to apply(),
//   2. bursts go through open() and seal(),
//   3. take_events() is pushed to the control plane, and for each of take_ready(): what was held for the peer is
//   sealed;
//      if nothing was held and `must_send`, an empty packet is.
//
// Not here: allowed-ips and the check of inner sources (fib), the held packets (node), handshakes (control plane).
// Not thread safe; nothing allocates but apply(), when it sees more sessions at once than ever before.

inline constexpr Duration kRejectAfterTime = 180s;
inline constexpr std::uint64_t kRejectAfterMessages = ~0ULL - (1ULL << 13);  // 2^64 - 2^13 - 1

// What a data message adds before and after the inner packet, octets.
inline constexpr std::size_t kDataHeader = 16;
inline constexpr std::size_t kMaxPadding = 15;
inline constexpr std::size_t kDataTrailer = crypto::kAeadTag;
inline constexpr std::size_t kDataOverhead = kDataHeader + kDataTrailer;  // without padding

struct SealJob {
    PeerId peer{kNoPeer};
    std::uint8_t* data = nullptr;  // the inner packet; kDataHeader octets before it and kMaxPadding + kDataTrailer
                                   // after its end are ours to write
    std::uint32_t length = 0;      // octets of inner packet; 0 is a keepalive
    std::uint16_t mtu = 0;         // padding never makes an inner packet longer than this; 0: no limit

    // Forward: the UDP payload is at data - kDataHeader, `sealed_length` octets, to be sent to `to`.
    // HoldHandshake: no key yet, nothing was written; keep the packet until the peer is in take_ready().
    // DropWireguardNoEndpoint, DropWireguardNoPeer (no such id).
    api::Verdict verdict{};
    std::uint32_t sealed_length = 0;
    Endpoint to{};
};

struct OpenJob {
    std::uint8_t* data = nullptr;  // the UDP payload, decrypted in place
    std::uint32_t length = 0;
    Endpoint from{};

    // Forward: `inner` is an IP packet whose version and length fields fit; padding is cut off.
    // KeepaliveReceived, or a drop: Malformed, Index, Auth, Replay, KeyExpired, DropTruncated, DropIpVersion.
    api::Verdict verdict{};
    PeerId peer{kNoPeer};  // set when authenticated, drops included
    std::uint8_t* inner = nullptr;
    std::uint32_t inner_length = 0;
};

// A peer that can be sent to now, or must be.
struct Ready {
    PeerId peer;
    bool must_send;  // an empty packet, if nothing is held for it
};

// Is it a data message (type 4)? All else that begins with 1, 2 or 3 is a handshake message for the control plane.
bool is_data(Bytes payload) noexcept;
bool is_handshake(Bytes payload) noexcept;

// What a burst needs between its beginning and its end: the order to the cipher, which any thread may carry out
// (Work::ciphers), and what the table wants to know afterwards.
struct Work {
    static constexpr std::size_t kMax = crypto::CipherBurst::kMax;  // jobs

    struct Opened {
        OpenJob* job;
        Session* session;
        std::uint64_t counter;
        const crypto::AeadJob* cipher;
    };

    crypto::CipherBurst ciphers;
    std::array<Opened, kMax> opened;
    std::size_t opened_count = 0;
};

class PeerTable {
public:
    // `activity` is indexed by PeerId and says by its size how many ids there are; it must outlive the table. Only the
    // elements of peers that this worker owns are written.
    PeerTable(crypto::AeadContext& aead, std::span<api::PeerActivity> activity);
    PeerTable(const PeerTable&) = delete;
    PeerTable& operator=(const PeerTable&) = delete;
    ~PeerTable();

    // InstallKeys, ForgetKeys, SendKeepalive, MovePeer; others are ignored (false). The caller wipes the command.
    // ForgetKeys::drop_waiting is for the holder of the held packets, too.
    bool apply(const api::WorkerCommand& command, TimePoint now);

    void seal(std::span<SealJob> jobs, TimePoint now) noexcept;
    void open(std::span<OpenJob> jobs, TimePoint now) noexcept;

    // The same in steps, for at most Work::kMax jobs: begin, the cipher by whoever may (work.ciphers.seal or open), and
    // the end. Bursts end in the order in which they began. While any is in the hands of another thread, between
    // keep() and unkeep(), no session is freed.
    void begin_seal(std::span<SealJob> jobs, TimePoint now, Work& work) noexcept;
    void begin_open(std::span<OpenJob> jobs, TimePoint now, Work& work) noexcept;
    void end_open(TimePoint now, Work& work) noexcept;
    crypto::AeadContext& aead() noexcept { return aead_; }
    void keep() noexcept { ++kept_; }
    void unkeep() noexcept
    {
        --kept_;
        release_retired();
    }

    // Could seal() send to it now?
    bool can_send(PeerId peer, TimePoint now) const noexcept;
    // Port 0: none known.
    Endpoint endpoint(PeerId peer) const noexcept;

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
    // `f` is void(Ready). It may call seal().
    template <class F>
    void take_ready(F&& f)
    {
        for (std::size_t i = 0; i < ready_.size(); ++i) f(Ready{ready_[i].peer, ready_[i].must_send});
        ready_.clear();
    }

    std::size_t sessions() const noexcept { return pool_.in_use(); }
    const crypto::SecretArena& key_memory() const noexcept { return pool_.arena(); }

private:
    struct Peer {
        Session* current = nullptr;  // what we send under
        Session* next = nullptr;     // made by the peer, not proven yet
        std::array<Session*, 2>
            previous{};  // newest first: for what is still on its way. Two, because handshakes
                         // of both sides that cross replace the current keys twice in one round trip
        Endpoint endpoint{};
        TimePoint asked{};  // when HandshakeWanted was raised last
        bool has_asked = false;
    };
    static constexpr std::size_t kEvents = 4096;

    Peer* find(PeerId peer) noexcept;
    const Peer* find(PeerId peer) const noexcept;
    void install(const api::InstallKeys& keys);
    void forget(Peer& peer);
    void retire(Session*& session);
    void outdate(Peer& peer, Session*& session);
    void release_retired();
    void promote(PeerId id, Peer& peer);
    void want_handshake(PeerId id, Peer& peer, TimePoint now);
    void raise(const api::WorkerEvent& event);

    crypto::AeadContext& aead_;
    std::span<api::PeerActivity> activity_;
    std::vector<Peer> peers_;  // by PeerId
    crypto::SecretPool<Session> pool_;
    SessionIndex by_index_;
    Work work_;                      // of the burst at hand; here, so that it is initialised only once
    std::size_t kept_ = 0;           // bursts in other hands
    std::vector<Session*> retired_;  // released after the bursts that may still name them
    std::vector<Ready> ready_;
    std::vector<api::WorkerEvent> events_;
    std::size_t event_count_ = 0;
    std::uint64_t lost_events_ = 0;
};

}  // namespace culvert::wg
