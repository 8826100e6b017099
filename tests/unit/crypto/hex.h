#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::test {

inline std::vector<std::uint8_t> hex(std::string_view text)
{
    std::vector<std::uint8_t> out;
    std::string digits;
    for (const char c : text) {
        if (c == ' ' || c == ':') continue;
        digits += c;
        if (digits.size() == 2) {
            out.push_back(static_cast<std::uint8_t>(std::stoi(digits, nullptr, 16)));
            digits.clear();
        }
    }
    return out;
}

template <std::size_t N>
std::array<std::uint8_t, N> hex_array(std::string_view text)
{
    std::array<std::uint8_t, N> out{};
    const auto octets = hex(text);
    for (std::size_t i = 0; i < N && i < octets.size(); ++i) out[i] = octets[i];
    return out;
}

}  // namespace culvert::test
