/* codegen/vecmath_log.c: log, log1p and pow.
 *
 * x = 2^e (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) gives log x = e log 2 + log(1 + f), where log 2
 * is in two parts so that e times the first is exact.
 */
#include "codegen/vecmath_private.h"
#include "codegen/vecmath_poly.h"

/* e of the decomposition, as integers, for normal x > 0; *f = m - 1. */
static Value decompose(const Math *m, Value x, Value *f) {
    LLVMBuilderRef b = m->g->b;
    Value bits = math_bits(m, x);
    int64_t root_half = m->f64 ? 0x3fe6a09e667f3bcd : 0x3f3504f3; /* the bits of sqrt(1/2) */
    Value fraction = math_integer(m, m->fraction);
    Value e = LLVMBuildSub(b, bits, math_integer(m, root_half), "");
    e = LLVMBuildAShr(b, e, fraction, "");
    Value rest = LLVMBuildSub(b, bits, LLVMBuildShl(b, e, fraction, ""), "");
    *f = math_sub(m, math_from_bits(m, rest), math_number(m, 1));
    return e;
}

/* e log 2 + log(1 + f), e as reals. */
static Value log_sum(const Math *m, Value e, Value f) {
    Value z = math_mul(m, f, f);
    const double *ln2 = m->f64 ? ln2_f64 : ln2_f32;
    if (!m->f64) {
        Value y = math_mul(m, math_mul(m, f, z), MATH_POLY(m, f, log_f32));
        y = math_fma_number(m, e, ln2[1], y);
        y = math_fma_number(m, z, -0.5, y);
        return math_fma_number(m, e, ln2[0], math_add(m, f, y));
    }
    /* With s = f / (2 + f): log(1 + f) = f - (h - s (h + s^2 p(s^2))), h = f^2 / 2, which rounds f
     * only once (the arrangement of fdlibm's e_log.c). */
    Value s = math_div(m, f, math_add(m, f, math_number(m, 2)));
    Value s2 = math_mul(m, s, s);
    Value h = math_mul(m, z, math_number(m, 0.5));
    Value r = math_fma(m, s2, MATH_POLY(m, s2, log_f64), h);
    Value inner = math_fma_number(m, e, ln2[1], math_mul(m, s, r));
    Value value = math_sub(m, f, math_sub(m, h, inner));
    return math_fma_number(m, e, ln2[0], value);
}

/* `value` = log(x) for 0 < x < infinity; the rest of the line. */
static Value log_edges(const Math *m, Value x, Value value) {
    Value zero = math_number(m, 0), infinity = math_number(m, INFINITY);
    value = math_select(m, math_less(m, x, infinity), value, x); /* infinity, NaN */
    value = math_select(m, math_equal(m, x, zero), math_number(m, -INFINITY), value);
    return math_select(m, math_less(m, x, zero), math_number(m, NAN), value);
}

/* Brings what is below the normal numbers into them: *shift is what to add to e. */
static Value normal(const Math *m, Value x, Value *shift) {
    double least = m->f64 ? 0x1p-1022 : 0x1p-126, factor = m->f64 ? 0x1p54 : 0x1p25;
    Value tiny = math_less(m, x, math_number(m, least));
    *shift = math_select(m, tiny, math_number(m, m->f64 ? -54 : -25), math_number(m, 0));
    return math_select(m, tiny, math_mul(m, x, math_number(m, factor)), x);
}

Value vecmath_log(const Math *m, Value x) {
    Value shift, f;
    Value e = decompose(m, normal(m, x, &shift), &f);
    e = math_add(m, LLVMBuildSIToFP(m->g->b, e, m->type, ""), shift);
    return log_edges(m, x, log_sum(m, e, f));
}

/* 1 + x = 2^e (1 + f) with f = 2^-e x + (2^-e - 1): the two terms are exact up to e = fraction + 1,
 * and for e = 0 f is x itself. Above that x is 1 + x. */
Value vecmath_log1p(const Math *m, Value x) {
    LLVMBuilderRef b = m->g->b;
    Value f, one = math_number(m, 1);
    Value u = math_add(m, x, one);
    Value e = decompose(m, u, &f);
    Value large = LLVMBuildICmp(b, LLVMIntSGT, e, math_integer(m, m->fraction), "");
    Value near = LLVMBuildSelect(b, large, math_integer(m, 0), e, "");
    Value s = math_power_of_two(m, LLVMBuildNeg(b, near, ""));
    Value exact = math_fma(m, x, s, math_sub(m, s, one));
    f = LLVMBuildSelect(b, large, f, exact, "");
    Value value = log_sum(m, LLVMBuildSIToFP(b, e, m->type, ""), f);
    value = log_edges(m, u, value);
    return math_select(m, math_equal(m, x, math_number(m, 0)), x, value); /* keeps -0 */
}

