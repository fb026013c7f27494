// SPDX-License-Identifier: MIT
// Loads the datapath without attaching it, and runs its programs on packets with rules and fed clocks.
#include "prog_run.h"

#include <fcntl.h>
#include <sched.h>

#include <stdexcept>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <headwind/index.h>
#include <headwind/marks.h>
#include <headwind/testing.h>

#include "chance/law.h"
#include "headwind.skel.h"
#include "host/netlink.h"
#include "namespace.h"
#include "prog_prelude.h"
#include "rule/files.h"
#include "rule_text.h"
#include "ruleset/counters.h"
#include "ruleset/transaction.h"

namespace headwind::prog {
namespace {

using test::require;

Fd duplicate(int fd)
{
    return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

template <class Key, class Value>
Map<Key, Value> map_of(const bpf_map* map)
{
    return Map<Key, Value>(duplicate(bpf_map__fd(map)), bpf_map__name(map));
}

template <class T>
Mapping<T> memory_of(const bpf_map* map)
{
    void* address = mmap(nullptr, Mapping<T>::bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    require(address != MAP_FAILED, "map the memory of a BPF map");
    return Mapping<T>(address);
}

Instance instance_of(const headwind_bpf& skeleton)
{
    Instance out;
    out.programs.egress = duplicate(bpf_program__fd(skeleton.progs.headwind_egress));
    out.programs.ingress = duplicate(bpf_program__fd(skeleton.progs.headwind_ingress));
    out.programs.segment = duplicate(bpf_program__fd(skeleton.progs.headwind_segment));
    out.programs.note_device = duplicate(bpf_program__fd(skeleton.progs.headwind_note_device));
    out.programs.pace_out = duplicate(bpf_program__fd(skeleton.progs.headwind_pace_out));
    out.entries = map_of<hw_key, hw_entry>(skeleton.maps.hw_entries);
    out.rules = map_of<__u32, hw_rule>(skeleton.maps.hw_rules);
    out.leases = map_of<__u32, hw_lease>(skeleton.maps.hw_leases);
    out.stops = map_of<__u32, hw_stop>(skeleton.maps.hw_stops);
    out.shares = map_of<hw_share_key, hw_share>(skeleton.maps.hw_shares);
    out.states = map_of<hw_state_key, hw_state>(skeleton.maps.hw_states);
    out.texts = map_of<hw_text_key, hw_text>(skeleton.maps.hw_texts);
    out.timelines = map_of<__u32, __u32>(skeleton.maps.hw_timelines);
    out.sequences = map_of<__u32, hw_sequence>(skeleton.maps.hw_sequences);
    out.laws = map_of<__u64, hw_law>(skeleton.maps.hw_laws);
    out.lists = map_of<hw_list_key, hw_list_block>(skeleton.maps.hw_lists);
    out.cpu_states = duplicate(bpf_map__fd(skeleton.maps.hw_cpu_states));
    out.host = memory_of<hw_host>(skeleton.maps.hw_host);
    out.control = Control(memory_of<hw_control>(skeleton.maps.data_control));
    out.held = memory_of<hw_held>(skeleton.maps.data_held);
    out.port_classes = PortClassMemory(memory_of<hw_port_classes>(skeleton.maps.bss));
    return out;
}

template <class T>
MappedArray<T> array_of(const char* name, std::uint32_t size)
{
    const auto fd = MappedArray<T>::make(name, size);
    require(fd.has_value(), fd ? "" : fd.error().message);
    auto mapped = MappedArray<T>::map(*fd, name);
    require(mapped.has_value(), mapped ? "" : mapped.error().message);
    return std::move(*mapped);
}

std::uint64_t packets_sent(int index)
{
    const auto stats = netlink::link_stats(index);
    require(stats.has_value(), "read the counters of a device");
    return stats->tx_packets;
}

}  // namespace

OneCpu::OneCpu()
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &here);
    require(sched_getaffinity(0, sizeof(before_), &before_) == 0, "read the affinity");
    require(sched_setaffinity(0, sizeof(here), &here) == 0, "stay on one CPU");
}

OneCpu::~OneCpu()
{
    sched_setaffinity(0, sizeof(before_), &before_);
}

void Datapath::Delete::operator()(headwind_bpf* skeleton) const
{
    headwind_bpf__destroy(skeleton);
}

Datapath::Datapath(const Options& options) : skeleton_(headwind_bpf__open())
{
    require(skeleton_ != nullptr, "open the BPF object");
    if (options.one_cpu) cpu_.emplace();
    skeleton_->rodata->hw_fed = options.fed;
    skeleton_->rodata->hw_tcx = options.tcx;
    skeleton_->rodata->hw_workarounds_off = options.without;
    skeleton_->rodata->hw_nonce = nonce;
    std::ranges::copy(normal_scores().at, skeleton_->rodata->hw_scores.at);
    make_room(*skeleton_, options.max_rules);
    require(headwind_bpf__load(skeleton_.get()) == 0, "load the BPF programs (root?)");
    instance_ = instance_of(*skeleton_);
    control_ = memory_of<hw_control>(skeleton_->maps.data_control);
    auto rests = MappedArray<hw_index_rest>::make("hw_index_rest", options.max_rules);
    require(rests.has_value(), "make the index");
    instance_.index =
        std::make_unique<IndexMemory>(IndexMemory{array_of<hw_index_entry>("hw_index", options.max_rules),
                                                  {std::move(*rests), "hw_index_rest", options.max_rules}});
    control().abi = HW_ABI_VERSION;
    control().next_rule = 1;
    control().max_held = default_max_held;
    control().xdp_nonce = xdp_nonce;
    control().secret = 0xfeedbeefcafe;
    programs_ = Fd(bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "programs", 4, 4, 4, nullptr));
    for (const auto hook : {Hook::egress, Hook::ingress, Hook::segment, Hook::pace_out}) {
        const int key = static_cast<int>(hook), fd = program(hook);
        require(bpf_map_update_elem(programs_.get(), &key, &fd, BPF_ANY) == 0, "fill the program array");
    }
    add_device("lo", 1, HW_DEVICE_DEFAULT);  // as a device that is no loopback
}

