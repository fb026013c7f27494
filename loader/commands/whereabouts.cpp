// SPDX-License-Identifier: MIT
// Finds rules in other network namespaces, and says where they are.
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

constexpr std::size_t most_places = 5;

bool is_here(const Fd& netns, const NetnsId& here)
{
    struct stat there {};
    return fstat(netns.get(), &there) == 0 && there.st_ino == here.inode;
}

}  // namespace

std::optional<Subject> subject_there(const std::vector<RuleView>& rules)
{
    for (const auto& view : rules)
        if (const auto& subject = view.record.rule.subject; subject && !subject->at_host) return subject;
    return std::nullopt;
}

Elsewhere find_elsewhere(const RuleFilter& filter)
{
    Elsewhere out;
    const auto others = other_instances_exist();
    if (!others || !*others) return out;
    const auto paths = instance_netns_paths();
    const auto here = current_netns();
    if (!paths || !here) return out;
    for (const auto& path : *paths) {
        const auto netns = open_netns(path);
        if (!netns || is_here(*netns, *here)) continue;
        if (out.places.size() == most_places) {
            ++out.more;
            continue;
        }
        static_cast<void>(in_netns(netns->get(), [&]() -> Status {
            HW_TRY(const auto found, rules_here(filter));
            if (found.count != 0) out.places.push_back({name_netns(path, found.subject), found.count});
            return {};
        }));
    }
    return out;
}

std::string elsewhere_words(const Elsewhere& found, const std::string& command)
{
    std::string out;
    for (const auto& [netns, rules] : found.places)
        out += fmt::format("{} rule{} in {}: headwind {} {}\n", rules, rules == 1 ? "" : "s", netns.place, command,
                           netns.flags);
    if (found.more != 0)
        out += fmt::format("{} more network namespaces: headwind {} --everywhere\n", found.more, command);
    return out;
}

nlohmann::json to_json(const Elsewhere& found)
{
    auto places = nlohmann::json::array();
    for (const auto& [netns, rules] : found.places)
        places.push_back({{"netns", netns.path}, {"place", netns.place}, {"flags", netns.flags}, {"rules", rules}});
    return {{"places", places}, {"more_namespaces", found.more}};
}

void tell_whereabouts(Error& error, const std::vector<std::string>& words)
{
    if (error.rule.empty()) return;
    RuleFilter filter;
    filter.names = {error.rule};
    const auto found = find_elsewhere(filter);
    if (found.places.empty()) return;
    std::string command = "headwind";
    for (const auto& word : words) command += " " + shell_word(word);
    std::vector<std::string> places, commands;
    for (const auto& [netns, rules] : found.places) {
        places.push_back(netns.place);
        commands.push_back(command + " " + netns.flags);
    }
    error.message = fmt::format("no rule is called {} here, but in {}: {}", printable(error.rule),
                                fmt::join(places, ", in "), fmt::join(commands, "; or "));
}

}  // namespace headwind
