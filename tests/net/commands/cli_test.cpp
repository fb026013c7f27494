// SPDX-License-Identifier: MIT
// The commands as a user meets them: what they print, their exit codes, and that nothing is half applied.
#include "net_test.h"

#include <fcntl.h>

#include <filesystem>

namespace headwind::test::cli_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::size_t packets = 100;

class CommandLine : public PairTest {
protected:
    static bool has_entered(const std::string& pid, const Namespace& where)
    {
        std::error_code error;
        return std::filesystem::read_symlink("/proc/" + pid + "/ns/net", error) ==
               "net:[" + std::to_string(where.inode()) + "]";
    }
    static std::string pins(const Namespace& where) { return "/sys/fs/bpf/headwind/" + std::to_string(where.inode()); }
    static bool has_instance(const Namespace& where) { return access(pins(where).c_str(), F_OK) == 0; }

    // Expects that the command is refused with this code and these words, and that nothing changed.
    void expect_refused(const std::string& arguments, int code, const std::string& text) const
    {
        const auto before = footprint(a());
        const bool instance_before = has_instance(a());
        const auto output = headwind(a(), arguments);
        EXPECT_EQ(output.status, code) << arguments;
        EXPECT_THAT(output.err, HasSubstr(text)) << arguments;
        EXPECT_EQ(output.out, "") << arguments;
        expect_footprint(a(), before, arguments);
        EXPECT_EQ(has_instance(a()), instance_before) << arguments;
    }
};

RUNS_IN("CommandLine.*", native, sanitized);

TEST_F(CommandLine, BadInputIsCode2AndChangesNothing)
{
    expect_refused("add --name x --loss 10", 2, "--loss 10");
    expect_refused("add --name x --loss 101%", 2, "--loss 101%");
    expect_refused("add --name x", 2, "does nothing");
    expect_refused("add --partition", 2, "--name");
    expect_refused("add --name x --partition --no-such-flag", 2, "--no-such-flag");
    expect_refused("add --name x --partition --for 10", 2, "--for 10");
    expect_refused("add --name x --partition --remote-port 0", 2, "--remote-port 0");
    expect_refused("add --name x --loss 1% --proto tcp --remote 10.0.0.1/8", 2, "10.0.0.0/8");
    expect_refused("frobnicate", 2, "--help");
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
}

TEST_F(CommandLine, WhatIsNotThereIsCode3)
{
    expect_refused("del nobody", 3, "no rule is called nobody");
    expect_refused("stats nobody", 3, "no rule is called nobody");
    expect_refused("add --name x --partition --dev nodevice", 3, "--dev nodevice");
    expect_refused("list --netns nonamespace", 3, "--netns nonamespace");
    EXPECT_EQ(headwind(a(), "del nobody --if-exists").status, 0);
    change(a(), "add --name x --partition");
    expect_refused("del x nobody", 3, "nobody");
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("  live  "));
}

TEST_F(CommandLine, WithoutFqDelayAndRateAreCode5)
{
    if (has_fq()) GTEST_SKIP() << "this kernel has sch_fq";
    const std::string words =
        "headwind: this kernel has no sch_fq: delay and rate need it (Debian: boot linux-image-amd64; or see it now: tools/demo --guest); loss and partition work here.\n";
    expect_refused("add --name x --delay 10ms", 5, words);
    expect_refused("add --name x --rate 1mbit --loss 1%", 5, words);
    const auto before = footprint(a());
    EXPECT_EQ(headwind(a(), "run --delay 10ms -- true").status, 125);
    expect_footprint(a(), before);
    change(a(), "add --name x --partition");
    expect_refused("add --name x --replace --delay 10ms", 5, words);
    EXPECT_EQ(arrive(), 0U) << "the rule that was to be replaced is in force";
}

TEST_F(CommandLine, AUsedNameNeedsReplace)
{
    change(a(), "add --name x --partition --remote-port 5000");
    expect_refused("add --name x --partition --remote-port 5001", 2, "--replace");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), packets);
    change(a(), "add --name x --replace --partition --remote-port 5001");
    EXPECT_EQ(arrive(), packets);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 0U);
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 1U);
}

TEST_F(CommandLine, DelTakesOneRuleTheLastOneTakesAll)
{
    const auto before = footprint(a());
    change(a(), "add --name x --partition --remote-port 5000");
    change(a(), "add --name y --loss 100% --remote-port 5001");
    EXPECT_NE(footprint(a()), before);
    change(a(), "del x");
    EXPECT_EQ(arrive(), packets);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 0U);
    change(a(), "del y");
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), packets);
    expect_footprint(a(), before);
    EXPECT_FALSE(has_instance(a()));
}

TEST_F(CommandLine, JsonIsValidEverywhere)
{
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 0U);
    EXPECT_EQ(parse_json(headwind(a(), "stats --json"))["rules"].size(), 0U);
    auto added = parse_json(change(a(), "add --name x --loss 1.5% --remote-port 5432 --for 30m --json"));
    EXPECT_EQ(added["name"], "x");
    EXPECT_EQ(added["impairment"]["loss_percent"], 1.5);
    EXPECT_EQ(added["state"], "live");
    for (const char* command : {"list --json", "stats --json", "stats x --json"}) {
        auto all = parse_json(headwind(a(), command));
        EXPECT_EQ(all["rules"].size(), 1U) << command;
        EXPECT_EQ(all["rules"][0]["sentence"], added["sentence"]) << command;
    }
    EXPECT_TRUE(nlohmann::json::parse(headwind(a(), "doctor --json").out, nullptr, false).is_array());
    EXPECT_EQ(parse_json(headwind(a(), "del x --json"))["removed"][0], "x");
    EXPECT_EQ(parse_json(headwind(a(), "clear --json"))["removed"].size(), 0U);
}

