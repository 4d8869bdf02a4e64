/* codegen/map.c: MAP kernels, and the loops over points that all kernels share.
 *
 * in:   a kernel      out: its loop nest, vectorised along kernel->vector
 * Invariant: at each point all values are computed before one is stored, so that a kernel may
 * write where it reads, at the same point.
 */
#include "codegen/emit.h"

enum { MOST_ASKED = 8 }; /* turns that are code of their own */

/* ---- points --------------------------------------------------------------------------------- */

void point_set_axis(Gen *g, Point *p, const Axis *axis, LLVMValueRef value) {
    if (axis->first) value = LLVMBuildNSWAdd(g->b, axis->first, value, "");
    for (uint32_t i = 0; i < axis->nmerged; i++)
        point_set(g, p, axis->merged[i], axis->merged[i] == axis->index ? value : gen_i64(g, 0));
}

typedef struct Nest {
    const Axes *axes;
    PointBody *body;
    void *data;
} Nest;

static void at_vector(Gen *g, const Point *outer, const Nest *nest, LLVMValueRef counter,
                      uint32_t lanes, LLVMValueRef mask) {
    Point p = point_copy(g, outer);
    const Axis *axis = &nest->axes->at[nest->axes->vector];
    p.along = lanes > 1 ? axis->index : NULL;
    p.lanes = lanes;
    p.mask = lanes > 1 ? mask : NULL;
    point_set_axis(g, &p, axis, counter);
    nest->body(g, &p, nest->data);
}

static void loop_vectors(Gen *g, const Point *p, const Nest *nest, LLVMValueRef begin,
                         LLVMValueRef end, uint32_t lanes) {
    Loop loop = loop_begin(g, begin, end, gen_i64(g, lanes), lanes > 1 ? "vector" : "scalar");
    at_vector(g, p, nest, loop.counter, lanes, NULL);
    loop_end(g, &loop, NULL, NULL);
}

static void masked_vectors(Gen *g, const Point *p, const Nest *nest, LLVMValueRef begin,
                           LLVMValueRef extent, const char *name) {
    Loop loop = loop_begin(g, begin, extent, gen_i64(g, g->lanes), name);
    LLVMValueRef rest = LLVMBuildSub(g->b, extent, loop.counter, "");
    at_vector(g, p, nest, loop.counter, g->lanes, gen_lane_mask(g, rest, g->lanes));
    loop_end(g, &loop, NULL, NULL);
}

static void known_turns(Gen *g, const Point *p, const Nest *nest, int64_t turns) {
    int64_t full = turns - turns % g->lanes, rest = turns - full;
    LLVMValueRef begin = gen_i64(g, full);
    if (full && rest && nest->axes->compact) {
        masked_vectors(g, p, nest, gen_i64(g, 0), gen_i64(g, turns), "masked");
        return;
    }
    if (full == g->lanes)
        at_vector(g, p, nest, gen_i64(g, 0), g->lanes, NULL);
    else if (full)
        loop_vectors(g, p, nest, gen_i64(g, 0), begin, g->lanes);
    if (!rest) return;
    uint32_t lanes = gen_power_of_two(rest);
    if (lanes != rest && !gen_has_masks(g)) {
        loop_vectors(g, p, nest, begin, gen_i64(g, turns), 1);
        return;
    }
    LLVMValueRef mask = lanes == rest ? NULL : gen_lane_mask(g, gen_i64(g, rest), lanes);
    at_vector(g, p, nest, begin, lanes, mask);
}

static void unknown_turns(Gen *g, const Point *p, const Nest *nest, LLVMValueRef extent) {
    if (nest->axes->compact) {
        masked_vectors(g, p, nest, gen_i64(g, 0), extent, "masked");
        return;
    }
    LLVMValueRef full = LLVMBuildAnd(g->b, extent, gen_i64(g, -(int64_t)g->lanes), "");
    loop_vectors(g, p, nest, gen_i64(g, 0), full, g->lanes);
    if (!gen_has_masks(g)) {
        loop_vectors(g, p, nest, full, extent, 1);
        return;
    }
    masked_vectors(g, p, nest, full, extent, "tail");
}

static void loop_axes(Gen *g, const Point *p, const Nest *nest, uint32_t number);

/* Where values differ by the index (the gates of a recurrence), code for each of its few values
 * computes only the one that is wanted. */
static void turn_by_turn(Gen *g, const Point *p, const Nest *nest, uint32_t number) {
    const Axis *axis = &nest->axes->at[number];
    for (int64_t turn = 0; turn < axis->turns; turn++) {
        Point inner = point_copy(g, p);
        point_set_axis(g, &inner, axis, gen_i64(g, turn));
        loop_axes(g, &inner, nest, number + 1);
    }
}

static void loop_axes(Gen *g, const Point *p, const Nest *nest, uint32_t number) {
    const Axes *axes = nest->axes;
    if (number == axes->vector) {
        loop_axes(g, p, nest, number + 1);
        return;
    }
    if (number >= axes->len) {
        Point point = point_copy(g, p);
        if (axes->vector >= axes->len)
            nest->body(g, &point, nest->data);
        else if (axes->at[axes->vector].turns < 0)
            unknown_turns(g, p, nest, axes->at[axes->vector].extent);
        else
            known_turns(g, p, nest, axes->at[axes->vector].turns);
        return;
    }
    const Axis *axis = &axes->at[number];
    Point inner = point_copy(g, p);
    if (axis->turns == 1) {
        point_set_axis(g, &inner, axis, gen_i64(g, 0));
        loop_axes(g, &inner, nest, number + 1);
        return;
    }
    if (axis->is_asked && axis->turns > 0 && axis->turns <= MOST_ASKED) {
        turn_by_turn(g, p, nest, number);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), axis->index->name);
    point_set_axis(g, &inner, axis, loop.counter);
    loop_axes(g, &inner, nest, number + 1);
    loop_end(g, &loop, NULL, NULL);
}

void loop_points(Gen *g, const Point *p, const Axes *axes, PointBody *body, void *data) {
    Nest nest = {.axes = axes, .body = body, .data = data};
    loop_axes(g, p, &nest, 0);
}

/* ---- stores --------------------------------------------------------------------------------- */

void kernel_stores(Gen *g, Point *p, const Kernel *k) {
    LLVMValueRef *values = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, k->nstores + 1);
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Store *store = &k->stores[i];
        values[i] = store->tensor->classes ? scalar_int(g, p, store->value)
                                           : scalar_real(g, p, store->value);
        point_know(g, p, ir_read_at(g->ctx, store->tensor, store->at), values[i]);
    }
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Store *store = &k->stores[i];
        if (!map_has(&g->base, store->tensor)) continue; /* only later stores want it */
        scalar_store(g, p, store->tensor, linear_subs(g, store), values[i]);
    }
}

static void map_point(Gen *g, Point *p, void *data) {
    kernel_stores(g, p, data);
}

void kernel_map(Gen *g, const Kernel *k) {
    Axes axes = linear_axes(g, k, k->free, k->nfree);
    Point p = point_new(g, NULL, 1, NULL);
    loop_points(g, &p, &axes, map_point, (void *)k);
}
