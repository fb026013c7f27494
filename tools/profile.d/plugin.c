/* SPDX-License-Identifier: MIT
 * A QEMU plugin (version 1 of its interface, QEMU 4.2 to 8) that counts how often each block of code is run. At the end
 * it writes ADDRESS INSTRUCTIONS TIMES lines to the file that HEADWIND_PROFILE names. The interface is declared here,
 * since Debian has no package with its header. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb*));
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int add_u64, void* to, uint64_t value);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*), void*);

EXPORTED int qemu_plugin_version = 1;

struct block {
    uint64_t address, instructions, times;
    struct block* next;
};

#define BUCKETS (1 << 18)
static struct block* blocks[BUCKETS];

static struct block* block_at(uint64_t address, uint64_t instructions)
{
    struct block **bucket = &blocks[(address ^ address >> 18) & (BUCKETS - 1)], *block;

    for (block = *bucket; block; block = block->next)
        if (block->address == address && block->instructions == instructions) return block;
    block = calloc(1, sizeof(*block));
    if (!block) abort();
    *block = (struct block){address, instructions, 0, *bucket};
    *bucket = block;
    return block;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb* tb)
{
    struct block* block = block_at(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &block->times, 1);
}

static void write_blocks(qemu_plugin_id_t id, void* unused)
{
    FILE* file = fopen(getenv("HEADWIND_PROFILE"), "w");

    (void)id, (void)unused;
    if (!file) abort();
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct block* block = blocks[i]; block; block = block->next)
            if (block->times) fprintf(file, "%lx %lu %lu\n", block->address, block->instructions, block->times);
    fclose(file);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int count, char** arguments)
{
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, write_blocks, NULL);
    return 0;
}
