#include "config/validate.h"

#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace culvert::config {

std::vector<Diagnostic> Validator::run()
{
    dataplane();
    vrfs();
    for (const auto& [name, interface] : model_.interfaces) this->interface(interface);
    addresses();
    devices();
    tunnels();
    gre_and_ipsec();
    for (const auto& [name, chain] : model_.key_chains) key_chain(chain);
    manual_sas();
    for (const auto& [name, profile] : model_.ipsec_profiles) ipsec_profile(profile);
    for (const auto& [name, profile] : model_.bfd_profiles)
        bfd_settings(profile.settings, path_of({.node = Node::BfdProfile, .name = name}));
    for (const auto& [key, peer] : model_.bfd_peers) bfd_peer(peer);
    for (const auto& [name, vrf] : model_.vrfs) {
        multipath(vrf);
        for (const auto& route : vrf.routes) this->route(vrf, route);
    }
    for (const auto& [vrf, bgp] : model_.bgp) this->bgp(bgp);
    std::ranges::stable_sort(found_, {}, &Diagnostic::line);
    return std::move(found_);
}

void Validator::add(Diagnostic::Kind kind, const std::string& path, const std::string& statement, std::string message,
                    std::string hint)
{
    Diagnostic d;
    d.kind = kind;
    d.file = options_.file;
    d.line = line(path, statement);
    d.message = std::move(message);
    d.hint = std::move(hint);
    found_.push_back(std::move(d));
}

unsigned Validator::line(const std::string& path, const std::string& statement) const
{
    return options_.sources ? options_.sources->line_of(path, statement) : 0;
}

std::string Validator::at_line(const std::string& path, const std::string& statement) const
{
    const auto number = line(path, statement);
    return number == 0 ? std::string{} : fmt::format(" (line {})", number);
}

void Validator::known_vrf(const std::string& name, const std::string& path, const std::string& statement)
{
    const auto vrf = real_vrf(name);
    if (vrf.empty() || model_.vrfs.contains(vrf)) return;
    wrong(path, statement, fmt::format("there is no vrf {}", vrf), fmt::format("add `vrf {}` at the top level", vrf));
}

void Validator::secret(const std::optional<Secret>& secret, const std::string& path, const std::string& statement)
{
    if (!secret || !options_.check_secret) return;
    if (auto problem = options_.check_secret(*secret))  // it says the cure too
        wrong(path, statement, *problem, {});
}

void Validator::dataplane()
{
    const auto& d = model_.dataplane;
    const auto* pinned = std::get_if<Dataplane::WorkersPinned>(&d.workers);
    if (pinned && !options_.cpus.empty()) {
        for (const auto cpu : pinned->cpus)
            if (std::ranges::find(options_.cpus, cpu) == options_.cpus.end())
                wrong("dataplane", "workers", fmt::format("there is no CPU {} for workers", cpu),
                      fmt::format("name some of {}", cpus_to_string(options_.cpus)));
    }
    if (!d.poll_busy) return;
    if (!pinned) {
        wrong("dataplane", "poll busy", "`poll busy` would spin on CPUs that the control plane shares",
              "pin the workers to CPUs of their own with `workers cpu LIST`, or use `poll adaptive`");
        return;
    }
    const auto shared = [&](unsigned cpu) { return std::ranges::find(pinned->cpus, cpu) == pinned->cpus.end(); };
    if (!options_.cpus.empty() && std::ranges::none_of(options_.cpus, shared))
        wrong("dataplane", "poll busy", "`poll busy` leaves no CPU to the control plane",
              "take a CPU out of `workers cpu`, or use `poll adaptive`");
}

void Validator::vrfs()
{
    std::map<std::string, std::string> namespaces;
    for (const auto& [name, vrf] : model_.vrfs) {
        if (vrf.netns.empty()) continue;
        const auto [it, fresh] = namespaces.emplace(vrf.netns, name);
        if (!fresh)
            wrong("vrf " + name, "netns", fmt::format("{} uses netns {} too", vrf_name(it->second), vrf.netns),
                  "a VRF needs a namespace of its own");
    }
}

