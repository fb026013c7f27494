// SPDX-License-Identifier: MIT
// A tc program that is not Headwind's, behind Headwind's or in front: it sees and sets packets like other users of the
// hook.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "datapath/link.h"
#include "host/netlink.h"
#include "namespace.h"
#include "util/fd.h"

namespace headwind::test {

enum class Hook { ingress, egress };

// The place where a program is attached: behind every program that is there; in front of them; or, on every kernel, as
// a filter of clsact, which comes after tcx programs.
enum class Place { behind, in_front, clsact };

class ForeignProgram {
public:
    struct Seen {
        std::uint64_t packets = 0, marked = 0, indexed = 0;  // numbers of all packets; with `mark`; with `tc_index`
    };

    // The fields of a packet that a program saw.
    struct Sight {
        std::uint32_t length = 0, type = 0, mark = 0, protocol = 0, tagged = 0, tag = 0, tc_index = 0;
        std::int32_t verified = 0;  // level up to which checksums were verified (CHECKSUM_UNNECESSARY); negative: none
        auto operator<=>(const Sight&) const = default;
        friend void PrintTo(const Sight& sight, std::ostream* out)
        {
            *out << fmt::format("{} bytes, type {}, mark {:x}, protocol {:x}, tagged {} {:x}, verified {}\n",
                                sight.length, sight.type, sight.mark, sight.protocol, sight.tagged, sight.tag,
                                sight.verified);
        }
    };

    // Counts packets, and changes nothing.
    static ForeignProgram counter(const Namespace& where, const std::string& device, Hook hook, std::uint32_t mark,
                                  std::uint32_t tc_index, Place place = Place::behind)
    {
        ForeignProgram program;
        program.map_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "seen", 4, 8, 3, nullptr));
        EXPECT_TRUE(program.map_);
        std::vector<bpf_insn> code = {mov(6, 1)};
        program.add_count(code, 0);
        program.add_count_if(code, 1, offsetof(__sk_buff, mark), mark);
        program.add_count_if(code, 2, offsetof(__sk_buff, tc_index), tc_index);
        program.attach(where, device, hook, code, place);
        return program;
    }

    // Records packets for sights(), and changes nothing.
    static ForeignProgram recorder(const Namespace& where, const std::string& device, Hook hook)
    {
        ForeignProgram program;
        program.map_ = Fd(bpf_map_create(BPF_MAP_TYPE_QUEUE, "sights", 0, sizeof(Sight), 4096, nullptr));
        EXPECT_TRUE(program.map_);
        constexpr int base = -static_cast<int>(sizeof(Sight));
        std::vector<bpf_insn> code = {mov(6, 1)};
        int at = base;
        for (const std::size_t field :
             {offsetof(__sk_buff, len), offsetof(__sk_buff, pkt_type), offsetof(__sk_buff, mark),
              offsetof(__sk_buff, protocol), offsetof(__sk_buff, vlan_present), offsetof(__sk_buff, vlan_tci),
              offsetof(__sk_buff, tc_index)}) {
            code.push_back(load(2, 6, field));
            code.push_back(instruction(BPF_STX | BPF_MEM | BPF_W, 10, 2, at, 0));
            at += 4;
        }
        for (const auto& one :
             {mov(1, 6), move_value(2, BPF_CSUM_LEVEL_QUERY), call(BPF_FUNC_csum_level),
              instruction(BPF_STX | BPF_MEM | BPF_W, 10, 0, at, 0),
              instruction(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, program.map_.get()),
              instruction(0, 0, 0, 0, 0), mov(2, 10), instruction(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, base),
              move_value(3, 0), call(BPF_FUNC_map_push_elem)})
            code.push_back(one);
        program.attach(where, device, hook, code, Place::behind);
        return program;
    }

    // Is in front of the programs that are there. A packet without tc_index gets a mark and a VLAN tag beside its
    // bytes, and counts as verified if that is possible.
    static ForeignProgram tagger(const Namespace& where, const std::string& device, Hook hook, std::uint32_t mark,
                                 std::uint16_t vlan)
    {
        ForeignProgram program;
        program.attach(
            where, device, hook,
            {mov(6, 1), load(2, 6, offsetof(__sk_buff, tc_index)), instruction(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, 9, 0),
             move_value(2, static_cast<int>(mark)), store(6, 2, offsetof(__sk_buff, mark)), mov(1, 6),
             move_value(2, BPF_CSUM_LEVEL_INC), call(BPF_FUNC_csum_level), mov(1, 6), move_value(2, htons(ETH_P_8021Q)),
             move_value(3, vlan), call(BPF_FUNC_skb_vlan_push)},
            Place::in_front);
        return program;
    }

    // Is behind every program that is there, and writes the tc_index of packets that have `mark`.
    static ForeignProgram setter(const Namespace& where, const std::string& device, Hook hook, std::uint32_t mark,
                                 std::uint32_t tc_index)
    {
        ForeignProgram program;
        program.attach(where, device, hook,
                       {load(2, 1, offsetof(__sk_buff, mark)),
                        instruction(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, 2, static_cast<int>(mark)),
                        move_value(2, static_cast<int>(tc_index)), store(1, 2, offsetof(__sk_buff, tc_index))});
        return program;
    }

    // Is behind every program that is there, and writes the low 16 bits of each packet's mark into its tc_index.
    static ForeignProgram indexer(const Namespace& where, const std::string& device, Hook hook)
    {
        ForeignProgram program;
        program.attach(where, device, hook,
                       {load(2, 1, offsetof(__sk_buff, mark)), instruction(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff),
                        store(1, 2, offsetof(__sk_buff, tc_index))});
        return program;
    }

    // Is behind every program that is there, and ends with TC_ACT_OK, as a filter with `action ok` does: the kernel
    // then writes tc_index.
    static ForeignProgram accepter(const Namespace& where, const std::string& device, Hook hook)
    {
        ForeignProgram program;
        program.verdict_ = 0;
        program.attach(where, device, hook, {});
        return program;
    }

    // Makes packets that come in look as if a network card had verified them (CHECKSUM_UNNECESSARY).
    static ForeignProgram verifier(const Namespace& where, const std::string& device)
    {
        ForeignProgram program;
        program.attach(where, device, Hook::ingress, {move_value(2, BPF_CSUM_LEVEL_INC), call(BPF_FUNC_csum_level)});
        return program;
    }

    Seen seen() const
    {
        std::array<std::uint64_t, 3> values{};
        for (std::uint32_t i = 0; i < values.size(); ++i) bpf_map_lookup_elem(map_.get(), &i, &values[i]);
        return {values[0], values[1], values[2]};
    }

    // The sights since the last call, in their order.
    std::vector<Sight> sights() const
    {
        std::vector<Sight> all;
        for (Sight one; bpf_map_lookup_and_delete_elem(map_.get(), nullptr, &one) == 0;) all.push_back(one);
        return all;
    }

