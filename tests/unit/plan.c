/* Modules as the language makes them, planned, compiled and run against the interpreter: networks
 * with their gradients and optimizers, shorter and full batches, both precisions. */
#include "plan/private.h"

#include "networks.h"

/* ---- parts of networks ------------------------------------------------------------------------
 */

/* y[batch, u] = b[u] + sum[i] x[batch, i] * w[u, i] */
static Tensor *dense(Rig *r, const char *name, Tensor *x, int64_t units) {
    Ctx *c = &r->ctx;
    const char *w_name = arena_printf(c->arena, "%s.w", name);
    const char *b_name = arena_printf(c->arena, "%s.b", name);
    Tensor *w = rig_leaf(r, TENSOR_PARAM, w_name, 0, DIMS(units, x->dims[1]));
    Tensor *b = rig_leaf(r, TENSOR_PARAM, b_name, 0, DIMS(units));
    Index *batch = rig_index(r, "batch", EXTENT_BATCH), *u = rig_index(r, "u", units);
    Index *i = rig_index(r, "i", x->dims[1]);
    const Expr *product = ir_mul(c, AT(x, batch, i), AT(w, u, i));
    const Expr *sum = ir_reduce(c, REDUCE_SUM, &i, 1, product);
    return rig_define(r, name, LIST(batch, u), ir_add(c, AT(b, u), sum));
}

/* The mean over the batch of the cross entropy of z[batch, k] with the classes y[batch]. */
static Tensor *cross_entropy(Rig *r, Tensor *z, Tensor *y) {
    Ctx *c = &r->ctx;
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *k = rig_index(r, "k", z->dims[1]);
    const Expr *largest = ir_reduce(c, REDUCE_MAX, &k, 1, AT(z, b, k));
    Tensor *m = rig_define(r, "m", LIST(b), ir_op1(c, OP_STOP, largest));
    const Expr *shifted = ir_sub(c, AT(z, b, k), AT(m, b));
    const Expr *sum = ir_reduce(c, REDUCE_SUM, &k, 1, ir_op1(c, OP_EXP, shifted));
    const Expr *subs[] = {ir_index_value(c, b), AT(y, b)};
    const Expr *l = ir_add(c, AT(m, b), ir_op1(c, OP_LOG, sum));
    l = ir_sub(c, l, ir_read(c, z, subs, NULL));
    Tensor *each = rig_define(r, "each", LIST(b), l);
    const Expr *total = ir_reduce(c, REDUCE_SUM, &b, 1, AT(each, b));
    Tensor *loss = rig_define(r, "loss", 0, NULL, ir_div(c, total, ir_batch(c)));
    return r->m->loss = loss;
}

static double loss_at(Rig *r, IrValues *values) {
    values->arrays = (Map){0};
    for (uint32_t i = 0; i < r->nleaves; i++)
        map_set(r->ctx.arena, &values->arrays, r->leaves[i].tensor, r->leaves[i].values);
    ir_eval(&r->ctx, r->m, values);
    return *(double *)map_get(&values->arrays, r->m->loss);
}

/* Some elements of each gradient against central differences of the interpreter's loss. */
static void check_gradients(Rig *r) {
    IrValues values = {.batch = r->n, .seed = 7, .step = 3};
    for (uint32_t i = 0; i < r->nleaves; i++) {
        const Tensor *t = r->leaves[i].tensor, *g = map_get(&r->m->gradients, t);
        for (int trial = 0; g && trial < 3; trial++) {
            uint32_t at = rig_random(r, (uint32_t)tensor_elements(t, r->n));
            double *element = &r->leaves[i].values[at], before = *element, step = 1e-5;
            *element = before + step;
            double above = loss_at(r, &values);
            *element = before - step;
            double below = loss_at(r, &values);
            *element = before;
            loss_at(r, &values);
            const double *gradient = map_get(&values.arrays, g);
            EXPECT_NEAR(gradient[at], (above - below) / (2 * step), 1e-6);
        }
    }
}

