// SPDX-License-Identifier: MIT
// Parses models of losses, and makes chains of them.
#include "chance/loss_model.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "util/text.h"
#include "util/units.h"

namespace headwind {
namespace {

constexpr std::string_view usage =
    "write gemodel P [R [1-H [1-K]]] or state P13 [P31 [P32 [P23 [P14]]]], like \"gemodel 1% 10%\"";

struct Model {
    bool gemodel = true;
    std::vector<Probability> parameters;  // gemodel: P, R, 1-H, 1-K; else P13, P31, P32, P23, P14
};

Status check_sum(std::string_view a, Probability first, std::string_view b, Probability second)
{
    if (first.threshold + second.threshold <= Probability::always) return {};
    return fail(ErrorKind::usage, "{} and {} add up to more than 100%: both lead away from the same state", a, b);
}

Result<Model> parse(std::string_view text)
{
    constexpr Probability always{Probability::always}, never{0};
    const auto words = words_of(text);
    if (words.empty() || (words.front() != "gemodel" && words.front() != "state"))
        return fail(ErrorKind::usage, "unknown model: {}", usage);
    Model model;
    model.gemodel = words.front() == "gemodel";
    model.parameters =
        model.gemodel ? std::vector{never, never, always, never} : std::vector{never, never, never, always, never};
    if (words.size() < 2 || words.size() > model.parameters.size() + 1)
        return fail(ErrorKind::usage, "{} percentages: {}", words.size() - 1, usage);
    for (std::size_t i = 1; i < words.size(); ++i) {
        HW_TRY(model.parameters[i - 1], parse_probability(words[i]));
        if (i == 1) model.parameters[1].threshold = Probability::always - model.parameters[0].threshold;
    }
    if (model.gemodel) return model;
    HW_CHECK(check_sum("P13", model.parameters[0], "P14", model.parameters[4]));
    HW_CHECK(check_sum("P31", model.parameters[1], "P32", model.parameters[2]));
    return model;
}

}  // namespace

Result<std::string> normal_loss_model(std::string_view text)
{
    HW_TRY(const auto model, parse(text));
    std::string words = model.gemodel ? "gemodel" : "state";
    for (const auto parameter : model.parameters) words += " " + format_probability(parameter);
    return words;
}

Chain chain_of_loss_model(const std::string& words)
{
    const auto model = parse(words).value();
    std::array<double, 5> p{};
    std::ranges::transform(model.parameters, p.begin(), fraction_of);
    if (model.gemodel) return gilbert_elliott_chain(p[0], p[1], p[2], p[3]);
    return four_state_chain(p[0], p[1], p[2], p[3], p[4]);
}

}  // namespace headwind
