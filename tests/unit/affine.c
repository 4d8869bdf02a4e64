/* The algebra of subscripts against enumeration: bounds, proofs, counterexamples, and the rewriting
 * of quotients and remainders. */
#include "wild.h"

enum { MAX_POINTS = 1000 };

typedef struct Space {
    Lab *l;
    Wild wild;
    Index *index[3];
    int64_t points;
} Space;

static void open_space(Space *s, Lab *l, uint64_t seed) {
    static const char *const names[] = {"i", "j", "k"};
    lab_open(l);
    l->random ^= seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 20; i++) lab_random(l);
    *s = (Space){.l = l, .points = 1};
    s->wild.l = l;
    for (int i = 0; i < 3; i++) {
        s->index[i] = lab_index(l, names[i], 1 + lab_below(l, 6));
        s->wild.scope[s->wild.nscope++] = s->index[i];
        s->points *= s->index[i]->extent;
    }
}

/* The values of an expression at all points, in row-major order. */
static const double *values_of(Space *s, const Expr *e) {
    Lab *l = s->l;
    if (e->type == TY_BOOL) e = ir_select(&l->ctx, e, lab_real(l, 1), lab_real(l, 0));
    l->m = ir_module(&l->ctx, sym(&l->ctx, "space"));
    Tensor *y = lab_define(l, "y", 0, ir_real(&l->ctx, e), s->index, 3);
    IrValues values = {.batch = 1};
    return lab_eval(l, &values, y);
}

/* ---- independent arithmetic ---- */

/* A random expression as a program of our own, beside the one that the constructors make. */
typedef struct Twin {
    const Expr *e;
    int64_t at[MAX_POINTS];
} Twin;

static int64_t floor_of(int64_t a, int64_t n) {
    int64_t q = a / n;
    return a % n < 0 ? q - 1 : q;
}

static void twin_leaf(Space *s, Twin *t) {
    Ctx *c = &s->l->ctx;
    int64_t which = lab_below(s->l, 4), constant = lab_below(s->l, 9) - 4;
    int64_t nj = s->index[1]->extent, nk = s->index[2]->extent;
    t->e = which < 3 ? lab_at(s->l, s->index[which]) : ir_int(c, constant);
    for (int64_t p = 0; p < s->points; p++) {
        int64_t index[] = {p / (nj * nk), p / nk % nj, p % nk};
        t->at[p] = which < 3 ? index[which] : constant;
    }
}

static void twin(Space *s, Twin *t, int depth) {
    Ctx *c = &s->l->ctx;
    if (depth == 0) {
        twin_leaf(s, t);
        return;
    }
    Twin *a = ARENA_NEW(c->arena, Twin), *b = ARENA_NEW(c->arena, Twin);
    twin(s, a, depth - 1);
    twin(s, b, depth - 1);
    int64_t n = 1 + lab_below(s->l, 5), m = lab_below(s->l, 9) - 4, kind = lab_below(s->l, 7);
    switch (kind) {
    case 0: t->e = ir_int_add(c, a->e, b->e); break;
    case 1: t->e = ir_int_sub(c, a->e, b->e); break;
    case 2: t->e = ir_int_scale(c, a->e, m); break;
    case 3: t->e = ir_floordiv(c, a->e, n); break;
    case 4: t->e = ir_mod(c, a->e, n); break;
    case 5: t->e = ir_op2(c, OP_MAX, a->e, b->e); break;
    default:
        t->e = ir_select(c, ir_op2(c, OP_LE, a->e, b->e), ir_int_add(c, a->e, ir_int(c, 1)), b->e);
    }
    for (int64_t p = 0; p < s->points; p++) {
        int64_t x = a->at[p], y = b->at[p];
        int64_t values[] = {x + y,
                            x - y,
                            x * m,
                            floor_of(x, n),
                            x - n * floor_of(x, n),
                            x > y ? x : y,
                            x <= y ? x + 1 : y};
        t->at[p] = values[kind];
    }
}

static void arithmetic(uint64_t seed) {
    Lab lab;
    Space s;
    open_space(&s, &lab, seed);
    Twin *t = ARENA_NEW(lab.ctx.arena, Twin);
    twin(&s, t, 4);
    const double *values = values_of(&s, t->e);
    int64_t low, high;
    ir_bounds(t->e, &low, &high);
    for (int64_t p = 0; p < s.points; p++) {
        EXPECT_NEAR(values[p], (double)t->at[p], 0);
        EXPECT(low <= t->at[p] && t->at[p] <= high);
    }
    lab_close(&lab);
}

/* ---- proofs ---- */

