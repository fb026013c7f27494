// comcast's command line (github.com/tylertreat/comcast) as rules. Pure; the command itself is comcast.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

constexpr const char* comcast_rule = "comcast";                  // what --target-... select
constexpr const char* comcast_default_rule = "comcast-default";  // everything else of the device

// As typed. Absent, "0" and "-1" (comcast's own default): not asked for.
struct ComcastOptions {
    std::string device = "eth0";  // or several, with commas
    std::optional<std::string> latency = {}, target_bw = {}, default_bw = {}, packet_loss = {};
    std::vector<std::string> target_addrs = {}, target_ports = {}, target_protos = {};
};

// One or two rules, the first for the targets. Bare numbers are milliseconds, kbit/s and percent, as in comcast; with a
// unit they are Headwind's.
Result<std::vector<RuleText>> translate_comcast(const ComcastOptions& options);

// An error of make_rule's, with comcast's names of the flags.
std::string in_comcast_words(std::string message);

// "headwind add --replace --name comcast ...", for a shell.
std::string add_command(const RuleText& text, const std::string& netns = "");
// "headwind del --if-exists comcast ..."
std::string delete_command(const std::vector<std::string>& names, const std::string& netns = "");

// Go takes -latency for --latency. In the words after `headwind` comcast's flags get their second dash, if the first
// word is "comcast".
std::vector<std::string> with_double_dashes(std::vector<std::string> words);

}  // namespace headwind
