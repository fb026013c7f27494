// SPDX-License-Identifier: MIT
// Parses models of losses, and makes chains of them.
#include "chance/loss_model.h"

#include <algorithm>

#include "util/text.h"

namespace headwind {
namespace {

constexpr std::string_view usage = "write gemodel P [R [1-H [1-K]]] or state P13 [P31 [P32 [P23 [P14]]]], like \"gemodel 1% 10%\"";

Status check_sum(std::string_view a, Probability first, std::string_view b, Probability second)
{
    if (first.threshold + second.threshold <= Probability::always) return {};
    return fail(ErrorKind::usage, "{} and {} add up to more than 100%: both lead away from the same state", a, b);
}

}  // namespace

Result<LossModel> parse_loss_model(std::string_view text)
{
    const auto words = words_of(text);
    LossModel model;
    if (!words.empty() && words.front() == "state")
        model.kind = LossModel::Kind::state;
    else if (words.empty() || words.front() != "gemodel")
        return fail(ErrorKind::usage, "unknown model: {}", usage);
    const std::size_t most = model.kind == LossModel::Kind::state ? 5 : 4;
    if (words.size() < 2 || words.size() > most + 1)
        return fail(ErrorKind::usage, "{} percentages: {}", words.size() - 1, usage);
    auto& [first, second, third, fourth, fifth] = model.parameters;
    HW_TRY(first, parse_probability(words[1]));
    second.threshold = Probability::always - first.threshold;
    if (model.kind == LossModel::Kind::state)
        fourth.threshold = Probability::always;
    else
        third.threshold = Probability::always;
    for (std::size_t i = 2; i < words.size(); ++i) {
        HW_TRY(model.parameters.at(i - 1), parse_probability(words[i]));
    }
    if (model.kind == LossModel::Kind::state) {
        HW_CHECK(check_sum("P13", first, "P14", fifth));
        HW_CHECK(check_sum("P31", second, "P32", third));
    }
    return model;
}

std::string format_loss_model(const LossModel& model)
{
    const bool state = model.kind == LossModel::Kind::state;
    std::string text = state ? "state" : "gemodel";
    for (std::size_t i = 0; i < (state ? 5U : 4U); ++i) text += " " + format_probability(model.parameters.at(i));
    return text;
}

Chain chain_of(const LossModel& model)
{
    std::array<double, 5> p{};
    std::ranges::transform(model.parameters, p.begin(), fraction_of);
    if (model.kind == LossModel::Kind::gemodel) return gilbert_elliott_chain(p[0], p[1], p[2], p[3]);
    return four_state_chain(p[0], p[1], p[2], p[3], p[4]);
}

}  // namespace headwind
