#pragma once

#include "config/statements.h"
#include "config/validate.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What validate() looks at, a part to a subject.
namespace culvert::config {

inline std::string interface_path(const std::string& name) { return "interface " + name; }
inline std::string bgp_path(const std::string& vrf) { return path_of({.node = Node::RouterBgp, .vrf = vrf}); }
inline std::string vrf_path(const std::string& vrf) { return vrf.empty() ? std::string{} : "vrf " + vrf; }
inline std::string vrf_name(const std::string& vrf) { return vrf.empty() ? "the default vrf" : "vrf " + vrf; }
inline std::string real_vrf(const std::string& vrf) { return vrf == "default" ? std::string{} : vrf; }
inline bool is_internal(const Bgp& bgp, const BgpNeighbor& neighbor)
{
    return neighbor.remote_as.kind == RemoteAs::Kind::Internal ||
           (neighbor.remote_as.kind == RemoteAs::Kind::Number && neighbor.remote_as.asn == bgp.asn);
}

// Finds what of a model contradicts itself or the machine, and the line to blame.
class Validator {
public:
    Validator(const Model& model, const ValidateOptions& options) : model_(model), options_(options) {}

    std::vector<Diagnostic> run();

private:
    // `statement`: how the line begins that is to blame.
    void add(Diagnostic::Kind kind, const std::string& path, const std::string& statement, std::string message,
             std::string hint);
    void wrong(const std::string& path, const std::string& statement, std::string message, std::string hint)
    {
        add(Diagnostic::Kind::Refused, path, statement, std::move(message), std::move(hint));
    }
    void unfinished(const std::string& path, std::string message, std::string hint)
    {
        add(Diagnostic::Kind::Unfinished, path, {}, std::move(message), std::move(hint));
    }
    unsigned line(const std::string& path, const std::string& statement) const;
    std::string at_line(const std::string& path, const std::string& statement) const;
    void known_vrf(const std::string& name, const std::string& path, const std::string& statement);
    void secret(const std::optional<Secret>& secret, const std::string& path, const std::string& statement);

    // ---- validate.cc ----

    void dataplane();
    void vrfs();
    bool is_own_address(const std::string& vrf, const IpAddress& address) const;
    void route(const Vrf& vrf, const StaticRoute& route);
    void multipath(const Vrf& vrf);
    static bool is_encrypted(const Interface& interface);

    // ---- validate_interfaces.cc ----

    void interface(const Interface& interface);
    void subinterface(const Interface& interface, const Subinterface& sub, const std::string& path);

    struct Placed {
        const Interface* interface;
        InterfaceAddress address;
        std::string statement;
    };

    static std::string statement_of(const InterfaceAddress& address);
    void addresses();
    void fit_for_an_interface(const Interface& interface, const InterfaceAddress& address,
                              const std::string& statement);

    // Sorted by prefix, a subnet stands right behind those that hold it: one pass with a stack finds every overlap.
    void overlaps(const std::string& vrf, std::vector<Placed>& all);
    void devices();

    // ---- validate_tunnels.cc ----

    void tunnels();
    void peers(const Interface& interface, const Wireguard& tunnel);

    template <class T>
    void tunnel_source(const Interface& interface, const T& tunnel, const std::string& path);

    // What the tunnel's packets are sent from, as far as the configuration says it; unspecified: it doesn't.
    IpAddress source_of(const Tunnel& tunnel, Family family) const;
    static Family outer_family(const Tunnel& tunnel);
    static std::string_view name_of(Family family);
    void gre_and_ipsec();
    void tunnel_ends(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path);
    void tunnel_options(const Tunnel& tunnel, const std::string& path);
    void nhrp_maps(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path);
    void protection(const Interface& interface, const Tunnel& tunnel, const std::string& path,
                    std::map<std::string, std::string>& protected_by);

    // ---- validate_ipsec.cc ----

    void manual_sas();
    void direction(const ManualSa& sa, const ManualSa::Direction& direction, const char* statement,
                   const std::string& path, std::map<std::string, std::string>& keys);
    void ipsec_profile(const IpsecProfile& profile);

    // ---- validate_bfd.cc ----

    void key_chain(const KeyChain& chain);
    void bfd_settings(const BfdSettings& settings, const std::string& path);
    void known_bfd_profile(const std::string& name, const std::string& path, const std::string& statement);
    void bfd_peer(const BfdPeer& peer);

    // ---- validate_bgp.cc ----

    void bgp(const Bgp& bgp);
    void neighbor(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path);

    // The interface of a neighbor that is spoken to link-locally.
    void link(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path, const std::string& name);
    void update_source(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path,
                       const std::string& statement);

    const Model& model_;
    const ValidateOptions& options_;
    std::vector<Diagnostic> found_;
};

}  // namespace culvert::config
