#pragma once

#include "base/ip.h"
#include "controlplane/rib/rib.h"

#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace culvert::rib {

// The distinct next hops of all attribute sets, counted, with what the route table says about each. Index 0 stands for
// "ourselves": always usable. Link-local next hops lie on the neighbour's link: usable while the neighbour is up.
class NexthopTable {
public:
    struct Nexthop {
        IpAddress address{};
        std::uint32_t references = 0;
        NexthopState state;
        bool own = false;      // one of our addresses
        bool tracked = false;  // the sink knows of it
        bool queued = false;   // to be looked at by drain()
        bool changed = false;  // paths through it are to be decided again
    };

    NexthopTable() { table_.push_back({.state = {true, true, 0}}); }

    std::uint32_t acquire(const IpAddress& address);
    void reference(std::uint32_t index) { ++table_[index].references; }
    void release(std::uint32_t index);
    const Nexthop& operator[](std::uint32_t index) const noexcept { return table_[index]; }

    // True: paths through it are to be decided again; the index is then in changed().
    bool update(const IpAddress& address, const NexthopState& state);
    bool set_own(const std::vector<IpAddress>& addresses);
    bool is_own(const IpAddress& address) const { return own_.contains(address); }

    const std::vector<std::uint32_t>& changed() const noexcept { return changed_; }
    void clear_changed();

    std::size_t drain(NexthopSink& sink);
    std::size_t size() const noexcept { return index_.size(); }

private:
    void queue(std::uint32_t index);
    void mark(std::uint32_t index);

    std::vector<Nexthop> table_;
    std::vector<std::uint32_t> free_;
    std::unordered_map<IpAddress, std::uint32_t> index_;
    std::unordered_set<IpAddress> own_;
    std::vector<std::uint32_t> queue_;
    std::vector<std::uint32_t> changed_;
};

}  // namespace culvert::rib
