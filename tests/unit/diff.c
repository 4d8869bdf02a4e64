/* Derivatives: reverse mode against central differences and against forward mode, through the
 * interpreter. Every module is built three times: for the loss, for reverse and for forward mode.
 */
#include "diff/diff.h"
#include "wild.h"

typedef void Builder(Lab *lab);

enum { MAX_LEAVES = 12, BATCH = 3 };

typedef struct Leaves {
    Tensor *at[MAX_LEAVES];
    uint32_t n;
} Leaves;

/* The sum over all elements of all roots. */
static void set_loss_of_roots(Lab *l) {
    Ctx *c = &l->ctx;
    const Expr *total = ir_number(c, 0);
    for (uint32_t i = 0; i < l->m->roots.len; i++) {
        Tensor *tensor = l->m->roots.at[i].tensor;
        Index **at = ir_free_indices(c, tensor, NULL);
        const Expr *value = ir_op1(c, OP_TANH, ir_read_at(c, tensor, at));
        total = ir_add(c, total, ir_reduce(c, REDUCE_SUM, at, tensor->rank, value));
    }
    l->m->loss = lab_scalar(l, "loss", total);
}

static Leaves real_leaves(const Lab *l) {
    Leaves leaves = {.n = 0};
    for (uint32_t i = 0; i < l->m->tensors.len; i++) {
        Tensor *tensor = l->m->tensors.at[i];
        bool real = tensor->kind == TENSOR_PARAM || tensor->kind == TENSOR_INPUT;
        if (real && !tensor->classes) leaves.at[leaves.n++] = tensor;
    }
    return leaves;
}

/* With no builder: the random module of the seed. */
static void open_case(Lab *l, Builder *build, uint64_t seed) {
    if (build) {
        lab_open(l);
        build(l);
    } else {
        wild_module(l, seed, 3, 4);
        set_loss_of_roots(l);
    }
    l->m->roots.len = 0;
    lab_root(l, l->m->loss);
    lab_normalize(l, BATCH);
}

static double loss_at(Lab *l, IrValues *values) {
    return *lab_eval(l, values, l->m->loss);
}

static void check_numbers(const char *name, Lab *l, const Leaves *gradients_of,
                          const double *const *gradients) {
    const double step = 1e-5;
    Leaves leaves = real_leaves(l);
    IrValues values = lab_values(l, BATCH);
    for (uint32_t i = 0; i < leaves.n; i++) {
        double *array = lab_array(l, &values, leaves.at[i]);
        for (int64_t k = 0; k < tensor_elements(leaves.at[i], BATCH); k++) {
            double saved = array[k];
            array[k] = saved + step;
            double above = loss_at(l, &values);
            array[k] = saved - step;
            double below = loss_at(l, &values);
            array[k] = saved;
            double slope = (above - below) / (2 * step);
            test_checks++;
            if (fabs(slope - gradients[i][k]) <= 2e-7 * (1 + fabs(slope))) continue;
            test_failures++;
            printf("%s: grad.%s[%lld] is %.12g, expected %.12g\n", name, gradients_of->at[i]->name,
                   (long long)k, gradients[i][k], slope);
            return;
        }
    }
}

/* Forward mode along random directions is the product with the gradient. */
static void check_forward(const char *name, Builder *build, uint64_t seed,
                          const double *const *gradients) {
    Lab lab, *l = &lab;
    open_case(l, build, seed);
    Leaves leaves = real_leaves(l);
    Tensor *tangents[MAX_LEAVES];
    for (uint32_t i = 0; i < leaves.n; i++)
        tangents[i] = lab_leaf(l, TENSOR_INPUT, sym_printf(&l->ctx, "dot.%s", leaves.at[i]->name),
                               0, leaves.at[i]->dims, leaves.at[i]->rank);
    Tensor *dot = diff_forward(&l->ctx, l->m, leaves.at, tangents, leaves.n);
    l->m->roots.len = 0;
    lab_root(l, dot);
    ir_verify(&l->ctx, l->m, false);
    lab_normalize(l, BATCH);
    IrValues values = lab_values(l, BATCH);
    double actual = *lab_eval(l, &values, dot), expected = 0;
    for (uint32_t i = 0; i < leaves.n; i++) {
        const double *direction = lab_array(l, &values, tangents[i]);
        for (int64_t k = 0; k < tensor_elements(leaves.at[i], BATCH); k++)
            expected += direction[k] * gradients[i][k];
    }
    test_checks++;
    if (!(fabs(actual - expected) <= 1e-10 * (1 + fabs(expected)))) {
        test_failures++;
        printf("%s: forward is %.15g, reverse %.15g in\n%s", name, actual, expected, lab_print(l));
    }
    lab_close(l);
}

