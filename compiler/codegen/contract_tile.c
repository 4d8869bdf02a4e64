/* codegen/contract_tile.c: one register tile of a contraction: the sums, then the stores.
 *
 * in:   a tile: its first row and column, and their numbers      out: its elements, stored
 */
#include "codegen/contract.h"

/* What a tile carries through the loops over the summed indices: the addresses of its first
 * elements of a and b, and the accumulators [row][column]. */
typedef struct Tile {
    Contract *c;
    const Columns *columns;
    uint32_t rows;
    LLVMValueRef a, b;
    LLVMValueRef
        next; /* how far from b is what the tile fetches for the next columns; NULL: none */
    LLVMValueRef acc[CONTRACT_MAX_TILE];
} Tile;

static uint32_t tile_size(const Tile *t) {
    return t->rows * t->columns->count;
}

static LLVMValueRef ahead(const Tile *t, LLVMValueRef address, int64_t elements) {
    return gen_ahead(t->c->g, t->c->g->real, address, elements);
}

/* Where the elements of row r of a begin. */
static LLVMValueRef row_of_a(const Tile *t, uint32_t r) {
    return gen_ahead(t->c->g, t->c->a.unit, t->a, r * t->c->a.row);
}

/* ---- one step ----------------------------------------------------------------------------------
 */

/* The elements of vector v of the columns: spread, adjacent or gathered, as the stride has it. */
static LLVMValueRef column_vector(const Tile *t, const Operand *operand, LLVMValueRef address,
                                  uint32_t v) {
    Gen *g = t->c->g;
    LLVMTypeRef unit = operand->unit;
    int64_t stride = operand->column;
    uint32_t lanes = t->columns->lanes;
    LLVMValueRef mask = v + 1 == t->columns->count ? t->columns->mask : NULL;
    LLVMValueRef first = gen_ahead(t->c->g, unit, address, stride * v * lanes);
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, unit, lanes)) : NULL;
    if (stride == 0)
        return gen_splat(g, gen_real(g, gen_load(g, unit, first, 1, NULL, NULL)), lanes);
    if (stride == 1 || lanes == 1) return gen_real(g, gen_load(g, unit, first, lanes, mask, zero));
    LLVMValueRef distances = gen_iota(g, g->i64, lanes, stride);
    LLVMValueRef addresses = LLVMBuildGEP2(g->b, unit, first, &distances, 1, "");
    return gen_real(g, gen_gather(g, unit, addresses, lanes, mask, zero));
}

static void outer_step(Tile *t) {
    Contract *c = t->c;
    Gen *g = c->g;
    const Columns *columns = t->columns;
    LLVMValueRef b[CONTRACT_MAX_TILE];
    if (t->next) gen_prefetch(g, gen_element_address(g, c->b.unit, t->b, t->next), SECOND_CACHE);
    for (uint32_t v = 0; v < columns->count; v++)
        b[v] = columns->panel ? gen_load(g, g->real, ahead(t, t->b, v * columns->lanes),
                                         columns->lanes, NULL, NULL)
                              : column_vector(t, &c->b, t->b, v);
    for (uint32_t r = 0; r < t->rows; r++) {
        LLVMValueRef row = row_of_a(t, r), a = NULL;
        for (uint32_t v = 0; v < columns->count; v++) {
            if (!a || c->a.column) a = column_vector(t, &c->a, row, v);
            LLVMValueRef *acc = &t->acc[r * columns->count + v];
            *acc = gen_fma(g, a, b[v], *acc);
        }
    }
}

/* Two steps of the last sum, or the last one alone. */
static void pairs_step(Tile *t, bool alone) {
    Contract *c = t->c;
    Gen *g = c->g;
    const Columns *columns = t->columns;
    LLVMValueRef b[CONTRACT_MAX_TILE];
    for (uint32_t v = 0; v < columns->count; v++)
        b[v] = gen_load(g, g->i32, gen_ahead(t->c->g, g->i32, t->b, v * columns->lanes),
                        columns->lanes, NULL, NULL);
    for (uint32_t r = 0; r < t->rows; r++) {
        LLVMTypeRef unit = alone ? c->a.unit : g->i32;
        LLVMValueRef a = gen_load(g, unit, row_of_a(t, r), 1, NULL, NULL);
        if (c->a.unit == g->i16) LLVMSetAlignment(a, 2);
        if (alone) a = bfloat_first(g, LLVMBuildZExt(g->b, a, g->i32, ""));
        a = gen_splat(g, a, columns->lanes);
        for (uint32_t v = 0; v < columns->count; v++) {
            LLVMValueRef *acc = &t->acc[r * columns->count + v];
            *acc = bfloat_dot(g, *acc, a, b[v]);
        }
    }
}

