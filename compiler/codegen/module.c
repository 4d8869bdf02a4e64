/* codegen/module.c: an LLVM module from planned functions; types, constants and memory.
 *
 * in:   Functions      out: `dl.MODEL.FUNCTION(const DlrtCall *)` for each, and
 * internal functions for its kernels.
 * Invariant: nothing outside the module is called but what the caller gives (DlrtCall.parallel),
 * and memory outside the buffers of the plan is never touched.
 */
#include "codegen/calls.h"

#include <llvm-c/Analysis.h>
#include <string.h>

/* ---- types and constants ---------------------------------------------------------------- */

LLVMTypeRef gen_vector(const Gen *g, LLVMTypeRef element, uint32_t lanes) {
    return lanes == 1 ? element : LLVMVectorType(element, lanes);
}

LLVMValueRef gen_i64(const Gen *g, int64_t value) {
    return LLVMConstInt(g->i64, (unsigned long long)value, true);
}

LLVMValueRef gen_i32(const Gen *g, uint32_t value) {
    return LLVMConstInt(g->i32, value, false);
}

static LLVMValueRef constant_splat(LLVMValueRef scalar, uint32_t lanes) {
    LLVMValueRef elements[64];
    for (uint32_t l = 0; l < lanes; l++) elements[l] = scalar;
    return LLVMConstVector(elements, lanes);
}

uint32_t gen_lanes_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

LLVMTypeRef gen_element_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

LLVMValueRef gen_real_like(const Gen *g, LLVMValueRef like, double value) {
    LLVMTypeRef type = LLVMTypeOf(like);
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return LLVMConstReal(type, value);
    return constant_splat(LLVMConstReal(LLVMGetElementType(type), value), LLVMGetVectorSize(type));
}

LLVMValueRef gen_int_like(const Gen *g, LLVMValueRef like, int64_t value) {
    LLVMTypeRef type = LLVMTypeOf(like);
    LLVMTypeRef element = gen_element_of(type);
    if (LLVMGetIntTypeWidth(element) == 32) value = (int32_t)(uint32_t)(uint64_t)value;
    LLVMValueRef constant = LLVMConstInt(element, (unsigned long long)value, true);
    return element == type ? constant : constant_splat(constant, LLVMGetVectorSize(type));
}

LLVMValueRef gen_splat(Gen *g, LLVMValueRef scalar, uint32_t lanes) {
    if (lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) return constant_splat(scalar, lanes);
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one = LLVMBuildInsertElement(g->b, LLVMGetPoison(type), scalar, gen_i32(g, 0), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(g->i32, lanes));
    return LLVMBuildShuffleVector(g->b, one, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef gen_iota(const Gen *g, LLVMTypeRef integer, uint32_t lanes, int64_t step) {
    LLVMValueRef elements[64];
    for (uint32_t l = 0; l < lanes; l++)
        elements[l] = LLVMConstInt(integer, (unsigned long long)(step * (int64_t)l), true);
    return lanes == 1 ? elements[0] : LLVMConstVector(elements, lanes);
}

bool gen_has_masks(const Gen *g) {
    return g->machine->vector_bytes >= 32;
}

uint32_t gen_power_of_two(int64_t n) {
    uint32_t power = 1;
    while (power < n) power *= 2;
    return power;
}

LLVMValueRef gen_extent(const Gen *g, const Index *index) {
    return index->extent == EXTENT_BATCH ? g->n : gen_i64(g, index->extent);
}

int64_t gen_turns(const Gen *g, const Index *index) {
    if (index->extent != EXTENT_BATCH) return index->extent;
    return g->known_n ? g->known_n : -1;
}

LLVMValueRef gen_lane_mask(Gen *g, LLVMValueRef active, uint32_t lanes) {
    /* `active` may be larger than any lane number: clamped first, then compared as i32. */
    LLVMValueRef limit = gen_i64(g, lanes);
    LLVMValueRef all = LLVMBuildICmp(g->b, LLVMIntSGE, active, limit, "");
    LLVMValueRef count = LLVMBuildSelect(g->b, all, limit, active, "");
    count = LLVMBuildTrunc(g->b, count, g->i32, "");
    return LLVMBuildICmp(g->b, LLVMIntSLT, gen_iota(g, g->i32, lanes, 1),
                         gen_splat(g, count, lanes), "mask");
}

/* ---- intrinsics --------------------------------------------------------------------------- */

static LLVMValueRef intrinsic_call(Gen *g, const char *name, LLVMTypeRef *overloads,
                                   uint32_t noverloads, LLVMValueRef *args, uint32_t nargs) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    DLC_ASSERT(g->ctx, id != 0, (Span){0});
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, overloads, noverloads);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn);
    return LLVMBuildCall2(g->b, type, fn, args, nargs, "");
}

LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef overload, LLVMValueRef *args,
                           uint32_t nargs) {
    return intrinsic_call(g, name, &overload, overload ? 1 : 0, args, nargs);
}

LLVMValueRef gen_fma(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    /* Without the instruction llvm.fma would be a call of the C library. */
    if (!g->machine->has_fma) return LLVMBuildFAdd(g->b, LLVMBuildFMul(g->b, a, b, ""), c, "");
    LLVMValueRef args[] = {a, b, c};
    return gen_intrinsic(g, "llvm.fma", LLVMTypeOf(a), args, 3);
}

void gen_attribute(Gen *g, LLVMValueRef fn, LLVMAttributeIndex at, const char *name, uint64_t value,
                   bool is_call) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    DLC_ASSERT(g->ctx, kind != 0, (Span){0});
    LLVMAttributeRef attribute = LLVMCreateEnumAttribute(g->llvm, kind, value);
    if (is_call) {
        LLVMAddCallSiteAttribute(fn, at, attribute);
    } else {
        LLVMAddAttributeAtIndex(fn, at, attribute);
    }
}

/* ---- memory ------------------------------------------------------------------------------- */

unsigned gen_element_bytes(LLVMTypeRef type) {
    type = gen_element_of(type);
    switch ((int)LLVMGetTypeKind(type)) {
    case LLVMDoubleTypeKind: return 8;
    case LLVMIntegerTypeKind: return LLVMGetIntTypeWidth(type) / 8;
    }
    return 4;
}

LLVMTypeRef gen_element(const Gen *g, const Tensor *tensor) {
    if (tensor->classes) return g->i32;
    return plan_is_rounded(g->function, tensor) ? g->i16 : g->real;
}

LLVMValueRef gen_real(Gen *g, LLVMValueRef loaded) {
    return gen_element_of(LLVMTypeOf(loaded)) == g->i16 ? bfloat_widen(g, loaded) : loaded;
}

LLVMValueRef gen_base(Gen *g, const Tensor *tensor) {
    LLVMValueRef base = map_get(&g->base, tensor);
    if (!base) DLC_BUG(g->ctx, tensor->span, "`%s` has no place in memory", tensor->name);
    return base;
}

LLVMValueRef gen_element_address(Gen *g, LLVMTypeRef element, LLVMValueRef base,
                                 LLVMValueRef offset) {
    return LLVMBuildGEP2(g->b, element, base, &offset, 1, "");
}

LLVMValueRef gen_ahead(Gen *g, LLVMTypeRef element, LLVMValueRef base, int64_t elements) {
    return elements ? gen_element_address(g, element, base, gen_i64(g, elements)) : base;
}

void gen_prefetch(Gen *g, LLVMValueRef address, Nearness to) {
    enum { TO_READ = 0, DATA = 1 };
    LLVMValueRef args[] = {address, gen_i32(g, TO_READ), gen_i32(g, to), gen_i32(g, DATA)};
    gen_intrinsic(g, "llvm.prefetch", g->ptr, args, 4);
}

LLVMValueRef gen_local(Gen *g, uint32_t reals, const char *name) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b), entry = LLVMGetEntryBasicBlock(g->fn);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first)
        LLVMPositionBuilderBefore(g->b, first);
    else
        LLVMPositionBuilderAtEnd(g->b, entry);
    LLVMValueRef local = LLVMBuildAlloca(g->b, LLVMArrayType2(g->real, reals), name);
    LLVMSetAlignment(local, (unsigned)g->machine->vector_bytes);
    LLVMPositionBuilderAtEnd(g->b, here);
    return local;
}

/* The masked intrinsics take the alignment as an argument up to LLVM 21 and as an attribute of the
 * pointer from 22 on. Both forms are told apart by the number of parameters. */
