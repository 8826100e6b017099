#include "controlplane/rib/nexthop_table.h"

namespace culvert::rib {

std::uint32_t NexthopTable::acquire(const IpAddress& address)
{
    if (address.is_unspecified()) return 0;
    if (const auto found = index_.find(address); found != index_.end()) {
        ++table_[found->second].references;
        return found->second;
    }
    std::uint32_t index;
    if (free_.empty()) {
        index = static_cast<std::uint32_t>(table_.size());
        table_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
        table_[index] = {};
    }
    index_.emplace(address, index);
    Nexthop& n = table_[index];
    n.address = address;
    n.references = 1;
    n.own = own_.contains(address);
    if (address.is_link_local())
        n.state = {true, true, 0};
    else
        queue(index);
    return index;
}

void NexthopTable::release(std::uint32_t index)
{
    if (index == 0) return;
    if (--table_[index].references == 0) queue(index);
}

bool NexthopTable::update(const IpAddress& address, const NexthopState& state)
{
    const auto found = index_.find(address);
    if (found == index_.end() || address.is_link_local()) return false;
    Nexthop& n = table_[found->second];
    if (n.state == state) return false;
    n.state = state;
    mark(found->second);
    return true;
}

bool NexthopTable::set_own(const std::vector<IpAddress>& addresses)
{
    own_ = {addresses.begin(), addresses.end()};
    bool any = false;
    for (const auto& [address, index] : index_) {
        const bool own = own_.contains(address);
        if (own == table_[index].own) continue;
        table_[index].own = own;
        mark(index);
        any = true;
    }
    return any;
}

void NexthopTable::clear_changed()
{
    for (const auto index : changed_) table_[index].changed = false;
    changed_.clear();
}

std::size_t NexthopTable::drain(NexthopSink& sink)
{
    std::size_t told = 0;
    for (const auto index : queue_) {
        Nexthop& n = table_[index];
        n.queued = false;
        if (n.references > 0 && !n.tracked) {
            n.tracked = true;
            sink.track(n.address);
            ++told;
        } else if (n.references == 0) {
            if (n.tracked) {
                sink.untrack(n.address);
                ++told;
            }
            if (n.changed) {
                std::erase(changed_, index);
                n.changed = false;
            }
            index_.erase(n.address);
            free_.push_back(index);
        }
    }
    queue_.clear();
    return told;
}

void NexthopTable::queue(std::uint32_t index)
{
    if (std::exchange(table_[index].queued, true)) return;
    queue_.push_back(index);
}

void NexthopTable::mark(std::uint32_t index)
{
    if (std::exchange(table_[index].changed, true)) return;
    changed_.push_back(index);
}

}  // namespace culvert::rib