bool Validator::is_encrypted(const Interface& interface)
{
    const auto* tunnel = std::get_if<Tunnel>(&interface.kind);
    return std::holds_alternative<Wireguard>(interface.kind) || (tunnel && !tunnel->ipsec_profile.empty());
}

bool Validator::is_own_address(const std::string& vrf, const IpAddress& address) const
{
    return std::ranges::any_of(model_.interfaces, [&](const auto& i) {
        return i.second.vrf == vrf &&
               std::ranges::any_of(i.second.addresses, [&](const auto& a) { return a.address == address; });
    });
}

void Validator::route(const Vrf& vrf, const StaticRoute& route)
{
    const auto path = vrf_path(vrf.name);
    const std::string family = route.prefix.family() == Family::Ipv4 ? "ip route " : "ipv6 route ";
    auto statement = family + route.prefix.to_string();
    if (route.gateway)
        statement += " " + route.gateway->to_string();
    else if (!route.interface.empty())
        statement += " " + route.interface;
    if (line(path, statement) == 0) statement = family + route.prefix.to_string();
    known_vrf(route.nexthop_vrf, path, statement);
    const auto lookup = route.nexthop_vrf.empty() ? vrf.name : real_vrf(route.nexthop_vrf);
    if (!route.interface.empty()) {
        const auto it = model_.interfaces.find(route.interface);
        if (it == model_.interfaces.end())
            wrong(path, statement,
                  fmt::format("there is no interface {} for the route {}", route.interface, route.prefix.to_string()),
                  fmt::format("add `interface {}`, or name another", route.interface));
        else if (it->second.vrf != lookup)
            wrong(path, statement,
                  fmt::format("interface {} is in {}, the route's next hop in {}", route.interface,
                              vrf_name(it->second.vrf), vrf_name(lookup)),
                  fmt::format("add `nexthop-vrf {}`", it->second.vrf.empty() ? "default" : it->second.vrf));
    }
    if (route.bfd) {
        known_bfd_profile(route.bfd->profile, path, statement);
        if (route.bfd->source && !is_own_address(lookup, *route.bfd->source))
            wrong(
                path, statement,
                fmt::format("no interface of {} has the address {}", vrf_name(lookup), route.bfd->source->to_string()),
                "name an address of this router");
    }
    if ((route.protected_only || vrf.protected_only) && !route.interface.empty()) {
        const auto it = model_.interfaces.find(route.interface);
        if (it != model_.interfaces.end() && !is_encrypted(it->second))
            wrong(path, statement, fmt::format("the route is protected, and {} sends in clear", route.interface),
                  "name a WireGuard tunnel or one with `tunnel protection`, or take `protected` away");
    }
    if (!route.gateway) return;
    for (const auto& [name, interface] : model_.interfaces)
        if (interface.vrf == lookup)
            for (const auto& address : interface.addresses)
                if (address.address == *route.gateway)
                    wrong(path, statement,
                          fmt::format("the gateway {} is this router's own address, on {}", route.gateway->to_string(),
                                      name),
                          "name the next router's address");
}

// A group of next hops has so many members at most (dataplane/fib).
void Validator::multipath(const Vrf& vrf)
{
    constexpr int kMaxMembers = 64;
    std::map<std::pair<IpPrefix, std::uint8_t>, int> members;
    for (const auto& route : vrf.routes) {
        if (route.drop != StaticRoute::Drop::No || ++members[{route.prefix, route.distance}] != kMaxMembers + 1)
            continue;
        const std::string family = route.prefix.family() == Family::Ipv4 ? "ip route " : "ipv6 route ";
        wrong(vrf_path(vrf.name), family + route.prefix.to_string(),
              fmt::format("{} has more than {} gateways of distance {}", route.prefix.to_string(), kMaxMembers,
                          route.distance),
              "take some away, or give them another distance");
    }
}

