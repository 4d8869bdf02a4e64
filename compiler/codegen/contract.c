/* codegen/contract.c: contractions as register-tiled loop nests: the choice of form and tile, and
 * the loops around the tiles.
 *
 * in:   a CONTRACT kernel with Roles      out: its loop nest at the builder's place
 *
 * A tile of rows x columns accumulators stays in registers while the summed indices run. Per step
 * it reads `rows` elements of a, broadcast into the multiply-adds, and `columns` vectors of b: the
 * arithmetic units are busy as long as the loads, 10 for 16 multiply-adds with 8 rows and 2
 * vectors, keep pace. Reading b again for each tile of rows costs 8 bytes a cycle of the
 * second-level cache, a fourth of what it gives.
 *
 * When b is not adjacent along the columns but both operands are along a summed index (x w^T),
 * either the sum runs along the lanes, and the accumulators' lanes are added up at the end (dot
 * form: pays with long sums), or a panel of b is transposed first (packed form: pays with many
 * rows).
 */
#include "codegen/contract.h"

#include <stdlib.h>

enum { PAIR_BYTES = 4 }; /* of two bf16 */

/* ---- operands ------------------------------------------------------------------------------ */

static int64_t coefficient(const Linear *at, const Index *index) {
    for (uint32_t i = 0; i < at->terms.len; i++)
        if (at->terms.at[i].atom->kind == EX_INDEX && at->terms.at[i].atom->index == index)
            return at->terms.at[i].coefficient;
    return 0;
}

int64_t contract_stride(const Operand *operand, const Axis *axis) {
    return axis ? coefficient(&operand->at, axis->index) : 0;
}

static Operand operand_of(Gen *g, const Expr *read) {
    DLC_ASSERT(g->ctx, read->kind == EX_READ, (Span){0});
    return (Operand){.tensor = read->read.tensor,
                     .unit = gen_element(g, read->read.tensor),
                     .at = linear_address(g, read->read.tensor, read->read.subs)};
}

LLVMValueRef contract_address(Contract *c, const Point *p, const Operand *operand) {
    Gen *g = c->g;
    LLVMValueRef offset = gen_i64(g, operand->at.offset);
    for (uint32_t i = 0; i < operand->at.terms.len; i++) {
        const Term *term = &operand->at.terms.at[i];
        DLC_ASSERT(g->ctx, term->atom->kind == EX_INDEX, c->kernel->span);
        LLVMValueRef value = map_get(&p->values, term->atom->index);
        if (!value) continue; /* summed */
        value = LLVMBuildMul(g->b, value, gen_i64(g, term->coefficient), "");
        offset = LLVMBuildAdd(g->b, offset, value, "");
    }
    LLVMValueRef base = operand->base ? operand->base : gen_base(g, operand->tensor);
    return gen_element_address(g, operand->unit, base, offset);
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* As planned. */
static int64_t index_turns(const Gen *g, const Index *index) {
    int64_t block = g->inner ? plan_block_of(g->inner, index) : 0;
    if (block) return block;
    if (index->extent != EXTENT_BATCH) return index->extent;
    int64_t batch = g->function && g->function->module ? g->function->module->max_batch : 0;
    return batch > 0 ? batch : 64;
}

int64_t contract_whole_turns(const Gen *g, const Axis *axis) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < axis->nmerged; i++) turns *= index_turns(g, axis->merged[i]);
    return turns;
}

int64_t contract_turns(const Gen *g, const Axis *axis) {
    return axis->turns >= 0 ? axis->turns : contract_whole_turns(g, axis);
}

int64_t contract_most_turns(const Contract *c, const Axis *axis) {
    bool is_cut = c->sums.len && axis == &c->sums.at[0] && c->kernel->blocking.turns;
    return is_cut ? contract_block_turns(c, axis) : contract_turns(c->g, axis);
}

static int64_t turns_of_all(const Gen *g, const Axes *axes) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < axes->len; i++) turns *= contract_turns(g, &axes->at[i]);
    return turns;
}

/* Takes axis i out of the list. */
static const Axis *take_axis(Gen *g, Axes *axes, uint32_t i) {
    Axis *axis = ARENA_NEW(g->ctx->arena, Axis);
    *axis = axes->at[i];
    for (axes->len--; i < axes->len; i++) axes->at[i] = axes->at[i + 1];
    return axis;
}

