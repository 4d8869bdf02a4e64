/* codegen/kernel.c: the function of a kernel.
 *
 * in:   a kernel and its operands      out: an internal function, which gets the addresses of the
 * operands, the sites of its draws, what the call says, and the number of the part if it is divided
 *
 * Kernels are functions of their own because a parameter can be `noalias`: LLVM then knows that
 * tensors do not overlap. Tensors of one kernel that share their bytes (updates in place) share
 * one parameter.
 */
#include "codegen/calls.h"

#include <string.h>

enum { BUFFER_ALIGNMENT = 64 };

static void add_operand_attributes(Gen *g, uint32_t i, const Operand *operand) {
    LLVMAttributeIndex at = i + 1;
    const Buffer *buffer = operand->buffer;
    LLVMTypeRef element = gen_element(g, operand->tensor);
    uint64_t alignment =
        operands_are_aligned(buffer) ? BUFFER_ALIGNMENT : gen_element_bytes(element);
    gen_attribute(g, g->fn, at, "nonnull", 0, false);
    gen_attribute(g, g->fn, at, "noundef", 0, false);
    gen_attribute(g, g->fn, at, "align", alignment, false);
    if (!operand->overlaps) gen_attribute(g, g->fn, at, "noalias", 0, false);
    if (!operand->is_written) gen_attribute(g, g->fn, at, "readonly", 0, false);
    if (operands_are_aligned(buffer) && buffer->bytes > 0)
        gen_attribute(g, g->fn, at, "dereferenceable", (uint64_t)buffer->bytes, false);
}

void kernel_generate(Gen *g, const Kernel *k) {
    switch (k->kind) {
    case KERNEL_MAP: kernel_map(g, k); break;
    case KERNEL_REDUCE: kernel_reduce(g, k); break;
    case KERNEL_CONTRACT:
        if (k->winograd.tile)
            kernel_winograd(g, k);
        else
            kernel_contract(g, k);
        break;
    case KERNEL_SCATTER: kernel_scatter(g, k); break;
    case KERNEL_SCAN: kernel_scan(g, k); break;
    case KERNEL_NEST: kernel_nest(g, k); break;
    }
}

/* The sites follow the operands. */
static void take_sites(Gen *g, LLVMValueRef fn, Operands *o) {
    o->sites.values = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, o->sites.len + 1);
    for (uint32_t i = 0; i < o->sites.len; i++) {
        o->sites.values[i] = LLVMGetParam(fn, o->all.len + i);
        LLVMSetValueName2(o->sites.values[i], "site", 4);
    }
    g->sites = &o->sites;
}

static void take_operands(Gen *g, LLVMValueRef fn, const Operands *o) {
    g->base = (Map){0};
    for (uint32_t i = 0; i < o->all.len; i++) {
        add_operand_attributes(g, i, &o->all.at[i]);
        const char *tensor = o->all.at[i].tensor->name;
        LLVMSetValueName2(LLVMGetParam(fn, i), tensor, strlen(tensor));
    }
    for (uint32_t i = 0; i < o->number.len; i++) {
        uint32_t number = (uint32_t)(uintptr_t)o->number.entries[i].value;
        map_set(g->ctx->arena, &g->base, o->number.entries[i].key, LLVMGetParam(fn, number - 1));
    }
}

static void take_extras(Gen *g, LLVMValueRef fn, uint32_t n) {
    g->n = g->known_n ? gen_i64(g, g->known_n) : LLVMGetParam(fn, n + EXTRA_N);
    g->seed = LLVMGetParam(fn, n + EXTRA_SEED);
    g->step = LLVMGetParam(fn, n + EXTRA_STEP);
    g->workspace = LLVMGetParam(fn, n + EXTRA_WORKSPACE);
    gen_attribute(g, fn, n + EXTRA_WORKSPACE + 1, "noalias", 0, false);
    gen_attribute(g, fn, n + EXTRA_WORKSPACE + 1, "align", BUFFER_ALIGNMENT, false);
    LLVMSetValueName2(LLVMGetParam(fn, n + EXTRA_N), "n", 1);
}

LLVMValueRef kernel_function(Gen *g, const Kernel *k, const char *name, Operands *o) {
    uint32_t nsites = o->sites.len, n = o->all.len + nsites;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, LLVMTypeRef, n + EXTRAS);
    for (uint32_t i = 0; i < n; i++) types[i] = i < o->all.len ? g->ptr : g->i64;
    types[n + EXTRA_N] = types[n + EXTRA_SEED] = types[n + EXTRA_STEP] = g->i64;
    types[n + EXTRA_WORKSPACE] = g->ptr;
    types[n + EXTRA_PART] = g->i64;
    bool is_split = k->split.index != NULL;
    LLVMValueRef fn = gen_function(g, name, g->void_, types, n + (is_split ? EXTRAS : EXTRA_PART));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    take_operands(g, fn, o);
    take_sites(g, fn, o);
    take_extras(g, fn, n);
    g->scan_turn = NULL;
    g->enclosing = g->ranges = (Map){0};
    if (is_split) split_enter(g, k, LLVMGetParam(fn, n + EXTRA_PART));
    if (k->parts_of) split_count(g, k);
    kernel_generate(g, k);
    LLVMBuildRetVoid(g->b);
    return fn;
}
