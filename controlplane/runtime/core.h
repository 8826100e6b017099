#pragma once

#include "controlplane/fib/programmer.h"
#include "controlplane/route/interfaces.h"
#include "controlplane/route/statics.h"
#include "controlplane/route/tables.h"
#include "controlplane/runtime/loop.h"
#include "crypto/random.h"
#include "dataplane/api/dataplane.h"

namespace culvert::runtime {

// The programmer's way into the FIB channel.
class ChannelSink final : public fibprog::Sink {
public:
    explicit ChannelSink(api::FibChannel& channel) : channel_(channel) {}
    void push(const api::FibUpdate& update) override { channel_.push(update); }
    std::uint64_t commit() override { return channel_.commit(); }
    std::uint64_t acked() const override { return channel_.acked(); }
    std::size_t backlog() const override { return channel_.backlog(); }

private:
    api::FibChannel& channel_;
};

// What every service of the control plane works with: the loop, the dataplane, and the tables between them. In the
// order in which they are built; all on the control thread.
struct Core {
    Core(Loop& event_loop, api::Dataplane& forwarding)
        : loop(event_loop),
          dataplane(forwarding),
          sink(forwarding.fib()),
          interfaces(tables),
          statics(tables, interfaces),
          programmer(sink, tables)
    {}

    Loop& loop;
    api::Dataplane& dataplane;
    crypto::SystemRandom random;
    ChannelSink sink;
    route::Tables tables;
    route::Interfaces interfaces;
    route::Statics statics;
    fibprog::Programmer programmer;
};

}  // namespace culvert::runtime