static const Axis *take_vector_axis(Gen *g, Axes *axes) {
    return axes->vector < axes->len ? take_axis(g, axes, axes->vector) : NULL;
}

static const Axis *take_longest(Gen *g, Axes *axes) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < axes->len; i++)
        if (contract_turns(g, &axes->at[i]) >= contract_turns(g, &axes->at[best])) best = i;
    return axes->len ? take_axis(g, axes, best) : NULL;
}

/* Rows lie close together, so that a tile's elements of a share lines and pages, if there are
 * enough of them for a tile; else there are as many as there can be. */
static const Axis *take_row(Gen *g, Axes *axes, const Operand *a) {
    enum { ENOUGH = 6 };
    uint32_t best = axes->len;
    for (uint32_t i = 0; i < axes->len; i++) {
        if (contract_turns(g, &axes->at[i]) < ENOUGH) continue;
        int64_t stride = contract_stride(a, &axes->at[i]);
        if (best == axes->len || llabs(stride) < llabs(contract_stride(a, &axes->at[best])))
            best = i;
    }
    return best < axes->len ? take_axis(g, axes, best) : take_longest(g, axes);
}

static Axes joined(Gen *g, const Axes *a, const Axes *b) {
    Axes both = {.at = ARENA_ARRAY(g->ctx->arena, Axis, a->len + b->len + 1)};
    for (uint32_t i = 0; i < a->len; i++) both.at[both.len++] = a->at[i];
    for (uint32_t i = 0; i < b->len; i++) both.at[both.len++] = b->at[i];
    return both;
}

/* Brings the summed axis along which both operands are adjacent to the end. */
static bool dot_axis_last(Contract *c) {
    for (uint32_t i = 0; i < c->sums.len; i++) {
        Axis axis = c->sums.at[i];
        if (contract_stride(&c->a, &axis) != 1 || contract_stride(&c->b, &axis) != 1) continue;
        if (contract_turns(c->g, &axis) < 2) continue;
        for (uint32_t j = i; j + 1 < c->sums.len; j++) c->sums.at[j] = c->sums.at[j + 1];
        c->sums.at[c->sums.len - 1] = axis;
        return true;
    }
    return false;
}

/* Of all sums of a column. */
static int64_t pairs_of_sum(const Contract *c) {
    int64_t pairs = 1;
    for (uint32_t i = 0; i < c->sums.len; i++) {
        int64_t turns = contract_most_turns(c, &c->sums.at[i]);
        pairs *= i + 1 == c->sums.len ? (turns + 1) / 2 : turns;
    }
    return pairs;
}

/* Of a summed index, at most, in what the kernel does at once: a part, if it sums in parts. */
static int64_t sum_turns(const Contract *c, const Index *index) {
    const Split *split = &c->kernel->split;
    bool is_divided = split->number && split->index == index;
    return is_divided ? split->unit : index_turns(c->g, index);
}

/* Of all summed indices, at most, in a block. */
static int64_t sum_of_block(const Contract *c) {
    int64_t sum = 1, block = c->kernel->blocking.turns;
    for (uint32_t i = 0; i < c->sums.len; i++)
        for (uint32_t m = 0; m < c->sums.at[i].nmerged; m++)
            sum *= i + m == 0 && block ? block : sum_turns(c, c->sums.at[i].merged[m]);
    return sum;
}

/* Bytes that the plan has for panels of b. */
static int64_t room_for_panels(const Contract *c) {
    const Blocking *b = &c->kernel->blocking;
    return b->kept_bytes ? b->kept_bytes : b->panel_bytes;
}

/* Bytes of a panel with so many vectors of columns, and of what a square has too much. */
static int64_t panel_bytes(const Contract *c, uint32_t vectors) {
    if (c->pairs) return pairs_of_sum(c) * vectors * c->g->lanes * PAIR_BYTES;
    return (c->sum + c->g->lanes) * vectors * c->g->lanes * (c->g->f64_real ? 8 : 4);
}

/* The part of the lanes that is used by `turns` of them. */
static double lanes_used(int64_t turns, uint32_t lanes) {
    int64_t vectors = (turns + lanes - 1) / lanes;
    return vectors ? (double)turns / (double)(vectors * lanes) : 1;
}

