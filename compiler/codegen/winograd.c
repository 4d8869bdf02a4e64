/* codegen/winograd.c: a contraction with a window of 3 x 3 by Winograd's algorithm.
 *
 * in:   a CONTRACT kernel with Kernel.winograd      out: its loop nest at the builder's place
 *
 *     the filter of all channels, transformed
 *     blocks of tiles, of all examples one after the other:
 *         their windows, transformed                      [product][tile][in]
 *         vectors of out:
 *             products:  a matrix product, summed over in  [product][tile][out]
 *             results:   transformed, then the stores
 *
 * With D, G, R the matrices of the algorithm, a tile of the result is R^T ((G g G^T) * (D^T d D)) R
 * for the window d and the filter g. A tile that reaches over the edge of the result reads its last
 * rows and columns again: what these go into is not stored. So are the tiles behind the last one of
 * the last block: their products are made of what lies there. Each element of the result is made in
 * the same way whatever block and part its tile is in.
 */
#include "codegen/emit.h"

enum { MOST_WINDOW = 6, MOST_TILE = 4, MOST_SUMS = 28 };

/* ---- the transformations -----------------------------------------------------------------------
 */

typedef struct Matrix {
    uint32_t rows, columns;
    const double *at;
} Matrix;

typedef struct Algorithm {
    Matrix window, filter, result; /* D^T, G, R^T */
} Algorithm;

static const double window2[] = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
static const double filter2[] = {1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1};
static const double result2[] = {1, 1, 1, 0, 0, 1, -1, -1};
static const double window4[] = {4, 0,  -5, 0, 1, 0, 0, -4, -4, 1,  1, 0, 0, 4, -4, -1, 1, 0,
                                 0, -2, -1, 2, 1, 0, 0, 2,  -1, -2, 1, 0, 0, 4, 0,  -5, 0, 1};
static const double filter4[] = {1 / 4.,  0,        0,       -1 / 6., -1 / 6., -1 / 6.,
                                 -1 / 6., 1 / 6.,   -1 / 6., 1 / 24., 1 / 12., 1 / 6.,
                                 1 / 24., -1 / 12., 1 / 6.,  0,       0,       1};
static const double result4[] = {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0,
                                 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1};

static Algorithm algorithm_of(uint32_t tile) {
    if (tile == 2) return (Algorithm){{4, 4, window2}, {4, 3, filter2}, {2, 4, result2}};
    return (Algorithm){{6, 6, window4}, {6, 3, filter4}, {4, 6, result4}};
}

/* The sum of row[c] * in[c * stride]. */
static LLVMValueRef combined(Gen *g, const double *row, uint32_t n, LLVMValueRef *in,
                             uint32_t stride) {
    uint32_t first = 0;
    while (first < n && row[first] != 1) first++;
    for (uint32_t c = 0; first == n && c < n; c++)
        if (row[c] != 0) first = c;
    LLVMValueRef sum = in[first * stride];
    if (row[first] != 1) sum = LLVMBuildFMul(g->b, sum, gen_real_like(g, sum, row[first]), "");
    for (uint32_t c = 0; c < n; c++) {
        LLVMValueRef term = in[c * stride];
        if (c == first || row[c] == 0) continue;
        if (row[c] == 1)
            sum = LLVMBuildFAdd(g->b, sum, term, "");
        else if (row[c] == -1)
            sum = LLVMBuildFSub(g->b, sum, term, "");
        else
            sum = gen_fma(g, term, gen_real_like(g, term, row[c]), sum);
    }
    return sum;
}

/* out = m in m^T, both row by row. */
static void transform(Gen *g, const Matrix *m, LLVMValueRef *in, LLVMValueRef *out) {
    LLVMValueRef half[MOST_WINDOW * MOST_WINDOW];
    for (uint32_t c = 0; c < m->columns; c++)
        for (uint32_t r = 0; r < m->rows; r++)
            half[r * m->columns + c] =
                combined(g, m->at + r * m->columns, m->columns, in + c, m->columns);
    for (uint32_t r = 0; r < m->rows; r++)
        for (uint32_t s = 0; s < m->rows; s++)
            out[r * m->rows + s] =
                combined(g, m->at + s * m->columns, m->columns, half + r * m->columns, 1);
}

