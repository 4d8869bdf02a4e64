/* codegen/contract_pairs.c: operands of a contraction as pairs of bf16 along its last sum.
 *
 * in:   a contraction whose plan has a pair      out: of b a panel of pairs, column beside column,
 * for each pair of steps of the sums; of a, where it is not read in place, a copy of what the nest
 * will read of it
 *
 * The copy has the elements in the order in which they lie, so that a window that is read many
 * times is copied once. If a is adjacent along the last sum, an element of the copy is a bf16, and
 * a pair is two of them; if not, an element is the pair that begins there, and every second is
 * used. Behind an odd number of steps the second of a pair is zero in b and masked in a.
 */
#include "codegen/contract.h"

#include <stdlib.h>

enum { MOST_AXES = 24 };

/* The bits of `lanes` elements from memory, rounded if they are not yet; zero where masked. */
static LLVMValueRef load_rounded(Gen *g, LLVMTypeRef unit, LLVMValueRef address, uint32_t lanes,
                                 LLVMValueRef mask) {
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, unit, lanes)) : NULL;
    LLVMValueRef v = gen_load(g, unit, address, lanes, mask, zero);
    return unit == g->i16 ? v : bfloat_round(g, v);
}

/* ---- the copy of a --------------------------------------------------------------------------- */

/* What is copied: for each turn of `loops`, outer to inner, an interval of elements. */
typedef struct Part {
    Contract *c;
    const Axis *loops[MOST_AXES];
    int64_t from[MOST_AXES], to[MOST_AXES]; /* their strides */
    uint32_t nloops;
    LLVMValueRef low, length; /* of the interval: distance from the element at the first turns */
    int64_t most;             /* of length */
    int64_t apart;            /* from the first to the second of a pair */
    LLVMValueRef has_second;  /* where the last sum is one of the loops: is this not its end? */
    LLVMTypeRef source, unit;
} Part;

/* The axes along which a varies within the nest, those with the longest strides first. */
static uint32_t axes_of_a(const Contract *c, const Axis **axes) {
    uint32_t n = 0;
    const Axes *lists[] = {&c->middle, &c->sums};
    const Axis *all[MOST_AXES + 1];
    for (uint32_t l = 0; l < 2; l++)
        for (uint32_t i = 0; i < lists[l]->len && n < MOST_AXES; i++) all[n++] = &lists[l]->at[i];
    if (c->row && n < MOST_AXES) all[n++] = c->row;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t stride = llabs(contract_stride(&c->a, all[i]));
        if (stride == 0) continue;
        uint32_t at = count++;
        for (; at > 0 && llabs(contract_stride(&c->a, axes[at - 1])) < stride; at--)
            axes[at] = axes[at - 1];
        axes[at] = all[i];
    }
    return count;
}

/* The interval that the axes from `first` on reach over, at most. */
static int64_t reach_of(const Contract *c, const Axis *const *axes, uint32_t first, uint32_t n) {
    int64_t reach = 1;
    for (uint32_t i = first; i < n; i++)
        reach += llabs(contract_stride(&c->a, axes[i])) * (contract_most_turns(c, axes[i]) - 1);
    return reach;
}

/* The outer axes are loops as long as what is inside of them does not overlap; but an interval that
 * is nearly all of what lies there is copied as a whole. */
static uint32_t loops_of(const Contract *c, const Axis *const *axes, uint32_t n) {
    uint32_t loops = 0;
    while (loops < n &&
           reach_of(c, axes, loops + 1, n) <= llabs(contract_stride(&c->a, axes[loops])))
        loops++;
    while (loops > 0 &&
           4 * reach_of(c, axes, loops, n) >= 3 * llabs(contract_stride(&c->a, axes[loops - 1])))
        loops--;
    return loops;
}

