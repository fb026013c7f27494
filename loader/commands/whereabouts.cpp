// SPDX-License-Identifier: MIT
// Finds rules in other network namespaces, and names those namespaces.
#include "commands/whereabouts.h"

#include <sys/stat.h>

#include <algorithm>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "datapath/instance_pins.h"
#include "host/host.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::size_t most_named = 5;

std::string rules_words(std::size_t count)
{
    return count == 1 ? "1 rule" : fmt::format("{} rules", count);
}

}  // namespace

std::optional<Subject> subject_there(const std::vector<RuleView>& rules)
{
    for (const auto& view : rules)
        if (const auto& subject = view.record.rule.subject; subject && !subject->at_host) return subject;
    return std::nullopt;
}

std::vector<Elsewhere> find_elsewhere(const std::vector<std::string>& names)
{
    std::vector<Elsewhere> out;
    const auto others = other_instances_exist();
    if (!others || !*others) return out;
    const auto paths = instance_netns_paths();
    const auto here = current_netns();
    if (!paths || !here) return out;
    for (const auto& path : *paths) {
        const auto netns = open_netns(path);
        struct stat there {};
        if (!netns || fstat(netns->get(), &there) != 0 || there.st_ino == here->inode) continue;
        static_cast<void>(in_netns(netns->get(), [&]() -> Status {
            HW_TRY(const auto found, rules_here(names));
            if (found.count != 0) out.push_back({name_netns(path, found.subject), found.count});
            return {};
        }));
    }
    return out;
}

std::string elsewhere_words(const std::vector<Elsewhere>& found, const std::string& command)
{
    std::string out;
    for (std::size_t i = 0; i < std::min(found.size(), most_named); ++i)
        out += fmt::format("{} in {}: headwind {} {}\n", rules_words(found[i].rules), found[i].netns.place, command,
                           found[i].netns.flags);
    if (found.size() > most_named)
        out += fmt::format("and in {} more network namespaces: headwind {} --everywhere\n", found.size() - most_named,
                           command);
    return out;
}

nlohmann::json to_json(const std::vector<Elsewhere>& found)
{
    auto out = nlohmann::json::array();
    for (const auto& [netns, rules] : found)
        out.push_back({{"netns", netns.path}, {"place", netns.place}, {"flags", netns.flags}, {"rules", rules}});
    return out;
}

void tell_whereabouts(Error& error, const std::string& command)
{
    if (error.rule.empty()) return;
    const auto found = find_elsewhere({error.rule});
    if (found.empty()) return;
    const auto name = printable(error.rule);
    const bool takes_name = command == "del" || command == "stats" || command == "renew" || command == "change";
    std::vector<std::string> places, commands;
    for (std::size_t i = 0; i < std::min(found.size(), most_named); ++i) {
        places.push_back(found[i].netns.place);
        commands.push_back(takes_name ? fmt::format("headwind {} {}{} {}", command, name,
                                                    command == "change" ? " ..." : "", found[i].netns.flags)
                                      : found[i].netns.flags);
    }
    error.message = fmt::format("no rule is called {} here, but in {}{}: {}", name, fmt::join(places, ", in "),
                                found.size() > most_named ? ", and elsewhere" : "", fmt::join(commands, "; or "));
}

}  // namespace headwind
