/* codegen/philox.c: the random numbers of EX_DRAW as vector code.
 *
 * in:   the position of each lane's element      out: a draw for each lane, the one that
 * ir_draw_value computes: uniform draws have the same bits, normal ones differ by the rounding of
 * log, sqrt and cos.
 *
 * Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011.
 */
#include "codegen/vecmath_private.h"

enum { ROUNDS = 10 };

/* A word in every lane, kept in the low half of 64 bits, so that products are whole. */
typedef struct Words {
    Value at[4];
} Words;

static Value low_half(Gen *g, Value v) {
    return LLVMBuildAnd(g->b, v, gen_int_like(g, v, 0xffffffff), "");
}

static Value high_half(Gen *g, Value v) {
    return LLVMBuildLShr(g->b, v, gen_int_like(g, v, 32), "");
}

static Words one_round(Gen *g, Words c, const Value *key) {
    Value p = LLVMBuildMul(g->b, c.at[0], gen_int_like(g, c.at[0], 0xd2511f53), "");
    Value q = LLVMBuildMul(g->b, c.at[2], gen_int_like(g, c.at[2], 0xcd9e8d57), "");
    Value first = LLVMBuildXor(g->b, high_half(g, q), LLVMBuildXor(g->b, c.at[1], key[0], ""), "");
    Value third = LLVMBuildXor(g->b, high_half(g, p), LLVMBuildXor(g->b, c.at[3], key[1], ""), "");
    return (Words){{first, low_half(g, q), third, low_half(g, p)}};
}

/* The key of the next round: the halves of the seed plus the Weyl constants. */
static void bump(Gen *g, Value *scalar_key) {
    static const int64_t weyl[2] = {0x9e3779b9, 0xbb67ae85};
    for (uint32_t i = 0; i < 2; i++) {
        Value sum = LLVMBuildAdd(g->b, scalar_key[i], gen_i64(g, weyl[i]), "");
        scalar_key[i] = low_half(g, sum);
    }
}

/* The rounds are a loop: written out they would be most of the code of a model with dropout. */
static Words philox(Gen *g, Value site, Value counter, uint32_t lanes) {
    Value key[2] = {low_half(g, g->seed), high_half(g, g->seed)}, splat[2];
    Words c = {{low_half(g, counter), gen_splat(g, site, lanes),
                gen_splat(g, low_half(g, g->step), lanes),
                gen_splat(g, high_half(g, g->step), lanes)}};
    Loop loop = loop_begin(g, gen_i64(g, 0), gen_i64(g, ROUNDS), gen_i64(g, 1), "round");
    for (uint32_t i = 0; i < 4; i++) c.at[i] = loop_carry(g, &loop, c.at[i]);
    for (uint32_t i = 0; i < 2; i++) key[i] = loop_carry(g, &loop, key[i]);
    for (uint32_t i = 0; i < 2; i++) splat[i] = gen_splat(g, key[i], lanes);
    c = one_round(g, c, splat);
    bump(g, key);
    Value next[6] = {c.at[0], c.at[1], c.at[2], c.at[3], key[0], key[1]}, out[6];
    loop_end(g, &loop, next, out);
    return (Words){{out[0], out[1], out[2], out[3]}};
}

/* The upper 24 bits of a word plus `add`, times 2^-24. */
static Value fraction(Gen *g, Value word, int64_t add, LLVMTypeRef type, uint32_t lanes) {
    Value bits = LLVMBuildLShr(g->b, word, gen_int_like(g, word, 8), "");
    bits = LLVMBuildAdd(g->b, bits, gen_int_like(g, word, add), "");
    bits = LLVMBuildTrunc(g->b, bits, gen_vector(g, g->i32, lanes), "");
    Value real = LLVMBuildSIToFP(g->b, bits, type, "");
    return LLVMBuildFMul(g->b, real, gen_real_like(g, real, 0x1p-24), "");
}

static Value draw(Gen *g, DrawKind kind, Value site, Value counter, uint32_t lanes) {
    LLVMTypeRef real = gen_vector(g, g->real, lanes);
    Words words = philox(g, site, counter, lanes);
    if (kind == DRAW_UNIFORM) return fraction(g, words.at[0], 0, real, lanes);
    Value u = fraction(g, words.at[0], 1, real, lanes);
    Value v = fraction(g, words.at[1], 0, real, lanes);
    Math m = math_of(g, u);
    Value radius = math_mul(&m, vecmath_log(&m, u), math_number(&m, -2));
    radius = gen_intrinsic(g, "llvm.sqrt", m.type, &radius, 1);
    return math_mul(&m, radius, vecmath_cos_turns(&m, v));
}

/* ---- as functions of the module ----------------------------------------------------------------
 */

/* draw(seed, step, site, counter): where a model has many initialisers, their draws are most of
 * the code. */
static Value draw_function(Gen *g, DrawKind kind, LLVMTypeRef counters, uint32_t lanes) {
    const char *name =
        arena_printf(g->ctx->arena, "%s%u", kind == DRAW_NORMAL ? "normal" : "uniform", lanes);
    LLVMTypeRef params[] = {g->i64, g->i64, g->i64, counters};
    Gen inner = *g;
    if (gen_shared(&inner, name, gen_vector(g, g->real, lanes), params, 4)) return inner.fn;
    inner.seed = LLVMGetParam(inner.fn, 0);
    inner.step = LLVMGetParam(inner.fn, 1);
    Value site = LLVMGetParam(inner.fn, 2), counter = LLVMGetParam(inner.fn, 3);
    LLVMBuildRet(inner.b, draw(&inner, kind, site, counter, lanes));
    LLVMDisposeBuilder(inner.b);
    return inner.fn;
}

static Value value_of_site(const Gen *g, uint32_t site) {
    for (uint32_t i = 0; i < g->sites->len; i++)
        if (g->sites->at[i] == site) return g->sites->values[i];
    DLC_BUG(g->ctx, (Span){0}, "site %u is no argument of the kernel", site);
}

LLVMValueRef philox_draw(Gen *g, DrawKind kind, uint32_t site_number, LLVMValueRef counter) {
    Value site = value_of_site(g, site_number);
    LLVMTypeRef type = LLVMTypeOf(counter);
    uint32_t lanes = gen_lanes_of(type);
    if (g->once) {
        Value fn = draw_function(g, kind, type, lanes);
        Value args[] = {g->seed, g->step, site, counter};
        return LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, 4, "");
    }
    return draw(g, kind, site, counter, lanes);
}
