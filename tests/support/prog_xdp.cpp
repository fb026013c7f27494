// SPDX-License-Identifier: MIT
// Loads the XDP program with the maps of a Datapath, and runs it on packets.
#include "prog_xdp.h"

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <headwind/testing.h>

#include "headwind.skel.h"
#include "xdp.skel.h"

namespace headwind::prog {

XdpProgram::XdpProgram(Datapath& datapath, bool fed) : skeleton_(xdp_bpf__open())
{
    if (skeleton_ == nullptr) throw std::runtime_error("open the XDP object");
    const auto& theirs = datapath.skeleton().maps;
    const auto& ours = skeleton_->maps;
    const std::array<std::pair<bpf_map*, const bpf_map*>, 13> shared{{{ours.data_control, theirs.data_control},
                                                                      {ours.data_held, theirs.data_held},
                                                                      {ours.data_feed, theirs.data_feed},
                                                                      {ours.bss, theirs.bss},
                                                                      {ours.hw_entries, theirs.hw_entries},
                                                                      {ours.hw_rules, theirs.hw_rules},
                                                                      {ours.hw_leases, theirs.hw_leases},
                                                                      {ours.hw_stops, theirs.hw_stops},
                                                                      {ours.hw_states, theirs.hw_states},
                                                                      {ours.hw_cpu_states, theirs.hw_cpu_states},
                                                                      {ours.hw_fragments, theirs.hw_fragments},
                                                                      {ours.hw_texts, theirs.hw_texts},
                                                                      {ours.hw_host, theirs.hw_host}}};
    for (const auto& [map, shares] : shared)
        if (bpf_map__reuse_fd(map, bpf_map__fd(shares)) != 0) throw std::runtime_error("share a map");
    bpf_map__set_autocreate(ours.hw_segment_ctxs, false);
    skeleton_->rodata->hw_fed = fed;
    bpf_program__set_flags(skeleton_->progs.headwind_xdp, BPF_F_XDP_HAS_FRAGS);
    if (xdp_bpf__load(skeleton_) != 0) throw std::runtime_error("load the XDP program (root?)");
}

XdpProgram::~XdpProgram()
{
    xdp_bpf__destroy(skeleton_);
}

int XdpProgram::program() const
{
    return bpf_program__fd(skeleton_->progs.headwind_xdp);
}

XdpProgram::Outcome XdpProgram::run(const packets::Bytes& packet, unsigned repeat) const
{
    Outcome outcome;
    outcome.packet.resize(packet.size() + sizeof(hw_xdp_meta));
    xdp_md before{}, after{};
    before.data_end = static_cast<__u32>(packet.size());
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<__u32>(packet.size());
    options.data_out = outcome.packet.data();
    options.data_size_out = static_cast<__u32>(outcome.packet.size());
    options.ctx_in = &before;
    options.ctx_size_in = sizeof(before);
    options.ctx_out = &after;
    options.ctx_size_out = sizeof(after);
    options.repeat = static_cast<int>(repeat);
    const int error = bpf_prog_test_run_opts(program(), &options);
    if (error != 0) throw std::runtime_error(std::string("BPF_PROG_TEST_RUN: ") + std::strerror(-error));
    outcome.verdict = static_cast<int>(options.retval);
    outcome.nanoseconds = options.duration;
    outcome.packet.resize(options.data_size_out);
    if (const auto metadata = after.data - after.data_meta; metadata != 0) {
        if (metadata != sizeof(hw_xdp_meta)) throw std::runtime_error("metadata of another size");
        std::memcpy(&outcome.over.emplace(), outcome.packet.data(), sizeof(hw_xdp_meta));
        outcome.packet.erase(outcome.packet.begin(), outcome.packet.begin() + sizeof(hw_xdp_meta));
    }
    return outcome;
}

}  // namespace headwind::prog
