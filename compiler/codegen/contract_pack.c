/* codegen/contract_pack.c: b of a tile of columns, or a of a tile of rows, as a panel: for each
 * step of the sums, in their order, the columns or rows side by side.
 *
 * in:   a tile of columns or rows      out: a panel in the workspace, read from one end to the
 * other. Lanes behind the last column are zero, so that nothing strange is computed in them; what
 * is behind the last row is not used.
 *
 * Vectors are stored in the order of their addresses: what one has too much, the next overwrites.
 * Behind the last panel there is room for it.
 */
#include "codegen/contract.h"

typedef struct Pack {
    Contract *c;
    const Operand *operand;
    int64_t stride;         /* from one line, a column or row, to the next */
    uint32_t count, lanes;  /* vectors of lines */
    uint32_t width;         /* of the panel: lines */
    LLVMValueRef mask;      /* of the last vector; NULL: all */
    uint32_t valid;         /* lanes of the last vector, where known; else 0 */
    LLVMValueRef last_line; /* there is no line behind it; NULL: there are all */
    const Axis *tiles;      /* a step is copied for all tiles of this axis; NULL: it is one tile */
} Pack;

static LLVMValueRef ahead(const Pack *pack, LLVMValueRef address, int64_t elements) {
    Gen *g = pack->c->g;
    return gen_ahead(g, g->real, address, elements);
}

/* Where the operand lies. */
static LLVMValueRef further(const Pack *pack, LLVMValueRef address, int64_t elements) {
    return gen_ahead(pack->c->g, pack->operand->unit, address, elements);
}

/* ---- one step at a time
 * ----------------------------------------------------------------------------- */

static LLVMValueRef pack_step(const Pack *pack, LLVMValueRef from, LLVMValueRef to) {
    Gen *g = pack->c->g;
    uint32_t lanes = pack->lanes;
    LLVMTypeRef unit = pack->operand->unit;
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, unit, lanes));
    for (uint32_t v = 0; v < pack->count; v++) {
        LLVMValueRef mask = v + 1 == pack->count ? pack->mask : NULL, value;
        LLVMValueRef first = further(pack, from, pack->stride * v * lanes);
        if (pack->stride == 1) {
            value = gen_load(g, unit, first, lanes, mask, mask ? zero : NULL);
        } else {
            LLVMValueRef distances = gen_iota(g, g->i64, lanes, pack->stride);
            LLVMValueRef addresses = LLVMBuildGEP2(g->b, unit, first, &distances, 1, "");
            value = gen_gather(g, unit, addresses, lanes, mask, mask ? zero : NULL);
        }
        gen_store(g, ahead(pack, to, v * lanes), gen_real(g, value), NULL);
    }
    return ahead(pack, to, pack->width);
}

/* ---- transposed
 * ------------------------------------------------------------------------------------ */

/* Two vectors into two others: one of their first halves or even parts, one of the rest. Each lane
 * of the result is one of x (from 0) or of y (from `lanes`). */
typedef struct Pick {
    LLVMValueRef first[CONTRACT_MAX_LANES], second[CONTRACT_MAX_LANES];
} Pick;

static void exchange(Gen *g, LLVMValueRef *x, LLVMValueRef *y, Pick *pick, uint32_t lanes) {
    LLVMValueRef a = LLVMConstVector(pick->first, lanes), b = LLVMConstVector(pick->second, lanes);
    LLVMValueRef first = LLVMBuildShuffleVector(g->b, *x, *y, a, "");
    *y = LLVMBuildShuffleVector(g->b, *x, *y, b, "");
    *x = first;
}

/* Within each block of `size` lanes, the halves of x and y lane by lane: x0 y0 x1 y1 and x2 y2 x3
 * y3. */
static Pick interleaved(const Gen *g, uint32_t lanes, uint32_t size) {
    Pick pick = {0};
    for (uint32_t l = 0; l < lanes; l++) {
        uint32_t from = l / size * size + l % size / 2 + (l % 2 ? lanes : 0);
        pick.first[l] = gen_i32(g, from);
        pick.second[l] = gen_i32(g, from + size / 2);
    }
    return pick;
}

/* The even blocks of x, then those of y; and the odd ones. */
static Pick separated(const Gen *g, uint32_t lanes, uint32_t size) {
    Pick pick = {0};
    for (uint32_t l = 0; l < lanes; l++) {
        uint32_t block = l / size * 2;
        pick.first[l] = gen_i32(g, block * size + l % size);
        pick.second[l] = gen_i32(g, (block + 1) * size + l % size);
    }
    return pick;
}

/* Reals in 128 bits: exchanges within these, and of these, are single instructions without a table
 * of lanes. */
