// SPDX-License-Identifier: MIT
// comcast's command line (github.com/tylertreat/comcast) as rules. Pure; the command itself is
// commands/comcast.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

constexpr const char* comcast_rule = "comcast";                  // for packets that --target-... select
constexpr const char* comcast_default_rule = "comcast-default";  // for everything else on the device

// comcast's options as typed. Absent, "0" and "-1" (comcast's own default): not asked for.
struct ComcastOptions {
    std::string device = "eth0";  // or several, with commas
    std::optional<std::string> latency = {}, target_bw = {}, default_bw = {}, packet_loss = {};
    std::vector<std::string> target_addrs = {}, target_ports = {}, target_protos = {};
};

// One or two rules, the first for the targets. Bare numbers are milliseconds, kbit/s and percent, as in comcast;
// numbers with a unit are Headwind's.
Result<std::vector<RuleSpec>> translate_comcast(const ComcastOptions& options);

// The message of an error of make_rule, with comcast's names of the flags.
std::string in_comcast_words(std::string message);

// "headwind add --replace --name comcast ...", for a shell.
std::string add_command(const RuleSpec& text, const std::string& netns = "");
// "headwind del --if-exists comcast ..."
std::string delete_command(const std::vector<std::string>& names, const std::string& netns = "");

// The words after `headwind`, in which comcast's flags get their second dash if the first word is "comcast": Go takes
// -latency for --latency.
std::vector<std::string> with_double_dashes(std::vector<std::string> words);

}  // namespace headwind
