#include "dataplane/node/hold.h"

#include <utility>

namespace culvert::node {

HoldTable::HoldTable(std::size_t max_packets)
    : slots_(std::make_unique<std::array<Slot, kMaxKeys>>()), max_packets_(max_packets)
{
    buckets_.fill(kNone);
    for (std::size_t i = 0; i < kMaxKeys; ++i)
        (*slots_)[i].next = i + 1 < kMaxKeys ? static_cast<std::uint16_t>(i + 1) : kNone;
}

std::size_t HoldTable::bucket(const HoldKey& key) noexcept
{
    const auto ids = static_cast<std::uint64_t>(index(key.peer)) << 16 | index(key.interface);
    return mix(ids ^ std::hash<IpAddress>{}(key.address)) % kMaxKeys;
}

std::uint16_t HoldTable::find(const HoldKey& key) const noexcept
{
    auto at = buckets_[bucket(key)];
    while (at != kNone && !((*slots_)[at].key == key)) at = (*slots_)[at].next;
    return at;
}

std::uint16_t HoldTable::insert(const HoldKey& key) noexcept
{
    const auto at = free_;
    if (at == kNone) return kNone;
    auto& slot = (*slots_)[at];
    free_ = slot.next;
    auto& head = buckets_[bucket(key)];
    slot.key = key;
    slot.asked = TimePoint::min();
    slot.next = head;
    head = at;
    ++used_;
    return at;
}

HoldTable::Held HoldTable::hold(const HoldKey& key, rte_mbuf* m, TimePoint now) noexcept
{
    if (packets_ >= max_packets_) return {};
    auto at = find(key);
    if (at == kNone) at = insert(key);
    if (at == kNone) return {};
    auto& slot = (*slots_)[at];
    const bool ask = slot.asked == TimePoint::min() || now - slot.asked >= kAskAgainAfter;
    if (ask) slot.asked = now;
    if (slot.list.size() >= kMaxOfKey) return {false, ask};
    if (used_ == 1 && packets_ == 0) next_scan_ = now + kScanEvery;
    slot.list.push(m);
    ++packets_;
    return {true, ask};
}

PacketList HoldTable::release(const HoldKey& key, bool answered) noexcept
{
    const auto at = find(key);
    if (at == kNone) return {};
    if (answered) (*slots_)[at].asked = TimePoint{};
    PacketList out = std::exchange((*slots_)[at].list, {});
    packets_ -= out.size();
    return out;
}

bool HoldTable::waits(const HoldKey& key) const noexcept
{
    const auto at = find(key);
    return at != kNone && !(*slots_)[at].list.empty();
}

PacketList HoldTable::expire(TimePoint now) noexcept
{
    PacketList out;
    if (used_ == 0 || now < next_scan_) return out;
    next_scan_ = now + kScanEvery;
    for (auto& head : buckets_) {
        for (auto* link = &head; *link != kNone;) {
            auto& slot = (*slots_)[*link];
            const auto patience = slot.key.peer != kNoPeer ? kHandshakePatience : kNeighborPatience;
            while (!slot.list.empty()) {
                const TimePoint since{Duration{metadata(slot.list.front()).received_at}};
                if (now - since < patience) break;
                out.push(slot.list.pop());
                --packets_;
            }
            if (slot.list.empty() && now - slot.asked >= kAskAgainAfter) {
                const auto at = *link;
                *link = slot.next;
                slot.next = free_;
                free_ = at;
                --used_;
            } else {
                link = &slot.next;
            }
        }
    }
    return out;
}

PacketList HoldTable::release_all() noexcept
{
    PacketList out;
    for (auto& slot : *slots_) out.append(slot.list);
    packets_ = 0;
    return out;
}

}  // namespace culvert::node
