#pragma once

#include "base/result.h"
#include "config/diff.h"
#include "config/model.h"
#include "config/syntax.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// The blocks of the language.
enum class Node : std::uint8_t {
    Exec,  // not configuring
    Top,
    Dataplane,
    Interface,
    WireguardPeer,
    Vrf,
    RouterBgp,
    BgpFamily,
    Failover,
    KeyChain,
    KeyChainKey,
    ManualSa,
    IpsecProfile,
    Bfd,
    BfdPeer,
    BfdProfile,
    LineVty,
};

// Where in the blocks a line is read: the block, and the names of the objects that it and the blocks around it are
// about.
struct Position {
    Node node = Node::Top;
    std::string interface;
    std::string peer;
    std::string vrf;  // of `vrf NAME` and of `router bgp ... vrf NAME`
    Family family = Family::Ipv4;
    std::string name;      // of a key chain, a manual SA or a profile
    std::uint8_t key = 0;  // of the key chain
    BfdPeerKey bfd_peer;
    bool datacenter = false;  // `frr defaults datacenter` was read: what new BGP instances start with
    friend bool operator==(const Position&, const Position&) = default;
};

// What is known of a block beside its statements.
struct NodeInfo {
    Node node;
    Node parent;            // of Top: Exec
    std::string_view mode;  // in the prompt
    std::string_view title;
};
const NodeInfo& info(Node node);
Node node_of_mode(std::string_view mode);       // Exec when the mode is not known
std::string path_of(const Position& position);  // as SourceLines names objects

std::string_view kind_name(const Interface& interface);  // "a port", "nothing yet"

struct Refusal {
    std::string message;
    std::string hint;
};
using Outcome = Result<void, Refusal>;

// A line that fitted, on its way into the model.
class Edit {
public:
    Edit(Model& model, Position& position, const Args& args) : model(model), position(position), args(args), no(args.no)
    {}

    Model& model;
    Position& position;
    const Args& args;
    const bool no;

    // The object the line is about; nullptr when the block has no such thing, and refusal() says why.
    template <class T>
    T* object();
    Outcome refusal() const { return Error{refusal_}; }
    Outcome refuse(std::string message, std::string hint = {})
    {
        return Error{Refusal{std::move(message), std::move(hint)}};
    }

private:
    template <class T>
    T* missing(std::string message, std::string hint = {});
    Refusal refusal_;
    Wireguard gone_;  // stand in where `no ...` is about a tunnel that is not there any more
    Tunnel gone_tunnel_;
};

template <>
Model* Edit::object<Model>();
template <>
Dataplane* Edit::object<Dataplane>();
template <>
Failover* Edit::object<Failover>();
template <>
KeyChain* Edit::object<KeyChain>();
template <>
KeyChainKey* Edit::object<KeyChainKey>();
template <>
ManualSa* Edit::object<ManualSa>();
template <>
IpsecProfile* Edit::object<IpsecProfile>();
template <>
BfdSettings* Edit::object<BfdSettings>();
template <>
BfdPeer* Edit::object<BfdPeer>();
template <>
Tunnel* Edit::object<Tunnel>();
template <>
Vrf* Edit::object<Vrf>();
template <>
Interface* Edit::object<Interface>();
template <>
Wireguard* Edit::object<Wireguard>();
template <>
WireguardPeer* Edit::object<WireguardPeer>();
template <>
Bgp* Edit::object<Bgp>();
template <>
BgpNeighbor* Edit::object<BgpNeighbor>();
template <>
BgpNeighborFamily* Edit::object<BgpNeighborFamily>();
template <>
BgpFamily* Edit::object<BgpFamily>();

// The objects a statement is rendered for: the innermost of each kind, nullptr outside of it.
struct View {
    const Model* model = nullptr;
    const Interface* interface = nullptr;
    const WireguardPeer* peer = nullptr;
    const Vrf* vrf = nullptr;
    const Bgp* bgp = nullptr;
    const BgpNeighbor* neighbor = nullptr;
    const BgpNeighborFamily* neighbor_family = nullptr;
    const BgpFamily* family = nullptr;
    Family address_family = Family::Ipv4;
    const KeyChain* key_chain = nullptr;
    const KeyChainKey* key = nullptr;
    const ManualSa* manual_sa = nullptr;
    const IpsecProfile* ipsec_profile = nullptr;
    const BfdProfile* bfd_profile = nullptr;
    const BfdPeer* bfd_peer = nullptr;

