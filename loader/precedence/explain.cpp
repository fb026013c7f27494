// SPDX-License-Identifier: MIT
// Loads the program headwind_explain over the maps of an instance, and runs it.
#include "precedence/explain.h"

#include <array>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/pins.h"

namespace headwind {

Result<Explainer> Explainer::load(const Share& share)
{
    Explainer out;
    out.skeleton_.reset(explain_bpf__open());
    if (!out.skeleton_) return fail_errno(errno, "open the program that explains");
    auto& maps = out.skeleton_->maps;
    const std::array<std::pair<bpf_map*, const char*>, 6> shared{{{maps.data_control, "control"},
                                                                  {maps.hw_entries, "entries"},
                                                                  {maps.hw_rules, "rules"},
                                                                  {maps.hw_leases, "leases"},
                                                                  {maps.hw_stops, "stops"},
                                                                  {maps.bss, port_classes_pin}}};
    for (const auto& [map, name] : shared) HW_CHECK(share(map, name));
    for (auto* unused : {maps.hw_states, maps.hw_cpu_states, maps.hw_segment_ctxs, maps.hw_texts, maps.hw_host})
        bpf_map__set_autocreate(unused, false);
    if (const int error = explain_bpf__load(out.skeleton_.get()); error != 0)
        return fail_errno(-error, "load the program that explains");
    return out;
}

Result<Explainer> Explainer::load(const Instance& instance)
{
    return load([&instance](bpf_map* map, const char* name) { return reuse_pin(map, instance.directory, name); });
}

Result<std::uint32_t> Explainer::winner(const hw_question& question) const
{
    skeleton_->data_question->hw_question = question;
    std::array<std::uint8_t, 64> packet{};  // more than an Ethernet header: nobody reads it
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = packet.data();
    run.data_size_in = packet.size();
    run.repeat = 1;
    if (bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.headwind_explain), &run) != 0)
        return fail_errno(errno, "run the program that explains");
    return run.retval;
}

}  // namespace headwind
