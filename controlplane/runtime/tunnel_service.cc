#include "controlplane/runtime/tunnel_service.h"

#include "base/log.h"
#include "controlplane/runtime/too_big.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::runtime {
namespace {

constexpr std::uint16_t kDefaultPath = 1500;
// Less is not believed: what asks for it mostly wants to make us send many small packets.
constexpr std::uint16_t kLeastLearned4 = 552, kLeastLearned6 = 1280;
constexpr std::size_t kMaxLearned = 4096;
constexpr Duration kWireguardLook = 2s;  // endpoints roam
constexpr Duration kLongestHold = 10min;
constexpr unsigned kMaxNested = 4;  // the dataplane's encapsulations

api::EspAlgorithm algorithm_of(const config::ManualSa& sa)
{
    using enum config::EspCipher;
    using I = config::EspIntegrity;
    switch (sa.cipher) {
        case AesGcm128: return api::EspAlgorithm::AesGcm128;
        case AesGcm256: return api::EspAlgorithm::AesGcm256;
        case Chacha20Poly1305: return api::EspAlgorithm::ChaCha20Poly1305;
        case AesCbc128:
            return sa.integrity == I::HmacSha512   ? api::EspAlgorithm::AesCbc128Sha512
                   : sa.integrity == I::HmacSha384 ? api::EspAlgorithm::AesCbc128Sha384
                                                   : api::EspAlgorithm::AesCbc128Sha256;
        case AesCbc256: break;
    }
    return sa.integrity == I::HmacSha512   ? api::EspAlgorithm::AesCbc256Sha512
           : sa.integrity == I::HmacSha384 ? api::EspAlgorithm::AesCbc256Sha384
                                           : api::EspAlgorithm::AesCbc256Sha256;
}

api::EspMode mode_of(const config::ManualSa& sa)
{
    return sa.mode == config::EspMode::Transport ? api::EspMode::Transport : api::EspMode::Tunnel;
}

std::string_view text(api::SaRefusal refusal)
{
    switch (refusal) {
        case api::SaRefusal::None: return "";
        case api::SaRefusal::SpiTaken: return "its SPI is in use";
        case api::SaRefusal::BadParameter: return "a parameter is out of range";
        case api::SaRefusal::NoRoom: return "there is no room for another SA";
    }
    return "?";
}

std::string_view text(api::SaLimit limit)
{
    switch (limit) {
        case api::SaLimit::Time: return "time";
        case api::SaLimit::Octets: return "octets";
        case api::SaLimit::Packets: return "packets";
        case api::SaLimit::Sequence: return "sequence numbers";
    }
    return "?";
}

}  // namespace

TunnelService::Protection::Protection() = default;

// ---- commit --------------------------------------------------------------------------------------------------------

TunnelService::Keys TunnelService::read_keys(
    const config::Model& model, std::vector<config::Diagnostic>& problems,
    const std::function<unsigned(const std::string&, const std::string&)>& line_of)
{
    Keys keys;
    for (const auto& [name, sa] : model.manual_sas) {
        Keys::Pair pair;
        bool good = true;
        const auto load = [&](const config::ManualSa::Direction& direction, const char* statement,
                              crypto::HexKey& into) {
            if (!direction.key) {
                good = false;  // unfinished: validate() has said so
                return;
            }
            std::string message;
            if (direction.key->file.empty()) {
                if (auto key = crypto::parse_hex_key(direction.key->value, sa.key_octets()))
                    into = std::move(*key);
                else
                    message = fmt::format("not a key: expected {} octets in hexadecimal", sa.key_octets());
            } else if (auto key = crypto::read_hex_key_file(direction.key->file, sa.key_octets())) {
                into = std::move(*key);
            } else {
                message = key.error().message;
            }
            if (message.empty()) return;
            good = false;
            problems.push_back({config::Diagnostic::Kind::Refused,
                                {},
                                line_of("crypto ipsec manual-sa " + name, statement),
                                0,
                                std::move(message),
                                {}});
        };
        load(sa.inbound, "inbound", pair.inbound);
        load(sa.outbound, "outbound", pair.outbound);
        if (good) keys.manual_sas.emplace(name, std::move(pair));
    }
    return keys;
}

TunnelService::TunnelService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
                             WorkerLinks& workers)
    : core_(core),
      interfaces_(interfaces),
      vrfs_(vrfs),
      wireguard_(wireguard),
      workers_(workers),
      timer_(core.loop, [this] { on_time(); })
{}

