#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;
using View = BfdService::SessionView;

std::string_view status_of(const View& v)
{
    switch (v.session->last.state) {
        case api::BfdState::AdminDown: return "shutdown";
        case api::BfdState::Down: return "down";
        case api::BfdState::Init: return "init";
        case api::BfdState::Up: return "up";
    }
    return "";
}

std::string_view text_of(api::BfdDiagnostic diagnostic)  // FRR's words
{
    switch (diagnostic) {
        case api::BfdDiagnostic::None: return "ok";
        case api::BfdDiagnostic::ControlDetectionTimeExpired: return "control detection time expired";
        case api::BfdDiagnostic::EchoFunctionFailed: return "echo function failed";
        case api::BfdDiagnostic::NeighborSignaledDown: return "neighbor signaled session down";
        case api::BfdDiagnostic::ForwardingPlaneReset: return "forwarding plane reset";
        case api::BfdDiagnostic::PathDown: return "path down";
        case api::BfdDiagnostic::ConcatenatedPathDown: return "concatenated path down";
        case api::BfdDiagnostic::AdministrativelyDown: return "administratively down";
        case api::BfdDiagnostic::ReverseConcatenatedPathDown: return "reverse concatenated path down";
    }
    return "unknown";
}

std::int64_t seconds_in_state(const View& v)
{
    if (v.session->changed_at == TimePoint{}) return 0;
    return std::chrono::duration_cast<std::chrono::seconds>(now() - v.session->changed_at).count();
}

bool is_up(const View& v) { return v.session->last.state == api::BfdState::Up; }
// What the peer said last counts only while there is one.
std::uint32_t remote_id(const View& v)
{
    return v.session->last.state < api::BfdState::Init ? 0 : v.session->last.remote_discriminator;
}

// "300ms", "3.3ms"
std::string interval(std::uint32_t microseconds)
{
    if (microseconds % 1000 == 0) return fmt::format("{}ms", microseconds / 1000);
    return fmt::format("{:g}ms", microseconds / 1000.0);
}
std::string echo_interval(std::uint32_t microseconds)
{
    return microseconds == 0 ? "disabled" : interval(microseconds);
}

std::string milliseconds_text(std::int64_t nanoseconds)
{
    return fmt::format("{:.3f}ms", static_cast<double>(nanoseconds) / 1e6);
}

template <class T>
T read(const std::atomic<T>& counter)
{
    return counter.load(std::memory_order_relaxed);
}

// Of echo packets, microseconds; 0 without any.
struct RoundTrips {
    std::int64_t least, average, most;
};
RoundTrips round_trips(const api::BfdActivity& a)
{
    const auto n = std::max<std::int64_t>(static_cast<std::int64_t>(read(a.round_trips)), 1);
    return {read(a.round_trip_least) / 1000, read(a.round_trip_sum) / n / 1000, read(a.round_trip_most) / 1000};
}

std::string heading(const View& v)
{
    const auto& word = v.session->word;
    auto text = "peer " + word.peer.to_string();
    if (word.multihop) text += " multihop";
    if (v.names_local) text += " local-address " + word.local.to_string();
    text += " vrf " + v.vrf;
    if (v.names_interface) text += " interface " + v.interface;
    return text;
}

// As FRR counts it: "1 minute(s), 51 second(s)".
std::string duration(std::int64_t seconds)
{
    std::string out;
    const auto part = [&](std::int64_t n, const char* unit) {
        if (n == 0 && out.empty() && std::string_view{unit} != "second(s)") return;
        if (!out.empty()) out += ", ";
        out += fmt::format("{} {}", n, unit);
    };
    part(seconds / 86400, "day(s)");
    part(seconds / 3600 % 24, "hour(s)");
    part(seconds / 60 % 60, "minute(s)");
    part(seconds % 60, "second(s)");
    return out;
}