/* Adding up the lanes takes about 3 cycles for each element of the result. */
static double dot_efficiency(const Contract *c) {
    const Axis *last = &c->sums.at[c->sums.len - 1];
    double sum = (double)turns_of_all(c->g, &c->sums);
    return lanes_used(contract_turns(c->g, last), c->g->lanes) * sum / (sum + 3.0 * c->g->lanes);
}

/* Transposing takes 0.4 cycles for each element of the panel, which serves all rows. */
static double packed_efficiency(const Contract *c, int64_t rows) {
    double transposing = 0.4 * c->g->lanes / (double)rows;
    return lanes_used(contract_turns(c->g, c->column), c->g->lanes) / (1 + transposing);
}

static void use_dot(Contract *c) {
    c->form = FORM_DOT;
    uint32_t enough = gen_power_of_two(contract_turns(c->g, &c->sums.at[c->sums.len - 1]));
    c->lanes = enough < c->g->lanes ? enough : c->g->lanes;
}

static bool uses_pairs(Contract *c) {
    const Blocking *blocking = &c->kernel->blocking;
    if (!blocking->pair || c->sums.len == 0) return false;
    bool is_last = false;
    const Axis *last = &c->sums.at[c->sums.len - 1];
    for (uint32_t i = 0; i < last->nmerged; i++) is_last |= last->merged[i] == blocking->pair;
    return is_last && !c->a.column && c->b.column && contract_stride(&c->a, last) > 0 &&
           pairs_of_sum(c) * c->g->lanes * PAIR_BYTES <= room_for_panels(c) &&
           contract_pairs_fit(c);
}

static void choose_form(Contract *c) {
    Gen *g = c->g;
    int64_t rows = turns_of_all(g, &c->middle) * (c->row ? contract_turns(g, c->row) : 1);
    bool has_columns = c->column && contract_turns(g, c->column) > 1;
    c->lanes = c->column && c->kernel->vector ? g->lanes : 1;
    bool has_vectors = has_columns && c->lanes > 1;
    c->pairs = has_vectors && uses_pairs(c);
    if (c->pairs) {
        c->form = FORM_PACKED;
        return;
    }
    const Blocking *blocking = &c->kernel->blocking;
    bool is_packed = has_vectors && (rows > 1 || blocking->kept_bytes) &&
                     panel_bytes(c, 1) <= room_for_panels(c);
    bool is_direct = has_vectors && !is_packed && c->b.column <= 1 && c->a.column <= 1;
    c->form = is_packed ? FORM_PACKED : FORM_OUTER;
    if (blocking->turns) return;                   /* each tile of rows would read all of b */
    if (is_packed && blocking->kept_bytes) return; /* which is packed already */
    if (c->a.column || (has_columns && !c->b.column) || !dot_axis_last(c)) return;
    double others = 0;
    if (is_direct) others = 1.3 * lanes_used(contract_turns(g, c->column), c->lanes);
    if (is_packed) others = packed_efficiency(c, rows);
    if (dot_efficiency(c) > others) use_dot(c);
}

static uint32_t smaller(int64_t a, uint32_t b) {
    return a < b ? (uint32_t)a : b;
}

/* Eight rows keep the arithmetic units busy with two vectors of columns. A few more, if there are
 * no others, are better than two tiles. */
static uint32_t tile_rows(const Contract *c, int64_t rows, uint32_t registers) {
    enum { MOST = 12, USUAL = 8 };
    uint32_t room = registers / c->columns < MOST ? registers / c->columns : MOST;
    bool is_all = c->row && c->row->turns >= 0 && rows <= room;
    return smaller(rows, registers < 24 || c->columns == 1 || is_all ? room : USUAL);
}