void TunnelService::set(const config::Model& model, Keys& keys)
{
    for (const auto& [name, interface] : model.interfaces) {
        if (std::holds_alternative<config::Wireguard>(interface.kind)) {
            if (wireguard_look_ == kNever) wireguard_look_ = now();
            continue;
        }
        const auto* config = std::get_if<config::Tunnel>(&interface.kind);
        const auto* entry = interfaces_.find(name);
        if (!config || !entry) continue;
        auto& tunnel = tunnels_[name];
        tunnel.id = entry->id;
        const bool other_keepalive = !(tunnel.config.keepalive == config->keepalive);
        tunnel.config = *config;
        if (other_keepalive) {
            // The worker that owns the tunnel asks, judges, and takes it out of use.
            api::SetTunnelKeepalive keepalive{.tunnel = tunnel.id};
            if (config->keepalive) {
                keepalive.period = static_cast<std::uint16_t>(config->keepalive->period.count());
                keepalive.retries = config->keepalive->retries;
            }
            workers_.command(core_.dataplane.owner(tunnel.id), keepalive);
        }

        const auto profile = model.ipsec_profiles.find(config->ipsec_profile);
        const auto sa = profile == model.ipsec_profiles.end() ? model.manual_sas.end()
                                                              : model.manual_sas.find(profile->second.manual_sa);
        const auto key = sa == model.manual_sas.end() ? keys.manual_sas.end() : keys.manual_sas.find(sa->first);
        if (key == keys.manual_sas.end()) {
            // A profile without an SA protects all the same: nothing leaves.
            if (config->ipsec_profile.empty()) {
                end_protection(tunnel);
            } else if (!tunnel.protection || tunnel.protection->keys) {
                end_protection(tunnel);
                tunnel.protection.emplace();
                tunnel.protection->id = allocate_protection();
                tunnel.protection->view.problem = "the profile has no SA";
            }
            continue;
        }
        const bool same = tunnel.protection && tunnel.protection->sa == sa->second && tunnel.protection->keys &&
                          tunnel.protection->keys->inbound == key->second.inbound &&
                          tunnel.protection->keys->outbound == key->second.outbound;
        if (same) continue;
        end_protection(tunnel);
        auto& p = tunnel.protection.emplace();
        p.id = allocate_protection();
        p.sa = sa->second;
        p.keys = Keys::Pair{key->second.inbound.clone(), key->second.outbound.clone()};
        p.view.inbound_spi = p.sa.inbound.spi;
        p.view.outbound_spi = p.sa.outbound.spi;
        p.install = true;
        log::warning("ipsec", "interface {}: the SA {} has manual keys, which nobody renews", name, p.sa.name);
    }
    dirty_ = true;
    rearm();
    core_.loop.wake_slice();
}

void TunnelService::remove(const std::string& interface)
{
    wireguard_sums_.erase(interface);
    const auto at = tunnels_.find(interface);
    if (at == tunnels_.end()) return;
    for (const auto& [vrf, address] : at->second.watched) core_.programmer.unwatch_path_mtu(vrf, address);
    if (at->second.config.keepalive)
        workers_.command(core_.dataplane.owner(at->second.id), api::SetTunnelKeepalive{.tunnel = at->second.id});
    end_protection(at->second);
    tunnels_.erase(at);
    dirty_ = true;
}

void TunnelService::interface_changed(InterfaceId) { dirty_ = true; }

void TunnelService::clear_sas(const std::string& interface)
{
    for (auto& [name, tunnel] : tunnels_) {
        if (!interface.empty() && name != interface) continue;
        if (tunnel.protection && tunnel.protection->keys) tunnel.protection->install = true;
    }
    dirty_ = true;
    core_.loop.wake_slice();
}

// ---- where the ends are
// ----------------------------------------------------------------------------------------------

Family TunnelService::outer_family(const config::Tunnel& c)
{
    using Mode = config::Tunnel::Mode;
    if (c.mode == Mode::GreIpv6 || c.mode == Mode::IpsecIpv6) return Family::Ipv6;
    if (c.mode != Mode::GreMultipoint) return Family::Ipv4;
    if (c.source_address) return c.source_address->family;
    return c.nhrp_map.empty() ? Family::Ipv4 : c.nhrp_map.begin()->second.family;
}