static void check_case(const char *name, Builder *build, uint64_t seed) {
    int failures = test_failures;
    Lab plain, lab, *l = &lab;
    open_case(&plain, build, seed);
    open_case(l, build, seed);
    Leaves leaves = real_leaves(l);
    diff_reverse(&l->ctx, l->m, leaves.at, leaves.n);
    for (uint32_t i = 0; i < leaves.n; i++) {
        Tensor *gradient = map_get(&l->m->gradients, leaves.at[i]);
        lab_root(l, gradient);
    }
    lab_normalize(l, BATCH);
    IrValues values = lab_values(l, BATCH);
    ir_eval(&l->ctx, l->m, &values);
    const double *gradients[MAX_LEAVES];
    for (uint32_t i = 0; i < leaves.n; i++)
        gradients[i] = map_get(&values.arrays, map_get(&l->m->gradients, leaves.at[i]));
    if (build) check_numbers(name, &plain, &leaves, gradients);
    check_forward(name, build, seed, gradients);
    if (test_failures > failures || getenv("SHOW")) printf("%s\n%s\n", name, lab_print(l));
    lab_close(l);
    lab_close(&plain);
}

static void check(const char *name, Builder *build) {
    check_case(name, build, 0);
}

static void check_wild(uint64_t seed) {
    char name[40];
    snprintf(name, sizeof name, "seed %llu", (unsigned long long)seed);
    check_case(name, NULL, seed);
}

/* ---- helpers ---- */

static Index *batch_index(Lab *l) {
    return lab_index(l, "batch", EXTENT_BATCH);
}

static const Expr *square(Lab *l, const Expr *e) {
    return ir_mul(&l->ctx, e, e);
}

/* The mean over the batch of a number for each example. */
static void set_loss(Lab *l, Index *batch, const Expr *each) {
    const Expr *sum = REDUCE(l, SUM, each, batch);
    l->m->loss = lab_scalar(l, "loss", ir_div(&l->ctx, sum, ir_batch(&l->ctx)));
}

/* A function of all elements of y[batch, n] whose derivatives are all different. */
static void set_loss_of(Lab *l, Tensor *y) {
    Index *batch = batch_index(l), *free[8] = {batch};
    const Expr *weight = lab_real(l, 0.7);
    for (uint32_t d = 1; d < y->rank; d++) {
        free[d] = lab_index(l, "o", y->dims[d]);
        const Expr *at = ir_real(&l->ctx, lab_at(l, free[d]));
        weight = ir_add(&l->ctx, ir_mul(&l->ctx, weight, lab_real(l, 1.3)), at);
    }
    const Expr *value = ir_read_at(&l->ctx, y, free);
    const Expr *each = ir_mul(&l->ctx, ir_op1(&l->ctx, OP_SIN, weight), square(l, value));
    each = ir_add(&l->ctx, each, value);
    each = ir_reduce(&l->ctx, REDUCE_SUM, free + 1, y->rank - 1, each);
    set_loss(l, batch, each);
}

/* ---- cases ---- */

static void build_dense(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(4, 5));
    Tensor *bias = lab_leaf(l, TENSOR_PARAM, "bias", 0, DIMS(4));
    Index *b = batch_index(l), *u = lab_index(l, "u", 4), *i = lab_index(l, "i", 5);
    const Expr *sum = REDUCE(l, SUM, ir_mul(c, lab_read(l, x, b, i), lab_read(l, w, u, i)), i);
    const Expr *z = ir_op1(c, OP_TANH, ir_add(c, lab_read(l, bias, u), sum));
    set_loss_of(l, DEFINE(l, "y", z, b, u));
}

