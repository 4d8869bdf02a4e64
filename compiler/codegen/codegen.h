/* codegen/codegen.h: kernels to LLVM IR.
 *
 * in:   planned Functions      out: an LLVM module with one function `dl.NAME.FUNCTION(ptr call)`
 * for each (internal kernels are separate, internal functions), calling nothing outside itself.
 */
#ifndef DLC_CODEGEN_CODEGEN_H
#define DLC_CODEGEN_CODEGEN_H

#include "plan/plan.h"

#include <llvm-c/Core.h>

/* What code is generated for. */
typedef struct Machine {
    const char *triple, *cpu, *features; /* LLVM's names */
    const char *layout;                  /* data layout string */
    int64_t vector_bytes;                /* 64, 32, 16 */
    uint32_t vector_registers;           /* 32, 16 */
    bool is_scalable;                    /* the vectors are of SVE, whose size LLVM must be told */
    bool has_fma;
    bool has_bf16; /* products of pairs of bf16, added to f32 */
    int64_t l1_bytes, l2_bytes;
} Machine;

LLVMModuleRef codegen_module(Ctx *ctx, LLVMContextRef llvm, const char *model,
                             Function *const *functions, uint32_t nfunctions,
                             const Machine *machine);
/* What a machine can do, as functions `dl.probe.NAME(ptr memory, i64 vectors, i64 turns)`: `fma`
 * does independent chains of multiply-adds, *flops in a turn; `pairs` of products of pairs of bf16,
 * on machines that have them; `read` sums the vectors; `triad` does a = b + s * c on three arrays
 * of that many vectors, a multiple of PROBE_VECTORS. */
#define PROBE_VECTORS 8
LLVMModuleRef codegen_probe(Ctx *ctx, LLVMContextRef llvm, const Machine *machine, bool f64,
                            double *flops);
/* The symbol of a function: "dl.iris.step". */
const char *codegen_symbol(Ctx *ctx, const char *model, const char *function);

#endif
