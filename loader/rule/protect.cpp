// SPDX-License-Identifier: MIT
// Makes a rule of each entry of --protect, and a name for it.
#include "rule/protect.h"

#include <algorithm>
#include <numeric>

#include "rule/factory.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr const char* protect_flag = "--protect";
constexpr std::string_view name_prefix = "protect-";

// Whether the text is a port ("22", "8000-8080"), or was meant to be one.
bool is_port_text(std::string_view text)
{
    const auto separators = std::count_if(text.begin(), text.end(), [](char c) { return c == '-' || c == ':'; });
    return separators <= 1 && text.find_first_not_of("0123456789-:") == std::string_view::npos;
}

bool is_address_text(std::string_view text)
{
    return text.find_first_of(".:") != std::string_view::npos &&
           text.find_first_not_of("0123456789abcdefABCDEF.:/") == std::string_view::npos;
}

Result<RuleSpec> port_text(std::string_view entry)
{
    HW_TRY(const auto ports, parse_ports(entry));
    RuleSpec text;
    text.ports = {format_ports(ports)};
    text.name = text.ports.front();
    return text;
}

Result<RuleSpec> address_text(std::string_view entry)
{
    HW_TRY(const auto cidr, parse_cidr(entry));
    RuleSpec text;
    text.remotes = {format_cidr(cidr)};
    text.name = text.remotes.front();
    std::replace_if(
        text.name.begin(), text.name.end(), [](char c) { return c == ':'; }, '.');
    std::replace(text.name.begin(), text.name.end(), '/', '-');
    return text;
}

// FNV-1a
std::uint32_t hash_of(std::string_view text)
{
    return std::accumulate(text.begin(), text.end(), 2166136261U, [](std::uint32_t hash, char c) {
        return (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    });
}

// The name for a cgroup: "a-b" for "/a/b". Where another path could have that name, too, or it is too long, a hash of
// the path follows.
std::string name_of_cgroup(std::string_view path)
{
    std::string name;
    bool clear = true;
    for (const char c : path.substr(1)) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
        clear = clear && (plain || c == '/');
        name += plain ? c : c == '/' || c == '-' ? '-' : '_';
    }
    const auto room = max_name_length - name_prefix.size();
    if (clear && name.size() <= room) return name;
    const auto hash = fmt::format("-{:08x}", hash_of(path));
    return name.substr(0, room - hash.size()) + hash;
}

Result<RuleSpec> cgroup_text(std::string_view entry)
{
    auto path = entry.substr(0, entry.find_last_not_of('/') + 1);
    if (path.empty()) return fail(ErrorKind::usage, "every cgroup: name one below it");
    if (!is_plain_text(path))
        return fail(ErrorKind::usage, "not plain UTF-8 text: write a path like /system.slice/postgresql.service");
    RuleSpec text;
    text.cgroups = {std::string(path)};
    text.name = name_of_cgroup(path);
    return text;
}

Result<RuleSpec> text_of(std::string_view entry)
{
    if (entry.starts_with('/')) return cgroup_text(entry);
    if (is_port_text(entry)) return port_text(entry);
    if (is_address_text(entry)) return address_text(entry);
    return fail(
        ErrorKind::usage,
        "write an address (192.0.2.1, 10.0.0.0/8, 2001:db8::/32), a port (22, 8000-8080) or the path of a cgroup (/system.slice/postgresql.service)");
}

}  // namespace

Result<std::vector<Rule>> make_protections(const std::vector<std::string>& texts)
{
    std::vector<Rule> out;
    HW_TRY(const auto entries, split(protect_flag, texts));
    for (const auto entry : entries) {
        HW_TRY(auto text, named(protect_flag, entry, text_of(entry)));
        text.name = std::string(name_prefix) + text.name;
        text.pass = true;
        HW_TRY(auto rule, named(protect_flag, entry, make_rule(text)));
        if (std::find(out.begin(), out.end(), rule) == out.end()) out.push_back(std::move(rule));
    }
    return out;
}

}  // namespace headwind
