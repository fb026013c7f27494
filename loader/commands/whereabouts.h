// SPDX-License-Identifier: MIT
// Where rules are that are not in the network namespace a command looked in: those of containers and pods are in their
// own. Said in the words by which a command reaches them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "container/netns_name.h"
#include "engine/engine.h"

namespace headwind {

// The subject of one of the rules, which sits in their namespace.
std::optional<Subject> subject_there(const std::vector<RuleView>& rules);

struct Elsewhere {
    NetnsName netns;
    std::size_t rules = 0;
};
// The network namespaces of this host, but for the thread's own, that have rules, or rules with these names. Best
// effort: what this process may not see is left out.
std::vector<Elsewhere> find_elsewhere(const std::vector<std::string>& names = {});

// "2 rules in pod default/shop: headwind list --pod default/shop", a line each, and no more than five.
std::string elsewhere_words(const std::vector<Elsewhere>& found, const std::string& command);
nlohmann::json to_json(const std::vector<Elsewhere>& found);

// Where Error::rule names a rule that is not here, but elsewhere, makes the message say where, and what to type.
void tell_whereabouts(Error& error, const std::string& command);

}  // namespace headwind
