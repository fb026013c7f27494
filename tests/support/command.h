// Commands in a namespace, with what they printed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "namespace.h"

namespace headwind::test {

using Arguments = std::vector<std::string>;

// "add --name x" -> {"add", "--name", "x"}
Arguments words(const std::string& text);

struct Output {
    int status = -1;  // as shells have it: 128 + n for signal n
    std::string out, err;
    bool timed_out = false;
};

// A running command. It dies with the thread that started it.
class Process {
public:
    // `where` null: this process's namespace. `variables`: NAME=VALUE, besides ours.
    Process(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables = {});
    Process(int netns, const Arguments& command, const std::vector<std::string>& variables);  // -1: as null
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();  // SIGKILL, if it still runs

    pid_t pid() const { return pid_; }
    bool running();
    void signal(int number) const;
    Output wait(std::chrono::milliseconds limit = std::chrono::seconds(60));  // then SIGKILL
    std::string out() const;                                                  // so far
    std::string err() const;

private:
    pid_t pid_ = -1;
    Fd out_, err_;
    bool ended_ = false;
    int status_ = 0;
};

Output run(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables = {},
           std::chrono::milliseconds limit = std::chrono::seconds(60));

// stderr without the lines of the audit, which go there where there is no journal.
std::string without_audit(const std::string& err);

// The binary under test ($HEADWIND), or the one that cures can be taken out of ($HEADWIND_TESTING_BIN).
std::string headwind_binary();
std::string headwind_testing_binary();

// `headwind ARGUMENTS` in the namespace.
Output headwind(const Namespace& where, const std::string& arguments);
// The same without some cures (hw_cure bits).
Output headwind_without(unsigned cures, const Namespace& where, const std::string& arguments);

// A cgroup of this test process's own, below the root of the cgroup2 mount. Processes left in it move to the root.
class TestCgroup {
public:
    explicit TestCgroup(const std::string& name);
    TestCgroup(const TestCgroup&) = delete;
    TestCgroup& operator=(const TestCgroup&) = delete;
    ~TestCgroup();
    const std::string& path() const { return path_; }            // below the mount
    const std::string& directory() const { return directory_; }  // in the file system

private:
    std::string path_, directory_;
};
void remove_test_cgroups();  // all that TestCgroup made in this test process (unique_number())

// This process is in the cgroup as long as this lives: sockets it makes belong to it for ever.
class InCgroup {
public:
    explicit InCgroup(const TestCgroup& cgroup);
    InCgroup(const InCgroup&) = delete;
    InCgroup& operator=(const InCgroup&) = delete;
    ~InCgroup();

private:
    std::string root_;
};

// A cgroup of the test's own that this process is in as long as this lives: `headwind run` makes its own below.
class HomeCgroup {
public:
    std::vector<std::string> of_run_commands() const;  // that are there now

private:
    TestCgroup cgroup_{"home"};
    InCgroup inside_{cgroup_};
};

// Software emulation (QEMU TCG): some ten times slower.
bool slow_machine();

// Polls until `done()` or the limit; what done() says last.
template <class Condition>
bool eventually(std::chrono::milliseconds limit, Condition done)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() >= end) return done();
        usleep(5'000);
    }
    return true;
}

}  // namespace headwind::test
