#pragma once

#include "dataplane/bfd/engine.h"
#include "dataplane/node/context.h"

#include <cstdint>
#include <span>
#include <vector>

namespace culvert::node {

// The BFD sessions of one worker: the engine, and what it has done here. Datagrams become packets that are queued for
// their stage (the pipeline's drain() sends them, before data); a failure sets the session's down word at once; control
// hears of it by events.
class BfdSpeaker final : private bfd::Actions {
public:
    BfdSpeaker(Context& ctx, std::span<api::BfdActivity> activity, std::uint64_t seed);

    bfd::Engine& engine() noexcept { return engine_; }
    const bfd::Engine& engine() const noexcept { return engine_; }
    void apply(const api::SetBfdSession& session);
    void apply(const api::DeleteBfdSession& session);

private:
    void send_control(const api::SetBfdSession& session, std::uint16_t source_port, Bytes payload) noexcept override;
    void send_echo(const api::SetBfdSession& session, std::uint16_t source_port, Bytes payload) noexcept override;
    void went_down(BfdSessionId session, TimePoint since, TimePoint at) noexcept override;
    bool changed(const api::BfdChanged& change) noexcept override;
    void send(const api::SetBfdSession& session, const Endpoint& from, const Endpoint& to, Bytes payload) noexcept;

    Context& ctx_;
    bfd::Engine engine_;
    std::vector<std::uint32_t> generations_;  // of sessions' down words, as they were when we were told of them
};

}  // namespace culvert::node
