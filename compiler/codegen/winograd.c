/* codegen/winograd.c: a contraction with a window of 3 x 3 by Winograd's algorithm.
 *
 * in:   a CONTRACT kernel with Kernel.winograd      out: its loop nest at the builder's place
 *
 *     the filter of all channels, transformed (winograd_filter.c)
 *     blocks of tiles, of all examples one after the other:
 *         their windows, transformed                      [product][tile][in]
 *         vectors of out:
 *             products:  a matrix product, summed over in  [product][tile][out]
 *             results:   transformed, then the stores
 *
 * Tiles behind the last one of the last block have products of what lies there, which nobody reads.
 */
#include "codegen/winograd.h"

/* ---- products ----------------------------------------------------------------------------------
 */

/* One of the matrix products of a block, for the vectors of `out` whose filters these are. */
static void product(const Winding *x, LLVMValueRef window, LLVMValueRef filter, LLVMValueRef to) {
    Gen *g = x->g;
    LLVMValueRef sums[WINOGRAD_SUMS], out[WINOGRAD_SUMS];
    uint32_t n = x->w->rows * x->w->columns;
    DLC_ASSERT(g->ctx, n <= WINOGRAD_SUMS, x->k->span);
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, winograd_steps(x)), gen_i64(g, 1), "sum");
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, g->real, g->lanes));
    for (uint32_t i = 0; i < n; i++) sums[i] = loop_carry(g, &loop, zero);
    LLVMValueRef step = times(g, loop.counter, (int64_t)x->w->columns * g->lanes);
    winograd_step(x, sums, ahead(g, window, loop.counter), x->in_lanes / x->per_unit,
                  ahead(g, filter, step));
    loop_end(g, &loop, sums, out);
    for (uint32_t i = 0; i < n; i++)
        gen_store(g, gen_ahead(g, g->real, to, i * g->lanes), out[i], NULL);
}

enum { PRODUCTS_WINDOWS, PRODUCTS_FILTERS, PRODUCTS_TO, PRODUCTS_PARAMS };

/* All of them, one after the other. One function for all kernels with as many channels and rows. */
static LLVMValueRef products_function(const Winding *outer) {
    Gen inner = *outer->g, *g = &inner;
    Winding here = *outer, *x = &here;
    LLVMTypeRef types[PRODUCTS_PARAMS] = {g->ptr, g->ptr, g->ptr};
    int64_t width = (int64_t)x->w->columns * g->lanes, steps = winograd_steps(x);
    int64_t window = x->w->rows * x->in_lanes / x->per_unit;
    const char *name =
        arena_printf(g->ctx->arena, "products%u.%ux%lldx%lldx%lld%s%s", x->products, x->w->rows,
                     (long long)width, (long long)steps, (long long)window,
                     g->f64_real ? ".double" : "", x->w->pairs ? ".pairs" : "");
    x->g = g;
    if (gen_shared(g, name, g->void_, types, PRODUCTS_PARAMS)) return g->fn;
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, x->products), gen_i64(g, 1), "product");
    product(x, ahead(g, LLVMGetParam(g->fn, PRODUCTS_WINDOWS), times(g, loop.counter, window)),
            ahead(g, LLVMGetParam(g->fn, PRODUCTS_FILTERS), times(g, loop.counter, steps * width)),
            ahead(g, LLVMGetParam(g->fn, PRODUCTS_TO), times(g, loop.counter, x->w->rows * width)));
    loop_end(g, &loop, NULL, NULL);
    LLVMBuildRetVoid(g->b);
    LLVMDisposeBuilder(g->b);
    return g->fn;
}

/* Of the channels of `out` of this block of them. */
static void products(const Winding *x, LLVMValueRef block) {
    Gen *g = x->g;
    int64_t width = (int64_t)x->w->columns * g->lanes, steps = winograd_steps(x);
    LLVMValueRef fn = products_function(x);
    LLVMValueRef args[PRODUCTS_PARAMS] = {
        [PRODUCTS_WINDOWS] = x->windows,
        [PRODUCTS_FILTERS] = ahead(g, x->others, times(g, block, x->products * steps * width)),
        [PRODUCTS_TO] = x->sums};
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, PRODUCTS_PARAMS, "");
}

/* ---- results -----------------------------------------------------------------------------------
 */

