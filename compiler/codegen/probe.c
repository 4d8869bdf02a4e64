/* codegen/probe.c: functions that measure what a machine can do at most, made with the vectors that
 * kernels are made with.
 *
 * in:   a Machine      out: an LLVM module with `dl.probe.fma`, `.pairs`, `.read` and `.triad`
 */
#include "codegen/emit.h"

enum { MEMORY, VECTORS, TURNS, PARAMETERS };

/* Enough to cover the latency of two multiply-adds a cycle; they and two operands fit the
 * registers.
 */
static uint32_t chains_of(const Machine *machine) {
    return machine->vector_registers >= 32 ? 20 : 12;
}

static void begin(Gen *g, const char *name) {
    LLVMTypeRef params[PARAMETERS] = {g->ptr, g->i64, g->i64};
    gen_function(g, codegen_symbol(g->ctx, "probe", name), g->void_, params, PARAMETERS);
}

static LLVMValueRef parameter(Gen *g, uint32_t number) {
    return LLVMGetParam(g->fn, number);
}

static LLVMValueRef real_splat(Gen *g, double value) {
    return gen_splat(g, LLVMConstReal(g->real, value), g->lanes);
}

/* The address of vector `first` + `offset`. */
static LLVMValueRef vector_address(Gen *g, LLVMValueRef first, int64_t offset) {
    LLVMValueRef number = LLVMBuildNSWAdd(g->b, first, gen_i64(g, offset), "");
    LLVMValueRef element = LLVMBuildNSWMul(g->b, number, gen_i64(g, g->lanes), "");
    return gen_element_address(g, g->real, parameter(g, MEMORY), element);
}

/* So that the values are of use. */
static void store_sum(Gen *g, const LLVMValueRef *values, uint32_t n) {
    LLVMValueRef sum = values[0];
    for (uint32_t i = 1; i < n; i++) sum = LLVMBuildFAdd(g->b, sum, values[i], "");
    gen_store(g, parameter(g, MEMORY), sum, NULL);
    LLVMBuildRetVoid(g->b);
}

/* acc = 0.75 acc + 1, which tends to 4. */
static void probe_fma(Gen *g) {
    LLVMValueRef acc[32], next[32];
    uint32_t chains = chains_of(g->machine);
    begin(g, "fma");
    LLVMValueRef factor = real_splat(g, 0.75), one = real_splat(g, 1);
    Loop loop = loop_begin(g, gen_i64(g, 0), parameter(g, TURNS), gen_i64(g, 1), "turn");
    for (uint32_t i = 0; i < chains; i++) acc[i] = loop_carry(g, &loop, real_splat(g, i + 1));
    for (uint32_t i = 0; i < chains; i++) next[i] = gen_fma(g, acc[i], factor, one);
    loop_end(g, &loop, next, acc);
    store_sum(g, acc, chains);
}

/* The same with products of pairs: acc = 0.25 * 0.5 * 2 + acc, which stays finite for long. */
static void probe_pairs(Gen *g) {
    LLVMValueRef acc[32], next[32];
    uint32_t chains = chains_of(g->machine);
    begin(g, "pairs");
    LLVMValueRef a = gen_splat(g, gen_i32(g, 0x3e803e80), g->lanes);
    LLVMValueRef b = gen_splat(g, gen_i32(g, 0x3f003f00), g->lanes);
    Loop loop = loop_begin(g, gen_i64(g, 0), parameter(g, TURNS), gen_i64(g, 1), "turn");
    for (uint32_t i = 0; i < chains; i++) acc[i] = loop_carry(g, &loop, real_splat(g, i + 1));
    for (uint32_t i = 0; i < chains; i++) next[i] = bfloat_dot(g, acc[i], a, b);
    loop_end(g, &loop, next, acc);
    store_sum(g, acc, chains);
}

static void probe_read(Gen *g) {
    LLVMValueRef sums[PROBE_VECTORS], inner_sums[PROBE_VECTORS], next[PROBE_VECTORS];
    begin(g, "read");
    LLVMValueRef zero = gen_i64(g, 0);
    Loop turns = loop_begin(g, zero, parameter(g, TURNS), gen_i64(g, 1), "turn");
    for (uint32_t i = 0; i < PROBE_VECTORS; i++) sums[i] = loop_carry(g, &turns, real_splat(g, 0));
    Loop loop = loop_begin(g, zero, parameter(g, VECTORS), gen_i64(g, PROBE_VECTORS), "vectors");
    for (uint32_t i = 0; i < PROBE_VECTORS; i++) inner_sums[i] = loop_carry(g, &loop, sums[i]);
    for (uint32_t i = 0; i < PROBE_VECTORS; i++) {
        LLVMValueRef address = vector_address(g, loop.counter, i);
        LLVMValueRef value = gen_load(g, g->real, address, g->lanes, NULL, NULL);
        next[i] = LLVMBuildFAdd(g->b, inner_sums[i], value, "");
    }
    loop_end(g, &loop, next, inner_sums);
    loop_end(g, &turns, inner_sums, sums);
    store_sum(g, sums, PROBE_VECTORS);
}

static void probe_triad(Gen *g) {
    begin(g, "triad");
    LLVMValueRef zero = gen_i64(g, 0), vectors = parameter(g, VECTORS);
    LLVMValueRef scale = real_splat(g, 0.5);
    Loop turns = loop_begin(g, zero, parameter(g, TURNS), gen_i64(g, 1), "turn");
    Loop loop = loop_begin(g, zero, vectors, gen_i64(g, PROBE_VECTORS), "vectors");
    LLVMValueRef second = LLVMBuildNSWAdd(g->b, loop.counter, vectors, "");
    LLVMValueRef third = LLVMBuildNSWAdd(g->b, second, vectors, "");
    for (uint32_t i = 0; i < PROBE_VECTORS; i++) {
        LLVMValueRef b = vector_address(g, second, i), c = vector_address(g, third, i);
        b = gen_load(g, g->real, b, g->lanes, NULL, NULL);
        c = gen_load(g, g->real, c, g->lanes, NULL, NULL);
        gen_store(g, vector_address(g, loop.counter, i), gen_fma(g, c, scale, b), NULL);
    }
    loop_end(g, &loop, NULL, NULL);
    loop_end(g, &turns, NULL, NULL);
    LLVMBuildRetVoid(g->b);
}

LLVMModuleRef codegen_probe(Ctx *ctx, LLVMContextRef llvm, const Machine *machine, bool f64,
                            double *flops) {
    Gen g = gen_open(ctx, llvm, "probe", machine);
    gen_reals(&g, f64);
    probe_fma(&g);
    if (machine->has_bf16 && !f64) probe_pairs(&g);
    probe_read(&g);
    probe_triad(&g);
    *flops = 2.0 * chains_of(machine) * g.lanes;
    return gen_close(&g);
}
