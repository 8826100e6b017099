#include "controlplane/route/table_walk.h"

#include "controlplane/route/state.h"

namespace culvert::route {

TableWalk::TableWalk(const Tables& tables, VrfId vrf, const IpPrefix& within)
    : tables_(tables), vrf_(vrf), within_(within), numbering_(0)
{
    const Tables::Vrf* v = tables.vrf_if(vrf);
    if (v == nullptr || v->numbering == nullptr) return;
    numbered_ = v->numbering->walk(within.family());
    numbering_ = v->numberings;
}

bool TableWalk::prepare(std::size_t budget)
{
    const Tables::Vrf* v = tables_.vrf_if(vrf_);
    if (v == nullptr || v->numberings != numbering_) numbered_.reset();
    if (numbered_ && !prepared_ && numbered_->prepare(budget)) return true;
    prepared_ = true;
    return false;
}

std::optional<IpPrefix> TableWalk::next_kept() const
{
    const Tables::Vrf* v = tables_.vrf_if(vrf_);
    std::optional<IpPrefix> found;
    if (v == nullptr) return found;
    v->slots.walk(last_.value_or(within_), [&](const IpPrefix& p, const Tables::Slot& slot) {
        if (p == last_ || slot.route == 0) return true;
        found = p;
        return false;
    });
    return found;
}

std::optional<EntryView> TableWalk::next()
{
    for (;;) {
        while (numbered_ && (!next_numbered_ || *next_numbered_ < within_ || (last_ && *next_numbered_ <= *last_))) {
            next_numbered_ = numbered_->next();
            if (!next_numbered_) numbered_.reset();
        }
        auto next = next_kept();
        if (next_numbered_ && (!next || *next_numbered_ < *next)) next = next_numbered_;
        if (!next || !within_.contains(*next)) return std::nullopt;
        last_ = next;
        // One that is numbered may have no route, or have lost it since.
        if (auto entry = tables_.find(vrf_, *next)) return entry;
    }
}

}  // namespace culvert::route
