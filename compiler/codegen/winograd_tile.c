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
    LLVMValueRef half[WINOGRAD_PRODUCTS];
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

LLVMValueRef winograd_load(Gen *g, LLVMTypeRef element, LLVMValueRef address, LLVMValueRef mask) {
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, element, g->lanes)) : NULL;
    return gen_real(g, gen_load(g, element, address, g->lanes, mask, zero));
}

void winograd_step(const Winding *x, LLVMValueRef *sums, LLVMValueRef row, int64_t apart,
                   LLVMValueRef column) {
    Gen *g = x->g;
    uint32_t columns = x->w->columns;
    LLVMValueRef b[WINOGRAD_SUMS];
    for (uint32_t v = 0; v < columns; v++)
        b[v] =
            gen_load(g, x->unit, gen_ahead(g, x->unit, column, v * g->lanes), g->lanes, NULL, NULL);
    for (uint32_t r = 0; r < x->w->rows; r++) {
        LLVMValueRef at = gen_ahead(g, x->unit, row, r * apart);
        LLVMValueRef a = gen_splat(g, gen_load(g, x->unit, at, 1, NULL, NULL), g->lanes);
        for (uint32_t v = 0; v < columns; v++) {
            LLVMValueRef *sum = &sums[r * columns + v];
            *sum = x->w->pairs ? bfloat_dot(g, *sum, a, b[v]) : gen_fma(g, a, b[v], *sum);
        }
    }
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
    const Tensor *tensor = x->w->sliding->read.tensor;
    at = plus(g, at, gen_i64(g, offset));
    return gen_element_address(g, gen_element(g, tensor), gen_base(g, tensor), at);
}

void winograd_prefetch(const Winding *x, const Expr *operand, LLVMValueRef at, uint32_t high) {
    Gen *g = x->g;
    const Linear *linear = operand == x->w->sliding ? &x->sliding : &x->other;
    LLVMTypeRef element = gen_element(g, operand->read.tensor);
    int64_t down = winograd_coefficient(linear, x->w->places[0]);
    int64_t across = winograd_coefficient(linear, x->w->places[1]);
    for (uint32_t i = 0; i < x->w->tile * x->w->tile; i++) {
        int64_t row = high + i / x->w->tile, column = i % x->w->tile;
        LLVMValueRef line = gen_ahead(g, element, at, row * down + column * across);
        gen_prefetch(g, line, NEAREST_CACHE);
    }
}

/* ---- transforms of a block's tiles -------------------------------------------------------------
 */

LLVMValueRef winograd_pair(Gen *g, LLVMValueRef first, LLVMValueRef second, LLVMValueRef is_there) {
    LLVMValueRef pair = bfloat_pairs(g, bfloat_round(g, first), bfloat_round(g, second));
    return is_there ? LLVMBuildSelect(g->b, is_there, pair, bfloat_first(g, pair), "") : pair;
}

/* Writes what transforms gave, of one tile or of two: the products lie behind each other. */
static void keep(const Stage *s, LLVMValueRef at, LLVMValueRef (*values)[WINOGRAD_PRODUCTS],
                 LLVMValueRef is_there) {
    const Winding *x = s->x;
    Gen *g = x->g;
    bool in_channels = x->w->pairs && !x->w->is_gradient;
    LLVMTypeRef element = in_channels ? g->i16 : x->unit;
    int64_t apart = (in_channels ? x->w->together : x->w->together / x->per_unit) * s->lanes;
    LLVMValueRef to = gen_element_address(g, element, s->to, at);
    for (uint32_t i = 0; i < x->products; i++) {
        LLVMValueRef value = values[0][i];
        if (in_channels)
            value = bfloat_round(g, value);
        else if (x->w->pairs)
            value = winograd_pair(g, value, values[1][i], is_there);
        gen_store(g, gen_ahead(g, element, to, i * apart), value, NULL);
    }
}

void winograd_stage(const Stage *s, LLVMValueRef first, LLVMValueRef count) {
    const Winding *x = s->x;
    Gen *g = x->g;
    LLVMValueRef values[2][WINOGRAD_PRODUCTS], is_there = NULL;
    TileSource sources[2];
    uint32_t ntiles = x->w->is_gradient ? x->per_unit : 1;
    Loop tiles = loop_begin(g, gen_i64(g, 0), count, gen_i64(g, ntiles), "transform");
    for (uint32_t t = 0; t < ntiles; t++) {
        LLVMValueRef number = plus(g, tiles.counter, gen_i64(g, t));
        if (t == 1 && x->tiles[0] * x->tiles[1] % 2) {
            is_there = LLVMBuildICmp(g->b, LLVMIntSLT, number, count, "");
            number = LLVMBuildSelect(g->b, is_there, number, tiles.counter, "");
        }
        sources[t].tile = winograd_tile(x, plus(g, first, number));
        s->begin(s, &sources[t]);
    }
    LLVMValueRef channels = gen_i64(g, s->channels->extent);
    LLVMValueRef unit = LLVMBuildUDiv(g->b, tiles.counter, gen_i64(g, ntiles), "");
    Loop vectors = loop_begin(g, gen_i64(g, 0), channels, gen_i64(g, g->lanes), "channels");
    LLVMValueRef mask = winograd_mask(g, s->channels, vectors.counter);
    for (uint32_t t = 0; t < ntiles; t++)
        s->transform(s, &sources[t], vectors.counter, mask, values[t]);
    keep(s, plus(g, times(g, unit, s->lanes), vectors.counter), values, is_there);
    loop_end(g, &vectors, NULL, NULL);
    loop_end(g, &tiles, NULL, NULL);
}

static void begin_window(const Stage *s, TileSource *source) {
    source->base = window_base(s->x, &source->tile);
    for (uint32_t i = 0; i < s->x->window; i++) {
        source->rows[i] = window_offset(s->x, &source->tile, 0, i);
        source->columns[i] = window_offset(s->x, &source->tile, 1, i);
    }
}

static void transform_window(const Stage *s, const TileSource *source, LLVMValueRef channel,
                             LLVMValueRef mask, LLVMValueRef *out) {
    const Winding *x = s->x;
    Gen *g = x->g;
    LLVMValueRef in[WINOGRAD_PRODUCTS];
    LLVMTypeRef element = gen_element(g, x->w->sliding->read.tensor);
    LLVMValueRef from = gen_element_address(g, element, source->base, channel);
    winograd_prefetch(x, x->w->sliding, from, x->window);
    for (uint32_t i = 0; i < x->products; i++) {
        LLVMValueRef offset = plus(g, source->rows[i / x->window], source->columns[i % x->window]);
        in[i] = winograd_load(g, element, gen_element_address(g, element, from, offset), mask);
    }
    winograd_transform(g, &x->algorithm.window, in, out);
}

void winograd_windows(const Winding *x, LLVMValueRef first, LLVMValueRef count) {
    Stage s = {x, NULL, x->w->in, x->windows, x->in_lanes, begin_window, transform_window};
    winograd_stage(&s, first, count);
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
    x.unit = w->pairs ? g->i32 : g->real;
    x.per_unit = w->pairs ? 2 : 1;
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
