/* codegen/winograd_gradient.c: the gradient of a filter of 3 x 3 by Winograd's algorithm.
 *
 * in:   a CONTRACT kernel with Kernel.winograd, is_gradient      out: its loop nest
 *
 *     sums of nothing                                     [product][row][column]
 *     blocks of tiles, of all examples one after the other:
 *         windows of what slides, transformed             [product][tile, or two][in]
 *         the other operand's tiles, transformed          [product][tile, or two][out]
 *         sums: matrix products, summed over the tiles, added
 *     results: the sums transformed, then the stores
 *
 * Columns are the channels that run along the vector, `in` or `out`, rows the others.
 */
#include "codegen/contract.h"
#include "codegen/winograd.h"

typedef struct Gradient {
    Winding x;
    const Index *row, *column;             /* channels */
    LLVMValueRef rows, columns;            /* of the two transformed operands, where they lie */
    int64_t row_lanes, column_lanes, tall; /* room of these in a tile; rows, to whole tiles */
    Matrix spread, gather;                 /* R and G^T */
    bool is_adjacent; /* the taps of a vector of columns are written together */
} Gradient;

static Matrix turned(Gen *g, const Matrix *m) {
    double *at = ARENA_ARRAY(g->ctx->arena, double, m->rows * m->columns);
    for (uint32_t r = 0; r < m->rows; r++)
        for (uint32_t c = 0; c < m->columns; c++) at[c * m->rows + r] = m->at[r * m->columns + c];
    return (Matrix){m->columns, m->rows, at};
}

/* ---- the other operand -------------------------------------------------------------------------
 */

