/* diff/rules.c: the derivative of each scalar operation, and reverse accumulation over one body.
 *
 * in:   a reduction-free expression and the adjoint of its value
 * out:  for each read in it, the adjoint of that read
 * The nodes of an expression are visited parents first (ids fall), so that the adjoint of a shared
 * subexpression is complete before it is passed on.
 */
#include "diff/private.h"

#include <stdlib.h>

typedef struct Accumulation {
    Ctx *ctx;
    Vec(const Expr *) nodes;
    Map adjoints; /* const Expr* → const Expr* */
    const Expr *body;
    const Expr *known; /* a read with the value of body, or NULL */
} Accumulation;

static void collect(void *data, const Expr *e) {
    Accumulation *acc = data;
    vec_push(acc->ctx->arena, &acc->nodes, e);
}

static void add_adjoint(Accumulation *acc, const Expr *e, const Expr *adjoint) {
    if (e->type != TY_REAL || ir_is_number(adjoint, 0)) return;
    const Expr *before = map_get(&acc->adjoints, e);
    const Expr *sum = before ? ir_add(acc->ctx, before, adjoint) : adjoint;
    map_set(acc->ctx->arena, &acc->adjoints, e, (void *)sum);
}

/* The value of a node in terms of results where that is shorter. */
static const Expr *value_of(const Accumulation *acc, const Expr *e) {
    return e == acc->body && acc->known ? acc->known : e;
}

static const Expr *when(Ctx *ctx, Op comparison, const Expr *a, const Expr *b, const Expr *then) {
    return ir_select(ctx, ir_op2(ctx, comparison, a, b), then, ir_number(ctx, 0));
}

static void pow_rule(Accumulation *acc, const Expr *e, const Expr *d) {
    Ctx *ctx = acc->ctx;
    const Expr *a = e->op.args[0], *b = e->op.args[1];
    const Expr *less = ir_op2(ctx, OP_POW, a, ir_sub(ctx, b, ir_number(ctx, 1)));
    add_adjoint(acc, a, ir_mul(ctx, d, ir_mul(ctx, b, less)));
    if (b->kind == EX_NUMBER) return;
    const Expr *by_exponent = ir_mul(ctx, value_of(acc, e), ir_op1(ctx, OP_LOG, a));
    add_adjoint(acc, b, when(ctx, OP_GT, a, ir_number(ctx, 0), ir_mul(ctx, d, by_exponent)));
}

/* Passes the adjoint d of e = op(a, b, c) on to the arguments. */
static void op_rule(Accumulation *acc, const Expr *e, const Expr *d) {
    Ctx *ctx = acc->ctx;
    const Expr *a = e->op.args[0];
    const Expr *b = e->op.nargs > 1 ? e->op.args[1] : NULL;
    const Expr *r = value_of(acc, e);
    const Expr *one = ir_number(ctx, 1), *zero = ir_number(ctx, 0);
    switch (e->op.op) {
    case OP_ADD: add_adjoint(acc, a, d), add_adjoint(acc, b, d); return;
    case OP_SUB: add_adjoint(acc, a, d), add_adjoint(acc, b, ir_neg(ctx, d)); return;
    case OP_MUL:
        add_adjoint(acc, a, ir_mul(ctx, d, b)), add_adjoint(acc, b, ir_mul(ctx, d, a));
        return;
    case OP_DIV:
        add_adjoint(acc, a, ir_div(ctx, d, b));
        add_adjoint(acc, b, ir_neg(ctx, ir_mul(ctx, d, ir_div(ctx, r, b))));
        return;
    case OP_NEG: add_adjoint(acc, a, ir_neg(ctx, d)); return;
    case OP_POW: pow_rule(acc, e, d); return;
    case OP_MAX:
    case OP_MIN: {
        Op first_wins = e->op.op == OP_MAX ? OP_GT : OP_LT;
        /* Beside a number the result says as much: what was compared need not be kept. */
        const Expr *first = ir_op2(ctx, first_wins, b->kind == EX_NUMBER ? r : a, b);
        add_adjoint(acc, a, ir_select(ctx, first, d, zero));
        add_adjoint(acc, b, ir_select(ctx, first, zero, d));
        return;
    }
    case OP_ABS: add_adjoint(acc, a, ir_mul(ctx, d, ir_op1(ctx, OP_SIGN, a))); return;
    case OP_SQRT: {
        const Expr *slope = ir_div(ctx, d, ir_mul(ctx, ir_number(ctx, 2), r));
        add_adjoint(acc, a, when(ctx, OP_GT, r, zero, slope));
        return;
    }
    case OP_EXP: add_adjoint(acc, a, ir_mul(ctx, d, r)); return;
    case OP_LOG: add_adjoint(acc, a, ir_div(ctx, d, a)); return;
    case OP_LOG1P: add_adjoint(acc, a, ir_div(ctx, d, ir_add(ctx, one, a))); return;
    case OP_EXPM1: add_adjoint(acc, a, ir_mul(ctx, d, ir_add(ctx, r, one))); return;
    case OP_LOGISTIC:
        add_adjoint(acc, a, ir_mul(ctx, d, ir_mul(ctx, r, ir_sub(ctx, one, r))));
        return;
    case OP_LOG1PEXP: add_adjoint(acc, a, ir_mul(ctx, d, ir_op1(ctx, OP_LOGISTIC, a))); return;
    case OP_TANH: add_adjoint(acc, a, ir_mul(ctx, d, ir_sub(ctx, one, ir_mul(ctx, r, r)))); return;
    case OP_SIN: add_adjoint(acc, a, ir_mul(ctx, d, ir_op1(ctx, OP_COS, a))); return;
    case OP_COS: add_adjoint(acc, a, ir_neg(ctx, ir_mul(ctx, d, ir_op1(ctx, OP_SIN, a)))); return;
    case OP_ERF: {
        const double two_over_sqrt_pi = 1.1283791670955126;
        const Expr *bell = ir_op1(ctx, OP_EXP, ir_neg(ctx, ir_mul(ctx, a, a)));
        add_adjoint(acc, a, ir_mul(ctx, d, ir_mul(ctx, ir_number(ctx, two_over_sqrt_pi), bell)));
        return;
    }
    case OP_SELECT:
        add_adjoint(acc, b, ir_select(ctx, a, d, zero));
        add_adjoint(acc, e->op.args[2], ir_select(ctx, a, zero, d));
        return;
    /* Constant almost everywhere, or declared to be constant. */
    case OP_SIGN:
    case OP_FLOOR:
    case OP_STOP:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OPS: return;
    }
}

