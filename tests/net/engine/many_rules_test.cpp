// SPDX-License-Identifier: MIT
// Tests that a command reads as many descriptions and entries, by calls of bpf(2), beside many rules as beside few.
#include "net_test.h"

#include <fstream>
#include <map>
#include <regex>

namespace headwind::test::many_rules_test {
namespace {

using testing::Each;
using testing::Key;
using testing::Not;

class ManyRules : public PairTest {
protected:
    // Makes `count` rules of one shape, named r0, r1, ...
    void make(std::size_t count) const
    {
        make(count, [](std::size_t i) {
            return fmt::format("--proto udp --remote 10.{}.{}.{}", 100 + i / 65536, i / 256 % 256, i % 256);
        });
    }
    template <class SelectorOf>
    void make(std::size_t count, const SelectorOf& selector_of) const
    {
        const auto file = testing::TempDir() + "headwind-many-rules";
        std::ofstream lines(file);
        for (std::size_t i = 0; i < count; ++i)
            lines << fmt::format("add --name r{} --dev va --loss 1% {}\n", i, selector_of(i));
        lines.close();
        expect_ok(Process(&a(), words(headwind_binary() + " batch --yes " + file)).wait(std::chrono::minutes(10)));
    }

    // The number of bpf(2) calls of each kind that a command makes. (An update for which the kernel's stock of elements
    // had to be waited for is one.)
    std::map<std::string, int> calls_of(const std::string& arguments) const
    {
        const auto file = testing::TempDir() + "headwind-calls";
        auto command = words("strace -f -qq -e trace=bpf -o " + file + " " + headwind_binary() + " " + arguments);
        expect_ok(Process(&a(), command).wait(std::chrono::minutes(1)), arguments);
        std::map<std::string, int> out;
        std::ifstream log(file);
        const std::regex call("bpf\\((\\w+)");
        for (std::string line; std::getline(log, line);)
            if (std::smatch match; line.find("ENOMEM") == std::string::npos && std::regex_search(line, match, call))
                ++out[match[1]];
        return out;
    }

    using Calls = std::map<std::string, std::map<std::string, int>>;  // numbers by command, then by kind of call
    Calls calls_beside(std::size_t count) const
    {
        make(count);
        Calls out;
        change(a(), "add --name warm --dev va --loss 1% --proto udp --remote 10.9.9.8");  // makes the index grow now
        for (const std::string command : {"add --name one --dev va --loss 1% --proto udp --remote 10.9.9.9",
                                          "change one --loss 2% --remote 10.9.9.7", "change r50 --loss 3%", "del one"})
            out[command] = calls_of(command);
        change(a(), "clear");
        return out;
    }
};

RUNS_IN("ManyRules.*", native);

TEST_F(ManyRules, ACommandCostsWhatItChanges)
{
    const auto few = calls_beside(100), many = calls_beside(takes_long() ? 100'000 : 3'000);
    EXPECT_EQ(few, many);
    for (const auto& [command, calls] : many) {
        EXPECT_THAT(calls, Not(testing::IsEmpty())) << command;
        EXPECT_THAT(calls, Each(Not(Key("BPF_MAP_LOOKUP_BATCH")))) << command << " reads all of a map";
    }
}

// Ranges that others have, too, or that overlap with none of theirs, are added without a look at the others.
TEST_F(ManyRules, ARangeOfPortsCostsWhatItChanges)
{
    const auto calls_beside_ranges = [this](std::size_t count) {
        make(count, [](std::size_t i) {
            return fmt::format("--remote-port {}-{} --remote 10.100.{}.{}", 20'000 + i / 2 * 20, 20'019 + i / 2 * 20,
                               i / 256, i % 256);
        });
        change(a(), "add --name warm --dev va --loss 1% --remote-port 20000-20019 --remote 10.9.9.8");
        Calls out;
        for (const std::string command :
             {"add --name same --dev va --loss 1% --remote-port 20020-20039 --remote 10.9.9.9",
              "add --name other --dev va --loss 1% --remote-port 1000-9999 --remote 10.9.9.9",
              "add --name within --dev va --loss 1% --remote-port 20005-20015 --remote 10.9.9.9",
              "add --name none --dev va --loss 1% --remote-port 80", "change same --loss 2%", "del other", "del same"})
            out[command] = calls_of(command);
        change(a(), "clear");
        return out;
    };
    EXPECT_EQ(calls_beside_ranges(200), calls_beside_ranges(1'000));
}

// Growing replaces two pins, one after the other.
TEST_F(ManyRules, AKillBetweenTheTwoArraysOfALargerIndexLosesNothing)
{
    const auto add_many = [](std::size_t from, std::size_t count) {
        const auto file = testing::TempDir() + "headwind-many-rules";
        std::ofstream lines(file);
        for (auto i = from; i < from + count; ++i)
            lines << fmt::format("add --name r{} --loss 1% --dev va --remote-port {}\n", i, 1 + i);
        return headwind_binary() + " batch --yes " + file;
    };
    change(a(), "add --name first --loss 1% --dev va --max-rules 4096");
    expect_ok(run(&a(), words(add_many(0, 60))));
    const auto killed =
        run(&a(), words("strace -f -qq -e trace=renameat -e inject=renameat:error=EINTR:signal=KILL:when=2 " +
                        add_many(1000, 1000)));
    EXPECT_NE(killed.status, 0);
    EXPECT_THAT(killed.err, testing::HasSubstr("index-new"));
    expect_ok(run(&a(), words(add_many(2000, 10))));
    std::vector<std::string> names;
    names.push_back("first");
    for (int i = 0; i < 60; ++i) names.push_back(fmt::format("r{}", i));
    for (int i = 2000; i < 2010; ++i) names.push_back(fmt::format("r{}", i));
    EXPECT_THAT(names_of(a()), testing::UnorderedElementsAreArray(names));
    EXPECT_EQ(change(a(), "del r7 r2003").out, "removed r7\nremoved r2003\n");
}

}  // namespace
}  // namespace headwind::test::many_rules_test
