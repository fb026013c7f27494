// Rules as people and programs read them: a sentence, a state, JSON.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/engine.h"

namespace headwind {

// A wall clock time, as short as it can be: "14:05" today, "2026-11-24 14:05" otherwise; "14:05:07" if it is less
// than ten minutes away.
std::string clock_text(std::int64_t seconds);

// The rule as everyone sees it: sentence, state, counters.
std::string rule_sentence(const RuleView& view);
// "off until Mon 09:00" of a rule whose hours it is not; empty: it is.
std::string opening_words(const RuleView& view);
// Who decides what comes in, where it is not tc everywhere or could be otherwise; empty: tc.
std::string ingress_words(const RuleView& view);
// Takes what is left alone (RuleInfo::guard) out of the views and says it on stderr.
void report_guards(std::vector<RuleView>& views);
nlohmann::json to_json(const RuleView& view);
nlohmann::json to_json(const Counters& counters);

}  // namespace headwind
