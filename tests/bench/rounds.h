#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace culvert::bench {

inline double median(std::vector<double> v)
{
    const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
    std::nth_element(v.begin(), middle, v.end());
    return *middle;
}

struct Plan {
    int rounds;
    int slices;
};

// What slices took, the best of each round: what else runs on the machine only ever adds.
struct Rounds {
    std::vector<double> a, b;

    // Of `f(a, b)` of each round.
    template <class F>
    double median_of(F&& f) const
    {
        std::vector<double> all;
        for (std::size_t i = 0; i < a.size(); ++i) all.push_back(f(a[i], b[i]));
        return median(all);
    }
    double rate() const  // of A against B
    {
        return median_of([](double x, double y) { return y / x; });
    }
    double difference() const
    {
        return median_of([](double x, double y) { return x - y; });
    }
};

// A B B A in slices, so that neither has the quieter half of a round.
template <class A, class B>
Rounds in_turn(const Plan& plan, A&& a, B&& b)
{
    Rounds out;
    for (int round = 0; round < plan.rounds; ++round) {
        double best_a = 1e9, best_b = 1e9;
        for (int s = 0; s < plan.slices; ++s) {
            best_a = std::min(best_a, a());
            best_b = std::min(best_b, b());
            best_b = std::min(best_b, b());
            best_a = std::min(best_a, a());
        }
        out.a.push_back(best_a);
        out.b.push_back(best_b);
    }
    return out;
}

// The best of a round's slices, the median of the rounds.
template <class Slice>
double best_of(const Plan& plan, Slice&& slice)
{
    std::vector<double> rounds;
    for (int r = 0; r < plan.rounds; ++r) {
        double best = 1e9;
        for (int s = 0; s < plan.slices; ++s) best = std::min(best, slice());
        rounds.push_back(best);
    }
    return median(rounds);
}

}  // namespace culvert::bench
