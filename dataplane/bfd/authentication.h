#pragma once

#include "crypto/digest.h"
#include "dataplane/api/bfd.h"
#include "dataplane/bfd/packet.h"

#include <cstdint>
#include <span>

namespace culvert::bfd {

// RFC 5880 6.7.3 and 6.7.4: where the next acceptable sequence number lies. One for each session.
struct ReceivedSequence {
    bool known = false;       // bfd.AuthSeqKnown
    std::uint32_t value = 0;  // bfd.RcvAuthSeq
};

// Octets of the section that `key` gives a packet; 0 without one.
std::size_t section_length(const api::BfdKey& key) noexcept;

// Signs and verifies, RFC 5880 4.2 to 4.4 and 6.7. One for each thread.
class Authenticator {
public:
    // Appends the section to a packet whose mandatory section is there. `sequence` is bfd.XmitAuthSeq.
    void sign(const api::BfdKey& key, std::uint32_t sequence, std::span<std::uint8_t, kMaxPacket> packet) noexcept;

    // Is the packet authentic by one of `keys`? Then the sequence number that it carries becomes the received one. No
    // keys: the session has no authentication, and only packets without are taken.
    bool verify(std::span<const api::BfdKey> keys, const ControlPacket& packet, ReceivedSequence& received) noexcept;

private:
    crypto::OldDigests digests_;
};

}  // namespace culvert::bfd
