#include "config/shell/pager.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>

namespace culvert::config::shell {

std::size_t terminal_lines()
{
    winsize size{};
    if (!::isatty(STDOUT_FILENO) || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
    return size.ws_row;
}

char Pager::ask()
{
    std::fputs("--More--", stdout);
    std::fflush(stdout);
    termios before{};
    char key = 'q';
    if (::tcgetattr(STDIN_FILENO, &before) == 0) {
        auto raw = before;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        if (::read(STDIN_FILENO, &key, 1) != 1) key = 'q';
        ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
    std::fputs("\r        \r", stdout);
    return key;
}

void Pager::write(std::string_view text)
{
    while (!text.empty() && !left_) {
        const auto newline = text.find('\n');
        const auto length = newline == text.npos ? text.size() : newline + 1;
        if (page_ > 1 && shown_ >= page_ - 1) {
            const char key = ask();
            if (key == 'q' || key == 'Q' || key == 3) {
                left_ = true;
                break;
            }
            shown_ = key == '\n' || key == '\r' ? page_ - 2 : 0;
        }
        std::fwrite(text.data(), 1, length, stdout);
        if (newline != text.npos) ++shown_;
        text.remove_prefix(length);
    }
    std::fflush(stdout);
}

}  // namespace culvert::config::shell
