// SPDX-License-Identifier: MIT
// Rules with --between and --days are in force by the host's local time; each test has a local time of its own.
#include <filesystem>

#include "agent_test.h"
#include "host_root.h"
#include "zone_file.h"

namespace headwind::test::hours_test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t hour = 3600, day = 24 * hour;  // s

// A host whose root is this host's, except for /etc and /usr.
class Hours : public Agent {
protected:
    void SetUp() override
    {
        Agent::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        fs::create_directories(root_.path() + "/proc/1");
        fs::create_symlink("/proc/self/mountinfo",
                           root_.path() + "/proc/1/mountinfo");  // isolate() made other mounts than process 1's
        for (const std::string folder : {"/proc/sys", "/sys", "/run"})
            fs::create_directory_symlink(folder, root_.path() + folder);
        fs::create_directories(root_.path() + "/etc");
        fs::create_symlink("/usr/share/zoneinfo/Test/Here", root_.path() + "/etc/localtime");
    }

    // The offset from UTC, in s, with which it is now `second` of the day in local time.
    static std::int32_t offset_for(std::int64_t second)
    {
        return static_cast<std::int32_t>((second - wall_ms() / 1000 % day + day + day / 2) % day - day / 2);
    }
    void set_zone(std::int32_t offset, const std::vector<ZoneChange>& changes = {}) const
    {
        const std::string file = "/usr/share/zoneinfo/Test/Here";
        root_.write(file + ".new", zone_file(offset, changes));
        fs::rename(root_.path() + file + ".new", root_.path() + file);
    }
    void set_clock(std::int64_t second) const { set_zone(offset_for(second)); }
    std::string at_host() const { return "--host-root " + root_.path(); }
    Output here(const std::string& command) const { return change(a(), command + " " + at_host()); }
    std::size_t arrive_at(std::uint16_t port) const { return arrive({.count = 20}, {Pair::b4, port}); }

    HostRoot root_;
};

TEST_F(Hours, OnlyThenIsTheRuleInForce)
{
    set_clock(12 * hour);
    const auto day_rule = here("add --name day --partition --remote-port 5000 --between 09:00-17:00");
    EXPECT_THAT(day_rule.out, AllOf(HasSubstr("between 09:00 and 17:00 (Test/Here)"), Not(HasSubstr("off until"))));
    const auto night_rule = here("add --name night --partition --remote-port 5001 --between 22:00-06:00");
    EXPECT_THAT(night_rule.out, HasSubstr("off until"));
    EXPECT_EQ(arrive_at(5000), 0U);
    EXPECT_EQ(arrive_at(5001), 20U);
    EXPECT_THAT(here("list").out, AllOf(HasSubstr("off hours"), HasSubstr("off until"), HasSubstr(" 22:00\n")));
    EXPECT_EQ(rule_of(a(), "day")["state"], "live");
    const auto night = rule_of(a(), "night");
    EXPECT_EQ(night["state"], "off hours");
    EXPECT_EQ(night["hours"]["between"], "22:00-06:00");
    EXPECT_THAT(night["off_until"].get<std::string>(), testing::EndsWith(" 22:00"));
    EXPECT_NEAR(night["off_until_unix_s"].get<double>(), static_cast<double>(wall_ms() / 1000 + 10 * hour), 120);

    here("change night --between 11:00-13:00");
    EXPECT_EQ(arrive_at(5001), 0U);
    here("change day --between 13:00-24:00");
    EXPECT_EQ(arrive_at(5000), 20U);
    here("change day --between off");
    EXPECT_EQ(arrive_at(5000), 0U);
    EXPECT_FALSE(rule_of(a(), "day").contains("hours"));
    EXPECT_EQ(counters_of(a(), "day").partition, 40U);
    change(a(), "clear");
}