std::optional<IpAddress> TunnelService::source_of(const Tunnel& tunnel, std::string& reason) const
{
    const auto& c = tunnel.config;
    const auto outer = vrfs_.id(c.outer_vrf);
    if (!outer) {
        reason = fmt::format("there is no vrf {}", c.outer_vrf);
        return std::nullopt;
    }
    if (c.source_address) {
        if (core_.interfaces.is_own(*outer, *c.source_address)) return c.source_address;
        reason = fmt::format("the source {} is on no interface that is up", c.source_address->to_string());
        return std::nullopt;
    }
    const auto* source = interfaces_.find(c.source_interface);
    if (!source || !source->up()) {
        reason = fmt::format("the source {} is {}", c.source_interface, source ? "down" : "not there");
        return std::nullopt;
    }
    const auto family = outer_family(c);
    for (const auto& a : source->config.addresses)
        if (a.address.family == family && !a.address.is_link_local()) return a.address;
    reason =
        fmt::format("the source {} has no {} address", c.source_interface, family == Family::Ipv4 ? "IPv4" : "IPv6");
    return std::nullopt;
}

// Where the outer packets go: those of ESP, if it has ends of its own.
std::vector<std::pair<VrfId, IpAddress>> TunnelService::far_ends(const Tunnel& tunnel) const
{
    const auto& c = tunnel.config;
    const auto outer = vrfs_.id(c.outer_vrf);
    if (!outer) return {};
    if (tunnel.protection && tunnel.protection->keys && tunnel.protection->sa.remote_address)
        return {{*outer, *tunnel.protection->sa.remote_address}};
    std::vector<std::pair<VrfId, IpAddress>> out;
    if (!c.is_multipoint()) {
        if (c.destination) out.emplace_back(*outer, *c.destination);
        return out;
    }
    for (const auto& [nexthop, endpoint] : c.nhrp_map)
        if (std::find(out.begin(), out.end(), std::pair{*outer, endpoint}) == out.end())
            out.emplace_back(*outer, endpoint);
    return out;
}

// The tunnel by which the way to `to` comes back to `name`, or says that it is too deep.
std::optional<std::string> TunnelService::loop_of(const std::string& name, VrfId vrf, const IpAddress& to,
                                                  std::set<InterfaceId>& seen, unsigned depth) const
{
    for (const auto id : core_.programmer.way_to(vrf, to).interfaces) {
        const auto* entry = interfaces_.find(id);
        if (!entry) continue;
        if (entry->config.name == name)
            return fmt::format("it would run inside itself: {} is reached by {}", to.to_string(), name);
        const auto at = tunnels_.find(entry->config.name);
        if (at == tunnels_.end() && entry->kind() != api::InterfaceKind::Wireguard) continue;
        if (depth >= kMaxNested) return fmt::format("more than {} tunnels in each other", kMaxNested);
        if (!seen.insert(id).second) continue;
        std::vector<std::pair<VrfId, IpAddress>> next;
        if (at != tunnels_.end())
            next = far_ends(at->second);
        else
            next = wireguard_.endpoints(entry->config.name);
        for (const auto& [next_vrf, next_to] : next)
            if (auto loop = loop_of(name, next_vrf, next_to, seen, depth + 1)) return loop;
    }
    return std::nullopt;
}

void TunnelService::watch(Tunnel& tunnel)
{
    const auto ends = far_ends(tunnel);
    const std::set<std::pair<VrfId, IpAddress>> wanted(ends.begin(), ends.end());
    if (wanted == tunnel.watched) return;
    for (const auto& [vrf, address] : wanted) core_.programmer.watch_path_mtu(vrf, address);
    for (const auto& [vrf, address] : tunnel.watched) core_.programmer.unwatch_path_mtu(vrf, address);
    tunnel.watched = wanted;
}

// ---- what fits -----------------------------------------------------------------------------------------------------

api::TunnelStack TunnelService::stack_of(const Tunnel& tunnel) const
{
    const auto& c = tunnel.config;
    const auto family = outer_family(c);
    api::TunnelStack stack;
    if (c.is_gre())
        stack.gre = api::TunnelStack::Gre{.outer = family,
                                          .checksum = c.checksum,
                                          .key = c.key.has_value(),
                                          .sequence = c.sequence && !c.is_multipoint()};
    if (!tunnel.protection || !tunnel.protection->keys) return stack;
    const auto& sa = tunnel.protection->sa;
    stack.esp = api::TunnelStack::Esp{.outer = sa.remote_address ? sa.remote_address->family : family,
                                      .algorithm = algorithm_of(sa),
                                      .mode = mode_of(sa),
                                      .udp = sa.udp.has_value()};
    return stack;
}

