// SPDX-License-Identifier: MIT
// Runs commands in namespaces, and moves processes between cgroups.
#include "command.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <gtest/gtest.h>

#include "host/cgroup.h"

extern char** environ;

namespace headwind::test {
namespace {

std::string content(int fd)
{
    std::string text;
    std::array<char, 65536> chunk{};
    ssize_t length = 0;
    while ((length = pread(fd, chunk.data(), chunk.size(), static_cast<off_t>(text.size()))) > 0)
        text.append(chunk.data(), static_cast<std::size_t>(length));
    return text;
}

std::vector<char*> pointers(const std::vector<std::string>& strings)
{
    std::vector<char*> out;
    for (const auto& one : strings) out.push_back(const_cast<char*>(one.c_str()));
    out.push_back(nullptr);
    return out;
}

std::string binary(const char* variable, const char* name)
{
    if (const char* given = std::getenv(variable); given != nullptr) return given;
    std::error_code error;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().parent_path() / name;
    return std::filesystem::exists(beside, error) ? beside.string() : std::string("build/release/") + name;
}

std::string cgroup_prefix()
{
    return "headwind-test-" + std::to_string(unique_number()) + "-";
}

void remove_cgroup(const std::filesystem::path& directory)
{
    const auto removed = [&] {
        if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return true;
        std::ifstream processes(directory / "cgroup.procs");
        for (std::string pid; std::getline(processes, pid);)
            std::ofstream(directory.parent_path() / "cgroup.procs") << pid << std::flush;
        return false;
    };
    eventually(std::chrono::seconds(2), removed);
}

}  // namespace

Arguments words(const std::string& text)
{
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

Process::Process(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables)
    : Process(where != nullptr ? where->fd() : -1, command, variables)
{
}

Process::Process(int netns, const Arguments& command, const std::vector<std::string>& variables)
    : out_(memfd_create("out", MFD_CLOEXEC)), err_(memfd_create("err", MFD_CLOEXEC))
{
    std::vector<std::string> environment = variables;
    for (char** one = environ; *one != nullptr; ++one) environment.emplace_back(*one);
    const auto arguments = pointers(command), settings = pointers(environment);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    // Only calls that are safe between fork and exec in a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(125);
    for (const int number : {SIGINT, SIGQUIT, SIGHUP}) ::signal(number, SIG_DFL);  // nohup and & in scripts ignore them
    const int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(out_.get(), STDOUT_FILENO);
    dup2(err_.get(), STDERR_FILENO);
    if (netns >= 0 && setns(netns, CLONE_NEWNET) != 0) _exit(125);
    execvpe(arguments[0], arguments.data(), settings.data());
    _exit(127);
}

Process::~Process()
{
    if (running()) wait(std::chrono::milliseconds(0));
}

bool Process::running()
{
    if (pid_ <= 0 || ended_) return false;
    if (waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
    return !ended_;
}

void Process::signal(int number) const
{
    if (!ended_) kill(pid_, number);
}

Output Process::wait(std::chrono::milliseconds limit)
{
    Output result;
    const auto end = std::chrono::steady_clock::now() + limit;
    while (running()) {
        if (std::chrono::steady_clock::now() >= end) {
            kill(pid_, SIGKILL);
            waitpid(pid_, &status_, 0);
            ended_ = result.timed_out = true;
        } else {
            usleep(1'000);
        }
    }
    result.status = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
    result.out = out();
    result.err = err();
    return result;
}

std::string Process::out() const
{
    return content(out_.get());
}

std::string Process::err() const
{
    return content(err_.get());
}

Output run(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables,
           std::chrono::milliseconds limit)
{
    return Process(where, command, variables).wait(limit);
}

std::string without_audit(const std::string& err)
{
    std::string out, line;
    std::istringstream lines(err);
    while (std::getline(lines, line))
        if (!line.starts_with("headwind: audit: ")) out += line + "\n";
    return out;
}

std::string headwind_binary()
{
    return binary("HEADWIND", "headwind");
}

std::string headwind_testing_binary()
{
    return binary("HEADWIND_TESTING_BIN", "headwind_testing");
}

Output headwind(const Namespace& where, const std::string& arguments)
{
    auto command = words(arguments);
    command.insert(command.begin(), headwind_binary());
    return run(&where, command);
}

Output headwind_without(unsigned workarounds, const Namespace& where, const std::string& arguments)
{
    auto command = words(arguments);
    command.insert(command.begin(), headwind_testing_binary());
    return run(&where, command, {"HEADWIND_WITHOUT=" + std::to_string(workarounds)});
}

TestCgroup::TestCgroup(const std::string& name)
{
    const auto mount = cgroup2_mount();
    EXPECT_TRUE(mount) << mount.error().message;
    path_ = "/" + cgroup_prefix() + name;
    directory_ = (mount ? *mount : "/nowhere") + path_;
    EXPECT_EQ(mkdir(directory_.c_str(), 0755), 0) << directory_ << ": " << std::strerror(errno);
}

TestCgroup::~TestCgroup()
{
    remove_cgroup(directory_);
}

namespace {

void move_to_cgroup(const std::string& directory)
{
    std::ofstream(directory + "/cgroup.procs") << getpid() << std::flush;
}

}  // namespace

InCgroup::InCgroup(const TestCgroup& cgroup)
    : root_(cgroup.directory().substr(0, cgroup.directory().size() - cgroup.path().size()))
{
    move_to_cgroup(cgroup.directory());
}

InCgroup::~InCgroup()
{
    move_to_cgroup(root_);
}

std::vector<std::string> HomeCgroup::of_run_commands() const
{
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(cgroup_.directory(), error))
        if (entry.path().filename().string().starts_with("headwind-run-")) found.push_back(entry.path());
    return found;
}

void remove_test_cgroups()
{
    const auto mount = cgroup2_mount();
    if (!mount) return;
    std::error_code error;
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(*mount, error))
        if (entry.path().filename().string().starts_with(cgroup_prefix())) found.push_back(entry.path());
    for (const auto& directory : found) remove_cgroup(directory);
}

bool slow_machine()
{
    static const bool slow = [] {
        std::ifstream file("/proc/cpuinfo");
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        return text.find("QEMU TCG") != std::string::npos;
    }();
    return slow;
}

}  // namespace headwind::test
