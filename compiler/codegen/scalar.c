/* codegen/scalar.c: expressions to values, for one point or for a vector of points.
 *
 * A value that is the same in all lanes is kept scalar as long as possible and spread only where it
 * meets one that differs (`value`, `integer`); the external functions spread it at the end. What
 * was computed at a point is in Point.known and computed once.
 *
 * Memory: a read is unconditional only when its subscripts are inside for all values of the
 * indices. All others are masked, also those without `else` that are proved under a condition of
 * an `if`: both sides of an `if` are evaluated.
 */
#include "codegen/emit.h"

#include <math.h>

/* ---- points --------------------------------------------------------------------------------- */

Point point_new(Gen *g, Index *along, uint32_t lanes, LLVMValueRef mask) {
    Point p = {.along = along, .lanes = lanes, .mask = mask};
    for (uint32_t i = 0; i < g->enclosing.len; i++) {
        const MapEntry *entry = &g->enclosing.entries[i];
        if (entry->value) map_set(g->ctx->arena, &p.values, entry->key, entry->value);
    }
    return p;
}

static Map map_copy(Gen *g, const Map *map) {
    Map copy = {0};
    for (uint32_t i = 0; i < map->len; i++)
        map_set(g->ctx->arena, &copy, map->entries[i].key, map->entries[i].value);
    return copy;
}

Point point_copy(Gen *g, const Point *p) {
    Point copy = *p;
    copy.values = map_copy(g, &p->values);
    copy.known = map_copy(g, &p->known);
    return copy;
}

void point_set(Gen *g, Point *p, const Index *index, LLVMValueRef value) {
    map_set(g->ctx->arena, &p->values, index, value);
}

void point_know(Gen *g, Point *p, const Expr *e, LLVMValueRef value) {
    map_set(g->ctx->arena, &p->known, e, value);
    /* A class read may come wrapped as 0 + 1 * read. */
    if (e->kind == EX_AFFINE && e->affine.nterms == 1 && e->affine.offset == 0 &&
        e->affine.terms[0].coefficient == 1)
        map_set(g->ctx->arena, &p->known, e->affine.terms[0].atom, value);
}

/* ---- lanes ---------------------------------------------------------------------------------- */

static bool is_vector(LLVMValueRef v) {
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

static LLVMValueRef spread(Gen *g, const Point *p, LLVMValueRef v) {
    return is_vector(v) ? v : gen_splat(g, v, p->lanes);
}

static void make_alike(Gen *g, const Point *p, LLVMValueRef *a, LLVMValueRef *b) {
    if (is_vector(*a) && !is_vector(*b)) *b = spread(g, p, *b);
    if (is_vector(*b) && !is_vector(*a)) *a = spread(g, p, *a);
}

static LLVMTypeRef like(Gen *g, LLVMValueRef shape, LLVMTypeRef element) {
    return is_vector(shape) ? LLVMVectorType(element, LLVMGetVectorSize(LLVMTypeOf(shape)))
                            : element;
}

static LLVMValueRef and_masks(Gen *g, const Point *p, LLVMValueRef a, LLVMValueRef b) {
    if (!a) return b;
    if (!b) return a;
    make_alike(g, p, &a, &b);
    return LLVMBuildAnd(g->b, a, b, "");
}

/* ---- integers ------------------------------------------------------------------------------- */

/* Integers are i64, or i32 where that is known to be enough: half the work in vectors. `type` says
 * which is wanted; results are exact modulo 2^32 or 2^64. */
static LLVMValueRef integer(Gen *g, Point *p, const Expr *e, LLVMTypeRef type);
static LLVMValueRef value(Gen *g, Point *p, const Expr *e);
static LLVMValueRef read_element(Gen *g, Point *p, const Expr *e);

static bool fits_i32(const Expr *e) {
    int64_t low, high;
    ir_bounds(e, &low, &high);
    return low >= INT32_MIN && high <= INT32_MAX;
}

static LLVMValueRef resize(Gen *g, LLVMValueRef v, LLVMTypeRef type) {
    return LLVMBuildIntCast2(g->b, v, like(g, v, type), true, "");
}

static LLVMValueRef index_value(Gen *g, const Point *p, const Index *index) {
    LLVMValueRef v = map_get(&p->values, index);
    if (!v) DLC_BUG(g->ctx, (Span){0}, "the index `%s` has no value here", index->name);
    return v;
}

static LLVMValueRef scaled(Gen *g, LLVMValueRef v, int64_t factor) {
    return factor == 1 ? v : LLVMBuildMul(g->b, v, gen_int_like(g, v, factor), "");
}

static LLVMValueRef sum_of(Gen *g, LLVMValueRef a, LLVMValueRef b) {
    return a ? LLVMBuildAdd(g->b, a, b, "") : b;
}

/* offset + sum of coefficient * atom. The lanes of `along` are a constant vector, so that only one
 * addition is done on vectors. */
static LLVMValueRef affine(Gen *g, Point *p, const Term *terms, uint32_t n, int64_t offset,
                           LLVMTypeRef type) {
    LLVMValueRef scalars = NULL, vectors = NULL;
    int64_t stride = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Expr *atom = terms[i].atom;
        bool is_index = atom->kind == EX_INDEX;
        LLVMValueRef v =
            is_index ? resize(g, index_value(g, p, atom->index), type) : integer(g, p, atom, type);
        if (is_index && atom->index == p->along) stride = terms[i].coefficient;
        v = scaled(g, v, terms[i].coefficient);
        if (is_vector(v))
            vectors = sum_of(g, vectors, v);
        else
            scalars = sum_of(g, scalars, v);
    }
    LLVMValueRef constant = gen_int_like(g, LLVMConstNull(type), offset);
    scalars = scalars ? sum_of(g, scalars, constant) : constant;
    if (stride && p->lanes > 1) {
        LLVMValueRef lanes = gen_iota(g, type, p->lanes, stride);
        vectors = vectors ? LLVMBuildAdd(g->b, vectors, lanes, "") : lanes;
    }
    return vectors ? LLVMBuildAdd(g->b, spread(g, p, scalars), vectors, "") : scalars;
}