private:
    static bpf_insn instruction(int code, unsigned to, unsigned from, int offset, int value)
    {
        bpf_insn one{};
        one.code = static_cast<__u8>(code);
        one.dst_reg = to & 0xf;
        one.src_reg = from & 0xf;
        one.off = static_cast<__s16>(offset);
        one.imm = value;
        return one;
    }
    static bpf_insn mov(unsigned to, unsigned from) { return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
    static bpf_insn move_value(unsigned to, int value)
    {
        return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
    }
    static bpf_insn call(int helper) { return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
    static bpf_insn load(unsigned to, unsigned from, std::size_t offset)
    {
        return instruction(BPF_LDX | BPF_MEM | BPF_W, to, from, static_cast<int>(offset), 0);
    }
    static bpf_insn store(unsigned to, unsigned from, std::size_t offset)
    {
        return instruction(BPF_STX | BPF_MEM | BPF_W, to, from, static_cast<int>(offset), 0);
    }

    // Appends instructions for ++map[index]; skb is in r6.
    void add_count(std::vector<bpf_insn>& code, int index) const
    {
        for (const auto& one :
             {instruction(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, index), mov(2, 10),
              instruction(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4),
              instruction(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map_.get()), instruction(0, 0, 0, 0, 0),
              call(BPF_FUNC_map_lookup_elem), instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0), move_value(1, 1),
              instruction(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD)})
            code.push_back(one);
    }

    void add_count_if(std::vector<bpf_insn>& code, int index, std::size_t field, std::uint32_t value) const
    {
        constexpr int length_of_count = 9;
        code.push_back(load(1, 6, field));
        code.push_back(instruction(BPF_JMP32 | BPF_JNE | BPF_K, 1, 0, length_of_count, static_cast<int>(value)));
        add_count(code, index);
    }

    void attach(const Namespace& where, const std::string& device, Hook hook, std::vector<bpf_insn> code,
                Place place = Place::behind)
    {
        const Inside inside(where);
        code.push_back(move_value(0, verdict_));
        code.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
        LIBBPF_OPTS(bpf_prog_load_opts, load);
        program_ = Fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", code.data(), code.size(), &load));
        EXPECT_TRUE(program_) << std::strerror(errno);
        const int index = device_index(where, device);
        if (kernel_has_tcx() && place != Place::clsact) {
            bpf_link_create_opts options{};
            options.sz = sizeof(options);
            options.flags = place == Place::in_front ? 1U << 3 : 0;  // BPF_F_BEFORE
            const auto type = static_cast<bpf_attach_type>(hook == Hook::ingress ? 46 : 47);
            link_ = Fd(bpf_link_create(program_.get(), index, type, &options));
            EXPECT_TRUE(link_) << std::strerror(errno);
            return;
        }
        EXPECT_TRUE(netlink::create_clsact(index));
        filter_ = std::make_unique<Filter>(where, index, hook, program_.get(), place);
    }

    // A filter on clsact, behind Headwind's filter, whose priority is the highest, or before it: the latest filter of
    // one priority is the first.
    class Filter {
    public:
        Filter(const Namespace& where, int index, Hook hook, int program, Place place) : where_(where)
        {
            static __u32 behind = 0x7000, handle = 0;  // later filters are further behind
            place_.sz = sizeof(place_);
            place_.ifindex = index;
            place_.attach_point = hook == Hook::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
            options_.sz = sizeof(options_);
            options_.handle = ++handle;
            options_.priority = place == Place::in_front ? 1 : ++behind;
            bpf_tc_opts with_program = options_;
            with_program.prog_fd = program;
            const Inside inside(where_);
            EXPECT_EQ(bpf_tc_attach(&place_, &with_program), 0);
        }
        Filter(const Filter&) = delete;
        Filter& operator=(const Filter&) = delete;
        ~Filter()
        {
            const Inside inside(where_);
            bpf_tc_detach(&place_, &options_);
        }

    private:
        const Namespace& where_;
        bpf_tc_hook place_{};
        bpf_tc_opts options_{};
    };

    int verdict_ = -1;  // TC_ACT_UNSPEC, TCX_NEXT: go on
    Fd map_, program_, link_;
    std::unique_ptr<Filter> filter_;
};

}  // namespace headwind::test
