// SPDX-License-Identifier: MIT
// Writes, explains and erases the stops of rules.
#include "ruleset/stops.h"

#include <algorithm>

#include "util/text.h"

namespace headwind {

bool is_stoppable(const Rule& rule)
{
    return rule.max_share || !rule.stop_if.empty();
}

std::string describe(const hw_stop& stop, const Rule& rule)
{
    if (stop.cause == HW_STOP_CHECK) {
        const auto* const end = std::find(std::begin(stop.words), std::end(stop.words), '\0');
        return fmt::format("its --stop-if failed: {}", harmless(std::string_view(stop.words, end)));
    }
    const auto share = rule.max_share ? format_probability(*rule.max_share) : "its --max-share";
    return fmt::format("it matched {} of {} packets of a hook in one minute, more than {}", stop.touched, stop.packets,
                       share);
}

Result<std::string> why_stopped(const Instance& instance, const RuleRecord& record)
{
    HW_TRY(const auto stop, instance.stops.find(record.stable_id));
    if (!stop) return std::string();
    return fmt::format("{}; `headwind change {} --go-on` starts it again", describe(*stop, record.rule),
                       record.rule.name);
}

Status start_again(const Instance& instance, std::uint32_t stable_id)
{
    HW_CHECK(erase_shares(instance, [stable_id](std::uint32_t other) { return other == stable_id; }));
    return instance.stops.erase(stable_id);
}

Status erase_shares(const Instance& instance, const std::function<bool(std::uint32_t stable_id)>& is_gone)
{
    for (const auto& key : instance.shares.keys())
        if (is_gone(key.state)) HW_CHECK(instance.shares.erase(key));
    return {};
}

Status stop_for_check(const Instance& instance, std::uint32_t stable_id, std::string_view words)
{
    HW_TRY(const auto lease, instance.leases.find(stable_id));
    HW_TRY(const auto stopped, instance.stops.find(stable_id));
    if (!lease || stopped) return {};
    hw_stop stop{};
    stop.at = boottime_ns();
    stop.cause = HW_STOP_CHECK;
    words.substr(0, sizeof(stop.words) - 1).copy(stop.words, sizeof(stop.words) - 1);
    return instance.stops.put(stable_id, stop);
}

}  // namespace headwind
