/* ir/reduce.c: the constructor of reductions and contractions.
 *
 * A sum gives up everything that does not depend on its indices; what remains, when it is a product
 * of reads, is a contraction.
 */
#include "ir/private.h"

#include <math.h>

typedef struct Indices {
    Index **at;
    uint32_t len, cap;
} Indices;

static bool uses_any(const Expr *e, const Indices *over) {
    for (uint32_t i = 0; i < over->len; i++)
        if (ir_uses_index(e, over->at[i])) return true;
    return false;
}

static const Expr *extent_value(Ctx *ctx, const Index *index) {
    return index->extent == EXTENT_BATCH ? ir_batch(ctx) : ir_number(ctx, (double)index->extent);
}

static double neutral(ReduceOp op) {
    switch (op) {
    case REDUCE_SUM: return 0;
    case REDUCE_PROD: return 1;
    case REDUCE_MAX: return -INFINITY;
    case REDUCE_MIN: return INFINITY;
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: return 0;
    }
    return 0;
}

/* A product taken apart: sign and divisors and factors without the indices go outside. */
typedef struct Product {
    Ctx *ctx;
    const Indices *over;
    const Expr *outside; /* factor in front of the sum */
    Vec(const Expr *) factors;
} Product;

static void take_apart(Product *p, const Expr *e) {
    Ctx *ctx = p->ctx;
    if (!uses_any(e, p->over)) {
        p->outside = ir_mul(ctx, p->outside, e);
        return;
    }
    if (e->kind == EX_OP && e->op.op == OP_MUL) {
        take_apart(p, e->op.args[0]);
        take_apart(p, e->op.args[1]);
        return;
    }
    if (e->kind == EX_OP && e->op.op == OP_NEG) {
        p->outside = ir_neg(ctx, p->outside);
        take_apart(p, e->op.args[0]);
        return;
    }
    if (e->kind == EX_OP && e->op.op == OP_DIV && !uses_any(e->op.args[1], p->over)) {
        p->outside = ir_div(ctx, p->outside, e->op.args[1]);
        take_apart(p, e->op.args[0]);
        return;
    }
    vec_push(ctx->arena, &p->factors, e);
}

static void sort_by_id(const Expr **list, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k > 0 && list[k]->id < list[k - 1]->id; k--) {
            const Expr *swap = list[k];
            list[k] = list[k - 1];
            list[k - 1] = swap;
        }
}

static const Expr *contract_node(Ctx *ctx, const Indices *over, const Expr **factors, uint32_t n) {
    Expr e = {.kind = EX_CONTRACT, .type = TY_REAL};
    sort_by_id(factors, n);
    e.contract.over = over->at;
    e.contract.nover = over->len;
    e.contract.factors = factors;
    e.contract.nfactors = n;
    return ir_intern(ctx, e);
}

static const Expr *reduce_node(Ctx *ctx, ReduceOp op, const Indices *over, const Expr *body) {
    Expr e = {.kind = EX_REDUCE, .type = op >= REDUCE_ARGMAX ? TY_INT : TY_REAL};
    e.reduce.op = op;
    e.reduce.over = over->at;
    e.reduce.nover = over->len;
    e.reduce.body = body;
    return ir_intern(ctx, e);
}

/* Masks stay inside the sum they guard, as one factor. */
static const Expr *sum(Ctx *ctx, const Indices *over, const Expr *body) {
    Product p = {.ctx = ctx, .over = over, .outside = ir_number(ctx, 1)};
    take_apart(&p, body);
    if (p.factors.len == 0) return p.outside; /* every index was multiplied out by the caller */
    bool reads = p.factors.len >= 2;
    for (uint32_t i = 0; i < p.factors.len; i++) reads &= p.factors.at[i]->kind == EX_READ;
    const Expr *inside;
    if (reads) {
        inside = contract_node(ctx, over, p.factors.at, p.factors.len);
    } else if (p.factors.len == 1 && p.factors.at[0]->kind == EX_REDUCE &&
               p.factors.at[0]->reduce.op == REDUCE_SUM) {
        const Expr *inner = p.factors.at[0];
        Indices both = {0};
        for (uint32_t i = 0; i < over->len; i++) vec_push(ctx->arena, &both, over->at[i]);
        for (uint32_t i = 0; i < inner->reduce.nover; i++)
            vec_push(ctx->arena, &both, inner->reduce.over[i]);
        inside = sum(ctx, &both, inner->reduce.body);
    } else if (p.factors.len == 1 && p.factors.at[0]->kind == EX_CONTRACT) {
        const Expr *inner = p.factors.at[0];
        Indices both = {0};
        for (uint32_t i = 0; i < over->len; i++) vec_push(ctx->arena, &both, over->at[i]);
        for (uint32_t i = 0; i < inner->contract.nover; i++)
            vec_push(ctx->arena, &both, inner->contract.over[i]);
        const Expr **factors = arena_copy(ctx->arena, inner->contract.factors,
                                          inner->contract.nfactors * sizeof *factors);
        inside = contract_node(ctx, &both, factors, inner->contract.nfactors);
    } else {
        const Expr *product = p.factors.at[0];
        for (uint32_t i = 1; i < p.factors.len; i++)
            product = ir_mul(ctx, product, p.factors.at[i]);
        inside = reduce_node(ctx, REDUCE_SUM, over, product);
    }
    return ir_mul(ctx, p.outside, inside);
}

/* Drops indices that the body does not use or that have one value only. */
static const Expr *use_only(Ctx *ctx, ReduceOp op, Index *const *over, uint32_t nover,
                            const Expr *body, Indices *used, const Expr **times) {
    *times = ir_number(ctx, 1);
    for (uint32_t i = 0; i < nover; i++) {
        bool uses = ir_uses_index(body, over[i]);
        bool arg = op >= REDUCE_ARGMAX;
        if (uses && over[i]->extent == 1) {
            Map zero = {0};
            map_set(ctx->arena, &zero, over[i], (void *)ir_int(ctx, 0));
            body = ir_substitute(ctx, body, &zero);
        } else if (uses || (arg && over[i]->extent != 1) || over[i]->extent == 0) {
            vec_push(ctx->arena, used, over[i]);
        } else if (op == REDUCE_SUM || op == REDUCE_PROD) {
            *times = ir_mul(ctx, *times, extent_value(ctx, over[i]));
        }
    }
    return body;
}

const Expr *ir_reduce(Ctx *ctx, ReduceOp op, Index *const *over, uint32_t nover, const Expr *body) {
    Indices used = {0};
    const Expr *times;
    body = ir_real(ctx, body);
    for (uint32_t i = 0; i < nover; i++)
        if (over[i]->extent == 0)
            return op >= REDUCE_ARGMAX ? ir_int(ctx, 0) : ir_number(ctx, neutral(op));
    body = use_only(ctx, op, over, nover, body, &used, &times);
    const Expr *value;
    if (used.len == 0)
        value = op >= REDUCE_ARGMAX ? ir_int(ctx, 0) : body;
    else if (op == REDUCE_SUM)
        value = sum(ctx, &used, body);
    else
        value = reduce_node(ctx, op, &used, body);
    if (op >= REDUCE_ARGMAX) return ir_int_atom(ctx, value);
    if (ir_is_number(times, 1)) return value;
    return op == REDUCE_SUM ? ir_mul(ctx, times, value) : ir_op2(ctx, OP_POW, value, times);
}