static void adam_one(Rig *r, Tensor *w, Tensor *g) {
    Ctx *c = &r->ctx;
    const char *m_name = arena_printf(c->arena, "%s.m", w->name);
    const char *v_name = arena_printf(c->arena, "%s.v", w->name);
    Tensor *m = rig_leaf(r, TENSOR_STATE, m_name, 0, w->rank, w->dims);
    Tensor *v = rig_leaf(r, TENSOR_STATE, v_name, 0, w->rank, w->dims);
    Index **at = ir_free_indices(c, w, NULL);
    const Expr *ge = ir_read_at(c, g, at);
    const Expr *me =
        ir_add(c, ir_mul(c, NUMBER(0.9), ir_read_at(c, m, at)), ir_mul(c, NUMBER(0.1), ge));
    Tensor *m2 = rig_define(r, arena_printf(c->arena, "%s.new", m_name), w->rank, at, me);
    const Expr *ve = ir_add(c, ir_mul(c, NUMBER(0.999), ir_read_at(c, v, at)),
                            ir_mul(c, NUMBER(0.001), ir_mul(c, ge, ge)));
    Tensor *v2 = rig_define(r, arena_printf(c->arena, "%s.new", v_name), w->rank, at, ve);
    const Expr *m_hat = ir_div(c, ir_read_at(c, m2, at),
                               ir_sub(c, NUMBER(1), ir_op2(c, OP_POW, NUMBER(0.9), ir_step(c))));
    const Expr *v_hat = ir_div(c, ir_read_at(c, v2, at),
                               ir_sub(c, NUMBER(1), ir_op2(c, OP_POW, NUMBER(0.999), ir_step(c))));
    const Expr *denominator = ir_add(c, ir_op1(c, OP_SQRT, v_hat), NUMBER(1e-2));
    const Expr *change = ir_mul(c, NUMBER(0.01), ir_div(c, m_hat, denominator));
    Tensor *w2 = rig_define(r, arena_printf(c->arena, "%s.new", w->name), w->rank, at,
                            ir_sub(c, ir_read_at(c, w, at), change));
    rig_update(r, w, w2);
    rig_update(r, m, m2);
    rig_update(r, v, v2);
}

/* Every param is updated; the loss is a result. */
static void adam(Rig *r) {
    Tensor *params[RIG_ARRAYS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nleaves; i++)
        if (r->leaves[i].tensor->kind == TENSOR_PARAM) params[n++] = r->leaves[i].tensor;
    rig_root(r, r->m->loss);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = arena_printf(r->ctx.arena, "grad.%s", params[i]->name);
        Tensor *g = ir_tensor(&r->ctx, r->m, TENSOR_LOCAL, sym(&r->ctx, name), params[i]->rank,
                              params[i]->dims, 0, (Span){0});
        map_set(r->ctx.arena, &r->m->gradients, params[i], g);
        adam_one(r, params[i], g);
    }
    ir_normalize(&r->ctx, r->m);
    diff_reverse(&r->ctx, r->m, params, n);
}

/* ---- networks ---------------------------------------------------------------------------------
 */

static Tensor *perceptron(Rig *r, int64_t inputs, int64_t hidden, int64_t classes) {
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, inputs));
    Tensor *y = rig_leaf(r, TENSOR_TARGET, "y", classes, DIMS(EXTENT_BATCH));
    Tensor *h = apply(r, "h", OP_MAX, dense(r, "dense1", x, hidden));
    Tensor *z =
        dense(r, "dense2", apply(r, "h2", OP_TANH, dense(r, "dense2b", h, hidden)), classes);
    cross_entropy(r, z, y);
    return z;
}

