#pragma once

#include <cstdlib>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>

namespace culvert {

// The wrong outcome, to be returned where a Result is expected: `return Error{ParseError{...}};`
template <class E>
class Error {
public:
    constexpr explicit Error(E value) : value_(std::move(value)) {}
    template <class... Args>
        requires std::is_constructible_v<E, Args...>
    constexpr explicit Error(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...)
    {}

    constexpr const E& value() const& { return value_; }
    constexpr E&& value() && { return std::move(value_); }

private:
    E value_;
};

template <class E>
Error(E) -> Error<E>;

// A value, or the reason why there is none. The interface is the part of C++23's std::expected that culvert uses:
// Debian 12 packages no tl::expected, and clang 16 can't use g++ 12's <expected> (docs/adr/0001).
// Reading the wrong side aborts: it is a bug of ours, never an input's.
template <class T, class E>
class [[nodiscard]] Result {
    using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

public:
    using value_type = T;
    using error_type = E;

    constexpr Result()
        requires std::is_default_constructible_v<Value>
        : state_(std::in_place_index<0>)
    {}
    template <class U = Value>
        requires(!std::is_void_v<T> && std::is_constructible_v<Value, U> &&
                 !std::is_same_v<std::remove_cvref_t<U>, Result>)
    // The constraint keeps copies and moves away from it, which clang-tidy 16 sees in most places, not in all.
    // NOLINTNEXTLINE(bugprone-forwarding-reference-overload)
    constexpr Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value))
    {}
    template <class F>
        requires std::is_constructible_v<E, F>
    constexpr Result(Error<F> error) : state_(std::in_place_index<1>, std::move(error).value())
    {}

    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    constexpr const Value& value() const& { return get<0>(); }
    constexpr Value& value() & { return get<0>(); }
    constexpr Value&& value() && { return std::move(get<0>()); }
    constexpr const Value& operator*() const& { return get<0>(); }
    constexpr Value& operator*() & { return get<0>(); }
    constexpr Value&& operator*() && { return std::move(get<0>()); }
    constexpr const Value* operator->() const { return &get<0>(); }
    constexpr Value* operator->() { return &get<0>(); }

    constexpr const E& error() const& { return get<1>(); }
    constexpr E& error() & { return get<1>(); }
    constexpr E&& error() && { return std::move(get<1>()); }

    template <class U>
    constexpr Value value_or(U&& fallback) const&
    {
        return has_value() ? get<0>() : static_cast<Value>(std::forward<U>(fallback));
    }

    // f: T -> Result<X, E>
    template <class F>
    constexpr auto and_then(F&& f) const& -> std::invoke_result_t<F, const Value&>
    {
        if (!has_value()) return Error<E>{error()};
        return std::invoke(std::forward<F>(f), get<0>());
    }

    friend constexpr bool operator==(const Result&, const Result&) = default;

private:
    template <std::size_t I>
    constexpr auto& get()
    {
        if (state_.index() != I) std::abort();
        return *std::get_if<I>(&state_);
    }
    template <std::size_t I>
    constexpr const auto& get() const
    {
        if (state_.index() != I) std::abort();
        return *std::get_if<I>(&state_);
    }

    std::variant<Value, E> state_;
};

}  // namespace culvert