static LLVMValueRef masked_call(Gen *g, const char *name, LLVMTypeRef vector, LLVMTypeRef address,
                                LLVMValueRef *args, uint32_t nargs, uint32_t pointer) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef overloads[] = {vector, address};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, overloads, 2);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn);
    unsigned bytes = gen_element_bytes(vector);
    LLVMValueRef all[4];
    uint32_t nall = 0;
    bool has_argument = LLVMCountParamTypes(type) == nargs + 1;
    for (uint32_t i = 0; i < nargs; i++) {
        all[nall++] = args[i];
        if (i == pointer && has_argument) all[nall++] = gen_i32(g, bytes);
    }
    LLVMValueRef call = LLVMBuildCall2(g->b, type, fn, all, nall, "");
    if (!has_argument) gen_attribute(g, call, pointer + 1, "align", bytes, true);
    return call;
}

LLVMValueRef gen_load(Gen *g, LLVMTypeRef element, LLVMValueRef address, uint32_t lanes,
                      LLVMValueRef mask, LLVMValueRef otherwise) {
    LLVMTypeRef type = gen_vector(g, element, lanes);
    if (!mask) {
        LLVMValueRef load = LLVMBuildLoad2(g->b, type, address, "");
        LLVMSetAlignment(load, gen_element_bytes(type));
        return load;
    }
    LLVMValueRef args[] = {address, mask, otherwise ? otherwise : LLVMGetPoison(type)};
    return masked_call(g, "llvm.masked.load", type, g->ptr, args, 3, 0);
}

void gen_store(Gen *g, LLVMValueRef address, LLVMValueRef value, LLVMValueRef mask) {
    LLVMTypeRef type = LLVMTypeOf(value);
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(g->b, value, address), gen_element_bytes(type));
        return;
    }
    LLVMValueRef args[] = {value, address, mask};
    masked_call(g, "llvm.masked.store", type, g->ptr, args, 3, 1);
}

static LLVMValueRef all_lanes(const Gen *g, uint32_t lanes) {
    return constant_splat(LLVMConstInt(g->i1, 1, false), lanes);
}

LLVMValueRef gen_gather(Gen *g, LLVMTypeRef element, LLVMValueRef addresses, uint32_t lanes,
                        LLVMValueRef mask, LLVMValueRef otherwise) {
    LLVMTypeRef type = LLVMVectorType(element, lanes);
    LLVMValueRef args[] = {addresses, mask ? mask : all_lanes(g, lanes),
                           otherwise ? otherwise : LLVMGetPoison(type)};
    return masked_call(g, "llvm.masked.gather", type, LLVMTypeOf(addresses), args, 3, 0);
}

void gen_scatter(Gen *g, LLVMValueRef addresses, LLVMValueRef value, LLVMValueRef mask) {
    LLVMTypeRef type = LLVMTypeOf(value);
    LLVMValueRef args[] = {value, addresses, mask ? mask : all_lanes(g, gen_lanes_of(type))};
    masked_call(g, "llvm.masked.scatter", type, LLVMTypeOf(addresses), args, 3, 1);
}

