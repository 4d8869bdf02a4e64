/* codegen/winograd_tile.c: Winograd's algorithm: its matrices, tiles, and the windows of a block of
 * tiles.
 *
 * in:   a block of tiles      out: their windows, transformed, in the workspace
 */
#include "codegen/winograd.h"

/* ---- the transformations -----------------------------------------------------------------------
 */

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

void winograd_transform(Gen *g, const Matrix *m, LLVMValueRef *in, LLVMValueRef *out) {
    LLVMValueRef half[WINOGRAD_WINDOW * WINOGRAD_WINDOW];
    for (uint32_t c = 0; c < m->columns; c++)
        for (uint32_t r = 0; r < m->rows; r++)
            half[r * m->columns + c] =
                combined(g, m->at + r * m->columns, m->columns, in + c, m->columns);
    for (uint32_t r = 0; r < m->rows; r++)
        for (uint32_t s = 0; s < m->rows; s++)
            out[r * m->rows + s] =
                combined(g, m->at + s * m->columns, m->columns, half + r * m->columns, 1);
}

/* ---- channels ----------------------------------------------------------------------------------
 */

int64_t winograd_coefficient(const Linear *at, const Index *index) {
    for (uint32_t i = 0; i < at->terms.len; i++)
        if (at->terms.at[i].atom->kind == EX_INDEX && at->terms.at[i].atom->index == index)
            return at->terms.at[i].coefficient;
    return 0;
}

LLVMValueRef winograd_mask(Gen *g, const Index *channels, LLVMValueRef first) {
    if (channels->extent % g->lanes == 0) return NULL;
    LLVMValueRef left = LLVMBuildSub(g->b, gen_i64(g, channels->extent), first, "");
    return gen_lane_mask(g, left, g->lanes);
}

LLVMValueRef winograd_load(Gen *g, LLVMValueRef address, LLVMValueRef mask) {
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, g->real, g->lanes)) : NULL;
    return gen_load(g, g->real, address, g->lanes, mask, zero);
}

/* ---- tiles -------------------------------------------------------------------------------------
 */

Tile winograd_tile(const Winding *x, LLVMValueRef number) {
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
    int64_t stride = winograd_coefficient(&x->sliding, x->w->places[direction]);
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
    LLVMValueRef at = times(g, example, winograd_coefficient(&x->sliding, x->w->batch));
    int64_t offset = x->sliding.offset;
    for (uint32_t d = 0; d < 2; d++) {
        int64_t tap = winograd_coefficient(&x->sliding, x->w->taps[d]);
        at = plus(g, at,
                  times(g, tile->places[d], winograd_coefficient(&x->sliding, x->w->places[d])));
        if (tap < 0) offset += 2 * tap;
    }
    return ahead(g, gen_base(g, x->w->sliding->read.tensor), plus(g, at, gen_i64(g, offset)));
}

void winograd_prefetch(const Winding *x, const Linear *operand, LLVMValueRef at, uint32_t high) {
    Gen *g = x->g;
    int64_t down = winograd_coefficient(operand, x->w->places[0]);
    int64_t across = winograd_coefficient(operand, x->w->places[1]);
    for (uint32_t i = 0; i < x->w->tile * x->w->tile; i++) {
        int64_t row = high + i / x->w->tile, column = i % x->w->tile;
        LLVMValueRef line = gen_ahead(g, g->real, at, row * down + column * across);
        gen_prefetch(g, line, NEAREST_CACHE);
    }
}

void winograd_keep(const Winding *x, LLVMValueRef to, int64_t lanes, LLVMValueRef *values) {
    Gen *g = x->g;
    for (uint32_t i = 0; i < x->products; i++)
        gen_store(g, gen_ahead(g, g->real, to, i * x->w->together * lanes), values[i], NULL);
}