/* y[f, i, j] = sum[c, u, v] (x[c, s*i + u - pad, s*j + v - pad] else 0) * k[f, c, u, v] */
static void build_conv(Lab *l, int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
    Ctx *c = &l->ctx;
    int64_t out = (size + 2 * pad - kernel) / stride + 1;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 2, size, size));
    Tensor *k = lab_leaf(l, TENSOR_PARAM, "k", 0, DIMS(3, 2, kernel, kernel));
    Index *b = batch_index(l), *f = lab_index(l, "f", 3), *ch = lab_index(l, "c", 2);
    Index *i = lab_index(l, "i", out), *j = lab_index(l, "j", out);
    Index *u = lab_index(l, "u", kernel), *v = lab_index(l, "v", kernel);
    const Expr *row = ir_int_add(c, ir_int_scale(c, lab_at(l, i), stride), lab_shift(l, u, -pad));
    const Expr *column =
        ir_int_add(c, ir_int_scale(c, lab_at(l, j), stride), lab_shift(l, v, -pad));
    const Expr *pixel =
        lab_read_else(l, x, lab_real(l, 0), lab_at(l, b), lab_at(l, ch), row, column);
    const Expr *sum = REDUCE(l, SUM, ir_mul(c, pixel, lab_read(l, k, f, ch, u, v)), ch, u, v);
    set_loss_of(l, DEFINE(l, "y", sum, b, f, i, j));
}

static void build_conv_padded(Lab *l) {
    build_conv(l, 5, 3, 1, 1);
}
static void build_conv_strided(Lab *l) {
    build_conv(l, 6, 3, 2, 1);
}
static void build_conv_wide_stride(Lab *l) {
    build_conv(l, 7, 2, 3, 0);
}

/* y[i] = max[u] x[s*i + u] */
static void build_pool(Lab *l, ReduceOp op, int64_t stride) {
    Ctx *c = &l->ctx;
    int64_t out = (7 - 3) / stride + 1;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 2, 7));
    Index *b = batch_index(l), *ch = lab_index(l, "c", 2);
    Index *i = lab_index(l, "i", out), *u = lab_index(l, "u", 3);
    const Expr *at = ir_int_add(c, ir_int_scale(c, lab_at(l, i), stride), lab_at(l, u));
    const Expr *value = lab_read_else(l, x, NULL, lab_at(l, b), lab_at(l, ch), at);
    set_loss_of(l, DEFINE(l, "y", ir_reduce(c, op, &u, 1, value), b, ch, i));
}

static void build_max_pool(Lab *l) {
    build_pool(l, REDUCE_MAX, 3);
}
static void build_min_pool(Lab *l) {
    build_pool(l, REDUCE_MIN, 2);
}
static void build_max_overlapping(Lab *l) {
    build_pool(l, REDUCE_MAX, 1);
}
static void build_prod(Lab *l) {
    build_pool(l, REDUCE_PROD, 2);
}

/* e[t, d] = table[token[t], d] */
static void build_gather(Lab *l) {
    Tensor *token = lab_leaf(l, TENSOR_INPUT, "token", 5, DIMS(EXTENT_BATCH, 4));
    Tensor *table = lab_leaf(l, TENSOR_PARAM, "table", 0, DIMS(5, 3));
    Index *b = batch_index(l), *t = lab_index(l, "t", 4), *d = lab_index(l, "d", 3);
    const Expr *row = lab_read_else(l, table, NULL, lab_read(l, token, b, t), lab_at(l, d));
    set_loss_of(l, DEFINE(l, "e", row, b, t, d));
}

/* softmax over z = w x, and the cross entropy with a class */
static void build_softmax(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4));
    Tensor *y = lab_leaf(l, TENSOR_TARGET, "y", 5, DIMS(EXTENT_BATCH));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(5, 4));
    Index *b = batch_index(l), *k = lab_index(l, "k", 5), *i = lab_index(l, "i", 4);
    const Expr *sum = REDUCE(l, SUM, ir_mul(c, lab_read(l, x, b, i), lab_read(l, w, k, i)), i);
    Tensor *z = DEFINE(l, "z", sum, b, k);
    Index *j = lab_index(l, "j", 5), *n = batch_index(l);
    const Expr *most = REDUCE(l, MAX, lab_read(l, z, n, j), j);
    Tensor *m = DEFINE(l, "m", ir_op1(c, OP_STOP, most), n);
    const Expr *less = ir_sub(c, lab_read(l, z, b, k), lab_read(l, m, b));
    const Expr *log = ir_op1(c, OP_LOG, REDUCE(l, SUM, ir_op1(c, OP_EXP, less), k));
    const Expr *own = lab_read_else(l, z, NULL, lab_at(l, b), lab_read(l, y, b));
    set_loss(l, b, ir_sub(c, ir_add(c, lab_read(l, m, b), log), own));
}