TEST_F(Hours, TheDayCountsToo)
{
    set_clock(12 * hour);
    const auto today = (wall_ms() / 1000 + offset_for(12 * hour)) / day % 7;  // days after Thursday
    const std::vector<std::string> days{"thu", "fri", "sat", "sun", "mon", "tue", "wed"};
    const auto name = [&](std::int64_t n) { return days[static_cast<std::size_t>((today + n) % 7)]; };
    here("add --name today --partition --remote-port 5000 --days " + name(0));
    here(fmt::format("add --name others --partition --remote-port 5001 --days {}-{}", name(1), name(6)));
    EXPECT_EQ(arrive_at(5000), 0U);
    EXPECT_EQ(arrive_at(5001), 20U);
    auto until = name(1) + " 00:00";
    until.front() = static_cast<char>(until.front() - 'a' + 'A');
    EXPECT_EQ(rule_of(a(), "others")["off_until"], until);
    change(a(), "clear");
}

// The loader knows the next change of the clock when it writes the rule.
TEST_F(Hours, TheClockIsPutForwardWithoutAnyCommand)
{
    const auto noon = offset_for(12 * hour);
    const std::chrono::seconds ahead(slow_machine() ? 60 : 5);
    const auto turn = wall_ms() / 1000 + ahead.count();
    set_zone(noon, {{turn, static_cast<std::int32_t>(noon + 8 * hour)}});
    here("add --name day --partition --remote-port 5000 --between 09:00-17:00");
    const auto before = arrive_at(5000);
    if (wall_ms() / 1000 < turn) {
        EXPECT_EQ(before, 0U);
    }
    EXPECT_TRUE(eventually(ahead + patience, [&] { return arrive_at(5000) == 20; }));
    EXPECT_GE(wall_ms() / 1000, turn);
    EXPECT_EQ(rule_of(a(), "day")["state"], "off hours");
    change(a(), "clear");
}

TEST_F(Hours, TheNextCommandFollowsTheZone)
{
    set_clock(12 * hour);
    here("add --name day --partition --remote-port 5000 --between 09:00-17:00");
    EXPECT_EQ(arrive_at(5000), 0U);
    const auto id = rule_of(a(), "day")["id"];
    here("add --name other --partition --remote-port 5002");
    EXPECT_EQ(rule_of(a(), "day")["id"], id) << "left alone as long as the zone is as it was";
    set_clock(20 * hour);
    EXPECT_EQ(arrive_at(5000), 0U);
    here("change other --priority 1");
    EXPECT_EQ(arrive_at(5000), 20U);
    EXPECT_EQ(rule_of(a(), "day")["state"], "off hours");
    EXPECT_EQ(counters_of(a(), "day").partition, 40U);
    change(a(), "clear");
}

TEST_F(Hours, TheAgentFollowsTheZone)
{
    set_clock(12 * hour);
    here("add --name day --partition --remote-port 5000 --between 09:00-17:00");
    RunningAgent agent(home(), at_host());
    EXPECT_EQ(arrive_at(5000), 0U);
    set_clock(20 * hour);
    ip(a(), "link add d0 type veth peer name d1");  // an event, so that the agent does not wait for its next look
    agent.heard("moved", "day");
    EXPECT_THAT(agent.all("moved", "day").front()["message"].get<std::string>(), HasSubstr("local time"));
    EXPECT_EQ(arrive_at(5000), 20U);
    set_clock(12 * hour);
    ip(a(), "link del d0");
    agent.heard("moved", "day");
    EXPECT_EQ(arrive_at(5000), 0U);
    EXPECT_TRUE(agent.all("trouble").empty());
    change(a(), "clear");
}

TEST_F(Hours, AZoneThatCannotBeReadIsRefusedAndNamed)
{
    root_.write("/usr/share/zoneinfo/Test/Here", "noon");
    const auto refused = headwind(a(), "add --name day --partition --between 09:00-17:00 " + at_host());
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.err, HasSubstr(root_.path() + "/etc/localtime: no time zone (TZif) file"));
    EXPECT_EQ(headwind(a(), "add --name other --loss 1% --remote-port 1 " + at_host()).status, 0);
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("day")));
    change(a(), "clear");
}

}  // namespace
}  // namespace headwind::test::hours_test
