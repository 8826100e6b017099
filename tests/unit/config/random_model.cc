#include "tests/unit/config/random_model.h"

#include <algorithm>
#include <random>

namespace culvert::config {
namespace {

class Maker {
public:
    explicit Maker(std::uint64_t seed) : random_(seed) {}

    Model model()
    {
        Model m;
        if (coin()) m.hostname = word();
        if (coin()) m.log.file = "/var/log/" + word();
        m.log.level = static_cast<LogLevel>(below(4));
        m.dataplane = dataplane();
        m.load_sharing4 = load_sharing(false);
        m.load_sharing6 = load_sharing(true);
        if (coin()) m.failover.hold_up = Milliseconds{below(3600000)};
        if (coin()) m.failover.buckets_a_second = below(100000);
        for (unsigned i = below(3); i > 0; --i) {
            const auto name = word();
            m.key_chains[name] = key_chain(name);
        }
        for (unsigned i = below(3); i > 0; --i) {
            const auto name = word();
            m.manual_sas[name] = manual_sa(name);
        }
        for (unsigned i = below(3); i > 0; --i) {
            const auto name = word();
            m.ipsec_profiles[name] = {.name = name, .manual_sa = coin() ? word() : ""};
        }
        for (unsigned i = below(3); i > 0; --i) {
            const auto name = word();
            m.bfd_profiles[name] = {.name = name, .settings = bfd_settings()};
        }
        m.vrfs[""];
        for (unsigned i = below(4); i > 0; --i) {
            const auto name = word();
            m.vrfs[name].name = name;
            vrf_names_.push_back(name);
        }
        for (auto& [name, vrf] : m.vrfs) {
            if (coin()) vrf.netns = word();
            vrf.protected_only = coin();
            vrf.routes = routes();
        }
        for (unsigned i = below(4); i > 0; --i) {
            const auto peer = bfd_peer();
            m.bfd_peers[peer.key] = peer;
        }
        for (unsigned i = below(8); i > 0; --i) {
            auto interface = this->interface();
            m.interfaces[interface.name] = interface;
        }
        for (unsigned i = below(3); i > 0; --i) {
            auto bgp = this->bgp();
            m.bgp[bgp.vrf] = bgp;
        }
        return m;
    }

private:
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    unsigned between(unsigned a, unsigned b) { return a + below(b - a + 1); }
    bool coin() { return below(2) == 0; }
    std::string word() { return "w" + std::to_string(below(1000)); }
    std::string line() { return word() + " ! " + word(); }
    std::string vrf()
    {
        return vrf_names_.empty() || coin() ? "" : vrf_names_[below(static_cast<unsigned>(vrf_names_.size()))];
    }
    template <class T>
    std::optional<T> maybe(unsigned low, unsigned high)
    {
        if (coin()) return std::nullopt;
        return T(between(low, high));
    }
    Key32 key()
    {
        Key32 key;
        for (auto& octet : key) octet = static_cast<std::uint8_t>(random_());
        return key;
    }
    Secret secret(bool is_key)
    {
        if (coin()) return {.file = "/etc/culvert/" + word(), .value = {}};
        // 32 octets of 0 to 31, in base64
        return {.file = {}, .value = is_key ? "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" : line()};
    }
    IpAddress address(Family f)
    {
        if (f == Family::Ipv4) return Ipv4Address{0x0a000000U + between(1, 0xffff)};
        return Ipv6Address::from_words(0x20010db800000000U + below(4), between(1, 0xffff));
    }
    Family family() { return coin() ? Family::Ipv4 : Family::Ipv6; }
    IpPrefix prefix(Family f)
    {
        return IpPrefix::make(address(f), static_cast<int>(between(8, f == Family::Ipv4 ? 32 : 128)));
    }

    LoadSharing load_sharing(bool is_v6)
    {
        LoadSharing s;
        if (coin()) return s;
        for (const auto field : {&LoadSharing::source, &LoadSharing::destination, &LoadSharing::protocol})
            s.*field = coin();
        s.ports = true;  // none at all can't be said
        s.flow_label = is_v6 && coin();
        return s;
    }

    KeyChain key_chain(const std::string& name)
    {
        KeyChain chain{.name = name, .keys = {}};
        for (unsigned i = below(4); i > 0; --i) {
            KeyChainKey key;
            if (coin()) key.secret = secret(false);
            key.accept_only = coin();
            chain.keys[static_cast<std::uint8_t>(below(256))] = key;
        }
        return chain;
    }