std::string peer_text(const View& v)
{
    const auto& s = *v.session;
    const auto& word = s.word;
    const auto& last = s.last;
    const auto& a = *v.activity;
    auto t = "\t" + heading(v) + "\n";
    t += fmt::format("\t\tID: {}\n\t\tRemote ID: {}\n", word.discriminator, remote_id(v));
    t += word.passive ? "\t\tPassive mode\n" : "\t\tActive mode\n";
    if (word.multihop) t += fmt::format("\t\tMinimum TTL: {}\n", word.minimum_ttl);
    t += fmt::format("\t\tStatus: {}\n", status_of(v));
    if (is_up(v))
        t += fmt::format("\t\tUptime: {}\n", duration(seconds_in_state(v)));
    else if (last.state != api::BfdState::AdminDown)
        t += fmt::format("\t\tDowntime: {}\n", duration(seconds_in_state(v)));
    t += fmt::format("\t\tDiagnostics: {}\n\t\tRemote diagnostics: {}\n", text_of(last.diagnostic),
                     text_of(last.remote_diagnostic));
    t += fmt::format("\t\tPeer Type: {}\n", v.configured ? "configured" : "dynamic");
    if (word.key_count > 0) {
        constexpr const char* kTypes[] = {"none", "simple", "md5", "meticulous-md5", "sha-1", "meticulous-sha-1"};
        t += fmt::format("\t\tAuthentication: {}, {} key(s), sent with key {}\n",
                         kTypes[static_cast<std::size_t>(word.keys[word.sending_key].type)], word.key_count,
                         word.keys[word.sending_key].id);
    }
    const auto rtt = round_trips(a);
    t += fmt::format("\t\tRTT min/avg/max: {}/{}/{} usec\n", rtt.least, rtt.average, rtt.most);
    t += fmt::format(
        "\t\tLocal timers:\n\t\t\tDetect-multiplier: {}\n\t\t\tReceive interval: {}\n\t\t\tTransmission interval: {}\n"
        "\t\t\tEcho receive interval: {}\n\t\t\tEcho transmission interval: {}\n",
        word.multiplier, interval(word.required_min_rx), interval(word.desired_min_tx),
        echo_interval(word.required_min_echo_rx), word.echo ? interval(word.desired_min_echo_tx) : "disabled");
    t += fmt::format(
        "\t\tRemote timers:\n\t\t\tDetect-multiplier: {}\n\t\t\tReceive interval: {}\n\t\t\tTransmission interval: {}\n"
        "\t\t\tEcho receive interval: {}\n",
        last.remote_multiplier, interval(last.remote_required_min_rx), interval(last.remote_desired_min_tx),
        echo_interval(last.remote_required_min_echo_rx));
    t += fmt::format("\t\tNegotiated:\n\t\t\tTransmission interval: {}\n\t\t\tDetection time: {}\n",
                     interval(last.transmit_interval), interval(last.detection_time));
    if (last.echo_transmit_interval != 0)
        t += fmt::format("\t\t\tEcho transmission interval: {}\n\t\t\tEcho detection time: {}\n",
                         interval(last.echo_transmit_interval), interval(last.echo_detection_time));
    t += fmt::format(
        "\t\tMeasured:\n\t\t\tTime stamps: {}\n\t\t\tLargest gap sent: {}\n\t\t\tLargest gap received: {}\n"
        "\t\t\tOwn stalls: {}, longest {}\n",
        to_string(static_cast<api::TimestampSource>(read(a.timestamp_source))),
        milliseconds_text(read(a.largest_transmit_gap)), milliseconds_text(read(a.largest_receive_gap)),
        read(a.own_stalls), milliseconds_text(read(a.longest_own_stall)));
    std::string histogram;
    for (std::size_t i = 0; i < api::BfdActivity::kBuckets; ++i) {
        const auto n = read(a.received_intervals[i]);
        if (n == 0) continue;
        histogram += i + 1 == api::BfdActivity::kBuckets
                         ? fmt::format(" >={:.0f}%:{}", i * 12.5, n)
                         : fmt::format(" {:.0f}-{:.0f}%:{}", i * 12.5, (i + 1) * 12.5, n);
    }
    t += fmt::format("\t\t\tIntervals received, of the negotiated one:{}\n\n", histogram.empty() ? " none" : histogram);
    return t;
}

