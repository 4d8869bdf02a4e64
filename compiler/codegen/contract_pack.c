/* codegen/contract_pack.c: b of a tile of columns as a panel: for each step of the sums, in their
 * order, the columns side by side.
 *
 * in:   columns that do not lie side by side      out: a panel in the workspace, read with whole
 * vectors. Lanes behind the last column are zero, so that nothing strange is computed in them.
 */
#include "codegen/contract.h"

typedef struct Pack {
    Contract *c;
    const Columns *columns;
    uint32_t width; /* of the panel */
} Pack;

static LLVMValueRef ahead(const Pack *pack, LLVMValueRef address, int64_t elements) {
    Gen *g = pack->c->g;
    return elements ? gen_element_address(g, g->real, address, gen_i64(g, elements)) : address;
}

/* Of b, where it lies. */
static LLVMValueRef further(const Pack *pack, LLVMValueRef address, int64_t elements) {
    Gen *g = pack->c->g;
    return elements ? gen_element_address(g, pack->c->b.unit, address, gen_i64(g, elements))
                    : address;
}

/* ---- transposed
 * ------------------------------------------------------------------------------------ */

/* Exchanges the off-diagonal blocks of size s of x and y. */
static void exchange(Gen *g, LLVMValueRef *x, LLVMValueRef *y, uint32_t lanes, uint32_t s) {
    LLVMValueRef low[CONTRACT_MAX_LANES], high[CONTRACT_MAX_LANES];
    for (uint32_t l = 0; l < lanes; l++) {
        low[l] = gen_i32(g, l & s ? lanes + l - s : l);
        high[l] = gen_i32(g, l & s ? lanes + l : l + s);
    }
    LLVMValueRef a = LLVMBuildShuffleVector(g->b, *x, *y, LLVMConstVector(low, lanes), "");
    LLVMValueRef b = LLVMBuildShuffleVector(g->b, *x, *y, LLVMConstVector(high, lanes), "");
    *x = a;
    *y = b;
}

void contract_transpose(Gen *g, LLVMValueRef *v, uint32_t lanes) {
    for (uint32_t s = lanes / 2; s > 0; s /= 2)
        for (uint32_t i = 0; i < lanes; i++)
            if (!(i & s)) exchange(g, &v[i], &v[i + s], lanes, s);
}

/* pack(from, to, stride, width): a whole square, whose lines are `stride` units apart where they
 * lie and `width` reals in the panel. One for all kernels: shuffles take longest of all to compile.
 */
static LLVMValueRef square_function(Contract *c, uint32_t lanes) {
    LLVMTypeRef unit = c->b.unit, types[] = {c->g->ptr, c->g->ptr, c->g->i64, c->g->i64};
    const char *name =
        arena_printf(c->g->ctx->arena, "pack%u%s", lanes, unit == c->g->real ? "" : ".short");
    Gen inner = *c->g, *g = &inner;
    LLVMValueRef line[CONTRACT_MAX_LANES];
    if (gen_shared(g, name, g->void_, types, 4)) return g->fn;
    LLVMValueRef from = LLVMGetParam(g->fn, 0), to = LLVMGetParam(g->fn, 1);
    for (uint32_t i = 0; i < lanes; i++) {
        line[i] = gen_real(g, gen_load(g, unit, from, lanes, NULL, NULL));
        from = gen_element_address(g, unit, from, LLVMGetParam(g->fn, 2));
    }
    contract_transpose(g, line, lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        gen_store(g, to, line[i], NULL);
        to = gen_element_address(g, g->real, to, LLVMGetParam(g->fn, 3));
    }
    LLVMBuildRetVoid(g->b);
    LLVMDisposeBuilder(g->b);
    return g->fn;
}

static void pack_whole_square(const Pack *pack, LLVMValueRef from, LLVMValueRef to, uint32_t v) {
    Contract *c = pack->c;
    Gen *g = c->g;
    uint32_t lanes = pack->columns->lanes;
    LLVMValueRef fn = square_function(c, lanes);
    LLVMValueRef args[] = {further(pack, from, c->b.column * v * lanes), ahead(pack, to, v * lanes),
                           gen_i64(g, c->b.column), gen_i64(g, pack->width)};
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, 4, "");
}

/* A square of the columns' vector v: `steps` steps of the last sum from `from` on, to the panel at
 * `to`. */