    ManualSa manual_sa(const std::string& name)
    {
        ManualSa sa;
        sa.name = name;
        sa.cipher = static_cast<EspCipher>(below(5));
        sa.integrity = static_cast<EspIntegrity>(below(4));
        sa.mode = static_cast<EspMode>(below(2));
        for (auto* direction : {&sa.inbound, &sa.outbound})
            if (coin())
                *direction = {.spi = between(256, 4000000000U),
                              .key = coin() ? Secret{.file = "/k/" + word(), .value = {}}
                                            : Secret{.file = {}, .value = "00112233445566"}};
        if (coin()) sa.local_address = address(family());
        if (coin()) sa.remote_address = address(family());
        sa.esn = coin();
        if (coin()) sa.replay_window = coin() ? 0 : between(64, 65536);
        if (coin())
            sa.udp = ManualSa::Udp{static_cast<std::uint16_t>(between(1, 65535)), 4500, Seconds{between(0, 3600)}};
        if (coin()) sa.lifetime = Seconds{between(1, 4000000000U)};
        sa.lifetime_kilobytes = maybe<std::uint64_t>(1, 4000000000U);
        sa.lifetime_packets = maybe<std::uint64_t>(1, 4000000000U);
        sa.df_bit = static_cast<ManualSa::DfBit>(below(3));
        sa.dscp = maybe<std::uint8_t>(0, 63);
        sa.ecn = coin();
        sa.fragment_after_encryption = coin();
        return sa;
    }

    Microseconds interval()
    {
        if (coin()) return Milliseconds{between(10, 60000)};
        return Microseconds{between(3300, 60000000)};
    }

    BfdSettings bfd_settings()
    {
        BfdSettings b;
        b.multiplier = maybe<std::uint8_t>(1, 255);
        if (coin()) b.receive_interval = interval();
        if (coin()) b.transmit_interval = interval();
        if (coin()) b.echo_receive_interval = coin() ? interval() : Microseconds{0};
        if (coin()) b.echo_transmit_interval = interval();
        b.minimum_ttl = maybe<std::uint8_t>(1, 254);
        for (const auto flag :
             {&BfdSettings::echo_mode, &BfdSettings::passive, &BfdSettings::shutdown, &BfdSettings::demand})
            b.*flag = coin();
        if (coin()) b.authentication = BfdAuthentication{static_cast<BfdAuthenticationType>(between(1, 5)), word()};
        return b;
    }

    BfdPeer bfd_peer()
    {
        BfdPeer p;
        const auto f = family();
        p.key.vrf = vrf();
        p.key.peer = address(f);
        p.key.multihop = coin();
        if (p.key.multihop || coin()) p.key.local = address(f);
        if (coin()) p.key.interface = word();
        if (coin()) p.profile = word();
        p.settings = bfd_settings();
        return p;
    }

    Dataplane dataplane()
    {
        Dataplane d;
        if (coin()) return d;
        if (coin())
            d.workers = Dataplane::WorkersCount{between(1, 64)};
        else if (coin())
            d.workers = Dataplane::WorkersPinned{{1, 2, 3, between(5, 9)}};
        d.memory = static_cast<Dataplane::Memory>(below(3));
        if (coin()) d.memory_octets = std::uint64_t{between(1, 5000)} << (10 * below(4));
        d.poll_busy = coin();
        return d;
    }

    std::vector<StaticRoute> routes()
    {
        std::vector<StaticRoute> out;
        for (unsigned i = below(6); i > 0; --i) {
            StaticRoute r;
            const auto f = family();
            r.prefix = prefix(f);
            if (coin()) r.gateway = address(f);
            if (coin()) r.interface = word();
            if (!r.gateway && r.interface.empty()) r.drop = static_cast<StaticRoute::Drop>(between(1, 3));
            r.distance = static_cast<std::uint8_t>(coin() ? 1 : between(1, 255));
            r.tag = coin() ? 0 : between(1, 1000);
            if (r.drop == StaticRoute::Drop::No && coin()) r.weight = static_cast<std::uint8_t>(between(1, 255));
            if (coin()) r.nexthop_vrf = coin() ? "default" : word();
            r.protected_only = coin();
            if (r.gateway && coin()) {
                StaticRouteBfd bfd;
                bfd.multihop = coin();
                if (bfd.multihop || coin()) bfd.source = address(f);
                if (coin()) bfd.profile = word();
                r.bfd = bfd;
            }
            out.push_back(r);
        }
        std::ranges::sort(out);
        return out;
    }