/* `lanes` elements along the last sum, of which `valid` are there (0: all). */
static LLVMValueRef dot_vector(const Tile *t, LLVMTypeRef unit, LLVMValueRef address,
                               uint32_t lanes, LLVMValueRef mask) {
    Gen *g = t->c->g;
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, unit, t->c->lanes));
    if (lanes == t->c->lanes || mask)
        return gen_real(g, gen_load(g, unit, address, t->c->lanes, mask, mask ? zero : NULL));
    LLVMValueRef one = gen_load(g, unit, address, 1, NULL, NULL);
    return gen_real(g, LLVMBuildInsertElement(g->b, zero, one, gen_i32(g, 0), ""));
}

static void dot_step(Tile *t, uint32_t lanes, LLVMValueRef mask) {
    Contract *c = t->c;
    LLVMValueRef a[CONTRACT_MAX_TILE];
    for (uint32_t r = 0; r < t->rows; r++)
        a[r] = dot_vector(t, c->a.unit, row_of_a(t, r), lanes, mask);
    for (uint32_t v = 0; v < t->columns->count; v++) {
        LLVMValueRef column = gen_ahead(t->c->g, c->b.unit, t->b, v * c->b.column);
        LLVMValueRef b = dot_vector(t, c->b.unit, column, lanes, mask);
        for (uint32_t r = 0; r < t->rows; r++) {
            LLVMValueRef *acc = &t->acc[r * t->columns->count + v];
            *acc = gen_fma(c->g, a[r], b, *acc);
        }
    }
}

/* ---- the sums -----------------------------------------------------------------------------------
 */

/* A loop that carries the tile: its accumulators and its addresses, which move on by the strides.
 */
static Loop tile_loop_begin(Tile *t, LLVMValueRef begin, LLVMValueRef end, int64_t step,
                            const char *name) {
    Gen *g = t->c->g;
    Loop loop = loop_begin(g, begin, end, gen_i64(g, step), name);
    for (uint32_t i = 0; i < tile_size(t); i++) t->acc[i] = loop_carry(g, &loop, t->acc[i]);
    t->a = loop_carry(g, &loop, t->a);
    t->b = loop_carry(g, &loop, t->b);
    return loop;
}

static void tile_loop_end(Tile *t, Loop *loop, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef next[CONTRACT_MAX_TILE + 2], out[CONTRACT_MAX_TILE + 2];
    uint32_t n = tile_size(t);
    for (uint32_t i = 0; i < n; i++) next[i] = t->acc[i];
    next[n] = a;
    next[n + 1] = b;
    loop_end(t->c->g, loop, next, out);
    for (uint32_t i = 0; i < n; i++) t->acc[i] = out[i];
    t->a = out[n];
    t->b = out[n + 1];
}

static void sums(Tile *t, uint32_t number);

/* The body of one turn of sum `number`, by which the addresses then move on. A panel is read
 * straight through: there the inner sums have moved them already. */
static void sum_turn(Tile *t, uint32_t number) {
    Contract *c = t->c;
    const Axis *axis = &c->sums.at[number];
    bool is_last = number + 1 == c->sums.len;
    LLVMValueRef a = t->a, b = t->b;
    sums(t, number + 1);
    if (!c->a_panels)
        t->a = gen_ahead(t->c->g, c->a.unit, a, contract_stride(&c->a, axis));
    else if (is_last)
        t->a = ahead(t, a, c->rows);
    if (!t->columns->panel)
        t->b = gen_ahead(t->c->g, c->b.unit, b, contract_stride(&c->b, axis));
    else if (is_last)
        t->b = ahead(t, b, t->columns->count * t->columns->lanes);
}

static void sum_axis(Tile *t, uint32_t number) {
    enum { UNROLLED = 8 };
    Contract *c = t->c;
    Gen *g = c->g;
    const Axis *axis = &c->sums.at[number];
    bool is_last = number + 1 == c->sums.len;
    if (axis->turns == 1 || (is_last && axis->turns >= 0 && axis->turns <= UNROLLED)) {
        for (int64_t i = 0; i < axis->turns; i++) sum_turn(t, number);
        return;
    }
    Loop loop = tile_loop_begin(t, gen_i64(g, 0), axis->extent, 1, axis->index->name);
    sum_turn(t, number);
    tile_loop_end(t, &loop, t->a, t->b);
}