/* floor(a / n) and a mod n for n > 0. Never-negative numbers use the unsigned forms, which need no
 * correction. */
static LLVMValueRef divided(Gen *g, Point *p, const Expr *e, LLVMTypeRef type) {
    int64_t low, high;
    ir_bounds(e->div.num, &low, &high);
    bool narrow = low >= INT32_MIN && high <= INT32_MAX && e->div.den <= INT32_MAX;
    LLVMValueRef a = integer(g, p, e->div.num, narrow ? g->i32 : g->i64);
    LLVMValueRef n = gen_int_like(g, a, e->div.den);
    bool is_mod = e->kind == EX_MOD;
    LLVMValueRef r;
    if (low >= 0) {
        r = is_mod ? LLVMBuildURem(g->b, a, n, "") : LLVMBuildUDiv(g->b, a, n, "");
    } else {
        LLVMValueRef rest = LLVMBuildSRem(g->b, a, n, "");
        LLVMValueRef zero = gen_int_like(g, a, 0);
        LLVMValueRef negative = LLVMBuildICmp(g->b, LLVMIntSLT, rest, zero, "");
        LLVMValueRef correction =
            LLVMBuildSelect(g->b, negative, is_mod ? n : gen_int_like(g, a, -1), zero, "");
        r = LLVMBuildAdd(g->b, is_mod ? rest : LLVMBuildSDiv(g->b, a, n, ""), correction, "");
    }
    return resize(g, r, type);
}

static LLVMValueRef integer_op(Gen *g, Point *p, const Expr *e, LLVMTypeRef type) {
    LLVMTypeRef inner = g->i64;
    if (e->op.op == OP_SELECT) {
        LLVMValueRef c = value(g, p, e->op.args[0]);
        LLVMValueRef a = integer(g, p, e->op.args[1], type);
        LLVMValueRef b = integer(g, p, e->op.args[2], type);
        make_alike(g, p, &a, &b);
        if (is_vector(c)) a = spread(g, p, a), b = spread(g, p, b);
        return LLVMBuildSelect(g->b, c, a, b, "");
    }
    if (e->op.op == OP_STOP) return integer(g, p, e->op.args[0], type);
    DLC_ASSERT(g->ctx, e->op.op == OP_MAX || e->op.op == OP_MIN, (Span){0});
    if (fits_i32(e->op.args[0]) && fits_i32(e->op.args[1])) inner = g->i32;
    LLVMValueRef a = integer(g, p, e->op.args[0], inner);
    LLVMValueRef b = integer(g, p, e->op.args[1], inner);
    make_alike(g, p, &a, &b);
    LLVMIntPredicate wins = e->op.op == OP_MAX ? LLVMIntSGT : LLVMIntSLT;
    LLVMValueRef first = LLVMBuildICmp(g->b, wins, a, b, "");
    return resize(g, LLVMBuildSelect(g->b, first, a, b, ""), type);
}