TunnelService::Sum TunnelService::sum_of(const std::vector<std::pair<VrfId, IpAddress>>& ends,
                                         const api::TunnelStack& stack, bool discover) const
{
    Sum sum;
    sum.path = "path, as long as there is none";
    sum.path_mtu = kDefaultPath;
    bool any = false;
    for (const auto& [vrf, address] : ends) {
        const auto way = core_.programmer.way_to(vrf, address);
        if (way.mtu == 0) continue;
        auto mtu = way.mtu;
        std::optional<std::uint16_t> learned;
        std::int64_t left = 0;
        if (const auto at = learned_.find({vrf, address}); discover && at != learned_.end() && at->second.mtu < mtu) {
            learned = mtu = at->second.mtu;
            left = std::chrono::duration_cast<std::chrono::seconds>(at->second.until - now()).count();
        }
        if (any && mtu >= sum.learned.value_or(sum.path_mtu)) continue;
        any = true;
        std::string by;
        for (const auto id : way.interfaces) by += (by.empty() ? "" : ", ") + interfaces_.name(id);
        sum.path = fmt::format("path to {} by {}", address.to_string(), by.empty() ? "this router" : by);
        sum.path_mtu = way.mtu;
        sum.learned = learned;
        sum.learned_for = left;
    }
    auto result = api::tunnel_mtu(stack, sum.learned.value_or(sum.path_mtu));
    sum.lines = std::move(result.lines);
    sum.mtu = result.mtu;
    return sum;
}

// ---- up or down ----------------------------------------------------------------------------------------------------

TunnelService::Verdict TunnelService::judge(const std::string& name, Tunnel& tunnel)
{
    std::string reason;
    const auto source = source_of(tunnel, reason);
    tunnel.source = source.value_or(IpAddress{});
    if (!source) return {false, reason};
    if (tunnel.protection) {
        const auto& p = *tunnel.protection;
        if (!p.view.problem.empty()) return {false, p.view.problem};
        if (!p.view.inbound_up || !p.view.outbound_up) return {false, "no SA is installed"};
    }
    if (now() < tunnel.loop_hold) return {false, tunnel.reason};
    const auto ends = far_ends(tunnel);
    std::size_t ways = 0;
    for (const auto& [vrf, address] : ends) {
        const auto way = core_.programmer.way_to(vrf, address);
        if (way.here && !tunnel.config.is_multipoint())
            return {false, fmt::format("the destination {} is this router", address.to_string())};
        ways += way.mtu != 0;
        std::set<InterfaceId> seen;
        if (auto loop = loop_of(name, vrf, address, seen, 1)) {
            tunnel.loop_hold = now() + tunnel.next_hold;
            tunnel.next_hold = std::min<Duration>(tunnel.next_hold * 2, kLongestHold);
            rearm();
            return {false, *loop};
        }
    }
    if (ways == 0 && !ends.empty()) {
        return {false, tunnel.config.is_multipoint()
                           ? "no route to any endpoint"
                           : fmt::format("no route to the destination {}", ends.front().second.to_string())};
    }
    return {true, {}};
}

// True: something that others may see has changed.
bool TunnelService::evaluate(const std::string& name, Tunnel& tunnel)
{
    const auto* entry = interfaces_.find(name);
    if (!entry) return false;
    watch(tunnel);
    push_protection(name, tunnel);
    const bool was_held = now() < tunnel.loop_hold;
    const auto verdict = judge(name, tunnel);
    const bool loops = now() < tunnel.loop_hold;
    const bool discover = tunnel.config.path_mtu_discovery;
    auto sum = sum_of(far_ends(tunnel), stack_of(tunnel), discover);
    if (tunnel.protection && tunnel.protection->keys && tunnel.protection->sa.fragment_after_encryption) {
        sum.lines.assign(1, {"fragmentation after encryption: outer packets are cut", 0});
        sum.mtu = sum.path_mtu;
    }
    if (loops && !was_held) log::warning("tunnel", "interface {} is held down: {}", name, verdict.reason);
    tunnel.up = verdict.up;
    tunnel.reason = verdict.reason;
    tunnel.sum = std::move(sum);
    publish(name, tunnel, loops);
    return interfaces_.set_tunnel_state(name, {tunnel.up, tunnel.reason, tunnel.sum.mtu});
}

bool TunnelService::evaluate_wireguard(const InterfaceTable::Entry& entry)
{
    auto sum = sum_of(wireguard_.endpoints(entry.config.name), {.wireguard = api::TunnelStack::Wireguard{}}, true);
    const auto mtu = sum.mtu;
    wireguard_sums_[entry.config.name] = std::move(sum);
    return interfaces_.set_tunnel_state(entry.config.name, {true, {}, mtu});
}

