// SPDX-License-Identifier: MIT
// Reads the text of a file line by line.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "util/result.h"
#include "util/text.h"

namespace headwind {

// Calls `read`, which takes a line and returns a Status, for each line that has something beside a comment (from # on).
// Errors get FILE:LINE.
template <class Read>
Status read_lines(std::string_view text, const std::string& file, Read read)
{
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        auto line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        line = trimmed(line.substr(0, std::min(line.find('#'), line.find('\r'))));
        if (line.empty()) continue;
        if (const Status status = read(line); !status)
            return fail(ErrorKind::usage, "{}:{}: {}", file, number, status.error().message);
    }
    return {};
}

}  // namespace headwind
