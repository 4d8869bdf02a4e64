/* ir/simplify.c: one canonical, short form for each operation, when it is made.
 *
 * in:   an operation and its arguments, themselves simplified
 * out:  an equal expression that is simpler, or NULL
 * Values may change by rounding only. 0 * x is 0 even where x is infinite or NaN: this is what
 * moves a mask into the product it guards. MAX and MIN keep the order of their arguments, which
 * says where the derivative goes at a tie.
 */
#include "ir/passes.h"
#include "ir/private.h"

#include <math.h>

static bool is_op(const Expr *e, Op op) {
    return e->kind == EX_OP && e->op.op == op;
}
static bool is_constant(const Expr *e) {
    return e->kind == EX_NUMBER;
}
static const Expr *arg(const Expr *e, int i) {
    return e->op.args[i];
}

/* ---- constants ----------------------------------------------------------------------------- */

static bool fold(Op op, double a, double b, double *out) {
    switch (op) {
    case OP_ADD: *out = a + b; return true;
    case OP_SUB: *out = a - b; return true;
    case OP_MUL: *out = a * b; return true;
    case OP_DIV: *out = a / b; return true;
    case OP_NEG: *out = -a; return true;
    case OP_POW: *out = pow(a, b); return true;
    case OP_MAX: *out = a > b ? a : b; return true;
    case OP_MIN: *out = a < b ? a : b; return true;
    case OP_ABS: *out = fabs(a); return true;
    case OP_SIGN: *out = (a > 0) - (a < 0); return true;
    case OP_FLOOR: *out = floor(a); return true;
    case OP_SQRT: *out = sqrt(a); return true;
    case OP_EXP: *out = exp(a); return true;
    case OP_LOG: *out = log(a); return true;
    case OP_LOG1P: *out = log1p(a); return true;
    case OP_EXPM1: *out = expm1(a); return true;
    case OP_LOGISTIC: *out = 1 / (1 + exp(-a)); return true;
    case OP_LOG1PEXP: *out = a > 0 ? a + log1p(exp(-a)) : log1p(exp(a)); return true;
    case OP_TANH: *out = tanh(a); return true;
    case OP_SIN: *out = sin(a); return true;
    case OP_COS: *out = cos(a); return true;
    case OP_ERF: *out = erf(a); return true;
    case OP_STOP: *out = a; return true;
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
    case OPS: return false;
    }
    return false;
}

static bool compare(Op op, double a, double b) {
    switch (op) {
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_GT: return a > b;
    case OP_GE: return a >= b;
    default: return false;
    }
}

