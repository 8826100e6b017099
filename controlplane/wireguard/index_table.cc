#include "controlplane/wireguard/index_table.h"

namespace culvert::wireguard {

std::uint32_t IndexTable::allocate(PeerId owner, crypto::Random& random)
{
    for (;;) {
        const std::uint32_t index = random.u32();
        if (owners_.try_emplace(index, owner).second) return index;
    }
}

void IndexTable::release(std::uint32_t index) { owners_.erase(index); }

std::optional<PeerId> IndexTable::owner(std::uint32_t index) const
{
    const auto found = owners_.find(index);
    if (found == owners_.end()) return std::nullopt;
    return found->second;
}

}  // namespace culvert::wireguard
