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

void set_gre_checksum(MutableBytes gre) noexcept
{
    Checksum sum;
    sum.set(Sum{}.add(gre));
    std::memcpy(gre.data() + sizeof(GreHeader), &sum, sizeof sum);
}

}  // namespace culvert::wire
