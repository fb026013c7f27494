// SPDX-License-Identifier: MIT
// The command `headwind renew`: renews the leases of rules.
#include "commands/cli.h"
#include "commands/dry_run.h"

namespace headwind {
namespace {

struct RenewOptions {
    CommonOptions common;
    std::vector<std::string> names;
    bool dry_run = false;
};

Result<int> renew(const RenewOptions& options)
{
    HW_CHECK(enter(options.common));
    HW_CHECK(renew_leases(options.names, options.dry_run));
    if (options.dry_run) tell_dry_run();
    return 0;
}

}  // namespace

void register_renew(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<RenewOptions>();
    auto* command = app.add_subcommand("renew", "keep rules with a --lease alive for one lease more");
    command->add_option("name", options->names, "names, as `headwind list` shows them")->required();
    add_dry_run_flag(command, options->dry_run);
    add_common_options(command, options->common, false);
    add_namespace_options(command, options->common);
    command->footer(
        "For a controller of its own that adds rules with --lease and renews them as long as it is well. Exit code 3:\n"
        "a rule is gone. A lease that has ended can be renewed until the next change removes the rule.\n\n"
        "Example:\n"
        "  headwind add --name flaky --remote-port 5432 --loss 5% --lease 30s\n"
        "  while healthy; do headwind renew flaky; sleep 10; done");
    command->callback([options, &cli] { cli.chosen = [options] { return renew(*options); }; });
}

}  // namespace headwind