static void perceptrons(int64_t inputs, int64_t hidden, int64_t classes, int64_t n, bool f64) {
    Rig r;
    rig_open(&r, "gradients of a perceptron", n, 40, f64);
    perceptron(&r, inputs, hidden, classes);
    gradients(&r);
    rig_run(&r);
    if (f64) check_gradients(&r);
    rig_close(&r);
    rig_open(&r, "a perceptron with adam", n, 40, f64);
    perceptron(&r, inputs, hidden, classes);
    adam(&r);
    rig_run(&r);
    rig_close(&r);
}

/* Outputs: the softmax, its classes, and how often they are right. */
static void classifiers(int64_t classes, int64_t n, bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "a classifier", n, 33, f64);
    Ctx *c = &r->ctx;
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 5));
    Tensor *y = rig_leaf(r, TENSOR_TARGET, "y", classes, DIMS(EXTENT_BATCH));
    Tensor *z = dense(r, "z", x, classes);
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *k = rig_index(r, "k", classes);
    const Expr *largest = ir_reduce(c, REDUCE_MAX, &k, 1, AT(z, b, k));
    Tensor *m = rig_define(r, "m", LIST(b), largest);
    Tensor *e = rig_define(r, "e", LIST(b, k), ir_op1(c, OP_EXP, ir_sub(c, AT(z, b, k), AT(m, b))));
    Index *j = rig_index(r, "j", classes);
    const Expr *sum = ir_reduce(c, REDUCE_SUM, &j, 1, AT(e, b, j));
    rig_root(r, rig_define(r, "p", LIST(b, k), ir_div(c, AT(e, b, k), sum)));
    Tensor *best = rig_declare(r, "best", classes, LIST(b));
    ir_define(c, r->m, best, &b, ir_reduce(c, REDUCE_ARGMAX, &k, 1, AT(z, b, k)), (Span){0});
    rig_root(r, best);
    const Expr *hit = ir_op2(c, OP_EQ, AT(best, b), AT(y, b));
    hit = ir_select(c, hit, NUMBER(1), NUMBER(0));
    const Expr *hits = ir_reduce(c, REDUCE_SUM, &b, 1, hit);
    rig_root(r, rig_define(r, "accuracy", 0, NULL, ir_div(c, hits, ir_batch(c))));
    rig_root(r, x);    /* a result may be a leaf, */
    rig_root(r, best); /* or another result */
    rig_run(r);
    rig_close(r);
}

static Tensor *max_pool(Rig *r, const char *name, Tensor *x, int64_t size) {
    Ctx *c = &r->ctx;
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *f = rig_index(r, "f", x->dims[1]);
    Index *i = rig_index(r, "i", x->dims[2] / size), *j = rig_index(r, "j", x->dims[3] / size);
    Index *over[] = {rig_index(r, "u", size), rig_index(r, "v", size)};
    const Expr *subs[] = {
        ir_index_value(c, b), ir_index_value(c, f),
        ir_int_add(c, ir_int_scale(c, ir_index_value(c, i), size), ir_index_value(c, over[0])),
        ir_int_add(c, ir_int_scale(c, ir_index_value(c, j), size), ir_index_value(c, over[1]))};
    const Expr *largest = ir_reduce(c, REDUCE_MAX, over, 2, ir_read(c, x, subs, NULL));
    return rig_define(r, name, LIST(b, f, i, j), largest);
}

/* The last two dimensions as one, as the library does it. */
static Tensor *join(Rig *r, Tensor *x) {
    Ctx *c = &r->ctx;
    Index *free[4];
    const Expr *subs[4];
    uint32_t last = x->rank - 1;
    for (uint32_t d = 0; d < last; d++) {
        int64_t extent = x->dims[d] * (d + 1 == last ? x->dims[last] : 1);
        free[d] = rig_index(r, d == 0 ? "batch" : "i", d == 0 ? EXTENT_BATCH : extent);
        subs[d] = ir_index_value(c, free[d]);
    }
    subs[last] = ir_mod(c, subs[last - 1], x->dims[last]);
    subs[last - 1] = ir_floordiv(c, subs[last - 1], x->dims[last]);
    return rig_define(r, "flat", last, free, ir_read(c, x, subs, NULL));
}