static void dot_loop(Tile *t, LLVMValueRef begin, LLVMValueRef end, uint32_t lanes) {
    Loop loop = tile_loop_begin(t, begin, end, lanes, "sum");
    dot_step(t, lanes, NULL);
    tile_loop_end(t, &loop, gen_ahead(t->c->g, t->c->a.unit, t->a, lanes),
                  gen_ahead(t->c->g, t->c->b.unit, t->b, lanes));
}

/* The last sum of the dot form: whole vectors, then what is left over. */
static void dot_axis(Tile *t) {
    Contract *c = t->c;
    Gen *g = c->g;
    const Axis *axis = &c->sums.at[c->sums.len - 1];
    LLVMValueRef lanes = gen_i64(g, c->lanes), begin = gen_i64(g, 0);
    LLVMValueRef rest = LLVMBuildURem(g->b, axis->extent, lanes, "");
    LLVMValueRef full = LLVMBuildSub(g->b, axis->extent, rest, "");
    if (axis->turns == (int64_t)c->lanes) {
        dot_step(t, c->lanes, NULL);
        return;
    }
    if (axis->turns < 0 || axis->turns > (int64_t)c->lanes) dot_loop(t, begin, full, c->lanes);
    if (axis->turns >= 0 && axis->turns % c->lanes == 0) return;
    if (!gen_has_masks(g)) {
        dot_loop(t, full, axis->extent, 1);
    } else if (axis->turns >= 0) {
        dot_step(t, 0, gen_lane_mask(g, rest, c->lanes));
    } else {
        Loop tail = tile_loop_begin(t, full, axis->extent, c->lanes, "tail");
        dot_step(t, 0, gen_lane_mask(g, rest, c->lanes));
        tile_loop_end(t, &tail, t->a, t->b);
    }
}

static void pairs_turn(Tile *t, int64_t stride, bool alone) {
    Gen *g = t->c->g;
    pairs_step(t, alone);
    t->a = gen_ahead(t->c->g, t->c->a.unit, t->a, 2 * stride);
    t->b = gen_ahead(t->c->g, g->i32, t->b, t->columns->count * t->columns->lanes);
}

/* The last sum in pairs, then what is left over. */
static void pairs_axis(Tile *t) {
    enum { UNROLLED = 4 };
    Contract *c = t->c;
    Gen *g = c->g;
    const Axis *axis = &c->sums.at[c->sums.len - 1];
    int64_t stride = contract_stride(&c->a, axis), turns = axis->turns;
    LLVMValueRef rest = LLVMBuildAnd(g->b, axis->extent, gen_i64(g, 1), "");
    if (turns >= 0 && turns / 2 <= UNROLLED) {
        for (int64_t i = 0; i < turns / 2; i++) pairs_turn(t, stride, false);
    } else {
        LLVMValueRef end = LLVMBuildSub(g->b, axis->extent, rest, "");
        Loop loop = tile_loop_begin(t, gen_i64(g, 0), end, 2, axis->index->name);
        pairs_turn(t, stride, false);
        tile_loop_end(t, &loop, t->a, t->b);
    }
    if (turns >= 0 && turns % 2 == 0) return;
    if (turns >= 0) {
        pairs_turn(t, stride, true);
        return;
    }
    Loop loop = tile_loop_begin(t, gen_i64(g, 0), rest, 1, "alone");
    pairs_turn(t, stride, true);
    tile_loop_end(t, &loop, t->a, t->b);
}

/* The sums from `number` on; t->a and t->b are left anywhere. */
static void sums(Tile *t, uint32_t number) {
    const Contract *c = t->c;
    if (number == c->sums.len)
        outer_step(t);
    else if (c->form == FORM_DOT && number + 1 == c->sums.len)
        dot_axis(t);
    else if (c->pairs && number + 1 == c->sums.len)
        pairs_axis(t);
    else
        sum_axis(t, number);
}

/* ---- adding up lanes ----------------------------------------------------------------------------
 */

/* In x and y segments of `size` lanes hold parts of one sum each: adds the halves of every segment
 * and puts those of y behind those of x. y NULL: the result has half the lanes. */
