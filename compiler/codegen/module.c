/* codegen/module.c: an LLVM module from planned functions; types, constants and memory.
 *
 * in:   Functions      out: `dl.MODEL.FUNCTION(const DlrtCall *)` for each, and one internal
 * function for each kernel, which gets the addresses of the tensors it touches as parameters.
 * Invariant: nothing outside the module is called but what the caller gives (DlrtCall.parallel),
 * and memory outside the buffers of the plan is never touched.
 *
 * Kernels are functions of their own because a parameter can be `noalias`: LLVM then knows that
 * tensors do not overlap. Tensors of one kernel that share their bytes (updates in place) share
 * one parameter.
 */
#include "codegen/emit.h"

#include "runtime/abi.h"

#include <llvm-c/Analysis.h>
#include <stddef.h>
#include <string.h>

enum {
    CALL_PARAMS,
    CALL_STATE,
    CALL_INPUTS,
    CALL_RESULTS,
    CALL_N,
    CALL_SEED,
    CALL_STEP,
    CALL_ARENA,
    CALL_PARALLEL,
    CALL_FIELDS
};
_Static_assert(sizeof(void *) == 8, "generated code has 64-bit pointers");
_Static_assert(offsetof(DlrtCall, params) == 8 * CALL_PARAMS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, state) == 8 * CALL_STATE, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, inputs) == 8 * CALL_INPUTS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, results) == 8 * CALL_RESULTS, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, n) == 8 * CALL_N, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, seed) == 8 * CALL_SEED, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, step) == 8 * CALL_STEP, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, arena) == 8 * CALL_ARENA, "layout of DlrtCall");
_Static_assert(offsetof(DlrtCall, parallel) == 8 * CALL_PARALLEL, "layout of DlrtCall");
_Static_assert(sizeof(DlrtCall) == 8 * CALL_FIELDS, "layout of DlrtCall");

enum { BUFFER_ALIGNMENT = 64, SMALL_FLOPS = 1000000, SMALL_KERNELS = 64, KERNELS_OF_FUNCTION = 64 };

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

