// SPDX-License-Identifier: MIT
// Reads --max-share and --stop-if, by which a rule stops by itself.
#include "rule/factory.h"
#include "util/text.h"

namespace headwind {

Status put_stops(const RuleSpec& text, Rule& rule)
{
    if (rule.impairment.pass && (text.max_share || text.stop_if))
        return refuse(text.max_share ? "--max-share" : "--stop-if", text.max_share.value_or(text.stop_if.value_or("")),
                      "--pass leaves packets alone: there is nothing to stop");
    if (text.max_share) {
        HW_TRY(rule.max_share, named("--max-share", *text.max_share, parse_probability(*text.max_share)));
        if (rule.max_share->threshold == 0 || rule.max_share->threshold >= Probability::always)
            return refuse("--max-share", *text.max_share, "write a share between 0% and 100%, like 20%");
    }
    if (text.stop_if) {
        rule.stop_if = std::string(trimmed(*text.stop_if));
        if (rule.stop_if.empty())
            return refuse("--stop-if", *text.stop_if, "write a shell command, like 'curl -fsS localhost/health'");
        if (rule.stop_if.size() > max_command_length || !is_plain_text(rule.stop_if))
            return refuse("--stop-if", *text.stop_if,
                          fmt::format("write one line of plain text, at most {} bytes; for more, name a script",
                                      max_command_length));
    }
    return {};
}

}  // namespace headwind
