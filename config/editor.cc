#include "config/editor.h"

#include "config/diff.h"
#include "config/language.h"

namespace culvert::config {

Editor::Editor(Model model) : model_(std::move(model)) { model_.vrfs[""]; }

std::string_view Editor::mode() const noexcept { return info(position_.node).mode; }

Result<Editor::Outcome, Diagnostic> Editor::apply(std::string_view line)
{
    Outcome outcome;
    const auto words = split(line);
    if (!words.empty() && words[0].text == "do") {
        outcome.run = words.size() > 1 ? std::string{line.substr(words[1].offset)} : std::string{};
        return outcome;
    }
    auto model = model_;
    auto position = position_;
    auto applied = apply_line(model, position, line);
    if (!applied) return Error{std::move(applied).error()};
    outcome.changed = !(model == model_);
    outcome.ended = position.node == Node::Exec;
    before_.emplace(std::move(model_), std::move(position_));
    model_ = std::move(model);
    position_ = std::move(position);
    return outcome;
}

void Editor::undo()
{
    if (!before_) return;
    model_ = std::move(before_->first);
    position_ = std::move(before_->second);
    before_.reset();
}

std::string Candidate::diff() const { return to_string(config::diff(running_, model())); }

void History::push(Model model)
{
    models_.push_front(std::move(model));
    if (models_.size() > limit_) models_.pop_back();
}

}  // namespace culvert::config
