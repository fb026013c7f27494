// SPDX-License-Identifier: MIT
// The SSH connections that a command is typed on, so that no rule cuts off whoever adds it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

struct SshConnection {
    Cidr client, server;  // whole addresses
    std::uint16_t client_port = 0, server_port = 0;
    ino_t netns = 0;  // inode number of the network namespace it was logged into
    friend bool operator==(const SshConnection&, const SshConnection&) = default;
};

// $SSH_CONNECTION, as sshd sets it: "192.0.2.7 51234 192.0.2.1 22". nullopt: not of that form.
std::optional<SshConnection> parse_ssh_connection(const std::string& text);

// The connections of the process and its ancestors, from the environments they were started with: sudo and su clear
// their child's, not their own. In tmux and screen the server is the ancestor, so the connections of all their clients
// count, too. `proc`: "/proc".
std::vector<SshConnection> ssh_connections_of(pid_t process, const std::string& proc);

// Local and remote port of a line of /proc/net/tcp or tcp6; nullopt: no established connection.
std::optional<std::pair<unsigned, unsigned>> established_ports(std::string line);

// Whether the rule impairs and could befall the connection. Cgroups and devices are not looked at.
bool could_match(const Rule& rule, const SshConnection& connection);
// Whether the rule means the connection: it names the server's port by itself, not in a range.
bool names(const Rule& rule, const SshConnection& connection);

// The guard of the connection, "ssh-192.0.2.7-51234": leaves it alone, both ways.
Rule guard_rule(const SshConnection& connection);

}  // namespace headwind
