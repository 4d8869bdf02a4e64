/* codegen/reduce.c: REDUCE and SCATTER kernels.
 *
 * in:   a kernel      out: its loop nest
 *
 * A reduction is vectorised along a free index (each lane folds its own element) or along a
 * reduced one (each lane folds a part, and the lanes are folded in a tree at the end). Sums over
 * long extents go to several accumulators: shorter chains of dependent additions, and smaller
 * rounding errors. The order of additions depends on the extents and the machine's vectors only,
 * so that results are the same bits every time.
 *
 * max and min start at -inf and +inf and take a value when it is greater (less): a NaN never is,
 * so it is passed over. argmax and argmin give the first position of the extreme value, and 0 when
 * there is none.
 *
 * Several reductions of one kernel run in the same loops, each with accumulators of its own; the
 * max beside an argmax of the same values is the value that the latter has anyway.
 */
#include "codegen/emit.h"

#include <math.h>

/* MAX_PARTS: accumulators that a loop carries, each of them perhaps with a position. */
enum { MAX_UNROLL = 4, MAX_FOLDS = 4, MAX_PARTS = 15 };

/* An accumulator; `position` for argmax and argmin only. */
typedef struct Part {
    LLVMValueRef value, position;
} Part;

/* One of the kernel's reductions. */
typedef struct Fold {
    ReduceOp op;
    const Expr *body;
    const Tensor *acc;
    bool is_arg;
    const struct Fold *same; /* an argmax (argmin) whose value is this one's result; or NULL */
} Fold;

typedef struct Folds {
    const Kernel *kernel;
    Fold all[MAX_FOLDS];
    uint32_t nfolds;
    bool has_arg;
    bool in_order;     /* turns come in the order of positions: the first of equals stays */
    bool lanes_reduce; /* vectorised along a reduced index */
    Axes axes;
    uint32_t *order;       /* of the axes' loops, outer to inner */
    uint32_t unroll;       /* accumulators */
    uint32_t lanes;        /* of the accumulators */
    bool compact;          /* one masked loop along the lanes */
    bool has_scalar;       /* part number `unroll` of each fold: for a tail one by one */
    LLVMTypeRef position;  /* i32 or i64 */
    LLVMValueRef *strides; /* of the positions, by reduced index */
} Folds;

/* ---- one step ---------------------------------------------------------------------------------
 */

static double neutral(ReduceOp op) {
    switch (op) {
    case REDUCE_SUM: return 0;
    case REDUCE_PROD: return 1;
    case REDUCE_MAX:
    case REDUCE_ARGMAX: return -INFINITY;
    case REDUCE_MIN:
    case REDUCE_ARGMIN: return INFINITY;
    }
    return 0;
}

static Part combine(Gen *g, const Fold *f, Part a, Part b, bool in_order) {
    if (f->op == REDUCE_SUM) return (Part){LLVMBuildFAdd(g->b, a.value, b.value, ""), NULL};
    if (f->op == REDUCE_PROD) return (Part){LLVMBuildFMul(g->b, a.value, b.value, ""), NULL};
    bool is_max = f->op == REDUCE_MAX || f->op == REDUCE_ARGMAX;
    LLVMValueRef wins =
        LLVMBuildFCmp(g->b, is_max ? LLVMRealOGT : LLVMRealOLT, b.value, a.value, "");
    if (f->is_arg && !in_order) {
        LLVMValueRef equal = LLVMBuildFCmp(g->b, LLVMRealOEQ, a.value, b.value, "");
        LLVMValueRef before = LLVMBuildICmp(g->b, LLVMIntSLT, b.position, a.position, "");
        wins = LLVMBuildOr(g->b, wins, LLVMBuildAnd(g->b, equal, before, ""), "");
    }
    Part r = {LLVMBuildSelect(g->b, wins, b.value, a.value, ""), NULL};
    if (f->is_arg) r.position = LLVMBuildSelect(g->b, wins, b.position, a.position, "");
    return r;
}

