// SPDX-License-Identifier: MIT
/* Fuzzes the parser of packets (bpf/packet.h), compiled for the host.
 *
 * The first byte says how much of the packet is linear: the rest can be read only by bpf_skb_load_bytes, as in the
 * kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sanitizer/asan_interface.h>

#include "../../bpf/packet.h"

enum { ROOM = 4096 };

static __u8* packet; /* below 4 GB: __sk_buff has 32 bits for addresses */
static __u32 total;

#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The whole packet, also behind the linear part of `packet`, where ASan is told to guard. */
static __u8 whole[ROOM];

static long load_from_whole(const void* context, __u32 offset, void* to, __u32 length)
{
    (void)context;
    if (offset > total || length > total - offset) return -14;
    memcpy(to, whole + offset, length);
    return 0;
}

static int parse(__u32 linear, __u32 direction, struct hw_packet* to)
{
    struct __sk_buff context = {.len = total};
    int understood;

    context.data = (__u32)(unsigned long)packet;
    context.data_end = context.data + linear;
    ASAN_UNPOISON_MEMORY_REGION(packet, ROOM);
    memcpy(packet, whole, linear);
    ASAN_POISON_MEMORY_REGION(packet + linear, ROOM - linear);
    understood = parse_packet(&context, direction, to);
    ASAN_UNPOISON_MEMORY_REGION(packet, ROOM);
    return understood;
}

static __u16 at16(__u32 offset)
{
    return (__u16)(whole[offset] << 8 | whole[offset + 1]);
}

/* An independent look at the plainest of packets: no VLAN tag, IPv4 and not a later fragment. */
static void check_plain_ipv4(const struct hw_packet* out)
{
    __u32 ip = ETH_HLEN, header = (whole[ip] & 15U) * 4;

    if (total < ip + 20 || at16(12) != ETH_P_IP || whole[ip] >> 4 != 4 || header < 20) return;
    REQUIRE(out->ipv4 && out->network == ip && out->transport == ip + header);
    REQUIRE(out->key.protocol == whole[ip + 9]);
    REQUIRE(memcmp((const __u8*)out->key.local + 12, whole + ip + 12, 4) == 0);
    REQUIRE(memcmp((const __u8*)out->key.remote + 12, whole + ip + 16, 4) == 0);
    REQUIRE(out->later_fragment == ((at16(ip + 6) & 0x1fff) != 0));
    if ((out->key.protocol == IPPROTO_TCP || out->key.protocol == IPPROTO_UDP) && !out->later_fragment &&
        total >= ip + header + 4) {
        REQUIRE(out->key.local_port == bpf_htons(at16(ip + header)));
        REQUIRE(out->key.remote_port == bpf_htons(at16(ip + header + 2)));
    }
}

int LLVMFuzzerInitialize(int* count, char*** words)
{
    (void)count, (void)words;
    bpf_skb_load_bytes = load_from_whole;
    packet = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    REQUIRE(packet != MAP_FAILED);
    return 0;
}

int LLVMFuzzerTestOneInput(const __u8* data, size_t size)
{
    struct hw_packet out, in, linear;

    if (size < 1) return 0;
    total = size - 1 < ROOM ? (__u32)(size - 1) : ROOM;
    memcpy(whole, data + 1, total);
    REQUIRE(parse(data[0] < total ? data[0] : total, HW_OUT, &out));
    REQUIRE(parse(total, HW_OUT, &linear));
    REQUIRE(parse(data[0] < total ? data[0] : total, HW_IN, &in));
    REQUIRE(memcmp(&out, &linear, sizeof(out)) == 0); /* parse_packet clears all of it */
    REQUIRE(out.key.cgroup == 0 && out.key.device == 0 && out.key.shape == 0);
    REQUIRE(out.packet_class <= HW_HEADLESS && out.packet_class == in.packet_class);
    REQUIRE(out.network >= ETH_HLEN && out.network == in.network);
    REQUIRE(out.fragment == in.fragment && out.fragment >= out.later_fragment &&
            out.identification == in.identification);
    if (out.packet_class == HW_FRAME || out.packet_class == HW_ARP)
        REQUIRE(out.transport == out.network && out.end == 0 && out.key.protocol == 0 && !out.fragment);
    else
        REQUIRE(out.transport >= out.network + 20 && out.end >= out.network);
    if (out.packet_class == HW_FRAME) {
        REQUIRE(out.key.local_port == in.key.local_port && out.key.remote_port == 0 && in.key.remote_port == 0);
        REQUIRE(out.key.local_port == bpf_htons(HW_ETHERTYPE_LLC) ||
                bpf_ntohs(out.key.local_port) >= HW_FIRST_ETHERTYPE);
        return 0;
    }
    if (out.packet_class == HW_HEADLESS) REQUIRE(!out.ipv4 && out.key.protocol == 0 && out.key.local_port == 0);
    REQUIRE(memcmp(out.key.local, in.key.remote, sizeof(out.key.local)) == 0);
    REQUIRE(memcmp(out.key.remote, in.key.local, sizeof(out.key.local)) == 0);
    REQUIRE(out.key.local_port == in.key.remote_port && out.key.remote_port == in.key.local_port);
    REQUIRE(out.key.protocol == in.key.protocol && out.transport == in.transport && out.end == in.end);
    check_plain_ipv4(&out);
    return 0;
}
