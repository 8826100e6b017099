#include "controlplane/policy/step.h"

#include <algorithm>

namespace culvert::policy {

Chain::Chain(std::vector<std::shared_ptr<const Step>> steps)
    : steps_(std::move(steps)),
      depends_on_prefix_(
          std::any_of(steps_.begin(), steps_.end(), [](const auto& s) { return s->depends_on_prefix(); }))
{}

Verdict Chain::apply(const Route& route) const
{
    const bool accepted = std::all_of(steps_.begin(), steps_.end(),
                                      [&](const auto& step) { return step->apply(route) == Verdict::Accept; });
    return accepted ? Verdict::Accept : Verdict::Reject;
}

}  // namespace culvert::policy