/* ---- what the generator knows ------------------------------------------------------------------
 */

typedef struct Winding {
    Gen *g;
    const Kernel *k;
    const Winograd *w;
    Algorithm algorithm;
    Linear sliding, filter;
    Axis batch, places[2], out;
    uint32_t window, products;   /* in one direction; in both */
    int64_t in_lanes, out_lanes; /* channels, up to whole vectors */
    int64_t tiles[2];
    LLVMValueRef filters, windows, sums; /* in the workspace */
    LLVMValueRef spill;                  /* results of a tile, where stores are done in a loop */
} Winding;

static int64_t coefficient(const Linear *at, const Index *index) {
    for (uint32_t i = 0; i < at->terms.len; i++)
        if (at->terms.at[i].atom->kind == EX_INDEX && at->terms.at[i].atom->index == index)
            return at->terms.at[i].coefficient;
    return 0;
}

static LLVMValueRef times(Gen *g, LLVMValueRef a, int64_t factor) {
    return LLVMBuildMul(g->b, a, gen_i64(g, factor), "");
}

static LLVMValueRef plus(Gen *g, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(g->b, a, b, "");
}

static LLVMValueRef ahead(Gen *g, LLVMValueRef base, LLVMValueRef elements) {
    return gen_element_address(g, g->real, base, elements);
}

/* Of the vector that begins at a channel: the lanes that are there. NULL: all. */
static LLVMValueRef mask_of(Gen *g, const Index *channels, LLVMValueRef first) {
    if (channels->extent % g->lanes == 0) return NULL;
    LLVMValueRef left = LLVMBuildSub(g->b, gen_i64(g, channels->extent), first, "");
    return gen_lane_mask(g, left, g->lanes);
}

static LLVMValueRef masked_load(Gen *g, LLVMTypeRef unit, LLVMValueRef address, LLVMValueRef mask) {
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, unit, g->lanes)) : NULL;
    return gen_load(g, unit, address, g->lanes, mask, zero);
}

/* ---- the filter --------------------------------------------------------------------------------
 */

/* Taps in the order in which what slides lies: backwards where they run backwards. */
static int64_t tap_offset(const Winding *x, uint32_t direction, uint32_t tap) {
    bool is_back = coefficient(&x->sliding, x->w->taps[direction]) < 0;
    return coefficient(&x->filter, x->w->taps[direction]) * (is_back ? 2 - tap : tap);
}

/* [vectors of out, a block together][product][in][lanes of the block] */
static LLVMValueRef filter_place(const Winding *x, LLVMValueRef vector, LLVMValueRef in,
                                 uint32_t product) {
    Gen *g = x->g;
    int64_t width = (int64_t)x->w->columns * g->lanes, channels = x->w->in->extent;
    LLVMValueRef block = LLVMBuildUDiv(g->b, vector, gen_i64(g, x->w->columns), "");
    LLVMValueRef number = LLVMBuildURem(g->b, vector, gen_i64(g, x->w->columns), "");
    LLVMValueRef at = times(g, block, x->products * channels * width);
    at = plus(g, at, gen_i64(g, product * channels * width));
    at = plus(g, at, times(g, in, width));
    return ahead(g, x->filters, plus(g, at, times(g, number, g->lanes)));
}

static void filter_vector(const Winding *x, LLVMValueRef vector, LLVMValueRef in) {
    Gen *g = x->g;
    LLVMValueRef taps[9], out[MOST_WINDOW * MOST_WINDOW];
    LLVMValueRef first = times(g, vector, g->lanes), mask = mask_of(g, x->w->out, first);
    int64_t stride = coefficient(&x->filter, x->w->out);
    LLVMValueRef at =
        plus(g, times(g, first, stride), times(g, in, coefficient(&x->filter, x->w->in)));
    LLVMValueRef base = ahead(g, gen_base(g, x->w->filter->read.tensor), at);
    LLVMValueRef apart = gen_iota(g, g->i64, g->lanes, stride);
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, g->real, g->lanes)) : NULL;
    for (uint32_t i = 0; i < 9; i++) {
        int64_t offset = tap_offset(x, 0, i / 3) + tap_offset(x, 1, i % 3) + x->filter.offset;
        LLVMValueRef tap = gen_ahead(g, g->real, base, offset);
        LLVMValueRef places = LLVMBuildGEP2(g->b, g->real, tap, &apart, 1, "");
        taps[i] = stride == 1 ? masked_load(g, g->real, tap, mask)
                              : gen_gather(g, g->real, places, g->lanes, mask, zero);
    }
    transform(g, &x->algorithm.filter, taps, out);
    for (uint32_t i = 0; i < x->products; i++)
        gen_store(g, filter_place(x, vector, in, i), out[i], NULL);
}