static void proof(uint64_t seed) {
    Lab lab;
    Space s;
    open_space(&s, &lab, seed);
    Ctx *c = &lab.ctx;
    const Expr *e = wild_integer(&s.wild, 3), *known[3];
    uint32_t nknown = (uint32_t)lab_below(&lab, 4);
    const double *holds[3], *values = values_of(&s, e);
    for (uint32_t i = 0; i < nknown; i++) {
        do
            known[i] = ir_op2(c, (Op)(OP_EQ + lab_below(&lab, 6)), wild_integer(&s.wild, 1),
                              wild_integer(&s.wild, 1));
        while (known[i]->kind == EX_TRUTH && lab_below(&lab, 10));
        if (lab_below(&lab, 3) == 0)
            known[i] = ir_op2(c, lab_below(&lab, 2) ? OP_OR : OP_AND, known[i],
                              ir_op2(c, OP_LE, wild_integer(&s.wild, 1), wild_integer(&s.wild, 0)));
        holds[i] = values_of(&s, known[i]);
    }
    int64_t extent = 1 + lab_below(&lab, 8);
    bool inside = true;
    for (int64_t p = 0; p < s.points; p++) {
        bool possible = true;
        for (uint32_t i = 0; i < nknown; i++) possible = possible && holds[i][p] != 0;
        if (possible && (values[p] < 0 || values[p] >= (double)extent)) inside = false;
    }
    bool proved = ir_inside(c, e, extent, known, nknown);
    if (proved) EXPECT(inside);
    Index *indices[8];
    int64_t at[8], value;
    int found = ir_outside_example(c, e, extent, known, nknown, indices, at, 8, &value);
    EXPECT(found < 0 || !inside);
    if (!inside) EXPECT(found >= 0); /* the space is small */
    Map point = {0};
    for (int i = 0; i < found; i++) {
        EXPECT(at[i] >= 0 && at[i] < indices[i]->extent);
        map_set(c->arena, &point, indices[i], (void *)ir_int(c, at[i]));
    }
    int64_t there;
    if (found >= 0 && ir_is_constant_int(ir_substitute(c, e, &point), &there)) {
        EXPECT_INT(there, value);
        EXPECT(there < 0 || there >= extent);
    }
    lab_close(&lab);
}

/* What models are made of is proved, not only not refuted. */
static void known_proofs(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Index *i = lab_index(l, "i", 12), *u = lab_index(l, "u", 3), *b = lab_index(l, "batch", -1);
    Index *t = lab_index(l, "t", 7), *o = lab_index(l, "o", 4);
    const Expr *window = ir_int_add(c, ir_int_scale(c, lab_at(l, o), 3), lab_at(l, u));
    EXPECT(ir_inside(c, window, 12, NULL, 0));
    EXPECT(!ir_inside(c, window, 11, NULL, 0));
    EXPECT(ir_inside(c, ir_floordiv(c, lab_at(l, i), 4), 3, NULL, 0));
    EXPECT(ir_inside(c, ir_mod(c, lab_at(l, i), 4), 4, NULL, 0));
    EXPECT(ir_inside(c, lab_at(l, b), EXTENT_BATCH, NULL, 0));
    EXPECT(!ir_inside(c, lab_shift(l, b, 1), EXTENT_BATCH, NULL, 0));
    EXPECT(!ir_inside(c, lab_at(l, b), 1000, NULL, 0));
    const Expr *positive = ir_op2(c, OP_GT, lab_at(l, t), ir_int(c, 0));
    EXPECT(ir_inside(c, lab_shift(l, t, -1), 7, &positive, 1));
    EXPECT(!ir_inside(c, lab_shift(l, t, -2), 7, &positive, 1));
    const Expr *not_zero = ir_op2(c, OP_NE, lab_at(l, t), ir_int(c, 0));
    EXPECT(ir_inside(c, lab_shift(l, t, -1), 7, &not_zero, 1));
    const Expr *earlier = ir_op2(c, OP_LT, lab_at(l, i), lab_at(l, t));
    EXPECT(ir_inside(c, ir_int_sub(c, lab_shift(l, t, -1), lab_at(l, i)), 7, &earlier, 1));
    Tensor *classes = lab_leaf(l, TENSOR_INPUT, "classes", 5, DIMS(EXTENT_BATCH));
    EXPECT(ir_inside(c, lab_read(l, classes, b), 5, NULL, 0));
    EXPECT(!ir_inside(c, lab_read(l, classes, b), 4, NULL, 0));
    EXPECT(ir_floordiv(c, ir_int_add(c, ir_int_scale(c, lab_at(l, o), 3), lab_at(l, u)), 3) ==
           lab_at(l, o));
    EXPECT(ir_mod(c, window, 3) == lab_at(l, u));
    const Expr *whole = ir_int_add(c, ir_int_scale(c, ir_floordiv(c, lab_at(l, i), 4), 4),
                                   ir_mod(c, lab_at(l, i), 4));
    EXPECT(whole == lab_at(l, i));
    lab_close(l);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 400; seed++) arithmetic(seed);
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        int failures = test_failures;
        proof(seed);
        if (test_failures > failures) printf("proof, seed %llu\n", (unsigned long long)seed);
    }
    known_proofs();
    TEST_END();
}
