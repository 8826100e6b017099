#pragma once

#include "base/ids.h"
#include "base/time.h"
#include "controlplane/fib/programmer.h"

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace culvert::runtime {

// What can fail: whatever has a down word, and neighbours, which control itself misses.
struct Subject {
    enum class Kind : std::uint8_t { Port, Tunnel, Session, Nexthop, Neighbor };
    Kind kind = Kind::Port;
    std::uint32_t id = 0;         // PortId, InterfaceId, BfdSessionId, NexthopId
    fibprog::Gateway neighbor{};  // Neighbor
    friend auto operator<=>(const Subject&, const Subject&) = default;
};

// One failure, from the last sign of life to the return of traffic. Times that have not come are kNever.
struct FailoverRecord {
    std::uint64_t number = 0;  // from 1
    Subject subject;
    std::string name;             // what people call it, as it was then
    std::uint32_t causes = 0;     // api::cause
    TimePoint since{};            // the last sign of life
    TimePoint at{};               // the flip: no packet took it from here on
    TimePoint heard = kNever;     // by control
    TimePoint settled = kNever;   // control had moved every prefix, and the dataplane had acked
    TimePoint alive = kNever;     // it showed life again, and has since
    TimePoint restored = kNever;  // traffic may take it again
    bool gone = false;            // it was deleted meanwhile
    std::uint32_t relapses = 0;   // how often it showed life and failed again before it was trusted
    std::uint64_t packets = 0;    // met it down, and took another way or none
};

// Follows each failure through: what fails is taken out, what comes back is believed after it has stayed for a while
// and after control has finished with its failure. No I/O, no clock.
class Failover {
public:
    static constexpr std::size_t kRecords = 256;  // the oldest are forgotten

    // What it has done. Called from within the calls below.
    class Actions {
    public:
        virtual ~Actions() = default;
        virtual void take_out(const Subject& subject) = 0;
        // Its down word may go, then routes may have it again.
        virtual void clear(const Subject& subject, std::uint32_t epoch) = 0;
        virtual void bring_back(const Subject& subject) = 0;
        // Packets that met it down, modulo 2^32, ever since it exists.
        virtual std::uint32_t met(const Subject& subject) const = 0;
        virtual std::string name(const Subject& subject) const = 0;
    };

    explicit Failover(Actions& actions) : actions_(actions) {}

    // How long it must stay before it is used again. Applies to what waits, too.
    void set_hold_up(Duration hold_up);

    struct Failure {
        std::uint32_t causes = 0;
        std::uint32_t epoch = 0;
        TimePoint since{};
        TimePoint at{};
        // It was in use. What was not (a port without a cable from the start) leaves no record and is not held up.
        bool was_used = true;
    };
    void on_down(const Subject& subject, const Failure& failure, TimePoint now);
    // It shows life. False: it is not known to be down, and there is nothing to wait for.
    bool on_alive(const Subject& subject, TimePoint now);
    // It no longer exists.
    void forget(const Subject& subject, TimePoint now);
    // Nothing is left to do for what has happened so far: routes are decided, tables are written and acked.
    void on_settled(TimePoint now);
    void on_time(TimePoint now);
    TimePoint next_deadline() const noexcept;

    bool is_down(const Subject& subject) const { return things_.contains(subject); }
    std::vector<Subject> down() const;
    // Oldest first; with the packets counted so far.
    std::vector<FailoverRecord> records() const;
    // When what shows life will be used again; kNever: it does not, or waits for control.
    TimePoint due(const Subject& subject) const;
    std::uint64_t total() const noexcept { return next_number_ - 1; }
    Duration hold_up() const noexcept { return hold_up_; }

private:
    struct Thing {
        std::uint32_t epoch = 0;
        bool was_used = true;
        bool settled = false;
        TimePoint alive = kNever;
        std::uint64_t number = 0;  // of its record; 0: none
        std::uint32_t met_before = 0;
    };
    struct Ended {
        Subject subject;
        std::uint64_t number;
        std::uint32_t met_before;
    };
    FailoverRecord* record(std::uint64_t number);
    bool ready(const Thing& thing, TimePoint now) const;
    void restore(std::map<Subject, Thing>::iterator it, TimePoint now);

    Actions& actions_;
    Duration hold_up_ = 2s;
    std::map<Subject, Thing> things_;  // that are down
    std::vector<Ended> ended_;         // whose packets are counted when the dataplane has taken the clear
    std::map<Subject, std::uint32_t> met_;
    std::deque<FailoverRecord> records_;
    std::uint64_t next_number_ = 1;
};

}  // namespace culvert::runtime
