/* target/shares.c: machine code of a large module, made by several threads.
 *
 * in:   an optimised module      out: object files that together hold what one would
 *
 * LLVM works on one module with one thread. So the module is written as bitcode and read again by
 * each thread into a context of its own, where all functions but those of its share become
 * declarations. Every function is generated as it would be alone: the code does not depend on the
 * number of threads.
 */
#include "target/private.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <stdlib.h>
#include <string.h>

enum { ENOUGH = 6000 /* instructions: about 50 milliseconds */ };

typedef struct Shares {
    Ctx *ctx;
    const Machine *machine;
    LLVMMemoryBufferRef bitcode;
    uint32_t *share_of; /* by number of the function in the module */
    LLVMMemoryBufferRef *codes;
} Shares;

/* ---- dividing ------------------------------------------------------------------------------- */

static uint32_t instructions_of(LLVMValueRef fn) {
    uint32_t n = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(fn); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) n++;
    return n;
}

/* The functions of a module, the largest first. */
typedef struct Sized {
    uint32_t number, instructions;
} Sized;

static int larger_first(const void *a, const void *b) {
    const Sized *x = a, *y = b;
    if (x->instructions != y->instructions) return x->instructions > y->instructions ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static uint32_t least_loaded(const uint64_t *loads, uint32_t nshares) {
    uint32_t best = 1;
    for (uint32_t i = 2; i < nshares; i++)
        if (loads[i] < loads[best]) best = i;
    return best;
}

/* What is seen from outside is share 0, alone: the linker has promised nothing else of that object.
 * Each other function, the largest first, goes to the share that has least. */
static void divide(Shares *s, LLVMModuleRef module, uint32_t nshares) {
    Arena *arena = s->ctx->arena;
    uint32_t nfunctions = 0, n = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) nfunctions++;
    uint64_t *loads = ARENA_ARRAY(arena, uint64_t, nshares);
    Sized *sized = ARENA_ARRAY(arena, Sized, nfunctions + 1);
    s->share_of = ARENA_ARRAY(arena, uint32_t, nfunctions + 1);
    uint32_t number = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f), number++) {
        if (LLVMIsDeclaration(f)) continue;
        if (LLVMGetLinkage(f) == LLVMInternalLinkage)
            sized[n++] = (Sized){number, instructions_of(f)};
    }
    qsort(sized, n, sizeof *sized, larger_first);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t share = least_loaded(loads, nshares);
        s->share_of[sized[i].number] = share;
        loads[share] += sized[i].instructions;
    }
}

/* The name of what is seen of the module from outside. */
static const char *visible_name(LLVMModuleRef module) {
    size_t length;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f))
        if (!LLVMIsDeclaration(f) && LLVMGetLinkage(f) == LLVMExternalLinkage)
            return LLVMGetValueName2(f, &length);
    return "dl";
}

/* Functions of one share are called by those of others. Other modules may have helpers of the same
 * name: those of this one are named after what is seen of it. */
static void make_visible(Ctx *ctx, LLVMModuleRef module) {
    const char *visible = visible_name(module);
    uint32_t number = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f), number++) {
        size_t length;
        if (LLVMIsDeclaration(f)) continue;
        if (strncmp(LLVMGetValueName2(f, &length), visible, strlen(visible)) != 0) {
            const char *name = arena_printf(ctx->arena, "%s.function%u", visible, number);
            LLVMSetValueName2(f, name, strlen(name));
        }
        LLVMSetLinkage(f, LLVMExternalLinkage);
    }
}

/* ---- one share ------------------------------------------------------------------------------ */

static void make_declaration(LLVMModuleRef module, LLVMValueRef fn) {
    size_t length;
    const char *name = LLVMGetValueName2(fn, &length);
    char *kept = strndup(name, length);
    LLVMValueRef declaration = LLVMAddFunction(module, "", LLVMGlobalGetValueType(fn));
    LLVMReplaceAllUsesWith(fn, declaration);
    LLVMDeleteFunction(fn);
    LLVMSetValueName2(declaration, kept, length);
    free(kept);
}

/* Tables that functions of other shares read. */
static void drop_tables(LLVMModuleRef module) {
    LLVMValueRef table = LLVMGetFirstGlobal(module);
    while (table) {
        LLVMValueRef next = LLVMGetNextGlobal(table);
        bool is_own = LLVMGetLinkage(table) == LLVMInternalLinkage ||
                      LLVMGetLinkage(table) == LLVMPrivateLinkage;
        if (is_own && !LLVMGetFirstUse(table)) LLVMDeleteGlobal(table);
        table = next;
    }
}

static void keep_share(const Shares *s, LLVMModuleRef module, uint32_t share) {
    LLVMValueRef last = LLVMGetLastFunction(module), f = LLVMGetFirstFunction(module);
    for (uint32_t number = 0; f; number++) {
        LLVMValueRef next = f == last ? NULL : LLVMGetNextFunction(f);
        if (!LLVMIsDeclaration(f) && s->share_of[number] != share) make_declaration(module, f);
        f = next;
    }
    drop_tables(module);
}

static void emit_share(const void *argument, int64_t part, int64_t worker) {
    const Shares *s = argument;
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module;
    if (!LLVMParseBitcodeInContext2(llvm, s->bitcode, &module)) {
        char *message = NULL;
        keep_share(s, module, (uint32_t)part);
        LLVMTargetMachineRef generator = target_generator(s->ctx, s->machine);
        s->codes[part] = target_generate(module, generator, LLVMObjectFile, &message);
        LLVMDisposeTargetMachine(generator);
        LLVMDisposeMessage(message);
        LLVMDisposeModule(module);
    }
    LLVMContextDispose(llvm);
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool is_large(LLVMModuleRef module) {
    uint32_t n = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f))
        n += instructions_of(f);
    return n >= ENOUGH;
}

uint32_t target_emit_shares(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                            LLVMTargetMachineRef generator, const TargetThreads *threads,
                            LLVMMemoryBufferRef *codes) {
    uint32_t n = threads->parallel && threads->workers > 1 ? (uint32_t)threads->workers + 1 : 1;
    if (n > TARGET_MOST_SHARES) n = TARGET_MOST_SHARES;
    if (n > 1 && is_large(module)) {
        Shares s = {.ctx = ctx, .machine = machine, .codes = codes};
        for (uint32_t i = 0; i < n; i++) codes[i] = NULL;
        divide(&s, module, n);
        make_visible(ctx, module);
        s.bitcode = LLVMWriteBitcodeToMemoryBuffer(module);
        threads->parallel->run(threads->parallel->context, emit_share, &s, n);
        LLVMDisposeMemoryBuffer(s.bitcode);
        bool good = true;
        for (uint32_t i = 0; i < n; i++) good &= codes[i] != NULL;
        if (good) return n;
        for (uint32_t i = 0; i < n; i++)
            if (codes[i]) LLVMDisposeMemoryBuffer(codes[i]);
    }
    codes[0] = target_emit(ctx, module, generator, LLVMObjectFile);
    return codes[0] ? 1 : 0;
}
