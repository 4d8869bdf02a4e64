/* codegen/export.c: plain C functions around the compiled ones.
 *
 * in:   `dl.MODEL.FUNCTION(const DlrtCall *)`    out: `MODEL_step(float *params, …)` and its like
 * Each fills a DlrtCall on its own stack. The compiled function becomes internal and is usually
 * inlined.
 */
#include "codegen/export.h"

#include "target/header.h"

#include <stddef.h>
#include <string.h>

typedef struct Export {
    Ctx *ctx;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    const Model *model;
    bool has_threads; /* functions take a DlrtParallel */
    LLVMTypeRef ptr, i64, real, void_;
    LLVMValueRef fn;
    LLVMValueRef call; /* the DlrtCall */
} Export;

static void set_field(Export *x, size_t offset, LLVMValueRef value) {
    LLVMValueRef at = LLVMConstInt(x->i64, offset, false);
    LLVMTypeRef i8 = LLVMInt8TypeInContext(x->llvm);
    LLVMValueRef address = LLVMBuildInBoundsGEP2(x->b, i8, x->call, &at, 1, "");
    LLVMBuildStore(x->b, value, address);
}

/* An array of pointers on the stack, filled from the parameters first .. first+n-1. */
static LLVMValueRef pointers(Export *x, uint32_t first, uint32_t n) {
    LLVMTypeRef type = LLVMArrayType2(x->ptr, n ? n : 1);
    LLVMValueRef array = LLVMBuildAlloca(x->b, type, "");
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef at = LLVMConstInt(x->i64, i, false);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(x->b, x->ptr, array, &at, 1, "");
        LLVMBuildStore(x->b, LLVMGetParam(x->fn, first + i), slot);
    }
    return array;
}

static void begin(Export *x, const char *function, LLVMTypeRef result, LLVMTypeRef *types,
                  uint32_t ntypes) {
    const char *name =
        arena_printf(x->ctx->arena, "%s_%s", target_identifier(x->ctx, x->model->name), function);
    LLVMTypeRef type = LLVMFunctionType(result, types, ntypes, false);
    x->fn = LLVMAddFunction(x->module, name, type);
    LLVMPositionBuilderAtEnd(x->b, LLVMAppendBasicBlockInContext(x->llvm, x->fn, "entry"));
    LLVMTypeRef bytes = LLVMArrayType2(LLVMInt8TypeInContext(x->llvm), sizeof(DlrtCall));
    x->call = LLVMBuildAlloca(x->b, bytes, "call");
    LLVMSetAlignment(x->call, 8);
    set_field(x, offsetof(DlrtCall, params), LLVMGetParam(x->fn, 0));
    set_field(x, offsetof(DlrtCall, state), LLVMGetParam(x->fn, 1));
    LLVMValueRef zero = LLVMConstInt(x->i64, 0, false);
    set_field(x, offsetof(DlrtCall, seed), zero);
    set_field(x, offsetof(DlrtCall, step), zero);
    set_field(x, offsetof(DlrtCall, n), LLVMConstInt(x->i64, 1, false));
    LLVMValueRef null = LLVMConstNull(x->ptr);
    set_field(x, offsetof(DlrtCall, arena), null);
    set_field(x, offsetof(DlrtCall, inputs), null);
    set_field(x, offsetof(DlrtCall, results), null);
    set_field(x, offsetof(DlrtCall, parallel), null);
}

/* The wrapper has the target attributes of what it calls, so that that can be inlined. */
static void call_compiled(Export *x, const char *function) {
    LLVMValueRef compiled =
        LLVMGetNamedFunction(x->module, codegen_symbol(x->ctx, x->model->name, function));
    DLC_ASSERT(x->ctx, compiled != NULL, x->model->span);
    LLVMBuildCall2(x->b, LLVMGlobalGetValueType(compiled), compiled, &x->call, 1, "");
    unsigned n =
        LLVMGetAttributeCountAtIndex(compiled, (LLVMAttributeIndex)LLVMAttributeFunctionIndex);
    LLVMAttributeRef *attributes = ARENA_ARRAY(x->ctx->arena, LLVMAttributeRef, n + 1);
    LLVMGetAttributesAtIndex(compiled, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attributes);
    for (unsigned i = 0; i < n; i++)
        LLVMAddAttributeAtIndex(x->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                attributes[i]);
}