static const Expr *fold_constants(Ctx *ctx, Op op, const Expr *const *args) {
    double value, a = args[0]->kind == EX_NUMBER ? args[0]->number : 0, b = 0;
    for (uint32_t i = 0; i < op_arity(op); i++)
        if (args[i]->kind != EX_NUMBER) return NULL;
    if (op_arity(op) > 1) b = args[1]->number;
    if (op >= OP_EQ && op <= OP_GE) return ir_truth(ctx, compare(op, a, b));
    return fold(op, a, b, &value) ? ir_number(ctx, value) : NULL;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* A real that is a whole number, as one; NULL for others. */
static const Expr *as_integer(Ctx *ctx, const Expr *e) {
    if (e->kind == EX_REAL) return e->integer;
    bool whole = e->kind == EX_NUMBER && fabs(e->number) < 0x1p31 && floor(e->number) == e->number;
    return whole ? ir_int(ctx, (int64_t)e->number) : NULL;
}

/* Sums and multiples of whole numbers are whole: they stay affine. */
static const Expr *integer_sum(Ctx *ctx, const Expr *a, const Expr *b, int64_t sign) {
    const Expr *x = as_integer(ctx, a), *y = as_integer(ctx, b);
    return x && y ? ir_real(ctx, ir_int_add(ctx, x, ir_int_scale(ctx, y, sign))) : NULL;
}

static const Expr *integer_multiple(Ctx *ctx, const Expr *a, const Expr *b) {
    const Expr *factor = is_constant(a) ? a : b, *other = is_constant(a) ? b : a;
    int64_t n;
    if (!is_constant(factor) || other->kind != EX_REAL) return NULL;
    const Expr *whole = as_integer(ctx, factor);
    if (!whole || !ir_is_constant_int(whole, &n)) return NULL;
    return ir_real(ctx, ir_int_scale(ctx, other->integer, n));
}

/* Is one the other plus 1? 1 + e and e + 1. Returns e. */
static const Expr *one_plus(const Expr *e) {
    if (!is_op(e, OP_ADD)) return NULL;
    if (ir_is_number(arg(e, 0), 1)) return arg(e, 1);
    return ir_is_number(arg(e, 1), 1) ? arg(e, 0) : NULL;
}

static const Expr *simplify_add(Ctx *ctx, const Expr *a, const Expr *b) {
    if (ir_is_number(a, 0)) return b;
    if (ir_is_number(b, 0)) return a;
    const Expr *whole = integer_sum(ctx, a, b, 1);
    if (whole) return whole;
    if (is_op(b, OP_NEG)) return ir_sub(ctx, a, arg(b, 0));
    if (is_op(a, OP_NEG)) return ir_sub(ctx, b, arg(a, 0));
    if (a == b) return ir_mul(ctx, ir_number(ctx, 2), a);
    /* Constants stand on the right and are joined. */
    if (is_constant(a)) return ir_add(ctx, b, a);
    if (is_constant(b) && is_op(a, OP_ADD) && is_constant(arg(a, 1)))
        return ir_add(ctx, arg(a, 0), ir_add(ctx, arg(a, 1), b));
    if (!is_constant(b) && b->id < a->id) {
        const Expr *args[] = {b, a};
        return ir_op_node(ctx, OP_ADD, args);
    }
    return NULL;
}

static const Expr *simplify_sub(Ctx *ctx, const Expr *a, const Expr *b) {
    if (ir_is_number(b, 0)) return a;
    if (ir_is_number(a, 0)) return ir_neg(ctx, b);
    if (a == b) return ir_number(ctx, 0);
    const Expr *whole = integer_sum(ctx, a, b, -1);
    if (whole) return whole;
    if (is_constant(b) && !isinf(b->number)) {
        if (ir_is_number(b, 1) && is_op(a, OP_EXP)) return ir_op1(ctx, OP_EXPM1, arg(a, 0));
        return ir_add(ctx, a, ir_number(ctx, -b->number));
    }
    if (is_op(b, OP_NEG)) return ir_add(ctx, a, arg(b, 0));
    return NULL;
}

/* select(c, a, 0) * b = select(c, a*b, 0), and the mirror image. */
static const Expr *into_mask(Ctx *ctx, const Expr *mask, const Expr *other) {
    if (!is_op(mask, OP_SELECT)) return NULL;
    if (ir_is_number(arg(mask, 2), 0))
        return ir_select(ctx, arg(mask, 0), ir_mul(ctx, arg(mask, 1), other), arg(mask, 2));
    if (ir_is_number(arg(mask, 1), 0))
        return ir_select(ctx, arg(mask, 0), arg(mask, 1), ir_mul(ctx, arg(mask, 2), other));
    return NULL;
}

static const Expr *simplify_mul(Ctx *ctx, const Expr *a, const Expr *b) {
    if (ir_is_number(a, 0) || ir_is_number(b, 0)) return ir_number(ctx, 0);
    if (ir_is_number(a, 1)) return b;
    if (ir_is_number(b, 1)) return a;
    const Expr *whole = integer_multiple(ctx, a, b);
    if (whole) return whole;
    if (ir_is_number(a, -1)) return ir_neg(ctx, b);
    if (ir_is_number(b, -1)) return ir_neg(ctx, a);
    if (is_op(a, OP_NEG)) return ir_neg(ctx, ir_mul(ctx, arg(a, 0), b));
    if (is_op(b, OP_NEG)) return ir_neg(ctx, ir_mul(ctx, a, arg(b, 0)));
    const Expr *masked = into_mask(ctx, a, b);
    if (!masked) masked = into_mask(ctx, b, a);
    if (masked) return masked;
    /* Constants stand on the left and are joined. */
    if (is_constant(b)) return ir_mul(ctx, b, a);
    if (is_constant(a) && is_op(b, OP_MUL) && is_constant(arg(b, 0)))
        return ir_mul(ctx, ir_mul(ctx, a, arg(b, 0)), arg(b, 1));
    if (!is_constant(a) && is_op(b, OP_MUL) && is_constant(arg(b, 0)))
        return ir_mul(ctx, arg(b, 0), ir_mul(ctx, a, arg(b, 1)));
    if (!is_constant(a) && is_op(a, OP_MUL) && is_constant(arg(a, 0)))
        return ir_mul(ctx, arg(a, 0), ir_mul(ctx, arg(a, 1), b));
    /* (1 / x) * y = y / x */
    if (is_op(a, OP_DIV) && ir_is_number(arg(a, 0), 1)) return ir_div(ctx, b, arg(a, 1));
    if (is_op(b, OP_DIV) && ir_is_number(arg(b, 0), 1)) return ir_div(ctx, a, arg(b, 1));
    if (!is_constant(a) && b->id < a->id) {
        const Expr *args[] = {b, a};
        return ir_op_node(ctx, OP_MUL, args);
    }
    return NULL;
}

static const Expr *simplify_div(Ctx *ctx, const Expr *a, const Expr *b) {
    if (ir_is_number(b, 1)) return a;
    if (ir_is_number(a, 0) && !is_constant(b)) return a;
    /* A division by a power of two is a product without rounding. */
    int exponent;
    if (is_constant(b) && b->number != 0 && fabs(frexp(b->number, &exponent)) == 0.5)
        return ir_mul(ctx, ir_number(ctx, 1 / b->number), a);
    if (is_op(a, OP_NEG)) return ir_neg(ctx, ir_div(ctx, arg(a, 0), b));
    if (is_op(b, OP_NEG)) return ir_neg(ctx, ir_div(ctx, a, arg(b, 0)));
    const Expr *rest = one_plus(b);
    bool logistic = ir_is_number(a, 1) && rest && is_op(rest, OP_EXP);
    if (logistic) return ir_op1(ctx, OP_LOGISTIC, ir_neg(ctx, arg(rest, 0)));
    if (is_op(a, OP_SELECT) && ir_is_number(arg(a, 2), 0))
        return ir_select(ctx, arg(a, 0), ir_div(ctx, arg(a, 1), b), arg(a, 2));
    if (is_op(a, OP_SELECT) && ir_is_number(arg(a, 1), 0))
        return ir_select(ctx, arg(a, 0), arg(a, 1), ir_div(ctx, arg(a, 2), b));
    return NULL;
}

static const Expr *simplify_neg(Ctx *ctx, const Expr *a) {
    if (is_op(a, OP_NEG)) return arg(a, 0);
    if (a->kind == EX_REAL) return ir_real(ctx, ir_int_scale(ctx, a->integer, -1));
    if (is_op(a, OP_SUB)) return ir_sub(ctx, arg(a, 1), arg(a, 0));
    if (is_op(a, OP_MUL) && is_constant(arg(a, 0)))
        return ir_mul(ctx, ir_number(ctx, -arg(a, 0)->number), arg(a, 1));
    if (is_op(a, OP_SELECT) && (ir_is_number(arg(a, 1), 0) || ir_is_number(arg(a, 2), 0)))
        return ir_select(ctx, arg(a, 0), ir_neg(ctx, arg(a, 1)), ir_neg(ctx, arg(a, 2)));
    return NULL;
}

static const Expr *simplify_pow(Ctx *ctx, const Expr *a, const Expr *b) {
    if (!is_constant(b)) return NULL;
    if (b->number == 0) return ir_number(ctx, 1);
    if (b->number == 1) return a;
    if (b->number == 2) return ir_mul(ctx, a, a);
    if (b->number == 3) return ir_mul(ctx, a, ir_mul(ctx, a, a));
    if (b->number == 0.5) return ir_op1(ctx, OP_SQRT, a);
    if (b->number == -1) return ir_div(ctx, ir_number(ctx, 1), a);
    return NULL;
}

static const Expr *simplify_log(Ctx *ctx, const Expr *a) {
    const Expr *rest = one_plus(a);
    if (rest && is_op(rest, OP_EXP)) return ir_op1(ctx, OP_LOG1PEXP, arg(rest, 0));
    if (rest) return ir_op1(ctx, OP_LOG1P, rest);
    return is_op(a, OP_EXP) ? arg(a, 0) : NULL;
}

/* floor(a / n) of whole numbers is exact: the quotient of doubles is rounded correctly. */
static const Expr *simplify_floor(Ctx *ctx, const Expr *a) {
    double n = 0;
    const Expr *num = NULL;
    if (a->kind == EX_REAL) return a;
    if (is_op(a, OP_DIV) && is_constant(arg(a, 1))) num = arg(a, 0), n = arg(a, 1)->number;
    if (is_op(a, OP_MUL) && is_constant(arg(a, 0))) num = arg(a, 1), n = 1 / arg(a, 0)->number;
    if (!num || num->kind != EX_REAL || !(n >= 1 && n < 0x1p31) || floor(n) != n) return NULL;
    int exponent;
    if (is_op(a, OP_MUL) && frexp(n, &exponent) != 0.5) return NULL;
    return ir_real(ctx, ir_floordiv(ctx, num->integer, (int64_t)n));
}

/* ---- truth -------------------------------------------------------------------------------------
 */

static const Expr *compare_reals(Ctx *ctx, Op op, const Expr *a, const Expr *b) {
    const Expr *x = as_integer(ctx, a), *y = as_integer(ctx, b);
    if (x && y) return ir_op2(ctx, op, x, y);
    /* max(x, 0) > 0 is x > 0. */
    if (is_op(a, op == OP_GT ? OP_MAX : OP_MIN) && (op == OP_GT || op == OP_LT) && arg(a, 1) == b)
        return ir_op2(ctx, op, arg(a, 0), b);
    return a == b && (op == OP_LT || op == OP_GT) ? ir_truth(ctx, false) : NULL;
}

/* Comparisons of whole numbers that the bounds decide. */
static const Expr *compare_ints(Ctx *ctx, Op op, const Expr *a, const Expr *b) {
    int64_t low, high;
    if (a->type != TY_INT) return compare_reals(ctx, op, a, b);
    ir_bounds(ir_int_sub(ctx, a, b), &low, &high);
    bool below = high < 0, above = low > 0, equal = low == 0 && high == 0;
    bool not_above = high <= 0, not_below = low >= 0;
    switch (op) {
    case OP_EQ: return equal ? ir_truth(ctx, true) : below || above ? ir_truth(ctx, false) : NULL;
    case OP_NE: return equal ? ir_truth(ctx, false) : below || above ? ir_truth(ctx, true) : NULL;
    case OP_LT: return below ? ir_truth(ctx, true) : not_below ? ir_truth(ctx, false) : NULL;
    case OP_LE: return not_above ? ir_truth(ctx, true) : above ? ir_truth(ctx, false) : NULL;
    case OP_GT: return above ? ir_truth(ctx, true) : not_above ? ir_truth(ctx, false) : NULL;
    case OP_GE: return not_below ? ir_truth(ctx, true) : below ? ir_truth(ctx, false) : NULL;
    default: return NULL;
    }
}

static const Expr *simplify_truth(Ctx *ctx, Op op, const Expr *a, const Expr *b) {
    bool neutral = op == OP_AND;
    if (a->kind == EX_TRUTH) return a->truth == neutral ? b : a;
    if (b->kind == EX_TRUTH) return b->truth == neutral ? a : b;
    return a == b ? a : NULL;
}

static const Expr *simplify_not(Ctx *ctx, const Expr *a) {
    static const Op opposite[] = {OP_NE, OP_EQ, OP_GE, OP_GT, OP_LE, OP_LT};
    if (a->kind == EX_TRUTH) return ir_truth(ctx, !a->truth);
    if (is_op(a, OP_NOT)) return arg(a, 0);
    bool comparison = a->kind == EX_OP && a->op.op >= OP_EQ && a->op.op <= OP_GE;
    /* Of reals only == and !=: a NaN is neither below nor not below. */
    if (comparison && (arg(a, 0)->type == TY_INT || a->op.op <= OP_NE))
        return ir_op2(ctx, opposite[a->op.op - OP_EQ], arg(a, 0), arg(a, 1));
    return NULL;
}

static const Expr *simplify_select(Ctx *ctx, const Expr *c, const Expr *a, const Expr *b) {
    if (c->kind == EX_TRUTH) return c->truth ? a : b;
    if (a == b) return a;
    if (is_op(c, OP_NOT)) return ir_select(ctx, arg(c, 0), b, a);
    if (is_op(a, OP_SELECT) && arg(a, 0) == c) return ir_select(ctx, c, arg(a, 1), b);
    if (is_op(b, OP_SELECT) && arg(b, 0) == c) return ir_select(ctx, c, a, arg(b, 2));
    /* if c then (if d then x else y) else y: one question, unless c guards what d reads */
    if (is_op(a, OP_SELECT) && arg(a, 2) == b && ir_reads_inside(ctx, arg(a, 0)))
        return ir_select(ctx, ir_op2(ctx, OP_AND, c, arg(a, 0)), arg(a, 1), b);
    if (a->type == TY_BOOL && a->kind == EX_TRUTH && b->kind == EX_TRUTH)
        return a->truth ? c : ir_op1(ctx, OP_NOT, c);
    return NULL;
}

const Expr *ir_simplify_op(Ctx *ctx, Op op, const Expr *const *args) {
    const Expr *a = args[0], *b = op_arity(op) > 1 ? args[1] : NULL;
    const Expr *folded = fold_constants(ctx, op, args);
    if (folded) return folded;
    switch (op) {
    case OP_ADD: return simplify_add(ctx, a, b);
    case OP_SUB: return simplify_sub(ctx, a, b);
    case OP_MUL: return simplify_mul(ctx, a, b);
    case OP_DIV: return simplify_div(ctx, a, b);
    case OP_NEG: return simplify_neg(ctx, a);
    case OP_POW: return simplify_pow(ctx, a, b);
    case OP_LOG: return simplify_log(ctx, a);
    case OP_MAX:
    case OP_MIN:
        if (a->type == TY_INT) {
            const Expr *less = compare_ints(ctx, op == OP_MAX ? OP_GE : OP_LE, a, b);
            if (less) return less->truth ? a : b;
        }
        return a == b ? a : NULL;
    case OP_STOP: return is_op(a, OP_STOP) ? a : NULL;
    case OP_ABS:
        return is_op(a, OP_ABS) ? a : is_op(a, OP_NEG) ? ir_op1(ctx, OP_ABS, arg(a, 0)) : NULL;
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: return compare_ints(ctx, op, a, b);
    case OP_AND:
    case OP_OR: return simplify_truth(ctx, op, a, b);
    case OP_NOT: return simplify_not(ctx, a);
    case OP_SELECT: return simplify_select(ctx, a, b, args[2]);
    case OP_FLOOR: return simplify_floor(ctx, a);
    case OP_SIGN:
    case OP_SQRT:
    case OP_EXP:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_LOGISTIC:
    case OP_LOG1PEXP:
    case OP_TANH:
    case OP_SIN:
    case OP_COS:
    case OP_ERF:
    case OPS: return NULL;
    }
    return NULL;
}
