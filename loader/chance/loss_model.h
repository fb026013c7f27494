// SPDX-License-Identifier: MIT
// Models of losses in netem's words: gemodel P [R [1-H [1-K]]], state P13 [P31 [P32 [P23 [P14]]]]. Pure.
#pragma once

#include <string>
#include <string_view>

#include "chance/chain.h"
#include "util/result.h"

namespace headwind {

// The words with all parameters: "gemodel 1% 10%" -> "gemodel 1% 10% 100% 0%". What is left out is as in netem: R is
// 1 - P, 1-H 100%, 1-K 0%; P31 is 1 - P13, P32 0%, P23 100%, P14 0%. Refuses transitions that add up to more than 100%.
Result<std::string> normal_loss_model(std::string_view text);
// Of words that normal_loss_model() made.
Chain chain_of_loss_model(const std::string& words);

}  // namespace headwind
