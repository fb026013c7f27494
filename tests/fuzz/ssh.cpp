// SPDX-License-Identifier: MIT
// Fuzzes $SSH_CONNECTION and lines of /proc/net/tcp, which tell the connection that a command must spare.
#include "ssh/ssh_session.h"

#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

namespace {

std::string address(const Cidr& cidr)
{
    const auto text = format_cidr(cidr);
    return text.substr(0, text.find('/'));
}

void check_connection(const std::string& text)
{
    const auto connection = parse_ssh_connection(text);
    if (!connection) return;
    REQUIRE(connection->client_port != 0 && connection->server_port != 0, text);
    const auto printed = fmt::format("{} {} {} {}", address(connection->client), connection->client_port,
                                     address(connection->server), connection->server_port);
    const auto again = parse_ssh_connection(printed);
    REQUIRE(again && *again == *connection, printed);

    // The connection's guard is a rule that a user could give, and covers this connection and no other.
    auto guard = guard_rule(*connection);
    fuzz::require_sound(guard);
    REQUIRE(!could_match(guard, *connection), describe_rule(guard));
    guard.impairment.pass = false;
    REQUIRE(could_match(guard, *connection) && names(guard, *connection), describe_rule(guard));
    auto other = *connection;
    other.client_port = static_cast<std::uint16_t>(other.client_port ^ 1U);
    REQUIRE(!could_match(guard, other), describe_rule(guard));
}

void check_line(const std::string& line)
{
    const auto ports = established_ports(line);
    if (!ports) return;
    const auto printed = fmt::format("0: 0:{:X} 0:{:X} 01 0:0", ports->first, ports->second);
    REQUIRE(established_ports(printed) == ports, line + "\n" + printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(fuzz::text_of(data, size));
    check_connection(text);
    for (const auto& line : fuzz::split(text, '\n')) check_line(line);
    return 0;
}