/* The row-major position of the point in the space of the reduced indices. */
static LLVMValueRef position_at(Gen *g, const Folds *f, const Point *p) {
    const Kernel *k = f->kernel;
    LLVMValueRef sum = gen_i64(g, 0), stride = gen_i64(g, 0);
    for (uint32_t i = 0; i < k->nover; i++) {
        LLVMValueRef at = map_get(&p->values, k->over[i]);
        sum = LLVMBuildAdd(g->b, sum, LLVMBuildMul(g->b, at, f->strides[i], ""), "");
        if (k->over[i] == p->along) stride = f->strides[i];
    }
    sum = LLVMBuildIntCast2(g->b, sum, f->position, true, "");
    if (p->lanes == 1) return sum;
    stride = LLVMBuildIntCast2(g->b, stride, f->position, true, "");
    LLVMValueRef lanes = LLVMBuildMul(g->b, gen_iota(g, f->position, p->lanes, 1),
                                      gen_splat(g, stride, p->lanes), "");
    return LLVMBuildAdd(g->b, gen_splat(g, sum, p->lanes), lanes, "");
}

/* Folds the body at a point into a part. */
static void absorb_one(Gen *g, const Folds *f, const Fold *fold, Point *p, Part *part) {
    const Expr *body = fold->body;
    Part next = {0};
    if (fold->op == REDUCE_SUM && body->kind == EX_OP && body->op.op == OP_MUL) {
        next.value = gen_fma(g, scalar_real(g, p, body->op.args[0]),
                             scalar_real(g, p, body->op.args[1]), part->value);
    } else {
        Part at = {scalar_real(g, p, body), NULL};
        if (fold->is_arg) at.position = position_at(g, f, p);
        next = combine(g, fold, *part, at, f->in_order);
    }
    if (p->mask && f->lanes_reduce) { /* lanes that are not there leave it as it is */
        next.value = LLVMBuildSelect(g->b, p->mask, next.value, part->value, "");
        if (fold->is_arg)
            next.position = LLVMBuildSelect(g->b, p->mask, next.position, part->position, "");
    }
    *part = next;
}

static uint32_t parts_of(const Folds *f) {
    return f->unroll + f->has_scalar;
}

/* Part number u of each fold. */
static void absorb(Gen *g, const Folds *f, Point *p, Part *parts, uint32_t u) {
    for (uint32_t i = 0; i < f->nfolds; i++)
        if (!f->all[i].same) absorb_one(g, f, &f->all[i], p, &parts[i * parts_of(f) + u]);
}

/* ---- loops over the reduced indices ------------------------------------------------------------
 */

static void carry_parts(Gen *g, const Folds *f, Loop *loop, Part *parts) {
    for (uint32_t i = 0; i < f->nfolds * parts_of(f); i++) {
        const Fold *fold = &f->all[i / parts_of(f)];
        if (fold->same) continue;
        parts[i].value = loop_carry(g, loop, parts[i].value);
        if (fold->is_arg) parts[i].position = loop_carry(g, loop, parts[i].position);
    }
}

static void end_parts(Gen *g, const Folds *f, Loop *loop, Part *parts) {
    LLVMValueRef next[2 * MAX_PARTS], out[2 * MAX_PARTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->nfolds * parts_of(f); i++) {
        const Fold *fold = &f->all[i / parts_of(f)];
        if (fold->same) continue;
        next[n++] = parts[i].value;
        if (fold->is_arg) next[n++] = parts[i].position;
    }
    loop_end(g, loop, next, out);
    n = 0;
    for (uint32_t i = 0; i < f->nfolds * parts_of(f); i++) {
        const Fold *fold = &f->all[i / parts_of(f)];
        if (fold->same) continue;
        parts[i].value = out[n++];
        if (fold->is_arg) parts[i].position = out[n++];
    }
}