static uint32_t block_size(const Gen *g, uint32_t lanes) {
    uint32_t size = g->f64_real ? 2 : 4;
    return size < lanes ? size : lanes;
}

/* Of n vectors the blocks of `size` lanes, `size` of them below each other, are transposed. */
static void transpose_blocks(Gen *g, LLVMValueRef *v, uint32_t n, uint32_t lanes, uint32_t size) {
    LLVMValueRef next[CONTRACT_MAX_LANES];
    Pick pick = interleaved(g, lanes, size);
    for (uint32_t stage = 1; stage < size; stage *= 2) {
        for (uint32_t i = 0; i < n / 2; i++) {
            uint32_t at = i / (size / 2) * size + i % (size / 2);
            LLVMValueRef x = v[at], y = v[at + size / 2];
            exchange(g, &x, &y, &pick, lanes);
            next[2 * i] = x;
            next[2 * i + 1] = y;
        }
        for (uint32_t i = 0; i < n; i++) v[i] = next[i];
    }
}

/* Of a square of vectors: blocks are transposed in themselves, and then as blocks. */
void contract_transpose(Gen *g, LLVMValueRef *v, uint32_t lanes) {
    uint32_t size = block_size(g, lanes), half = lanes / 2;
    LLVMValueRef next[CONTRACT_MAX_LANES];
    transpose_blocks(g, v, lanes, lanes, size);
    Pick pick = separated(g, lanes, size);
    for (uint32_t stage = size; stage < lanes; stage *= 2) {
        for (uint32_t i = 0; i < half; i++) {
            uint32_t at = i / size * 2 * size + i % size;
            LLVMValueRef x = v[at], y = v[at + size];
            exchange(g, &x, &y, &pick, lanes);
            next[i] = x;
            next[i + half] = y;
        }
        for (uint32_t i = 0; i < lanes; i++) v[i] = next[i];
    }
}

/* n vectors, a power of two, as one. */
static LLVMValueRef side_by_side(Gen *g, LLVMValueRef *v, uint32_t n) {
    LLVMValueRef all[CONTRACT_MAX_LANES];
    for (uint32_t lanes = gen_lanes_of(LLVMTypeOf(v[0])); n > 1; n /= 2, lanes *= 2) {
        for (uint32_t l = 0; l < 2 * lanes; l++) all[l] = gen_i32(g, l);
        LLVMValueRef both = LLVMConstVector(all, 2 * lanes);
        for (uint32_t i = 0; i < n / 2; i++)
            v[i] = LLVMBuildShuffleVector(g->b, v[2 * i], v[2 * i + 1], both, "");
    }
    return v[0];
}

/* lines[i]: how far line i is from the first one. As many steps as a block has lanes, of all lines:
 * a vector gets a block of each `size`th line, so that transposing the blocks puts the lines side
 * by side. */
static void load_steps(Gen *g, const Pack *pack, LLVMValueRef from, const LLVMValueRef *lines,
                       LLVMValueRef *steps, uint32_t size) {
    LLVMValueRef block[CONTRACT_MAX_LANES];
    LLVMTypeRef unit = pack->operand->unit;
    uint32_t nblocks = pack->lanes / size;
    for (uint32_t r = 0; r < size; r++) {
        for (uint32_t i = 0; i < nblocks; i++) {
            LLVMValueRef at = gen_element_address(g, unit, from, lines[i * size + r]);
            block[i] = gen_real(g, gen_load(g, unit, at, size, NULL, NULL));
        }
        steps[r] = side_by_side(g, block, nblocks);
    }
    transpose_blocks(g, steps, size, pack->lanes, size);
}

enum { LINES_FROM, LINES_TO, LINES_STRIDE, LINES_WIDTH, LINES_STEPS, LINES_LAST, LINES_PARAMS };

/* Distances of the lines; some: behind the last one there is the last one, again. */
static void find_lines(Gen *g, const Pack *pack, bool some, LLVMValueRef *lines) {
    LLVMValueRef last = LLVMGetParam(g->fn, LINES_LAST);
    for (uint32_t i = 0; i < pack->lanes; i++) {
        LLVMValueRef line = gen_i64(g, i);
        if (some) {
            LLVMValueRef is_there = LLVMBuildICmp(g->b, LLVMIntSLT, line, last, "");
            line = LLVMBuildSelect(g->b, is_there, line, last, "");
        }
        lines[i] = LLVMBuildMul(g->b, line, LLVMGetParam(g->fn, LINES_STRIDE), "");
    }
}

/* pack(from, to, stride, width, steps, last): lines that are `stride` units apart where they lie
 * and `width` reals in the panel, for a multiple of a block's steps; some: only those up to `last`,
 * the others are zero. One for all kernels, and in it a loop: shuffles take longest of all to
 * compile. */
