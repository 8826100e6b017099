#pragma once

#include "base/bytes.h"
#include "base/ip.h"
#include "controlplane/bgp/attributes.h"
#include "controlplane/bgp/update.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace culvert::bgp {

// An attribute set as one session's UPDATEs carry it. Made once a set (and once for all sessions whose Negotiated agree
// in four_octet_as and external), used for any number of prefixes.
struct EncodedAttributes {
    std::vector<std::uint8_t> octets;  // by ascending type; without NEXT_HOP, MP_REACH_NLRI and MP_UNREACH_NLRI
    std::size_t next_hop_at = 0;       // where NEXT_HOP belongs in them
    IpAddress next_hop{};
    std::optional<Ipv6Address> link_local_next_hop;
};

// Writes what it is given and leaves policy (prepending, next-hop-self, reflection) to the RIB, but for what may never
// be wrong on the wire: LOCAL_PREF (100 when absent), ORIGINATOR_ID and CLUSTER_LIST go to internal peers only. Towards
// a two-octet peer AS_PATH and AGGREGATOR carry AS_TRANS, and AS4_PATH and AS4_AGGREGATOR go along when needed (RFC
// 6793).
EncodedAttributes encode_attributes(const PathAttributes& attributes, const Negotiated& negotiated);

// Packs prefixes into UPDATEs as large as the session allows. Whole messages are appended to `out`, which the caller
// may take away between two messages (after flush()).
//
//   UpdateBuilder builder(negotiated, out);
//   for (auto& group : changed_by_attribute_set) {
//       if (!builder.announce(Family::Ipv4, group.encoded)) { withdraw group's prefixes instead; continue; }
//       for (auto& p : group.prefixes) builder.add(p);
//   }
//   builder.withdraw(Family::Ipv6);
//   for (auto& p : gone) builder.add(p);
//   builder.flush();
class UpdateBuilder {
public:
    UpdateBuilder(const Negotiated& negotiated, std::vector<std::uint8_t>& out);

    // What add() does from now on: announce with these attributes, which must outlive their use. IPv4 goes as classic
    // NLRI with NEXT_HOP, IPv6 as MP_REACH_NLRI (RFC 2545: the link-local next hop follows the global one). False: the
    // attributes leave no room for a prefix in a message of this session (RFC 8654 5), and add() must not be called.
    [[nodiscard]] bool announce(Family family, const EncodedAttributes& attributes);
    // What add() does from now on: withdraw.
    void withdraw(Family family);
    // A prefix of the family named last.
    void add(const IpPrefix& prefix)
    {
        const std::size_t octets = (prefix.length + 7U) / 8U;
        if (static_cast<std::size_t>(limit_ - at_) < 1 + octets) [[unlikely]]
            next_message();
        *at_ = prefix.length;
        // Always all sixteen: the buffer has the slack, and a fixed length is one store.
        std::memcpy(at_ + 1, prefix.address.bits.octets.data(), 16);
        at_ += 1 + octets;
    }
    // Ends the message that is being filled, if it holds a prefix.
    void flush();

    std::size_t messages() const noexcept { return messages_; }  // written to `out` so far

private:
    enum class Mode : std::uint8_t { None, Announce, Withdraw };

    void open();          // writes everything of a message that comes before its prefixes
    void next_message();  // flush(), open()

    std::vector<std::uint8_t>& out_;
    std::size_t max_message_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    std::uint8_t* at_;        // where the next prefix goes
    std::uint8_t* limit_;     // prefixes end here at the latest
    std::uint8_t* prefixes_;  // where this message's prefixes begin
    const EncodedAttributes* attributes_ = nullptr;
    Mode mode_ = Mode::None;
    Family family_ = Family::Ipv4;
    std::size_t messages_ = 0;
};

// RFC 4724 2. Appends one message.
void encode_end_of_rib(Family family, std::vector<std::uint8_t>& out);

}  // namespace culvert::bgp
