/* target/jit.c: code in this process.
 *
 * in:   an optimised module      out: addresses of its functions
 * The code is the very object file that target_object would write, linked into memory by LLVM's
 * LLJIT: one way to code, not two.
 */
#include "target/private.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

struct Jit {
    LLVMOrcLLJITRef lljit;
};

static bool failed(Ctx *ctx, LLVMErrorRef error) {
    if (!error) return false;
    char *message = LLVMGetErrorMessage(error);
    diag_error(ctx, (Span){0}, "code cannot be put into memory: %s", message);
    LLVMDisposeErrorMessage(message);
    return true;
}

Jit *target_jit(Ctx *ctx, LLVMModuleRef module, LLVMContextRef llvm, const Machine *machine) {
    LLVMMemoryBufferRef code = target_emit(ctx, module, machine, LLVMObjectFile);
    LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    if (!code) return NULL;
    Jit *jit = ARENA_NEW(ctx->arena, Jit);
    if (failed(ctx, LLVMOrcCreateLLJIT(&jit->lljit, NULL))) {
        LLVMDisposeMemoryBuffer(code);
        return NULL;
    }
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit->lljit);
    if (failed(ctx, LLVMOrcLLJITAddObjectFile(jit->lljit, library, code))) {
        target_jit_free(jit);
        return NULL;
    }
    return jit;
}

void *target_jit_find(Ctx *ctx, Jit *jit, const char *symbol) {
    LLVMOrcExecutorAddress address = 0;
    if (failed(ctx, LLVMOrcLLJITLookup(jit->lljit, &address, symbol))) return NULL;
    return (void *)(uintptr_t)address;
}

void target_jit_free(Jit *jit) {
    if (!jit || !jit->lljit) return;
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(jit->lljit);
    if (error) LLVMConsumeError(error);
    jit->lljit = NULL;
}