static LLVMValueRef integer(Gen *g, Point *p, const Expr *e, LLVMTypeRef type) {
    LLVMValueRef known = map_get(&p->known, e);
    if (known) return resize(g, known, type);
    switch ((int)e->kind) {
    case EX_AFFINE: return affine(g, p, e->affine.terms, e->affine.nterms, e->affine.offset, type);
    case EX_INDEX: return affine(g, p, &(Term){1, e}, 1, 0, type);
    case EX_FLOORDIV:
    case EX_MOD: return divided(g, p, e, type);
    case EX_OP: return integer_op(g, p, e, type);
    case EX_READ:
        known = read_element(g, p, e);
        point_know(g, p, e, known);
        return resize(g, known, type);
    }
    DLC_BUG(g->ctx, (Span){0}, "this cannot be the value of an integer");
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* Where an element is: address of the first lane; the distance to the next lane's in elements, or
 * a vector of distances from `first`. */
typedef struct Where {
    LLVMValueRef first;
    int64_t stride;
    LLVMValueRef distances; /* NULL: stride holds */
} Where;

static int order_of(const Point *p, const Term *term) {
    if (term->atom->kind != EX_INDEX) return -1;
    for (uint32_t i = 0; i < p->values.len; i++)
        if (p->values.entries[i].key == term->atom->index) return (int)i;
    return (int)p->values.len;
}

/* Outer loops first: what an inner loop does not change stands at the front of the sum, where LLVM
 * can move it out of that loop. */
static void sort_terms(const Point *p, Linear *sum) {
    for (uint32_t i = 1; i < sum->terms.len; i++) {
        Term term = sum->terms.at[i];
        uint32_t j = i;
        for (; j > 0 && order_of(p, &sum->terms.at[j - 1]) > order_of(p, &term); j--)
            sum->terms.at[j] = sum->terms.at[j - 1];
        sum->terms.at[j] = term;
    }
}

static bool terms_fit_i32(const Linear *sum) {
    double largest = 0;
    for (uint32_t i = 0; i < sum->terms.len; i++) {
        int64_t low, high;
        ir_bounds(sum->terms.at[i].atom, &low, &high);
        if (low < INT32_MIN || high > INT32_MAX) return false;
        double reach = (double)(low < -high ? -low : high);
        double coefficient = (double)sum->terms.at[i].coefficient;
        largest += reach * (coefficient < 0 ? -coefficient : coefficient);
    }
    return largest < INT32_MAX;
}

static Where locate(Gen *g, Point *p, const Tensor *tensor, const Expr *const *subs) {
    Linear sum = linear_address(g, tensor, subs);
    LLVMTypeRef element = gen_element(g, tensor);
    Where where = {.first = gen_base(g, tensor)};
    Linear varying = {0};
    sort_terms(p, &sum);
    LLVMValueRef before = NULL;
    for (uint32_t i = 0; i < sum.terms.len; i++) {
        const Term *term = &sum.terms.at[i];
        const Expr *atom = term->atom;
        bool is_along = atom->kind == EX_INDEX && atom->index == p->along;
        if (is_along) where.stride = term->coefficient;
        LLVMValueRef v = is_along ? index_value(g, p, p->along) : integer(g, p, atom, g->i64);
        if (is_vector(v)) {
            vec_push(g->ctx->arena, &varying.terms, *term);
            continue;
        }
        v = scaled(g, v, term->coefficient);
        if (i + 1 == sum.terms.len && before) {
            where.first = gen_element_address(g, element, where.first, before);
            before = v;
        } else {
            before = sum_of(g, before, v);
        }
    }
    if (before) where.first = gen_element_address(g, element, where.first, before);
    if (sum.offset)
        where.first = gen_element_address(g, element, where.first, gen_i64(g, sum.offset));
    if (p->lanes == 1) where.stride = 0;
    if (!varying.terms.len) return where;
    LLVMTypeRef type = terms_fit_i32(&varying) ? g->i32 : g->i64;
    where.distances = affine(g, p, varying.terms.at, varying.terms.len, 0, type);
    if (where.stride)
        where.distances =
            LLVMBuildAdd(g->b, where.distances, gen_iota(g, type, p->lanes, where.stride), "");
    return where;
}

/* A vector of pointers. The distances are i32 where they can be: gathers are then full width. */
static LLVMValueRef lane_addresses(Gen *g, const Point *p, const Where *where,
                                   LLVMTypeRef element) {
    LLVMValueRef distances = where->distances;
    if (!distances) {
        bool narrow = where->stride < INT32_MAX / 64 && where->stride > INT32_MIN / 64;
        distances = gen_iota(g, narrow ? g->i32 : g->i64, p->lanes, where->stride);
    }
    return gen_element_address(g, element, where->first, distances);
}

LLVMValueRef scalar_address(Gen *g, Point *p, const Tensor *tensor, const Expr *const *subs,
                            int64_t *stride) {
    Where where = locate(g, p, tensor, subs);
    *stride = where.distances ? INT64_MIN : where.stride;
    return where.first;
}

/* ---- reads ---------------------------------------------------------------------------------- */

/* Is the subscript inside? NULL when it always is. */
static LLVMValueRef guard(Gen *g, Point *p, const Expr *sub, int64_t extent) {
    if (ir_inside(g->ctx, sub, extent, NULL, 0)) return NULL;
    bool narrow = extent != EXTENT_BATCH && extent <= INT32_MAX && fits_i32(sub);
    LLVMValueRef v = integer(g, p, sub, narrow ? g->i32 : g->i64);
    LLVMValueRef limit = gen_int_like(g, v, extent);
    if (extent == EXTENT_BATCH) limit = is_vector(v) ? spread(g, p, g->n) : g->n;
    return LLVMBuildICmp(g->b, LLVMIntULT, v, limit, "inside");
}

static LLVMValueRef shuffle(Gen *g, LLVMValueRef a, LLVMValueRef b, const uint32_t *lanes,
                            uint32_t n) {
    LLVMValueRef numbers[64];
    for (uint32_t l = 0; l < n; l++) numbers[l] = gen_i32(g, lanes[l]);
    return LLVMBuildShuffleVector(g->b, a, b, LLVMConstVector(numbers, n), "");
}

static LLVMValueRef address_after(Gen *g, LLVMTypeRef element, LLVMValueRef address, int64_t by) {
    return gen_element_address(g, element, address, gen_i64(g, by));
}

/* Every second element: two loads and a shuffle. The second load ends at the last element wanted,
 * so nothing behind it is touched: lanes first .. first+L-1 and first+L-1 .. first+2L-2. */
static LLVMValueRef load_every_second(Gen *g, LLVMTypeRef element, LLVMValueRef first,
                                      uint32_t lanes) {
    uint32_t numbers[64];
    LLVMValueRef low = gen_load(g, element, first, lanes, NULL, NULL);
    LLVMValueRef high = gen_load(g, element, address_after(g, element, first, (int64_t)lanes - 1),
                                 lanes, NULL, NULL);
    for (uint32_t l = 0; l < lanes; l++) numbers[l] = 2 * l < lanes ? 2 * l : 2 * l + 1;
    return shuffle(g, low, high, numbers, lanes);
}

static LLVMValueRef load_reversed(Gen *g, LLVMTypeRef element, LLVMValueRef first, uint32_t lanes) {
    uint32_t numbers[64];
    LLVMValueRef last = address_after(g, element, first, 1 - (int64_t)lanes);
    LLVMValueRef v = gen_load(g, element, last, lanes, NULL, NULL);
    for (uint32_t l = 0; l < lanes; l++) numbers[l] = lanes - 1 - l;
    return shuffle(g, v, LLVMGetPoison(LLVMTypeOf(v)), numbers, lanes);
}

/* The elements at `where`; lanes outside `inside` (scalar or vector, or NULL) are `otherwise`. */
static LLVMValueRef load_lanes(Gen *g, Point *p, const Where *where, LLVMTypeRef element,
                               LLVMValueRef inside, LLVMValueRef otherwise) {
    LLVMValueRef mask = and_masks(g, p, p->mask, inside);
    if (mask) mask = spread(g, p, mask);
    if (otherwise) otherwise = spread(g, p, otherwise);
    if (!where->distances && where->stride == 1)
        return gen_load(g, element, where->first, p->lanes, mask, otherwise);
    if (!where->distances && !mask && where->stride == 2)
        return load_every_second(g, element, where->first, p->lanes);
    if (!where->distances && !mask && where->stride == -1)
        return load_reversed(g, element, where->first, p->lanes);
    return gen_gather(g, element, lane_addresses(g, p, where, element), p->lanes, mask, otherwise);
}

/* One element for all lanes; `inside` is scalar. Outside, the first element of the tensor is read
 * instead and not used: a branch would keep the loop from being one block. */
static LLVMValueRef load_one(Gen *g, const Tensor *tensor, LLVMValueRef address,
                             LLVMValueRef inside) {
    if (inside) address = LLVMBuildSelect(g->b, inside, address, gen_base(g, tensor), "");
    return gen_load(g, gen_element(g, tensor), address, 1, NULL, NULL);
}

/* What a read is outside; NULL: it never is. */
static LLVMValueRef value_outside(Gen *g, Point *p, const Expr *e, LLVMValueRef inside) {
    const Expr *otherwise = e->read.otherwise;
    if (!inside) return NULL;
    if (e->read.tensor->classes)
        return otherwise ? integer(g, p, otherwise, g->i32) : gen_i32(g, 0);
    return otherwise ? value(g, p, otherwise) : LLVMConstReal(g->real, 0);
}

/* Lanes that are not inside are `otherwise`, which is chosen when what was loaded is a real. */
static LLVMValueRef load_rounded(Gen *g, Point *p, const Where *where, LLVMValueRef inside,
                                 LLVMValueRef otherwise) {
    LLVMValueRef v = gen_real(g, load_lanes(g, p, where, g->i16, inside, NULL));
    if (!inside) return v;
    inside = spread(g, p, inside);
    return LLVMBuildSelect(g->b, inside, v, spread(g, p, otherwise), "");
}

/* Real, or i64 for classes. */
static LLVMValueRef read_element(Gen *g, Point *p, const Expr *e) {
    const Tensor *tensor = e->read.tensor;
    LLVMTypeRef element = gen_element(g, tensor);
    LLVMValueRef inside = NULL;
    for (uint32_t d = 0; d < tensor->rank; d++)
        inside = and_masks(g, p, inside, guard(g, p, e->read.subs[d], tensor->dims[d]));
    LLVMValueRef otherwise = value_outside(g, p, e, inside);
    Where where = locate(g, p, tensor, e->read.subs);
    LLVMValueRef v;
    if (!where.distances && where.stride == 0 && !(inside && is_vector(inside))) {
        v = gen_real(g, load_one(g, tensor, where.first, inside));
        if (inside && is_vector(otherwise)) v = spread(g, p, v);
        if (inside) v = LLVMBuildSelect(g->b, inside, v, otherwise, "");
    } else if (element == g->i16) {
        v = load_rounded(g, p, &where, inside, otherwise);
    } else {
        v = load_lanes(g, p, &where, element, inside, otherwise);
    }
    return tensor->classes ? resize(g, v, g->i64) : v;
}

/* ---- operations ----------------------------------------------------------------------------- */

/* x^2, x^3, x^4 and 1/x: what library code and derivatives of it are full of. */
static LLVMValueRef power(Gen *g, Point *p, LLVMValueRef a, const Expr *exponent) {
    if (ir_is_number(exponent, 1)) return a;
    if (ir_is_number(exponent, -1)) return LLVMBuildFDiv(g->b, gen_real_like(g, a, 1), a, "");
    if (ir_is_number(exponent, 2)) return LLVMBuildFMul(g->b, a, a, "");
    if (ir_is_number(exponent, 3) || ir_is_number(exponent, 4)) {
        LLVMValueRef square = LLVMBuildFMul(g->b, a, a, "");
        return LLVMBuildFMul(g->b, square, ir_is_number(exponent, 3) ? a : square, "");
    }
    LLVMValueRef b = value(g, p, exponent);
    make_alike(g, p, &a, &b);
    return vecmath(g, OP_POW, a, b);
}

static LLVMValueRef choose(Gen *g, LLVMRealPredicate wins, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, wins, a, b, ""), a, b, "");
}