Datapath::~Datapath() = default;

std::uint16_t Datapath::add_device(const std::string& name, unsigned ifindex, unsigned flags)
{
    unsigned slot = ifindex % HW_MAX_DEVICES;
    while (control().devices[slot].ifindex != 0) slot = (slot + 1) % HW_MAX_DEVICES;
    auto& device = control().devices[slot] = {};
    device.ifindex = ifindex;
    device.flags = static_cast<__u16>(flags);
    device.peer_netns = -1;
    devices_[name] = {name, static_cast<int>(ifindex), static_cast<std::uint16_t>(slot)};
    return static_cast<std::uint16_t>(slot);
}

Result<RuleRecord> Datapath::record_of(RuleSpec text, const RuleExtra& extra)
{
    RuleRecord record;
    HW_CHECK(load_files(text));
    HW_TRY(record.rule, make_rule(text));
    for (const auto& name : record.rule.selector.devices) record.devices.push_back(devices_.at(name));
    record.cgroups = extra.cgroups;
    record.deadline = extra.deadline;
    record.lease = extra.lease;
    record.since = extra.since;
    record.clock = extra.clock;
    record.id = record.stable_id = next_rule_id(instance_);
    if (record.rule.timeline) record.timeline = record.id;
    return record;
}

Result<std::uint32_t> Datapath::try_add(const std::string& line, const RuleExtra& extra)
{
    HW_TRY(auto record, record_of(test::text_of_line(line), extra));
    HW_CHECK(commit(instance_, {{record}, {}}));
    records_.push_back(record);
    return record.id;
}

std::uint32_t Datapath::add(const std::string& line, const RuleExtra& extra)
{
    const auto id = try_add(line, extra);
    require(id.has_value(), id ? "" : line + ": " + id.error().message);
    return *id;
}

Status Datapath::add_all(const std::vector<RuleSpec>& rules)
{
    std::vector<RuleRecord> fresh;
    for (const auto& text : rules) {
        HW_TRY(auto record, record_of(text, {}));
        fresh.push_back(std::move(record));
    }
    HW_CHECK(commit(instance_, {fresh, {}}));
    records_.insert(records_.end(), fresh.begin(), fresh.end());
    return {};
}

void Datapath::change(const std::vector<RuleRecord>& fresh, std::uint32_t id)
{
    std::vector<RuleRecord> keep, gone;
    for (const auto& record : records_) (record.id == id ? gone : keep).push_back(record);
    const auto status = commit(instance_, {fresh, gone});
    require(status.has_value(), status ? "" : status.error().message);
    records_ = keep;
    records_.insert(records_.end(), fresh.begin(), fresh.end());
}

void Datapath::remove(std::uint32_t id)
{
    change({}, id);
}

std::uint32_t Datapath::replace(std::uint32_t id, const std::string& line)
{
    const auto record = record_of(test::text_of_line(line), {});
    require(record.has_value(), line);
    change({*record}, id);
    return record->id;
}

std::uint32_t Datapath::alter(std::uint32_t id, const std::string& line)
{
    auto record = record_of(test::text_of_line(line), {});
    require(record.has_value(), line);
    for (const auto& old : records_)
        if (old.id == id) record->stable_id = old.stable_id;
    change({*record}, id);
    return record->id;
}

int Datapath::program(Hook hook) const
{
    const Fd* const programs[] = {&instance_.programs.egress, &instance_.programs.ingress, &instance_.programs.segment,
                                  &instance_.programs.pace_out};
    return programs[static_cast<int>(hook)]->get();
}