/* 24 accumulators of 32 registers, or 12 of 16, leave room for the vectors of b. */
static void choose_tile(Contract *c) {
    Gen *g = c->g;
    uint32_t registers = g->machine->vector_registers >= 32 ? 24 : 12;
    int64_t rows = c->row ? contract_turns(g, c->row) : 1;
    int64_t columns = c->column ? contract_turns(g, c->column) : 1;
    if (c->form == FORM_DOT) {
        int64_t most = smaller(registers < 24 ? 4 : rows == 1 ? 16 : 8, c->lanes);
        int64_t tiles = (columns + most - 1) / most; /* of equal sizes, nearly */
        c->columns = tiles ? (uint32_t)((columns + tiles - 1) / tiles) : 1;
        c->rows = smaller(rows, registers == 24 ? 3 : 2);
        return;
    }
    /* A masked vector reaches into the rows behind it: what is stored there and read again waits.
     */
    if (columns <= c->lanes / 2 && c->lanes > 1) c->lanes = gen_power_of_two(columns);
    if (c->pairs && c->lanes < 4) c->lanes = 4;
    int64_t vectors = (columns + c->lanes - 1) / c->lanes;
    uint32_t most = rows == 1 ? 8 : rows <= 4 ? 4 : vectors == 3 ? 3 : 2;
    c->columns = smaller(vectors, registers == 24 || most < 4 ? most : 4);
    if (c->columns == 0) c->columns = 1;
    c->rows = tile_rows(c, rows, registers);
    if (c->form != FORM_PACKED) return;
    while (c->columns > 1 && panel_bytes(c, c->columns) > room_for_panels(c)) c->columns--;
}

/* Where the number of rows is not known before it runs, what is left behind the full tiles takes
 * tiles of other sizes, each code of its own; not so where tiles that are little smaller
 * divide the usual number. */
static void avoid_rest(Contract *c) {
    if (!c->row || c->row->turns >= 0 || c->form == FORM_DOT) return;
    int64_t usual = contract_turns(c->g, c->row);
    for (uint32_t rows = c->rows; 3 * rows >= 2 * c->rows; rows--)
        if (usual % rows == 0) {
            c->rows = rows;
            return;
        }
}

/* ---- the stores of a tile ---------------------------------------------------------------------
 */

/* Does the kernel take so short that how long its code takes to compile counts more? */
static bool is_cheap(const Contract *c) {
    enum { CHEAP_FLOPS = 1000000 };
    const Kernel *k = c->kernel;
    return k->flops + k->example_flops * (double)c->g->function->module->max_batch < CHEAP_FLOPS;
}

/* Code for the stores at each place of the tile is large when they compute much; adding up the
 * lanes of the dot form is. */
static void choose_stores(Contract *c) {
    Gen *g = c->g;
    uint32_t weight = scalar_stores_weight(g, c->kernel);
    if (c->form == FORM_DOT && is_cheap(c)) weight += 3 * c->lanes;
    c->by_loop = c->rows > 2 && weight * c->rows * c->columns > 150;
    if (c->by_loop) c->spill = gen_local(g, c->rows * c->columns * c->lanes, "tile");
}

/* ---- loops -------------------------------------------------------------------------------------
 */

typedef void Inside(Contract *c, const Point *p, void *data);

static void loop_axes(Contract *c, const Point *p, const Axes *axes, uint32_t number,
                      Inside *inside, void *data) {
    Gen *g = c->g;
    if (number == axes->len) {
        inside(c, p, data);
        return;
    }
    const Axis *axis = &axes->at[number];
    Point inner = point_copy(g, p);
    if (axis->turns == 1) {
        point_set_axis(g, &inner, axis, gen_i64(g, 0));
        loop_axes(c, &inner, axes, number + 1, inside, data);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), axis->index->name);
    point_set_axis(g, &inner, axis, loop.counter);
    loop_axes(c, &inner, axes, number + 1, inside, data);
    loop_end(g, &loop, NULL, NULL);
}

/* Tiles of `rows` rows from begin to end. */
static void loop_rows(Contract *c, const Point *p, const Columns *columns, LLVMValueRef begin,
                      LLVMValueRef end, uint32_t rows, bool once) {
    Gen *g = c->g;
    if (once) {
        contract_tile(c, p, columns, begin, rows);
        return;
    }
    Loop loop = loop_begin(g, begin, end, gen_i64(g, rows), "row");
    contract_tile(c, p, columns, loop.counter, rows);
    loop_end(g, &loop, NULL, NULL);
}

/* A known number of rows is cut into tiles of two neighbouring sizes. */
static void known_rows(Contract *c, const Point *p, const Columns *columns, int64_t turns) {
    Gen *g = c->g;
    if (turns == 0) return;
    int64_t count = (turns + c->rows - 1) / c->rows;
    int64_t large = (turns + count - 1) / count, nlarge = turns - count * (large - 1);
    LLVMValueRef middle = gen_i64(g, nlarge * large);
    loop_rows(c, p, columns, gen_i64(g, 0), middle, (uint32_t)large, nlarge == 1);
    if (nlarge == count) return;
    loop_rows(c, p, columns, middle, gen_i64(g, turns), (uint32_t)large - 1, count - nlarge == 1);
}

