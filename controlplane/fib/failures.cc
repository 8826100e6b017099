#include "controlplane/fib/state.h"

namespace culvert::fibprog {

using route::NexthopType;

void Programmer::set_session(const Gateway& gateway, BfdSessionId session)
{
    State& s = *state_;
    if (session == kNoBfdSession)
        s.sessions.erase(gateway);
    else
        s.sessions[gateway] = session;
    s.update_gateway(gateway);
}

NexthopId Programmer::hold_gateway(const Gateway& gateway)
{
    State& s = *state_;
    auto* hop = s.acquire(HopKey{NexthopType::Gateway, kDefaultVrf, gateway.interface, gateway.address});
    ++hop->holds;
    if (hop->link) s.use_touched.insert(*hop->link);
    return hop->id;
}

void Programmer::release_gateway(const Gateway& gateway)
{
    State& s = *state_;
    const auto it = s.hop_ids.find(HopKey{NexthopType::Gateway, kDefaultVrf, gateway.interface, gateway.address});
    CULVERT_CHECK(it != s.hop_ids.end());
    auto* hop = s.hops[index(it->second)].get();
    CULVERT_CHECK(hop->holds > 0);
    --hop->holds;
    if (hop->link) s.use_touched.insert(*hop->link);
    s.release(hop);
}

void Programmer::set_down_word(BfdSessionId session) { state_->push(api::SetDownWord{session}); }

void Programmer::delete_down_word(BfdSessionId session)
{
    State& s = *state_;
    std::vector<Gateway> obey;
    for (const auto& [gateway, of] : s.sessions)
        if (of == session) obey.push_back(gateway);
    for (const Gateway& gateway : obey) set_session(gateway, kNoBfdSession);
    s.push(api::DeleteDownWord{session});
}

void Programmer::set_gateway_down(const Gateway& gateway, const char* reason)
{
    state_->tables.set_gateway_down(gateway.vrf, gateway.interface, gateway.address, reason);
    state_->update_gateway(gateway);
}

void Programmer::clear_down(api::DownKind kind, std::uint32_t id, std::uint32_t epoch)
{
    state_->push(api::ClearDown{kind, id, epoch});
}

void Programmer::set_pace(std::uint32_t buckets_a_second) { state_->push(api::SetFailoverPace{buckets_a_second}); }

std::optional<Gateway> Programmer::gateway_of(NexthopId id) const
{
    const State& s = *state_;
    if (index(id) >= s.hops.size() || !s.hops[index(id)]) return std::nullopt;
    const State::Hop& hop = *s.hops[index(id)];
    if (hop.key.type != NexthopType::Gateway) return std::nullopt;
    if (hop.link) return Gateway{kDefaultVrf, hop.link->first, hop.link->second};
    return Gateway{hop.key.vrf, kNoInterface, hop.key.address};
}

std::vector<NexthopId> Programmer::nexthops_of(const Gateway& gateway) const
{
    const State& s = *state_;
    std::vector<NexthopId> out;
    if (gateway.interface != kNoInterface) {
        const auto here = s.by_link.find({gateway.interface, gateway.address});
        if (here != s.by_link.end())
            for (const State::Hop* hop : here->second) out.push_back(hop->id);
    } else if (const auto hop =
                   s.hop_ids.find(HopKey{NexthopType::Gateway, gateway.vrf, kNoInterface, gateway.address});
               hop != s.hop_ids.end()) {
        out.push_back(hop->second);
    }
    return out;
}

}  // namespace culvert::fibprog