/* The place's element of the tile: zero where there is none. */
static LLVMValueRef load_place(const Winding *x, const Tile *tile, LLVMValueRef base,
                               LLVMValueRef mask, uint32_t row, uint32_t column) {
    Gen *g = x->g;
    uint32_t steps[] = {row, column};
    LLVMValueRef offset = gen_i64(g, 0), is_there = NULL;
    for (uint32_t d = 0; d < 2; d++) {
        int64_t extent = x->w->places[d]->extent;
        LLVMValueRef step = gen_i64(g, steps[d]);
        if (extent % x->w->tile && steps[d]) {
            LLVMValueRef at = plus(g, tile->places[d], step);
            LLVMValueRef in = LLVMBuildICmp(g->b, LLVMIntSLT, at, gen_i64(g, extent), "");
            step = LLVMBuildSelect(g->b, in, step, gen_i64(g, 0), "");
            is_there = is_there ? LLVMBuildAnd(g->b, is_there, in, "") : in;
        }
        offset = plus(g, offset, times(g, step, winograd_coefficient(&x->other, x->w->places[d])));
    }
    LLVMTypeRef element = gen_element(g, x->w->other->read.tensor);
    LLVMValueRef value =
        winograd_load(g, element, gen_element_address(g, element, base, offset), mask);
    if (!is_there) return value;
    return LLVMBuildSelect(g->b, is_there, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

static void begin_other(const Stage *s, TileSource *source) {
    const Winding *x = s->x;
    Gen *g = x->g;
    const Tensor *tensor = x->w->other->read.tensor;
    LLVMValueRef example = source->tile.example;
    if (x->batch.first) example = plus(g, example, x->batch.first);
    LLVMValueRef at = times(g, example, winograd_coefficient(&x->other, x->w->batch));
    for (uint32_t d = 0; d < 2; d++) {
        int64_t stride = winograd_coefficient(&x->other, x->w->places[d]);
        at = plus(g, at, times(g, source->tile.places[d], stride));
    }
    at = plus(g, at, gen_i64(g, x->other.offset));
    source->base = gen_element_address(g, gen_element(g, tensor), gen_base(g, tensor), at);
}

static void transform_other(const Stage *s, const TileSource *source, LLVMValueRef channel,
                            LLVMValueRef mask, LLVMValueRef *out) {
    const Winding *x = s->x;
    const Matrix *spread = s->data;
    Gen *g = x->g;
    LLVMValueRef in[WINOGRAD_TILE * WINOGRAD_TILE];
    uint32_t size = x->w->tile;
    LLVMTypeRef element = gen_element(g, x->w->other->read.tensor);
    LLVMValueRef from = gen_element_address(g, element, source->base, channel);
    winograd_prefetch(x, x->w->other, from, size);
    for (uint32_t i = 0; i < size * size; i++)
        in[i] = load_place(x, &source->tile, from, mask, i / size, i % size);
    winograd_transform(g, spread, in, out);
}

/* ---- sums --------------------------------------------------------------------------------------
 */

static int64_t width_of(const Gradient *r) {
    return (int64_t)r->x.w->columns * r->x.g->lanes;
}

/* Adds tiles, one or two in each of `steps`, to a register tile of sums. */
static void add_tiles(const Gradient *r, LLVMValueRef steps, LLVMValueRef row, LLVMValueRef column,
                      LLVMValueRef to) {
    const Winograd *w = r->x.w;
    Gen *g = r->x.g;
    LLVMValueRef sums[WINOGRAD_SUMS], out[WINOGRAD_SUMS];
    uint32_t n = w->rows * w->columns;
    DLC_ASSERT(g->ctx, n <= WINOGRAD_SUMS, r->x.k->span);
    for (uint32_t i = 0; i < n; i++)
        sums[i] = winograd_load(g, g->real, gen_ahead(g, g->real, to, i * g->lanes), NULL);
    Loop loop = loop_begin(g, gen_i64(g, 0), steps, gen_i64(g, 1), "sum");
    for (uint32_t i = 0; i < n; i++) sums[i] = loop_carry(g, &loop, sums[i]);
    LLVMValueRef a = ahead(g, row, times(g, loop.counter, r->row_lanes));
    LLVMValueRef b = ahead(g, column, times(g, loop.counter, r->column_lanes));
    winograd_step(&r->x, sums, a, 1, b);
    loop_end(g, &loop, sums, out);
    for (uint32_t i = 0; i < n; i++)
        gen_store(g, gen_ahead(g, g->real, to, i * g->lanes), out[i], NULL);
}

/* [product][block of columns][row][columns of the block] */
static void add_block(const Gradient *r, LLVMValueRef count) {
    const Winding *x = &r->x;
    Gen *g = x->g;
    int64_t width = width_of(r), together = x->w->together / x->per_unit;
    LLVMValueRef zero = gen_i64(g, 0), one = gen_i64(g, 1);
    LLVMValueRef steps = plus(g, count, gen_i64(g, x->per_unit - 1));
    steps = LLVMBuildUDiv(g->b, steps, gen_i64(g, x->per_unit), "");
    Loop product = loop_begin(g, zero, gen_i64(g, x->products), one, "product");
    LLVMValueRef rows = ahead(g, r->rows, times(g, product.counter, together * r->row_lanes));
    LLVMValueRef columns =
        ahead(g, r->columns, times(g, product.counter, together * r->column_lanes));
    LLVMValueRef sums = ahead(g, x->sums, times(g, product.counter, r->tall * r->column_lanes));
    Loop column = loop_begin(g, zero, gen_i64(g, r->column_lanes), gen_i64(g, width), "column");
    Loop row = loop_begin(g, zero, gen_i64(g, r->tall), gen_i64(g, x->w->rows), "row");
    LLVMValueRef to = plus(g, times(g, column.counter, r->tall), times(g, row.counter, width));
    add_tiles(r, steps, ahead(g, rows, row.counter), ahead(g, columns, column.counter),
              ahead(g, sums, to));
    loop_end(g, &row, NULL, NULL);
    loop_end(g, &column, NULL, NULL);
    loop_end(g, &product, NULL, NULL);
}

static void clear(const Gradient *r) {
    Gen *g = r->x.g;
    LLVMValueRef all = gen_i64(g, r->x.products * r->tall * r->column_lanes);
    Loop loop = loop_begin(g, gen_i64(g, 0), all, gen_i64(g, g->lanes), "clear");
    gen_store(g, ahead(g, r->x.sums, loop.counter), LLVMConstNull(gen_vector(g, g->real, g->lanes)),
              NULL);
    loop_end(g, &loop, NULL, NULL);
}

/* ---- results -----------------------------------------------------------------------------------
 */

/* Do the kernel's stores write nothing but the sums, and the taps of neighbouring columns one
 * behind the other? */
static bool taps_are_adjacent(const Gradient *r) {
    const Kernel *k = r->x.k;
    Gen *g = r->x.g;
    const Store *store = &k->stores[0];
    Linear at = linear_address(g, store->tensor, linear_subs(g, store));
    return k->nstores == 1 && store->value == ir_read_at(g->ctx, k->acc, k->free) &&
           gen_element(g, store->tensor) == g->real && g->lanes > 9 &&
           r->column->extent % g->lanes == 0 && winograd_coefficient(&at, r->column) == 9 &&
           winograd_coefficient(&at, r->x.w->taps[0]) == 3 &&
           winograd_coefficient(&at, r->x.w->taps[1]) == 1;
}

/* A vector for each column, the taps and then anything: what is behind the taps is written again by
 * the next column. */
static void store_adjacent(const Gradient *r, const Point *p, LLVMValueRef *values) {
    const Winding *x = &r->x;
    Gen *g = x->g;
    const Store *store = &x->k->stores[0];
    LLVMValueRef columns[CONTRACT_MAX_LANES];
    Point first = point_copy(g, p);
    for (uint32_t d = 0; d < 2; d++) point_set_axis(g, &first, &x->taps[d], gen_i64(g, 0));
    for (uint32_t i = 0; i < g->lanes; i++)
        columns[i] = i < 9 ? values[i] : LLVMConstNull(LLVMTypeOf(values[0]));
    contract_transpose(g, columns, g->lanes);
    int64_t stride;
    LLVMValueRef to = scalar_address(g, &first, store->tensor, linear_subs(g, store), &stride);
    LLVMValueRef taps = gen_lane_mask(g, gen_i64(g, 9), g->lanes);
    for (uint32_t i = 0; i < g->lanes; i++)
        gen_store(g, gen_ahead(g, g->real, to, 9 * (int64_t)i), columns[i],
                  i + 1 == g->lanes ? taps : NULL);
}

static void store_taps(const Gradient *r, const Point *p, LLVMValueRef *values) {
    const Winding *x = &r->x;
    Gen *g = x->g;
    for (uint32_t i = 0; i < 9; i++)
        gen_store(g, gen_ahead(g, g->real, x->spill, i * g->lanes), values[i], NULL);
    LLVMValueRef three = gen_i64(g, 3);
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, 9), gen_i64(g, 1), "tap");
    Point inner = point_copy(g, p);
    point_set_axis(g, &inner, &x->taps[0], LLVMBuildUDiv(g->b, loop.counter, three, ""));
    point_set_axis(g, &inner, &x->taps[1], LLVMBuildURem(g->b, loop.counter, three, ""));
    LLVMValueRef from = ahead(g, x->spill, times(g, loop.counter, g->lanes));
    point_know(g, &inner, ir_read_at(g->ctx, x->k->acc, x->k->free),
               winograd_load(g, g->real, from, NULL));
    kernel_stores(g, &inner, x->k);
    loop_end(g, &loop, NULL, NULL);
}

