// SPDX-License-Identifier: MIT
// Composes the line of the audit, and sends it to the journal or prints it.
#include "commands/audit.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include <fmt/ranges.h>

#include "commands/cli.h"
#include "commands/print.h"
#include "commands/whereabouts.h"
#include "event/event_file.h"
#include "host/host.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr const char* journal_socket = "/run/systemd/journal/socket";
constexpr std::size_t most_events = 1'000;  // of a command
constexpr std::size_t most_told = 20;       // rules in the line; HEADWIND_RULES has all

std::string one_line(std::string_view text)
{
    std::string out;
    for (const char c : harmless(text)) {
        if (c == '\n')
            out += "\\x0a";
        else
            out += c;
    }
    return out;
}

std::string who()
{
    const auto uid = getuid();
    const passwd* entry = getpwuid(uid);
    const char* sudo = std::getenv("SUDO_USER");
    return fmt::format("user {} (uid {}{})", entry != nullptr ? entry->pw_name : "?", uid,
                       sudo != nullptr && *sudo != '\0' ? fmt::format(", by sudo from {}", sudo) : "");
}

// The network namespace of a process, or of the calling thread ("thread-self"), as lsns and /proc/PID/ns/net name it;
// empty: not known.
std::string netns_of(const char* process)
{
    struct stat info {};
    if (stat(fmt::format("/proc/{}/ns/net", process).c_str(), &info) != 0) return {};
    return fmt::format("net:[{}]", info.st_ino);
}

std::vector<std::string> names_in(const Changed& changed)
{
    std::vector<std::string> out;
    for (const auto* views : {&changed.added, &changed.replaced, &changed.changed})
        for (const auto& view : *views) out.push_back(view.record.rule.name);
    for (const auto* names : {&changed.removed, &changed.about}) out.insert(out.end(), names->begin(), names->end());
    return out;
}

// What the command did; empty: nothing.
std::string what(const Changed& changed)
{
    std::vector<std::string> parts;
    const auto add = [&parts](const char* verb, const std::vector<RuleView>& views) {
        for (const auto& view : views)
            parts.push_back(fmt::format("{} {}: {}", view.record.guard == Guard::no ? verb : "left alone",
                                        view.record.rule.name, describe_rule(view)));
    };
    if (!changed.words.empty()) parts.push_back(changed.words);
    add("added", changed.added);
    add("replaced", changed.replaced);
    add("changed", changed.changed);
    for (const auto& name : changed.removed) parts.push_back("removed " + name);
    const auto more = parts.size() > most_told ? parts.size() - most_told : 0;
    parts.resize(parts.size() - more);
    if (more != 0) parts.push_back(fmt::format("and {} more", more));
    if (changed.confirm != 0)
        parts.push_back(fmt::format("undone in {} unless confirmed", format_duration(changed.confirm)));
    return fmt::format("{}", fmt::join(parts, "; "));
}

bool send_to_journal(const std::vector<std::pair<const char*, std::string>>& fields)
{
    if (access(journal_socket, F_OK) != 0) return false;  // without it, sd_journal_sendv() says that all went well
    std::vector<std::string> texts;
    for (const auto& [name, value] : fields) texts.push_back(fmt::format("{}={}", name, value));
    std::vector<iovec> pieces;
    for (auto& text : texts) pieces.push_back({text.data(), text.size()});
    return sd_journal_sendv(pieces.data(), static_cast<int>(pieces.size())) >= 0;
}

bool send_to_syslog(const std::string& line)
{
    sockaddr_un address{AF_UNIX, "/dev/log"};
    const Fd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));  // syslog() does not say whether anybody listens
    const auto* at = reinterpret_cast<const sockaddr*>(&address);
    if (!probe || connect(probe.get(), at, sizeof(address)) != 0) return false;
    openlog("headwind", 0, LOG_DAEMON);
    syslog(LOG_NOTICE, "%s", line.c_str());
    closelog();
    return true;
}

std::string now_in_utc()
{
    const time_t now = wall_seconds();
    tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

// The network namespace as the log and `--netns` name it; empty: the host's own.
std::string path_of_this_netns(std::uint64_t inode)
{
    return netns_of("thread-self") == netns_of("1") ? "" : path_of_netns(std::to_string(inode));
}

}  // namespace

std::vector<Event> command_events(const std::string& command, const Changed& changed)
{
    std::vector<Event> out;
    const auto add = [&out](const char* event, const std::string& rule, const std::string& text) {
        out.push_back({.event = event, .text = one_line(text), .rule = rule});
    };
    const auto add_all = [&add](const char* event, const std::vector<RuleView>& views) {
        for (const auto& view : views)
            add(event, view.record.rule.name, fmt::format("{}: {}", event, describe_rule(view)));
    };
    if (!changed.words.empty()) add(changed.event, "", changed.words);
    add_all("added", changed.added);
    add_all("replaced", changed.replaced);
    add_all("changed", changed.changed);
    for (const auto& name : changed.removed) add("removed", name, "removed");
    if (out.size() > most_events) {
        const auto more = out.size() - most_events;
        out.resize(most_events);
        add("changed", "", fmt::format("and {} more rules in the same instant", more));
    }
    for (auto& event : out) {
        event.user = one_line(invoking_user());
        event.command = "headwind " + command;
    }
    out.insert(out.begin(), changed.meanwhile.begin(), changed.meanwhile.end());
    const auto here = changed.everywhere ? Result<NetnsId>(NetnsId()) : current_netns();
    if (!here || here->inode == 0) return out;
    auto subject = changed.subject;
    for (const auto* views : {&changed.added, &changed.replaced, &changed.changed})
        if (!subject) subject = subject_there(*views);
    const auto netns = path_of_this_netns(here->inode);
    const auto owner = netns.empty() ? "" : owner_of_netns(netns, subject);
    for (auto& event : out) {
        event.netns = netns;
        event.place = owner;
        event.netns_inode = here->inode;
    }
    return out;
}

std::string audit_line(const std::string& command, const Changed& changed)
{
    const auto here = netns_of("thread-self");
    const auto place = changed.everywhere || here == netns_of("1") ? "" : " in " + here;
    return one_line(fmt::format("{}, headwind {}{}: {}", who(), command, place, what(changed)));
}

void audit(const std::string& command, const Changed& changed)
{
    if (const auto kept = keep(command_events(command, changed)); !kept)
        say("headwind: not kept for `headwind events`: {}\n", kept.error().message);
    for (const auto& event : changed.meanwhile) {
        const auto line = one_line(to_text(event));
        if (!send_to_journal({{"MESSAGE", line}, {"PRIORITY", "5"}, {"SYSLOG_IDENTIFIER", "headwind"}}))
            send_to_syslog(line);
    }
    if (what(changed).empty()) return;
    const auto line = audit_line(command, changed);
    const bool sent = send_to_journal({{"MESSAGE", line},
                                       {"PRIORITY", "5"},
                                       {"SYSLOG_IDENTIFIER", "headwind"},
                                       {"HEADWIND_USER", one_line(invoking_user())},
                                       {"HEADWIND_COMMAND", command},
                                       {"HEADWIND_RULES", fmt::format("{}", fmt::join(names_in(changed), " "))},
                                       {"HEADWIND_NETNS", netns_of("thread-self")}});
    // say() writes the line in one write, so that it stays whole beside what others write.
    if (!sent && !send_to_syslog(line)) say("headwind: audit: {} {}\n", now_in_utc(), line);
}

}  // namespace headwind
