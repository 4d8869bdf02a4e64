/* Random modules, planned, compiled and run against the interpreter: reads of all kinds, sums and
 * products of them, rows, scatters, recurrences, updates. Usage: unit_plan_random [FIRST [COUNT]]
 */
#include "diff/diff.h"

#include "planned.h"

enum { MAX_SPACE = 6, MAX_TENSORS = 40 };

static const int64_t extents[] = {1, 2, 3, 5, 8, 17};

/* The indices that an expression may use. */
typedef struct Space {
    Index *at[MAX_SPACE];
    uint32_t n;
} Space;

typedef struct Maker {
    Rig *r;
    Tensor *tensors[MAX_TENSORS];
    uint32_t ntensors;
    bool exact; /* comparisons of computed numbers are allowed */
} Maker;

static uint32_t roll(Maker *m, uint32_t below) {
    return rig_random(m->r, below);
}

static bool has_batch(const Space *space) {
    for (uint32_t i = 0; i < space->n; i++)
        if (space->at[i]->extent == EXTENT_BATCH) return true;
    return false;
}

static void add_tensor(Maker *m, Tensor *t) {
    if (m->ntensors < MAX_TENSORS) m->tensors[m->ntensors++] = t;
}

/* ---- expressions ------------------------------------------------------------------------------
 */

static const Expr *index_of_space(Maker *m, const Space *space) {
    Index *index = space->at[roll(m, space->n)];
    if (index->extent == EXTENT_BATCH) return ir_int(&m->r->ctx, 0);
    return ir_index_value(&m->r->ctx, index);
}

static Index *index_with_extent(Maker *m, const Space *space, int64_t extent) {
    uint32_t start = space->n ? roll(m, space->n) : 0;
    for (uint32_t i = 0; i < space->n; i++) {
        Index *index = space->at[(start + i) % space->n];
        if (index->extent == extent) return index;
    }
    return NULL;
}

static Tensor *random_tensor(Maker *m, const Space *space, bool classes) {
    for (int trial = 0; trial < 20; trial++) {
        Tensor *t = m->tensors[roll(m, m->ntensors)];
        bool batched = t->rank && t->dims[0] == EXTENT_BATCH;
        if ((t->classes > 0) == classes && (!batched || has_batch(space))) return t;
    }
    return NULL;
}

static const Expr *random_read(Maker *m, const Space *space, Tensor *t, int depth);

/* A subscript for a dimension. */
static const Expr *subscript(Maker *m, const Space *space, int64_t extent, int depth) {
    Ctx *c = &m->r->ctx;
    Index *same = index_with_extent(m, space, extent);
    if (extent == EXTENT_BATCH) return ir_index_value(c, same);
    if (same && roll(m, 3)) return ir_index_value(c, same);
    const Expr *e = space->n ? index_of_space(m, space) : ir_int(c, 0);
    const Expr *shift = ir_int(c, (int64_t)roll(m, 4) - 2);
    Tensor *t = depth > 0 && roll(m, 4) == 0 ? random_tensor(m, space, true) : NULL;
    if (t) return ir_int_atom(c, random_read(m, space, t, depth - 1));
    switch (roll(m, 8)) {
    case 0: return ir_int(c, (int64_t)roll(m, (uint32_t)extent));
    case 1: return ir_int_add(c, e, shift);
    case 2: return ir_int_add(c, ir_int_scale(c, e, 2), shift);
    case 3: return ir_floordiv(c, e, 2);
    case 4: return ir_mod(c, e, extent);
    case 5: return ir_int_sub(c, ir_int(c, extent - 1), e);
    case 6: return space->n ? ir_int_add(c, e, index_of_space(m, space)) : e;
    default: return e;
    }
}