static Part part_of(Contract *c) {
    Gen *g = c->g;
    Part part = {.c = c, .source = c->a.unit};
    const Axis *axes[MOST_AXES];
    uint32_t n = axes_of_a(c, axes);
    part.nloops = loops_of(c, axes, n);
    part.most = reach_of(c, axes, part.nloops, n);
    part.apart = contract_stride(&c->a, &c->sums.at[c->sums.len - 1]);
    part.unit = part.apart == 1 ? g->i16 : g->i32;
    int64_t to = part.most;
    for (uint32_t i = part.nloops; i-- > 0;) {
        part.loops[i] = axes[i];
        part.from[i] = contract_stride(&c->a, axes[i]);
        part.to[i] = to;
        to *= contract_most_turns(c, axes[i]);
    }
    part.low = gen_i64(g, 0);
    part.length = gen_i64(g, 1);
    for (uint32_t i = part.nloops; i < n; i++) {
        int64_t stride = contract_stride(&c->a, axes[i]);
        LLVMValueRef last = LLVMBuildSub(g->b, axes[i]->extent, gen_i64(g, 1), "");
        LLVMValueRef reach = LLVMBuildMul(g->b, last, gen_i64(g, llabs(stride)), "");
        part.length = LLVMBuildAdd(g->b, part.length, reach, "");
        if (stride < 0) part.low = LLVMBuildSub(g->b, part.low, reach, "");
    }
    return part;
}

bool contract_pairs_fit(Contract *c) {
    const Axis *axes[MOST_AXES];
    Gen *g = c->g;
    const Axis *last = &c->sums.at[c->sums.len - 1];
    if (c->a.unit == g->i16 && contract_stride(&c->a, last) == 1) return true;
    uint32_t n = axes_of_a(c, axes), loops = loops_of(c, axes, n);
    int64_t elements = reach_of(c, axes, loops, n);
    for (uint32_t i = 0; i < loops; i++) elements *= contract_most_turns(c, axes[i]);
    return elements * (contract_stride(&c->a, last) == 1 ? 2 : 4) <= c->kernel->blocking.copy_bytes;
}

/* The lanes whose elements have a second of a pair. */
static LLVMValueRef second_mask(const Part *part, LLVMValueRef left) {
    Gen *g = part->c->g;
    if (part->has_second) {
        LLVMValueRef all = left ? left : gen_i64(g, g->lanes);
        all = LLVMBuildSelect(g->b, part->has_second, all, gen_i64(g, 0), "");
        return gen_lane_mask(g, all, g->lanes);
    }
    if (!left) return NULL;
    return gen_lane_mask(g, LLVMBuildSub(g->b, left, gen_i64(g, part->apart), ""), g->lanes);
}

/* Elements from `at` of the interval on; `left` are in it from there (NULL: enough). */
static void copy_vector(const Part *part, LLVMValueRef from, LLVMValueRef to, LLVMValueRef at,
                        LLVMValueRef left) {
    Gen *g = part->c->g;
    LLVMValueRef mask = left ? gen_lane_mask(g, left, g->lanes) : NULL;
    LLVMValueRef address = gen_element_address(g, part->source, from, at);
    LLVMValueRef value = load_rounded(g, part->source, address, g->lanes, mask);
    if (part->unit == g->i32) {
        LLVMValueRef second = second_mask(part, left);
        address = gen_ahead(g, part->source, address, part->apart);
        value = bfloat_pairs(g, value, load_rounded(g, part->source, address, g->lanes, second));
    }
    gen_store(g, gen_element_address(g, part->unit, to, at), value, mask);
}

static void copy_interval(const Part *part, LLVMValueRef from, LLVMValueRef to) {
    Gen *g = part->c->g;
    LLVMValueRef lanes = gen_i64(g, g->lanes), zero = gen_i64(g, 0);
    int64_t behind = part->unit == g->i32 && !part->has_second ? part->apart : 0;
    LLVMValueRef safe = LLVMBuildSub(g->b, part->length, gen_i64(g, behind), "");
    LLVMValueRef is_short = LLVMBuildICmp(g->b, LLVMIntSLT, safe, zero, "");
    safe = LLVMBuildSelect(g->b, is_short, zero, safe, "");
    LLVMValueRef end = LLVMBuildSub(g->b, safe, LLVMBuildURem(g->b, safe, lanes, ""), "");
    Loop loop = loop_begin(g, zero, end, lanes, "copy");
    copy_vector(part, from, to, loop.counter, NULL);
    loop_end(g, &loop, NULL, NULL);
    loop = loop_begin(g, end, part->length, lanes, "copy");
    copy_vector(part, from, to, loop.counter, LLVMBuildSub(g->b, part->length, loop.counter, ""));
    loop_end(g, &loop, NULL, NULL);
}

