// SPDX-License-Identifier: MIT
// Shows values as they were typed, and splits lists of them.
#include "util/typed.h"

#include <fmt/ranges.h>

#include "util/text.h"

namespace headwind {

Result<std::vector<std::string_view>> split(std::string_view flag, const std::vector<std::string>& values)
{
    std::vector<std::string_view> entries;
    for (const std::string& value : values) {
        std::string_view rest = value;
        for (bool more = true; more;) {
            const std::size_t comma = rest.find(',');
            const std::string_view entry = trimmed(rest.substr(0, comma));
            if (entry.empty()) {
                return refuse(flag, value, "empty entry: write something there, or leave the flag or the comma out");
            }
            entries.push_back(entry);
            more = comma != std::string_view::npos;
            if (more) rest.remove_prefix(comma + 1);
        }
    }
    return entries;
}

std::string typed(std::string_view flag, std::string_view value)
{
    return fmt::format("{} {}", flag, printable(value));
}

std::string typed(std::string_view flag, const std::vector<std::string>& values)
{
    return typed(flag, fmt::format("{}", fmt::join(values, ",")));
}

void append_word(std::string& words, std::string_view word)
{
    if (!words.empty() && !word.empty()) words += ' ';
    words += word;
}

tl::unexpected<Error> refuse(std::string_view flag, std::string_view value, std::string_view why)
{
    return fail(ErrorKind::usage, "{}: {}", typed(flag, value), why);
}

}  // namespace headwind