/* h[t, u] = tanh(sum[i] x[t, i] * w[u, i] + sum[v] (h[t - 1, v] else 0) * r[u, v]) */
static void build_recurrence(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4, 2));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(3, 2));
    Tensor *r = lab_leaf(l, TENSOR_PARAM, "r", 0, DIMS(3, 3));
    Tensor *h = lab_declare(l, "h", DIMS(EXTENT_BATCH, 4, 3));
    Index *b = batch_index(l), *t = lab_index(l, "t", 4), *u = lab_index(l, "u", 3);
    Index *i = lab_index(l, "i", 2), *v = lab_index(l, "v", 3);
    const Expr *in = REDUCE(l, SUM, ir_mul(c, lab_read(l, x, b, t, i), lab_read(l, w, u, i)), i);
    const Expr *before =
        lab_read_else(l, h, lab_real(l, 0), lab_at(l, b), lab_shift(l, t, -1), lab_at(l, v));
    const Expr *back = REDUCE(l, SUM, ir_mul(c, before, lab_read(l, r, u, v)), v);
    ir_define(c, l->m, h, INDICES(b, t, u), ir_op1(c, OP_TANH, ir_add(c, in, back)), (Span){0, 0});
    set_loss_of(l, h);
}

/* Two tensors that need each other, running down: c[t] = s(x[t] * h[t + 1]), h[t] = c[t] + ... */
static void build_two_way(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *a = lab_leaf(l, TENSOR_PARAM, "a", 0, DIMS(1));
    Tensor *h = lab_declare(l, "h", DIMS(EXTENT_BATCH, 5));
    Tensor *s = lab_declare(l, "s", DIMS(EXTENT_BATCH, 5));
    Index *b = batch_index(l), *t = lab_index(l, "t", 5);
    const Expr *later = lab_read_else(l, h, lab_read_else(l, a, NULL, ir_int(c, 0)), lab_at(l, b),
                                      lab_shift(l, t, 1));
    const Expr *value = ir_op1(c, OP_LOGISTIC, ir_mul(c, lab_read(l, x, b, t), later));
    ir_define(c, l->m, s, INDICES(b, t), value, (Span){0, 0});
    Index *b2 = batch_index(l), *t2 = lab_index(l, "t", 5);
    const Expr *far = lab_read_else(l, s, lab_real(l, 0.5), lab_at(l, b2), lab_shift(l, t2, 2));
    value = ir_add(c, lab_read(l, s, b2, t2), ir_mul(c, far, lab_read(l, x, b2, t2)));
    ir_define(c, l->m, h, INDICES(b2, t2), value, (Span){0, 0});
    set_loss_of(l, h);
}

/* if x > 0 then log(x) / x else w * x: the branch not taken is infinite or not a number */
static void build_masked(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 6));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(6));
    Index *b = batch_index(l), *i = lab_index(l, "i", 6);
    const Expr *xi = lab_read(l, x, b, i), *wi = lab_read(l, w, i), *zero = lab_real(l, 0);
    const Expr *safe = ir_op2(c, OP_MAX, xi, zero);
    const Expr *log = ir_div(c, ir_op1(c, OP_LOG, safe), safe);
    const Expr *root = ir_op1(c, OP_SQRT, safe);
    const Expr *value =
        ir_select(c, ir_op2(c, OP_GT, xi, zero), ir_add(c, log, root), ir_mul(c, wi, xi));
    set_loss_of(l, DEFINE(l, "y", value, b, i));
}

