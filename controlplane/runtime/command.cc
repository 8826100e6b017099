#include "controlplane/runtime/command.h"

#include "base/log.h"
#include "config/parse.h"
#include "config/render.h"
#include "config/validate.h"
#include "controlplane/runtime/show/show.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

namespace culvert::runtime {
namespace {

using config::ExecCommand;

std::string text_of(const std::vector<config::Diagnostic>& problems)
{
    std::string out;
    for (const auto& p : problems) out += "% " + p.to_string() + "\n";
    return out;
}

// What is to be known of the model, and was not so before.
std::string warning_text(const config::Model& model, const std::vector<config::Diagnostic>& known)
{
    auto all = config::warnings(model);
    std::erase_if(all, [&](const auto& w) { return std::find(known.begin(), known.end(), w) != known.end(); });
    std::string out;
    for (const auto& w : all) out += "% Warning: " + w.to_string() + "\n";
    return out;
}

std::string internal(const std::string& vrf) { return vrf == "default" ? "" : vrf; }

}  // namespace

// ---- store
// ------------------------------------------------------------------------------------------------------------

ConfigurationStore::ConfigurationStore(Router& router, std::string file)
    : router_(router), file_(std::move(file)), unconfirmed_timer_(router.core().loop, [this] {
          if (!unconfirmed_) return;
          log::warning("config", "the commit was not confirmed in time: going back");
          const auto before = std::move(*unconfirmed_);
          unconfirmed_.reset();
          for (const auto& p : router_.commit(before, {}, true)) log::error("config", "{}", p.to_string());
      })
{
    history_.push(router.running());
}

std::vector<config::Diagnostic> ConfigurationStore::commit(const config::Model& model, bool typing)
{
    auto problems = router_.commit(model, {}, typing);
    if (problems.empty() && !typing) history_.push(model);
    return problems;
}

std::vector<config::Diagnostic> ConfigurationStore::commit_confirmed(const config::Model& model, Duration within)
{
    auto before = router_.running();
    auto problems = commit(model, false);
    if (problems.empty()) {
        if (!unconfirmed_) unconfirmed_ = std::move(before);
        unconfirmed_timer_.set(now() + within);
    }
    return problems;
}

void ConfigurationStore::remember()
{
    const auto* newest = history_.at(0);
    if (!newest || !(*newest == router_.running())) history_.push(router_.running());
}

bool ConfigurationStore::confirm()
{
    if (!unconfirmed_) return false;
    unconfirmed_.reset();
    unconfirmed_timer_.set(kNever);
    return true;
}

Result<void, SystemError> ConfigurationStore::save()
{
    const auto failed = [&](const std::string& what) { return Error{SystemError{what + ": " + std::strerror(errno)}}; };
    const auto fresh = file_ + ".new";
    const auto text = config::render(router_.running());
    // Keys may stand in it: a new file is the owner's alone, an old one keeps the mode that the operator gave it.
    const Descriptor fd{open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (!fd) return failed(fresh);
    struct stat old;
    if (stat(file_.c_str(), &old) == 0) (void)fchmod(fd.get(), old.st_mode & 07777);
    std::size_t written = 0;
    while (written < text.size()) {
        const auto n = write(fd.get(), text.data() + written, text.size() - written);
        if (n < 0) return failed(fresh);
        written += static_cast<std::size_t>(n);
    }
    if (fsync(fd.get()) != 0 || rename(fresh.c_str(), file_.c_str()) != 0) return failed(file_);
    return {};
}

std::vector<config::Diagnostic> ConfigurationStore::reload()
{
    std::ifstream in(file_);
    if (!in) {
        return {{config::Diagnostic::Kind::Refused,
                 file_,
                 0,
                 0,
                 std::string{"can't be read: "} + std::strerror(errno),
                 {}}};
    }
    std::stringstream text;
    text << in.rdbuf();
    const auto parsed = config::parse(text.str(), file_);
    if (!parsed.diagnostics.empty()) return parsed.diagnostics;
    const Router::Origin origin{file_, &parsed.sources};
    auto problems = router_.commit(parsed.model, origin, true);
    if (!problems.empty()) return problems;
    for (const auto& p : Router::check(parsed.model, origin)) log::warning("config", "{}", p.to_string());
    history_.push(parsed.model);
    return {};
}

// ---- session
// ----------------------------------------------------------------------------------------------------------

CommandSession::CommandSession(ConfigurationStore& store) : store_(store) {}

CommandSession::Answer CommandSession::refuse(std::string message, int status)
{
    while (message.ends_with('\n')) message.pop_back();  // the shell ends the line
    Answer answer;
    answer.status = status;
    answer.error = std::move(message);
    return answer;
}

std::string CommandSession::mode() const
{
    if (editor_) return std::string{editor_->mode()};
    if (candidate_) return std::string{const_cast<config::Candidate&>(*candidate_).editor().mode()};
    return "exec";
}

std::string CommandSession::prompt() const
{
    const auto& hostname = store_.router().running().hostname;
    std::string out = hostname.empty() ? "culvert" : hostname;
    if (editor_ || candidate_) out += "(" + mode() + ")";
    if (candidate_ && candidate_->changed()) out += "*";
    return out + "# ";
}

CommandSession::Answer CommandSession::execute(const std::string& line)
{
    const auto first = line.find_first_not_of(" \t");
    if (first == line.npos || line[first] == '!' || line[first] == '#') return {};
    if (editor_ || candidate_) return configure(line);
    const auto command = config::parse_exec(line);
    if (!command) return refuse(config::frr_text(command.error(), line));
    return exec(*command, line);
}

CommandSession::Answer CommandSession::configure(const std::string& line)
{
    // In a candidate, what is about the candidate itself comes first.
    if (candidate_) {
        if (const auto command = config::parse_exec(line)) {
            switch (command->command) {
                case ExecCommand::Commit:
                case ExecCommand::Discard:
                case ExecCommand::Rollback:
                case ExecCommand::ShowCandidate:
                case ExecCommand::ShowCandidateDiff: return exec(*command, line);
                default: break;
            }
        }
    }
    auto& editor = candidate_ ? candidate_->editor() : *editor_;
    if (editor_ && !(editor_->model() == store_.router().running())) editor_->rebase(store_.router().running());

    const auto outcome = editor.apply(line);
    if (!outcome) return refuse(config::frr_text(outcome.error(), line));
    if (outcome->run) {
        const auto command = config::parse_exec(*outcome->run);
        if (!command) return refuse(config::frr_text(command.error(), *outcome->run));
        return exec(*command, *outcome->run);
    }
    if (editor_ && outcome->changed) {
        const auto known = config::warnings(store_.router().running());
        const auto problems = store_.commit(editor_->model(), true);
        if (!problems.empty()) {
            editor_->undo();
            return refuse(text_of(problems));
        }
        if (auto told = warning_text(store_.router().running(), known); !told.empty()) {
            Answer answer;
            answer.text = show::whole(std::move(told));
            return answer;
        }
    }
    if (outcome->ended) {
        if (candidate_ && candidate_->changed()) {
            candidate_.reset();
            Answer answer;
            answer.text = show::whole("% Uncommitted changes were dropped\n");
            return answer;
        }
        if (editor_) store_.remember();
        editor_.reset();
        candidate_.reset();
    }
    return {};
}

CommandSession::Answer CommandSession::exec(const config::Exec& command, const std::string&)
{
    switch (command.command) {
        case ExecCommand::ConfigureTerminal:
            if (!editor_ && !candidate_) editor_.emplace(store_.router().running());
            return {};
        case ExecCommand::Configure:
            if (!editor_ && !candidate_) candidate_.emplace(store_.router().running());
            return {};
        case ExecCommand::Commit: {
            if (!candidate_) {
                if (store_.confirm()) return {};
                return refuse("% Nothing to commit: `configure` opens a candidate");
            }
            if (command.check) {
                const auto problems = Router::check(candidate_->model(), {});
                return problems.empty() ? Answer{} : refuse(text_of(problems));
            }
            const auto known = config::warnings(store_.router().running());
            const auto problems =
                command.number ? store_.commit_confirmed(candidate_->model(), std::chrono::minutes{*command.number})
                               : store_.commit(candidate_->model(), false);
            if (!problems.empty()) return refuse(text_of(problems));
            if (!command.number) store_.confirm();
            candidate_->committed();
            Answer answer;
            if (auto told = warning_text(store_.router().running(), known); !told.empty())
                answer.text = show::whole(std::move(told));
            return answer;
        }
        case ExecCommand::Discard:
            if (!candidate_) return refuse("% No candidate is open: `configure` opens one");
            candidate_->discard();
            return {};
        case ExecCommand::Rollback: {
            const auto n = command.number.value_or(1);
            const auto* model = store_.history().at(n);
            if (!model)
                return refuse("% There are " + std::to_string(store_.history().size()) +
                              " configurations to go back to");
            if (candidate_) {
                candidate_->load(*model);
                return {};
            }
            return refuse("% `configure` opens the candidate that rollback loads into; then: commit");
        }
        case ExecCommand::Write: {
            if (const auto saved = store_.save(); !saved) return refuse("% " + saved.error().message);
            Answer answer;
            answer.text = show::whole("Integrated configuration saved to " + store_.file() + "\n[OK]\n");
            return answer;
        }
        case ExecCommand::TerminalLength:
        case ExecCommand::Nothing: return {};
        case ExecCommand::Exit: {
            Answer answer;
            answer.close = true;
            return answer;
        }
        case ExecCommand::Ping:
        case ExecCommand::Traceroute:
        case ExecCommand::ExecVrf: return run_in_namespace(command);
        case ExecCommand::ClearBgp: return clear_bgp(command);
        case ExecCommand::ClearCounters:
            if (!command.interface.empty() && !store_.router().interfaces().find(command.interface))
                return refuse("% Can't find interface " + command.interface);
            store_.router().interfaces().clear_counters(command.interface);
            return {};
        case ExecCommand::ClearCryptoSa: store_.router().tunnels().clear_sas(command.interface); return {};
        case ExecCommand::ClearBfdCounters: {
            const auto cleared = show::clear_bfd(store_.router(), command);
            return cleared ? Answer{} : refuse(cleared.error().message, cleared.error().status);
        }
        case ExecCommand::ClearWireguard: store_.router().wireguard().clear(command.interface, command.peer); return {};
        default: return show(command);
    }
}

CommandSession::Answer CommandSession::show(const config::Exec& command)
{
    auto& router = store_.router();
    const auto answer = [](show::Shown shown) {
        if (!shown) return refuse(shown.error().message, shown.error().status);
        Answer a;
        a.text = std::move(*shown);
        return a;
    };
    const auto text = [](std::string t) {
        Answer a;
        a.text = show::whole(std::move(t));
        return a;
    };
    switch (command.command) {
        case ExecCommand::ShowVersion: return answer(show::version(router, command));
        case ExecCommand::ShowRunningConfig: {
            config::RenderOptions options;
            options.preamble = !command.no_header;
            options.mask_secrets = true;
            return text(config::render(router.running(), options));
        }
        case ExecCommand::ShowStartupConfig: {
            std::ifstream in(store_.file());
            if (!in) return refuse("% " + store_.file() + ": " + std::strerror(errno));
            std::stringstream all;
            all << in.rdbuf();
            const auto parsed = config::parse(all.str(), store_.file());
            // Secrets are masked as everywhere; a file that does not parse is shown by its errors.
            if (!parsed.diagnostics.empty()) return refuse(text_of(parsed.diagnostics));
            config::RenderOptions options;
            options.mask_secrets = true;
            return text(config::render(parsed.model, options));
        }
        case ExecCommand::ShowCandidate: {
            if (!candidate_) return refuse("% No candidate is open: `configure` opens one");
            config::RenderOptions options;
            options.mask_secrets = true;
            return text(config::render(candidate_->model(), options));
        }
        case ExecCommand::ShowCandidateDiff:
            if (!candidate_) return refuse("% No candidate is open: `configure` opens one");
            return text(candidate_->diff());
        case ExecCommand::ShowLogging: {
            const auto& sink = router.running().log;
            static constexpr const char* kLevels[] = {"debugging", "informational", "warnings", "errors"};
            return text(std::string{"Logging to "} + (sink.file.empty() ? "standard error" : sink.file) + ", level " +
                        kLevels[static_cast<std::size_t>(sink.level)] + "\n");
        }
        case ExecCommand::ShowMemory:
        case ExecCommand::ShowDataplaneMemory: return answer(show::memory(router, command));
        case ExecCommand::ShowVrf: return answer(show::vrf(router, command));
        case ExecCommand::ShowInterface: return answer(show::interface(router, command));
        case ExecCommand::ShowInterfaceBrief: return answer(show::interface_brief(router, command));
        case ExecCommand::ShowCryptoIpsecSa: return answer(show::crypto_ipsec_sa(router, command));
        case ExecCommand::ShowWireguard: return answer(show::wireguard(router, command));
        case ExecCommand::ShowDataplaneRuntime: return answer(show::dataplane_runtime(router, command));
        case ExecCommand::ShowDataplaneDrops: return answer(show::dataplane_drops(router, command));
        case ExecCommand::ShowDataplanePorts: return answer(show::dataplane_ports(router, command));
        case ExecCommand::ShowBfdPeers: return answer(show::bfd_peers(router, command));
        case ExecCommand::ShowBfdPeer: return answer(show::bfd_peer(router, command));
        case ExecCommand::ShowFailover: return answer(show::failover(router, command));
        case ExecCommand::ShowArp:
        case ExecCommand::ShowIpv6Neighbors: return answer(show::neighbors(router, command));
        case ExecCommand::ShowRoute: return answer(show::route(router, command));
        case ExecCommand::ShowRouteSummary: return answer(show::route_summary(router, command));
        case ExecCommand::ShowFib: return answer(show::fib(router, command));
        case ExecCommand::ShowNht: return answer(show::nht(router, command));
        case ExecCommand::ShowBgp: return answer(show::bgp_table(router, command));
        case ExecCommand::ShowBgpPrefix: return answer(show::bgp_prefix(router, command));
        case ExecCommand::ShowBgpSummary: return answer(show::bgp_summary(router, command));
        case ExecCommand::ShowBgpNeighbors: return answer(show::bgp_neighbors(router, command));
        case ExecCommand::ShowBgpAdvertisedRoutes:
        case ExecCommand::ShowBgpReceivedRoutes:
        case ExecCommand::ShowBgpNeighborRoutes: return answer(show::bgp_neighbor_table(router, command));
        case ExecCommand::ShowBgpNexthop: return answer(show::bgp_nexthop(router, command));
        default: return refuse("% Not available here");
    }
}

CommandSession::Answer CommandSession::clear_bgp(const config::Exec& command)
{
    std::vector<std::pair<BgpInstance*, BgpNeighbor*>> neighbors;
    bool any = false;
    for (const auto& [vrf, instance] : store_.router().bgp().all()) {
        if (command.vrf != "all" && vrf != internal(command.vrf)) continue;
        any = true;
        for (const auto& [name, neighbor] : instance->neighbors()) neighbors.emplace_back(instance.get(), &*neighbor);
    }
    if (!any) return refuse("% BGP instance not found");
    bool found = !command.neighbor.has_value();
    for (const auto& [instance, neighbor] : neighbors) {
        const auto& name = neighbor->name();
        if (command.neighbor && *command.neighbor != name) continue;
        if (command.asn && index(neighbor->config().remote_as.asn) != *command.asn) continue;
        found = true;
        if (!command.soft) {
            neighbor->reset(bgp::ResetReason::UserReset, bgp::cease::kAdministrativeReset);
            continue;
        }
        for (const auto family : {Family::Ipv4, Family::Ipv6}) {
            if (command.family && *command.family != family) continue;
            if (command.direction != config::Direction::Out) instance->rib().clear_soft_in(neighbor->handle(), family);
            if (command.direction != config::Direction::In) instance->rib().clear_soft_out(neighbor->handle(), family);
        }
        store_.router().core().loop.wake_slice();
    }
    if (!found) return refuse("% BGP: Unknown neighbor - \"" + command.neighbor->to_string() + "\"");
    return {};
}

CommandSession::Answer CommandSession::run_in_namespace(const config::Exec& command)
{
    const auto vrf = store_.router().vrfs().id(internal(command.vrf));
    if (!vrf) return refuse("% VRF " + command.vrf + " not found");
    Answer answer;
    answer.ns = store_.router().vrfs().ns(*vrf);
    config::shell::Run run;
    const auto add = [&](auto&&... words) { (run.argv.emplace_back(words), ...); };
    if (command.command == ExecCommand::ExecVrf) {
        add("/bin/sh", "-c", command.rest);
    } else if (command.command == ExecCommand::Ping) {
        add("ping", "-n", "-c", std::to_string(command.count.value_or(5)));
        if (command.size) add("-s", std::to_string(*command.size));
        if (command.df) add("-M", "do");
        if (!command.source.empty()) add("-I", command.source);
        add("--", command.target);
    } else {
        add("traceroute", "-n");
        if (!command.source.empty()) add("-s", command.source);
        add("--", command.target);
    }
    // A source may be named by its interface: the namespace knows addresses only.
    if (!command.source.empty() && !IpAddress::parse(command.source)) {
        const auto* entry = store_.router().interfaces().find(command.source);
        const auto target = IpAddress::parse(command.target);
        const auto own =
            entry ? store_.router().interfaces().own_address(entry->id, target.value_or(IpAddress{Ipv4Address{}}))
                  : std::nullopt;
        if (!own) return refuse("% " + command.source + " is neither an address nor an interface with one");
        for (auto& word : run.argv) {
            if (word == command.source) word = own->to_string();
        }
    }
    answer.run = std::move(run);
    return answer;
}

}  // namespace culvert::runtime
