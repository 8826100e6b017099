#pragma once

#include "config/model.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/vrfs.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// The interfaces by name: their ids, their ports, whether they are up. Tells the route table, the programmer and the
// neighbour engine (through `changed`) what they need.
class InterfaceTable {
public:
    struct Entry {
        InterfaceId id{kNoInterface};
        config::Interface config;
        PortId port{kNoPort};  // of itself or of its parent
        std::uint16_t vlan = 0;
        MacAddress mac{};
        bool link = true;     // the port's; interfaces without a port have one
        bool failed = false;  // a tunnel that is known to lead nowhere: it still sends, but no route uses it
        std::uint16_t port_mtu = 1500;
        TimePoint changed_at{};
        unsigned link_ups = 0, link_downs = 0;
        bool link_local = false;  // somebody speaks on its link-local address: a port has one even without IPv6
        api::InterfaceCounters baseline{};  // the dataplane counts on: `clear counters` remembers where it was

        // Of a tunnel, as TunnelService sees it.
        struct Tunnel {
            bool up = false;
            std::string reason;     // why it is down
            std::uint16_t mtu = 0;  // what its path leaves
            friend bool operator==(const Tunnel&, const Tunnel&) = default;
        };
        std::optional<Tunnel> tunnel;

        api::InterfaceKind kind() const;
        bool sends() const
        {
            return link && !config.shutdown &&
                   (tunnel ? tunnel->up : kind() != api::InterfaceKind::Tunnel);  // nobody has looked at it yet
        }
        bool up() const { return sends() && !failed; }
        std::uint16_t mtu() const;     // of the link
        std::uint16_t ip_mtu() const;  // of IP packets
        // With the link-local one, if the interface speaks IPv6 on a link.
        std::vector<InterfaceAddress> addresses() const;
    };

    InterfaceTable(Core& core, Vrfs& vrfs) : core_(core), vrfs_(vrfs) {}

    // ---- commit ----

    // Opens the port that an interface asks for, unless it is open already. Nothing running knows it yet.
    Result<void, api::PortError> prepare_port(const config::Interface& interface);
    void discard_prepared();                       // gives back what prepare_port() opened: the commit was refused
    void keep_prepared();                          // the commit is done
    void set(const config::Interface& interface);  // new or changed
    void remove(const std::string& name);
    // The interfaces that have BGP neighbours on their link-local addresses, by name; of all VRFs.
    void want_link_local(std::set<std::string> names);
    // Closes the ports that no interface uses any more. Called when the dataplane has acked the last commit.
    void settle();

    // ---- from the dataplane ----

    void link_changed(PortId port, bool up);
    bool link_up(PortId port) const;  // as known here; false for ports that are not open
    // A tunnel's other end is gone, or back.
    void set_failed(InterfaceId id, bool failed);
    void released(InterfaceId id);

    // ---- from TunnelService ----

    // True: something has changed.
    bool set_tunnel_state(const std::string& name, Entry::Tunnel state);

    // ---- questions ----

    const Entry* find(const std::string& name) const;
    const Entry* find(InterfaceId id) const;
    std::string name(InterfaceId id) const;  // "" when unknown
    const std::map<std::string, Entry>& all() const noexcept { return entries_; }
    // The interface's own address that fits `peer`: in its subnet, else the first of the family.
    std::optional<IpAddress> own_address(InterfaceId id, const IpAddress& peer) const;

    // Packets since the interface came or `clear counters` was given.
    api::InterfaceCounters counters(const Entry& entry) const;
    void clear_counters(const std::string& name);  // "" is all

    // Called after an interface came, changed or went, with its id.
    std::function<void(InterfaceId)> changed;

private:
    struct PortKey {
        config::Port::Kind kind;
        std::string device;
        friend auto operator<=>(const PortKey&, const PortKey&) = default;
    };
    void publish(Entry& entry);
    void attach(Entry& entry);

    Core& core_;
    Vrfs& vrfs_;
    std::map<std::string, Entry> entries_;
    std::map<InterfaceId, std::string> names_;
    std::set<InterfaceId> leaving_;
    std::set<std::string> link_local_wanted_;
    std::set<InterfaceId> link_scopes_;  // those that have a link VRF
    struct OpenPort {
        api::PortInfo info;
        std::uint16_t own_mtu = 1500;  // without an `mtu` statement
        bool prepared = true;          // by a commit that is not done yet
    };
    std::map<PortKey, OpenPort> ports_;
    std::map<InterfaceId, PortId> port_of_leaving_;
};

}  // namespace culvert::runtime
