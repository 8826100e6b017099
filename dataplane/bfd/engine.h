#pragma once

#include "dataplane/api/bfd.h"
#include "dataplane/api/verdict.h"
#include "dataplane/bfd/authentication.h"
#include "dataplane/bfd/session.h"
#include "dataplane/bfd/timing_wheel.h"

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace culvert::bfd {

// Where a BFD packet came from. Its UDP checksum was right.
struct Arrival {
    VrfId vrf{};
    InterfaceId interface {};
    IpAddress from{};
    IpAddress to{};
    std::uint8_t ttl = 0;
    bool multihop = false;  // to kMultihopPort
    TimePoint stamp{};      // when it came in, by the best clock there is
    api::TimestampSource source = api::TimestampSource::Tsc;
};

// What the engine has done by the worker that runs it, in the same instant.
class Actions {
public:
    virtual ~Actions() = default;
    // A datagram to kControlPort or kMultihopPort with TTL 255, from `source_port`. Single hop leaves by
    // `session.nexthop`, whatever its down words say.
    virtual void send_control(const api::SetBfdSession& session, std::uint16_t source_port, Bytes payload) noexcept = 0;
    // A datagram to kEchoPort and to our own address, which the peer's forwarding sends back.
    virtual void send_echo(const api::SetBfdSession& session, std::uint16_t source_port, Bytes payload) noexcept = 0;
    // Sets the session's down word. `since`: time stamp of the last sign of life.
    virtual void went_down(BfdSessionId session, TimePoint since, TimePoint at) noexcept = 0;
    // False: can't be told now. It is told again later, with what is so then.
    virtual bool changed(const api::BfdChanged& change) noexcept = 0;
};

// All sessions of one worker. Every deadline is kept in one timing wheel; a packet, and a deadline, cost the same
// however many sessions there are. Memory is bounded by what control configures: peers make no sessions.
class Engine {
public:
    // `activity` has a place for each BfdSessionId that there may be.
    Engine(Actions& actions, std::span<api::BfdActivity> activity, std::uint64_t seed);

    void apply(const api::SetBfdSession& session, TimePoint now);
    // Its peer is told for as long as it would have listened, a second at most; then `deleted` is told.
    void apply(const api::DeleteBfdSession& session, TimePoint now);
    void apply(const api::ClearBfdActivity& session);
    // All of them end, and their peers are told so within `most`. size() is 0 when that is done.
    void leave(TimePoint now, Duration most) noexcept;

    // A UDP payload to kControlPort or kMultihopPort.
    api::Verdict on_packet(Bytes payload, const Arrival& arrival, TimePoint now) noexcept;
    // A UDP payload to kEchoPort and one of our own addresses.
    api::Verdict on_echo(Bytes payload, const Arrival& arrival, TimePoint now) noexcept;

    TimePoint next_deadline() const noexcept;
    // `heard_until`: every packet that came in before it was given to on_packet() or on_echo(). Nobody is believed dead
    // whose time ran out after it.
    void on_time(TimePoint now, TimePoint heard_until) noexcept;
    // We were held up for `gap` until now, and have not yet looked at what came meanwhile. Counts the sessions whose
    // time is up by the clock, and that a look at the clock alone would have taken down.
    void held_up(TimePoint now, Duration gap) noexcept;

    std::size_t size() const noexcept { return count_; }  // with those whose peers are still told of their end
    const Session* find(BfdSessionId id) const noexcept;

private:
    static constexpr std::uint32_t kNone = 0xffffffff;

    struct Place {
        std::optional<Session> session;
        TimePoint report_at = kNever;  // what is waiting to be told
        TimePoint reported_at{};
        BfdState state{};     // as the activity counted it last
        bool ending = false;  // deleted; goes when the peer has been told
        TimePoint sent_up{};  // the last packet that began a gap to be measured; zero: none
    };
    // By which a packet is known that doesn't name our discriminator, RFC 5880 6.8.6 and 5881 3.
    struct PathKey {
        VrfId vrf{};
        InterfaceId interface {};
        bool multihop = false;
        IpAddress local{};
        IpAddress peer{};

        friend bool operator==(const PathKey&, const PathKey&) = default;
    };
    struct PathHash {
        std::size_t operator()(const PathKey& key) const noexcept;
    };
    // Discriminators are random: they are their own hash.
    class DiscriminatorMap {
    public:
        DiscriminatorMap() { slots_.resize(16); }
        std::uint32_t find(std::uint32_t discriminator) const noexcept;
        void put(std::uint32_t discriminator, std::uint32_t place);
        void erase(std::uint32_t discriminator);

    private:
        struct Slot {
            std::uint32_t discriminator = 0;  // 0: free
            std::uint32_t place = kNone;
        };
        void insert(Slot slot) noexcept;

        std::vector<Slot> slots_;
        std::size_t used_ = 0;
    };

    static PathKey path(const api::SetBfdSession& s) noexcept;
    api::BfdActivity& activity(const Session& s) noexcept { return activity_[index(s.wanted().id)]; }
    void name(const api::SetBfdSession& s, std::uint32_t at);
    void unname(const api::SetBfdSession& s, std::uint32_t at);
    void end(std::uint32_t at, Duration most, TimePoint now) noexcept;
    void insist(std::uint32_t at, TimePoint now) noexcept;
    void act(std::uint32_t at, const Session::Output& out, TimePoint now) noexcept;
    void send(Place& place, bool final, TimePoint now) noexcept;
    void send_echo(Place& place, TimePoint now) noexcept;
    void report(Place& place, bool at_once, TimePoint now) noexcept;
    void arm(std::uint32_t at) noexcept;
    void tell_deleted(TimePoint now) noexcept;

    Actions& actions_;
    std::span<api::BfdActivity> activity_;
    Random random_;
    Authenticator authenticator_;
    TimingWheel wheel_;
    std::vector<Place> places_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint32_t> by_id_;
    DiscriminatorMap by_discriminator_;
    std::unordered_map<PathKey, std::uint32_t, PathHash> by_path_;
    std::vector<BfdSessionId> deleted_;  // whose end could not be told yet
    TimePoint tell_deleted_at_ = kNever;
    std::vector<std::uint32_t> ending_;
    std::size_t count_ = 0;
};

}  // namespace culvert::bfd
