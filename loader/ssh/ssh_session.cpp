// SPDX-License-Identifier: MIT
// Finds SSH connections in the environments of processes, and compares them with rules.
#include "ssh/ssh_session.h"

#include <linux/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "util/file.h"

namespace headwind {
namespace {

std::optional<std::uint16_t> port_of(const std::string& text)
{
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

std::optional<Cidr> address_of(std::string text)
{
    text = text.substr(0, text.find('%'));  // fe80::1%eth0
    const auto cidr = parse_cidr(text);
    if (!cidr || text.find('/') != std::string::npos) return std::nullopt;
    return *cidr;
}

struct Ancestor {
    pid_t parent = 0;
    std::string name;
};

// Reads "12 (name with ) in it) S 7 ...", where the name ends with the last parenthesis. nullopt: the process is gone.
std::optional<Ancestor> read_process(pid_t process, const std::string& proc)
{
    const auto text = read_file(fmt::format("{}/{}/stat", proc, process));
    const auto open = text.find('('), close = text.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
    std::istringstream rest(text.substr(close + 1));
    Ancestor out;
    char state = 0;
    if (!(rest >> state >> out.parent)) return std::nullopt;
    out.name = text.substr(open + 1, close - open - 1);
    return out;
}

std::optional<SshConnection> connection_of(pid_t process, const std::string& proc)
{
    constexpr std::string_view variable = "SSH_CONNECTION=";
    std::istringstream environment(read_file(fmt::format("{}/{}/environ", proc, process)));
    for (std::string entry; std::getline(environment, entry, '\0');) {
        if (!entry.starts_with(variable)) continue;
        auto connection = parse_ssh_connection(entry.substr(variable.size()));
        struct stat netns {};
        if (connection && stat(fmt::format("{}/{}/ns/net", proc, process).c_str(), &netns) == 0)
            connection->netns = netns.st_ino;
        return connection;
    }
    return std::nullopt;
}

// Adds the connection, once, with the namespace of the outermost process that has it. That process was logged in by it:
// one further in may have gone to another namespace.
void note(std::optional<SshConnection> found, std::vector<SshConnection>& into)
{
    if (!found) return;
    const auto same = std::find_if(into.begin(), into.end(), [&found](const SshConnection& other) {
        return other.client == found->client && other.client_port == found->client_port &&
               other.server == found->server && other.server_port == found->server_port;
    });
    if (same == into.end())
        into.push_back(*found);
    else
        same->netns = found->netns;
}

bool is_multiplexer(const std::string& name)
{
    return name.starts_with("tmux: server") || name == "SCREEN" || name == "screen";
}

bool is_client(const std::string& name)
{
    return name.starts_with("tmux: client") || name == "screen";
}

std::vector<pid_t> clients_of_multiplexers(const std::string& proc)
{
    std::vector<pid_t> out;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(proc, error)) {
        pid_t process = 0;
        const auto name = entry.path().filename().string();
        if (std::from_chars(name.data(), name.data() + name.size(), process).ec != std::errc{}) continue;
        const auto found = read_process(process, proc);
        if (found && is_client(found->name)) out.push_back(process);
    }
    return out;
}

// Notes the connections of the process and its ancestors. True: a tmux or screen is among them.
bool walk_up(pid_t process, const std::string& proc, std::vector<SshConnection>& into)
{
    constexpr int deepest = 1000;
    bool multiplexed = false;
    for (int i = 0; process > 1 && i < deepest; ++i) {
        const auto found = read_process(process, proc);
        if (!found) break;
        note(connection_of(process, proc), into);
        multiplexed = multiplexed || is_multiplexer(found->name);
        process = found->parent;
    }
    return multiplexed;
}

bool contains(const Cidr& network, const Cidr& address)
{
    const int whole = network.prefix / 8, bits = network.prefix % 8;
    if (!std::equal(network.address.begin(), network.address.begin() + whole, address.address.begin())) return false;
    if (bits == 0) return true;
    const auto at = static_cast<std::size_t>(whole);
    return (network.address[at] ^ address.address[at]) >> (8 - bits) == 0;
}

bool is_among(const std::vector<Cidr>& networks, const Cidr& address)
{
    return networks.empty() || std::any_of(networks.begin(), networks.end(),
                                           [&address](const Cidr& network) { return contains(network, address); });
}

bool is_among(const std::vector<PortRange>& ports, std::uint16_t port)
{
    return std::any_of(ports.begin(), ports.end(),
                       [port](const PortRange& range) { return range.first <= port && port <= range.last; });
}

}  // namespace

std::optional<SshConnection> parse_ssh_connection(const std::string& text)
{
    std::istringstream words(text);
    std::string client, client_port, server, server_port, more;
    if (!(words >> client >> client_port >> server >> server_port) || words >> more) return std::nullopt;
    const auto from = address_of(client), to = address_of(server);
    const auto from_port = port_of(client_port), to_port = port_of(server_port);
    if (!from || !to || !from_port || !to_port || from->v4 != to->v4) return std::nullopt;
    return SshConnection{*from, *to, *from_port, *to_port, 0};
}

std::optional<std::pair<unsigned, unsigned>> established_ports(std::string line)
{
    constexpr unsigned established = 1;
    std::replace(line.begin(), line.end(), ':', ' ');
    std::istringstream words(line);
    std::string slot, local, remote;
    unsigned local_port = 0, remote_port = 0, state = 0;
    words >> slot >> local >> std::hex >> local_port >> remote >> remote_port >> state;
    if (!words || state != established) return std::nullopt;
    return std::pair(local_port, remote_port);
}

std::vector<SshConnection> ssh_connections_of(pid_t process, const std::string& proc)
{
    std::vector<SshConnection> out;
    if (walk_up(process, proc, out))
        for (const pid_t client : clients_of_multiplexers(proc)) walk_up(client, proc, out);
    return out;
}

bool could_match(const Rule& rule, const SshConnection& connection)
{
    const auto& selector = rule.selector;
    const auto& protocols = selector.protocols;
    if (rule.impairment.pass) return false;
    if (!protocols.empty() && std::find(protocols.begin(), protocols.end(), IPPROTO_TCP) == protocols.end())
        return false;
    if (!selector.local_ports.empty() && !is_among(selector.local_ports, connection.server_port)) return false;
    if (!selector.remote_ports.empty() && !is_among(selector.remote_ports, connection.client_port)) return false;
    if (!selector.ports.empty() && !is_among(selector.ports, connection.server_port) &&
        !is_among(selector.ports, connection.client_port))
        return false;
    return is_among(selector.locals, connection.server) && is_among(selector.remotes, connection.client);
}

bool names(const Rule& rule, const SshConnection& connection)
{
    const PortRange itself{connection.server_port, connection.server_port};
    const auto has = [&itself](const std::vector<PortRange>& ports) {
        return std::find(ports.begin(), ports.end(), itself) != ports.end();
    };
    return could_match(rule, connection) && (has(rule.selector.local_ports) || has(rule.selector.ports));
}

Rule guard_rule(const SshConnection& connection)
{
    Rule rule;
    auto client = format_cidr(connection.client);
    client = client.substr(0, client.find('/'));
    std::replace(client.begin(), client.end(), ':', '.');  // names have no colons
    rule.name = fmt::format("ssh-{}-{}", client, connection.client_port);
    rule.selector.protocols = {IPPROTO_TCP};
    rule.selector.locals = {connection.server};
    rule.selector.remotes = {connection.client};
    rule.selector.local_ports = {{connection.server_port, connection.server_port}};
    rule.selector.remote_ports = {{connection.client_port, connection.client_port}};
    rule.impairment.pass = true;
    rule.direction = Direction::both;
    rule.priority = max_priority;  // and no rule is more specific than one connection
    return rule;
}

}  // namespace headwind