void TunnelService::run()
{
    for (auto& [name, tunnel] : tunnels_)
        if (tunnel.protection && tunnel.protection->install) install(tunnel);
    if (!dirty_) return;
    // An outer tunnel's MTU is the path of the inner one's: at most so many rounds as tunnels may be in each other.
    for (unsigned round = 0; round <= kMaxNested + 1; ++round) {
        dirty_ = false;
        bool changed = false;
        for (auto& [name, tunnel] : tunnels_) changed |= evaluate(name, tunnel);
        for (const auto& [name, entry] : interfaces_.all())
            if (entry.kind() == api::InterfaceKind::Wireguard) changed |= evaluate_wireguard(entry);
        if (!changed) break;
    }
    dirty_ = false;
    for (auto& [name, tunnel] : tunnels_)
        if (tunnel.protection && tunnel.protection->install) core_.loop.wake_slice();
}

void TunnelService::publish(const std::string& name, Tunnel& tunnel, bool loops)
{
    const auto& c = tunnel.config;
    const auto outer = vrfs_.id(c.outer_vrf);
    const auto* entry = interfaces_.find(name);
    if (!outer || !entry || tunnel.source.is_unspecified()) return;
    api::SetTunnel t{.interface = tunnel.id, .outer_vrf = *outer, .mode = api::TunnelMode::Gre};
    if (c.is_multipoint()) t.mode = api::TunnelMode::GreMultipoint;
    if (!c.is_gre()) t.mode = api::TunnelMode::Ipsec;
    t.ttl = c.ttl;
    t.inherit_tos = !c.tos.has_value();
    t.tos = c.tos.value_or(0);
    t.checksum = c.checksum;
    t.sequence = c.sequence && !c.is_multipoint();
    t.has_key = c.key.has_value();
    t.key = c.key.value_or(0);
    const bool cut_later =
        tunnel.protection && tunnel.protection->keys && tunnel.protection->sa.fragment_after_encryption;
    t.copy_df = c.path_mtu_discovery && !cut_later;
    t.keepalives = !entry->config.shutdown;
    t.loops = loops;
    t.source = tunnel.source;
    if (c.destination) t.destination = *c.destination;
    if (tunnel.protection) t.protection = tunnel.protection->id;
    const auto same = [](const api::SetTunnel& a, const api::SetTunnel& b) {
        return a.outer_vrf == b.outer_vrf && a.mode == b.mode && a.ttl == b.ttl && a.tos == b.tos &&
               a.inherit_tos == b.inherit_tos && a.checksum == b.checksum && a.sequence == b.sequence &&
               a.has_key == b.has_key && a.key == b.key && a.copy_df == b.copy_df && a.keepalives == b.keepalives &&
               a.loops == b.loops && a.source == b.source && a.destination == b.destination &&
               a.protection == b.protection;
    };
    const bool other_protection = tunnel.pushed && tunnel.pushed->protection != t.protection;
    if (!tunnel.pushed || !same(*tunnel.pushed, t)) {
        core_.programmer.set_tunnel(t);
        tunnel.pushed = t;
        core_.loop.wake_slice();
    }
    if (!c.is_multipoint()) return;
    for (const auto& [nexthop, endpoint] : c.nhrp_map) {
        const auto had = tunnel.endpoints.find(nexthop);
        if (had != tunnel.endpoints.end() && had->second == endpoint && !other_protection) continue;
        core_.programmer.set_tunnel_endpoint({tunnel.id, nexthop, endpoint, t.protection});
        tunnel.endpoints[nexthop] = endpoint;
    }
    std::erase_if(tunnel.endpoints, [&](const auto& item) {
        if (c.nhrp_map.contains(item.first)) return false;
        core_.programmer.remove_tunnel_endpoint({tunnel.id, item.first});
        return true;
    });
}

// ---- protection ----------------------------------------------------------------------------------------------------

ProtectionId TunnelService::allocate_protection()
{
    const auto taken = [&](std::uint32_t id) {
        return std::any_of(tunnels_.begin(), tunnels_.end(),
                           [&](const auto& t) { return t.second.protection && index(t.second.protection->id) == id; });
    };
    while (taken(next_protection_)) next_protection_ = next_protection_ % (api::kMaxProtections - 1) + 1;
    const ProtectionId id{next_protection_};
    next_protection_ = next_protection_ % (api::kMaxProtections - 1) + 1;
    return id;
}

TunnelService::Tunnel* TunnelService::of(ProtectionId id)
{
    for (auto& [name, tunnel] : tunnels_)
        if (tunnel.protection && tunnel.protection->id == id) return &tunnel;
    return nullptr;
}

