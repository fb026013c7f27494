// SPDX-License-Identifier: MIT
// Errors as values. Every function of the loader that can fail returns Result<T>; main() prints the error of a command,
// and commands print their output through util/output.h.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace headwind {

// The kind of a failure; the process exits with exit_code(kind).
enum class ErrorKind {
    failed,       // the system refused something; exit 1
    usage,        // the input is wrong; nothing was changed; exit 2
    not_found,    // no such rule, device, namespace, cgroup; exit 3
    permission,   // privileges are missing, or somebody else put something where ours is; exit 4
    unsupported,  // this kernel or host cannot do it; exit 5
    busy,         // another headwind holds the lock; exit 6
};

struct Error {
    ErrorKind kind = ErrorKind::failed;
    std::string message;    // one or more lines, no trailing newline; says what would be right
    std::string rule = {};  // with not_found: the name that no rule has
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

constexpr int exit_code(ErrorKind kind)
{
    switch (kind) {
        case ErrorKind::failed: return 1;
        case ErrorKind::usage: return 2;
        case ErrorKind::not_found: return 3;
        case ErrorKind::permission: return 4;
        case ErrorKind::unsupported: return 5;
        case ErrorKind::busy: return 6;
    }
    return 1;
}

// Makes an Error: fail(ErrorKind::usage, "--delay {}: needs a unit", text).
template <class... Args>
tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args)
{
    return tl::unexpected(Error{kind, fmt::format(format, std::forward<Args>(args)...)});
}

// The privileges that changing anything takes, to close the message of an ErrorKind::permission.
inline constexpr const char* privileges_needed = " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)";

// The Error for a failed system call: `what` names the call for the reader ("create headwind0"); `error` is an errno
// value. EPERM and EACCES become ErrorKind::permission.
inline tl::unexpected<Error> fail_errno(int error, std::string_view what)
{
    const bool denied = error == EPERM || error == EACCES;
    return fail(denied ? ErrorKind::permission : ErrorKind::failed, "{}: {}", what, std::strerror(error));
}

// Passes the error of one Result on as the error of another.
template <class T>
tl::unexpected<Error> pass_error(Result<T>& result)
{
    return tl::unexpected(std::move(result.error()));
}

}  // namespace headwind

// Unwraps a Result or returns its error from the calling function.
//   HW_TRY(const auto links, list_links());   HW_CHECK(set_up(index));
// NOLINTBEGIN(bugprone-macro-parentheses): the arguments are a declaration and the name of a variable
#define HW_CONCAT_(a, b) a##b
#define HW_CONCAT(a, b) HW_CONCAT_(a, b)
#define HW_TRY_(tmp, declaration, expression)     \
    auto tmp = (expression);                      \
    if (!tmp) return ::headwind::pass_error(tmp); \
    declaration = std::move(*tmp)
#define HW_TRY(declaration, expression) HW_TRY_(HW_CONCAT(hw_try_, __LINE__), declaration, expression)
#define HW_CHECK(expression)                                      \
    do {                                                          \
        auto hw_status = (expression);                            \
        if (!hw_status) return ::headwind::pass_error(hw_status); \
    } while (0)
// NOLINTEND(bugprone-macro-parentheses)