std::vector<Diagnostic> validate(const Model& model, const ValidateOptions& options)
{
    return Validator{model, options}.run();
}

std::vector<Diagnostic> warnings(const Model& model, const ValidateOptions& options)
{
    std::vector<Diagnostic> out;
    for (const auto& [name, sa] : model.manual_sas) {
        Diagnostic d;
        d.file = options.file;
        if (options.sources) d.line = options.sources->line_of(path_of({.node = Node::ManualSa, .name = name}));
        d.message = fmt::format(
            "the keys of manual SA {} are never renewed, and a restart uses them again from the "
            "first sequence number on",
            name);
        d.hint = "for tests and measurements only";
        out.push_back(std::move(d));
    }
    return out;
}

Model effective(const Model& model)
{
    Model out = model;
    auto& interfaces = out.interfaces;
    std::erase_if(interfaces, [](const auto& i) {
        const auto* tunnel = std::get_if<Wireguard>(&i.second.kind);
        return std::holds_alternative<std::monostate>(i.second.kind) || (tunnel && !tunnel->private_key);
    });
    std::erase_if(interfaces, [&](const auto& i) {
        const auto* sub = std::get_if<Subinterface>(&i.second.kind);
        return sub && !interfaces.contains(sub->parent);
    });
    std::erase_if(out.manual_sas, [](const auto& s) {
        const bool cbc = s.second.cipher == EspCipher::AesCbc128 || s.second.cipher == EspCipher::AesCbc256;
        return !s.second.inbound.key || !s.second.outbound.key || (cbc && s.second.integrity == EspIntegrity::None);
    });
    std::erase_if(out.ipsec_profiles, [&](const auto& p) { return !out.manual_sas.contains(p.second.manual_sa); });
    // A tunnel that is to be protected, and can't be yet, is not there: it never sends in clear.
    const auto not_ready = [&](const auto& i) {
        const auto* tunnel = std::get_if<Tunnel>(&i.second.kind);
        if (!tunnel) return false;
        const bool has_source = tunnel->source_address || interfaces.contains(tunnel->source_interface);
        const bool protection_is_known =
            tunnel->ipsec_profile.empty() ? tunnel->is_gre() : out.ipsec_profiles.contains(tunnel->ipsec_profile);
        return !has_source || !protection_is_known || (!tunnel->destination && !tunnel->is_multipoint());
    };
    while (std::erase_if(interfaces, not_ready) > 0) {}  // one may be the source of another
    for (auto& [name, chain] : out.key_chains)
        std::erase_if(chain.keys, [](const auto& k) { return !k.second.secret; });
    std::set<std::string> sourceless;
    for (auto& [name, interface] : interfaces) {
        auto* tunnel = std::get_if<Wireguard>(&interface.kind);
        if (!tunnel) continue;
        std::erase_if(tunnel->peers, [](const auto& p) { return p.second.public_key == Key32{}; });
        if (!tunnel->source_interface.empty() && !interfaces.contains(tunnel->source_interface))
            sourceless.insert(name);
    }
    for (const auto& name : sourceless) interfaces.erase(name);
    for (auto& [name, vrf] : out.vrfs)
        std::erase_if(vrf.routes,
                      [&](const auto& r) { return !r.interface.empty() && !interfaces.contains(r.interface); });
    for (auto& [vrf, bgp] : out.bgp)
        std::erase_if(bgp.neighbors, [](const auto& n) {
            const auto& neighbor = n.second;
            return neighbor.remote_as.kind == RemoteAs::Kind::Unset ||
                   (neighbor.address.is_v6() && neighbor.address.is_link_local() && neighbor.interface.empty());
        });
    return out;
}

}  // namespace culvert::config