void TunnelService::push_protection(const std::string& name, Tunnel& tunnel)
{
    if (!tunnel.protection || !tunnel.protection->keys) return;
    auto& p = *tunnel.protection;
    const auto& c = tunnel.config;
    const auto outer = vrfs_.id(c.outer_vrf);
    std::string reason;
    const auto source = source_of(tunnel, reason);
    if (!outer || !source || !interfaces_.find(name)) return;
    api::SetProtection u{.id = p.id, .interface = tunnel.id, .outer_vrf = *outer};
    u.inner = c.is_gre() ? api::EspInner::Gre : api::EspInner::Ip;
    u.df = p.sa.df_bit == config::ManualSa::DfBit::Set     ? api::EspDf::Set
           : p.sa.df_bit == config::ManualSa::DfBit::Clear ? api::EspDf::Clear
           : c.path_mtu_discovery                          ? api::EspDf::Copy
                                                           : api::EspDf::Clear;
    u.ecn = p.sa.ecn ? api::EspEcn::Normal : api::EspEcn::Compatibility;
    u.fragmentation = p.sa.fragment_after_encryption ? api::EspFragmentation::After : api::EspFragmentation::Before;
    u.copy_dscp = !p.sa.dscp.has_value();
    u.dscp = p.sa.dscp.value_or(0);
    u.ttl = c.ttl;
    if (p.sa.udp) u.udp_port = p.sa.udp->local;
    u.local = *source;
    u.remote = c.destination ? *c.destination : c.nhrp_map.empty() ? IpAddress{} : c.nhrp_map.begin()->second;
    const auto same = [](const api::SetProtection& a, const api::SetProtection& b) {
        return a.outer_vrf == b.outer_vrf && a.inner == b.inner && a.df == b.df && a.ecn == b.ecn &&
               a.fragmentation == b.fragmentation && a.copy_dscp == b.copy_dscp && a.dscp == b.dscp && a.ttl == b.ttl &&
               a.udp_port == b.udp_port && a.local == b.local && a.remote == b.remote;
    };
    if (p.is_pushed && same(p.pushed, u)) return;
    const bool moved = p.is_pushed && !(p.pushed.local == u.local && p.pushed.remote == u.remote);
    core_.programmer.set_protection(u);
    p.pushed = u;
    p.is_pushed = true;
    p.wanted_generation = core_.dataplane.fib().committed() + 1;
    if (moved) p.install = true;  // the SAs have the tunnel's ends
    core_.loop.wake_slice();
}

// Both directions, in place of what was there. Keys go by the owner's command ring once the tables know what they
// protect.
void TunnelService::install(Tunnel& tunnel)
{
    auto& p = *tunnel.protection;
    if (!p.keys || !p.is_pushed || core_.dataplane.fib().acked() < p.wanted_generation) return;
    p.install = false;
    const auto owner = core_.dataplane.owner(p.id);
    if (p.child != 0) {
        for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound})
            workers_.command(owner, api::DeleteSa{p.id, next_sequence_++, p.child, direction});
    }
    ++p.child;
    p.view.problem.clear();  // in place of live ones the new ones are there at once: the tunnel stays up meanwhile
    const auto& sa = p.sa;
    const auto at = now();
    for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound}) {
        const bool in = direction == api::SaDirection::Inbound;
        api::InstallSa u{};
        u.protection = p.id;
        u.sequence = next_sequence_++;
        (in ? p.inbound_sequence : p.outbound_sequence) = u.sequence;
        u.child = p.child;
        u.spi = in ? sa.inbound.spi : sa.outbound.spi;
        u.direction = direction;
        u.mode = mode_of(sa);
        u.algorithm = algorithm_of(sa);
        u.activation = api::SaActivation::Now;
        u.esn = sa.esn;
        u.udp = sa.udp.has_value();
        u.follow_peer = in && u.udp;
        u.replay_window = sa.replay_window;
        u.outer_vrf = p.pushed.outer_vrf;
        u.local = {sa.local_address.value_or(p.pushed.local), sa.udp ? sa.udp->local : std::uint16_t{0}};
        u.remote = {sa.remote_address.value_or(p.pushed.remote), sa.udp ? sa.udp->remote : std::uint16_t{0}};
        if (!in) u.iv_mask = core_.random.u64();  // these keys may have been in use before
        if (sa.lifetime) {
            u.hard_at = at + *sa.lifetime;
            u.soft_at = at + *sa.lifetime * 9 / 10;
        }
        if (sa.lifetime_kilobytes) {
            u.hard_octets = *sa.lifetime_kilobytes * 1024;
            u.soft_octets = u.hard_octets / 10 * 9;
        }
        if (sa.lifetime_packets) {
            u.hard_packets = *sa.lifetime_packets;
            u.soft_packets = u.hard_packets / 10 * 9;
        }
        if (!in && sa.udp) u.keepalive = static_cast<std::uint16_t>(sa.udp->keepalive.count());
        const auto key = (in ? p.keys->inbound : p.keys->outbound).reveal();
        std::copy(key.begin(), key.end(), u.key.begin());
        workers_.command(owner, u);
        crypto::wipe(u.key.data(), u.key.size());
    }
}

