#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "controlplane/bgp/attributes.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace culvert::policy {

// The other end of the session a route came over or is about to leave by.
struct Neighbor {
    IpAddress address{};
    Asn asn{};
    bool external = true;
};

// A route on its way through a step, which may change what isn't const.
struct Route {
    const IpPrefix& prefix;
    const Neighbor& neighbor;
    bgp::PathAttributes& attributes;
    std::uint32_t& weight;  // import only: 0..65535
};

enum class Verdict : std::uint8_t { Accept, Reject };

// One piece of policy: a route-map, a prefix-list, a filter. Immutable once a RIB has it; a changed policy is a new
// object. A step that looks at nothing but attributes and neighbour says so, and is then run once for each attribute
// set instead of once for each prefix.
class Step {
public:
    virtual ~Step() = default;
    virtual Verdict apply(const Route& route) const = 0;
    virtual bool depends_on_prefix() const noexcept = 0;
};

// Between Adj-RIB-In and the decision; between the decision and Adj-RIB-Out.
using ImportStep = Step;
using ExportStep = Step;

// Steps in a row: a route must be accepted by every one, and each sees what the ones before it made of the route.
class Chain final : public Step {
public:
    explicit Chain(std::vector<std::shared_ptr<const Step>> steps);
    Verdict apply(const Route& route) const override;
    bool depends_on_prefix() const noexcept override { return depends_on_prefix_; }

private:
    std::vector<std::shared_ptr<const Step>> steps_;
    bool depends_on_prefix_ = false;
};

}  // namespace culvert::policy
