#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/fib/programmer.h"
#include "crypto/random.h"
#include "dataplane/api/bfd.h"

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace culvert::runtime {

// What two sessions differ in: RFC 5881 has one for each pair of systems and link, RFC 5883 one for each pair of
// addresses.
struct BfdSessionKey {
    VrfId vrf{kDefaultVrf};
    IpAddress peer{};
    InterfaceId interface {
        kNoInterface
    };                  // single hop
    IpAddress local{};  // multihop
    bool multihop = false;
    friend bool operator==(const BfdSessionKey&, const BfdSessionKey&) = default;
    friend auto operator<=>(const BfdSessionKey&, const BfdSessionKey&) = default;
};

// One session as it is to be.
struct BfdWanted {
    api::SetBfdSession word{};  // without id, discriminator and next hop, which are given out here
    WorkerId owner{};
    std::string name;  // for people: "10.0.0.2 on wan0"
};

// The sessions that are wanted, from their ids to the workers' last word on them: makes a session's down word before
// its worker is told, moves it when another worker owns it, takes it back in order. No I/O, no clock.
class BfdSessions {
public:
    // What it has done. Called from within the calls below.
    class Actions {
    public:
        virtual ~Actions() = default;
        // The session's down word, and whoever obeys it. -> the FIB generation with which the word exists.
        virtual std::uint64_t add_session(BfdSessionId id, const std::string& name) = 0;
        virtual void bind(BfdSessionId id, const fibprog::Gateway& gateway) = 0;
        virtual void unbind(BfdSessionId id, const fibprog::Gateway& gateway) = 0;
        // Undoes both. -> the generation after which the id may be used again.
        virtual std::uint64_t remove_session(BfdSessionId id) = 0;
        virtual NexthopId hold(const fibprog::Gateway& gateway) = 0;
        virtual void release(const fibprog::Gateway& gateway) = 0;
        virtual void command(WorkerId worker, const api::SetBfdSession& session) = 0;
        virtual void command(WorkerId worker, const api::DeleteBfdSession& session) = 0;
        // The state differs from before. `now` is the session's as it is from here on.
        virtual void on_session(const BfdSessionKey& key, const api::BfdChanged& before,
                                const api::BfdChanged& now) = 0;
    };

    BfdSessions(Actions& actions, crypto::Random& random) : actions_(actions), random_(random) {}
    ~BfdSessions();
    BfdSessions(const BfdSessions&) = delete;
    BfdSessions& operator=(const BfdSessions&) = delete;

    // All that are wanted from here on; those that are not named go. False: there is no id for each of them.
    bool want(const std::map<BfdSessionKey, BfdWanted>& wanted);
    void on_acked(std::uint64_t generation);
    void on_changed(const api::BfdChanged& change, TimePoint now);

    struct View {
        BfdSessionId id{kNoBfdSession};
        BfdSessionKey key;
        api::SetBfdSession word{};  // as the worker was told last
        std::string name;
        WorkerId owner{};
        bool running = false;         // a worker has it
        api::BfdChanged last{};       // its last word; state Down before
        TimePoint changed_at{};       // when the state became what it is
        TimePoint counted_from = {};  // `clear bfd peers counters`; zero: never
    };
    const View* find(const BfdSessionKey& key) const;
    const View* find(BfdSessionId id) const;
    std::size_t size() const noexcept { return sessions_.size(); }
    template <class F>
    void for_each(F f) const
    {
        for (const auto& [key, session] : sessions_) f(session.view);
    }

private:
    enum class Phase : std::uint8_t {
        Waiting,  // for its down word to exist
        Running,
        Moving,  // deleted at its old worker, not answered yet
    };
    struct Session {
        View view;
        Phase phase = Phase::Waiting;
        std::uint64_t exists_with = 0;
        std::uint64_t sequence = 0;  // of the DeleteBfdSession that is not answered yet
        BfdWanted wanted;
    };
    struct Leaving {
        BfdSessionKey key;
        api::SetBfdSession word;
        bool held = false;
        std::uint64_t sequence = 0;
    };
    struct Cooling {
        std::uint64_t generation;
        BfdSessionId id;
    };

    static fibprog::Gateway gateway_of(const BfdSessionKey& key);
    static bool same_path(const api::SetBfdSession& a, const api::SetBfdSession& b);
    BfdSessionId allocate();
    std::uint32_t discriminator();
    void start(Session& session);
    void leave(std::map<BfdSessionKey, Session>::iterator it);
    void finish(BfdSessionId id, const Leaving& leaving);

    Actions& actions_;
    crypto::Random& random_;
    std::map<BfdSessionKey, Session> sessions_;
    std::map<BfdSessionId, BfdSessionKey> by_id_;
    std::map<BfdSessionId, Leaving> leaving_;
    std::deque<Cooling> cooling_;
    std::deque<BfdSessionId> free_;
    std::set<std::uint32_t> discriminators_;
    std::uint32_t next_id_ = 1;
    std::uint64_t sequence_ = 0;
    std::uint64_t acked_ = 0;
};

}  // namespace culvert::runtime
