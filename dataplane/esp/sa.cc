#include "dataplane/esp/sa.h"

#include <bit>
#include <utility>

namespace culvert::esp {

namespace {

constexpr unsigned kFirstBits = 6;

}  // namespace

SaIndex::SaIndex()
    : slots_(std::size_t{1} << kFirstBits), shift_(32 - kFirstBits), mask_((std::size_t{1} << kFirstBits) - 1)
{}

Sa* SaIndex::find(std::uint32_t spi, VrfId vrf, const IpAddress& local) const noexcept
{
    for (std::size_t at = home(spi); slots_[at].sa != nullptr; at = (at + 1) & mask_)
        if (slots_[at].spi == spi && slots_[at].sa->takes(vrf, local)) return slots_[at].sa;
    return nullptr;
}

bool SaIndex::insert(Sa* sa)
{
    if (2 * (used_ + 1) > slots_.size()) grow();
    std::size_t at = home(sa->spi);
    for (; slots_[at].sa != nullptr; at = (at + 1) & mask_) {
        const Sa& other = *slots_[at].sa;
        if (slots_[at].spi == sa->spi && (other.takes(sa->outbound.outer_vrf, sa->outbound.local.address) ||
                                          sa->takes(other.outbound.outer_vrf, other.outbound.local.address)))
            return false;
    }
    slots_[at] = {sa, sa->spi};
    ++used_;
    return true;
}

void SaIndex::grow()
{
    const auto old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    mask_ = slots_.size() - 1;
    --shift_;
    for (const Slot& slot : old) {
        if (slot.sa == nullptr) continue;
        std::size_t at = home(slot.spi);
        while (slots_[at].sa != nullptr) at = (at + 1) & mask_;
        slots_[at] = slot;
    }
}

// Moves back what a probe could no longer reach over the hole.
void SaIndex::erase(const Sa* sa) noexcept
{
    std::size_t hole = home(sa->spi);
    while (slots_[hole].sa != nullptr && slots_[hole].sa != sa) hole = (hole + 1) & mask_;
    if (slots_[hole].sa == nullptr) return;
    --used_;
    for (std::size_t at = (hole + 1) & mask_; slots_[at].sa != nullptr; at = (at + 1) & mask_) {
        const std::size_t from_home = (at - home(slots_[at].spi)) & mask_;
        const std::size_t from_hole = (at - hole) & mask_;
        if (from_home >= from_hole) {
            slots_[hole] = slots_[at];
            hole = at;
        }
    }
    slots_[hole] = {};
}

}  // namespace culvert::esp
