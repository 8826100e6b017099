#include "dataplane/wire/gre.h"

#include <cstring>

namespace culvert::wire {

Gre parse_gre(Bytes bytes) noexcept
{
    Reader in{bytes};
    Gre gre;
    gre.flags = in.u16();
    gre.protocol = in.u16();
    if ((gre.flags & GreHeader::kRefused) != 0) return {};
    if (gre.has(GreHeader::kChecksum)) in.skip(4);
    if (gre.has(GreHeader::kKey)) gre.key = in.u32();
    if (gre.has(GreHeader::kSequence)) gre.sequence = in.u32();
    if (!in.ok()) return {};
    gre.length = bytes.size() - in.remaining();
    return gre;
}

void put_gre(std::uint8_t* to, std::uint16_t flags, std::uint16_t protocol, std::uint32_t key,
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

void set_gre_checksum(MutableBytes gre) noexcept
{
    Checksum sum;
    sum.set(Sum{}.add(gre));
    std::memcpy(gre.data() + sizeof(GreHeader), &sum, sizeof sum);
}

}  // namespace culvert::wire
