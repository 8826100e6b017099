#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "crypto/cipher_burst.h"
#include "dataplane/api/esp.h"
#include "dataplane/esp/replay_window.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace culvert::esp {

// Expanded keys of one direction of an SA; in the secret arena.
union alignas(64) SaKey {
    crypto::AesGcmKey gcm;
    crypto::CbcHmacKey cbc;
    std::array<std::uint8_t, crypto::kChaChaKey> chacha;
};

// How a protection sends: what stands around the ESP packet. Of an inbound SA, `local` is where it receives.
struct Outbound {
    api::EspMode mode{};
    bool udp = false;
    std::uint8_t front = 0;  // octets of ESP header and IV
    VrfId outer_vrf{};
    Endpoint local{};
    Endpoint remote{};
};

// One direction of a child SA. What each packet touches comes first.
struct alignas(64) Sa {
    SaKey* key = nullptr;        // null: it has ended
    std::uint64_t sequence = 0;  // outbound: the last number used
    std::uint64_t iv_mask = 0;
    std::uint64_t packets = 0;
    std::uint64_t octets = 0;
    // Beyond which there is something to tell or to end: the next of soft and hard limits.
    std::uint64_t packets_mark = 0;
    std::uint64_t octets_mark = 0;
    std::uint32_t spi = 0;
    std::uint32_t salt = 0;  // as it lies in the nonce
    // ---- the second line
    ProtectionId protection{};
    crypto::CipherSuite suite{};
    api::EspTraits traits{};
    bool esn = false;
    bool proven = false;  // inbound: an authenticated packet came
    bool follow_peer = false;
    ReplayWindow received;  // inbound
    // ---- what packets look at once in a run, or seldom
    Outbound outbound{};
    std::uint32_t child = 0;
    api::SaDirection direction{};
    bool waiting = false;  // outbound: sends when it is proven or told to
    bool soft_by_sequence = false;
    bool told_soft = false;   // of this kind or another
    api::SaLimit ended_by{};  // with key == nullptr
    std::uint64_t last = 0;   // outbound: the last sequence number there is
    TimePoint soft_at = kNever;
    TimePoint hard_at = kNever;
    std::uint64_t soft_octets = 0, hard_octets = 0, soft_packets = 0, hard_packets = 0;
    TimePoint last_sent{};
    Duration keepalive{};  // zero: never

    // Inbound: is a packet with its SPI that came in so its own?
    bool takes(VrfId vrf, const IpAddress& to) const noexcept
    {
        return outbound.outer_vrf == vrf && (outbound.local.address == to || outbound.local.address.is_unspecified());
    }
};

// A packet touches two lines of its SA, whatever the compiler makes of the members.
static_assert(offsetof(Sa, protection) == 64 && offsetof(Sa, outbound) <= 128);

// Finds an inbound SA by SPI, then by where the packet arrived. Open addressing, linear probing, never more than half
// full: it grows. SPIs are ours or the operator's, nobody else can make them collide.
class SaIndex {
public:
    SaIndex();

    Sa* find(std::uint32_t spi, VrfId vrf, const IpAddress& local) const noexcept;
    void prefetch(std::uint32_t spi) const noexcept { __builtin_prefetch(&slots_[home(spi)]); }
    // False if an SA with this SPI takes some of the same packets already.
    bool insert(Sa* sa);
    void erase(const Sa* sa) noexcept;

private:
    struct Slot {
        Sa* sa = nullptr;
        std::uint32_t spi = 0;
    };
    std::size_t home(std::uint32_t spi) const noexcept { return (spi * 0x9e3779b1U) >> shift_; }
    void grow();

    std::vector<Slot> slots_;
    unsigned shift_;
    std::size_t mask_;
    std::size_t used_ = 0;
};

}  // namespace culvert::esp