/* Causal attention scores: if u > t then -inf else s, softmax, average of values. */
static void build_attention(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4, 3));
    Tensor *wq = lab_leaf(l, TENSOR_PARAM, "wq", 0, DIMS(2, 3));
    Tensor *wk = lab_leaf(l, TENSOR_PARAM, "wk", 0, DIMS(2, 3));
    Tensor *projected[2], *weights[2] = {wq, wk};
    for (int n = 0; n < 2; n++) {
        Index *b = batch_index(l), *t = lab_index(l, "t", 4), *e = lab_index(l, "e", 2);
        Index *d = lab_index(l, "d", 3);
        const Expr *product = ir_mul(c, lab_read(l, x, b, t, d), lab_read(l, weights[n], e, d));
        projected[n] = DEFINE(l, n ? "k" : "q", REDUCE(l, SUM, product, d), b, t, e);
    }
    Index *b = batch_index(l), *t = lab_index(l, "t", 4), *u = lab_index(l, "u", 4);
    Index *e = lab_index(l, "e", 2), *d = lab_index(l, "d", 3);
    const Expr *score = REDUCE(
        l, SUM, ir_mul(c, lab_read(l, projected[0], b, t, e), lab_read(l, projected[1], b, u, e)),
        e);
    const Expr *future = ir_op2(c, OP_GT, lab_at(l, u), lab_at(l, t));
    score = ir_select(c, future, lab_real(l, -INFINITY), score);
    Tensor *s = DEFINE(l, "s", score, b, t, u);
    const Expr *most = REDUCE(l, MAX, lab_read(l, s, b, t, u), u);
    Tensor *m = DEFINE(l, "m", ir_op1(c, OP_STOP, most), b, t);
    const Expr *exp = ir_op1(c, OP_EXP, ir_sub(c, lab_read(l, s, b, t, u), lab_read(l, m, b, t)));
    Tensor *p = DEFINE(l, "p", exp, b, t, u);
    Tensor *z = DEFINE(l, "z", REDUCE(l, SUM, lab_read(l, p, b, t, u), u), b, t);
    const Expr *share = ir_div(c, lab_read(l, p, b, t, u), lab_read(l, z, b, t));
    const Expr *mean = REDUCE(l, SUM, ir_mul(c, share, lab_read(l, x, b, u, d)), u);
    set_loss_of(l, DEFINE(l, "o", mean, b, t, d));
}

/* Normalisation over the batch, whose statistics depend on every example. */
static void build_batch_norm(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 3));
    Tensor *gain = lab_leaf(l, TENSOR_PARAM, "gain", 0, DIMS(3));
    Index *n = batch_index(l), *i = lab_index(l, "i", 3), *b = batch_index(l);
    const Expr *size = ir_batch(c);
    Tensor *mean = DEFINE(l, "mean", ir_div(c, REDUCE(l, SUM, lab_read(l, x, n, i), n), size), i);
    const Expr *off = ir_sub(c, lab_read(l, x, n, i), lab_read(l, mean, i));
    Tensor *var = DEFINE(l, "var", ir_div(c, REDUCE(l, SUM, square(l, off), n), size), i);
    off = ir_sub(c, lab_read(l, x, b, i), lab_read(l, mean, i));
    const Expr *scale = ir_op1(c, OP_SQRT, ir_add(c, lab_read(l, var, i), lab_real(l, 1e-3)));
    const Expr *value = ir_mul(c, lab_read(l, gain, i), ir_div(c, off, scale));
    set_loss_of(l, DEFINE(l, "y", value, b, i));
}

/* Flattened, reversed, on the diagonal, and one element by number. */
static void build_subscripts(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 3, 4));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(3, 3));
    Index *b = batch_index(l), *i = lab_index(l, "i", 12), *k = lab_index(l, "k", 3);
    const Expr *flat = lab_read_else(l, x, NULL, lab_at(l, b), ir_floordiv(c, lab_at(l, i), 4),
                                     ir_mod(c, lab_at(l, i), 4));
    Tensor *f = DEFINE(l, "f", ir_op1(c, OP_SIN, flat), b, i);
    const Expr *mirrored =
        lab_read_else(l, f, NULL, lab_at(l, b), ir_int_sub(c, ir_int(c, 11), lab_at(l, i)));
    const Expr *value = ir_mul(c, mirrored, lab_read_else(l, w, NULL, ir_int(c, 1), ir_int(c, 2)));
    Tensor *g = DEFINE(l, "g", value, b, i);
    const Expr *even = lab_read_else(l, g, NULL, lab_at(l, b), ir_int_scale(c, lab_at(l, k), 5));
    const Expr *diagonal = lab_read(l, w, k, k);
    Tensor *h = DEFINE(l, "h", ir_mul(c, even, diagonal), b, k);
    const Expr *both = ir_mul(c, lab_read_else(l, h, NULL, lab_at(l, b), lab_at(l, k)),
                              lab_read_else(l, g, NULL, lab_at(l, b), lab_shift(l, k, 4)));
    set_loss_of(l, DEFINE(l, "y", both, b, k));
}