json::object name_json(const View& v)
{
    const auto& word = v.session->word;
    json::object o{{"multihop", word.multihop}, {"peer", word.peer.to_string()}};
    if (v.names_local) o["local"] = word.local.to_string();
    o["vrf"] = v.vrf;
    if (v.names_interface) o["interface"] = v.interface;
    return o;
}

json::object peer_json(const View& v)
{
    const auto& word = v.session->word;
    const auto& last = v.session->last;
    const auto& a = *v.activity;
    auto o = name_json(v);
    o["id"] = word.discriminator;
    o["remote-id"] = remote_id(v);
    o["passive-mode"] = word.passive;
    if (word.multihop) o["minimum-ttl"] = word.minimum_ttl;
    o["status"] = status_of(v);
    if (is_up(v))
        o["uptime"] = seconds_in_state(v);
    else if (last.state != api::BfdState::AdminDown)
        o["downtime"] = seconds_in_state(v);
    o["diagnostic"] = text_of(last.diagnostic);
    o["remote-diagnostic"] = text_of(last.remote_diagnostic);
    o["type"] = v.configured ? "configured" : "dynamic";
    o["receive-interval"] = word.required_min_rx / 1000;
    o["transmit-interval"] = word.desired_min_tx / 1000;
    o["echo-receive-interval"] = word.required_min_echo_rx / 1000;
    o["echo-transmit-interval"] = word.echo ? word.desired_min_echo_tx / 1000 : 0;
    o["detect-multiplier"] = word.multiplier;
    o["remote-receive-interval"] = last.remote_required_min_rx / 1000;
    o["remote-transmit-interval"] = last.remote_desired_min_tx / 1000;
    o["remote-echo-receive-interval"] = last.remote_required_min_echo_rx / 1000;
    o["remote-detect-multiplier"] = last.remote_multiplier;
    const auto rtt = round_trips(a);
    o["rtt-min"] = rtt.least;
    o["rtt-avg"] = rtt.average;
    o["rtt-max"] = rtt.most;

    // What FRR has not.
    o["authentication-keys"] = word.key_count;
    o["negotiated-transmit-interval-us"] = last.transmit_interval;
    o["negotiated-detection-time-us"] = last.detection_time;
    o["negotiated-echo-transmit-interval-us"] = last.echo_transmit_interval;
    o["timestamp-source"] = to_string(static_cast<api::TimestampSource>(read(a.timestamp_source)));
    o["largest-transmit-gap-us"] = read(a.largest_transmit_gap) / 1000;
    o["largest-receive-gap-us"] = read(a.largest_receive_gap) / 1000;
    o["own-stalls"] = read(a.own_stalls);
    o["longest-own-stall-us"] = read(a.longest_own_stall) / 1000;
    o["worker"] = index(v.session->owner);
    json::array intervals;  // 33 buckets of an eighth of the negotiated interval
    for (const auto& bucket : a.received_intervals) intervals.push_back(read(bucket));
    o["received-intervals"] = std::move(intervals);
    return o;
}

json::object counters_json(const BfdService& bfd, const View& v)
{
    const auto& a = *v.activity;
    auto o = name_json(v);
    o["control-packet-input"] = read(a.control_received);
    o["control-packet-output"] = read(a.control_sent);
    o["echo-packet-input"] = read(a.echo_received);
    o["echo-packet-output"] = read(a.echo_sent);
    o["session-up"] = read(a.session_up);
    o["session-down"] = read(a.session_down);
    o["zebra-notifications"] = bfd.notifications(v);
    o["dropped-authentication"] = read(a.dropped_authentication);
    o["dropped-ttl"] = read(a.dropped_ttl);
    o["dropped-malformed"] = read(a.dropped_malformed);
    o["dropped-other"] = read(a.dropped_other);
    return o;
}