static LLVMValueRef reciprocal(Gen *g, LLVMValueRef a) {
    return LLVMBuildFDiv(g->b, gen_real_like(g, a, 1), a, "");
}

/* a / b for lanes of a and one b: multiplications by what is computed once. 1 / b would overflow or
 * lose digits at the ends of the range: such a b is brought to the middle, and a with it. A root is
 * never so near to them; its reciprocal leaves the loops in which it does not change. */
static LLVMValueRef divide_lanes(Gen *g, const Point *p, LLVMValueRef a, LLVMValueRef b) {
    double far = g->f64_real ? 0x1p512 : 0x1p64;
    LLVMValueRef one = gen_real_like(g, b, 1), size = vecmath(g, OP_ABS, b, NULL);
    LLVMValueRef is_small =
        LLVMBuildFCmp(g->b, LLVMRealOLT, size, gen_real_like(g, b, 1 / far), "");
    LLVMValueRef is_large = LLVMBuildFCmp(g->b, LLVMRealOGT, size, gen_real_like(g, b, far), "");
    LLVMValueRef scale = LLVMBuildSelect(g->b, is_small, gen_real_like(g, b, far), one, "");
    scale = LLVMBuildSelect(g->b, is_large, gen_real_like(g, b, 1 / far), scale, "");
    b = reciprocal(g, LLVMBuildFMul(g->b, b, scale, ""));
    a = LLVMBuildFMul(g->b, a, spread(g, p, scale), "");
    return LLVMBuildFMul(g->b, a, spread(g, p, b), "");
}

