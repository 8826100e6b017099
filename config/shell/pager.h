#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace culvert::config::shell {

// Shows text on the terminal a page at a time: SPACE goes on, ENTER by one line, q leaves the rest out.
class Pager {
public:
    // `lines` of a page; 0: no paging.
    explicit Pager(std::size_t lines) : page_(lines) {}

    void write(std::string_view text);

private:
    char ask();

    std::size_t page_;
    std::size_t shown_ = 0;
    bool left_ = false;
};

// The terminal's height; 0 when standard output is no terminal.
std::size_t terminal_lines();

}  // namespace culvert::config::shell
