#pragma once

#include "base/check.h"
#include "config/statements.h"

#include <fmt/format.h>

#include <string>
#include <type_traits>
#include <utility>

// Behaviours that statements of several blocks have, for the rows of the table.
namespace culvert::config {

// Accepted and kept nowhere.
inline Outcome ignore(Edit&) { return {}; }
constexpr Behaviour kIgnored{ignore, nullptr};

inline Outcome leave(Edit& edit)
{
    edit.position.node = info(edit.position.node).parent;
    return {};
}
constexpr Behaviour kLeave{leave, nullptr};

inline std::string vrf_or_default(std::string name) { return name == "default" ? std::string{} : name; }

template <auto Member>
struct MemberTraits;
template <class C, class T, T C::*Member>
struct MemberTraits<Member> {
    using Class = C;
    using Type = T;
};

template <class T>
struct OptionalOf {
    using Type = T;
    static constexpr bool optional = false;
};
template <class T>
struct OptionalOf<std::optional<T>> {
    using Type = T;
    static constexpr bool optional = true;
};

template <class T>
T value_from(const std::string& text)
{
    if constexpr (std::is_same_v<T, std::string>)
        return text;
    else if constexpr (std::is_same_v<T, Seconds> || std::is_same_v<T, Milliseconds>)
        return T{std::stoul(text)};
    else if constexpr (std::is_same_v<T, IpAddress>)
        return IpAddress::parse(text).value();
    else if constexpr (std::is_same_v<T, Ipv4Address>)
        return Ipv4Address::parse(text).value();
    else if constexpr (std::is_same_v<T, Endpoint>)
        return Endpoint::parse(text).value();
    else
        return static_cast<T>(std::stoul(text));
}

template <class T>
std::string value_text(const T& value)
{
    if constexpr (std::is_same_v<T, std::string>)
        return value;
    else if constexpr (std::is_same_v<T, Seconds> || std::is_same_v<T, Milliseconds>)
        return std::to_string(value.count());
    else if constexpr (std::is_same_v<T, Ipv4Address> || std::is_same_v<T, IpAddress> || std::is_same_v<T, Endpoint>)
        return value.to_string();
    else if constexpr (std::is_enum_v<T>)
        return std::to_string(index(value));
    else
        return std::to_string(value);
}

// The variable of a statement that has one beside the neighbor's address.
inline std::string the_value(const Args& args)
{
    for (const auto& value : args.values)
        if (!value.keyword && value.name != "peer") return value.text;
    CULVERT_CHECK(args.no);
    return {};
}

// A field that one variable of the statement gives. `no` brings the default back.
template <auto Member>
Outcome set_value(Edit& edit)
{
    using Traits = MemberTraits<Member>;
    using Value = OptionalOf<typename Traits::Type>;
    auto* object = edit.object<typename Traits::Class>();
    if (!object) return edit.refusal();
    if (edit.no)
        object->*Member = typename Traits::Class{}.*Member;
    else
        object->*Member = value_from<typename Value::Type>(the_value(edit.args));
    return {};
}

template <auto Member>
void show_value(const Statement& self, const View& view, Lines& out)
{
    using Traits = MemberTraits<Member>;
    const auto* object = view.object<typename Traits::Class>();
    if (!object) return;
    const auto& value = object->*Member;
    if (value == typename Traits::Class{}.*Member) return;
    if constexpr (OptionalOf<typename Traits::Type>::optional)
        out.statement(self, view, {value_text(*value)});
    else
        out.statement(self, view, {value_text(value)});
}

template <auto Member>
constexpr Behaviour kValue{set_value<Member>, show_value<Member>};

// A field that is the statement's presence. Of a field that is true by default `no ...` is what is shown.
template <auto Member>
Outcome set_flag(Edit& edit)
{
    auto* object = edit.object<typename MemberTraits<Member>::Class>();
    if (!object) return edit.refusal();
    object->*Member = !edit.no;
    return {};
}

template <auto Member>
void show_flag(const Statement& self, const View& view, Lines& out)
{
    using Class = typename MemberTraits<Member>::Class;
    const auto* object = view.object<Class>();
    if (!object || object->*Member == Class{}.*Member) return;
    out.statement(self, view, {}, !(object->*Member));
}

template <auto Member>
constexpr Behaviour kFlag{set_flag<Member>, show_flag<Member>};

// A secret as a file or as a value: two rows of the table share the field.
template <auto Member, bool IsFile>
Outcome set_secret(Edit& edit)
{
    auto* object = edit.object<typename MemberTraits<Member>::Class>();
    if (!object) return edit.refusal();
    auto& secret = object->*Member;
    if (edit.no) {
        secret.reset();
        return {};
    }
    auto text = the_value(edit.args);
    if (text == "<hidden>")
        return edit.refuse("this is a secret as `show running-config` masks it",
                           "put the secret itself, or its file, here");
    secret = IsFile ? Secret{.file = std::move(text), .value = {}} : Secret{.file = {}, .value = std::move(text)};
    return {};
}

template <auto Member, bool IsFile>
void show_secret(const Statement& self, const View& view, Lines& out)
{
    const auto* object = view.object<typename MemberTraits<Member>::Class>();
    if (!object || !(object->*Member)) return;
    const Secret& secret = *(object->*Member);
    if (secret.file.empty() == IsFile) return;
    if (IsFile) {
        out.statement(self, view, {secret.file});
        return;
    }
    auto before = std::string{self.syntax.substr(0, self.syntax.find('{'))};
    if (view.neighbor) before = fmt::format("neighbor {} password ", view.neighbor->name().to_string());
    out.secret(self, view, before, secret.value);
}

template <auto Member>
constexpr Behaviour kSecretFile{set_secret<Member, true>, show_secret<Member, true>};
template <auto Member>
constexpr Behaviour kSecretValue{set_secret<Member, false>, show_secret<Member, false>};

template <auto Member>
Outcome set_vrf(Edit& edit)
{
    auto* object = edit.object<typename MemberTraits<Member>::Class>();
    if (!object) return edit.refusal();
    object->*Member = edit.no ? std::string{} : vrf_or_default(the_value(edit.args));
    return {};
}
template <auto Member>
constexpr Behaviour kVrf{set_vrf<Member>, show_value<Member>};

}  // namespace culvert::config