static const Expr *random_read(Maker *m, const Space *space, Tensor *t, int depth) {
    Ctx *c = &m->r->ctx;
    const Expr *subs[8], *otherwise = NULL;
    bool inside = true;
    for (uint32_t d = 0; d < t->rank; d++) {
        subs[d] = subscript(m, space, t->dims[d], depth);
        inside &= ir_inside(c, subs[d], t->dims[d], NULL, 0);
    }
    if (!inside && t->classes)
        otherwise = ir_int(c, roll(m, (uint32_t)t->classes));
    else if (!inside)
        otherwise = ir_number(c, roll(m, 2) ? 0 : 0.5);
    return ir_read(c, t, subs, otherwise);
}

static const Expr *value(Maker *m, const Space *space, int depth);

static const Expr *condition(Maker *m, const Space *space, int depth) {
    Ctx *c = &m->r->ctx;
    static const Op ops[] = {OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE};
    Op op = ops[roll(m, 6)];
    if (m->exact && roll(m, 3) == 0)
        return ir_op2(c, op, value(m, space, depth - 1), value(m, space, 0));
    const Expr *a = space->n ? index_of_space(m, space) : ir_int(c, 1);
    const Expr *b = ir_int(c, roll(m, 4));
    Tensor *t = random_tensor(m, space, true);
    if (t && roll(m, 2)) b = ir_int_atom(c, random_read(m, space, t, 0));
    return ir_op2(c, op, a, b);
}

static const Expr *leaf_value(Maker *m, const Space *space, int depth) {
    Ctx *c = &m->r->ctx;
    Tensor *t = random_tensor(m, space, false);
    if (roll(m, 12) == 0) return ir_number(c, (double)roll(m, 9) / 4 - 1);
    if (roll(m, 12) == 0 && space->n) return ir_real(c, index_of_space(m, space));
    if (roll(m, 20) == 0) return ir_step(c);
    if (roll(m, 20) == 0) return ir_batch(c);
    if (roll(m, 20) == 0 && space->n) {
        const Expr *counter = ir_int_add(c, index_of_space(m, space), ir_int(c, 3));
        return ir_draw(c, roll(m, 2) ? DRAW_NORMAL : DRAW_UNIFORM, roll(m, 3), counter);
    }
    return t ? random_read(m, space, t, depth) : ir_number(c, 0.25);
}

static const Expr *value(Maker *m, const Space *space, int depth) {
    Ctx *c = &m->r->ctx;
    static const Op unary[] = {OP_TANH, OP_NEG, OP_ABS, OP_SIN, OP_LOGISTIC, OP_STOP};
    if (depth <= 0 || roll(m, 5) == 0) return leaf_value(m, space, 1);
    const Expr *a = value(m, space, depth - 1);
    switch (roll(m, 8)) {
    case 0: return ir_op1(c, unary[roll(m, 6)], a);
    case 1: return ir_mul(c, a, value(m, space, depth - 1));
    case 2: return ir_op2(c, OP_MAX, a, value(m, space, depth - 1));
    case 3: return ir_sub(c, a, value(m, space, depth - 1));
    case 4: return ir_select(c, condition(m, space, depth), a, value(m, space, depth - 1));
    case 5: return ir_div(c, a, ir_number(c, 3));
    case 6: return ir_op1(c, OP_EXP, ir_op2(c, OP_MIN, a, ir_number(c, 1)));
    default: return ir_add(c, a, value(m, space, depth - 1));
    }
}

/* ---- equations --------------------------------------------------------------------------------
 */

static Space random_space(Maker *m, bool batched, uint32_t most) {
    static const char *const names[] = {"i", "j", "k", "l", "p", "q"};
    Space space = {0};
    if (batched) space.at[space.n++] = rig_index(m->r, "batch", EXTENT_BATCH);
    uint32_t rank = roll(m, most + 1);
    for (uint32_t i = 0; i < rank; i++)
        space.at[space.n++] = rig_index(m->r, names[i], extents[roll(m, 6)]);
    return space;
}

static const Expr *bounded(Maker *m, const Expr *e) {
    return roll(m, 2) ? e : ir_op1(&m->r->ctx, OP_TANH, e);
}

static void elementwise(Maker *m) {
    Space space = random_space(m, roll(m, 2), 3);
    const Expr *e = bounded(m, value(m, &space, 3));
    add_tensor(m, rig_define(m->r, "e", space.n, space.at, e));
}