static void add_attribute_at(Gen *g, LLVMValueRef fn, LLVMAttributeIndex at, const char *name,
                             uint64_t value, bool is_call) {
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

static unsigned element_bytes(LLVMTypeRef type) {
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
    unsigned bytes = element_bytes(vector);
    LLVMValueRef all[4];
    uint32_t nall = 0;
    bool has_argument = LLVMCountParamTypes(type) == nargs + 1;
    for (uint32_t i = 0; i < nargs; i++) {
        all[nall++] = args[i];
        if (i == pointer && has_argument) all[nall++] = gen_i32(g, bytes);
    }
    LLVMValueRef call = LLVMBuildCall2(g->b, type, fn, all, nall, "");
    if (!has_argument) add_attribute_at(g, call, pointer + 1, "align", bytes, true);
    return call;
}

LLVMValueRef gen_load(Gen *g, LLVMTypeRef element, LLVMValueRef address, uint32_t lanes,
                      LLVMValueRef mask, LLVMValueRef otherwise) {
    LLVMTypeRef type = gen_vector(g, element, lanes);
    if (!mask) {
        LLVMValueRef load = LLVMBuildLoad2(g->b, type, address, "");
        LLVMSetAlignment(load, element_bytes(type));
        return load;
    }
    LLVMValueRef args[] = {address, mask, otherwise ? otherwise : LLVMGetPoison(type)};
    return masked_call(g, "llvm.masked.load", type, g->ptr, args, 3, 0);
}

void gen_store(Gen *g, LLVMValueRef address, LLVMValueRef value, LLVMValueRef mask) {
    LLVMTypeRef type = LLVMTypeOf(value);
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(g->b, value, address), element_bytes(type));
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

/* ---- what a kernel touches ---------------------------------------------------------------- */

/* One parameter of a kernel's function: the first byte of a buffer. */
typedef struct Operand {
    const Buffer *buffer;
    const Tensor *tensor; /* the first that lies there */
    bool is_written, overlaps;
} Operand;

typedef struct Operands {
    Gen *g;
    Vec(Operand) all;
    Map number; /* Tensor* → operand number + 1 */
} Operands;

static bool same_place(const Buffer *a, const Buffer *b) {
    return a->place == b->place && a->slot == b->slot && a->offset == b->offset;
}

static bool share_bytes(const Buffer *a, const Buffer *b) {
    if (a->place != b->place || a->slot != b->slot) return false;
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void add_operand(Operands *o, const Tensor *tensor, bool is_written) {
    const Buffer *buffer = map_get(&o->g->function->buffer_of, tensor);
    if (!buffer) return; /* the accumulator, or a value that is never in memory */
    uint32_t i = 0;
    while (i < o->all.len && !same_place(o->all.at[i].buffer, buffer)) i++;
    if (i == o->all.len)
        vec_push(o->g->ctx->arena, &o->all, ((Operand){.buffer = buffer, .tensor = tensor}));
    if (buffer->bytes > o->all.at[i].buffer->bytes) o->all.at[i].buffer = buffer;
    o->all.at[i].is_written |= is_written;
    map_set(o->g->ctx->arena, &o->number, tensor, (void *)(uintptr_t)(i + 1));
}

static void visit_read(void *data, const Expr *e) {
    if (e->kind == EX_READ) add_operand(data, e->read.tensor, false);
}

static void add_expression(Operands *o, const Expr *e) {
    if (e) ir_visit(o->g->ctx, e, visit_read, o);
}

static void add_kernel(Operands *o, const Kernel *k) {
    add_expression(o, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) add_expression(o, k->also[i].body);
    add_expression(o, k->row);
    add_expression(o, k->roles.a);
    add_expression(o, k->roles.b);
    if (k->acc) add_operand(o, k->acc, true);
    for (uint32_t i = 0; i < k->nstores; i++) {
        add_expression(o, k->stores[i].value);
        add_operand(o, k->stores[i].tensor, true);
    }
    for (uint32_t i = 0; i < k->nsteps; i++) add_kernel(o, k->steps[i]);
}

static void find_overlaps(Operands *o) {
    for (uint32_t i = 0; i < o->all.len; i++)
        for (uint32_t j = 0; j < i; j++)
            if (share_bytes(o->all.at[i].buffer, o->all.at[j].buffer))
                o->all.at[i].overlaps = o->all.at[j].overlaps = true;
}

/* ---- functions ---------------------------------------------------------------------------- */

static void add_string_attribute(Gen *g, LLVMValueRef fn, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(g->llvm, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

static void add_function_attributes(Gen *g, LLVMValueRef fn) {
    LLVMAttributeIndex at = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    add_attribute_at(g, fn, at, "nounwind", 0, false);
    add_attribute_at(g, fn, at, "willreturn", 0, false);
    add_attribute_at(g, fn, at, "mustprogress", 0, false);
    /* No pass may find a memset or a memcpy in a loop: they would be calls. */
    add_string_attribute(g, fn, "no-builtins", "");
    add_string_attribute(g, fn, "target-cpu", g->machine->cpu);
    if (*g->machine->features) add_string_attribute(g, fn, "target-features", g->machine->features);
    if (g->machine->is_scalable) {
        uint64_t times = (uint64_t)g->machine->vector_bytes / 16; /* at least and at most */
        add_attribute_at(g, fn, at, "vscale_range", times << 32 | times, false);
    } else if (g->machine->vector_bytes == 64) {
        add_string_attribute(g, fn, "prefer-vector-width", "512");
    }
}

static void add_function_attribute(Gen *g, LLVMValueRef fn, const char *name) {
    add_attribute_at(g, fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, name, 0, false);
}

static void begin_function(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                           uint32_t n) {
    g->fn = LLVMAddFunction(g->module, name, LLVMFunctionType(result, params, n, false));
    add_function_attributes(g, g->fn);
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->llvm, g->fn, "entry"));
}

LLVMValueRef gen_function(Gen *g, const char *name, LLVMTypeRef *params, uint32_t n) {
    begin_function(g, name, g->void_, params, n);
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
    begin_function(g, name, result, params, n);
    LLVMSetLinkage(g->fn, LLVMInternalLinkage);
    return false;
}

void gen_pure(Gen *g) {
    add_function_attribute(g, g->fn, "memory"); /* 0: none */
    add_function_attribute(g, g->fn, "speculatable");
}

static bool is_aligned(const Buffer *buffer) {
    return buffer->place != PLACE_INPUT && buffer->place != PLACE_RESULT;
}

static void add_operand_attributes(Gen *g, uint32_t i, const Operand *operand) {
    LLVMAttributeIndex at = i + 1;
    const Buffer *buffer = operand->buffer;
    LLVMTypeRef element = gen_element(g, operand->tensor);
    uint64_t alignment = is_aligned(buffer) ? BUFFER_ALIGNMENT : element_bytes(element);
    add_attribute_at(g, g->fn, at, "nonnull", 0, false);
    add_attribute_at(g, g->fn, at, "noundef", 0, false);
    add_attribute_at(g, g->fn, at, "align", alignment, false);
    if (!operand->overlaps) add_attribute_at(g, g->fn, at, "noalias", 0, false);
    if (!operand->is_written) add_attribute_at(g, g->fn, at, "readonly", 0, false);
    if (is_aligned(buffer) && buffer->bytes > 0)
        add_attribute_at(g, g->fn, at, "dereferenceable", (uint64_t)buffer->bytes, false);
}

enum { EXTRA_N, EXTRA_SEED, EXTRA_STEP, EXTRA_WORKSPACE, EXTRA_PART, EXTRAS };

void kernel_generate(Gen *g, const Kernel *k) {
    switch (k->kind) {
    case KERNEL_MAP: kernel_map(g, k); break;
    case KERNEL_REDUCE: kernel_reduce(g, k); break;
    case KERNEL_CONTRACT:
        if (k->winograd.tile)
            kernel_winograd(g, k);
        else
            kernel_contract(g, k);
        break;
    case KERNEL_SCATTER: kernel_scatter(g, k); break;
    case KERNEL_SCAN: kernel_scan(g, k); break;
    case KERNEL_NEST: kernel_nest(g, k); break;
    }
}

static LLVMValueRef kernel_function(Gen *g, const Kernel *k, const char *name, Operands *o) {
    uint32_t n = o->all.len;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, LLVMTypeRef, n + EXTRAS);
    for (uint32_t i = 0; i < n; i++) types[i] = g->ptr;
    types[n + EXTRA_N] = types[n + EXTRA_SEED] = types[n + EXTRA_STEP] = g->i64;
    types[n + EXTRA_WORKSPACE] = g->ptr;
    types[n + EXTRA_PART] = g->i64;
    bool is_split = k->split.index != NULL;
    LLVMValueRef fn = gen_function(g, name, types, n + (is_split ? EXTRAS : EXTRA_PART));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    g->base = (Map){0};
    for (uint32_t i = 0; i < n; i++) {
        add_operand_attributes(g, i, &o->all.at[i]);
        const char *tensor = o->all.at[i].tensor->name;
        LLVMSetValueName2(LLVMGetParam(fn, i), tensor, strlen(tensor));
    }
    for (uint32_t i = 0; i < o->number.len; i++) {
        uint32_t number = (uint32_t)(uintptr_t)o->number.entries[i].value;
        map_set(g->ctx->arena, &g->base, o->number.entries[i].key, LLVMGetParam(fn, number - 1));
    }
    g->n = g->known_n ? gen_i64(g, g->known_n) : LLVMGetParam(fn, n + EXTRA_N);
    g->seed = LLVMGetParam(fn, n + EXTRA_SEED);
    g->step = LLVMGetParam(fn, n + EXTRA_STEP);
    g->workspace = LLVMGetParam(fn, n + EXTRA_WORKSPACE);
    add_attribute_at(g, fn, n + EXTRA_WORKSPACE + 1, "noalias", 0, false);
    add_attribute_at(g, fn, n + EXTRA_WORKSPACE + 1, "align", BUFFER_ALIGNMENT, false);
    LLVMSetValueName2(LLVMGetParam(fn, n + EXTRA_N), "n", 1);
    g->scan_turn = NULL;
    g->enclosing = g->ranges = (Map){0};
    if (is_split) split_enter(g, k, LLVMGetParam(fn, n + EXTRA_PART));
    if (k->parts_of) split_count(g, k);
    kernel_generate(g, k);
    LLVMBuildRetVoid(g->b);
    return fn;
}

static LLVMValueRef call_field(Gen *g, uint32_t field, LLVMTypeRef type) {
    LLVMValueRef offset = gen_i64(g, field);
    LLVMValueRef address = LLVMBuildInBoundsGEP2(g->b, g->i64, g->call, &offset, 1, "");
    return LLVMBuildLoad2(g->b, type, address, "");
}

static LLVMValueRef buffer_address(Gen *g, const Buffer *buffer, const LLVMValueRef *fields,
                                   LLVMValueRef workspace) {
    static const uint32_t field_of[] = {[PLACE_INPUT] = CALL_INPUTS,
                                        [PLACE_RESULT] = CALL_RESULTS,
                                        [PLACE_PARAM] = CALL_PARAMS,
                                        [PLACE_STATE] = CALL_STATE,
                                        [PLACE_ARENA] = CALL_ARENA};
    bool is_of_turn = buffer->place == PLACE_TURN;
    LLVMValueRef field = is_of_turn ? workspace : fields[field_of[buffer->place]];
    if (is_aligned(buffer)) return gen_element_address(g, g->i8, field, gen_i64(g, buffer->offset));
    LLVMValueRef slot = gen_element_address(g, g->ptr, field, gen_i64(g, buffer->slot));
    return LLVMBuildLoad2(g->b, g->ptr, slot, "");
}

/* A function whose first parameter is the call, and the fields of it. */
static LLVMValueRef begin_entry(Gen *g, const char *symbol, uint32_t nparams,
                                LLVMValueRef *fields) {
    LLVMTypeRef types[] = {g->ptr, g->i64, g->i64};
    LLVMValueRef fn = gen_function(g, symbol, types, nparams);
    add_attribute_at(g, fn, 1, "nonnull", 0, false);
    add_attribute_at(g, fn, 1, "readonly", 0, false);
    add_attribute_at(g, fn, 1, "noalias", 0, false);
    g->call = LLVMGetParam(fn, 0);
    for (uint32_t i = 0; i < CALL_FIELDS; i++) {
        bool is_number = i == CALL_N || i == CALL_SEED || i == CALL_STEP;
        fields[i] = call_field(g, i, is_number ? g->i64 : g->ptr);
    }
    return fn;
}

/* part: of a kernel that is divided; NULL for others. worker: of a task; NULL: the caller. */
static void call_kernel(Gen *g, LLVMValueRef fn, const Operands *o, const LLVMValueRef *fields,
                        LLVMValueRef part, LLVMValueRef worker) {
    uint32_t n = o->all.len;
    LLVMValueRef *args = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, n + EXTRAS);
    LLVMValueRef workspace = gen_i64(g, g->function->workspace_offset);
    if (worker) {
        LLVMValueRef bytes = gen_i64(g, g->function->worker_bytes);
        LLVMValueRef before = LLVMBuildNSWMul(g->b, worker, bytes, "");
        workspace = LLVMBuildNSWAdd(g->b, workspace, before, "");
    }
    workspace = gen_element_address(g, g->i8, fields[CALL_ARENA], workspace);
    for (uint32_t i = 0; i < n; i++)
        args[i] = buffer_address(g, o->all.at[i].buffer, fields, workspace);
    args[n + EXTRA_N] = fields[CALL_N];
    args[n + EXTRA_SEED] = fields[CALL_SEED];
    args[n + EXTRA_STEP] = fields[CALL_STEP];
    args[n + EXTRA_WORKSPACE] = workspace;
    args[n + EXTRA_PART] = part;
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, n + (part ? EXTRAS : EXTRA_PART),
                   "");
}

