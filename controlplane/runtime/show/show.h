#pragma once

#include "base/result.h"
#include "config/exec.h"
#include "controlplane/runtime/router.h"
#include "controlplane/runtime/show/text.h"

#include <boost/json/object.hpp>

#include <optional>
#include <string>

// What every `show` prints: text with FRR's columns, or JSON with FRR's keys (docs/commands.md). They read; nothing
// here changes anything.
namespace culvert::runtime::show {

struct Refused {
    std::string message;
    int status = 1;
};
using Shown = Result<Producer, Refused>;

Shown version(Router& router, const config::Exec& exec);
Shown memory(Router& router, const config::Exec& exec);
Shown vrf(Router& router, const config::Exec& exec);
Shown interface(Router& router, const config::Exec& exec);
Shown interface_brief(Router& router, const config::Exec& exec);
Shown wireguard(Router& router, const config::Exec& exec);
Shown crypto_ipsec_sa(Router& router, const config::Exec& exec);
// What `show interface` says of a tunnel: its ends, why it is down, and how its MTU comes about. Nothing of others.
std::string tunnel_text(Router& router, const InterfaceTable::Entry& entry);
std::optional<boost::json::object> tunnel_json(Router& router, const InterfaceTable::Entry& entry);
Shown dataplane_runtime(Router& router, const config::Exec& exec);
Shown dataplane_drops(Router& router, const config::Exec& exec);
Shown dataplane_ports(Router& router, const config::Exec& exec);
Shown failover(Router& router, const config::Exec& exec);
Shown neighbors(Router& router, const config::Exec& exec);
Shown route(Router& router, const config::Exec& exec);
Shown route_summary(Router& router, const config::Exec& exec);
Shown fib(Router& router, const config::Exec& exec);
Shown nht(Router& router, const config::Exec& exec);
Shown bfd_peers(Router& router, const config::Exec& exec);
Shown bfd_peer(Router& router, const config::Exec& exec);
Result<void, Refused> clear_bfd(Router& router, const config::Exec& exec);
Shown bgp_table(Router& router, const config::Exec& exec);
Shown bgp_prefix(Router& router, const config::Exec& exec);
Shown bgp_summary(Router& router, const config::Exec& exec);
Shown bgp_neighbors(Router& router, const config::Exec& exec);
Shown bgp_neighbor_table(Router& router, const config::Exec& exec);  // advertised, received, routes
Shown bgp_nexthop(Router& router, const config::Exec& exec);

}  // namespace culvert::runtime::show
