// SPDX-License-Identifier: MIT
// Upgrade in place: the programs of an instance that another version of headwind made, of the same ABI, are replaced by
// ours while packets flow. Rules, counters, leases and held packets stay: the maps are the same.
#pragma once

#include <string>
#include <vector>

#include "util/result.h"

namespace headwind {

struct TakenOver {
    bool exists = false;               // there is an instance
    bool replaced = false;             // its programs were another version's
    std::vector<std::string> devices;  // names of those whose programs were replaced, the line's last
};
// Takes over the instance of the calling thread's network namespace; takes the InstanceLock. Killed at any instant, it
// leaves programs of both versions, which work side by side, and the next take-over does the rest. Only `headwind
// upgrade` and the start of an agent do it: two versions that are both in use must not take over from each other for
// ever.
Result<TakenOver> take_over();

}  // namespace headwind
