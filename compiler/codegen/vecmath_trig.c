/* codegen/vecmath_trig.c: sin and cos.
 *
 * |x| = n pi/2 + r with |r| <= pi/4; n mod 4 selects sin r or cos r and the sign. In f32 the
 * reduction is done in f64, where it has bits to spare; in f64 r is carried in two parts. Up to a
 * limit pi/2 is subtracted in parts (Cody and Waite). Beyond it a branch, taken when any lane needs
 * it, multiplies by the digits of 2/pi that matter (Payne and Hanek), so that every finite argument
 * is reduced exactly.
 */
#include "codegen/vecmath_private.h"
#include "codegen/vecmath_poly.h"

#include <string.h>

#define TWO_OVER_PI 0.63661977236758134308

/* |x| = n pi/2 + r + low: in f64, n as i64. */
typedef struct Reduced {
    Value n, r, low;
} Reduced;

/* ---- huge arguments ---------------------------------------------------------------------- */

enum { DIGIT_WORDS = sizeof two_over_pi / sizeof *two_over_pi };

static Value digits_table(Gen *g) {
    Value table = LLVMGetNamedGlobal(g->module, "dl.two_over_pi");
    if (table) return table;
    Value words[DIGIT_WORDS];
    for (uint32_t i = 0; i < DIGIT_WORDS; i++) words[i] = LLVMConstInt(g->i64, two_over_pi[i], 0);
    return gen_table(g, "dl.two_over_pi", g->i64, words, DIGIT_WORDS);
}

/* The 64 bits that begin at bit `shift` of the words a, b. */
static Value window(Gen *g, Value a, Value b, Value shift) {
    Value args[] = {a, b, shift};
    return gen_intrinsic(g, "llvm.fshl", g->i64, args, 3);
}

/* a * b as 128 bits: the low word; the high one in *high. */
static Value wide_product(Gen *g, Value a, Value b, Value *high) {
    LLVMTypeRef i128 = LLVMInt128TypeInContext(g->llvm);
    Value product =
        LLVMBuildMul(g->b, LLVMBuildZExt(g->b, a, i128, ""), LLVMBuildZExt(g->b, b, i128, ""), "");
    Value shifted = LLVMBuildLShr(g->b, product, LLVMConstInt(i128, 64, 0), "");
    *high = LLVMBuildTrunc(g->b, shifted, g->i64, "");
    return LLVMBuildTrunc(g->b, product, g->i64, "");
}

/* low word + carry: the sum, and 0 or 1 added to *high. */
static Value add_carry(Gen *g, Value a, Value b, Value *high) {
    Value sum = LLVMBuildAdd(g->b, a, b, "");
    Value carry = LLVMBuildICmp(g->b, LLVMIntULT, sum, a, "");
    *high = LLVMBuildAdd(g->b, *high, LLVMBuildZExt(g->b, carry, g->i64, ""), "");
    return sum;
}

/* The 192 bits of x * 2/pi from weight 2 down: words[0] the highest, whose upper two bits are n
 * mod 4. With x = m 2^e these are the low bits of m times the digits from the e-1st on: what stands
 * in front of them adds a multiple of 4. */
static void multiply_digits(Gen *g, Value x, Value *words) {
    LLVMBuilderRef b = g->b;
    Value bits = LLVMBuildBitCast(b, x, g->i64, "");
    Value exponent = LLVMBuildLShr(b, bits, gen_i64(g, 52), "");
    Value low = LLVMBuildICmp(b, LLVMIntULT, exponent, gen_i64(g, 1040), "");
    exponent = LLVMBuildSelect(b, low, gen_i64(g, 1040), exponent, "");
    Value m = LLVMBuildAnd(b, bits, gen_i64(g, 0xfffffffffffff), "");
    m = LLVMBuildOr(b, m, gen_i64(g, 0x10000000000000), "");
    Value first =
        LLVMBuildSub(b, exponent, gen_i64(g, 1075 - 62), ""); /* 64 zeros stand in front */
    Value word = LLVMBuildLShr(b, first, gen_i64(g, 6), "");
    Value shift = LLVMBuildAnd(b, first, gen_i64(g, 63), "");
    Value w[4];
    for (uint32_t i = 0; i < 4; i++) {
        Value at = LLVMBuildAdd(b, word, gen_i64(g, i), "");
        Value address = LLVMBuildGEP2(b, g->i64, digits_table(g), &at, 1, "");
        w[i] = LLVMBuildLoad2(b, g->i64, address, "");
    }
    Value h0, h1, unused;
    words[2] = wide_product(g, m, window(g, w[2], w[3], shift), &h0);
    words[1] = wide_product(g, m, window(g, w[1], w[2], shift), &h1);
    words[1] = add_carry(g, words[1], h0, &h1);
    words[0] = wide_product(g, m, window(g, w[0], w[1], shift), &unused);
    words[0] = LLVMBuildAdd(b, words[0], h1, "");
}

