#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

namespace culvert::config {
namespace {

Outcome key_chain_block(Edit& edit)
{
    const auto name = edit.args.text("name");
    if (edit.no) {
        if (edit.model.key_chains.erase(name) == 0) return edit.refuse("there is no key chain " + name);
        return {};
    }
    edit.model.key_chains[name].name = name;
    edit.position.node = Node::KeyChain;
    edit.position.name = name;
    return {};
}

void show_key_chain_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, chain] : view.model->key_chains) {
        View inside = view;
        inside.key_chain = &chain;
        out.block(self, "key chain " + name, Node::KeyChain, inside, "exit");
    }
}

Outcome key_block(Edit& edit)
{
    auto* chain = edit.object<KeyChain>();
    if (!chain) return edit.refusal();
    const auto id = static_cast<std::uint8_t>(edit.args.number("key").value());
    if (edit.no) {
        if (chain->keys.erase(id) == 0) return edit.refuse(fmt::format("there is no key {} in {}", id, chain->name));
        return {};
    }
    chain->keys[id];
    edit.position.node = Node::KeyChainKey;
    edit.position.key = id;
    return {};
}

void show_key_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [id, key] : view.key_chain->keys) {
        View inside = view;
        inside.key = &key;
        out.block(self, fmt::format("key {}", id), Node::KeyChainKey, inside, "exit");
    }
}

constexpr Statement kKeyChains[] = {
    {Top,
     "key chain WORD$name",
     Setting,
     Cost::Apply,
     "Keys of a protocol, by number.",
     {key_chain_block, show_key_chain_blocks}},
    {Node::KeyChain,
     "key (0-255)$key",
     Setting,
     Cost::Apply,
     "A key. The number goes with each packet, so both ends have to agree on it.",
     {key_block, show_key_blocks}},
    {Node::KeyChainKey, "key-file {FILE$file}", Setting, Cost::Apply, "The file with the key.",
     kSecretFile<&KeyChainKey::secret>},
    {Node::KeyChainKey, "key-string {LINE$key}", Setting, Cost::Apply, "The key itself.",
     kSecretValue<&KeyChainKey::secret>},
    {Node::KeyChainKey, "accept-only", Setting, Cost::Apply,
     "Packets signed with the key are taken, none are sent. Of the others the one with the lowest number is sent with: "
     "so a key is changed without a lost packet, by adding the new one accept-only at both ends first.",
     kFlag<&KeyChainKey::accept_only>},
};

}  // namespace

std::span<const Statement> key_chain_statements() { return kKeyChains; }

}  // namespace culvert::config
