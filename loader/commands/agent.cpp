// SPDX-License-Identifier: MIT
// The command `headwind agent`: runs the agent and, with --listen, serves the counters to Prometheus.
#include <mutex>

#include <systemd/sd-daemon.h>

#include "agent/agent.h"
#include "commands/cli.h"
#include "datapath/instance.h"
#include "host/agent_claim.h"
#include "metrics/metrics.h"
#include "metrics/server.h"
#include "util/text.h"

namespace headwind {
namespace {

struct AgentOptions {
    CommonOptions common;
    std::string listen;
};

// The id of the one namespace to serve, which does not keep it alive; none: all are served.
Result<std::optional<NetnsId>> find_scope(const std::string& name)
{
    if (name.empty()) return std::nullopt;
    HW_TRY(const auto netns, open_netns(name));
    NetnsId id;
    HW_CHECK(in_netns(netns.get(), [&id]() -> Status {
        HW_TRY(id, current_netns());
        return {};
    }));
    return id;
}

Result<std::vector<prometheus::MetricFamily>> scrape(const std::optional<NetnsId>& only)
{
    std::vector<NamedSnapshot> all;
    HW_TRY(const auto inodes, instance_inodes());
    HW_TRY(const auto paths, netns_paths());
    for (const auto& inode : inodes) {
        if (only && inode != std::to_string(only->inode)) continue;
        const auto path = paths.find(inode);
        if (path == paths.end()) continue;  // it is ending
        const auto netns = open_netns(path->second);
        if (!netns) continue;
        HW_CHECK(in_netns(netns->get(), [&]() -> Status {
            HW_TRY(auto one, take_snapshot());
            all.push_back({path->second, std::move(one)});
            return {};
        }));
    }
    return metric_families(all);
}

void tell_start(AgentLog& log, const AgentOptions& options, std::size_t instances, const std::string& address)
{
    auto text = fmt::format(
        "serving {}: {} with rules now",
        options.common.netns.empty() ? "all network namespaces" : "--netns " + printable(options.common.netns),
        instances);
    if (!address.empty()) text += fmt::format("; metrics on http://{}/metrics", address);
    log.tell({.event = "serving", .text = text});
}

Result<int> serve(const AgentOptions& options)
{
    use_host_root(options.common.host_root);
    HW_CHECK(ensure_bpffs());
    HW_TRY(const auto only, find_scope(options.common.netns));
    HW_TRY(auto events, HostEvents::open());
    HW_TRY(auto checks, Checks::open());
    HW_TRY(const auto claimed, claim_for_agent(only));
    std::mutex at_work;  // held by who looks at instances: that code is written for one thread
    std::optional<MetricsServer> server;
    if (!options.listen.empty()) {
        HW_TRY(server, MetricsServer::start(options.listen, [&only, &at_work] {
                   const std::lock_guard guard(at_work);
                   return scrape(only);
               }));
    }
    AgentLog log(options.common.json, only ? std::optional(only->inode) : std::nullopt);
    Agent agent(std::move(events), std::move(checks), log, only);
    bool ready = false;
    const auto after = [&] {
        at_work.unlock();
        sd_notifyf(0, "WATCHDOG=1\nSTATUS=%zu network namespaces with rules", agent.served());
        if (ready) return;
        ready = true;
        sd_notify(0, "READY=1");
        tell_start(log, options, agent.served(), server ? server->address() : "");
    };
    HW_TRY(const auto end, agent.run({[&at_work] { at_work.lock(); }, after}));
    sd_notify(0, "STOPPING=1");
    log.tell({.event = "ending",
              .text = end == Agent::End::asked ? "ending: the rules stay as they are"
                                               : "ending: the network namespace is gone"});
    return 0;
}

}  // namespace

void register_agent(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<AgentOptions>();
    auto* command = app.add_subcommand("agent", "let rules follow what happens to devices and containers, at once");
    command
        ->add_option("--listen", options->listen,
                     "serve the counters of all it serves to Prometheus here (there is no password)")
        ->type_name("HOST:PORT");
    add_common_options(command, options->common, true);
    command->get_option("--netns")->description("serve this network namespace only: a name, a process id, or a path");
    command->footer(
        "Runs in the foreground until it is ended, and serves every network namespace that has rules. It attaches rules\n"
        "to devices that appear and match, again to devices and cgroups that are made anew, and removes rules whose\n"
        "container is gone, whose lease ended, or that expired 10 minutes ago. Without it the next command that changes\n"
        "something in that namespace does the same. When it ends, or is killed, all rules stay as they are.\n"
        "A line on stderr for each thing done; --json: lines of JSON on stdout.\n\n"
        "Examples:\n  headwind agent\n  headwind agent --listen 127.0.0.1:9431\n  headwind agent --netns blue --json\n"
        "  systemctl enable --now headwind-agent      # as a service");
    command->callback([options, &cli] { cli.chosen = [options] { return serve(*options); }; });
}

}  // namespace headwind
