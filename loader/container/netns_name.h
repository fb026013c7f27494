// SPDX-License-Identifier: MIT
// The name of a network namespace: what it is the namespace of, and how commands are told to go there.
#pragma once

#include <optional>
#include <string>

#include "rule/rule.h"

namespace headwind {

struct NetnsName {
    std::string path;   // by which it can be entered
    std::string place;  // "pod default/shop", "container web", "network namespace blue"
    std::string flags;  // of commands on its rules: "--pod default/shop"
};
// `subject`: of a rule that sits in it. It may be of a container that is gone: then `flags` find nothing.
NetnsName name_netns(const std::string& path, const std::optional<Subject>& subject);

}  // namespace headwind