int Datapath::prelude_for(Hook hook, const Arrival& arrival)
{
    const auto code = prelude(arrival, programs_.get(), static_cast<int>(hook));
    auto& fd = preludes_[std::string(reinterpret_cast<const char*>(code.data()), code.size() * sizeof(bpf_insn))];
    if (!fd) fd = load_program(code);
    return fd.get();
}

Outcome Datapath::run(Hook hook, const packets::Bytes& packet, const Arrival& arrival)
{
    __sk_buff before{};
    before.ifindex = arrival.ifindex;
    before.gso_size = arrival.gso_size;
    before.gso_segs = arrival.gso_segs;
    before.tstamp = arrival.tstamp;
    before.mark = arrival.mark;
    before.priority = arrival.priority;
    for (std::size_t i = 0; i < arrival.cb.size() && hook != Hook::segment; ++i) before.cb[i] = arrival.cb[i];

    if (hook == Hook::segment) cross(arrival);
    constexpr std::size_t room = 256;  // for what a program adds
    Outcome outcome;
    outcome.packet.resize(packet.size() + room);
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<__u32>(packet.size());
    options.data_out = outcome.packet.data();
    options.data_size_out = static_cast<__u32>(outcome.packet.size());
    options.ctx_in = &before;
    options.ctx_size_in = sizeof(before);
    options.ctx_out = &outcome.after;
    options.ctx_size_out = sizeof(outcome.after);
    options.repeat = static_cast<int>(arrival.repeat);
    const int fd = needs_prelude(arrival) ? prelude_for(hook, arrival) : program(hook);
    const int error = bpf_prog_test_run_opts(fd, &options);
    require(error == 0, "BPF_PROG_TEST_RUN: " + std::string(std::strerror(-error)));
    outcome.packet.resize(options.data_size_out);
    outcome.verdict = static_cast<int>(options.retval);
    outcome.nanoseconds = options.duration;
    outcome.after.mark &= ~has_tc_index;
    return outcome;
}

void Datapath::cross(const Arrival& arrival) const
{
    const int map = bpf_map__fd(skeleton_->maps.hw_segment_ctxs);
    std::vector<hw_segment_ctx> all(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const __u32 zero = 0;
    require(bpf_map_lookup_elem(map, &zero, all.data()) == 0, "read the segment_ctx");
    for (auto& one : all)
        one = {arrival.cb[4], static_cast<__u16>(arrival.cb[3]),
               static_cast<__u16>(HW_MARK_SIDE(arrival.tc_index.value_or(0))), 0, one.drawn};  // as the hook left it
    require(bpf_map_update_elem(map, &zero, all.data(), BPF_ANY) == 0, "write the segment_ctx");
}

Arrival Datapath::marked(std::uint32_t id, hw_direction direction, std::uint16_t slot) const
{
    Arrival arrival;
    arrival.tc_index = static_cast<std::uint16_t>(HW_MARK(direction, slot));
    arrival.cb[3] = static_cast<std::uint32_t>(nonce) << 16;
    arrival.cb[4] = id;
    return arrival;
}

hw_counters Datapath::counters(std::uint32_t id, hw_direction direction) const
{
    const auto sum = read_counters(instance_, {id, static_cast<__u32>(direction)});
    require(sum.has_value(), sum ? "" : sum.error().message);
    return *sum;
}

hw_feed& Datapath::feed()
{
    return skeleton_->data_feed->hw_feed;
}

PrivateNetwork::PrivateNetwork() : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))
{
    require(home_ && unshare(CLONE_NEWNET) == 0, "make a network namespace (root?)");
}

PrivateNetwork::~PrivateNetwork()
{
    if (setns(home_.get(), CLONE_NEWNET) != 0) std::terminate();  // the tests after this one would run in it
}

Line::Line()
{
    netlink::VethOptions options;
    options.name0 = "headwind0";
    options.name1 = "headwind1";
    const auto veth = netlink::create_veth(options);
    require(veth.has_value(), veth ? "" : veth.error().message);
    pace = veth->index1;
    const auto bridge = netlink::create_bridge("headwind2", "", veth->index0);
    require(bridge.has_value(), bridge ? "" : bridge.error().message);
    cut = *bridge;
    const auto status = netlink::disable_transmit_offloads("headwind2");
    require(status.has_value(), status ? "" : status.error().message);
}

std::uint64_t Line::sent_to_cut() const
{
    return packets_sent(cut);
}

std::uint64_t Line::sent_to_pace() const
{
    return packets_sent(pace);
}

void Line::connect(Datapath& datapath) const
{
    datapath.control().line_segment = static_cast<__u32>(cut);
    datapath.control().line_pace = static_cast<__u32>(pace);
}

}  // namespace headwind::prog
