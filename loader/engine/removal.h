// How rules go: some of them by a transaction, the last ones with all that there is.
#pragma once

#include <chrono>
#include <vector>

#include "datapath/attached.h"
#include "engine/session.h"
#include "engine/types.h"
#include "util/result.h"

namespace headwind {

// `gone`: rules of the session's. With the last that is no guard the instance goes.
Result<Removed> remove_rules(Session& session, const Entries& gone, const Progress& progress,
                             std::chrono::nanoseconds drain);

// Those that are still there. The owners are read from one description each.
Result<std::vector<LeftRule>> rules_left(const Session& session);

// For `clear` where what is pinned cannot be opened, `why`: what is found at devices goes, then the pins.
Result<Removed> clear_by_devices(const Error& why, const Progress& progress, std::chrono::nanoseconds drain);
std::vector<ProgramAt> plain(const std::vector<AttachedProgram>& programs);

}  // namespace headwind
