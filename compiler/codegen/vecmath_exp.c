/* codegen/vecmath_exp.c: exp and what is made of it.
 *
 * With n = round(x / log 2) and r = x - n log 2 (in two parts, the first of which is exact),
 * exp(x) = 2^n (1 + y), y = expm1(r) = r + r^2 p(r). 2^n is applied as two factors, so that results
 * below the normal range are rounded once and overflow gives infinity.
 */
#include "codegen/vecmath_private.h"
#include "codegen/vecmath_poly.h"

#define LOG2_E 1.4426950408889634074

/* y with exp(x + low) = 2^n (1 + y). The small part of r is added last, which saves a rounding. */
static Value reduced_expm1(const Math *m, Value x, Value low, bool precise, Value *n) {
    const double *ln2 = m->f64 ? ln2_f64 : ln2_f32;
    Value count = math_round(m, x, LOG2_E, n);
    Value head = math_fma_number(m, count, -ln2[0], x);
    Value tail = math_mul(m, count, math_number(m, -ln2[1]));
    if (low) tail = math_add(m, tail, low);
    Value r = math_add(m, head, tail);
    Value p;
    if (m->f64)
        p = precise ? MATH_POLY(m, r, expm1_f64) : MATH_POLY(m, r, exp_f64);
    else
        p = precise ? MATH_POLY(m, r, expm1_f32) : MATH_POLY(m, r, exp_f32);
    return math_add(m, head, math_fma(m, math_mul(m, r, r), p, tail));
}

/* (1 + y) 2^n for every n that an argument between the limits below gives. */
static Value scaled(const Math *m, Value y, Value n) {
    LLVMBuilderRef b = m->g->b;
    Value half = LLVMBuildAShr(b, n, math_integer(m, 1), "");
    Value rest = LLVMBuildSub(b, n, half, "");
    Value value = math_add(m, y, math_number(m, 1));
    value = math_mul(m, value, math_power_of_two(m, half));
    return math_mul(m, value, math_power_of_two(m, rest));
}

/* Beyond these exp is 0, or infinite. */
static Value limited(const Math *m, Value x) {
    x = math_at_most(m, x, m->f64 ? 710 : 89);
    return math_at_least(m, x, m->f64 ? -746 : -104);
}

Value vecmath_exp(const Math *m, Value x, Value low) {
    Value n;
    Value y = reduced_expm1(m, limited(m, x), low, false, &n);
    return scaled(m, y, n);
}

/* exp(x) for |x| < 87 or so: one factor 2^n will do. */
static Value moderate_exp(const Math *m, Value x) {
    Value n;
    Value y = reduced_expm1(m, x, NULL, false, &n);
    Value s = math_power_of_two(m, n);
    return math_fma(m, y, s, s);
}

/* 2^n y + (2^n - 1); where 2^n is so large that the 1 does not count, exp(x). */
Value vecmath_expm1(const Math *m, Value x) {
    LLVMBuilderRef b = m->g->b;
    Value n;
    Value inside = math_at_most(m, x, m->f64 ? 710 : 89);
    inside = math_at_least(m, inside, m->f64 ? -40 : -20);
    Value y = reduced_expm1(m, inside, NULL, true, &n);
    Value large = LLVMBuildICmp(b, LLVMIntSGT, n, math_integer(m, 60), "");
    Value s = math_power_of_two(m, LLVMBuildSelect(b, large, math_integer(m, 60), n, ""));
    Value small = math_fma(m, y, s, math_sub(m, s, math_number(m, 1)));
    Value value = LLVMBuildSelect(b, large, scaled(m, y, n), small, "");
    Value zero = math_equal(m, x, math_number(m, 0)); /* keeps -0 */
    return math_select(m, zero, x, value);
}

/* What a sum 1 + y lost to rounding, for |y| < 1 or so (Dekker 1971: it is exact). */
static Value lost_of(const Math *m, Value sum, Value y) {
    return math_sub(m, y, math_sub(m, sum, math_number(m, 1)));
}

/* With e = exp(-|x|): 1 / (1 + e), or e / (1 + e) for negative x. There an ulp of the quotient can
 * be half of e's, or of the divisor's, relative to them: what 1 + y lost in e is put back, as a
 * part of e, and so is what 1 + e lost, as a part of the divisor, which is near 1 where it counts.
 */
Value vecmath_logistic(const Math *m, Value x) {
    Value one = math_number(m, 1), n;
    Value y = reduced_expm1(m, limited(m, math_neg(m, math_abs(m, x))), NULL, false, &n);
    Value e = scaled(m, y, n), divisor = math_add(m, one, e);
    Value inverse = math_fma(m, math_sub(m, y, one), y, one); /* 1 - y + y^2, near 1 / (1 + y) */
    Value negative = math_less(m, x, math_number(m, 0));
    Value of_e = math_mul(m, lost_of(m, math_add(m, y, one), y), inverse);
    Value part = math_select(m, negative, of_e, math_number(m, 0));
    part = math_sub(m, part, lost_of(m, divisor, e));
    Value q = math_div(m, math_select(m, negative, e, one), divisor);
    return math_fma(m, q, part, q);
}

/* max(x, 0) + log1p(exp(-|x|)) */
Value vecmath_log1pexp(const Math *m, Value x) {
    Value e = vecmath_exp(m, math_neg(m, math_abs(m, x)), NULL);
    return math_add(m, math_at_least(m, x, 0), vecmath_log1p(m, e));
}

/* x + x^3 p(x^2) up to 0.625, beyond 1 - 2 / (exp(2|x|) + 1) with the sign of x. */
Value vecmath_tanh(const Math *m, Value x) {
    Value t = math_abs(m, x), one = math_number(m, 1);
    Value z = math_mul(m, t, t);
    Value p = m->f64 ? MATH_POLY(m, z, tanh_f64) : MATH_POLY(m, z, tanh_f32);
    Value small = math_fma(m, math_mul(m, t, z), p, t);
    Value capped = math_at_most(m, t, m->f64 ? 20 : 10);
    Value e = moderate_exp(m, math_add(m, capped, capped));
    Value large = math_sub(m, one, math_div(m, math_number(m, 2), math_add(m, e, one)));
    Value is_small = math_less(m, t, math_number(m, 0.625));
    return math_flip(m, math_select(m, is_small, small, large), math_sign_bit(m, x));
}

/* 1 - erfc(t) for t >= 1. */
static Value large_erf(const Math *m, Value t) {
    Value one = math_number(m, 1), c;
    if (m->f64) {
        t = math_at_most(m, t, 6);
        Value two = math_number(m, 2);
        Value u = math_div(m, math_sub(m, t, two), math_add(m, t, two));
        Value e = moderate_exp(m, math_neg(m, math_mul(m, t, t)));
        c = math_mul(m, e, MATH_POLY(m, u, erf_large_f64));
        c = math_div(m, c, math_fma_number(m, t, 2, one));
    } else {
        t = math_at_most(m, t, 4);
        c = moderate_exp(m, math_mul(m, t, MATH_POLY(m, t, erf_large_f32)));
    }
    return math_sub(m, one, c);
}

Value vecmath_erf(const Math *m, Value x) {
    Value t = math_abs(m, x);
    Value z = math_mul(m, t, t);
    Value p = m->f64 ? MATH_POLY(m, z, erf_small_f64) : MATH_POLY(m, z, erf_small_f32);
    Value small = math_fma(m, t, p, t);
    Value is_small = math_less(m, t, math_number(m, 1));
    Value value = math_select(m, is_small, small, large_erf(m, t));
    return math_flip(m, value, math_sign_bit(m, x));
}
