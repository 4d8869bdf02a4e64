/* codegen/nest.c: NEST kernels: loops around the kernels of a row, or of a block of rows.
 *
 * in:   steps that see the outer indices as numbers, all but a blocked one      out: the loops
 *
 * A block of rows keeps many independent rows in flight in each step, and their numbers in lanes.
 */
#include "codegen/emit.h"

typedef struct Nest {
    const Kernel *kernel;
    const Axis *rows; /* the axis that is gone through in blocks; NULL: there is none */
} Nest;

static void steps_of(Gen *g, const Kernel *k) {
    for (uint32_t i = 0; i < k->nsteps; i++) kernel_generate(g, k->steps[i]);
}

static LLVMValueRef lesser(Gen *g, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef is_less = LLVMBuildICmp(g->b, LLVMIntSLT, a, b, "");
    return LLVMBuildSelect(g->b, is_less, a, b, "");
}

static LLVMValueRef greater(Gen *g, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef is_greater = LLVMBuildICmp(g->b, LLVMIntSGT, a, b, "");
    return LLVMBuildSelect(g->b, is_greater, a, b, "");
}

/* The band of a step, for a block of rows; it begins at whole vectors. */
static Range *range_of_band(Gen *g, const Band *band, LLVMValueRef begin, LLVMValueRef count) {
    Range *range = ARENA_NEW(g->ctx->arena, Range);
    LLVMValueRef all = gen_extent(g, band->index), end = all;
    range->first = gen_i64(g, 0);
    if (band->low != INT64_MIN) {
        LLVMValueRef first = LLVMBuildAdd(g->b, begin, gen_i64(g, band->low), "");
        first = lesser(g, greater(g, first, range->first), all);
        range->first = LLVMBuildAnd(g->b, first, gen_i64(g, -(int64_t)g->lanes), "first");
    }
    if (band->high != INT64_MAX) {
        end = LLVMBuildAdd(g->b, LLVMBuildAdd(g->b, begin, count, ""), gen_i64(g, band->high), "");
        end = greater(g, lesser(g, end, all), range->first);
    }
    range->extent = LLVMBuildSub(g->b, end, range->first, "band");
    range->turns = -1;
    return range;
}

static void steps_of_block(Gen *g, const Kernel *k, LLVMValueRef begin, LLVMValueRef count) {
    for (uint32_t i = 0; i < k->nsteps; i++) {
        const Band *band = &k->steps[i]->band;
        g->inner = k->steps[i];
        if (band->index)
            map_set(g->ctx->arena, &g->ranges, band->index, range_of_band(g, band, begin, count));
        kernel_generate(g, k->steps[i]);
        if (band->index) map_set(g->ctx->arena, &g->ranges, band->index, NULL);
    }
    g->inner = NULL;
}

/* Tensors of which a block of rows is there are read and written as if all were, from where row 0
 * would be. Moves them by so many rows. */
static void move_blocks(Gen *g, const Kernel *k, LLVMValueRef rows) {
    for (uint32_t i = 0; i < k->nsteps; i++)
        for (uint32_t s = 0; s < k->steps[i]->nstores; s++) {
            const Tensor *tensor = k->steps[i]->stores[s].tensor;
            const Buffer *buffer = map_get(&g->function->buffer_of, tensor);
            if (!buffer || !buffer->rows) continue;
            int64_t *strides = ARENA_ARRAY(g->ctx->arena, int64_t, tensor->rank);
            plan_strides(g->function, tensor, strides);
            LLVMValueRef offset = LLVMBuildNSWMul(g->b, rows, gen_i64(g, -strides[0]), "");
            LLVMValueRef base = gen_base(g, tensor);
            base = gen_element_address(g, gen_element(g, tensor), base, offset);
            map_set(g->ctx->arena, &g->base, tensor, base);
        }
}

/* The steps for `count` rows from number `begin` on; turns: the count, where it is known. */
static void at_block(Gen *g, const Nest *nest, LLVMValueRef begin, LLVMValueRef count,
                     int64_t turns) {
    const Axis *rows = nest->rows;
    if (rows->first) begin = LLVMBuildNSWAdd(g->b, rows->first, begin, "");
    Range range = {begin, count, turns};
    move_blocks(g, nest->kernel, begin);
    map_set(g->ctx->arena, &g->ranges, rows->index, &range);
    steps_of_block(g, nest->kernel, begin, count);
    map_set(g->ctx->arena, &g->ranges, rows->index, NULL);
}

static void loop_blocks(Gen *g, const Nest *nest) {
    const Axis *rows = nest->rows;
    LLVMValueRef size = gen_i64(g, nest->kernel->block);
    if (rows->turns >= 0 && rows->turns <= nest->kernel->block) {
        at_block(g, nest, gen_i64(g, 0), rows->extent, rows->turns);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), rows->extent, size, "block");
    bool has_part = map_get(&g->ranges, rows->index) != NULL;
    int64_t turns = has_part ? rows->turns : rows->index->extent; /* or a multiple of it */
    if (turns >= 0 && turns % nest->kernel->block == 0) {
        at_block(g, nest, loop.counter, size, nest->kernel->block);
    } else {
        LLVMValueRef left = LLVMBuildSub(g->b, rows->extent, loop.counter, "");
        LLVMValueRef is_last = LLVMBuildICmp(g->b, LLVMIntSLT, left, size, "");
        at_block(g, nest, loop.counter, LLVMBuildSelect(g->b, is_last, left, size, ""), -1);
    }
    loop_end(g, &loop, NULL, NULL);
}

static void at_row(Gen *g, Point *p, void *data) {
    const Nest *nest = data;
    const Kernel *k = nest->kernel;
    for (uint32_t i = 0; i < k->nfree; i++) {
        LLVMValueRef value = map_get(&p->values, k->free[i]);
        if (!value) value = gen_i64(g, 0); /* of an axis that goes in blocks */
        map_set(g->ctx->arena, &g->enclosing, k->free[i], value);
    }
    if (nest->rows) {
        map_set(g->ctx->arena, &g->enclosing, nest->rows->index, NULL);
        loop_blocks(g, nest);
    } else {
        steps_of(g, k);
    }
    for (uint32_t i = 0; i < k->nfree; i++) map_set(g->ctx->arena, &g->enclosing, k->free[i], NULL);
}

void kernel_nest(Gen *g, const Kernel *k) {
    Axes axes = linear_axes(g, k, k->free, k->nfree);
    Nest nest = {.kernel = k};
    if (k->block) nest.rows = &axes.at[--axes.len];
    axes.vector = axes.len;
    Point p = point_new(g, NULL, 1, NULL);
    loop_points(g, &p, &axes, at_row, &nest);
}
