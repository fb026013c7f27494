// SPDX-License-Identifier: MIT
// Collects the lanes of RUNS_IN, and chooses the tests of a lane.
#include "lane.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

namespace headwind::test {
namespace {

struct Statement {
    std::string where, filter;
    Lane lanes = nowhere, long_lanes = nowhere;
};

// All statements of RUNS_IN, added by static objects of other files.
std::vector<Statement>& statements()
{
    static std::vector<Statement> all;
    return all;
}

bool matches_one(const std::string& name, const std::string& patterns)
{
    for (std::size_t begin = 0; begin <= patterns.size();) {
        const auto end = std::min(patterns.find(':', begin), patterns.size());
        if (fnmatch(patterns.substr(begin, end - begin).c_str(), name.c_str(), 0) == 0) return true;
        begin = end + 1;
    }
    return false;
}

bool overlap(Lane a, Lane b)
{
    return (static_cast<unsigned>(a) & static_cast<unsigned>(b)) != 0;
}

bool long_run = false;

}  // namespace

bool takes_long()
{
    return long_run;
}

void take_long()
{
    long_run = true;
}

LaneStatement::LaneStatement(const char* file, int line, const char* filter, Lane lanes, Lane long_lanes)
{
    statements().push_back({std::string(file) + ":" + std::to_string(line), filter, lanes, long_lanes});
}

Lane parse_lane(const std::string& name)
{
    constexpr std::array<std::pair<const char*, Lane>, 5> names{{{"native", native},
                                                                 {"linux-6.12", linux_6_12},
                                                                 {"linux-6.1", linux_6_1},
                                                                 {"virtual-6.12", virtual_6_12},
                                                                 {"sanitized", sanitized}}};
    for (const auto& [known, lane] : names)
        if (name == known) return lane;
    return nowhere;
}

bool is_meant(const std::string& name, const std::string& filter)
{
    const auto minus = filter.find('-');
    const auto wanted = filter.substr(0, minus);
    if (!matches_one(name, wanted.empty() ? "*" : wanted)) return false;
    return minus == std::string::npos || !matches_one(name, filter.substr(minus + 1));
}

std::vector<std::string> all_tests()
{
    std::vector<std::string> names;
    const auto& program = *testing::UnitTest::GetInstance();
    for (int i = 0; i < program.total_test_suite_count(); ++i) {
        const auto& suite = *program.GetTestSuite(i);
        for (int j = 0; j < suite.total_test_count(); ++j)
            names.push_back(std::string(suite.name()) + "." + suite.GetTestInfo(j)->name());
    }
    return names;
}

std::vector<std::string> tests_in(Lane lane, Lane otherwise)
{
    const auto names = all_tests();
    for (const auto& statement : statements())
        if (std::none_of(names.begin(), names.end(),
                         [&](const std::string& name) { return is_meant(name, statement.filter); }))
            throw std::runtime_error(statement.where + ": " + statement.filter + " names no test");
    std::vector<std::string> chosen;
    for (const auto& name : names) {
        Lane lanes = otherwise;
        for (const auto& statement : statements())
            if (is_meant(name, statement.filter))
                lanes = long_run ? statement.lanes | statement.long_lanes : statement.lanes;
        if (overlap(lanes, lane)) chosen.push_back(name);
    }
    return chosen;
}

}  // namespace headwind::test
