// SPDX-License-Identifier: MIT
// Text that users typed, for all parsers of it and for errors that show it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"

namespace headwind {

// Splits a line as a shell does: '...', "..." with \" and \\ in it, and \ before any other character. An error says
// what is not closed.
Result<std::vector<std::string>> split_words(std::string_view line);
bool is_blank(char c);                            // space, tab
std::string lowered(std::string_view text);       // ASCII only
std::string_view trimmed(std::string_view text);  // without blanks around it
// The words between blanks.
std::vector<std::string_view> words_of(std::string_view text);
// The word as one types it to a shell: split_words() makes it again.
std::string shell_word(std::string_view word);
// Whether the text is valid UTF-8 without control characters: safe on a terminal and in JSON.
bool is_plain_text(std::string_view text);
// Input as errors show it: bytes that are no plain text as \xNN, cut after 60 characters, in quotes if empty or with
// blanks.
std::string printable(std::string_view text);
// A message as terminals get it: whole, with line ends and without other control characters (\xNN).
std::string harmless(std::string_view message);

}  // namespace headwind
