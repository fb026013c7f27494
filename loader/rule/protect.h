// --protect: traffic that no rule of the network namespace impairs. Pure.
#pragma once

#include <string>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

// Each entry of "10.0.0.0/8,22,8000-8080,/system.slice/x.service" as a rule that leaves it alone, both ways: an address
// or prefix of the other end, a port at either end, the sockets of a cgroup. Their names follow from what they say:
// protect-10.0.0.0-8, protect-22. Each once, in the order typed.
Result<std::vector<Rule>> make_protections(const std::vector<std::string>& texts);

}  // namespace headwind