/* One turn: the body at counter, counter + width, …, into the parts from number `into` on */
static void turn(Gen *g, const Folds *f, const Point *outer, const Axis *axis, LLVMValueRef counter,
                 uint32_t width, uint32_t count, LLVMValueRef mask, Part *parts, uint32_t into) {
    for (uint32_t u = 0; u < count; u++) {
        Point p = point_copy(g, outer);
        LLVMValueRef at = LLVMBuildAdd(g->b, counter, gen_i64(g, (int64_t)u * width), "");
        point_set_axis(g, &p, axis, at);
        if (f->lanes_reduce) {
            p.along = width > 1 ? axis->index : NULL;
            p.lanes = width;
            p.mask = width > 1 ? mask : NULL;
        }
        absorb(g, f, &p, parts, into + u);
    }
}

static void turns(Gen *g, const Folds *f, const Point *p, const Axis *axis, LLVMValueRef begin,
                  LLVMValueRef end, uint32_t width, uint32_t count, Part *parts, uint32_t into) {
    Loop loop = loop_begin(g, begin, end, gen_i64(g, (int64_t)width * count), "over");
    carry_parts(g, f, &loop, parts);
    turn(g, f, p, axis, loop.counter, width, count, NULL, parts, into);
    end_parts(g, f, &loop, parts);
}

static LLVMValueRef rounded_down(Gen *g, const Axis *axis, uint32_t multiple) {
    if (axis->turns >= 0) return gen_i64(g, axis->turns - axis->turns % multiple);
    return LLVMBuildAnd(g->b, axis->extent, gen_i64(g, -(int64_t)multiple), "");
}

static bool may_run(const Axis *axis, int64_t from, uint32_t width) {
    return axis->turns < 0 || axis->turns - from >= width;
}

/* One loop, with a mask that leaves out what is behind the end. */
static void fold_masked(Gen *g, const Folds *f, const Point *p, const Axis *axis, Part *parts) {
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, f->lanes), "masked");
    carry_parts(g, f, &loop, parts);
    LLVMValueRef rest = LLVMBuildSub(g->b, axis->extent, loop.counter, "");
    turn(g, f, p, axis, loop.counter, f->lanes, 1, gen_lane_mask(g, rest, f->lanes), parts, 0);
    end_parts(g, f, &loop, parts);
}

/* The innermost loop: unrolled, one by one, and a masked (or scalar) tail of the lanes. */
static void fold_inner(Gen *g, const Folds *f, const Point *p, const Axis *axis, Part *parts) {
    if (f->compact) {
        fold_masked(g, f, p, axis, parts);
        return;
    }
    uint32_t width = f->lanes_reduce ? f->lanes : 1, block = width * f->unroll;
    LLVMValueRef unrolled = rounded_down(g, axis, block), full = rounded_down(g, axis, width);
    int64_t from = axis->turns < 0 ? 0 : axis->turns - axis->turns % block;
    if (f->unroll > 1 && may_run(axis, 0, block))
        turns(g, f, p, axis, gen_i64(g, 0), unrolled, width, f->unroll, parts, 0);
    if (f->unroll == 1) unrolled = gen_i64(g, 0), from = 0;
    if (axis->turns >= 0 && axis->turns - from == width)
        turn(g, f, p, axis, unrolled, width, 1, NULL, parts, 0);
    else if (may_run(axis, from, width))
        turns(g, f, p, axis, unrolled, full, width, 1, parts, 0);
    if (width == 1 || (axis->turns >= 0 && axis->turns % width == 0)) return;
    if (f->has_scalar) {
        turns(g, f, p, axis, full, axis->extent, 1, 1, parts, f->unroll);
        return;
    }
    LLVMValueRef rest = LLVMBuildSub(g->b, axis->extent, full, "");
    LLVMValueRef mask = gen_lane_mask(g, rest, width);
    if (axis->turns >= 0) {
        turn(g, f, p, axis, full, width, 1, mask, parts, 0);
        return;
    }
    Loop tail = loop_begin(g, full, axis->extent, gen_i64(g, width), "tail");
    carry_parts(g, f, &tail, parts);
    turn(g, f, p, axis, full, width, 1, mask, parts, 0);
    end_parts(g, f, &tail, parts);
}