/* The kernel's stores at a place of the tile, if it is one of the result's. */
static void store_place(const Winding *x, const Point *p, const Tile *tile, LLVMValueRef row,
                        LLVMValueRef column, LLVMValueRef value) {
    Gen *g = x->g;
    LLVMValueRef at[] = {plus(g, tile->places[0], row), plus(g, tile->places[1], column)};
    LLVMBasicBlockRef next = NULL;
    Point inner = point_copy(g, p);
    for (uint32_t d = 0; d < 2; d++) {
        point_set_axis(g, &inner, &x->places[d], at[d]);
        if (x->w->places[d]->extent % x->w->tile == 0) continue;
        LLVMBasicBlockRef inside = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "inside");
        if (!next) next = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
        LLVMValueRef extent = gen_i64(g, x->w->places[d]->extent);
        LLVMValueRef is_inside = LLVMBuildICmp(g->b, LLVMIntSLT, at[d], extent, "");
        LLVMBuildCondBr(g->b, is_inside, inside, next);
        LLVMPositionBuilderAtEnd(g->b, inside);
    }
    point_know(g, &inner, ir_read_at(g->ctx, x->k->acc, x->k->free), value);
    kernel_stores(g, &inner, x->k);
    if (!next) return;
    LLVMBuildBr(g->b, next);
    LLVMMoveBasicBlockAfter(next, LLVMGetInsertBlock(g->b));
    LLVMPositionBuilderAtEnd(g->b, next);
}

static void store_tile(const Winding *x, const Point *p, const Tile *tile, LLVMValueRef *values) {
    Gen *g = x->g;
    uint32_t size = x->w->tile;
    LLVMValueRef edge = gen_i64(g, size);
    for (uint32_t i = 0; i < size * size; i++) {
        if (x->spill)
            gen_store(g, gen_ahead(g, g->real, x->spill, i * g->lanes), values[i], NULL);
        else
            store_place(x, p, tile, gen_i64(g, i / size), gen_i64(g, i % size), values[i]);
    }
    if (!x->spill) return;
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, size * size), gen_i64(g, 1), "place");
    LLVMValueRef from = ahead(g, x->spill, times(g, loop.counter, g->lanes));
    store_place(x, p, tile, LLVMBuildUDiv(g->b, loop.counter, edge, ""),
                LLVMBuildURem(g->b, loop.counter, edge, ""),
                gen_load(g, g->real, from, g->lanes, NULL, NULL));
    loop_end(g, &loop, NULL, NULL);
}

/* Of the tiles of a block, for the vectors of `out` of this block of them. */
static void results(const Winding *x, const Point *outer, LLVMValueRef first, LLVMValueRef count,
                    LLVMValueRef block) {
    Gen *g = x->g;
    LLVMValueRef in[WINOGRAD_PRODUCTS], out[WINOGRAD_TILE * WINOGRAD_TILE];
    int64_t width = (int64_t)x->w->columns * g->lanes;
    LLVMValueRef lanes = gen_i64(g, g->lanes);
    Loop tiles = loop_begin(g, gen_i64(g, 0), count, gen_i64(g, 1), "tile");
    Tile tile = winograd_tile(x, plus(g, first, tiles.counter));
    Point p = point_copy(g, outer);
    point_set_axis(g, &p, &x->batch, tile.example);
    Loop vectors = loop_begin(g, gen_i64(g, 0), gen_i64(g, width), lanes, "vector");
    LLVMValueRef from = plus(g, times(g, tiles.counter, width), vectors.counter);
    from = ahead(g, x->sums, from);
    for (uint32_t i = 0; i < x->products; i++)
        in[i] = gen_load(g, g->real, gen_ahead(g, g->real, from, i * x->w->rows * width), g->lanes,
                         NULL, NULL);
    winograd_transform(g, &x->algorithm.result, in, out);
    LLVMValueRef channel = plus(g, times(g, block, width), vectors.counter);
    p.along = x->w->out;
    p.lanes = g->lanes;
    p.mask = winograd_mask(g, x->w->out, channel);
    point_set_axis(g, &p, &x->out, channel);
    store_tile(x, &p, &tile, out);
    loop_end(g, &vectors, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

/* Code for the stores of each place of a tile is large when they compute much. */
static void choose_stores(Winding *x) {
    Gen *g = x->g;
    uint32_t places = x->w->tile * x->w->tile;
    if (scalar_stores_weight(g, x->k) * places <= 150) return;
    x->spill = gen_local(g, places * g->lanes, "places");
}

static void block(const Winding *x, const Point *p, LLVMValueRef first, LLVMValueRef count) {
    Gen *g = x->g;
    winograd_windows(x, first, count);
    LLVMValueRef blocks = gen_i64(g, x->out_lanes / (x->w->columns * g->lanes));
    Loop outputs = loop_begin(g, gen_i64(g, 0), blocks, gen_i64(g, 1), "outputs");
    products(x, outputs.counter);
    results(x, p, first, count, outputs.counter);
    loop_end(g, &outputs, NULL, NULL);
}

void kernel_winograd(Gen *g, const Kernel *k) {
    Winding x = winograd_open(g, k);
    if (x.w->is_gradient) {
        winograd_gradient(&x);
        return;
    }
    Point p = point_new(g, NULL, 1, NULL);
    x.others = g->workspace;
    int64_t window = x.w->together * x.in_lanes / x.per_unit;
    x.windows = gen_ahead(g, g->real, x.others, x.products * x.out_lanes * winograd_steps(&x));
    x.sums = gen_ahead(g, g->real, x.windows, x.products * window);
    choose_stores(&x);
    winograd_filters(&x);
    winograd_blocks(&x, &p, block);
}