void TunnelService::end_protection(Tunnel& tunnel)
{
    if (!tunnel.protection) return;
    auto& p = *tunnel.protection;
    if (p.child != 0) {
        const auto owner = core_.dataplane.owner(p.id);
        for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound})
            workers_.command(owner, api::DeleteSa{p.id, next_sequence_++, p.child, direction});
    }
    if (p.is_pushed) core_.programmer.remove_protection(p.id);
    tunnel.protection.reset();
}

void TunnelService::on_event(const api::WorkerEvent& event)
{
    if (std::holds_alternative<api::EndpointMoved>(event)) {
        dirty_ = true;  // WireGuard: another way, another MTU
        core_.loop.wake_slice();
        return;
    }
    if (const auto* done = std::get_if<api::SaInstalled>(&event)) {
        auto* tunnel = of(done->protection);
        if (!tunnel) return;
        auto& p = *tunnel->protection;
        if (done->sequence == p.inbound_sequence) p.view.inbound_up = done->refusal == api::SaRefusal::None;
        if (done->sequence == p.outbound_sequence) p.view.outbound_up = done->refusal == api::SaRefusal::None;
        if (done->refusal != api::SaRefusal::None) {
            p.view.problem = fmt::format("the SA {} was refused: {}", p.sa.name, text(done->refusal));
            log::error("ipsec", "interface {}: {}", interfaces_.name(tunnel->id), p.view.problem);
        }
    } else if (const auto* soft = std::get_if<api::SaSoftExpired>(&event)) {
        const auto* tunnel = of(soft->protection);
        if (tunnel && tunnel->protection->child == soft->child)
            log::warning("ipsec", "interface {}: the {} SA {} is near its end: {}", interfaces_.name(tunnel->id),
                         soft->direction == api::SaDirection::Inbound ? "inbound" : "outbound",
                         tunnel->protection->sa.name, text(soft->limit));
        return;
    } else if (const auto* hard = std::get_if<api::SaHardExpired>(&event)) {
        auto* tunnel = of(hard->protection);
        if (!tunnel || tunnel->protection->child != hard->child) return;
        auto& p = *tunnel->protection;
        (hard->direction == api::SaDirection::Inbound ? p.view.inbound_up : p.view.outbound_up) = false;
        p.view.problem = fmt::format("the {} SA {} has come to its end: {}",
                                     hard->direction == api::SaDirection::Inbound ? "inbound" : "outbound", p.sa.name,
                                     text(hard->limit));
        log::warning("ipsec", "interface {}: {}", interfaces_.name(tunnel->id), p.view.problem);
    } else {
        return;
    }
    dirty_ = true;
    core_.loop.wake_slice();
}

// ---- what routers on the way say
// -------------------------------------------------------------------------------------

void TunnelService::on_punt(const api::Punt& punt)
{
    const auto told = parse_too_big(Bytes{punt.bytes}.first(punt.length));
    if (!told) return;
    const auto believed = [&](const Tunnel& tunnel) -> bool {
        const auto& c = tunnel.config;
        const auto outer = vrfs_.id(c.outer_vrf);
        if (!outer || *outer != punt.vrf || !c.path_mtu_discovery) return false;
        const auto ends = far_ends(tunnel);
        if (std::find(ends.begin(), ends.end(), std::pair{punt.vrf, told->to}) == ends.end()) return false;
        if (tunnel.protection) {
            const auto& p = *tunnel.protection;
            const bool udp = told->kind == TooBig::Kind::UdpEsp;
            return p.keys && (udp || told->kind == TooBig::Kind::Esp) && udp == p.sa.udp.has_value() &&
                   told->number == p.sa.outbound.spi && (!udp || told->from_port == p.sa.udp->local) &&
                   told->from == p.sa.local_address.value_or(tunnel.source);
        }
        return told->kind == TooBig::Kind::Gre && c.is_gre() && told->from == tunnel.source && told->key == c.key;
    };
    for (const auto& [name, tunnel] : tunnels_) {
        if (!believed(tunnel)) continue;
        const auto age = tunnel.config.path_mtu_age ? Duration{*tunnel.config.path_mtu_age} : Duration::max();
        return learn(punt.vrf, told->to, told->mtu, told->length, age);
    }
    if (told->kind == TooBig::Kind::Wireguard &&
        wireguard_.sent(punt.vrf, told->from_port, {told->to, told->to_port}, told->number))
        learn(punt.vrf, told->to, told->mtu, told->length, 10min);
}

