/* codegen/vecmath_private.h: the little language in which the files of vecmath are written: real
 * arithmetic on values of one type (a real or a vector of reals), emitted at the builder's place.
 */
#ifndef DLC_CODEGEN_VECMATH_PRIVATE_H
#define DLC_CODEGEN_VECMATH_PRIVATE_H

#include "codegen/emit.h"

#include <math.h>

typedef LLVMValueRef Value;

/* The type at work. `like` is a value of it, for the constants. */
typedef struct Math {
    Gen *g;
    LLVMTypeRef type;    /* real or <lanes x real> */
    LLVMTypeRef integer; /* the integers of the same size */
    Value like, ilike;
    uint32_t lanes;
    bool f64;
    uint32_t fraction; /* bits of the fraction: 23 or 52 */
} Math;

Math math_of(Gen *g, Value a);
/* The same lanes in double precision. */
Math math_wide(const Math *m);
Value math_number(const Math *m, double value);
Value math_integer(const Math *m, int64_t value);
Value math_add(const Math *m, Value a, Value b);
Value math_sub(const Math *m, Value a, Value b);
Value math_mul(const Math *m, Value a, Value b);
Value math_div(const Math *m, Value a, Value b);
Value math_fma(const Math *m, Value a, Value b, Value c);
/* a * number + b */
Value math_fma_number(const Math *m, Value a, double number, Value b);
Value math_abs(const Math *m, Value a);
Value math_neg(const Math *m, Value a);
/* Its sign bit: the value xor `bits`, integers in which only the sign bit may be set. */
Value math_flip(const Math *m, Value a, Value bits);
Value math_sign_bit(const Math *m, Value a);
Value math_bits(const Math *m, Value a);
Value math_from_bits(const Math *m, Value bits);
Value math_less(const Math *m, Value a, Value b);    /* false for NaN */
Value math_greater(const Math *m, Value a, Value b); /* false for NaN */
Value math_equal(const Math *m, Value a, Value b);   /* false for NaN */
Value math_select(const Math *m, Value condition, Value a, Value b);
/* min(a, limit) and max(a, limit) that keep a NaN in a. */
Value math_at_most(const Math *m, Value a, double limit);
Value math_at_least(const Math *m, Value a, double limit);
/* The polynomial with these coefficients, lowest power first. */
Value math_poly(const Math *m, Value x, const double *c, uint32_t n);
/* 2^n for integers n in the range of normal numbers. */
Value math_power_of_two(const Math *m, Value n);
/* The nearest integer as a real, and as an integer in *bits; |a * factor| < 2^(fraction - 2). */
Value math_round(const Math *m, Value a, double factor, Value *bits);
Value math_floor(const Math *m, Value a);

/* hi + lo = a + b, and = a * b, exactly. */
Value math_two_sum(const Math *m, Value a, Value b, Value *lo);
Value math_two_product(const Math *m, Value a, Value b, Value *lo);

#define MATH_POLY(m, x, table) math_poly((m), (x), (table), sizeof(table) / sizeof *(table))

/* ---- vecmath_exp.c ---- */
/* exp(x + low); low may be NULL. */
Value vecmath_exp(const Math *m, Value x, Value low);
Value vecmath_expm1(const Math *m, Value x);
Value vecmath_logistic(const Math *m, Value x);
Value vecmath_log1pexp(const Math *m, Value x);
Value vecmath_tanh(const Math *m, Value x);
Value vecmath_erf(const Math *m, Value x);
/* ---- vecmath_log.c ---- */
Value vecmath_log(const Math *m, Value x);
Value vecmath_log1p(const Math *m, Value x);
Value vecmath_pow(const Math *m, Value x, Value y);
/* ---- vecmath_trig.c ---- */
Value vecmath_sin(const Math *m, Value x);
Value vecmath_cos(const Math *m, Value x);
/* cos(2 pi t) for 0 <= t < 1. */
Value vecmath_cos_turns(const Math *m, Value t);

#endif