    template <class T>
    const T* object() const;
};

template <>
const Model* View::object<Model>() const;
template <>
const Failover* View::object<Failover>() const;
template <>
const KeyChain* View::object<KeyChain>() const;
template <>
const KeyChainKey* View::object<KeyChainKey>() const;
template <>
const ManualSa* View::object<ManualSa>() const;
template <>
const IpsecProfile* View::object<IpsecProfile>() const;
template <>
const BfdSettings* View::object<BfdSettings>() const;
template <>
const BfdPeer* View::object<BfdPeer>() const;
template <>
const Tunnel* View::object<Tunnel>() const;
template <>
const Vrf* View::object<Vrf>() const;
template <>
const Interface* View::object<Interface>() const;
template <>
const Wireguard* View::object<Wireguard>() const;
template <>
const WireguardPeer* View::object<WireguardPeer>() const;
template <>
const Bgp* View::object<Bgp>() const;
template <>
const BgpNeighbor* View::object<BgpNeighbor>() const;
template <>
const BgpNeighborFamily* View::object<BgpNeighborFamily>() const;
template <>
const BgpFamily* View::object<BgpFamily>() const;

struct Statement;

struct RenderedLine {
    Object object;
    const Statement* statement = nullptr;  // nullptr: layout (`exit`, `!`)
    std::optional<Family> family;          // of the address family's block it stands in
    unsigned depth = 0;
    std::string text;
    std::size_t secret_at = std::string::npos;  // where in the text a secret value begins; it goes to the end

    std::string masked() const;
};

// What render functions write to.
class Lines {
public:
    // Of the syntax of `self`, with its variables replaced.
    void statement(const Statement& self, const View& view, std::vector<std::string> values = {}, bool no = false);
    void text(const Statement& self, const View& view, std::string text);
    void secret(const Statement& self, const View& view, std::string before, const std::string& value);
    // A block of its own: header, statements, `exit`. `keep_empty`: also without statements.
    void block(const Statement& self, std::string header, Node node, const View& view, std::string_view exit,
               bool keep_empty = true);

    const std::vector<RenderedLine>& all() const noexcept { return lines_; }

private:
    friend std::vector<RenderedLine> render_lines(const Model& model);
    void node(Node node, const View& view);
    void layout(std::string text, const View& view);

    std::vector<RenderedLine> lines_;
    unsigned depth_ = 0;
};

// The whole configuration, line by line, each with the object and the statement it belongs to.
std::vector<RenderedLine> render_lines(const Model& model);

using ApplyFn = Outcome (*)(Edit& edit);
using RenderFn = void (*)(const Statement& self, const View& view, Lines& out);

struct Behaviour {
    ApplyFn apply;
    RenderFn render;  // nullptr: another row renders it, or nothing is kept
};

enum class Form : std::uint8_t {
    Setting,  // `no` takes it back
    Plain,    // there is no `no`
    Leave,    // leaves the block
};

// A row of the one table: everything about a statement. The parser, `?`, completion, the rendered configuration (in the
// table's order), diff() and the manual all read it.
struct Statement {
    Node node;
    std::string_view syntax;  // syntax.h says how to read it
    Form form;
    Cost cost;
    std::string_view summary;
    Behaviour behaviour;
};

std::span<const Statement> statements();

// A statement with its syntax compiled.
struct Rule {
    const Statement* statement;
    Syntax plain;
    Syntax negated;
};
std::span<const Rule> rules(Node node);

// What a word means, for `?` and the manual: a keyword, or "$name" of a variable. Empty: nothing is known (a test
// forbids).
std::string_view word_help(Node node, std::string_view word);
std::string_view help_for(Node node, const Token& token);

}  // namespace culvert::config
