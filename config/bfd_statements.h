#pragma once

#include "config/statements.h"

#include <string>
#include <string_view>

// What the statements of other blocks say about BFD, for their rows of the table.
namespace culvert::config {

// " multihop local-address A interface IF vrf NAME": what stands behind the address in a `peer` line; empty: nothing.
std::string bfd_peer_options(const BfdPeerKey& key);

// An interval as it is typed: milliseconds, or `microseconds N` for what they can't say.
std::string bfd_interval_text(Microseconds interval);

// Intervals in milliseconds and in microseconds, as rows name their range.
#define BFD_MS "(10-60000)"
#define BFD_US "(3300-60000000)"

Outcome interface_bfd_interval(Edit& edit);
void show_interface_bfd_interval(const Statement& self, const View& view, Lines& out);

Outcome neighbor_bfd(Edit& edit);
void show_neighbor_bfd(const Statement& self, const View& view, Lines& out);
Outcome neighbor_bfd_profile(Edit& edit);
void show_neighbor_bfd_profile(const Statement& self, const View& view, Lines& out);
Outcome neighbor_bfd_check(Edit& edit);
void show_neighbor_bfd_check(const Statement& self, const View& view, Lines& out);
Outcome neighbor_bfd_strict(Edit& edit);
void show_neighbor_bfd_strict(const Statement& self, const View& view, Lines& out);

}  // namespace culvert::config