/* A sum of x read at quotients and remainders of which not all belong together. */
static void build_digits(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4, 6));
    Tensor *z = lab_leaf(l, TENSOR_INPUT, "z", 0, DIMS(EXTENT_BATCH, 2, 3, 2));
    Index *b = batch_index(l), *i = lab_index(l, "i", 12), *k = lab_index(l, "k", 3);
    const Expr *e = lab_at(l, i), *back = ir_int_sub(c, ir_int(c, 11), e);
    const Expr *skewed = ir_int_add(c, e, ir_int_scale(c, lab_at(l, k), 3));
    const Expr *other =
        lab_read_else(l, x, NULL, lab_at(l, b), ir_floordiv(c, e, 4), ir_mod(c, e, 6));
    const Expr *mirrored =
        lab_read_else(l, x, NULL, lab_at(l, b), ir_mod(c, back, 4), ir_floordiv(c, back, 2));
    const Expr *three = lab_read_else(l, z, NULL, lab_at(l, b), ir_floordiv(c, e, 6),
                                      ir_mod(c, ir_floordiv(c, e, 2), 3), ir_mod(c, e, 2));
    const Expr *two =
        lab_read_else(l, x, NULL, lab_at(l, b), ir_floordiv(c, skewed, 6), ir_mod(c, skewed, 5));
    const Expr *far =
        lab_read_else(l, x, lab_real(l, 0.5), lab_at(l, b),
                      ir_int_sub(c, ir_floordiv(c, e, 2), ir_int(c, 1)), lab_at(l, k));
    const Expr *sum = ir_add(c, ir_mul(c, other, mirrored), ir_mul(c, three, ir_add(c, two, far)));
    set_loss_of(l, DEFINE(l, "y", sum, b, i, k));
}

/* y[h, e] = x[e + 4 * h] and back: heads of attention. */
static void build_heads(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 12));
    Index *b = batch_index(l), *h = lab_index(l, "h", 3), *e = lab_index(l, "e", 4);
    const Expr *at = ir_int_add(c, ir_int_scale(c, lab_at(l, h), 4), lab_at(l, e));
    const Expr *value = square(l, lab_read_else(l, x, NULL, lab_at(l, b), at));
    set_loss_of(l, DEFINE(l, "y", value, b, h, e));
}

/* What stands behind `else` has a derivative as well; strides with offsets both ways. */
static void build_otherwise(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(2));
    Index *b = batch_index(l), *i = lab_index(l, "i", 9);
    const Expr *at = ir_int_sub(c, ir_int_scale(c, lab_at(l, i), 2), ir_int(c, 6));
    const Expr *other = lab_read_else(l, w, lab_real(l, 0.25), lab_shift(l, i, -7));
    const Expr *value = lab_read_else(l, x, other, lab_at(l, b), at);
    set_loss_of(l, DEFINE(l, "y", ir_op1(c, OP_EXP, value), b, i));
}

/* s[i] = sum over j < i of s[j] * w[i, j] + x[i]: reads all earlier steps under a condition. */
static void build_triangular(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 4));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(4, 4));
    Tensor *s = lab_declare(l, "s", DIMS(EXTENT_BATCH, 4));
    Index *b = batch_index(l), *i = lab_index(l, "i", 4), *j = lab_index(l, "j", 4);
    const Expr *term = ir_mul(c, lab_read(l, s, b, j), lab_read(l, w, i, j));
    term = ir_select(c, ir_op2(c, OP_LT, lab_at(l, j), lab_at(l, i)), term, lab_real(l, 0));
    const Expr *value = ir_add(c, lab_read(l, x, b, i), REDUCE(l, SUM, term, j));
    ir_define(c, l->m, s, INDICES(b, i), value, (Span){0, 0});
    set_loss_of(l, s);
}

