// SPDX-License-Identifier: MIT
// --protect: traffic that no rule of the network namespace impairs. Pure.
#pragma once

#include <string>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

// A rule for each entry of "10.0.0.0/8,22,8000-8080,/system.slice/x.service" that leaves its packets alone, both ways:
// an address or prefix of the other end, a port at either end, the sockets of a cgroup. The names of the rules are made
// of the entries: protect-10.0.0.0-8, protect-22. Each rule comes once, in the order typed.
Result<std::vector<Rule>> make_protections(const std::vector<std::string>& texts);

}  // namespace headwind