static void filters(const Winding *x) {
    Gen *g = x->g;
    LLVMValueRef vectors = gen_i64(g, x->out_lanes / g->lanes), one = gen_i64(g, 1);
    Loop vector = loop_begin(g, gen_i64(g, 0), vectors, one, "filters");
    Loop in = loop_begin(g, gen_i64(g, 0), gen_i64(g, x->w->in->extent), one, "filter");
    filter_vector(x, vector.counter, in.counter);
    loop_end(g, &in, NULL, NULL);
    loop_end(g, &vector, NULL, NULL);
}

/* ---- tiles -------------------------------------------------------------------------------------
 */

/* The example of a tile, from where the part begins, and its first place. */
typedef struct Tile {
    LLVMValueRef example, places[2];
} Tile;

static Tile tile_at(const Winding *x, LLVMValueRef number) {
    Gen *g = x->g;
    LLVMValueRef all = gen_i64(g, x->tiles[0] * x->tiles[1]), across = gen_i64(g, x->tiles[1]);
    LLVMValueRef here = LLVMBuildURem(g->b, number, all, "");
    return (Tile){LLVMBuildUDiv(g->b, number, all, ""),
                  {times(g, LLVMBuildUDiv(g->b, here, across, ""), x->w->tile),
                   times(g, LLVMBuildURem(g->b, here, across, ""), x->w->tile)}};
}

/* Of row (column) `number` of the window, from the first one: no further than the last one that
 * any place of the result needs. */
static LLVMValueRef window_offset(const Winding *x, const Tile *tile, uint32_t direction,
                                  uint32_t number) {
    Gen *g = x->g;
    int64_t stride = coefficient(&x->sliding, x->w->places[direction]);
    int64_t extent = x->w->places[direction]->extent;
    LLVMValueRef at = gen_i64(g, number);
    if (extent % x->w->tile && number > 2) {
        LLVMValueRef last = LLVMBuildSub(g->b, gen_i64(g, extent + 1), tile->places[direction], "");
        LLVMValueRef is_behind = LLVMBuildICmp(g->b, LLVMIntSGT, at, last, "");
        at = LLVMBuildSelect(g->b, is_behind, last, at, "");
    }
    return times(g, at, stride);
}

/* The first element of the window, of the first channel. */
static LLVMValueRef window_base(const Winding *x, const Tile *tile) {
    Gen *g = x->g;
    LLVMValueRef example = tile->example;
    if (x->batch.first) example = plus(g, example, x->batch.first);
    LLVMValueRef at = times(g, example, coefficient(&x->sliding, x->w->batch));
    int64_t offset = x->sliding.offset;
    for (uint32_t d = 0; d < 2; d++) {
        int64_t tap = coefficient(&x->sliding, x->w->taps[d]);
        at = plus(g, at, times(g, tile->places[d], coefficient(&x->sliding, x->w->places[d])));
        if (tap < 0) offset += 2 * tap;
    }
    return ahead(g, gen_base(g, x->w->sliding->read.tensor), plus(g, at, gen_i64(g, offset)));
}