/* The signed upper (is_high) or the lower half of a word, times 2^power. */
static Value half_word(const Math *m, Value word, bool is_high, bool is_signed, double factor) {
    Gen *g = m->g;
    Value half = LLVMBuildAnd(g->b, word, gen_i64(g, 0xffffffff), "");
    if (is_high && is_signed)
        half = LLVMBuildAShr(g->b, word, gen_i64(g, 32), "");
    else if (is_high)
        half = LLVMBuildLShr(g->b, word, gen_i64(g, 32), "");
    return math_mul(m, LLVMBuildSIToFP(g->b, half, g->f64, ""), math_number(m, factor));
}

/* (hi + lo) pi/2 in two parts. */
static Value times_half_pi(const Math *m, Value hi, Value lo, Value *low) {
    Value rest, product = math_two_product(m, hi, math_number(m, half_pi_f64[0]), &rest);
    rest = math_fma_number(m, hi, half_pi_f64[1], rest);
    rest = math_fma_number(m, lo, half_pi_f64[0], rest);
    Value value = math_add(m, product, rest);
    *low = math_sub(m, rest, math_sub(m, value, product));
    return value;
}

static Reduced reduce_by_digits(const Math *m, Value x) {
    Gen *g = m->g;
    LLVMBuilderRef b = g->b;
    Value words[3], low_ab, low_sum;
    multiply_digits(g, x, words);
    Value f0 = window(g, words[0], words[1], gen_i64(g, 2));
    Value f1 = window(g, words[1], words[2], gen_i64(g, 2));
    Value n = LLVMBuildLShr(b, words[0], gen_i64(g, 62), "");
    n = LLVMBuildAdd(b, n, LLVMBuildLShr(b, f0, gen_i64(g, 63), ""), ""); /* to nearest */
    Value high = math_two_sum(m, half_word(m, f0, true, true, 0x1p-32),
                              half_word(m, f0, false, false, 0x1p-64), &low_ab);
    Value rest = math_add(m, half_word(m, f1, true, false, 0x1p-96),
                          half_word(m, f1, false, false, 0x1p-128));
    Value sum = math_two_sum(m, high, rest, &low_sum);
    Reduced result = {.n = n};
    result.r = times_half_pi(m, sum, math_add(m, low_ab, low_sum), &result.low);
    return result;
}

/* {i64 n, double r, double low} dl.reduce(double x), for finite x >= 2^17. Made once a module. */
static Value reduce_function(Gen *g, LLVMTypeRef *type) {
    LLVMTypeRef fields[] = {g->i64, g->f64, g->f64};
    LLVMTypeRef result = LLVMStructTypeInContext(g->llvm, fields, 3, false);
    *type = LLVMFunctionType(result, &g->f64, 1, false);
    Value fn = LLVMGetNamedFunction(g->module, "dl.reduce");
    if (fn) return fn;
    fn = LLVMAddFunction(g->module, "dl.reduce", *type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    static const char *const attributes[] = {"noinline", "nounwind", "willreturn"};
    for (uint32_t i = 0; i < 3; i++) {
        unsigned kind = LLVMGetEnumAttributeKindForName(attributes[i], strlen(attributes[i]));
        LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateEnumAttribute(g->llvm, kind, 0));
    }
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    Math m = math_of(g, LLVMGetParam(fn, 0));
    Reduced r = reduce_by_digits(&m, LLVMGetParam(fn, 0));
    Value all[] = {r.n, r.r, r.low};
    LLVMBuildAggregateRet(g->b, all, 3);
    LLVMPositionBuilderAtEnd(g->b, here);
    return fn;
}

