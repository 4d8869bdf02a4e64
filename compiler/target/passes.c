/* target/passes.c: the optimisation passes that compiled functions get.
 *
 * in:   a module from codegen      out: the same, tidier
 *
 * codegen makes SSA form, vectors and blocked loops itself. What is left for LLVM is to find what
 * is computed twice, to simplify addresses, and to move what does not change out of loops. No pass
 * that vectorises, unrolls or finds library calls in loops is run: they would undo our choices.
 */
#include "target/private.h"

#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>

const char target_passes[] = "mergefunc,always-inline,globaldce,function("
                             "early-cse,"
                             "instcombine<no-verify-fixpoint>,"
                             "simplifycfg,"
                             "loop-mssa(licm),"
                             "early-cse<memssa>,"
                             "adce"
                             ")";

void target_run_passes(Ctx *ctx, LLVMModuleRef module, LLVMTargetMachineRef generator) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopUnrolling(options, false);
    LLVMPassBuilderOptionsSetLoopVectorization(options, false);
    LLVMPassBuilderOptionsSetSLPVectorization(options, false);
    LLVMPassBuilderOptionsSetVerifyEach(options, ctx->verify);
    LLVMErrorRef error = LLVMRunPasses(module, target_passes, generator, options);
    LLVMDisposePassBuilderOptions(options);
    if (error) DLC_BUG(ctx, (Span){0}, "%s", LLVMGetErrorMessage(error));
}

bool target_optimize(Ctx *ctx, LLVMModuleRef module, const Machine *machine) {
    LLVMTargetMachineRef generator = target_generator(ctx, machine);
    target_run_passes(ctx, module, generator);
    LLVMDisposeTargetMachine(generator);
    return true;
}
