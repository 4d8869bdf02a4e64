/* ir/hoist.c: every reduction becomes the whole of an equation.
 *
 * in:   equations with reductions anywhere in their bodies
 * out:  equations that are elementwise or one reduction; a reduction inside a body is now a tensor
 * `NAME.sum` over the indices that it uses, innermost first
 *
 * A reduction under a condition (`if c then sum[i] …`) is computed everywhere, so two things are
 * kept: reads that are inside only under the condition read 0 elsewhere, and a body with a
 * derivative that may be infinite keeps the condition as a mask, lest a zero adjoint times infinity
 * make a NaN.
 */
#include "ir/passes.h"

#include <stdlib.h>

typedef struct Hoist {
    Ctx *ctx;
    Module *m;
    const Equation *origin;
    Paths paths; /* of the body of origin */
    Map done;    /* reduction → what replaces it */
    bool failed;
} Hoist;

static const Expr *hoist_in(Hoist *h, const Expr *e);

static const char *suffix_of(const Expr *e) {
    if (e->kind == EX_CONTRACT) return "sum";
    switch (e->reduce.op) {
    case REDUCE_SUM: return "sum";
    case REDUCE_MAX: return "max";
    case REDUCE_MIN: return "min";
    case REDUCE_PROD: return "prod";
    case REDUCE_ARGMAX: return "argmax";
    case REDUCE_ARGMIN: return "argmin";
    }
    return "sum";
}

/* ---- tensors for parts of an equation ---- */

static int64_t classes_of(const Module *m, const Expr *e) {
    if (e->type != TY_INT) return 0;
    int64_t low, high;
    e = ir_unwrap(e);
    if (!ir_is_reduction(e)) {
        ir_bounds(e, &low, &high);
        return high < IR_UNBOUNDED ? high + 1 : 1;
    }
    int64_t classes = 1;
    for (uint32_t i = 0; i < e->reduce.nover; i++) {
        int64_t extent = e->reduce.over[i]->extent;
        int64_t n = extent == EXTENT_BATCH ? m->max_batch : extent;
        if (__builtin_mul_overflow(classes, n, &classes)) return INT64_MAX - 1;
    }
    return classes;
}

/* Position among the free indices of the equation; bound ones follow, by age. */
static uint64_t rank_of(const Equation *origin, const Index *index) {
    if (index->extent == EXTENT_BATCH) return 0;
    for (uint32_t d = 0; d < origin->result->rank; d++)
        if (origin->free[d] == index) return 1 + d;
    return ((uint64_t)1 << 32) + index->id;
}

const Expr *ir_materialise(Ctx *ctx, Module *m, const Equation *origin, const char *suffix,
                           Indices indices, const Expr *body) {
    uint32_t n = indices.len;
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k > 0; k--) {
            Index *a = indices.at[k - 1], *b = indices.at[k];
            if (rank_of(origin, a) <= rank_of(origin, b)) break;
            indices.at[k - 1] = b, indices.at[k] = a;
        }
    if (n > 1 && indices.at[1]->extent == EXTENT_BATCH) return NULL;
    int64_t *dims = ARENA_ARRAY(ctx->arena, int64_t, n + 1);
    for (uint32_t i = 0; i < n; i++) dims[i] = indices.at[i]->extent;
    Tensor *tensor =
        ir_tensor(ctx, m, TENSOR_LOCAL, sym_printf(ctx, "%s.%s", origin->result->name, suffix), n,
                  dims, classes_of(m, body), origin->span);
    ir_define(ctx, m, tensor, indices.at, body, origin->span);
    return ir_read_at(ctx, tensor, indices.at);
}

/* ---- masks ---- */

bool ir_has_infinite_slope(const Expr *e) {
    if (e->kind != EX_OP) return false;
    switch (e->op.op) {
    case OP_DIV: return e->op.args[1]->kind != EX_NUMBER && e->op.args[1]->kind != EX_BATCH;
    case OP_POW: {
        const Expr *power = e->op.args[1];
        bool square = power->kind == EX_NUMBER && power->number >= 1 && power->number <= 4;
        return !square;
    }
    case OP_SQRT:
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1: return true;
    default: return false;
    }
}

typedef struct Scene {
    Hoist *h;
    uint32_t group;
    Index *time;
    bool infinite, reads_group, lags;
} Scene;

static void look(void *data, const Expr *e) {
    Scene *s = data;
    if (ir_has_infinite_slope(e)) s->infinite = true;
    if (e->kind != EX_READ || !s->group) return;
    const Equation *definition = ir_definition(s->h->m, e->read.tensor);
    if (!definition || definition->scan.group != s->group) return;
    s->reads_group = true;
    const Expr *now = ir_index_value(s->h->ctx, s->time);
    const Expr *back = ir_int_sub(s->h->ctx, e->read.subs[definition->scan.dim], now);
    int64_t constant;
    if (!ir_is_constant_int(back, &constant)) s->lags = true;
}