LLVMValueRef gen_table(Gen *g, const char *name, LLVMTypeRef element, LLVMValueRef *values,
                       uint32_t n) {
    LLVMValueRef value = LLVMConstArray2(element, values, n);
    LLVMValueRef table = LLVMAddGlobal(g->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(table, value);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    LLVMSetUnnamedAddress(table, LLVMGlobalUnnamedAddr);
    return table;
}

/* ---- functions ---------------------------------------------------------------------------- */

static void add_string_attribute(Gen *g, LLVMValueRef fn, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(g->llvm, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

static void add_function_attributes(Gen *g, LLVMValueRef fn) {
    LLVMAttributeIndex at = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    gen_attribute(g, fn, at, "nounwind", 0, false);
    gen_attribute(g, fn, at, "willreturn", 0, false);
    gen_attribute(g, fn, at, "mustprogress", 0, false);
    /* No pass may find a memset or a memcpy in a loop: they would be calls. */
    add_string_attribute(g, fn, "no-builtins", "");
    add_string_attribute(g, fn, "target-cpu", g->machine->cpu);
    if (*g->machine->features) add_string_attribute(g, fn, "target-features", g->machine->features);
    if (g->machine->is_scalable) {
        uint64_t times = (uint64_t)g->machine->vector_bytes / 16; /* at least and at most */
        gen_attribute(g, fn, at, "vscale_range", times << 32 | times, false);
    } else if (g->machine->vector_bytes == 64) {
        add_string_attribute(g, fn, "prefer-vector-width", "512");
    }
}

void gen_function_attribute(Gen *g, LLVMValueRef fn, const char *name) {
    gen_attribute(g, fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, name, 0, false);
}

LLVMValueRef gen_function(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          uint32_t n) {
    g->fn = LLVMAddFunction(g->module, name, LLVMFunctionType(result, params, n, false));
    add_function_attributes(g, g->fn);
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->llvm, g->fn, "entry"));
    return g->fn;
}

bool gen_shared(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *params, uint32_t n) {
    size_t length;
    const char *model = LLVMGetModuleIdentifier(g->module, &length);
    name = arena_printf(g->ctx->arena, "%s.%s", codegen_symbol(g->ctx, model, g->function->name),
                        name);
    g->fn = LLVMGetNamedFunction(g->module, name);
    if (g->fn) return true;
    g->b = LLVMCreateBuilderInContext(g->llvm);
    gen_function(g, name, result, params, n);
    LLVMSetLinkage(g->fn, LLVMInternalLinkage);
    return false;
}

void gen_pure(Gen *g) {
    gen_function_attribute(g, g->fn, "memory"); /* 0: none */
    gen_function_attribute(g, g->fn, "speculatable");
}

const char *codegen_symbol(Ctx *ctx, const char *model, const char *function) {
    return arena_printf(ctx->arena, "dl.%s.%s", model, function);
}

static bool reads_inputs(const Function *function) {
    for (uint32_t i = 0; i < function->buffers.len; i++)
        if (function->buffers.at[i]->place == PLACE_INPUT) return true;
    return false;
}

static void generate_function(Gen *g, const char *model, const Function *function) {
    g->function = function;
    gen_reals(g, function->f64);
    g->known_n = function->module->max_batch == 1 ? 1 : 0;
    g->once = !reads_inputs(function);
    g->of_step = ARENA_NEW(g->ctx->arena, Map);
    calls_generate(g, codegen_symbol(g->ctx, model, function->name));
}

Gen gen_open(Ctx *ctx, LLVMContextRef llvm, const char *name, const Machine *machine) {
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext(name, llvm);
    LLVMSetTarget(module, machine->triple);
    LLVMSetDataLayout(module, machine->layout);
    return (Gen){.ctx = ctx,
                 .machine = machine,
                 .llvm = llvm,
                 .module = module,
                 .b = LLVMCreateBuilderInContext(llvm),
                 .ptr = LLVMPointerTypeInContext(llvm, 0),
                 .i1 = LLVMInt1TypeInContext(llvm),
                 .i8 = LLVMInt8TypeInContext(llvm),
                 .i16 = LLVMInt16TypeInContext(llvm),
                 .i32 = LLVMInt32TypeInContext(llvm),
                 .i64 = LLVMInt64TypeInContext(llvm),
                 .f32 = LLVMFloatTypeInContext(llvm),
                 .f64 = LLVMDoubleTypeInContext(llvm),
                 .void_ = LLVMVoidTypeInContext(llvm)};
}

LLVMModuleRef gen_close(Gen *g) {
    LLVMDisposeBuilder(g->b);
    if (!g->ctx->verify) return g->module;
    char *message = NULL;
    if (LLVMVerifyModule(g->module, LLVMReturnStatusAction, &message))
        DLC_BUG(g->ctx, (Span){0}, "the LLVM module is not valid: %s", message);
    LLVMDisposeMessage(message);
    return g->module;
}

void gen_reals(Gen *g, bool f64) {
    g->f64_real = f64;
    g->real = f64 ? g->f64 : g->f32;
    g->lanes = (uint32_t)(g->machine->vector_bytes / (f64 ? 8 : 4));
}

LLVMModuleRef codegen_module(Ctx *ctx, LLVMContextRef llvm, const char *model,
                             Function *const *functions, uint32_t nfunctions,
                             const Machine *machine) {
    Gen g = gen_open(ctx, llvm, model, machine);
    for (uint32_t i = 0; i < nfunctions; i++) generate_function(&g, model, functions[i]);
    return gen_close(&g);
}
