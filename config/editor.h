#pragma once

#include "base/result.h"
#include "config/diagnostic.h"
#include "config/model.h"
#include "config/statements.h"

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace culvert::config {

// Edits a model line by line, as `configure terminal` does. It knows where in the blocks the user is; it does not know
// whether the model is good (validate()) nor who runs it.
class Editor {
public:
    explicit Editor(Model model = {});

    const Model& model() const noexcept { return model_; }
    Model take() && { return std::move(model_); }
    // The running configuration may have changed since the last line: somebody else edits too. Keeps the position.
    void rebase(Model model) { model_ = std::move(model); }

    struct Outcome {
        bool changed = false;            // the model differs from before
        bool ended = false;              // `end`, or `exit` at the top: configuring is over
        std::optional<std::string> run;  // `do LINE`: an exec command for the caller
    };
    // One line. On an error nothing has changed. A line that fits no statement of the block is tried in the blocks
    // around it, as FRR does.
    Result<Outcome, Diagnostic> apply(std::string_view line);
    // Takes the last line back, position included: it was refused by validate() or prepare.
    void undo();

    const Position& position() const noexcept { return position_; }
    std::string_view mode() const noexcept;  // "config", "config-if", "config-router-af": what stands in the prompt

private:
    Model model_;
    Position position_;
    std::optional<std::pair<Model, Position>> before_;
};

// `configure`: a copy that becomes the running configuration at `commit`. It only holds models: committing is the
// daemon's.
class Candidate {
public:
    explicit Candidate(Model running) : running_(running), editor_(std::move(running)) {}

    Editor& editor() noexcept { return editor_; }
    const Model& model() const noexcept { return editor_.model(); }
    const Model& base() const noexcept { return running_; }
    bool changed() const { return !(model() == running_); }
    std::string diff() const;  // `show candidate diff`
    void discard() { editor_ = Editor{running_}; }
    void load(Model model) { editor_.rebase(std::move(model)); }  // `rollback N`
    void committed() { running_ = model(); }

private:
    Model running_;
    Editor editor_;
};

// What was committed before, for `rollback N`: 0 is what runs now, 1 what ran before the last commit.
class History {
public:
    explicit History(std::size_t limit = 50) : limit_(limit) {}
    void push(Model model);
    const Model* at(std::size_t n) const noexcept { return n < models_.size() ? &models_[n] : nullptr; }
    std::size_t size() const noexcept { return models_.size(); }

private:
    std::size_t limit_;
    std::deque<Model> models_;
};

}  // namespace culvert::config
