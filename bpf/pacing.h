/* SPDX-License-Identifier: MIT
 * Sockets that fq paces (SO_MAX_PACING_RATE, but for TCP, which says its departure times itself). fq goes by the
 * socket, which a held packet has no more, so the packet gets here the departure time that fq would give it. */
#ifndef HEADWIND_BPF_PACING_H
#define HEADWIND_BPF_PACING_H

#include "apply.h"
#include "held.h"

struct hw_pacing {
	struct bpf_spin_lock lock; /* guards all below */
	__u32 pad;
	__u64 next; /* CLOCK_MONOTONIC: departure time of the next packet */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hw_pacing);
} hw_pacings SEC(".maps");

#define NS_PER_S 1000000000ULL
#define FQ_FLOW_LIMIT 100   /* packets: more of a socket does not wait in fq, unless it is told so (tc-fq(8)) */
#define FQ_LONGEST NS_PER_S /* fq spends on one packet at most */

/* ns that fq would have the socket wait after these bytes; 0: fq does not pace it. */
HW_FUNCTION __u64 fq_interval(struct __sk_buff *context, __u64 bytes)
{
	const struct sk_buff *skb = (const void *)context;
	const struct net_device *device = NULL;
	const struct sock *sock = NULL;
	unsigned long rate = ~0UL;
	__u32 status = 0;
	__u64 interval;

	if (bpf_cast_to_kern_ctx) {
		sock = ((const struct sk_buff *)bpf_cast_to_kern_ctx(context))->sk;
		if (!sock)
			return 0;
		rate = sock->sk_pacing_rate;
	} else {
		bpf_probe_read_kernel(&sock, sizeof(sock), &skb->sk);
		bpf_probe_read_kernel(&rate, sizeof(rate), &sock->sk_pacing_rate);
	}
	if (rate == ~0UL || rate == 0)
		return 0;
	bpf_probe_read_kernel(&status, sizeof(status), &sock->sk_pacing_status);
	if (status != SK_PACING_FQ) {
		bpf_probe_read_kernel(&device, sizeof(device), &skb->dev);
		if (!device_has_fq((__u64)device))
			return 0;
	}
	interval = bytes * NS_PER_S / rate;
	return interval < FQ_LONGEST ? interval : FQ_LONGEST;
}

/* Stamps the packet with the departure time that fq would give it. False: fq would drop it. */
HW_INLINE bool pace_as_fq(struct __sk_buff *skb, const struct hw_hit *hit)
{
	struct bpf_sock *sk = skb->sk;
	struct hw_pacing *pacing;
	__u64 interval, now, wait, depart;

	if (!sk || hit->protocol == IPPROTO_TCP || !works_around(HW_WORKAROUND_PACING))
		return true;
	interval = fq_interval(skb, hit->bytes);
	if (interval == 0 || skb->tstamp_type == TSTAMP_MONOTONIC)
		return true;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return true;
	pacing = bpf_sk_storage_get(&hw_pacings, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!pacing)
		return true;
	now = env_monotonic();
	bpf_spin_lock(&pacing->lock);
	depart = pacing->next > now ? pacing->next : now;
	wait = depart - now;
	if (wait <= FQ_FLOW_LIMIT * interval)
		pacing->next = depart + interval;
	bpf_spin_unlock(&pacing->lock);
	if (wait > FQ_FLOW_LIMIT * interval)
		return false;
	bpf_skb_set_tstamp(skb, depart, TSTAMP_MONOTONIC); /* if it can't be, it can't be held either */
	return true;
}

#endif