static LLVMValueRef fold(Gen *g, LLVMValueRef x, LLVMValueRef y, uint32_t lanes, uint32_t size) {
    LLVMValueRef low[CONTRACT_MAX_LANES], high[CONTRACT_MAX_LANES];
    uint32_t n = 0;
    for (uint32_t operand = 0; operand < (y ? 2u : 1u); operand++)
        for (uint32_t segment = 0; segment < lanes; segment += size)
            for (uint32_t l = 0; l < size / 2; l++, n++) {
                low[n] = gen_i32(g, operand * lanes + segment + l);
                high[n] = gen_i32(g, operand * lanes + segment + size / 2 + l);
            }
    if (!y) y = LLVMGetPoison(LLVMTypeOf(x));
    LLVMValueRef a = LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(low, n), "");
    LLVMValueRef b = LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(high, n), "");
    return LLVMBuildFAdd(g->b, a, b, "");
}

/* The sums over the lanes of n vectors, n a power of two <= lanes, as one vector of n lanes. */
static LLVMValueRef add_lanes(Gen *g, LLVMValueRef *v, uint32_t n, uint32_t lanes) {
    uint32_t count = n, size = lanes;
    for (; count > 1; count /= 2, size /= 2)
        for (uint32_t i = 0; i < count / 2; i++)
            v[i] = fold(g, v[2 * i], v[2 * i + 1], lanes, size);
    LLVMValueRef sum = v[0];
    for (; size > 1; size /= 2, lanes /= 2) sum = fold(g, sum, NULL, lanes, size);
    if (n > 1) return sum;
    if (LLVMGetTypeKind(LLVMTypeOf(sum)) != LLVMVectorTypeKind) return sum;
    return LLVMBuildExtractElement(g->b, sum, gen_i32(g, 0), "");
}

/* ---- stores -------------------------------------------------------------------------------------
 */

/* The finished elements of a row: vectors along the columns. */
typedef struct RowPart {
    uint32_t first, lanes; /* column from the tile's first one; lanes */
    LLVMValueRef mask;
} RowPart;

static void store_part(Tile *t, const Point *p, LLVMValueRef row, const RowPart *part,
                       LLVMValueRef value) {
    Contract *c = t->c;
    Gen *g = c->g;
    Point at = point_copy(g, p);
    at.along = part->lanes > 1 ? c->column->index : NULL;
    at.lanes = part->lanes;
    at.mask = part->mask;
    if (row) point_set_axis(g, &at, c->row, row);
    if (c->column) {
        LLVMValueRef column = LLVMBuildAdd(g->b, t->columns->at, gen_i64(g, part->first), "");
        point_set_axis(g, &at, c->column, column);
    }
    const Kernel *k = c->kernel;
    point_know(g, &at, ir_read_at(g->ctx, k->acc, k->free), value);
    kernel_stores(g, &at, k);
}

/* The parts of a row, and the values of row r. In the dot form a row is one part. */
static uint32_t row_parts(const Tile *t, RowPart *parts) {
    const Columns *columns = t->columns;
    Gen *g = t->c->g;
    if (t->c->form == FORM_DOT) {
        uint32_t lanes = gen_power_of_two(columns->count);
        bool all = lanes == columns->count;
        LLVMValueRef count = gen_i64(g, columns->count);
        parts[0] = (RowPart){0, lanes, all ? NULL : gen_lane_mask(g, count, lanes)};
        return 1;
    }
    for (uint32_t v = 0; v < columns->count; v++)
        parts[v] = (RowPart){v * columns->lanes, columns->lanes,
                             v + 1 == columns->count ? columns->mask : NULL};
    return columns->count;
}

/* From the accumulators of a row. */
static void row_values(const Tile *t, const LLVMValueRef *acc, LLVMValueRef *values) {
    uint32_t count = t->columns->count;
    for (uint32_t v = 0; v < count; v++) values[v] = acc[v];
    if (t->c->form != FORM_DOT) return;
    uint32_t n = gen_power_of_two(count);
    for (uint32_t v = count; v < n; v++) values[v] = LLVMConstNull(LLVMTypeOf(values[0]));
    values[0] = add_lanes(t->c->g, values, n, t->c->lanes);
}

static LLVMValueRef row_number(Gen *g, LLVMValueRef first, LLVMValueRef r) {
    return first ? LLVMBuildAdd(g->b, first, r, "") : NULL;
}

static uint32_t accumulator_lanes(const Contract *c, const Columns *columns) {
    return c->form == FORM_DOT ? c->lanes : columns->lanes;
}

/* The tile goes to memory, and one copy of the stores' code takes it from there row by row. */
static void spill(const Tile *t) {
    uint32_t lanes = accumulator_lanes(t->c, t->columns);
    for (uint32_t i = 0; i < tile_size(t); i++)
        gen_store(t->c->g, ahead(t, t->c->spill, i * lanes), t->acc[i], NULL);
}

