// SPDX-License-Identifier: MIT
// Losses: the flags that say which packets are lost, and the chains of what depends on earlier packets.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "chance/loss_model.h"
#include "chance/packet_list.h"
#include "rule/factory.h"
#include "rule/flags.h"
#include "util/text.h"

namespace headwind {
namespace {

// "3", "2.5": the mean length of a burst, in 1/1000 packets.
Result<std::uint64_t> parse_burst(std::string_view text)
{
    constexpr double most = 1'000'000;
    const auto number = trimmed(text);
    double packets = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), packets);
    if (error != std::errc() || end != number.data() + number.size() || !(packets >= 1) || packets > most)
        return fail(ErrorKind::usage, "write a number of packets from 1 to {}, like 3 or 2.5", most);
    return static_cast<std::uint64_t>(std::llround(packets * 1000));
}

Status check_burst(const RuleSpec& text, const Impairment& impairment)
{
    if (!text.loss_burst || !happens(impairment.loss)) return {};
    if (text.loss_correlation)
        return refuse("--loss-burst", *text.loss_burst,
                      "it makes a correlation, and --loss-correlation bursts: use one of them");
    if (impairment.loss->threshold == Probability::always)
        return refuse("--loss-burst", *text.loss_burst, "--loss 100% is one burst without an end: leave it out");
    const double shortest = 1000 * shortest_burst(fraction_of(*impairment.loss));
    if (static_cast<double>(impairment.loss_burst) >= shortest) return {};
    return refuse("--loss-burst", *text.loss_burst,
                  fmt::format("bursts are no shorter where {} is lost: use at least {}",
                              format_probability(*impairment.loss), std::ceil(shortest) / 1000));
}

// Each in its way.
constexpr std::array<std::string_view, 4> loss_flags{"--loss", "--loss-model", "--loss-nth", "--loss-pattern"};

Status check_losses(const RuleSpec& text)
{
    const auto* const one = loss_flag(text);
    for (const auto name : loss_flags) {
        const auto& other = rule_flag(name);
        if (is_given(other, text) && &other != one)
            return refuse(name, said(other, text),
                          fmt::format("it says what is lost, and so does {}: use one of them", one->name));
    }
    return {};
}

// The share of the packets that is lost where no flag says it.
double share_of_losses(const Impairment& impairment)
{
    if (impairment.loss_nth != 0) return 1 / static_cast<double>(impairment.loss_nth);
    if (impairment.lost_packets.empty()) return facts_of(chain_of_loss_model(impairment.loss_model)).share;
    return static_cast<double>(count_of(impairment.lost_packets)) / impairment.lost_packets.back().second;
}

}  // namespace

const Flag* loss_flag(const RuleSpec& text)
{
    const auto* const first =
        std::ranges::find_if(loss_flags, [&text](std::string_view name) { return is_given(rule_flag(name), text); });
    return first == loss_flags.end() ? nullptr : &rule_flag(*first);
}

void forget_losses(RuleSpec& text)
{
    for (const auto name : loss_flags) text.*std::get<Word>(rule_flag(name).member) = std::nullopt;
    text.lost_packets.clear();
}

Status read_losses(const RuleSpec& text, Impairment& into)
{
    HW_CHECK(read_word("--loss-burst", text.loss_burst, parse_burst, into.loss_burst));
    return read_word("--loss-model", text.loss_model, normal_loss_model, into.loss_model);
}

Status put_losses(const RuleSpec& text, Impairment& impairment)
{
    HW_CHECK(check_losses(text));
    HW_CHECK(check_burst(text, impairment));
    if (text.loss_pattern) {
        impairment.loss_pattern = std::string(trimmed(*text.loss_pattern));
        impairment.lost_packets = text.lost_packets;
        if (impairment.lost_packets.empty())
            return refuse("--loss-pattern", *text.loss_pattern, "its file has not been read");
    }
    if (impairment.loss_model.empty() && impairment.loss_nth == 0 && !text.loss_pattern) return {};
    const double share = share_of_losses(impairment);
    const double threshold = std::ceil(std::ldexp(std::min(share, 1.0), 32) - 0.5);
    impairment.loss = Probability{static_cast<std::uint64_t>(share > 0 ? std::max(threshold, 1.0) : 0)};
    return {};
}

bool has_sequence(const Impairment& impairment)
{
    return happens(impairment.loss_correlation) || happens(impairment.corrupt_correlation) ||
           happens(impairment.duplicate_correlation) || happens(impairment.reorder_correlation) ||
           (impairment.jitter != 0 && happens(impairment.delay_correlation) && !impairment.netem_compatible) ||
           impairment.seed != 0 || impairment.loss_burst != 0 || !impairment.loss_model.empty() ||
           impairment.loss_nth != 0 || !impairment.lost_packets.empty() ||
           (impairment.netem_compatible && happens(impairment.loss) && happens(impairment.duplicate));
}

Chain event_chain(const std::optional<Probability>& share, const std::optional<Probability>& correlation)
{
    if (!share) return independent_chain(0);
    if (!happens(correlation)) return independent_chain(fraction_of(*share));
    return correlated_chain(fraction_of(*share), fraction_of(*correlation));
}

Chain loss_chain(const Impairment& impairment)
{
    if (impairment.loss_nth != 0 || !impairment.lost_packets.empty()) return independent_chain(0);
    if (!impairment.loss_model.empty()) return chain_of_loss_model(impairment.loss_model);
    if (impairment.loss_burst != 0 && happens(impairment.loss))
        return bursty_chain(fraction_of(*impairment.loss), static_cast<double>(impairment.loss_burst) / 1000);
    return event_chain(impairment.loss, impairment.netem_compatible ? std::nullopt : impairment.loss_correlation);
}

}  // namespace headwind
