/* tests/unit/wild.h: random modules: a few leaves, then equations over everything before them, with
 * reductions inside each other, masks, shifted and gathered reads, and recurrences. All of it is
 * smooth and bounded, or nearly so, so that values can be compared. */
#ifndef DLC_TESTS_UNIT_WILD_H
#define DLC_TESTS_UNIT_WILD_H

#include "lab.h"

enum { WILD_POOL = 24, WILD_SCOPE = 12 };

typedef struct Wild {
    Lab *l;
    Tensor *pool[WILD_POOL];
    uint32_t npool;
    Index *scope[WILD_SCOPE];
    uint32_t nscope;
    int reductions; /* how many more may be nested */
} Wild;

static const Expr *wild_real(Wild *w, int depth);

UNUSED static bool wild_chance(Wild *w, int percent) {
    return lab_below(w->l, 100) < percent;
}

UNUSED static Index *wild_batch(const Wild *w) {
    for (uint32_t i = 0; i < w->nscope; i++)
        if (w->scope[i]->extent == EXTENT_BATCH) return w->scope[i];
    return NULL;
}

/* An index in scope with a known extent, or NULL. */
UNUSED static Index *wild_index(Wild *w) {
    for (int attempt = 0; w->nscope && attempt < 8; attempt++) {
        Index *index = w->scope[lab_below(w->l, w->nscope)];
        if (index->extent != EXTENT_BATCH) return index;
    }
    return NULL;
}

/* A whole number, small. */
UNUSED static const Expr *wild_integer(Wild *w, int depth) {
    Ctx *c = &w->l->ctx;
    Index *index = wild_index(w);
    const Expr *e = index ? lab_at(w->l, index) : ir_int(c, lab_below(w->l, 3));
    if (depth == 0) return e;
    const Expr *other = wild_integer(w, depth - 1);
    switch (lab_below(w->l, 9)) {
    case 0: return ir_int_add(c, e, other);
    case 1: return ir_int_sub(c, e, other);
    case 2: return ir_int_scale(c, other, lab_below(w->l, 5) - 2);
    case 3: return ir_floordiv(c, other, 1 + lab_below(w->l, 4));
    case 4: return ir_mod(c, other, 1 + lab_below(w->l, 4));
    case 5: return ir_op2(c, OP_MAX, e, other);
    case 6: return ir_op2(c, OP_MIN, e, other);
    case 7: return ir_int_add(c, other, ir_int(c, lab_below(w->l, 5) - 2));
    default: return e;
    }
}

/* A subscript for a dimension: an index of the same extent, most of the time. */
UNUSED static const Expr *wild_subscript(Wild *w, int64_t dim) {
    Lab *l = w->l;
    if (dim == EXTENT_BATCH) return lab_at(l, wild_batch(w));
    for (uint32_t i = 0; i < w->nscope; i++)
        if (w->scope[i]->extent == dim && wild_chance(w, 60)) return lab_at(l, w->scope[i]);
    for (uint32_t i = 0; i < w->npool; i++) { /* a gather */
        Tensor *t = w->pool[i];
        bool batched = t->rank == 1 && t->dims[0] == EXTENT_BATCH;
        if (t->classes == dim && batched && wild_batch(w) && wild_chance(w, 30))
            return lab_read(l, t, wild_batch(w));
    }
    return wild_integer(w, 2);
}

UNUSED static const Expr *wild_read(Wild *w) {
    Lab *l = w->l;
    Tensor *tensor = w->pool[lab_below(l, w->npool)];
    if (tensor->classes || (tensor->rank && tensor->dims[0] == EXTENT_BATCH && !wild_batch(w)))
        return lab_real(l, lab_number(l));
    const Expr *subs[8];
    bool inside = true;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        subs[d] = wild_subscript(w, tensor->dims[d]);
        if (!ir_inside(&l->ctx, subs[d], tensor->dims[d], NULL, 0)) inside = false;
    }
    const Expr *otherwise = inside ? NULL : lab_real(l, wild_chance(w, 70) ? 0 : 0.5);
    return ir_read(&l->ctx, tensor, subs, otherwise);
}