static void stores_by_loop(Tile *t, const Point *p, LLVMValueRef row, LLVMValueRef rows) {
    Contract *c = t->c;
    Gen *g = c->g;
    RowPart parts[CONTRACT_MAX_TILE];
    LLVMValueRef acc[CONTRACT_MAX_TILE], values[CONTRACT_MAX_TILE];
    uint32_t nparts = row_parts(t, parts);
    uint32_t count = t->columns->count, lanes = accumulator_lanes(c, t->columns);
    Loop loop = loop_begin(g, gen_i64(g, 0), rows, gen_i64(g, 1), "stores");
    LLVMValueRef offset = LLVMBuildMul(g->b, loop.counter, gen_i64(g, count * lanes), "");
    LLVMValueRef line = gen_element_address(g, g->real, c->spill, offset);
    for (uint32_t v = 0; v < count; v++)
        acc[v] = gen_load(g, g->real, ahead(t, line, v * lanes), lanes, NULL, NULL);
    row_values(t, acc, values);
    for (uint32_t i = 0; i < nparts; i++)
        store_part(t, p, row_number(g, row, loop.counter), &parts[i], values[i]);
    loop_end(g, &loop, NULL, NULL);
}

static void stores(Tile *t, const Point *p, LLVMValueRef row) {
    Gen *g = t->c->g;
    if (t->c->by_loop && t->rows > 1) {
        spill(t);
        stores_by_loop(t, p, row, gen_i64(g, t->rows));
        return;
    }
    RowPart parts[CONTRACT_MAX_TILE];
    LLVMValueRef values[CONTRACT_MAX_TILE];
    uint32_t nparts = row_parts(t, parts);
    for (uint32_t r = 0; r < t->rows; r++) {
        row_values(t, &t->acc[r * t->columns->count], values);
        for (uint32_t i = 0; i < nparts; i++)
            store_part(t, p, row_number(g, row, gen_i64(g, r)), &parts[i], values[i]);
    }
}

/* ---- blocks of the sums -------------------------------------------------------------------------
 */

/* Of accumulator i. */
static LLVMValueRef partial_address(const Tile *t, LLVMValueRef partial, uint32_t i) {
    uint32_t r = i / t->columns->count, v = i % t->columns->count;
    return ahead(t, partial, r * contract_partial_width(t->c) + v * t->columns->lanes);
}

/* Adds a block to the sums so far, which lie in memory; behind the last one come the stores. A
 * block that is a part of the examples has a sum of its own, from zero, which is added as a whole.
 */
static void add_block(Tile *t, const Point *p, LLVMValueRef row) {
    Contract *c = t->c;
    Gen *g = c->g;
    LLVMValueRef partial = contract_partial(c, p, t->columns, row), zero = t->acc[0];
    bool is_part = c->kernel->part > 0;
    if (is_part) sums(t, 0);
    for (uint32_t i = 0; i < tile_size(t); i++) {
        LLVMValueRef address = partial_address(t, partial, i);
        LLVMValueRef so_far = gen_load(g, g->real, address, t->columns->lanes, NULL, NULL);
        so_far = LLVMBuildSelect(g->b, c->is_first, zero, so_far, "");
        t->acc[i] = is_part ? LLVMBuildFAdd(g->b, so_far, t->acc[i], "") : so_far;
    }
    if (!is_part) sums(t, 0);
    LLVMBasicBlockRef last = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "last");
    LLVMBasicBlockRef other = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "other");
    LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
    LLVMBuildCondBr(g->b, c->is_last, last, other);
    LLVMPositionBuilderAtEnd(g->b, other);
    for (uint32_t i = 0; i < tile_size(t); i++)
        gen_store(g, partial_address(t, partial, i), t->acc[i], NULL);
    LLVMBuildBr(g->b, next);
    LLVMPositionBuilderAtEnd(g->b, last);
    stores(t, p, row);
    LLVMBuildBr(g->b, next);
    LLVMMoveBasicBlockAfter(next, LLVMGetInsertBlock(g->b));
    LLVMPositionBuilderAtEnd(g->b, next);
}

/* Do steps of the sum lie so far apart in b that no prefetcher follows them, and would each tile of
 * columns find its own in the last cache at best? */
