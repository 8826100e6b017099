// One UPDATE. First octet: what was negotiated. What is accepted must lie where it says, and its attributes and
// prefixes must survive being written and read again.
#include "base/check.h"
#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/link_bandwidth.h"
#include "controlplane/bgp/message.h"
#include "controlplane/bgp/update.h"

#include <algorithm>
#include <cmath>

namespace culvert::bgp {
namespace {

std::vector<IpPrefix> list(const NlriRange& range)
{
    std::vector<IpPrefix> out;
    for (const auto& prefix : range) {
        CULVERT_CHECK(prefix.family() == range.family());
        CULVERT_CHECK(prefix.length <= max_length(prefix.family()));
        out.push_back(prefix);
    }
    return out;
}

bool lies_in(Bytes part, Bytes whole)
{
    return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Whatever 32 bits say, what is counted with is a number, and what is passed on is what came.
void check_bandwidth(const PathAttributes& attributes)
{
    for (const auto c : attributes.extended_communities)
        if (const auto b = link_bandwidth(c)) CULVERT_CHECK(to_extended_community(*b) == c);
    if (const auto b = link_bandwidth(attributes))
        CULVERT_CHECK(std::isfinite(b->octets_a_second) && b->octets_a_second >= 1);
}

void check_round_trip(const UpdateView& view, const Negotiated& negotiated)
{
    auto n = negotiated;
    // What came in one message need not fit one when written in our way.
    n.extended_message = view.attributes.size() > 2000;
    auto attributes = decode_attributes(view.attributes, n);
    check_bandwidth(attributes);
    for (const auto& reach : view.reach) {
        if (reach.nlri.empty()) continue;
        attributes.next_hop = reach.next_hop;
        attributes.link_local_next_hop = reach.link_local_next_hop;
        const auto encoded = encode_attributes(attributes, n);
        std::vector<std::uint8_t> out, scratch;
        UpdateBuilder builder(n, out);
        if (!builder.announce(reach.nlri.family(), encoded)) continue;
        const auto prefixes = list(reach.nlri);
        for (const auto& prefix : prefixes) builder.add(prefix);
        builder.flush();

        std::vector<IpPrefix> back;
        MessageReader reader;
        reader.allow_extended();
        reader.feed(out);
        for (;;) {
            const auto message = reader.next();
            CULVERT_CHECK(message);
            if (!*message) break;
            const auto again = decode_update((*message)->body, n, scratch);
            CULVERT_CHECK(again && again->action == Action::None);
            const auto& r = again->reach[static_cast<std::size_t>(reach.nlri.family())];
            CULVERT_CHECK(r.next_hop == reach.next_hop);
            CULVERT_CHECK(r.link_local_next_hop == reach.link_local_next_hop);
            auto a = decode_attributes(again->attributes, n);
            a.next_hop = attributes.next_hop;
            a.link_local_next_hop = attributes.link_local_next_hop;
            // Two octets lose where in the path confederation segments stood.
            if (n.four_octet_as) CULVERT_CHECK(a == attributes);
            const auto part = list(r.nlri);
            back.insert(back.end(), part.begin(), part.end());
        }
        CULVERT_CHECK(back == prefixes);
    }
}

}  // namespace
}  // namespace culvert::bgp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace culvert;
    using namespace culvert::bgp;
    if (size < 1 || size > kMaxExtendedMessage) return 0;
    Negotiated n;
    n.four_octet_as = data[0] & 1;
    n.external = data[0] & 2;
    n.ipv4_unicast = data[0] & 4;
    n.ipv6_unicast = data[0] & 8;
    n.extended_next_hop = n.ipv4_unicast && (data[0] & 32) != 0;
    n.local_as = Asn{65001};
    n.remote_as = n.external ? Asn{65002} : Asn{65001};
    const DecodeOptions options{(data[0] & 16) != 0};

    static std::vector<std::uint8_t> scratch;
    const Bytes body{data + 1, size - 1};
    const auto view = decode_update(body, n, scratch, options);
    if (!view) {
        CULVERT_CHECK(view.error().code == ErrorCode::UpdateMessage && view.error().subcode != 0);
        return 0;
    }

    CULVERT_CHECK(view->action != Action::SessionReset && view->error.action == view->action);
    CULVERT_CHECK(lies_in(view->attributes, scratch));
    for (std::size_t f = 0; f < 2; ++f) {
        for (const auto& range : {view->reach[f].nlri, view->unreach[f]}) {
            CULVERT_CHECK(lies_in(range.wire(), body) || lies_in(range.wire(), scratch));
            CULVERT_CHECK(static_cast<std::size_t>(range.family()) == f);
            (void)list(range);
        }
    }
    if (view->action == Action::TreatAsWithdraw)
        CULVERT_CHECK(view->attributes.empty());
    else
        check_round_trip(*view, n);
    return 0;
}