UNUSED static const Expr *wild_condition(Wild *w, int depth) {
    static const Op ops[] = {OP_LT, OP_LE, OP_GT, OP_GE, OP_EQ, OP_NE};
    Ctx *c = &w->l->ctx;
    int64_t kind = lab_below(w->l, 6);
    if (depth > 0 && kind == 0)
        return ir_op2(c, OP_AND, wild_condition(w, depth - 1), wild_condition(w, depth - 1));
    if (depth > 0 && kind == 1)
        return ir_op2(c, OP_OR, wild_condition(w, depth - 1), wild_condition(w, depth - 1));
    if (depth > 0 && kind == 2) return ir_op1(c, OP_NOT, wild_condition(w, depth - 1));
    if (kind == 3) return ir_op2(c, OP_GT, wild_read(w), wild_read(w));
    return ir_op2(c, ops[lab_below(w->l, 6)], wild_integer(w, 1), wild_integer(w, 1));
}

/* if i >= s and i < n + s then x[i - s] else 0, without an `else` of the read's own. */
UNUSED static const Expr *wild_guarded(Wild *w, int depth) {
    Lab *l = w->l;
    Ctx *c = &l->ctx;
    for (int attempt = 0; attempt < 6; attempt++) {
        Tensor *t = w->pool[lab_below(l, w->npool)];
        Index *index = wild_index(w);
        if (t->classes || t->rank != 1 || t->dims[0] == EXTENT_BATCH || !index) continue;
        const Expr *at = lab_shift(l, index, lab_below(l, 5) - 2);
        const Expr *from = ir_op2(c, OP_GE, at, ir_int(c, 0));
        const Expr *to = ir_op2(c, OP_LT, at, ir_int(c, t->dims[0]));
        const Expr *value = ir_mul(c, lab_read_else(l, t, NULL, at), wild_real(w, depth - 1));
        return ir_select(c, ir_op2(c, OP_AND, from, to), value, wild_real(w, 0));
    }
    return wild_read(w);
}

UNUSED static const Expr *wild_reduce(Wild *w, int depth) {
    static const int64_t extents[] = {1, 2, 3, 4, 6};
    static const ReduceOp ops[] = {REDUCE_SUM, REDUCE_SUM, REDUCE_SUM, REDUCE_MAX, REDUCE_MIN};
    Lab *l = w->l;
    uint32_t saved = w->nscope, n = 1 + (uint32_t)lab_below(l, 2);
    Index *over[2];
    for (uint32_t i = 0; i < n; i++) {
        bool batch = !wild_batch(w) && wild_chance(w, 40);
        over[i] =
            lab_index(l, batch ? "batch" : "r", batch ? EXTENT_BATCH : extents[lab_below(l, 5)]);
        w->scope[w->nscope++] = over[i];
    }
    w->reductions--;
    const Expr *body = wild_real(w, depth - 1);
    if (wild_chance(w, 40)) body = ir_mul(&l->ctx, wild_read(w), body);
    if (wild_chance(w, 25)) body = ir_select(&l->ctx, wild_condition(w, 1), body, lab_real(l, 0));
    w->reductions++;
    w->nscope = saved;
    return ir_reduce(&l->ctx, ops[lab_below(l, 5)], over, n, body);
}

UNUSED static const Expr *wild_real(Wild *w, int depth) {
    static const Op unary[] = {OP_TANH, OP_SIN, OP_LOGISTIC, OP_ABS, OP_NEG, OP_COS};
    static const Op binary[] = {OP_ADD, OP_SUB, OP_MUL, OP_MUL, OP_MAX, OP_MIN};
    Lab *l = w->l;
    Ctx *c = &l->ctx;
    int64_t kind = lab_below(l, 20);
    if (depth <= 0) {
        if (kind < 15) return wild_read(w);
        if (kind < 18) return ir_real(c, wild_integer(w, 1));
        return lab_real(l, (double)lab_below(l, 5) / 2 - 1);
    }
    if (kind < 5) return ir_op1(c, unary[lab_below(l, 6)], wild_real(w, depth - 1));
    if (kind < 11) {
        const Expr *a = wild_real(w, depth - 1), *b = wild_real(w, depth - 1);
        return ir_op2(c, binary[lab_below(l, 6)], a, b);
    }
    if (kind < 13) {
        const Expr *a = wild_real(w, depth - 1), *b = wild_real(w, depth - 1);
        return ir_select(c, wild_condition(w, 1), a, b);
    }
    if (kind == 13) {
        const Expr *b = wild_real(w, depth - 1);
        b = ir_add(c, ir_mul(c, b, b), lab_real(l, 1));
        return ir_div(c, wild_real(w, depth - 1), b);
    }
    if (kind == 14) return wild_guarded(w, depth);
    if (w->reductions > 0 && w->nscope + 2 <= WILD_SCOPE) return wild_reduce(w, depth);
    return wild_read(w);
}

