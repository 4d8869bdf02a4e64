/* What the constructors make of an expression has the value of the expression: random ones are
 * computed beside, without simplification; and the identities that the rest relies on hold by
 * pointer. */
#include "lab.h"

enum { POINTS = 6 };

/* An expression, and its values as they are without simplification. `wild` marks points where
 * something on the way was not finite or too large, or a comparison was too close. */
typedef struct Twin {
    const Expr *e;
    double at[POINTS];
    bool wild[POINTS];
} Twin;

typedef struct Twins {
    Lab *l;
    Tensor *x, *y;
    Index *i;
    double *xs, *ys;
} Twins;

static double apply(Op op, double a, double b, double c) {
    switch (op) {
    case OP_ADD: return a + b;
    case OP_SUB: return a - b;
    case OP_MUL: return a * b;
    case OP_DIV: return a / b;
    case OP_NEG: return -a;
    case OP_POW: return pow(a, b);
    case OP_MAX: return a > b ? a : b;
    case OP_MIN: return a < b ? a : b;
    case OP_ABS: return fabs(a);
    case OP_SIGN: return (a > 0) - (a < 0);
    case OP_FLOOR: return floor(a);
    case OP_SQRT: return sqrt(a);
    case OP_EXP: return exp(a);
    case OP_LOG: return log(a);
    case OP_LOG1P: return log1p(a);
    case OP_EXPM1: return expm1(a);
    case OP_LOGISTIC: return 1 / (1 + exp(-a));
    case OP_LOG1PEXP: return log1p(exp(a));
    case OP_TANH: return tanh(a);
    case OP_SIN: return sin(a);
    case OP_COS: return cos(a);
    case OP_ERF: return erf(a);
    case OP_STOP: return a;
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_GT: return a > b;
    case OP_GE: return a >= b;
    case OP_AND: return a != 0 && b != 0;
    case OP_OR: return a != 0 || b != 0;
    case OP_NOT: return a == 0;
    case OP_SELECT: return a != 0 ? b : c;
    case OPS: break;
    }
    return 0;
}

/* Where rounding may turn the result over. */
static bool is_touchy(Op op, const Twin *a, const Twin *b, int p) {
    if (op == OP_FLOOR || op == OP_SIGN) {
        bool integer = a->e->kind == EX_REAL || a->e->kind == EX_NUMBER;
        return !integer && fabs(a->at[p] - rint(a->at[p])) < 1e-9;
    }
    bool compares = op >= OP_EQ && op <= OP_GE;
    return compares && a->e->type == TY_REAL && fabs(a->at[p] - b->at[p]) < 1e-9;
}

static Twin combine(Twins *t, Op op, const Twin *args) {
    const Expr *given[3] = {args[0].e, args[1].e, args[2].e};
    Twin out = {.e = ir_op(&t->l->ctx, op, given)};
    uint32_t n = op_arity(op);
    for (int p = 0; p < POINTS; p++) {
        out.at[p] = apply(op, args[0].at[p], args[1].at[p], args[2].at[p]);
        for (uint32_t i = 0; i < n; i++) out.wild[p] = out.wild[p] || args[i].wild[p];
        if (!isfinite(out.at[p]) || fabs(out.at[p]) > 1e6 || is_touchy(op, &args[0], &args[1], p))
            out.wild[p] = true;
    }
    return out;
}

static Twin leaf(Twins *t) {
    static const double numbers[] = {0, 1, -1, 2, 0.5, -3, 4, 1e-3};
    Lab *l = t->l;
    Twin out = {0};
    int64_t kind = lab_below(l, 8), which = lab_below(l, 8);
    if (kind < 3)
        out.e = lab_read(l, kind ? t->x : t->y, t->i);
    else if (kind < 6)
        out.e = lab_real(l, numbers[which]);
    else
        out.e = kind == 6 ? lab_at(l, t->i) : lab_shift(l, t->i, which - 3);
    for (int p = 0; p < POINTS; p++) {
        if (kind < 3) out.at[p] = kind ? t->xs[p] : t->ys[p];
        if (kind >= 3) out.at[p] = numbers[which];
        if (kind >= 6) out.at[p] = kind == 6 ? p : (double)(p + which - 3);
    }
    return out;
}

static Twin truth(Twins *t, int depth);

static Twin number(Twins *t, int depth) {
    if (depth == 0) return leaf(t);
    Op op = (Op)lab_below(t->l, OPS);
    Twin args[3] = {0};
    if (op >= OP_EQ && op <= OP_NOT) op = OP_SELECT;
    for (uint32_t i = 0; i < op_arity(op); i++)
        args[i] = op == OP_SELECT && i == 0 ? truth(t, depth - 1) : number(t, depth - 1);
    if (lab_below(t->l, 8) == 0) args[1] = args[0].e->type == TY_BOOL ? args[2] : args[0];
    for (uint32_t i = op_arity(op); i < 3; i++) args[i] = args[0];
    return combine(t, op, args);
}

static Twin truth(Twins *t, int depth) {
    Op op = (Op)(OP_EQ + lab_below(t->l, OP_NOT - OP_EQ + 1));
    if (depth == 0 && op >= OP_AND) op = OP_LT;
    Twin args[3] = {0};
    int below = depth ? depth - 1 : 0;
    for (uint32_t i = 0; i < 3; i++) args[i] = op >= OP_AND ? truth(t, below) : number(t, below);
    return combine(t, op, args);
}

