// SPDX-License-Identifier: MIT
// Models of losses in netem's words: gemodel P [R [1-H [1-K]]], state P13 [P31 [P32 [P23 [P14]]]]. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "chance/chain.h"
#include "util/result.h"
#include "util/units.h"

namespace headwind {

struct LossModel {
    enum class Kind { gemodel, state };
    Kind kind = Kind::gemodel;
    std::array<Probability, 5> parameters{};  // in the order of the words; gemodel has four, its fifth is 0
    friend bool operator==(const LossModel&, const LossModel&) = default;
};

// "gemodel 1% 10% 70% 0.1%", "state 1% 30%". What is left out is as in netem: R is 1 - P, 1-H 100%, 1-K 0%; P31 is
// 1 - P13, P32 0%, P23 100%, P14 0%. Refuses transitions that add up to more than 100%.
Result<LossModel> parse_loss_model(std::string_view text);
// All parameters, each as written.
std::string format_loss_model(const LossModel& model);
Chain chain_of(const LossModel& model);

}  // namespace headwind
