// SPDX-License-Identifier: MIT
// main() of each test program: GoogleTest's, except that a selection of no test fails.
//
//   --lane NAME   only the tests that run in this lane (lane.h); --gtest_filter chooses among them
//   --long        also the tests that take long
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <stdexcept>

#include <gmock/gmock.h>

#include "lane.h"

namespace headwind::test {
namespace {

constexpr int nothing_selected = 2;

void select(const std::vector<std::string>& names)
{
    const auto asked = std::string(testing::GTEST_FLAG(filter));
    std::string filter;
    for (const auto& name : names)
        if (is_meant(name, asked)) filter += (filter.empty() ? "" : ":") + name;
    if (filter.empty()) throw std::runtime_error("no test is meant by " + asked + " here");
    testing::GTEST_FLAG(filter) = filter;
}

// Makes a folder of this process's own for testing::TempDir(), since several test programs run at once.
class OwnTempDir {
public:
    OwnTempDir()
    {
        if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make " + path_);
        setenv("TEST_TMPDIR", (path_ + "/").c_str(), 1);
    }
    OwnTempDir(const OwnTempDir&) = delete;
    OwnTempDir& operator=(const OwnTempDir&) = delete;
    ~OwnTempDir()
    {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
    }

private:
    std::string path_ = "/tmp/headwind-test-XXXXXX";
};

int run(int argc, char** argv)
{
    const OwnTempDir temp_dir;
    testing::InitGoogleMock(&argc, argv);
    auto names = all_tests();
    Lane lane = nowhere;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--long") == 0) {
            take_long();
        } else if (std::strcmp(argv[i], "--lane") == 0 && i + 1 < argc) {
            lane = parse_lane(argv[++i]);
            if (lane == nowhere) throw std::runtime_error(std::string("no lane is called ") + argv[i]);
        } else {
            throw std::runtime_error(std::string("unknown argument ") + argv[i]);
        }
    }
    if (lane != nowhere) names = tests_in(lane, HEADWIND_LANE);
    select(names);
    return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace headwind::test

int main(int argc, char** argv)
{
    try {
        return headwind::test::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << argv[0] << ": " << error.what() << "\n";
        return headwind::test::nothing_selected;
    }
}
