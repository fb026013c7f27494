// SPDX-License-Identifier: MIT
// An XDP program that is not Headwind's, in generic mode.
#pragma once

#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include "namespace.h"
#include "util/fd.h"

namespace headwind::test {

// At the device for as long as this object lives. It ends with `verdict` for each packet.
class ForeignXdp {
public:
    ForeignXdp(const Namespace& where, const std::string& device, xdp_action verdict)
        : where_(where), index_(device_index(where, device))
    {
        const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdict}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
        LIBBPF_OPTS(bpf_prog_load_opts, load);
        const Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", code, 2, &load));
        EXPECT_TRUE(program) << std::strerror(errno);
        const Inside inside(where_);
        EXPECT_EQ(bpf_xdp_attach(index_, program.get(), XDP_FLAGS_SKB_MODE, nullptr), 0);
    }
    ForeignXdp(const ForeignXdp&) = delete;
    ForeignXdp& operator=(const ForeignXdp&) = delete;
    ~ForeignXdp()
    {
        const Inside inside(where_);
        EXPECT_EQ(bpf_xdp_detach(index_, XDP_FLAGS_SKB_MODE, nullptr), 0);
    }

private:
    const Namespace& where_;
    int index_;
};

}  // namespace headwind::test
