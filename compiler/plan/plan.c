/* plan/plan.c: a module to a function: the steps of planning, one after the other.
 *
 * in:   a normalised module      out: its kernels in order, and a place for every tensor
 */
#include "plan/private.h"

/* More than any machine has: sums and products of sizes stay far from overflow. */
#define MOST_BYTES ((int64_t)1 << 42)

static bool fits(Ctx *ctx, const Module *m, int64_t real_bytes) {
    double all = 0;
    for (uint32_t i = 0; i < m->tensors.len; i++) {
        const Tensor *tensor = m->tensors.at[i];
        int64_t elements = tensor_elements(tensor, m->max_batch);
        all += (double)elements * (double)real_bytes;
        if (elements <= MOST_BYTES / real_bytes && all <= (double)MOST_BYTES) continue;
        Diag *diag = diag_error(ctx, tensor->span, "`%s` has too many elements", tensor->name);
        if (elements <= MOST_BYTES / real_bytes)
            diag_help(ctx, diag, "all tensors together may take up to %lld bytes",
                      (long long)MOST_BYTES);
        return false;
    }
    return true;
}

Function *plan_function(Ctx *ctx, Module *m, const char *name, Tensor *const *inputs,
                        uint32_t ninputs, const Layout *layout, const PlanOptions *options) {
    Planner p = {.ctx = ctx, .m = m, .options = options};
    p.real_bytes = options->f64 ? 8 : 4;
    p.lanes = options->vector_bytes / p.real_bytes;
    if (!fits(ctx, m, p.real_bytes)) return NULL;
    p.scratch = ir_module(ctx, m->name);
    p.f = ARENA_NEW(ctx->arena, Function);
    p.f->name = sym(ctx, name);
    p.f->module = m;
    p.f->f64 = options->f64;
    for (uint32_t i = 0; i < layout->rounded.len; i++)
        map_set(ctx->arena, &p.f->rounded, layout->rounded.entries[i].key, p.f);
    ArenaMark mark = arena_mark(ctx->scratch);
    plan_nodes(&p);
    plan_operands(&p);
    plan_inline(&p);
    plan_storage(&p);
    plan_order(&p);
    plan_fuse(&p);
    plan_kernels(&p);
    plan_partial(&p);
    plan_winograd(&p);
    plan_split(&p);
    plan_buffers(&p, inputs, ninputs, layout);
    arena_release(ctx->scratch, mark);
    return p.f;
}
