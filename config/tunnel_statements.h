#pragma once

#include "config/statements.h"

// What the statements about tunnels do, for the rows of their interfaces.
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

}  // namespace culvert::config
