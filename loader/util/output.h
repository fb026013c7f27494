// What commands print. It stops none of them half-way: what could not be written on stdout becomes an error when the
// command is done (main.cpp), and what could not be written on stderr is lost.
#pragma once

#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json_fwd.hpp>

#include "util/text.h"

namespace headwind {

// Before anything is opened or printed: 0, 1 and 2 become nobody's file if the caller closed them, and a reader of ours
// that goes away (`headwind list | head`) no longer ends us by SIGPIPE.
void prepare_output();
// In a child, before it becomes another program: as it was for us.
void restore_sigpipe();

// Whether all went out that was printed on stdout.
bool is_output_written();
// If what is lost is so because the reader went away: ends the process by SIGPIPE, as any other program, if that is how
// it was started.
void end_like_a_pipe();

void write_out(std::string_view text);  // to stdout, as it is
void write_err(std::string_view text);  // to stderr, in one write

// Control characters are shown as \xNN (text.h: harmless).
template <class... T>
void put(fmt::format_string<T...> format, T&&... arguments)
{
    write_out(harmless(fmt::format(format, std::forward<T>(arguments)...)));
}
template <class... T>
void say(fmt::format_string<T...> format, T&&... arguments)
{
    write_err(harmless(fmt::format(format, std::forward<T>(arguments)...)));
}
// With a line end. `indent` -1: on one line. What is not UTF-8 (names of devices need not be) becomes U+FFFD.
void print_json(const nlohmann::json& json, int indent = 2);

}  // namespace headwind
