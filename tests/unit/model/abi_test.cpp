// SPDX-License-Identifier: MIT
// States a second time how all that BPF programs and loader share is laid out.
//
// Builds of one HW_ABI_VERSION work on the same maps, so another layout needs another version.
#include <cstddef>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <headwind/index.h>
#include <headwind/sequence.h>
#include <headwind/testing.h>

#include "headwind/abi.h"
#include "pod.h"

namespace headwind::abi_test {
namespace {

struct Field {
    std::string name;
    std::size_t stated_offset, stated_size, offset, size;
};

struct Struct {
    std::string name;
    std::size_t stated_size, size;
    std::vector<Field> fields;
};

// clang-format off
#define STRUCT(size, type, ...) \
    [] { using Type = type; return Struct{#type, size, sizeof(Type), {__VA_ARGS__}}; }()
#define FIELD(offset, size, name) Field{#name, offset, size, offsetof(Type, name), sizeof(Type::name)}

// When this table has to change, raise HW_ABI_VERSION in abi.h and here.
constexpr int stated_version = 21;

// The size of each struct, and the offset and size of each of its fields, padding included, all in bytes.
const std::vector<Struct>& layout()
{
    static const std::vector<Struct> all{
        STRUCT(48, hw_key,
               FIELD(    0,     8, cgroup),
               FIELD(    8,    16, local),
               FIELD(   24,    16, remote),
               FIELD(   40,     2, local_port),
               FIELD(   42,     2, remote_port),
               FIELD(   44,     2, device),
               FIELD(   46,     1, protocol),
               FIELD(   47,     1, shape)),
        STRUCT(192, hw_shape,
               FIELD(    0,    48, mask),
               FIELD(   48,     8, max_rank),
               FIELD(   56,     1, id),
               FIELD(   57,     1, directions),
               FIELD(   58,     1, classes),
               FIELD(   59,     1, cgroup_level),
               FIELD(   60,     1, default_devices),
               FIELD(   61,     1, ipv6_only),
               FIELD(   62,     1, peer),
               FIELD(   63,     1, port_classes),
               FIELD(   64,   128, filter)),
        STRUCT(262144, hw_port_classes,
               FIELD(    0, 262144, of)),
        STRUCT(36, hw_entry,
               FIELD(    0,     4, lock),
               FIELD(    4,    32, rules)),
        STRUCT(40, hw_fragment_key,
               FIELD(    0,    16, source),
               FIELD(   16,    16, destination),
               FIELD(   32,     4, identification),
               FIELD(   36,     4, protocol)),
        STRUCT(16, hw_fragment,
               FIELD(    0,     8, seen),
               FIELD(    8,     2, source_port),
               FIELD(   10,     2, destination_port),
               FIELD(   12,     1, protocol),
               FIELD(   13,     1, packet_class),
               FIELD(   14,     2, pad)),
        STRUCT(16, hw_steering,
               FIELD(    0,     8, last),
               FIELD(    8,     4, entered),
               FIELD(   12,     4, left)),
        STRUCT(16, hw_chance,
               FIELD(    0,     8, threshold),
               FIELD(    8,     8, half_life_q24)),
        STRUCT(112, hw_impairment,
               FIELD(    0,    48, events),
               FIELD(   48,     8, reorder),
               FIELD(   56,     8, delay),
               FIELD(   64,     8, jitter),
               FIELD(   72,     8, law),
               FIELD(   80,     8, correlation_time),
               FIELD(   88,     8, ns_per_byte_q16),
               FIELD(   96,     8, queue),
               FIELD(  104,     4, reorder_gap),
               FIELD(  108,     4, flags)),
        STRUCT(136, hw_step,
               FIELD(    0,     8, begin),
               FIELD(    8,     8, end),
               FIELD(   16,     8, sent),
               FIELD(   24,   112, impairment)),
        STRUCT(32, hw_hours,
               FIELD(    0,     4, from),
               FIELD(    4,     4, to),
               FIELD(    8,     4, days),
               FIELD(   12,     4, shift),
               FIELD(   16,     4, shift_after),
               FIELD(   20,     4, pad),
               FIELD(   24,     8, turn)),
        STRUCT(256, hw_rule,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, pad),
               FIELD(    8,     8, rank),
               FIELD(   16,     8, born),
               FIELD(   24,     8, died),
               FIELD(   32,     8, start),
               FIELD(   40,     8, deadline),
               FIELD(   48,     4, leased),
               FIELD(   52,     4, flows),
               FIELD(   56,     4, flow_seed),
               FIELD(   60,     4, timeline),
               FIELD(   64,     8, since),
               FIELD(   72,     8, flap_period),
               FIELD(   80,     8, flap_up),
               FIELD(   88,     8, period),
               FIELD(   96,     4, state),
               FIELD(  100,     4, steps),
               FIELD(  104,     2, held_shift),
               FIELD(  106,     2, stoppable),
               FIELD(  108,     4, max_share),
               FIELD(  112,    32, hours),
               FIELD(  144,   112, impairment)),
        STRUCT(136, hw_stop,
               FIELD(    0,     8, at),
               FIELD(    8,     8, touched),
               FIELD(   16,     8, packets),
               FIELD(   24,     4, cause),
               FIELD(   28,     4, told),
               FIELD(   32,   104, words)),
        STRUCT(16, hw_past,
               FIELD(    0,     8, minute),
               FIELD(    8,     8, packets)),
        STRUCT(152, hw_hook,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, pad),
               FIELD(    8,     8, minute),
               FIELD(   16,     8, packets),
               FIELD(   24,   128, past)),
        STRUCT(8, hw_share_key,
               FIELD(    0,     4, state),
               FIELD(    4,     4, hook)),
        STRUCT(24, hw_share,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, pad),
               FIELD(    8,     8, minute),
               FIELD(   16,     8, touched)),
        STRUCT(16, hw_lease,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, pad),
               FIELD(    8,     8, until)),
        STRUCT(8, hw_state_key,
               FIELD(    0,     4, state),
               FIELD(    4,     4, direction)),
        STRUCT(80, hw_ring,
               FIELD(    0,     4, shift),
               FIELD(    4,     4, pad),
               FIELD(    8,     8, first),
               FIELD(   16,    64, units)),
        STRUCT(40, hw_progress,
               FIELD(    0,     8, index),
               FIELD(    8,     4, rule),
               FIELD(   12,     4, states),
               FIELD(   16,    16, dice),
               FIELD(   32,     4, score),
               FIELD(   36,     4, pad)),
        STRUCT(176, hw_chain,
               FIELD(    0,     8, seed),
               FIELD(    8,     8, blend),
               FIELD(   16,    32, event),
               FIELD(   48,    96, to),
               FIELD(  144,    24, start),
               FIELD(  168,     8, every)),
        STRUCT(8, hw_list_key,
               FIELD(    0,     4, rule),
               FIELD(    4,     4, block)),
        STRUCT(64, hw_list_block,
               FIELD(    0,    64, bits)),
        STRUCT(736, hw_sequence,
               FIELD(    0,   704, chains),
               FIELD(  704,     4, used),
               FIELD(  708,     4, netem),
               FIELD(  712,     4, listed),
               FIELD(  716,     4, pad),
               FIELD(  720,     8, score_seed),
               FIELD(  728,     4, correlation),
               FIELD(  732,     4, rest)),
        STRUCT(2316, hw_law,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, users),
               FIELD(    8,  2308, at)),
        STRUCT(2308, hw_scores,
               FIELD(    0,  2308, at)),
        STRUCT(152, hw_state,
               FIELD(    0,     4, lock),
               FIELD(    4,     4, fraction_q16),
               FIELD(    8,     8, next_free),
               FIELD(   16,     4, since_reorder),
               FIELD(   20,     4, pad),
               FIELD(   24,     8, last_depart),
               FIELD(   32,    80, ring),
               FIELD(  112,    40, progress)),
        STRUCT(136, hw_counters,
               FIELD(    0,     8, packets),
               FIELD(    8,     8, bytes),
               FIELD(   16,    48, dropped),
               FIELD(   64,     8, corrupted),
               FIELD(   72,     8, duplicated),
               FIELD(   80,     8, delayed),
               FIELD(   88,     8, reordered),
               FIELD(   96,    40, exempt)),
        STRUCT(16, hw_fate,
               FIELD(    0,     4, events),
               FIELD(    4,     4, flip),
               FIELD(    8,     4, score),
               FIELD(   12,     4, copy_score)),
        STRUCT(192, hw_cpu_state,
               FIELD(    0,   136, counters),
               FIELD(  136,    24, next_event),
               FIELD(  160,     4, rule),
               FIELD(  164,     4, returns),
               FIELD(  168,     4, returned),
               FIELD(  172,     4, step),
               FIELD(  176,    16, fate)),
        STRUCT(16, hw_segment_ctx,
               FIELD(    0,     4, rule),
               FIELD(    4,     2, tc_index),
               FIELD(    6,     2, direction),
               FIELD(    8,     4, flow),
               FIELD(   12,     4, drawn)),
        STRUCT(8, hw_xdp_meta,
               FIELD(    0,     4, nonce),
               FIELD(    4,     4, rule)),
        STRUCT(8, hw_text_key,
               FIELD(    0,     4, rule),
               FIELD(    4,     4, chunk)),
        STRUCT(240, hw_text,
               FIELD(    0,     2, length),
               FIELD(    2,   238, bytes)),
        STRUCT(64, hw_index_entry,
               FIELD(    0,     4, id),
               FIELD(    4,     4, flags),
               FIELD(    8,     8, born),
               FIELD(   16,     8, died),
               FIELD(   24,     8, rank),
               FIELD(   32,     8, shapes),
               FIELD(   40,     8, deadline),
               FIELD(   48,     4, name_hash),
               FIELD(   52,     4, state),
               FIELD(   56,     4, slots),
               FIELD(   60,     1, device_flags),
               FIELD(   61,     1, xdp),
               FIELD(   62,     2, pad)),
        STRUCT(232, hw_index_rest,
               FIELD(    0,     8, owner_hash),
               FIELD(    8,     8, pending),
               FIELD(   16,     8, cgroup),
               FIELD(   24,     4, timeline),
               FIELD(   28,     4, clock),
               FIELD(   32,    64, name),
               FIELD(   96,   128, slots),
               FIELD(  224,     4, ports),
               FIELD(  228,     4, pad)),
        STRUCT(48, hw_device,
               FIELD(    0,     4, ifindex),
               FIELD(    4,     2, flags),
               FIELD(    6,     2, sight),
               FIELD(    8,     4, peer_netns),
               FIELD(   12,     4, on_return),
               FIELD(   16,    16, name),
               FIELD(   32,    16, passed)),
        STRUCT(6176, hw_shape_table,
               FIELD(    0,     4, count),
               FIELD(    4,     4, directions),
               FIELD(    8,     4, shares),
               FIELD(   12,     4, stale),
               FIELD(   16,     4, transport),
               FIELD(   20,     2, port_classes),
               FIELD(   22,     2, has_classes),
               FIELD(   24,     4, stale_classes),
               FIELD(   28,     4, pad),
               FIELD(   32,  6144, shapes)),
        STRUCT(8, hw_saved,
               FIELD(    0,     4, changed),
               FIELD(    4,     4, before)),
        STRUCT(61616, hw_control,
               FIELD(    0,     4, abi),
               FIELD(    4,     4, next_rule),
               FIELD(    8,     8, version),
               FIELD(   16,     4, line_segment),
               FIELD(   20,     4, line_pace),
               FIELD(   24,     4, line_return),
               FIELD(   28,     4, xdp_nonce),
               FIELD(   32,     8, max_held),
               FIELD(   40,     8, netns_cookie),
               FIELD(   48,     4, dirty),
               FIELD(   52,     4, tcx),
               FIELD(   56,     8, programs),
               FIELD(   64,     4, nonce),
               FIELD(   68,     4, loopback_pace),
               FIELD(   72,     8, secret),
               FIELD(   80,     8, longest_hold),
               FIELD(   88,     4, loopback_rps),
               FIELD(   92,     4, steers),
               FIELD(   96,     8, route_localnet),
               FIELD(  104,     8, accept_local),
               FIELD(  112, 12352, tables),
               FIELD(12464, 49152, devices)),
        STRUCT(80, hw_held,
               FIELD(    0,     8, at),
               FIELD(    8,     8, bytes),
               FIELD(   16,     8, paces),
               FIELD(   24,     8, segmenter_at),
               FIELD(   32,     8, segments),
               FIELD(   40,     8, returns),
               FIELD(   48,     8, segmenter),
               FIELD(   56,     8, pacer),
               FIELD(   64,     8, loopback),
               FIELD(   72,     8, net)),
        STRUCT(16, hw_host,
               FIELD(    0,     4, panic),
               FIELD(    4,     4, backlog_changed),
               FIELD(    8,     4, backlog_before),
               FIELD(   12,     4, pad)),
        STRUCT(40, hw_feed,
               FIELD(    0,     8, monotonic),
               FIELD(    8,     8, boottime),
               FIELD(   16,     8, tai),
               FIELD(   24,     8, dice),
               FIELD(   32,     8, seed)),
    };
    return all;
}
// clang-format on

