#pragma once

#include "base/ids.h"
#include "crypto/random.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace culvert::wireguard {

// The session indices in use, shared by all WireGuard interfaces of one box: the dataplane finds a session by its index
// alone. Indices are random, so that they tell nothing and cannot be made to collide. One thread. Must outlive the
// engines.
class IndexTable {
public:
    // An index that nobody has.
    std::uint32_t allocate(PeerId owner, crypto::Random& random);
    void release(std::uint32_t index);
    std::optional<PeerId> owner(std::uint32_t index) const;
    std::size_t size() const noexcept { return owners_.size(); }

private:
    std::unordered_map<std::uint32_t, PeerId> owners_;
};

}  // namespace culvert::wireguard
