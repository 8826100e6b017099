#include "config/shell/interactive.h"

#include "config/exec.h"
#include "config/help.h"
#include "config/shell/pager.h"

#include <fmt/format.h>
#include <histedit.h>

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>

namespace culvert::config::shell {
namespace {

void on_interrupt(int) {}  // only to cut a wait short

// What libedit's callbacks see.
struct Terminal {
    std::string prompt = "culvert# ";
    Node node = Node::Exec;
};

Terminal& terminal_of(EditLine* edit)
{
    Terminal* terminal = nullptr;
    el_get(edit, EL_CLIENTDATA, &terminal);
    return *terminal;
}

char* prompt_of(EditLine* edit) { return terminal_of(edit).prompt.data(); }

std::string before_cursor(EditLine* edit)
{
    const auto* line = el_line(edit);
    return {line->buffer, line->cursor};
}

// `?` answers at once and leaves the line as it is. ^V ? types one.
unsigned char on_question(EditLine* edit, int)
{
    const auto line = before_cursor(edit);
    fmt::print("?\n");
    const auto lines = help(terminal_of(edit).node, line);
    std::size_t width = 0;
    for (const auto& l : lines) width = std::max(width, l.word.size());
    for (const auto& l : lines) fmt::print("  {:{}}  {}\n", l.word, width, l.text);
    if (lines.empty()) fmt::print("% There is no matched command.\n");
    std::fflush(stdout);
    return CC_REDISPLAY;
}

unsigned char on_tab(EditLine* edit, int)
{
    const auto line = before_cursor(edit);
    const auto words = complete(terminal_of(edit).node, line);
    if (words.empty()) return CC_REFRESH_BEEP;
    const auto blank = line.find_last_of(" \t");
    const auto begun = line.size() - (blank == line.npos ? 0 : blank + 1);
    auto common = words.front();
    for (const auto& word : words)
        common.resize(static_cast<std::size_t>(std::ranges::mismatch(common, word).in1 - common.begin()));
    if (words.size() == 1) common += ' ';
    if (common.size() > begun) {
        el_insertstr(edit, common.c_str() + begun);
        return CC_REFRESH;
    }
    fmt::print("\n");
    for (const auto& word : words) fmt::print("{}  ", word);
    fmt::print("\n");
    std::fflush(stdout);
    return CC_REDISPLAY;
}

std::string history_file()
{
    const char* home = std::getenv("HOME");
    return home && *home ? std::string{home} + "/.culvert_history" : std::string{};
}

// `password` and `*-key` lines stay out of the history.
bool is_secret(std::string_view line)
{
    return line.find("password") != line.npos || line.find("private-key ") != line.npos ||
           line.find("preshared-key ") != line.npos;
}

}  // namespace

int interact(Client client, const std::string& run_dir)
{
    Terminal terminal;
    std::optional<std::size_t> page;  // `terminal length`
    int status = 0;

    struct sigaction action {};
    action.sa_handler = on_interrupt;  // without SA_RESTART: a wait ends
    ::sigaction(SIGINT, &action, nullptr);

    const std::unique_ptr<EditLine, void (*)(EditLine*)> edit{el_init("culvert", stdin, stdout, stderr), el_end};
    const std::unique_ptr<::History, void (*)(::History*)> past{history_init(), history_end};
    HistEvent event;
    history(past.get(), &event, H_SETSIZE, 1000);
    history(past.get(), &event, H_SETUNIQUE, 1);
    const auto file = history_file();
    if (!file.empty()) history(past.get(), &event, H_LOAD, file.c_str());
    el_set(edit.get(), EL_CLIENTDATA, &terminal);
    el_set(edit.get(), EL_PROMPT, prompt_of);
    el_set(edit.get(), EL_EDITOR, "emacs");
    el_set(edit.get(), EL_SIGNAL, 1);
    el_set(edit.get(), EL_HIST, ::history, past.get());
    el_set(edit.get(), EL_ADDFN, "culvert-help", "What may stand here", on_question);
    el_set(edit.get(), EL_ADDFN, "culvert-complete", "Complete the word", on_tab);
    el_set(edit.get(), EL_BIND, "?", "culvert-help", nullptr);
    el_set(edit.get(), EL_BIND, "^I", "culvert-complete", nullptr);
    el_set(edit.get(), EL_BIND, "^R", "em-inc-search-prev", nullptr);

    auto submit = [&](std::string line) {
        Pager pager{page.value_or(terminal_lines())};
        std::string last;
        auto done = client.execute(std::move(line), true,
                                   {[&](std::string_view text) { pager.write(text); },
                                    [](const Run& run, Descriptor ns) {
                                        std::fflush(stdout);
                                        return run_in_namespace(run, ns);
                                    }});
        if (done) {
            if (!done->error.empty()) fmt::print("{}\n", done->error);
            terminal.prompt = done->prompt;
            terminal.node = node_of_mode(done->mode);
            status = done->status;
            return !done->close;
        }
        fmt::print("% {}\n", done.error());
        status = 1;
        auto again = Client::connect(run_dir);
        if (!again) {
            fmt::print("{}\n", again.error());
            return false;
        }
        client = std::move(*again);
        return true;
    };

    bool open = submit("");
    while (open) {
        int length = 0;
        const char* typed = el_gets(edit.get(), &length);
        if (!typed || length <= 0) {
            if (length < 0 && errno == EINTR) {
                fmt::print("\n");
                el_reset(edit.get());
                continue;
            }
            if (terminal.node == Node::Exec) {
                fmt::print("\n");
                break;
            }
            fmt::print("\n");
            open = submit("end");  // ^D leaves configuring first
            continue;
        }
        std::string line{typed, static_cast<std::size_t>(length)};
        while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
        if (line.find_first_not_of(" \t") == line.npos) continue;
        if (!is_secret(line)) {
            history(past.get(), &event, H_ENTER, line.c_str());
            if (!file.empty()) history(past.get(), &event, H_SAVE, file.c_str());
        }
        if (terminal.node == Node::Exec) {
            const auto command = parse_exec(line);
            if (command && command->command == ExecCommand::TerminalLength) {
                page = command->number;
                continue;
            }
        }
        open = submit(std::move(line));
    }
    return status == 0 ? 0 : 1;
}

}  // namespace culvert::config::shell
