// headwind panic
#include "cli.h"
#include "host.h"

namespace headwind {
namespace {

Result<int> panic(bool off)
{
    HW_TRY(const bool found, set_panic(!off));
    if (!found)
        fmt::print("there are no rules on this host\n");
    else if (off)
        fmt::print("rules of every namespace have their effect again\n");
    else
        fmt::print("every rule of every namespace is off. Go on with `headwind panic --off`, or remove the rules with "
                   "`headwind clear` in each namespace\n");
    return 0;
}

}  // namespace

void register_panic(CLI::App& app, Cli& cli)
{
    auto off = std::make_shared<bool>(false);
    auto* command = app.add_subcommand("panic", "turn every rule of every namespace off, at once");
    command->add_flag("--off", *off, "end the panic: the rules have their effect again");
    command->footer("One write to a map that all instances share; packets already held are still delivered in time.\n\n"
                    "Examples:\n  headwind panic\n  headwind panic --off");
    command->callback([off, &cli] { cli.chosen = [off] { return panic(*off); }; });
}

}  // namespace headwind