/* Is the extent, whatever it is, a multiple of a tile's rows? */
static bool has_whole_tiles(const Contract *c) {
    int64_t multiple = 1;
    for (uint32_t i = 0; i < c->row->nmerged; i++)
        if (c->row->merged[i]->extent != EXTENT_BATCH) multiple *= c->row->merged[i]->extent;
    return c->is_whole && multiple % c->rows == 0;
}

/* An unknown one into full tiles, then what the usual number leaves, then single rows: each size of
 * a tile is code of its own. */
static uint32_t tile_sizes(const Contract *c, uint32_t *sizes) {
    uint32_t n = 0, rest = (uint32_t)(contract_turns(c->g, c->row) % c->rows);
    sizes[n++] = c->rows;
    if (has_whole_tiles(c)) return n;
    if (rest > 1) sizes[n++] = rest;
    if (c->rows > 1) sizes[n++] = 1;
    return n;
}

static void unknown_rows(Contract *c, const Point *p, const Columns *columns, LLVMValueRef extent) {
    Gen *g = c->g;
    LLVMValueRef begin = gen_i64(g, 0);
    uint32_t sizes[CONTRACT_MAX_TILE], n = tile_sizes(c, sizes);
    if (n > 1 && c->by_loop && !c->partial) {
        Loop loop = loop_begin(g, begin, extent, NULL, "row");
        LLVMValueRef left = LLVMBuildSub(g->b, extent, loop.counter, "");
        loop.step = contract_largest_tile(c, p, columns, loop.counter, left, sizes, n);
        loop_end(g, &loop, NULL, NULL);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef rest = LLVMBuildSub(g->b, extent, begin, "");
        LLVMValueRef left = LLVMBuildURem(g->b, rest, gen_i64(g, sizes[i]), "");
        LLVMValueRef end = LLVMBuildSub(g->b, extent, left, "");
        loop_rows(c, p, columns, begin, end, sizes[i], false);
        begin = end;
    }
}

static void row_tiles(Contract *c, const Point *p, void *data) {
    if (!c->row)
        contract_tile(c, p, data, NULL, 1);
    else if (c->row->turns >= 0 && !c->a_panels)
        known_rows(c, p, data, c->row->turns);
    else
        unknown_rows(c, p, data, c->row->extent);
}

/* Where b of these columns is, or will be, copied to. Panels that are kept lie in the order of the
 * columns, those of one point of the outer indices behind those of another. */
static LLVMValueRef panel_of(Contract *c, const Point *p, const Columns *columns) {
    Gen *g = c->g;
    const Blocking *b = &c->kernel->blocking;
    if (!b->kept_bytes) return g->workspace;
    int64_t all = (contract_turns(g, c->column) + c->lanes - 1) / c->lanes * c->lanes;
    LLVMValueRef number = gen_i64(g, 0);
    for (uint32_t i = 0; i < c->outer.len; i++) {
        LLVMValueRef extent = gen_i64(g, contract_turns(g, &c->outer.at[i]));
        number = LLVMBuildMul(g->b, number, extent, "");
        number = LLVMBuildAdd(g->b, number, map_get(&p->values, c->outer.at[i].index), "");
    }
    number = LLVMBuildMul(g->b, number, gen_i64(g, all), "");
    number = LLVMBuildAdd(g->b, number, columns->at, "");
    int64_t bytes = c->pairs ? pairs_of_sum(c) * PAIR_BYTES : c->sum * (g->f64_real ? 8 : 4);
    LLVMValueRef offset = LLVMBuildMul(g->b, number, gen_i64(g, bytes), "");
    offset = LLVMBuildAdd(g->b, offset, gen_i64(g, b->kept_at), "");
    return gen_element_address(g, g->i8, g->workspace, offset);
}

