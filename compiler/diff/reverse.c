/* diff/reverse.c: reverse mode.
 *
 * in:   a normalised module with a loss      out: one more equation for every tensor on a path from
 * a wanted tensor to the loss: its adjoint The adjoint of T is the sum, over all equations that
 * read T, of the transposed reads. An adjoint is referred to by its tensor before it is defined, so
 * that a recurrence needs no special case: its adjoint is a recurrence in the other direction,
 * which ir_order finds.
 */
#include "diff/private.h"

typedef struct Adjoint {
    Tensor *tensor;    /* whose adjoint */
    Tensor *gradient;  /* the tensor that holds it; NULL for the loss, whose adjoint is 1 */
    Index **at;        /* the free indices of its equation */
    const Expr *value; /* the sum so far; NULL: nothing */
} Adjoint;

typedef struct Reverse {
    Ctx *ctx;
    Module *m;
    Map depends;  /* tensors that depend on a wanted one */
    Map adjoints; /* Tensor* → Adjoint* */
    Map extremes; /* Equation* → Tensor*: see diff_reduction_rule */
    Vec(Adjoint *) order;
} Reverse;

static bool reads_any(Ctx *ctx, const Expr *e, const Map *of) {
    const Reads *reads = ir_reads(ctx, e);
    for (uint32_t i = 0; i < reads->len; i++)
        if (reads->at[i]->type == TY_REAL && map_has(of, reads->at[i]->read.tensor)) return true;
    return false;
}

/* Marks every tensor that depends on one marked already. Recurrences may need several rounds. */
static void spread(Ctx *ctx, const Module *m, Map *marked) {
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < m->equations.len; i++) {
            Equation *equation = m->equations.at[i];
            Tensor *result = equation->result;
            if (result->classes || map_has(marked, result)) continue;
            if (!reads_any(ctx, equation->body, marked)) continue;
            map_set(ctx->arena, marked, result, result);
            if (equation->scan.group) changed = true;
        }
    }
}

static Adjoint *adjoint_of(Reverse *r, Tensor *tensor) {
    Adjoint *adjoint = map_get(&r->adjoints, tensor);
    if (adjoint) return adjoint;
    Ctx *ctx = r->ctx;
    adjoint = ARENA_NEW(ctx->arena, Adjoint);
    adjoint->tensor = tensor;
    adjoint->at = ir_free_indices(ctx, tensor, NULL);
    adjoint->gradient = map_get(&r->m->gradients, tensor);
    if (!adjoint->gradient && tensor != r->m->loss)
        adjoint->gradient =
            ir_tensor(ctx, r->m, TENSOR_LOCAL, sym_printf(ctx, "grad.%s", tensor->name),
                      tensor->rank, tensor->dims, 0, tensor->span);
    map_set(ctx->arena, &r->adjoints, tensor, adjoint);
    vec_push(ctx->arena, &r->order, adjoint);
    return adjoint;
}

static bool is_wanted(void *data, const Tensor *tensor) {
    Reverse *r = data;
    return map_has(&r->depends, tensor);
}

/* Passes the adjoint of an equation's result on to what it reads. */
static void pass_on(Reverse *r, const Equation *equation) {
    Ctx *ctx = r->ctx;
    Adjoint *own = map_get(&r->adjoints, equation->result);
    if (!own) return;
    ReductionRule rule;
    if (!diff_reduction_rule(ctx, r->m, equation, &r->extremes, &rule)) return;
    const Expr *seed =
        own->gradient ? ir_read_at(ctx, own->gradient, equation->free) : ir_number(ctx, 1);
    if (rule.factor) seed = ir_mul(ctx, seed, rule.factor);
    if (rule.guard) seed = ir_select(ctx, rule.guard, seed, ir_number(ctx, 0));
    const Expr *known = rule.nover ? NULL : ir_read_at(ctx, equation->result, equation->free);
    Partials partials = diff_partials(ctx, rule.body, known, seed, is_wanted, r);

    uint32_t nfree = equation->result->rank, n = nfree + rule.nover;
    Index **unknowns = ARENA_ARRAY(ctx->arena, Index *, n);
    for (uint32_t i = 0; i < n; i++)
        unknowns[i] = i < nfree ? equation->free[i] : rule.over[i - nfree];
    for (uint32_t i = 0; i < partials.len; i++) {
        const Expr *read = partials.at[i].read;
        Adjoint *to = adjoint_of(r, read->read.tensor);
        const Expr *part = diff_transpose(ctx, read, to->at, unknowns, n, partials.at[i].value);
        to->value = to->value ? ir_add(ctx, to->value, part) : part;
    }
}