/* By a whole number a division is exact where it can be, so that its floor is right; by others it
 * is a multiplication. */
static LLVMValueRef divide_by_number(Gen *g, LLVMValueRef a, double number) {
    double size = fabs(number);
    bool is_normal = size > 1e-30 && size < 1e30;
    if (!is_normal || number == floor(number))
        return LLVMBuildFDiv(g->b, a, gen_real_like(g, a, number), "");
    return LLVMBuildFMul(g->b, a, gen_real_like(g, a, 1 / number), "");
}

static LLVMValueRef divide(Gen *g, Point *p, const Expr *e) {
    const Expr *divisor = e->op.args[1];
    LLVMValueRef a = value(g, p, e->op.args[0]);
    if (divisor->kind == EX_NUMBER) return divide_by_number(g, a, divisor->number);
    LLVMValueRef b = value(g, p, divisor);
    bool is_root = divisor->kind == EX_OP && divisor->op.op == OP_SQRT;
    if (is_root && (is_vector(a) || is_vector(b))) b = reciprocal(g, b);
    if (is_vector(a) && !is_vector(b) && !is_root) return divide_lanes(g, p, a, b);
    make_alike(g, p, &a, &b);
    if (is_root && is_vector(a)) return LLVMBuildFMul(g->b, a, b, "");
    return LLVMBuildFDiv(g->b, a, b, "");
}