#undef STRUCT
#undef FIELD

constexpr const char* what_to_do = ": this layout is another ABI: raise HW_ABI_VERSION, and state both anew here";

TEST(Abi, Version)
{
    EXPECT_EQ(HW_ABI_VERSION, stated_version) << "state the layout of this version here";
}

TEST(Abi, LayoutIsThatOfTheVersion)
{
    for (const auto& one : layout()) {
        EXPECT_EQ(one.size, one.stated_size) << one.name << what_to_do;
        for (const auto& field : one.fields) {
            EXPECT_EQ(field.offset, field.stated_offset) << one.name << "." << field.name << what_to_do;
            EXPECT_EQ(field.size, field.stated_size) << one.name << "." << field.name << what_to_do;
        }
    }
}

// A field that the table lacks leaves a hole in it. So does padding that has no name, whose bytes could differ.
TEST(Abi, EveryByteIsAField)
{
    for (const auto& one : layout()) {
        std::size_t end = 0;
        for (const auto& field : one.fields) {
            EXPECT_EQ(field.stated_offset, end) << one.name << "." << field.name;
            end = field.stated_offset + field.stated_size;
        }
        EXPECT_EQ(end, one.stated_size) << one.name;
    }
}

TEST(Abi, EveryStructIsStated)
{
    std::set<std::string> there, stated;
    for (const char* file : {"abi.h", "index.h", "law.h", "rule.h", "sequence.h", "state.h", "testing.h"}) {
        std::ifstream header(test::repository_file(std::string("include/headwind/") + file));
        ASSERT_TRUE(header) << file;
        for (std::string line; std::getline(header, line);) {
            std::istringstream words(line);
            std::string first, name, brace;
            if (line.starts_with("struct ") && words >> first >> name >> brace && brace == "{") there.insert(name);
        }
    }
    for (const auto& one : layout()) stated.insert(one.name);
    EXPECT_THAT(stated, testing::ContainerEq(there));
}

}  // namespace
}  // namespace headwind::abi_test
