/* codegen/vecmath.c: elementary functions inline, on a real or a vector of any width.
 *
 * in:   an operation and its arguments      out: instructions at the builder's place; no calls
 * leave the module, no table is in memory but the digits of 2/pi for huge arguments of sin and cos.
 *
 * vecmath.def states the largest errors. All functions are right at ±0, ±infinity, NaN, at the
 * limits of over- and underflow and for numbers below the normal range.
 */
#include "codegen/vecmath_private.h"

Math math_of(Gen *g, Value a) {
    Math m = {.g = g, .type = LLVMTypeOf(a), .like = a, .lanes = 1};
    LLVMTypeRef element = m.type;
    if (LLVMGetTypeKind(m.type) == LLVMVectorTypeKind) {
        m.lanes = LLVMGetVectorSize(m.type);
        element = LLVMGetElementType(m.type);
    }
    m.f64 = LLVMGetTypeKind(element) == LLVMDoubleTypeKind;
    m.fraction = m.f64 ? 52 : 23;
    m.integer = gen_vector(g, m.f64 ? g->i64 : g->i32, m.lanes);
    m.ilike = LLVMGetUndef(m.integer);
    return m;
}

Math math_wide(const Math *m) {
    return math_of(m->g, LLVMGetUndef(gen_vector(m->g, m->g->f64, m->lanes)));
}

Value math_number(const Math *m, double value) {
    return gen_real_like(m->g, m->like, value);
}
Value math_integer(const Math *m, int64_t value) {
    return gen_int_like(m->g, m->ilike, value);
}
Value math_add(const Math *m, Value a, Value b) {
    return LLVMBuildFAdd(m->g->b, a, b, "");
}
Value math_sub(const Math *m, Value a, Value b) {
    return LLVMBuildFSub(m->g->b, a, b, "");
}
Value math_mul(const Math *m, Value a, Value b) {
    return LLVMBuildFMul(m->g->b, a, b, "");
}
Value math_div(const Math *m, Value a, Value b) {
    return LLVMBuildFDiv(m->g->b, a, b, "");
}
Value math_fma(const Math *m, Value a, Value b, Value c) {
    return gen_fma(m->g, a, b, c);
}

Value math_fma_number(const Math *m, Value a, double number, Value b) {
    return gen_fma(m->g, a, math_number(m, number), b);
}

Value math_bits(const Math *m, Value a) {
    return LLVMBuildBitCast(m->g->b, a, m->integer, "");
}
Value math_from_bits(const Math *m, Value bits) {
    return LLVMBuildBitCast(m->g->b, bits, m->type, "");
}

static int64_t sign_mask(const Math *m) {
    return m->f64 ? INT64_MIN : INT32_MIN;
}

Value math_abs(const Math *m, Value a) {
    return gen_intrinsic(m->g, "llvm.fabs", m->type, &a, 1);
}
Value math_neg(const Math *m, Value a) {
    return LLVMBuildFNeg(m->g->b, a, "");
}

Value math_sign_bit(const Math *m, Value a) {
    return LLVMBuildAnd(m->g->b, math_bits(m, a), math_integer(m, sign_mask(m)), "");
}

Value math_flip(const Math *m, Value a, Value bits) {
    return math_from_bits(m, LLVMBuildXor(m->g->b, math_bits(m, a), bits, ""));
}

Value math_less(const Math *m, Value a, Value b) {
    return LLVMBuildFCmp(m->g->b, LLVMRealOLT, a, b, "");
}
Value math_greater(const Math *m, Value a, Value b) {
    return LLVMBuildFCmp(m->g->b, LLVMRealOGT, a, b, "");
}
Value math_equal(const Math *m, Value a, Value b) {
    return LLVMBuildFCmp(m->g->b, LLVMRealOEQ, a, b, "");
}
Value math_select(const Math *m, Value condition, Value a, Value b) {
    return LLVMBuildSelect(m->g->b, condition, a, b, "");
}

Value math_at_most(const Math *m, Value a, double limit) {
    Value number = math_number(m, limit);
    return math_select(m, math_greater(m, a, number), number, a);
}

Value math_at_least(const Math *m, Value a, double limit) {
    Value number = math_number(m, limit);
    return math_select(m, math_less(m, a, number), number, a);
}

Value math_poly(const Math *m, Value x, const double *c, uint32_t n) {
    Value value = math_number(m, c[n - 1]);
    for (uint32_t i = n - 1; i-- > 0;) value = math_fma(m, value, x, math_number(m, c[i]));
    return value;
}

Value math_power_of_two(const Math *m, Value n) {
    LLVMBuilderRef b = m->g->b;
    Value biased = LLVMBuildAdd(b, n, math_integer(m, m->f64 ? 1023 : 127), "");
    return math_from_bits(m, LLVMBuildShl(b, biased, math_integer(m, m->fraction), ""));
}

/* Adding 1.5 * 2^fraction leaves the integer in the low bits of the sum. */
Value math_round(const Math *m, Value a, double factor, Value *bits) {
    double magic = m->f64 ? 0x1.8p52 : 0x1.8p23;
    int64_t magic_bits = m->f64 ? 0x4338000000000000 : 0x4b400000;
    Value sum = math_fma_number(m, a, factor, math_number(m, magic));
    *bits = LLVMBuildSub(m->g->b, math_bits(m, sum), math_integer(m, magic_bits), "");
    return math_sub(m, sum, math_number(m, magic));
}