static bool fetches_ahead(const Contract *c, const Columns *columns, LLVMValueRef row) {
    enum { FAR = 2048 }; /* bytes: half a page */
    if (!row || columns->panel || columns->count < 2) return false;
    if (c->form != FORM_OUTER || c->b.column != 1 || c->sums.len != 1) return false;
    const Axis *sum = &c->sums.at[0];
    int64_t bytes = gen_element_bytes(c->b.unit), step = contract_stride(&c->b, sum) * bytes;
    int64_t all = contract_turns(c->g, sum) * contract_turns(c->g, c->column) * bytes;
    return step > FAR && all > (int64_t)c->g->machine->l2_bytes / 2;
}

/* The first tiles of rows fetch a vector of the next columns each; the others, again, what they
 * read. */
static LLVMValueRef next_columns(Gen *g, const Columns *columns, LLVMValueRef row, uint32_t rows) {
    LLVMValueRef tile = LLVMBuildUDiv(g->b, row, gen_i64(g, rows), "");
    LLVMValueRef is_first = LLVMBuildICmp(g->b, LLVMIntULT, tile, gen_i64(g, columns->count), "");
    LLVMValueRef at = LLVMBuildMul(g->b, tile, gen_i64(g, columns->lanes), "");
    at = LLVMBuildAdd(g->b, at, gen_i64(g, columns->count * columns->lanes), "");
    return LLVMBuildSelect(g->b, is_first, at, gen_i64(g, 0), "next");
}

/* A tile at its first element, whose sums are 0. */
static Tile begun(Contract *c, const Point *p, const Columns *columns, LLVMValueRef row,
                  uint32_t rows) {
    Gen *g = c->g;
    Tile t = {.c = c, .columns = columns, .rows = rows};
    DLC_ASSERT(g->ctx, tile_size(&t) <= CONTRACT_MAX_TILE, c->kernel->span);
    t.a = c->a_panels ? contract_row_in_panels(c, row) : contract_address(c, p, &c->a);
    t.b = columns->panel ? columns->panel : contract_address(c, p, &c->b);
    if (rows > 1 && fetches_ahead(c, columns, row)) t.next = next_columns(g, columns, row, rows);
    uint32_t lanes = accumulator_lanes(c, columns);
    for (uint32_t i = 0; i < tile_size(&t); i++)
        t.acc[i] = LLVMConstNull(gen_vector(g, g->real, lanes));
    return t;
}

void contract_tile(Contract *c, const Point *outer, const Columns *columns, LLVMValueRef row,
                   uint32_t rows) {
    Gen *g = c->g;
    Point p = point_copy(g, outer);
    if (row) point_set_axis(g, &p, c->row, row);
    Tile t = begun(c, &p, columns, row, rows);
    if (c->partial) {
        add_block(&t, &p, row);
        return;
    }
    sums(&t, 0);
    stores(&t, &p, row);
}

LLVMValueRef contract_largest_tile(Contract *c, const Point *outer, const Columns *columns,
                                   LLVMValueRef row, LLVMValueRef left, const uint32_t *sizes,
                                   uint32_t nsizes) {
    Gen *g = c->g;
    Point p = point_copy(g, outer);
    point_set_axis(g, &p, c->row, row);
    LLVMBasicBlockRef all = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "summed"), next = NULL;
    LLVMBasicBlockRef ends[CONTRACT_MAX_TILE];
    LLVMValueRef rows[CONTRACT_MAX_TILE];
    Tile t = {0};
    for (uint32_t i = 0; i < nsizes; i++) {
        rows[i] = gen_i64(g, sizes[i]);
        if (i + 1 < nsizes) {
            LLVMBasicBlockRef fits = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "fits");
            next = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
            LLVMValueRef enough = LLVMBuildICmp(g->b, LLVMIntSGE, left, rows[i], "");
            LLVMBuildCondBr(g->b, enough, fits, next);
            LLVMPositionBuilderAtEnd(g->b, fits);
        }
        t = begun(c, &p, columns, row, sizes[i]);
        sums(&t, 0);
        spill(&t);
        ends[i] = LLVMGetInsertBlock(g->b);
        LLVMBuildBr(g->b, all);
        if (i + 1 < nsizes) LLVMPositionBuilderAtEnd(g->b, next);
    }
    LLVMMoveBasicBlockAfter(all, LLVMGetInsertBlock(g->b));
    LLVMPositionBuilderAtEnd(g->b, all);
    LLVMValueRef size = LLVMBuildPhi(g->b, g->i64, "rows");
    LLVMAddIncoming(size, rows, ends, nsizes);
    stores_by_loop(&t, &p, row, size);
    return size;
}