    Interface interface()
    {
        Interface i;
        i.name = word();
        switch (below(6)) {
            case 0: break;
            case 4: i.kind = tunnel(); break;
            case 1: {
                const auto kind = static_cast<Port::Kind>(below(3));
                i.kind =
                    Port{kind, kind == Port::Kind::Pci ? "0000:03:00.0" : word(), kind == Port::Kind::Kernel && coin()};
                break;
            }
            case 2:
                i.name = coin() ? "lo" : "loopback" + std::to_string(below(9));
                i.kind = Loopback{};
                break;
            case 3: {
                const auto parent = word();
                i.name = parent + "." + std::to_string(below(100));
                i.kind = Subinterface{parent, static_cast<std::uint16_t>(between(1, 4094))};
                break;
            }
            default: i.kind = wireguard();
        }
        if (coin()) i.description = line();
        i.shutdown = coin();
        i.vrf = vrf();
        for (const auto f : {Family::Ipv4, Family::Ipv6})
            for (unsigned n = below(3); n > 0; --n) {
                const InterfaceAddress a{address(f), static_cast<std::uint8_t>(between(8, 32))};
                if (std::ranges::find(i.addresses, a) == i.addresses.end()) i.addresses.push_back(a);
            }
        i.mtu = maybe<std::uint16_t>(68, 65535);
        i.ip_mtu = maybe<std::uint16_t>(68, 65535);
        if (coin()) i.adjust_mss = AdjustMss{maybe<std::uint16_t>(500, 65495)};
        if (coin()) i.bfd = InterfaceBfd{interval(), interval(), static_cast<std::uint8_t>(between(1, 255))};
        i.bfd_echo = coin();
        return i;
    }

    Tunnel tunnel()
    {
        Tunnel t;
        t.mode = static_cast<Tunnel::Mode>(below(5));
        if (coin())
            t.source_interface = word();
        else if (coin())
            t.source_address = address(family());
        if (coin()) t.destination = address(family());
        t.outer_vrf = vrf();
        t.key = maybe<std::uint32_t>(0, 4000000000U);
        t.checksum = coin();
        t.sequence = coin();
        if (coin()) t.ttl = static_cast<std::uint8_t>(below(256));
        t.tos = maybe<std::uint8_t>(0, 255);
        t.path_mtu_discovery = coin();
        if (t.path_mtu_discovery && coin())
            t.path_mtu_age = coin() ? std::optional<Seconds>{} : Seconds{60 * between(10, 30)};
        if (coin())
            t.keepalive = TunnelKeepalive{Seconds{between(1, 32767)}, static_cast<std::uint8_t>(between(1, 255))};
        if (coin()) t.ipsec_profile = word();
        for (unsigned n = below(3); n > 0; --n) t.nhrp_map[address(family())] = address(family());
        return t;
    }

    Wireguard wireguard()
    {
        Wireguard w;
        if (coin()) w.private_key = secret(true);
        if (coin()) w.listen_port = static_cast<std::uint16_t>(between(1, 65535));
        if (coin()) w.rekey_after = Seconds{between(2, 120)};
        if (coin())
            w.source_interface = word();
        else if (coin())
            w.source_address = address(family());
        w.outer_vrf = vrf();
        for (unsigned n = below(4); n > 0; --n) {
            WireguardPeer p;
            p.name = word();
            p.public_key = key();
            if (coin()) p.preshared_key = secret(true);
            if (coin()) p.endpoint = Endpoint{address(family()), static_cast<std::uint16_t>(between(1, 65535))};
            for (unsigned a = below(4); a > 0; --a) p.allowed_ips.push_back(prefix(family()));
            std::ranges::sort(p.allowed_ips);
            p.allowed_ips.erase(std::unique(p.allowed_ips.begin(), p.allowed_ips.end()), p.allowed_ips.end());
            if (coin()) p.persistent_keepalive = Seconds{between(1, 65535)};
            p.routes_bgp = coin();
            if (coin()) p.description = line();
            w.peers[p.name] = p;
        }
        return w;
    }