static void fold_axes(Gen *g, const Folds *f, const Point *p, uint32_t number, Part *parts) {
    if (f->axes.len == 0) {
        Point point = point_copy(g, p);
        absorb(g, f, &point, parts, 0);
        return;
    }
    const Axis *axis = &f->axes.at[f->order[number]];
    if (number + 1 == f->axes.len) {
        fold_inner(g, f, p, axis, parts);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), axis->index->name);
    carry_parts(g, f, &loop, parts);
    Point inner = point_copy(g, p);
    point_set_axis(g, &inner, axis, loop.counter);
    fold_axes(g, f, &inner, number + 1, parts);
    end_parts(g, f, &loop, parts);
}

/* ---- the end of a reduction -------------------------------------------------------------------
 */

static LLVMValueRef half(Gen *g, LLVMValueRef v, uint32_t first, uint32_t n) {
    if (n == 1) return LLVMBuildExtractElement(g->b, v, gen_i32(g, first), "");
    LLVMValueRef lanes[64];
    for (uint32_t l = 0; l < n; l++) lanes[l] = gen_i32(g, first + l);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(lanes, n),
                                  "");
}

static Part fold_lanes(Gen *g, const Fold *f, uint32_t lanes, Part part) {
    for (uint32_t n = lanes / 2; n > 0; n /= 2) {
        Part low = {half(g, part.value, 0, n), NULL}, high = {half(g, part.value, n, n), NULL};
        if (f->is_arg) low.position = half(g, part.position, 0, n);
        if (f->is_arg) high.position = half(g, part.position, n, n);
        part = combine(g, f, low, high, false);
    }
    return part;
}

static Part fold_parts(Gen *g, const Folds *f, const Fold *fold, Part *parts) {
    for (uint32_t n = f->unroll / 2; n > 0; n /= 2)
        for (uint32_t i = 0; i < n; i++) parts[i] = combine(g, fold, parts[i], parts[i + n], false);
    Part result = f->lanes_reduce ? fold_lanes(g, fold, f->lanes, parts[0]) : parts[0];
    return f->has_scalar ? combine(g, fold, result, parts[f->unroll], false) : result;
}

static Part initial(Gen *g, const Folds *f, const Fold *fold, uint32_t lanes) {
    Part part = {gen_splat(g, LLVMConstReal(g->real, neutral(fold->op)), lanes), NULL};
    if (fold->is_arg) part.position = gen_splat(g, LLVMConstNull(f->position), lanes);
    return part;
}

/* ---- kernels ----------------------------------------------------------------------------------
 */

/* Several accumulators where the innermost loop is long and the bodies small. Parts are few, and
 * added up in their order, as in a contraction that does that itself (Kernel.part). */
static uint32_t unrolling(const Folds *f, uint32_t weight, uint32_t width) {
    if (f->kernel->parts_of) return 1;
    if (f->has_arg || f->axes.len == 0 || f->compact) return 1;
    uint32_t unroll = MAX_UNROLL;
    if (weight > 20) unroll = 2;
    if (weight > 50) unroll = 1;
    int64_t inner = f->axes.at[f->order[f->axes.len - 1]].turns;
    while (inner >= 0 && unroll > 1 && inner < 2 * (int64_t)(unroll * width)) unroll /= 2;
    while (unroll > 1 && (unroll + f->has_scalar) * f->nfolds > MAX_PARTS) unroll /= 2;
    return unroll;
}

/* Long bodies are made once, with a mask, instead of once for whole vectors and once for the rest.
 */
static bool is_compact(const Gen *g, const Folds *f, uint32_t weight) {
    if (!f->lanes_reduce || f->has_scalar || g->machine->vector_bytes < 64) return false;
    int64_t inner = f->axes.at[f->axes.vector].turns;
    bool has_rest = inner < 0 || (inner > f->lanes && inner % f->lanes != 0);
    return has_rest && weight > LINEAR_COMPACT_FROM;
}

