#include "dataplane/wg/session.h"

#include <bit>

namespace culvert::wg {

SessionIndex::SessionIndex(std::size_t sessions)
    : slots_(std::bit_ceil(2 * (sessions < 8 ? 8 : sessions))), mask_(slots_.size() - 1)
{}

Session* SessionIndex::find(std::uint32_t index) const noexcept
{
    for (std::size_t at = home(index); slots_[at].session != nullptr; at = (at + 1) & mask_)
        if (slots_[at].index == index) return slots_[at].session;
    return nullptr;
}

bool SessionIndex::insert(std::uint32_t index, Session* session) noexcept
{
    std::size_t at = home(index);
    for (; slots_[at].session != nullptr; at = (at + 1) & mask_)
        if (slots_[at].index == index) return false;
    CULVERT_CHECK(used_ < slots_.size() / 2);
    slots_[at] = {session, index};
    ++used_;
    return true;
}

// Moves back what a probe could no longer reach over the hole.
void SessionIndex::erase(std::uint32_t index) noexcept
{
    std::size_t hole = home(index);
    while (slots_[hole].session != nullptr && slots_[hole].index != index) hole = (hole + 1) & mask_;
    if (slots_[hole].session == nullptr) return;
    --used_;
    for (std::size_t at = (hole + 1) & mask_; slots_[at].session != nullptr; at = (at + 1) & mask_) {
        const std::size_t from_home = (at - home(slots_[at].index)) & mask_;
        const std::size_t from_hole = (at - hole) & mask_;
        if (from_home >= from_hole) {
            slots_[hole] = slots_[at];
            hole = at;
        }
    }
    slots_[hole] = {};
}

}  // namespace culvert::wg