/* Every elementary function once, where it is smooth. */
static void build_functions(Lab *l) {
    static const Op ops[] = {OP_ABS,   OP_SQRT, OP_EXP,      OP_LOG,      OP_LOG1P,
                             OP_EXPM1, OP_SIGN, OP_LOGISTIC, OP_LOG1PEXP, OP_TANH,
                             OP_SIN,   OP_COS,  OP_ERF,      OP_FLOOR,    OP_NEG};
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 2));
    Tensor *y = lab_leaf(l, TENSOR_INPUT, "y", 0, DIMS(EXTENT_BATCH, 2));
    Index *b = batch_index(l), *i = lab_index(l, "i", 2);
    const Expr *a = ir_add(c, lab_read(l, x, b, i), lab_real(l, 1.25));
    const Expr *d = lab_read(l, y, b, i), *sum = lab_real(l, 0);
    for (size_t n = 0; n < COUNT(ops); n++) {
        const Expr *term = ir_mul(c, ir_op1(c, ops[n], a), lab_real(l, 0.3 + (double)n / 10));
        sum = ir_add(c, sum, term);
    }
    sum = ir_add(c, sum, ir_op2(c, OP_POW, a, d));
    sum = ir_add(c, sum, ir_op2(c, OP_POW, a, lab_real(l, 2.5)));
    sum = ir_add(c, sum, ir_op2(c, OP_MAX, a, d));
    sum = ir_mul(c, sum, ir_op2(c, OP_MIN, a, ir_div(c, d, a)));
    set_loss_of(l, DEFINE(l, "z", ir_sub(c, sum, d), b, i));
}

/* sum[i, j] a[i] * b[i, j] * c[j], through two contractions. */
static void build_three_factors(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *a = lab_leaf(l, TENSOR_INPUT, "a", 0, DIMS(EXTENT_BATCH, 4));
    Tensor *m = lab_leaf(l, TENSOR_PARAM, "m", 0, DIMS(4, 3));
    Tensor *d = lab_leaf(l, TENSOR_INPUT, "d", 0, DIMS(EXTENT_BATCH, 3));
    Index *b = batch_index(l), *i = lab_index(l, "i", 4), *j = lab_index(l, "j", 3);
    const Expr *product =
        ir_mul(c, lab_read(l, a, b, i), ir_mul(c, lab_read(l, m, i, j), lab_read(l, d, b, j)));
    const Expr *sum = REDUCE(l, SUM, product, i, j);
    set_loss(l, b, ir_op1(c, OP_SIN, sum));
}

/* The same param in a penalty, which does not depend on the batch. */
static void build_penalty(Lab *l) {
    Ctx *c = &l->ctx;
    Tensor *x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 3));
    Tensor *w = lab_leaf(l, TENSOR_PARAM, "w", 0, DIMS(3));
    Tensor *unused = lab_leaf(l, TENSOR_PARAM, "unused", 0, DIMS(2));
    Index *b = batch_index(l), *i = lab_index(l, "i", 3), *j = lab_index(l, "j", 3);
    EXPECT(unused != NULL);
    const Expr *dot = REDUCE(l, SUM, ir_mul(c, lab_read(l, x, b, i), lab_read(l, w, i)), i);
    Tensor *p = DEFINE(l, "p", dot, b);
    Index *n = batch_index(l);
    const Expr *mean = ir_div(c, REDUCE(l, SUM, square(l, lab_read(l, p, n)), n), ir_batch(c));
    const Expr *penalty =
        ir_mul(c, lab_real(l, 0.1), REDUCE(l, SUM, square(l, lab_read(l, w, j)), j));
    l->m->loss = lab_scalar(l, "loss", ir_add(c, mean, penalty));
}

/* ---- kinks: what docs/language.md promises ---- */