static Tensor *flatten(Rig *r, Tensor *x) {
    while (x->rank > 2) x = join(r, x);
    return x;
}

static void convolutions(int64_t stride, int64_t pad, int64_t n, bool f64, bool pools) {
    Rig rig, *r = &rig;
    rig_open(r, "a convolution", n, 6, f64);
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 2, 13, 12));
    Tensor *y = rig_leaf(r, TENSOR_TARGET, "y", 4, DIMS(EXTENT_BATCH));
    /* Rounded numbers fall on the other side of a kink, and others are the largest. */
    Op bend = rig_pairs ? OP_TANH : OP_MAX;
    Tensor *h = apply(r, "h", bend, convolution(r, "conv1", x, 5, 3, stride, pad));
    if (pools && !rig_pairs) h = max_pool(r, "pool", h, 2);
    h = apply(r, "h2", OP_TANH, convolution(r, "conv2", h, 3, 3, 1, 1));
    cross_entropy(r, dense(r, "dense", flatten(r, h), 4), y);
    gradients(r);
    rig_run(r);
    if (f64) check_gradients(r);
    rig_close(r);
}

/* e[b, i, d] = table[t[b, i], d]; the mean over i; a dense layer; the gradient scatters. */
static void embeddings(int64_t words, int64_t n, bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "an embedding", n, 9, f64);
    Ctx *c = &r->ctx;
    Tensor *t = rig_leaf(r, TENSOR_INPUT, "t", words, DIMS(EXTENT_BATCH, 7));
    Tensor *y = rig_leaf(r, TENSOR_TARGET, "y", 3, DIMS(EXTENT_BATCH));
    Tensor *table = rig_leaf(r, TENSOR_PARAM, "table", 0, DIMS(words, 10));
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *i = rig_index(r, "i", 7);
    Index *d = rig_index(r, "d", 10);
    const Expr *subs[] = {AT(t, b, i), ir_index_value(c, d)};
    Tensor *e = rig_define(r, "e", LIST(b, i, d), ir_read(c, table, subs, NULL));
    const Expr *mean = ir_div(c, ir_reduce(c, REDUCE_SUM, &i, 1, AT(e, b, i, d)), NUMBER(7));
    Tensor *pooled = rig_define(r, "pooled", LIST(b, d), mean);
    Tensor *mixed = apply(r, "mixed", OP_TANH, pooled);
    cross_entropy(r, dense(r, "dense", mixed, 3), y);
    gradients(r);
    rig_run(r);
    if (f64) check_gradients(r);
    rig_close(r);
}

/* y[b, i] = (x[b, i] - mean[i]) / sqrt(variance[i] + eps), with moving averages as states. */
static void batch_norms(int64_t n, bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "batch normalisation", n, 20, f64);
    Ctx *c = &r->ctx;
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 6));
    Tensor *gain = rig_leaf(r, TENSOR_PARAM, "gain", 0, DIMS(11));
    Tensor *mean_state = rig_leaf(r, TENSOR_STATE, "mean", 0, DIMS(11));
    Tensor *h = dense(r, "dense", x, 11);
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *i = rig_index(r, "i", 11);
    const Expr *sum = ir_reduce(c, REDUCE_SUM, &b, 1, AT(h, b, i));
    Tensor *mu = rig_define(r, "mu", LIST(i), ir_div(c, sum, ir_batch(c)));
    const Expr *d = ir_sub(c, AT(h, b, i), AT(mu, i));
    sum = ir_reduce(c, REDUCE_SUM, &b, 1, ir_mul(c, d, d));
    Tensor *var = rig_define(r, "var", LIST(i), ir_div(c, sum, ir_batch(c)));
    const Expr *root = ir_op1(c, OP_SQRT, ir_add(c, AT(var, i), NUMBER(0.1)));
    Tensor *y = rig_define(r, "y", LIST(b, i), ir_div(c, ir_mul(c, AT(gain, i), d), root));
    const Expr *moved =
        ir_add(c, ir_mul(c, NUMBER(0.9), AT(mean_state, i)), ir_mul(c, NUMBER(0.1), AT(mu, i)));
    rig_update(r, mean_state, rig_define(r, "mean.new", LIST(i), moved));
    Tensor *z = dense(r, "dense2", apply(r, "act", OP_SIN, y), 2);
    mean_square(r, z);
    rig_root(r, y);
    gradients(r);
    rig_run(r);
    if (f64) check_gradients(r);
    rig_close(r);
}