static void pack_square(const Pack *pack, LLVMValueRef from, LLVMValueRef to, uint32_t v,
                        uint32_t steps) {
    Contract *c = pack->c;
    Gen *g = c->g;
    const Columns *columns = pack->columns;
    uint32_t lanes = columns->lanes;
    LLVMValueRef line[CONTRACT_MAX_LANES];
    LLVMTypeRef unit = c->b.unit;
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, unit, lanes));
    LLVMValueRef none = LLVMConstNull(gen_vector(g, g->real, lanes));
    LLVMValueRef mask = steps < lanes ? gen_lane_mask(g, gen_i64(g, steps), lanes) : NULL;
    uint32_t valid = v + 1 == columns->count && columns->valid ? columns->valid : lanes;
    if (steps == lanes && valid == lanes && lanes >= 8) {
        pack_whole_square(pack, from, to, v);
        return;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        LLVMValueRef at = further(pack, from, c->b.column * (v * lanes + i));
        line[i] = none;
        if (i < valid)
            line[i] = gen_real(g, gen_load(g, unit, at, lanes, mask, mask ? zero : NULL));
    }
    contract_transpose(g, line, lanes);
    for (uint32_t i = 0; i < steps; i++)
        gen_store(g, ahead(pack, to, i * pack->width + v * lanes), line[i], NULL);
}

/* The last sum, along which b is adjacent. */
static LLVMValueRef pack_squares(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                                 int64_t turns) {
    Gen *g = pack->c->g;
    uint32_t lanes = pack->columns->lanes, rest = (uint32_t)(turns % lanes);
    int64_t full = turns - rest;
    if (full) {
        Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, full), gen_i64(g, lanes), "pack");
        LLVMValueRef next[2], out[2];
        LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
        for (uint32_t v = 0; v < pack->columns->count; v++)
            pack_square(pack, source, target, v, lanes);
        next[0] = further(pack, source, lanes);
        next[1] = ahead(pack, target, lanes * pack->width);
        loop_end(g, &loop, next, out);
        from = out[0];
        to = out[1];
    }
    for (uint32_t v = 0; rest && v < pack->columns->count; v++)
        pack_square(pack, from, to, v, rest);
    return ahead(pack, to, rest * pack->width);
}

/* ---- one step at a time
 * ----------------------------------------------------------------------------- */

static LLVMValueRef pack_step(const Pack *pack, LLVMValueRef from, LLVMValueRef to) {
    Contract *c = pack->c;
    Gen *g = c->g;
    const Columns *columns = pack->columns;
    uint32_t lanes = columns->lanes;
    LLVMTypeRef unit = c->b.unit;
    LLVMValueRef zero = LLVMConstNull(gen_vector(g, unit, lanes));
    for (uint32_t v = 0; v < columns->count; v++) {
        LLVMValueRef mask = v + 1 == columns->count ? columns->mask : NULL;
        LLVMValueRef distances = gen_iota(g, g->i64, lanes, c->b.column);
        LLVMValueRef first = further(pack, from, c->b.column * v * lanes);
        LLVMValueRef addresses = LLVMBuildGEP2(g->b, unit, first, &distances, 1, "");
        LLVMValueRef value = gen_gather(g, unit, addresses, lanes, mask, mask ? zero : NULL);
        gen_store(g, ahead(pack, to, v * lanes), gen_real(g, value), NULL);
    }
    return ahead(pack, to, pack->width);
}

/* The sums from `number` on; returns the end of what they have filled. */
static LLVMValueRef pack_sums(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                              uint32_t number) {
    Contract *c = pack->c;
    Gen *g = c->g;
    if (number == c->sums.len) return pack_step(pack, from, to);
    const Axis *axis = &c->sums.at[number];
    int64_t stride = contract_stride(&c->b, axis);
    bool is_last = number + 1 == c->sums.len;
    bool known = axis->turns >= (int64_t)pack->columns->lanes / 2 &&
                 (!pack->columns->mask || pack->columns->valid);
    if (is_last && stride == 1 && known && gen_has_masks(g))
        return pack_squares(pack, from, to, axis->turns);
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), "pack");
    LLVMValueRef next[2], out[2];
    LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
    next[1] = pack_sums(pack, source, target, number + 1);
    next[0] = further(pack, source, stride);
    loop_end(g, &loop, next, out);
    return out[1];
}

void contract_pack(Contract *c, const Point *p, Columns *columns) {
    Pack pack = {.c = c, .columns = columns, .width = columns->count * columns->lanes};
    LLVMValueRef panel = c->g->workspace;
    pack_sums(&pack, contract_address(c, p, &c->b), panel, 0);
    columns->panel = panel;
}
