/* SPDX-License-Identifier: MIT
 * Marks that the BPF programs write on packets, for themselves and each other. */
#ifndef HEADWIND_MARKS_H
#define HEADWIND_MARKS_H

#include "abi.h"

/* skb->tc_index, which survives everything but a foreign tc filter that ends in TC_ACT_OK, is one of
 * - HW_MARK_LINE: the packet is in the line and belongs to this device slot (10 bits), on this side of it (1 bit).
 *   HW_MARK_HOST: it was to this host (all that is sent is, but for what a bridge forwards), which headwind0 forgets.
 *   HW_MARK_STEERED: it was not held.
 *   The nonce in cb[3] proves it.
 * - HW_MARK_DONE: it has met its fate at a hook of this instance, and shall meet no other one at the next hook. The
 *   other 15 bits prove it: hw_done_mark() in model.h.
 * - anything else: somebody else's, which is kept.
 * skb->cb[3]: instance nonce (16 bits), the packet's own tc_index (16 bits). Survives fq and the backlog.
 * skb->cb[4]: of a packet that is held or steered, its own priority; of one in the backlog, the rule id. Survives fq
 * and the backlog. skb->cb[2]: of a packet in the backlog, hw_cpu_state.returns (31 bits) and the subject's direction
 * (1 bit); 0: no number. Of one that is steered, its own queue_mapping. fq overwrites it. skb->cb[1]: of a packet in
 * the backlog, hw_control.xdp_nonce if hw_device.on_return counts it. fq overwrites it. skb->cb[0]: of a packet in the
 * backlog, its own priority, which the kernel clears on that way. fq overwrites it. */
#define HW_MARK_LINE 0x4000U
#define HW_MARK_HOST 0x0800U
#define HW_MARK_STEERED 0x1000U
#define HW_MARK_DONE 0x8000U
#define HW_MARK(side, slot) (HW_MARK_LINE | (__u32)(side) << 10 | (__u32)(slot))
#define HW_IS_LINE_MARK(mark) (((__u32)(mark)&0xe000U) == HW_MARK_LINE)
#define HW_MARK_SIDE(mark) ((__u32)(mark) >> 10 & 1)
#define HW_MARK_SLOT(mark) ((__u32)(mark) & (HW_MAX_DEVICES - 1))

HW_ASSERT(HW_MAX_DEVICES == 1 << 10, "HW_MARK has 10 bits for the slot");

#endif
