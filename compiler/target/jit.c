/* target/jit.c: code in this process.
 *
 * in:   optimised modules, or promises of them      out: addresses of their functions
 * The code is the very object file that target_object would write, linked into memory by LLVM's
 * LLJIT: one way to code, not two. A function that is promised has the address of a stub, which
 * has the code made on the first call: a training that takes one step does not wait for the
 * functions that evaluate.
 */
#include "target/private.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

struct Jit {
    LLVMOrcLLJITRef lljit;
    LLVMTargetMachineRef generator;         /* of promised code; NULL before there is any */
    LLVMOrcIndirectStubsManagerRef stubs;   /* NULL: nothing is promised */
    LLVMOrcLazyCallThroughManagerRef calls; /* from a stub to the code */
};

/* A function whose code is made on the first call. */
typedef struct Promise {
    Ctx *ctx;
    Jit *jit;
    TargetCode code;
} Promise;

static bool failed(Ctx *ctx, LLVMErrorRef error) {
    if (!error) return false;
    char *message = LLVMGetErrorMessage(error);
    diag_error(ctx, (Span){0}, "code cannot be put into memory: %s", message);
    LLVMDisposeErrorMessage(message);
    return true;
}

static Jit *new_jit(Ctx *ctx) {
    Jit *jit = ARENA_NEW(ctx->arena, Jit);
    return failed(ctx, LLVMOrcCreateLLJIT(&jit->lljit, NULL)) ? NULL : jit;
}

