// SPDX-License-Identifier: MIT
// Opens and loads the tc programs, and puts libbpf's messages into errors.
#include "datapath/programs.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <iterator>
#include <span>

#include <bpf/bpf.h>

#include <headwind/testing.h>
#include "chance/law.h"
#include "datapath/instance_pins.h"
#include "datapath/workarounds.h"
#include "util/fd.h"

#include "xdp.skel.h"

namespace headwind {
namespace {

// The warnings of libbpf, which speaks only when something fails.
std::string& libbpf_words()
{
    static std::string words;
    return words;
}

int keep_libbpf_words(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level != LIBBPF_WARN) return 0;
    std::array<char, 1024> line{};
    vsnprintf(line.data(), line.size(), format, arguments);
    if (libbpf_words().size() < 8192) libbpf_words() += line.data();
    return 0;
}

tl::unexpected<Error> fail_libbpf(int error, const std::string& what)
{
    auto failure = fail_errno(error, what);
    if (error == EPERM) {
        failure.value().message += privileges_needed;
    } else if (!libbpf_words().empty()) {
        failure.value().message += "\n" + libbpf_words();
    }
    return failure;
}

bpf_insn instruction(std::uint8_t code, std::uint8_t to, std::int32_t value, std::uint8_t from = 0)
{
    bpf_insn out{};
    out.code = code;
    out.dst_reg = to & 0xf;
    out.src_reg = from & 0xf;
    out.imm = value;
    return out;
}

// FNV-1a of the bytes, continued from `hash`.
std::uint64_t hashed(std::uint64_t hash, const void* bytes, std::size_t size)
{
    for (const auto byte : std::span(static_cast<const unsigned char*>(bytes), size))
        hash = (hash ^ byte) * 0x100000001b3ULL;
    return hash;
}

}  // namespace

Result<Skeleton> open_programs(const ProgramConstants& constants)
{
    Skeleton skeleton(headwind_bpf__open());
    if (!skeleton) return fail_libbpf(errno, "open the BPF object");
    skeleton->rodata->hw_nonce = constants.nonce;
    skeleton->rodata->hw_tcx = constants.tcx ? 1 : 0;
    skeleton->rodata->hw_workarounds_off = workarounds_off();
    std::ranges::copy(normal_scores().at, skeleton->rodata->hw_scores.at);
    return skeleton;
}

Status load_programs(headwind_bpf& skeleton)
{
    libbpf_words().clear();
    const int error = headwind_bpf__load(&skeleton);
    if (error == 0) return {};
    HW_CHECK(check_lockdown());
    return fail_libbpf(-error, "load the BPF programs");
}

Status check_lockdown()
{
    // The program calls bpf_probe_read_kernel(fp - 8, 8, nullptr): a kernel that is locked down has no such helper.
    const bpf_insn code[] = {
        instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, 0, BPF_REG_10),
        // NOLINTNEXTLINE(misc-redundant-expression): BPF_ADD and BPF_K happen to be 0 both
        instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, -8), instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 8),
        instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0),
        instruction(BPF_JMP | BPF_CALL, 0, BPF_FUNC_probe_read_kernel),
        instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0), instruction(BPF_JMP | BPF_EXIT, 0, 0)};
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "hw_probe", "GPL", code, std::size(code), nullptr));
    if (program || errno != EINVAL) return {};
    return fail(
        ErrorKind::unsupported,
        "this kernel is locked down: BPF programs may not read its memory (/sys/kernel/security/lockdown says confidentiality): boot it with lockdown=integrity, or none");
}

std::uint64_t own_programs()
{
    static const auto identity = [] {
        std::uint64_t hash = 0xcbf29ce484222325ULL;
        std::size_t size = 0;
        const void* tc = headwind_bpf__elf_bytes(&size);
        hash = hashed(hash, tc, size);
        const void* xdp = xdp_bpf__elf_bytes(&size);
        hash = hashed(hash, xdp, size);
        hash = hashed(hash, normal_scores().at, sizeof(normal_scores().at));
        return std::max<std::uint64_t>(hash ^ version_played(), 1);
    }();
    return identity;
}

std::vector<std::pair<bpf_map*, const char*>> pinned_maps(headwind_bpf& skeleton)
{
    const auto& maps = skeleton.maps;
    return {{maps.data_control, "control"},
            {maps.data_held, "held"},
            {maps.hw_entries, "entries"},
            {maps.hw_rules, "rules"},
            {maps.hw_leases, "leases"},
            {maps.hw_states, "states"},
            {maps.hw_cpu_states, "cpu_states"},
            {maps.hw_segment_ctxs, "segment_ctxs"},
            {maps.hw_texts, "texts"},
            {maps.hw_timelines, "timelines"},
            {maps.hw_stops, "stops"},
            {maps.hw_hooks, "hooks"},
            {maps.hw_shares, "shares"},
            {maps.hw_fragments, "fragments"},
            {maps.hw_steerings, "steerings"},
            {maps.hw_sequences, "sequences"},
            {maps.hw_laws, "laws"},
            {maps.hw_lists, "lists"},
            {maps.bss, port_classes_pin}};
}

std::vector<std::pair<bpf_program*, const char*>> pinned_programs(headwind_bpf& skeleton)
{
    const auto& programs = skeleton.progs;
    return {{programs.headwind_egress, "egress"},   {programs.headwind_ingress, "ingress"},
            {programs.headwind_segment, "segment"}, {programs.headwind_note_device, "note_device"},
            {programs.headwind_look, look_pin},     {programs.headwind_pace_out, "pace_out"}};
}

void collect_libbpf_words()
{
    libbpf_set_print(keep_libbpf_words);
}

}  // namespace headwind