/* One tile of columns, for all rows. */
static void column_tile(Contract *c, const Point *outer, Columns columns) {
    Point p = point_copy(c->g, outer);
    if (c->column) point_set_axis(c->g, &p, c->column, columns.at);
    bool has_panel = c->form == FORM_PACKED && columns.lanes > 1;
    if (has_panel) columns.panel = panel_of(c, &p, &columns);
    bool packs = has_panel && c->is_before == (c->kernel->blocking.kept_bytes > 0);
    if (packs && c->pairs)
        contract_pairs_pack(c, &p, &columns);
    else if (packs)
        contract_pack_columns(c, &p, &columns);
    if (!c->is_before) loop_axes(c, &p, &c->middle, 0, row_tiles, &columns);
}

/* What is kept and just too large for a cache would be gone from it whenever it is needed again, if
 * every turn of the recurrence began at the same end. */
static bool turns_back(const Contract *c) {
    enum { SOME = 4 };
    int64_t bytes = c->kernel->blocking.kept_bytes, cache = c->g->machine->l2_bytes;
    return c->g->scan_turn && 2 * bytes > cache && bytes < SOME * cache;
}

static void loop_columns(Contract *c, const Point *p, Columns columns, LLVMValueRef begin,
                         LLVMValueRef end, int64_t step) {
    Gen *g = c->g;
    Loop loop = loop_begin(g, begin, end, gen_i64(g, step), "column");
    columns.at = loop.counter;
    if (turns_back(c)) {
        LLVMValueRef is_odd = LLVMBuildTrunc(g->b, g->scan_turn, g->i1, "");
        LLVMValueRef last =
            LLVMBuildSub(g->b, LLVMBuildAdd(g->b, begin, end, ""), gen_i64(g, step), "");
        LLVMValueRef mirrored = LLVMBuildSub(g->b, last, loop.counter, "");
        columns.at = LLVMBuildSelect(g->b, is_odd, mirrored, loop.counter, "");
    }
    column_tile(c, p, columns);
    loop_end(g, &loop, NULL, NULL);
}

/* What is left of a known number of columns behind the full tiles. */
static void rest_of_columns(Contract *c, const Point *p, int64_t begin, int64_t rest) {
    Gen *g = c->g;
    Columns columns = {.at = gen_i64(g, begin), .lanes = c->form == FORM_DOT ? 1 : c->lanes};
    if (c->form == FORM_DOT) {
        columns.count = (uint32_t)rest;
        column_tile(c, p, columns);
        return;
    }
    bool masks = gen_has_masks(g);
    columns.count = (uint32_t)(rest / c->lanes);
    uint32_t valid = (uint32_t)(rest % c->lanes);
    if (valid && masks) {
        columns.count++;
        columns.valid = valid;
        columns.mask = gen_lane_mask(g, gen_i64(g, valid), c->lanes);
    }
    if (columns.count) column_tile(c, p, columns);
    if (!valid || masks) return;
    Columns single = {.count = 1, .lanes = 1};
    loop_columns(c, p, single, gen_i64(g, begin + rest - valid), gen_i64(g, begin + rest), 1);
}

static void known_columns(Contract *c, const Point *p, int64_t turns) {
    Gen *g = c->g;
    Columns full = {.count = c->columns, .lanes = c->form == FORM_DOT ? 1 : c->lanes};
    int64_t width = (int64_t)full.count * full.lanes, rest = turns % width;
    LLVMValueRef end = gen_i64(g, turns - rest);
    if (turns - rest == width) {
        full.at = gen_i64(g, 0);
        column_tile(c, p, full);
    } else if (turns > rest) {
        loop_columns(c, p, full, gen_i64(g, 0), end, width);
    }
    if (rest) rest_of_columns(c, p, turns - rest, rest);
}

static void unknown_columns(Contract *c, const Point *p, LLVMValueRef extent) {
    Gen *g = c->g;
    Columns columns = {.count = c->columns, .lanes = c->form == FORM_DOT ? 1 : c->lanes};
    LLVMValueRef begin = gen_i64(g, 0), width, end;
    for (;;) {
        width = gen_i64(g, (int64_t)columns.count * columns.lanes);
        end = LLVMBuildSub(g->b, extent, LLVMBuildURem(g->b, extent, width, ""), "");
        loop_columns(c, p, columns, begin, end, (int64_t)columns.count * columns.lanes);
        begin = end;
        if (columns.count == 1) break;
        columns.count = 1;
    }
    if (columns.lanes == 1) return;
    if (!gen_has_masks(g)) {
        columns.lanes = 1;
        loop_columns(c, p, columns, begin, extent, 1);
        return;
    }
    Loop tail = loop_begin(g, begin, extent, gen_i64(g, columns.lanes), "tail");
    columns.at = tail.counter;
    LLVMValueRef rest = LLVMBuildSub(g->b, extent, tail.counter, "");
    columns.mask = gen_lane_mask(g, rest, columns.lanes);
    column_tile(c, p, columns);
    loop_end(g, &tail, NULL, NULL);
}