static LLVMValueRef real_op(Gen *g, Point *p, const Expr *e) {
    if (e->op.op == OP_DIV) return divide(g, p, e);
    LLVMValueRef a = value(g, p, e->op.args[0]), b = NULL;
    if (e->op.op == OP_POW) return power(g, p, a, e->op.args[1]);
    if (e->op.nargs > 1) {
        b = value(g, p, e->op.args[1]);
        make_alike(g, p, &a, &b);
    }
    switch (e->op.op) {
    case OP_ADD: return LLVMBuildFAdd(g->b, a, b, "");
    case OP_SUB: return LLVMBuildFSub(g->b, a, b, "");
    case OP_MUL: return LLVMBuildFMul(g->b, a, b, "");
    case OP_NEG: return LLVMBuildFNeg(g->b, a, "");
    case OP_MAX: return choose(g, LLVMRealOGT, a, b);
    case OP_MIN: return choose(g, LLVMRealOLT, a, b);
    case OP_STOP: return a;
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_SQRT:
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_LOGISTIC:
    case OP_LOG1PEXP:
    case OP_TANH:
    case OP_SIN:
    case OP_COS:
    case OP_ERF: return vecmath(g, e->op.op, a, NULL);
    case OP_DIV:
    case OP_POW:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_SELECT:
    case OPS: break;
    }
    DLC_BUG(g->ctx, (Span){0}, "`%s` is not an operation on real numbers", op_text(e->op.op));
}