/* The equations whose results the loss depends on get adjoints: from the last to the first, and in
 * a recurrence until no more are found. */
static void pass_all(Reverse *r) {
    uint32_t n = r->m->equations.len;
    Equation **equations = ARENA_ARRAY(r->ctx->arena, Equation *, n);
    memcpy(equations, r->m->equations.at, n * sizeof *equations);
    bool *done = ARENA_ARRAY(r->ctx->arena, bool, n);
    for (uint32_t end = n; end > 0;) {
        uint32_t begin = end - 1;
        uint32_t group = equations[begin]->scan.group;
        while (group && begin > 0 && equations[begin - 1]->scan.group == group) begin--;
        for (bool changed = true; changed;) {
            changed = false;
            for (uint32_t i = end; i-- > begin;) {
                if (done[i] || !map_has(&r->adjoints, equations[i]->result)) continue;
                pass_on(r, equations[i]);
                done[i] = changed = true;
            }
        }
        end = begin;
    }
}

/* The sum of a tensor over all its elements, as a tensor. */
static Tensor *total_of(Ctx *ctx, Module *m, Tensor *of) {
    if (of->rank == 0) return of;
    Tensor *total = ir_tensor(ctx, m, TENSOR_LOCAL, sym_printf(ctx, "%s.total", of->name), 0, NULL,
                              0, of->span);
    Index **at = ir_free_indices(ctx, of, NULL);
    ir_define(ctx, m, total, NULL,
              ir_reduce(ctx, REDUCE_SUM, at, of->rank, ir_read_at(ctx, of, at)), of->span);
    return total;
}

void diff_derivative(Ctx *ctx, Module *m, const Derivative *derivative) {
    Tensor *loss = m->loss;
    Map gradients = m->gradients;
    m->gradients = (Map){0};
    map_set(ctx->arena, &m->gradients, derivative->by, derivative->result);
    m->loss = total_of(ctx, m, derivative->of);
    Tensor *by = derivative->by;
    diff_reverse(ctx, m, &by, 1);
    m->loss = loss;
    m->gradients = gradients;
}

void diff_reverse(Ctx *ctx, Module *m, Tensor *const *wanted, uint32_t nwanted) {
    ctx_enter(ctx, "diff");
    DLC_ASSERT(ctx, m->loss && m->loss->rank == 0, ((Span){0, 0}));
    Reverse r = {.ctx = ctx, .m = m};
    for (uint32_t i = 0; i < nwanted; i++) map_set(ctx->arena, &r.depends, wanted[i], wanted[i]);
    spread(ctx, m, &r.depends);
    adjoint_of(&r, m->loss);
    pass_all(&r);
    for (uint32_t i = 0; i < nwanted; i++) {
        Adjoint *adjoint = adjoint_of(&r, wanted[i]);
        if (adjoint->gradient) map_set(ctx->arena, &m->gradients, wanted[i], adjoint->gradient);
    }
    for (uint32_t i = 0; i < r.order.len; i++) {
        Adjoint *adjoint = r.order.at[i];
        if (!adjoint->gradient) continue;
        const Expr *value = adjoint->value ? adjoint->value : ir_number(ctx, 0);
        ir_define(ctx, m, adjoint->gradient, adjoint->at, value, adjoint->tensor->span);
    }
}
