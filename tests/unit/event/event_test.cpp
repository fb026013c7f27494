// SPDX-License-Identifier: MIT
// Tests events as JSON and text, and the file that keeps them: many writers, and what happens when it is full.
#include "event/event_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/host.h"

namespace headwind::test::event_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Event example()
{
    return {.event = "not-effective",
            .text = "not effective: headwind0\nis down",
            .netns = "/run/netns/blue",
            .netns_inode = 4026531840,
            .rule = "slow \"db\"",
            .devices = {"eth0", "eth1"},
            .why = "headwind0 is down",
            .user = "alice",
            .command = "headwind add",
            .severity = Severity::warning,
            .time_unix_ms = 1'796'037'405'573};
}

TEST(EventText, ComesBackFromJson)
{
    const auto line = to_json_line(example());
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto again = parse_event(line);
    ASSERT_TRUE(again);
    EXPECT_EQ(to_json_line(*again), line);
    EXPECT_EQ(again->netns_inode, 4026531840U);
    EXPECT_EQ(again->severity, Severity::warning);
    EXPECT_THAT(again->devices, ElementsAre("eth0", "eth1"));
}

TEST(EventText, LeavesOutWhatThereIsNot)
{
    EXPECT_EQ(to_json_line({.event = "ending", .text = "ending"}),
              R"({"event":"ending","message":"ending","severity":"info","time_unix_ms":0})");
}

TEST(EventText, IsOneLineForPeople)
{
    EXPECT_EQ(to_text(example()),
              "/run/netns/blue: rule slow \"db\": not effective: headwind0 is down (alice, headwind add)");
    EXPECT_EQ(to_text({.event = "ending", .text = "ending"}), "ending");
    EXPECT_EQ(to_text({.event = "expired", .text = "expired", .netns = "/proc/7/ns/net", .place = "pod default/shop"}),
              "pod default/shop: expired");
}

TEST(EventText, WhatIsNoEventIsNone)
{
    for (const char* line : {"", "{", "[]", "3", "{}", R"({"event":""})", R"({"event":3})", "{\"event\":\"a\xff"})
        EXPECT_FALSE(parse_event(line)) << line;
    EXPECT_TRUE(parse_event(R"({"event":"later","netns_inode":"x","devices":{},"new_key":[1]})"))
        << "of a later version";
}

// Below a root of its own.
class EventFile : public testing::Test {
protected:
    void SetUp() override
    {
        fs::create_directories(root_ + "/run");
        use_host_root(root_);
    }
    void TearDown() override
    {
        use_host_root("");
        for (const char* file :
             {"/run/headwind/events.jsonl", "/run/headwind/events.old.jsonl", "/run/headwind", "/run", ""})
            fs::remove(root_ + file);
    }
    std::string path(const std::string& name) const { return root_ + "/run/headwind/" + name; }
    static std::vector<std::string> texts(KeptEvents& events)
    {
        std::vector<std::string> out;
        for (const auto& event : events.read()) out.push_back(event.text);
        return out;
    }
    static void keep_text(const std::string& text)
    {
        const auto kept = keep({{.event = "added", .text = text}});
        ASSERT_TRUE(kept) << kept.error().message;
    }

private:
    const std::string root_ = testing::TempDir() + "events";
};

