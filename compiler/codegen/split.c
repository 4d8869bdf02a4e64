/* codegen/split.c: kernels that are divided among threads.
 *
 * in:   a kernel with a Split      out: its function goes through one part of the index; a task, a
 * function of (call, part, worker), calls it for the part with the workspace of the worker
 *
 * A kernel that reduces the results of parts runs over as many as there are in this call.
 *
 * Whoever called gives the threads (DlrtCall.parallel); without, the parts are run one after the
 * other, and where a function is compiled for one thread it needs no tasks. Kernels know nothing of
 * it but for the ranges of their loops (linear_axes).
 */
#include "codegen/emit.h"

#include "runtime/abi.h"

#include <stddef.h>

/* ---- parts ----------------------------------------------------------------------------------- */

static int64_t known_extent(const Split *split) {
    return split->index->extent == EXTENT_BATCH ? -1 : split->index->extent;
}

static bool is_even(const Split *split) {
    int64_t extent = known_extent(split);
    if (extent < 0 || extent % split->parts) return false;
    return !split->is_whole || extent / split->parts % split->unit == 0;
}

static LLVMValueRef divide_up(Gen *g, LLVMValueRef value, int64_t by) {
    value = LLVMBuildNSWAdd(g->b, value, gen_i64(g, by - 1), "");
    return LLVMBuildUDiv(g->b, value, gen_i64(g, by), "");
}

/* Turns of each part but the last: whole units, so many that the parts suffice. */
static LLVMValueRef turns_of_part(Gen *g, const Split *split) {
    if (split->number) return gen_i64(g, split->unit);
    if (is_even(split)) return gen_i64(g, known_extent(split) / split->parts);
    LLVMValueRef turns = divide_up(g, gen_extent(g, split->index), split->parts);
    LLVMValueRef units = divide_up(g, turns, split->unit);
    return LLVMBuildNSWMul(g->b, units, gen_i64(g, split->unit), "turns");
}

LLVMValueRef split_parts(Gen *g, const Kernel *k) {
    const Split *split = &k->split;
    if (is_even(split)) return gen_i64(g, split->parts);
    LLVMValueRef turns = turns_of_part(g, split);
    LLVMValueRef extent = LLVMBuildNSWAdd(g->b, gen_extent(g, split->index), turns, "");
    extent = LLVMBuildNSWSub(g->b, extent, gen_i64(g, 1), "");
    return LLVMBuildUDiv(g->b, extent, turns, "parts");
}

static Range *range_of_part(Gen *g, const Split *split, LLVMValueRef part) {
    Range *range = ARENA_NEW(g->ctx->arena, Range);
    LLVMValueRef turns = turns_of_part(g, split);
    *range = (Range){LLVMBuildNSWMul(g->b, part, turns, "first"), turns, -1};
    if (is_even(split)) {
        range->turns = known_extent(split) / split->parts;
        return range;
    }
    LLVMValueRef rest = LLVMBuildNSWSub(g->b, gen_extent(g, split->index), range->first, "");
    LLVMValueRef is_last = LLVMBuildICmp(g->b, LLVMIntSLT, rest, turns, "");
    range->extent = LLVMBuildSelect(g->b, is_last, rest, turns, "extent");
    return range;
}

void split_enter(Gen *g, const Kernel *k, LLVMValueRef part) {
    Range *range = range_of_part(g, &k->split, part);
    map_set(g->ctx->arena, &g->ranges, k->split.index, range);
    if (k->split.number) map_set(g->ctx->arena, &g->enclosing, k->split.number, part);
    for (uint32_t s = 0; k->kind == KERNEL_SCAN && s < k->nsteps; s++)
        for (uint32_t i = 0; i < k->steps[s]->nfree; i++)
            if (k->steps[s]->free[i]->extent == EXTENT_BATCH)
                map_set(g->ctx->arena, &g->ranges, k->steps[s]->free[i], range);
}

void split_count(Gen *g, const Kernel *k) {
    Range *range = ARENA_NEW(g->ctx->arena, Range);
    *range = (Range){gen_i64(g, 0), split_parts(g, k->parts_of), -1};
    map_set(g->ctx->arena, &g->ranges, k->over[0], range);
}

/* ---- running them ---------------------------------------------------------------------------- */

static LLVMValueRef loaded(Gen *g, LLVMValueRef from, size_t offset) {
    LLVMValueRef at = gen_i64(g, (int64_t)offset);
    return LLVMBuildLoad2(g->b, g->ptr, gen_element_address(g, g->i8, from, at), "");
}

static void run_alone(Gen *g, LLVMValueRef argument, LLVMValueRef task, LLVMValueRef parts) {
    LLVMTypeRef types[] = {g->ptr, g->i64, g->i64};
    LLVMTypeRef type = LLVMFunctionType(g->void_, types, 3, false);
    Loop loop = loop_begin(g, gen_i64(g, 0), parts, gen_i64(g, 1), "part");
    LLVMValueRef args[] = {argument, loop.counter, gen_i64(g, 0)};
    LLVMBuildCall2(g->b, type, task, args, 3, "");
    loop_end(g, &loop, NULL, NULL);
    LLVMBuildRetVoid(g->b);
}

static void run_with(Gen *g, LLVMValueRef parallel, LLVMValueRef argument, LLVMValueRef task,
                     LLVMValueRef parts) {
    LLVMTypeRef types[] = {g->ptr, g->ptr, g->ptr, g->i64};
    LLVMTypeRef type = LLVMFunctionType(g->void_, types, 4, false);
    LLVMValueRef run = loaded(g, parallel, offsetof(DlrtParallel, run));
    LLVMValueRef args[] = {loaded(g, parallel, offsetof(DlrtParallel, context)), task, argument,
                           parts};
    LLVMBuildCall2(g->b, type, run, args, 4, "");
    LLVMBuildRetVoid(g->b);
}

static void generate_runner(Gen *g) {
    LLVMValueRef call = LLVMGetParam(g->fn, 0), argument = LLVMGetParam(g->fn, 1);
    LLVMValueRef task = LLVMGetParam(g->fn, 2), parts = LLVMGetParam(g->fn, 3);
    LLVMBasicBlockRef threads = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "threads");
    LLVMBasicBlockRef alone = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "alone");
    LLVMValueRef parallel = loaded(g, call, offsetof(DlrtCall, parallel));
    LLVMValueRef given = LLVMBuildIsNotNull(g->b, parallel, "");
    LLVMValueRef several = LLVMBuildICmp(g->b, LLVMIntSGT, parts, gen_i64(g, 1), "");
    LLVMBuildCondBr(g->b, LLVMBuildAnd(g->b, given, several, ""), threads, alone);
    LLVMPositionBuilderAtEnd(g->b, threads);
    run_with(g, parallel, argument, task, parts);
    LLVMPositionBuilderAtEnd(g->b, alone);
    run_alone(g, argument, task, parts);
}

LLVMValueRef split_runner(Gen *g) {
    LLVMTypeRef types[] = {g->ptr, g->ptr, g->ptr, g->i64};
    Gen inner = *g;
    if (gen_shared(&inner, "run", g->void_, types, 4)) return inner.fn;
    generate_runner(&inner);
    LLVMDisposeBuilder(inner.b);
    return inner.fn;
}