static LLVMValueRef comparison(Gen *g, Point *p, const Expr *e) {
    static const LLVMIntPredicate on_integers[] = {[OP_EQ] = LLVMIntEQ,  [OP_NE] = LLVMIntNE,
                                                   [OP_LT] = LLVMIntSLT, [OP_LE] = LLVMIntSLE,
                                                   [OP_GT] = LLVMIntSGT, [OP_GE] = LLVMIntSGE};
    static const LLVMRealPredicate on_reals[] = {[OP_EQ] = LLVMRealOEQ, [OP_NE] = LLVMRealUNE,
                                                 [OP_LT] = LLVMRealOLT, [OP_LE] = LLVMRealOLE,
                                                 [OP_GT] = LLVMRealOGT, [OP_GE] = LLVMRealOGE};
    const Expr *x = e->op.args[0], *y = e->op.args[1];
    bool is_int = x->type == TY_INT;
    LLVMTypeRef type = is_int && fits_i32(x) && fits_i32(y) ? g->i32 : g->i64;
    LLVMValueRef a = is_int ? integer(g, p, x, type) : value(g, p, x);
    LLVMValueRef b = is_int ? integer(g, p, y, type) : value(g, p, y);
    make_alike(g, p, &a, &b);
    return is_int ? LLVMBuildICmp(g->b, on_integers[e->op.op], a, b, "")
                  : LLVMBuildFCmp(g->b, on_reals[e->op.op], a, b, "");
}

static LLVMValueRef truth_op(Gen *g, Point *p, const Expr *e) {
    if (e->op.op != OP_AND && e->op.op != OP_OR && e->op.op != OP_NOT) return comparison(g, p, e);
    LLVMValueRef a = value(g, p, e->op.args[0]);
    if (e->op.op == OP_NOT) return LLVMBuildNot(g->b, a, "");
    LLVMValueRef b = value(g, p, e->op.args[1]);
    make_alike(g, p, &a, &b);
    return e->op.op == OP_AND ? LLVMBuildAnd(g->b, a, b, "") : LLVMBuildOr(g->b, a, b, "");
}

static LLVMValueRef select_op(Gen *g, Point *p, const Expr *e) {
    LLVMValueRef c = value(g, p, e->op.args[0]);
    if (LLVMIsAConstantInt(c)) return value(g, p, e->op.args[LLVMConstIntGetZExtValue(c) ? 1 : 2]);
    LLVMValueRef a = value(g, p, e->op.args[1]), b = value(g, p, e->op.args[2]);
    make_alike(g, p, &a, &b);
    if (is_vector(c)) a = spread(g, p, a), b = spread(g, p, b);
    return LLVMBuildSelect(g->b, c, a, b, "");
}

static LLVMValueRef real_of(Gen *g, Point *p, const Expr *e) {
    LLVMValueRef v = integer(g, p, e, fits_i32(e) ? g->i32 : g->i64);
    return LLVMBuildSIToFP(g->b, v, like(g, v, g->real), "");
}

static LLVMValueRef compute(Gen *g, Point *p, const Expr *e) {
    switch (e->kind) {
    case EX_NUMBER: return LLVMConstReal(g->real, e->number);
    case EX_TRUTH: return LLVMConstInt(g->i1, e->truth, false);
    case EX_AFFINE:
    case EX_INDEX:
    case EX_FLOORDIV:
    case EX_MOD: return integer(g, p, e, g->i64);
    case EX_REAL: return real_of(g, p, e->integer);
    case EX_OP:
        if (e->type == TY_INT) return integer(g, p, e, g->i64);
        if (e->op.op == OP_SELECT) return select_op(g, p, e);
        return e->type == TY_BOOL ? truth_op(g, p, e) : real_op(g, p, e);
    case EX_READ: return read_element(g, p, e);
    case EX_DRAW:
        return philox_draw(g, e->draw.kind, e->draw.site, integer(g, p, e->draw.counter, g->i64));
    case EX_STEP: return LLVMBuildUIToFP(g->b, g->step, g->real, "step");
    case EX_BATCH: return LLVMBuildSIToFP(g->b, g->n, g->real, "batch");
    case EX_REDUCE:
    case EX_CONTRACT: break;
    }
    DLC_BUG(g->ctx, (Span){0}, "a reduction stands inside of an expression of a kernel");
}