static double derivative_at(Lab *l, const Expr *(*make)(Ctx *ctx, const Expr *x), double at) {
    lab_open(l);
    Tensor *x = lab_leaf(l, TENSOR_PARAM, "x", 0, NULL, 0);
    l->m->loss = lab_scalar(l, "loss", make(&l->ctx, lab_read(l, x)));
    ir_normalize(&l->ctx, l->m);
    diff_reverse(&l->ctx, l->m, &x, 1);
    ir_normalize(&l->ctx, l->m);
    ir_verify(&l->ctx, l->m, true);
    IrValues values = {.batch = 1};
    *lab_array(l, &values, x) = at;
    double slope = *lab_eval(l, &values, map_get(&l->m->gradients, x));
    lab_close(l);
    return slope;
}

static const Expr *make_relu(Ctx *ctx, const Expr *x) {
    return ir_op2(ctx, OP_MAX, x, ir_number(ctx, 0));
}
static const Expr *make_relu_turned(Ctx *ctx, const Expr *x) {
    return ir_op2(ctx, OP_MAX, ir_number(ctx, 0), x);
}
static const Expr *make_abs(Ctx *ctx, const Expr *x) {
    return ir_op1(ctx, OP_ABS, x);
}
static const Expr *make_sqrt(Ctx *ctx, const Expr *x) {
    return ir_op1(ctx, OP_SQRT, x);
}
static const Expr *make_square(Ctx *ctx, const Expr *x) {
    return ir_op2(ctx, OP_POW, x, ir_number(ctx, 2));
}
static const Expr *make_log(Ctx *ctx, const Expr *x) {
    return ir_op1(ctx, OP_LOG, x);
}

static void kinks(void) {
    Lab lab;
    EXPECT_NEAR(derivative_at(&lab, make_relu, 0), 0, 0);
    EXPECT_NEAR(derivative_at(&lab, make_relu, 1e-300), 1, 0);
    EXPECT_NEAR(derivative_at(&lab, make_relu_turned, 0), 1, 0);
    EXPECT_NEAR(derivative_at(&lab, make_abs, 0), 0, 0);
    EXPECT_NEAR(derivative_at(&lab, make_sqrt, 0), 0, 0);
    EXPECT_NEAR(derivative_at(&lab, make_square, 0), 0, 0);
    EXPECT(isinf(derivative_at(&lab, make_log, 0)));
}

/* All of the derivative goes to the first of equal elements. */
static void ties(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Tensor *x = lab_leaf(l, TENSOR_PARAM, "x", 0, DIMS(4));
    Index *i = lab_index(l, "i", 4);
    l->m->loss = lab_scalar(l, "loss", REDUCE(l, MAX, lab_read(l, x, i), i));
    ir_normalize(&l->ctx, l->m);
    diff_reverse(&l->ctx, l->m, &x, 1);
    ir_normalize(&l->ctx, l->m);
    IrValues values = {.batch = 1};
    static const double given[] = {1, 3, 3, 2};
    memcpy(lab_array(l, &values, x), given, sizeof given);
    const double *gradient = lab_eval(l, &values, map_get(&l->m->gradients, x));
    for (int k = 0; k < 4; k++) EXPECT_NEAR(gradient[k], k == 1, 0);
    lab_close(l);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        check_wild(strtoull(argv[1], NULL, 10));
        TEST_END();
    }
    for (uint64_t seed = 1; seed <= 100; seed++) check_wild(seed);
    check("dense", build_dense);
    check("conv, padded", build_conv_padded);
    check("conv, strided", build_conv_strided);
    check("conv, stride wider than kernel", build_conv_wide_stride);
    check("max pool", build_max_pool);
    check("min pool", build_min_pool);
    check("max pool, overlapping", build_max_overlapping);
    check("prod", build_prod);
    check("gather", build_gather);
    check("softmax and cross entropy", build_softmax);
    check("recurrence", build_recurrence);
    check("two tensors, downwards", build_two_way);
    check("triangular recurrence", build_triangular);
    check("masked infinities", build_masked);
    check("attention", build_attention);
    check("batch norm", build_batch_norm);
    check("subscripts", build_subscripts);
    check("digits", build_digits);
    check("heads", build_heads);
    check("otherwise", build_otherwise);
    check("functions", build_functions);
    check("three factors", build_three_factors);
    check("penalty", build_penalty);
    kinks();
    ties();
    TEST_END();
}
