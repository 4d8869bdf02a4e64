/* tests/unit/networks.h: parts of networks as modules made by hand, for planned.h. */
#ifndef DLC_TESTS_UNIT_NETWORKS_H
#define DLC_TESTS_UNIT_NETWORKS_H

#include "diff/diff.h"

#include "planned.h"

#define AT(tensor, ...) ir_read_at(c, tensor, (Index *[]){__VA_ARGS__})
#define NUMBER(value)   ir_number(c, value)

static Tensor *apply(Rig *r, const char *name, Op op, Tensor *x) {
    Ctx *c = &r->ctx;
    Index **free = ir_free_indices(c, x, NULL);
    const Expr *e = ir_read_at(c, x, free);
    e = op == OP_MAX ? ir_op2(c, OP_MAX, e, NUMBER(0)) : ir_op1(c, op, e);
    return rig_define(r, name, x->rank, free, e);
}

/* y[f, i, j] = sum[c, u, v] (x[c, s i + u - pad, s j + v - pad] else 0) * k[f, c, u, v] */
static Tensor *convolution(Rig *r, const char *name, Tensor *x, int64_t filters, int64_t size,
                           int64_t stride, int64_t pad) {
    Ctx *c = &r->ctx;
    int64_t channels = x->dims[1], high = (x->dims[2] + 2 * pad - size) / stride + 1;
    int64_t wide = (x->dims[3] + 2 * pad - size) / stride + 1;
    const char *k_name = arena_printf(c->arena, "%s.k", name);
    Tensor *k = rig_leaf(r, TENSOR_PARAM, k_name, 0, DIMS(filters, channels, size, size));
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *f = rig_index(r, "f", filters);
    Index *i = rig_index(r, "i", high), *j = rig_index(r, "j", wide);
    Index *over[] = {rig_index(r, "c", channels), rig_index(r, "u", size), rig_index(r, "v", size)};
    const Expr *row =
        ir_int_add(c, ir_int_scale(c, ir_index_value(c, i), stride), ir_index_value(c, over[1]));
    const Expr *column =
        ir_int_add(c, ir_int_scale(c, ir_index_value(c, j), stride), ir_index_value(c, over[2]));
    const Expr *subs[] = {ir_index_value(c, b), ir_index_value(c, over[0]),
                          ir_int_sub(c, row, ir_int(c, pad)),
                          ir_int_sub(c, column, ir_int(c, pad))};
    const Expr *read = ir_read(c, x, subs, NUMBER(0));
    const Expr *product = ir_mul(c, read, AT(k, f, over[0], over[1], over[2]));
    return rig_define(r, name, LIST(b, f, i, j), ir_reduce(c, REDUCE_SUM, over, 3, product));
}

/* The mean over batch and elements of x^2. */
static Tensor *mean_square(Rig *r, Tensor *x) {
    Ctx *c = &r->ctx;
    Index **free = ir_free_indices(c, x, NULL);
    const Expr *e = ir_read_at(c, x, free);
    const Expr *sum = ir_reduce(c, REDUCE_SUM, free, x->rank, ir_mul(c, e, e));
    Tensor *loss = rig_define(r, "loss", 0, NULL, ir_div(c, sum, ir_batch(c)));
    return r->m->loss = loss;
}

/* Gradients of all params (and real inputs) as results. */
static void gradients(Rig *r) {
    Tensor *wanted[RIG_ARRAYS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nleaves; i++) {
        Tensor *t = r->leaves[i].tensor;
        if (t->kind == TENSOR_PARAM || (t->kind == TENSOR_INPUT && !t->classes)) wanted[n++] = t;
    }
    rig_root(r, r->m->loss);
    ir_normalize(&r->ctx, r->m);
    diff_reverse(&r->ctx, r->m, wanted, n);
    for (uint32_t i = 0; i < n; i++) rig_root(r, map_get(&r->m->gradients, wanted[i]));
}

#endif