/* task(call, part, worker): one part of a kernel. */
static LLVMValueRef task_function(Gen *g, const char *name, LLVMValueRef kernel,
                                  const Operands *o) {
    LLVMValueRef fields[CALL_FIELDS];
    name = arena_printf(g->ctx->arena, "%s.task", name);
    LLVMValueRef task = begin_entry(g, name, 3, fields);
    LLVMSetLinkage(task, LLVMInternalLinkage);
    call_kernel(g, kernel, o, fields, LLVMGetParam(task, 1), LLVMGetParam(task, 2));
    LLVMBuildRetVoid(g->b);
    return task;
}

/* Without threads the parts are calls in a loop, and no task is needed. */
static bool is_task(const Gen *g, const Kernel *k) {
    return k->split.index && g->function->workers > 1;
}

static void run_parts(Gen *g, const Kernel *k, LLVMValueRef kernel, const Operands *o,
                      const LLVMValueRef *fields) {
    Loop loop = loop_begin(g, gen_i64(g, 0), split_parts(g, k), gen_i64(g, 1), "part");
    call_kernel(g, kernel, o, fields, loop.counter, NULL);
    loop_end(g, &loop, NULL, NULL);
}

static void run_task(Gen *g, const Kernel *k, LLVMValueRef task) {
    LLVMValueRef runner = split_runner(g);
    LLVMValueRef args[] = {g->call, task, split_parts(g, k)};
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(runner), runner, args, 3, "");
}

