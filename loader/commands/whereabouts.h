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

// The network namespaces of this host, but for the thread's own, that have rules.
struct Elsewhere {
    struct Place {
        NetnsName netns;
        std::size_t rules = 0;
    };
    std::vector<Place> places;  // the first five
    std::size_t more = 0;       // namespaces that were not looked at
    bool empty() const { return places.empty() && more == 0; }
};
// Those where rules match. Best effort: what this process may not see is left out.
Elsewhere find_elsewhere(const RuleFilter& filter);

// "2 rules in pod default/shop: headwind list --pod default/shop", a line each. `command`: "list".
std::string elsewhere_words(const Elsewhere& found, const std::string& command);
nlohmann::json to_json(const Elsewhere& found);

// Where Error::rule names a rule that is not here, but elsewhere, makes the message say where, and what to type.
// `words`: the command line, as it was typed.
void tell_whereabouts(Error& error, const std::vector<std::string>& words);

}  // namespace headwind
