// SPDX-License-Identifier: MIT
// Upgrade in place: programs of another version take over under load. No packet goes unimpaired, no count is lost.
//
// "Another version" is the same code that says it is one (headwind_testing, $HEADWIND_VERSION_PLAYED).
#include "agent_test.h"

#include <signal.h>

#include <random>
#include <set>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace headwind::test::upgrade_test {
namespace {

using testing::HasSubstr;
using testing::Not;

// Sends `pace` packets a second from a namespace, until end().
class Stream {
public:
    Stream(const Namespace& from, Endpoint to, unsigned pace = 10'000, std::size_t pieces = 1)
        : thread_([this, &from, to = std::move(to), pace, pieces] {
              sent_ = send_udp(from, to,
                               {.count = 1'000'000'000,
                                .size = 100,
                                .segments = pieces,
                                .per_second = slow_machine() ? 1'000U : pace,
                                .stop = &stop_});
          })
    {
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { end(); }
    std::size_t end()
    {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
        EXPECT_EQ(sent_.failed, 0U);
        return sent_.packets;
    }

private:
    std::atomic<bool> stop_{false};
    Sent sent_;
    std::thread thread_;
};

// The ids of an instance's programs, and of all maps that they use.
struct Loaded {
    std::set<__u32> programs, maps;
};

std::size_t count_alive(const std::set<__u32>& ids, int (*open)(__u32))
{
    return static_cast<std::size_t>(
        std::count_if(ids.begin(), ids.end(), [open](__u32 id) { return static_cast<bool>(Fd(open(id))); }));
}

class Upgrade : public Agent {
protected:
    static std::vector<std::string> as_version(unsigned version)
    {
        return {"HEADWIND_VERSION_PLAYED=" + std::to_string(version)};
    }
    Output as(unsigned version, const std::string& arguments) const
    {
        auto command = words(arguments);
        command.insert(command.begin(), headwind_testing_binary());
        return run(&a(), command, as_version(version));
    }
    // Upgrades, and expects that all programs are replaced.
    void upgrade_to(unsigned version)
    {
        const auto before = loaded();
        const auto output = as(version, "upgrade");
        expect_ok(output);
        EXPECT_THAT(output.out, HasSubstr("programs replaced on "));
        const auto now = loaded();
        for (const auto id : now.programs) EXPECT_FALSE(before.programs.contains(id));
        remember(before);
    }
    struct Pinned {
        __u32 id = 0;
        std::vector<__u32> maps;
    };
    Pinned pinned(const char* name) const
    {
        const Fd fd(bpf_obj_get((std::string(pins) + "/" + std::to_string(a().inode()) + "/" + name).c_str()));
        Pinned out{0, std::vector<__u32>(64)};
        bpf_prog_info info{};
        info.nr_map_ids = static_cast<__u32>(out.maps.size());
        info.map_ids = reinterpret_cast<__u64>(out.maps.data());
        __u32 size = sizeof(info);
        EXPECT_EQ(bpf_obj_get_info_by_fd(fd.get(), &info, &size), 0) << name;
        out.maps.resize(info.nr_map_ids);
        out.id = info.id;
        return out;
    }
    Loaded loaded() const
    {
        Loaded out;
        for (const char* name : {"egress", "ingress", "segment", "pace_out"}) {
            const auto one = pinned(name);
            out.programs.insert(one.id);
            out.maps.insert(one.maps.begin(), one.maps.end());
        }
        return out;
    }
    void remember(const Loaded& before)
    {
        ever_.programs.insert(before.programs.begin(), before.programs.end());
        ever_.maps.insert(before.maps.begin(), before.maps.end());
    }
    // Expects that of all programs and maps there ever were only those in use now are left.
    void expect_no_leak()
    {
        const auto now = loaded();
        auto old = ever_;
        for (const auto id : now.programs) old.programs.erase(id);
        for (const auto id : now.maps) old.maps.erase(id);
        EXPECT_FALSE(old.programs.empty());
        EXPECT_FALSE(old.maps.empty());
        EXPECT_TRUE(eventually([&old] {
            return count_alive(old.programs, bpf_prog_get_fd_by_id) + count_alive(old.maps, bpf_map_get_fd_by_id) == 0;
        })) << count_alive(old.programs, bpf_prog_get_fd_by_id)
            << " programs, " << count_alive(old.maps, bpf_map_get_fd_by_id) << " maps";
    }
    bool runs_version(unsigned version) const { return parse_json(as(version, "list --json"))["own_programs"]; }

private:
    Loaded ever_;
};

RUNS_IN("Upgrade.Under*:Upgrade.Killed*", native, linux_6_12 | linux_6_1);
RUNS_IN("Upgrade.WhatIsHeld*", linux_6_12);

TEST_F(Upgrade, UnderLoadNoPacketGoesUnimpaired)
{
    change(a(), "add --name cut --partition --direction out --proto udp --remote-port 5000");
    change(a(), "add --name half --loss 50% --proto udp --remote-port 5001,5002");
    change(b(), "add --name in --partition --direction in --proto udp --local-port 5003");
    UdpSink cut(b(), {Pair::b4, 5000}), single(b(), {Pair::b4, 5001}), super(b(), {Pair::b4, 5002}),
        in(b(), {Pair::b4, 5003});
    Stream to_cut(a(), {Pair::b4, 5000}, 50'000), to_single(a(), {Pair::b4, 5001}),
        to_super(a(), {Pair::b4, 5002}, 10'000, 20), to_in(a(), {Pair::b4, 5003});
    const unsigned times = slow_machine() ? 2 : 10;
    for (unsigned i = 0; i < times; ++i) {
        upgrade_to(i % 2 + 1);
        expect_ok(run(&b(), {headwind_testing_binary(), "upgrade"}, as_version(i % 2 + 1)));
    }
    const auto sent_cut = to_cut.end(), sent_half = to_single.end() + to_super.end(), sent_in = to_in.end();
    EXPECT_EQ(cut.finish().size(), 0U);
    EXPECT_EQ(in.finish().size(), 0U);
    const auto received = single.finish().size() + super.finish().size();
    const auto at_cut = counters_of(a(), "cut"), at_half = counters_of(a(), "half"),
               at_in = counters_of(b(), "in", "in");
    EXPECT_EQ(at_cut.packets, sent_cut);
    EXPECT_EQ(at_cut.partition, sent_cut);
    EXPECT_EQ(at_in.packets, sent_in);
    EXPECT_EQ(at_in.partition, sent_in);
    EXPECT_EQ(at_half.packets, sent_half);
    EXPECT_EQ(at_half.loss + received, sent_half);
    EXPECT_GT(sent_cut, scaled(10'000, 200));
    std::printf("[  FIGURES ] %u upgrades, %zu + %zu packets to partitions: 0 came through; %zu to loss 50%%\n", times,
                sent_cut, sent_in, sent_half);
    expect_no_leak();
}

// Without programs for a moment packets do pass, so the test above would find them.
TEST_F(Upgrade, TakenOffAndPutBackPacketsPass)
{
    change(a(), "add --name cut --partition --direction out --proto udp --remote-port 5000");
    UdpSink sink(b(), {Pair::b4, 5000});
    Stream stream(a(), {Pair::b4, 5000});
    change(a(), "clear");
    change(a(), "add --name cut --partition --direction out --proto udp --remote-port 5000");
    EXPECT_GT(stream.end(), 0U);
    EXPECT_GT(sink.finish().size(), 0U);
}

TEST_F(Upgrade, XdpIsReplacedToo)
{
    change(a(), "add --name cut --partition --direction in --dev va --proto udp --local-port 5000 --xdp native");
    UdpSink sink(a(), {Pair::a4, 5000});
    Stream stream(b(), {Pair::a4, 5000});
    const auto xdp = [this] {
        Inside inside(a());
        __u32 id = 0;
        EXPECT_EQ(bpf_xdp_query_id(device_index(a(), "va"), 0, &id), 0);
        return id;
    };
    for (unsigned i = 0; i < 4; ++i) {
        const auto before = xdp();
        upgrade_to(i % 2 + 1);
        EXPECT_NE(xdp(), before);
        EXPECT_NE(xdp(), 0U);
    }
    const auto sent = stream.end();
    EXPECT_EQ(sink.finish().size(), 0U);
    EXPECT_EQ(counters_of(a(), "cut", "in").partition, sent);
    expect_no_leak();
}

TEST_F(Upgrade, WhatIsHeldIsDeliveredInTime)
{
    SKIP_WITHOUT_FQ();
    constexpr std::int64_t delay_ns = 300'000'000;
    change(a(), "add --name slow --delay 300ms --proto udp --remote-port 5000");
    UdpSink sink(b(), {Pair::b4, 5000});
    Stream stream(a(), {Pair::b4, 5000});
    for (unsigned i = 0; i < 4; ++i) upgrade_to(i % 2 + 1);
    const auto sent = stream.end();
    const auto arrivals = sink.finish(std::chrono::milliseconds(1500), sent);
    EXPECT_EQ(arrivals.size(), sent);
    std::set<std::uint32_t> numbers;
    std::size_t undelayed = 0;
    for (const auto& arrival : arrivals) {
        numbers.insert(arrival.stamp.sequence);
        undelayed += arrival.arrived_ns - arrival.stamp.sent_ns < delay_ns ? 1 : 0;
    }
    EXPECT_EQ(numbers.size(), sent);
    EXPECT_EQ(undelayed, 0U);
    EXPECT_EQ(counters_of(a(), "slow").delayed, sent);
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["line"]["held_bytes"], 0);
    std::printf("[  FIGURES ] %zu packets delayed, none lost, none early\n", sent);
}

TEST_F(Upgrade, KilledAtAnyInstantRulesWorkAndTheNextCompletes)
{
    const auto clean = footprint(a());
    change(a(), "add --name cut --partition --proto udp --remote-port 5000");
    change(a(), "add --name some --loss 50% --proto udp --remote-port 5001");
    upgrade_to(1);
    const unsigned kills = slow_machine() ? 4 : 16;
    std::mt19937 dice(20261127);
    unsigned hits = 0, between = 0;
    std::size_t sent = 0;
    UdpSink sink(b(), {Pair::b4, 5000});
    for (unsigned i = 0; i < kills; ++i) {
        remember(loaded());
        Process process(&a(), {headwind_testing_binary(), "upgrade"}, as_version(i + 10));
        // One in four is killed while it loads the new programs, and has changed nothing; the others after the first
        // change.
        const auto egress = pinned("egress").id;
        while (i % 4 != 0 && process.running() && pinned("egress").id == egress) usleep(50);
        usleep(static_cast<unsigned>(dice()) % (i % 4 == 0 ? 50'000U : slow_machine() ? 20'000U : 1'500U));
        hits += process.running() ? 1U : 0U;
        process.signal(SIGKILL);
        process.wait();
        between += !runs_version(i + 10) && !runs_version(i + 9) ? 1U : 0U;
        sent += send_udp(a(), {Pair::b4, 5000}, {.count = 50}).packets;
        EXPECT_EQ(counters_of(a(), "cut").partition, sent) << i;
        if (i % 4 == 0) change(a(), "change some --loss 40%");
        if (i % 4 == 1) change(a(), "change some --loss 50%");
    }
    EXPECT_EQ(sink.finish().size(), 0U);
    EXPECT_GT(hits, 0U);
    std::printf("[  FIGURES ] %u of %u killed at work, %u of them with programs of both versions\n", hits, kills,
                between);
    upgrade_to(100);
    EXPECT_TRUE(runs_version(100));
    expect_no_leak();
    change(a(), "clear");
    expect_footprint(a(), clean);
    EXPECT_EQ(access(pins, F_OK), -1);
}

TEST_F(Upgrade, OnlyUpgradeTakesOver)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    const auto before = loaded().programs;
    expect_ok(as(1, "add --name other --loss 1% --remote-port 1"));
    expect_ok(as(1, "change cut --priority 2"));
    expect_ok(as(1, "del other"));
    EXPECT_EQ(loaded().programs, before);
    EXPECT_THAT(as(1, "list").out, HasSubstr("another version's: `headwind upgrade`"));
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("another version")));
    EXPECT_THAT(as(1, "doctor").out, HasSubstr("their programs are another version's; headwind upgrade"));
    EXPECT_EQ(change(a(), "upgrade").out, "the programs are this version's\n");
    EXPECT_EQ(change(b(), "upgrade").out, "no rules here\n");
    change(b(), "add --name cut --partition --remote-port 5000");
    const auto all = parse_json(as(1, "upgrade --all --json"))["namespaces"];
    EXPECT_EQ(all.size(), 2U);
    for (const auto& one : all) EXPECT_TRUE(one["replaced"]) << one;
    EXPECT_THAT(headwind(b(), "upgrade --all").out, HasSubstr("in "));
    EXPECT_EQ(change(a(), "upgrade").out, "the programs are this version's\n");
}

TEST_F(Upgrade, AnAgentTakesOverWhenItStartsAndOnlyThen)
{
    expect_ok(as(1, "add --name cut --partition --remote-port 5000"));
    expect_ok(as(1, "add --name later --loss 1% --dev w*"));
    RunningAgent agent(home());
    agent.heard("upgraded");
    EXPECT_TRUE(runs_version(0));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    expect_ok(as(2, "upgrade"));
    ip(a(), "link add w0 type veth peer name x0");  // gives the agent work
    agent.heard("device-back", "later");
    EXPECT_TRUE(runs_version(2));
}

}  // namespace
}  // namespace headwind::test::upgrade_test