const char *codegen_symbol(Ctx *ctx, const char *model, const char *function) {
    return arena_printf(ctx->arena, "dl.%s.%s", model, function);
}

/* ---- one function ---------------------------------------------------------------------------
 */

/* Is the work so little that the calls around the kernels count? */
static bool is_small(const Function *function) {
    double flops = 0;
    for (uint32_t i = 0; i < function->kernels.len; i++) {
        const Kernel *k = function->kernels.at[i];
        flops += k->flops + k->example_flops * (double)function->module->max_batch;
        for (uint32_t s = 0; s < k->nsteps; s++) flops += SMALL_FLOPS;
    }
    return flops < SMALL_FLOPS && function->kernels.len <= SMALL_KERNELS;
}

static bool reads_inputs(const Function *function) {
    for (uint32_t i = 0; i < function->buffers.len; i++)
        if (function->buffers.at[i]->place == PLACE_INPUT) return true;
    return false;
}

/* Calls kernels `from` to before `to` in a function of the call, which is left unfinished. */
static LLVMValueRef calls_of(Gen *g, const char *symbol, LLVMValueRef *fns,
                             const Operands *operands, uint32_t from, uint32_t to) {
    LLVMValueRef fields[CALL_FIELDS], fn = begin_entry(g, symbol, 1, fields);
    g->n = fields[CALL_N];
    for (uint32_t i = from; i < to; i++) {
        const Kernel *k = g->function->kernels.at[i];
        if (is_task(g, k))
            run_task(g, k, fns[i]);
        else if (k->split.index)
            run_parts(g, k, fns[i], &operands[i], fields);
        else
            call_kernel(g, fns[i], &operands[i], fields, NULL, NULL);
    }
    return fn;
}

