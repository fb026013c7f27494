// SPDX-License-Identifier: MIT
// Shared by the fuzz targets for text. Each states properties of a parser, and libFuzzer looks for a text that breaks
// one (tools/fuzz).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"
#include "util/text.h"

#define REQUIRE(condition, shown)                                                           \
    do {                                                                                    \
        if (!(condition)) ::headwind::fuzz::fail_at(__FILE__, __LINE__, #condition, shown); \
    } while (0)

namespace headwind::fuzz {

[[noreturn]] inline void fail_at(const char* file, int line, const char* condition, const std::string& shown)
{
    std::fprintf(stderr, "%s:%d: not so: %s\n%s\n", file, line, condition, shown.c_str());
    std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

// Requires that a refusal has a message, and that this is safe on a terminal.
inline void require_good(const Error& error)
{
    REQUIRE(!error.message.empty(), "");
    REQUIRE(is_plain_text(error.message), error.message);
}

inline std::vector<std::string> split(std::string_view text, char separator)
{
    std::vector<std::string> parts;
    while (true) {
        const auto end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

}  // namespace headwind::fuzz
