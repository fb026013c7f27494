// SPDX-License-Identifier: MIT
// The way out where the pins are gone, or are not to be trusted: finds what Headwind has in a network namespace by the
// devices there, and removes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "datapath/attached.h"
#include "util/result.h"

namespace headwind {

// Fails with "programs without rules" if Headwind's programs are at devices of this network namespace: for callers that
// have found no instance. Succeeds if the privileges do not suffice to see any.
Status check_no_programs();

// The sorted paths of the network namespaces in which Headwind has anything: those of instances and, where more is
// loaded than they have, those with programs at their devices. A namespace that only open descriptors hold has no path.
// `despite_pins`: pins that cannot be trusted are no error.
Result<std::vector<std::string>> namespaces_in_use(bool despite_pins);

struct Reclaimed {
    std::vector<AttachedProgram> programs;  // taken off
    std::uint32_t packets_lost = 0;         // packets still in the line when `limit` had passed
};
// Takes all programs of Headwind's off the devices of this network namespace, waits for the line, removes it, and gives
// back the sysctls, as far as the programs still know them. Pins are not touched. The caller holds the InstanceLock.
Result<Reclaimed> reclaim(std::chrono::nanoseconds limit, const std::function<void(std::uint32_t left)>& progress);

}  // namespace headwind
