// SPDX-License-Identifier: MIT
// The output of commands. A failed write stops no command half-way: what could not be written on stdout becomes an
// error when the command is done (main.cpp), and what could not be written on stderr is lost.
#pragma once

#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json_fwd.hpp>

#include "util/text.h"

namespace headwind {

// Makes 0, 1 and 2 nobody's file if the caller closed them, and keeps SIGPIPE from ending us when a reader of ours goes
// away (`headwind list | head`). To be called before anything is opened or printed.
void prepare_output();
// Gives SIGPIPE back the action that it had for us: for a child, before it becomes another program.
void restore_sigpipe();

// Whether all that was printed on stdout went out.
bool is_output_written();
// Ends the process by SIGPIPE, as any other program, if output was lost because the reader went away, and if SIGPIPE
// would have ended the process as it was started.
void end_like_a_pipe();

void write_out(std::string_view text);  // to stdout, as it is
void write_err(std::string_view text);  // to stderr, in one write

// put() prints on stdout, say() on stderr. Control characters are shown as \xNN (text.h: harmless).
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
// Prints on stdout, with a line end. `indent` -1: on one line. Bytes that are not UTF-8 (names of devices need not be)
// become U+FFFD.
void print_json(const nlohmann::json& json, int indent = 2);

}  // namespace headwind