static void order_loops(Gen *g, Folds *f) {
    uint32_t n = 0, len = f->axes.len, vector = f->axes.vector;
    f->order = ARENA_ARRAY(g->ctx->arena, uint32_t, len + 1);
    for (uint32_t i = 0; i < len; i++)
        if (i != vector) f->order[n++] = i;
    if (vector < len) f->order[n++] = vector;
    f->in_order = vector >= len || vector + 1 == len;
    f->lanes_reduce = vector < len;
}

static void choose_positions(Gen *g, Folds *f) {
    const Kernel *k = f->kernel;
    f->strides = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, k->nover + 1);
    LLVMValueRef stride = gen_i64(g, 1);
    double count = 1;
    for (uint32_t i = k->nover; i-- > 0;) {
        f->strides[i] = stride;
        stride = LLVMBuildMul(g->b, stride, gen_extent(g, k->over[i]), "");
        count *= k->over[i]->extent == EXTENT_BATCH ? INT32_MAX : (double)k->over[i]->extent;
    }
    f->position = count < INT32_MAX ? g->i32 : g->i64;
}

static void add_fold(Gen *g, Folds *f, Reduction r) {
    DLC_ASSERT(g->ctx, f->nfolds < MAX_FOLDS, f->kernel->span);
    const Expr *body = r.body->type == TY_INT ? ir_real(g->ctx, r.body) : r.body;
    bool is_arg = r.op == REDUCE_ARGMAX || r.op == REDUCE_ARGMIN;
    f->all[f->nfolds++] = (Fold){.op = r.op, .body = body, .acc = r.acc, .is_arg = is_arg};
    f->has_arg |= is_arg;
}

static void find_same(Folds *f) {
    for (uint32_t i = 0; i < f->nfolds; i++)
        for (uint32_t j = 0; j < f->nfolds; j++) {
            Fold *one = &f->all[i];
            const Fold *arg = &f->all[j];
            bool is_max = one->op == REDUCE_MAX && arg->op == REDUCE_ARGMAX;
            bool is_min = one->op == REDUCE_MIN && arg->op == REDUCE_ARGMIN;
            if ((is_max || is_min) && one->body == arg->body) one->same = arg;
        }
}

static void prepare(Gen *g, Folds *f, const Kernel *k) {
    f->kernel = k;
    add_fold(g, f, (Reduction){k->op, k->body, k->acc});
    for (uint32_t i = 0; i < k->nalso; i++) add_fold(g, f, k->also[i]);
    find_same(f);
    f->axes = linear_axes(g, k, k->over, k->nover);
    order_loops(g, f);
    if (f->lanes_reduce) {
        int64_t inner = f->axes.at[f->axes.vector].turns;
        f->lanes = inner >= 0 && inner < g->lanes ? gen_power_of_two(inner) : g->lanes;
        f->has_scalar = !gen_has_masks(g) && (inner < 0 || inner % f->lanes != 0);
        if (f->has_scalar && inner >= 0 && inner < g->lanes) f->lanes = 1, f->has_scalar = false;
        f->lanes_reduce = f->lanes > 1;
    }
    uint32_t weight = 0;
    for (uint32_t i = 0; i < f->nfolds; i++) weight += scalar_weight(g, f->all[i].body);
    f->compact = is_compact(g, f, weight);
    f->unroll = unrolling(f, weight, f->lanes_reduce ? f->lanes : 1);
    choose_positions(g, f);
}

static void know_result(Gen *g, const Folds *f, const Fold *fold, Point *p, Part result) {
    LLVMValueRef acc = result.value;
    if (fold->is_arg) {
        LLVMTypeRef type = g->i64;
        if (!f->lanes_reduce && p->lanes > 1) type = LLVMVectorType(type, p->lanes);
        acc = LLVMBuildIntCast2(g->b, result.position, type, true, "");
    }
    point_know(g, p, ir_read_at(g->ctx, (Tensor *)fold->acc, f->kernel->free), acc);
}