const Expr *diff_read_inside(Ctx *ctx, const Expr *read) {
    const Expr *inside = ir_truth(ctx, true);
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        int64_t dim = read->read.tensor->dims[d];
        const Expr *sub = read->read.subs[d];
        if (ir_inside(ctx, sub, dim, NULL, 0)) continue;
        const Expr *size = dim == EXTENT_BATCH ? ir_batch(ctx) : ir_int(ctx, dim);
        inside = ir_op2(ctx, OP_AND, inside, ir_op2(ctx, OP_GE, sub, ir_int(ctx, 0)));
        inside = ir_op2(ctx, OP_AND, inside, ir_op2(ctx, OP_LT, sub, size));
    }
    return inside;
}

static int by_falling_id(const void *a, const void *b) {
    uint32_t x = (*(const Expr *const *)a)->id, y = (*(const Expr *const *)b)->id;
    return x < y ? 1 : x > y ? -1 : 0;
}

Partials diff_partials(Ctx *ctx, const Expr *body, const Expr *known, const Expr *seed,
                       bool (*wanted)(void *data, const Tensor *tensor), void *data) {
    Partials partials = {0};
    Accumulation acc = {.ctx = ctx, .body = body, .known = known};
    ir_visit(ctx, body, collect, &acc);
    if (acc.nodes.len) qsort(acc.nodes.at, acc.nodes.len, sizeof *acc.nodes.at, by_falling_id);
    add_adjoint(&acc, body, seed);
    for (uint32_t i = 0; i < acc.nodes.len; i++) {
        const Expr *e = acc.nodes.at[i];
        const Expr *adjoint = map_get(&acc.adjoints, e);
        if (!adjoint) continue;
        DLC_ASSERT(ctx, e->kind != EX_REDUCE && e->kind != EX_CONTRACT, ((Span){0, 0}));
        if (e->kind == EX_OP) op_rule(&acc, e, adjoint);
        if (e->kind != EX_READ) continue;
        if (wanted(data, e->read.tensor)) {
            Partial partial = {e, adjoint};
            vec_push(ctx->arena, &partials, partial);
        }
        const Expr *otherwise = e->read.otherwise;
        if (otherwise && otherwise->kind != EX_NUMBER) {
            const Expr *inside = diff_read_inside(ctx, e);
            add_adjoint(&acc, otherwise, ir_select(ctx, inside, ir_number(ctx, 0), adjoint));
        }
    }
    return partials;
}