static LLVMValueRef lines_function(const Pack *pack, bool some) {
    const Gen *outer = pack->c->g;
    uint32_t lanes = pack->lanes, size = block_size(outer, lanes);
    LLVMTypeRef unit = pack->operand->unit;
    LLVMTypeRef types[LINES_PARAMS] = {outer->ptr, outer->ptr, outer->i64,
                                       outer->i64, outer->i64, outer->i64};
    const char *kind = unit != outer->real ? ".short" : outer->f64_real ? ".double" : "";
    const char *name =
        arena_printf(outer->ctx->arena, "pack%u%s%s", lanes, kind, some ? ".some" : "");
    Gen inner = *outer, *g = &inner;
    LLVMValueRef steps[CONTRACT_MAX_LANES], lines[CONTRACT_MAX_LANES], mask = NULL;
    if (gen_shared(g, name, g->void_, types, LINES_PARAMS)) return g->fn;
    find_lines(g, pack, some, lines);
    LLVMValueRef count = LLVMBuildAdd(g->b, LLVMGetParam(g->fn, LINES_LAST), gen_i64(g, 1), "");
    if (some) mask = gen_lane_mask(g, count, lanes);
    Loop loop =
        loop_begin(g, gen_i64(g, 0), LLVMGetParam(g->fn, LINES_STEPS), gen_i64(g, size), "steps");
    LLVMValueRef from = loop_carry(g, &loop, LLVMGetParam(g->fn, LINES_FROM));
    LLVMValueRef to = loop_carry(g, &loop, LLVMGetParam(g->fn, LINES_TO));
    load_steps(g, pack, from, lines, steps, size);
    for (uint32_t i = 0; i < size; i++) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(steps[i]));
        gen_store(g, to, mask ? LLVMBuildSelect(g->b, mask, steps[i], zero, "") : steps[i], NULL);
        to = gen_element_address(g, g->real, to, LLVMGetParam(g->fn, LINES_WIDTH));
    }
    LLVMValueRef next[] = {gen_ahead(g, unit, from, size), to};
    loop_end(g, &loop, next, NULL);
    LLVMBuildRetVoid(g->b);
    LLVMDisposeBuilder(g->b);
    return g->fn;
}

/* So many steps of the last sum, a multiple of a block's, of vector v. */
static void pack_lines(const Pack *pack, LLVMValueRef from, LLVMValueRef to, uint32_t v,
                       LLVMValueRef steps) {
    Gen *g = pack->c->g;
    uint32_t valid = v + 1 == pack->count && pack->valid ? pack->valid : pack->lanes;
    LLVMValueRef fn = lines_function(pack, pack->last_line || valid < pack->lanes);
    LLVMValueRef args[LINES_PARAMS] = {
        [LINES_FROM] = further(pack, from, pack->stride * v * pack->lanes),
        [LINES_TO] = ahead(pack, to, v * pack->lanes),
        [LINES_STRIDE] = gen_i64(g, pack->stride),
        [LINES_WIDTH] = gen_i64(g, pack->width),
        [LINES_STEPS] = steps,
        [LINES_LAST] = pack->last_line ? pack->last_line : gen_i64(g, valid - 1)};
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, LINES_PARAMS, "");
}

/* The last sum, along which the operand is adjacent: in blocks, and what is left step by step. */
static LLVMValueRef pack_blocks(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                                const Axis *axis) {
    Gen *g = pack->c->g;
    uint32_t size = block_size(g, pack->lanes);
    LLVMValueRef rest = LLVMBuildURem(g->b, axis->extent, gen_i64(g, size), "");
    LLVMValueRef full = LLVMBuildSub(g->b, axis->extent, rest, "");
    for (uint32_t v = 0; v < pack->count; v++) pack_lines(pack, from, to, v, full);
    LLVMValueRef filled = LLVMBuildMul(g->b, full, gen_i64(g, pack->width), "");
    to = gen_element_address(g, g->real, to, filled);
    if (axis->turns >= 0 && axis->turns % size == 0) return to;
    LLVMValueRef next[2], out[2];
    LLVMValueRef begin = gen_element_address(g, pack->operand->unit, from, full);
    Loop loop = loop_begin(g, full, axis->extent, gen_i64(g, 1), "pack");
    LLVMValueRef source = loop_carry(g, &loop, begin), target = loop_carry(g, &loop, to);
    next[1] = pack_step(pack, source, target);
    next[0] = further(pack, source, 1);
    loop_end(g, &loop, next, out);
    return out[1];
}

/* ---- all
 * -------------------------------------------------------------------------------------------- */

/* Not a power of two, so that steps of all tiles, which are written together, meet in no set of a
 * cache. */
static int64_t tile_distance(const Contract *c) {
    enum { LINE = 16 };
    return c->sum * c->rows + LINE;
}

