/* codegen/bfloat.c: numbers of 16 bits in memory: bf16, the upper half of an f32.
 *
 * in:   reals or vectors of them      out: their bits as i16, and back; pairs of them as i32, the
 * first in the lower half, which is where it lies in memory
 *
 * Rounding is to the nearest, ties to even; NaN stays NaN.
 */
#include "codegen/emit.h"

static uint32_t lanes_of(LLVMValueRef v) {
    return gen_lanes_of(LLVMTypeOf(v));
}

static LLVMValueRef as(Gen *g, LLVMValueRef v, LLVMTypeRef element) {
    return LLVMBuildBitCast(g->b, v, gen_vector(g, element, lanes_of(v)), "");
}

/* By one instruction: of 4, 8 or 16 lanes. */
static LLVMValueRef rounded_at_once(Gen *g, LLVMValueRef v) {
    LLVMTypeRef bfloat = LLVMBFloatTypeInContext(g->llvm);
    LLVMTypeRef type = gen_vector(g, bfloat, lanes_of(v));
    return as(g, LLVMBuildFPTrunc(g->b, v, type, ""), g->i16);
}

static LLVMValueRef shifted(Gen *g, LLVMValueRef v) {
    return LLVMBuildLShr(g->b, v, gen_int_like(g, v, 16), "");
}

static LLVMValueRef rounded_by_integers(Gen *g, LLVMValueRef v) {
    LLVMValueRef bits = as(g, v, g->i32), upper = shifted(g, bits);
    LLVMValueRef odd = LLVMBuildAnd(g->b, upper, gen_int_like(g, bits, 1), "");
    LLVMValueRef half = LLVMBuildAdd(g->b, odd, gen_int_like(g, bits, 0x7fff), "");
    LLVMValueRef nearest = shifted(g, LLVMBuildAdd(g->b, bits, half, ""));
    LLVMValueRef quiet = LLVMBuildOr(g->b, upper, gen_int_like(g, bits, 0x40), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
    LLVMValueRef chosen = LLVMBuildSelect(g->b, is_nan, quiet, nearest, "");
    return LLVMBuildTrunc(g->b, chosen, gen_vector(g, g->i16, lanes_of(v)), "");
}

LLVMValueRef bfloat_round(Gen *g, LLVMValueRef v) {
    uint32_t lanes = lanes_of(v);
    if (!g->machine->has_bf16) return rounded_by_integers(g, v);
    if (lanes == 4 || lanes == 8 || lanes == 16) return rounded_at_once(g, v);
    if (lanes > 1) return rounded_by_integers(g, v);
    LLVMValueRef one = gen_splat(g, v, 4);
    return LLVMBuildExtractElement(g->b, rounded_at_once(g, one), gen_i32(g, 0), "");
}

LLVMValueRef bfloat_widen(Gen *g, LLVMValueRef v) {
    LLVMTypeRef wide = gen_vector(g, g->i32, lanes_of(v));
    LLVMValueRef bits = LLVMBuildZExt(g->b, v, wide, "");
    return as(g, LLVMBuildShl(g->b, bits, gen_int_like(g, bits, 16), ""), g->f32);
}

LLVMValueRef bfloat_pairs(Gen *g, LLVMValueRef first, LLVMValueRef second) {
    uint32_t lanes = lanes_of(first);
    LLVMValueRef numbers[2 * 64];
    for (uint32_t l = 0; l < lanes; l++) {
        numbers[2 * l] = gen_i32(g, l);
        numbers[2 * l + 1] = gen_i32(g, lanes + l);
    }
    LLVMValueRef order = LLVMConstVector(numbers, 2 * lanes);
    LLVMValueRef all = LLVMBuildShuffleVector(g->b, first, second, order, "");
    return LLVMBuildBitCast(g->b, all, LLVMVectorType(g->i32, lanes), "");
}

LLVMValueRef bfloat_first(Gen *g, LLVMValueRef pairs) {
    return LLVMBuildAnd(g->b, pairs, gen_int_like(g, pairs, 0xffff), "");
}

LLVMValueRef bfloat_dot(Gen *g, LLVMValueRef sum, LLVMValueRef a, LLVMValueRef b) {
    uint32_t lanes = lanes_of(sum);
    const char *name = lanes == 16  ? "llvm.x86.avx512bf16.dpbf16ps.512"
                       : lanes == 8 ? "llvm.x86.avx512bf16.dpbf16ps.256"
                                    : "llvm.x86.avx512bf16.dpbf16ps.128";
    DLC_ASSERT(g->ctx, g->machine->has_bf16 && (lanes == 16 || lanes == 8 || lanes == 4),
               (Span){0});
    LLVMTypeRef type = LLVMVectorType(LLVMBFloatTypeInContext(g->llvm), 2 * lanes);
    LLVMValueRef args[] = {sum, LLVMBuildBitCast(g->b, a, type, ""),
                           LLVMBuildBitCast(g->b, b, type, "")};
    return gen_intrinsic(g, name, NULL, args, 3);
}