static Value lane(const Math *m, Value v, Value number) {
    return m->lanes == 1 ? v : LLVMBuildExtractElement(m->g->b, v, number, "");
}

static Value with_lane(const Math *m, Value v, Value element, Value number) {
    return m->lanes == 1 ? element : LLVMBuildInsertElement(m->g->b, v, element, number, "");
}

/* Reduces again, one by one, the lanes with x > limit. */
static Reduced reduce_huge(const Math *m, Value x, double limit, Reduced r) {
    Gen *g = m->g;
    LLVMBuilderRef b = g->b;
    LLVMTypeRef type;
    Value fn = reduce_function(g, &type);
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, m->lanes), gen_i64(g, 1), "lane");
    Value old[] = {loop_carry(g, &loop, r.n), loop_carry(g, &loop, r.r),
                   loop_carry(g, &loop, r.low)};
    Value at = lane(m, x, loop.counter), next[3], out[3];
    Value huge = LLVMBuildFCmp(b, LLVMRealOGT, at, LLVMConstReal(g->f64, limit), "");
    Value result = LLVMBuildCall2(b, type, fn, &at, 1, "");
    for (unsigned i = 0; i < 3; i++) {
        Value value = LLVMBuildExtractValue(b, result, i, "");
        value = LLVMBuildSelect(b, huge, value, lane(m, old[i], loop.counter), "");
        next[i] = with_lane(m, old[i], value, loop.counter);
    }
    loop_end(g, &loop, next, out);
    return (Reduced){out[0], out[1], out[2]};
}

/* `r` when every lane has x <= limit; otherwise, behind a branch, with those lanes reduced exactly.
 */
static Reduced or_huge(const Math *m, Value x, double limit, Reduced r) {
    Gen *g = m->g;
    LLVMBuilderRef b = g->b;
    Value any = math_greater(m, x, math_number(m, limit));
    if (m->lanes > 1) any = gen_intrinsic(g, "llvm.vector.reduce.or", LLVMTypeOf(any), &any, 1);
    LLVMBasicBlockRef slow = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "huge");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
    LLVMBasicBlockRef from[] = {LLVMGetInsertBlock(b), NULL};
    LLVMBuildCondBr(b, any, slow, done);
    LLVMPositionBuilderAtEnd(b, slow);
    Reduced again = reduce_huge(m, x, limit, r);
    from[1] = LLVMGetInsertBlock(b);
    LLVMBuildBr(b, done);
    LLVMPositionBuilderAtEnd(b, done);
    Value first[] = {r.n, r.r, r.low}, second[] = {again.n, again.r, again.low}, merged[3];
    for (uint32_t i = 0; i < 3; i++) {
        Value values[] = {first[i], second[i]};
        merged[i] = LLVMBuildPhi(b, LLVMTypeOf(values[0]), "");
        LLVMAddIncoming(merged[i], values, from, 2);
    }
    return (Reduced){merged[0], merged[1], merged[2]};
}

/* ---- the usual arguments ------------------------------------------------------------------- */

/* For a single-precision result: x >= 0 in f64. */
static Reduced reduce_short(const Math *m, Value x) {
    Reduced result = {.low = math_number(m, 0)};
    Value n = math_round(m, x, TWO_OVER_PI, &result.n), r = x;
    for (uint32_t i = 0; i < 3; i++) r = math_fma_number(m, n, -half_pi_short[i], r);
    result.r = r;
    return or_huge(m, x, 0x1p29, result);
}

