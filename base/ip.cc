#include "base/ip.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace culvert {
namespace {

// A decimal number without sign or leading blanks, at most `max`.
std::optional<unsigned> decimal(std::string_view text, unsigned max)
{
    unsigned v = 0;
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (text.empty() || bad != std::errc{} || end != text.data() + text.size() || v > max) return std::nullopt;
    return v;
}

struct Slashed {
    IpAddress address;
    std::uint8_t length;
};

std::optional<Slashed> slashed(std::string_view text)
{
    const auto slash = text.find('/');
    if (slash == text.npos) return std::nullopt;
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) return std::nullopt;
    const auto length = decimal(text.substr(slash + 1), static_cast<unsigned>(max_length(address->family)));
    if (!length) return std::nullopt;
    return Slashed{*address, static_cast<std::uint8_t>(*length)};
}

}  // namespace

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text)
{
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
        const auto dot = text.find('.');
        if ((dot == text.npos) != (i == 3)) return std::nullopt;
        const auto part = decimal(text.substr(0, dot), 255);
        if (!part || (dot == text.npos ? text.size() : dot) > 3) return std::nullopt;
        value = (value << 8) | *part;
        if (i < 3) text.remove_prefix(dot + 1);
    }
    return Ipv4Address{value};
}

std::string Ipv4Address::to_string() const
{
    char buffer[INET_ADDRSTRLEN];
    const int n = std::snprintf(buffer, sizeof buffer, "%u.%u.%u.%u", value >> 24, (value >> 16) & 255,
                                (value >> 8) & 255, value & 255);
    return {buffer, static_cast<std::size_t>(n)};
}

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text)
{
    char buffer[INET6_ADDRSTRLEN];
    if (text.size() >= sizeof buffer) return std::nullopt;
    text.copy(buffer, text.size());
    buffer[text.size()] = 0;
    Ipv6Address a;
    if (inet_pton(AF_INET6, buffer, a.octets.data()) != 1) return std::nullopt;
    return a;
}

std::string Ipv6Address::to_string() const
{
    char buffer[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, octets.data(), buffer, sizeof buffer);
    return buffer;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    if (const auto v4 = Ipv4Address::parse(text)) return *v4;
    if (const auto v6 = Ipv6Address::parse(text)) return *v6;
    return std::nullopt;
}

std::string IpAddress::to_string() const { return is_v4() ? v4().to_string() : bits.to_string(); }

IpPrefix IpPrefix::make(IpAddress a, int length) noexcept
{
    const auto keep = static_cast<std::size_t>(length);
    for (std::size_t i = 0; i < a.bits.octets.size(); ++i) {
        if (8 * i >= keep)
            a.bits.octets[i] = 0;
        else if (8 * i + 8 > keep)
            a.bits.octets[i] &= static_cast<std::uint8_t>(0xff00U >> (keep - 8 * i));
    }
    return {a, static_cast<std::uint8_t>(length)};
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text)
{
    const auto s = slashed(text);
    if (!s) return std::nullopt;
    return make(s->address, s->length);
}

std::string IpPrefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

bool IpPrefix::contains(const IpAddress& a) const noexcept
{
    return a.family == family() && make(a, length).address == address;
}

bool IpPrefix::contains(const IpPrefix& p) const noexcept { return p.length >= length && contains(p.address); }

std::optional<InterfaceAddress> InterfaceAddress::parse(std::string_view text)
{
    const auto s = slashed(text);
    if (!s) return std::nullopt;
    return InterfaceAddress{s->address, s->length};
}

std::string InterfaceAddress::to_string() const { return address.to_string() + "/" + std::to_string(length); }

std::optional<MacAddress> MacAddress::parse(std::string_view text)
{
    MacAddress mac;
    if (text.size() != 17) return std::nullopt;
    for (std::size_t i = 0; i < 6; ++i) {
        if (i > 0 && text[3 * i - 1] != ':') return std::nullopt;
        const auto* at = text.data() + 3 * i;
        const auto [end, bad] = std::from_chars(at, at + 2, mac.octets[i], 16);
        if (bad != std::errc{} || end != at + 2) return std::nullopt;
    }
    return mac;
}

std::string MacAddress::to_string() const
{
    char buffer[18];
    std::snprintf(buffer, sizeof buffer, "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3],
                  octets[4], octets[5]);
    return buffer;
}

std::optional<Endpoint> Endpoint::parse(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == text.npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const auto port = decimal(text.substr(colon + 1), 65535);
    if (!port || *port == 0) return std::nullopt;
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
        const auto v6 = Ipv6Address::parse(host.substr(1, host.size() - 2));
        if (!v6) return std::nullopt;
        return Endpoint{*v6, static_cast<std::uint16_t>(*port)};
    }
    const auto v4 = Ipv4Address::parse(host);
    if (!v4) return std::nullopt;
    return Endpoint{*v4, static_cast<std::uint16_t>(*port)};
}

std::string Endpoint::to_string() const
{
    const auto host = address.to_string();
    return (address.is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace culvert