/* A reduction over some indices of a larger space, with something around it. */
static void reduction(Maker *m) {
    Ctx *c = &m->r->ctx;
    bool batched = roll(m, 2), over_batch = !batched && roll(m, 3) == 0;
    Space space = random_space(m, batched || over_batch, 3), free = {0}, over = {0};
    for (uint32_t i = 0; i < space.n; i++) {
        bool is_batch = space.at[i]->extent == EXTENT_BATCH;
        Space *to = (is_batch ? over_batch : roll(m, 2)) ? &over : &free;
        to->at[to->n++] = space.at[i];
    }
    ReduceOp op = roll(m, 3) ? REDUCE_SUM : m->exact ? (ReduceOp)roll(m, 4) : REDUCE_MAX;
    const Expr *body = value(m, &space, 2);
    if (op == REDUCE_PROD) body = ir_op1(c, OP_TANH, body);
    const Expr *e = ir_reduce(c, op, over.at, over.n, body);
    if (roll(m, 2)) e = ir_add(c, bounded(m, e), value(m, &free, 1));
    if (op == REDUCE_SUM && over.n) e = ir_op1(c, OP_TANH, ir_mul(c, e, ir_number(c, 0.1)));
    add_tensor(m, rig_define(m->r, "r", free.n, free.at, e));
}

static void contraction(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space space = random_space(m, roll(m, 2), 4), free = {0}, over = {0};
    for (uint32_t i = 0; i < space.n; i++) {
        bool is_batch = space.at[i]->extent == EXTENT_BATCH;
        Space *to = roll(m, is_batch ? 4 : 2) == 0 ? &over : &free;
        to->at[to->n++] = space.at[i];
    }
    const Expr *product = ir_number(c, 1);
    for (uint32_t f = 2 + (roll(m, 4) == 0); f > 0; f--) {
        Tensor *t = random_tensor(m, &space, false);
        if (t) product = ir_mul(c, product, random_read(m, &space, t, 1));
    }
    const Expr *e = ir_reduce(c, REDUCE_SUM, over.at, over.n, product);
    e = ir_op1(c, OP_TANH, ir_mul(c, e, ir_number(c, 0.2)));
    if (roll(m, 2)) e = ir_add(c, e, value(m, &free, 1));
    add_tensor(m, rig_define(m->r, "c", free.n, free.at, e));
}

/* s[v, ...] = sum[batch or i] if t[...] == v then value else 0 */
static void scatter(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space space = random_space(m, true, 3), free = {0}, over = {0};
    Tensor *t = random_tensor(m, &space, true);
    if (!t) return;
    Index *v = rig_index(m->r, "v", t->classes + (int64_t)roll(m, 3) - 1);
    if (v->extent < 1) return;
    free.at[free.n++] = v;
    for (uint32_t i = 0; i < space.n; i++) {
        Space *to = space.at[i]->extent == EXTENT_BATCH || roll(m, 2) ? &over : &free;
        to->at[to->n++] = space.at[i];
    }
    const Expr *guard = ir_op2(c, OP_EQ, random_read(m, &space, t, 0), ir_index_value(c, v));
    if (roll(m, 4) == 0) guard = ir_op2(c, OP_AND, guard, condition(m, &space, 1));
    const Expr *body = ir_select(c, guard, value(m, &space, 2), ir_number(c, 0));
    const Expr *e = ir_reduce(c, REDUCE_SUM, over.at, over.n, body);
    add_tensor(m, rig_define(m->r, "s", free.n, free.at, ir_op1(c, OP_TANH, e)));
}

static void class_tensor(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space space = random_space(m, roll(m, 2), 2), all = space;
    int64_t classes = 2 + roll(m, 6);
    Index *k = rig_index(m->r, "k", classes);
    all.at[all.n++] = k;
    Tensor *t = rig_declare(m->r, "best", classes, space.n, space.at);
    ReduceOp op = roll(m, 2) ? REDUCE_ARGMAX : REDUCE_ARGMIN;
    ir_define(c, m->r->m, t, space.at, ir_reduce(c, op, &k, 1, value(m, &all, 2)), (Span){0});
    add_tensor(m, t);
}

