#pragma once

#include "base/descriptor.h"
#include "base/result.h"
#include "config/shell/protocol.h"

#include <deque>
#include <functional>
#include <string>

namespace culvert::config::shell {

// One session with the daemon.
class Client {
public:
    // The error is for people: what failed and what to do.
    static Result<Client, std::string> connect(const std::string& run_dir);

    struct Sinks {
        std::function<void(std::string_view)> text;
        std::function<int(const Run&, Descriptor)> run;  // the program's exit status
    };
    // One line; blocks until it is done. The error: the connection is lost, or ^C was pressed.
    Result<Done, std::string> execute(std::string line, bool interactive, const Sinks& sinks);

private:
    explicit Client(Descriptor socket) : socket_(std::move(socket)) {}
    Result<std::string, std::string> receive();

    Descriptor socket_;
    LineBuffer buffer_;
    std::deque<Descriptor> namespaces_;  // arrived, not yet used
    std::uint64_t last_id_ = 0;
};

// Runs a program in a network namespace, on this terminal, and waits for it. The exit status as shells give it.
int run_in_namespace(const Run& run, const Descriptor& network_namespace);

}  // namespace culvert::config::shell