static void export_init(Export *x) {
    LLVMTypeRef types[] = {x->ptr, x->ptr, x->i64, x->ptr};
    begin(x, "init", x->void_, types, 4);
    set_field(x, offsetof(DlrtCall, seed), LLVMGetParam(x->fn, 2));
    set_field(x, offsetof(DlrtCall, arena), LLVMGetParam(x->fn, 3));
    call_compiled(x, "init");
    LLVMBuildRetVoid(x->b);
}

/* params, state, ninputs pointers, nresults pointers, n, [seed, step,] arena[, parallel] */
static void export_run(Export *x, const char *function, uint32_t ninputs, uint32_t nresults,
                       bool trains) {
    uint32_t npointers = ninputs + nresults, n = 0;
    LLVMTypeRef *types = ARENA_ARRAY(x->ctx->arena, LLVMTypeRef, npointers + 7);
    types[n++] = x->ptr, types[n++] = x->ptr;
    for (uint32_t i = 0; i < npointers; i++) types[n++] = x->ptr;
    types[n++] = x->i64;
    if (trains) types[n++] = x->i64, types[n++] = x->i64;
    types[n++] = x->ptr;
    if (x->has_threads) types[n++] = x->ptr;
    begin(x, function, trains ? x->real : x->void_, types, n);
    set_field(x, offsetof(DlrtCall, inputs), pointers(x, 2, ninputs));
    uint32_t after = 2 + npointers;
    set_field(x, offsetof(DlrtCall, n), LLVMGetParam(x->fn, after++));
    if (trains) set_field(x, offsetof(DlrtCall, seed), LLVMGetParam(x->fn, after++));
    if (trains) set_field(x, offsetof(DlrtCall, step), LLVMGetParam(x->fn, after++));
    set_field(x, offsetof(DlrtCall, arena), LLVMGetParam(x->fn, after++));
    if (x->has_threads) set_field(x, offsetof(DlrtCall, parallel), LLVMGetParam(x->fn, after));
    if (!trains) {
        set_field(x, offsetof(DlrtCall, results), pointers(x, 2 + ninputs, nresults));
        call_compiled(x, function);
        LLVMBuildRetVoid(x->b);
        return;
    }
    LLVMValueRef loss = LLVMBuildAlloca(x->b, x->real, "loss");
    LLVMValueRef results = LLVMBuildAlloca(x->b, x->ptr, "results");
    LLVMBuildStore(x->b, loss, results);
    set_field(x, offsetof(DlrtCall, results), results);
    call_compiled(x, function);
    LLVMBuildRet(x->b, LLVMBuildLoad2(x->b, x->real, loss, ""));
}

void codegen_export(Ctx *ctx, LLVMContextRef llvm, LLVMModuleRef module, const Model *model,
                    Function *const *functions, uint32_t nfunctions, bool f64) {
    Export x = {.ctx = ctx,
                .llvm = llvm,
                .module = module,
                .b = LLVMCreateBuilderInContext(llvm),
                .model = model,
                .has_threads = nfunctions && functions[0]->workers > 1,
                .ptr = LLVMPointerTypeInContext(llvm, 0),
                .i64 = LLVMInt64TypeInContext(llvm),
                .real = f64 ? LLVMDoubleTypeInContext(llvm) : LLVMFloatTypeInContext(llvm),
                .void_ = LLVMVoidTypeInContext(llvm)};
    for (uint32_t i = 0; i < nfunctions; i++) {
        const char *name = functions[i]->name;
        if (strcmp(name, "init") == 0) export_init(&x);
        if (strcmp(name, "forward") == 0)
            export_run(&x, name, model->inputs.len, model->infer->roots.len, false);
        if (strcmp(name, "step") == 0)
            export_run(&x, name, model->inputs.len + model->targets.len, 0, true);
        LLVMSetLinkage(LLVMGetNamedFunction(module, codegen_symbol(ctx, model->name, name)),
                       LLVMInternalLinkage);
    }
    LLVMDisposeBuilder(x.b);
}