/* The function itself. LLVM takes more than twice the time for one of twice the size: the calls of
 * many kernels are in functions of their own. */
static void call_kernels(Gen *g, const char *symbol, LLVMValueRef *fns, const Operands *operands) {
    uint32_t n = g->function->kernels.len, nparts = n / KERNELS_OF_FUNCTION + 1;
    if (n <= KERNELS_OF_FUNCTION) {
        calls_of(g, symbol, fns, operands, 0, n);
        LLVMBuildRetVoid(g->b);
        return;
    }
    LLVMValueRef *parts = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, nparts + 1);
    for (uint32_t i = 0; i < nparts; i++) {
        const char *name = arena_printf(g->ctx->arena, "%s.calls.%u", symbol, i);
        parts[i] = calls_of(g, name, fns, operands, (uint32_t)((uint64_t)n * i / nparts),
                            (uint32_t)((uint64_t)n * (i + 1) / nparts));
        LLVMSetLinkage(parts[i], LLVMInternalLinkage);
        LLVMBuildRetVoid(g->b);
    }
    calls_of(g, symbol, fns, operands, 0, 0);
    for (uint32_t i = 0; i < nparts; i++)
        LLVMBuildCall2(g->b, LLVMGlobalGetValueType(parts[i]), parts[i], &g->call, 1, "");
    LLVMBuildRetVoid(g->b);
}

static void generate_function(Gen *g, const char *model, const Function *function) {
    g->function = function;
    gen_reals(g, function->f64);
    g->known_n = function->module->max_batch == 1 ? 1 : 0;
    g->once = !reads_inputs(function);
    g->of_step = ARENA_NEW(g->ctx->arena, Map);
    const char *symbol = codegen_symbol(g->ctx, model, function->name);
    uint32_t nkernels = function->kernels.len;
    LLVMValueRef *fns = ARENA_ARRAY(g->ctx->arena, LLVMValueRef, nkernels + 1);
    Operands *operands = ARENA_ARRAY(g->ctx->arena, Operands, nkernels + 1);
    bool inlines = is_small(function);
    for (uint32_t i = 0; i < nkernels; i++) {
        const Kernel *k = function->kernels.at[i];
        operands[i].g = g;
        add_kernel(&operands[i], k);
        find_overlaps(&operands[i]);
        const char *name = arena_printf(g->ctx->arena, "%s.%u.%s", symbol, i, k->name);
        fns[i] = kernel_function(g, k, name, &operands[i]);
        if (inlines) add_function_attribute(g, fns[i], "alwaysinline");
        if (is_task(g, k)) fns[i] = task_function(g, name, fns[i], &operands[i]);
    }
    call_kernels(g, symbol, fns, operands);
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
