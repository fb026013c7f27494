// SPDX-License-Identifier: MIT
// Writes headwind(8) and the completions into a folder, while Headwind is built.
#include <cstdio>
#include <fstream>

#include "commands/cli.h"
#include "manual/manual.h"

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fputs("write_manual FOLDER\n", stderr);
        return 2;
    }
    CLI::App app;
    headwind::Cli cli;
    headwind::register_all(app, cli);
    const std::string folder = argv[1];
    const auto write = [&folder](const char* name, const std::string& text) {
        std::ofstream file(folder + "/" + name);
        return static_cast<bool>(file << text << std::flush);
    };
    const bool written = write("headwind.8", headwind::man_page(app, HEADWIND_VERSION)) &&
                         write("headwind.bash", headwind::bash_completion(app)) &&
                         write("_headwind", headwind::zsh_completion(app)) &&
                         write("headwind.fish", headwind::fish_completion(app));
    if (!written) std::perror("write_manual");
    return written ? 0 : 1;
}
