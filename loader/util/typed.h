// SPDX-License-Identifier: MIT
// The values of flags as they were typed, and errors that name flag and value. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"

namespace headwind {

std::string typed(std::string_view flag, std::string_view value);
std::string typed(std::string_view flag, const std::vector<std::string>& values);
void append_word(std::string& words, std::string_view word);
tl::unexpected<Error> refuse(std::string_view flag, std::string_view value, std::string_view why);

template <class T>
Result<T> named(std::string_view flag, std::string_view value, Result<T> result)
{
    if (!result) return refuse(flag, value, result.error().message);
    return result;
}

// The entries between commas, without blanks around them; an empty one is refused.
Result<std::vector<std::string_view>> split(std::string_view flag, const std::vector<std::string>& values);

}  // namespace headwind
