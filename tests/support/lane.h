// Where a test runs: said in its own file by RUNS_IN, chosen by `--lane NAME [--long]` of each test program (main.cpp).
#pragma once

#include <string>
#include <vector>

namespace headwind::test {

enum Lane : unsigned {
    nowhere = 0,
    native = 1 << 0,        // the kernel that runs
    linux_6_12 = 1 << 1,    // Debian's kernels, in a guest of two CPUs
    linux_6_1 = 1 << 2,     //
    virtual_6_12 = 1 << 3,  // a guest of one CPU in virtual time
    sanitized = 1 << 4,     // natively, user space built with the sanitizers
};

constexpr Lane operator|(Lane a, Lane b)
{
    return static_cast<Lane>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

// The program's tests that run in `lane`, by their full names; with the long ones, if takes_long(). Tests that no
// RUNS_IN names run in `otherwise`. Throws std::runtime_error if a RUNS_IN names no test.
std::vector<std::string> tests_in(Lane lane, Lane otherwise);
// All of them.
std::vector<std::string> all_tests();

// Whether this run may take long (--long).
bool takes_long();
void take_long();

// "native", "linux-6.12"; nowhere: unknown.
Lane parse_lane(const std::string& name);

// Whether a name is meant by a filter in GoogleTest's words: PATTERN[:PATTERN...][-PATTERN[:PATTERN...]]
bool is_meant(const std::string& name, const std::string& filter);

struct LaneStatement {
    LaneStatement(const char* file, int line, const char* filter, Lane lanes, Lane long_lanes = nowhere);
};

}  // namespace headwind::test

// RUNS_IN(FILTER, LANES[, LANES of --long only]): where the tests of this file that FILTER means run. Of several
// statements that mean a test the last counts.
#define RUNS_IN(filter, ...)                                                                                       \
    static const ::headwind::test::LaneStatement HW_JOIN(lane_statement_, __COUNTER__)(__FILE__, __LINE__, filter, \
                                                                                       __VA_ARGS__)
#define HW_JOIN(a, b) HW_JOIN_TOKENS(a, b)
#define HW_JOIN_TOKENS(a, b) a##b
