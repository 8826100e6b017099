#pragma once

#include "base/item_pool.h"
#include "controlplane/rib/attribute_table.h"
#include "controlplane/rib/handle_index.h"
#include "controlplane/rib/hash.h"

namespace culvert::rib {

// What a path holds of attribute sets, in one word: a set, or, where import policy made another of the one that came
// in, a pair of both. Pairs are few, as sets are, and are shared by all paths with the same two.
class SetPairs {
public:
    SetPairs(AttributeTable& sets, std::uint64_t seed) : sets_(sets), seed_(seed) {}

    // The word for a set as received and as imported, with a reference for the caller; 0: full.
    std::uint32_t acquire(std::uint32_t received, std::uint32_t imported)
    {
        if (received == imported) {
            sets_.reference(imported);
            return imported;
        }
        const auto hash = hash_of(received, imported);
        const auto found = index_.find(
            hash, [&](std::uint32_t h) { return pairs_[h].received == received && pairs_[h].imported == imported; });
        if (found != 0) {
            ++pairs_[found].references;
            return found | kPair;
        }
        const auto handle = pairs_.allocate();
        if (handle == 0) return 0;
        pairs_[handle] = {1, received, imported};
        sets_.reference(received);
        sets_.reference(imported);
        index_.insert(hash, handle);
        return handle | kPair;
    }
    void release(std::uint32_t word)
    {
        if (!(word & kPair)) return sets_.release(word);
        const auto handle = word & ~kPair;
        if (--pairs_[handle].references > 0) return;
        const Pair gone = pairs_[handle];
        index_.erase(hash_of(gone.received, gone.imported), handle);
        pairs_.free(handle);
        sets_.release(gone.received);
        sets_.release(gone.imported);
    }

    std::uint32_t received(std::uint32_t word) const noexcept
    {
        return word & kPair ? pairs_[word & ~kPair].received : word;
    }
    std::uint32_t imported(std::uint32_t word) const noexcept
    {
        return word & kPair ? pairs_[word & ~kPair].imported : word;
    }

    std::size_t size() const noexcept { return pairs_.used(); }
    std::size_t octets() const noexcept { return pairs_.items().mapped_octets() + index_.octets(); }

private:
    static constexpr std::uint32_t kPair = 1U << 31;
    struct Pair {
        std::uint32_t references = 0;
        std::uint32_t received = 0;
        std::uint32_t imported = 0;
    };

    std::uint64_t hash_of(std::uint32_t received, std::uint32_t imported) const noexcept
    {
        return fold((std::uint64_t{received} << 32 | imported) ^ seed_, 0x9e3779b97f4a7c15ULL);
    }

    AttributeTable& sets_;
    std::uint64_t seed_;
    Pool<Pair> pairs_{12};
    HandleIndex index_;
};

}  // namespace culvert::rib
