/* diff/forward.c: forward mode.
 *
 * in:   a normalised module with a loss, and leaf tensors with a direction for each
 * out:  for every tensor that depends on them, its derivative along the direction, `dot.NAME`
 * It shares the rules with reverse mode but not the transposition, and so checks it.
 */
#include "diff/private.h"

typedef struct Forward {
    Ctx *ctx;
    Module *m;
    Map tangents; /* Tensor* → Tensor* */
    Map extremes;
} Forward;

static bool is_moved(void *data, const Tensor *tensor) {
    Forward *f = data;
    return map_has(&f->tangents, tensor);
}

static void look(void *data, const Expr *e) {
    void **both = data;
    if (e->kind == EX_READ && e->type == TY_REAL && is_moved(both[0], e->read.tensor))
        *(bool *)both[1] = true;
}

/* Every tensor that moves gets its tangent tensor, before any is defined. */
static void declare(Forward *f) {
    Ctx *ctx = f->ctx;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < f->m->equations.len; i++) {
            Equation *equation = f->m->equations.at[i];
            Tensor *t = equation->result;
            if (t->classes || map_has(&f->tangents, t)) continue;
            bool moves = false;
            void *both[2] = {f, &moves};
            ir_visit(ctx, equation->body, look, both);
            if (!moves) continue;
            Tensor *dot = ir_tensor(ctx, f->m, TENSOR_LOCAL, sym_printf(ctx, "dot.%s", t->name),
                                    t->rank, t->dims, 0, t->span);
            map_set(ctx->arena, &f->tangents, t, dot);
            if (equation->scan.group) changed = true;
        }
    }
}

/* Sum over the reads of partial * tangent of what is read. */
static const Expr *along(Forward *f, const Expr *body, const Expr *known) {
    Ctx *ctx = f->ctx;
    Partials partials = diff_partials(ctx, body, known, ir_number(ctx, 1), is_moved, f);
    const Expr *sum = ir_number(ctx, 0);
    for (uint32_t i = 0; i < partials.len; i++) {
        const Expr *read = partials.at[i].read;
        Tensor *dot = map_get(&f->tangents, read->read.tensor);
        const Expr *zero = read->read.otherwise ? ir_number(ctx, 0) : NULL;
        const Expr *moved = ir_read(ctx, dot, read->read.subs, zero);
        sum = ir_add(ctx, sum, ir_mul(ctx, partials.at[i].value, moved));
    }
    return sum;
}

static void define(Forward *f, const Equation *equation) {
    Ctx *ctx = f->ctx;
    Tensor *dot = map_get(&f->tangents, equation->result);
    ReductionRule rule;
    if (!dot || !diff_reduction_rule(ctx, f->m, equation, &f->extremes, &rule)) return;
    const Expr *known = rule.nover ? NULL : ir_read_at(ctx, equation->result, equation->free);
    const Expr *value = diff_guard_reads(ctx, along(f, rule.body, known));
    if (rule.factor) value = ir_mul(ctx, value, rule.factor);
    if (rule.guard) value = ir_select(ctx, rule.guard, value, ir_number(ctx, 0));
    if (rule.nover) value = ir_reduce(ctx, REDUCE_SUM, rule.over, rule.nover, value);
    ir_define(ctx, f->m, dot, equation->free, value, equation->span);
}

Tensor *diff_forward(Ctx *ctx, Module *m, Tensor *const *leaves, Tensor *const *tangents,
                     uint32_t n) {
    ctx_enter(ctx, "diff");
    DLC_ASSERT(ctx, m->loss && m->loss->rank == 0, ((Span){0, 0}));
    Forward f = {.ctx = ctx, .m = m};
    for (uint32_t i = 0; i < n; i++) {
        ir_use_tensor(ctx, m, tangents[i]);
        map_set(ctx->arena, &f.tangents, leaves[i], tangents[i]);
    }
    declare(&f);
    uint32_t nequations = m->equations.len; /* define adds to them */
    for (uint32_t i = 0; i < nequations; i++) define(&f, m->equations.at[i]);
    Tensor *loss = map_get(&f.tangents, m->loss);
    if (loss) return loss;
    loss = ir_tensor(ctx, m, TENSOR_LOCAL, sym_printf(ctx, "dot.%s", m->loss->name), 0, NULL, 0,
                     m->loss->span);
    ir_define(ctx, m, loss, NULL, ir_number(ctx, 0), m->loss->span);
    return loss;
}
