// SPDX-License-Identifier: MIT
// The real BPF programs, run on packets of our own (BPF_PROG_TEST_RUN) with clock and dice that the test feeds. Rules
// are added by the loader's own transaction; nothing is pinned or attached, and nothing outlives the Datapath.
//
// A prelude does what test_run cannot do: a few instructions change the packet and tail-call the program.
#pragma once

#include <sched.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <headwind/abi.h>
#include <headwind/testing.h>

#include "datapath/instance.h"
#include "packets.h"
#include "rule/rule.h"
#include "ruleset/records.h"

struct headwind_bpf;

namespace headwind::prog {

// The verdicts that a program may return.
constexpr int next = -1, shot = 2, stolen = 4, redirected = 7;

enum class Hook { egress, ingress, segment, pace_out };

// The verdict of a drop at a device's hook: a sender must not hear of it; at ingress there is nobody to tell.
constexpr int dropped_at(Hook hook)
{
    return hook == Hook::ingress ? shot : stolen;
}

struct Options {
    bool fed = true;
    bool tcx = false;      // false: drops return `stolen` and can be told from redirections
    unsigned without = 0;  // workarounds taken out (hw_workaround)
    std::uint32_t max_rules = HW_DEFAULT_RULES;
    bool one_cpu = true;  // rules remember per CPU which events are to come
};

// The way in which a packet comes to the program.
struct Arrival {
    unsigned ifindex = 1;
    unsigned gso_size = 0, gso_segs = 0;
    std::uint64_t tstamp = 0;
    std::array<std::uint32_t, 5> cb{};
    unsigned mark = 0;  // 31 bits
    unsigned priority = 0;
    unsigned repeat = 1;  // the same packet again and again, as the last run left it
    // Set by a prelude:
    bool unmarked = false;                  // each run meets it without a tc_index
    std::optional<std::uint16_t> tc_index;  // set before the first run
    bool departure = false;                 // tstamp is an earliest departure time, by the monotonic clock
    std::optional<std::uint32_t> length;    // the length to cut to, from 14; test_run itself refuses short IP packets
    std::optional<std::uint16_t> vlan;      // tag beside the packet's bytes
};

struct Outcome {
    int verdict = 0;
    __sk_buff after{};
    packets::Bytes packet;     // as the program left it
    unsigned nanoseconds = 0;  // mean of a run
};

struct RuleExtra {
    std::uint64_t deadline = 0, lease = 0, since = 0;  // as in RuleRecord
    std::vector<Cgroup> cgroups = {};
    LocalClock clock = {};
};

// Keeps the calling thread on the CPU that it runs on.
class OneCpu {
public:
    OneCpu();
    OneCpu(const OneCpu&) = delete;
    OneCpu& operator=(const OneCpu&) = delete;
    ~OneCpu();

private:
    cpu_set_t before_{};
};

class Datapath {
public:
    explicit Datapath(const Options& options = {});
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;
    ~Datapath();

    // Adds a device and returns its slot. lo is there from the start, as a default device like any other (not
    // HW_DEVICE_LOOPBACK).
    std::uint16_t add_device(const std::string& name, unsigned ifindex, unsigned flags);

    Result<std::uint32_t> try_add(const std::string& line, const RuleExtra& extra = {});
    std::uint32_t add(const std::string& line, const RuleExtra& extra = {});  // throws if refused
    Status add_all(const std::vector<RuleSpec>& rules);                       // in one transaction
    void remove(std::uint32_t id);
    std::uint32_t replace(std::uint32_t id, const std::string& line);  // in one transaction
    std::uint32_t alter(std::uint32_t id, const std::string& line);    // the same, but stable_id and counters stay

    Outcome run(Hook hook, const packets::Bytes& packet, const Arrival& arrival = {});
    int out(const packets::Bytes& packet) { return run(Hook::egress, packet).verdict; }
    int in(const packets::Bytes& packet) { return run(Hook::ingress, packet).verdict; }
    // A packet that a hook marked, as segment (to which cb comes as a segment_ctx) and pace_out meet it. It goes out,
    // at lo, unless other values are given.
    Arrival marked(std::uint32_t id, hw_direction direction = HW_OUT, std::uint16_t slot = 1) const;

    hw_counters counters(std::uint32_t id, hw_direction direction = HW_OUT) const;
    hw_feed& feed();
    hw_control& control() { return *control_; }
    hw_held& held() { return *instance_.held; }
    hw_host& host() { return *instance_.host; }
    Instance& instance() { return instance_; }
    const headwind_bpf& skeleton() const { return *skeleton_; }  // for programs that share its maps
    int program(Hook hook) const;

    static constexpr std::uint16_t nonce = 0xbeef;
    static constexpr std::uint32_t xdp_nonce = 0xfeedbeef;

private:
    Result<RuleRecord> record_of(RuleSpec text, const RuleExtra& extra);
    void change(const std::vector<RuleRecord>& add, std::uint32_t gone);
    int prelude_for(Hook hook, const Arrival& arrival);
    void cross(const Arrival& arrival) const;

    std::optional<OneCpu> cpu_;
    struct Delete {
        void operator()(headwind_bpf* skeleton) const;
    };
    std::unique_ptr<headwind_bpf, Delete> skeleton_;
    Instance instance_;
    Mapping<hw_control> control_;  // the instance's
    Fd programs_;                  // the programs that preludes call
    std::map<std::string, Fd> preludes_;
    std::map<std::string, AttachedDevice> devices_;
    std::vector<RuleRecord> records_;
};

// Loads the instructions as a tc program; throws with the verifier's message.
Fd load_program(const std::vector<bpf_insn>& instructions);
// Loads a program of just "return next", whose cost is that of any program.
Fd load_empty_program();

// Puts this thread into a network namespace of its own as long as this lives.
class PrivateNetwork {
public:
    PrivateNetwork();
    PrivateNetwork(const PrivateNetwork&) = delete;
    PrivateNetwork& operator=(const PrivateNetwork&) = delete;
    ~PrivateNetwork();

private:
    Fd home_;
};

// The two ends of a veth pair in place of the line: without fq all packets that go in come out at once.
struct Line {
    Line();
    PrivateNetwork network;
    int cut = 0, pace = 0;
    std::uint64_t sent_to_cut() const;
    std::uint64_t sent_to_pace() const;
    void connect(Datapath& datapath) const;
};

}  // namespace headwind::prog
