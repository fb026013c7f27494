// SPDX-License-Identifier: MIT
// Removes rules: some of them by a transaction, the last ones together with the instance.
#pragma once

#include <chrono>
#include <vector>

#include "datapath/attached.h"
#include "engine/types.h"
#include "engine/write_session.h"
#include "util/result.h"

namespace headwind {

// Removes the rules in `gone`, a subset of the session's. The instance goes with the last rule that is no guard.
Result<Removed> remove_rules(WriteSession& session, const Entries& gone, const Progress& progress,
                             std::chrono::nanoseconds drain);

// What remove_rules() would return, without doing it. The session has the other rules then.
Removed foretell_removal(WriteSession& session, const Entries& gone);

// The rules that are still there, guards left out. One description is read for each owner.
Result<std::vector<LeftRule>> rules_left(const WriteSession& session);

// Clears a namespace whose pins cannot be opened, for the reason `why`: removes what it finds at devices, then the
// pins.
Result<Removed> clear_by_devices(const Error& why, const Progress& progress, std::chrono::nanoseconds drain);
std::vector<ProgramAt> plain(const std::vector<AttachedProgram>& programs);

}  // namespace headwind
