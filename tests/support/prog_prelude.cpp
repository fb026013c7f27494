// SPDX-License-Identifier: MIT
// Generates the BPF instructions of preludes.
#include "prog_prelude.h"

#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <stdexcept>

#include <bpf/bpf.h>

namespace headwind::prog {
namespace {

constexpr std::uint16_t vlan_protocol = 0x8100;
constexpr int tstamp_monotonic = 1;  // BPF_SKB_TSTAMP_DELIVERY_MONO
constexpr int failed = -100;         // the verdict if there was nothing to call

using Code = std::vector<bpf_insn>;

bpf_insn instruction(int code, int destination, int source, int offset, int immediate)
{
    bpf_insn out{};
    out.code = static_cast<__u8>(code);
    out.dst_reg = static_cast<__u8>(destination) & 0xf;
    out.src_reg = static_cast<__u8>(source) & 0xf;
    out.off = static_cast<__s16>(offset);
    out.imm = immediate;
    return out;
}

bpf_insn set(int to, int value)
{
    return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}

bpf_insn copy(int to, int from)
{
    return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

// Appends a call of a helper on the packet, which stays in r6; the caller has set r2, r3, ...
void call(Code& code, int helper)
{
    code.push_back(copy(1, 6));
    code.push_back(instruction(BPF_JMP | BPF_CALL, 0, 0, 0, helper));
}

void cut_off(Code& code, std::uint32_t length)
{
    code.push_back(set(2, static_cast<int>(length)));
    code.push_back(set(3, 0));
    call(code, BPF_FUNC_skb_change_tail);
}

void push_tag(Code& code, std::uint16_t tag)
{
    code.push_back(set(2, htons(vlan_protocol)));
    code.push_back(set(3, tag));
    call(code, BPF_FUNC_skb_vlan_push);
}

void make_departure(Code& code)
{
    code.push_back(instruction(BPF_LDX | BPF_MEM | BPF_DW, 2, 6, offsetof(__sk_buff, tstamp), 0));
    code.push_back(set(3, tstamp_monotonic));
    call(code, BPF_FUNC_skb_set_tstamp);
}

// Sets tc_index only in the first of several runs, which a bit of the mark tells: the programs leave that alone.
void set_tc_index(Code& code, std::uint16_t tc_index)
{
    constexpr int mark = offsetof(__sk_buff, mark);
    constexpr auto bit = static_cast<std::int32_t>(has_tc_index);
    code.push_back(instruction(BPF_LDX | BPF_MEM | BPF_W, 1, 6, mark, 0));
    code.push_back(instruction(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 4, bit));
    code.push_back(instruction(BPF_ALU | BPF_OR | BPF_K, 1, 0, 0, bit));
    code.push_back(instruction(BPF_STX | BPF_MEM | BPF_W, 6, 1, mark, 0));
    code.push_back(set(1, tc_index));
    code.push_back(instruction(BPF_STX | BPF_MEM | BPF_W, 6, 1, offsetof(__sk_buff, tc_index), 0));
}

void tail_call(Code& code, int programs, int which)
{
    code.push_back(instruction(BPF_LD | BPF_IMM | BPF_DW, 2, BPF_PSEUDO_MAP_FD, 0, programs));
    code.push_back(instruction(0, 0, 0, 0, 0));
    code.push_back(set(3, which));
    call(code, BPF_FUNC_tail_call);
    code.push_back(set(0, failed));
    code.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

}  // namespace

bool needs_prelude(const Arrival& arrival)
{
    return arrival.unmarked || arrival.tc_index || arrival.departure || arrival.length || arrival.vlan;
}

std::vector<bpf_insn> prelude(const Arrival& arrival, int programs, int which)
{
    Code code{copy(6, 1)};
    if (arrival.length) cut_off(code, *arrival.length);
    if (arrival.vlan) push_tag(code, *arrival.vlan);
    if (arrival.departure) make_departure(code);
    if (arrival.unmarked) {
        code.push_back(set(1, 0));
        code.push_back(instruction(BPF_STX | BPF_MEM | BPF_W, 6, 1, offsetof(__sk_buff, tc_index), 0));
    }
    if (arrival.tc_index) set_tc_index(code, *arrival.tc_index);
    tail_call(code, programs, which);
    return code;
}

std::vector<bpf_insn> stamp_recorder(int queue)
{
    constexpr int place = -8;  // on the stack
    return {
        instruction(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, offsetof(__sk_buff, tstamp), 0),
        instruction(BPF_STX | BPF_MEM | BPF_DW, 10, 2, place, 0),
        instruction(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, queue),
        instruction(0, 0, 0, 0, 0),
        copy(2, 10),
        instruction(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, place),
        set(3, 0),
        instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_push_elem),
        set(0, next),
        instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
}

Fd load_program(const std::vector<bpf_insn>& instructions)
{
    std::array<char, 65536> words{};
    bpf_prog_load_opts options{};
    options.sz = sizeof(options);
    options.log_buf = words.data();
    options.log_size = words.size();
    Fd fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "prelude", "GPL", instructions.data(), instructions.size(), &options));
    if (!fd) throw std::runtime_error("load a program: " + std::string(words.data()));
    return fd;
}

Fd load_empty_program()
{
    return load_program({set(0, next), instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)});
}

}  // namespace headwind::prog