/* What norms and softmaxes are made of: reductions of the same elements, which may use those before
 * them, and elementwise equations that use them, over the same rows. */
static void rows(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space any = {{rig_index(m->r, "batch", EXTENT_BATCH)}, 1}, free = {0}, over = {0};
    Tensor *t = random_tensor(m, &any, false), *results[8] = {0};
    if (!t || t->rank == 0) return;
    Index **all = ir_free_indices(c, t, NULL);
    for (uint32_t d = 0; d < t->rank; d++) {
        Space *to = roll(m, t->dims[d] == EXTENT_BATCH ? 4 : 2) == 0 ? &over : &free;
        to->at[to->n++] = all[d];
    }
    for (uint32_t i = 0, n = 2 + roll(m, 4), done = 0; i < n; i++) {
        const Expr *e = ir_read_at(c, t, all);
        if (done && roll(m, 3)) e = ir_sub(c, e, ir_read_at(c, results[roll(m, done)], free.at));
        if (roll(m, 3) == 0) e = ir_op1(c, OP_EXP, ir_op2(c, OP_MIN, e, ir_number(c, 1)));
        if (roll(m, 3) == 0) e = ir_mul(c, e, ir_read_at(c, t, all));
        if (roll(m, 3) == 0) {
            t = rig_define(m->r, "row", t->rank, all, ir_op1(c, OP_TANH, e));
            add_tensor(m, t);
            continue;
        }
        ReduceOp op = roll(m, 3) ? REDUCE_SUM : roll(m, 2) ? REDUCE_MAX : REDUCE_MIN;
        if (m->exact && roll(m, 5) == 0) {
            op = op == REDUCE_MIN ? REDUCE_ARGMIN : REDUCE_ARGMAX;
            Tensor *at = rig_declare(m->r, "at", 1000, free.n, free.at);
            ir_define(c, m->r->m, at, free.at, ir_reduce(c, op, over.at, over.n, e), (Span){0});
            rig_root(m->r, at);
            op = op == REDUCE_ARGMIN ? REDUCE_MIN : REDUCE_MAX;
        }
        e = ir_mul(c, ir_number(c, 0.3), ir_reduce(c, op, over.at, over.n, e));
        results[done] = rig_define(m->r, "of_row", free.n, free.at, ir_op1(c, OP_TANH, e));
        add_tensor(m, results[done++]);
    }
}

/* s[t, u] = masked sum[e] q[t, e] * k[u, e], a softmax over u of it, and sums of its product with a
 * third tensor: what is long in two indices need not be there at once, forward and backward. */