void winograd_windows(const Winding *x, LLVMValueRef first, LLVMValueRef count) {
    Gen *g = x->g;
    LLVMValueRef in[WINOGRAD_WINDOW * WINOGRAD_WINDOW], out[WINOGRAD_WINDOW * WINOGRAD_WINDOW];
    LLVMValueRef rows[WINOGRAD_WINDOW], columns[WINOGRAD_WINDOW];
    Loop tiles = loop_begin(g, gen_i64(g, 0), count, gen_i64(g, 1), "window");
    Tile tile = winograd_tile(x, plus(g, first, tiles.counter));
    LLVMValueRef base = window_base(x, &tile);
    for (uint32_t i = 0; i < x->window; i++) {
        rows[i] = window_offset(x, &tile, 0, i);
        columns[i] = window_offset(x, &tile, 1, i);
    }
    LLVMValueRef channels = gen_i64(g, x->w->in->extent);
    Loop vectors = loop_begin(g, gen_i64(g, 0), channels, gen_i64(g, g->lanes), "channels");
    LLVMValueRef mask = winograd_mask(g, x->w->in, vectors.counter);
    LLVMValueRef from = ahead(g, base, vectors.counter);
    winograd_prefetch(x, &x->sliding, from, x->window);
    for (uint32_t i = 0; i < x->products; i++) {
        LLVMValueRef offset = plus(g, rows[i / x->window], columns[i % x->window]);
        in[i] = winograd_load(g, ahead(g, from, offset), mask);
    }
    winograd_transform(g, &x->algorithm.window, in, out);
    LLVMValueRef at = plus(g, times(g, tiles.counter, x->in_lanes), vectors.counter);
    winograd_keep(x, ahead(g, x->windows, at), x->in_lanes, out);
    loop_end(g, &vectors, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static Axis axis_of(Gen *g, const Kernel *k, Index *index) {
    Axes axes = linear_axes(g, k, &index, 1);
    return axes.at[0];
}

static bool is_free(const Kernel *k, const Index *index) {
    for (uint32_t i = 0; i < k->nfree; i++)
        if (k->free[i] == index) return true;
    return false;
}

Winding winograd_open(Gen *g, const Kernel *k) {
    const Winograd *w = &k->winograd;
    const Expr *sliding = w->sliding, *other = w->other;
    int64_t lanes = g->lanes;
    Winding x = {.g = g, .k = k, .w = w, .algorithm = algorithm_of(w->tile)};
    x.sliding = linear_address(g, sliding->read.tensor, sliding->read.subs);
    x.other = linear_address(g, other->read.tensor, other->read.subs);
    x.batch = axis_of(g, k, w->batch);
    x.out = axis_of(g, k, w->out);
    if (is_free(k, w->in)) x.in = axis_of(g, k, w->in);
    x.window = w->tile + 2;
    x.products = x.window * x.window;
    x.in_lanes = (w->in->extent + lanes - 1) / lanes * lanes;
    x.out_lanes = (w->out->extent + lanes - 1) / lanes * lanes;
    for (uint32_t d = 0; d < 2; d++) {
        x.tiles[d] = (w->places[d]->extent + w->tile - 1) / w->tile;
        if (is_free(k, w->places[d])) x.places[d] = axis_of(g, k, w->places[d]);
        if (is_free(k, w->taps[d])) x.taps[d] = axis_of(g, k, w->taps[d]);
    }
    return x;
}

void winograd_blocks(const Winding *x, const Point *p, WinogradBlock *body) {
    Gen *g = x->g;
    LLVMValueRef all = times(g, x->batch.extent, x->tiles[0] * x->tiles[1]);
    LLVMValueRef most = gen_i64(g, x->w->together);
    Loop tiles = loop_begin(g, gen_i64(g, 0), all, most, "tiles");
    LLVMValueRef count = LLVMBuildSub(g->b, all, tiles.counter, "");
    LLVMValueRef is_less = LLVMBuildICmp(g->b, LLVMIntSLT, count, most, "");
    body(x, p, tiles.counter, LLVMBuildSelect(g->b, is_less, count, most, ""));
    loop_end(g, &tiles, NULL, NULL);
}