static void column_tiles(Contract *c, const Point *p, void *data) {
    if (!c->column)
        column_tile(c, p, (Columns){.count = 1, .lanes = 1});
    else if (c->column->turns >= 0)
        known_columns(c, p, c->column->turns);
    else
        unknown_columns(c, p, c->column->extent);
}

/* For one point of the indices of both operands: what is copied of a serves all columns. */
static void nest_inside(Contract *c, const Point *p, void *data) {
    const Operand a = c->a;
    if (c->pairs && !c->is_before) c->a = contract_pairs_operand(c, p);
    loop_axes(c, p, &c->outer, c->nbatch, column_tiles, data);
    c->a = a;
}

static void nest(Contract *c, const Point *p) {
    Axes batch = c->outer;
    batch.len = c->nbatch;
    loop_axes(c, p, &batch, 0, nest_inside, NULL);
}

/* Operands and axes, and how the sum is done. */
static Contract arranged(Gen *g, const Kernel *k) {
    Roles roles = plan_oriented(k);
    Contract c = {.g = g, .kernel = k, .a = operand_of(g, roles.a), .b = operand_of(g, roles.b)};
    Axes batch = linear_axes(g, k, roles.batch, roles.nbatch);
    Axes n = linear_axes(g, k, roles.n, roles.nn);
    c.middle = linear_axes(g, k, roles.m, roles.nm);
    c.sums = linear_axes(g, k, roles.k, roles.nk);
    c.column = take_vector_axis(g, &n);
    if (!c.column) c.column = take_vector_axis(g, &batch);
    if (!c.column) c.column = take_longest(g, &n);
    c.row = take_row(g, &c.middle, &c.a);
    c.outer = joined(g, &batch, &n);
    c.nbatch = batch.len;
    c.a.column = contract_stride(&c.a, c.column);
    c.b.column = contract_stride(&c.b, c.column);
    c.a.row = contract_stride(&c.a, c.row);
    c.is_whole = c.row && !c.row->first;
    c.sum = sum_of_block(&c);
    choose_form(&c);
    return c;
}

/* In a part of a kernel sums are done as in the whole: the bits are the same. So they are in blocks
 * of rows, which no thread changes. */
static Contract arranged_as_whole(Gen *g, const Kernel *k) {
    if (k->split.number || (k->around && k->around->block)) return arranged(g, k);
    const Map ranges = g->ranges;
    g->ranges = (Map){0};
    const Contract whole = arranged(g, k);
    g->ranges = ranges;
    if (ranges.len == 0) return whole;
    Contract c = arranged(g, k);
    c.form = whole.form;
    c.pairs = whole.pairs;
    c.lanes = whole.lanes;
    c.sums = whole.sums;
    return c;
}

static Contract tiled(Gen *g, const Kernel *k) {
    Contract c = arranged_as_whole(g, k);
    choose_tile(&c);
    avoid_rest(&c);
    return c;
}

void kernel_before(Gen *g, const Kernel *k) {
    if (k->kind != KERNEL_CONTRACT || !k->blocking.kept_bytes) return;
    Contract c = tiled(g, k);
    c.is_before = true;
    Point p = point_new(g, NULL, 1, NULL);
    if (c.form == FORM_PACKED) nest(&c, &p);
}

void kernel_contract(Gen *g, const Kernel *k) {
    Contract c = tiled(g, k);
    choose_stores(&c);
    Point p = point_new(g, NULL, 1, NULL);
    for (uint32_t i = 0; i < c.sums.len; i++) /* sums run from where the part begins */
        if (c.sums.at[i].first) point_set_axis(g, &p, &c.sums.at[i], gen_i64(g, 0));
    bool has_blocks = k->blocking.turns || k->blocking.rows;
    if (has_blocks && c.form != FORM_DOT && (c.pairs || !k->blocking.pair))
        contract_blocks(&c, &p, nest);
    else
        nest(&c, &p);
}