static void attention(Maker *m) {
    Ctx *c = &m->r->ctx;
    Index *t = rig_index(m->r, "t", extents[roll(m, 6)]), *u = rig_index(m->r, "u", t->extent);
    if (roll(m, 2)) u = rig_index(m->r, "u", extents[roll(m, 6)]);
    Index *e = rig_index(m->r, "e", extents[roll(m, 6)]);
    Index *batch = rig_index(m->r, "batch", EXTENT_BATCH);
    Space over_t = {{batch, t, e}, 3}, over_u = {{batch, u, e}, 3}, both = {{batch, t, u}, 3};
    Tensor *parts[3];
    for (uint32_t i = 0; i < 3; i++) {
        Space *space = i ? &over_u : &over_t;
        const Expr *part = ir_op1(c, OP_TANH, value(m, space, 2));
        add_tensor(m, parts[i] = rig_define(m->r, "part", 3, space->at, part));
    }
    const Expr *product =
        ir_mul(c, ir_read_at(c, parts[0], over_t.at), ir_read_at(c, parts[1], over_u.at));
    const Expr *s = ir_reduce(c, REDUCE_SUM, &e, 1, product);
    if (roll(m, 2)) s = ir_add(c, s, ir_op1(c, OP_TANH, value(m, &both, 1)));
    const Expr *ahead = ir_int_sub(c, ir_index_value(c, u), ir_index_value(c, t));
    const Expr *hidden = ir_op2(c, OP_GT, ahead, ir_int(c, roll(m, 3)));
    if (roll(m, 2))
        hidden =
            ir_op2(c, OP_OR, hidden, ir_op2(c, OP_LT, ahead, ir_int(c, -1 - (int64_t)roll(m, 4))));
    if (roll(m, 3)) s = ir_select(c, hidden, ir_number(c, roll(m, 2) ? -INFINITY : 0), s);
    Tensor *scores = rig_define(m->r, "scores", 3, both.at, s);
    const Expr *score = ir_read_at(c, scores, both.at);
    Tensor *most = rig_define(m->r, "most", 2, both.at, ir_reduce(c, REDUCE_MAX, &u, 1, score));
    const Expr *least = ir_op2(c, OP_MAX, ir_read_at(c, most, both.at), ir_number(c, -9));
    const Expr *weight = ir_op1(c, OP_EXP, ir_sub(c, score, ir_op1(c, OP_STOP, least)));
    Tensor *weights = rig_define(m->r, "weights", 3, both.at, weight);
    weight = ir_read_at(c, weights, both.at);
    Tensor *sum = rig_define(m->r, "sum", 2, both.at, ir_reduce(c, REDUCE_SUM, &u, 1, weight));
    const Expr *all = ir_add(c, ir_read_at(c, sum, both.at), ir_number(c, 0.1));
    Tensor *share = rig_define(m->r, "share", 3, both.at, ir_div(c, weight, all));
    if (roll(m, 4) == 0) rig_root(m->r, share);
    Index *free[] = {batch, t, e}, *along[] = {batch, u, e};
    const Expr *mixed =
        ir_mul(c, ir_read_at(c, share, both.at), ir_read_at(c, parts[2], over_u.at));
    add_tensor(m, rig_define(m->r, "mixed", 3, free, ir_reduce(c, REDUCE_SUM, &u, 1, mixed)));
    if (roll(m, 2)) return;
    mixed = ir_mul(c, ir_read_at(c, share, both.at), ir_read_at(c, parts[0], over_t.at));
    mixed = ir_mul(c, ir_number(c, 0.3), ir_reduce(c, REDUCE_SUM, &t, 1, mixed));
    add_tensor(m, rig_define(m->r, "spread", 3, along, ir_op1(c, OP_TANH, mixed)));
}

/* y = x in another shape. */
static void reshape(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space any = {0};
    any.at[any.n++] = rig_index(m->r, "batch", EXTENT_BATCH);
    Tensor *t = random_tensor(m, &any, false);
    if (!t || t->rank < 2 || (t->dims[0] == EXTENT_BATCH && t->rank < 3)) return;
    Index *free[8];
    const Expr *subs[8];
    uint32_t last = t->rank - 1;
    for (uint32_t d = 0; d < last; d++) {
        int64_t extent = t->dims[d] * (d + 1 == last ? t->dims[last] : 1);
        free[d] = rig_index(m->r, "i", extent);
        subs[d] = ir_index_value(c, free[d]);
    }
    subs[last] = ir_mod(c, subs[last - 1], t->dims[last]);
    subs[last - 1] = ir_floordiv(c, subs[last - 1], t->dims[last]);
    add_tensor(m, rig_define(m->r, "flat", last, free, ir_read(c, t, subs, NULL)));
}