static bool is_tensor(void *data, const Tensor *tensor) {
    return tensor == data;
}

const Expr *diff_partial(Ctx *ctx, const Expr *e, const Expr *read) {
    Partials all = diff_partials(ctx, e, NULL, ir_number(ctx, 1), is_tensor, read->read.tensor);
    for (uint32_t i = 0; i < all.len; i++)
        if (all.at[i].read == read) return all.at[i].value;
    return ir_number(ctx, 0);
}

/* The row-major position of the reduced indices in their space, as an INT. */
static const Expr *position(Ctx *ctx, Index *const *over, uint32_t nover) {
    const Expr *at = ir_int(ctx, 0);
    for (uint32_t i = 0; i < nover; i++) {
        /* The batch, the outermost, needs no extent. */
        int64_t extent = over[i]->extent == EXTENT_BATCH ? 1 : over[i]->extent;
        at = ir_int_add(ctx, ir_int_scale(ctx, at, extent), ir_index_value(ctx, over[i]));
    }
    return at;
}

/* The tensor that holds, for each element of an extreme, where it was found. */
static Tensor *extreme_position(Ctx *ctx, Module *m, const Equation *equation, Map *made) {
    Tensor *known = map_get(made, equation);
    if (known) return known;
    const Expr *e = equation->body;
    Tensor *result = equation->result;
    int64_t classes = 1;
    for (uint32_t i = 0; i < e->reduce.nover; i++) {
        int64_t extent = e->reduce.over[i]->extent;
        classes *= extent == EXTENT_BATCH ? m->max_batch : extent;
    }
    Tensor *at = ir_tensor(ctx, m, TENSOR_LOCAL, sym_printf(ctx, "%s.at", result->name),
                           result->rank, result->dims, classes, equation->span);
    ReduceOp op = e->reduce.op == REDUCE_MAX ? REDUCE_ARGMAX : REDUCE_ARGMIN;
    const Expr *body = ir_reduce(ctx, op, e->reduce.over, e->reduce.nover, e->reduce.body);
    ir_define(ctx, m, at, equation->free, body, equation->span);
    map_set(ctx->arena, made, equation, at);
    return at;
}

/* The product of the body at all points but the one of `over`: renamed indices run over everything,
 * and the factor at the point itself is replaced by 1. */
static const Expr *product_of_others(Ctx *ctx, const Expr *reduce) {
    uint32_t n = reduce->reduce.nover;
    Index **others = ARENA_ARRAY(ctx->arena, Index *, n);
    Map renamed = {0};
    const Expr *same = ir_truth(ctx, true);
    for (uint32_t i = 0; i < n; i++) {
        Index *index = reduce->reduce.over[i];
        others[i] = ir_index(ctx, index->name, index->extent);
        const Expr *other = ir_index_value(ctx, others[i]);
        map_set(ctx->arena, &renamed, index, (void *)other);
        const Expr *equal = ir_op2(ctx, OP_EQ, other, ir_index_value(ctx, index));
        same = ir_op2(ctx, OP_AND, same, equal);
    }
    const Expr *body = ir_substitute(ctx, reduce->reduce.body, &renamed);
    const Expr *factor = ir_select(ctx, same, ir_number(ctx, 1), body);
    return ir_reduce(ctx, REDUCE_PROD, others, n, factor);
}

bool diff_reduction_rule(Ctx *ctx, Module *m, const Equation *equation, Map *made,
                         ReductionRule *out) {
    const Expr *e = equation->body;
    *out = (ReductionRule){.body = e};
    if (e->kind == EX_CONTRACT) {
        out->over = e->contract.over;
        out->nover = e->contract.nover;
        out->body = e->contract.factors[0];
        for (uint32_t i = 1; i < e->contract.nfactors; i++)
            out->body = ir_mul(ctx, out->body, e->contract.factors[i]);
        return true;
    }
    if (e->kind != EX_REDUCE) return true;
    out->over = e->reduce.over;
    out->nover = e->reduce.nover;
    out->body = e->reduce.body;
    switch (e->reduce.op) {
    case REDUCE_SUM: return true;
    case REDUCE_MAX:
    case REDUCE_MIN: {
        Tensor *at = extreme_position(ctx, m, equation, made);
        const Expr *found = ir_read_at(ctx, at, equation->free);
        out->guard = ir_op2(ctx, OP_EQ, found, position(ctx, out->over, out->nover));
        return true;
    }
    case REDUCE_PROD: out->factor = product_of_others(ctx, e); return true;
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: return false;
    }
    return false;
}