/* h[t, u] = tanh(zx[t, u] + sum[v] (h[t-1, v] else 0) * w[u, v]), with a second layer that reads
 * the cell at the same time. */
static void recurrences(int64_t times, int64_t units, int64_t n, bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "a recurrence", n, n > 1 ? 9 : 1, f64);
    Ctx *c = &r->ctx;
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, times, 3));
    Tensor *wx = rig_leaf(r, TENSOR_PARAM, "wx", 0, DIMS(units, 3));
    Tensor *wh = rig_leaf(r, TENSOR_PARAM, "wh", 0, DIMS(units, units));
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *t = rig_index(r, "t", times);
    Index *u = rig_index(r, "u", units), *v = rig_index(r, "v", units), *i = rig_index(r, "i", 3);
    const Expr *sum = ir_reduce(c, REDUCE_SUM, &i, 1, ir_mul(c, AT(x, b, t, i), AT(wx, u, i)));
    Tensor *zx = rig_define(r, "zx", LIST(b, t, u), sum);
    Index *free[] = {b, t, u};
    Tensor *h = rig_declare(r, "h", 0, 3, free), *cell = rig_declare(r, "cell", 0, 3, free);
    const Expr *before = ir_int_sub(c, ir_index_value(c, t), ir_int(c, 1));
    const Expr *h_subs[] = {ir_index_value(c, b), before, ir_index_value(c, v)};
    const Expr *c_subs[] = {ir_index_value(c, b), before, ir_index_value(c, u)};
    const Expr *product = ir_mul(c, ir_read(c, h, h_subs, NUMBER(0)), AT(wh, u, v));
    const Expr *z = ir_add(c, AT(zx, b, t, u), ir_reduce(c, REDUCE_SUM, &v, 1, product));
    const Expr *gate = ir_op1(c, OP_LOGISTIC, z);
    const Expr *old = ir_read(c, cell, c_subs, NUMBER(0.25));
    const Expr *mixed = ir_add(c, ir_mul(c, gate, old), ir_op1(c, OP_TANH, z));
    ir_define(c, r->m, cell, free, mixed, (Span){0});
    const Expr *value = ir_mul(c, gate, ir_op1(c, OP_TANH, AT(cell, b, t, u)));
    ir_define(c, r->m, h, free, value, (Span){0});
    mean_square(r, h);
    rig_root(r, cell);
    gradients(r);
    rig_run(r);
    if (f64) check_gradients(r);
    rig_close(r);
}

/* ---- new values -------------------------------------------------------------------------------
 */

/* a and b change places; c takes what a was; d is read after its new value is known. */
static void exchanges(bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "an exchange", 1, 1, f64);
    Ctx *c = &r->ctx;
    Tensor *s[4];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) s[i] = rig_leaf(r, TENSOR_STATE, names[i], 0, DIMS(37));
    Index *i = rig_index(r, "i", 37);
    rig_update(r, s[0], rig_define(r, "a.new", LIST(i), ir_mul(c, NUMBER(2), AT(s[1], i))));
    rig_update(r, s[1], rig_define(r, "b.new", LIST(i), ir_mul(c, NUMBER(3), AT(s[0], i))));
    rig_update(r, s[2], s[0]);
    const Expr *last = ir_int_sub(c, ir_int(c, 36), ir_index_value(c, i));
    const Expr *turned = ir_read(c, s[3], &last, NULL);
    Tensor *d = rig_define(r, "d.new", LIST(i), ir_add(c, turned, AT(s[0], i)));
    rig_update(r, s[3], d);
    const Expr *both = ir_mul(c, AT(d, i), AT(s[3], i));
    Tensor *sum = rig_define(r, "sum", 0, NULL, ir_reduce(c, REDUCE_SUM, &i, 1, both));
    rig_root(r, sum);
    rig_root(r, d);
    rig_run(r);
    rig_close(r);
}