void TunnelService::learn(VrfId vrf, const IpAddress& to, std::uint16_t mtu, std::size_t quoted, Duration age)
{
    if (mtu == 0) mtu = plateau_below(static_cast<std::uint16_t>(quoted));
    mtu = std::max(mtu, to.is_v4() ? kLeastLearned4 : kLeastLearned6);
    // It was said about a packet that is larger than what it allows.
    if (quoted != 0 && mtu >= quoted) return;
    const auto way = core_.programmer.way_to(vrf, to).mtu;
    if (mtu >= way) return;
    const auto at = learned_.find({vrf, to});
    if (at == learned_.end() && learned_.size() >= kMaxLearned) return;
    if (at != learned_.end() && at->second.mtu < mtu) return;  // an older, smaller one has to end first
    const auto until = age == Duration::max() ? kNever : now() + age;
    learned_[{vrf, to}] = {mtu, until};
    log::info("tunnel", "the path to {} takes {} octets, a router on the way says", to.to_string(), mtu);
    dirty_ = true;
    rearm();
    core_.loop.wake_slice();
}

// ---- time ----------------------------------------------------------------------------------------------------------

void TunnelService::on_time()
{
    const auto at = now();
    for (auto& [name, tunnel] : tunnels_) {
        if (tunnel.loop_hold != TimePoint{} && at >= tunnel.loop_hold) {
            tunnel.loop_hold = {};
            dirty_ = true;
        }
    }
    if (std::erase_if(learned_, [&](const auto& item) { return at >= item.second.until; }) != 0) dirty_ = true;
    if (at >= wireguard_look_) {
        const bool any = std::any_of(interfaces_.all().begin(), interfaces_.all().end(), [](const auto& item) {
            return item.second.kind() == api::InterfaceKind::Wireguard;
        });
        wireguard_look_ = any ? at + kWireguardLook : kNever;
        dirty_ = dirty_ || any;
    }
    if (dirty_) core_.loop.wake_slice();
    rearm();
}

void TunnelService::rearm()
{
    auto next = wireguard_look_;
    for (const auto& [name, tunnel] : tunnels_) {
        if (tunnel.loop_hold != TimePoint{}) next = std::min(next, tunnel.loop_hold);
    }
    for (const auto& [key, learned] : learned_) next = std::min(next, learned.until);
    timer_.set(next);
}

// ---- questions -----------------------------------------------------------------------------------------------------

std::optional<TunnelService::View> TunnelService::view(const std::string& interface) const
{
    View v;
    v.name = interface;
    if (const auto wg = wireguard_sums_.find(interface); wg != wireguard_sums_.end()) {
        v.sum = wg->second;
        v.up = true;
        return v;
    }
    const auto at = tunnels_.find(interface);
    if (at == tunnels_.end()) return std::nullopt;
    const auto& t = at->second;
    v.config = &t.config;
    v.up = t.up;
    v.reason = t.reason;
    v.source = t.source;
    v.sum = t.sum;
    if (t.config.keepalive) {
        const auto& activity = core_.dataplane.activity(t.id);
        v.keepalives_sent = activity.keepalives_sent.load(std::memory_order_relaxed);
        v.keepalives_missed = activity.keepalives_missed.load(std::memory_order_relaxed);
    }
    const auto* entry = interfaces_.find(interface);
    if (v.up && entry && entry->failed) {
        v.up = false;
        v.reason = v.keepalives_missed != 0
                       ? fmt::format("{} keepalives in a row were not answered", v.keepalives_missed)
                       : "it has failed, and is not trusted again yet (`show failover`)";
    }
    if (t.protection) {
        v.protection = t.protection->id;
        v.sas = t.protection->view;
        if (t.protection->keys) v.sa = &t.protection->sa;
    }
    return v;
}

ProtectionId TunnelService::protection(InterfaceId id) const
{
    for (const auto& [name, tunnel] : tunnels_)
        if (tunnel.id == id) return tunnel.protection ? tunnel.protection->id : kNoProtection;
    return kNoProtection;
}

std::vector<std::string> TunnelService::names() const
{
    std::vector<std::string> out;
    for (const auto& [name, tunnel] : tunnels_) out.push_back(name);
    return out;
}

}  // namespace culvert::runtime