static void reduce_point(Gen *g, Point *p, void *data) {
    const Folds *f = data;
    uint32_t width = parts_of(f);
    Part parts[MAX_PARTS + 1], results[MAX_FOLDS];
    for (uint32_t i = 0; i < f->nfolds; i++)
        for (uint32_t u = 0; u < width; u++) {
            uint32_t lanes = u == f->unroll ? 1 : f->lanes_reduce ? f->lanes : p->lanes;
            parts[i * width + u] = initial(g, f, &f->all[i], lanes);
        }
    fold_axes(g, f, p, 0, parts);
    for (uint32_t i = 0; i < f->nfolds; i++)
        if (!f->all[i].same) results[i] = fold_parts(g, f, &f->all[i], &parts[i * width]);
    for (uint32_t i = 0; i < f->nfolds; i++) {
        const Fold *fold = &f->all[i];
        know_result(g, f, fold, p, fold->same ? results[fold->same - f->all] : results[i]);
    }
    kernel_stores(g, p, f->kernel);
}

void kernel_reduce(Gen *g, const Kernel *k) {
    Axes free_axes = linear_axes(g, k, k->free, k->nfree);
    Folds f = {0};
    prepare(g, &f, k);
    Point p = point_new(g, NULL, 1, NULL);
    loop_points(g, &p, &free_axes, reduce_point, &f);
}

/* result[.., row, ..] += body, at one point of the reduced and the other free indices. */
static void scatter_point(Gen *g, Point *p, void *data) {
    const Kernel *k = data;
    const Store *store = &k->stores[0];
    int64_t extent = store->tensor->dims[k->scatter_dim];
    Index *index = store->at[k->scatter_dim];
    uint32_t lanes = p->lanes;
    p->lanes = 1; /* the row is the same in all lanes */
    LLVMValueRef row = scalar_int(g, p, k->row), inside = NULL;
    p->lanes = lanes;
    if (!ir_inside(g->ctx, k->row, extent, NULL, 0)) {
        inside = LLVMBuildICmp(g->b, LLVMIntULT, row, gen_extent(g, index), "inside");
        row = LLVMBuildSelect(g->b, inside, row, gen_i64(g, 0), "");
    }
    point_set(g, p, index, row);
    LLVMValueRef value = scalar_real(g, p, k->body);
    if (inside) value = LLVMBuildSelect(g->b, inside, value, gen_real_like(g, value, 0), "");
    LLVMValueRef sum = scalar_real(g, p, ir_read_at(g->ctx, store->tensor, store->at));
    sum = LLVMBuildFAdd(g->b, sum, value, "");
    scalar_store(g, p, store->tensor, linear_subs(g, store), sum);
}

void kernel_scatter(Gen *g, const Kernel *k) {
    DLC_ASSERT(g->ctx, k->nstores == 1, k->span);
    const Store *store = &k->stores[0];
    DLC_ASSERT(g->ctx, store->value == ir_read_at(g->ctx, k->acc, k->free), k->span);
    Store zero_store = *store;
    zero_store.value = ir_number(g->ctx, 0);
    Kernel zero = *k;
    zero.kind = KERNEL_MAP;
    zero.body = zero.row = NULL;
    zero.stores = &zero_store;
    zero.vector = k->nfree ? k->free[k->nfree - 1] : NULL;
    kernel_map(g, &zero);

    Index *scattered = store->at[k->scatter_dim];
    Index **indices = ARENA_ARRAY(g->ctx->arena, Index *, k->nover + k->nfree + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nover; i++) indices[n++] = k->over[i];
    for (uint32_t i = 0; i < k->nfree; i++)
        if (k->free[i] != scattered) indices[n++] = k->free[i];
    Axes axes = linear_axes(g, k, indices, n);
    /* Two lanes may not add to one element: vectors run along a free index only. */
    if (axes.vector < axes.len && ir_uses_index(k->row, axes.at[axes.vector].index))
        axes.vector = axes.len;
    for (uint32_t i = 0; i < k->nover; i++)
        if (k->over[i] == k->vector) axes.vector = axes.len;
    Point p = point_new(g, NULL, 1, NULL);
    loop_points(g, &p, &axes, scatter_point, (void *)k);
}
