/* SPDX-License-Identifier: MIT
 * The kernel's own structures, as far as they are read, at offsets that libbpf takes from the kernel's BTF (CO-RE). A
 * program's context is the address of one: struct sk_buff at tc, struct xdp_buff in XDP. */
#ifndef HEADWIND_BPF_KERNEL_H
#define HEADWIND_BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Since Linux 6.2: a program's context as the kernel's own structure, which is read like any other memory. Older ones
 * read it with a helper, at some 90 instructions. */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

/* A field of the kernel's structure that `context` is. */
#define READ_CONTEXT(to, type, context, field)                                                                         \
	({                                                                                                             \
		if (bpf_cast_to_kern_ctx) {                                                                            \
			*(to) = ((const type *)bpf_cast_to_kern_ctx(context))->field;                                  \
		} else {                                                                                               \
			bpf_probe_read_kernel(to, sizeof(*(to)), &((const type *)(context))->field);                   \
		}                                                                                                      \
	})

/* Since Linux 6.2: what is at an address as a structure of this kind, read like any other memory, and 0 where there is
 * none. Older kernels read it with a helper, at some 80 instructions. */
extern void *bpf_rdonly_cast(const void *address, __u32 type_id) __ksym __weak;

/* A field of the kernel's structure at `address`. */
#define READ_AT(to, type, address, field)                                                                              \
	({                                                                                                             \
		if (bpf_rdonly_cast) {                                                                                 \
			const type *there_ = bpf_rdonly_cast((const void *)(address), bpf_core_type_id_kernel(type));  \
			*(to) = there_->field;                                                                         \
		} else {                                                                                               \
			bpf_probe_read_kernel(to, sizeof(*(to)), &((const type *)(address))->field);                   \
		}                                                                                                      \
	})

/* The first bytes of a name, an array there, as the integer that WORD() makes of the same bytes. */
#define READ_NAME_AT(to, type, address, field)                                                                         \
	({                                                                                                             \
		if (bpf_rdonly_cast) {                                                                                 \
			const type *there_ = bpf_rdonly_cast((const void *)(address), bpf_core_type_id_kernel(type));  \
			*(to) = *(const typeof(*(to)) *)there_->field;                                                 \
		} else {                                                                                               \
			bpf_probe_read_kernel(to, sizeof(*(to)), ((const type *)(address))->field);                    \
		}                                                                                                      \
	})
#define WORD(type, bytes)                                                                                              \
	({                                                                                                             \
		type word_;                                                                                            \
		__builtin_memcpy(&word_, bytes, sizeof(word_));                                                        \
		word_;                                                                                                 \
	})

#define RELOCATED __attribute__((preserve_access_index))

struct kernfs_node {
	__u64 id;
} RELOCATED;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[]; /* since Linux 6.1; itself included */
} RELOCATED;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} RELOCATED;

#define SK_PACING_FQ 2
struct sock {
	struct sock_cgroup_data sk_cgrp_data;
	__u32 sk_pacing_status;       /* SK_PACING_FQ: some fq has seen it */
	unsigned long sk_pacing_rate; /* bytes/s; ~0: any */
} RELOCATED;

struct Qdisc_ops {
	char id[16];
} RELOCATED;

struct qdisc_skb_head {
	__u32 qlen;
} RELOCATED;

struct gnet_stats_queue {
	__u32 backlog;
} RELOCATED;

struct Qdisc {
	const struct Qdisc_ops *ops;
	struct qdisc_skb_head q;
	struct gnet_stats_queue qstats;
} RELOCATED;

struct netdev_queue {
	struct Qdisc *qdisc;
} RELOCATED;

struct net;

typedef struct {
	struct net *net;
} RELOCATED possible_net_t;

struct bpf_prog_aux {
	char name[16];
} RELOCATED;

struct bpf_prog {
	struct bpf_prog_aux *aux;
} RELOCATED;

struct bpf_mprog_fp {
	struct bpf_prog *prog;
} RELOCATED;

struct bpf_mprog_entry {
	struct bpf_mprog_fp fp_items[64];
} RELOCATED;

struct tcf_proto_ops {
	char kind[16];
} RELOCATED;

struct tcf_proto {
	const struct tcf_proto_ops *ops;
	__u32 prio;
} RELOCATED;

struct mini_Qdisc {
	struct tcf_proto *filter_list;
} RELOCATED;

#define IFF_UP 1
#define LINK_STATE_NOCARRIER 4 /* a bit */
struct net_device {
	int ifindex;
	unsigned int flags;
	unsigned long state;
	possible_net_t nd_net;
	struct bpf_mprog_entry *tcx_ingress, *tcx_egress; /* since Linux 6.6 */
	struct mini_Qdisc *miniq_ingress, *miniq_egress;  /* until then */
	struct netdev_queue *_tx;
	unsigned int num_tx_queues;
} RELOCATED;

typedef struct {
	int counter;
} RELOCATED atomic_t;

typedef struct refcount_struct {
	atomic_t refs;
} RELOCATED refcount_t;

/* Only the names count: values are looked up. */
enum skb_ext_id { SKB_EXT_SEC_PATH };

struct skb_ext {
	__u8 offset[1]; /* of each extension, by its id, in 8 bytes */
} RELOCATED;

struct sec_path {
	int olen; /* > 0: a NIC is to encrypt the packet */
} RELOCATED;

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	refcount_t users;
	__u8 active_extensions; /* bits, by their ids */
	struct skb_ext *extensions;
	__u8 decrypted : 1;
} RELOCATED;

struct xdp_buff {
	void *data_hard_start;
	__u32 frame_sz;
} RELOCATED;

struct skb_shared_info {
	unsigned short gso_size;
} RELOCATED;

#endif
