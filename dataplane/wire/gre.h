#pragma once

#include "base/bytes.h"
#include "dataplane/wire/checksum.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace culvert::wire {

// RFC 2784 2.1 with the key and the sequence number of RFC 2890 2. Behind these four octets follow, each present or
// not: checksum and reserved (4), key (4), sequence number (4).
struct GreHeader {
    be16 flags;
    be16 protocol;  // EtherType

    static constexpr std::uint16_t kChecksum = 0x8000, kKey = 0x2000, kSequence = 0x1000;
    // RFC 1701's routing, strict source route and recursion, which nobody sends any more, and the version.
    static constexpr std::uint16_t kRefused = 0x4c07;
};
static_assert(sizeof(GreHeader) == 4);

// Of a keepalive's inner header, as IOS sends it.
inline constexpr std::uint16_t kGreNoProtocol = 0;
inline constexpr std::size_t kMaxGreHeader = 16;

constexpr std::size_t gre_length(std::uint16_t flags) noexcept
{
    return sizeof(GreHeader) + ((flags & GreHeader::kChecksum) != 0 ? 4 : 0) +
           ((flags & GreHeader::kKey) != 0 ? 4 : 0) + ((flags & GreHeader::kSequence) != 0 ? 4 : 0);
}

// What a GRE header says. The checksum is not looked at.
struct Gre {
    std::uint16_t flags = 0;
    std::uint16_t protocol = 0;
    std::uint32_t key = 0;       // if kKey
    std::uint32_t sequence = 0;  // if kSequence
    std::size_t length = 0;      // of the header; 0: malformed, or of a kind that is refused

    bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
};
// `bytes` starts at the GRE header and ends with the packet.
Gre parse_gre(Bytes bytes) noexcept;
// Is the checksum over all of it intact?
inline bool gre_intact(Bytes gre) noexcept { return Sum{}.add(gre).intact(); }
// Writes gre_length(flags) octets; the checksum, if asked for, is zero until set_gre_checksum().
inline void put_gre(std::uint8_t* to, std::uint16_t flags, std::uint16_t protocol, std::uint32_t key,
                    std::uint32_t sequence) noexcept
{
    const auto put32 = [&to](std::uint32_t v) {
        const be32 wire{v};
        std::memcpy(to, &wire, sizeof wire);
        to += sizeof wire;
    };
    put32(std::uint32_t{flags} << 16 | protocol);
    if ((flags & GreHeader::kChecksum) != 0) put32(0);
    if ((flags & GreHeader::kKey) != 0) put32(key);
    if ((flags & GreHeader::kSequence) != 0) put32(sequence);
}
void set_gre_checksum(MutableBytes gre) noexcept;

}  // namespace culvert::wire
