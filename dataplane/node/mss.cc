#include "dataplane/node/mss.h"

#include "dataplane/wire/transport.h"

#include <algorithm>

namespace culvert::node {

using wire::TcpHeader;

namespace {

// A field that starts at an odd octet straddles two words of the checksum: each is updated.
void set_mss(MutableBytes segment, std::size_t at, std::uint16_t mss, wire::Checksum& checksum) noexcept
{
    const auto word = [&](std::size_t i) { return static_cast<std::uint16_t>(segment[i] << 8 | segment[i + 1]); };
    const auto first = at & ~std::size_t{1};
    const auto last = (at + 1) & ~std::size_t{1};
    const std::uint16_t before[2] = {word(first), word(last)};
    segment[at] = static_cast<std::uint8_t>(mss >> 8);
    segment[at + 1] = static_cast<std::uint8_t>(mss);
    checksum.update(before[0], word(first));
    if (last != first) checksum.update(before[1], word(last));
}

}  // namespace

bool clamp_mss(MutableBytes segment, std::uint16_t mss) noexcept
{
    if (segment.size() < sizeof(TcpHeader)) return false;
    auto& tcp = *reinterpret_cast<TcpHeader*>(segment.data());
    if ((tcp.flags & TcpHeader::kSyn) == 0) return false;
    const auto end = std::min(tcp.header_length(), segment.size());
    for (std::size_t at = sizeof(TcpHeader); at < end;) {
        const auto kind = segment[at];
        if (kind == TcpHeader::kOptionEnd) return false;
        if (kind == TcpHeader::kOptionNop) {
            ++at;
            continue;
        }
        if (at + 2 > end) return false;
        const std::size_t length = segment[at + 1];
        if (length < 2 || at + length > end) return false;
        if (kind == TcpHeader::kOptionMss && length == 4) {
            const auto offered = static_cast<std::uint16_t>(segment[at + 2] << 8 | segment[at + 3]);
            if (offered <= mss) return false;
            // at + 3 < end <= size, and `last` of set_mss is below the header's end, which is a multiple of four.
            set_mss(segment, at + 2, mss, tcp.checksum);
            return true;
        }
        at += length;
    }
    return false;
}

}  // namespace culvert::node
