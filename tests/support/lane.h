// SPDX-License-Identifier: MIT
// Lanes, the places where tests run: RUNS_IN in a test's own file names them, `--lane NAME [--long]` of each test
// program (main.cpp) chooses one.
#pragma once

#include <string>
#include <vector>

namespace headwind::test {

enum Lane : unsigned {
    nowhere = 0,
    native = 1 << 0,        // the running kernel
    linux_6_12 = 1 << 1,    // Debian's Linux 6.12, in a guest of two CPUs
    linux_6_1 = 1 << 2,     // Debian's Linux 6.1, in such a guest
    virtual_6_12 = 1 << 3,  // Linux 6.12, in a guest of one CPU in virtual time
    sanitized = 1 << 4,     // the running kernel, and user space built with the sanitizers
};

constexpr Lane operator|(Lane a, Lane b)
{
    return static_cast<Lane>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

// The full names of the program's tests that run in `lane`, with those that run there only with --long if takes_long().
// Tests that no RUNS_IN names run in `otherwise`. Throws std::runtime_error if a RUNS_IN names no test.
std::vector<std::string> tests_in(Lane lane, Lane otherwise);
// The full names of all tests of the program.
std::vector<std::string> all_tests();

// Whether this run may take long (--long).
bool takes_long();
void take_long();

// "native", "linux-6.12"; nowhere: unknown.
Lane parse_lane(const std::string& name);

// Whether a filter as GoogleTest has it matches the name: PATTERN[:PATTERN...][-PATTERN[:PATTERN...]]
bool is_meant(const std::string& name, const std::string& filter);

struct LaneStatement {
    LaneStatement(const char* file, int line, const char* filter, Lane lanes, Lane long_lanes = nowhere);
};

}  // namespace headwind::test

// RUNS_IN(FILTER, LANES[, LANES of --long only]) names the lanes of this file's tests that match FILTER. The last of
// several statements that match a test counts.
#define RUNS_IN(filter, ...)                                                                                       \
    static const ::headwind::test::LaneStatement HW_JOIN(lane_statement_, __COUNTER__)(__FILE__, __LINE__, filter, \
                                                                                       __VA_ARGS__)
#define HW_JOIN(a, b) HW_JOIN_TOKENS(a, b)
#define HW_JOIN_TOKENS(a, b) a##b