static bool within(Ctx *ctx, const Expr *e, const Indices *set) {
    Indices used = ir_free_of(ctx, e);
    for (uint32_t i = 0; i < used.len; i++)
        if (!ir_is_among(set, used.at[i])) return false;
    return true;
}

/* The conditions around a reduction as a mask on its body: all when they say which steps of a
 * recurrence it reads, otherwise those that need no further index. */
static const Expr *masked(Hoist *h, const Path *path, const Expr *body, bool all) {
    Ctx *ctx = h->ctx;
    Indices used = ir_free_of(ctx, body);
    const Expr *mask = ir_truth(ctx, true);
    for (; path; path = path->up) {
        const Expr *condition = hoist_in(h, path->condition);
        if (!all && !within(ctx, condition, &used)) continue;
        if (!path->truth) condition = ir_op1(ctx, OP_NOT, condition);
        mask = ir_op2(ctx, OP_AND, mask, condition);
    }
    return ir_select(ctx, mask, body, ir_number(ctx, 0));
}

/* ---- hoisting ---- */

typedef struct Parts {
    ReduceOp op;
    Index **over;
    uint32_t nover;
    const Expr *body;
} Parts;

static Parts parts_of(Ctx *ctx, const Expr *e) {
    if (e->kind == EX_REDUCE)
        return (Parts){e->reduce.op, e->reduce.over, e->reduce.nover, e->reduce.body};
    const Expr *body = e->contract.factors[0];
    for (uint32_t i = 1; i < e->contract.nfactors; i++)
        body = ir_mul(ctx, body, e->contract.factors[i]);
    return (Parts){REDUCE_SUM, e->contract.over, e->contract.nover, body};
}

static const Expr *replace(Hoist *h, const Expr *e) {
    Ctx *ctx = h->ctx;
    const Path *path = ir_path_of(&h->paths, e);
    Parts p = parts_of(ctx, e);
    Scene scene = {.h = h, .group = h->origin->scan.group};
    if (scene.group) scene.time = h->origin->free[h->origin->scan.dim];
    const Expr *body = hoist_in(h, p.body);
    ir_visit(ctx, body, look, &scene);
    if (path && (scene.infinite || scene.lags)) body = masked(h, path, body, scene.lags);
    if (path) body = ir_protect(ctx, body);
    const Expr *whole = ir_reduce(ctx, p.op, p.over, p.nover, body);
    if (!ir_is_reduction(ir_unwrap(whole))) return hoist_in(h, whole);
    whole = ir_unwrap(whole);
    Indices free = ir_free_of(ctx, whole);
    if (scene.reads_group && !ir_is_among(&free, scene.time))
        vec_push(ctx->arena, &free, scene.time);
    const Expr *read = ir_materialise(ctx, h->m, h->origin, suffix_of(whole), free, whole);
    if (read) return read;
    if (!h->failed)
        diag_error(ctx, h->origin->span,
                   "a reduction in `%s` runs over pairs of examples, which needs a tensor with two "
                   "batch dimensions",
                   h->origin->result->name);
    h->failed = true;
    return e->type == TY_INT ? ir_int(ctx, 0) : ir_number(ctx, 0);
}

static const Expr *replace_reduction(void *data, const Expr *e) {
    Hoist *h = data;
    if (!ir_is_reduction(e)) return NULL;
    const Expr *known = map_get(&h->done, e);
    if (known) return known;
    known = replace(h, e);
    map_set(h->ctx->arena, &h->done, e, (void *)known);
    return known;
}

static const Expr *hoist_in(Hoist *h, const Expr *e) {
    return ir_rewrite(h->ctx, e, replace_reduction, h);
}

static const Expr *hoist_body(Hoist *h, const Expr *e) {
    Ctx *ctx = h->ctx;
    e = ir_unwrap(e);
    if (!ir_is_reduction(e)) return hoist_in(h, e);
    Parts p = parts_of(ctx, e);
    const Expr *whole = ir_unwrap(ir_reduce(ctx, p.op, p.over, p.nover, hoist_in(h, p.body)));
    return ir_is_reduction(whole) ? whole : hoist_in(h, whole);
}

static void look_below(void *data, const Expr *child) {
    *(uint32_t *)data |= child->has;
}

/* Is there a reduction that is not the whole? */
static bool has_inner_reduction(const Expr *e) {
    uint32_t below = 0;
    ir_each_child(e, look_below, &below);
    return below & HAS_REDUCTION;
}

void ir_hoist(Ctx *ctx, Module *m) {
    uint32_t n = m->equations.len; /* what is added is in normal form */
    for (uint32_t i = 0; i < n; i++) {
        Equation *equation = m->equations.at[i];
        if (ir_is_reduction(ir_unwrap(equation->body))) equation->body = ir_unwrap(equation->body);
        if (!has_inner_reduction(equation->body)) continue;
        Hoist h = {.ctx = ctx, .m = m, .origin = equation};
        h.paths = ir_paths(ctx, equation->body);
        equation->body = hoist_body(&h, equation->body);
    }
}