TEST_F(EventFile, IsReadFromTheOldestOrFromNow)
{
    keep_text("one");
    auto all = *KeptEvents::open(KeptEvents::From::oldest);
    auto later = *KeptEvents::open(KeptEvents::From::now);
    EXPECT_THAT(texts(all), ElementsAre("one"));
    EXPECT_THAT(texts(later), IsEmpty());
    keep_text("two");
    EXPECT_THAT(texts(all), ElementsAre("two"));
    EXPECT_THAT(texts(later), ElementsAre("two"));
    EXPECT_THAT(texts(later), IsEmpty());
    struct stat info {};
    ASSERT_EQ(stat(path("events.jsonl").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << "for root alone";
}

TEST_F(EventFile, IsReadAlsoIfItIsMadeLaterOrItsFolderAnew)
{
    auto events = *KeptEvents::open(KeptEvents::From::now);
    keep_text("first");
    EXPECT_THAT(texts(events), ElementsAre("first"));
    fs::remove(path("events.jsonl"));
    fs::remove(path(""));
    EXPECT_THAT(texts(events), IsEmpty());
    keep_text("anew");
    EXPECT_THAT(texts(events), ElementsAre("anew"));
}

TEST_F(EventFile, ALineWhoseEndIsNotThereYetIsWaitedFor)
{
    keep_text("one");
    auto events = *KeptEvents::open(KeptEvents::From::oldest);
    const auto line = to_json_line({.event = "added", .text = "in two parts"});
    std::ofstream file(path("events.jsonl"), std::ios::app);
    file << line.substr(0, 20) << std::flush;
    EXPECT_THAT(texts(events), ElementsAre("one"));
    file << line.substr(20) << "\nno event\n" << std::flush;
    EXPECT_THAT(texts(events), ElementsAre("in two parts"));
}

// Each event is read once by who follows, whichever file it is in; and two files are all there is. In each round less
// is written than a file has room for: that much is kept for certain.
TEST_F(EventFile, ManyWriteWhileItIsFullAgainAndAgain)
{
    constexpr int writers = 4, rounds = 5, each = 200;
    auto events = *KeptEvents::open(KeptEvents::From::now);
    const std::string filling(1'000, 'x');
    std::multiset<std::string> seen;
    const auto read_all = [&] {
        for (auto& text : texts(events)) seen.insert(text.substr(0, text.find('x')));
    };
    for (int round = 0; round < rounds; ++round) {
        std::vector<std::thread> threads;
        for (int writer = 0; writer < writers; ++writer)
            threads.emplace_back([&, writer] {
                for (int n = 0; n < each; ++n) keep_text(fmt::format("{} {} {} {}", round, writer, n, filling));
            });
        read_all();
        for (auto& thread : threads) thread.join();
        read_all();
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(writers * rounds * each));
    EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), seen.size());
    EXPECT_LT(fs::file_size(path("events.jsonl")), 1'900'000U);
    EXPECT_LT(fs::file_size(path("events.old.jsonl")), 1'900'000U) << "who writes just then may add to it";
}

TEST_F(EventFile, WhoFallsBehindReadsTheFileBefore)
{
    auto events = *KeptEvents::open(KeptEvents::From::now);
    keep_text("first");
    EXPECT_THAT(texts(events), ElementsAre("first"));
    const std::string large(1'100'000, 'x');
    keep_text(large);
    keep_text("second" + large);
    keep_text("last");
    const auto seen = texts(events);
    ASSERT_THAT(seen, testing::SizeIs(testing::Ge(2U)));
    EXPECT_EQ(seen.back(), "last");
    EXPECT_EQ(seen[seen.size() - 2].substr(0, 6), "second");
}

TEST_F(EventFile, AStoppedWriterHoldsUpNobody)
{
    keep_text("one");
    const Fd stopped(open(path("events.jsonl").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(stopped.get(), LOCK_EX), 0) << "as if it were renaming it";
    auto events = *KeptEvents::open(KeptEvents::From::now);
    keep_text("two");
    EXPECT_THAT(texts(events), ElementsAre("two"));
}

TEST_F(EventFile, WhatIsInItsPlaceIsNotFollowedAndTheErrorNamesIt)
{
    fs::create_directory(path(""));
    fs::create_symlink(path("elsewhere"), path("events.jsonl"));
    const auto kept = keep({example()});
    ASSERT_FALSE(kept);
    EXPECT_THAT(kept.error().message, HasSubstr(path("events.jsonl")));
    EXPECT_FALSE(fs::exists(path("elsewhere")));
}

}  // namespace
}  // namespace headwind::test::event_test