static void copy_loops(Part *part, LLVMValueRef from, LLVMValueRef to, uint32_t number) {
    Gen *g = part->c->g;
    if (number == part->nloops) {
        copy_interval(part, from, to);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), part->loops[number]->extent, gen_i64(g, 1), "copies");
    LLVMValueRef next[2];
    from = loop_carry(g, &loop, from);
    to = loop_carry(g, &loop, to);
    const Axis *axis = part->loops[number], *last = &part->c->sums.at[part->c->sums.len - 1];
    if (axis == last) {
        LLVMValueRef after = LLVMBuildAdd(g->b, loop.counter, gen_i64(g, 1), "");
        part->has_second = LLVMBuildICmp(g->b, LLVMIntSLT, after, axis->extent, "");
    }
    copy_loops(part, from, to, number + 1);
    next[0] = gen_ahead(g, part->source, from, part->from[number]);
    next[1] = gen_ahead(g, part->unit, to, part->to[number]);
    loop_end(g, &loop, next, NULL);
}

/* The point at the first turns of the rows and of what is around them. */
static Point first_turns(Contract *c, const Point *p) {
    Gen *g = c->g;
    Point first = point_copy(g, p);
    for (uint32_t i = 0; i < c->middle.len; i++)
        point_set_axis(g, &first, &c->middle.at[i], gen_i64(g, 0));
    if (c->row) point_set_axis(g, &first, c->row, gen_i64(g, 0));
    return first;
}

/* The operand that the copy is: its strides, and such a base that the indices' values, which may
 * begin anywhere, lead into it. */
static Operand copied_operand(const Part *part, const Point *first, LLVMValueRef copy) {
    Contract *c = part->c;
    Gen *g = c->g;
    const Axis *axes[MOST_AXES];
    uint32_t n = axes_of_a(c, axes);
    Operand operand = {.tensor = c->a.tensor, .unit = part->unit};
    LLVMValueRef begin = LLVMBuildNeg(g->b, part->low, "");
    for (uint32_t i = 0; i < n; i++) {
        int64_t stride = i < part->nloops ? part->to[i] : contract_stride(&c->a, axes[i]);
        const Expr *atom = NULL;
        for (uint32_t t = 0; t < c->a.at.terms.len; t++)
            if (c->a.at.terms.at[t].atom->kind == EX_INDEX &&
                c->a.at.terms.at[t].atom->index == axes[i]->index)
                atom = c->a.at.terms.at[t].atom;
        vec_push(g->ctx->arena, &operand.at.terms, ((Term){stride, atom}));
        LLVMValueRef value = map_get(&first->values, axes[i]->index);
        if (!value) continue;
        value = LLVMBuildMul(g->b, value, gen_i64(g, stride), "");
        begin = LLVMBuildSub(g->b, begin, value, "");
    }
    operand.base = gen_element_address(g, part->unit, copy, begin);
    operand.row = contract_stride(&operand, c->row);
    return operand;
}

Operand contract_pairs_operand(Contract *c, const Point *p) {
    Gen *g = c->g;
    const Axis *last = &c->sums.at[c->sums.len - 1];
    if (c->a.unit == g->i16 && contract_stride(&c->a, last) == 1) return c->a;
    Part part = part_of(c);
    Point first = first_turns(c, p);
    const Blocking *blocking = &c->kernel->blocking;
    int64_t begin = blocking->workspace_bytes - blocking->copy_bytes;
    LLVMValueRef copy = gen_element_address(g, g->i8, g->workspace, gen_i64(g, begin));
    LLVMValueRef from = contract_address(c, &first, &c->a);
    from = gen_element_address(g, part.source, from, part.low);
    copy_loops(&part, from, copy, 0);
    return copied_operand(&part, &first, copy);
}

/* ---- the panel of b -------------------------------------------------------------------------- */

