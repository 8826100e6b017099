#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace culvert::fib {

// A small model checker: runs a few threads' code as fibers of one thread and switches between them before every step
// on a StepAtomic, in every order there is (sequentially consistent). The code is the product's own.
class Interleavings {
public:
    using Body = std::function<void()>;

    // The scenario is built anew for every order: threads are added, then run to their end, then `check` is asked.
    struct Scenario {
        std::vector<Body> threads;
        std::function<void()> check;
    };
    // Returns how many orders there were. `stop_at` bounds them: reaching it is a test's error.
    static std::size_t run_all(const std::function<Scenario()>& make, std::size_t stop_at = 2'000'000);

    // Called by what runs inside: another thread may come in here.
    static void step();
    // This thread goes on when `ready` holds.
    static void wait_until(std::function<bool()> ready);

private:
    struct Fiber {
        ucontext_t context{};
        std::unique_ptr<std::uint8_t[]> stack;
        Body body;
        std::function<bool()> ready;
        bool done = false;
    };
    struct Choice {
        std::size_t taken;
        std::size_t options;
    };

    void run(Scenario& scenario, std::vector<Choice>& choices);
    static void enter();
    void yield();

    static inline Interleavings* current_ = nullptr;
    ucontext_t main_{};
    std::vector<Fiber> fibers_;
    std::size_t running_ = 0;
};

// Stands in for std::atomic.
template <class T>
class StepAtomic {
public:
    T load(std::memory_order) const noexcept
    {
        Interleavings::step();
        return value_;
    }
    void store(T v, std::memory_order) noexcept
    {
        Interleavings::step();
        value_ = v;
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order) noexcept
    {
        Interleavings::step();
        if (value_ != expected) {
            expected = value_;
            return false;
        }
        value_ = desired;
        return true;
    }

private:
    T value_{};
};

}  // namespace culvert::fib