/* x - n pi/2 with the three products and all sums exact as long as they matter. */
static Reduced reduce_long(const Math *m, Value x) {
    Reduced result;
    Value n = math_round(m, x, TWO_OVER_PI, &result.n);
    Value p_low, q_low, s_low, t_low;
    Value p = math_two_product(m, n, math_number(m, -half_pi_f64[0]), &p_low);
    Value q = math_two_product(m, n, math_number(m, -half_pi_f64[1]), &q_low);
    Value s = math_two_sum(m, math_add(m, x, p), p_low, &s_low);
    Value t = math_two_sum(m, s, q, &t_low);
    Value low = math_add(m, math_add(m, s_low, t_low), q_low);
    low = math_fma_number(m, n, -half_pi_f64[2], low);
    result.r = math_add(m, t, low);
    result.low = math_sub(m, low, math_sub(m, result.r, t));
    return or_huge(m, x, 0x1p20, result);
}

static Value sine(const Math *m, Value r, Value low) {
    Value z = math_mul(m, r, r);
    Value p = m->f64 ? MATH_POLY(m, z, sin_f64) : MATH_POLY(m, z, sin_f32);
    Value cubic = math_mul(m, math_mul(m, r, z), p);
    return math_add(m, r, low ? math_add(m, cubic, low) : cubic);
}

/* 1 - z/2 is made in two parts. */
static Value cosine(const Math *m, Value r, Value low) {
    Value z = math_mul(m, r, r), one = math_number(m, 1);
    Value p = m->f64 ? MATH_POLY(m, z, cos_f64) : MATH_POLY(m, z, cos_f32);
    Value half = math_mul(m, z, math_number(m, 0.5));
    Value head = math_sub(m, one, half);
    Value rest = math_sub(m, math_sub(m, one, head), half);
    rest = math_fma(m, math_mul(m, z, z), p, rest);
    if (low) rest = math_sub(m, rest, math_mul(m, r, low));
    return math_add(m, head, rest);
}

/* sin of n pi/2 + r + low; the sign bit of `flip` is joined to the result's. */
static Value quadrant_sine(const Math *m, Value n, Value r, Value low, Value flip) {
    LLVMBuilderRef b = m->g->b;
    Value odd = LLVMBuildAnd(b, n, math_integer(m, 1), "");
    Value swap = LLVMBuildICmp(b, LLVMIntNE, odd, math_integer(m, 0), "");
    Value value = math_select(m, swap, cosine(m, r, low), sine(m, r, low));
    Value back = LLVMBuildAnd(b, n, math_integer(m, 2), "");
    back = LLVMBuildShl(b, back, math_integer(m, m->f64 ? 62 : 30), "");
    return math_flip(m, value, flip ? LLVMBuildXor(b, back, flip, "") : back);
}

/* sin(|x| + quarter pi/2) with the sign of `flip`. */
static Value sine_of(const Math *m, Value x, int64_t quarter, Value flip) {
    LLVMBuilderRef b = m->g->b;
    Value t = math_abs(m, x), value;
    if (m->f64) {
        Reduced r = reduce_long(m, t);
        Value n = LLVMBuildAdd(b, r.n, math_integer(m, quarter), "");
        value = quadrant_sine(m, n, r.r, r.low, flip);
    } else {
        Math wide = math_wide(m);
        Reduced r = reduce_short(&wide, LLVMBuildFPExt(b, t, wide.type, ""));
        Value n = LLVMBuildTrunc(b, r.n, m->integer, "");
        n = LLVMBuildAdd(b, n, math_integer(m, quarter), "");
        value = quadrant_sine(m, n, LLVMBuildFPTrunc(b, r.r, m->type, ""), NULL, flip);
    }
    Value finite = math_less(m, t, math_number(m, INFINITY));
    return math_select(m, finite, value, math_number(m, NAN));
}

Value vecmath_sin(const Math *m, Value x) {
    return sine_of(m, x, 0, math_sign_bit(m, x));
}
Value vecmath_cos(const Math *m, Value x) {
    return sine_of(m, x, 1, NULL);
}

/* t = n/4 + s exactly, |s| <= 1/8. */
Value vecmath_cos_turns(const Math *m, Value t) {
    Value n, quarters = math_round(m, t, 4, &n);
    Value s = math_fma_number(m, quarters, -0.25, t);
    n = LLVMBuildAdd(m->g->b, n, math_integer(m, 1), "");
    return quadrant_sine(m, n, math_mul(m, s, math_number(m, 6.28318530717958647693)), NULL, NULL);
}
