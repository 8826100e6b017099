#pragma once

#include "base/bytes.h"
#include "controlplane/bgp/message.h"

#include <cctype>
#include <cstdint>
#include <string_view>
#include <vector>

namespace culvert::bgp {

using Octets = std::vector<std::uint8_t>;

// "40 01 01 00": blanks are free.
inline Octets hex(std::string_view text)
{
    Octets out;
    int high = -1;
    for (const char c : text) {
        if (std::isspace(static_cast<unsigned char>(c))) continue;
        const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (high < 0)
            high = digit;
        else {
            out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
            high = -1;
        }
    }
    return out;
}

inline Octets operator+(Octets a, const Octets& b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

inline Octets message(MessageType type, const Octets& body)
{
    Octets out(16, 0xff);
    Writer w{out};
    w.u16(static_cast<std::uint16_t>(kHeaderLength + body.size()));
    w.u8(static_cast<std::uint8_t>(type));
    w.bytes(body);
    return out;
}

// The body of an UPDATE.
inline Octets update_body(const Octets& withdrawn, const Octets& attributes, const Octets& nlri)
{
    Octets out;
    Writer w{out};
    w.u16(static_cast<std::uint16_t>(withdrawn.size()));
    w.bytes(withdrawn);
    w.u16(static_cast<std::uint16_t>(attributes.size()));
    w.bytes(attributes);
    w.bytes(nlri);
    return out;
}

inline Octets attribute(unsigned flags, unsigned type, const Octets& value)
{
    Octets out;
    Writer w{out};
    w.u8(static_cast<std::uint8_t>(flags));
    w.u8(static_cast<std::uint8_t>(type));
    if (flags & 0x10)
        w.u16(static_cast<std::uint16_t>(value.size()));
    else
        w.u8(static_cast<std::uint8_t>(value.size()));
    w.bytes(value);
    return out;
}

}  // namespace culvert::bgp
