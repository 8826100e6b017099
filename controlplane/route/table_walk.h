#pragma once

#include "controlplane/route/tables.h"

#include <memory>
#include <optional>

namespace culvert::route {

// The entries of a VRF's table that lie in a prefix, in order, across rounds of the event loop and changes in between:
//   TableWalk walk{tables, vrf, within};
//   while (walk.prepare()) come_back_later();
//   while (auto entry = walk.next()) show(*entry);
// The views' sets are good until the table changes.
class TableWalk {
public:
    TableWalk(const Tables& tables, VrfId vrf, const IpPrefix& within);

    bool prepare(std::size_t budget = 100'000);  // true: call again
    std::optional<EntryView> next();

private:
    std::optional<IpPrefix> next_kept() const;  // of those that the table itself knows by prefix

    const Tables& tables_;
    VrfId vrf_;
    IpPrefix within_;
    std::optional<IpPrefix> last_;
    std::unique_ptr<PrefixWalk> numbered_;  // null: none, or none any more
    std::uint32_t numbering_;               // whose numbers: Tables::Vrf::numberings
    std::optional<IpPrefix> next_numbered_;
    bool prepared_ = false;
};

}  // namespace culvert::route
