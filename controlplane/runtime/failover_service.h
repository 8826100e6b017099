#pragma once

#include "config/model.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/failover.h"
#include "controlplane/runtime/interface_table.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// Failures, bound to the workers' events, the interfaces, the programmer and the neighbours. Who has a new way to see
// that something is dead has a worker set the word (fib::Tables::set_down, api::WentDown), and says on_alive() here
// when it lives again; the rest follows.
class FailoverService final : private Failover::Actions {
public:
    FailoverService(Core& core, InterfaceTable& interfaces);

    void configure(const config::Failover& config);

    // ---- from the workers

    void on_went_down(const api::WentDown& event);
    void on_link(const api::LinkChanged& event);
    // A worker's events were lost: looks at every word there is.
    void resync();

    // ---- from those who watch

    // A tunnel's keepalive is answered again, or it has none any more.
    void on_tunnel_alive(InterfaceId id) { alive({Subject::Kind::Tunnel, index(id)}); }
    // A BFD session is Up. Or what it watches has proven itself without it: BGP came up with a neighbour that no longer
    // speaks BFD.
    void on_session_alive(BfdSessionId id) { alive({Subject::Kind::Session, index(id)}); }
    // It was resolved, a route has it as its gateway, and it no longer answers. `since`: when it did.
    void on_neighbor_lost(InterfaceId interface, const IpAddress& address, TimePoint since);
    // The link of a resolved gateway goes down: other paths come before it until it has answered again. No failure of
    // its own, so nothing is recorded, and its first answer is enough.
    void on_neighbor_doubted(InterfaceId interface, const IpAddress& address);
    void on_neighbor_alive(InterfaceId interface, const IpAddress& address);
    // No route knows it any more, alive or not.
    void forget_neighbor(InterfaceId interface, const IpAddress& address);

    // ---- BFD sessions

    // The session's word exists from here on; tell the worker of it when the dataplane has acked the update.
    void add_session(BfdSessionId id, std::string name);
    // Next hops over the gateway obey its word. Several gateways may obey one session.
    void bind(BfdSessionId id, const fibprog::Gateway& gateway);
    void unbind(BfdSessionId id, const fibprog::Gateway& gateway);
    // Undoes both, and what its failure has done. After the worker has answered that the session is deleted.
    void remove_session(BfdSessionId id);

    // ---- from the router

    void interface_gone(InterfaceId id);
    void on_settled();  // all that has happened is decided, written and acked

    const Failover& failures() const noexcept { return failover_; }
    std::string name(const Subject& subject) const override;

private:
    void take_out(const Subject& subject) override;
    void clear(const Subject& subject, std::uint32_t epoch) override;
    void bring_back(const Subject& subject) override;
    std::uint32_t met(const Subject& subject) const override;

    void down(const Subject& subject, const Failover::Failure& failure);
    void alive(const Subject& subject);
    void add_reason(const fibprog::Gateway& gateway, const Subject& subject);
    void drop_reason(const fibprog::Gateway& gateway, const Subject& subject);
    void tell(const fibprog::Gateway& gateway);
    void forget(const Subject& subject);

    struct Session {
        std::string name;
        std::set<fibprog::Gateway> gateways;
    };

    Core& core_;
    InterfaceTable& interfaces_;
    Failover failover_;
    Loop::Timer timer_;
    std::map<BfdSessionId, Session> sessions_;
    std::map<fibprog::Gateway, std::set<Subject>> reasons_;  // why a gateway is down
    std::map<Subject, fibprog::Gateway> nexthops_;           // of failed next hops: which gateway that was
    std::uint32_t pace_ = 0;
    bool paced_ = false;
};

}  // namespace culvert::runtime
