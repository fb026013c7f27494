// SPDX-License-Identifier: MIT
// Makes, fills and reads the map of a timeline's steps.
#include "ruleset/timelines.h"

#include <numeric>

#include <bpf/bpf.h>

namespace headwind {

Status make_timeline(const Instance& instance, std::uint32_t id, const std::vector<hw_step>& steps)
{
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = BPF_F_INNER_MAP;
    auto count = static_cast<__u32>(steps.size());
    const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hw_steps", sizeof(__u32), sizeof(hw_step), count, &options));
    if (!map) return fail_errno(errno, "make the map of a timeline");
    std::vector<__u32> keys(steps.size());
    std::iota(keys.begin(), keys.end(), 0U);
    if (bpf_map_update_batch(map.get(), keys.data(), steps.data(), &count, nullptr) != 0)
        return fail_errno(errno, "fill the map of a timeline");
    return instance.timelines.put(id, static_cast<__u32>(map.get()));
}

Result<std::vector<hw_step>> read_timeline(const Instance& instance, std::uint32_t id, std::uint32_t count)
{
    HW_TRY(const auto map_id, instance.timelines.find(id));
    const Fd map(map_id ? bpf_map_get_fd_by_id(*map_id) : -1);
    if (!map) return fail_errno(map_id ? errno : ENOENT, "open the map of a timeline");
    std::vector<hw_step> steps(count);
    for (__u32 i = 0; i < count; ++i)
        if (bpf_map_lookup_elem(map.get(), &i, &steps[i]) != 0) return fail_errno(errno, "read a timeline");
    return steps;
}

}  // namespace headwind
