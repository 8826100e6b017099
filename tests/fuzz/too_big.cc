// Any octets as an ICMP error about a tunnel's packet: what is made of them lies within them.

#include "controlplane/runtime/too_big.h"

#include "base/check.h"

#include <algorithm>

using namespace culvert;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (const auto told = runtime::parse_too_big({data, size})) {
        CULVERT_CHECK(told->from.family == told->to.family);
        CULVERT_CHECK(told->mtu != 0 || runtime::plateau_below(told->length) <= std::max<int>(told->length, 68));
    }
    return 0;
}