/* The windows of a block: of tiles first .. first + count - 1. */
static void windows(const Winding *x, LLVMValueRef first, LLVMValueRef count) {
    Gen *g = x->g;
    LLVMValueRef in[MOST_WINDOW * MOST_WINDOW], out[MOST_WINDOW * MOST_WINDOW];
    LLVMValueRef rows[MOST_WINDOW], columns[MOST_WINDOW];
    Loop tiles = loop_begin(g, gen_i64(g, 0), count, gen_i64(g, 1), "window");
    Tile tile = tile_at(x, plus(g, first, tiles.counter));
    LLVMValueRef base = window_base(x, &tile);
    for (uint32_t i = 0; i < x->window; i++) {
        rows[i] = window_offset(x, &tile, 0, i);
        columns[i] = window_offset(x, &tile, 1, i);
    }
    LLVMValueRef channels = gen_i64(g, x->w->in->extent);
    Loop vectors = loop_begin(g, gen_i64(g, 0), channels, gen_i64(g, g->lanes), "channels");
    LLVMValueRef mask = mask_of(g, x->w->in, vectors.counter);
    LLVMValueRef from = ahead(g, base, vectors.counter);
    for (uint32_t i = 0; i < x->products; i++) {
        LLVMValueRef offset = plus(g, rows[i / x->window], columns[i % x->window]);
        in[i] = masked_load(g, g->real, ahead(g, from, offset), mask);
    }
    transform(g, &x->algorithm.window, in, out);
    LLVMValueRef to = plus(g, times(g, tiles.counter, x->in_lanes), vectors.counter);
    to = ahead(g, x->windows, to);
    for (uint32_t i = 0; i < x->products; i++)
        gen_store(g, gen_ahead(g, g->real, to, i * x->w->rows * x->in_lanes), out[i], NULL);
    loop_end(g, &vectors, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}

/* ---- products ----------------------------------------------------------------------------------
 */

/* One step of the sum over the channels: at `window` and `filter`. */
static void product_step(const Winding *x, LLVMValueRef *sums, LLVMValueRef window,
                         LLVMValueRef filter) {
    Gen *g = x->g;
    LLVMValueRef b[MOST_SUMS];
    for (uint32_t v = 0; v < x->w->columns; v++)
        b[v] =
            gen_load(g, g->real, gen_ahead(g, g->real, filter, v * g->lanes), g->lanes, NULL, NULL);
    for (uint32_t r = 0; r < x->w->rows; r++) {
        LLVMValueRef at = gen_ahead(g, g->real, window, r * x->in_lanes);
        LLVMValueRef a = gen_splat(g, gen_load(g, g->real, at, 1, NULL, NULL), g->lanes);
        for (uint32_t v = 0; v < x->w->columns; v++) {
            LLVMValueRef *sum = &sums[r * x->w->columns + v];
            *sum = gen_fma(g, a, b[v], *sum);
        }
    }
}

/* One of the matrix products of a block, for the vectors of `out` whose filters these are. */
static void product(const Winding *x, LLVMValueRef window, LLVMValueRef filter, LLVMValueRef to) {
    Gen *g = x->g;
    LLVMValueRef sums[MOST_SUMS], out[MOST_SUMS];
    uint32_t n = x->w->rows * x->w->columns;
    DLC_ASSERT(g->ctx, n <= MOST_SUMS, x->k->span);
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, x->w->in->extent), gen_i64(g, 1), "sum");
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, g->real, g->lanes));
    for (uint32_t i = 0; i < n; i++) sums[i] = loop_carry(g, &loop, zero);
    LLVMValueRef step = times(g, loop.counter, (int64_t)x->w->columns * g->lanes);
    product_step(x, sums, ahead(g, window, loop.counter), ahead(g, filter, step));
    loop_end(g, &loop, sums, out);
    for (uint32_t i = 0; i < n; i++)
        gen_store(g, gen_ahead(g, g->real, to, i * g->lanes), out[i], NULL);
}

