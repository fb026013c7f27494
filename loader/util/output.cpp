// SPDX-License-Identifier: MIT
// Writes to stdout and stderr, and remembers whether anything was lost.
#include "util/output.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

namespace headwind {
namespace {

std::atomic<int> lost_by = 0;  // errno of the first failure on stdout
bool pipe_signal_ends = false;

// Writes all of `text`, or as much as can be written.
void write_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        const auto written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace

void prepare_output()
{
    // Each is opened for the wrong direction, so that using it fails as before.
    constexpr int wrong_way[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd <= STDERR_FILENO; ++fd)
        if (fcntl(fd, F_GETFD) < 0) static_cast<void>(open("/dev/null", wrong_way[fd] | O_CLOEXEC));
    pipe_signal_ends = signal(SIGPIPE, SIG_IGN) == SIG_DFL;
}

void restore_sigpipe()
{
    if (pipe_signal_ends) signal(SIGPIPE, SIG_DFL);
}

bool is_output_written()
{
    if (std::fflush(stdout) != 0 && lost_by == 0) lost_by = errno;
    if (std::ferror(stdout) != 0 && lost_by == 0) lost_by = EIO;  // somebody else flushed
    return lost_by == 0;
}

void end_like_a_pipe()
{
    if (lost_by != EPIPE || !pipe_signal_ends) return;
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

void write_out(std::string_view text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && lost_by == 0) lost_by = errno;
}

void write_err(std::string_view text)
{
    static_cast<void>(is_output_written());  // flushes stdout: a terminal shows both in their order
    write_all(STDERR_FILENO, text);
}

void print_json(const nlohmann::json& json, int indent)
{
    write_out(json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace headwind
