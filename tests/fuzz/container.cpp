// SPDX-License-Identifier: MIT
// Fuzzes the files that engines and runtimes write about containers.
//
// Images choose their labels: nothing of a container's name may reach a terminal as more than text.
#include "container/state.h"

#include "fuzz.h"

using namespace headwind;

namespace {

void require_sound(const ContainerState& state)
{
    for (const auto* words : {&state.id, &state.name, &state.pod_namespace, &state.pod_name, &state.sandbox})
        REQUIRE(is_plain_text(*words), *words);
    REQUIRE(is_plain_text(describe(state)), describe(state));
    REQUIRE(state.pid >= 0, "");
    REQUIRE(state.cgroup.empty() || state.cgroup.starts_with('/'), state.cgroup);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::text_of(data, size);
    for (const auto read : {read_runc_state, read_crun_status, read_bundle_config, read_docker_config}) {
        ContainerState state;
        if (const auto status = read(text, state); !status) fuzz::require_good(status.error());
        require_sound(state);
        const auto once = state;
        static_cast<void>(read(text, state));
        REQUIRE(state.name == once.name && state.pid == once.pid && state.cgroup == once.cgroup, "read twice");
    }
    if (const auto listed = read_storage(text); !listed)
        fuzz::require_good(listed.error());
    else
        for (const auto& one : *listed) require_sound(one);
    const auto id = container_of_cgroup(text);
    REQUIRE(id.empty() || (id.size() == 64 && text.find(id) != std::string_view::npos), id);
    static_cast<void>(start_time_of(text));
    return 0;
}
