// SPDX-License-Identifier: MIT
// Sums, makes and removes the per-CPU elements of the cpu_states map.
#include "ruleset/counters.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace headwind {

Result<hw_counters> read_counters(const Instance& instance, hw_state_key key)
{
    const int cpus = libbpf_num_possible_cpus();
    if (cpus <= 0) return fail_errno(-cpus, "count the CPUs");
    static_assert(sizeof(hw_cpu_state) % 8 == 0, "per-CPU values lie 8 bytes aligned");
    std::vector<hw_cpu_state> values(static_cast<std::size_t>(cpus));
    hw_counters sum{};
    if (bpf_map_lookup_elem(instance.cpu_states.get(), &key, values.data()) != 0) {
        if (errno == ENOENT) return sum;
        return fail_errno(errno, "read counters");
    }
    for (const auto& local : values) {
        const auto& value = local.counters;
        sum.packets += value.packets;
        sum.bytes += value.bytes;
        for (int cause = 0; cause < HW_DROP_REASONS; ++cause) sum.dropped[cause] += value.dropped[cause];
        sum.corrupted += value.corrupted;
        sum.duplicated += value.duplicated;
        sum.delayed += value.delayed;
        sum.reordered += value.reordered;
        for (int why = 0; why < HW_EXEMPTIONS; ++why) sum.exempt[why] += value.exempt[why];
    }
    return sum;
}

Status make_local(const Instance& instance, hw_state_key key)
{
    const std::vector<hw_cpu_state> zero(static_cast<std::size_t>(std::max(1, libbpf_num_possible_cpus())));
    if (update_element(instance.cpu_states.get(), &key, zero.data(), BPF_NOEXIST) != 0 && errno != EEXIST)
        return fail_errno(errno, "make counters");
    return {};
}

Status remove_local(const Instance& instance, hw_state_key key)
{
    if (bpf_map_delete_elem(instance.cpu_states.get(), &key) != 0 && errno != ENOENT)
        return fail_errno(errno, "remove counters");
    return {};
}

}  // namespace headwind