static void random_expression(uint64_t seed) {
    Lab lab, *l = &lab;
    lab_open(l);
    l->random ^= seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 20; i++) lab_random(l);
    Twins t = {.l = l};
    t.x = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(POINTS));
    t.y = lab_leaf(l, TENSOR_INPUT, "y", 0, DIMS(POINTS));
    t.i = lab_index(l, "i", POINTS);
    IrValues values = lab_values(l, 1);
    t.xs = lab_array(l, &values, t.x);
    t.ys = lab_array(l, &values, t.y);
    Twin twin = number(&t, 4);
    Tensor *z = DEFINE(l, "z", ir_real(&l->ctx, twin.e), t.i);
    ir_verify(&l->ctx, l->m, false);
    const double *found = lab_eval(l, &values, z);
    for (int p = 0; p < POINTS; p++) {
        test_checks++;
        double expected = twin.at[p];
        if (twin.wild[p] || fabs(found[p] - expected) <= 1e-7 * (1 + fabs(expected))) continue;
        test_failures++;
        printf("seed %llu: %.17g, expected %.17g:\n%s", (unsigned long long)seed, found[p],
               expected, lab_print(l));
        break;
    }
    lab_close(l);
}

static void identities(void) {
    Lab lab, *l = &lab;
    lab_open(l);
    Ctx *c = &l->ctx;
    Tensor *tx = lab_leaf(l, TENSOR_INPUT, "x", 0, DIMS(5));
    Tensor *ty = lab_leaf(l, TENSOR_INPUT, "y", 0, DIMS(5));
    Index *i = lab_index(l, "i", 5), *j = lab_index(l, "j", 5);
    const Expr *x = lab_read(l, tx, i), *y = lab_read(l, ty, i), *yj = lab_read(l, ty, j);
    const Expr *zero = lab_real(l, 0), *one = lab_real(l, 1);
    EXPECT(ir_add(c, x, y) == ir_add(c, y, x));
    EXPECT(ir_mul(c, x, zero) == zero);
    EXPECT(ir_mul(c, one, x) == x);
    EXPECT(ir_add(c, zero, x) == x);
    EXPECT(ir_sub(c, x, x) == zero);
    EXPECT(ir_neg(c, ir_neg(c, x)) == x);
    EXPECT(ir_op2(c, OP_POW, x, lab_real(l, 2)) == ir_mul(c, x, x));
    const Expr *condition = ir_op2(c, OP_GT, x, y);
    EXPECT(ir_mul(c, ir_select(c, condition, one, zero), y) == ir_select(c, condition, y, zero));
    EXPECT(ir_select(c, ir_op1(c, OP_NOT, condition), x, y) == ir_select(c, condition, y, x));
    EXPECT(ir_op2(c, OP_GT, ir_op2(c, OP_MAX, x, one), one) == ir_op2(c, OP_GT, x, one));
    EXPECT(ir_op2(c, OP_LT, ir_op2(c, OP_MIN, x, one), one) == ir_op2(c, OP_LT, x, one));
    EXPECT(ir_op2(c, OP_GT, ir_op2(c, OP_MIN, x, one), one) != ir_op2(c, OP_GT, x, one));
    EXPECT(ir_op2(c, OP_LT, lab_at(l, i), ir_int(c, 5)) == ir_truth(c, true));
    EXPECT(ir_op2(c, OP_LT, ir_real(c, lab_at(l, i)), lab_real(l, 2)) ==
           ir_op2(c, OP_LT, lab_at(l, i), ir_int(c, 2)));
    EXPECT(ir_op1(c, OP_FLOOR, ir_div(c, ir_real(c, lab_at(l, i)), lab_real(l, 3))) ==
           ir_real(c, ir_floordiv(c, lab_at(l, i), 3)));
    EXPECT(ir_op1(c, OP_FLOOR, ir_div(c, ir_real(c, lab_at(l, i)), lab_real(l, 4))) ==
           ir_real(c, ir_floordiv(c, lab_at(l, i), 4)));
    EXPECT(ir_op1(c, OP_LOG, ir_add(c, one, ir_op1(c, OP_EXP, x))) == ir_op1(c, OP_LOG1PEXP, x));
    EXPECT(ir_div(c, one, ir_add(c, one, ir_op1(c, OP_EXP, ir_neg(c, x)))) ==
           ir_op1(c, OP_LOGISTIC, x));
    /* Sums give up what does not depend on their indices. */
    const Expr *dot = REDUCE(l, SUM, ir_mul(c, lab_read(l, tx, j), yj), j);
    EXPECT_INT(dot->kind, EX_CONTRACT);
    EXPECT(REDUCE(l, SUM, ir_mul(c, ir_neg(c, lab_read(l, tx, j)), ir_div(c, yj, x)), j) ==
           ir_mul(c, ir_div(c, lab_real(l, -1), x), dot));
    EXPECT(REDUCE(l, SUM, x, j) == ir_mul(c, lab_real(l, 5), x));
    EXPECT(REDUCE(l, PROD, lab_real(l, 2), j) == lab_real(l, 32));
    EXPECT(REDUCE(l, MAX, x, j) == x);
    Index *none = lab_index(l, "n", 0), *single = lab_index(l, "s", 1);
    EXPECT(REDUCE(l, SUM, yj, none) == zero);
    EXPECT(REDUCE(l, MAX, lab_read(l, ty, none), none) == lab_real(l, -INFINITY));
    const Expr *first = lab_read_else(l, ty, NULL, ir_int(c, 0));
    EXPECT(REDUCE(l, MIN, lab_read_else(l, ty, NULL, lab_at(l, single)), single) == first);
    lab_close(l);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 3000; seed++) random_expression(seed);
    identities();
    TEST_END();
}