std::string counters_text(const BfdService& bfd, const View& v)
{
    const auto& a = *v.activity;
    return fmt::format(
        "\t{}\n\t\tControl packet input: {} packets\n\t\tControl packet output: {} packets\n"
        "\t\tEcho packet input: {} packets\n\t\tEcho packet output: {} packets\n\t\tSession up events: {}\n"
        "\t\tSession down events: {}\n\t\tZebra notifications: {}\n\t\tDropped: {} authentication, {} TTL, {} "
        "malformed, "
        "{} other\n\n",
        heading(v), read(a.control_received), read(a.control_sent), read(a.echo_received), read(a.echo_sent),
        read(a.session_up), read(a.session_down), bfd.notifications(v), read(a.dropped_authentication),
        read(a.dropped_ttl), read(a.dropped_malformed), read(a.dropped_other));
}

std::string brief_text(const std::vector<View>& views)
{
    auto t = fmt::format("Session count: {}\n", views.size());
    constexpr auto kRow = "{:<10} {:<40} {:<40} {}\n";
    t += fmt::format(kRow, "SessionId", "LocalAddress", "PeerAddress", "Status");
    t += fmt::format(kRow, "=========", "============", "===========", "======");
    for (const auto& v : views)
        t += fmt::format(kRow, v.session->word.discriminator, v.session->word.local.to_string(),
                         v.session->word.peer.to_string(), status_of(v));
    return t;
}

std::vector<View> chosen(Router& router, const config::Exec& exec)
{
    auto views = router.bfd().view();
    const auto vrf = exec.vrf.empty() ? std::string{"default"} : exec.vrf;
    std::erase_if(views, [&](const View& v) {
        const auto& word = v.session->word;
        if (!exec.all_vrfs && exec.vrf != "all" && v.vrf != vrf) return true;
        if (exec.address && word.peer != *exec.address) return true;
        if (exec.multihop && !word.multihop) return true;
        if (!exec.interface.empty() && v.interface != exec.interface) return true;
        return exec.local.has_value() && word.local != *exec.local;
    });
    return views;
}

// FRR looks for one session; the most that an address fits is one a VRF.
Result<View, Refused> the_one(Router& router, const config::Exec& exec)
{
    auto of = exec;
    if (of.all_vrfs) {
        of.all_vrfs = false;
        of.vrf.clear();
    }
    const auto views = chosen(router, of);
    if (views.empty()) return Error{Refused{fmt::format("% Unable to find 'peer {}'", exec.address->to_string())}};
    return views.front();
}

}  // namespace

Shown bfd_peers(Router& router, const config::Exec& exec)
{
    const auto views = chosen(router, exec);
    const auto& bfd = router.bfd();
    if (exec.json) {
        json::array all;
        for (const auto& v : views) all.push_back(exec.counters ? counters_json(bfd, v) : peer_json(v));
        return whole(pretty(all) + "\n");
    }
    if (exec.brief) return whole(brief_text(views));
    std::string t = "BFD Peers:\n";
    for (const auto& v : views) t += exec.counters ? counters_text(bfd, v) : peer_text(v);
    if (!exec.counters) {
        for (const auto& u : bfd.unresolved())
            t += fmt::format("\tpeer {} vrf {}\n\t\tNo session: {}\n\n", u.peer->key.peer.to_string(),
                             u.peer->key.vrf.empty() ? "default" : u.peer->key.vrf, u.reason);
    }
    return whole(std::move(t));
}

Shown bfd_peer(Router& router, const config::Exec& exec)
{
    const auto one = the_one(router, exec);
    if (!one) return Error{one.error()};
    const auto& bfd = router.bfd();
    if (exec.json) return whole(pretty(exec.counters ? counters_json(bfd, *one) : peer_json(*one)) + "\n");
    return whole("BFD Peer:\n" + (exec.counters ? counters_text(bfd, *one) : peer_text(*one)));
}

Result<void, Refused> clear_bfd(Router& router, const config::Exec& exec)
{
    if (exec.address) {
        const auto one = the_one(router, exec);
        if (!one) return Error{one.error()};
        router.bfd().clear_counts(one->session->id);
        return {};
    }
    for (const auto& v : chosen(router, exec)) router.bfd().clear_counts(v.session->id);
    return {};
}

}  // namespace culvert::runtime::show