/* log(x) = result + *low for x > 0 to about 2^-66 in f64. With s = f / (2 + f) = sh + sl:
 *   log(1 + f) = 2s + s^3 (2/3 + s^2 p(s^2)),
 * where everything that is not below 2^-12 of the result is carried in two parts. */
static Value long_log(const Math *m, Value x, Value *low) {
    Value shift, f, lo, c, t;
    Value e = decompose(m, normal(m, x, &shift), &f);
    e = math_add(m, LLVMBuildSIToFP(m->g->b, e, m->type, ""), shift);
    /* s: one correction step of the division; f + 2 is exact in two parts */
    Value d_low, d = math_two_sum(m, math_number(m, 2), f, &d_low);
    Value sh = math_div(m, f, d);
    Value product = math_two_product(m, sh, d, &lo);
    Value rest = math_sub(m, math_sub(m, math_sub(m, f, product), lo), math_mul(m, sh, d_low));
    Value sl = math_div(m, rest, d);
    /* s^2 = z + z_low, s^3 = w + w_low */
    Value z_low, w_low;
    Value z = math_two_product(m, sh, sh, &z_low);
    z_low = math_fma(m, math_add(m, sh, sh), sl, z_low);
    Value w = math_two_product(m, z, sh, &w_low);
    w_low = math_fma(m, z, sl, math_fma(m, z_low, sh, w_low));
    /* 2/3 s^3 = a + a_low; the constant 2/3 in two parts */
    double third = 2.0 / 3.0, third_low = 0x1.5555555555555p-55;
    Value a_low, a = math_two_product(m, w, math_number(m, third), &a_low);
    a_low = math_fma_number(m, w_low, third, a_low);
    a_low = math_fma_number(m, w, third_low, a_low);
    Value tail = math_mul(m, math_mul(m, w, z), MATH_POLY(m, z, log_tail_f64));
    /* e log 2 + 2s + a + tail */
    Value twice = math_add(m, sh, sh);
    Value head = math_two_sum(m, math_mul(m, e, math_number(m, ln2_f64[0])), twice, &c);
    Value sum = math_two_sum(m, head, a, &t);
    Value small = math_add(m, tail, a_low);
    small = math_fma_number(m, sl, 2, small);
    small = math_fma_number(m, e, ln2_f64[1], small);
    small = math_add(m, small, math_add(m, c, t));
    Value value = math_two_sum(m, sum, small, low);
    Value fine = math_less(m, math_abs(m, value), math_number(m, INFINITY));
    Value edged = log_edges(m, x, value);
    fine = LLVMBuildAnd(m->g->b, fine, math_equal(m, edged, value), "");
    *low = math_select(m, fine, *low, math_number(m, 0));
    return edged;
}

/* exp(y log |x|) in double precision. */
static Value magnitude(const Math *m, Value x, Value y, bool precise) {
    if (!precise) return vecmath_exp(m, math_mul(m, y, vecmath_log(m, x)), NULL);
    Value low, rest, l = long_log(m, x, &low);
    Value p = math_two_product(m, y, l, &rest);
    rest = math_fma(m, y, low, rest);
    Value fine = math_less(m, math_abs(m, p), math_number(m, 1000));
    return vecmath_exp(m, p, math_select(m, fine, rest, math_number(m, 0)));
}

/* As C's pow. In single precision through double precision, where one part for the logarithm is
 * enough. */
Value vecmath_pow(const Math *m, Value x, Value y) {
    LLVMBuilderRef b = m->g->b;
    Math wide = math_wide(m);
    const Math *d = m->f64 ? m : &wide;
    if (!m->f64) {
        x = LLVMBuildFPExt(b, x, d->type, "");
        y = LLVMBuildFPExt(b, y, d->type, "");
    }
    Value zero = math_number(d, 0), one = math_number(d, 1);
    Value t = math_abs(d, x);
    Value value = magnitude(d, t, y, m->f64);
    Value half = math_mul(d, y, math_number(d, 0.5));
    Value whole = math_equal(d, math_floor(d, y), y);
    Value even = math_equal(d, math_floor(d, half), half);
    Value odd = LLVMBuildAnd(b, whole, LLVMBuildNot(b, even, ""), "");
    value = math_select(d, math_equal(d, t, one), one, value);
    Value negative = LLVMBuildSelect(b, odd, math_sign_bit(d, x), math_integer(d, 0), "");
    value = math_flip(d, value, negative);
    Value below =
        LLVMBuildAnd(b, math_less(d, x, zero), math_greater(d, x, math_number(d, -INFINITY)), "");
    Value wrong = LLVMBuildAnd(b, below, LLVMBuildNot(b, whole, ""), "");
    value = math_select(d, wrong, math_number(d, NAN), value);
    Value unit = LLVMBuildOr(b, math_equal(d, y, zero), math_equal(d, x, one), "");
    value = math_select(d, unit, one, value);
    return m->f64 ? value : LLVMBuildFPTrunc(b, value, m->type, "");
}