/* ---- what depends on the number of the step alone ----------------------------------------------
 */

static bool is_long(Op op) {
    return op == OP_POW || (op >= OP_SQRT && op <= OP_ERF);
}

typedef struct Seen {
    bool step, others;
} Seen;

static void look(void *data, const Expr *e) {
    Seen *seen = data;
    if (e->kind == EX_STEP)
        seen->step = true;
    else if (e->kind != EX_OP && e->kind != EX_NUMBER)
        seen->others = true;
}

static bool depends_on_step_alone(Gen *g, const Expr *e) {
    Seen seen = {0};
    if (e->has & (HAS_READ | HAS_DRAW) || e->indices) return false;
    ir_visit(g->ctx, e, look, &seen);
    return seen.step && !seen.others;
}

/* A power of a decay stands in the update of every parameter: it is code once, and a call where it
 * is needed, which leaves the loops. */
static LLVMValueRef of_step(Gen *g, const Expr *e) {
    LLVMValueRef fn = map_get(g->of_step, e);
    if (!fn) {
        const char *name = arena_printf(g->ctx->arena, "of_step%u", g->of_step->len);
        Gen inner = *g;
        gen_shared(&inner, name, g->real, &g->i64, 1);
        fn = inner.fn;
        map_set(g->ctx->arena, g->of_step, e, fn);
        gen_pure(&inner);
        inner.step = LLVMGetParam(fn, 0);
        Point p = point_new(&inner, NULL, 1, NULL);
        LLVMBuildRet(inner.b, compute(&inner, &p, e));
        LLVMDisposeBuilder(inner.b);
    }
    return LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, &g->step, 1, "");
}

/* Scalar when it is the same in all lanes. */
static LLVMValueRef value(Gen *g, Point *p, const Expr *e) {
    LLVMValueRef v = map_get(&p->known, e);
    if (v) return v;
    bool is_of_step = e->kind == EX_OP && is_long(e->op.op) && depends_on_step_alone(g, e);
    v = is_of_step ? of_step(g, e) : compute(g, p, e);
    point_know(g, p, e, v);
    return v;
}

LLVMValueRef scalar_real(Gen *g, Point *p, const Expr *e) {
    return spread(g, p, value(g, p, e));
}

LLVMValueRef scalar_bool(Gen *g, Point *p, const Expr *e) {
    return spread(g, p, value(g, p, e));
}

LLVMValueRef scalar_int(Gen *g, Point *p, const Expr *e) {
    return spread(g, p, value(g, p, e));
}

static void weigh(void *data, const Expr *e) {
    uint32_t *weight = data;
    if (e->kind == EX_READ) *weight += 2;
    if (e->kind == EX_DRAW) *weight += 60;
    if (e->kind != EX_OP) return;
    *weight += is_long(e->op.op) ? 20 : 1;
}

uint32_t scalar_weight(Gen *g, const Expr *e) {
    uint32_t weight = 0;
    ir_visit(g->ctx, e, weigh, &weight);
    return weight;
}

uint32_t scalar_stores_weight(Gen *g, const Kernel *k) {
    uint32_t weight = 0;
    for (uint32_t i = 0; i < k->nstores; i++) ir_visit(g->ctx, k->stores[i].value, weigh, &weight);
    return weight;
}

/* ---- writes --------------------------------------------------------------------------------- */

void scalar_store(Gen *g, Point *p, const Tensor *tensor, const Expr *const *subs,
                  LLVMValueRef stored) {
    LLVMTypeRef element = gen_element(g, tensor);
    Where where = locate(g, p, tensor, subs);
    stored = tensor->classes ? resize(g, stored, g->i32) : stored;
    if (p->lanes > 1) stored = spread(g, p, stored);
    if (element == g->i16) stored = bfloat_round(g, stored);
    if (p->lanes == 1) {
        gen_store(g, where.first, stored, NULL);
        return;
    }
    if (!where.distances && where.stride == 1) {
        gen_store(g, where.first, stored, p->mask);
    } else {
        gen_scatter(g, lane_addresses(g, p, &where, element), stored, p->mask);
    }
}
