#pragma once

#include "config/editor.h"
#include "config/exec.h"
#include "config/shell/protocol.h"
#include "controlplane/runtime/router.h"
#include "controlplane/runtime/show/text.h"

#include <optional>
#include <string>
#include <vector>

namespace culvert::runtime {

// What all sessions share: the start-up file, what was committed before, and a commit that waits to be confirmed.
class ConfigurationStore {
public:
    ConfigurationStore(Router& router, std::string file);

    const std::string& file() const noexcept { return file_; }
    Router& router() noexcept { return router_; }
    const config::History& history() const noexcept { return history_; }

    // Takes a model up; on success the one before can be rolled back to.
    std::vector<config::Diagnostic> commit(const config::Model& model, bool typing);
    // The same, and back to what ran before unless confirm() comes in time.
    std::vector<config::Diagnostic> commit_confirmed(const config::Model& model, Duration within);
    bool confirm();   // false: nothing waits
    void remember();  // what `configure terminal` has made of the configuration can be rolled back to
    // Writes the running configuration to the start-up file, by way of a new file that takes its place.
    Result<void, SystemError> save();
    // Reads the start-up file anew (SIGHUP).
    std::vector<config::Diagnostic> reload();

private:
    Router& router_;
    std::string file_;
    config::History history_;
    std::optional<config::Model> unconfirmed_;  // what ran before the commit that waits
    Loop::Timer unconfirmed_timer_;
};

// One user's session: the mode it is in, and what a line does. Knows nothing of sockets.
class CommandSession {
public:
    explicit CommandSession(ConfigurationStore& store);

    struct Answer {
        int status = 0;
        std::string error;                      // for people; printed as it is
        show::Producer text;                    // may be empty
        std::optional<config::shell::Run> run;  // a program for the shell to run ...
        const Namespace* ns = nullptr;          // ... in this namespace
        bool close = false;
    };
    Answer execute(const std::string& line);

    std::string prompt() const;
    std::string mode() const;

private:
    Answer exec(const config::Exec& command, const std::string& line);
    Answer configure(const std::string& line);
    Answer show(const config::Exec& command);
    Answer clear_bgp(const config::Exec& command);
    Answer run_in_namespace(const config::Exec& command);
    static Answer refuse(std::string message, int status = 1);

    ConfigurationStore& store_;
    std::optional<config::Editor> editor_;        // `configure terminal`
    std::optional<config::Candidate> candidate_;  // `configure`
};

}  // namespace culvert::runtime
