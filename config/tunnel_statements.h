#pragma once

#include "config/statements.h"

// What the statements about tunnels and their protection do, for the rows of the table.
namespace culvert::config {

Outcome tunnel_mode(Edit& edit);
void show_tunnel_mode(const Statement& self, const View& view, Lines& out);
Outcome tunnel_source(Edit& edit);  // WireGuard's too, as tunnel_vrf
void show_tunnel_source(const Statement& self, const View& view, Lines& out);
Outcome tunnel_vrf(Edit& edit);
void show_tunnel_vrf(const Statement& self, const View& view, Lines& out);
Outcome tunnel_ttl(Edit& edit);
void show_tunnel_ttl(const Statement& self, const View& view, Lines& out);
Outcome tunnel_path_mtu(Edit& edit);
void show_tunnel_path_mtu(const Statement& self, const View& view, Lines& out);
Outcome tunnel_keepalive(Edit& edit);
void show_tunnel_keepalive(const Statement& self, const View& view, Lines& out);
Outcome nhrp_map(Edit& edit);
void show_nhrp_map4(const Statement& self, const View& view, Lines& out);
void show_nhrp_map6(const Statement& self, const View& view, Lines& out);

Outcome manual_sa_block(Edit& edit);
void show_manual_sa_blocks(const Statement& self, const View& view, Lines& out);
Outcome sa_encryption(Edit& edit);
void show_sa_encryption(const Statement& self, const View& view, Lines& out);
Outcome sa_integrity(Edit& edit);
void show_sa_integrity(const Statement& self, const View& view, Lines& out);
Outcome sa_mode(Edit& edit);
void show_sa_mode(const Statement& self, const View& view, Lines& out);
Outcome sa_inbound(Edit& edit);
void show_sa_inbound(const Statement& self, const View& view, Lines& out);
Outcome sa_outbound(Edit& edit);
void show_sa_outbound(const Statement& self, const View& view, Lines& out);
Outcome sa_replay_window(Edit& edit);
void show_sa_replay_window(const Statement& self, const View& view, Lines& out);
Outcome sa_udp(Edit& edit);
void show_sa_udp(const Statement& self, const View& view, Lines& out);
Outcome sa_lifetime(Edit& edit);
void show_sa_lifetime(const Statement& self, const View& view, Lines& out);
Outcome sa_df_bit(Edit& edit);
void show_sa_df_bit(const Statement& self, const View& view, Lines& out);
Outcome sa_dscp(Edit& edit);
void show_sa_dscp(const Statement& self, const View& view, Lines& out);
Outcome sa_fragmentation(Edit& edit);
void show_sa_fragmentation(const Statement& self, const View& view, Lines& out);

Outcome ipsec_profile_block(Edit& edit);
void show_ipsec_profile_blocks(const Statement& self, const View& view, Lines& out);

}  // namespace culvert::config