/* h[.., t, ..] = f(h[.., t - 1, ..] else number, …), perhaps with a sum over the last dimension. */
static void recurrence(Maker *m) {
    Ctx *c = &m->r->ctx;
    Space space = random_space(m, roll(m, 2), 1);
    int64_t direction = roll(m, 2) ? 1 : -1, units = extents[roll(m, 6)];
    Index *t = rig_index(m->r, "t", extents[roll(m, 5)]), *u = rig_index(m->r, "u", units);
    Index *v = rig_index(m->r, "v", units);
    space.at[space.n++] = t;
    space.at[space.n++] = u;
    Tensor *h = rig_declare(m->r, "h", 0, space.n, space.at);
    const Expr *own[8], *sum[8];
    for (uint32_t d = 0; d < space.n; d++) own[d] = sum[d] = ir_index_value(c, space.at[d]);
    own[space.n - 2] = ir_int_sub(c, ir_index_value(c, t), ir_int(c, direction));
    sum[space.n - 2] = own[space.n - 2];
    sum[space.n - 1] = ir_index_value(c, v);
    const Expr *e = value(m, &space, 2);
    e = ir_add(c, e, ir_mul(c, ir_number(c, 0.5), ir_read(c, h, own, ir_number(c, roll(m, 2)))));
    Space uv = {{u, v}, 2};
    Tensor *w = random_tensor(m, &uv, false);
    if (w && roll(m, 2)) {
        const Expr *product =
            ir_mul(c, ir_read(c, h, sum, ir_number(c, 0)), random_read(m, &uv, w, 0));
        e = ir_add(c, e, ir_reduce(c, REDUCE_SUM, &v, 1, product));
    }
    ir_define(c, m->r->m, h, space.at, ir_op1(c, OP_TANH, e), (Span){0});
    add_tensor(m, h);
}

/* A new value for each param and state, of old and computed values. */
static void updates(Maker *m) {
    for (uint32_t i = 0; i < m->r->nleaves; i++) {
        Tensor *t = m->r->leaves[i].tensor;
        if ((t->kind != TENSOR_PARAM && t->kind != TENSOR_STATE) || roll(m, 4) == 0) continue;
        Space space = {0};
        Index **free = ir_free_indices(&m->r->ctx, t, NULL);
        for (uint32_t d = 0; d < t->rank; d++) space.at[space.n++] = free[d];
        const Expr *e =
            ir_mul(&m->r->ctx, ir_number(&m->r->ctx, 0.5), ir_read_at(&m->r->ctx, t, free));
        if (roll(m, 4)) e = ir_add(&m->r->ctx, e, value(m, &space, 3));
        Tensor *fresh = rig_define(m->r, "new", t->rank, free, bounded(m, e));
        rig_update(m->r, t, fresh);
        add_tensor(m, fresh);
    }
}

static void leaves(Maker *m) {
    Rig *r = m->r;
    add_tensor(m, rig_leaf(r, TENSOR_INPUT, "x", 0, DIMS(EXTENT_BATCH, extents[roll(m, 6)])));
    add_tensor(m, rig_leaf(r, TENSOR_INPUT, "image", 0,
                           DIMS(EXTENT_BATCH, extents[roll(m, 6)], extents[roll(m, 6)])));
    add_tensor(m, rig_leaf(r, TENSOR_INPUT, "y", 2 + roll(m, 8), DIMS(EXTENT_BATCH)));
    add_tensor(
        m, rig_leaf(r, TENSOR_INPUT, "t", 2 + roll(m, 8), DIMS(EXTENT_BATCH, extents[roll(m, 6)])));
    add_tensor(m,
               rig_leaf(r, TENSOR_PARAM, "w", 0, DIMS(extents[roll(m, 6)], extents[roll(m, 6)])));
    add_tensor(m, rig_leaf(r, TENSOR_PARAM, "b", 0, DIMS(extents[roll(m, 6)])));
    int64_t rows = extents[roll(m, 6)], columns = extents[roll(m, 6)];
    add_tensor(m, rig_leaf(r, TENSOR_STATE, "s1", 0, DIMS(rows, columns)));
    add_tensor(m, rig_leaf(r, TENSOR_STATE, "s2", 0, DIMS(rows, columns)));
}