/* The new w is computed from a sum over the old w. */
static void sums_of_targets(bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "sums of targets", 3, 5, f64);
    Ctx *c = &r->ctx;
    Tensor *w = rig_leaf(r, TENSOR_PARAM, "w", 0, DIMS(9, 9));
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 9));
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *i = rig_index(r, "i", 9);
    Index *j = rig_index(r, "j", 9), *k = rig_index(r, "k", 9);
    const Expr *square = ir_reduce(c, REDUCE_SUM, &k, 1, ir_mul(c, AT(w, i, k), AT(w, k, j)));
    rig_update(r, w, rig_define(r, "w.new", LIST(i, j), ir_sub(c, AT(w, i, j), square)));
    Index *all[] = {i, j};
    const Expr *penalty = ir_reduce(c, REDUCE_SUM, all, 2, ir_mul(c, AT(w, i, j), AT(w, i, j)));
    rig_root(r, rig_define(r, "penalty", 0, NULL, penalty));
    const Expr *out = ir_reduce(c, REDUCE_SUM, &j, 1, ir_mul(c, AT(x, b, j), AT(w, i, j)));
    rig_root(r, rig_define(r, "out", LIST(b, i), out));
    rig_run(r);
    rig_close(r);
}

/* Draws of params at the start, and a mask that is made twice. */
static void draws(int64_t n, bool f64) {
    Rig rig, *r = &rig;
    rig_open(r, "draws", n, 17, f64);
    Ctx *c = &r->ctx;
    Tensor *w = rig_leaf(r, TENSOR_PARAM, "w", 0, DIMS(7, 5));
    Tensor *x = rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, 21));
    Index *i = rig_index(r, "i", 7), *j = rig_index(r, "j", 5);
    const Expr *place =
        ir_int_add(c, ir_int_scale(c, ir_index_value(c, i), 5), ir_index_value(c, j));
    const Expr *noise = ir_draw(c, DRAW_NORMAL, 1, place);
    rig_update(r, w, rig_define(r, "w.new", LIST(i, j), ir_mul(c, NUMBER(0.1), noise)));
    Index *b = rig_index(r, "batch", EXTENT_BATCH), *k = rig_index(r, "k", 21);
    place = ir_int_add(c, ir_int_scale(c, ir_index_value(c, b), 21), ir_index_value(c, k));
    const Expr *keeps = ir_op2(c, OP_LT, ir_draw(c, DRAW_UNIFORM, 2, place), NUMBER(0.5));
    const Expr *kept = ir_select(c, keeps, ir_mul(c, NUMBER(2), AT(x, b, k)), NUMBER(0));
    Tensor *dropped = rig_define(r, "dropped", LIST(b, k), kept);
    mean_square(r, dense(r, "dense", dropped, 4));
    gradients(r);
    rig_run(r);
    if (f64) check_gradients(r);
    rig_close(r);
}

/* ---- buffers ----------------------------------------------------------------------------------
 */