typedef struct Pack {
    Contract *c;
    const Columns *columns;
    uint32_t width; /* of the panel */
} Pack;

static LLVMValueRef last_mask(const Pack *pack, uint32_t v) {
    return v + 1 == pack->columns->count ? pack->columns->mask : NULL;
}

/* The bits of vector v of the columns. */
static LLVMValueRef column_bits(const Pack *pack, LLVMValueRef from, uint32_t v) {
    Contract *c = pack->c;
    Gen *g = c->g;
    uint32_t lanes = pack->columns->lanes;
    LLVMTypeRef unit = c->b.unit;
    LLVMValueRef mask = last_mask(pack, v);
    LLVMValueRef first = gen_ahead(g, unit, from, c->b.column * v * lanes);
    if (c->b.column == 1) return load_rounded(g, unit, first, lanes, mask);
    LLVMValueRef distances = gen_iota(g, g->i64, lanes, c->b.column);
    LLVMValueRef addresses = LLVMBuildGEP2(g->b, unit, first, &distances, 1, "");
    LLVMValueRef zero = mask ? LLVMConstNull(gen_vector(g, unit, lanes)) : NULL;
    LLVMValueRef value = gen_gather(g, unit, addresses, lanes, mask, zero);
    return unit == g->i16 ? value : bfloat_round(g, value);
}

/* Two steps of the last sum, or the last one alone. */
static LLVMValueRef pack_pair(const Pack *pack, LLVMValueRef from, LLVMValueRef to, bool alone) {
    Contract *c = pack->c;
    Gen *g = c->g;
    uint32_t lanes = pack->columns->lanes;
    int64_t stride = contract_stride(&c->b, &c->sums.at[c->sums.len - 1]);
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(g->i16, lanes));
    for (uint32_t v = 0; v < pack->columns->count; v++) {
        LLVMValueRef first = column_bits(pack, from, v);
        LLVMValueRef second =
            alone ? none : column_bits(pack, gen_ahead(g, c->b.unit, from, stride), v);
        gen_store(g, gen_ahead(g, g->i32, to, v * lanes), bfloat_pairs(g, first, second), NULL);
    }
    return gen_ahead(g, g->i32, to, pack->width);
}

static LLVMValueRef pack_each_pair(const Pack *pack, LLVMValueRef from, LLVMValueRef to) {
    Contract *c = pack->c;
    Gen *g = c->g;
    const Axis *axis = &c->sums.at[c->sums.len - 1];
    int64_t stride = contract_stride(&c->b, axis);
    LLVMValueRef one = gen_i64(g, 1), rest = LLVMBuildAnd(g->b, axis->extent, one, "");
    LLVMValueRef end = LLVMBuildSub(g->b, axis->extent, rest, ""), next[2], out[2];
    Loop loop = loop_begin(g, gen_i64(g, 0), end, gen_i64(g, 2), "pack");
    LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
    next[1] = pack_pair(pack, source, target, false);
    next[0] = gen_ahead(g, c->b.unit, source, 2 * stride);
    loop_end(g, &loop, next, out);
    if (axis->turns >= 0 && axis->turns % 2 == 0) return out[1];
    if (axis->turns >= 0) return pack_pair(pack, out[0], out[1], true);
    loop = loop_begin(g, gen_i64(g, 0), rest, one, "pack");
    target = loop_carry(g, &loop, out[1]);
    next[0] = pack_pair(pack, out[0], target, true);
    loop_end(g, &loop, next, out);
    return out[0];
}

/* Elements of one column, of which `valid` are there, as pairs. */
static LLVMValueRef line_of_pairs(const Pack *pack, LLVMValueRef address, uint32_t valid) {
    Gen *g = pack->c->g;
    LLVMTypeRef unit = pack->c->b.unit;
    uint32_t lanes = pack->columns->lanes;
    LLVMValueRef halves[2], order[2 * CONTRACT_MAX_LANES];
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t begin = h * lanes, here = valid > begin ? valid - begin : 0;
        LLVMValueRef mask = here < lanes ? gen_lane_mask(g, gen_i64(g, here), lanes) : NULL;
        halves[h] = here ? load_rounded(g, unit, gen_ahead(g, unit, address, begin), lanes, mask)
                         : LLVMConstNull(LLVMVectorType(g->i16, lanes));
    }
    for (uint32_t l = 0; l < 2 * lanes; l++) order[l] = gen_i32(g, l);
    LLVMValueRef all =
        LLVMBuildShuffleVector(g->b, halves[0], halves[1], LLVMConstVector(order, 2 * lanes), "");
    return LLVMBuildBitCast(g->b, all, LLVMVectorType(g->i32, lanes), "");
}