Jit *target_jit(Ctx *ctx, LLVMModuleRef module, LLVMContextRef llvm, const Machine *machine) {
    LLVMTargetMachineRef generator = target_generator(ctx, machine);
    LLVMMemoryBufferRef code = target_emit(ctx, module, generator, LLVMObjectFile);
    LLVMDisposeTargetMachine(generator);
    LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    if (!code) return NULL;
    Jit *jit = new_jit(ctx);
    if (!jit) {
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

/* ---- promised functions ---- */

/* Where a call of a function goes that could not be made: its messages have said why. */
static void no_code(void) {
    DLC_BUG((Ctx *)NULL, (Span){0}, "%s", "a promised function was not made");
}

Jit *target_jit_lazy(Ctx *ctx) {
    Jit *jit = new_jit(ctx);
    if (!jit) return NULL;
    const char *triple = LLVMOrcLLJITGetTripleString(jit->lljit);
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(jit->lljit);
    LLVMOrcJITTargetAddress missing = (LLVMOrcJITTargetAddress)(uintptr_t)no_code;
    if (failed(ctx,
               LLVMOrcCreateLocalLazyCallThroughManager(triple, session, missing, &jit->calls))) {
        target_jit_free(jit);
        return NULL;
    }
    jit->stubs = LLVMOrcCreateLocalIndirectStubsManager(triple);
    return jit;
}

/* Object files of a module from codegen: those of an earlier run, or new ones. */
static uint32_t make_objects(const Promise *promise, LLVMModuleRef module,
                             LLVMMemoryBufferRef *objects) {
    Ctx *ctx = promise->ctx;
    const TargetCode *code = &promise->code;
    LLVMTargetMachineRef *generator = &promise->jit->generator;
    CacheKey key = {0};
    ctx_enter(ctx, "target");
    if (code->cache) {
        key = cache_key(ctx, module, code->machine);
        uint32_t n = cache_find(ctx, code->cache, &key, objects);
        if (n) return n;
    }
    if (!*generator) *generator = target_generator(ctx, code->machine);
    target_run_passes(ctx, module, *generator);
    uint32_t n =
        target_emit_shares(ctx, module, code->machine, *generator, &code->threads, objects);
    if (code->cache && n) cache_keep(ctx, code->cache, &key, n, objects);
    return n;
}

/* The code of a promised function: an object file, and others that it needs, which are added. */
static LLVMMemoryBufferRef make_code(const Promise *promise) {
    Ctx *ctx = promise->ctx;
    LLVMMemoryBufferRef codes[TARGET_MOST_SHARES];
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = promise->code.generate(promise->code.data, llvm);
    uint32_t n = module ? make_objects(promise, module, codes) : 0;
    if (module) LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    LLVMOrcLLJITRef lljit = promise->jit->lljit;
    bool good = n > 0;
    for (uint32_t i = 1; i < n; i++) {
        LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(lljit);
        if (failed(ctx, LLVMOrcLLJITAddObjectFile(lljit, library, codes[i]))) good = false;
    }
    if (n && !good) LLVMDisposeMemoryBuffer(codes[0]);
    return good ? codes[0] : NULL;
}

static void keep_promise(void *data, LLVMOrcMaterializationResponsibilityRef responsibility) {
    Promise *promise = data;
    LLVMMemoryBufferRef code = make_code(promise);
    if (code) {
        LLVMOrcObjectLayerEmit(LLVMOrcLLJITGetObjLinkingLayer(promise->jit->lljit), responsibility,
                               code);
        return;
    }
    diag_show(promise->ctx, stderr, false, false);
    LLVMOrcMaterializationResponsibilityFailMaterialization(responsibility);
    LLVMOrcDisposeMaterializationResponsibility(responsibility);
}

/* The only symbol of a promise is never defined elsewhere, and promises live in the arena. */
static void discard_promise(void *data, LLVMOrcJITDylibRef library,
                            LLVMOrcSymbolStringPoolEntryRef symbol) {
    (void)data, (void)library, (void)symbol;
}

static void destroy_promise(void *data) {
    (void)data;
}

static const char *stub_of(Ctx *ctx, const char *symbol) {
    return arena_printf(ctx->arena, "%s.stub", symbol);
}

bool target_jit_promise(Ctx *ctx, Jit *jit, TargetCode code) {
    Promise *promise = ARENA_NEW(ctx->arena, Promise);
    *promise = (Promise){ctx, jit, code};
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit->lljit);
    LLVMJITSymbolFlags flags = {
        LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
    LLVMOrcCSymbolFlagsMapPair body = {LLVMOrcLLJITMangleAndIntern(jit->lljit, code.symbol), flags};
    LLVMOrcMaterializationUnitRef unit = LLVMOrcCreateCustomMaterializationUnit(
        code.symbol, promise, &body, 1, NULL, keep_promise, discard_promise, destroy_promise);
    if (failed(ctx, LLVMOrcJITDylibDefine(library, unit))) return false;
    LLVMOrcCSymbolAliasMapPair stub = {
        LLVMOrcLLJITMangleAndIntern(jit->lljit, stub_of(ctx, code.symbol)),
        {LLVMOrcLLJITMangleAndIntern(jit->lljit, code.symbol), flags}};
    unit = LLVMOrcLazyReexports(jit->calls, jit->stubs, library, &stub, 1);
    return !failed(ctx, LLVMOrcJITDylibDefine(library, unit));
}

void *target_jit_find(Ctx *ctx, Jit *jit, const char *symbol) {
    LLVMOrcExecutorAddress address = 0;
    if (jit->stubs) symbol = stub_of(ctx, symbol);
    if (failed(ctx, LLVMOrcLLJITLookup(jit->lljit, &address, symbol))) return NULL;
    return (void *)(uintptr_t)address;
}

void target_jit_free(Jit *jit) {
    if (!jit || !jit->lljit) return;
    /* Both hold names of the session's. */
    if (jit->calls) LLVMOrcDisposeLazyCallThroughManager(jit->calls);
    if (jit->stubs) LLVMOrcDisposeIndirectStubsManager(jit->stubs);
    if (jit->generator) LLVMDisposeTargetMachine(jit->generator);
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(jit->lljit);
    if (error) LLVMConsumeError(error);
    *jit = (Jit){0};
}
