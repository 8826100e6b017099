#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <array>

namespace culvert::config {
namespace {

// ---- load sharing ----

struct HashField {
    std::string_view word;
    bool LoadSharing::*member;
};
constexpr std::array kHashFields{
    HashField{"source", &LoadSharing::source},         HashField{"destination", &LoadSharing::destination},
    HashField{"protocol", &LoadSharing::protocol},     HashField{"ports", &LoadSharing::ports},
    HashField{"flow-label", &LoadSharing::flow_label},
};

template <auto Member>
Outcome load_sharing(Edit& edit)
{
    auto& sharing = edit.model.*Member;
    sharing = {};
    if (edit.no) return {};
    for (const auto& [word, member] : kHashFields) sharing.*member = edit.args.has(word);
    return {};
}

template <auto Member>
void show_load_sharing(const Statement& self, const View& view, Lines& out)
{
    const auto& sharing = view.model->*Member;
    if (sharing == LoadSharing{}) return;
    auto text = std::string{self.syntax.substr(0, self.syntax.find(" {"))};
    for (const auto& [word, member] : kHashFields)
        if (sharing.*member) text += fmt::format(" {}", word);
    out.text(self, view, text);
}

constexpr Statement kLoadSharing[] = {
    {Top,
     "ip load-sharing fields {<source|destination|protocol|ports>...}",
     Setting,
     Cost::Apply,
     "Which fields of an IPv4 packet say what flow it belongs to, where traffic is spread over several paths. Default: "
     "all.",
     {load_sharing<&Model::load_sharing4>, show_load_sharing<&Model::load_sharing4>}},
    {Top,
     "ipv6 load-sharing fields {<source|destination|protocol|ports|flow-label>...}",
     Setting,
     Cost::Apply,
     "The same of IPv6. Default: all but the flow label.",
     {load_sharing<&Model::load_sharing6>, show_load_sharing<&Model::load_sharing6>}},
};

// ---- dataplane ----

Outcome dataplane_block(Edit& edit)
{
    if (edit.no)
        edit.model.dataplane = {};
    else
        edit.position.node = Node::Dataplane;
    return {};
}

void show_dataplane_block(const Statement& self, const View& view, Lines& out)
{
    out.block(self, "dataplane", Node::Dataplane, view, "exit", false);
}

Outcome workers(Edit& edit)
{
    auto& workers = edit.model.dataplane.workers;
    if (edit.no || edit.args.has("auto"))
        workers = Dataplane::WorkersAuto{};
    else if (const auto count = edit.args.number("count"))
        workers = Dataplane::WorkersCount{static_cast<unsigned>(*count)};
    else
        workers = Dataplane::WorkersPinned{parse_cpus(edit.args.text("cpus")).value()};
    return {};
}

void show_workers(const Statement& self, const View& view, Lines& out)
{
    const auto& workers = view.model->dataplane.workers;
    if (const auto* count = std::get_if<Dataplane::WorkersCount>(&workers))
        out.text(self, view, fmt::format("workers {}", count->count));
    else if (const auto* pinned = std::get_if<Dataplane::WorkersPinned>(&workers))
        out.text(self, view, "workers cpu " + cpus_to_string(pinned->cpus));
}

Outcome memory(Edit& edit)
{
    auto& dataplane = edit.model.dataplane;
    dataplane.memory = edit.args.has("hugepages")   ? Dataplane::Memory::HugePages
                       : edit.args.has("anonymous") ? Dataplane::Memory::Anonymous
                                                    : Dataplane::Memory::Auto;
    dataplane.memory_octets = edit.args.given("size") ? parse_size(edit.args.text("size")).value() : 0;
    if (edit.no) {
        dataplane.memory = Dataplane::Memory::Auto;
        dataplane.memory_octets = 0;
    }
    return {};
}

void show_memory(const Statement& self, const View& view, Lines& out)
{
    const auto& dataplane = view.model->dataplane;
    if (dataplane.memory == Dataplane::Memory::Auto && dataplane.memory_octets == 0) return;
    std::string line = dataplane.memory == Dataplane::Memory::Auto        ? "memory auto"
                       : dataplane.memory == Dataplane::Memory::HugePages ? "memory hugepages"
                                                                          : "memory anonymous";
    if (dataplane.memory_octets != 0) line += " " + size_to_string(dataplane.memory_octets);
    out.text(self, view, line);
}

Outcome poll(Edit& edit)
{
    edit.model.dataplane.poll_busy = !edit.no && edit.args.has("busy");
    return {};
}

void show_poll(const Statement& self, const View& view, Lines& out)
{
    if (view.model->dataplane.poll_busy) out.text(self, view, "poll busy");
}

// ---- failover ----

Outcome failover_block(Edit& edit)
{
    if (edit.no)
        edit.model.failover = {};
    else
        edit.position.node = Node::Failover;
    return {};
}

void show_failover_block(const Statement& self, const View& view, Lines& out)
{
    out.block(self, "failover", Node::Failover, view, "exit", false);
}

constexpr Statement kDataplane[] = {
    {Top,
     "dataplane",
     Setting,
     Cost::Restart,
     "How packets are moved: workers, memory, polling.",
     {dataplane_block, show_dataplane_block}},
    {Node::Dataplane,
     "workers {<auto|(1-64)$count|cpu CPUS$cpus>}",
     Setting,
     Cost::Restart,
     "How many threads move packets. `auto` and a number float over the CPUs, a list pins one to each. Default: auto.",
     {workers, show_workers}},
    {Node::Dataplane,
     "memory {<auto|hugepages|anonymous> [SIZE$size]}",
     Setting,
     Cost::Restart,
     "Where packets lie. Default: huge pages if the system has them, else anonymous memory; as much as is needed.",
     {memory, show_memory}},
    {Node::Dataplane,
     "poll {<adaptive|busy>}",
     Setting,
     Cost::Restart,
     "Whether an idle worker sleeps. `busy` needs workers pinned to CPUs of their own. Default: adaptive.",
     {poll, show_poll}},

    {Top,
     "failover",
     Setting,
     Cost::Apply,
     "How traffic returns to a path that had failed.",
     {failover_block, show_failover_block}},
    {Node::Failover, "hold-up {(0-3600000)$milliseconds}", Setting, Cost::Apply,
     "How long a path that came back has to stay before it is used again. Default: 2000.", kValue<&Failover::hold_up>},
    {Node::Failover, "buckets-a-second {(0-100000)$count}", Setting, Cost::Apply,
     "How many buckets of each group then move back to it in a second, until its share is full; 0: all at once. "
     "Default: 128.",
     kValue<&Failover::buckets_a_second>},
};

}  // namespace

std::span<const Statement> load_sharing_statements() { return kLoadSharing; }
std::span<const Statement> dataplane_statements() { return kDataplane; }

}  // namespace culvert::config
