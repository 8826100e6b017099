#pragma once

#include "config/model.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/host_link.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// The VRFs by name, each with its id and host link. The default VRF's name is "".
class Vrfs {
public:
    explicit Vrfs(Core& core) : core_(core) {}

    // A host link made for a VRF that is about to be; nothing running knows it yet.
    struct Prepared {
        std::string name;
        std::string netns;
        HostLink link;
    };
    static Result<Prepared, SystemError> prepare(const config::Vrf& vrf);

    void add(Prepared prepared);
    void remove(const std::string& name);  // its id is free after released()
    void released(VrfId id);

    bool has(const std::string& name) const { return vrfs_.contains(name); }
    std::optional<VrfId> id(const std::string& name) const;
    const std::string& name(VrfId id) const;  // "" for unknown ones too
    const Namespace* ns(VrfId id) const;
    // The scope of an interface's link-local addresses in the VRF's namespace; 0: it has none.
    std::uint32_t scope(VrfId id, InterfaceId interface) const;
    std::vector<std::string> names() const;

    // Brings the kernel's addresses and routes in every VRF's namespace in line with the interfaces.
    struct Watched {  // a host that is talked to: its route carries the path's MTU
        VrfId vrf;
        IpAddress address;
        std::uint16_t mtu;
    };
    void set_path_mtu(const Watched& watched);
    void sync_host_links();
    // An interface's TUN came or went.
    std::function<void()> scopes_changed;

private:
    struct Vrf {
        VrfId id;
        std::string netns;
        HostLink link;
    };
    bool sync_links(Vrf& vrf, const std::string& name, bool close);  // true: a TUN came or went

    Core& core_;
    std::map<std::string, Vrf> vrfs_;
    std::map<VrfId, std::string> names_;
    std::set<VrfId> leaving_;
    std::map<std::pair<VrfId, IpAddress>, std::uint16_t> path_mtu_;
};

}  // namespace culvert::runtime
