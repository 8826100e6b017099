#pragma once

#include "base/bytes.h"
#include "base/ip.h"
#include "base/result.h"
#include "controlplane/bgp/attributes.h"
#include "controlplane/bgp/message.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace culvert::bgp {

// What a session has agreed on: it decides how UPDATEs are read and written.
struct Negotiated {
    bool four_octet_as = false;
    bool extended_message = false;  // RFC 8654: messages up to 65,535 octets
    bool external = true;           // eBGP: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST from it are discarded
    bool ipv4_unicast = true;
    bool ipv6_unicast = false;
    bool extended_next_hop = false;  // RFC 8950: IPv4 prefixes may have IPv6 next hops, in MP_REACH_NLRI
    bool route_refresh = false;
    bool enhanced_route_refresh = false;
    Asn local_as{}, remote_as{};
};

// Prefixes as they lie on the wire (length octet, then as many octets as it needs), checked once by decode_update().
// Iterating gives IpPrefix with host bits cleared.
class NlriRange {
public:
    NlriRange() = default;
    NlriRange(Family family, Bytes wire) noexcept : family_(family), wire_(wire) {}

    class Iterator {
    public:
        Iterator(Family family, const std::uint8_t* at) noexcept : family_(family), at_(at) {}
        IpPrefix operator*() const noexcept
        {
            IpAddress a;
            a.family = family_;
            const auto length = at_[0];
            std::memcpy(a.bits.octets.data(), at_ + 1, (length + 7U) / 8U);
            return IpPrefix::make(a, length);
        }
        Iterator& operator++() noexcept
        {
            at_ += 1 + (*at_ + 7U) / 8U;
            return *this;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.at_ == b.at_; }

    private:
        Family family_;
        const std::uint8_t* at_;
    };

    Iterator begin() const noexcept { return {family_, wire_.data()}; }
    Iterator end() const noexcept { return {family_, wire_.data() + wire_.size()}; }
    bool empty() const noexcept { return wire_.empty(); }
    Family family() const noexcept { return family_; }
    Bytes wire() const noexcept { return wire_; }

private:
    Family family_ = Family::Ipv4;
    Bytes wire_;
};

// RFC 7606: what a defective attribute costs, in rising order.
enum class Action : std::uint8_t { None, AttributeDiscard, TreatAsWithdraw, SessionReset };

struct AttrError {
    AttrType attribute{};
    Action action = Action::TreatAsWithdraw;
    const char* reason = "";
};

// The reachable prefixes of one family in an UPDATE, with their next hop.
struct Reach {
    NlriRange nlri;
    IpAddress next_hop{};
    std::optional<Ipv6Address> link_local_next_hop;
};

// One UPDATE, structurally checked: spans point into the message. A session in Established hands it to the RIB.
struct UpdateView {
    std::array<NlriRange, 2> unreach;  // index by Family
    std::array<Reach, 2> reach;        // index by Family; with TreatAsWithdraw the RIB withdraws these
    // The path attributes as sent, less NEXT_HOP, MP_REACH_NLRI and MP_UNREACH_NLRI, and less those discarded. Equal
    // octets mean equal attributes on the same session: the RIB interns by them and decodes a set once.
    Bytes attributes;
    Action action = Action::None;           // None, AttributeDiscard or TreatAsWithdraw
    std::optional<Family> end_of_rib;       // RFC 4724 2
    AttrError error{{}, Action::None, ""};  // the gravest defect, for a log line; its action is `action`
};

struct DecodeOptions {
    // `neighbor X enforce-first-as`: a path from an external peer must begin with the peer's AS, else it is withdrawn.
    bool enforce_first_as = false;
};

// One pass over the body of an UPDATE (what follows the header), RFC 4271 4.3 and 6.3, RFC 4760, RFC 7606. An error
// means session reset. `scratch` is the caller's, one a session or one for all; it grows to the size of the largest
// message and is never freed, so a burst allocates nothing. The view's spans point into `body` and `scratch`: good
// until either changes. Prefixes of families that were not negotiated are left out.
Result<UpdateView, Notification> decode_update(Bytes body, const Negotiated& negotiated,
                                               std::vector<std::uint8_t>& scratch, const DecodeOptions& options = {});

// Decodes what UpdateView::attributes holds (four-octet or two-octet AS_PATH as negotiated; AS4_PATH merged). The next
// hop is not in it: the caller fills it in from Reach. Never fails on what decode_update() let through.
PathAttributes decode_attributes(Bytes attributes, const Negotiated& negotiated);

}  // namespace culvert::bgp