TEST_F(CommandLine, ListPrintsASentence)
{
    change(a(), "add --name slow-db --loss 1% --remote-port 5432 --for 30m");
    change(a(), "add --name split --partition --proto udp --local 10.77.0.0/24 --priority 5");
    EXPECT_THAT(
        headwind(a(), "list").out,
        MatchesRegex(
            "split    live         UDP packets sent and received with local address 10.77.0.0/24 through lo, va: partition, priority 5\n"
            "slow-db  live         packets sent to port 5432 through lo, va: loss 1%, until [-0-9: ]+\n"));
}

TEST_F(CommandLine, ADeadlineEndsTheRule)
{
    const auto earliest = monotonic_ns() + 1'000'000'000;
    change(a(), "add --name x --partition --remote-port 5000 --for 1s");
    const auto latest = monotonic_ns() + 1'000'000'000;
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto sent = send_udp(a(), {Pair::b4, 5000}, {.count = 600, .per_second = 200});
    const auto arrivals = sink.finish();
    ASSERT_EQ(sent.packets, 600U);
    ASSERT_GT(arrivals.size(), 20U) << "after the deadline";
    EXPECT_GE(arrivals.front().arrived_ns, earliest) << "impaired until the deadline";
    EXPECT_LE(last_lost_ns(sent, arrivals), latest);
    EXPECT_EQ(arrivals.size(), 600U - arrivals.front().stamp.sequence) << "nothing is lost after it";
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("  expired  "));
    EXPECT_EQ(rule_of(a(), "x")["state"], "expired");
}

TEST_F(CommandLine, AnExpiredRuleHidesNoOtherAndItsNameIsFree)
{
    change(a(), "add --name split --partition --remote-port 5000");
    change(a(), "add --name spare --pass --remote-port 5000 --priority 10 --for 200ms");
    usleep(300'000);
    EXPECT_EQ(arrive(), 0U);
    change(a(), "add --name spare --pass --remote-port 5000 --priority 10");
    EXPECT_EQ(arrive(), packets);
}

TEST_F(CommandLine, PanicTurnsEveryRuleOff)
{
    change(a(), "add --name x --partition --proto udp");
    change(b(), "add --name y --partition --proto udp --direction in");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_THAT(change(a(), "panic").out, HasSubstr("panic --off"));
    EXPECT_EQ(arrive(), packets);
    EXPECT_THAT(headwind(a(), "list").out, AllOf(HasSubstr("panic is on"), HasSubstr("  off (panic)  ")));
    change(b(), "panic --off");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("  live  "));
}

TEST_F(CommandLine, NetnsByNamePidAndPath)
{
    Process other(&a(), {"sleep", "1000"});
    const auto pid = std::to_string(other.pid());
    ASSERT_TRUE(eventually([&] { return other.running() && has_entered(pid, a()); }));
    for (const auto& name : {a().name(), pid, "/proc/" + pid + "/ns/net"}) {
        change(b(), "add --name x --partition --proto udp --netns " + name);
        EXPECT_EQ(arrive(), 0U) << name;
        EXPECT_THAT(headwind(a(), "list").out, HasSubstr("  live  ")) << name;
        EXPECT_THAT(headwind(b(), "list").out, testing::StartsWith("no rules here\n")) << name;
        change(b(), "clear --netns " + name);
        EXPECT_EQ(arrive(), packets) << name;
    }
    EXPECT_EQ(headwind(a(), "list --netns /etc/passwd").status, 2);
}

TEST_F(CommandLine, TwoInstancesAtOnce)
{
    const auto before = footprint(b());
    change(a(), "add --name x --loss 100% --remote-port 5000");
    change(b(), "add --name x --loss 100% --remote-port 5000");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 0U);
    change(b(), "clear");
    expect_footprint(b(), before);
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), packets);
    EXPECT_EQ(counters_of(a(), "x").loss, 2 * packets);
}

TEST_F(CommandLine, ARuleTooManyIsRefusedWhole)
{
    const auto add = [](int i) { return "add --loss 100% --remote-port 5000 --name r" + std::to_string(i); };
    for (int i = 0; i < HW_MAX_ALIKE; ++i) change(a(), add(i));
    expect_refused(add(HW_MAX_ALIKE), 2, "delete one");
    change(a(), "change r0 r1 r2 r3 --priority 1");  // changes all four at once
    // There would be room for most of this rule's selectors.
    expect_refused("add --name many --partition --remote-port 4997-5000 --direction out", 2, "delete one");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), static_cast<std::size_t>(HW_MAX_ALIKE));
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(arrive({}, {Pair::b4, 4999}), packets);
    change(a(), "del r0");
    change(a(), add(0));
    EXPECT_EQ(arrive(), 0U);
}

TEST_F(CommandLine, CommandsAtOnceTakeTurns)
{
    const auto add = [this](const std::string& name) {
        return std::make_unique<Process>(
            &a(), words(headwind_binary() + " add --loss 100% --remote-port 5000 --name " + name));
    };
    std::vector<std::unique_ptr<Process>> processes;
    for (const char* name : {"x", "y", "z"}) processes.push_back(add(name));
    for (const auto& process : processes) expect_ok(process->wait());
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 3U);
    EXPECT_EQ(arrive(), 0U);
}

}  // namespace
}  // namespace headwind::test::cli_test
