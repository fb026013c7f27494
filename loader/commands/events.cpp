// SPDX-License-Identifier: MIT
// The command `headwind events`: what happened to rules, as it happens.
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "commands/cli.h"
#include "event/event_file.h"
#include "host/agent_claim.h"
#include "host/host.h"
#include "util/output.h"
#include "util/units.h"

namespace headwind {
namespace {

struct EventsOptions {
    CommonOptions common;
    std::string since;
    bool no_follow = false;
};

// "2026-11-30T10:52:13.123Z"
std::string utc_text(std::int64_t unix_ms)
{
    const time_t seconds = unix_ms / 1'000;
    tm utc{};
    gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                       utc.tm_hour, utc.tm_min, utc.tm_sec, unix_ms % 1'000);
}

void print(const Event& event, bool json)
{
    if (json)
        put("{}\n", to_json_line(event));
    else
        put("{} {}\n", utc_text(event.time_unix_ms), to_text(event));
}

// The inode of the network namespace that is named, after entering it; 0: none is named.
Result<std::uint64_t> find_scope(const CommonOptions& common)
{
    use_host_root(common.host_root);
    if (common.netns.empty() && !common.subject.given()) return 0;
    HW_CHECK(enter(common));
    HW_TRY(const auto netns, current_netns());
    return netns.inode;
}

// Waits until there may be more events. False: nobody reads our output any more.
bool wait_for_more(const KeptEvents& events)
{
    constexpr int look_again = 10'000;  // ms; where fd() does not tell
    std::array<pollfd, 2> sources{pollfd{events.fd(), POLLIN, 0}, pollfd{STDOUT_FILENO, 0, 0}};
    ::poll(sources.data(), sources.size(), look_again);
    return sources[1].revents == 0;
}

Result<int> show_events(const EventsOptions& options)
{
    std::int64_t first = options.no_follow ? 0 : unix_ms_now();  // what was kept before is not asked for
    if (!options.since.empty()) {
        HW_TRY(const auto since, parse_time_option("--since", options.since));
        first = unix_ms_now() - static_cast<std::int64_t>(since / 1'000'000);
    }
    HW_TRY(const auto inode, find_scope(options.common));
    using From = KeptEvents::From;
    HW_TRY(auto events, KeptEvents::open(options.since.empty() && !options.no_follow ? From::now : From::oldest));
    if (!options.no_follow && !agent_serves_here().value_or(true))
        say("headwind: no agent runs: what happens without a command (a device goes, a rule expires) is told when one runs (headwind agent), or when the next command finds it\n");
    for (;;) {
        for (const auto& event : events.read()) {
            const bool meant = inode == 0 || event.netns_inode == 0 || event.netns_inode == inode;
            if (event.time_unix_ms >= first && meant) print(event, options.common.json);
        }
        std::fflush(stdout);
        if (options.no_follow || !wait_for_more(events) || !is_output_written()) return 0;
    }
}

}  // namespace

void register_events(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<EventsOptions>();
    auto* command = app.add_subcommand("events", "what happens to rules, as it happens, and who did it");
    command->add_option("--since", options->since, "begin with what happened in this time before now: 10m")
        ->type_name("TIME");
    command->add_flag("--no-follow", options->no_follow, "end after what has happened: all that is kept, or --since");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "Of all network namespaces, unless one is named. What commands changed is told with the user; what happens by\n"
        "itself (a rule expires, its device goes or comes back, somebody takes away what it needs) by `headwind agent`,\n"
        "or by the next command that finds it. Kept are the last events, 1 to 2 MiB, in /run/headwind/events.jsonl.\n"
        "--json: a line of JSON for each.\n\n"
        "Examples:\n"
        "  headwind events\n"
        "  headwind events --since 1h --no-follow\n"
        "  headwind events --netns blue --json | jq -r 'select(.event == \"not-effective\") | .rule + \" \" + .why'");
    command->callback([options, &cli] { cli.chosen = [options] { return show_events(*options); }; });
}

}  // namespace headwind