static void results(const Gradient *r, const Point *outer) {
    const Winding *x = &r->x;
    Gen *g = x->g;
    LLVMValueRef in[WINOGRAD_PRODUCTS], out[9];
    int64_t width = width_of(r);
    const Axis *rows = r->row == x->w->in ? &x->in : &x->out;
    const Axis *columns = r->row == x->w->in ? &x->out : &x->in;
    LLVMValueRef zero = gen_i64(g, 0), block = gen_i64(g, width);
    Loop row = loop_begin(g, zero, gen_i64(g, r->row->extent), gen_i64(g, 1), "row");
    LLVMValueRef all = gen_i64(g, r->column->extent), lanes = gen_i64(g, g->lanes);
    Loop column = loop_begin(g, zero, all, lanes, "column");
    LLVMValueRef within = LLVMBuildURem(g->b, column.counter, block, "");
    LLVMValueRef begin = LLVMBuildSub(g->b, column.counter, within, "");
    LLVMValueRef at = plus(g, times(g, begin, r->tall), times(g, row.counter, width));
    LLVMValueRef from = ahead(g, x->sums, plus(g, at, within));
    for (uint32_t i = 0; i < x->products; i++)
        in[i] = winograd_load(g, g->real,
                              gen_ahead(g, g->real, from, i * r->tall * r->column_lanes), NULL);
    winograd_transform(g, &r->gather, in, out);
    Point p = point_copy(g, outer);
    p.along = x->k->vector;
    p.lanes = g->lanes;
    p.mask = winograd_mask(g, r->column, column.counter);
    point_set_axis(g, &p, rows, row.counter);
    point_set_axis(g, &p, columns, column.counter);
    if (r->is_adjacent)
        store_adjacent(r, &p, out);
    else
        store_taps(r, &p, out);
    loop_end(g, &column, NULL, NULL);
    loop_end(g, &row, NULL, NULL);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static void block(const Winding *x, const Point *p, LLVMValueRef first, LLVMValueRef count) {
    const Gradient *r = (const Gradient *)x; /* its first member */
    Stage others = {x,           &r->spread,     x->w->out, x->others, x->out_lanes,
                    begin_other, transform_other};
    winograd_windows(x, first, count);
    winograd_stage(&others, first, count);
    add_block(r, count);
}

void winograd_gradient(const Winding *opened) {
    Gradient r = {.x = *opened};
    Winding *x = &r.x;
    Gen *g = x->g;
    const Winograd *w = x->w;
    bool by_in = x->k->vector == w->in;
    r.row = by_in ? w->out : w->in;
    r.column = x->k->vector;
    r.tall = (r.row->extent + w->rows - 1) / w->rows * w->rows;
    int64_t *row_lanes = by_in ? &x->out_lanes : &x->in_lanes;
    if (*row_lanes < r.tall) *row_lanes = r.tall;
    r.row_lanes = *row_lanes;
    r.column_lanes = by_in ? x->in_lanes : x->out_lanes;
    r.spread = turned(g, &x->algorithm.result);
    r.gather = turned(g, &x->algorithm.filter);
    x->sums = g->workspace;
    x->windows = gen_ahead(g, g->real, x->sums, x->products * r.tall * r.column_lanes);
    int64_t window = w->together / x->per_unit * x->in_lanes;
    x->others = gen_ahead(g, g->real, x->windows, x->products * window);
    r.rows = by_in ? x->others : x->windows;
    r.columns = by_in ? x->windows : x->others;
    r.is_adjacent = taps_are_adjacent(&r);
    if (!r.is_adjacent) x->spill = gen_local(g, 9 * g->lanes, "taps");
    Point p = point_new(g, NULL, 1, NULL);
    clear(&r);
    winograd_blocks(x, &p, block);
    results(&r, &p);
}