/* All of them, one after the other. */
static void products(const Winding *x, LLVMValueRef block) {
    Gen *g = x->g;
    int64_t width = (int64_t)x->w->columns * g->lanes, in = x->w->in->extent;
    LLVMValueRef first = ahead(g, x->filters, times(g, block, x->products * in * width));
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, x->products), gen_i64(g, 1), "product");
    product(x, ahead(g, x->windows, times(g, loop.counter, x->w->rows * x->in_lanes)),
            ahead(g, first, times(g, loop.counter, in * width)),
            ahead(g, x->sums, times(g, loop.counter, x->w->rows * width)));
    loop_end(g, &loop, NULL, NULL);
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
    LLVMValueRef in[MOST_WINDOW * MOST_WINDOW], out[MOST_TILE * MOST_TILE];
    int64_t width = (int64_t)x->w->columns * g->lanes;
    LLVMValueRef lanes = gen_i64(g, g->lanes);
    Loop tiles = loop_begin(g, gen_i64(g, 0), count, gen_i64(g, 1), "tile");
    Tile tile = tile_at(x, plus(g, first, tiles.counter));
    Point p = point_copy(g, outer);
    point_set_axis(g, &p, &x->batch, tile.example);
    Loop vectors = loop_begin(g, gen_i64(g, 0), gen_i64(g, width), lanes, "vector");
    LLVMValueRef from = plus(g, times(g, tiles.counter, width), vectors.counter);
    from = ahead(g, x->sums, from);
    for (uint32_t i = 0; i < x->products; i++)
        in[i] = gen_load(g, g->real, gen_ahead(g, g->real, from, i * x->w->rows * width), g->lanes,
                         NULL, NULL);
    transform(g, &x->algorithm.result, in, out);
    LLVMValueRef channel = plus(g, times(g, block, width), vectors.counter);
    p.along = x->w->out;
    p.lanes = g->lanes;
    p.mask = mask_of(g, x->w->out, channel);
    point_set_axis(g, &p, &x->out, channel);
    store_tile(x, &p, &tile, out);
    loop_end(g, &vectors, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static Axis axis_of(Gen *g, const Kernel *k, Index *index) {
    Axes axes = linear_axes(g, k, &index, 1);
    return axes.at[0];
}

/* Code for the stores of each place of a tile is large when they compute much. */
static void choose_stores(Winding *x) {
    Gen *g = x->g;
    uint32_t places = x->w->tile * x->w->tile;
    if (scalar_stores_weight(g, x->k) * places <= 150) return;
    x->spill = gen_local(g, places * g->lanes, "places");
}

static Winding winding_of(Gen *g, const Kernel *k) {
    const Winograd *w = &k->winograd;
    const Expr *sliding = w->sliding, *filter = w->filter;
    int64_t lanes = g->lanes;
    Winding x = {.g = g, .k = k, .w = w, .algorithm = algorithm_of(w->tile)};
    x.sliding = linear_address(g, sliding->read.tensor, sliding->read.subs);
    x.filter = linear_address(g, filter->read.tensor, filter->read.subs);
    x.batch = axis_of(g, k, w->batch);
    x.out = axis_of(g, k, w->out);
    x.window = w->tile + 2;
    x.products = x.window * x.window;
    x.in_lanes = (w->in->extent + lanes - 1) / lanes * lanes;
    x.out_lanes = (w->out->extent + lanes - 1) / lanes * lanes;
    for (uint32_t d = 0; d < 2; d++) {
        x.places[d] = axis_of(g, k, w->places[d]);
        x.tiles[d] = (w->places[d]->extent + w->tile - 1) / w->tile;
    }
    x.filters = g->workspace;
    x.windows = gen_ahead(g, g->real, x.filters, x.products * x.out_lanes * w->in->extent);
    x.sums = gen_ahead(g, g->real, x.windows, x.products * w->rows * x.in_lanes);
    choose_stores(&x);
    return x;
}

void kernel_winograd(Gen *g, const Kernel *k) {
    Winding x = winding_of(g, k);
    Point p = point_new(g, NULL, 1, NULL);
    LLVMValueRef all = times(g, x.batch.extent, x.tiles[0] * x.tiles[1]);
    LLVMValueRef most = gen_i64(g, x.w->rows);
    filters(&x);
    Loop tiles = loop_begin(g, gen_i64(g, 0), all, most, "tiles");
    LLVMValueRef count = LLVMBuildSub(g->b, all, tiles.counter, "");
    LLVMValueRef is_less = LLVMBuildICmp(g->b, LLVMIntSLT, count, most, "");
    count = LLVMBuildSelect(g->b, is_less, count, most, "");
    windows(&x, tiles.counter, count);
    LLVMValueRef blocks = gen_i64(g, x.out_lanes / (x.w->columns * g->lanes));
    Loop block = loop_begin(g, gen_i64(g, 0), blocks, gen_i64(g, 1), "outputs");
    products(&x, block.counter);
    results(&x, &p, tiles.counter, count, block.counter);
    loop_end(g, &block, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}
