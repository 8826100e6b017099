#pragma once

#include "config/statements.h"

#include <string>
#include <string_view>

// What the statements about BFD do, for the rows of the table.
namespace culvert::config {

// " multihop local-address A interface IF vrf NAME": what stands behind the address in a `peer` line; empty: nothing.
std::string bfd_peer_options(const BfdPeerKey& key);

// An interval as it is typed: milliseconds, or `microseconds N` for what they can't say.
std::string bfd_interval_text(Microseconds interval);

Outcome bfd_block(Edit& edit);
void show_bfd_block(const Statement& self, const View& view, Lines& out);
Outcome bfd_profile_block(Edit& edit);
void show_bfd_profile_blocks(const Statement& self, const View& view, Lines& out);
Outcome bfd_peer_block(Edit& edit);
void show_bfd_peer_blocks(const Statement& self, const View& view, Lines& out);

Outcome bfd_receive_interval(Edit& edit);
void show_bfd_receive_interval(const Statement& self, const View& view, Lines& out);
Outcome bfd_transmit_interval(Edit& edit);
void show_bfd_transmit_interval(const Statement& self, const View& view, Lines& out);
Outcome bfd_echo_receive_interval(Edit& edit);
void show_bfd_echo_receive_interval(const Statement& self, const View& view, Lines& out);
Outcome bfd_echo_transmit_interval(Edit& edit);
void show_bfd_echo_transmit_interval(const Statement& self, const View& view, Lines& out);
Outcome bfd_echo_interval(Edit& edit);  // FRR's older word for both
Outcome bfd_authentication(Edit& edit);
void show_bfd_authentication(const Statement& self, const View& view, Lines& out);

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

Outcome key_chain_block(Edit& edit);
void show_key_chain_blocks(const Statement& self, const View& view, Lines& out);
Outcome key_block(Edit& edit);
void show_key_blocks(const Statement& self, const View& view, Lines& out);

}  // namespace culvert::config