/* Where there is no fma there may be no instruction for floor either, and llvm.floor be a call. */
Value math_floor(const Math *m, Value a) {
    if (m->g->machine->has_fma) return gen_intrinsic(m->g, "llvm.floor", m->type, &a, 1);
    Value magic = math_number(m, m->f64 ? 0x1p52 : 0x1p23), t = math_abs(m, a);
    Value sign = math_sign_bit(m, a);
    Value near = math_sub(m, math_add(m, t, magic), magic);
    near = math_flip(m, near, sign);
    Value above = math_greater(m, near, a);
    Value lower = math_sub(m, near, math_number(m, 1));
    Value value = math_select(m, above, lower, near);
    return math_select(m, math_less(m, t, magic), value, a);
}

/* Knuth, The Art of Computer Programming 2, 4.2.2. */
Value math_two_sum(const Math *m, Value a, Value b, Value *lo) {
    Value sum = math_add(m, a, b);
    Value b_part = math_sub(m, sum, a);
    Value a_part = math_sub(m, sum, b_part);
    *lo = math_add(m, math_sub(m, a, a_part), math_sub(m, b, b_part));
    return sum;
}

/* The upper half of the bits of a (Veltkamp). */
static Value upper_half(const Math *m, Value a) {
    Value t = math_mul(m, a, math_number(m, m->f64 ? 134217729 : 4097));
    return math_sub(m, t, math_sub(m, t, a));
}

/* By fma, or Dekker's product (Numerische Mathematik 18, 1971). */
Value math_two_product(const Math *m, Value a, Value b, Value *lo) {
    Value product = math_mul(m, a, b);
    if (m->g->machine->has_fma) {
        *lo = math_fma(m, a, b, math_neg(m, product));
        return product;
    }
    Value ah = upper_half(m, a), bh = upper_half(m, b);
    Value al = math_sub(m, a, ah), bl = math_sub(m, b, bh);
    Value rest = math_sub(m, math_mul(m, ah, bh), product);
    rest = math_add(m, rest, math_mul(m, ah, bl));
    rest = math_add(m, rest, math_mul(m, al, bh));
    *lo = math_add(m, rest, math_mul(m, al, bl));
    return product;
}

/* -1, 0 or 1; NaN for NaN. */
static Value sign_of(const Math *m, Value a) {
    Value zero = math_number(m, 0);
    Value value = math_select(m, math_less(m, a, zero), math_number(m, -1), a);
    return math_select(m, math_greater(m, a, zero), math_number(m, 1), value);
}

/* The number that every lane of a constant has. */
static bool constant_number(const Math *m, Value v, double *number) {
    if (!LLVMIsConstant(v)) return false;
    if (m->lanes > 1) {
        Value first = LLVMGetAggregateElement(v, 0);
        for (uint32_t l = 1; l < m->lanes; l++)
            if (LLVMGetAggregateElement(v, l) != first) return false;
        v = first;
    }
    LLVMBool inexact;
    if (!v || !LLVMIsAConstantFP(v)) return false;
    *number = LLVMConstRealGetDouble(v, &inexact);
    return true;
}

/* Small whole powers as products. */
static Value pow_of(const Math *m, Value a, Value b) {
    double power;
    if (!constant_number(m, b, &power)) return vecmath_pow(m, a, b);
    if (power == 1) return a;
    if (power == -1) return math_div(m, math_number(m, 1), a);
    if (power != 2 && power != 3 && power != 4) return vecmath_pow(m, a, b);
    Value square = math_mul(m, a, a);
    if (power == 2) return square;
    return math_mul(m, square, power == 3 ? a : square);
}

LLVMValueRef vecmath(Gen *g, Op op, LLVMValueRef a, LLVMValueRef b) {
    Math math = math_of(g, a);
    const Math *m = &math;
    switch ((int)op) {
    case OP_EXP: return vecmath_exp(m, a, NULL);
    case OP_LOG: return vecmath_log(m, a);
    case OP_LOG1P: return vecmath_log1p(m, a);
    case OP_EXPM1: return vecmath_expm1(m, a);
    case OP_LOGISTIC: return vecmath_logistic(m, a);
    case OP_LOG1PEXP: return vecmath_log1pexp(m, a);
    case OP_TANH: return vecmath_tanh(m, a);
    case OP_SIN: return vecmath_sin(m, a);
    case OP_COS: return vecmath_cos(m, a);
    case OP_ERF: return vecmath_erf(m, a);
    case OP_POW: return pow_of(m, a, b);
    case OP_SQRT: return gen_intrinsic(g, "llvm.sqrt", m->type, &a, 1);
    case OP_FLOOR: return math_floor(m, a);
    case OP_SIGN: return sign_of(m, a);
    case OP_ABS: return math_abs(m, a);
    }
    DLC_BUG(g->ctx, (Span){0}, "vecmath does not know `%s`", op_text(op));
}
