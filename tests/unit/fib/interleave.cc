#include "tests/unit/fib/interleave.h"

#include "base/check.h"

namespace culvert::fib {
namespace {
constexpr std::size_t kStack = 64 << 10;
}

void Interleavings::enter()
{
    auto* self = current_;
    auto& fiber = self->fibers_[self->running_];
    fiber.body();
    fiber.done = true;
    swapcontext(&fiber.context, &self->main_);
}

void Interleavings::yield()
{
    auto& fiber = fibers_[running_];
    swapcontext(&fiber.context, &main_);
}

void Interleavings::step()
{
    if (current_) current_->yield();
}

void Interleavings::wait_until(std::function<bool()> ready)
{
    CULVERT_CHECK(current_);
    current_->fibers_[current_->running_].ready = std::move(ready);
    current_->yield();
}

void Interleavings::run(Scenario& scenario, std::vector<Choice>& choices)
{
    if (fibers_.empty()) fibers_.resize(scenario.threads.size());
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
        auto& f = fibers_[i];
        f.body = scenario.threads[i];
        f.ready = nullptr;
        f.done = false;
        if (!f.stack) f.stack = std::make_unique<std::uint8_t[]>(kStack);
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.get();
        f.context.uc_stack.ss_size = kStack;
        f.context.uc_link = nullptr;
        makecontext(&f.context, &Interleavings::enter, 0);
    }
    const auto go = [this](std::size_t i) {
        running_ = i;
        fibers_[i].ready = nullptr;
        current_ = this;
        swapcontext(&main_, &fibers_[i].context);
        current_ = nullptr;
    };
    // Up to its first step a thread touches nothing that is shared: the order of that does not matter.
    for (std::size_t i = 0; i < fibers_.size(); ++i) go(i);
    for (std::size_t at = 0;; ++at) {
        std::vector<std::size_t> runnable;
        bool all_done = true;
        for (std::size_t i = 0; i < fibers_.size(); ++i) {
            auto& f = fibers_[i];
            all_done &= f.done;
            if (!f.done && (!f.ready || f.ready())) runnable.push_back(i);
        }
        if (all_done) break;
        CULVERT_CHECK(!runnable.empty());  // the scenario deadlocks
        if (at == choices.size()) choices.push_back({0, runnable.size()});
        go(runnable[choices[at].taken]);
    }
    scenario.check();
}

std::size_t Interleavings::run_all(const std::function<Scenario()>& make, std::size_t stop_at)
{
    std::vector<Choice> choices;
    Interleavings world;
    for (std::size_t orders = 1;; ++orders) {
        auto scenario = make();
        world.run(scenario, choices);
        CULVERT_CHECK(orders < stop_at);
        // The last choice that has another option left is taken differently; what came after it is open again.
        while (!choices.empty() && choices.back().taken + 1 == choices.back().options) choices.pop_back();
        if (choices.empty()) return orders;
        ++choices.back().taken;
    }
}

}  // namespace culvert::fib
