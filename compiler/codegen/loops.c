/* codegen/loops.c: counted loops in SSA form.
 *
 * A loop is entered only when it has a turn, and tests at its end:
 *
 *     before:  if begin < end goto body else next
 *     body:    counter = phi(begin, counter + step); …; if counter + step < end goto body
 *     next:    carried values = phi(the initial ones from before, the last ones from the body)
 *
 * In this form what a turn reads from memory is sure to be read, so that LLVM can move loads that
 * do not change in front of the loop.
 */
#include "codegen/emit.h"

Loop loop_begin(Gen *g, LLVMValueRef begin, LLVMValueRef end, LLVMValueRef step, const char *name) {
    Loop loop = {.step = step, .end = end, .before = LLVMGetInsertBlock(g->b)};
    loop.body = LLVMAppendBasicBlockInContext(g->llvm, g->fn, name);
    loop.next = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
    LLVMValueRef enters = LLVMBuildICmp(g->b, LLVMIntSLT, begin, end, "");
    LLVMBuildCondBr(g->b, enters, loop.body, loop.next);
    LLVMPositionBuilderAtEnd(g->b, loop.body);
    loop.counter = LLVMBuildPhi(g->b, g->i64, name);
    LLVMAddIncoming(loop.counter, &begin, &loop.before, 1);
    return loop;
}

LLVMValueRef loop_carry(Gen *g, Loop *loop, LLVMValueRef init) {
    DLC_ASSERT(g->ctx, loop->ncarried < sizeof loop->phis / sizeof *loop->phis, (Span){0});
    LLVMValueRef phi = LLVMBuildPhi(g->b, LLVMTypeOf(init), "");
    LLVMAddIncoming(phi, &init, &loop->before, 1);
    loop->inits[loop->ncarried] = init;
    loop->phis[loop->ncarried++] = phi;
    return phi;
}

void loop_end(Gen *g, Loop *loop, const LLVMValueRef *next, LLVMValueRef *out) {
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(g->b);
    LLVMValueRef counter = LLVMBuildNSWAdd(g->b, loop->counter, loop->step, "");
    LLVMAddIncoming(loop->counter, &counter, &latch, 1);
    for (uint32_t i = 0; i < loop->ncarried; i++)
        LLVMAddIncoming(loop->phis[i], (LLVMValueRef *)&next[i], &latch, 1);
    LLVMValueRef again = LLVMBuildICmp(g->b, LLVMIntSLT, counter, loop->end, "");
    LLVMBuildCondBr(g->b, again, loop->body, loop->next);
    LLVMMoveBasicBlockAfter(loop->next, latch);
    LLVMPositionBuilderAtEnd(g->b, loop->next);
    for (uint32_t i = 0; out && i < loop->ncarried; i++) {
        out[i] = LLVMBuildPhi(g->b, LLVMTypeOf(loop->phis[i]), "");
        LLVMAddIncoming(out[i], &loop->inits[i], &loop->before, 1);
        LLVMAddIncoming(out[i], (LLVMValueRef *)&next[i], &latch, 1);
    }
}