/* Adds self[t - 1] or a sum of it: a recurrence along the last free index. */
UNUSED static const Expr *wild_recurrence(Wild *w, Tensor *self, const Expr *body) {
    Lab *l = w->l;
    Ctx *c = &l->ctx;
    uint32_t rank = self->rank;
    int64_t lag = wild_chance(w, 70) ? -1 : 1;
    const Expr *subs[8];
    Index *other = NULL;
    for (uint32_t d = 0; d < rank; d++) subs[d] = lab_at(l, w->scope[d]);
    subs[rank - 1] = lab_shift(l, w->scope[rank - 1], lag);
    if (rank > 1 && self->dims[rank - 2] != EXTENT_BATCH && wild_chance(w, 50)) {
        other = lab_index(l, "v", self->dims[rank - 2]);
        subs[rank - 2] = lab_at(l, other);
    }
    const Expr *before = ir_read(c, self, subs, lab_real(l, 0.25));
    before = ir_mul(c, before, wild_read(w));
    if (other) before = ir_reduce(c, REDUCE_SUM, &other, 1, before);
    return ir_op1(c, OP_TANH, ir_add(c, body, before));
}

UNUSED static void wild_equation(Wild *w, int depth) {
    static const int64_t extents[] = {2, 3, 4, 6};
    Lab *l = w->l;
    uint32_t rank = (uint32_t)lab_below(l, 4);
    int64_t dims[4];
    w->nscope = 0;
    for (uint32_t d = 0; d < rank; d++) {
        bool batch = d == 0 && wild_chance(w, 60);
        dims[d] = batch ? EXTENT_BATCH : extents[lab_below(l, 4)];
        w->scope[w->nscope++] = lab_index(l, batch ? "batch" : "i", dims[d]);
    }
    w->reductions = 2;
    Index *free[4];
    memcpy(free, w->scope, rank * sizeof *free);
    Tensor *result = lab_leaf(l, TENSOR_LOCAL, "y", 0, dims, rank);
    const Expr *body = wild_real(w, depth);
    w->nscope = rank;
    if (rank && dims[rank - 1] != EXTENT_BATCH && wild_chance(w, 25))
        body = wild_recurrence(w, result, body);
    ir_define(&l->ctx, l->m, result, free, body, (Span){0, 0});
    w->pool[w->npool++] = result;
}

/* A module of `equations` equations; the last ones are roots. */
UNUSED static void wild_module(Lab *l, uint64_t seed, int equations, int depth) {
    lab_open(l);
    l->random ^= seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 20; i++) lab_random(l);
    Wild wild = {.l = l}, *w = &wild;
    w->pool[w->npool++] = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4));
    w->pool[w->npool++] = lab_leaf(l, TENSOR_INPUT, "z", 0, DIMS(EXTENT_BATCH, 2, 3));
    w->pool[w->npool++] = lab_leaf(l, TENSOR_INPUT, "t", 4, DIMS(EXTENT_BATCH));
    w->pool[w->npool++] = lab_leaf(l, TENSOR_PARAM, "a", 0, DIMS(3, 4));
    w->pool[w->npool++] = lab_leaf(l, TENSOR_PARAM, "b", 0, DIMS(6));
    w->pool[w->npool++] = lab_leaf(l, TENSOR_PARAM, "c", 0, NULL, 0);
    uint32_t leaves = w->npool;
    for (int i = 0; i < equations; i++) wild_equation(w, depth);
    for (uint32_t i = leaves; i < w->npool; i++)
        if (i + 2 >= w->npool || wild_chance(w, 30)) lab_root(l, w->pool[i]);
}

#endif