/* 2 * lanes steps of the last sum, or the `steps` that are left, of vector v of the columns. */
static void pack_square(const Pack *pack, LLVMValueRef from, LLVMValueRef to, uint32_t v,
                        uint32_t steps) {
    Contract *c = pack->c;
    Gen *g = c->g;
    uint32_t lanes = pack->columns->lanes;
    LLVMValueRef line[CONTRACT_MAX_LANES];
    bool is_last = v + 1 == pack->columns->count && pack->columns->valid;
    uint32_t valid = is_last ? pack->columns->valid : lanes;
    for (uint32_t i = 0; i < lanes; i++) {
        LLVMValueRef at = gen_ahead(g, c->b.unit, from, c->b.column * (v * lanes + i));
        line[i] = i < valid ? line_of_pairs(pack, at, steps)
                            : LLVMConstNull(LLVMVectorType(g->i32, lanes));
    }
    contract_transpose(g, line, lanes);
    for (uint32_t i = 0; i < (steps + 1) / 2; i++)
        gen_store(g, gen_ahead(g, g->i32, to, i * pack->width + v * lanes), line[i], NULL);
}

static LLVMValueRef pack_squares(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                                 int64_t turns) {
    Contract *c = pack->c;
    Gen *g = c->g;
    uint32_t steps = 2 * pack->columns->lanes, rest = (uint32_t)(turns % steps);
    if (turns > rest) {
        LLVMValueRef end = gen_i64(g, turns - rest), next[2], out[2];
        Loop loop = loop_begin(g, gen_i64(g, 0), end, gen_i64(g, steps), "pack");
        LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
        for (uint32_t v = 0; v < pack->columns->count; v++)
            pack_square(pack, source, target, v, steps);
        next[0] = gen_ahead(g, c->b.unit, source, steps);
        next[1] = gen_ahead(g, g->i32, target, pack->columns->lanes * pack->width);
        loop_end(g, &loop, next, out);
        from = out[0];
        to = out[1];
    }
    for (uint32_t v = 0; rest && v < pack->columns->count; v++)
        pack_square(pack, from, to, v, rest);
    return gen_ahead(g, g->i32, to, (rest + 1) / 2 * pack->width);
}

/* The sums from `number` on; returns the end of what they have filled. */
static LLVMValueRef pack_sums(const Pack *pack, LLVMValueRef from, LLVMValueRef to,
                              uint32_t number) {
    Contract *c = pack->c;
    Gen *g = c->g;
    const Axis *axis = &c->sums.at[number];
    int64_t stride = contract_stride(&c->b, axis);
    if (number + 1 == c->sums.len) {
        bool known = axis->turns >= 0 && (!pack->columns->mask || pack->columns->valid);
        bool transposes = stride == 1 && c->b.column != 1 && known;
        return transposes ? pack_squares(pack, from, to, axis->turns)
                          : pack_each_pair(pack, from, to);
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), axis->extent, gen_i64(g, 1), "pack");
    LLVMValueRef next[2], out[2];
    LLVMValueRef source = loop_carry(g, &loop, from), target = loop_carry(g, &loop, to);
    next[1] = pack_sums(pack, source, target, number + 1);
    next[0] = gen_ahead(g, c->b.unit, source, stride);
    loop_end(g, &loop, next, out);
    return out[1];
}

void contract_pairs_pack(Contract *c, const Point *p, const Columns *columns) {
    Pack pack = {.c = c, .columns = columns, .width = columns->count * columns->lanes};
    pack_sums(&pack, contract_address(c, p, &c->b), columns->panel, 0);
}
