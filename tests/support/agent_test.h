// SPDX-License-Identifier: MIT
// An agent at work in a namespace of its own, with what it has said, and a pair of namespaces for it to serve.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>

#include <bpf/bpf.h>

#include "datapath/link.h"
#include "net_test.h"
#include "util/fd.h"

namespace headwind::test {

// How often tests repeat their actions: $HEADWIND_TEST_ROUNDS, by default twice.
inline unsigned rounds()
{
    const char* given = std::getenv("HEADWIND_TEST_ROUNDS");
    return given != nullptr ? static_cast<unsigned>(std::stoul(given)) : 2U;
}

// An agent that is there may look once more, and holds a lock below the pins then.
inline void expect_nothing_pinned()
{
    EXPECT_TRUE(eventually([] { return !std::filesystem::exists(pins); }));
}

constexpr __u32 link_type_tcx = 11;  // BPF_LINK_TYPE_TCX of Linux 6.6

// Detaches the links of this type at a device, as `bpftool link detach pinned` does. It looks only at the instance of
// `where`, since other namespaces have devices of the same index.
inline void take_links_off(const Namespace& where, const std::string& device, __u32 type)
{
    const auto begin = std::to_string(device_index(where, device)) + "-";
    unsigned detached = 0;
    const auto folder = std::string(pins) + "/" + std::to_string(where.inode()) + "/links";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (!entry.path().filename().string().starts_with(begin)) continue;
        const Fd link(bpf_obj_get(entry.path().c_str()));
        bpf_link_info info{};
        __u32 size = sizeof(info);
        if (!link || bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0 || info.type != type) continue;
        if (bpf_link_detach(link.get()) == 0) ++detached;
    }
    EXPECT_GE(detached, 1U);
}

// Takes our programs off the tc hooks of the device, as anybody who may can.
inline void take_programs_off(const Namespace& where, const std::string& device)
{
    if (kernel_has_tcx())
        take_links_off(where, device, link_type_tcx);
    else
        tc(where, "qdisc del dev " + device + " clsact");
}

inline std::int64_t wall_ms()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

class RunningAgent {
public:
    // `before`: words in front of the command.
    explicit RunningAgent(const Namespace& home, const std::string& options = "", const Arguments& before = {})
        : process_(&home, command(options, before))
    {
        EXPECT_TRUE(heard("serving")) << process_.err();
    }
    ~RunningAgent()
    {
        if (!process_.running()) return;
        process_.signal(SIGTERM);
        EXPECT_EQ(process_.wait().status, 0) << "ends when asked to: " << process_.err();
    }

    Process& process() { return process_; }

    // All events of this kind that the agent has told, and only those of `rule` if one is named.
    std::vector<nlohmann::json> all(const std::string& event, const std::string& rule = "") const
    {
        std::vector<nlohmann::json> found;
        std::istringstream lines(process_.out());
        for (std::string line; std::getline(lines, line);) {
            auto value = nlohmann::json::parse(line, nullptr, false);
            if (value.is_object() && value["event"] == event && (rule.empty() || value["rule"] == rule))
                found.push_back(std::move(value));
        }
        return found;
    }

    // Waits until the agent tells this event once more than it was heard before, and notes how long after `start` that
    // was.
    bool heard(const std::string& event, const std::string& rule = "", std::int64_t start = wall_ms())
    {
        auto& count = heard_[event + " " + rule];
        const bool came = eventually([&] { return all(event, rule).size() > count; });
        EXPECT_TRUE(came) << "not heard: " << event << " " << rule << "\n" << process_.out() << process_.err();
        if (!came) return false;
        const auto event_ms = all(event, rule)[count++]["time_unix_ms"].get<std::int64_t>();
        longest_ms_ = std::max(longest_ms_, event_ms - start);
        return true;
    }

    // The longest time that heard() noted, in ms.
    std::int64_t longest_ms() const { return longest_ms_; }

private:
    static Arguments command(const std::string& options, Arguments before)
    {
        const auto agent = words(headwind_binary() + " agent --json " + options);
        before.insert(before.end(), agent.begin(), agent.end());
        return before;
    }

    Process process_;
    std::map<std::string, std::size_t> heard_;
    std::int64_t longest_ms_ = 0;
};

// Logs the longest reaction in ms.
inline void report(const char* what, unsigned times, const RunningAgent& agent)
{
    std::printf("[  FIGURES ] %s, %u times: at the latest after %ld ms\n", what, times, agent.longest_ms());
}

class Agent : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        home_.emplace("home");
    }
    void TearDown() override
    {
        home_.reset();
        PairTest::TearDown();
    }
    const Namespace& home() const { return *home_; }

    // Remove the pair's devices, and make them anew.
    void remove_pair() const { ip(a(), "link del va"); }
    void make_pair_anew() const
    {
        ip(a(),
           "link add va type veth peer name vb netns b\n"
           "addr add 10.77.0.1/24 dev va\n"
           "link set va up");
        ip(b(), "addr add 10.77.0.2/24 dev vb\nlink set vb up");
        wait_until_operational(a(), "va");
        wait_until_operational(b(), "vb");
    }
    static std::string state_of(const Namespace& where, const std::string& rule)
    {
        return rule_of(where, rule)["state"];
    }

private:
    std::optional<Namespace> home_;
};

}  // namespace headwind::test