/* Random lifetimes: those that overlap in time do not in memory, and the bytes are all used. */
static void placements(uint32_t n, uint64_t seed) {
    Rig rig, *r = &rig;
    rig_open(r, "placements", 1, 1, false);
    r->random += seed;
    Interval *all = ARENA_ARRAY(r->ctx.arena, Interval, n + 1);
    int64_t most = 0, live = 0;
    for (uint32_t i = 0; i < n; i++) {
        all[i].first = rig_random(r, 40);
        all[i].last = all[i].first + rig_random(r, 8);
        all[i].bytes = rig_random(r, 5) == 0 ? 0 : rig_random(r, 5000);
    }
    int64_t end = plan_place(&r->ctx, all, n);
    for (uint32_t i = 0; i < n; i++) {
        EXPECT(all[i].offset % 64 == 0);
        EXPECT(all[i].offset + all[i].bytes <= end);
        for (uint32_t k = 0; k < i; k++) {
            bool together = all[i].first <= all[k].last && all[k].first <= all[i].last;
            bool apart = all[i].offset + all[i].bytes <= all[k].offset ||
                         all[k].offset + all[k].bytes <= all[i].offset;
            EXPECT(!together || apart || all[i].bytes == 0 || all[k].bytes == 0);
        }
    }
    for (uint32_t time = 0; time < 48; time++, live = 0) {
        for (uint32_t i = 0; i < n; i++)
            if (all[i].first <= time && time <= all[i].last) live += (all[i].bytes + 63) / 64 * 64;
        if (live > most) most = live;
    }
    EXPECT(end >= most);
    EXPECT(end <= 2 * most); /* no proof, but what the heuristic does on all of these */
    rig_close(r);
}

/* The same module gives the same text. */
static void same_text(void) {
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        Rig r;
        rig_open(&r, "the same text", 8, 8, false);
        r.keep_text = true;
        perceptron(&r, 12, 20, 5);
        adam(&r);
        rig_run(&r);
        texts[i] = strdup(r.text);
        rig_close(&r);
    }
    EXPECT_STR(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}

static void all(bool f64) {
    perceptrons(12, 20, 5, 40, f64);
    perceptrons(17, 33, 10, 7, f64);
    perceptrons(1, 1, 2, 1, f64);
    classifiers(10, 33, f64);
    classifiers(3, 1, f64);
    classifiers(40, 20, f64);
    convolutions(1, 0, 2, f64, false);
    convolutions(1, 1, 3, f64, true);
    convolutions(2, 1, 3, f64, false);
    convolutions(2, 2, 1, f64, true);
    embeddings(50, 9, f64);
    embeddings(2, 4, f64);
    batch_norms(20, f64);
    batch_norms(13, f64);
    recurrences(5, 8, 4, f64);
    recurrences(3, 17, 9, f64);
    recurrences(1, 2, 1, f64);
    exchanges(f64);
    sums_of_targets(f64);
    draws(17, f64);
    draws(5, f64);
    recurrences(4, 19, 2, f64);
    recurrences(4, 20, 1, f64);
    if (f64) return; /* the interpreter, which differentiates, takes long for what follows */
    recurrences(6, 40, 9, f64);
    if (rig_pairs) return; /* rounding to bf16 would be amplified too much */
    recurrences(20, 67, 1, f64);
    recurrences(4, 380, 1, f64); /* more than half of the second-level cache */
}

static bool has_bf16(void) {
    Rig r;
    rig_open(&r, "nothing", 1, 1, false);
    bool has = r.machine->has_bf16;
    rig_close(&r);
    return has;
}

int main(void) {
    for (int f64 = 0; f64 < 2; f64++) {
        rig_divides = false;
        all(f64);
    }
    rig_adds = true;
    perceptrons(17, 33, 10, 7, true);
    perceptrons(12, 20, 5, 40, false);
    convolutions(1, 1, 6, true, true);
    recurrences(3, 17, 9, true);
    EXPECT(rig_added > 10);
    rig_adds = false;
    rig_divides = true;
    all(true);
    EXPECT(rig_divided > 100);
    rig_pairs = true;
    for (int divides = 0; divides < 2; divides++) {
        rig_divides = divides;
        all(false);
    }
    EXPECT(rig_paired > 100 || !has_bf16());
    rig_pairs = false;
    for (uint32_t i = 0; i < 40; i++) placements(i * 3, i);
    same_text();
    TEST_END();
}
