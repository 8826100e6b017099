#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <optional>

namespace culvert::io {

// What the kernel says about a frame from a packet socket with PACKET_VNET_HDR (virtio 1.2, 5.1.6; the kernel's own
// byte order). As in <linux/virtio_net.h>.
struct VnetHeader {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;  // from the start of the frame, without a tag that the kernel stripped
    std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

inline constexpr std::uint8_t kVnetNeedsChecksum = 1;
inline constexpr std::uint8_t kGsoTcp4 = 1, kGsoUfo = 3, kGsoTcp6 = 4, kGsoUdpL4 = 5, kGsoEcn = 0x80;

// The Internet checksum of what lies in `frame` from `start` on, folded and complemented, put at start + offset. The
// sender left the pseudo header's sum there. False: outside of the frame.
bool complete_checksum(MutableBytes frame, std::size_t start, std::size_t offset) noexcept;

// One large TCP or UDP segment on its way to becoming frames that the peer's MTU allows, as the sender's NIC would cut
// it: sequence numbers, IPv4 ids, lengths, flags (PSH and FIN on the last, CWR on the first) and checksums are those of
// packets sent one by one. The frame lies in two pieces, as it was received; it must outlive this.
class Segmenter {
public:
    // Nothing: headers that don't agree with `vnet`, or a kind that is not cut here (UFO, tunnels).
    static std::optional<Segmenter> make(Bytes head, Bytes rest, const VnetHeader& vnet) noexcept;

    bool done() const noexcept { return sent_ >= payload_; }
    std::size_t next_size() const noexcept { return headers_ + next_payload(); }
    // Writes the next frame of next_size() octets.
    void write_next(std::uint8_t* out) noexcept;

private:
    static constexpr std::size_t kMaxHeaders = 256;

    std::size_t next_payload() const noexcept { return payload_ - sent_ < mss_ ? payload_ - sent_ : mss_; }

    Bytes head_;
    Bytes rest_;
    std::uint32_t headers_ = 0;  // octets of Ethernet, tags, IP and TCP or UDP header: all in head_
    std::uint32_t l3_ = 0;
    std::uint32_t l4_ = 0;
    std::uint32_t payload_ = 0;
    std::uint32_t sent_ = 0;
    std::uint32_t mss_ = 0;
    std::uint16_t index_ = 0;
    bool ipv6_ = false;
    bool tcp_ = false;
};

}  // namespace culvert::io