    Bgp bgp()
    {
        Bgp b;
        b.asn = Asn{between(1, 70000)};
        b.vrf = vrf();
        if (coin()) b.router_id = address(Family::Ipv4).v4();
        if (coin()) {
            b.keepalive = Seconds{between(1, 20)};
            b.hold = Seconds{between(3, 60)};
        }
        for (const auto flag :
             {&Bgp::ebgp_requires_policy, &Bgp::default_ipv4_unicast, &Bgp::default_ipv6_unicast,
              &Bgp::log_neighbor_changes, &Bgp::network_import_check, &Bgp::always_compare_med, &Bgp::deterministic_med,
              &Bgp::bestpath_as_path_ignore, &Bgp::bestpath_multipath_relax, &Bgp::bestpath_compare_routerid,
              &Bgp::med_missing_as_worst, &Bgp::fast_external_failover})
            b.*flag = coin();
        b.bestpath_bandwidth = static_cast<BgpBandwidth>(below(4));
        if (coin()) b.default_local_preference = below(1000);
        b.cluster_id = maybe<std::uint32_t>(1, 4000000000U);
        for (unsigned n = below(4); n > 0; --n) {
            auto neighbor = this->neighbor();
            b.neighbors[neighbor.address] = neighbor;
        }
        for (const auto f : {Family::Ipv4, Family::Ipv6}) {
            BgpFamily family;
            for (unsigned n = below(4); n > 0; --n) family.networks.insert(prefix(f));
            for (const auto source : {RedistributeSource::Connected, RedistributeSource::Static})
                if (coin()) family.redistribute[source] = maybe<std::uint32_t>(0, 100);
            if (coin()) family.maximum_paths = static_cast<std::uint16_t>(between(1, 64));
            if (coin()) family.maximum_paths_ibgp = static_cast<std::uint16_t>(between(1, 64));
            if (coin()) family.distance = {static_cast<std::uint8_t>(between(1, 255)), 5, 6};
            if (family != BgpFamily{}) b.families[f] = family;
        }
        return b;
    }

    BgpNeighbor neighbor()
    {
        BgpNeighbor n;
        n.address = address(family());
        n.remote_as.kind = static_cast<RemoteAs::Kind>(between(1, 3));
        if (n.remote_as.kind == RemoteAs::Kind::Number) n.remote_as.asn = Asn{between(1, 4000000000U)};
        if (coin()) n.description = line();
        n.shutdown = coin();
        if (n.shutdown && coin()) n.shutdown_message = line();
        n.passive = coin();
        if (coin()) n.update_source = coin() ? word() : address(n.address.family).to_string();
        if (coin())
            n.ebgp_multihop = static_cast<std::uint8_t>(between(1, 255));
        else
            n.ttl_security_hops = maybe<std::uint8_t>(1, 254);
        n.disable_connected_check = coin();
        if (coin()) n.password = secret(false);
        if (coin()) n.local_as = Asn{between(1, 1000)};
        if (coin()) {
            n.keepalive = Seconds{between(0, 65535)};
            n.hold = Seconds{between(3, 65535)};
        }
        if (coin()) n.connect_retry = Seconds{between(1, 65535)};
        if (coin()) n.advertisement_interval = Seconds{between(0, 600)};
        if (coin()) n.port = static_cast<std::uint16_t>(between(1, 65535));
        n.dont_capability_negotiate = coin();
        if (coin()) {
            BgpBfd bfd;
            if (coin())
                bfd.timers = BgpBfd::Timers{static_cast<std::uint8_t>(between(1, 255)),
                                            Milliseconds{between(10, 60000)}, Milliseconds{between(10, 60000)}};
            if (coin()) bfd.profile = word();
            bfd.check_control_plane_failure = coin();
            bfd.strict = coin();
            if (bfd.strict && coin()) bfd.strict_hold = Seconds{between(1, 4000000000U)};
            n.bfd = bfd;
        }
        for (const auto f : {Family::Ipv4, Family::Ipv6}) {
            BgpNeighborFamily family;
            if (coin()) family.activate = coin();
            family.next_hop_self = coin();
            family.next_hop_self_force = family.next_hop_self && coin();
            for (const auto flag :
                 {&BgpNeighborFamily::soft_reconfiguration_inbound, &BgpNeighborFamily::default_originate,
                  &BgpNeighborFamily::route_reflector_client, &BgpNeighborFamily::send_community,
                  &BgpNeighborFamily::as_override, &BgpNeighborFamily::remove_private_as})
                family.*flag = coin();
            family.weight = maybe<std::uint16_t>(0, 65535);
            if (coin()) {
                family.maximum_prefix = between(1, 100000);
                family.maximum_prefix_threshold = static_cast<std::uint8_t>(between(1, 100));
                family.maximum_prefix_warning_only = coin();
                if (!family.maximum_prefix_warning_only) family.maximum_prefix_restart = maybe<std::uint16_t>(1, 65535);
            }
            family.allowas_in = maybe<std::uint8_t>(1, 10);
            if (coin()) family = {};
            if (family != BgpNeighborFamily{}) n.families[f] = family;
        }
        return n;
    }

    std::mt19937_64 random_;
    std::vector<std::string> vrf_names_;
};

}  // namespace

Model random_model(std::uint64_t seed) { return Maker{seed}.model(); }

}  // namespace culvert::config
