// SPDX-License-Identifier: MIT
// Runs the command of each check in a shell, again and again, in a thread for each.
#include "agent/checks.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "host/host.h"
#include "ruleset/stops.h"
#include "util/text.h"

namespace headwind {
namespace {

using std::chrono::steady_clock;

// A shell with a process group of its own and a pipe for its output.
class Shell {
public:
    static Result<Shell> start(const std::string& command)
    {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
        Shell out;
        out.output_ = Fd(ends[0]);
        const Fd input(ends[1]);
        posix_spawn_file_actions_t files;
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, input.get(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&files, input.get(), STDERR_FILENO);
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        const char* const arguments[] = {"sh", "-c", command.c_str(), nullptr};
        const int error = posix_spawn(&out.process_, "/bin/sh", &files, &attributes,
                                      const_cast<char* const*>(arguments), environ);  // execve's promise
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
        if (error != 0) return fail_errno(error, "start /bin/sh");
        out.ended_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, out.process_, 0)));
        return out;
    }
    Shell(Shell&& other) noexcept
        : process_(std::exchange(other.process_, -1)),
          output_(std::move(other.output_)),
          ended_(std::move(other.ended_)),
          words_(std::move(other.words_))
    {
    }
    Shell& operator=(Shell&&) = delete;
    ~Shell() { end(); }

    // Waits until the shell has ended, `deadline` has passed or `stop` becomes readable. Returns what was wrong; empty:
    // nothing.
    std::string wait(steady_clock::time_point deadline, int stop)
    {
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
            std::array<pollfd, 3> sources{pollfd{ended_.get(), POLLIN, 0}, pollfd{output_.get(), POLLIN, 0},
                                          pollfd{stop, POLLIN, 0}};
            const int ready = poll(sources.data(), sources.size(), static_cast<int>(std::max<long>(0, left.count())));
            if (ready < 0 && errno != EINTR) return fmt::format("not waited for: {}", std::strerror(errno));
            if (sources[2].revents != 0) return "";
            if (sources[1].revents != 0) read_words();
            if (sources[0].revents != 0) return verdict();
            if (ready == 0) return with_words(fmt::format("no end within {} s", check_limit / 1'000'000'000));
        }
    }

private:
    Shell() = default;

    // Reads output and keeps its end: with_words() takes the last line.
    void read_words()
    {
        std::array<char, 4096> buffer{};
        const auto length = read(output_.get(), buffer.data(), buffer.size());
        if (length <= 0) {
            output_ = Fd();  // poll ignores -1
            return;
        }
        words_.append(buffer.data(), static_cast<std::size_t>(length));
        if (words_.size() > buffer.size()) words_.erase(0, words_.size() - buffer.size());
    }

    std::string with_words(std::string what) const
    {
        const auto text = words_.substr(0, words_.find_last_not_of(" \t\r\n") + 1);  // npos + 1 is 0
        const auto line = text.substr(text.rfind('\n') + 1);
        return line.empty() ? what : fmt::format("{}: {}", what, line);
    }

    std::string verdict()
    {
        fcntl(output_.get(), F_SETFL, O_NONBLOCK);  // a grandchild may hold the other end
        if (output_) read_words();
        int status = 0;
        while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
        }
        kill(-process_, SIGKILL);  // processes that it has left behind
        process_ = -1;
        if (WIFSIGNALED(status)) return with_words(fmt::format("signal {}", WTERMSIG(status)));
        return WEXITSTATUS(status) == 0 ? "" : with_words(fmt::format("exit status {}", WEXITSTATUS(status)));
    }

    void end()
    {
        if (process_ < 0) return;
        kill(-process_, SIGKILL);
        while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

    pid_t process_ = -1;
    Fd output_, ended_;
    std::string words_;
};

bool is_readable(int fd, std::uint64_t nanoseconds)
{
    pollfd source{fd, POLLIN, 0};
    return poll(&source, 1, static_cast<int>(nanoseconds / 1'000'000)) > 0;
}

// Runs the command once, in the namespace at `path`. Returns what was wrong; empty: nothing, or `stop` became readable.
// This thread is in the namespace only while it starts the shell: a thread that stays keeps the namespace alive.
std::string run_once(const std::string& path, const std::string& command, int stop)
{
    const auto deadline = steady_clock::now() + std::chrono::nanoseconds(check_limit);
    std::optional<Shell> shell;
    const Fd netns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns) return "";  // the namespace has ended, and its rules with it
    const auto started = in_netns(netns.get(), [&command, &shell]() -> Status {
        HW_TRY(auto made, Shell::start(command));
        shell.emplace(std::move(made));
        return {};
    });
    return started ? shell->wait(deadline, stop) : started.error().message;
}

void signal_event(int fd)
{
    const std::uint64_t one = 1;
    static_cast<void>(!write(fd, &one, sizeof(one)));  // an eventfd takes it, unless it is full of them
}

}  // namespace

struct Checks::Shared {
    Fd event;
    std::mutex guard;
    std::vector<Outcome> outcomes;
};

class Checks::Runner {
public:
    Runner(std::shared_ptr<Shared> shared, std::string inode, std::string path, StopCheck check)
        : shared_(std::move(shared)),
          inode_(std::move(inode)),
          path_(std::move(path)),
          check_(std::move(check)),
          stop_(eventfd(0, EFD_CLOEXEC)),
          thread_([this] { run(); })
    {
    }
    ~Runner()
    {
        signal_event(stop_.get());
        thread_.join();
    }
    Runner(Runner&&) = delete;
    Runner& operator=(Runner&&) = delete;
    const StopCheck& check() const { return check_; }

private:
    void run()
    {
        do {
            auto failure = run_once(path_, check_.command, stop_.get());
            if (is_readable(stop_.get(), 0)) return;
            const std::lock_guard guard(shared_->guard);
            shared_->outcomes.push_back({inode_, check_, std::move(failure)});
            signal_event(shared_->event.get());
        } while (!is_readable(stop_.get(), check_interval));
    }

    std::shared_ptr<Shared> shared_;
    const std::string inode_, path_;
    const StopCheck check_;
    const Fd stop_;
    std::thread thread_;
};

Result<Checks> Checks::open()
{
    auto shared = std::make_shared<Shared>();
    shared->event = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared->event) return fail_errno(errno, "make an eventfd");
    return Checks(std::move(shared));
}

Checks::Checks(std::shared_ptr<Shared> shared) : shared_(std::move(shared))
{
}
Checks::Checks(Checks&&) noexcept = default;
Checks::~Checks() = default;

void Checks::set(const std::string& inode, const std::string& path, const std::vector<StopCheck>& checks)
{
    std::erase_if(runners_, [&](const auto& runner) {
        const auto& [key, one] = runner;
        return key.first == inode && std::find(checks.begin(), checks.end(), one->check()) == checks.end();
    });
    for (const auto& check : checks) {
        auto& runner = runners_[{inode, check.stable_id}];
        if (!runner) runner = std::make_unique<Runner>(shared_, inode, path, check);
    }
}

std::vector<Checks::Outcome> Checks::take()
{
    std::uint64_t count = 0;
    static_cast<void>(!read(shared_->event.get(), &count, sizeof(count)));
    const std::lock_guard guard(shared_->guard);
    return std::exchange(shared_->outcomes, {});
}

int Checks::fd() const
{
    return shared_->event.get();
}

}  // namespace headwind
