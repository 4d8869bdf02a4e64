/* codegen/scan.c: SCAN kernels: a loop over time around the kernels of one step.
 *
 * in:   a recurrence whose steps see the time as an index      out: the loop
 *       around it, behind what the steps compute for all times
 * Invariant: a step reads its own tensors only at times that are done.
 */
#include "codegen/emit.h"

void kernel_scan(Gen *g, const Kernel *k) {
    for (uint32_t i = 0; i < k->nsteps; i++) kernel_before(g, k->steps[i]);
    LLVMValueRef extent = gen_extent(g, k->time);
    Loop loop = loop_begin(g, gen_i64(g, 0), extent, gen_i64(g, 1), "time");
    LLVMValueRef time = g->scan_turn = loop.counter;
    if (k->direction < 0) {
        LLVMValueRef last = LLVMBuildSub(g->b, extent, gen_i64(g, 1), "");
        time = LLVMBuildSub(g->b, last, time, "");
    }
    map_set(g->ctx->arena, &g->enclosing, k->time, time);
    for (uint32_t i = 0; i < k->nsteps; i++) kernel_generate(g, k->steps[i]);
    map_set(g->ctx->arena, &g->enclosing, k->time, NULL);
    loop_end(g, &loop, NULL, NULL);
    g->scan_turn = NULL;
}