static bool tiles_are_whole(const Axis *rows, uint32_t lanes) {
    return rows->turns >= 0 && rows->turns % lanes == 0;
}

/* Of all tiles of rows: those of a step lie side by side, steps may be pages apart, where no
 * prefetcher follows. */
static LLVMValueRef pack_tiles(const Pack *pack, LLVMValueRef from, LLVMValueRef to) {
    enum { AHEAD = 2 }; /* steps */
    Gen *g = pack->c->g;
    const Axis *rows = pack->tiles;
    Loop loop = loop_begin(g, gen_i64(g, 0), rows->extent, gen_i64(g, pack->width), "tile");
    LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
    Pack tile = *pack;
    int64_t step = contract_stride(pack->operand, &pack->c->sums.at[pack->c->sums.len - 1]);
    gen_prefetch(g, further(pack, source, AHEAD * step), NEAREST_CACHE);
    if (!tiles_are_whole(rows, pack->lanes)) {
        LLVMValueRef left = LLVMBuildSub(g->b, rows->extent, loop.counter, "");
        tile.mask = gen_lane_mask(g, left, pack->lanes);
    }
    pack_step(&tile, source, target);
    LLVMValueRef next[] = {further(pack, source, pack->width),
                           ahead(pack, target, tile_distance(pack->c))};
    loop_end(g, &loop, next, NULL);
    return ahead(pack, to, pack->width);
}

/* The sums from `number` on; returns the end of what they have filled. */
static LLVMValueRef pack_sums(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                              uint32_t number) {
    Contract *c = pack->c;
    Gen *g = c->g;
    if (number == c->sums.len)
        return pack->tiles ? pack_tiles(pack, from, to) : pack_step(pack, from, to);
    const Axis *axis = &c->sums.at[number];
    int64_t stride = contract_stride(pack->operand, axis);
    bool is_last = number + 1 == c->sums.len;
    bool is_long = axis->turns < 0 || axis->turns >= (int64_t)pack->lanes / 2;
    bool known = is_long && (!pack->mask || pack->valid || pack->last_line);
    if (is_last && stride == 1 && pack->stride != 1 && known && gen_has_masks(g))
        return pack_blocks(pack, from, to, axis);
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), "pack");
    LLVMValueRef next[2], out[2];
    LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
    next[1] = pack_sums(pack, source, target, number + 1);
    next[0] = further(pack, source, stride);
    loop_end(g, &loop, next, out);
    return out[1];
}

void contract_pack_columns(Contract *c, const Point *p, const Columns *columns) {
    Pack pack = {.c = c,
                 .operand = &c->b,
                 .stride = c->b.column,
                 .count = columns->count,
                 .lanes = columns->lanes,
                 .width = columns->count * columns->lanes,
                 .mask = columns->mask,
                 .valid = columns->valid};
    pack_sums(&pack, contract_address(c, p, &c->b), columns->panel, 0);
}

LLVMValueRef contract_row_in_panels(Contract *c, LLVMValueRef row) {
    Gen *g = c->g;
    LLVMValueRef rows = gen_i64(g, c->rows), distance = gen_i64(g, tile_distance(c));
    LLVMValueRef offset = LLVMBuildMul(g->b, LLVMBuildUDiv(g->b, row, rows, ""), distance, "");
    offset = LLVMBuildAdd(g->b, offset, LLVMBuildURem(g->b, row, rows, ""), "");
    return gen_element_address(g, g->real, c->a_panels, offset);
}

void contract_pack_rows(Contract *c, const Point *outer) {
    Gen *g = c->g;
    const Axis *rows = c->row;
    Point p = point_copy(g, outer);
    Pack pack = {.c = c,
                 .operand = &c->a,
                 .stride = c->a.row,
                 .count = 1,
                 .lanes = gen_power_of_two(c->rows),
                 .width = c->rows};
    if (pack.stride == 1 && pack.lanes == pack.width) {
        pack.tiles = rows;
        point_set_axis(g, &p, rows, gen_i64(g, 0));
        pack_sums(&pack, contract_address(c, &p, &c->a), c->a_panels, 0);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), rows->extent, gen_i64(g, c->rows), "pack");
    point_set_axis(g, &p, rows, loop.counter);
    if (!tiles_are_whole(rows, pack.lanes)) {
        LLVMValueRef left = LLVMBuildSub(g->b, rows->extent, loop.counter, "");
        pack.mask = gen_lane_mask(g, left, pack.lanes);
        pack.last_line = LLVMBuildSub(g->b, left, gen_i64(g, 1), "");
    }
    LLVMValueRef panel = contract_row_in_panels(c, loop.counter);
    pack_sums(&pack, contract_address(c, &p, &c->a), panel, 0);
    loop_end(g, &loop, NULL, NULL);
}