/* A step down the gradient for params that have no new value yet. */
static void descend(Maker *m, Tensor *const *wanted, uint32_t n) {
    Ctx *c = &m->r->ctx;
    for (uint32_t i = 0; i < n; i++) {
        bool is_updated = wanted[i]->kind != TENSOR_PARAM;
        for (uint32_t u = 0; u < m->r->m->updates.len; u++)
            is_updated |= m->r->m->updates.at[u].target == wanted[i];
        if (is_updated) continue;
        Index **free = ir_free_indices(c, wanted[i], NULL);
        const Expr *by = ir_read_at(c, map_get(&m->r->m->gradients, wanted[i]), free);
        const Expr *e = ir_sub(c, ir_read_at(c, wanted[i], free), ir_mul(c, by, ir_number(c, 0.1)));
        rig_update(m->r, wanted[i], rig_define(m->r, "lower", wanted[i]->rank, free, e));
    }
}

/* The gradients of a mean of squares of something random, beside two numbers whose gradients are
 * the same. */
static void gradients(Maker *m) {
    Rig *r = m->r;
    Ctx *c = &r->ctx;
    Space any = {{rig_index(r, "batch", EXTENT_BATCH)}, 1};
    Tensor *t = random_tensor(m, &any, false), *wanted[RIG_ARRAYS];
    if (!t || ir_definition(r->m, t) == NULL) return;
    Index **free = ir_free_indices(c, t, NULL);
    const Expr *e = ir_read_at(c, t, free), *first[] = {ir_int(c, 0)};
    for (int i = 0; i < 2; i++) {
        Tensor *offset = rig_leaf(r, TENSOR_PARAM, i ? "right" : "left", 0, DIMS(1));
        e = ir_add(c, e, ir_read(c, offset, first, NULL));
    }
    const Expr *sum = ir_reduce(c, REDUCE_SUM, free, t->rank, ir_mul(c, e, e));
    r->m->loss = rig_define(r, "loss", 0, NULL, ir_div(c, sum, ir_batch(c)));
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nleaves; i++)
        if (r->leaves[i].tensor->kind == TENSOR_PARAM || (roll(m, 2) && i < 2))
            wanted[n++] = r->leaves[i].tensor;
    ir_normalize(c, r->m);
    if (diag_failed(c)) return;
    diff_reverse(c, r->m, wanted, n);
    descend(m, wanted, n);
    for (uint32_t i = 0; i < n; i++)
        if (roll(m, 2)) rig_root(r, map_get(&r->m->gradients, wanted[i]));
}

static void random_module(uint64_t seed) {
    Rig rig, *r = &rig;
    char what[40];
    snprintf(what, sizeof what, "random module %llu", (unsigned long long)seed);
    int64_t max_batch = 1 + (int64_t)(seed % 11), n = 1 + (int64_t)(seed / 3) % max_batch;
    rig_divides = seed / 2 % 2;
    rig_adds = seed / 4 % 2;
    rig_pairs = seed % 6 == 0;
    rig_open(r, what, n, max_batch, seed % 3 != 0);
    r->nest_all = seed % 5 > 1;
    r->rows_all = seed % 7 > 2;
    r->tiles_all = seed % 8 > 3;
    r->random += seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 10; i++) rig_random(r, 2);
    Maker m = {.r = r, .exact = r->f64};
    leaves(&m);
    uint32_t count = 3 + roll(&m, 12);
    for (uint32_t i = 0; i < count; i++) {
        switch (roll(&m, 12)) {
        case 0:
        case 1: reduction(&m); break;
        case 2:
        case 3: contraction(&m); break;
        case 4: scatter(&m); break;
        case 5: recurrence(&m); break;
        case 6: reshape(&m); break;
        case 7:
            if (m.exact) class_tensor(&m);
            break;
        case 8:
        case 9: rows(&m); break;
        case 10: attention(&m); break;
        default: elementwise(&m);
        }
    }
    if (roll(&m, 4)) updates(&m);
    for (uint32_t i = 0; i < m.ntensors; i++)
        if (roll(&m, 3) == 0 || i + 1 == m.ntensors) rig_root(r, m.tensors[i]);
    if (roll(&m, 2)) gradients(&m);
    rig_run(r);
    rig_close(r);
}

int main(int argc, char **argv) {
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : 120;
    for (uint64_t seed = first; seed < first + count; seed++) random_module(seed);
    TEST_END();
}
