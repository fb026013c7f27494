// SPDX-License-Identifier: MIT
// Commands in a namespace, with their output and exit status.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include <headwind/testing.h>

#include "namespace.h"

namespace headwind::test {

// How long tests wait for what must come. It only ends what hangs: nothing is measured by it.
constexpr std::chrono::seconds patience{60};

using Arguments = std::vector<std::string>;

// "add --name x" -> {"add", "--name", "x"}
Arguments words(const std::string& text);

struct Output {
    int status = -1;  // as in a shell: 128 + n for signal n
    std::string out, err;
    bool timed_out = false;
};

// A running command. It dies with the thread that started it.
class Process {
public:
    // `where`: null for this process's namespace. `variables`: NAME=VALUE, in addition to this process's environment.
    Process(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables = {});
    Process(int netns, const Arguments& command, const std::vector<std::string>& variables);  // -1: as null
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();  // ends it with SIGKILL if it still runs

    pid_t pid() const { return pid_; }
    bool running();
    void signal(int number) const;
    Output wait(std::chrono::milliseconds limit = patience);  // after the limit: SIGKILL
    std::string out() const;                                  // so far
    std::string err() const;

private:
    pid_t pid_ = -1;
    Fd out_, err_;
    bool ended_ = false;
    int status_ = 0;
};

Output run(const Namespace* where, const Arguments& command, const std::vector<std::string>& variables = {},
           std::chrono::milliseconds limit = std::chrono::seconds(60));

// stderr without the lines of the audit, which go there if there is no journal.
std::string without_audit(const std::string& err);

// The binary under test ($HEADWIND), and the one whose workarounds can be taken out ($HEADWIND_TESTING_BIN).
std::string headwind_binary();
std::string headwind_testing_binary();

// Runs `headwind ARGUMENTS` in the namespace.
Output headwind(const Namespace& where, const std::string& arguments);
// Runs the same without some workarounds (hw_workaround bits).
Output headwind_without(unsigned workarounds, const Namespace& where, const std::string& arguments);

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
void remove_test_cgroups();  // all cgroups that this test process has made (unique_number())

// Moves this process into the cgroup as long as this lives. Sockets made meanwhile belong to the cgroup for ever.
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
    std::vector<std::string> of_run_commands() const;  // the cgroups that exist now

private:
    TestCgroup cgroup_{"home"};
    InCgroup inside_{cgroup_};
};

// Whether the machine is emulated in software (QEMU TCG), which is some ten times slower.
bool slow_machine();

// Polls until done() is true or the limit is over; returns the last result of done().
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

template <class Condition>
bool eventually(Condition done)
{
    return eventually(patience, done);
}

}  // namespace headwind::test
