/* SPDX-License-Identifier: MIT
 * Clock and dice. With hw_fed (set before loading, so that the verifier removes the other branch) both come from the
 * tests. */
#ifndef HEADWIND_BPF_ENV_H
#define HEADWIND_BPF_ENV_H

#include "maps.h"

const volatile __u8 hw_fed = 0;
struct hw_feed hw_feed SEC(".data.feed");

HW_INLINE __u64 env_monotonic(void)
{
	return hw_fed ? hw_feed.monotonic : bpf_ktime_get_ns();
}

HW_INLINE __u64 env_boottime(void)
{
	return hw_fed ? hw_feed.boottime : bpf_ktime_get_boot_ns();
}

HW_INLINE __u64 env_tai(void)
{
	return hw_fed ? hw_feed.tai : bpf_ktime_get_tai_ns();
}

/* Number of a span of time of some seconds: 8 at 250 jiffies a second, 2 at 1,000. */
HW_INLINE __u64 env_epoch(void)
{
	return hw_fed ? hw_feed.boottime >> 32 : bpf_jiffies64() >> 11;
}

HW_INLINE __u32 env_dice(void)
{
	if (hw_fed)
		return hw_dice(hw_feed.seed, hw_feed.dice++);
	return bpf_get_prandom_u32();
}

#endif
