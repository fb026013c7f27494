// SPDX-License-Identifier: MIT
// The name of a network namespace: what it is the namespace of, and how commands are told to go there.
#pragma once

#include <optional>
#include <string>

#include "rule/rule.h"

namespace headwind {

// `path`: by which this process can enter the namespace. `subject`: of a rule that sits in it.

// "pod default/shop", "container web"; empty: the namespace is nobody's own. That of process 1 is the host's, whichever
// pods and containers share it.
std::string owner_of_netns(const std::string& path, const std::optional<Subject>& subject);

struct NetnsName {
    std::string path;
    std::string place;  // owner_of_netns(), or "network namespace blue"
    std::string flags;  // of commands on its rules, as typed to a shell: "--pod default/shop"
};
NetnsName name_netns(const std::string& path, const std::optional<Subject>& subject);

}  // namespace headwind
